package router

import (
	"errors"
	"slices"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

func embed(model string) *llm.Request {
	return &llm.Request{Dialect: llm.OpenAIEmbeddings, Model: model, Embed: &llm.Embed{Inputs: []llm.EmbedInput{{Text: "hi"}}}}
}

func TestAnEmbeddingGoesToTheModelThatWasNamedAndToNoOther(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Aliases = map[string]string{"vectors": "openai/text-embedding-3-small"}
		c.Endpoints = append(c.Endpoints, c.Endpoints[2], c.Endpoints[3])
		c.Endpoints[4].Name, c.Endpoints[5].Name = "eu", "attic"
		c.Routes = []Route{
			{Name: "search", Models: []string{"search"}, Targets: []string{"claude", "local/nomic-embed-text", "openai/text-embedding-3-large"}},
			{Name: "support", Models: []string{"support"}, Targets: []string{"claude", "local"}},
		}
	})
	h.Pinged(llm.Local, "", provider.Status{Models: []string{"nomic-embed-text:latest"}}, nil)
	for model, want := range map[string][]string{
		"vectors":                {"openai/text-embedding-3-small", "openai@eu/text-embedding-3-small"},
		"text-embedding-3-small": {"openai/text-embedding-3-small", "openai@eu/text-embedding-3-small"},
		"gemini-embedding-001":   {"gemini/gemini-embedding-001"},
		"nomic-embed-text":       {"local/nomic-embed-text", "local@attic/nomic-embed-text"},
		// The operator chose these, but no model for Claude.
		"search": {"local/nomic-embed-text", "local@attic/nomic-embed-text", "openai/text-embedding-3-large", "openai@eu/text-embedding-3-large"},
	} {
		p, e := h.plan(&Call{Request: embed(model)})
		if e != nil {
			t.Errorf("%s: %v", model, e)
			continue
		}
		var got []string
		for _, c := range p.candidates {
			got = append(got, c.target.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s goes to %v, want %v", model, got, want)
		}
	}
	for _, model := range []string{"auto", "openai", "gemini", "local", "support"} {
		_, err := h.ask(t.Context(), embed(model))
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Code != "invalid_request" || e.Param != "model" {
			t.Errorf("%s: %+v", model, err)
		}
	}
	if _, err := h.ask(t.Context(), embed("unheard-of")); err.(*Error).Code != "model_not_found" {
		t.Errorf("an unknown model: %v", err)
	}
	if calls := h.gemini.count() + h.claude.count() + h.openai.count() + h.local.count(); calls != 0 {
		t.Errorf("%d calls of providers", calls)
	}
}

func TestAnEmbeddingWhoseTargetIsDownFailsAndOpensTheBreaker(t *testing.T) {
	h := newHouse(t)
	h.openai.set(&act{fail: serverDown()})
	for range DefaultFailureThreshold {
		_, err := h.ask(t.Context(), embed("openai/text-embedding-3-small"))
		if e := err.(*Error); e.Status != 502 || e.Code != "all_providers_failed" || e.Attempts != 1 {
			t.Fatalf("%+v", e)
		}
	}
	_, err := h.ask(t.Context(), embed("openai/text-embedding-3-small"))
	if e := err.(*Error); e.Status != 503 || e.Code != "all_breakers_open" || e.RetryAfter == 0 || e.Attempts != 0 {
		t.Errorf("an open breaker: %+v", e)
	}
	if trace := h.log.last(t); trace.Door != llm.OpenAIEmbeddings || len(trace.Plan) != 1 || trace.Plan[0].Verdict != record.VerdictBreakerOpen {
		t.Errorf("the trace: %+v", trace)
	}
	// The breaker is the embedding model's own: chat goes on.
	h.openai.set(nil)
	got, err := h.ask(t.Context(), chat("openai", false))
	mustSay(t, got, err, "hello from openai")
	if h.gemini.count()+h.claude.count()+h.local.count() != 0 {
		t.Error("an embedding failed over to another model")
	}
}

func TestAnEmbeddingFailsOverWithinTheOperatorsRoute(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Routes = []Route{{Name: "search", Models: []string{"search"}, Targets: []string{"openai/text-embedding-3-small", "local/nomic-embed-text"}}}
	})
	h.openai.set(&act{fail: serverDown()})
	got, err := h.ask(t.Context(), embed("search"))
	mustSay(t, got, err, "hello from local")
}

func TestAModelThatNoTargetHasIsNotFound(t *testing.T) {
	h := newHouse(t)
	h.openai.set(&act{fail: &llm.Failure{Class: llm.NoSuchModel, Status: 404}})
	_, err := h.ask(t.Context(), embed("openai/text-embedding-9"))
	if e := err.(*Error); e.Status != 404 || e.Code != "model_not_found" || e.Param != "model" || h.log.last(t).Outcome != record.Refused {
		t.Errorf("%+v, %s", e, h.log.last(t).Outcome)
	}
}
