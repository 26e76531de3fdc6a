package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
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

// scheduled is a prober of one endpoint that remembers when it looked.
type scheduled struct {
	*Prober
	mu    sync.Mutex
	at    []time.Time
	fails bool
}

func (p *post) scheduled() *scheduled {
	s := &scheduled{}
	s.Prober = &Prober{Interval: 10 * time.Second, Monitor: p.Monitor, Found: new(finds).found, Probes: []Probe{{
		Provider: gemini.Provider,
		Ping: func(context.Context) (provider.Status, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.at = append(s.at, time.Now())
			if s.fails {
				return provider.Status{}, errors.New("connection refused")
			}
			return provider.Status{}, nil
		},
	}}}
	return s
}

// gaps gives the gaps between the looks of some time from now on, and forgets them.
func (s *scheduled) gaps(t time.Duration) (all []time.Duration) {
	time.Sleep(t)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.at); i++ {
		all = append(all, s.at[i].Sub(s.at[i-1]))
	}
	s.at = nil
	return all
}

// between says whether each of the gaps, and there are some, is within bounds.
func between(gaps []time.Duration, low, high time.Duration) bool {
	for _, gap := range gaps {
		if gap < low || gap > high {
			return false
		}
	}
	return len(gaps) > 0
}

// traffic has a request end at the target each second until it is stopped.
func (p *post) traffic(failing func() bool) (stop func()) {
	return p.start(func(ctx context.Context) error {
		for {
			class := llm.FailureClass("")
			if failing() {
				class = llm.Server
			}
			now := time.Now()
			p.Trace(&record.Trace{
				ID: p.ids.Next(now), Accepted: now, Door: llm.Plain, Outcome: record.Served,
				Attempts: []record.Attempt{{Target: gemini, Class: class}},
			})
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	})
}

func TestAnEndpointThatTrafficShowsToBeWellIsSeldomLookedAt(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var failing atomic.Bool
		stop := p.traffic(failing.Load)
		s := p.scheduled()
		p.start(s.Run)
		if gaps := s.gaps(30 * time.Minute); !between(gaps, 80*time.Second, 120*time.Second) {
			t.Errorf("while requests are answered the gaps are %v", gaps)
		}
		failing.Store(true)
		if gaps := s.gaps(5 * time.Minute); !between(gaps, 9*time.Second, 11*time.Second) {
			t.Errorf("while requests fail the gaps are %v", gaps)
		}
		failing.Store(false)
		s.gaps(3 * time.Minute)
		stop()
		s.gaps(DefaultProbeIdle)
		if gaps := s.gaps(5 * time.Minute); !between(gaps, 9*time.Second, 11*time.Second) {
			t.Errorf("without requests the gaps are %v", gaps)
		}
	})
}

func TestAnEndpointThatFailsItsLooksIsLookedAtEverMoreSeldom(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		s := p.scheduled()
		s.fails = true
		p.start(s.Run)
		gaps := s.gaps(30 * time.Minute)
		for i, want := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second} {
			if gaps[i] < want*8/10 || gaps[i] > want*12/10 {
				t.Errorf("gap %d is %v, not about %v", i, gaps[i], want)
			}
		}
		if !between(gaps[4:], MaxProbeBackoff*8/10, MaxProbeBackoff*12/10) {
			t.Errorf("in the end the gaps are %v", gaps[4:])
		}
		look := s.Looks()[0]
		if look.Error != "connection refused" || look.Failures < 10 || look.Next.Sub(look.At) != MaxProbeBackoff {
			t.Errorf("got %+v", look)
		}
		s.mu.Lock()
		s.fails = false
		s.mu.Unlock()
		s.gaps(2 * MaxProbeBackoff)
		if look := s.Looks()[0]; look.Error != "" || look.Failures != 0 || look.Next.Sub(look.At) != s.Interval {
			t.Errorf("well again: %+v", look)
		}
	})
}

func TestUnderLoadNothingIsAskedBesideRequests(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var full atomic.Bool
		full.Store(true)
		s := p.scheduled()
		s.Spare = func() bool { return !full.Load() }
		p.start(s.Run)
		s.gaps(time.Hour)
		if looks := s.Looks(); len(looks) != 0 {
			t.Errorf("looked %+v", looks)
		}
		full.Store(false)
		s.gaps(time.Minute)
		if looks := s.Looks(); len(looks) != 1 {
			t.Errorf("looked %+v", looks)
		}
	})
}

func TestPaidLooksAreTakenOnlyWhereAskedForAndIdle(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var mu sync.Mutex
		paid, answer := 0, error(nil)
		count := func() int { mu.Lock(); defer mu.Unlock(); n := paid; paid = 0; return n }
		s := p.scheduled()
		s.Probes[0].Complete = func(context.Context) (record.NanoUSD, error) {
			mu.Lock()
			defer mu.Unlock()
			paid++
			return 1_000_000_000, answer
		}
		stop := p.start(s.Run)
		s.gaps(time.Hour)
		if n := count(); n != 0 {
			t.Errorf("%d were paid for unasked", n)
		}
		stop()
		synctest.Wait()
		s.Completion = 10 * time.Minute
		p.start(s.Run)
		s.gaps(time.Hour)
		if n := count(); n < 6 || n > 7 {
			t.Errorf("%d were paid for in an hour, at one in ten minutes", n)
		}
		mu.Lock()
		answer = &llm.Failure{Class: llm.RateLimit, Status: 429}
		mu.Unlock()
		s.gaps(20 * time.Minute)
		if looks := s.Looks(); len(looks) != 2 || !looks[1].Paid || looks[1].Error == "" || looks[0].Error != "" {
			t.Errorf("looked %+v", looks)
		}
		if n := float64(count()); n == 0 {
			t.Error("a paid look that failed was not taken again")
		}
		p.traffic(func() bool { return false })
		s.gaps(time.Second)
		count()
		s.gaps(time.Hour)
		if n := count(); n != 0 {
			t.Errorf("%d were paid for while requests were answered", n)
		}
	})
}

func TestAnEndpointWithoutAListOfModelsAnswersAllTheSame(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		for class, up := range map[llm.FailureClass]float64{llm.NoSuchModel: 1, llm.BadRequest: 1, llm.RateLimit: 1, llm.Auth: 0, llm.Network: 0, llm.Garbage: 0} {
			prober := &Prober{Monitor: p.Monitor, Found: new(finds).found, Probes: []Probe{{
				Provider: llm.Gemini,
				Ping: func(context.Context) (provider.Status, error) {
					return provider.Status{}, &llm.Failure{Class: class, Status: 400}
				},
			}}}
			stop := p.start(prober.Run)
			synctest.Wait()
			stop()
			if look := prober.Looks()[0]; (look.Error == "") != (up == 1) {
				t.Errorf("%s: %+v", class, look)
			}
			p.want(map[string]float64{"provider_up{provider=gemini}": up})
		}
	})
}
