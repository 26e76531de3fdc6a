package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// geminiToolTalk is a conversation with all that the shared words have.
func geminiToolTalk() *llm.Request {
	text := func(s string) llm.Part { return llm.Part{Kind: llm.Text, Text: s} }
	image := llm.Part{Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "aGk=", Name: "a.png", Detail: "high"}}
	call := func(id, name string) llm.Part {
		return llm.Part{Kind: llm.Call, Call: &llm.ToolCall{ID: id, Name: name, Args: json.RawMessage(`{"city":"Oslo"}`)}}
	}
	result := func(id string, failed bool, parts ...llm.Part) llm.Part {
		return llm.Part{Kind: llm.Result, Result: &llm.ToolResult{CallID: id, Parts: parts, Error: failed}}
	}
	signed := call("c3", "look")
	signed.Signature, signed.SignedBy = "c2ln", llm.Gemini
	return &llm.Request{
		Dialect: llm.AnthropicMessages,
		Messages: []llm.Message{
			{Role: llm.System, Parts: []llm.Part{{Kind: llm.Text, Text: "Be brief.", Cache: "5m"}}},
			{Role: llm.User, Name: "ann", Parts: []llm.Part{text("Weather?"), image, {Kind: llm.Image, Media: &llm.Media{URL: "https://example.com/b"}}}},
			{Role: llm.User, Parts: []llm.Part{
				{Kind: llm.Document, Media: &llm.Media{MIME: "application/pdf", Data: "aGk="}}, {Kind: llm.Document, Media: &llm.Media{Text: "hi"}},
				{Kind: llm.Audio, Media: &llm.Media{MIME: "audio/wav", Data: "aGk="}},
			}},
			{Role: llm.Assistant, Parts: []llm.Part{
				{Kind: llm.Thinking, Text: "hm", Signature: "x", SignedBy: llm.Claude}, {Kind: llm.Thinking, Signature: "x", SignedBy: llm.Claude, Redacted: true},
				text("I look."), call("c1", "weather"), call("c2", "look"),
			}},
			{Role: llm.ToolRole, Parts: []llm.Part{result("c1", false, text(`{"t": 3}`))}},
			{Role: llm.ToolRole, Parts: []llm.Part{result("c2", true, text("no"), image)}},
			{Role: llm.System, Parts: []llm.Part{text("Be kind.")}},
			{Role: llm.Assistant, Parts: []llm.Part{{Kind: llm.Thinking, Text: "own", Signature: "b3du", SignedBy: llm.Gemini}, signed}},
			{Role: llm.ToolRole, Parts: []llm.Part{result("c3", false, text(`{"output":1}`))}},
			{Role: llm.User, Parts: []llm.Part{text("Thanks.")}},
		},
		Tools: []llm.Tool{
			{Name: "weather", Description: "d", Strict: ptr(true), Schema: json.RawMessage(`{"$schema":"x","type":"object","properties":{"city":{"type":"string","pattern":"^O"},"unit":{"const":"C"},"at":{"$ref":"#/definitions/place","description":"where"}},"required":["city"],"additionalProperties":false,"definitions":{"place":{"type":["string","null"]}}}`)},
			{Name: "look"},
		},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAuto}, Thought: &llm.Thought{Effort: "xhigh", Show: ptr(true)},
		MaxTokens: ptr[int64](64), Temperature: ptr(1.5), TopP: ptr(0.9), TopK: ptr[int64](40), FrequencyPenalty: ptr(0.5), PresencePenalty: ptr(0.0),
		Seed: ptr[int64](1 << 40), Stop: []string{"END", ""}, N: ptr[int64](2), Logprobs: ptr(true), TopLogprobs: ptr[int64](2),
		User: "u", Metadata: map[string]string{"a": "b"}, ServiceTier: "priority",
	}
}

func TestEncodeGeminiSpeaksToEachFamily(t *testing.T) {
	schema := &llm.Request{
		Dialect: llm.OpenAIChat, Messages: []llm.Message{message(llm.Assistant, "Hi"), message(llm.User, "Go")},
		Format:  &llm.Format{Kind: llm.FormatSchema, Name: "n", Description: "d", Schema: json.RawMessage(`{"type":"object","properties":{"b":{"anyOf":[{"type":"integer"},{"type":"null"}]},"a":{"type":["string","null"],"minLength":2}}}`)},
		Thought: &llm.Thought{Effort: "none"}, ServiceTier: "scale",
	}
	instructions := &llm.Request{Dialect: llm.OpenAIChat, Messages: []llm.Message{message(llm.System, "Say hello.")}, Format: &llm.Format{Kind: llm.FormatJSON}}
	older := geminiToolTalk()
	older.Messages[1].Parts = older.Messages[1].Parts[:2]
	var out bytes.Buffer
	c, _ := CodecFor(llm.GeminiGenerate)
	for _, model := range []string{"gemini-3.1-pro-preview", "gemini-2.5-flash", "gemini-2.0-flash", "gemma-3-27b-it"} {
		for _, r := range []struct {
			name string
			req  *llm.Request
		}{{"tool talk", geminiToolTalk()}, {"older tool talk", older}, {"schema", schema}, {"instructions", instructions}} {
			fmt.Fprintf(&out, "%s to %s\n", r.name, model)
			e, err := c.Encode(model, r.req)
			var refused *RequestError
			if errors.As(err, &refused) {
				fmt.Fprintf(&out, "\trefused: %v, lacks %q\n", refused, c.Lacks(model, r.req))
				continue
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, e.Body, "\t", " "); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "\t%s\n\tadjusted: %q\n", indented.Bytes(), e.Adjusted)
		}
	}
	golden(t, "gemini_encode.golden", out.Bytes())
}

func TestGeminiLacks(t *testing.T) {
	part := func(p llm.Part) *llm.Request {
		return &llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{p}}}}
	}
	tools := []llm.Tool{{Name: "f"}}
	for _, c := range []struct {
		name, model string
		req         *llm.Request
		want        []string
	}{
		{"nothing", "gemini-2.5-flash", &llm.Request{Tools: tools, N: ptr[int64](8)}, nil},
		{"beyond", "gemini-2.5-flash", &llm.Request{Beyond: []string{"audio"}}, []string{"audio"}},
		{"its own dialect", "gemini-2.5-flash", &llm.Request{Dialect: llm.GeminiGenerate, Beyond: []string{"audio"}}, nil},
		{"tools on Gemma", "gemma-3-27b-it", &llm.Request{Tools: tools}, []string{"tools"}},
		{"tools on a speaker", "gemini-2.5-flash-preview-tts", &llm.Request{Tools: tools}, []string{"tools"}},
		{"tools and a format", "gemini-2.5-pro", &llm.Request{Tools: tools, Format: &llm.Format{Kind: llm.FormatJSON}}, []string{"response_format"}},
		{"tools and a format on 3", "gemini-3-flash-preview", &llm.Request{Tools: tools, Format: &llm.Format{Kind: llm.FormatJSON}}, nil},
		{"many answers", "gemini-3-flash-preview", &llm.Request{N: ptr[int64](9)}, []string{"n"}},
		{"many stops", "gemini-3-flash-preview", &llm.Request{Stop: make([]string, 6)}, []string{"stop"}},
		{"an address", "gemini-3-flash-preview", part(llm.Part{Kind: llm.Image, Media: &llm.Media{URL: "https://a/b.png"}}), nil},
		{"an address on 2.0", "gemini-2.0-flash", part(llm.Part{Kind: llm.Image, Media: &llm.Media{URL: "https://a/b.png"}}), []string{"messages.image"}},
		{"an address without TLS", "gemini-3-flash-preview", part(llm.Part{Kind: llm.Document, Media: &llm.Media{URL: "http://a/b.pdf"}}), []string{"messages.document"}},
		{"a GIF", "gemini-3-flash-preview", part(llm.Part{Kind: llm.Image, Media: &llm.Media{MIME: "image/gif", Data: "aGk="}}), []string{"messages.image"}},
		{"another provider's file", "gemini-3-flash-preview", part(llm.Part{Kind: llm.Document, Media: &llm.Media{FileID: "file-1"}}), []string{"messages.document"}},
		{"a recording's address", "gemini-3-flash-preview", part(llm.Part{Kind: llm.Audio, Media: &llm.Media{URL: "https://a/b.mp3"}}), []string{"messages.audio"}},
		{"a result of no call", "gemini-3-flash-preview", part(llm.Part{Kind: llm.Result, Result: &llm.ToolResult{CallID: "x"}}), []string{"messages.tool_call_id"}},
	} {
		codec, _ := CodecFor(llm.GeminiGenerate)
		if got := codec.Lacks(c.model, c.req); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if _, err := codec.Encode(c.model, c.req); c.want != nil && err == nil {
			t.Errorf("%s: was encoded all the same", c.name)
		}
	}
}

func TestGeminiThinksAsMuchAsAsked(t *testing.T) {
	for _, c := range []struct {
		model    string
		thought  llm.Thought
		want     string
		adjusted bool
	}{
		{"gemini-3.1-pro-preview", llm.Thought{Effort: "minimal"}, `{"thinkingLevel":"LOW"}`, true},
		{"gemini-3.1-pro-preview", llm.Thought{Effort: "medium"}, `{"thinkingLevel":"MEDIUM"}`, false},
		{"gemini-3-pro-preview", llm.Thought{Effort: "medium"}, `{"thinkingLevel":"HIGH"}`, true},
		{"gemini-3-flash-preview", llm.Thought{Effort: "none"}, `{"thinkingLevel":"MINIMAL"}`, true},
		{"gemini-3-flash-preview", llm.Thought{Effort: "minimal"}, `{"thinkingLevel":"MINIMAL"}`, false},
		{"gemini-3-flash-preview", llm.Thought{Budget: ptr[int64](5000)}, `{"thinkingLevel":"MEDIUM"}`, true},
		{"gemini-3-flash-preview", llm.Thought{Adaptive: true}, `null`, false},
		{"gemini-flash-latest", llm.Thought{Effort: "max", Show: ptr(true)}, `{"thinkingLevel":"HIGH","includeThoughts":true}`, true},
		{"gemini-2.5-flash", llm.Thought{Effort: "none"}, `{"thinkingBudget":0}`, false},
		{"gemini-2.5-flash", llm.Thought{Effort: "low"}, `{"thinkingBudget":1024}`, false},
		{"gemini-2.5-flash", llm.Thought{Effort: "max"}, `{"thinkingBudget":24576}`, true},
		{"gemini-2.5-flash", llm.Thought{Adaptive: true}, `{"thinkingBudget":-1}`, false},
		{"gemini-2.5-flash-lite", llm.Thought{Budget: ptr[int64](100)}, `{"thinkingBudget":512}`, true},
		{"gemini-2.5-pro", llm.Thought{Effort: "none"}, `{"thinkingBudget":128}`, true},
		{"gemini-2.5-pro", llm.Thought{Budget: ptr[int64](30000)}, `{"thinkingBudget":30000}`, false},
		{"gemini-2.0-flash", llm.Thought{Effort: "high"}, `null`, true},
		{"gemini-2.0-flash", llm.Thought{Effort: "none"}, `null`, false},
	} {
		codec, _ := CodecFor(llm.GeminiGenerate)
		e, err := codec.Encode(c.model, &llm.Request{Messages: []llm.Message{message(llm.User, "x")}, Thought: &c.thought})
		var body struct {
			GenerationConfig struct{ ThinkingConfig json.RawMessage }
		}
		if err != nil || json.Unmarshal(e.Body, &body) != nil {
			t.Fatal(err)
		}
		got := string(body.GenerationConfig.ThinkingConfig)
		if got == "" {
			got = "null"
		}
		if got != c.want || (e.Adjusted != nil) != c.adjusted {
			t.Errorf("%s %s: got %s %q, want %s", c.model, marshal(c.thought), got, e.Adjusted, c.want)
		}
	}
}

func TestGeminiChoosesTools(t *testing.T) {
	for want, req := range map[string]llm.Request{
		`null`:            {},
		`{"mode":"AUTO"}`: {ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAuto}},
		`{"mode":"NONE"}`: {ToolChoice: &llm.ToolChoice{Mode: llm.ChooseNone}},
		`{"mode":"ANY"}`:  {ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny}},
		`{"mode":"ANY","allowedFunctionNames":["f"]}`:       {ToolChoice: &llm.ToolChoice{Mode: llm.ChooseTool, Name: "f"}},
		`{"mode":"VALIDATED","allowedFunctionNames":["f"]}`: {ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAuto, Among: []string{"f"}}},
		`{"mode":"VALIDATED"}`:                              {Tools: []llm.Tool{{Name: "f", Strict: ptr(true)}}},
	} {
		if req.Tools == nil {
			req.Tools = []llm.Tool{{Name: "f"}}
		}
		req.Messages = []llm.Message{message(llm.User, "x")}
		e, err := encodeGemini("gemini-2.5-flash", &req)
		var body struct {
			ToolConfig struct{ FunctionCallingConfig json.RawMessage }
		}
		if err != nil || json.Unmarshal(e.Body, &body) != nil {
			t.Fatal(err)
		}
		if got := string(body.ToolConfig.FunctionCallingConfig); got != want && (want != "null" || got != "") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestGeminiSchemas(t *testing.T) {
	for _, c := range []struct {
		name, schema string
		json         string
		openAPI      string
		lost         [2]string
	}{
		{"plain", `{"type":"object","properties":{"a":{"type":"string","enum":["x"]}},"required":["a"]}`,
			`{"type":"object","properties":{"a":{"type":"string","enum":["x"]}},"required":["a"]}`,
			`{"type":"OBJECT","properties":{"a":{"type":"STRING","enum":["x"]}},"required":["a"]}`, [2]string{}},
		{"null", `{"type":["string","null"]}`, `{"type":["string","null"]}`, `{"type":"STRING","nullable":true}`, [2]string{}},
		{"several types", `{"type":["string","integer"]}`, `{"type":["string","integer"]}`, `{"anyOf":[{"type":"STRING"},{"type":"INTEGER"}]}`, [2]string{}},
		{"closed", `{"type":"object","properties":{},"additionalProperties":false}`, `{"type":"object","properties":{},"additionalProperties":false}`, `{"type":"OBJECT"}`, [2]string{"", "additionalProperties"}},
		{"constraints", `{"type":"string","pattern":"a","minLength":1,"not":{}}`, `{"type":"string"}`, `{"type":"STRING","pattern":"a","minLength":1}`, [2]string{"pattern minLength not", "not"}},
		{"notes", `{"$schema":"x","type":"integer","default":1,"examples":[1],"x-y":2,"$comment":"c"}`, `{"type":"integer"}`, `{"type":"INTEGER"}`, [2]string{}},
		{"const", `{"const":"a"}`, `{"enum":["a"]}`, `{"type":"STRING","enum":["a"]}`, [2]string{}},
		{"reference", `{"properties":{"a":{"$ref":"#/definitions/d","description":"x"}},"definitions":{"d":{"type":"string"}}}`,
			`{"properties":{"a":{"anyOf":[{"$ref":"#/$defs/d"}],"description":"x"}},"$defs":{"d":{"type":"string"}}}`,
			`{"type":"OBJECT","properties":{"a":{"type":"STRING","description":"x"}}}`, [2]string{}},
		{"recursion", `{"$defs":{"n":{"type":"object","properties":{"c":{"$ref":"#/$defs/n"}}}},"$ref":"#/$defs/n"}`,
			`{"$defs":{"n":{"type":"object","properties":{"c":{"$ref":"#/$defs/n"}}}},"anyOf":[{"$ref":"#/$defs/n"}]}`,
			`{"type":"OBJECT","properties":{"c":{"type":"OBJECT"}}}`, [2]string{"", "$ref"}},
		{"allOf", `{"allOf":[{"$ref":"#/$defs/a"},{"properties":{"y":{"type":"number"}},"required":["y"]}],"$defs":{"a":{"type":"object","properties":{"x":{"type":"string"}},"required":["x"]}}}`,
			`{"$defs":{"a":{"type":"object","properties":{"x":{"type":"string"}},"required":["x"]}},"type":"object","properties":{"x":{"type":"string"},"y":{"type":"number"}},"required":["x","y"]}`,
			`{"type":"OBJECT","properties":{"x":{"type":"STRING"},"y":{"type":"NUMBER"}},"required":["x","y"]}`, [2]string{}},
		{"union", `{"oneOf":[{"type":"string"},{"type":"null"}]}`, `{"oneOf":[{"type":"string"},{"type":"null"}]}`, `{"type":"STRING","nullable":true}`, [2]string{}},
		{"tuple", `{"type":"array","items":[{"type":"string"}]}`, `{"type":"array","prefixItems":[{"type":"string"}]}`, `{"type":"ARRAY"}`, [2]string{"", "items"}},
		{"format", `{"type":"string","format":"uuid"}`, `{"type":"string","format":"uuid"}`, `{"type":"STRING"}`, [2]string{"", "format"}},
		{"any", `true`, `{}`, `{}`, [2]string{}},
	} {
		got, lost := geminiSchema([]byte(c.schema), false)
		if string(got) != c.json || strings.Join(lost, " ") != c.lost[0] {
			t.Errorf("%s: got %s without %q, want %s", c.name, got, lost, c.json)
		}
		got, lost = geminiSchema([]byte(c.schema), true)
		if string(got) != c.openAPI || strings.Join(lost, " ") != c.lost[1] {
			t.Errorf("%s in OpenAPI: got %s without %q, want %s", c.name, got, lost, c.openAPI)
		}
	}
}

func TestSchemasThatMultiplyStaySmall(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/n0","$defs":{`)
	for i := range 60 {
		fmt.Fprintf(&b, `"n%d":{"type":"object","properties":{"a":{"$ref":"#/$defs/n%d"},"b":{"$ref":"#/$defs/n%d"}}},`, i, i+1, i+1)
	}
	b.WriteString(`"n60":{"allOf":[{"$ref":"#/$defs/n60"},{"properties":{"x":{"allOf":[{"$ref":"#/$defs/n60"},{}]}}}]}}}`)
	for _, openAPI := range []bool{false, true} {
		got, _ := geminiSchema([]byte(b.String()), openAPI)
		if !json.Valid(got) || len(got) > 4*maxGeminiRefs {
			t.Errorf("%d bytes", len(got))
		}
	}
}

func FuzzGeminiSchemas(f *testing.F) {
	f.Add([]byte(`{"allOf":[{"$ref":"#/$defs/a"},{"properties":{"y":{"oneOf":[{"const":1},{"type":["null","array"],"items":[true]}]}}}],"$defs":{"a":{"allOf":[{"$ref":"#"}]}}}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		for _, openAPI := range []bool{false, true} {
			got, _ := geminiSchema(schema, openAPI)
			if !json.Valid(got) {
				t.Fatalf("%s of %s", got, schema)
			}
			if again, _ := geminiSchema(got, false); !openAPI && !bytes.Equal(again, got) {
				t.Fatalf("not stable: %s, %s", got, again)
			}
		}
		if o, ok := object(schema); ok && !json.Valid(fromOpenAPI(o)) {
			t.Fatalf("%s of %s", fromOpenAPI(o), schema)
		}
	})
}
