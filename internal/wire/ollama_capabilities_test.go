package wire

import (
	"slices"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// TestOllamaIsToldToThinkWhereTheModelMustBeAbleTo holds what a model must be
// able to do against what it is sent.
func TestOllamaIsToldToThinkWhereTheModelMustBeAbleTo(t *testing.T) {
	for _, thought := range []*llm.Thought{
		nil, {}, {Effort: "none"}, {Effort: "minimal"}, {Effort: "high"}, {Effort: "max"}, {Adaptive: true}, {Adaptive: true, Effort: "high"},
		{Budget: new(int64(0))}, {Budget: new(int64(-1))}, {Budget: new(int64(2048))}, {Effort: "low", Budget: new(int64(0))}, {Show: new(true)},
	} {
		req := &llm.Request{Dialect: llm.Plain, Thought: thought, Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: "hi"}}}}}
		e, err := encodeOllama("m", req)
		if err != nil {
			t.Fatal(err)
		}
		think := gjson.GetBytes(e.Body, "think")
		told := think.Exists() && think.Type != gjson.False
		less, left := WithoutThinking([]string{"completion"}, req)
		if left != told || len(OllamaIncapable([]string{"completion"}, req)) != 0 {
			t.Errorf("%+v: think is %q, left out %v", thought, think.Raw, left)
		}
		if e, err = encodeOllama("m", less); err != nil || gjson.GetBytes(e.Body, "think").Bool() || gjson.GetBytes(e.Body, "think").Type == gjson.String {
			t.Errorf("%+v: a model that cannot is told to think: %s, %v", thought, e.Body, err)
		}
		req.Dialect = llm.OllamaChat
		if lacks := slices.Contains(OllamaIncapable([]string{"completion"}, req), "think"); lacks != told {
			t.Errorf("%+v: a caller of Ollama's dialect asks a model that cannot think, lacking %v", thought, lacks)
		}
	}
}
