package wire

import (
	"slices"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

func TestALimitIsNoHigherThanTheModelTakes(t *testing.T) {
	asked := int64(32000)
	req := &llm.Request{Dialect: llm.Plain, MaxTokens: &asked, Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: "hi"}}}}}
	for _, c := range []struct {
		dialect llm.Dialect
		model   string
		field   string
		want    int64
	}{
		{llm.OpenAIChat, "gpt-4o", "max_tokens", 16384},
		{llm.OpenAIChat, "gpt-4o-2024-05-13", "max_tokens", 4096},
		{llm.OpenAIChat, "openai/gpt-4o-mini", "max_tokens", 16384},
		{llm.OpenAIChat, "gpt-4.1-mini", "max_tokens", 32000},
		{llm.OpenAIChat, "gpt-5", "max_completion_tokens", 32000},
		{llm.OpenAIChat, "some-server's-own", "max_tokens", 32000},
		{llm.AnthropicMessages, "claude-3-haiku-20240307", "max_tokens", 4096},
		{llm.AnthropicMessages, "claude-3-5-sonnet-latest", "max_tokens", 8192},
		{llm.AnthropicMessages, "claude-opus-4-1", "max_tokens", 32000},
		{llm.AnthropicMessages, "claude-sonnet-5", "max_tokens", 32000},
		{llm.GeminiGenerate, "gemini-2.0-flash", "generationConfig.maxOutputTokens", 8192},
		{llm.GeminiGenerate, "gemini-2.5-pro", "generationConfig.maxOutputTokens", 32000},
		{llm.OllamaChat, "llama3", "options.num_predict", 32000},
	} {
		codec, _ := CodecFor(c.dialect)
		e, err := codec.Encode(c.model, req)
		if err != nil {
			t.Fatalf("%s: %v", c.model, err)
		}
		got := gjson.GetBytes(e.Body, c.field).Int()
		if got == 0 {
			got = gjson.GetBytes(e.Body, "max_completion_tokens").Int()
		}
		if got != c.want || slices.Contains(e.Adjusted, "max_tokens") != (c.want < asked) {
			t.Errorf("%s: a limit of %d, adjusted %v; want %d", c.model, got, e.Adjusted, c.want)
		}
	}
	if *req.MaxTokens != asked {
		t.Error("the caller's request was changed")
	}
}
