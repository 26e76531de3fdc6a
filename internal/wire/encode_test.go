package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"breakwater/internal/llm"
)

func message(role llm.Role, text string) llm.Message {
	return llm.Message{Role: role, Parts: []llm.Part{{Kind: llm.Text, Text: text}}}
}

// TestEncodeSpeaksEachDialect holds the translation of requests to each
// upstream and model in a golden file.
func TestEncodeSpeaksEachDialect(t *testing.T) {
	full := &llm.Request{
		Dialect: llm.Plain,
		Messages: []llm.Message{
			message(llm.System, "Be brief."), message(llm.Developer, "Be kind."),
			message(llm.User, "Hello <you> & \"them\""), message(llm.User, " "), message(llm.Assistant, "Hi \n"), message(llm.User, "And you?"),
		},
		MaxTokens: ptr[int64](64), Temperature: ptr(1.5), TopP: ptr(0.9), TopK: ptr[int64](40), FrequencyPenalty: ptr(0.5),
		PresencePenalty: ptr(-0.5), Seed: ptr[int64](1 << 40), Stop: []string{"END", "\n"}, User: "u1", Stream: true,
	}
	full.Messages[2].Name = "ann"
	neutral := &llm.Request{
		Dialect: llm.Plain, Messages: []llm.Message{message(llm.User, "Hello")},
		Temperature: ptr(1.0), TopP: ptr(1.0), FrequencyPenalty: ptr(0.0), PresencePenalty: ptr(0.0),
	}
	bare := &llm.Request{Dialect: llm.Plain, Messages: []llm.Message{message(llm.User, "Hello")}}
	instructions := &llm.Request{Dialect: llm.Plain, Messages: []llm.Message{message(llm.System, "Say hello.")}}
	assistantFirst := &llm.Request{Dialect: llm.Plain, Messages: []llm.Message{message(llm.Assistant, "Hi"), message(llm.User, "Hello")}}
	empty := &llm.Request{Dialect: llm.Plain, Messages: []llm.Message{message(llm.User, "")}}
	beyond := &llm.Request{Dialect: llm.OpenAIChat, Messages: bare.Messages, Beyond: []string{"tools", "n"}, Body: json.RawMessage(`{"model":"x"}`)}

	var out bytes.Buffer
	for _, target := range []struct {
		dialect llm.Dialect
		model   string
	}{
		{llm.OpenAIChat, "gpt-4o"}, {llm.OpenAIChat, "gpt-5-mini"},
		{llm.AnthropicMessages, "claude-3-5-sonnet-20241022"}, {llm.AnthropicMessages, "claude-opus-4-8"},
		{llm.GeminiGenerate, "gemini-2.5-flash"}, {llm.OllamaChat, "llama3"},
	} {
		c, _ := CodecFor(target.dialect)
		for _, r := range []struct {
			name string
			req  *llm.Request
		}{
			{"everything", full}, {"neutral settings", neutral}, {"bare", bare}, {"instructions only", instructions},
			{"assistant first", assistantFirst}, {"empty", empty}, {"beyond", beyond},
		} {
			fmt.Fprintf(&out, "%s to %s %s\n", r.name, target.dialect, target.model)
			e, err := c.Encode(target.model, r.req)
			var refused *RequestError
			switch {
			case errors.As(err, &refused):
				fmt.Fprintf(&out, "\trefused: %v\n", refused)
			case err != nil:
				t.Errorf("%s: not a RequestError: %v", r.name, err)
			default:
				fmt.Fprintf(&out, "\t%s\n", e.Body)
				if e.Adjusted != nil {
					fmt.Fprintf(&out, "\tadjusted: %q\n", e.Adjusted)
				}
			}
		}
	}
	golden(t, "encode.golden", out.Bytes())
}

func TestSameDialectKeepsTheCallersBytes(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"same model", `{ "model":"m" , "messages":[{"role":"user","content":"x"}] }`, ""},
		{"another model", `{"x":1.0,  "model":"gpt","messages":[{"role":"user","content":"\u00e9"}],"tools":[ ]}`,
			`{"x":1.0,  "model":"m","messages":[{"role":"user","content":"\u00e9"}],"tools":[ ]}`},
		{"stream", `{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}`,
			`{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}`},
		{"stream without usage", `{"model":"m","stream_options":{"include_usage":false,"include_obfuscation":false},"messages":[{"role":"user","content":"x"}],"stream":true}`,
			`{"model":"m","stream_options":{"include_usage":true,"include_obfuscation":false},"messages":[{"role":"user","content":"x"}],"stream":true}`},
		{"stream with null options", `{"model":"m","stream_options":null,"messages":[{"role":"user","content":"x"}],"stream":true}`,
			`{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}],"stream":true}`},
		{"stream with usage", `{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}],"stream":true}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := DecodeOpenAIChat([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			codec, _ := CodecFor(llm.OpenAIChat)
			e, err := codec.Encode("m", r)
			if c.want == "" {
				c.want = c.body
			}
			if err != nil || string(e.Body) != c.want {
				t.Errorf("got  %s, %v\nwant %s", e.Body, err, c.want)
			}
			if string(r.Body) != c.body {
				t.Errorf("the caller's own bytes were changed to %s", r.Body)
			}
		})
	}
}

func TestClaudeVersionIsReadFromIDs(t *testing.T) {
	for id, want := range map[string]int{
		"claude-3-5-sonnet-20241022": 305, "claude-3-5-sonnet-latest": 305, "claude-3-opus-20240229": 300,
		"claude-opus-4-20250514": 400, "claude-opus-4-1-20250805": 401, "claude-sonnet-4-5": 405,
		"claude-opus-4-8": 408, "claude-fable-5": 500, "claude-fable-5-1": 501, "claude-mythos-preview": 9900,
		"claude-2.1": 201, "claude-instant-1.2": 102, "claude-sonnet-4-5@20250929": 405,
	} {
		if got := claudeVersion(id); got != want {
			t.Errorf("%s: got %d, want %d", id, got, want)
		}
	}
}

func TestOpenAIReasoningModelsAreKnownByName(t *testing.T) {
	for model, want := range map[string]bool{
		"o1": true, "o1-mini": true, "o3": true, "o4-mini-2025-04-16": true, "gpt-5": true, "gpt-5.1": true, "gpt-5-nano": true,
		"gpt-10": true, "ft:gpt-5:org": true, "gpt-4o": false, "gpt-4.1": false, "gpt-3.5-turbo": false, "ft:gpt-4o:org": false,
		"omni-moderation": false, "o": false, "chatgpt-4o-latest": false, "gpt-": false, "gpt-oss-20b": false, "": false,
	} {
		if got := openAIModelOf(model).reasons(); got != want {
			t.Errorf("%s: got %v", model, got)
		}
	}
}
