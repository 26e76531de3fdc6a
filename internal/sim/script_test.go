package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// obj is a JSON object.
type obj = map[string]any

// said is what a simulated provider answered, in words of no dialect.
type said struct {
	thinking, text, signature string
	calls                     []called
	finish                    string
	in, out                   float64
}

type called struct{ id, name, args, signature string }

func (s said) callText() string {
	var list []string
	for _, c := range s.calls {
		list = append(list, c.name+" "+c.args)
	}
	return strings.Join(list, "; ")
}

// post sends a body to a path of a server, with the headers of its dialect.
func post(t *testing.T, s *Server, path string, body obj) got {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+path, strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Anthropic-Version", "2023-06-01")
	return do(t, req, 0)
}

// weather is a tool in each dialect's form, with the schema of its arguments.
var weather = obj{"type": "object", "properties": obj{
	"city": obj{"type": "string"}, "days": obj{"type": "integer"},
}, "required": []any{"city", "days"}, "additionalProperties": false}

// withTools gives the fields that offer tools by these names.
func withTools(kind llm.Provider, names ...string) obj {
	var tools []any
	for _, name := range names {
		switch kind {
		case llm.Claude:
			tools = append(tools, obj{"name": name, "input_schema": weather})
		case llm.Gemini:
			tools = append(tools, obj{"name": name, "parametersJsonSchema": weather})
		default:
			tools = append(tools, obj{"type": "function", "function": obj{"name": name, "parameters": weather}})
		}
	}
	if kind == llm.Gemini {
		return obj{"tools": []any{obj{"functionDeclarations": tools}}}
	}
	return obj{"tools": tools}
}

// converse sends messages in a provider's own form, with more fields.
func converse(t *testing.T, s *Server, stream bool, messages []any, more ...obj) got {
	t.Helper()
	model := defaultModels[s.kind]
	body := merged(more...)
	if other, ok := body["model"].(string); ok {
		model = other
		delete(body, "model")
	}
	path := map[llm.Provider]string{llm.OpenAI: "/v1/chat/completions", llm.Claude: "/v1/messages", llm.Local: "/api/chat"}[s.kind]
	if s.kind == llm.Gemini {
		path, body["contents"] = "/v1beta/models/"+model+":generateContent", messages
		if stream {
			path = "/v1beta/models/" + model + ":streamGenerateContent?alt=sse"
		}
		return post(t, s, path, body)
	}
	body["model"], body["messages"], body["stream"] = model, messages, stream
	if s.kind == llm.Claude && body["max_tokens"] == nil {
		body["max_tokens"] = 4096
	}
	return post(t, s, path, body)
}

// user is a message of the user in a provider's own form.
func user(kind llm.Provider, text string) any {
	if kind == llm.Gemini {
		return obj{"role": "user", "parts": []any{obj{"text": text}}}
	}
	return obj{"role": "user", "content": text}
}

// heard puts an answer of any dialect, whole or streamed, into words.
func heard(t *testing.T, kind llm.Provider, g got) (s said) {
	t.Helper()
	if g.status != 200 || g.err != nil {
		t.Fatalf("%d %v %s", g.status, g.err, g.body)
	}
	s.in, s.out = usageOf(kind, g.body)
	str := func(v any) string { text, _ := v.(string); return text }
	at := func(i int) *called {
		for len(s.calls) <= i {
			s.calls = append(s.calls, called{})
		}
		return &s.calls[i]
	}
	blocks := map[float64]int{}
	for _, o := range objects(g.body) {
		switch kind {
		case llm.OpenAI:
			choice := dig(o, "choices", 0)
			message := dig(choice, "message")
			if message == nil {
				message = dig(choice, "delta")
			}
			s.text += str(dig(message, "content"))
			s.finish += str(dig(choice, "finish_reason"))
			list, _ := dig(message, "tool_calls").([]any)
			for i, one := range list {
				if n, ok := dig(one, "index").(float64); ok {
					i = int(n)
				}
				c := at(i)
				c.id += str(dig(one, "id"))
				c.name += str(dig(one, "function", "name"))
				c.args += str(dig(one, "function", "arguments"))
			}
		case llm.Claude:
			s.finish += str(dig(o, "delta", "stop_reason")) + str(dig(o, "stop_reason"))
			s.thinking += str(dig(o, "delta", "thinking"))
			s.text += str(dig(o, "delta", "text"))
			s.signature += str(dig(o, "delta", "signature"))
			list, _ := o["content"].([]any)
			index, _ := o["index"].(float64)
			if o["type"] == "content_block_start" {
				list = []any{o["content_block"]}
			}
			for _, b := range list {
				s.thinking += str(dig(b, "thinking"))
				s.text += str(dig(b, "text"))
				s.signature += str(dig(b, "signature"))
				if dig(b, "type") == "tool_use" {
					blocks[index] = len(s.calls)
					c := at(len(s.calls))
					c.id, c.name = str(dig(b, "id")), str(dig(b, "name"))
					if o["content"] != nil {
						c.args = quote(dig(b, "input"))
					}
				}
			}
			if piece, ok := dig(o, "delta", "partial_json").(string); ok {
				at(blocks[index]).args += piece
			}
		case llm.Gemini:
			s.finish += str(dig(o, "candidates", 0, "finishReason"))
			list, _ := dig(o, "candidates", 0, "content", "parts").([]any)
			for _, p := range list {
				if call := dig(p, "functionCall"); call != nil {
					c := at(len(s.calls))
					c.id, c.name, c.args, c.signature = str(dig(call, "id")), str(dig(call, "name")), quote(dig(call, "args")), str(dig(p, "thoughtSignature"))
					continue
				}
				if dig(p, "thought") == true {
					s.thinking += str(dig(p, "text"))
					continue
				}
				s.text += str(dig(p, "text"))
				s.signature += str(dig(p, "thoughtSignature"))
			}
		case llm.Local:
			s.finish += str(dig(o, "done_reason"))
			s.thinking += str(dig(o, "message", "thinking"))
			s.text += str(dig(o, "message", "content"))
			list, _ := dig(o, "message", "tool_calls").([]any)
			for _, one := range list {
				c := at(len(s.calls))
				c.id, c.name, c.args = str(dig(one, "id")), str(dig(one, "function", "name")), quote(dig(one, "function", "arguments"))
			}
		}
	}
	for i := range s.calls {
		if s.calls[i].args == "" {
			s.calls[i].args = "{}" // Claude streams none
		}
	}
	return s
}

// turnOf gives the model's message with its calls, as a client sends it back.
func turnOf(kind llm.Provider, s said) any {
	var list []any
	for _, c := range s.calls {
		var args any
		_ = json.Unmarshal([]byte(c.args), &args)
		switch kind {
		case llm.OpenAI:
			list = append(list, obj{"id": c.id, "type": "function", "function": obj{"name": c.name, "arguments": c.args}})
		case llm.Claude:
			list = append(list, obj{"type": "tool_use", "id": c.id, "name": c.name, "input": args})
		case llm.Gemini:
			part := obj{"functionCall": obj{"name": c.name, "args": args}}
			if c.signature != "" {
				part["thoughtSignature"] = c.signature
			}
			list = append(list, part)
		case llm.Local:
			list = append(list, obj{"id": c.id, "function": obj{"name": c.name, "arguments": args}})
		}
	}
	switch kind {
	case llm.Claude:
		if s.signature != "" {
			list = append([]any{obj{"type": "thinking", "thinking": s.thinking, "signature": s.signature}}, list...)
		}
		return obj{"role": "assistant", "content": list}
	case llm.Gemini:
		return obj{"role": "model", "parts": list}
	}
	return obj{"role": "assistant", "content": "", "tool_calls": list}
}

// resultsOf gives the messages with what the tools said, in the calls' order.
func resultsOf(kind llm.Provider, s said, results ...string) (messages []any) {
	var parts []any
	for i, text := range results {
		c := s.calls[i]
		switch kind {
		case llm.OpenAI:
			messages = append(messages, obj{"role": "tool", "tool_call_id": c.id, "content": text})
		case llm.Claude:
			parts = append(parts, obj{"type": "tool_result", "tool_use_id": c.id, "content": text})
		case llm.Gemini:
			parts = append(parts, obj{"functionResponse": obj{"name": c.name, "response": obj{"output": text}}})
		case llm.Local:
			messages = append(messages, obj{"role": "tool", "tool_name": c.name, "content": text})
		}
	}
	switch kind {
	case llm.Claude:
		return []any{obj{"role": "user", "content": parts}}
	case llm.Gemini:
		return []any{obj{"role": "user", "parts": parts}}
	}
	return messages
}

var callFinish = map[llm.Provider]string{llm.OpenAI: "tool_calls", llm.Claude: "tool_use", llm.Gemini: "STOP", llm.Local: "stop"}

func TestCallsToolsAndAnswersFromTheirResults(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		ask := user(kind, "Let me look.\ncall weather {\"city\": \"Oslo\", \"days\": 2}\ncall clock")
		one := heard(t, kind, converse(t, s, stream, []any{ask}, withTools(kind, "weather", "clock")))
		if one.text != "Let me look." || one.callText() != `weather {"city":"Oslo","days":2}; clock {}` || one.finish != callFinish[kind] || one.out == 0 && !stream {
			t.Fatalf("%+v", one)
		}
		messages := append([]any{ask, turnOf(kind, one)}, resultsOf(kind, one, `{"sky": "grey"}`, "noon")...)
		two := heard(t, kind, converse(t, s, stream, messages, withTools(kind, "weather", "clock")))
		if two.text != `The tool weather said: {"sky":"grey"} The tool clock said: noon` || len(two.calls) > 0 || two.finish != properEnd[kind] {
			t.Errorf("%+v", two)
		}
	})
}

func TestHoldsToTheToolChoice(t *testing.T) {
	choices := map[llm.Provider]map[string]obj{
		llm.OpenAI: {
			"none": {"tool_choice": "none"}, "any": {"tool_choice": "required"},
			"clock":  {"tool_choice": obj{"type": "function", "function": obj{"name": "clock"}}},
			"single": {"parallel_tool_calls": false},
		},
		llm.Claude: {
			"none": {"tool_choice": obj{"type": "none"}}, "any": {"tool_choice": obj{"type": "any"}},
			"clock":  {"tool_choice": obj{"type": "tool", "name": "clock"}},
			"single": {"tool_choice": obj{"type": "auto", "disable_parallel_tool_use": true}},
		},
		llm.Gemini: {
			"none":  {"toolConfig": obj{"functionCallingConfig": obj{"mode": "NONE"}}},
			"any":   {"tool_config": obj{"function_calling_config": obj{"mode": "ANY"}}},
			"clock": {"toolConfig": obj{"functionCallingConfig": obj{"mode": "ANY", "allowedFunctionNames": []any{"clock"}}}},
		},
	}
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		smallest := `{"city":"text","days":1}`
		for _, c := range []struct{ choice, prompt, calls string }{
			{"", "call nobody {}", ""},
			{"", "call weather {broken", ""},
			{"none", "call weather", ""},
			{"any", "Hello", "weather " + smallest},
			{"any", "call clock", "clock {}"},
			{"clock", "call weather", "clock " + smallest},
			{"single", "call weather\ncall clock", "weather {}"},
		} {
			more, ok := choices[kind][c.choice]
			if c.choice != "" && !ok {
				continue
			}
			one := heard(t, kind, converse(t, s, stream, []any{user(kind, c.prompt)}, withTools(kind, "weather", "clock"), more))
			if one.callText() != c.calls || (c.calls == "") != (one.text != "") {
				t.Errorf("%s, %q: %+v", c.choice, c.prompt, one)
			}
		}
	})
}

// withSchema gives the fields that demand an answer by a schema.
func withSchema(kind llm.Provider, schema obj) obj {
	switch kind {
	case llm.OpenAI:
		return obj{"response_format": obj{"type": "json_schema", "json_schema": obj{"name": "answer", "strict": true, "schema": schema}}}
	case llm.Claude:
		return obj{"output_config": obj{"format": obj{"type": "json_schema", "schema": schema}}}
	case llm.Gemini:
		return obj{"generationConfig": obj{"responseMimeType": "application/json", "responseJsonSchema": schema}}
	}
	return obj{"format": schema}
}

func TestAnswersBySchema(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		one := heard(t, kind, converse(t, s, stream, []any{user(kind, "echo no")}, withSchema(kind, weather)))
		if one.text != `{"city":"text","days":1}` || one.finish != properEnd[kind] {
			t.Errorf("%+v", one)
		}
		jsonMode := map[llm.Provider]obj{
			llm.OpenAI: {"response_format": obj{"type": "json_object"}},
			llm.Gemini: {"generationConfig": obj{"responseMimeType": "application/json"}},
			llm.Local:  {"format": "json"},
		}
		if more, ok := jsonMode[kind]; ok {
			if one := heard(t, kind, converse(t, s, stream, []any{user(kind, "As JSON")}, more)); one.text != `{"answer":"text"}` {
				t.Errorf("%+v", one)
			}
		}
	})
}

func TestSmallestInstance(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"number"},"n":{"type":["null","boolean"]}}}`: `{"z":"text","a":1.5,"n":true}`,
		`{"type":"ARRAY","items":{"type":"STRING","enum":["red","blue"]}}`:                                             `["red"]`,
		`{"$ref":"#/$defs/x","$defs":{"x":{"anyOf":[{"type":"integer","minimum":3},{"type":"null"}]}}}`:                `3`,
		`{"properties":{"c":{"const":{"k":1}},"e":{"type":"array"},"u":{}}}`:                                           `{"c":{"k":1},"e":[],"u":null}`,
		``: `{}`,
	} {
		if got := smallest(json.RawMessage(schema)); got != want {
			t.Errorf("%s\n got %s\nwant %s", schema, got, want)
		}
	}
	endless := `{"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"},"all":{"type":"array","items":{"$ref":"#/$defs/n"}}}}},"$ref":"#/$defs/n"}`
	if got := smallest(json.RawMessage(endless)); !json.Valid([]byte(got)) {
		t.Error(got)
	}
}

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func TestSeesMedia(t *testing.T) {
	text := obj{"type": "text", "text": "echo so it is"}
	messages := map[llm.Provider]any{
		llm.OpenAI: obj{"role": "user", "content": []any{text,
			obj{"type": "image_url", "image_url": obj{"url": "data:image/png;base64," + pixel}},
			obj{"type": "image_url", "image_url": obj{"url": "https://example.com/a.png"}},
			obj{"type": "file", "file": obj{"file_data": "data:application/pdf;base64,aGVsbG8K", "filename": "a.pdf"}},
			obj{"type": "input_audio", "input_audio": obj{"data": "aGVsbG8K", "format": "wav"}}}},
		llm.Claude: obj{"role": "user", "content": []any{
			obj{"type": "image", "source": obj{"type": "base64", "media_type": "image/png", "data": pixel}},
			obj{"type": "image", "source": obj{"type": "url", "url": "https://example.com/a.png"}},
			obj{"type": "document", "source": obj{"type": "base64", "media_type": "application/pdf", "data": "aGVsbG8K"}}, text}},
		llm.Gemini: obj{"role": "user", "parts": []any{obj{"text": "echo so it is"},
			obj{"inlineData": obj{"mimeType": "image/png", "data": pixel}},
			obj{"file_data": obj{"mime_type": "image/png", "file_uri": "https://example.com/a.png"}},
			obj{"inlineData": obj{"mimeType": "application/pdf", "data": "aGVsbG8K"}},
			obj{"inlineData": obj{"mimeType": "audio/wav", "data": "aGVsbG8K"}}}},
		llm.Local: obj{"role": "user", "content": "echo so it is", "images": []any{pixel}},
	}
	sees := []string{"I see image/png, 70 bytes.", "I see an image at https://example.com/a.png.", "I read application/pdf, 6 bytes.", "I hear audio/wav, 6 bytes."}
	how := map[llm.Provider]int{llm.OpenAI: 4, llm.Claude: 3, llm.Gemini: 4, llm.Local: 1}
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		one := heard(t, kind, converse(t, s, stream, []any{messages[kind]}))
		if want := strings.Join(sees[:how[kind]], " ") + " so it is"; one.text != want {
			t.Errorf("got %q\nwant %q", one.text, want)
		}
	})
}

func TestCutStrikesInTheMiddleOfACall(t *testing.T) {
	for _, kind := range []llm.Provider{llm.OpenAI, llm.Claude} {
		s := start(t, kind, Options{})
		s.Set(Fault{Kind: Cut, After: 3})
		g := converse(t, s, true, []any{user(kind, `call weather {"city":"Oslo"}`)}, withTools(kind, "weather"))
		if g.err == nil {
			t.Errorf("%s: not cut", kind)
		}
		g.err = nil
		if one := heard(t, kind, g); one.callText() != `weather {"city":"Osl` || one.finish != "" {
			t.Errorf("%s: %+v", kind, one)
		}
	}
}

func TestALimitCutsACall(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		limit := map[llm.Provider]obj{
			llm.OpenAI: {"max_completion_tokens": 3}, llm.Claude: {"max_tokens": 3},
			llm.Gemini: {"generationConfig": obj{"maxOutputTokens": 3}}, llm.Local: {"options": obj{"num_predict": 3}},
		}[kind]
		finish := map[llm.Provider]string{llm.OpenAI: "length", llm.Claude: "max_tokens", llm.Gemini: "MAX_TOKENS", llm.Local: "length"}[kind]
		s := start(t, kind, Options{})
		one := heard(t, kind, converse(t, s, stream, []any{user(kind, `call weather {"city":"Oslo"}`)}, withTools(kind, "weather"), limit))
		if one.finish != finish || one.out != 3 && kind != llm.Gemini && !(kind == llm.OpenAI && stream) {
			t.Errorf("%+v", one)
		}
		if whole := fmt.Sprint(one.calls); strings.Contains(whole, "Oslo") {
			t.Errorf("the call is whole: %s", whole)
		}
	})
}
