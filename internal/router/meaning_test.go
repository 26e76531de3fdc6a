package router

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// meaning is a row of the architecture's table "What a failure means".
type meaning struct {
	class    llm.FailureClass
	calls    int  // of the target, with one key, that others could stand in for
	otherKey bool // another key is tried at once
	next     bool // the next candidate is asked
	counts   bool // a failure for the breaker
}

func TestWhatAFailureMeans(t *testing.T) {
	table := []meaning{
		{class: llm.Network, calls: 2, next: true, counts: true},
		{class: llm.Timeout, calls: 1, next: true, counts: true},
		{class: llm.Server, calls: 3, next: true, counts: true},
		{class: llm.RateLimit, calls: 1, otherKey: true, next: true},
		{class: llm.Quota, calls: 1, otherKey: true, next: true},
		{class: llm.Auth, calls: 1, otherKey: true, next: true},
		{class: llm.ContextLength, calls: 1}, // a larger context only, see failover_test.go
		{class: llm.BadRequest, calls: 1},
		{class: llm.ContentFilter, calls: 1}, // unless configured, see below
		{class: llm.NoSuchModel, calls: 1, next: true},
		{class: llm.Garbage, calls: 1, next: true, counts: true},
		{class: llm.StreamCut, calls: 2, next: true, counts: true}, // before content it is as the network's
		{class: llm.Cancelled, calls: 1},
		{class: llm.Deadline, calls: 1},
	}
	if len(table) != len(llm.FailureClasses()) {
		t.Fatalf("the table has %d rows for %d classes", len(table), len(llm.FailureClasses()))
	}
	for _, m := range table {
		t.Run(string(m.class), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				h := newHouse(t, withRetries)
				h.gemini.withKeys(t, provider.Config{Keys: []provider.Key{{Name: "only", Secret: "sk-only-secret"}}})
				h.gemini.set(&act{fail: &llm.Failure{Class: m.class}})
				_, err := h.ask(t.Context(), chat("gemini", true))
				if got := h.gemini.count(); got != m.calls {
					t.Errorf("the target was asked %d times, want %d", got, m.calls)
				}
				if got := h.claude.count() == 1; got != m.next || got != (err == nil) {
					t.Errorf("the next was asked: %v, want %v; %v", got, m.next, err)
				}
				if got := h.failures(llm.Gemini); got != map[bool]int{true: 1}[m.counts] {
					t.Errorf("the breaker counts %d failures", got)
				}
			})
			bubble.Test(t, func(t *testing.T) {
				h := newHouse(t)
				h.gemini.withKeys(t, provider.Config{})
				h.gemini.script = []act{{fail: &llm.Failure{Class: m.class}}}
				text, _ := h.ask(t.Context(), chat("gemini", true))
				if got := text == "hello from gemini"; got != m.otherKey {
					t.Errorf("another key answered: %v, want %v", got, m.otherKey)
				}
			})
		})
	}
}

func TestTheNextIsAskedAfterAContentFilterOnlyWhereConfigured(t *testing.T) {
	blocked := &act{fail: &llm.Failure{Class: llm.ContentFilter, Status: 400, Message: "blocked"}}
	h := newHouse(t, func(c *Config) { c.NextAfterFilter = true })
	h.gemini.set(blocked)
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from claude")
	for _, f := range []*fake{h.claude, h.openai, h.local} {
		f.set(blocked)
	}
	_, err = h.ask(t.Context(), chat("gemini", true))
	var e *Error
	if !errors.As(err, &e) || e.Code != "content_filter" || e.Status != 400 || e.Attempts != 4 {
		t.Errorf("when all refuse: %+v", err)
	}
}

func TestHeadersHaveADeadlineOfTheirOwnInAStream(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Endpoints[0].Timeouts.Headers = 5 * time.Second })
		h.gemini.script = []act{{wait: 6 * time.Second}, {preface: 1, think: 20 * time.Second}, {wait: 6 * time.Second}}
		began := time.Now()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		a := h.log.last(t).Attempts[0]
		if time.Since(began) != 5*time.Second || a.Class != llm.Timeout || !strings.Contains(a.Message, "before the response began") {
			t.Errorf("after %v: %+v", time.Since(began), a)
		}
		text, err = h.ask(t.Context(), chat("gemini", true)) // the headers came at once
		mustSay(t, text, err, "hello from gemini")
		text, err = h.ask(t.Context(), chat("gemini", false)) // no stream: they come with the answer
		mustSay(t, text, err, "hello from gemini")
	})
}

func slowly(c *Config) {
	c.Recovery = RecoverContinue
	for i := range c.Endpoints {
		c.Endpoints[i].Timeouts.SlowShare = 0.1
	}
}

func TestASlowStreamIsCutAndContinuedBySomebodyElse(t *testing.T) {
	for _, stream := range []bool{true, false} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, slowly)
			h.gemini.dialect = llm.OllamaChat // which always comes in pieces
			h.usually(h.gemini, time.Second, 50)
			h.gemini.script = []act{{endless: true, slowly: time.Second}}
			began := time.Now()
			text, err := h.ask(t.Context(), chat("gemini", stream))
			if err != nil || !strings.HasSuffix(text, "from claude") {
				t.Fatalf("got %q, %v", text, err)
			}
			a := h.log.last(t).Attempts[0]
			if took := time.Since(began); took != slowWindow || a.Class != llm.Timeout || !strings.HasPrefix(a.Message, "slow: about 1.2 tokens a second, usually 5") {
				t.Errorf("after %v: %+v", took, a)
			}
			if h.breaker(a.Target).snapshot().Failures != 1 {
				t.Error("the breaker did not count it")
			}
			mustBeClean(t, h)
		})
	}
}

func TestAStreamIsNotCutForBeingSlow(t *testing.T) {
	for name, change := range map[string]func(*house, *act){
		"when nothing is usual":        func(h *house, _ *act) { h.breakerOf(llm.Gemini).pace = pace{} },
		"when it is fast enough":       func(_ *house, a *act) { a.slowly = 200 * time.Millisecond },
		"when it pauses once":          func(_ *house, a *act) { a.slowly, a.pauseAt = 10*time.Millisecond, 40 },
		"when nobody can go on":        func(h *house, _ *act) { h.onCut = RecoverError },
		"when nobody else is there":    func(h *house, _ *act) { h.alone(llm.Gemini) },
		"when the operator wants none": func(h *house, _ *act) { h.endpoints[llm.Gemini][0].Timeouts.SlowShare = 0 },
	} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, slowly)
			h.usually(h.gemini, time.Second, 50)
			a := act{endless: true, slowly: time.Second}
			change(h, &a)
			h.gemini.script = []act{a}
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			h.ask(ctx, chat("gemini", true))
			if trace := h.log.last(t); trace.Outcome != record.Abandoned || len(trace.Attempts) != 1 {
				t.Errorf("%s: %+v", name, trace.Attempts)
			}
		})
	}
}

// alone makes a provider the only one that is set up.
func (h *house) alone(p llm.Provider) {
	for other, es := range h.endpoints {
		if other != p {
			es[0].Unusable = record.VerdictProviderDisabled
		}
	}
}

func TestASilentTargetIsNotTriedTwice(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, withRetries, continues, func(c *Config) { c.Chain, c.Endpoints = []llm.Provider{llm.Gemini}, c.Endpoints[:1] })
		h.gemini.script = []act{{cutAt: 1, stall: true}}
		_, err := h.ask(t.Context(), chat("gemini", true))
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Timeout || h.gemini.count() != 1 {
			t.Errorf("%v after %d calls", err, h.gemini.count())
		}
		mustBeClean(t, h)
	})
}

func TestWhatIsHeldUntilItIsWholeIsBoundedInAllItsParts(t *testing.T) {
	long := strings.Repeat("x", maxAnswer/3)
	for name, c := range map[string]llm.Chunk{
		"text": {Text: long}, "thinking": {Thinking: long}, "bytes": {Raw: []byte(long)},
		"a call": {Call: &llm.CallDelta{Args: long}}, "a vector": {Vector: &llm.Vector{Packed: long}},
	} {
		a := &attempt{}
		var err error
		for range 4 {
			if err == nil {
				err = a.keep(c)
			}
		}
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Garbage || len(a.held) != 3 {
			t.Errorf("%s: %v with %d held", name, err, len(a.held))
		}
	}
}

func TestSettingsThatMeanNothingAreRefused(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"recovery":       func(c *Config) { c.Recovery = "hope" },
		"is no strategy": func(c *Config) { c.Strategy = "luck" },
		`route "r"`:      func(c *Config) { c.Routes = []Route{{Name: "r", Strategy: "luck"}} },
		"share":          func(c *Config) { c.HedgeShare = 5 },
	} {
		c := Config{Endpoints: []Endpoint{{Provider: llm.Gemini}}, Chain: []llm.Provider{llm.Gemini}}
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
