package monitor

import (
	"context"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// did ends n attempts of a target as the class says, at an instant.
func (p *post) did(at time.Time, n int, target llm.Target, class llm.FailureClass, took time.Duration) {
	for range n {
		outcome := record.Served
		if class != "" {
			outcome = record.Failed
		}
		p.Trace(&record.Trace{
			ID: p.ids.Next(time.Now()), Accepted: at.Add(-took), Took: took, Door: llm.Plain, Outcome: outcome,
			Attempts: []record.Attempt{{Target: target, Class: class, Took: took, TTFT: took / 2}},
		})
	}
}

func (p *post) healths() Healths {
	p.t.Helper()
	p.flush()
	all, err := ReadHealths(context.Background(), p.store, noon)
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

func TestEachWindowCountsWhatEndedWithinIt(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		const day = 24 * time.Hour
		for _, ago := range []time.Duration{0, 4*time.Minute - 1, 59*time.Minute - 1, 10 * time.Hour, 6 * day, 20 * day, 80 * day, 100 * day} {
			p.did(noon.Add(-ago), 3, gemini, "", time.Second)
			p.did(noon.Add(-ago), 1, gemini, llm.Server, time.Second)
			p.did(noon.Add(-ago), 1, gemini, llm.RateLimit, time.Second)
			p.did(noon.Add(-ago), 5, gemini, llm.Cancelled, time.Second)
		}
		all := p.healths()
		for i, h := range all.Providers[llm.Gemini] {
			n := int64(i + 2)
			if h.Sum.Served != 3*n || h.Sum.Failed != n || h.Sum.Throttled != n || h.Sum.Cancelled != 5*n {
				t.Errorf("%s: %+v, want %d times all", h.Name, h.Sum, n)
			}
			if a, known := h.Availability(); !known || a != 0.75 {
				t.Errorf("%s: availability %v, %v", h.Name, a, known)
			}
			if e, known := h.Errors(); !known || e != 0.4 {
				t.Errorf("%s: errors %v, %v", h.Name, e, known)
			}
			if callers := all.Callers[i]; callers.Sum.Served != 3*n || callers.Sum.Failed != 7*n {
				t.Errorf("%s: callers %+v", h.Name, callers.Sum)
			}
			if got := h.Sum.Latency.Quantile(0.5); got < 990*time.Millisecond || got > 1010*time.Millisecond {
				t.Errorf("%s: p50 %v", h.Name, got)
			}
		}
	})
}

func TestWithoutDataThereIsNoHealth(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.did(noon, 4, claude, llm.RateLimit, time.Second)
		for name, h := range map[string]Health{"never asked": p.healths().Providers[llm.Gemini][5], "only throttled": p.healths().Providers[llm.Claude][0]} {
			if v, known := h.Availability(); known {
				t.Errorf("%s: availability %v", name, v)
			}
			if v, known := h.Score(time.Second); known {
				t.Errorf("%s: score %v", name, v)
			}
			if v, known := h.Errors(); known != (name == "only throttled") || known && v != 1 {
				t.Errorf("%s: errors %v, %v", name, v, known)
			}
		}
	})
}

func TestTheHealthScoreCountsASlowAnswerHalf(t *testing.T) {
	h := Health{Sum: store.Rollup{Served: 8, Failed: 2}}
	for i := range 8 {
		h.Sum.Latency.Add(time.Second + time.Duration(i/6)*9*time.Second) // two take 10 s
	}
	for _, test := range []struct {
		slow time.Duration
		want float64
	}{{0, 80}, {20 * time.Second, 80}, {2 * time.Second, 70}, {time.Millisecond, 40}} {
		if got, known := h.Score(test.slow); !known || got < test.want-0.01 || got > test.want+0.01 {
			t.Errorf("slow from %v: %v, %v, want %v", test.slow, got, known, test.want)
		}
	}
}
