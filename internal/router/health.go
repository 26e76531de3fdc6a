package router

import (
	"context"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// LocalPingTimeout bounds a look at the local server: it is on the same
// machine or next to it, and answers its version at once or not at all.
const LocalPingTimeout = 2 * time.Second

// Health says how all providers are.
type Health struct {
	Status    string                          `json:"status"` // "ok", "degraded" (a configured provider is not available) or "down" (none is)
	Providers map[llm.Provider]ProviderHealth `json:"providers"`
}

// ProviderHealth says how one provider is.
type ProviderHealth struct {
	State     string     `json:"state"`      // a breaker's state (the worst of the provider's targets), "held", or "off" when not configured
	Available bool       `json:"available"`  // a request would be sent to it now
	LatencyMS *float64   `json:"latency_ms"` // median of the last minutes; null without data
	ErrorRate *float64   `json:"error_rate"` // share of attempts of the last minutes that failed by its fault; null without data
	LastError *string    `json:"last_error"`
	NextProbe *time.Time `json:"next_probe"` // when an open breaker admits its probe
}

// HealthCheck gives every provider's health from what is known already; it
// sends nothing to a provider.
func (r *HybridRouter) HealthCheck(context.Context) Health {
	h := Health{Status: "ok", Providers: make(map[llm.Provider]ProviderHealth)}
	configured, available := 0, 0
	for _, p := range llm.Providers() {
		ph := r.providerHealth(p)
		h.Providers[p] = ph
		if ph.State != "off" {
			configured++
		}
		if ph.Available {
			available++
		}
	}
	switch {
	case available == 0:
		h.Status = "down"
	case available < configured:
		h.Status = "degraded"
	}
	return h
}

func (r *HybridRouter) providerHealth(p llm.Provider) ProviderHealth {
	h := ProviderHealth{State: "off"}
	for _, e := range r.endpoints[p] {
		if e.Unusable != "" {
			h.LastError = pointer(e.Detail, e.Detail != "")
			continue
		}
		if h.State == "off" {
			h.State = string(record.Closed)
		}
		t := e.target("")
		_, held := r.holds.on(t, time.Now())
		if held {
			h.State = "held"
		}
		last := e.lastContact()
		if r.breaker(t).state() != record.Open && !held && last.err == "" {
			h.Available = true
		}
		h.LastError = pointer(last.err, last.err != "")
	}
	if h.State == "off" {
		return h
	}
	if worst, probe := r.worst(p); worst != record.Closed {
		h.State = string(worst)
		h.NextProbe = pointer(probe, !probe.IsZero())
	}
	figures := r.observer.Recent(p)
	h.LatencyMS = pointer(float64(figures.Latency.Microseconds())/1000, figures.Latency > 0)
	h.ErrorRate = pointer(figures.ErrorRate, figures.Attempts > 0)
	if h.LastError == nil {
		h.LastError = pointer(figures.LastError, figures.LastError != "")
	}
	return h
}

// worst gives the worst state of a provider's breakers and when the next probe is due.
func (r *HybridRouter) worst(p llm.Provider) (record.State, time.Time) {
	state, probe := record.Closed, time.Time{}
	for _, b := range r.Breakers() {
		if b.Target.Provider != p || b.State == record.Closed {
			continue
		}
		if state != record.Open {
			state = b.State
		}
		if !b.NextProbe.IsZero() && (probe.IsZero() || b.NextProbe.Before(probe)) {
			probe = b.NextProbe
		}
	}
	return state, probe
}

func pointer[T any](v T, known bool) *T {
	if !known {
		return nil
	}
	return &v
}

// LocalStatus says what the local server offers.
type LocalStatus struct {
	Available bool     `json:"available"`
	Version   string   `json:"version"`
	Models    []string `json:"models"`
}

// Local asks the local server itself.
func (r *HybridRouter) Local(ctx context.Context) LocalStatus {
	s := LocalStatus{Models: []string{}}
	for _, e := range r.endpoints[llm.Local] {
		if e.Unusable != "" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, LocalPingTimeout)
		status, err := e.Upstream.Ping(ctx)
		cancel()
		if err != nil {
			continue
		}
		s.Available = true
		s.Version = status.Version
		s.Models = append(s.Models, status.Models...)
	}
	return s
}

// IsLocalAvailable says whether a local server answers now.
func (r *HybridRouter) IsLocalAvailable(ctx context.Context) bool { return r.Local(ctx).Available }

// Pinged tells the router what a ping of an endpoint found: its models, or
// what went wrong.
func (r *HybridRouter) Pinged(p llm.Provider, endpoint string, status provider.Status, err error) {
	for _, e := range r.endpoints[p] {
		if e.Name != endpoint {
			continue
		}
		if err != nil {
			e.heard(pingTrouble(err))
			continue
		}
		e.heard("")
		e.mu.Lock()
		e.discovered, e.details = status.Models, status.Details
		e.mu.Unlock()
		r.learnt.Add(1)
	}
}

// pingTrouble says what a failed ping means; "" where the provider answered
// all the same, as one that has no list of models.
func pingTrouble(err error) string {
	f, ok := llm.AsFailure(err)
	switch {
	case !ok:
		return "does not answer"
	case !provider.Answered(f):
		return brief(f)
	}
	return ""
}

// Model is a model that callers may ask for.
type Model struct {
	ID       string
	Provider llm.Provider
	Detail   provider.Detail // what the provider's list tells of it
}

// Models lists what callers may ask for: "auto" and the providers' words, aliases
// and routes, then each usable provider's configured and discovered models.
func (r *HybridRouter) Models() []Model {
	models := []Model{{ID: "auto"}}
	for _, name := range sortedKeys(r.aliases) {
		models = append(models, Model{ID: name})
	}
	for _, name := range sortedKeys(r.routes) {
		models = append(models, Model{ID: name})
	}
	for _, p := range llm.Providers() {
		models = append(models, r.modelsOf(p)...)
	}
	return models
}

func (r *HybridRouter) modelsOf(p llm.Provider) []Model {
	var models []Model
	seen := map[string]bool{}
	for _, e := range r.endpoints[p] {
		if e.Unusable != "" {
			continue
		}
		e.mu.Lock()
		names := append([]string{string(p), e.DefaultModel}, e.Models...)
		names = append(names, e.discovered...)
		details := e.details
		e.mu.Unlock()
		detail := func(name string) provider.Detail {
			if name == string(p) { // the provider's word means its default model
				name = e.DefaultModel
			}
			if d, ok := details[name]; ok {
				return d
			}
			return details[name+":latest"] // as Ollama itself reads a name
		}
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				models = append(models, Model{ID: name, Provider: p, Detail: detail(name)})
			}
		}
	}
	return models
}
