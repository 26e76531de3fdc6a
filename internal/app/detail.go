package app

import (
	"context"
	"fmt"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/store"
	"breakwater/web"
)

const (
	// detailChanges is how many of the latest changes of keys a provider's page
	// shows; what came before is rarely looked for there.
	detailChanges = 10
	// detailChangesFor is how far back they reach.
	detailChangesFor = 7 * 24 * time.Hour
)

// Detail gives what a provider's own page shows: how things stand, and what its
// keys were used for within the span.
func (s *status) Detail(ctx context.Context, p llm.Provider, span web.Span) (web.Detail, error) {
	now := time.Now().UTC()
	d := web.Detail{Keys: s.flow.keys(p), Pools: s.flow.pools(p), Limits: s.flow.limitsOf(p)}
	from := now.Add(-span.Length())
	whole, err := s.store.WholeFrom(ctx, from, now)
	if err != nil {
		return d, fmt.Errorf("read how far the record reaches: %w", err)
	}
	if whole.After(from) {
		d.Since = whole
	}
	usage, err := s.store.KeyUsage(ctx, p, from, now)
	if err != nil {
		return d, fmt.Errorf("read the usage of keys: %w", err)
	}
	countUsage(d.Keys, usage)
	h, err := s.healths.now(ctx, now)
	if err != nil {
		return d, err
	}
	if d.Course, err = s.course(ctx, p, span, &h); err != nil {
		return d, err
	}
	d.Records, d.Slow, d.Looks = h.records(p), h.slow(p), looks(s.prober.Looks(), p)
	d.Measures = measures(s.scores(), p)
	changes, err := s.store.KeyChanges(ctx, p, now.Add(-detailChangesFor), detailChanges)
	if err != nil {
		return d, fmt.Errorf("read the changes of keys: %w", err)
	}
	for _, c := range changes {
		d.Changes = append(d.Changes, web.Change(c))
	}
	return d, nil
}

// countUsage adds what was recorded of each key, by its name. A key that is
// gone has a share, so that the others' add up to what they are.
func countUsage(keys []web.Key, usage []store.KeyRollup) {
	var all int64
	for _, u := range usage {
		all += u.Requests
	}
	counted := make(map[[2]string]bool)
	for i := range keys {
		k := &keys[i]
		name := [2]string{k.Endpoint, k.Name}
		if counted[name] { // an old secret beside the new one: the record knows names only
			continue
		}
		counted[name] = true
		for _, u := range usage {
			if u.Endpoint == k.Endpoint && u.Key == k.Name {
				k.Requests, k.Throttled, k.Input, k.Output, k.Cost = u.Requests, u.Throttled, u.Input, u.Output, u.Cost
			}
		}
		if all > 0 {
			k.Share = web.Known(float64(k.Requests) / float64(all))
		}
	}
}
