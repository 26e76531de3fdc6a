package monitor

import (
	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// Flow tells how keys, connections, limits and the queue stand. It is asked at
// each look at /metrics and never on the way of a request. A nil function has
// no metrics.
type Flow struct {
	Upstreams func() []Upstream
	Limits    func() map[llm.Provider]traffic.Use // of the providers that have a limit, set or learned
	Queue     func() map[traffic.Priority]int     // requests that wait
	Load      func() float64                      // the share that is taken of what may be under way, 0 to 1
}

// Upstream is one endpoint as it stands.
type Upstream struct {
	Provider llm.Provider
	Endpoint string
	Keys     []provider.KeyUse
	Pool     provider.PoolUse
}

// flow is the collector of what Flow tells.
type flow struct {
	Flow
	*asked
	keyState, keyRequests, keyTokens    show
	connections, opened, reused, shakes show
	allowed, underWay, tokensLeft       show
	waiting, load                       show
}

func newFlow(f Flow) *flow {
	all := &asked{}
	return &flow{
		Flow:        f,
		asked:       all,
		keyState:    all.gauge("breakwater_key_state", "1 for the state that a provider's key is in, 0 for the others.", "provider", "endpoint", "key", "state"),
		keyRequests: all.counter("breakwater_key_requests_total", "Calls of a provider by the key that they were sent with.", "provider", "endpoint", "key"),
		keyTokens:   all.counter("breakwater_key_tokens_total", "Tokens by key, input and output.", "provider", "endpoint", "key"),
		connections: all.gauge("breakwater_pool_connections", "Connections to an endpoint.", "provider", "endpoint", "state"),
		opened:      all.counter("breakwater_pool_opened_total", "Connections made to an endpoint.", "provider", "endpoint"),
		reused:      all.counter("breakwater_pool_reused_total", "Calls that found a connection open.", "provider", "endpoint"),
		shakes:      all.gauge("breakwater_pool_handshake_seconds", "Median time of the last minutes' new connections, TCP and TLS together; 0 without any.", "provider", "endpoint"),
		allowed:     all.gauge("breakwater_limit_requests_per_minute", "Requests a minute that a provider is sent at most now, as set and as learned from it.", "provider"),
		underWay:    all.gauge("breakwater_limit_under_way", "Requests under way at a provider that has a limit.", "provider"),
		tokensLeft:  all.gauge("breakwater_limit_tokens_left", "Tokens that a provider may be sent before its limit is reached.", "provider"),
		waiting:     all.gauge("breakwater_queue_waiting", "Requests that wait for their turn because every candidate is limited.", "priority"),
		load:        all.gauge("breakwater_load_ratio", "Share that is taken of what may be under way in the whole of Breakwater."),
	}
}

// Collect implements prometheus.Collector.
func (f *flow) Collect(to chan<- prometheus.Metric) {
	if f.Upstreams != nil {
		for _, u := range f.Upstreams() {
			p := string(u.Provider)
			for _, k := range byName(u.Keys) {
				for _, s := range record.KeyStates() {
					f.keyState(to, one(s == k.State), p, u.Endpoint, k.Name, string(s))
				}
				f.keyRequests(to, float64(k.Requests), p, u.Endpoint, k.Name)
				f.keyTokens(to, float64(k.Tokens), p, u.Endpoint, k.Name)
			}
			f.connections(to, float64(u.Pool.InUse), p, u.Endpoint, "in_use")
			f.connections(to, float64(u.Pool.Idle), p, u.Endpoint, "idle")
			f.opened(to, float64(u.Pool.Opened), p, u.Endpoint)
			f.reused(to, float64(u.Pool.Reused), p, u.Endpoint)
			f.shakes(to, u.Pool.Handshake.Seconds(), p, u.Endpoint)
		}
	}
	if f.Limits != nil {
		for p, use := range f.Limits() {
			f.underWay(to, float64(use.Under), string(p))
			if use.Allowed > 0 {
				f.allowed(to, use.Allowed, string(p))
			}
			if use.Tokens > 0 || use.TokensLeft > 0 {
				f.tokensLeft(to, use.TokensLeft, string(p))
			}
		}
	}
	if f.Queue != nil {
		waiting := f.Queue()
		for _, p := range traffic.Priorities() {
			f.waiting(to, float64(waiting[p]), p.String())
		}
	}
	if f.Load != nil {
		f.load(to, f.Load())
	}
}

// byName joins keys of the same name: while a rotation lasts the old secret
// stands beside the new one, which comes first.
func byName(keys []provider.KeyUse) []provider.KeyUse {
	var all []provider.KeyUse
	at := make(map[string]int, len(keys))
	for _, k := range keys {
		if i, twice := at[k.Name]; twice {
			all[i].Requests += k.Requests
			all[i].Tokens += k.Tokens
			continue
		}
		at[k.Name] = len(all)
		all = append(all, k)
	}
	return all
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
