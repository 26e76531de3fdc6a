package sim

import (
	"encoding/json"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// conversation is a chat of several turns, the user's first.
func conversation(t *testing.T, kind llm.Provider, model string, turns ...string) string {
	t.Helper()
	var list []any
	for i, text := range turns {
		role := [2]string{"user", "assistant"}[i%2]
		if kind == llm.Gemini {
			list = append(list, map[string]any{"role": strings.Replace(role, "assistant", "model", 1), "parts": []any{map[string]any{"text": text}}})
		} else {
			list = append(list, map[string]any{"role": role, "content": text})
		}
	}
	body := map[string]any{"model": model, "messages": list, "stream": false, "max_tokens": 100}
	switch kind {
	case llm.Gemini:
		body = map[string]any{"contents": list}
	case llm.Local:
		delete(body, "max_tokens")
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAReplyThatWasBegunIsGoneOnWith(t *testing.T) {
	for _, kind := range llm.Providers() {
		t.Run(string(kind), func(t *testing.T) {
			s := start(t, kind, Options{})
			say := func(turns ...string) string {
				text, _ := textOf(kind, ask{rawBody: conversation(t, kind, defaultModels[kind], turns...)}.send(t, s).body)
				return text
			}
			want := " three four"
			if kind == llm.OpenAI { // it begins anew
				want = "one two three four"
			}
			if got := say("echo one two three four", "one two"); got != want {
				t.Errorf("after its own words: %q, want %q", got, want)
			}
			if got := say("echo one two three four", "one two", "Go on. The last words are:\ntwo"); got != "two three four" {
				t.Errorf("asked to go on: %q", got)
			}
			if got := say("echo one two three four", "something else", "echo five"); got != "five" {
				t.Errorf("asked something else: %q", got)
			}
		})
	}
}

func TestSomeModelsRefuseTheBeginningOfTheirAnswer(t *testing.T) {
	for model, status := range map[string]int{
		"claude-3-5-sonnet-20241022": 200, "claude-sonnet-4-20250514": 200, "claude-haiku-4-5-20251001": 200, "echo-claude": 200,
		"claude-opus-4-6": 400, "claude-sonnet-5": 400, "claude-opus-5-5": 400,
	} {
		s := start(t, llm.Claude, Options{})
		if g := (ask{model: model, rawBody: conversation(t, llm.Claude, model, "hi", "Well,")}).send(t, s); g.status != status {
			t.Errorf("%s: %d %s", model, g.status, g.body)
		}
	}
	for _, kind := range llm.Providers() {
		s := start(t, kind, Options{})
		s.Set(Fault{Kind: RefusePrefill})
		refuses := kind == llm.Claude || kind == llm.Gemini
		g := ask{rawBody: conversation(t, kind, defaultModels[kind], "hi", "Well,")}.send(t, s)
		if (g.status == 400) != refuses {
			t.Errorf("%s: %d %s", kind, g.status, g.body)
		}
		if g := (ask{}).send(t, s); g.status != 200 {
			t.Errorf("%s, another request: %d %s", kind, g.status, g.body)
		}
	}
}

// A few bytes of a schema may ask for more than there is memory.
func TestInstancesAreBounded(t *testing.T) {
	nested := `{"type":"string"}`
	for range 6 {
		nested = `{"type":"array","minItems":1000000000,"items":` + nested + `}`
	}
	if got := smallest(json.RawMessage(nested)); len(got) > 100_000 || !json.Valid([]byte(got)) {
		t.Errorf("%d bytes", len(got))
	}
}
