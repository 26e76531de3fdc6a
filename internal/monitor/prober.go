package monitor

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
)

const (
	// DefaultProbeInterval looks at a provider twice a minute; the endpoints
	// asked, lists of models and Ollama's version, are free.
	DefaultProbeInterval = 30 * time.Second
	// ProbeTimeout is how long such an endpoint may take.
	ProbeTimeout = 10 * time.Second
)

// Probe is one endpoint to look at.
type Probe struct {
	Provider llm.Provider
	Endpoint string
	Ping     func(context.Context) (provider.Status, error)
}

// Prober asks endpoints whether they answer. What it finds tells which models there
// are and whether a target works at all; it moves no breaker.
type Prober struct {
	Probes   []Probe
	Interval time.Duration // default DefaultProbeInterval
	Found    func(llm.Provider, string, provider.Status, error)
	Monitor  *Monitor
	// Spare says whether there is room for probes beside requests; nil for always.
	Spare func() bool

	mu sync.Mutex
	up map[llm.Provider]map[string]bool // by endpoint: it answered last
}

// Run probes at once and then on its interval, with jitter, until ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, probe := range p.Probes {
		wg.Go(func() { p.watch(ctx, probe) })
	}
	wg.Wait()
	return nil
}

func (p *Prober) watch(ctx context.Context, probe Probe) {
	interval := p.Interval
	if interval == 0 {
		interval = DefaultProbeInterval
	}
	for {
		p.once(ctx, probe)
		jittered := interval*9/10 + rand.N(interval/5+1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered):
		}
	}
}

func (p *Prober) once(ctx context.Context, probe Probe) {
	if p.Spare != nil && !p.Spare() {
		return
	}
	asked, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	status, err := probe.Ping(asked)
	if ctx.Err() != nil {
		return
	}
	p.show(probe, err == nil)
	p.Found(probe.Provider, probe.Endpoint, status, err)
}

// show sets a provider's gauge: it is up while any of its endpoints is.
func (p *Prober) show(probe Probe, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up == nil {
		p.up = make(map[llm.Provider]map[string]bool)
	}
	if p.up[probe.Provider] == nil {
		p.up[probe.Provider] = make(map[string]bool)
	}
	p.up[probe.Provider][probe.Endpoint] = answered
	up := 0.0
	for _, answers := range p.up[probe.Provider] {
		if answers {
			up = 1
		}
	}
	p.Monitor.metrics.up.WithLabelValues(string(probe.Provider)).Set(up)
}
