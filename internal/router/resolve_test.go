package router

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

func TestModelNamesResolveInTheDocumentedOrder(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Aliases = map[string]string{"fast": "gemini", "gpt-4o": "local/llama3"}
		c.Endpoints[3].Models = []string{"gpt-oss:20b"}
		c.Routes = []Route{{Name: "support", Models: []string{"support-bot"}, Targets: []string{"claude/claude-opus-4-5", "local"}}}
	})
	h.Pinged(llm.Local, "", provider.Status{Models: []string{"org/tiny:1b"}}, nil)
	for model, want := range map[string]string{
		"fast":                   "gemini/gemini-2.5-flash",
		"gpt-4o":                 "local/llama3", // an alias beats the family
		"auto":                   "gemini/gemini-2.5-flash",
		"local":                  "local/llama3",
		"openai/gpt-4.1":         "openai/gpt-4.1",
		"local/org/tiny:1b":      "local/org/tiny:1b",
		"org/tiny:1b":            "local/org/tiny:1b", // discovered
		"gpt-oss:20b":            "local/gpt-oss:20b", // configured, though it looks like OpenAI's
		"gpt-4.1-mini":           "openai/gpt-4.1-mini",
		"o4-mini":                "openai/o4-mini",
		"claude-3-5-sonnet-2024": "claude/claude-3-5-sonnet-2024",
		"gemini-3-pro":           "gemini/gemini-3-pro",
		"gemini-embedding-001":   "gemini/gemini-embedding-001",
		"text-embedding-3-small": "openai/text-embedding-3-small",
		"text-embedding-ada-002": "openai/text-embedding-ada-002",
		"text-embedding-004":     "gemini/text-embedding-004",
		"embedding-001":          "gemini/embedding-001",
		"support-bot":            "claude/claude-opus-4-5",
	} {
		p, e := h.plan(&Call{Request: &llm.Request{Model: model}})
		if e != nil || p.candidates[0].target.String() != want {
			t.Errorf("%s: got %+v, want %s", model, p, want)
		}
	}
	for _, model := range []string{"", "llama-9", "mistral/large", "opus", "openai/"} {
		if p, e := h.plan(&Call{Request: &llm.Request{Model: model}}); e == nil {
			t.Errorf("%q resolved to %v", model, p.candidates[0].target)
		}
	}
}

func TestTheChainFollowsTheChoiceWithDefaultModels(t *testing.T) {
	h := newHouse(t)
	p, _ := h.plan(&Call{Request: &llm.Request{Model: "o4-mini"}})
	var got []string
	for _, c := range p.candidates {
		got = append(got, c.target.String())
	}
	if want := "openai/o4-mini gemini/gemini-2.5-flash claude/claude-sonnet-4-5 local/llama3"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}

func TestAnUnknownModelIsExplained(t *testing.T) {
	h := newHouse(t)
	_, err := h.ask(t.Context(), chat("llama-9", true))
	var e *Error
	if !errors.As(err, &e) || e.Status != 404 || e.Code != "model_not_found" || !strings.Contains(e.Message, "GET /v1/models") {
		t.Errorf("got %#v", err)
	}
	if h.log.last(t).Outcome != record.Refused {
		t.Error("it was not recorded as refused")
	}
}

func TestTheLastWorkingTargetIsNeverHeld(t *testing.T) {
	h := newHouse(t)
	gemini, claude := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}, llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}
	hold := func(target llm.Target) bool {
		return h.Hold(record.Hold{ID: 1, Target: target, Source: record.ByAnomaly, Expires: time.Now().Add(time.Minute)})
	}
	if hold(gemini) {
		t.Error("held while nothing was known of the others")
	}
	h.Pinged(llm.Claude, "", provider.Status{}, nil)
	if !hold(gemini) {
		t.Error("not held although claude answers")
	}
	if hold(claude) {
		t.Error("claude was held, the last that works")
	}
	h.Pinged(llm.Local, "", provider.Status{}, &llm.Failure{Class: llm.Network})
	if hold(claude) {
		t.Error("claude was held although the local server is away")
	}
}

func TestAProviderWhoseTimeToBeProbedHasComeIsEnoughForAHold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.claude.set(&act{fail: serverDown()})
		for range 3 {
			h.ask(t.Context(), chat("claude", true))
		}
		h.claude.set(nil)
		h.Pinged(llm.Claude, "", provider.Status{}, nil)
		target := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
		hold := record.Hold{ID: 7, Target: target, Source: record.ByAnomaly, Placed: time.Now(), Expires: time.Now().Add(time.Hour)}
		if h.isClosed(llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}) || h.Hold(hold) {
			t.Fatal("held while the other one's breaker is open")
		}
		time.Sleep(61 * time.Second)
		if !h.Hold(hold) {
			t.Fatal("not held although the other one may be tried again")
		}
		text, err := h.ask(t.Context(), chat("auto", true))
		mustSay(t, text, err, "hello from claude")
		if !h.isClosed(llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}) {
			t.Error("its breaker is not closed by the request")
		}
	})
}

func TestAHeldTargetGetsCanariesOnly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		target := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
		h.Pinged(llm.Claude, "", provider.Status{}, nil)
		h.Hold(record.Hold{ID: 7, Target: target, Source: record.ByAnomaly, Placed: time.Now(), Expires: time.Now().Add(time.Minute)})
		for range 24 {
			time.Sleep(time.Second)
			h.ask(t.Context(), chat("gemini", true))
		}
		if got := h.gemini.count(); got != 4 {
			t.Errorf("24 requests in 24 s sent %d canaries, want one in 5 s", got)
		}
		if !h.log.traces[4].Attempts[0].Canary || h.log.traces[0].Plan[0].Verdict != record.VerdictHeldByAnomaly {
			t.Error("the trace does not tell of the canary or the hold")
		}
		if !h.Release(target, "well again") || h.Release(target, "twice") {
			t.Error("a hold is released once")
		}
		ended := h.log.holds[len(h.log.holds)-1]
		if ended.Ending != "well again" || ended.Ended.IsZero() || ended.ID != 7 {
			t.Errorf("recorded %+v", ended)
		}
	})
}

func TestAHeldTargetThatRestsGetsNoCanary(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.Pinged(llm.Claude, "", provider.Status{}, nil)
		hold := record.Hold{
			ID: 7, Target: llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}, Source: record.ByAnomaly,
			Placed: time.Now(), Expires: time.Now().Add(time.Hour),
		}
		h.Hold(hold)
		h.Rest(hold.Target, time.Now().Add(time.Minute))
		h.Hold(hold) // extended
		for range 59 {
			time.Sleep(time.Second)
			h.ask(t.Context(), chat("gemini", true))
		}
		if got := h.gemini.count(); got != 0 {
			t.Errorf("%d canaries in a rest", got)
		}
		time.Sleep(time.Second)
		h.ask(t.Context(), chat("gemini", true))
		if got := h.gemini.count(); got != 1 {
			t.Errorf("%d canaries at the end of the rest, want one", got)
		}
	})
}

func TestAHoldPastItsExpiryHoldsNothing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.Pinged(llm.Claude, "", provider.Status{}, nil)
		h.Hold(record.Hold{Target: llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}, Source: record.ByAnomaly, Expires: time.Now().Add(time.Minute)})
		time.Sleep(time.Minute)
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestThePlainCall(t *testing.T) {
	h := newHouse(t)
	text, err := h.RouteRequest(t.Context(), "hi", "be brief", "claude")
	mustSay(t, text, err, "hello from claude")
	if got := h.claude.last.Messages; len(got) != 2 || got[0].Role != llm.System || got[1].Text() != "hi" {
		t.Errorf("claude was sent %+v", got)
	}
	text, err = h.RouteRequest(t.Context(), "hi", "", "")
	mustSay(t, text, err, "hello from gemini")
	for _, bad := range [][2]string{{"hi", "mistral"}, {"  ", "gemini"}} {
		if _, err := h.RouteRequest(t.Context(), bad[0], "", bad[1]); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	if !h.IsLocalAvailable(t.Context()) {
		t.Error("the local server answers, yet is not available")
	}
	h.local.set(&act{fail: serverDown()})
	if h.IsLocalAvailable(t.Context()) {
		t.Error("the local server is down, yet available")
	}
}

func TestHealthTellsEachProvider(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Endpoints[2].Unusable, c.Endpoints[2].Detail = record.VerdictNoUsableKey, "set OPENAI_API_KEY"
		})
		if got := h.HealthCheck(t.Context()); got.Status != "ok" || got.Providers[llm.OpenAI].State != "off" || *got.Providers[llm.OpenAI].LastError != "set OPENAI_API_KEY" {
			t.Errorf("at first: %+v", got)
		}
		h.gemini.set(&act{fail: serverDown()})
		h.log.recent = Figures{Attempts: 3, ErrorRate: 1, LastError: "server error, HTTP 503: overloaded"}
		for range 3 {
			h.ask(t.Context(), chat("gemini", true))
		}
		got := h.HealthCheck(t.Context())
		gemini := got.Providers[llm.Gemini]
		if got.Status != "degraded" || gemini.State != "open" || gemini.Available || gemini.NextProbe == nil || *gemini.LastError != "server error, HTTP 503: overloaded" {
			t.Errorf("with gemini down: %s, %+v", got.Status, gemini)
		}
	})
}

func TestAHeldTargetServesWhenNobodyElseCan(t *testing.T) {
	h := newHouse(t)
	h.Pinged(llm.Claude, "", provider.Status{}, nil)
	h.Hold(record.Hold{Target: llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}, Source: record.ByAnomaly, Expires: time.Now().Add(time.Minute)})
	for _, f := range []*fake{h.claude, h.openai, h.local} {
		f.set(&act{fail: serverDown()})
	}
	for range 5 {
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from gemini")
	}
	if tr := h.log.last(t); tr.Reason != "Gemini is held, and nobody else could answer" || !tr.Attempts[len(tr.Attempts)-1].Canary {
		t.Errorf("the trace says %q", tr.Reason)
	}
}

func TestAPingThatFailsByItselfIsNoTrouble(t *testing.T) {
	h := newHouse(t)
	h.Pinged(llm.OpenAI, "", provider.Status{}, &llm.Failure{Class: llm.BadRequest, Status: 404})
	if trouble, known := h.Contact(llm.OpenAI); trouble != "" || !known {
		t.Errorf("a server without a list of models is in trouble: %q", trouble)
	}
	h.Pinged(llm.OpenAI, "", provider.Status{}, &llm.Failure{Class: llm.Auth, Status: 401})
	if trouble, _ := h.Contact(llm.OpenAI); trouble != "key refused, HTTP 401" {
		t.Errorf("a refused key: %q", trouble)
	}
}

func TestNamesThatCallersMakeUpAreBounded(t *testing.T) {
	h := newHouse(t)
	h.openai.set(&act{fail: serverDown()})
	for i := range maxBreakers + 200 {
		h.ask(t.Context(), chat(fmt.Sprintf("openai/made-up-%d", i), true))
	}
	if n := len(h.Breakers()); n > maxBreakers {
		t.Errorf("%d breakers are kept", n)
	}
	_, err := h.ask(t.Context(), chat("openai/"+strings.Repeat("x", 1<<20), true))
	var e *Error
	if !errors.As(err, &e) || e.Status != 404 || len(e.Message) > 1000 {
		t.Errorf("a name of a megabyte: %.200v", err)
	}
}

func TestASlashInALocalNameIsNotAProviderThatIsNotSetUp(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Endpoints[2].Unusable = record.VerdictNoUsableKey })
	h.Pinged(llm.Local, "", provider.Status{Models: []string{"openai/gpt-oss:20b", "mistral:latest"}}, nil)
	for model, want := range map[string]string{
		"openai/gpt-oss:20b": "local/openai/gpt-oss:20b", "mistral": "local/mistral", "openai/gpt-4o": "openai/gpt-4o",
	} {
		if p, e := h.plan(&Call{Request: &llm.Request{Model: model}}); e != nil || p.candidates[0].target.String() != want {
			t.Errorf("%s: got %+v, want %s", model, p, want)
		}
	}
}
