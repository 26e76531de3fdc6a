package faults

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

const limitCallers = 40

// crowd has many callers ask each times at once, and gives how many requests
// were served. The others got one clean error.
func (h *house) crowd(t *testing.T, p llm.Provider, each int) (served int) {
	t.Helper()
	var count atomic.Int64
	var callers sync.WaitGroup
	for i := range limitCallers {
		callers.Go(func() {
			for n := range each {
				q := question{dialect: dialects()[i%4], model: string(p), text: text(i*each + n), stream: n%2 == 0}
				a := asked{q: q, heard: h.ask(t.Context(), q)}
				switch end := a.ending(); {
				case end == rescued:
					count.Add(1)
				case end != clean || a.status != 429 || a.header.Get("Retry-After") == "":
					t.Errorf("a caller was %q: HTTP %d %s %s", end, a.status, a.wrong, a.body)
				}
			}
		})
	}
	callers.Wait()
	return int(count.Load())
}

// A limit that is configured is kept: the callers wait in line until their turn
// comes, everybody is served at the first attempt, and a provider never has to
// refuse one. What was sent apart may arrive together, so the provider takes more
// at once than is configured: what is sent four seconds late at most, and less
// than half of what the callers ask.
func TestALimitThatIsConfiguredIsKept(t *testing.T) {
	t.Parallel()
	const each, perSecond, burst = 3, 10, 8
	for _, p := range llm.Providers() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			h := open(t, options{
				chain:  []llm.Provider{p}, // nobody else: they have to wait
				limits: map[llm.Provider]string{p: fmt.Sprintf("requests_per_minute: %d, burst: %d", perSecond*60, burst)},
				sim:    sim.Options{Limit: sim.Limit{Requests: perSecond * 60, Burst: burst + 4*perSecond}},
			})
			began := time.Now()
			served, took := h.crowd(t, p, each), time.Since(began)
			if n := h.sims[p].Throttled(); n > 0 || served != limitCallers*each {
				t.Errorf("%d served in %v, and the provider refused %d", served, took, n)
			}
			if least := time.Duration(served-burst) * time.Second / perSecond; took < least {
				t.Errorf("%d went in %v, which take %v", served, took, least)
			}
			for _, tr := range h.close(t) {
				if len(tr.Attempts) != 1 {
					t.Errorf("%d attempts", len(tr.Attempts))
				}
			}
		})
	}
}

// A limit that nobody configured is learned: from the headers, before the
// provider has to refuse more than a few, or from its first refusals, which may
// hit those who are under way. Nobody else fails, so what was learned is not so low
// that somebody waits in line in vain.
func TestALimitIsLearned(t *testing.T) {
	t.Parallel()
	for p, refused := range map[llm.Provider]int{
		llm.OpenAI: 5, llm.Claude: 5,
		llm.Local: limitCallers, // which has no headers, as most servers of one's own
	} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			h := open(t, options{
				chain:    []llm.Provider{p},
				patience: 5 * time.Second,
				sim:      sim.Options{Limit: sim.Limit{Requests: 600}}, // and 10 a second when these are used up
			})
			const each = 17 // 680 requests in all
			began := time.Now()
			served, took := h.crowd(t, p, each), time.Since(began)
			if n := h.sims[p].Throttled(); n > refused || served < limitCallers*each-n {
				t.Errorf("%d served in %v, and the provider refused %d, want %d at most", served, took, n, refused)
			}
			h.close(t)
		})
	}
}
