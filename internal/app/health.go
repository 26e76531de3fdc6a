package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/web"
)

// healthFor is how long one look at health serves everybody: what it tells of
// changes with the minutes.
const healthFor = 10 * time.Second

// lookEvery is how often health is looked at whether or not somebody asks, so that
// nobody who opens a page waits for it: before the last look is too old.
const lookEvery = healthFor - 2*time.Second

// healths knows how everybody did, for the pages, /status.json and /metrics.
type healths struct {
	store     *store.Store
	breakers  monitor.Breakers
	providers []llm.Provider // those in use
	started   time.Time

	mu      sync.Mutex
	last    health
	past    pasts
	pastsAt time.Time
}

// health is how everybody did, at one instant.
type health struct {
	monitor.Healths
	pasts   pasts
	moves   map[llm.Provider]moves
	courses map[llm.Provider][]monitor.Stretch // of 90 days
	// down is when each provider was down by an incident, without planned maintenance.
	down      map[llm.Provider][]monitor.Span
	incidents []record.Incident // of 90 days
	planned   []record.Silence  // the maintenances among the silences
}

// Run looks at health every now and then, first at what changed in 90 days. What
// keeps it from that is told to whoever asks.
func (h *healths) Run(ctx context.Context) error {
	h.mu.Lock()
	h.last.moves = map[llm.Provider]moves{}
	for _, p := range h.providers {
		h.last.moves[p], _ = h.readMoves(ctx, p, moves{}, time.Now().UTC())
	}
	h.mu.Unlock()
	return every(ctx, lookEvery, func(now time.Time) {
		h.mu.Lock()
		defer h.mu.Unlock()
		_, _ = h.look(ctx, now.UTC())
	})
}

// now gives how everybody did, at most healthFor ago.
func (h *healths) now(ctx context.Context, now time.Time) (health, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if age := now.Sub(h.last.At); age >= 0 && age < healthFor {
		return h.last, nil
	}
	return h.look(ctx, now)
}

// look looks at it anew. The mutex is held.
func (h *healths) look(ctx context.Context, now time.Time) (health, error) {
	pasts, err := h.usual(ctx, now)
	if err != nil {
		return health{}, err
	}
	all, err := monitor.ReadHealths(ctx, h.store, now)
	if err != nil {
		return health{}, err
	}
	next := health{Healths: all, pasts: pasts, moves: map[llm.Provider]moves{}, courses: map[llm.Provider][]monitor.Stretch{}}
	if err := h.readDown(ctx, now, &next); err != nil {
		return health{}, err
	}
	for _, p := range h.providers {
		if next.moves[p], err = h.readMoves(ctx, p, h.last.moves[p], now); err != nil {
			return health{}, err
		}
		windows := next.Providers[p]
		course := h.course(p, now, windows, next.moves[p])
		next.courses[p] = course
		for i := range windows {
			w := &windows[i]
			w.In = monitor.TimeIn(course, w.From(now), now)
			w.Downtime = monitor.Within(next.down[p], w.From(now), now)
		}
	}
	h.last = next
	return next, nil
}

// latest is now with the incidents and the maintenances of this instant, which a
// page must not tell late.
func (h *healths) latest(ctx context.Context, now time.Time) (health, error) {
	all, err := h.now(ctx, now)
	if err != nil || all.At.Equal(now) {
		return all, err
	}
	return all, h.readDown(ctx, now, &all)
}

// usual gives what is usual, at most usualEvery old. The mutex is held.
func (h *healths) usual(ctx context.Context, now time.Time) (pasts, error) {
	if now.Sub(h.pastsAt) < usualEvery {
		return h.past, nil
	}
	past, err := readPasts(ctx, h.store, now)
	if err != nil {
		return pasts{}, fmt.Errorf("read what is usual: %w", err)
	}
	h.past, h.pastsAt = past, now
	return past, nil
}

// readDown reads the incidents and the maintenances, and what of them was downtime.
func (h *healths) readDown(ctx context.Context, now time.Time, into *health) error {
	incidents, err := h.store.Incidents(ctx, now.AddDate(0, 0, -pageDays), mostIncidents)
	if err != nil {
		return fmt.Errorf("read the incidents: %w", err)
	}
	planned, err := maintenances(ctx, h.store, now)
	if err != nil {
		return err
	}
	into.incidents, into.planned = incidents, planned
	into.down = downtimes(incidents, planned, now)
	return nil
}

// downtimes gives when each provider was down: while an incident of it, or of
// several providers, lasted that people were told of, outside of planned
// maintenance.
func downtimes(incidents []record.Incident, maintenances []record.Silence, now time.Time) map[llm.Provider][]monitor.Span {
	down, planned := map[llm.Provider][]monitor.Span{}, map[llm.Provider][]monitor.Span{}
	for _, in := range incidents {
		for _, p := range in.Parts() {
			if from, to := in.Trouble(p, now); to.After(from) {
				down[p] = append(down[p], monitor.Span{From: from, To: to})
			}
		}
	}
	for _, m := range maintenances {
		for p := range down {
			if m.Provider == "" || m.Provider == p {
				planned[p] = append(planned[p], monitor.Span{From: m.From, To: m.End()})
			}
		}
	}
	for p, spans := range down {
		down[p] = monitor.Without(spans, planned[p])
	}
	return down
}

// longest is the window that looks furthest back.
func longest() monitor.Window {
	all := monitor.Windows()
	return all[len(all)-1]
}

// course makes of a provider's moves how its breakers and holds stood.
func (h *healths) course(p llm.Provider, now time.Time, windows []monitor.Health, of moves) []monitor.Stretch {
	transitions, holds := of.transitions, of.holds
	known := knownFrom(windows, now)
	if len(holds) > 0 && holds[0].Placed.Before(known) {
		known = holds[0].Placed
	}
	if len(transitions) > 0 && (transitions[0].At.Before(known) || len(transitions) == mostChanges) {
		known = transitions[0].At
	}
	c := monitor.Course{From: longest().From(now), To: now, Known: known, Started: h.started, Transitions: transitions, Holds: holds, Now: map[llm.Target]record.State{}}
	for _, b := range h.breakers.Breakers() {
		if b.Target.Provider == p {
			c.Now[b.Target] = b.State
		}
	}
	return c.Stretches()
}

// knownFrom gives from when on there are figures of a provider: the first day
// that has some, to the hour or to the minute where those are still kept.
func knownFrom(windows []monitor.Health, now time.Time) time.Time {
	known := windows[5].First
	if known.IsZero() {
		return now
	}
	for _, finer := range []struct {
		first time.Time
		span  time.Duration
	}{{windows[3].First, 24 * time.Hour}, {windows[1].First, time.Hour}} {
		if !finer.first.IsZero() && finer.first.Truncate(finer.span).Equal(known) {
			known = finer.first
		}
	}
	return known
}

// rates gives what /metrics shows of health.
func (h *healths) rates() []monitor.Rate {
	all, err := h.now(context.Background(), time.Now().UTC())
	if err != nil {
		return nil // the store's own metrics tell of it
	}
	var rates []monitor.Rate
	for _, w := range all.Callers {
		r := monitor.Rate{Window: w.Name}
		r.Availability, r.Known = w.Availability()
		rates = append(rates, r)
	}
	for _, p := range h.providers {
		for _, w := range all.Providers[p] {
			r := monitor.Rate{Provider: p, Window: w.Name, Downtime: w.Downtime}
			r.Availability, r.Known = w.Availability()
			r.Score, _ = w.Score(all.slow(p))
			rates = append(rates, r)
		}
	}
	return rates
}

// slow is from when on an answer of a provider counts as slow; 0 where nothing
// is usual yet.
func (h *health) slow(p llm.Provider) time.Duration {
	return monitor.SlowerThan * h.pasts.providers[p].p95.Value
}

// uptimes gives a provider's availability as /status.json shows it.
func (h *health) uptimes(p llm.Provider) []web.Uptime {
	var all []web.Uptime
	for _, w := range h.Providers[p] {
		if w.Window.From(h.At).After(h.At.Add(-2 * time.Hour)) {
			continue
		}
		all = append(all, web.Uptime{Window: w.Name, Share: asFigure(w.Availability())})
	}
	return all
}

// records gives how a provider did, by window, for its page.
func (h *health) records(p llm.Provider) []web.Record {
	var all []web.Record
	for i, w := range h.Providers[p] {
		r := web.Record{
			Window: w.Words, Health: asFigure(w.Score(h.slow(p))), Availability: asFigure(w.Availability()), Errors: asFigure(w.Errors()),
			Callers: asFigure(h.Callers[i].Availability()),
		}
		if w.Sum.Latency.Count() > 0 {
			r.P50, r.P95, r.P99 = web.Known(w.Sum.Latency.Quantile(0.5)), web.Known(w.Sum.Latency.Quantile(0.95)), web.Known(w.Sum.Latency.Quantile(0.99))
		}
		if w.Sum.TTFT.Count() > 0 {
			r.TTFT = web.Known(w.Sum.TTFT.Quantile(0.95))
		}
		if whole := h.At.Sub(w.From(h.At)); w.In[monitor.Unseen] < whole {
			r.In, r.Downtime = w.In, web.Known(w.Downtime)
		}
		all = append(all, r)
	}
	return all
}

func asFigure[T any](v T, known bool) web.Figure[T] {
	if !known {
		return web.Figure[T]{}
	}
	return web.Known(v)
}
