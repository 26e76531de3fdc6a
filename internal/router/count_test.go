package router

import (
	"context"
	"net/http"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/wire"
)

// counts is a fake upstream that counts tokens, too.
type counts struct {
	*fake
	asked  int
	fail   error
	silent bool
}

func (c *counts) Count(ctx context.Context, t llm.Target, _ *llm.Request) (*provider.Count, error) {
	c.asked++
	if c.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &provider.Count{Tokens: 42, Raw: []byte(t.Model)}, c.fail
}

func (c *counts) Loaded(context.Context) ([]wire.OllamaModel, error) {
	return []wire.OllamaModel{{Name: "llama3"}}, c.fail
}

// countingHouse is a house whose Gemini counts.
func countingHouse(t *testing.T) (*house, *counts) {
	c := &counts{}
	h := newHouse(t, func(cfg *Config) {
		c.fake = cfg.Endpoints[0].Upstream.(*fake)
		cfg.Endpoints[0].Upstream = c
	})
	return h, c
}

func TestTheFirstTargetCounts(t *testing.T) {
	h, c := countingHouse(t)
	for _, tt := range []struct {
		model, target string
		counted       bool
	}{
		{"gemini", "gemini/gemini-2.5-flash", true},
		{"gemini/gemini-x", "gemini/gemini-x", true},
		{"claude", "claude/claude-sonnet-4-5", false}, // which cannot
		{"nobody's", "/", false},
	} {
		target, count, e := h.Count(t.Context(), chat(tt.model, false))
		if (e != nil) != (tt.model == "nobody's") || target.String() != tt.target || (count != nil) != tt.counted || tt.counted && string(count.Raw) != target.Model {
			t.Errorf("%s: %s, %+v", tt.model, target, count)
		}
	}
	h.openai.dialect = llm.OllamaChat
	beyond := chat("openai", false)
	beyond.Beyond = []string{"audio"}
	h.gemini.dialect = llm.OpenAIChat
	if target, count, _ := h.Count(t.Context(), beyond); target.Provider != llm.Gemini || count == nil {
		t.Errorf("a target that cannot carry the request counted it: %s, %+v", target, count)
	}
	if len(h.log.traces) != 0 || len(h.Breakers()) != 0 || c.calls != 0 {
		t.Errorf("counting left %d traces, %d breakers, %d calls", len(h.log.traces), len(h.Breakers()), c.calls)
	}
}

func TestCountingMovesNoBreaker(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h, c := countingHouse(t)
		c.fail = serverDown()
		for range 2 * DefaultFailureThreshold {
			if _, count, _ := h.Count(t.Context(), chat("gemini", false)); count != nil {
				t.Fatal("a failure gave a count")
			}
		}
		if len(h.log.changes()) != 0 {
			t.Errorf("failed counts moved a breaker: %v", h.log.changes())
		}
		c.fail = nil
		c.set(&act{fail: serverDown()})
		for range DefaultFailureThreshold {
			h.ask(t.Context(), chat("gemini", false))
		}
		asked := c.asked
		if target, count, _ := h.Count(t.Context(), chat("gemini", false)); count != nil || target.Provider != llm.Gemini || c.asked != asked {
			t.Errorf("an open target was asked: %s, %+v", target, count)
		}
		time.Sleep(DefaultRecoveryTimeout + time.Second)
		if _, count, _ := h.Count(t.Context(), chat("gemini", false)); count != nil || c.asked != asked {
			t.Error("a target whose probe is due was asked")
		}
		c.set(nil)
		text, err := h.ask(t.Context(), chat("gemini", false)) // the count took no probe's place
		mustSay(t, text, err, "hello from gemini")
		if _, count, _ := h.Count(t.Context(), chat("gemini", false)); count == nil {
			t.Error("a target that is well again does not count")
		}
	})
}

func TestAHeldTargetDoesNotCount(t *testing.T) {
	h, c := countingHouse(t)
	h.Pinged(llm.Claude, "", provider.Status{}, nil)
	target := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
	if !h.Hold(record.Hold{Target: target, Source: record.ByAnomaly, Expires: time.Now().Add(time.Hour)}) {
		t.Fatal("no hold")
	}
	if got, count, _ := h.Count(t.Context(), chat("gemini", false)); got != target || count != nil || c.asked != 0 {
		t.Errorf("%s, %+v", got, count)
	}
}

func TestACountThatTakesTooLongIsGivenUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h, c := countingHouse(t)
		c.silent = true
		began := time.Now()
		if _, count, _ := h.Count(t.Context(), chat("gemini", false)); count != nil || time.Since(began) != CountTimeout {
			t.Errorf("%+v after %v", count, time.Since(began))
		}
	})
}

func TestTheLastLimitReachesItsCaller(t *testing.T) {
	limited := func(remaining string) *llm.Failure {
		return &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 3 * time.Second, Header: http.Header{"X-Ratelimit-Remaining-Requests": {remaining}}}
	}
	fail := func(h *house, failures ...*llm.Failure) *Error {
		for i, f := range []*fake{h.gemini, h.claude, h.openai, h.local} {
			f.set(&act{fail: failures[i]})
		}
		_, err := h.ask(t.Context(), chat("auto", false))
		return err.(*Error)
	}
	plain := &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 2 * time.Second}
	e := fail(newHouse(t), limited("1"), plain, limited("2"), plain)
	if e.Code != "all_providers_rate_limited" || e.Header.Get("X-Ratelimit-Remaining-Requests") != "2" || e.RetryAfter != 2*time.Second {
		t.Errorf("got %+v", e)
	}
	if e = fail(newHouse(t), serverDown(), plain, limited("2"), plain); e.Code != "all_providers_failed" || e.Header != nil {
		t.Errorf("one of several failures speaks for all: %+v", e)
	}
	refused := &llm.Failure{Class: llm.BadRequest, Status: 400, Header: http.Header{"X-Request-Id": {"r"}}}
	if e = fail(newHouse(t), refused, plain, plain, plain); e.Status != 400 || e.Header.Get("X-Request-Id") != "r" {
		t.Errorf("a refusal: %+v", e)
	}
	alone := newHouse(t, func(c *Config) { c.Chain = []llm.Provider{llm.Gemini} })
	alone.gemini.set(&act{fail: &llm.Failure{Class: llm.Server, Status: 500, Header: http.Header{"X-Request-Id": {"r"}}}})
	_, err := alone.ask(t.Context(), chat("gemini", false))
	if e = err.(*Error); e.Status != 502 || e.Header.Get("X-Request-Id") != "r" {
		t.Errorf("the only failure: %+v", e)
	}
}

func TestLoadedModelsAreThoseOfServersThatAnswer(t *testing.T) {
	c := &counts{}
	h := newHouse(t, func(cfg *Config) {
		c.fake = cfg.Endpoints[3].Upstream.(*fake)
		cfg.Endpoints[3].Upstream = c
	})
	if got := h.Loaded(t.Context()); len(got) != 1 || got[0].Name != "llama3" {
		t.Errorf("got %+v", got)
	}
	if got := newHouse(t).Loaded(t.Context()); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}
