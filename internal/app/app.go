// Package app builds everything from a configuration, wires who listens to
// whom, runs it, and stops it in reverse.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"breakwater/internal/alerts"
	"breakwater/internal/anomaly"
	"breakwater/internal/api"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/price"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/store"
	"breakwater/web"
)

// headerPatience bounds how long a caller may take to send a request's headers.
const headerPatience = 30 * time.Second

const (
	// idlePatience ends connections that nobody uses; clients and proxies keep
	// theirs for a minute or two.
	idlePatience = 2 * time.Minute
	// cutPatience lets the handlers of requests that were cut write down what
	// happened.
	cutPatience = 2 * time.Second
	// storeLook is how often the store is asked whether it can write.
	storeLook = time.Second
)

// Options are what only some ways of running need; the zero value serves.
type Options struct {
	Version       string
	Log           *slog.Logger
	ProbeInterval time.Duration // default monitor.DefaultProbeInterval
	// Anomaly changes the detector's settings after the configuration set them.
	Anomaly func(*anomaly.WatcherConfig)
	// SimulatedUntil is where history that a demo seeded ends.
	SimulatedUntil time.Time
	// Seed fills the store before anything reads it.
	Seed func(context.Context, *store.Store) error
}

// App is a whole Breakwater.
type App struct {
	cfg      *config.Config
	opts     Options
	log      *slog.Logger
	listener net.Listener
	server   *http.Server
	stopping atomic.Bool
	handlers sync.WaitGroup // requests under way

	store     *store.Store
	router    *router.HybridRouter
	monitor   *monitor.Monitor
	watcher   *anomaly.Watcher // nil where detection is off
	alerts    *alerts.Manager
	prober    *monitor.Prober
	page      *web.Server
	status    *status
	changes   *changes
	impacts   *impacts
	upstreams []*upstream
	ids       *record.IDs
}

// New opens the store, listens, and builds the rest. It must be run, or closed.
func New(ctx context.Context, cfg *config.Config, opts Options) (*App, error) {
	a := &App{cfg: cfg, opts: opts, log: opts.Log, changes: newChanges(), impacts: newImpacts()}
	if a.log == nil {
		a.log = slog.Default()
	}
	var err error
	if a.store, err = store.Open(ctx, store.Options{Path: cfg.DB, Queue: cfg.Queue}); err != nil {
		return nil, err
	}
	if a.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), a.store.Close())
	}
	if err := a.build(ctx); err != nil {
		return nil, errors.Join(err, a.listener.Close(), a.store.Close())
	}
	return a, nil
}

func (a *App) build(ctx context.Context) error {
	last, err := a.store.LastID(ctx)
	if err != nil {
		return fmt.Errorf("read the last id: %w", err)
	}
	a.ids = record.NewIDs(a.cfg.Instance, last)
	hop := rand.Text()
	if a.upstreams, err = newUpstreams(a.cfg, hop); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.monitor = monitor.New(monitor.Config{Store: a.store, Registry: registry, Version: a.opts.Version, Providers: usable(a.cfg), Log: a.log})
	prices := price.Default()
	a.router, err = router.New(router.Config{
		Endpoints: endpoints(a.upstreams), Chain: a.cfg.Chain, Aliases: a.cfg.Aliases, Routes: routes(a.cfg),
		FailureThreshold: a.cfg.Breaker.FailureThreshold, RecoveryTimeout: a.cfg.Breaker.RecoveryTimeout,
		CanaryInterval: a.cfg.Anomaly.Canary, Recorder: a.monitor, Observer: a.monitor, IDs: a.ids, Log: a.log,
		Price: func(t llm.Target, u llm.Usage) (record.NanoUSD, bool) {
			cost, known := prices.Cost(t, u)
			if !known && u != (llm.Usage{}) {
				a.monitor.Unpriced(t.Provider)
			}
			return cost, known
		},
	})
	if err != nil {
		return fmt.Errorf("routing: %w", err)
	}
	a.detect()
	a.alerts = alerts.NewManager(alerts.Config{
		Store: a.store, Channels: channels(a.cfg), NextID: a.ids.Next, PublicURL: a.publicURL(), Log: a.log,
		Impact: a.impacts.between, Changed: func() { a.changed(web.PartIncidents, web.PartVerdict, web.PartNow, web.PartProviders) },
	})
	a.prober = &monitor.Prober{Probes: probes(a.upstreams), Interval: a.opts.ProbeInterval, Found: a.pinged, Monitor: a.monitor}
	a.monitor.Listen(a.heard)
	return a.buildServer(hop, registry)
}

// detect sets up the anomaly detector, which places holds through the router.
func (a *App) detect() {
	if !a.cfg.Anomaly.Enabled {
		return
	}
	wc := anomaly.WatcherConfig{Hold: a.cfg.Anomaly.Hold}
	wc.Detector.MinSamples = a.cfg.Anomaly.MinSamples
	if a.opts.Anomaly != nil {
		a.opts.Anomaly(&wc)
	}
	a.watcher = anomaly.NewWatcher(wc, a.router, a.ids.Next, a.detected)
}

func (a *App) buildServer(hop string, registry *prometheus.Registry) error {
	a.status = &status{
		router: a.router, monitor: a.monitor, store: a.store, order: chain(a.cfg), budgets: budgets(a.cfg),
		models: defaultModels(a.cfg), missing: missing(a.cfg), started: time.Now().UTC(), simulated: a.opts.SimulatedUntil,
	}
	var err error
	a.page, err = web.New(web.Options{
		Source: a.status, Changes: a.changes, Version: a.opts.Version, NeedKey: a.cfg.APIKey.Set(), Log: a.log,
	})
	if err != nil {
		return err
	}
	server := api.New(api.Options{
		Router: a.router, Key: a.cfg.APIKey.Reveal(), KeyName: "default", BodyLimit: a.cfg.BodyBytes, Hop: hop,
		Hosts:   hosts(a.cfg),
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		Ready:   a.ready, Log: a.log,
	})
	engine, guarded := server.Engine()
	a.page.Register(guarded)
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.handlers.Add(1)
		defer a.handlers.Done()
		engine.ServeHTTP(w, r)
	})
	a.server = &http.Server{Handler: counted, ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	return nil
}

// Addr is the address that Breakwater listens on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// URL is where the page is, seen from this machine.
func (a *App) URL() string {
	host, port, _ := net.SplitHostPort(a.Addr())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// publicURL is the page's address in messages.
func (a *App) publicURL() string {
	if a.cfg.PublicURL != "" {
		return a.cfg.PublicURL
	}
	return a.URL()
}

// Router is the routing engine, for use from Go.
func (a *App) Router() *router.HybridRouter { return a.router }

func (a *App) ready() error {
	if a.stopping.Load() {
		return errors.New("stopping")
	}
	if h := a.router.HealthCheck(context.Background()); h.Status == "down" {
		return errors.New("no provider is available")
	}
	return nil
}

// Run serves until ctx ends or a worker fails. It then takes no new request,
// lets every accepted one end, however long it takes, and stops the rest from
// the callers inwards, so that everything that happened is written. Ending
// hurry ends the waiting.
func (a *App) Run(ctx, hurry context.Context) error {
	if err := a.restore(ctx); err != nil {
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
	err := a.prepare(ctx)
	if err == nil {
		start(a.alerts.Run)
		start(func(ctx context.Context) error { return a.monitor.Run(ctx, a.router) })
		outer := []func(context.Context) error{a.changes.Run, a.prober.Run, a.watchStore}
		if a.watcher != nil {
			outer = append(outer, a.watcher.Run)
		}
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

// prepare does what needs a running store and must be done before all else.
func (a *App) prepare(ctx context.Context) error {
	if a.opts.Seed != nil {
		if err := a.opts.Seed(ctx, a.store); err != nil {
			return fmt.Errorf("seed the store: %w", err)
		}
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
		ended := make(chan struct{})
		go func() { a.handlers.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(cutPatience):
		}
	}
	return err
}

// watchStore tells when the record cannot be written, and when it can again.
func (a *App) watchStore(ctx context.Context) error {
	tick := time.NewTicker(storeLook)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		stats := a.store.Stats()
		if stats.Failing == failing {
			continue
		}
		failing = stats.Failing
		if failing {
			a.log.Error("the record cannot be written; requests are served and rows wait in memory", "error", stats.LastError, "waiting", stats.Queued)
		} else {
			a.log.Info("the record is written again", "lost", stats.Dropped)
		}
		a.changed(web.PartVerdict, web.PartNow)
	}
}

// endForeign ends incidents of providers that are no longer set up: nothing
// would ever tell that they are well.
func (a *App) endForeign(ctx context.Context) error {
	incidents, err := a.store.OpenIncidents(ctx)
	if err != nil {
		return fmt.Errorf("read the open incidents: %w", err)
	}
	now := time.Now().UTC()
	for _, in := range incidents {
		if slices.Contains(usable(a.cfg), in.Subject) {
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

func hosts(cfg *config.Config) api.Hosts {
	host, _, _ := net.SplitHostPort(cfg.Listen)
	h := api.Hosts{Listen: host, Allowed: cfg.AllowedHosts, Origins: cfg.AllowedOrigins}
	if u, err := url.Parse(cfg.PublicURL); err == nil {
		h.Public = u.Hostname()
	}
	return h
}

// changed has the page look anew at parts.
func (a *App) changed(parts ...web.Part) {
	a.status.stale()
	a.changes.mark(parts...)
}

// pinged hears what a probe found.
func (a *App) pinged(p llm.Provider, endpoint string, status provider.Status, err error) {
	before, known := a.router.Contact(p)
	a.router.Pinged(p, endpoint, status, err)
	after, _ := a.router.Contact(p)
	if !known || before != after {
		a.changed(web.PartVerdict, web.PartProviders)
		if err != nil {
			a.log.Warn("provider does not answer", "provider", string(p), "endpoint", endpoint, "error", err)
		}
	}
}
