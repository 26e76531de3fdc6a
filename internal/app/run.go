package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"breakwater/internal/config"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// cutPatience lets the handlers of requests that were cut write down what
// happened.
const cutPatience = 2 * time.Second

// Run serves until ctx ends or a worker fails. It then takes no new request,
// lets every accepted one end, however long it takes, and stops the rest from
// the callers inwards, so that everything that happened is written. Ending
// hurry ends the waiting.
func (a *App) Run(ctx, hurry context.Context) error {
	starting := context.WithoutCancel(ctx) // a stop that comes during the start is a stop, not an error
	if err := a.restore(starting); err != nil {
		return errors.Join(err, a.Close())
	}
	ctx, fail := context.WithCancel(ctx)
	defer fail()
	var layers []*layer // innermost first
	defer func() {
		for _, l := range layers {
			l.stop()
		}
	}()
	start := func(workers ...func(context.Context) error) {
		layers = append(layers, startLayer(fail, workers...))
	}
	start(a.store.Run)
	err := a.prepare(starting)
	if err == nil {
		start(a.alerts.Run)
		start(a.keepState) // ends after the monitor, which hands on the last requests
		start(func(ctx context.Context) error { return a.monitor.Run(ctx, a.router) })
		outer := []func(context.Context) error{a.changes.Run, a.prober.Run, a.watchStore, a.watchDamage, a.watchKeys, a.watchLost, a.retain, a.healths.Run}
		outer = append(outer, a.detection()...)
		start(outer...)
		err = a.serve(ctx, hurry)
	}
	errs := []error{err}
	for _, l := range slices.Backward(layers) {
		errs = append(errs, l.end())
	}
	return errors.Join(append(errs, a.Close())...)
}

// layer is a group of workers that stop together.
type layer struct {
	group errgroup.Group
	stop  context.CancelFunc
}

// startLayer starts workers. One that fails has the whole house stop.
func startLayer(fail context.CancelFunc, workers ...func(context.Context) error) *layer {
	l := &layer{}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	for _, work := range workers {
		l.group.Go(func() error {
			err := work(ctx)
			if err != nil {
				fail()
			}
			return err
		})
	}
	return l
}

// end stops the workers and waits for them.
func (l *layer) end() error {
	l.stop()
	return l.group.Wait()
}

// every is a worker that looks in regular steps, until ctx ends. It never fails.
func every(ctx context.Context, step time.Duration, look func(now time.Time)) error {
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			look(now)
		}
	}
}

// prepare does what needs a running store and must be done before all else.
func (a *App) prepare(ctx context.Context) error {
	if a.opts.Seed != nil {
		if err := a.opts.Seed(ctx, a.store); err != nil {
			return fmt.Errorf("seed the store: %w", err)
		}
	}
	if err := a.resume(ctx, time.Now()); err != nil {
		return err
	}
	return a.endForeign(ctx)
}

// serve takes requests until ctx ends, and then waits for those under way.
func (a *App) serve(ctx, hurry context.Context) error {
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(a.listener) }()
	select {
	case <-ctx.Done():
		return a.stopServing(hurry)
	case err := <-served:
		return errors.Join(fmt.Errorf("serve: %w", err), a.stopServing(hurry))
	}
}

// stopServing waits for every accepted request.
func (a *App) stopServing(hurry context.Context) error {
	a.stopping.Store(true)
	a.page.Close()
	err := a.server.Shutdown(hurry)
	if err != nil {
		a.log.Warn("stopped before every request had ended", "reason", err)
		err = a.server.Close()
		a.api.Close()
		ended := make(chan struct{})
		go func() { a.handlers.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(cutPatience):
		}
	}
	return err
}

// tellReplay tells what the last run, which did not end well, left in the journal.
func (a *App) tellReplay(r store.Replay) {
	level := slog.LevelInfo
	if r.Missing > 0 || r.Unread > 0 {
		level = slog.LevelWarn
	}
	if r != (store.Replay{}) {
		a.log.Log(context.Background(), level, "the journal of the last run was taken up", "rows", r.Entries, "missing", r.Missing, "skipped_bytes", r.Skipped, "unread_segments", r.Unread)
	}
}

// retain removes from the record what is kept no longer.
func (a *App) retain(ctx context.Context) error { return a.store.Retain(ctx, retention(a.cfg)) }

func retention(cfg *config.Config) store.Retention { return store.Retention(cfg.Retention) }

// endForeign ends incidents of providers that are no longer set up: nothing
// would ever tell that they are well.
func (a *App) endForeign(ctx context.Context) error {
	incidents, err := a.store.OpenIncidents(ctx)
	if err != nil {
		return fmt.Errorf("read the open incidents: %w", err)
	}
	now := time.Now().UTC()
	for _, in := range incidents {
		if in.Subject == "" || slices.Contains(usable(a.cfg), in.Subject) {
			continue
		}
		was := in.State
		in.State, in.Ended = record.Resolved, now
		if was == record.Pending {
			in.State = record.Dropped
		}
		in.Timeline = append(in.Timeline, record.Event{At: now, Kind: "resolved", Text: in.Subject.Title() + " is no longer set up."})
		if err := a.store.SaveIncident(ctx, &in, nil); err != nil {
			return fmt.Errorf("end an incident: %w", err)
		}
	}
	return nil
}

// restore takes up what was before a restart.
func (a *App) restore(ctx context.Context) error {
	now := time.Now().UTC()
	if err := a.monitor.Restore(ctx, now); err != nil {
		return err
	}
	standing, err := a.store.Holds(ctx, now)
	if err != nil {
		return fmt.Errorf("read the holds: %w", err)
	}
	for _, h := range standing { // whoever placed it is gone with its evidence
		h.Ended, h.Ending = now, "Breakwater was restarted: the next requests will tell"
		a.store.RecordHold(h)
	}
	return nil
}

// Close releases what New opened. Run does so itself.
func (a *App) Close() error {
	for _, u := range a.upstreams {
		u.client.Close()
	}
	if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return errors.Join(err, a.store.Close())
	}
	return a.store.Close()
}
