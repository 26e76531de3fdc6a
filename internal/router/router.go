// Package router plans the candidates of a request in order, tries them, and
// explains itself. Its HybridRouter spans Gemini, Claude, OpenAI and a local
// Ollama server; every target has a circuit breaker of its own, and a failure
// before the first content reaches the caller goes on to the next candidate.
package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// Upstream speaks to one endpoint of one provider.
type Upstream interface {
	// Admit gives leave to send one request, or says why not now. The leave is
	// ended exactly once, with Done or Return.
	Admit(provider.Ask) (*provider.Leave, *provider.Busy)
	// Send starts one attempt. Its error is a *llm.Failure, or the context's
	// when the caller went away.
	Send(context.Context, *provider.Leave, llm.Target, *llm.Request) (*llm.Reply, error)
	// Lacks names what req asks for and this model cannot do here.
	Lacks(model string, req *llm.Request) []string
	// Streams says whether the answer to req comes in pieces.
	Streams(req *llm.Request) bool
	// Ping asks a free endpoint whether the provider answers.
	Ping(context.Context) (provider.Status, error)
}

// Recorder takes what happened. None of its methods may block: they are
// called on the path of a request, and Transition under a breaker's mutex.
type Recorder interface {
	// Trace takes a request that is over.
	Trace(*record.Trace)
	// Failed takes a request whose first attempt has just failed, with that alone:
	// the request may go on for long, and its trace comes at its end.
	Failed(*record.Trace)
	Transition(record.Transition)
	Hold(record.Hold)
}

// Figures are what a provider's last minutes looked like.
type Figures struct {
	Latency   time.Duration // median of answered requests; 0 without data
	ErrorRate float64       // share of attempts that failed by the provider's fault
	Attempts  int
	LastError string // "" where the last attempts went well
}

// Observer knows a provider's last minutes.
type Observer interface {
	Recent(llm.Provider) Figures
}

// Endpoint is one place where a provider is reached.
type Endpoint struct {
	Provider     llm.Provider
	Name         string // "" where the provider has only one
	Upstream     Upstream
	DefaultModel string
	Models       []string // configured ones; a model outside is tried all the same when a caller names it
	// Unusable says why nothing may be sent here, VerdictNoUsableKey or
	// VerdictProviderDisabled; "" for an endpoint in use.
	Unusable record.Verdict
	Detail   string // what to do about Unusable
	Timeouts Timeouts
}

// Route is a rule of the operator's: requests for its models go to its
// targets, in order, instead of the chain.
type Route struct {
	Name    string
	Models  []string // as callers write them
	Targets []string // "provider" or "provider/model"
	// Strategy orders the targets; "" for the router's own.
	Strategy Strategy
	Weights  []int // of Targets, for RoundRobin; missing ones are 1
	Hedge    bool  // ask a second target where the first is late
}

// Config is what a HybridRouter is made of.
type Config struct {
	Endpoints        []Endpoint
	Chain            []llm.Provider    // default llm.Providers()
	Aliases          map[string]string // a caller's word to a model name
	Routes           []Route
	FailureThreshold int           // default DefaultFailureThreshold
	RecoveryTimeout  time.Duration // default DefaultRecoveryTimeout
	CanaryInterval   time.Duration // default DefaultCanaryInterval
	Retries          Retries       // the zero value never asks again
	Recovery         Recovery      // default RecoverError
	Recorder         Recorder
	Observer         Observer
	IDs              *record.IDs
	// Price gives what an answer costs; false where the model's price is unknown.
	Price func(llm.Target, llm.Usage) (record.NanoUSD, bool)
	// Context gives how many tokens a model takes and gives together; 0 where it
	// is unknown. It may be nil.
	Context func(llm.Target) int64
	Log     *slog.Logger
	// Strategy orders candidates where neither the route nor the caller says
	// how; default Failover.
	Strategy Strategy
	// Affinity keeps a conversation where its prompt is cached.
	Affinity bool
	// HedgeShare bounds the hedges, as a share of the requests of routes that
	// hedge; 0 for DefaultHedgeShare.
	HedgeShare float64
	// LastResort says where a target whose breaker is open is tried; default
	// ResortNever.
	LastResort LastResort
	// NextAfterFilter asks the next candidate after a refusal by a provider's policy.
	NextAfterFilter bool
	// Queue holds requests that every candidate is limited for; nil for none: they
	// are refused at once.
	Queue *traffic.Queue
	// Spare says whether there is room for hedges; nil for always.
	Spare func() bool
	// Estimate gives about how many input tokens a request has for a target; nil
	// where nobody knows.
	Estimate func(llm.Target, *llm.Request) int64
}

const (
	// maxBreakers bounds the breakers kept for models that callers name freely.
	maxBreakers = 1024
	// maxModelName bounds what callers may name, in bytes: the longest real
	// names are under 100.
	maxModelName = 256
)

// HybridRouter routes requests between cloud APIs and a local server.
type HybridRouter struct {
	chain     []llm.Provider
	endpoints map[llm.Provider][]*endpoint
	aliases   map[string]string
	routes    map[string]Route
	threshold int
	recovery  time.Duration
	retries   Retries
	onCut     Recovery
	recorder  Recorder
	observer  Observer
	ids       *record.IDs
	price     func(llm.Target, llm.Usage) (record.NanoUSD, bool)
	context   func(llm.Target) int64
	log       *slog.Logger
	holds     *holds
	prompts   maphash.Seed // of Trace.Prompt
	endings   sync.Pool    // of *ending: a few KB that an answer needs while it comes
	hedges    *hedges
	spare     func() bool
	queue     *traffic.Queue
	suspects  suspects
	*ordering

	lastResort      LastResort
	nextAfterFilter bool

	// breakers is replaced, never changed, since each request looks into it and few
	// add to it; mu is for those who do.
	mu       sync.Mutex
	breakers atomic.Pointer[map[llm.Target]*breaker]
}

// endpoint is an Endpoint and what was learnt of it.
type endpoint struct {
	Endpoint
	mu         sync.Mutex
	discovered []string                   // models, as of the last ping that answered
	details    map[string]provider.Detail // of those
	contact    contact
}

// contact is the last that was heard of an endpoint: a ping, or an attempt that
// served. Attempts that fail are the breaker's business.
type contact struct {
	at  time.Time // zero before the first
	err string    // "" when it answered
}

// New makes a router. It needs at least one endpoint, and every provider of
// the chain must have one.
func New(c Config) (*HybridRouter, error) {
	r := &HybridRouter{
		chain:     c.Chain,
		endpoints: make(map[llm.Provider][]*endpoint),
		aliases:   c.Aliases,
		routes:    make(map[string]Route),
		threshold: c.FailureThreshold,
		recovery:  c.RecoveryTimeout,
		retries:   c.Retries,
		onCut:     c.Recovery,
		recorder:  c.Recorder,
		observer:  c.Observer,
		ids:       c.IDs,
		price:     c.Price,
		context:   c.Context,
		log:       c.Log,
		hedges:    newHedges(cmp.Or(c.HedgeShare, DefaultHedgeShare)),
		spare:     c.Spare,
		queue:     c.Queue,
		suspects:  suspects{at: map[string]time.Time{}},
		ordering:  newOrdering(c),

		lastResort: cmp.Or(c.LastResort, ResortNever), nextAfterFilter: c.NextAfterFilter,
	}
	r.endings.New = func() any { return new(ending) }
	r.breakers.Store(&map[llm.Target]*breaker{})
	if len(r.chain) == 0 {
		r.chain = llm.Providers()
	}
	if r.threshold == 0 {
		r.threshold = DefaultFailureThreshold
	}
	if r.recovery == 0 {
		r.recovery = DefaultRecoveryTimeout
	}
	if r.context == nil {
		r.context = func(llm.Target) int64 { return 0 }
	}
	interval := c.CanaryInterval
	if interval == 0 {
		interval = DefaultCanaryInterval
	}
	r.holds, r.prompts = newHolds(interval), maphash.MakeSeed()
	for _, e := range c.Endpoints {
		r.endpoints[e.Provider] = append(r.endpoints[e.Provider], &endpoint{Endpoint: e})
	}
	errs := c.wrong()
	for _, p := range r.chain {
		if len(r.endpoints[p]) == 0 {
			errs = append(errs, fmt.Errorf("the chain names %s, which has no endpoint", p))
		}
	}
	for _, route := range c.Routes {
		for _, model := range route.Models {
			r.routes[model] = route
		}
		for _, target := range route.Targets {
			if _, ok := r.resolve(target); !ok {
				errs = append(errs, fmt.Errorf("route %q: no provider serves %q", route.Name, target))
			}
		}
	}
	return r, errors.Join(errs...)
}

// wrong lists the settings that mean nothing.
func (c Config) wrong() []error {
	var errs []error
	switch c.Recovery {
	case "", RecoverContinue, RecoverBuffer, RecoverError:
	default:
		errs = append(errs, fmt.Errorf("recovery %q is none of %s, %s, %s", c.Recovery, RecoverContinue, RecoverBuffer, RecoverError))
	}
	if c.LastResort != "" && !slices.Contains(LastResorts(), c.LastResort) {
		errs = append(errs, fmt.Errorf("last resort %q is none of %v", c.LastResort, LastResorts()))
	}
	if _, err := ParseStrategy(string(c.Strategy)); err != nil {
		errs = append(errs, err)
	}
	if c.HedgeShare < 0 || c.HedgeShare > 1 {
		errs = append(errs, fmt.Errorf("the share of hedges is from 0 to 1, not %v", c.HedgeShare))
	}
	for _, route := range c.Routes {
		if _, err := ParseStrategy(string(route.Strategy)); err != nil {
			errs = append(errs, fmt.Errorf("route %q: %w", route.Name, err))
		}
	}
	return errs
}

// has says whether the endpoint is known to serve a model.
func (e *endpoint) has(model string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return model == e.DefaultModel || slices.Contains(e.Models, model) || slices.Contains(e.discovered, model) ||
		e.Provider == llm.Local && slices.Contains(e.discovered, model+":latest") // as Ollama itself reads a name
}

func (e *endpoint) heard(err string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.contact = contact{at: time.Now(), err: err}
}

func (e *endpoint) lastContact() contact {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.contact
}

func (e *endpoint) target(model string) llm.Target {
	if model == "" {
		model = e.DefaultModel
	}
	return llm.Target{Provider: e.Provider, Endpoint: e.Name, Model: model}
}

// seen gives the breaker of a target; nil where it was never asked.
func (r *HybridRouter) seen(target llm.Target) *breaker { return (*r.breakers.Load())[target] }

// breaker gives the breaker of a target, a closed one at first sight.
func (r *HybridRouter) breaker(target llm.Target) *breaker {
	if b := r.seen(target); b != nil {
		return b
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := *r.breakers.Load()
	if b := known[target]; b != nil {
		return b
	}
	all := maps.Clone(known)
	if len(all) >= maxBreakers {
		r.forgetOne(all)
	}
	b := newBreaker(target, r.threshold, r.recovery, r.changed)
	all[target] = b
	r.breakers.Store(&all)
	return b
}

// forgetOne makes room by dropping the breaker that was not asked for the
// longest time, but never one whose permit is out or that of a default model.
func (r *HybridRouter) forgetOne(all map[llm.Target]*breaker) {
	var oldest *breaker
	for _, b := range all {
		if b.busy.Load() == 0 && (oldest == nil || b.used.Load() < oldest.used.Load()) && !r.isDefault(b.target) {
			oldest = b
		}
	}
	if oldest != nil {
		delete(all, oldest.target)
	}
}

func (r *HybridRouter) isDefault(t llm.Target) bool {
	return slices.ContainsFunc(r.endpoints[t.Provider], func(e *endpoint) bool { return e.target("") == t })
}

func (r *HybridRouter) changed(t record.Transition) {
	t.ID = r.ids.Next(t.At)
	r.recorder.Transition(t)
}

// BreakerState is one breaker as it stands.
type BreakerState struct {
	Target    llm.Target
	State     record.State
	Failures  int       // in a row, while closed
	NextProbe time.Time // when an open breaker admits its probe; zero otherwise
	Reason    string    // why it opened, in words; "" while closed
}

// Breakers gives every breaker as it stands. Asking moves an open breaker
// whose time has come to half-open: gobreaker does so only when it is asked.
func (r *HybridRouter) Breakers() []BreakerState {
	all := *r.breakers.Load()
	states := make([]BreakerState, 0, len(all))
	for _, b := range all {
		states = append(states, b.snapshot())
	}
	return states
}

// Hold keeps traffic away from a target but for canaries. It refuses, and
// says false, when no other target is known to work.
func (r *HybridRouter) Hold(h record.Hold) bool {
	if !r.anotherWorks(h.Target) {
		return false
	}
	r.holds.place(h, time.Now())
	r.recorder.Hold(h)
	return true
}

// Release ends the hold on a target, and says whether there was one.
func (r *HybridRouter) Release(target llm.Target, why string) bool {
	h, ok := r.holds.end(target, why, time.Now())
	if ok {
		r.recorder.Hold(h)
	}
	return ok
}

// Rest has a held target get no canary until an instant.
func (r *HybridRouter) Rest(target llm.Target, until time.Time) { r.holds.rest(target, until) }

// FailureThreshold gives how many failures in a row open a breaker.
func (r *HybridRouter) FailureThreshold() int { return r.threshold }

// Contact tells how the endpoints of a provider were when last heard of: known
// is false before the first ping or answer, and trouble is "" where one of them
// answered.
func (r *HybridRouter) Contact(p llm.Provider) (trouble string, known bool) {
	for _, e := range r.endpoints[p] {
		last := e.lastContact()
		if e.Unusable != "" || last.at.IsZero() {
			continue
		}
		if last.err == "" {
			return "", true
		}
		trouble, known = last.err, true
	}
	return trouble, known
}

// Holds gives the holds in force.
func (r *HybridRouter) Holds() []record.Hold { return r.holds.standing(time.Now()) }

// anotherWorks says whether a default target other than this one would serve:
// usable, its breaker not open, not held, and its endpoint well when last heard
// of. A half-open one counts, since nobody would ask it, and so close its breaker,
// while this one serves badly before it in the chain; what is held serves after all
// where the other one's probe fails.
func (r *HybridRouter) anotherWorks(but llm.Target) bool {
	for _, p := range r.chain {
		for _, e := range r.endpoints[p] {
			t := e.target("")
			if t == but || e.Unusable != "" || r.breaker(t).state() == record.Open {
				continue
			}
			if _, held := r.holds.on(t, time.Now()); held {
				continue
			}
			if last := e.lastContact(); !last.at.IsZero() && last.err == "" {
				return true
			}
		}
	}
	return false
}
