package router

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// doubt has Gemini, of which a second is usual, be held and get each request as a
// canary; hung says that it kept somebody waiting just now.
func doubt(t *testing.T, hung bool, change ...func(*Config)) *house {
	h := newHouse(t, append(change, func(c *Config) { c.CanaryInterval, c.FailureThreshold = time.Nanosecond, 100 })...)
	h.usually(h.gemini, time.Second, 50)
	h.gemini.script = []act{{fail: serverDown()}}
	took := time.Second
	if hung {
		h.gemini.script, took = []act{{silent: true}}, leastPatience+time.Second
	}
	h.mustTake(t, took, "hello from claude")
	h.breakerOf(llm.Gemini).givenUp.Store(0)
	if !h.Hold(record.Hold{Target: h.endpoints[llm.Gemini][0].target(""), Source: record.ByAnomaly, Expires: time.Now().Add(time.Hour)}) {
		t.Fatal("it is not held")
	}
	time.Sleep(time.Second)
	return h
}

// mustTake asks for a stream, which Claude begins after a second.
func (h *house) mustTake(t *testing.T, want time.Duration, text string) {
	t.Helper()
	h.claude.set(&act{wait: time.Second})
	began := time.Now()
	got, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, got, err, text)
	if took := time.Since(began); took != want {
		t.Errorf("it took %v, not %v", took, want)
	}
}

func TestACanaryOfATargetThatHangsIsNotWaitedForLong(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		h.gemini.set(&act{silent: true})
		h.mustTake(t, leastHurry+time.Second, "hello from claude")
		a := h.log.last(t).Attempts[0]
		if !a.Canary || a.Class != llm.Timeout || a.Took != leastHurry {
			t.Errorf("the attempt is %+v", a)
		}
		h.gemini.set(&act{preface: 100, think: time.Second}) // a first piece, and no content
		h.mustTake(t, leastHurry+time.Second, "hello from claude")
		h.gemini.set(&act{wait: leastHurry - time.Millisecond})
		h.mustTake(t, leastHurry-time.Millisecond, "hello from gemini")
	})
}

func TestFourTimesWhatIsUsualOfTheRequestIsNotTooLate(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true, func(c *Config) {
			c.Estimate = func(_ llm.Target, req *llm.Request) int64 {
				return int64(len(req.Messages[0].Parts[0].Text) / 100 * 100)
			}
		})
		pace := &h.breakerOf(llm.Gemini).pace
		for range 100 {
			pace.served(5*time.Second, time.Second, llm.Usage{Input: 1000, Output: 50}, true)
		}
		unusual, _ := pace.unusual(500, true)
		if unusual < 8*time.Second || unusual > 16*time.Second {
			t.Fatalf("unusual for a request of middling length is %v", unusual)
		}
		h.gemini.set(&act{silent: true})
		began := time.Now()
		req := chat("gemini", true)
		req.Messages[0].Parts[0].Text = strings.Repeat("a", 500)
		text, err := h.ask(t.Context(), req)
		mustSay(t, text, err, "hello from claude")
		if took := time.Since(began) - time.Second; (took - unusual).Abs() > unusual/100 {
			t.Errorf("it was cut off after %v, unusual is %v", took, unusual)
		}
	})
}

func TestACanaryOfATargetThatDidNotHangLatelyIsLikeAnyOther(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, false)
		h.gemini.set(&act{silent: true})
		h.mustTake(t, leastPatience+time.Second, "hello from claude")
		h.mustTake(t, leastHurry+time.Second, "hello from claude") // now it has kept somebody waiting
		time.Sleep(paceHalfLife)
		h.mustTake(t, leastPatience+time.Second, "hello from claude") // that is long ago
	})
}

func TestAStreamThatIsFarTooLateIsAnsweredElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*house, *llm.Request)
		want   time.Duration
	}{
		"as usual":             {func(*house, *llm.Request) {}, leastPatience},
		"not to think":         {func(_ *house, r *llm.Request) { r.Thought = &llm.Thought{Effort: "none"} }, leastPatience},
		"to think":             {func(_ *house, r *llm.Request) { r.Thought = &llm.Thought{} }, 60 * time.Second},
		"as configured":        {func(h *house, _ *llm.Request) { h.endpoints[llm.Gemini][0].Timeouts.Patient = true }, 60 * time.Second},
		"in one piece":         {func(_ *house, r *llm.Request) { r.Stream = false }, 10 * time.Minute},
		"hardly anything seen": {func(h *house, _ *llm.Request) { h.breakerOf(llm.Gemini).pace = pace{} }, 60 * time.Second},
		"nobody else is well": {func(h *house, _ *llm.Request) {
			for _, p := range []llm.Provider{llm.Claude, llm.OpenAI, llm.Local} {
				h.hold(p)
			}
		}, 60 * time.Second},
		"a long prompt": {func(h *house, _ *llm.Request) {
			h.estimate = func(llm.Target, *llm.Request) int64 { return 40_000 }
		}, leastPatience + 40_000/slowestReading*time.Second},
		"nobody else has room": {func(h *house, _ *llm.Request) {
			h.hold(llm.OpenAI)
			h.hold(llm.Local)
			h.claude.withKeys(t, limited(1))
			h.claude.Admit(provider.Ask{Model: "m", Tokens: func() int64 { return 1 }})
		}, 60 * time.Second},
		"nobody else can carry it": {func(h *house, r *llm.Request) {
			r.Dialect, r.Beyond = h.gemini.dialect, []string{"cached_content"}
		}, 60 * time.Second},
		"eight times what is usual": {func(h *house, _ *llm.Request) {
			h.breakerOf(llm.Gemini).pace = pace{}
			h.usually(h.gemini, 3*time.Second, 50)
		}, 24 * time.Second},
		"one in a hundred takes 10 s": {func(h *house, _ *llm.Request) {
			h.usually(h.gemini, time.Second, 50)
			pace := &h.breakerOf(llm.Gemini).pace
			for range 3 {
				pace.served(10*time.Second, 2*time.Second, llm.Usage{Input: 100, Output: 100}, true)
			}
		}, 2 * bucketEnd(bucketOf(10*time.Second))},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.usually(h.gemini, time.Second, 50)
			h.gemini.set(&act{silent: true})
			req := chat("gemini", true)
			c.change(h, req)
			h.ask(t.Context(), req)
			a := h.log.last(t).Attempts[0]
			if a.Class != llm.Timeout || a.Took != c.want || !strings.HasPrefix(a.Message, "nothing for "+c.want.Round(time.Millisecond).String()) {
				t.Errorf("%s: the attempt is %+v; want it cut off after %v", name, a, c.want)
			}
		})
	}
}

func TestAStreamOfWhichAnythingCameIsNotGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.usually(h.gemini, time.Second, 50)
		h.gemini.set(&act{preface: 1, think: 30 * time.Second})
		h.mustTake(t, leastPatience+time.Second, "hello from claude")
		h.gemini.set(&act{preface: 3, think: 9 * time.Second})
		h.mustTake(t, 27*time.Second, "hello from gemini")
		h.usually(h.gemini, 3*time.Second, 50) // so that it is looked at after 10 s, and late after 24
		h.gemini.set(&act{wait: 15 * time.Second, slowly: 10 * time.Second})
		h.mustTake(t, 45*time.Second, "hello from gemini")
	})
}

func TestTheFirstOfARaceIsNotGivenUpWhenTheSecondHasFailed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging)
		h.usually(h.gemini, time.Second, 50)
		h.hold(llm.OpenAI)
		h.gemini.set(&act{wait: 15 * time.Second})
		h.claude.set(&act{fail: serverDown()})
		began := time.Now()
		text, err := h.ask(t.Context(), chat("ships", true))
		if mustSay(t, text, err, "hello from gemini"); time.Since(began) != 15*time.Second {
			t.Errorf("it took %v", time.Since(began))
		}
	})
}

func TestWhatWasWaitedForTellsAsSoonAsItBegins(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.FailureThreshold = 100 })
		h.usually(h.gemini, time.Second, 50)
		h.gemini.set(&act{wait: 12 * time.Second}) // for good
		for range mostHurried {
			h.mustTake(t, leastPatience+time.Second, "hello from claude")
		}
		h.gemini.set(&act{wait: 12 * time.Second, slowly: time.Minute / 2})
		var slow sync.WaitGroup
		slow.Go(func() { h.ask(t.Context(), chat("gemini", true)) })
		time.Sleep(13 * time.Second)
		h.gemini.set(&act{wait: 12 * time.Second})
		h.mustTake(t, 12*time.Second, "hello from gemini")
		slow.Wait()
	})
}

func TestACallerWhoLeavesOneThatIsWaitedForLeavesThatToTheNext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.FailureThreshold = 100 })
		h.usually(h.gemini, time.Second, 50)
		h.gemini.set(&act{wait: 30 * time.Second})
		for range mostHurried {
			h.mustTake(t, leastPatience+time.Second, "hello from claude")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		h.ask(ctx, chat("gemini", true))
		cancel()
		h.mustTake(t, 30*time.Second, "hello from gemini")
		mustBeClean(t, h)
	})
}

func TestAfterThreeThatWereCutOffOneHasAllTheTimeThereIs(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		h.gemini.set(&act{wait: 30 * time.Second}) // for good
		for range 2 {
			for range mostHurried {
				h.mustTake(t, leastHurry+time.Second, "hello from claude")
			}
			h.mustTake(t, 30*time.Second, "hello from gemini")
		}
	})
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.FailureThreshold = 100 })
		h.usually(h.gemini, time.Second, 50)
		for range mostHurried { // now and then, and the others are as usual
			h.gemini.set(&act{wait: 30 * time.Second})
			h.mustTake(t, leastPatience+time.Second, "hello from claude")
			h.gemini.set(&act{wait: time.Second})
			h.mustTake(t, time.Second, "hello from gemini")
		}
		h.gemini.set(&act{wait: 30 * time.Second})
		var all sync.WaitGroup
		for range 5 { // one of those who are late together is waited for
			all.Go(func() { h.ask(t.Context(), chat("gemini", true)) })
		}
		all.Wait()
		if n := h.claude.count() - mostHurried; n != 4 {
			t.Errorf("%d of 5 were cut off", n)
		}
		h.mustTake(t, 30*time.Second, "hello from gemini") // which speaks for three more
	})
}

func TestOneThatTriesATargetInTimeHasTheNextThreeGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		for range 2 {
			h.gemini.set(&act{silent: true})
			for range mostHurried - 1 {
				h.mustTake(t, leastHurry+time.Second, "hello from claude")
			}
			h.gemini.set(&act{wait: time.Second})
			h.mustTake(t, time.Second, "hello from gemini")
		}
	})
}

func TestABreakersProbeOfATargetThatHangsIsHurriedAndALocalOneIsNot(t *testing.T) {
	for model, want := range map[string]time.Duration{"gemini": leastHurry, "local": 60 * time.Second} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, func(c *Config) { c.FailureThreshold = 1 })
			f := map[string]*fake{"gemini": h.gemini, "local": h.local}[model]
			h.usually(f, time.Second, 50)
			f.set(&act{silent: true})
			for _, want := range []time.Duration{max(want, leastPatience), want} {
				if _, err := h.ask(t.Context(), chat(model, true)); err != nil {
					t.Fatal(err)
				}
				if a := h.log.last(t).Attempts[0]; a.Class != llm.Timeout || a.Took != want {
					t.Errorf("%s: the attempt is %+v; want it cut off after %v", model, a, want)
				}
				time.Sleep(DefaultRecoveryTimeout + time.Second)
			}
		})
	}
}

func TestAnAnswerInOnePieceIsHurriedLess(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		pace := &h.breakerOf(llm.Gemini).pace
		for range 10 {
			pace.served(30*time.Second, 0, llm.Usage{Input: 10, Output: 500}, false)
		}
		h.gemini.set(&act{silent: true})
		if _, err := h.ask(t.Context(), chat("gemini", false)); err != nil {
			t.Fatal(err)
		}
		if a := h.log.last(t).Attempts[0]; a.Class != llm.Timeout || a.Took != 120*time.Second {
			t.Errorf("the attempt is %+v; want four times the usual half a minute", a)
		}
	})
}

func TestAnAnswerInOnePieceHasAsLongAsAStreamHasInAnyCase(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		h.gemini.set(&act{silent: true})
		if _, err := h.ask(t.Context(), chat("gemini", false)); err != nil {
			t.Fatal(err)
		}
		if a := h.log.last(t).Attempts[0]; a.Took != 10*time.Minute { // of such answers nothing is known
			t.Errorf("the attempt is %+v", a)
		}
		for range 2 * few {
			h.breakerOf(llm.Gemini).pace.served(time.Second, 0, llm.Usage{Input: 10, Output: 500}, false)
		}
		if _, err := h.ask(t.Context(), chat("gemini", false)); err != nil {
			t.Fatal(err)
		}
		if a := h.log.last(t).Attempts[0]; a.Took != 60*time.Second {
			t.Errorf("the attempt is %+v", a)
		}
	})
}

func TestWhatOneInTwentyNeedsIsNotOutOfTheOrdinary(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		pace := &h.breakerOf(llm.Gemini).pace
		for range 10 {
			pace.served(40*time.Second, time.Second, llm.Usage{Input: 100, Output: 50}, true)
		}
		h.gemini.set(&act{wait: 40 * time.Second})
		h.mustTake(t, 40*time.Second, "hello from gemini")
	})
}

func TestACanaryInAHurryIsHedgedAsAnyOther(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true, hedging)
		h.gemini.set(&act{silent: true})
		began := time.Now()
		text, err := h.ask(t.Context(), chat("ships", true))
		mustSay(t, text, err, "hello from claude")
		if took, want := time.Since(began), h.late(t, llm.Gemini)+time.Second; took != want {
			t.Errorf("it took %v, not %v", took, want)
		}
		h.claude.set(&act{wait: 30 * time.Second}) // so that the first one is cut off before
		if _, err = h.ask(t.Context(), chat("ships", true)); err != nil {
			t.Fatal(err)
		}
		if a := h.log.last(t).Attempts[0]; a.Class != llm.Timeout || a.Took != leastHurry {
			t.Errorf("the attempt is %+v", a)
		}
		mustBeClean(t, h)
	})
}
