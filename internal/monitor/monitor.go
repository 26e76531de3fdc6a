// Package monitor remembers the last minutes in memory. Whatever the router
// records passes through it, to the store, the metrics, and whoever listens:
// the anomaly detector, the incidents, the live page.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/store"
)

const (
	// EventQueue holds the events of a burst while a listener is busy.
	EventQueue = 8192
	// PollInterval is how often breakers are asked for their state, because an open one
	// moves to half-open only when it is asked.
	PollInterval = time.Second
	// RecentMinutes is the span that "now" means, on the page and in /v1/health.
	RecentMinutes = 15
)

// Event is one thing that happened; exactly one field is set.
type Event struct {
	Trace      *record.Trace
	Failed     *record.Trace // with its first attempt alone, which has just failed
	Transition *record.Transition
	Hold       *record.Hold
	Key        *record.KeyChange
}

// Breakers tells the state of every breaker.
type Breakers interface {
	Breakers() []router.BreakerState
}

// Config is what a Monitor is made of.
type Config struct {
	Store     *store.Store
	Registry  prometheus.Registerer
	Version   string
	Providers []llm.Provider // those in use
	Log       *slog.Logger
	Flow      Flow
	Readings  Readings
}

// Monitor takes what the router records. It is the router's Recorder and Observer.
type Monitor struct {
	store     *store.Store
	metrics   *metrics
	providers []llm.Provider
	log       *slog.Logger
	callers   *window
	windows   map[llm.Provider]*window
	contacts  contacts
	events    chan Event
	listeners []func(Event)

	// Of the goroutine in Run alone.
	held     map[llm.Target]bool
	lastPoll time.Time
}

// New makes a Monitor.
func New(c Config) *Monitor {
	m := &Monitor{
		store: c.Store, metrics: newMetrics(c.Registry), providers: c.Providers, log: c.Log,
		callers: &window{}, windows: make(map[llm.Provider]*window),
		events: make(chan Event, EventQueue), held: make(map[llm.Target]bool),
	}
	for _, p := range llm.Providers() {
		m.windows[p] = &window{}
	}
	c.Registry.MustRegister(newFlow(c.Flow), newReadings(c.Readings))
	registerStore(c.Registry, c.Store, c.Version)
	return m
}

// Listen has f called with every event, in order, from one goroutine. It must
// be called before Run.
func (m *Monitor) Listen(f func(Event)) { m.listeners = append(m.listeners, f) }

// Restore fills the windows with what the store holds of the last hour.
func (m *Monitor) Restore(ctx context.Context, now time.Time) error {
	rollups, err := m.store.Rollups(ctx, store.Minute, now.Add(-Minutes*time.Minute), now.Add(time.Minute))
	if err != nil {
		return fmt.Errorf("read the last hour: %w", err)
	}
	for _, r := range rollups {
		if r.Simulated {
			continue
		}
		if r.Callers {
			m.callers.fill(r)
		} else if w := m.windows[r.Target.Provider]; w != nil {
			w.fill(r)
		}
	}
	return nil
}

// Trace takes a finished request. It never blocks.
func (m *Monitor) Trace(t *record.Trace) {
	m.store.Record(t) // what finds no room is counted by the store
	m.metrics.request(t)
	m.callers.note(t.Ended(), callersClass(t.Outcome), "", t.Took)
	for i, a := range t.Attempts {
		trouble := ""
		if a.Class != "" {
			trouble = describe(a)
		}
		ended := t.AttemptEnded(i)
		m.windows[a.Target.Provider].note(ended, a.Class, trouble, a.Took)
		m.contacts.note(a, ended)
	}
	m.tell(Event{Trace: t})
}

// Failed takes a request whose first attempt has just failed. It never blocks.
func (m *Monitor) Failed(t *record.Trace) { m.tell(Event{Failed: t}) }

// callersClass says what an outcome means to callers in the terms of attempts:
// served, a failure, or neither.
func callersClass(o record.Outcome) llm.FailureClass {
	switch o {
	case record.Served:
		return ""
	case record.Failed:
		return llm.Server
	}
	return llm.Cancelled
}

// describe says what went wrong with an attempt.
func describe(a record.Attempt) string {
	s := a.Class.Words()
	if a.Status != 0 {
		s += fmt.Sprintf(", HTTP %d", a.Status)
	}
	if a.Message != "" {
		s += ": " + a.Message
	}
	return s
}

// Transition takes a breaker's change. It never blocks: the breaker's mutex is held.
func (m *Monitor) Transition(t record.Transition) {
	m.store.RecordTransition(t)
	m.metrics.transitions.WithLabelValues(string(t.Target.Provider), string(t.From), string(t.To)).Inc()
	m.tell(Event{Transition: &t})
}

// Hold takes a hold that was placed, extended or ended. It never blocks.
func (m *Monitor) Hold(h record.Hold) {
	m.store.RecordHold(h)
	m.tell(Event{Hold: &h})
}

// Key takes a change of a provider's key. It never blocks.
func (m *Monitor) Key(k record.KeyChange) {
	m.store.RecordKey(k)
	m.tell(Event{Key: &k})
}

func (m *Monitor) tell(e Event) {
	select {
	case m.events <- e:
	default:
		m.metrics.events.Inc()
	}
}

// Unpriced counts an attempt whose cost is unknown.
func (m *Monitor) Unpriced(p llm.Provider) { m.metrics.unpriced.WithLabelValues(string(p)).Inc() }

// Run hands events on until ctx ends, and then what is left of them. It asks
// the breakers for their state each second.
func (m *Monitor) Run(ctx context.Context, breakers Breakers) error {
	tick := time.NewTicker(PollInterval)
	defer tick.Stop()
	m.lastPoll = time.Now()
	m.poll(breakers)
	for {
		select {
		case e := <-m.events:
			m.handle(e)
		case <-tick.C:
			m.poll(breakers)
		case <-ctx.Done():
			for {
				select {
				case e := <-m.events:
					m.handle(e)
				default:
					return nil
				}
			}
		}
	}
}

func (m *Monitor) handle(e Event) {
	switch {
	case e.Transition != nil:
		t := e.Transition
		m.log.Warn("breaker "+string(t.To), "target", t.Target.String(), "from", string(t.From), "reason", t.Reason)
	case e.Hold != nil:
		m.countHold(*e.Hold)
	case e.Key != nil:
		m.logKey(*e.Key)
	}
	for _, listen := range m.listeners {
		listen(e)
	}
}

// logKey tells of a key without its secret. One that cools down does so many
// times a day.
func (m *Monitor) logKey(k record.KeyChange) {
	level := slog.LevelInfo
	if k.To == record.KeyRevoked || k.To == record.KeyExhausted {
		level = slog.LevelWarn
	}
	args := []any{"provider", string(k.Provider), "endpoint", k.Endpoint, "key", record.KeyLabel(k.Key, k.Last4), "from", string(k.From), "reason", k.Reason}
	if k.Model != "" {
		args = append(args, "model", k.Model)
	}
	if !k.Until.IsZero() {
		args = append(args, "until", k.Until)
	}
	m.log.Log(context.Background(), level, "key "+string(k.To), args...)
}

func (m *Monitor) countHold(h record.Hold) {
	provider := string(h.Target.Provider)
	switch standing := h.Ended.IsZero(); {
	case standing && m.held[h.Target]:
		m.log.Info("hold extended", "target", h.Target.String(), "expires", h.Expires)
	case standing:
		m.held[h.Target] = true
		m.metrics.holds.WithLabelValues(provider).Inc()
		m.log.Warn("hold placed", "target", h.Target.String(), "source", string(h.Source), "reason", h.Reason, "expires", h.Expires)
	case m.held[h.Target]:
		delete(m.held, h.Target)
		m.metrics.holds.WithLabelValues(provider).Dec()
		m.log.Info("hold ended", "target", h.Target.String(), "reason", h.Ending)
	}
}

// poll shows each provider's worst breaker.
func (m *Monitor) poll(breakers Breakers) {
	now := time.Now()
	since := now.Sub(m.lastPoll)
	m.lastPoll = now
	worst := make(map[llm.Provider]record.State)
	for _, b := range breakers.Breakers() {
		if s := worst[b.Target.Provider]; s != record.Open && b.State != record.Closed {
			worst[b.Target.Provider] = b.State
		}
	}
	for _, p := range m.providers {
		state := worst[p]
		if state == "" {
			state = record.Closed
		}
		m.metrics.state(p, state, since)
	}
}

// Recent gives a provider's last minutes.
func (m *Monitor) Recent(p llm.Provider) router.Figures {
	w := m.windows[p]
	sum := Sum(w.last(RecentMinutes, time.Now()))
	f := router.Figures{Attempts: int(sum.Served + sum.Failed), LastError: w.trouble()}
	if f.Attempts > 0 {
		f.ErrorRate = float64(sum.Failed) / float64(f.Attempts)
	}
	if sum.Served > 0 {
		f.Latency = sum.Latency.Quantile(0.5)
	}
	return f
}

// Last gives the minutes of a provider's last n that had traffic, oldest
// first; n is at most Minutes.
func (m *Monitor) Last(p llm.Provider, n int) []Minute { return m.windows[p].last(n, time.Now()) }

// LastOfCallers gives the same of whole requests.
func (m *Monitor) LastOfCallers(n int) []Minute { return m.callers.last(n, time.Now()) }
