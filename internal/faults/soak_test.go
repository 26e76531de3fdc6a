package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

const (
	soakCallers = 24
	// soakLeast is how many requests even the shortest soak has.
	soakLeast = 1000
	// soakMemory is how much the heap may grow while it runs, in bytes: far more
	// than a house holds, far less than what ever leaks in 20 minutes would.
	soakMemory = 256 << 20
)

// mishaps are the faults of the soak; health comes as often as all of them.
func mishaps() []sim.Fault {
	return []sim.Fault{
		{Kind: sim.RateLimited, RetryAfter: time.Second, Share: 0.3},
		{Kind: sim.RateLimited, RetryAfter: -1, Share: 0.3},
		{Kind: sim.Errors, Status: 500, Share: 0.5},
		{Kind: sim.Errors, Status: 503},
		{Kind: sim.Errors, Status: 529, Share: 0.5},
		{Kind: sim.Errors, Status: 502},
		{Kind: sim.Refuse, Share: 0.5},
		{Kind: sim.Hang, Share: 0.3},
		{Kind: sim.HangAfterHeaders, Share: 0.3},
		{Kind: sim.Hang, For: 200 * time.Millisecond},
		{Kind: sim.Cut, After: 3, Share: 0.5},
		{Kind: sim.Cut, After: 9, Share: 0.5},
		{Kind: sim.Short, After: 5, Share: 0.5},
		{Kind: sim.Stall, After: 4, Share: 0.3},
		{Kind: sim.Malformed, After: 4, Share: 0.5},
		{Kind: sim.NoMark, Share: 0.5},
		{Kind: sim.NoEnd, Share: 0.5},
		{Kind: sim.ErrorInStream, Share: 0.5},
		{Kind: sim.ErrorInStream, After: 6, Share: 0.5},
		{Kind: sim.Empty, Share: 0.5},
		{Kind: sim.Garbage, Share: 0.5},
		{Kind: sim.Drip, Pace: 20 * time.Millisecond},
		{Kind: sim.ContextLength, Share: 0.2},
		{Kind: sim.BadRequest, Share: 0.1},
		{Kind: sim.ContentFilter, Share: 0.1},
		{Kind: sim.RefusePrefill},
		{Kind: sim.NoSuchModel, Share: 0.2},
	}
}

// tally counts what became of the callers.
type tally struct {
	mu      sync.Mutex
	asked   int
	left    int
	endings map[ending]int
	codes   map[string]int
	ids     map[string]int // how often each request's id was given
}

// TestSoak mixes faults at random over all providers, with callers of all
// dialects, some of whom go away: nobody gets an answer that is not theirs, and
// nothing is lost, neither a record nor a goroutine nor a file.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	files := openFiles()
	h := open(t, options{spares: true, late: llm.Providers(), recovery: 300 * time.Millisecond, patience: time.Second, more: "store: {queue: 200000}"})
	got := tally{endings: map[ending]int{}, codes: map[string]int{}, ids: map[string]int{}}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	ctx, stop := context.WithCancel(t.Context())
	var weather, callers sync.WaitGroup
	for i, p := range llm.Providers() {
		weather.Go(func() { h.spoil(ctx, h.sims[p], rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	ends := time.Now().Add(*soak)
	for i := range soakCallers {
		callers.Go(func() {
			draw := rand.New(rand.NewPCG(seed, 1000+uint64(i)))
			for n := 0; time.Now().Before(ends) || n < soakLeast/soakCallers; n++ {
				h.soakOnce(t, draw, fmt.Sprintf("T%d-%d-%x", i, n, draw.Uint64()), &got)
			}
		})
	}
	callers.Wait()
	stop()
	weather.Wait()

	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapInuse > before.HeapInuse+soakMemory {
		t.Errorf("the heap grew from %d to %d MiB", before.HeapInuse>>20, after.HeapInuse>>20)
	}
	traces := h.close(t)
	got.check(t, traces)
	h.eventually(t, "no file is left open", func() bool { return openFiles() <= files+2 })
	t.Log(got.summary(traces))
}

// spoil changes the weather at a provider again and again.
func (h *house) spoil(ctx context.Context, s *sim.Server, draw *rand.Rand) {
	faults := mishaps()
	for ctx.Err() == nil {
		switch n := draw.IntN(2*len(faults) + 2); {
		case n < len(faults):
			s.Set(faults[n])
		case n == 2*len(faults): // away for a moment
			s.Kill()
			wait(ctx, 50*time.Millisecond)
			_ = s.Revive() // a port that another took stays dead, which is a fault too
		default:
			s.Set(sim.Fault{})
		}
		wait(ctx, time.Duration(50+draw.IntN(250))*time.Millisecond)
	}
	s.Set(sim.Fault{})
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// soakOnce asks once, and may go away before the end.
func (h *house) soakOnce(t *testing.T, draw *rand.Rand, token string, got *tally) {
	words := " and the water behind the breakwater stays calm"
	q := question{
		dialect: dialects()[draw.IntN(4)], stream: draw.IntN(3) > 0, text: token + strings.Repeat(words, draw.IntN(3)),
		model: slices.Concat([]string{"auto"}, []string{"gemini", "claude", "openai", "local"})[draw.IntN(5)],
	}
	ctx, cancel := t.Context(), func() {}
	leaves := draw.IntN(10) == 0
	if leaves {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(draw.IntN(100))*time.Millisecond)
	}
	defer cancel()
	a := asked{q: q, heard: h.ask(ctx, q)}
	gone := leaves && ctx.Err() != nil
	end := a.ending()
	if strings.Contains(a.body, "T") {
		foreignToken(t, a)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	got.asked++
	if a.id != "" {
		got.ids[a.id]++
	}
	if gone {
		got.left++
		return
	}
	got.endings[end]++
	if end == clean {
		got.codes[fmt.Sprintf("HTTP %d", a.status)]++
	}
	if end == "" {
		t.Errorf("%s, streamed %t, %s: HTTP %d, %s, %q, finish %q, error %q; want %q\n%s",
			q.dialect, q.stream, q.model, a.status, a.wrong, a.text, a.finish, a.failure, q.text, a.body)
	}
}

// foreignToken: what a caller reads begins with its own token or says nothing.
func foreignToken(t *testing.T, a asked) {
	if !strings.HasPrefix(a.q.text, a.text) && a.wrong == "" {
		t.Errorf("a caller who asked for %q got %q", a.q.text, a.text)
	}
}

// check: every request that was given an id is in the record, once.
func (got *tally) check(t *testing.T, traces map[string]record.Trace) {
	t.Helper()
	for id, n := range got.ids {
		if _, ok := traces[id]; !ok || n != 1 {
			t.Errorf("request %s was answered %d times, and is in the record: %t", id, n, ok)
		}
	}
	if len(traces) < got.asked-got.left || len(traces) > got.asked {
		t.Errorf("%d requests, %d of whose callers left, made %d traces", got.asked, got.left, len(traces))
	}
	for _, tr := range traces {
		moneyTrue(t, tr)
		if len(tr.Attempts) > 20 {
			t.Errorf("%d attempts for one request", len(tr.Attempts))
		}
	}
	if got.endings[rescued] == 0 {
		t.Error("nobody was served")
	}
}

// summary tells what the soak saw.
func (got *tally) summary(traces map[string]record.Trace) string {
	failovers, retries, handovers, attempts := 0, 0, 0, 0
	for _, tr := range traces {
		attempts += len(tr.Attempts)
		for i, at := range tr.Attempts {
			switch {
			case i == 0:
			case at.Target == tr.Attempts[i-1].Target:
				retries++
			case tr.Attempts[i-1].Class == llm.StreamCut:
				handovers++
			default:
				failovers++
			}
		}
	}
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(got.codes)) {
		codes = append(codes, fmt.Sprintf("%s %d times", code, got.codes[code]))
	}
	return fmt.Sprintf("%d requests: %d served whole, %d ended by a filter, %d clean errors (%s), %d callers left; %d attempts, %d failovers, %d retries, %d handovers",
		got.asked, got.endings[rescued], got.endings[told], got.endings[clean], strings.Join(codes, ", "), got.left, attempts, failovers, retries, handovers)
}

// openFiles counts this process's file descriptors; 0 where the system does not
// tell.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}
