package router

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

func limited(n int64) provider.Config {
	return provider.Config{Limit: traffic.NewLimiter(traffic.Limits{Concurrent: n})}
}

// onlyGemini leaves a router one target, and a queue where there is one.
func onlyGemini(q *traffic.Queue) func(*Config) {
	return func(c *Config) {
		c.Chain, c.Endpoints, c.Queue = []llm.Provider{llm.Gemini}, c.Endpoints[:1], q
	}
}

func newQueue() *traffic.Queue {
	return traffic.NewQueue(traffic.QueueLimits{Size: 2, Wait: 30 * time.Second, Aging: 5 * time.Second})
}

func TestALimitedTargetIsPassedOverAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.gemini.withKeys(t, limited(1))
		h.gemini.script = []act{{wait: time.Minute}}
		go h.ask(t.Context(), chat("gemini", true))
		synctest.Wait()
		began := time.Now()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		trace := h.log.last(t)
		if time.Since(began) != 0 || h.gemini.count() != 1 || trace.Plan[0].Verdict != record.VerdictRateLimited || trace.Plan[0].Detail == "" {
			t.Errorf("after %v: %+v", time.Since(began), trace.Plan)
		}
		if want := "Gemini is limited, so Claude served"; trace.Reason != want {
			t.Errorf("the reason is %q, want %q", trace.Reason, want)
		}
	})
}

// Whatever happens to a request, nothing that it was given stays out.
func TestEveryLeaveAndPermitComesBack(t *testing.T) {
	acts := map[string]act{
		"well": {}, "down": {fail: serverDown()}, "limited": {fail: &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: time.Second}},
		"refused": {fail: &llm.Failure{Class: llm.Auth, Status: 401}}, "at fault": {fail: &llm.Failure{Class: llm.BadRequest, Status: 400}},
		"silent": {silent: true}, "cut": {cutAt: 1}, "stalled": {cutAt: 2, stall: true}, "panic": {panics: true},
		"panic in mid-answer": {panicAt: 2}, "late": {wait: 20 * time.Second}, "only a preface": {preface: 1000},
	}
	var names []string
	for name := range acts {
		names = append(names, name)
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom(names), 1, 12).Draw(rt, "steps")
		leaves := rapid.SliceOfN(rapid.SampledFrom([]time.Duration{time.Millisecond, 15 * time.Second, 10 * time.Minute}), len(steps), len(steps)).Draw(rt, "callers leave after")
		recovery := rapid.SampledFrom([]Recovery{RecoverContinue, RecoverBuffer, RecoverError}).Draw(rt, "recovery")
		stream, hedge := rapid.Bool().Draw(rt, "stream"), rapid.Bool().Draw(rt, "hedge")
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, withRetries, hedging, func(c *Config) {
				c.Recovery, c.Queue, c.LastResort, c.Routes[0].Hedge = recovery, newQueue(), ResortAlways, hedge
			})
			for _, f := range []*fake{h.gemini, h.claude} {
				f.withKeys(t, limited(2))
				h.usually(f, 5*time.Second, 50)
			}
			for i, step := range steps {
				h.gemini.script = append(h.gemini.script, acts[step])
				h.claude.script = append(h.claude.script, acts[steps[len(steps)-1-i]])
			}
			for i := range steps {
				ctx, cancel := context.WithTimeout(t.Context(), leaves[i])
				go func() {
					defer cancel()
					defer func() { recover() }() // as the API does
					h.ask(ctx, chat("ships", stream))
				}()
				time.Sleep(time.Second)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			for _, f := range []*fake{h.gemini, h.claude} {
				if n := f.under(); n != 0 {
					rt.Fatalf("%d leaves of %s are out", n, f.name)
				}
			}
			for _, b := range *h.breakers.Load() {
				if b.busy.Load() != 0 || b.pace.busy() != 0 || b.resorts.alone {
					rt.Fatalf("%s has %d permits and %d requests out", b.name, b.busy.Load(), b.pace.busy())
				}
			}
		})
	})
}

func TestAnotherKeyIsTriedAtOnceAndIsNoRetry(t *testing.T) {
	for _, f := range []*llm.Failure{
		{Class: llm.RateLimit, Status: 429, RetryAfter: 2 * time.Second}, {Class: llm.RateLimit, Status: 429},
		{Class: llm.Quota, Status: 429}, {Class: llm.Auth, Status: 401},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t) // which never retries
			h.gemini.withKeys(t, provider.Config{})
			h.gemini.script = []act{{fail: f}}
			began := time.Now()
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from gemini")
			a := h.log.last(t).Attempts
			if time.Since(began) != 0 || len(a) != 2 || a[0].Key != "first" || a[0].Class != f.Class || a[1].Key != "second" {
				t.Errorf("%s: after %v %+v", f.Class, time.Since(began), a)
			}
			if h.failures(llm.Gemini) != 0 || len(h.log.changes()) != 0 {
				t.Errorf("%s moved the breaker", f.Class)
			}

			h.gemini.script = []act{{fail: f}} // the second one's turn
			text, err = h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from claude")
			want := record.VerdictTriedFailed
			if got := h.log.last(t); got.Plan[0].Verdict != want || len(got.Attempts) != 2 {
				t.Errorf("%s: with both keys out: %+v", f.Class, got.Plan[0])
			}
			calls := h.gemini.count()
			text, err = h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from claude")
			want = record.VerdictNoUsableKey
			if f.Class == llm.RateLimit {
				want = record.VerdictRateLimited
			}
			if got := h.log.last(t).Plan[0].Verdict; h.gemini.count() != calls || got != want {
				t.Errorf("%s: with no key left it was asked, or the verdict is %s", f.Class, got)
			}
		})
	}
}

func TestARequestThatIsItselfTooLargeIsNotTriedWithOtherKeys(t *testing.T) {
	h := newHouse(t, withRetries)
	h.gemini.withKeys(t, provider.Config{})
	h.gemini.script = []act{{fail: &llm.Failure{Class: llm.RateLimit, Status: 429, TooLarge: true, RetryAfter: time.Second}}}
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from claude")
	if n := h.gemini.count(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestAKeyThatComesBackEndsTheSearchForAnother(t *testing.T) {
	h := newHouse(t)
	h.gemini.withKeys(t, provider.Config{Keys: []provider.Key{{Name: "only", Secret: "sk-only-secret"}}})
	h.gemini.set(&act{fail: &llm.Failure{Class: llm.RateLimit, Status: 429}})
	w := &walk{r: h.HybridRouter, call: h.NewCall(chat("gemini", true), "")}
	w.plan, _ = h.plan(w.call)
	if leave := w.anotherKey(0, &llm.Failure{Class: llm.Auth}, []string{"only"}); leave != nil {
		t.Errorf("the same key was given again: %+v", leave)
	}
	if n := h.gemini.under(); n != 0 {
		t.Errorf("%d leaves are out", n)
	}
}

func TestWhenAllAreLimitedTheRequestWaitsForItsTurn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, onlyGemini(newQueue()))
		h.gemini.withKeys(t, limited(1))
		h.gemini.script = []act{{wait: 1200 * time.Millisecond}}
		go h.ask(t.Context(), chat("gemini", true))
		synctest.Wait()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		trace := h.log.last(t)
		if trace.Queued != 1200*time.Millisecond || trace.Reason != "waited for its turn, Gemini was the first choice" {
			t.Errorf("queued %v: %q", trace.Queued, trace.Reason)
		}
	})
}

func TestANewcomerStandsInLine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, onlyGemini(newQueue()))
		h.gemini.withKeys(t, limited(1))
		first, err := h.Do(t.Context(), h.NewCall(chat("gemini", true), "first"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			waiting, _ := h.Do(t.Context(), h.NewCall(chat("gemini", true), "waiting"))
			waiting.Close()
		}()
		synctest.Wait()
		first.Close()
		if newcomer, err := h.Do(t.Context(), h.NewCall(chat("gemini", true), "newcomer")); err == nil {
			newcomer.Close()
		}
		synctest.Wait()
		var order []string
		for _, trace := range h.log.traces {
			order = append(order, trace.Caller)
		}
		if got := strings.Join(order, ", "); got != "first, waiting, newcomer" {
			t.Errorf("served %s", got)
		}
	})
}

func TestARequestThatWaitedGoesOnWhenItsTurnFails(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Chain, c.Endpoints, c.Queue = []llm.Provider{llm.Gemini, llm.Claude}, c.Endpoints[:2], newQueue()
		})
		h.gemini.withKeys(t, limited(1))
		h.claude.withKeys(t, limited(1))
		h.gemini.script, h.claude.script = []act{{wait: time.Second}, {fail: serverDown()}}, []act{{wait: 3 * time.Second}}
		go h.ask(t.Context(), chat("gemini", true))
		synctest.Wait()
		go h.ask(t.Context(), chat("gemini", true))
		synctest.Wait()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		trace := h.log.last(t)
		if trace.Queued != 3*time.Second || len(trace.Attempts) != 2 || trace.Plan[0].Verdict != record.VerdictTriedFailed {
			t.Errorf("queued %v, %+v", trace.Queued, trace.Plan)
		}
	})
}

// full is a refusal for want of room.
func full(after time.Duration) act {
	return act{fail: &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: after}}
}

// both leaves a router two targets with a key each, which are asked again twice.
func both(t *testing.T, set ...func(*Config)) *house {
	h := newHouse(t, func(c *Config) {
		c.Chain, c.Endpoints, c.Queue = []llm.Provider{llm.Gemini, llm.Claude}, c.Endpoints[:2], newQueue()
		c.Retries = Retries{Max: 2}
		for _, set := range set {
			set(c)
		}
	})
	for _, f := range []*fake{h.gemini, h.claude} {
		f.withKeys(t, provider.Config{Keys: []provider.Key{{Name: "only", Secret: "sk-only-secret"}}})
	}
	return h
}

func TestARequestThatNobodyHasRoomForWaitsForWhoeverHasItFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := both(t)
		h.gemini.script, h.claude.script = []act{full(20 * time.Second)}, []act{full(5 * time.Second)}
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		trace := h.log.last(t)
		if trace.Queued != 5*time.Second || len(trace.Attempts) != 3 || trace.Reason != "waited for its turn, Gemini is limited, so Claude served" {
			t.Errorf("queued %v, %d attempts: %q", trace.Queued, len(trace.Attempts), trace.Reason)
		}
		if n := h.failures(llm.Gemini) + h.failures(llm.Claude); n != 0 {
			t.Errorf("the breakers count %d failures", n)
		}
	})
}

func TestARequestWithoutRoomIsAskedForNoMoreOftenThanRetriesSay(t *testing.T) {
	for most, want := range map[int]struct {
		asked  int
		queued time.Duration
	}{0: {1, 0}, 1: {2, 5 * time.Second}, 2: {3, 10 * time.Second}} {
		bubble.Test(t, func(t *testing.T) {
			h := both(t, func(c *Config) { c.Retries.Max = most })
			always := full(5 * time.Second)
			h.gemini.set(&always)
			h.claude.set(&always)
			_, err := h.ask(t.Context(), chat("gemini", true))
			var e *Error
			trace := h.log.last(t)
			if !errors.As(err, &e) || e.Status != 429 || e.Code != "all_providers_rate_limited" || e.RetryAfter != 5*time.Second {
				t.Errorf("got %v", err)
			}
			if h.gemini.count() != want.asked || h.claude.count() != want.asked || trace.Queued != want.queued {
				t.Errorf("retries %d: asked %d and %d times, queued %v", most, h.gemini.count(), h.claude.count(), trace.Queued)
			}
		})
	}
}

func TestWhatWaitingDoesNotHelpFailsAtOnce(t *testing.T) {
	for name, f := range map[string]*llm.Failure{
		"too large by itself":        {Class: llm.RateLimit, Status: 429, TooLarge: true, RetryAfter: time.Second},
		"a wait beyond the queue's":  {Class: llm.RateLimit, Status: 429, RetryAfter: time.Minute},
		"a quota that is spent":      {Class: llm.Quota, Status: 429},
		"a server that is unwell":    {Class: llm.Server, Status: 500},
		"a key that is not accepted": {Class: llm.Auth, Status: 401},
	} {
		bubble.Test(t, func(t *testing.T) {
			h := both(t, func(c *Config) { c.Retries.Backoff = 0 })
			h.gemini.set(&act{fail: f})
			h.claude.set(&act{fail: f})
			began := time.Now()
			if _, err := h.ask(t.Context(), chat("gemini", true)); err == nil || time.Since(began) != 0 || h.log.last(t).Queued != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
		})
	}
}

func TestARequestThatWaitsSeveralTimesWaitsNoLongerInAll(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Chain, c.Endpoints, c.Queue = []llm.Provider{llm.Gemini, llm.Claude}, c.Endpoints[:2], newQueue()
		})
		h.gemini.withKeys(t, limited(1))
		h.claude.withKeys(t, limited(1))
		h.gemini.script = []act{{wait: 20 * time.Second}, {fail: serverDown()}}
		h.claude.script = []act{{wait: 60 * time.Second}}
		for _, first := range []string{"gemini", "claude"} {
			go h.ask(t.Context(), chat(first, true))
			synctest.Wait()
		}
		if text, err := h.ask(t.Context(), chat("gemini", true)); err == nil {
			t.Errorf("it was served: %q", text)
		}
		if trace := h.log.last(t); trace.Queued != 30*time.Second || len(trace.Attempts) != 1 {
			t.Errorf("queued %v, %+v", trace.Queued, trace.Plan)
		}
		synctest.Wait()
		time.Sleep(60 * time.Second)
	})
}

func TestWhoWaitsGoesOnAsSoonAsAProbeSucceeds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Chain, c.Endpoints, c.Queue = []llm.Provider{llm.Gemini, llm.Claude}, c.Endpoints[:2], newQueue()
		})
		halfOpen(t, h)
		h.claude.withKeys(t, limited(1))
		h.claude.script, h.gemini.script = []act{{wait: time.Minute}}, []act{{wait: 5 * time.Second, slowly: 20 * time.Second}}
		go h.ask(t.Context(), chat("claude", true))
		synctest.Wait()
		go h.ask(t.Context(), chat("gemini", true)) // the probe, whose answer takes long
		synctest.Wait()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		if trace := h.log.last(t); trace.Queued != 5*time.Second {
			t.Errorf("it waited %v: %+v", trace.Queued, trace.Plan)
		}
	})
}

func TestAFullQueueAndNoQueueSayWhenToComeBack(t *testing.T) {
	for code, q := range map[string]*traffic.Queue{"all_providers_rate_limited": nil, "queue_full": newQueue()} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, onlyGemini(q))
			h.gemini.withKeys(t, limited(1))
			h.gemini.set(&act{wait: 20 * time.Second})
			ctx, cancel := context.WithCancel(t.Context())
			for range 3 { // one is served, two wait
				go h.ask(ctx, chat("gemini", true))
				synctest.Wait()
			}
			began := time.Now()
			_, err := h.ask(t.Context(), chat("gemini", true))
			var e *Error
			if !errors.As(err, &e) || e.Status != 429 || e.Type != "rate_limit_error" || e.Code != code || e.RetryAfter < time.Second || time.Since(began) != 0 {
				t.Errorf("%s: got %+v after %v", code, err, time.Since(began))
			}
			trace := h.log.last(t)
			if trace.Outcome != record.Failed || len(trace.Attempts) != 0 || trace.Plan[0].Verdict != record.VerdictRateLimited {
				t.Errorf("%s: the trace says %+v", code, trace)
			}
			cancel()
		})
	}
}

func TestNobodyWaitsForALimitThatLastsLongerThanTheLine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, onlyGemini(newQueue()))
		h.gemini.withKeys(t, provider.Config{Keys: []provider.Key{{Name: "only", Secret: "sk-only-secret"}}})
		h.gemini.set(&act{fail: &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 400 * time.Second}})
		h.ask(t.Context(), chat("gemini", true))
		began := time.Now()
		_, err := h.ask(t.Context(), chat("gemini", true))
		var e *Error
		if !errors.As(err, &e) || e.Status != 429 || e.RetryAfter != 400*time.Second || time.Since(began) != 0 {
			t.Errorf("got %+v after %v", err, time.Since(began))
		}
		if n := h.gemini.count(); n != 1 {
			t.Errorf("Gemini was asked %d times", n)
		}
	})
}

func TestALimitDoesNotKeepCallersFromThoseWhoFailed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Queue = newQueue() })
		h.gemini.withKeys(t, provider.Config{Keys: []provider.Key{{Name: "only", Secret: "sk-only-secret"}}})
		h.gemini.set(&act{fail: &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 400 * time.Second}})
		h.ask(t.Context(), chat("gemini", true))
		for _, f := range []*fake{h.claude, h.openai, h.local} {
			f.set(&act{fail: &llm.Failure{Class: llm.Server, Status: 503}})
		}
		began := time.Now()
		_, err := h.ask(t.Context(), chat("gemini", true))
		var e *Error
		if !errors.As(err, &e) || e.Status != 502 || e.RetryAfter != 0 || time.Since(began) > time.Second {
			t.Errorf("got %+v after %v", err, time.Since(began))
		}
	})
}

func TestWhoGoesAwayOrRunsOutOfTimeLeavesTheQueueAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		q := newQueue()
		h := newHouse(t, onlyGemini(q))
		h.gemini.withKeys(t, limited(1))
		h.gemini.script = []act{{wait: 25 * time.Second}}
		go h.ask(t.Context(), chat("gemini", true))
		synctest.Wait()
		for _, cause := range []error{nil, &llm.Failure{Class: llm.Deadline}} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, cause)
			began := time.Now()
			_, err := h.ask(ctx, chat("gemini", true))
			cancel()
			want, status := record.Abandoned, StatusAbandoned
			if cause != nil {
				want, status = record.Failed, 504
			}
			trace := h.log.last(t)
			if err == nil || time.Since(began) != 2*time.Second || trace.Outcome != want || trace.Status != status || trace.Queued != 2*time.Second {
				t.Errorf("after %v: %v, %+v", time.Since(began), err, trace)
			}
			if n := q.Waiting()[traffic.Normal]; n != 0 {
				t.Errorf("%d wait still", n)
			}
		}
	})
}

func TestNoProbeIsSpentOnATargetThatIsLimited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		halfOpen(t, h)
		h.gemini.withKeys(t, limited(1))
		leave, _ := h.gemini.Admit(provider.Ask{})
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		if v := h.log.last(t).Plan[0].Verdict; v != record.VerdictRateLimited {
			t.Errorf("verdict %s", v)
		}
		leave.Done(llm.Usage{}, nil)
		text, err = h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestNoCanaryIsSpentOnATargetThatIsLimited(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		target := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
		h.holds.place(record.Hold{Target: target, Source: record.ByAnomaly, Expires: time.Now().Add(time.Hour)}, time.Now())
		time.Sleep(DefaultCanaryInterval)
		h.gemini.withKeys(t, limited(1))
		leave, _ := h.gemini.Admit(provider.Ask{})
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		leave.Done(llm.Usage{}, nil)
		text, err = h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
		if a := h.log.last(t).Attempts; !a[0].Canary {
			t.Errorf("%+v is no canary", a[0])
		}
	})
}

func TestTheEstimateIsAskedForOnlyWhereTokensAreLimited(t *testing.T) {
	asked := 0
	h := newHouse(t, onlyGemini(nil), func(c *Config) {
		c.Estimate = func(llm.Target, *llm.Request) int64 { asked++; return 3000 }
	})
	h.gemini.withKeys(t, limited(1))
	h.ask(t.Context(), chat("gemini", true))
	if asked != 0 {
		t.Errorf("it was asked %d times without a limit on tokens", asked)
	}
	h.gemini.withKeys(t, provider.Config{ModelLimits: map[string]traffic.Limits{"gemini-2.5-flash": {Tokens: 30_000}}}) // of which a sixth may go at once
	req, most := chat("gemini", true), int64(1500)
	req.MaxTokens = &most
	for range 2 { // 4500 tokens, of which the answer's end gives back what it did not use
		answer, err := h.Do(t.Context(), h.NewCall(req, ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Do(t.Context(), h.NewCall(req, "")); err == nil || !strings.Contains(err.Error(), "limited") {
			t.Errorf("a second one found room: %v", err)
		}
		for {
			if _, err := answer.Next(); err != nil {
				break
			}
		}
	}
	if asked != 4 {
		t.Errorf("it was asked %d times", asked)
	}
}
