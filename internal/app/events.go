package app

import (
	"breakwater/internal/alerts"
	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/record"
	"breakwater/web"
)

// heard passes every event on to the detector, the incidents and the page. It
// runs on the monitor's goroutine.
func (a *App) heard(e monitor.Event) {
	switch {
	case e.Trace != nil:
		a.traced(e.Trace)
	case e.Transition != nil:
		a.switched(*e.Transition)
	case e.Hold != nil:
		a.changed(web.PartVerdict, web.PartProviders)
	case e.Key != nil:
		a.keyAlert(*e.Key)
		a.changed(web.PartVerdict, web.PartProviders)
	}
}

func (a *App) traced(t *record.Trace) {
	a.impacts.note(t)
	for _, attempt := range t.Attempts {
		seen := sample(t, attempt)
		if a.watcher != nil {
			a.watcher.Observe(seen)
		}
		s := alerts.Signal{At: seen.At, Provider: attempt.Target.Provider, Target: attempt.Target, Kind: alerts.TargetServed}
		switch {
		case attempt.Class == "":
			s.Key, s.Asked = attempt.Key, t.Accepted.Add(attempt.Start)
			a.alerts.Signal(s)
		case attempt.Class == llm.NoSuchModel && a.configured(attempt.Target):
			s.Kind, s.Text = alerts.ModelMissing, said(attempt)
			s.Serving = "Requests for it go to the next candidate; those that have none fail."
			a.alerts.Signal(s)
		}
	}
	for _, p := range missed(t) {
		s := alerts.Signal{At: t.Ended(), Provider: p, Kind: alerts.Rerouted}
		switch t.Outcome {
		case record.Failed:
			s.Kind, s.Text = alerts.CallerFailed, "a request failed for its caller"
		case record.Served:
		default:
			continue
		}
		a.alerts.Signal(s)
	}
	a.changed(web.PartNow, web.PartProviders)
	if t.Cost > 0 {
		a.changes.mark(web.PartBudgets)
	}
}

// sample is one attempt of a request, as the detector sees it.
func sample(t *record.Trace, attempt record.Attempt) anomaly.Sample {
	// All of an embedding comes at once, and what it takes depends on its input
	// alone, as a first token does.
	firstTells := t.Stream || t.Door.Embeds()
	return anomaly.Sample{
		Target: attempt.Target, At: t.Accepted.Add(attempt.Start + attempt.Took), Class: attempt.Class,
		TTFT: attempt.TTFT, Took: attempt.Took,
		InputTokens: attempt.Usage.Input - attempt.Usage.CacheRead, OutputTokens: attempt.Usage.Output,
		Stream: firstTells || attempt.Target.Provider == llm.Local, Caller: t.Caller, Canary: attempt.Canary,
	}
}

func (a *App) switched(t record.Transition) {
	s := alerts.Signal{At: t.At, Provider: t.Target.Provider, Target: t.Target, Text: t.Reason}
	switch {
	case t.To == record.Open && t.From == record.HalfOpen:
		s.Kind = alerts.BreakerProbeFailed
	case t.To == record.Open:
		s.Kind = alerts.BreakerOpened
	case t.To == record.Closed:
		s.Kind = alerts.BreakerClosed
	}
	if t.To == record.Open {
		s.Next = t.At.Add(a.cfg.Breaker.RecoveryTimeout)
	}
	if s.Kind != "" {
		a.alerts.Signal(s)
	}
	a.changed(web.PartVerdict, web.PartProviders)
}

// detected passes the detector's findings on to the incidents.
func (a *App) detected(e anomaly.Event) {
	s := alerts.Signal{At: e.At, Provider: e.Target.Provider, Target: e.Target, Text: e.Text}
	switch e.Kind {
	case anomaly.HoldPlaced:
		s.Kind, s.Next = alerts.HoldPlaced, e.At.Add(a.cfg.Anomaly.Canary)
		s.Slow = e.Finding.Signal == anomaly.Latency
	case anomaly.HoldEnded:
		s.Kind = alerts.HoldEnded
	case anomaly.Found:
		if !e.Finding.Again {
			a.log.Warn("anomaly", "target", e.Target.String(), "finding", e.Text)
		} else if !e.Finding.Failover {
			return
		}
		s.Kind, s.Slow, s.Matters = alerts.TroubleFound, e.Finding.Signal == anomaly.Latency, e.Finding.Failover
	default:
		return
	}
	a.alerts.Signal(s)
}
