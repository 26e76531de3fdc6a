package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/web"
)

// requests is what the pages of requests read the record by.
type requests struct{ store *store.Store }

// asked gives a page's query in the store's words.
func asked(q web.RequestQuery) store.Query { return store.Query(q) }

// Search gives what the store finds in its time.
func (r requests) Search(ctx context.Context, q web.RequestQuery) (web.RequestsFound, error) {
	found, err := r.store.Search(ctx, asked(q))
	if err != nil {
		return web.RequestsFound{}, fmt.Errorf("search requests: %w", err)
	}
	since, err := r.store.Since(ctx)
	if err != nil {
		return web.RequestsFound{}, fmt.Errorf("read how far the record reaches: %w", err)
	}
	return web.RequestsFound{
		Traces: found.Traces, Next: found.Next, Reached: found.Reached, Done: found.Done, Unknown: found.Unknown, Kept: since.Traces,
	}, nil
}

// Count gives how many matches there were over time.
func (r requests) Count(ctx context.Context, q web.RequestQuery) (web.RequestCounts, error) {
	counts, err := r.store.Count(ctx, asked(q), time.Now().UTC())
	if err != nil {
		return web.RequestCounts{}, fmt.Errorf("count requests: %w", err)
	}
	c := web.RequestCounts{Of: web.Counted(counts.Of), From: counts.From, To: counts.To, Step: counts.Step, Whole: counts.Whole}
	for _, b := range counts.Bars {
		c.Bars = append(c.Bars, web.RequestCount(b))
	}
	return c, nil
}

// Export writes what matches.
func (r requests) Export(ctx context.Context, q web.RequestQuery, form web.ExportForm, out io.Writer, flush func()) error {
	return r.store.ExportFound(ctx, asked(q), store.Format(form), out, flush)
}

// Request gives one request and what was around it.
func (r requests) Request(ctx context.Context, id record.ID) (web.Request, error) {
	trace, err := r.store.Trace(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return web.Request{}, web.ErrNoRequest
	}
	if err != nil {
		return web.Request{}, fmt.Errorf("read a request: %w", err)
	}
	found := web.Request{Trace: trace}
	if found.Older, found.Newer, err = r.store.Beside(ctx, id); err != nil {
		return web.Request{}, fmt.Errorf("read the requests beside one: %w", err)
	}
	incidents, err := r.store.Incidents(ctx, trace.Accepted, mostIncidents)
	if err != nil {
		return web.Request{}, fmt.Errorf("read the incidents: %w", err)
	}
	concerned := concernedIn(&trace)
	for _, in := range incidents {
		if in.State.Told() && in.Began.Before(trace.Ended()) && (in.Subject == "" || slices.Contains(concerned, in.Subject)) {
			found.Incidents = append(found.Incidents, in)
		}
	}
	return found, nil
}

// concernedIn lists the providers that a request was sent to or kept from.
func concernedIn(t *record.Trace) []llm.Provider {
	var all []llm.Provider
	for _, a := range t.Attempts {
		all = append(all, a.Target.Provider)
	}
	for _, c := range t.Plan {
		if c.Verdict != record.VerdictNotNeeded {
			all = append(all, c.Target.Provider)
		}
	}
	return all
}
