package anomaly

import (
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// looped is a sample whose answer goes in circles.
func looped(s Sample) Sample {
	if s.Class == "" {
		s.Looping = true
	}
	return s
}

func TestATargetWhoseAnswersGoInCirclesIsHeldUntilTheyMakeSense(t *testing.T) {
	g := newTraffic(1, gemini, 60)
	w, holder, events := settled(g, 1000, 3)
	g.errors = 0
	n := 0
	for ; len(holder.held) == 0 && n < 100; n++ {
		w.Observe(looped(g.next()))
	}
	if n > 12 || !strings.Contains(holder.held[gemini].Reason, "because answers go in circles") {
		t.Fatalf("held after %d answers, because %q; want a hold within 12 that says so", n, holder.held[gemini].Reason)
	}
	for i := range 40 {
		s := looped(canary(g))
		if i%2 == 0 { // its caller had enough of it
			s.Class = llm.Cancelled
		}
		w.Observe(s)
		w.Tick(g.now)
	}
	if hold := holder.held[gemini]; hold.Share != 0 || len(holder.held) != 1 {
		t.Fatalf("hold %+v while canaries go in circles", hold)
	}
	for range 150 {
		w.Observe(let(g, holder))
		w.Tick(g.now)
	}
	if last := (*events)[len(*events)-1]; last.Kind != HoldEnded || !strings.Contains(last.Text, "well again") {
		t.Errorf("last event %+v", last)
	}
}

func TestAThirdOfAnswersInCirclesIsFound(t *testing.T) {
	for seed := range uint64(10) {
		d := NewDetector(Config{})
		g := newTraffic(seed, gemini, 20)
		g.feed(d, 1000)
		found := 0
		for i := 1; i <= 200 && found == 0; i++ {
			s := g.next()
			if g.Float64() < 0.33 {
				s = looped(s)
			}
			for _, f := range d.Observe(s) {
				if f.Failover && f.Signal == Errors {
					found = i
				}
			}
		}
		if found == 0 {
			t.Errorf("seed %d: not found within 200 answers", seed)
		}
	}
}

func TestWhoAsksForRepetitionAloneMovesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		callers []string
		prompts uint64  // how many different ones
		from    string  // whose answers go in circles
		errors  float64 // share of all requests that fail
	}{
		"one of several, always another prompt": {[]string{"app", "batch", "chat"}, 1 << 40, "batch", 0.01},
		"one of two":                            {[]string{"app", "batch"}, 1 << 40, "batch", 0.01},
		"the only one":                          {[]string{"batch"}, 1 << 40, "batch", 0.01},
		"one without a name, with one prompt":   {[]string{""}, 1, "", 0.003},
		"callers without names, with one prompt beside other prompts": {[]string{""}, 2, "", 0.003},
	} {
		t.Run(name, func(t *testing.T) {
			found := 0
			for seed := range uint64(20) {
				g := newTraffic(300+seed, gemini, 60)
				g.errors, g.callers = c.errors, c.callers
				w, holder, events := settled(g, 1000, 3)
				for range 500 {
					s := g.next()
					if s.Prompt = 1 + g.Uint64N(c.prompts); s.Caller == c.from && (c.prompts != 2 || s.Prompt == 1) {
						s = looped(s)
					}
					w.Observe(s)
				}
				if len(holder.held) > 0 {
					t.Errorf("seed %d: held, because %s", seed, holder.held[gemini].Reason)
				}
				for _, e := range *events {
					if e.Kind != Found || e.Finding.Failover {
						t.Errorf("seed %d: %s %s", seed, e.Kind, e.Text)
					}
					found += index(strings.Contains(e.Text, "answers go in circles"))
				}
			}
			if found == 0 {
				t.Error("it was not even told")
			}
		})
	}
}

func TestAnswersInCirclesTeachNoSpeed(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(1, gemini, 60)
	g.feed(d, 1000)
	before := d.series[gemini].levels
	for range 20 {
		d.Observe(looped(g.next()))
	}
	if d.series[gemini].levels != before {
		t.Error("the usual speed changed")
	}
}
