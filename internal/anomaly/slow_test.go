package anomaly

import (
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

func TestASlowPartOfTheAnswersIsFoundAndMovesTraffic(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(21, gemini, 60)
	g.feed(d, 5000)
	for n := range 200 {
		s := g.next()
		if s.Class == "" && n%4 == 0 {
			s.TTFT, s.Took = 5*s.TTFT, 5*s.Took
		}
		for _, f := range d.Observe(s) {
			if f.Failover {
				t.Logf("after %d requests: %s", n+1, f.Text)
				if f.Signal != SlowShare || n > 100 || !strings.Contains(f.Text, "answers were slow") {
					t.Errorf("after %d requests: %+v", n+1, f)
				}
				return
			}
		}
	}
	t.Error("a quarter of the answers five times as slow was not found")
}

// By the share of slow answers it shows sooner than by their mean: each says more.
func TestWhenAllAreTwiceAsSlowTheirShareMovesTraffic(t *testing.T) {
	past, usual := newTraffic(25, gemini, 600), NewDetector(Config{})
	past.errors = 0
	past.feed(usual, 20_000)
	for slow, want := range map[float64]bool{1.5: false, 2.1: true} {
		g, d := past.fork(usual)
		g.slow = slow
		n := g.until(d, 60, func(f Finding) bool { return f.Signal == SlowShare && f.Failover })
		if found := n > 0; found != want || n > 15 {
			t.Errorf("x%v: the share of slow answers moves traffic after %d of 60 answers; want that within 15: %v", slow, n, want)
		}
	}
}

func TestASlowPartThatLastsBecomesTheUsual(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(22, gemini, 20)
	g.feed(d, 3000)
	found, late := 0, 0
	for n := range 20 * 60 * 8 {
		s := g.next()
		if s.Class == "" && n%4 == 0 {
			s.TTFT, s.Took = 5*s.TTFT, 5*s.Took
		}
		for _, f := range d.Observe(s) {
			if f.Signal == SlowShare {
				found++
				if n > 20*60*5 {
					late++
				}
			}
		}
	}
	if found == 0 || late > 0 {
		t.Errorf("found %d times, %d of them after five hours", found, late)
	}
}

func TestThrottlingIsToldAndMovesNothing(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(23, gemini, 60)
	for range 3000 {
		s := g.next()
		if g.Float64() < 0.03 {
			s.Class = llm.RateLimit
		}
		for _, f := range d.Observe(s) {
			if f.Signal == Throttling {
				t.Fatalf("a few rate limits: %s", f.Text)
			}
		}
	}
	for n := range 60 {
		s := g.next()
		if g.Float64() < 0.6 {
			s.Class = llm.RateLimit
		}
		for _, f := range d.Observe(s) {
			if f.Signal == Throttling {
				t.Logf("after %d requests: %s", n+1, f.Text)
				if f.Failover || f.Signal.Holds() {
					t.Errorf("it forces failover: %+v", f)
				}
				return
			}
		}
	}
	t.Error("a storm of rate limits was not found")
}

func TestOnePromptsFailuresForceNoFailover(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(24, gemini, 60)
	g.errors = 0.002
	for i := range 1000 {
		s := g.next()
		s.Prompt = uint64(i + 1)
		d.Observe(s)
	}
	found := 0
	for i := range 300 {
		s := g.next()
		s.Prompt, s.Class = uint64(5000+i), ""
		if i%3 != 0 { // every caller sends it
			s.Prompt, s.Class = 666, llm.Server
		}
		for _, f := range d.Observe(s) {
			found++
			if f.Failover || !strings.Contains(f.Text, "one prompt") {
				t.Fatalf("request %d: failover %v, %s", i, f.Failover, f.Text)
			}
		}
	}
	if found == 0 {
		t.Error("the prompt's failures were not even found")
	}
}

func TestATargetWithASlowPartIsHeldUntilNoPartIsSlow(t *testing.T) {
	g := newTraffic(25, gemini, 60)
	g.errors = 0
	w, holder, events := settled(g, 3000, 3)
	n := 0
	slowed := func(s Sample, share int) Sample {
		if n++; share > 0 && n%share == 0 {
			s.TTFT, s.Took = 6*s.TTFT, 6*s.Took
		}
		return s
	}
	for range 300 {
		if w.Observe(slowed(g.next(), 3)); len(holder.held) > 0 {
			break
		}
	}
	if len(holder.held) == 0 {
		t.Fatal("not held")
	}
	for range 60 {
		w.Observe(slowed(let(g, holder), 3))
		w.Tick(g.now)
	}
	if len(holder.held) == 0 {
		t.Fatalf("released while a third of the answers is slow: %s", kinds(*events))
	}
	began := g.now
	for range 150 {
		if len(holder.held) == 0 {
			break
		}
		w.Observe(let(g, holder))
		w.Tick(g.now)
	}
	if len(holder.held) != 0 || g.now.Sub(began) > 10*time.Minute {
		t.Errorf("held %d for %s after its end", len(holder.held), g.now.Sub(began))
	}
}

// At one request a minute each is learned with a weight of 3 %: the first slow ones
// must not widen the spread that the next are measured with.
func TestASlowdownDoesNotTeachItsOwnTest(t *testing.T) {
	found := 0
	for seed := range uint64(40) {
		d := NewDetector(Config{})
		g := newTraffic(seed, gemini, 1)
		g.errors = 0
		g.feed(d, 60)
		for range 60 {
			s := g.next()
			s.TTFT, s.Took = 2*s.TTFT, s.Took+s.TTFT
			if slices.ContainsFunc(d.Observe(s), matters) {
				found++
				break
			}
		}
	}
	if found < 36 {
		t.Errorf("first tokens twice as late for an hour, one request a minute: found in %d of 40 trials, want 36", found)
	}
}
