package monitor

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// latencyBuckets reach from a cached answer to a long reasoning one, in seconds.
func latencyBuckets() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600}
}

// metrics are what /metrics shows of the router's work. Every label has a
// bounded set of values: models, callers and messages are in the record, not here.
// Keys are those of the configuration.
type metrics struct {
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	ttft        prometheus.Histogram
	attempts    *prometheus.CounterVec
	attemptTook *prometheus.HistogramVec
	attemptTTFT *prometheus.HistogramVec
	tokens      *prometheus.CounterVec
	cost        *prometheus.CounterVec
	unpriced    *prometheus.CounterVec
	breaker     *prometheus.GaugeVec
	transitions *prometheus.CounterVec
	inState     *prometheus.CounterVec
	holds       *prometheus.GaugeVec
	up          *prometheus.GaugeVec
	probeCost   *prometheus.CounterVec
	events      prometheus.Counter
	hedges      *prometheus.CounterVec
	looping     *prometheus.CounterVec
	queued      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: latencyBuckets()}, labels)
		reg.MustRegister(v)
		return v
	}
	return &metrics{
		requests:    counter("breakwater_requests_total", "Client requests by door and by how they ended for the caller.", "door", "outcome"),
		duration:    histogram("breakwater_request_duration_seconds", "Time from accepting a request to the end of its answer.", "outcome"),
		ttft:        histogram("breakwater_request_ttft_seconds", "Time from accepting a request to the first content of its answer.").With(nil).(prometheus.Histogram),
		attempts:    counter("breakwater_attempts_total", "Calls of a provider by result: served, or the class of the failure.", "provider", "result"),
		attemptTook: histogram("breakwater_attempt_duration_seconds", "Time of a call of a provider that served.", "provider"),
		attemptTTFT: histogram("breakwater_attempt_ttft_seconds", "Time from calling a provider to its first content.", "provider"),
		tokens:      counter("breakwater_tokens_total", "Tokens as the providers counted them. Kind cache_read and cache_write are part of input, reasoning is part of output.", "provider", "kind"),
		cost:        counter("breakwater_cost_usd_total", "What the answers cost in US dollars, by the price table.", "provider"),
		unpriced:    counter("breakwater_unpriced_attempts_total", "Calls whose model is not in the price table, so that their cost is unknown.", "provider"),
		breaker:     gauge("breakwater_breaker_state", "1 for the state that a provider's worst breaker is in, 0 for the others.", "provider", "state"),
		transitions: counter("breakwater_breaker_transitions_total", "Transitions of a provider's breakers.", "provider", "from", "to"),
		inState:     counter("breakwater_breaker_state_seconds_total", "Time that a provider's worst breaker has spent in each state.", "provider", "state"),
		holds:       gauge("breakwater_holds", "Targets of a provider that a hold keeps traffic away from.", "provider"),
		up:          gauge("breakwater_provider_up", "1 when an endpoint of the provider answered its last free probe, 0 when none did.", "provider"),
		probeCost:   counter("breakwater_probe_cost_usd_total", "What paid probes cost in US dollars, by the price table; none are sent unless probes.completion is set.", "provider"),
		hedges:      counter("breakwater_hedges_total", "Calls that were sent beside a late one: won served the caller, lost did not.", "result"),
		looping:     counter("breakwater_looping_answers_total", "Answers that went in circles: they ended with the same few words again and again.", "provider"),
		queued:      histogram("breakwater_queue_wait_seconds", "Time that requests waited for their turn; those that did not wait are not counted.").With(nil).(prometheus.Histogram),
		events: func() prometheus.Counter {
			v := counter("breakwater_events_dropped_total", "Events that the monitor could not take in time; they are missing from detection, incidents and the count of holds, not from the record.")
			return v.With(nil)
		}(),
	}
}

// registerStore shows the store's own counters, and the build.
func registerStore(reg prometheus.Registerer, st *store.Store, version string) {
	fn := func(name, help string, value func(store.Stats) float64, counter bool) {
		get := func() float64 { return value(st.Stats()) }
		if counter {
			reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, get))
			return
		}
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, get))
	}
	fn("breakwater_store_queue_length", "Rows that wait to be written to the store.", func(s store.Stats) float64 { return float64(s.Queued) }, false)
	fn("breakwater_store_written_total", "Rows written to the store.", func(s store.Stats) float64 { return float64(s.Written) }, true)
	fn("breakwater_store_dropped_total", "Rows that could not be recorded.", func(s store.Stats) float64 { return float64(s.Dropped) }, true)
	fn("breakwater_store_failing", "1 while rows cannot be written to the store, 0 otherwise.", func(s store.Stats) float64 { return one(s.Failing) }, false)
	fn("breakwater_store_damaged", "1 while some of the store cannot be read since its file is damaged, 0 otherwise.", func(s store.Stats) float64 { return one(s.Damage != "") }, false)
	fn("breakwater_store_journal_failing", "1 while the journal cannot be written, so that a kill loses what waits in memory, 0 otherwise.", func(s store.Stats) float64 { return one(s.JournalFailing) }, false)
	fn("breakwater_store_journal_bytes", "Size of the journal.", func(s store.Stats) float64 { return float64(s.JournalBytes) }, false)
	fn("breakwater_store_late_total", "Requests that ended before their trace was as safe as store.durability says.", func(s store.Stats) float64 { return float64(s.Late) }, true)
	fn("breakwater_store_missing_total", "Rows of the last run that its journal should have had and did not.", func(s store.Stats) float64 { return float64(s.Replay.Missing) }, true)
	fn("breakwater_store_size_bytes", "Size of the database and its write-ahead log.", func(s store.Stats) float64 { return float64(s.SizeBytes) }, false)
	fn("breakwater_store_log_bytes", "Size of the database's write-ahead log.", func(s store.Stats) float64 { return float64(s.LogBytes) }, false)
	fn("breakwater_store_removed_total", "Rows that retention removed.", func(s store.Stats) float64 { return float64(s.Removed) }, true)
	fn("breakwater_store_retention_failing", "1 while old rows cannot be removed from the store, 0 otherwise.", func(s store.Stats) float64 { return one(s.RetentionError != "") }, false)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "breakwater_build_info", Help: "1, with the program's version and Go's."}, []string{"version", "go"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	reg.MustRegister(build)
}

// request counts one trace and its attempts.
func (m *metrics) request(t *record.Trace) {
	m.requests.WithLabelValues(string(t.Door), string(t.Outcome)).Inc()
	m.duration.WithLabelValues(string(t.Outcome)).Observe(t.Took.Seconds())
	if t.TTFT > 0 {
		m.ttft.Observe(t.TTFT.Seconds())
	}
	if t.Queued > 0 {
		m.queued.Observe(t.Queued.Seconds())
	}
	for _, a := range t.Attempts {
		m.attempt(a)
	}
}

func (m *metrics) attempt(a record.Attempt) {
	p, result := string(a.Target.Provider), string(a.Class)
	if a.Class == "" {
		result = "served"
		m.attemptTook.WithLabelValues(p).Observe(a.Took.Seconds())
	}
	m.attempts.WithLabelValues(p, result).Inc()
	if a.TTFT > 0 {
		m.attemptTTFT.WithLabelValues(p).Observe(a.TTFT.Seconds())
	}
	for _, tokens := range [...]struct {
		kind string
		n    int64
	}{
		{"input", a.Usage.Input}, {"cache_read", a.Usage.CacheRead}, {"cache_write", a.Usage.CacheWrite},
		{"output", a.Usage.Output}, {"reasoning", a.Usage.Reasoning},
	} {
		if tokens.n > 0 {
			m.tokens.WithLabelValues(p, tokens.kind).Add(float64(tokens.n))
		}
	}
	if a.Hedge {
		m.hedges.WithLabelValues(hedgeResult(a)).Inc()
	}
	if a.Looping {
		m.looping.WithLabelValues(p).Inc()
	}
	if a.Cost > 0 {
		m.cost.WithLabelValues(p).Add(a.Cost.Dollars())
	}
}

func hedgeResult(a record.Attempt) string {
	if a.Class == "" {
		return "won"
	}
	return "lost"
}

// state shows a provider's worst breaker, and adds the time since the last look.
func (m *metrics) state(p llm.Provider, now record.State, since time.Duration) {
	for _, s := range record.States() {
		value, spent := 0.0, time.Duration(0)
		if s == now {
			value, spent = 1, since
		}
		m.breaker.WithLabelValues(string(p), string(s)).Set(value)
		m.inState.WithLabelValues(string(p), string(s)).Add(spent.Seconds())
	}
}
