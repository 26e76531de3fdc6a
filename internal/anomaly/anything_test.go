package anomaly

import (
	"math"
	"testing"
	"time"

	"breakwater/internal/llm"

	"pgregory.net/rapid"
)

// Whatever happens to a target, a hold ends once it is well, or when no requests
// come, what is shown is a number, and what is known can be saved.
func TestAfterAnythingAHoldEndsAndTheStateCanBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newTraffic(rapid.Uint64().Draw(t, "seed"), gemini, rapid.SampledFrom([]float64{0.01, 1, 20, 600, 1e6}).Draw(t, "rate"))
		w, holder, events := settled(g, 200, 3)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			happens(t, w, g, holder)
		}
		g.errors, g.slow, g.rate = 0, 1, min(g.rate, 600) // so that its end is not a million requests away
		requests := rapid.Bool().Draw(t, "requests")
		last, held := holder.held[gemini]
		for over := false; held && !over; { // once at least, since what happened last may have taken long
			over = !g.now.Before(last.Placed.Add(DefaultLongest + time.Minute))
			if requests {
				w.Observe(let(g, holder))
			} else {
				g.now = g.now.Add(time.Second)
			}
			w.Tick(g.now)
			held = holder.held[gemini].ID == last.ID
		}
		if held {
			t.Errorf("still held: %s", kinds(*events))
		}
		for _, s := range w.Scores() {
			if sum := s.Evidence + s.Z + s.Now + s.Usual; math.IsNaN(sum) || math.IsInf(sum, 0) {
				t.Errorf("%+v", s)
			}
		}
		if err := w.Load(w.Save()); err != nil {
			t.Error(err)
		}
	})
}

// happens lets one thing happen, of which each may come at any time.
func happens(t *rapid.T, w *Watcher, g *traffic, holder *fakeHolder) {
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		g.errors = rapid.SampledFrom([]float64{0, 0.01, 0.3, 1}).Draw(t, "errors")
	case 1:
		g.slow = rapid.SampledFrom([]float64{1, 3, 20}).Draw(t, "slow")
	case 2:
		w.Broke(gemini, g.now)
	case 3:
		if err := w.Load(w.Save()); err != nil {
			t.Fatal(err)
		}
	case 4: // the clock is set back
		g.now = g.now.Add(-time.Duration(rapid.IntRange(0, 300).Draw(t, "back")) * time.Second)
	case 5:
		w.Tick(g.now)
	case 6: // an attempt that tells of itself what cannot be, and perhaps began yesterday
		s := g.next()
		s.Took = time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "took"))
		s.TTFT = time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "ttft"))
		s.InputTokens = rapid.Int64Range(-1<<40, 1<<40).Draw(t, "input")
		s.OutputTokens = rapid.Int64Range(0, 1<<40).Draw(t, "output")
		s.Class = rapid.SampledFrom([]llm.FailureClass{"", llm.Server, llm.RateLimit, llm.Cancelled}).Draw(t, "class")
		s.Retry, s.Canary, s.Looping = rapid.Bool().Draw(t, "retry"), rapid.Bool().Draw(t, "canary"), rapid.Bool().Draw(t, "looping")
		w.Observe(s)
	default:
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			if _, held := holder.held[gemini]; held {
				w.Observe(let(g, holder))
			} else {
				w.Observe(g.next())
			}
			w.Tick(g.now)
		}
	}
}
