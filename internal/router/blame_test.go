package router

import (
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
)

// all gives the fakes in the order of the chain.
func (h *house) all() []*fake { return []*fake{h.gemini, h.claude, h.openai, h.local} }

// poisoned is a caller's request that fails wherever it goes.
func (h *house) poisoned(t *testing.T, caller string) {
	t.Helper()
	for _, f := range h.all() {
		f.set(&act{fail: serverDown()})
	}
	if _, err := h.Do(t.Context(), h.NewCall(chat("auto", true), caller)); err == nil {
		t.Fatal("it was served")
	}
	for _, f := range h.all() {
		f.set(nil)
	}
}

// well is another caller's request, served by the first that is asked.
func (h *house) well(t *testing.T) {
	t.Helper()
	text, err := h.ask(t.Context(), chat("auto", true))
	mustSay(t, text, err, "hello from gemini")
}

func TestRequestsThatFailEverywhereOpenNoBreakerWhileOthersAreServed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for range 20 {
			h.well(t)
			for range 4 {
				h.poisoned(t, "poison")
			}
			time.Sleep(servedLately / 2)
		}
		if got := h.log.changes(); len(got) > 0 {
			t.Errorf("they made %v", got)
		}
	})
}

func TestWhatAProviderThatWorksFailedTooIsNotTriedAgain(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Retries = Retries{Max: 2} })
	h.well(t)
	asked := h.local.count()
	h.poisoned(t, "poison")
	if got := h.local.count() - asked; got != 1 {
		t.Errorf("the last one was asked %d times, want once", got)
	}
}

// One failure of others, which somebody serves, hides nobody.
func TestAnAccidentOfOthersDoesNotHideWhoIsToBlame(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for range 10 {
			h.well(t)
			h.gemini.script = []act{{fail: serverDown()}}
			text, err := h.ask(t.Context(), chat("auto", true))
			mustSay(t, text, err, "hello from claude")
			for range 4 {
				h.poisoned(t, "poison")
			}
		}
		if got := h.log.changes(); len(got) > 0 {
			t.Errorf("they made %v", got)
		}
	})
}

func TestRequestsThatFailEverywhereOpenEveryBreakerWhereNobodyIsKnownToWork(t *testing.T) {
	for name, c := range map[string]struct {
		callers []string
		after   time.Duration // since another caller was served
		most    int           // requests until all are open
	}{
		"nobody else was served lately": {[]string{"poison"}, servedLately, 3},
		"nobody else asks":              {[]string{"tester"}, time.Second, 3},
		"several callers' fail":         {[]string{"first", "second", "third"}, time.Second, 5},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t)
			h.well(t)
			time.Sleep(c.after)
			for n := 1; ; n++ {
				h.poisoned(t, c.callers[n%len(c.callers)])
				if open := len(h.log.changes()); open == 4 && n <= c.most {
					return
				} else if n == c.most {
					t.Errorf("%s: after %d requests %d breakers are open, want 4", name, n, open)
					return
				}
			}
		})
	}
}

// What somebody serves in the end is not to blame for what others failed it with.
func TestWhatSomebodyServesCountsAgainstAllWhoFailedIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.well(t)
		h.gemini.set(&act{fail: serverDown()})
		h.claude.set(&act{fail: serverDown()})
		for range 3 {
			if _, err := h.Do(t.Context(), h.NewCall(chat("auto", true), "second")); err != nil {
				t.Fatal(err)
			}
		}
		if got := h.failures(llm.Gemini); got != 3 {
			t.Errorf("the first one's breaker counts %d failures, want 3", got)
		}
		if h.at("claude/claude-sonnet-4-5").state() != "open" {
			t.Error("the second one's breaker did not open, though it served nobody")
		}
	})
}

// A probe that somebody's request fails, as it fails everywhere, is not the target's.
func TestAProbeOfARequestThatFailsEverywhereLetsTheNextOneIn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.claude.set(&act{fail: serverDown()})
		for range 3 {
			h.Do(t.Context(), h.NewCall(chat("claude", true), "poison"))
		}
		h.claude.set(nil)
		time.Sleep(DefaultRecoveryTimeout + time.Second)
		h.well(t)
		h.poisoned(t, "poison")
		text, err := h.ask(t.Context(), chat("claude", true))
		mustSay(t, text, err, "hello from claude")
		if got := h.log.changes(); slices.Contains(got, "half-open>open") {
			t.Errorf("transitions %v", got)
		}
	})
}

// Whoever takes over from the first one has not answered anybody yet.
func TestWhoTakesOverIsNotLeftForRequestsThatFailEverywhere(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.well(t)
		h.poisoned(t, "poison")
		h.gemini.set(&act{fail: &llm.Failure{Class: llm.Network}})
		for range 3 {
			answer, err := h.Do(t.Context(), h.NewCall(chat("auto", true), "tester"))
			if err != nil || answer.Target.Provider != llm.Claude {
				t.Fatalf("%v, %v", answer, err)
			}
			defer answer.Close()
		}
		for range 5 {
			h.poisoned(t, "poison")
		}
		if got := h.log.changes(); !slices.Equal(got, []string{"closed>open"}) {
			t.Errorf("transitions %v, want the first one's alone", got)
		}
	})
}

// Whoever is to blame, each permit is settled once.
func TestEveryPermitIsSettledWhoeverIsToBlame(t *testing.T) {
	acts := []act{{}, {}, {fail: serverDown()}, {fail: serverDown()}, {fail: &llm.Failure{Class: llm.Garbage}}, {fail: &llm.Failure{Class: llm.Network}},
		{fail: &llm.Failure{Class: llm.RateLimit}}, {fail: &llm.Failure{Class: llm.BadRequest}}, {silent: true}, {panics: true}, {wait: 5 * time.Second}}
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			Caller string
			Does   []int
			Wait   time.Duration
			Leaves bool
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				Caller: rapid.SampledFrom([]string{"", "first", "second", "third"}).Draw(t, "caller"),
				Does:   rapid.SliceOfN(rapid.IntRange(0, len(acts)-1), 4, 4).Draw(t, "does"),
				Wait:   rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "wait"),
				Leaves: rapid.IntRange(0, 9).Draw(t, "leaves") == 0,
			}
		}), 1, 30).Draw(rt, "steps")
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t)
			for _, s := range steps {
				for i, f := range h.all() {
					f.set(&acts[s.Does[i]])
				}
				ctx, leave := context.WithCancel(t.Context())
				if s.Leaves {
					time.AfterFunc(3*time.Second, leave)
				}
				func() {
					defer func() { recover() }() // as the API does
					if answer, err := h.Do(ctx, h.NewCall(chat("auto", true), s.Caller)); err == nil {
						answer.Close()
					}
				}()
				leave()
				time.Sleep(s.Wait)
			}
			for target, b := range *h.breakers.Load() {
				if n := b.busy.Load(); n != 0 {
					rt.Fatalf("%d permits of %s are out", n, target)
				}
			}
		})
	})
}
