package app

import (
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
	}
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
