package wire

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"

	"breakwater/internal/llm"

	"github.com/ollama/ollama/api"
)

func ollamaText(s string) llm.Part { return llm.Part{Kind: llm.Text, Text: s} }

func ollamaImage(m llm.Media) llm.Part { return llm.Part{Kind: llm.Image, Media: &m} }

// ollamaAsked makes a request with one user message.
func ollamaAsked(change func(*llm.Request)) *llm.Request {
	r := &llm.Request{Dialect: llm.OpenAIChat, Messages: []llm.Message{message(llm.User, "Hi")}}
	change(r)
	return r
}

func TestWhatOllamaCannotDoIsNamedAndRefused(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	tools := []llm.Tool{{Name: "f"}}
	with := func(parts ...llm.Part) func(*llm.Request) {
		return func(r *llm.Request) { r.Messages[0].Parts = parts }
	}
	for _, c := range []struct {
		name   string
		change func(*llm.Request)
		want   []string
	}{
		{"nothing", func(*llm.Request) {}, nil},
		{"beyond", func(r *llm.Request) { r.Beyond = []string{"logit_bias"} }, []string{"logit_bias"}},
		{"an image's address", with(ollamaImage(llm.Media{URL: "https://example.com/a.png"}), ollamaImage(llm.Media{FileID: "f"})), []string{"messages.image"}},
		{"an image", with(ollamaImage(llm.Media{Data: pixel})), nil},
		{"media", with(llm.Part{Kind: llm.Document, Media: &llm.Media{Data: "x"}}, llm.Part{Kind: llm.Audio, Media: &llm.Media{Data: "x"}}), []string{"messages.document", "messages.audio"}},
		{"a document that a tool gave", with(llm.Part{Kind: llm.Result, Result: &llm.ToolResult{Parts: []llm.Part{{Kind: llm.Document, Media: &llm.Media{URL: "https://example.com/a.pdf"}}}}}), []string{"messages.document"}},
		{"several answers", func(r *llm.Request) { r.N = new(int64(2)) }, []string{"n"}},
		{"one answer", func(r *llm.Request) { r.N = new(int64(1)) }, nil},
		{"many probabilities", func(r *llm.Request) { r.Logprobs, r.TopLogprobs = new(true), new(int64(21)) }, []string{"top_logprobs"}},
		{"some tool", func(r *llm.Request) { r.Tools, r.ToolChoice = tools, &llm.ToolChoice{Mode: llm.ChooseAny} }, []string{"tool_choice"}},
		{"one tool", func(r *llm.Request) { r.Tools, r.ToolChoice = tools, &llm.ToolChoice{Mode: llm.ChooseTool, Name: "f"} }, []string{"tool_choice"}},
		{"any tools", func(r *llm.Request) { r.Tools, r.ToolChoice = tools, &llm.ToolChoice{Mode: llm.ChooseAuto} }, nil},
		{"one call at a time", func(r *llm.Request) { r.Tools, r.Parallel = tools, new(false) }, nil},
	} {
		req := ollamaAsked(c.change)
		if got := codec.Lacks("m", req); !slices.Equal(got, c.want) {
			t.Errorf("%s: lacks %q, want %q", c.name, got, c.want)
		}
		_, err := codec.Encode("m", req)
		var refused *RequestError
		if c.want == nil && err != nil || c.want != nil && (!errors.As(err, &refused) || refused.Field != c.want[0]) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOllamaIsToldWhatItCanBeTold(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	call := llm.Part{Kind: llm.Call, Call: &llm.ToolCall{ID: "c1", Name: "f"}, Signature: "s", SignedBy: llm.Gemini}
	result := func(r llm.ToolResult) llm.Part { return llm.Part{Kind: llm.Result, Result: &r} }
	for _, c := range []struct {
		name     string
		change   func(*llm.Request)
		path     string // of the body
		want     string
		adjusted []string
	}{
		{"roles and names", func(r *llm.Request) {
			r.Messages = []llm.Message{message(llm.Developer, "d"), {Role: llm.User, Name: "ann"}}
		}, "messages", `[{"role":"system","content":"d"},{"role":"user","content":""}]`, []string{"messages.name"}},
		{"calls and results", func(r *llm.Request) {
			r.Messages = []llm.Message{{Role: llm.Assistant, Parts: []llm.Part{ollamaText("a"), call}}, {Role: llm.ToolRole, Parts: []llm.Part{
				result(llm.ToolResult{CallID: "c1", Parts: []llm.Part{ollamaText("r"), ollamaImage(llm.Media{Data: "QQ=="})}, Error: true}),
				result(llm.ToolResult{CallID: "c2", Name: "g"})}}}
		}, "messages", `[{"role":"assistant","content":"a","tool_calls":[{"id":"c1","function":{"index":0,"name":"f","arguments":{}}}]},` +
			`{"role":"tool","content":"Error: r","images":["QQ=="],"tool_name":"f","tool_call_id":"c1"},{"role":"tool","content":"","tool_name":"g","tool_call_id":"c2"}]`,
			nil},
		{"a document that is text", func(r *llm.Request) {
			r.Messages[0].Parts = []llm.Part{ollamaText("Read:"), {Kind: llm.Document, Media: &llm.Media{MIME: "text/plain", Data: "SGk="}}, ollamaText("Now.")}
		}, "messages", `[{"role":"user","content":"Read:\nHi\nNow."}]`, nil},
		{"thinking", func(r *llm.Request) {
			r.Messages = []llm.Message{{Role: llm.Assistant, Parts: []llm.Part{
				{Kind: llm.Thinking, Text: "own"}, {Kind: llm.Thinking, Text: "other's", Signature: "s", SignedBy: llm.Claude},
				{Kind: llm.Thinking, Redacted: true, Signature: "s", SignedBy: llm.Claude}, {Kind: llm.Refusal, Text: "No."}}}}
		}, "messages", `[{"role":"assistant","content":"No.","thinking":"own"}]`, []string{"messages.thinking", "messages.refusal"}},
		{"text and an image", func(r *llm.Request) {
			r.Messages[0].Parts = []llm.Part{ollamaText("1"), ollamaImage(llm.Media{Data: "QQ==", Detail: "low"}), ollamaText("2")}
		}, "messages", `[{"role":"user","content":"1\n2","images":["QQ=="]}]`, []string{"messages.image_url.detail"}},
		{"text between images", func(r *llm.Request) {
			r.Messages[0].Parts = []llm.Part{ollamaText("1"), ollamaImage(llm.Media{Data: "QQ=="}), ollamaText("2"), ollamaImage(llm.Media{Data: "Qg=="})}
		}, "messages", `[{"role":"user","content":"1"},{"role":"user","content":"2","images":["QQ=="]},{"role":"user","content":"","images":["Qg=="]}]`, nil},
		{"some of the tools", func(r *llm.Request) {
			r.Tools = []llm.Tool{{Name: "f", Description: "F", Strict: new(true), Cache: "5m"}, {Name: "g"}}
			r.ToolChoice = &llm.ToolChoice{Mode: llm.ChooseAuto, Among: []string{"f"}}
		}, "tools", `[{"type":"function","function":{"name":"f","description":"F","parameters":{"type":"object","properties":{}}}}]`, []string{"cache_control", "tools.strict"}},
		{"no tools", func(r *llm.Request) {
			r.Tools, r.ToolChoice = []llm.Tool{{Name: "f"}}, &llm.ToolChoice{Mode: llm.ChooseNone}
		}, "tools", "", nil},
		{"JSON", func(r *llm.Request) { r.Format = &llm.Format{Kind: llm.FormatJSON} }, "format", `"json"`, nil},
		{"a schema", func(r *llm.Request) {
			r.Format = &llm.Format{Kind: llm.FormatSchema, Name: "x", Description: "y", Schema: json.RawMessage(`{"type": "string"}`)}
		}, "format", `{"type":"string"}`, []string{"response_format.json_schema.description"}},
		{"probabilities", func(r *llm.Request) { r.Logprobs, r.TopLogprobs = new(true), new(int64(2)) }, "top_logprobs", "2", nil},
		{"labels", func(r *llm.Request) { r.User, r.Metadata, r.ServiceTier = "u", map[string]string{"a": "b"}, "flex" }, "options", "",
			[]string{"user", "metadata", "service_tier"}},
		{"settings of another dialect", func(r *llm.Request) { r.Aside = []string{"verbosity"} }, "options", "", []string{"verbosity"}},
		{"no thinking", func(r *llm.Request) { r.Thought = &llm.Thought{Effort: "none"} }, "think", "false", nil},
		{"no budget", func(r *llm.Request) { r.Thought = &llm.Thought{Budget: new(int64(0))} }, "think", "false", nil},
		{"little thinking", func(r *llm.Request) { r.Thought = &llm.Thought{Effort: "minimal"} }, "think", `"low"`, []string{"reasoning_effort"}},
		{"thinking", func(r *llm.Request) { r.Thought = &llm.Thought{Effort: "medium"} }, "think", `"medium"`, nil},
		{"most thinking", func(r *llm.Request) { r.Thought = &llm.Thought{Effort: "max"} }, "think", `"max"`, nil},
		{"a budget", func(r *llm.Request) { r.Thought = &llm.Thought{Budget: new(int64(1024))} }, "think", "true", []string{"reasoning_effort"}},
		{"free thinking", func(r *llm.Request) { r.Thought = &llm.Thought{Budget: new(int64(-1)), Show: new(true)} }, "think", "true", nil},
		{"the model decides", func(r *llm.Request) { r.Thought = &llm.Thought{Adaptive: true, Effort: "high"} }, "think", "", []string{"reasoning_effort"}},
	} {
		e, err := codec.Encode("m", ollamaAsked(c.change))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var body map[string]json.RawMessage
		if json.Unmarshal(e.Body, &body); string(body[c.path]) != c.want || string(body["stream"]) != "true" {
			t.Errorf("%s: got %s, want %s", c.name, body[c.path], c.want)
		}
		if !slices.Equal(e.Adjusted, c.adjusted) {
			t.Errorf("%s: adjusted %q, want %q", c.name, e.Adjusted, c.adjusted)
		}
		var official api.ChatRequest
		if err := json.Unmarshal(e.Body, &official); err != nil {
			t.Errorf("%s: Ollama would refuse it: %v", c.name, err)
		}
	}
}

func TestToolSchemasAreSaidInOllamasWords(t *testing.T) {
	for _, c := range []struct{ schema, want, lost string }{
		{``, `{"type":"object","properties":{}}`, ``},
		{`{}`, `{"type":"object","properties":{}}`, ``},
		{`{"type":"object"}`, `{"type":"object","properties":{}}`, ``},
		{`{"type":"object","title":"T","additionalProperties":false,"properties":{"a":{"type":["integer","null"],"description":"d"}},"required":["a"]}`, ``, ``},
		{`{"type":"object","properties":{"a":true,"b":false}}`, `{"type":"object","properties":{"a":{},"b":{}}}`, `["false"]`},
		{`{"properties":{"a":{"type":"string","pattern":"x","minLength":1},"b":{"properties":{"c":{"format":"date"}}}}}`, ``, `["format","minLength","pattern"]`},
		{`{"properties":{"a":{"const":"x"},"b":{"oneOf":[{"type":"null"},true]}}}`, `{"properties":{"a":{"enum":["x"]},"b":{"anyOf":[{"type":"null"},{}]}}}`, ``},
		{`{"$defs":{"D":{"type":"object","description":"of D"}},"properties":{"a":{"description":"of a","$ref":"#/$defs/D"}}}`,
			`{"$defs":{"D":{"type":"object","description":"of D"}},"properties":{"a":{"description":"of a","type":"object"}}}`, ``},
		{`{"properties":{"a":{"$ref":"#/elsewhere"}}}`, `{"properties":{"a":{}}}`, `["$ref"]`},
		{`{"properties":{"a":{"type":"array","items":{"$ref":"#/$defs/D","pattern":"x"}}}}`, ``, ``},
	} {
		if c.want == "" {
			c.want = c.schema
		}
		got, lost := ollamaSchema(json.RawMessage(c.schema), maxGrowth)
		var names []string
		if c.lost != "" {
			json.Unmarshal([]byte(c.lost), &names)
		}
		if string(got) != c.want || !slices.Equal(lost, names) {
			t.Errorf("%s:\n got %s, lost %q\nwant %s, lost %q", c.schema, got, lost, c.want, names)
		}
		var official api.ToolFunctionParameters
		if err := json.Unmarshal(got, &official); err != nil {
			t.Errorf("%s: Ollama would refuse it: %v", got, err)
		}
	}
}

func TestANumberThatIsNoneIsRefused(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	_, err := codec.Encode("m", ollamaAsked(func(r *llm.Request) { r.Temperature = new(math.NaN()) }))
	var refused *RequestError
	if !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

func TestSchemasThatReferToThemselvesEnd(t *testing.T) {
	for _, schema := range []string{
		`{"$defs":{"N":{"properties":{"n":{"$ref":"#/$defs/N"}}}},"$ref":"#/$defs/N"}`,
		`{"$defs":{"N":{"$ref":"#/$defs/N"}},"properties":{"n":{"$ref":"#/$defs/N"}}}`,
		`{"$defs":{"N":{"anyOf":[` + `{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"},{"$ref":"#/$defs/N"}` + `]}},"properties":{"n":{"$ref":"#/$defs/N"}}}`,
	} {
		got, lost := ollamaSchema(json.RawMessage(schema), maxGrowth)
		if !json.Valid(got) || len(got) > 2*maxGrowth || !slices.Contains(lost, "$ref") {
			t.Errorf("%s: %d bytes, lost %q", schema, len(got), lost)
		}
	}
}
