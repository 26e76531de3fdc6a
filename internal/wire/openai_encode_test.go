package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// anthropicToolTurn is a conversation as a caller of another dialect has it.
func anthropicToolTurn() *llm.Request {
	long := strings.Repeat("x", 41)
	part := func(s string) llm.Part { return llm.Part{Kind: llm.Text, Text: s} }
	call := func(id, name, args string) llm.Part {
		return llm.Part{Kind: llm.Call, Call: &llm.ToolCall{ID: id, Name: name, Args: json.RawMessage(args)}, Signature: "gem", SignedBy: llm.Gemini}
	}
	return &llm.Request{
		Dialect: llm.AnthropicMessages,
		Messages: []llm.Message{
			{Role: llm.System, Parts: []llm.Part{{Kind: llm.Text, Text: "Be brief.", Cache: "1h"}, part("Be kind.")}},
			{Role: llm.User, Name: "ann ö", Parts: []llm.Part{part("Look"), {Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "AAAA", Detail: "low"}},
				{Kind: llm.Image, Media: &llm.Media{URL: "https://x/y.png"}}, {Kind: llm.Document, Media: &llm.Media{MIME: "application/pdf", Data: "CCCC"}},
				{Kind: llm.Document, Media: &llm.Media{MIME: "text/plain", Data: "aGk=", Name: "a.txt"}}}},
			{Role: llm.Assistant, Parts: []llm.Part{{Kind: llm.Thinking, Text: "secret", Signature: "s", SignedBy: llm.Claude}, part("Hm"), call("c1", "f", `{"a":1}`), call(long, "g", "")}},
			{Role: llm.ToolRole, Parts: []llm.Part{
				{Kind: llm.Result, Result: &llm.ToolResult{CallID: "c1", Parts: []llm.Part{part("no"), {Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "BBBB"}}}, Error: true}},
				{Kind: llm.Result, Result: &llm.ToolResult{CallID: long}}}},
			{Role: llm.User, Parts: []llm.Part{part("Go on")}},
			{Role: llm.Assistant, Parts: []llm.Part{{Kind: llm.Refusal, Text: "Never"}}},
		},
		Tools: []llm.Tool{
			{Name: "f", Description: "d", Strict: ptr(true), Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{}}}},"required":["a"]}`), Cache: "5m"},
			{Name: "g", Strict: ptr(true), Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}}}`)}},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny, Among: []string{"g"}}, Parallel: ptr(false),
		Format:  &llm.Format{Kind: llm.FormatSchema, Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`)},
		Thought: &llm.Thought{Budget: ptr[int64](2000), Show: ptr(true)}, ServiceTier: "standard_only", Metadata: map[string]string{"a": "b"}, N: ptr[int64](2),
		FrequencyPenalty: ptr(0.5), Temperature: ptr(0.5), TopK: ptr[int64](4),
	}
}

func TestEncodeOpenAICarriesToolsMediaAndSettings(t *testing.T) {
	var out bytes.Buffer
	for _, model := range []string{"gpt-4o", "o3", "gpt-5", "gpt-5.2", "gpt-5.6-terra", "llama3"} {
		req := anthropicToolTurn()
		e, err := encodeOpenAI(model, req)
		if err != nil {
			t.Fatalf("%s: %v", model, err)
		}
		b, err := json.MarshalIndent(json.RawMessage(e.Body), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if model != "gpt-4o" { // the messages differ little
			b, _ = json.MarshalIndent(map[string]json.RawMessage{"settings": []byte(deleted(t, e.Body, "messages", "tools"))}, "", " ")
		}
		fmt.Fprintf(&out, "--- %s\n%s\nadjusted %q\n", model, b, e.Adjusted)
	}
	golden(t, "openai_encode.golden", out.Bytes())
}

func deleted(t *testing.T, body []byte, names ...string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		delete(m, name)
	}
	return string(marshal(m))
}

func TestOpenAILacks(t *testing.T) {
	media := func(kind llm.PartKind, m llm.Media) *llm.Request {
		return &llm.Request{Dialect: llm.GeminiGenerate, Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: kind, Media: &m}}}}}
	}
	image := media(llm.Image, llm.Media{MIME: "image/png", Data: "A"})
	for _, c := range []struct {
		name, model string
		req         *llm.Request
		want        []string
	}{
		{"nothing", "gpt-4o", &llm.Request{Dialect: llm.Plain}, nil},
		{"beyond", "gpt-4o", &llm.Request{Dialect: llm.Plain, Beyond: []string{"a", "b"}}, []string{"a", "b"}},
		{"beyond of its own", "gpt-4o", &llm.Request{Dialect: llm.OpenAIChat, Beyond: []string{"a"}}, nil},
		{"image", "gpt-4o", image, nil},
		{"image, another's model", "llama3", image, nil},
		{"image, text model", "gpt-3.5-turbo", image, []string{"messages.image"}},
		{"image, text model, same dialect", "gpt-4-0613", &llm.Request{Dialect: llm.OpenAIChat, Messages: image.Messages}, []string{"messages.image"}},
		{"image of the assistant", "gpt-4o", &llm.Request{Dialect: llm.GeminiGenerate, Messages: []llm.Message{{Role: llm.Assistant, Parts: image.Messages[0].Parts}}}, []string{"messages.image"}},
		{"odd image", "gpt-4o", media(llm.Image, llm.Media{MIME: "image/heic", Data: "A"}), []string{"messages.image"}},
		{"image elsewhere", "gpt-4o", media(llm.Image, llm.Media{URL: "gs://a/b"}), []string{"messages.image"}},
		{"uploaded image", "gpt-4o", media(llm.Image, llm.Media{FileID: "f"}), []string{"messages.image"}},
		{"document", "gpt-4o", media(llm.Document, llm.Media{MIME: "application/pdf", Data: "A"}), nil},
		{"document by URL", "gpt-4o", media(llm.Document, llm.Media{URL: "https://x"}), []string{"messages.document"}},
		{"text document, text model", "gpt-4", media(llm.Document, llm.Media{Text: "x"}), nil},
		{"audio", "gpt-audio-mini", media(llm.Audio, llm.Media{MIME: "audio/mpeg", Data: "A"}), nil},
		{"audio, deaf model", "gpt-4o", media(llm.Audio, llm.Media{MIME: "audio/wav", Data: "A"}), []string{"messages.audio"}},
		{"odd audio", "llama3", media(llm.Audio, llm.Media{MIME: "audio/flac", Data: "A"}), []string{"messages.audio"}},
		{"many answers", "gpt-4o", &llm.Request{N: ptr[int64](129)}, []string{"n"}},
		{"log probabilities", "gpt-5", &llm.Request{Logprobs: ptr(true)}, []string{"logprobs"}},
		{"log probabilities without thought", "gpt-5.2", &llm.Request{Logprobs: ptr(true), Thought: &llm.Thought{Effort: "none"}}, nil},
		{"stop", "gpt-5-mini", &llm.Request{Stop: []string{"a"}}, []string{"stop"}},
		{"stop, newer", "gpt-5.5", &llm.Request{Stop: []string{"a"}}, nil},
		{"many stops", "gpt-4o", &llm.Request{Stop: []string{"a", "b", "c", "d", "e"}}, []string{"stop"}},
		{"tool's name", "gpt-4o", &llm.Request{Tools: []llm.Tool{{Name: "a"}, {Name: "a.b"}}}, []string{"tools[1].function.name"}},
	} {
		if got := lacksOpenAI(c.model, c.req); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		_, err := encodeOpenAI(c.model, c.req)
		if refused := (*RequestError)(nil); c.req.Dialect != llm.OpenAIChat && (errors.As(err, &refused) != (c.want != nil) || err != nil && refused.Field != c.want[0]) {
			t.Errorf("%s: encoding gave %v", c.name, err)
		}
	}
}

func TestOpenAIEfforts(t *testing.T) {
	word := func(s string) *llm.Thought { return &llm.Thought{Effort: s} }
	for _, c := range []struct {
		model   string
		thought *llm.Thought
		tools   bool
		want    string
	}{
		{"gpt-4o", word("high"), false, ""}, {"o3", word("none"), false, "low"}, {"o3", word("max"), false, "high"},
		{"gpt-5", word("none"), false, "minimal"}, {"gpt-5.1", word("minimal"), false, "none"}, {"gpt-5.1", word("xhigh"), false, "high"},
		{"gpt-5.2", word("xhigh"), false, "xhigh"}, {"gpt-5.2", word("high"), true, ""}, {"gpt-5.2", word("none"), true, "none"},
		{"gpt-5", word("high"), true, "high"}, {"gpt-5.6-luna", nil, true, "none"}, {"gpt-6-astra", word("max"), false, "max"},
		{"llama3", word("high"), true, "high"}, {"gpt-5", nil, false, ""}, {"gpt-5", &llm.Thought{Adaptive: true}, false, ""},
		{"gpt-5", &llm.Thought{Budget: ptr[int64](-1)}, false, ""}, {"gpt-5.1", &llm.Thought{Budget: ptr[int64](0)}, false, "none"},
		{"gpt-5", &llm.Thought{Budget: ptr[int64](1024)}, false, "low"}, {"gpt-5", &llm.Thought{Budget: ptr[int64](30000)}, false, "high"},
	} {
		if got := openAIModelOf(c.model).effort(c.thought, c.tools); got != c.want {
			t.Errorf("%s %+v tools %v: got %q, want %q", c.model, c.thought, c.tools, got, c.want)
		}
	}
}

func TestStrictSchemasOfOpenAI(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`: `{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`,
		`{"type":"object","properties":{"a":{"type":"string"}}}`:                  "",
		`{"type":"object","properties":{},"additionalProperties":true}`:           "",
		`{"type":"object","properties":{},"additionalProperties":false}`:          `{"type":"object","properties":{},"additionalProperties":false}`,
		`{"type":"object"}`: `{"type":"object","additionalProperties":false}`,
		`{"type":"object","properties":{"a":{"type":"string","default":"x"}},"required":["a"]}`:                               "",
		`{"type":"object","properties":{"default":{"type":"string"}},"required":["default"]}`:                                 `{"type":"object","properties":{"default":{"type":"string"}},"required":["default"],"additionalProperties":false}`,
		`{"type":"object","properties":{"a":{"anyOf":[{"type":"null"},{"type":"object"}]}},"required":["a"]}`:                 `{"type":"object","properties":{"a":{"anyOf":[{"type":"null"},{"type":"object","additionalProperties":false}]}},"required":["a"],"additionalProperties":false}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"required":["a"],"$defs":{"b":{"type":["object","null"]}}}`: `{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"required":["a"],"$defs":{"b":{"type":["object","null"],"additionalProperties":false}},"additionalProperties":false}`,
		`{"type":"array","items":{"type":"string"}}`:                                                                          "",
		`{"anyOf":[{"type":"object"}]}`: "",
		`null`:                          "",
		`{"type":"object","properties":{"a":true},"required":["a"]}`: "",
	} {
		got, ok := strictSchema(json.RawMessage(schema))
		if ok != (want != "") || ok && string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", schema, got, ok, want)
		}
	}
}

func TestOpenAIToolsAreOfObjects(t *testing.T) {
	for schema, want := range map[string]string{
		``: ``, `null`: ``, `{}`: `{"type":"object","properties":{}}`, `{"type":"object"}`: `{"type":"object","properties":{}}`,
		`{"properties":{"a":{}}}`: `{"properties":{"a":{}},"type":"object"}`, `{ "type":"object","properties":{ } }`: `{ "type":"object","properties":{ } }`,
	} {
		if got := objectSchema(json.RawMessage(schema)); string(got) != want {
			t.Errorf("%s: got %s, want %s", schema, got, want)
		}
	}
}

// TestWhatOtherProvidersSignedDoesNotReachOpenAI holds that a conversation goes
// on after a failover: OpenAI refuses fields that it does not know.
func TestWhatOtherProvidersSignedDoesNotReachOpenAI(t *testing.T) {
	const body = `{"model":"gpt-4o","messages":[{"role":"user","content":"reasoning_content"},{"role":"assistant","content":"x" ,"reasoning_content":"r","thinking_blocks":[],
		"extra_content":{},"tool_calls":[{"id":"a","extra_content":{"google":{}},"type":"function","function":{"name":"f","arguments":"{}"}}]}]}`
	r, err := DecodeOpenAIChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	e, err := encodeOpenAI("gpt-4o", r)
	const want = `{"role":"assistant","content":"x" ,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	if got := gjson.GetBytes(e.Body, "messages.1").Raw; err != nil || strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(want), "") {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if e, err := encodeOpenAI("deepseek-chat", r); err != nil || gjson.GetBytes(e.Body, "messages").Raw != gjson.Get(body, "messages").Raw {
		t.Errorf("a compatible server got %s, %v", e.Body, err)
	}
}

// TestRecordedOpenAIRequestsKeepTheirMeaning encodes each recorded request as
// if it had come in another dialect, and reads it again.
func TestRecordedOpenAIRequestsKeepTheirMeaning(t *testing.T) {
	for _, x := range corpus(t) {
		if !strings.HasSuffix(x.Request.Path, "/chat/completions") {
			continue
		}
		r, err := DecodeOpenAIChat(x.Request.Body)
		if err != nil {
			continue
		}
		r.Dialect, r.Beyond = llm.OpenAIResponses, nil
		e, err := encodeOpenAI("another-model", r)
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		again, err := DecodeOpenAIChat(e.Body)
		if err != nil || again.Beyond != nil {
			t.Errorf("%s: %v, beyond %q", x.Name, err, again.Beyond)
			continue
		}
		if got, want := meaning(again), meaning(r); got != want {
			t.Errorf("%s\n got %s\nwant %s", x.Name, got, want)
		}
	}
}

// meaning writes a request without what OpenAI is not sent or says otherwise.
func meaning(r *llm.Request) string {
	c := *r
	c.Dialect, c.Model, c.Body, c.Beyond, c.Aside, c.Metadata, c.TopK = "", "", nil, nil, nil, nil, nil
	c.IncludeUsage = c.Stream
	if c.N != nil && *c.N == 1 {
		c.N = nil
	}
	if c.Logprobs != nil && !*c.Logprobs {
		c.Logprobs = nil
	}
	if c.Format != nil && c.Format.Kind == llm.FormatSchema {
		f := *c.Format
		f.Schema, f.Strict, f.Name = nil, nil, ""
		c.Format = &f
	}
	c.Tools = slices.Clone(c.Tools)
	for i := range c.Tools {
		c.Tools[i].Schema = objectSchema(c.Tools[i].Schema)
	}
	c.Messages = nil
	var media []llm.Part
	flush := func() {
		if media != nil {
			c.Messages = append(c.Messages, llm.Message{Role: llm.User, Parts: media})
			media = nil
		}
	}
	for _, m := range r.Messages {
		if m.Role == llm.Developer {
			m.Role = llm.System
		}
		if m.Role != llm.ToolRole {
			flush()
		}
		parts := m.Parts
		m.Parts = nil
		for _, p := range parts {
			switch {
			case p.Kind == llm.Thinking:
				continue
			case p.Kind == llm.Result:
				result := *p.Result
				result.Parts = nil
				for _, q := range p.Result.Parts {
					if q.Kind == llm.Text {
						result.Parts = append(result.Parts, q)
					} else {
						media = append(media, llm.Part{Kind: llm.Text, Text: "The result of the tool call " + result.CallID + ":"}, q)
					}
				}
				p.Result = &result
			case p.Kind == llm.Text && p.Text == "" && len(parts) > 1:
				continue // an assistant's words beside calls
			}
			m.Parts = append(m.Parts, p)
		}
		c.Messages = append(c.Messages, m)
	}
	flush()
	return string(marshal(c))
}
