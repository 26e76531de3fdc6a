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
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"breakwater/internal/alerts"
	"breakwater/internal/anomaly"
	"breakwater/internal/api"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/price"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/replay"
	"breakwater/internal/router"
	"breakwater/internal/store"
	"breakwater/internal/tokens"
	"breakwater/internal/traffic"
	"breakwater/web"
)

// headerPatience bounds how long a caller may take to send a request's headers.
const headerPatience = 30 * time.Second

// idlePatience ends connections that nobody uses; clients and proxies keep
// theirs for a minute or two.
const idlePatience = 2 * time.Minute

// Options are what only some ways of running need; the zero value serves.
type Options struct {
	Version       string
	Log           *slog.Logger
	ProbeInterval time.Duration // instead of the configuration's probes.interval
	// Anomaly changes the detector's settings after the configuration set them.
	Anomaly func(*anomaly.WatcherConfig)
	// WellFor is how long all must be well until an incident is over; default
	// alerts.DefaultWellFor.
	WellFor time.Duration
	// Reload asks for the keys to be read again, as SIGHUP does; nil for never.
	Reload <-chan os.Signal
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

	store      *store.Store
	router     *router.HybridRouter
	monitor    *monitor.Monitor
	watcher    *anomaly.Watcher // nil where detection is off
	conditions *conditions
	burn       *burn // nil where there is no objective
	pace       *budgetPace
	stuck      *stuck
	alerts     *alerts.Manager
	prober     *monitor.Prober
	page       *web.Server
	status     *status
	changes    *changes
	impacts    *impacts
	upstreams  []*upstream
	flow       *flow
	healths    *healths
	ids        *record.IDs
	api        *api.Server
	gate       *traffic.Gate
	tokens     *tokens.Estimator
}

// New opens the store, listens, and builds the rest. It must be run, or closed.
func New(ctx context.Context, cfg *config.Config, opts Options) (*App, error) {
	a := &App{
		cfg: cfg, opts: opts, log: opts.Log, changes: newChanges(),
		gate: traffic.NewGate(cfg.Gate), tokens: tokens.NewEstimator(tokens.DefaultModels),
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	var err error
	if a.store, err = store.Open(ctx, store.Options{Path: cfg.DB, Queue: cfg.StoreQueue, Durability: store.Durability(cfg.Durability)}); err != nil {
		return nil, err
	}
	a.impacts = newImpacts(usable(cfg), a.store.Traces)
	a.tellReplay(a.store.Stats().Replay)
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
	if a.upstreams, err = newUpstreams(a.cfg, hop, a.keyChanged); err != nil {
		return err
	}
	a.flow = newFlow(a.upstreams, a.cfg, a.gate)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.monitor = monitor.New(monitor.Config{Store: a.store, Registry: registry, Version: a.opts.Version, Providers: usable(a.cfg), Log: a.log, Flow: a.flow.metrics(), Readings: a.readings()})
	if a.router, err = router.New(a.routing()); err != nil {
		return fmt.Errorf("routing: %w", err)
	}
	a.healths = &healths{store: a.store, breakers: a.router, providers: usable(a.cfg), started: time.Now().UTC()}
	a.detect()
	told, routes, err := channels(a.cfg, a.log)
	if err != nil {
		return err
	}
	a.alerts = alerts.NewManager(alerts.Config{
		Store: a.store, Channels: told, Routes: routes, NextID: a.ids.Next, PublicURL: a.publicURL(), Log: a.log,
		Providers: usable(a.cfg), WellFor: a.opts.WellFor,
		Impact: a.impacts.between, Changed: func() { a.changed(web.PartIncidents, web.PartVerdict, web.PartNow, web.PartProviders) },
	})
	a.watchOver()
	a.prober = a.newProber()
	a.monitor.Listen(a.heard)
	return a.buildServer(hop, registry)
}

// routing gives the router's configuration.
func (a *App) routing() router.Config {
	prices := price.Default()
	return router.Config{
		Endpoints: endpoints(a.upstreams), Chain: a.cfg.Chain, Aliases: a.cfg.Aliases, Routes: routes(a.cfg),
		FailureThreshold: a.cfg.Breaker.FailureThreshold, RecoveryTimeout: a.cfg.Breaker.RecoveryTimeout, LastResort: router.LastResort(a.cfg.Breaker.LastResort),
		Retries: router.Retries(a.cfg.Retries), Recovery: router.Recovery(a.cfg.Recovery), NextAfterFilter: a.cfg.FilterFailover,
		CanaryInterval: a.cfg.Anomaly.Canary, Recorder: a.monitor, Observer: a.monitor, IDs: a.ids, Log: a.log,
		Strategy: router.Strategy(a.cfg.Strategy), Affinity: a.cfg.Affinity, HedgeShare: a.cfg.Hedge, Queue: a.flow.queue, Spare: a.gate.Spare,
		Estimate: func(t llm.Target, req *llm.Request) int64 { return a.tokens.Estimate(t.Model, req) },
		Context: func(t llm.Target) int64 {
			m, _ := prices.Lookup(t.Provider, t.Model)
			return m.Context
		},
		Price: func(t llm.Target, u llm.Usage) (record.NanoUSD, bool) {
			cost, known := prices.Cost(t, u)
			if !known && u != (llm.Usage{}) {
				a.monitor.Unpriced(t.Provider)
			}
			return cost, known
		},
	}
}

func (a *App) buildServer(hop string, registry *prometheus.Registry) error {
	a.status = &status{
		healths: a.healths, prober: a.prober, router: a.router, monitor: a.monitor, store: a.store, flow: a.flow, order: chain(a.cfg), budgets: budgets(a.cfg),
		scores: a.scores, models: defaultModels(a.cfg), missing: missing(a.cfg), started: time.Now().UTC(), simulated: a.opts.SimulatedUntil,
	}
	var err error
	a.page, err = web.New(web.Options{
		Source: a.status, Changes: a.changes, Requests: requests{a.store}, Version: a.opts.Version, NeedKey: len(callers(a.cfg)) > 0, Log: a.log,
		Desk: &incidentDesk{store: a.store, alerts: a.alerts, changed: a.changed}, OperatorKey: a.cfg.OperatorKey.Reveal(), PublicURL: a.cfg.PublicURL,
	})
	if err != nil {
		return err
	}
	a.api = api.New(api.Options{
		Router: a.router, Callers: callers(a.cfg), Operator: a.cfg.OperatorKey.Reveal(), Gate: a.gate, BodyLimit: a.cfg.BodyBytes, Hop: hop,
		Replay: replay.Limits{Keep: a.cfg.Idempotency.For, Bytes: a.cfg.Idempotency.Bytes},
		Hosts:  hosts(a.cfg), Keep: api.Keep(a.cfg.Responses), Stored: stored(a.upstreams),
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		Ready:   a.ready, Log: a.log, Tokens: a.tokens, Version: a.opts.Version, Nowhere: a.page.Nowhere,
	})
	engine, guarded := a.api.Engine()
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
