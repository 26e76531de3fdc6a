package router

import (
	"strings"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
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
		h.gemini.script, took = []act{{silent: true}}, 60*time.Second+time.Second
	}
	h.mustTake(t, took, "hello from claude")
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
			c.Estimate = func(_ llm.Target, req *llm.Request) int64 { return int64(len(req.Messages[0].Parts[0].Text)) }
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

func TestWhereNothingHungOrNobodyElseAnswersACanaryHasAllItsTime(t *testing.T) {
	const late = 40 * time.Second
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, false)
		h.gemini.set(&act{wait: late})
		h.mustTake(t, late, "hello from gemini")
		h.mustTake(t, leastHurry+time.Second, "hello from claude") // now it has kept somebody waiting
		time.Sleep(paceHalfLife)
		h.mustTake(t, late, "hello from gemini") // that is long ago
	})
	bubble.Test(t, func(t *testing.T) {
		h := doubt(t, true)
		for _, e := range []llm.Provider{llm.Claude, llm.OpenAI, llm.Local} {
			h.hold(e)
		}
		h.gemini.set(&act{wait: late})
		began := time.Now()
		text, err := h.ask(t.Context(), chat("gemini", true))
		if mustSay(t, text, err, "hello from gemini"); time.Since(began) != late {
			t.Errorf("it took %v", time.Since(began))
		}
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
		b := h.breakerOf(llm.Gemini)
		for range 2 * mostHurried { // at the same time
			(&attempt{permit: &permit{b: b}, hurried: true}).noteTimeout(awaitsFirst)
		}
		h.mustTake(t, 30*time.Second, "hello from gemini")
		h.mustTake(t, leastHurry+time.Second, "hello from claude")
	})
}

func TestABreakersProbeOfATargetThatHangsIsHurriedAndALocalOneIsNot(t *testing.T) {
	for model, want := range map[string]time.Duration{"gemini": leastHurry, "local": 60 * time.Second} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, func(c *Config) { c.FailureThreshold = 1 })
			f := map[string]*fake{"gemini": h.gemini, "local": h.local}[model]
			h.usually(f, time.Second, 50)
			f.set(&act{silent: true})
			for _, want := range []time.Duration{60 * time.Second, want} {
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
