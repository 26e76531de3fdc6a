package monitor

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

const (
	// DefaultProbeInterval looks at an idle endpoint twice a minute; what is
	// asked for, lists of models and Ollama's version, is free.
	DefaultProbeInterval = 30 * time.Second
	// DefaultProbeIdle is after how long without an answered request an
	// endpoint's health is no longer known from its traffic.
	DefaultProbeIdle = time.Minute
	// SparseFactor is how many times rarer an endpoint is looked at while
	// requests show that it is well: its list of models changes seldom.
	SparseFactor = 10
	// MaxProbeBackoff bounds the time between two looks at an endpoint that
	// fails them, which doubles with each: whoever starts a server again sees
	// it within two minutes.
	MaxProbeBackoff = 2 * time.Minute
	// ProbeTimeout is how long a free look may take.
	ProbeTimeout = 10 * time.Second
	// CompletionTimeout is how long a paid look may take: a model may have to
	// think first.
	CompletionTimeout = 60 * time.Second
)

// ErrNoRoom is a paid look that no key or limit had room for: requests come first.
var ErrNoRoom = errors.New("no key or limit has room for it")

// Probe is one endpoint to look at.
type Probe struct {
	Provider llm.Provider
	Endpoint string
	Ping     func(context.Context) (provider.Status, error)
	// Complete sends a tiny request and gives what it cost. Its error is
	// ErrNoRoom where nothing was sent.
	Complete func(context.Context) (record.NanoUSD, error)
}

func (p Probe) place() place { return place{p.Provider, p.Endpoint} }

// place is an endpoint of a provider.
type place struct {
	provider llm.Provider
	endpoint string
}

// Look is the last look at an endpoint.
type Look struct {
	Provider llm.Provider
	Endpoint string
	Paid     bool // a tiny request, not a free list
	At       time.Time
	Took     time.Duration
	Error    string    // why it does not count as an answer; "" where it does
	Failures int       // in a row, this one included
	Next     time.Time // about when it is looked at again, as things stand
}

// Prober asks endpoints whether they answer. Requests come first: while they
// are answered there is little to ask, and under load nothing is asked at all.
// What it finds tells which models there are and whether a target works; it
// moves no breaker.
type Prober struct {
	Probes   []Probe
	Interval time.Duration // between looks at an idle endpoint; default DefaultProbeInterval
	Idle     time.Duration // without an answered request, from when on an endpoint is idle; default DefaultProbeIdle
	// Completion is the time between paid looks at an idle endpoint; 0 for none.
	Completion time.Duration
	Found      func(llm.Provider, string, provider.Status, error)
	Monitor    *Monitor
	// Spare says whether there is room for probes beside requests; nil for always.
	Spare func() bool

	mu    sync.Mutex
	looks map[place]Look
	paid  map[place]Look
}

// Run probes at once and then as often as it is worth it, with jitter, until
// ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, probe := range p.Probes {
		wg.Go(func() { p.watch(ctx, probe) })
	}
	wg.Wait()
	return nil
}

// watch considers a look at each interval: what traffic tells may change at any
// time.
func (p *Prober) watch(ctx context.Context, probe Probe) {
	for {
		if p.Spare == nil || p.Spare() {
			p.consider(ctx, probe)
		}
		interval := p.interval()
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval*9/10 + rand.N(interval/5+1)):
		}
	}
}

func (p *Prober) consider(ctx context.Context, probe Probe) {
	now := time.Now()
	last, seen := p.last(&p.looks, probe)
	if !seen || due(now, last.At, p.wait(last, now)) {
		p.free(ctx, probe)
	}
	if p.Completion <= 0 || ctx.Err() != nil || p.well(probe.place(), now) {
		return
	}
	if last, seen = p.last(&p.paid, probe); !seen || due(now, last.At, p.Completion) {
		p.complete(ctx, probe)
	}
}

// due says whether a wait is over, or all but: the jitter of the intervals must
// not add another one to it.
func due(now, since time.Time, wait time.Duration) bool { return now.Sub(since) >= wait-wait/10 }

func (p *Prober) interval() time.Duration {
	if p.Interval == 0 {
		return DefaultProbeInterval
	}
	return p.Interval
}

// wait is the time between the last free look at an endpoint and the next.
func (p *Prober) wait(last Look, now time.Time) time.Duration {
	interval := p.interval()
	switch {
	case p.well(place{last.Provider, last.Endpoint}, now):
		return SparseFactor * interval
	case last.Failures > 0:
		wait := interval
		for range last.Failures - 1 {
			if wait *= 2; wait >= MaxProbeBackoff {
				return max(MaxProbeBackoff, interval)
			}
		}
		return wait
	}
	return interval
}

// well says whether a request has just been answered there, and none failed
// since.
func (p *Prober) well(at place, now time.Time) bool {
	idle := p.Idle
	if idle == 0 {
		idle = DefaultProbeIdle
	}
	answered, well := p.Monitor.lastAnswer(at)
	return well && now.Sub(answered) < idle
}

// last gives the last look at an endpoint of those in looks, which the mutex guards.
func (p *Prober) last(looks *map[place]Look, probe Probe) (Look, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	look, seen := (*looks)[probe.place()]
	return look, seen
}

// free asks for what costs nothing.
func (p *Prober) free(ctx context.Context, probe Probe) {
	asked, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	began := time.Now()
	status, err := probe.Ping(asked)
	if ctx.Err() != nil {
		return
	}
	p.show(probe, p.note(&p.looks, probe, began, err, false))
	p.Found(probe.Provider, probe.Endpoint, status, err)
}

// complete sends a tiny request.
func (p *Prober) complete(ctx context.Context, probe Probe) {
	asked, cancel := context.WithTimeout(ctx, CompletionTimeout)
	defer cancel()
	began := time.Now()
	cost, err := probe.Complete(asked)
	p.Monitor.metrics.probeCost.WithLabelValues(string(probe.Provider)).Add(cost.Dollars())
	if ctx.Err() == nil && !errors.Is(err, ErrNoRoom) {
		p.note(&p.paid, probe, began, err, true)
	}
}

// note keeps what a look found, and says whether the endpoint answered: one that
// has no list of models does.
func (p *Prober) note(looks *map[place]Look, probe Probe, began time.Time, err error, paid bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *looks == nil {
		*looks = make(map[place]Look)
	}
	at := probe.place()
	look := Look{Provider: at.provider, Endpoint: at.endpoint, Paid: paid, At: began.UTC(), Took: time.Since(began)}
	if err != nil && (paid || !provider.Answered(err)) {
		look.Error, look.Failures = err.Error(), (*looks)[at].Failures+1
	}
	(*looks)[at] = look
	return look.Error == ""
}

// Looks gives the last look at each endpoint, the free ones before the paid.
func (p *Prober) Looks() []Look {
	now := time.Now()
	p.mu.Lock()
	free, paid := maps.Clone(p.looks), maps.Clone(p.paid)
	p.mu.Unlock()
	var all []Look
	for _, looks := range []map[place]Look{free, paid} {
		for _, probe := range p.Probes {
			look, seen := looks[probe.place()]
			if !seen {
				continue
			}
			wait := p.Completion
			if !look.Paid {
				wait = p.wait(look, now)
			}
			look.Next = look.At.Add(wait)
			all = append(all, look)
		}
	}
	return all
}

// show sets a provider's gauge: it is up while any of its endpoints is.
func (p *Prober) show(probe Probe, answered bool) {
	up := one(answered)
	p.mu.Lock()
	defer p.mu.Unlock()
	for at, look := range p.looks {
		if at.provider == probe.Provider && look.Error == "" {
			up = 1
		}
	}
	p.Monitor.metrics.up.WithLabelValues(string(probe.Provider)).Set(up)
}
