package router

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestThreeFailuresInARowOpenTheBreakerAndAProbeClosesIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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
		if first.Reason != "3 failures in a row, last: server error, HTTP 503" || first.Request != h.log.traces[2].ID || first.ID == 0 {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
	bubble.Test(t, func(t *testing.T) {
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
		if trace := h.log.last(t); trace.Status != 500 || trace.Outcome != record.Failed {
			t.Errorf("the trace says %+v", trace)
		}
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestWhenAllAreOpenTheCallerIsToldTheNextProbe(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
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

func TestAStormOfCancelledCallersNeitherOpensNorWedges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		storm := func() {
			h.gemini.set(&act{silent: true})
			for range 50 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				go func() { h.ask(ctx, chat("gemini", true)); cancel() }()
			}
			time.Sleep(2 * time.Second)
			h.gemini.set(nil)
		}
		storm()
		if got := h.log.changes(); len(got) != 0 {
			t.Errorf("it made %v", got)
		}
		halfOpen(t, h)
		storm()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestTheLeaseOfALostProbeExpiresAndItsLateResultChangesNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var changes []record.Transition
		b := newBreaker(llm.Target{}, 1, time.Minute, func(t record.Transition) { changes = append(changes, t) })
		p, _ := b.allow(time.Minute)
		p.fail(serverDown(), 1)
		time.Sleep(61 * time.Second)
		lost, _ := b.allow(time.Minute)
		time.Sleep(time.Minute)
		if again, v := b.allow(time.Minute); again != nil || v != record.VerdictBreakerProbing || b.refuses(time.Now()) != v {
			t.Errorf("within the lease: %v, %s", again, v)
		}
		time.Sleep(time.Nanosecond)
		if v := b.refuses(time.Now()); v != "" {
			t.Errorf("after the lease it refuses: %s", v)
		}
		next, _ := b.allow(time.Minute)
		if next == nil || !next.probe {
			t.Fatal("the lost probe keeps everybody out")
		}
		lost.succeed()
		lost.failLate(serverDown(), 2)
		if b.state() != record.HalfOpen || len(changes) != 2 {
			t.Errorf("its late result made it %s after %d changes", b.state(), len(changes))
		}
		next.succeed()
		if b.state() != record.Closed {
			t.Errorf("the second probe left it %s", b.state())
		}
	})
}

func TestACutLongAfterTheProbeDoesNotTakeTheNextOnesPlace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newBreaker(llm.Target{}, 1, time.Minute, func(record.Transition) {})
		fail := func() {
			p, _ := b.allow(time.Minute)
			p.fail(serverDown(), 1)
			time.Sleep(61 * time.Second)
		}
		fail()
		old, _ := b.allow(time.Minute)
		old.succeed()
		fail()
		old.failLate(serverDown(), 2) // it is half-open again
		if b.state() != record.HalfOpen {
			t.Errorf("an answer of an earlier time made it %s", b.state())
		}
		next, _ := b.allow(time.Minute)
		next.succeed()
		old.failLate(serverDown(), 3)
		if b.state() != record.Closed {
			t.Errorf("after another probe an answer of an earlier time made it %s", b.state())
		}
	})
}

// For any sequence of outcomes, cancellations, losses and late results at any
// time the breaker lets no second probe out within the lease of the first, and it
// always comes back.
func TestTheBreakerKeepsItsPromises(t *testing.T) {
	const lease, recovery = 30 * time.Second, time.Minute
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			Do   string
			Nth  int
			Wait time.Duration
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				Do:   rapid.SampledFrom([]string{"allow", "allow", "allow", "succeed", "fail", "fail", "neutral", "late"}).Draw(t, "do"),
				Nth:  rapid.IntRange(0, 5).Draw(t, "nth"),
				Wait: rapid.SampledFrom([]time.Duration{0, time.Second, 29 * time.Second, 31 * time.Second, 61 * time.Second}).Draw(t, "wait"),
			}
		}), 1, 80).Draw(rt, "steps")
		bubble.Test(t, func(t *testing.T) {
			b := newBreaker(llm.Target{}, 2, recovery, func(record.Transition) {})
			var out []*permit
			var probe *permit
			var since time.Time
			for _, s := range steps {
				time.Sleep(s.Wait)
				if s.Do == "allow" {
					free := b.refuses(time.Now()) == ""
					p, _ := b.allow(lease)
					if free != (p != nil) {
						rt.Fatalf("it said free: %v, and gave %v", free, p)
					}
					if p == nil {
						continue
					}
					if p.probe {
						if probe != nil && !probe.settled.Load() && time.Since(since) <= lease {
							rt.Fatal("a second probe is out")
						}
						probe, since = p, time.Now()
					}
					out = append(out, p)
				} else if len(out) > 0 {
					p := out[s.Nth%len(out)] // settled before, perhaps
					switch s.Do {
					case "succeed":
						p.succeed()
					case "fail":
						p.fail(serverDown(), 1)
					case "neutral":
						p.neutral()
					case "late":
						p.failLate(serverDown(), 1)
					}
				}
			}
			time.Sleep(recovery + lease + time.Second) // whatever is still out is lost
			p, v := b.allow(lease)
			if p == nil {
				rt.Fatalf("it is wedged: %s", v)
			}
			p.succeed()
			if b.state() != record.Closed {
				rt.Fatalf("a success left it %s", b.state())
			}
			for _, p := range out {
				p.neutral()
			}
			if n := b.busy.Load(); n != 0 {
				rt.Fatalf("%d permits are out", n)
			}
		})
	})
}

// Whatever the upstream does and whenever callers leave, the breaker never
// wedges and never lets more than its probe through.
func TestNoSequenceWedgesTheBreaker(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 40).Draw(rt, "steps")
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t)
			acts := []act{{}, {fail: serverDown()}, {fail: &llm.Failure{Class: llm.RateLimit}}, {silent: true}, {cutAt: 1}, {wait: 5 * time.Second}, {fail: &llm.Failure{Class: llm.Network}}, {}, {panics: true}, {cutAt: 1, stall: true}}
			for _, step := range steps {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				if step == 7 { // a caller without patience
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), time.Second)
					step = 3
				}
				h.gemini.script = []act{acts[step]}
				func() {
					defer func() { recover() }() // as the API does
					h.ask(ctx, chat("gemini", true))
				}()
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

// tries counts how many requests of these callers, in turn, fail until the
// breaker of Gemini opens.
func tries(t *testing.T, h *house, callers ...string) int {
	t.Helper()
	h.gemini.set(&act{fail: serverDown()})
	for n := 1; n <= 20; n++ {
		h.Do(t.Context(), h.NewCall(chat("gemini", true), callers[n%len(callers)]))
		if h.breaker(llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}).state() == record.Open {
			return n
		}
	}
	t.Fatal("the breaker never opened")
	return 0
}

func TestOneCallersFailuresTakeLongerToOpenABreakerThatServesOthers(t *testing.T) {
	for name, c := range map[string]struct {
		callers []string
		after   time.Duration // since another caller was served
		want    int
	}{
		"one caller's, others are served":     {[]string{"second"}, time.Second, 9},
		"several callers'":                    {[]string{"second", "first"}, time.Second, 3},
		"one caller's, it is long since then": {[]string{"second"}, servedLately, 3},
		"of the caller who was served":        {[]string{"tester"}, time.Second, 3},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t)
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from gemini")
			time.Sleep(c.after)
			if got := tries(t, h, c.callers...); got != c.want {
				t.Errorf("%s: opened after %d failures, want %d", name, got, c.want)
			}
		})
	}
}
