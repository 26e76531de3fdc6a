package faults

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

// The providers of these tests enforce 20 requests a second, of which 10 may
// come at once.
const (
	limitPerMinute = 1200
	limitBurst     = 10
	limitCallers   = 40
	limitEach      = 3
)

// crowd has many callers ask at once, and gives how many were served.
func (h *house) crowd(t *testing.T, p llm.Provider) (served int) {
	t.Helper()
	var count atomic.Int64
	var callers sync.WaitGroup
	for i := range limitCallers {
		callers.Go(func() {
			for n := range limitEach {
				q := question{dialect: dialects()[i%4], model: string(p), text: text(i*limitEach + n), stream: n%2 == 0}
				a := asked{q: q, heard: h.ask(t.Context(), q)}
				if a.ending() != rescued {
					t.Errorf("a caller was %q: HTTP %d %s %s", a.ending(), a.status, a.wrong, a.body)
					continue
				}
				count.Add(1)
			}
		})
	}
	callers.Wait()
	return int(count.Load())
}

// A limit that is configured is kept: the callers wait in line, and the
// provider never has to refuse one.
func TestALimitThatIsConfiguredIsKept(t *testing.T) {
	if !knowsLimits() {
		t.Fatal("providers have no limits to configure")
	}
	for _, p := range llm.Providers() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			h := open(t, options{
				chain:  []llm.Provider{p}, // nobody else: they have to wait
				limits: map[llm.Provider]string{p: "requests_per_minute: 1200, burst: 8"},
				sim:    sim.Options{Limit: sim.Limit{Requests: limitPerMinute, Burst: limitBurst}},
			})
			began := time.Now()
			served, took := h.crowd(t, p), time.Since(began)
			if n := h.sims[p].Throttled(); n > 0 || served != limitCallers*limitEach {
				t.Errorf("%d served in %v, and the provider refused %d", served, took, n)
			}
			for _, tr := range h.close(t) {
				if len(tr.Attempts) != 1 {
					t.Errorf("%d attempts", len(tr.Attempts))
				}
			}
		})
	}
}

// A limit that nobody told of is learned from the provider's headers and its
// first refusals.
func TestALimitIsLearned(t *testing.T) {
	if !knowsLimits() {
		t.Fatal("limits are not learned yet")
	}
	for _, p := range []llm.Provider{llm.OpenAI, llm.Claude} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			h := open(t, options{
				chain:    []llm.Provider{p},
				patience: 5 * time.Second,
				sim:      sim.Options{Limit: sim.Limit{Requests: limitPerMinute, Burst: limitBurst}},
			})
			served := h.crowd(t, p)
			// Those who are under way when the first refusal comes may be refused too.
			if n := h.sims[p].Throttled(); n > limitCallers+limitEach*limitCallers/10 {
				t.Errorf("%d served, and the provider refused %d", served, n)
			}
			h.close(t)
		})
	}
}
