package app

import (
	"maps"
	"slices"
	"time"

	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
	"breakwater/web"
)

// flow knows how keys, connections, limits and the queue stand, for the page
// and for /metrics. What is nil is not in use.
type flow struct {
	upstreams []*upstream
	limits    map[llm.Provider]*traffic.Limiter // of whole providers
	queue     *traffic.Queue
	gate      *traffic.Gate
}

func newFlow(upstreams []*upstream, cfg *config.Config, gate *traffic.Gate) *flow {
	f := &flow{upstreams: upstreams, limits: make(map[llm.Provider]*traffic.Limiter), gate: gate}
	for _, u := range upstreams {
		f.limits[u.provider.Name] = u.limit
	}
	if cfg.Queue.Size > 0 {
		f.queue = traffic.NewQueue(cfg.Queue)
	}
	return f
}

// metrics gives what /metrics asks at each look.
func (f *flow) metrics() monitor.Flow {
	return monitor.Flow{
		Upstreams: func() []monitor.Upstream {
			var all []monitor.Upstream
			for _, u := range f.upstreams {
				if u.usable() {
					all = append(all, monitor.Upstream{
						Provider: u.provider.Name, Endpoint: u.endpoint.Name, Keys: u.client.KeyUses(), Pool: u.client.PoolUse(),
					})
				}
			}
			return all
		},
		Limits: f.uses,
		Queue:  func() map[traffic.Priority]int { return f.line().Waiting },
		Load:   func() float64 { return f.line().Load },
	}
}

// line tells who waits, and how full Breakwater is.
func (f *flow) line() web.Line {
	var l web.Line
	if f.queue != nil {
		l.Waiting = f.queue.Waiting()
	}
	if f.gate != nil {
		l.Load = f.gate.Load()
	}
	return l
}

// uses gives how the limits of providers stand that bound something.
func (f *flow) uses() map[llm.Provider]traffic.Use {
	all := make(map[llm.Provider]traffic.Use)
	for p, l := range f.limits {
		if use := l.Use(time.Now()); bounds(use) {
			all[p] = use
		}
	}
	return all
}

// bounds says whether a limiter holds anything back, as set or as learned.
func bounds(u traffic.Use) bool {
	return u.Limits != (traffic.Limits{}) || u.Allowed > 0 || u.TokensLeft > 0
}

// keys gives how the keys of a provider's endpoints stand.
func (f *flow) keys(p llm.Provider) []web.Key {
	var all []web.Key
	for _, u := range f.upstreams {
		if u.provider.Name != p || !u.usable() {
			continue
		}
		for _, k := range u.client.KeyUses() {
			all = append(all, web.Key{
				Endpoint: u.endpoint.Name, Name: k.Name, Last4: k.Last4, State: k.State, Until: k.Until, Reason: k.Reason, Under: k.Under,
			})
		}
	}
	return all
}

// keysOut counts a provider's keys, and those that work.
func (f *flow) keysOut(p llm.Provider) web.KeysOut {
	var out web.KeysOut
	for _, k := range f.keys(p) {
		out.All++
		if k.State == record.KeyCooling {
			out.Cooling++
			if out.Until.IsZero() || k.Until.Before(out.Until) {
				out.Until = k.Until
			}
		}
		if k.State.Works() {
			out.Usable++
		}
	}
	return out
}

// pools gives the connections to a provider's endpoints.
func (f *flow) pools(p llm.Provider) []web.Pool {
	var all []web.Pool
	for _, u := range f.upstreams {
		if u.provider.Name == p && u.usable() {
			use := u.client.PoolUse()
			all = append(all, web.Pool{
				Endpoint: u.endpoint.Name, InUse: use.InUse, Idle: use.Idle, Opened: use.Opened, Reused: use.Reused, Handshake: use.Handshake,
			})
		}
	}
	return all
}

// limitsOf gives the limits of a provider, its keys and its models that bound
// something, the widest first.
func (f *flow) limitsOf(p llm.Provider) []web.Limit {
	var all []web.Limit
	add := func(of, endpoint string, use traffic.Use) {
		if endpoint != "" {
			of += " at " + endpoint
		}
		if bounds(use) {
			all = append(all, web.Limit{Of: of, Use: use})
		}
	}
	add("all of "+p.Title(), "", f.limits[p].Use(time.Now()))
	for _, u := range f.upstreams {
		if u.provider.Name != p || !u.usable() {
			continue
		}
		for _, k := range u.client.KeyUses() {
			add("key "+k.Name, u.endpoint.Name, k.Limits)
		}
		models := u.client.ModelUses()
		for _, model := range slices.Sorted(maps.Keys(models)) {
			add("model "+model, u.endpoint.Name, models[model])
		}
	}
	return all
}
