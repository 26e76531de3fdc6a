package app

import (
	"context"
	"time"

	"breakwater/internal/monitor"
	"breakwater/internal/replay"
)

// readings gives what /metrics asks of the rest of the house at each look, which
// comes only when all of it is there.
func (a *App) readings() monitor.Readings {
	return monitor.Readings{
		Looks:          func() []monitor.Look { return a.prober.Looks() },
		Rates:          func() []monitor.Rate { return a.healths.rates() },
		Scores:         a.anomalyScores,
		SignalsDropped: func() uint64 { return a.alerts.Dropped() },
		Refused:        a.gate.Refused,
		Replays:        func() replay.Counts { return a.api.Replays() },
		Outbox:         a.outbox,
	}
}

// outboxPatience bounds what a look at /metrics waits for the database.
const outboxPatience = 2 * time.Second

// outbox gives what waits for each channel that is configured; nothing where the
// record cannot be read, since a 0 would say that all is sent.
func (a *App) outbox() []monitor.Outbox {
	if len(a.cfg.Channels) == 0 {
		return nil
	}
	names := make([]string, len(a.cfg.Channels))
	for i, c := range a.cfg.Channels {
		names[i] = c.Name
	}
	ctx, cancel := context.WithTimeout(context.Background(), outboxPatience)
	defer cancel()
	now := time.Now()
	outboxes, err := a.store.Outboxes(ctx, names, now)
	if err != nil {
		a.log.Warn("what waits for the channels cannot be read", "error", err)
		return nil
	}
	var all []monitor.Outbox
	for i, stands := range outboxes {
		o := monitor.Outbox{Channel: names[i], Waiting: stands.Waiting}
		if oldest := stands.Oldest; !oldest.IsZero() {
			o.Oldest = max(0, now.Sub(oldest))
		}
		all = append(all, o)
	}
	return all
}

// anomalyScores gives what the detector compares, of the configured targets
// alone: callers may name any other model.
func (a *App) anomalyScores() []monitor.Score {
	var all []monitor.Score
	for _, s := range a.scores() {
		if !a.configured(s.Target) {
			continue
		}
		score := monitor.Score{Target: s.Target, Measure: s.Measure, Z: s.Z}
		if s.Threshold > 0 {
			score.Evidence = max(0, s.Evidence/s.Threshold)
		}
		all = append(all, score)
	}
	return all
}
