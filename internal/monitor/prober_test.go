package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
)

// finds is what a Prober found, in words.
type finds struct {
	mu  sync.Mutex
	all []string
}

func (f *finds) found(p llm.Provider, endpoint string, s provider.Status, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fmt.Sprintf("%s %s %s %v", p, endpoint, s.Version, err))
}

func (f *finds) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.all
	f.all = nil
	return all
}

func TestAProberLooksAtOnceAndTellsWhatItFinds(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var f finds
		asked := 0
		prober := &Prober{Monitor: p.Monitor, Found: f.found, Probes: []Probe{{
			Provider: llm.Local, Endpoint: "attic",
			Ping: func(context.Context) (provider.Status, error) {
				if asked++; asked > 1 {
					return provider.Status{}, errors.New("connection refused")
				}
				return provider.Status{Version: "1.2"}, nil
			},
		}}}
		p.start(prober.Run)
		synctest.Wait()
		if got := f.take(); len(got) != 1 || got[0] != "local attic 1.2 <nil>" {
			t.Errorf("found %q", got)
		}
		p.want(map[string]float64{"provider_up{provider=local}": 1, "provider_up{provider=gemini}": -1})
		time.Sleep(DefaultProbeInterval * 11 / 10)
		synctest.Wait()
		if got := f.take(); len(got) != 1 || got[0] != "local attic  connection refused" {
			t.Errorf("found %q", got)
		}
		p.want(map[string]float64{"provider_up{provider=local}": 0})
	})
}

func TestAProberKeepsItsIntervalWithJitter(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		const interval = 10 * time.Second
		var at []time.Time
		prober := &Prober{Interval: interval, Monitor: p.Monitor, Probes: []Probe{{
			Provider: llm.Gemini,
			Ping: func(context.Context) (provider.Status, error) {
				at = append(at, time.Now())
				return provider.Status{}, nil
			},
		}}, Found: new(finds).found}
		stop := p.start(prober.Run)
		time.Sleep(200 * interval)
		stop()
		synctest.Wait()
		shortest, longest := time.Hour, time.Duration(0)
		for i := range at[1:] {
			gap := at[i+1].Sub(at[i])
			shortest, longest = min(shortest, gap), max(longest, gap)
		}
		if !at[0].Equal(noon) || shortest < interval*9/10 || longest > interval*11/10 {
			t.Errorf("began at %v; gaps from %v to %v", at[0], shortest, longest)
		}
		if longest-shortest < interval/10 {
			t.Errorf("hardly any jitter: gaps from %v to %v", shortest, longest)
		}
	})
}

func TestAnEndpointThatHangsIsGivenUpAndHoldsNoOtherUp(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var f finds
		prober := &Prober{Interval: time.Hour, Monitor: p.Monitor, Found: f.found, Probes: []Probe{
			{Provider: llm.Gemini, Ping: func(ctx context.Context) (provider.Status, error) {
				<-ctx.Done()
				return provider.Status{}, ctx.Err()
			}},
			{Provider: llm.Claude, Ping: func(context.Context) (provider.Status, error) { return provider.Status{}, nil }},
		}}
		p.start(prober.Run)
		synctest.Wait()
		if got := f.take(); len(got) != 1 || got[0] != "claude   <nil>" {
			t.Errorf("found %q", got)
		}
		time.Sleep(ProbeTimeout)
		synctest.Wait()
		if got := f.take(); len(got) != 1 || got[0] != "gemini   context deadline exceeded" {
			t.Errorf("found %q", got)
		}
		p.want(map[string]float64{"provider_up{provider=gemini}": 0, "provider_up{provider=claude}": 1})
	})
}

func TestAProberThatIsStoppedBlamesNoProvider(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var f finds
		prober := &Prober{Monitor: p.Monitor, Found: f.found, Probes: []Probe{{
			Provider: llm.Gemini,
			Ping: func(ctx context.Context) (provider.Status, error) {
				<-ctx.Done()
				return provider.Status{}, ctx.Err()
			},
		}}}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- prober.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := f.take(); len(got) != 0 {
			t.Errorf("found %q", got)
		}
		p.want(map[string]float64{"provider_up{provider=gemini}": -1})
	})
}
