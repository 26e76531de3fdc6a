package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

func decodeGemini(t *testing.T, body string) *llm.Request {
	t.Helper()
	r, err := DecodeGemini([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecodeGeminiReadsBothSpellings(t *testing.T) {
	camel := `{"systemInstruction":"Be brief.","contents":[
		{"role":"user","parts":[{"text":"hi"},{"inlineData":{"mimeType":"image/png","data":"aGk-"}},{"fileData":{"mimeType":"application/pdf","fileUri":"https://example.com/a.pdf"}}]},
		{"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"id":"a","name":"f","args":{"x": 1}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"f"}}]},
		{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"output":"ok"}}},{"functionResponse":{"name":"f","response":{"error":"bad"}}},{"text":"go on"}]}],
		"tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT","properties":{"x":{"type":"INTEGER","nullable":true}}}}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},
		"generationConfig":{"temperature":1,"topP":0.5,"topK":40.0,"candidateCount":2,"maxOutputTokens":"100","stopSequences":["a"],"seed":7,
			"presencePenalty":0.5,"frequencyPenalty":-0.5,"responseMimeType":"application/json","responseJsonSchema":{"type":"object"},
			"responseLogprobs":true,"logprobs":3,"responseModalities":["TEXT"],"mediaResolution":"MEDIA_RESOLUTION_LOW",
			"thinkingConfig":{"thinkingBudget":-1,"thinkingLevel":"LOW","includeThoughts":true}},
		"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}],"labels":{"team":"x"},"serviceTier":"flex"}`
	text := func(s string) llm.Part { return llm.Part{Kind: llm.Text, Text: s} }
	result := func(id, said string, failed bool) llm.Part {
		return llm.Part{Kind: llm.Result, Result: &llm.ToolResult{CallID: id, Name: "f", Parts: []llm.Part{text(said)}, Error: failed}}
	}
	made := madeUpCallID("history", 1)
	want := &llm.Request{
		Dialect: llm.GeminiGenerate,
		Messages: []llm.Message{
			{Role: llm.System, Parts: []llm.Part{text("Be brief.")}},
			{Role: llm.User, Parts: []llm.Part{
				text("hi"), {Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "aGk+", Detail: "low"}},
				{Kind: llm.Document, Media: &llm.Media{MIME: "application/pdf", URL: "https://example.com/a.pdf"}},
			}},
			{Role: llm.Assistant, Parts: []llm.Part{
				{Kind: llm.Thinking, Text: "hm"},
				{Kind: llm.Call, Call: &llm.ToolCall{ID: "a", Name: "f", Args: json.RawMessage(`{"x":1}`)}, Signature: "c2ln", SignedBy: llm.Gemini},
				{Kind: llm.Call, Call: &llm.ToolCall{ID: made, Name: "f", Args: json.RawMessage(`{}`)}},
			}},
			{Role: llm.ToolRole, Parts: []llm.Part{result("a", "ok", false), result(made, "bad", true)}},
			{Role: llm.User, Parts: []llm.Part{text("go on")}},
		},
		Tools:      []llm.Tool{{Name: "f", Description: "d", Schema: json.RawMessage(`{"type":"object","properties":{"x":{"type":["integer","null"]}}}`)}},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChooseTool, Name: "f"},
		Format:     &llm.Format{Kind: llm.FormatSchema, Schema: json.RawMessage(`{"type":"object"}`)},
		Thought:    &llm.Thought{Effort: "low", Budget: ptr[int64](-1), Show: ptr(true)},
		MaxTokens:  ptr[int64](100), Temperature: ptr(1.0), TopP: ptr(0.5), TopK: ptr[int64](40), N: ptr[int64](2), Stop: []string{"a"}, Seed: ptr[int64](7),
		PresencePenalty: ptr(0.5), FrequencyPenalty: ptr(-0.5), Logprobs: ptr(true), TopLogprobs: ptr[int64](3),
		Metadata: map[string]string{"team": "x"}, ServiceTier: "flex",
	}
	snake := camel
	for _, name := range []string{
		"systemInstruction", "inlineData", "mimeType", "fileData", "fileUri", "functionCallingConfig", "functionCall", "thoughtSignature", "functionResponse",
		"functionDeclarations", "toolConfig", "allowedFunctionNames", "generationConfig", "topP", "topK", "candidateCount", "maxOutputTokens",
		"stopSequences", "presencePenalty", "frequencyPenalty", "responseMimeType", "responseJsonSchema", "responseLogprobs", "responseModalities",
		"mediaResolution", "thinkingConfig", "thinkingBudget", "thinkingLevel", "includeThoughts", "safetySettings", "serviceTier",
	} {
		var b strings.Builder
		for _, c := range name {
			if 'A' <= c && c <= 'Z' {
				b.WriteByte('_')
			}
			b.WriteString(strings.ToLower(string(c)))
		}
		snake = strings.ReplaceAll(snake, `"`+name+`"`, `"`+b.String()+`"`)
	}
	for _, body := range []string{camel, snake} {
		got := decodeGemini(t, body)
		got.Body = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s", difference(marshal(got), marshal(want)))
		}
	}
}

func TestDecodeGeminiNamesWhatIsBeyondSharedWords(t *testing.T) {
	const user = `"contents":[{"parts":[{"text":"x"}]}]`
	part := func(p string) string { return `"contents":[{"role":"model","parts":[` + p + `]}]` }
	for _, c := range []struct {
		name, fields string
		want         []string
	}{
		{"nothing", user, nil},
		{"what changes nothing", user + `,"model":"models/x","store":false,"toolConfig":null,"tools":[],"safetySettings":[{"category":10,"threshold":3}],
			"generationConfig":{"responseModalities":["TEXT"],"responseMimeType":"text/plain","responseSchema":null,"mediaResolution":"MEDIA_RESOLUTION_UNSPECIFIED"}`, nil},
		{"Google's tools", user + `,"tools":[{"googleSearch":{}},{"codeExecution":{},"url_context":{}}]`, []string{"tools[0].googleSearch", "tools[1].codeExecution", "tools[1].url_context"}},
		{"code", part(`{"executableCode":{"code":"1"}},{"codeExecutionResult":{}},{"toolCall":{}}`), []string{"contents[0].parts[0].executableCode", "contents[0].parts[1].codeExecutionResult", "contents[0].parts[2].toolCall"}},
		{"a model's image", part(`{"inlineData":{"mimeType":"image/png","data":"aGk="}}`), []string{"contents[0].parts[0].inlineData"}},
		{"an uploaded file", `"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a","mimeType":"image/png"}}]}]`, []string{"contents[0].parts[0].fileData"}},
		{"a video", `"contents":[{"parts":[{"fileData":{"fileUri":"https://youtu.be/a"},"videoMetadata":{}}]}]`, []string{"contents[0].parts[0].fileData", "contents[0].parts[0].videoMetadata"}},
		{"other answers", user + `,"generationConfig":{"responseModalities":["TEXT","AUDIO"],"speechConfig":{},"imageConfig":{},"responseMimeType":"text/x.enum"}`,
			[]string{"generationConfig.responseModalities", "generationConfig.speechConfig", "generationConfig.imageConfig", "generationConfig.responseMimeType"}},
		{"a cache", user + `,"cachedContent":"cachedContents/a"`, []string{"cachedContent"}},
		{"stricter safety", user + `,"safetySettings":[{"category":"X","threshold":"OFF"},{"category":"Y","threshold":"BLOCK_LOW_AND_ABOVE"}]`, []string{"safetySettings[1].threshold"}},
		{"unknown", user + `,"future":1,"generationConfig":{"future_too":1}`, []string{"future", "generationConfig.future_too"}},
	} {
		if r := decodeGemini(t, "{"+c.fields+"}"); !slices.Equal(r.Beyond, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, r.Beyond, c.want)
		}
	}
}

func TestDecodeGeminiRefusesWhatIsWrong(t *testing.T) {
	const user = `"contents":[{"parts":[{"text":"x"}]}]`
	for body, field := range map[string]string{
		``: "", `[]`: "", `{}`: "contents", `{"contents":[]}`: "contents", `{"contents":"x"}`: "contents", `{"contents":[1]}`: "contents[0]",
		`{"contents":[{"role":"system","parts":[]}]}`:                                     "contents[0].role",
		`{"contents":[{"parts":["x"]}]}`:                                                  "contents[0].parts[0]",
		`{"contents":[{"parts":[{"text":1}]}]}`:                                           "contents[0].parts[0].text",
		`{"contents":[{"parts":[{"text":"a","inlineData":{}}]}]}`:                         "contents[0].parts[0].inlineData",
		`{"contents":[{"parts":[{"functionCall":{}}]}]}`:                                  "contents[0].parts[0].functionCall.name",
		`{"contents":[{"parts":[{"functionCall":{"name":"f","args":[]}}]}]}`:              "contents[0].parts[0].functionCall.args",
		`{"contents":[{"parts":[{"functionResponse":{"response":{}}}]}]}`:                 "contents[0].parts[0].functionResponse.name",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f","response":"x"}}]}]}`:     "contents[0].parts[0].functionResponse.response",
		`{` + user + `,"generation_config":{},"generationConfig":{}}`:                     "generationConfig",
		`{` + user + `,"generationConfig":{"temperature":3}}`:                             "generationConfig.temperature",
		`{` + user + `,"generationConfig":{"maxOutputTokens":0}}`:                         "generationConfig.maxOutputTokens",
		`{` + user + `,"generationConfig":{"stopSequences":[1]}}`:                         "generationConfig.stopSequences[0]",
		`{` + user + `,"generationConfig":{"thinking_config":{"thinkingLevel":"ULTRA"}}}`: "generationConfig.thinking_config.thinkingLevel",
		`{` + user + `,"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}`:           "toolConfig.functionCallingConfig.mode",
		`{` + user + `,"tools":[{"functionDeclarations":[{}]}]}`:                          "tools[0].functionDeclarations[0].name",
		`{` + user + `,"systemInstruction":3}`:                                            "systemInstruction",
	} {
		_, err := DecodeGemini([]byte(body))
		var refused *RequestError
		if !errors.As(err, &refused) || refused.Field != field || refused.Message == "" {
			t.Errorf("%s: got %v, want it to name %q", body, err, field)
		}
	}
}

func TestDecodeGeminiCountReadsBothForms(t *testing.T) {
	for _, body := range []string{
		`{"contents":[{"parts":[{"text":"x"}]}]}`,
		`{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"x"}]}],"systemInstruction":{"parts":[{"text":"s"}]}}}`,
	} {
		r, err := DecodeGeminiCount([]byte(body))
		if err != nil || r.Messages[len(r.Messages)-1].Text() != "x" || string(r.Body) != body {
			t.Errorf("%s: got %+v, %v", body, r, err)
		}
	}
	if got := string(GeminiCount(31)); got != `{"totalTokens":31}` {
		t.Errorf("got %s", got)
	}
	c, _ := CodecFor(llm.GeminiGenerate)
	r, _ := DecodeGeminiCount([]byte(`{"generateContentRequest":{"model":"models/a","contents":[{"parts":[{"text":"x"}]}]}}`))
	if e, err := c.Encode("b", r); err != nil || !strings.Contains(string(e.Body), `"model":"models/b"`) {
		t.Errorf("got %s, %v", e.Body, err)
	}
}

// TestAnotherProvidersThinkingComesBack follows a conversation that Claude
// served through Gemini's door: what Claude signed returns to Claude, and
// never reaches Gemini.
func TestAnotherProvidersThinkingComesBack(t *testing.T) {
	thinking := llm.Part{Kind: llm.Thinking, Text: "Let me see.", Signature: "EqQB+/=", SignedBy: llm.Claude}
	redacted := llm.Part{Kind: llm.Thinking, Signature: "data", SignedBy: llm.Claude, Redacted: true}
	call := llm.Part{Kind: llm.Call, Call: &llm.ToolCall{ID: "toolu_1", Name: "f", Args: json.RawMessage(`{"x":1}`)}}
	text := llm.Part{Kind: llm.Text, Text: "Looking."}
	chunks := []llm.Chunk{
		{Thinking: "Let me "}, {Thinking: "see."}, {Signature: thinking.Signature, SignedBy: llm.Claude},
		{Signature: "data", SignedBy: llm.Claude, Redacted: true}, {Text: "Looking."},
		{Call: &llm.CallDelta{ID: "toolu_1", Name: "f"}}, {Call: &llm.CallDelta{Args: `{"x"`}}, {Call: &llm.CallDelta{Args: `:1}`}}, {Finish: llm.FinishToolCalls},
	}
	for _, show := range []bool{false, true} {
		for _, want := range [][]llm.Part{{thinking, redacted, text, call}, {thinking, call}, {call}, {thinking}} {
			req := &llm.Request{Dialect: llm.GeminiGenerate, Thought: &llm.Thought{Show: &show}}
			meta := Meta{RequestID: "r", Model: "claude", Request: req}
			var bodies [][]byte
			bodies = append(bodies, GeminiDoor().Answer(meta, Answer{Choices: []Choice{{Parts: want, Finish: llm.FinishToolCalls}}}))
			if len(want) == 4 {
				w := GeminiArrayDoor().Stream(meta)
				var b []byte
				for _, c := range chunks {
					b = w.Chunk(b, c)
				}
				bodies = append(bodies, w.End(b))
			}
			for _, body := range bodies {
				if strings.Contains(string(body), "Let me ") != (show && want[0].Kind == llm.Thinking) {
					t.Errorf("show %v: %s", show, body)
				}
				history := history(t, body)
				r := decodeGemini(t, history)
				if got := r.Messages[0].Parts; !reflect.DeepEqual(got, want) {
					t.Errorf("show %v of %s:\n%s", show, history, difference(marshal(got), marshal(want)))
				}
				codec, _ := CodecFor(llm.GeminiGenerate)
				for _, model := range []string{"gemini-3-pro-preview", "gemini-2.5-flash"} {
					e, err := codec.Encode(model, r)
					if err != nil || strings.Contains(string(e.Body), "Let me") || strings.Contains(string(e.Body), "YnJlYWt3YXRlcj") || !json.Valid(e.Body) {
						t.Errorf("%s gets %s, %v", model, e.Body, err)
					}
					if skips := strings.Contains(string(e.Body), geminiSkip) || strings.Contains(string(e.Body), geminiSkipEncoded); skips != (model[7] == '3' && slices.ContainsFunc(want, func(p llm.Part) bool { return p.Call != nil })) {
						t.Errorf("%s gets %s", model, e.Body)
					}
				}
			}
		}
	}
}

// history makes a request of an answer's parts, as clients send them back.
func history(t *testing.T, body []byte) string {
	var parts []json.RawMessage
	for _, v := range jsonArray(body) {
		var r struct {
			Candidates []struct {
				Content struct{ Parts []json.RawMessage }
			}
		}
		if err := json.Unmarshal(v, &r); err != nil {
			t.Fatalf("%v: %s", err, v)
		}
		parts = append(parts, r.Candidates[0].Content.Parts...)
	}
	return `{"contents":[{"role":"model","parts":` + string(marshal(parts)) + `}]}`
}

func jsonArray(body []byte) (values []json.RawMessage) {
	if json.Unmarshal(body, &values) != nil {
		return []json.RawMessage{body}
	}
	return values
}

func FuzzGeminiRequests(f *testing.F) {
	f.Add([]byte(`{"contents":[{"role":"user","parts":[{"text":"a"},{"inline_data":{"mime_type":"image/png","data":"aGk"}}]},{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"YnJlYWt3YXRlcjpbXQ=="}]},{"parts":[{"functionResponse":{"name":"f","response":{"output":{"a":1}}}}]}],"tools":{"function_declarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a":{"anyOf":[{"type":6},{"nullable":true}]}}}}]},"generationConfig":{"responseSchema":{"type":"ARRAY","items":{}},"thinkingConfig":{"thinkingBudget":"5"}}}`))
	f.Add([]byte(`{"contents":[{"parts":[{"text":"","thought":true,"thoughtSignature":"x"},{"fileData":{"fileUri":"https://a/b.pdf"}}]}],"systemInstruction":{"text":"s"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeGemini(body)
		if err != nil {
			return
		}
		c, _ := CodecFor(llm.GeminiGenerate)
		for _, model := range []string{"gemini-3-pro", "gemini-2.5-flash", "gemini-2.0-flash", "gemma-3-1b"} {
			if e, err := c.Encode(model, r); err != nil || !json.Valid(e.Body) {
				t.Fatalf("passed on: %s, %v", e.Body, err)
			}
			other := *r
			other.Dialect, other.Beyond = llm.Plain, nil
			e, err := c.Encode(model, &other)
			if err != nil {
				continue
			}
			again, err := DecodeGemini(e.Body)
			if err != nil {
				t.Fatalf("%v in %s", err, e.Body)
			}
			again.Dialect, again.Beyond = llm.Plain, nil
			e2, err := c.Encode(model, again)
			if err != nil || string(e2.Body) != string(e.Body) {
				t.Fatalf("not stable, %v\n%s", err, difference(e2.Body, e.Body))
			}
		}
	})
}
