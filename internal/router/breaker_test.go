package router

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestThreeFailuresInARowOpenTheBreakerAndAProbeClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.gemini.set(&act{fail: serverDown()})
		for range 10 {
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from claude")
		}
		if got := h.gemini.count(); got != 3 {
			t.Errorf("a dead target was asked %d times, want 3", got)
		}
		if v := h.log.last(t).Plan[0].Verdict; v != record.VerdictBreakerOpen {
			t.Errorf("verdict %s", v)
		}
		time.Sleep(61 * time.Second)
		h.ask(t.Context(), chat("gemini", true)) // the probe, which fails
		h.ask(t.Context(), chat("gemini", true))
		if got := h.gemini.count(); got != 4 {
			t.Errorf("after 61 s it was asked %d times, want one probe more", got)
		}
		h.gemini.set(nil)
		time.Sleep(61 * time.Second)
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		want := []string{"closed>open", "open>half-open", "half-open>open", "open>half-open", "half-open>closed"}
		if got := h.log.changes(); !slices.Equal(got, want) {
			t.Errorf("transitions %v, want %v", got, want)
		}
		first := h.log.transitions[0]
		if first.Reason != "3 failures in a row, last: server (HTTP 503)" || first.Request != h.log.traces[2].ID || first.ID == 0 {
			t.Errorf("the first transition says %+v", first)
		}
	})
}

func TestOnlyFailuresInARowCount(t *testing.T) {
	h := newHouse(t)
	for range 5 {
		h.gemini.script = []act{{fail: serverDown()}, {fail: serverDown()}, {}}
		for range 3 {
			h.ask(t.Context(), chat("gemini", true))
		}
	}
	if got := h.log.changes(); len(got) != 0 {
		t.Errorf("two failures at a time made %v", got)
	}
}

func TestNeutralFailuresNeverMoveABreaker(t *testing.T) {
	for _, class := range llm.FailureClasses() {
		if class.CountsAgainstTarget() {
			continue
		}
		h := newHouse(t)
		h.gemini.set(&act{fail: &llm.Failure{Class: class, Status: 429}})
		for range 10 {
			h.ask(t.Context(), chat("gemini", true))
		}
		if got := h.log.changes(); len(got) != 0 || h.gemini.count() != 10 {
			t.Errorf("%s made %v", class, got)
		}
	}
}

// halfOpen brings gemini's breaker to half-open.
func halfOpen(t *testing.T, h *house) {
	t.Helper()
	h.gemini.set(&act{fail: serverDown()})
	for range 3 {
		h.ask(t.Context(), chat("gemini", true))
	}
	h.gemini.set(nil)
	time.Sleep(61 * time.Second)
}

func TestAProbeThatIsCancelledOrNeutralLetsTheNextOneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		halfOpen(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		h.gemini.script = []act{{silent: true}, {fail: &llm.Failure{Class: llm.RateLimit, Status: 429}}}
		go func() { time.Sleep(time.Second); cancel() }()
		h.ask(ctx, chat("gemini", true))
		h.ask(t.Context(), chat("gemini", true))
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestAHungProbeEndsAtItsDeadlineAndReopens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		halfOpen(t, h)
		h.gemini.script = []act{{silent: true}}
		h.ask(t.Context(), chat("gemini", true))
		if got := h.log.changes(); got[len(got)-1] != "half-open>open" {
			t.Errorf("transitions %v", got)
		}
		time.Sleep(61 * time.Second)
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestOneProbeAtATimeAndALongAnswerKeepsNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		halfOpen(t, h)
		h.gemini.script = []act{{wait: 10 * time.Second}}
		probe := make(chan *Answer)
		go func() {
			answer, _ := h.Do(t.Context(), h.NewCall(chat("gemini", true), ""))
			probe <- answer
		}()
		synctest.Wait()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		if v := h.log.last(t).Plan[0].Verdict; v != record.VerdictBreakerProbing {
			t.Errorf("beside the probe: %s", v)
		}
		answer := <-probe // its first content has come; the rest is not read yet
		text, err = h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		answer.Close()
	})
}

func TestAProbeCutAfterItsFirstContentStillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.FailureThreshold = 1 })
		halfOpen(t, h)
		h.gemini.script = []act{{cutAt: 1}}
		h.ask(t.Context(), chat("gemini", true))
		if got := h.log.changes(); got[len(got)-1] != "closed>open" {
			t.Errorf("transitions %v, want the cut to open it again", got)
		}
	})
}

func TestAPanicInAnUpstreamDoesNotWedgeTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		halfOpen(t, h)
		h.gemini.script = []act{{panics: true}}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			h.ask(t.Context(), chat("gemini", true))
		}()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestWhenAllAreOpenTheCallerIsToldTheNextProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for _, f := range []*fake{h.gemini, h.claude, h.openai, h.local} {
			f.set(&act{fail: serverDown()})
		}
		for range 3 {
			_, err := h.ask(t.Context(), chat("auto", true))
			var e *Error
			if !errors.As(err, &e) || e.Status != 502 || e.Attempts != 4 {
				t.Fatalf("while they fail: %v", err)
			}
		}
		time.Sleep(20 * time.Second)
		began := time.Now()
		_, err := h.ask(t.Context(), chat("auto", true))
		var e *Error
		if !errors.As(err, &e) || e.Status != 503 || e.Code != "all_breakers_open" || e.RetryAfter != 40*time.Second {
			t.Errorf("got %#v", err)
		}
		if time.Since(began) != 0 || h.log.last(t).Outcome != record.Failed {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

// Whatever the upstream does and whenever callers leave, the breaker never
// wedges and never lets more than its probe through.
func TestNoSequenceWedgesTheBreaker(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 40).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			acts := []act{{}, {fail: serverDown()}, {fail: &llm.Failure{Class: llm.RateLimit}}, {silent: true}, {cutAt: 1}, {wait: 5 * time.Second}, {fail: &llm.Failure{Class: llm.Network}}}
			for _, step := range steps {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				if step == 7 { // a caller without patience
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
					step = 3
				}
				h.gemini.script = []act{acts[step]}
				h.ask(ctx, chat("gemini", true))
				cancel()
				time.Sleep(7 * time.Second)
			}
			before := h.gemini.count()
			h.gemini.set(&act{wait: time.Second})
			time.Sleep(61 * time.Second)
			if h.breaker(llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}).state() == record.HalfOpen {
				for range 5 {
					go h.ask(t.Context(), chat("gemini", true))
				}
				synctest.Wait()
				if got := h.gemini.count() - before; got != 1 {
					t.Fatalf("%v: half-open let %d through", steps, got)
				}
				time.Sleep(2 * time.Second)
			}
			text, err := h.ask(t.Context(), chat("gemini", true))
			if err != nil || text != "hello from gemini" {
				t.Fatalf("%v: wedged: %q, %v", steps, text, err)
			}
		})
	})
}
