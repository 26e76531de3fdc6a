package app

import (
	"context"
	"fmt"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/router"
)

const (
	// StuckAfter is for how long a breaker may be open before people hear of it
	// in any case: five probes have failed by then, or nobody asked.
	StuckAfter = 5 * time.Minute
	// stuckRepeat says it again while it lasts; alerts end what is not repeated
	// for three minutes.
	stuckRepeat = time.Minute
	// stuckLook is how often breakers are looked at.
	stuckLook = 5 * time.Second
)

// stuck tells of breakers that stay open. It joins the provider's incident as a
// finding that matters: where the incident was not confirmed yet, it is now.
type stuck struct {
	breakers func() []router.BreakerState
	signal   func(alerts.Signal)
	since    map[llm.Target]time.Time // when a breaker opened that has not closed since
	told     map[llm.Target]time.Time
}

// run looks at the breakers until ctx ends.
func (s *stuck) run(ctx context.Context) error {
	return every(ctx, stuckLook, s.look)
}

func (s *stuck) look(now time.Time) {
	open := map[llm.Target]bool{}
	for _, b := range s.breakers() {
		if b.State == record.Closed {
			continue
		}
		open[b.Target] = true
		if s.since[b.Target].IsZero() {
			s.since[b.Target] = now
		}
		if lasts := now.Sub(s.since[b.Target]); lasts >= StuckAfter && now.Sub(s.told[b.Target]) >= stuckRepeat {
			s.told[b.Target] = now
			s.signal(alerts.Signal{
				At: now, Provider: b.Target.Provider, Target: b.Target, Kind: alerts.TroubleFound, Matters: true, Next: b.NextProbe,
				Text: fmt.Sprintf("the breaker has been open for %s", span(StuckAfter)),
			})
		}
	}
	for t := range s.since {
		if open[t] {
			continue
		}
		if !s.told[t].IsZero() {
			s.signal(alerts.Signal{At: now, Provider: t.Provider, Target: t, Kind: alerts.TroubleEnded, Text: "the breaker is closed again"})
		}
		delete(s.since, t)
		delete(s.told, t)
	}
}
