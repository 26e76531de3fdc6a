package sim

import (
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// withThinking gives the fields that ask for thinking, and to see it.
func withThinking(kind llm.Provider) obj {
	switch kind {
	case llm.OpenAI:
		return obj{"model": "gpt-5", "reasoning_effort": "low"}
	case llm.Claude:
		return obj{"thinking": obj{"type": "enabled", "budget_tokens": 1024}}
	case llm.Gemini:
		return obj{"model": "gemini-3.6-flash", "generationConfig": obj{"thinkingConfig": obj{"includeThoughts": true}}}
	}
	return obj{"think": true}
}

func TestThinksAloudAndSignsIt(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		one := heard(t, kind, converse(t, s, stream, []any{user(kind, "think deep and long\necho so be it")}, withThinking(kind)))
		want := "deep and long"
		if kind == llm.OpenAI {
			want = "" // not shown
		}
		signs := kind == llm.Claude || kind == llm.Gemini
		if one.thinking != want || one.text != "so be it" || (one.signature != "") != signs || signs && !genuine(kind, one.signature) {
			t.Errorf("%+v", one)
		}
		if two := heard(t, kind, converse(t, s, stream, []any{user(kind, "think hard")}, withThinking(kind))); two.text != Speech(kind)("") {
			t.Errorf("%+v", two)
		}
		g := converse(t, s, false, []any{user(kind, "think deep and long")}, withThinking(kind))
		told := map[llm.Provider]string{
			llm.OpenAI: `"reasoning_tokens": 4,`, llm.Claude: `"output_tokens_details":{"thinking_tokens":4}`,
			llm.Gemini: `"thoughtsTokenCount": 4`, llm.Local: `"thinking":"deep and long"`,
		}[kind]
		if !strings.Contains(g.body, told) {
			t.Errorf("no %s in %s", told, g.body)
		}
	})
}

func TestThinkingIsHiddenOrOffWhereAsked(t *testing.T) {
	for kind, more := range map[llm.Provider]obj{
		llm.Claude: {}, llm.Gemini: {}, llm.Local: {"think": false},
	} {
		s := start(t, kind, Options{})
		if one := heard(t, kind, converse(t, s, false, []any{user(kind, "think hard\necho yes")}, more)); one.thinking != "" || one.text != "yes" {
			t.Errorf("%s: %+v", kind, one)
		}
	}
	s := start(t, llm.Claude, Options{})
	for _, stream := range []bool{false, true} {
		one := heard(t, llm.Claude, converse(t, s, stream, []any{user(llm.Claude, "think hard\necho yes")},
			obj{"thinking": obj{"type": "adaptive", "display": "omitted"}}))
		if one.thinking != "" || one.signature == "" || one.text != "yes" {
			t.Errorf("%+v", one)
		}
		back := []any{user(llm.Claude, "Hi"), turnOf(llm.Claude, one), user(llm.Claude, "echo back")}
		if g := converse(t, s, stream, back); g.status != 200 {
			t.Errorf("hidden thinking is refused: %s", g.body)
		}
	}
}

// Thinking, then a call, then its result: with the signature of the first
// answer in the second request.
func TestSignaturesAreCarriedThroughAToolLoop(t *testing.T) {
	for _, kind := range []llm.Provider{llm.Claude, llm.Gemini} {
		for _, stream := range []bool{false, true} {
			s := start(t, kind, Options{})
			ask := user(kind, "think which\ncall weather\ncall clock")
			tools, thinking := withTools(kind, "weather", "clock"), withThinking(kind)
			one := heard(t, kind, converse(t, s, stream, []any{ask}, tools, thinking))
			if one.thinking != "which" || one.callText() != "weather {}; clock {}" {
				t.Fatalf("%s: %+v", kind, one)
			}
			send := func(one said) got {
				messages := append([]any{ask, turnOf(kind, one)}, resultsOf(kind, one, "fine", "noon")...)
				return converse(t, s, stream, messages, tools, thinking)
			}
			if two := heard(t, kind, send(one)); two.text != "The tool weather said: fine The tool clock said: noon" {
				t.Errorf("%s: %+v", kind, two)
			}
			bare, forged := one, one
			bare.signature, bare.thinking, forged.signature = "", "", sign(kind, "something else")
			bare.calls, forged.calls = append([]called{}, one.calls...), append([]called{}, one.calls...)
			bare.calls[0].signature, forged.calls[0].signature = "", sign(llm.OpenAI, "which")
			missing, invalid := "Expected `thinking` or `redacted_thinking`, but found `tool_use`", "messages.1.content.0: Invalid `signature` in `thinking` block"
			if kind == llm.Gemini {
				missing, invalid = "Function call is missing a thought_signature in functionCall parts.", "Corrupted thought signature."
				if one.calls[0].id == "" || one.calls[1].signature != "" {
					t.Errorf("%+v", one.calls)
				}
			}
			if g := send(bare); g.status != 400 || !strings.Contains(g.body, missing) {
				t.Errorf("%s: %d %s", kind, g.status, g.body)
			}
			if g := send(forged); g.status != 400 || !strings.Contains(g.body, invalid) {
				t.Errorf("%s: %d %s", kind, g.status, g.body)
			}
			waived := bare
			waived.calls[0].signature = "skip_thought_signature_validator"
			if kind == llm.Gemini && send(waived).status != 200 {
				t.Error("the word that skips the check does not")
			}
		}
	}
}

// An older turn needs no signature, and neither does an older model.
func TestOnlyTheCurrentTurnNeedsItsSignature(t *testing.T) {
	s := start(t, llm.Gemini, Options{})
	one := said{calls: []called{{name: "clock", args: "{}"}}}
	turn := append([]any{user(llm.Gemini, "What time is it?"), turnOf(llm.Gemini, one)}, resultsOf(llm.Gemini, one, "noon")...)
	later := append(turn, obj{"role": "model", "parts": []any{obj{"text": "Noon."}}}, user(llm.Gemini, "echo thanks"))
	tools, third := withTools(llm.Gemini, "clock"), obj{"model": "gemini-3.6-flash"}
	for _, c := range []struct {
		messages []any
		more     obj
		status   int
	}{{turn, third, 400}, {later, third, 200}, {turn, nil, 200}} {
		if g := converse(t, s, false, c.messages, tools, c.more); g.status != c.status {
			t.Errorf("%d, want %d: %s", g.status, c.status, g.body)
		}
	}
}
