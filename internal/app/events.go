package app

import (
	"breakwater/internal/alerts"
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
	case e.Failed != nil:
		if a.watcher != nil {
			a.watcher.Failed(e.Failed)
		}
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
	if a.burn != nil {
		a.burn.note(t)
	}
	if a.watcher != nil {
		a.watcher.Ended(t)
	}
	for i, attempt := range t.Attempts {
		s := alerts.Signal{At: t.AttemptEnded(i), Provider: attempt.Target.Provider, Target: attempt.Target, Kind: alerts.TargetServed}
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
		if a.watcher != nil {
			a.watcher.Broke(t.Target, t.At)
		}
		s.Next = t.At.Add(a.cfg.Breaker.RecoveryTimeout)
	}
	if s.Kind != "" {
		a.alerts.Signal(s)
	}
	a.changed(web.PartVerdict, web.PartProviders)
}
