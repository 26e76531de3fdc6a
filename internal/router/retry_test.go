package router

import (
	"context"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func withRetries(c *Config) {
	c.Retries = Retries{Max: DefaultRetries, Backoff: DefaultBackoff, Patience: DefaultPatience}
}

func TestAnAccidentIsRetriedAtTheSameTarget(t *testing.T) {
	reset := &llm.Failure{Class: llm.Network}
	for name, script := range map[string][]act{
		"one 503":           {{fail: serverDown()}},
		"two 503":           {{fail: serverDown()}, {fail: serverDown()}},
		"a reset":           {{fail: reset}},
		"a 503 with a time": {{fail: &llm.Failure{Class: llm.Server, Status: 503, RetryAfter: 2 * time.Second}}},
		"a short 429":       {{fail: &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 2 * time.Second}}},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, withRetries)
			h.gemini.script = script
			began := time.Now()
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from gemini")
			trace := h.log.last(t)
			if h.gemini.count() != len(script)+1 || h.claude.count() != 0 || len(trace.Attempts) != len(script)+1 {
				t.Errorf("%s: asked %d times and %d attempts are told", name, h.gemini.count(), len(trace.Attempts))
			}
			if script[0].fail.RetryAfter > 0 && time.Since(began) < script[0].fail.RetryAfter {
				t.Errorf("%s: asked again after %v", name, time.Since(began))
			}
			if trace.Plan[0].Verdict != record.VerdictServed || len(h.log.changes()) != 0 {
				t.Errorf("%s: %+v, %v", name, trace.Plan[0], h.log.changes())
			}
		})
	}
}

// The detector need not wait for the request's end, nor count anything twice.
func TestTheFirstFailureOfARequestIsToldAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, withRetries)
		h.gemini.always = &act{fail: serverDown(), wait: time.Second}
		h.claude.always = &act{fail: serverDown()}
		h.openai.always = &act{wait: 30 * time.Second}
		began := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from openai")
		}()
		time.Sleep(1100 * time.Millisecond)
		if got := h.log.told(); len(got) != 1 || len(got[0].Attempts) != 1 || got[0].Caller != "tester" || got[0].Prompt == 0 ||
			got[0].Attempts[0].Class != llm.Server || !got[0].Accepted.Add(got[0].Attempts[0].Took).Equal(began.Add(time.Second)) {
			t.Fatalf("a second after the request began, its failures are told as %+v", got)
		}
		<-done
		if got := h.log.told(); len(got) != 1 {
			t.Errorf("%d failures were told before their requests ended, want the first one's", len(got))
		}
		before := map[llm.Target]bool{}
		for i, a := range h.log.last(t).Attempts {
			if first := !before[a.Target]; a.Told != (i == 0) || first != (a.Nth == 1) || !first && a.Nth != 0 {
				t.Errorf("attempt %d at %s: told %v, number %d", i, a.Target, a.Told, a.Nth)
			}
			before[a.Target] = true
		}
	})
}

func TestAttemptsAtATargetAreNumberedAsTheyBegin(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		if nth := h.log.last(t).Attempts[0].Nth; nth != uint32(i+1) {
			t.Errorf("request %d has the number %d", i+1, nth)
		}
	}
	text, err := h.ask(t.Context(), chat("claude", true))
	mustSay(t, text, err, "hello from claude")
	if nth := h.log.last(t).Attempts[0].Nth; nth != 1 {
		t.Errorf("another target's first request has the number %d", nth)
	}
}

func TestWhatARetryCannotMendGoesOnAtOnce(t *testing.T) {
	for name, f := range map[string]*llm.Failure{
		"429 without a time":  {Class: llm.RateLimit, Status: 429},
		"429 for a minute":    {Class: llm.RateLimit, Status: 429, RetryAfter: time.Minute},
		"503 for a minute":    {Class: llm.Server, Status: 503, RetryAfter: time.Minute},
		"a silent connection": {Class: llm.Timeout},
		"an HTML page":        {Class: llm.Garbage, Status: 200},
		"a wrong key":         {Class: llm.Auth, Status: 401},
		"no money":            {Class: llm.Quota, Status: 429, RetryAfter: time.Second},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, withRetries)
			h.gemini.script = []act{{fail: f}}
			began := time.Now()
			text, err := h.ask(t.Context(), chat("gemini", false))
			mustSay(t, text, err, "hello from claude")
			if time.Since(began) != 0 || h.gemini.count() != 1 {
				t.Errorf("%s: asked %d times in %v", name, h.gemini.count(), time.Since(began))
			}
		})
	}
}

// Fifteen requests while the first choice is down: the breaker counts one
// failure a request, and a target that failed the last request is not asked
// over and over by the next.
func TestADeadTargetIsNotHammered(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, withRetries)
		h.gemini.set(&act{fail: serverDown()})
		for range 15 {
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from claude")
		}
		if got := h.gemini.count(); got != 5 { // 1 + 2 retries, 1, 1
			t.Errorf("a dead target was asked %d times, want 5", got)
		}
		if changes := h.log.changes(); len(changes) != 1 || changes[0] != "closed>open" {
			t.Errorf("transitions %v", changes)
		}
	})
}

func TestWhenNobodyElseCanAnswerTheLastCandidateIsInsistedOn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, withRetries, func(c *Config) {
			c.Chain, c.Endpoints = []llm.Provider{llm.Gemini}, c.Endpoints[:1]
		})
		h.gemini.script = []act{{fail: serverDown()}, {fail: serverDown()}, {fail: serverDown()}, {fail: serverDown()}}
		if _, err := h.ask(t.Context(), chat("gemini", true)); err == nil {
			t.Error("three failures served")
		}
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestAProbeIsNotRetried(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, withRetries)
		h.gemini.set(&act{fail: serverDown()})
		for range 3 {
			h.ask(t.Context(), chat("gemini", true))
		}
		before := h.gemini.count()
		time.Sleep(DefaultRecoveryTimeout + time.Second)
		h.ask(t.Context(), chat("gemini", true))
		if got := h.gemini.count() - before; got != 1 {
			t.Errorf("the probe asked %d times", got)
		}
	})
}

func TestACallersDeadlineEndsTheRequestAndBlamesNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, withRetries)
		h.gemini.script = []act{{fail: &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 2 * time.Second}}, {}, {wait: time.Minute}, {cutAt: 1, stall: true}}
		within := func(d time.Duration) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(t.Context(), d, &llm.Failure{Class: llm.Deadline})
		}
		ctx, cancel := within(time.Second) // shorter than the wait, which is therefore not begun
		defer cancel()
		text, err := h.ask(ctx, chat("gemini", true))
		mustSay(t, text, err, "hello from claude")

		text, err = h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		for _, when := range []string{"before the answer", "in its middle"} {
			ctx, cancel := within(time.Second)
			defer cancel()
			began := time.Now()
			_, err := h.ask(ctx, chat("gemini", true))
			trace := h.log.last(t)
			if e, ok := err.(*Error); when == "before the answer" && (!ok || e.Status != 504 || e.Code != "deadline_exceeded") {
				t.Errorf("%s: %v", when, err)
			}
			if err == nil || time.Since(began) != time.Second || trace.Attempts[0].Class != llm.Deadline || len(trace.Attempts) != 1 {
				t.Errorf("%s: %v after %v, %+v", when, err, time.Since(began), trace.Attempts)
			}
		}
		if b := h.Breakers(); len(h.log.changes()) != 0 || b[0].Failures != 0 {
			t.Errorf("a breaker counted it: %+v", b)
		}
	})
}
