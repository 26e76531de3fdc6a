package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// toolTurns is a conversation in which another provider made the first calls
// and Claude the last.
func toolTurns() []llm.Message {
	call := func(id, args string) llm.Part {
		return llm.Part{Kind: llm.Call, Call: &llm.ToolCall{ID: id, Name: "look", Args: json.RawMessage(args)}}
	}
	result := func(id string, parts ...llm.Part) llm.Message {
		return llm.Message{Role: llm.ToolRole, Parts: []llm.Part{{Kind: llm.Result, Result: &llm.ToolResult{CallID: id, Parts: parts}}}}
	}
	said := llm.Part{Kind: llm.Text, Text: "seen"}
	failed := result("c2")
	failed.Parts[0].Result.Error = true
	signed := call("functions.look:0", `{"a":1}`)
	signed.Signature, signed.SignedBy = "gs", llm.Gemini
	return []llm.Message{
		message(llm.System, "Be brief."), message(llm.User, "Look."),
		{Role: llm.Assistant, Parts: []llm.Part{{Kind: llm.Thinking, Text: "not Claude's", Signature: "gs", SignedBy: llm.Gemini}, signed, call("c2", ``)}},
		result("functions.look:0", said, llm.Part{Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "AAAA"}}), failed,
		message(llm.User, "And?"), message(llm.Developer, "In French."),
		{Role: llm.Assistant, Parts: []llm.Part{
			{Kind: llm.Thinking, Text: "hm", Signature: "cs", SignedBy: llm.Claude},
			{Kind: llm.Thinking, Signature: "xyz", SignedBy: llm.Claude, Redacted: true},
			{Kind: llm.Text, Text: "  "}, call("c3", `{"broken`),
		}},
		result("c3", said),
	}
}

func TestEncodeAnthropicCarriesEveryPart(t *testing.T) {
	yes, no := true, false
	tools := []llm.Tool{
		{Name: "look", Description: "Looks.", Schema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"oneOf":[]}`)},
		{Name: "strict", Strict: &yes, Schema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`)},
		{Name: "loose", Strict: &yes, Schema: json.RawMessage(`{"type":"object"}`)}, {Name: "bare"},
	}
	media := []llm.Message{{Role: llm.User, Parts: []llm.Part{
		{Kind: llm.Image, Media: &llm.Media{URL: "https://x/y.png", Detail: "low"}, Cache: "1h"},
		{Kind: llm.Document, Media: &llm.Media{MIME: "application/pdf", Data: "BBBB", Name: "a.pdf"}, Cache: "5m"},
		{Kind: llm.Document, Media: &llm.Media{URL: "https://x/y.pdf"}},
		{Kind: llm.Document, Media: &llm.Media{MIME: "text/csv", Data: "YSxi", Name: "a.csv"}},
	}}}
	schema := json.RawMessage(`{"$schema":"x","type":"object","properties":{"a":{"type":"string","pattern":"^(?=a)","format":"regex"},"b":{"oneOf":[{"type":"string","maxLength":3},{"type":"null"}]},"c":{"type":"array","items":{"$ref":"#/$defs/d"},"minItems":2}},"required":["a"],"$defs":{"d":{"type":"object","properties":{"e":{"type":"number"}}}}}`)
	ask := []llm.Message{message(llm.User, "Hello")}
	var out bytes.Buffer
	for _, c := range []struct {
		name, model string
		req         llm.Request
	}{
		{"tool turns", "claude-sonnet-4-5", llm.Request{Messages: toolTurns(), Tools: tools, Parallel: &no}},
		{"tool turns, thinking", "claude-sonnet-4-5", llm.Request{Messages: toolTurns(), Tools: tools, Thought: &llm.Thought{Effort: "low"}}},
		{"tool turns, thinking amid another's", "claude-sonnet-4-5", llm.Request{Messages: toolTurns()[:5], Tools: tools, Thought: &llm.Thought{Effort: "low"}}},
		{"tool turns without tools", "claude-opus-4-8", llm.Request{Messages: toolTurns()}},
		{"some tools", "claude-opus-4-8", llm.Request{Messages: ask, Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny, Among: []string{"bare"}}, Parallel: &no, Thought: &llm.Thought{Effort: "high"}}},
		{"a tool", "claude-opus-5", llm.Request{Messages: ask, Tools: tools[3:], ToolChoice: &llm.ToolChoice{Mode: llm.ChooseTool, Name: "bare"}, Thought: &llm.Thought{Effort: "high"}}},
		{"no tool", "claude-opus-5-5", llm.Request{Messages: ask, Tools: tools[3:], ToolChoice: &llm.ToolChoice{Mode: llm.ChooseNone}, Parallel: &no}},
		{"media", "claude-haiku-4-5", llm.Request{Messages: media}},
		{"schema", "claude-haiku-4-5", llm.Request{Messages: ask, Format: &llm.Format{Kind: llm.FormatSchema, Schema: schema}}},
		{"instructions at the end", "claude-opus-4-8", llm.Request{Messages: []llm.Message{message(llm.User, "a"), message(llm.Assistant, "b"), message(llm.System, "c")}}},
		{"instructions anywhere", "claude-haiku-4-5", llm.Request{Messages: []llm.Message{message(llm.User, "a"), message(llm.System, "b"), message(llm.User, "c"), message(llm.Assistant, "d"), message(llm.User, "e")}}},
		{"labels", "claude-haiku-4-5", llm.Request{Messages: ask, User: "u", ServiceTier: "flex", Metadata: map[string]string{"a": "b"}}},
	} {
		c.req.Dialect = llm.Plain
		fmt.Fprintf(&out, "%s to %s\n", c.name, c.model)
		e, err := encodeAnthropic(c.model, &c.req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		fmt.Fprintf(&out, "\t%s\n\tadjusted: %q\n", e.Body, e.Adjusted)
		if _, err := DecodeAnthropic(e.Body); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	golden(t, "anthropic_encode.golden", out.Bytes())
}

// TestClaudeThinksAsFarAsTheModelCan holds what each generation is told.
func TestClaudeThinksAsFarAsTheModelCan(t *testing.T) {
	budget := int64(20000)
	var out bytes.Buffer
	for _, model := range []string{
		"claude-3-5-haiku-latest", "claude-3-7-sonnet-20250219", "claude-opus-4-5", "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-7", "claude-opus-4-8",
		"claude-sonnet-5", "claude-opus-5", "claude-fable-5", "claude-mythos-preview", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-1",
	} {
		fmt.Fprintln(&out, model)
		for _, c := range []struct {
			name    string
			thought llm.Thought
			max     *int64
		}{
			{"off", llm.Thought{Effort: "none"}, nil}, {"minimal", llm.Thought{Effort: "minimal"}, nil}, {"xhigh", llm.Thought{Effort: "xhigh"}, nil},
			{"high within 3000", llm.Thought{Effort: "high"}, ptr[int64](3000)}, {"high within 1000", llm.Thought{Effort: "high"}, ptr[int64](1000)},
			{"budget", llm.Thought{Budget: &budget, Show: ptr(true)}, nil}, {"adaptive", llm.Thought{Adaptive: true}, nil},
		} {
			e, err := encodeAnthropic(model, &llm.Request{
				Dialect: llm.Plain, Messages: []llm.Message{message(llm.User, "x")}, Thought: &c.thought, MaxTokens: c.max, Temperature: ptr(0.5),
			})
			if err != nil {
				t.Fatal(err)
			}
			body := strings.Replace(string(e.Body), `"model":"`+model+`",`, "", 1)
			fmt.Fprintf(&out, "\t%-16s %s %q\n", c.name, strings.Replace(body, `"messages":[{"role":"user","content":"x"}]`, "…", 1), e.Adjusted)
		}
	}
	golden(t, "anthropic_thinking.golden", out.Bytes())
}

func TestWhatClaudeLacksIsNamed(t *testing.T) {
	tool := []llm.Tool{{Name: "a"}}
	part := func(p llm.Part) []llm.Message { return []llm.Message{{Role: llm.User, Parts: []llm.Part{p}}} }
	object := json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`)
	form := func(schema string) *llm.Format {
		return &llm.Format{Kind: llm.FormatSchema, Schema: json.RawMessage(schema)}
	}
	for _, c := range []struct {
		model string
		req   llm.Request
		want  string
	}{
		{"claude-opus-5-5", llm.Request{}, ""},
		{"claude-opus-5-5", llm.Request{Dialect: llm.OpenAIChat, Beyond: []string{"logit_bias"}}, "logit_bias"},
		{"claude-opus-5-5", llm.Request{N: ptr[int64](2)}, "n"}, {"claude-opus-5-5", llm.Request{N: ptr[int64](1)}, ""},
		{"claude-opus-5-5", llm.Request{Logprobs: ptr(true), TopLogprobs: ptr[int64](3)}, "logprobs"},
		{"claude-2.1", llm.Request{Tools: tool}, "tools"},
		{"claude-opus-5-5", llm.Request{Tools: []llm.Tool{{Name: "a.b"}}}, "tools[0].function.name"},
		{"claude-opus-5-5", llm.Request{Messages: []llm.Message{{Role: llm.Assistant, Parts: []llm.Part{{Kind: llm.Call, Call: &llm.ToolCall{ID: "c", Name: "a.b"}}}}, message(llm.User, "x")}}, "messages.tool_calls.function.name"},
		{"claude-opus-5-5", llm.Request{Tools: tool, ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny}}, "tool_choice"},
		{"claude-sonnet-5-5", llm.Request{Tools: tool, ToolChoice: &llm.ToolChoice{Mode: llm.ChooseTool}}, "tool_choice"},
		{"claude-haiku-5-5", llm.Request{Tools: tool, ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny}}, ""},
		{"claude-opus-5", llm.Request{Tools: tool, ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny}}, ""},
		{"claude-opus-5-5", llm.Request{Format: &llm.Format{Kind: llm.FormatJSON}}, "response_format"},
		{"claude-opus-4-1", llm.Request{Format: form(string(object))}, "response_format"}, {"claude-opus-4-5", llm.Request{Format: form(string(object))}, ""},
		{"claude-opus-4-5", llm.Request{Format: form(`{"type":"object"}`)}, "response_format"},
		{"claude-opus-4-5", llm.Request{Format: form(`{"$ref":"#/$defs/a","$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/a"}}}}`)}, "response_format"},
		{"claude-opus-4-5", llm.Request{Format: form(`{"$ref":"https://x/y"}`)}, "response_format"},
		{"claude-opus-4-5", llm.Request{Messages: part(llm.Part{Kind: llm.Audio, Media: &llm.Media{Data: "x"}})}, "messages.audio"},
		{"claude-opus-4-5", llm.Request{Messages: part(llm.Part{Kind: llm.Image, Media: &llm.Media{MIME: "image/bmp", Data: "x"}})}, "messages.image"},
		{"claude-opus-4-5", llm.Request{Messages: part(llm.Part{Kind: llm.Image, Media: &llm.Media{FileID: "f"}})}, "messages.image"},
		{"claude-opus-4-5", llm.Request{Messages: part(llm.Part{Kind: llm.Document, Media: &llm.Media{MIME: "application/zip", Data: "x"}})}, "messages.document"},
		{"claude-3-haiku-20240307", llm.Request{Messages: part(llm.Part{Kind: llm.Document, Media: &llm.Media{MIME: "application/pdf", Data: "x"}})}, "messages.document"},
		{"claude-opus-4-5", llm.Request{Messages: []llm.Message{message(llm.Assistant, "x")}}, ""},
		{"claude-opus-4-6", llm.Request{Messages: []llm.Message{message(llm.Assistant, "x")}}, "messages.prefill"},
		{"claude-opus-4-6", llm.Request{Messages: []llm.Message{message(llm.Assistant, "x"), message(llm.System, "y")}}, ""},
	} {
		if c.req.Dialect == "" {
			c.req.Dialect = llm.Plain
		}
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if got := lacksAnthropic(c.model, &c.req); !reflect.DeepEqual(got, want) {
			t.Errorf("%s %+v: got %q, want %q", c.model, c.req, got, want)
		}
		if c.want == "" {
			continue
		}
		_, err := encodeAnthropic(c.model, &c.req)
		if refused, ok := err.(*RequestError); !ok || refused.Field != c.want {
			t.Errorf("%s is not refused: %v", c.want, err)
		}
	}
	c, _ := CodecFor(llm.AnthropicMessages)
	if got := c.Lacks("claude-opus-4-5", &llm.Request{Dialect: llm.AnthropicMessages, Beyond: []string{"container"}}); got != nil {
		t.Errorf("its own dialect lacks %q", got)
	}
}

func TestCountingAsksForNothingButTheCount(t *testing.T) {
	req := &llm.Request{Dialect: llm.Plain, Messages: []llm.Message{message(llm.User, "x")}, Temperature: ptr(0.5), MaxTokens: ptr[int64](5), Stream: true, User: "u", Stop: []string{"x"}}
	e, err := EncodeAnthropicCount("claude-haiku-4-5", req)
	if want := `{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"x"}]}`; err != nil || string(e.Body) != want {
		t.Errorf("got %s, %v", e.Body, err)
	}
}

func TestSealsNeverReachAnthropic(t *testing.T) {
	body := `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"breakwater.thinking. is a word"},` +
		`{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"breakwater.thinking.gemini.s"},{"type":"tool_use","id":"c","name":"n","input":{}},{"type":"redacted_thinking","data":"breakwater.block.gemini.t"}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c"}]},` +
		`{"role":"assistant","content":[{"type":"thinking","thinking":"b","signature":"breakwater.thinking.."}]},` +
		`{"role":"assistant","content":[{"type":"thinking","thinking":"c","signature":"own"},{"type":"text","text":"d","citations":[{"encrypted_index":"own"},{"encrypted_index":"breakwater.citation"}]}]}]}`
	want := `{"model":"n","max_tokens":1,"messages":[{"role":"user","content":"breakwater.thinking. is a word"},` +
		`{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"n","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c"}]},` +
		`{"role":"assistant","content":[{"type":"thinking","thinking":"c","signature":"own"},{"type":"text","text":"d","citations":[{"encrypted_index":"own"}]}]}]}`
	r, err := DecodeAnthropic([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	e, err := encodeAnthropic("n", r)
	if err != nil || string(e.Body) != want {
		t.Errorf("got  %s, %v\nwant %s", e.Body, err, want)
	}
	parts := r.Messages[1].Parts
	if len(parts) != 2 || parts[0].SignedBy != llm.Gemini || parts[0].Signature != "s" || parts[1].Signature != "t" || parts[1].SignedBy != llm.Gemini {
		t.Errorf("the signatures do not come back: %+v", parts)
	}
	if p := r.Messages[3].Parts[0]; p.Signature != "" || p.SignedBy != "" || p.Text != "b" {
		t.Errorf("unsigned thinking comes back as %+v", p)
	}
}

func FuzzAnthropicSchema(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"oneOf":[{"type":"string","minLength":1},{"$ref":"#/$defs/b"}]}},"$defs":{"b":{"type":"array","items":{"enum":[{}]}}}}`))
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		if !validJSON(schema) {
			return
		}
		cut, _, ok := anthropicSchema(schema)
		if !ok {
			return
		}
		again, gave, ok := anthropicSchema(cut)
		if !ok || gave != nil || !bytes.Equal(again, cut) {
			t.Fatalf("%s is cut to %s and then, for %q, to %s", schema, cut, gave, again)
		}
	})
}

// A turn that another provider began goes to Claude without a thinking budget,
// which Anthropic would refuse, and with ids that it takes.
func TestATurnBegunElsewhereGoesOnAtClaudesOwnDoor(t *testing.T) {
	body := `{"model":"m","max_tokens":5000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"hi"},` +
		`{"role":"assistant","content":[{"type":"tool_use","id":"functions.f:0","name":"f","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions.f:0","content":"4"}]}]}`
	req, err := DecodeAnthropic([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	e, err := spliceAnthropic("m", req)
	if err != nil {
		t.Fatal(err)
	}
	id := gjson.GetBytes(e.Body, "messages.1.content.0.id").String()
	if gjson.GetBytes(e.Body, "thinking").Exists() || len(e.Adjusted) != 1 || id == "functions.f:0" || gjson.GetBytes(e.Body, "messages.2.content.0.tool_use_id").String() != id {
		t.Errorf("adjusted %v: %s", e.Adjusted, e.Body)
	}
	own := strings.Replace(body, `"content":[{"type":"tool_use"`, `"content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"tool_use"`, 1)
	own = strings.ReplaceAll(own, "functions.f:0", "toolu_01")
	if req, err = DecodeAnthropic([]byte(own)); err != nil {
		t.Fatal(err)
	}
	if e, err = spliceAnthropic("m", req); err != nil || string(e.Body) != own {
		t.Errorf("Claude's own turn was changed: %v %s", err, e.Body)
	}
}
