package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/anomaly"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

const (
	// stateName is what the detector's state is kept under.
	stateName = "detector"
	// StateEvery is how often it is written: a kill costs as much of what was
	// learned, which is little beside the days that it took.
	StateEvery = 5 * time.Minute
	// stateOld is how old a state may be: what was usual a month ago tells little.
	stateOld = 30 * 24 * time.Hour
	// statePatience bounds the last write, at the stop.
	statePatience = 5 * time.Second
)

// detect sets up the anomaly detector, which places holds through the router.
func (a *App) detect() {
	if !a.cfg.Anomaly.Enabled {
		return
	}
	wc := watching(a.cfg)
	if a.opts.Anomaly != nil {
		a.opts.Anomaly(&wc)
	}
	a.watcher = anomaly.NewWatcher(wc, a.router, a.ids.Next, a.detected)
}

// watching gives the detector's settings.
func watching(cfg *config.Config) anomaly.WatcherConfig {
	return anomaly.WatcherConfig{
		Hold: cfg.Anomaly.Hold, Canary: cfg.Anomaly.Canary, Detector: anomaly.Config{MinSamples: cfg.Anomaly.MinSamples},
	}
}

// watchOver sets up what alerts without moving traffic.
func (a *App) watchOver() {
	a.conditions = newConditions(a.alerts.Signal)
	if a.cfg.SLO.Window > 0 {
		a.burn = newBurn(a.cfg.SLO, a.conditions)
	}
	a.pace = &budgetPace{budgets: budgets(a.cfg), spend: a.store.Spend, conditions: a.conditions}
	a.stuck = &stuck{breakers: a.router.Breakers, signal: a.alerts.Signal, since: map[llm.Target]time.Time{}, told: map[llm.Target]time.Time{}}
}

// detection lists the workers of what watches.
func (a *App) detection() []func(context.Context) error {
	workers := []func(context.Context) error{a.conditions.Run, a.pace.run, a.stuck.run}
	if a.burn != nil {
		workers = append(workers, a.burn.Run)
	}
	if a.watcher != nil {
		workers = append(workers, a.watcher.Run)
	}
	return workers
}

// scores gives how every measure compares with its usual; none where detection
// is off.
func (a *App) scores() []anomaly.Score {
	if a.watcher == nil {
		return nil
	}
	return a.watcher.Scores()
}

// resume takes up what was known and told before a restart.
func (a *App) resume(ctx context.Context, now time.Time) error {
	open, err := a.store.OpenIncidents(ctx)
	if err != nil {
		return fmt.Errorf("read the open incidents: %w", err)
	}
	a.conditions.restore(open, now)
	if a.burn != nil {
		if err := a.burn.fill(ctx, a.store, now); err != nil {
			return err
		}
	}
	if a.watcher == nil {
		return nil
	}
	state, at, err := a.store.State(ctx, stateName)
	switch {
	case errors.Is(err, store.ErrNotFound):
		a.log.Info("the detector begins to learn what is usual")
	case err != nil:
		return fmt.Errorf("read the detector's state: %w", err)
	case now.Sub(at) > stateOld:
		a.log.Info("the detector begins to learn what is usual: what it knew is too old", "of", at)
	default:
		if err := a.watcher.Load(state); err != nil {
			a.log.Warn("the detector begins to learn what is usual", "reason", err)
			return nil
		}
		a.log.Info("the detector knows what is usual", "measures", len(a.watcher.Scores()), "of", at)
	}
	return nil
}

// keepState writes down what the detector knows, every few minutes and at the end.
func (a *App) keepState(ctx context.Context) error {
	if a.watcher == nil {
		return nil
	}
	failing := false
	save := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, statePatience)
		defer cancel()
		err := a.store.SaveState(ctx, stateName, a.watcher.Save())
		if err != nil && !failing {
			a.log.Warn("what the detector knows cannot be written down", "error", err)
		}
		failing = err != nil
	}
	err := every(ctx, StateEvery, func(time.Time) { save(ctx) })
	save(context.WithoutCancel(ctx))
	return err
}

// detected passes the detector's findings on to the incidents.
func (a *App) detected(e anomaly.Event) {
	s := alerts.Signal{At: e.At, Provider: e.Target.Provider, Target: e.Target, Text: e.Text}
	switch e.Kind {
	case anomaly.HoldPlaced:
		s.Kind, s.Next = alerts.HoldPlaced, e.At.Add(a.cfg.Anomaly.Canary)
		s.Slow = e.Finding.Signal.OfSpeed()
	case anomaly.HoldEnded:
		s.Kind = alerts.HoldEnded
	case anomaly.HoldRamped:
		a.log.Info("traffic comes back", "target", e.Target.String(), "share", e.Hold.Share)
		s.Kind = alerts.TrafficReturned
	case anomaly.HoldRelapsed:
		s.Kind = alerts.TrafficReturned
	case anomaly.Found:
		if !e.Finding.Again {
			a.log.Warn("anomaly", "signal", string(e.Finding.Signal), "target", e.Target.String(), "caller", e.Finding.Caller, "finding", e.Text)
		}
		if !e.Finding.Signal.Holds() {
			a.noteworthy(e.Finding)
			return
		}
		if e.Finding.Again && !e.Finding.Failover {
			return
		}
		s.Kind, s.Slow, s.Matters = alerts.TroubleFound, e.Finding.Signal.OfSpeed(), e.Finding.Failover
	default:
		return
	}
	a.alerts.Signal(s)
}

// noteworthy raises what people should know and no other target would mend.
func (a *App) noteworthy(f anomaly.Finding) {
	s := alerts.Signal{At: f.At, Text: f.Text, Severity: record.Warning}
	if f.Signal == anomaly.Throttling {
		s.Topic, s.Provider, s.Target = record.TopicThrottling, f.Target.Provider, f.Target
		s.Title = f.Target.String() + " takes less than it is sent"
		a.conditions.raise(s, conditionCalm, string(f.Signal))
		return
	}
	whose := "The callers' use"
	if f.Caller != "" {
		whose = "The use of the caller " + f.Caller
	}
	s.Topic, s.Name, s.Title = record.TopicUsage, usageName(f.Caller), whose+" is unlike its past"
	a.conditions.raise(s, conditionLong, string(f.Signal)+f.Model+f.Target.Model)
}

// usageName names the incident of a caller's use; "" is all of them.
func usageName(caller string) string { return cmp.Or(caller, "The callers") }
