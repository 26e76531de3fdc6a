package router

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// hedging adds a route "ships" that may ask a second target, each time.
func hedging(c *Config) {
	c.HedgeShare = 1
	c.Routes = []Route{{Name: "fast", Models: []string{"ships"}, Targets: []string{"gemini", "claude", "openai"}, Hedge: true}}
}

// usually teaches the router how soon and how fast a fake answers.
func (h *house) usually(f *fake, first time.Duration, rate int64) {
	for _, es := range h.endpoints {
		for _, e := range es {
			if e.Upstream == f {
				for range 100 {
					h.breaker(e.target("")).pace.served(first, 2*time.Second, llm.Usage{Input: 100, Output: 2 * rate}, true)
				}
			}
		}
	}
}

// late gives how long a hedge waits for a fake.
func (h *house) late(t *testing.T, p llm.Provider) time.Duration {
	t.Helper()
	late, ok := h.breakerOf(p).pace.late()
	if !ok {
		t.Fatal("nothing is usual")
	}
	return late
}

func TestALateFirstContentIsHedgedAndTheSoonerOneServes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging)
		h.usually(h.gemini, time.Second, 50)
		for _, f := range []*fake{h.gemini, h.claude} {
			f.withKeys(t, limited(1))
		}
		late := h.late(t, llm.Gemini)
		h.gemini.script, h.claude.script = []act{{wait: 30 * time.Second}}, []act{{wait: 100 * time.Millisecond}}
		began := time.Now()
		text, err := h.ask(t.Context(), chat("ships", true))
		mustSay(t, text, err, "hello from claude")
		if took := time.Since(began); took != late+100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		trace := h.log.last(t)
		a := trace.Attempts
		if len(a) != 2 || a[0].Target.Provider != llm.Gemini || a[0].Class != llm.Cancelled || a[0].Hedge || a[0].Took != trace.TTFT ||
			a[1].Target.Provider != llm.Claude || a[1].Class != "" || !a[1].Hedge || a[1].Start != late {
			t.Errorf("attempts %+v", a)
		}
		if trace.Plan[0].Verdict != record.VerdictNotNeeded || trace.Plan[0].Detail == "" || trace.Plan[1].Verdict != record.VerdictServed ||
			trace.Reason != "Gemini was later, so Claude served" {
			t.Errorf("the trace says %q and %+v", trace.Reason, trace.Plan)
		}
		mustBeClean(t, h)
	})
}

func TestWhereTheFirstOneIsSoonerTheHedgeIsCancelledAndItsCostTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging)
		h.usually(h.gemini, time.Second, 50)
		late := h.late(t, llm.Gemini)
		h.gemini.script, h.claude.script = []act{{wait: late + time.Second}}, []act{{told: 70, preface: 10, think: time.Minute}}
		text, err := h.ask(t.Context(), chat("ships", true))
		mustSay(t, text, err, "hello from gemini")
		trace := h.log.last(t)
		a := trace.Attempts
		if len(a) != 2 || a[0].Class != "" || !a[1].Hedge || a[1].Class != llm.Cancelled || a[1].Usage.Input != 70 || trace.Cost != 15+70 {
			t.Errorf("cost %d, attempts %+v", trace.Cost, a)
		}
		if trace.Usage.Input != 10 || trace.Served.Provider != llm.Gemini || trace.Plan[1].Verdict != record.VerdictNotNeeded {
			t.Errorf("the trace says %+v", trace)
		}
		mustBeClean(t, h)
	})
}

func TestAnswersAtTheSameInstantLeaveOne(t *testing.T) {
	for i := range 20 {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, hedging)
			h.usually(h.gemini, time.Second, 50)
			late := h.late(t, llm.Gemini)
			h.gemini.script, h.claude.script = []act{{wait: late + time.Second, deaf: i%2 == 0}}, []act{{wait: time.Second, deaf: i%2 == 0}}
			text, err := h.ask(t.Context(), chat("ships", true))
			trace := h.log.last(t)
			mustSay(t, text, err, "hello from "+string(trace.Served.Provider))
			served := 0
			for _, a := range trace.Attempts {
				if a.Class == "" {
					served++
				}
			}
			if len(trace.Attempts) != 2 || served != 1 {
				t.Errorf("attempts %+v", trace.Attempts)
			}
			mustBeClean(t, h)
		})
	}
}

func TestAHedgeServesWhereTheFirstOneFailsLater(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging)
		h.usually(h.gemini, time.Second, 50)
		h.gemini.script, h.claude.script = []act{{wait: 4 * time.Second, fail: serverDown()}}, []act{{wait: 10 * time.Second}}
		text, err := h.ask(t.Context(), chat("ships", true))
		mustSay(t, text, err, "hello from claude")
		if trace := h.log.last(t); trace.Plan[0].Verdict != record.VerdictTriedFailed || trace.Attempts[0].Class != llm.Server {
			t.Errorf("%+v", trace)
		}
		h.gemini.script, h.claude.script = []act{{wait: 4 * time.Second, fail: serverDown()}}, []act{{wait: time.Second, fail: serverDown()}}
		text, err = h.ask(t.Context(), chat("ships", true))
		mustSay(t, text, err, "hello from openai")
		h.gemini.script, h.claude.script = []act{{wait: 4 * time.Second, fail: &llm.Failure{Class: llm.BadRequest, Status: 400}}}, []act{{wait: time.Minute}}
		began := time.Now()
		if _, err = h.ask(t.Context(), chat("ships", true)); err == nil || time.Since(began) != 4*time.Second {
			t.Errorf("a request at fault: %v after %v", err, time.Since(began))
		}
		mustBeClean(t, h)
	})
}

func TestNoHedgeIsSentWithoutNeedOrRoom(t *testing.T) {
	for name, change := range map[string]func(*house, *llm.Request){
		"no stream":          func(_ *house, r *llm.Request) { r.Stream = false },
		"another route":      func(_ *house, r *llm.Request) { r.Model = "gemini" },
		"held until whole":   func(h *house, _ *llm.Request) { h.onCut = RecoverBuffer },
		"nothing usual":      func(h *house, _ *llm.Request) { h.breakerOf(llm.Gemini).pace = pace{} },
		"no room":            func(h *house, _ *llm.Request) { h.spare = func() bool { return false } },
		"no budget":          func(h *house, _ *llm.Request) { h.hedges = newHedges(0.5) },
		"nobody who is well": func(h *house, _ *llm.Request) { h.hold(llm.Claude); h.hold(llm.OpenAI) },
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, hedging)
			h.usually(h.gemini, time.Second, 50)
			h.gemini.script = []act{{wait: 9 * time.Second}}
			req := chat("ships", true)
			change(h, req)
			text, err := h.ask(t.Context(), req)
			mustSay(t, text, err, "hello from gemini")
			if n := h.claude.count() + h.openai.count(); n != 0 {
				t.Errorf("%s: %d others were asked", name, n)
			}
			if name == "nobody who is well" && h.hedges.credit.Load() != wholeHedge {
				t.Errorf("a hedge that was not sent was paid for")
			}
		})
	}
}

func (h *house) hold(p llm.Provider) {
	h.holds.place(record.Hold{Target: h.endpoints[p][0].target(""), Source: record.ByOperator, Expires: time.Now().Add(time.Hour)}, time.Now())
}

func TestACallerWhoGoesAwayEndsBothAndBlamesNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging)
		h.usually(h.gemini, time.Second, 50)
		h.gemini.set(&act{silent: true})
		h.claude.set(&act{silent: true})
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
			if _, err := h.ask(ctx, chat("ships", true)); err == nil {
				t.Error("it was served")
			}
			cancel()
			if trace := h.log.last(t); trace.Outcome != record.Abandoned || len(trace.Attempts) != 2 {
				t.Errorf("%+v", trace)
			}
		}
		if len(h.log.changes()) != 0 {
			t.Errorf("transitions %v", h.log.changes())
		}
		mustBeClean(t, h)
	})
}

func TestAPanicOfEitherLeavesNothingBehind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging)
		h.usually(h.gemini, time.Second, 50)
		panics := func() (v any) {
			defer func() { v = recover() }()
			h.ask(t.Context(), chat("ships", true))
			return nil
		}
		h.gemini.script, h.claude.script = []act{{wait: 9 * time.Second, panics: true}}, []act{{wait: time.Minute}}
		if panics() == nil {
			t.Error("the first one's was swallowed")
		}
		mustBeClean(t, h)
		h.gemini.script, h.claude.script = []act{{wait: 9 * time.Second, fail: serverDown()}}, []act{{panics: true}}
		if panics() == nil {
			t.Error("the second one's was swallowed")
		}
		h.gemini.script, h.claude.script = []act{{wait: 9 * time.Second}}, []act{{panics: true}}
		text, err := h.ask(t.Context(), chat("ships", true)) // the caller has an answer all the same
		mustSay(t, text, err, "hello from gemini")
		mustBeClean(t, h)
	})
}

// mustBeClean says whether all that was lent has come back.
func mustBeClean(t *testing.T, h *house) {
	t.Helper()
	synctest.Wait()
	for _, b := range *h.breakers.Load() {
		if b.busy.Load() != 0 || b.pace.busy() != 0 {
			t.Errorf("%s has %d permits and %d requests out", b.name, b.busy.Load(), b.pace.busy())
		}
	}
	for _, f := range []*fake{h.gemini, h.claude, h.openai, h.local} {
		if n := f.open(); n != 0 {
			t.Errorf("%d answers of %s are not closed", n, f.name)
		}
		if f.ring != nil && f.under() != 0 {
			t.Errorf("%d leaves of %s are out", f.under(), f.name)
		}
	}
}

// However many ask at once, there are never more hedges than their share.
func TestTheShareOfHedgesIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.Int64Range(1, 100).Draw(t, "percent")
		n := rapid.IntRange(1, 300).Draw(t, "requests")
		h := newHedges(float64(percent) / 100)
		var sent sync.Map
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				h.earn()
				if h.spend() {
					sent.Store(i, true)
				}
			})
		}
		all.Wait()
		got := 0
		sent.Range(func(any, any) bool { got++; return true })
		if int64(got)*100 > percent*int64(n) {
			t.Fatalf("%d hedges of %d requests at %d %%", got, n, percent)
		}
		for range 10_000 {
			h.earn()
		}
		saved := 0
		for h.spend() {
			saved++
		}
		if saved != savedHedges {
			t.Fatalf("quiet times saved %d hedges", saved)
		}
	})
}

func TestTheTraceOfARaceIsInTheOrderOfStart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, hedging, withRetries)
		h.usually(h.gemini, time.Second, 50)
		h.gemini.script, h.claude.script = []act{{wait: 3 * time.Second, fail: serverDown()}, {wait: time.Second}}, []act{{silent: true}}
		text, err := h.ask(t.Context(), chat("ships", true))
		mustSay(t, text, err, "hello from gemini")
		a := h.log.last(t).Attempts
		byStart := slices.IsSortedFunc(a, func(a, b record.Attempt) int { return int(a.Start - b.Start) })
		if len(a) != 3 || !byStart || a[0].Class != llm.Server || a[1].Class != llm.Cancelled || !a[1].Hedge || a[2].Class != "" {
			t.Errorf("attempts %+v", a)
		}
		mustBeClean(t, h)
	})
}
