package sim

import (
	"encoding/json"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// Each is a mistake that a translator could make, and what the real API says
// to it.
func TestRefusesWhatTheRealAPIsRefuse(t *testing.T) {
	const (
		hi      = `{"role":"user","content":"hi"}`
		tool    = `{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}`
		call    = `{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]}`
		use     = `{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}}]}`
		ctool   = `"tools":[{"name":"f","input_schema":{"type":"object"}}]`
		parts   = `{"role":"user","parts":[{"text":"hi"}]}`
		gcall   = `{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]}`
		ganswer = `{"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}}]}`
	)
	openai := func(rest string) string { return `{"model":"gpt-4o","messages":[` + hi + `],` + rest + `}` }
	turns := func(messages ...string) string {
		return `{"model":"gpt-4o","messages":[` + strings.Join(messages, ",") + `]}`
	}
	claude := func(rest string) string {
		return `{"model":"m","max_tokens":2000,"messages":[` + hi + `],` + rest + `}`
	}
	cturns := func(messages ...string) string {
		return `{"model":"m","max_tokens":9,"messages":[` + strings.Join(messages, ",") + `]}`
	}
	gem := func(rest string) string { return `{"contents":[` + parts + `],` + rest + `}` }
	gturns := func(contents ...string) string { return `{"contents":[` + strings.Join(contents, ",") + `]}` }
	gparams := func(schema string) string {
		return gem(`"tools":[{"functionDeclarations":[{"name":"f","parameters":` + schema + `}]}]`)
	}
	strict := func(schema string) string {
		return openai(`"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":` + schema + `}}`)
	}
	for _, c := range []struct {
		kind llm.Provider
		body string
		says string // in the error's message
	}{
		{llm.OpenAI, turns(hi, `{"role":"tool","tool_call_id":"c1","content":"x"}`), "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'"},
		{llm.OpenAI, turns(hi, call, hi), "The following tool_call_ids did not have response messages: c1"},
		{llm.OpenAI, turns(hi, call), "did not have response messages: c1"},
		{llm.OpenAI, turns(hi, call, `{"role":"tool","tool_call_id":"c2","content":"x"}`), "'tool_call_id' of 'c2' not found in 'tool_calls' of previous message."},
		{llm.OpenAI, turns(hi, strings.Replace(call, "c1", strings.Repeat("c", 41), 1)), "string too long. Expected a string with maximum length 40"},
		{llm.OpenAI, turns(hi, strings.Replace(call, `"arguments":"{}"`, `"x":1`, 1)), "Unknown parameter: 'messages[1].tool_calls[0].function.x'."},
		{llm.OpenAI, turns(`{"role":"user","content":"hi","cache_control":{}}`), "Unknown parameter: 'messages[0].cache_control'."},
		{llm.OpenAI, turns(`{"role":"user","content":[{"type":"image","source":{}}]}`), "Invalid value: 'image'."},
		{llm.OpenAI, turns(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,!"}}]}`), "Invalid base64 image_url."},
		{llm.OpenAI, turns(hi, call, `{"role":"tool","tool_call_id":"c1","content":[{"type":"image_url","image_url":{"url":"https://x/y"}}]}`), "Image URLs are only allowed for messages with role 'user'"},
		{llm.OpenAI, openai(`"tools":[]`), "Invalid 'tools': empty array."},
		{llm.OpenAI, openai(`"tool_choice":"auto"`), "'tool_choice' is only allowed when 'tools' are specified."},
		{llm.OpenAI, openai(`"parallel_tool_calls":true`), "'parallel_tool_calls' is only allowed when 'tools' are specified."},
		{llm.OpenAI, openai(`"tools":[` + strings.Replace(tool, `"f"`, `"a b"`, 1) + `]`), "string does not match pattern"},
		{llm.OpenAI, openai(`"tools":[` + strings.Replace(tool, `"object"`, `"array"`, 1) + `]`), `got 'type: "array"'`},
		{llm.OpenAI, openai(`"tools":[` + tool + `],"tool_choice":{"type":"function","function":{"name":"g"}}`), "no function named 'g'"},
		{llm.OpenAI, openai(`"metadata":{"a":"b"}`), "only allowed when 'store' is enabled"},
		{llm.OpenAI, openai(`"reasoning_effort":"low"`), "Unrecognized request argument supplied: reasoning_effort"},
		{llm.OpenAI, openai(`"top_logprobs":2`), "only allowed when 'logprobs' is enabled"},
		{llm.OpenAI, openai(`"n":0`), "Invalid 'n'"},
		{llm.OpenAI, openai(`"response_format":{"type":"json_object"}`), "must contain the word 'json' in some form"},
		{llm.OpenAI, strict(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`), "In context=(), 'additionalProperties' is required to be supplied and to be false."},
		{llm.OpenAI, strict(`{"type":"object","properties":{"a":{"type":"string"}},"required":[],"additionalProperties":false}`), "Missing 'a'."},
		{llm.OpenAI, strict(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}},"required":["a"],"additionalProperties":false}`), "In context=('properties', 'a', 'items'), 'additionalProperties'"},
		{llm.OpenAI, strict(`{"type":"object","properties":{},"required":[],"additionalProperties":false,"allOf":[]}`), "'allOf' is not permitted."},
		{llm.OpenAI, strict(`{"type":"array"}`), `schema must be a JSON Schema of 'type: "object"', got 'type: "array"'.`},

		{llm.Claude, cturns(hi, use), "`tool_use` ids were found without `tool_result` blocks immediately after: t1"},
		{llm.Claude, cturns(hi, use, hi), "messages.1: `tool_use` ids were found without"},
		{llm.Claude, cturns(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1"}]}`), "unexpected `tool_use_id` found in `tool_result` blocks: t1"},
		{llm.Claude, cturns(hi, use, `{"role":"user","content":[{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"t1"}]}`), "without `tool_result` blocks immediately after"},
		{llm.Claude, cturns(hi, strings.Replace(use, `"t1"`, `"t.1"`, 1)), "messages.1.content.0.tool_use.id: String should match pattern"},
		{llm.Claude, cturns(hi, strings.Replace(use, `{}`, `"{}"`, 1)), "tool_use.input: Input should be a valid dictionary"},
		{llm.Claude, cturns(`{"role":"user","content":"hi","name":"Bob"}`), "messages.0.name: Extra inputs are not permitted"},
		{llm.Claude, cturns(`{"role":"user","content":[{"type":"text","text":"hi","x":1}]}`), "messages.0.content.0.text.x: Extra inputs are not permitted"},
		{llm.Claude, cturns(`{"role":"user","content":[{"type":"image_url"}]}`), "Input tag 'image_url' found using 'type' does not match"},
		{llm.Claude, cturns(`{"role":"user","content":[{"type":"text","text":""}]}`), "text content blocks must be non-empty"},
		{llm.Claude, cturns(`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/tiff","data":"aGk="}}]}`), "media_type: Input should be 'image/jpeg'"},
		{llm.Claude, cturns(hi, `{"role":"assistant","content":"So "}`), "cannot end with trailing whitespace"},
		{llm.Claude, cturns(hi, `{"role":"assistant","content":[{"type":"thinking","thinking":"x"}]}`), "thinking.signature: Field required"},
		{llm.Claude, claude(`"tools":[{"name":"f","parameters":{}}]`), "tools.0.custom.parameters: Extra inputs are not permitted"},
		{llm.Claude, claude(`"tools":[{"name":"f"}]`), "tools.0.custom.input_schema: Field required"},
		{llm.Claude, claude(`"tools":[{"name":"f","input_schema":{"$ref":"x"}}]`), "tools.0.custom.input_schema.type: Field required"},
		{llm.Claude, claude(ctool + `,"tool_choice":{"type":"tool","name":"g"}`), "Tool 'g' not found in provided tools"},
		{llm.Claude, claude(`"tool_choice":{"type":"any"}`), "tool_choice may only be specified while providing tools"},
		{llm.Claude, claude(ctool + `,"tool_choice":"any"`), "Input should be a valid"},
		{llm.Claude, claude(`"thinking":{"type":"enabled","budget_tokens":100}`), "greater than or equal to 1024"},
		{llm.Claude, claude(`"thinking":{"type":"enabled","budget_tokens":2000}`), "`max_tokens` must be greater than `thinking.budget_tokens`"},
		{llm.Claude, claude(`"thinking":{"type":"enabled","budget_tokens":1024},"temperature":0.5`), "may only be set to 1 when thinking is enabled"},
		{llm.Claude, claude(ctool + `,"thinking":{"type":"adaptive"},"tool_choice":{"type":"any"}`), "Thinking may not be enabled when tool_choice forces tool use."},
		{llm.Claude, claude(`"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`), "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"},
		{llm.Claude, claude(`"output_config":{"format":{"type":"json_schema","schema":{"type":"integer","minimum":1}}}`), "For 'integer' type, property 'minimum' is not supported"},
		{llm.Claude, claude(`"output_config":{"format":{"type":"json_object"}}`), "output_config.format.type"},
		{llm.Claude, claude(`"context_management":{}`), "context_management: Extra inputs are not permitted"},
		{llm.Claude, claude(`"stop_sequences":[" "]`), "each stop sequence must contain non-whitespace"},

		{llm.Gemini, gturns(parts, gcall), ""},
		{llm.Gemini, gturns(gcall, ganswer), "function call turn comes immediately after a user turn"},
		{llm.Gemini, gturns(parts, ganswer), "function response turn comes immediately after a function call turn"},
		{llm.Gemini, gturns(parts, gcall, parts), "number of function response parts is equal to the number of function call parts"},
		{llm.Gemini, gturns(parts, gcall, `{"role":"user","parts":[{"functionResponse":{"name":"f","response":"x"}}]}`), "(type.googleapis.com/google.protobuf.Struct)"},
		{llm.Gemini, gturns(`{"parts":[{"thought":true}]}`), "required oneof field 'data' must have one initialized field"},
		{llm.Gemini, gturns(`{"parts":[{"text":"a","inline_data":{"mime_type":"image/png","data":"aGk="}}]}`), "oneof field 'data' is already set"},
		{llm.Gemini, gturns(`{"parts":[{"inlineData":{"mimeType":"image/png","data":"!"}}]}`), "Base64 decoding failed"},
		{llm.Gemini, gturns(`{"parts":[{"type":"text","text":"x"}]}`), `Unknown name "type" at 'contents[0].parts[0]': Cannot find field.`},
		{llm.Gemini, gparams(`{"type":"OBJECT","additionalProperties":false}`), `Unknown name "additionalProperties" at 'tools[0].function_declarations[0].parameters': Cannot find field.`},
		{llm.Gemini, gparams(`{"type":"object","properties":{"a":{"$ref":"x"}}}`), `Unknown name "$ref" at 'tools[0].function_declarations[0].parameters.properties[0].value'`},
		{llm.Gemini, gparams(`{"type":["string","null"]}`), "Proto field is not repeating, cannot start list."},
		{llm.Gemini, gparams(`{"type":"object","properties":{"a":{"type":"array"}}}`), "parameters.properties[a].items: missing field."},
		{llm.Gemini, gparams(`{"type":"object","required":["a"]}`), "required[0]: property is not defined"},
		{llm.Gemini, gparams(`{"type":"object","properties":{"a":{"type":"integer","enum":[1]}}}`), "(TYPE_STRING), 1"},
		{llm.Gemini, gparams(`{"type":"object","properties":{"a":{"type":"string","format":"uri"}}}`), "only 'enum' and 'date-time' are supported for STRING type"},
		{llm.Gemini, gem(`"tools":[{"functionDeclarations":[{"name":"1 f"}]}]`), "Invalid function name."},
		{llm.Gemini, gem(`"tools":[{"functionDeclarations":[{"name":"f"}]}],"generationConfig":{"responseMimeType":"application/json"}`), "'application/json' is unsupported"},
		{llm.Gemini, gem(`"toolConfig":{"functionCallingConfig":{"mode":"required"}}`), "tool_config.function_calling_config.mode"},
		{llm.Gemini, gem(`"generationConfig":{"responseSchema":{"type":"STRING"}}`), "response_mime_type must be set"},
		{llm.Gemini, gem(`"generationConfig":{"candidateCount":9}`), "candidate_count"},
		{llm.Gemini, gem(`"generationConfig":{"logprobs":2}`), "response_logprobs"},
		{llm.Gemini, gem(`"generationConfig":{"thinkingConfig":{"thinkingBudget":0,"thinkingLevel":"low"}}`), "only one of thinking budget and thinking level"},

		{llm.Local, `{"model":"text-only","messages":[` + hi + `],"tools":[` + tool + `]}`, "registry.ollama.ai/library/text-only:latest does not support tools"},
		{llm.Local, `{"model":"text-only","messages":[` + hi + `],"think":true}`, `"text-only" does not support thinking`},
		{llm.Local, `{"model":"text-only","messages":[{"role":"user","content":"hi","images":["aGk="]}]}`, "does not support vision"},
		{llm.Local, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`, "cannot unmarshal array"},
		{llm.Local, `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}`, "cannot unmarshal string"},
		{llm.Local, `{"model":"m","messages":[{"role":"user","content":"hi","images":["!"]}]}`, "illegal base64 data"},
	} {
		s := start(t, c.kind, Options{})
		g := ask{rawBody: c.body}.send(t, s)
		status := 400
		if c.says == "" {
			status = 200
		}
		message := dig(objects(g.body)[0], "error", "message")
		if c.kind == llm.Local {
			message = dig(objects(g.body)[0], "error")
		}
		text, _ := message.(string)
		if g.status != status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s\n got %d %s\nwant %s", c.kind, c.body, g.status, text, c.says)
		}
	}
}

// What one API refuses another takes: lenient where the real one is.
func TestTakesWhatTheRealAPIsTake(t *testing.T) {
	for _, c := range []struct {
		kind llm.Provider
		body string
	}{
		{llm.Local, `{"model":"m","messages":[{"role":"user","content":"hi","name":"Bob"}],"whatever":true,"stream":false}`},
		{llm.Local, `{"model":"m","messages":[{"role":"tool","content":"x"}],"stream":false}`},
		{llm.Gemini, `{"contents":[{"parts":[{"text":"hi"}]}],"system_instruction":{"parts":{"text":"Be brief."}},"safetySettings":null}`},
		{llm.Gemini, `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"a.b:c-d","parametersJsonSchema":{"$ref":"#/$defs/x"}}]}]}`},
		{llm.Claude, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}],"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}`},
		{llm.Claude, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"So"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}`},
		{llm.OpenAI, `{"model":"gpt-4o","messages":[{"role":"developer","content":"d"},{"role":"user","content":"a","name":"Bob"},{"role":"assistant","content":null,"refusal":"no"}],"tool_choice":"none","stop":null}`},
	} {
		g := ask{rawBody: c.body}.send(t, start(t, c.kind, Options{}))
		if g.status != 200 {
			t.Errorf("%s: %s\n%d %s", c.kind, c.body, g.status, g.body)
		}
	}
}

func TestSaysWhatFailedAndWhatItShows(t *testing.T) {
	image := obj{"type": "image", "source": obj{"type": "base64", "media_type": "image/png", "data": pixel}}
	two := []called{{id: "toolu_1", name: "look", args: "{}"}, {id: "toolu_2", name: "go", args: "{}"}}
	claude := start(t, llm.Claude, Options{})
	got := heard(t, llm.Claude, converse(t, claude, false, []any{user(llm.Claude, "Hi"), turnOf(llm.Claude, said{calls: two}),
		obj{"role": "user", "content": []any{
			obj{"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true, "content": "no way"},
			obj{"type": "tool_result", "tool_use_id": "toolu_1", "content": []any{obj{"type": "text", "text": "there"}, image}},
			obj{"type": "text", "text": "<reminder>Be brief.</reminder>"},
		}}}))
	if want := "The tool go failed: no way The tool look said: there [image/png, 70 bytes]"; got.text != want {
		t.Errorf("got %q\nwant %q", got.text, want)
	}
	gemini := start(t, llm.Gemini, Options{})
	got = heard(t, llm.Gemini, converse(t, gemini, false, []any{user(llm.Gemini, "Hi"), turnOf(llm.Gemini, said{calls: two}),
		obj{"role": "user", "parts": []any{
			obj{"functionResponse": obj{"name": "go", "response": obj{"error": "no way"}}},
			obj{"functionResponse": obj{"name": "look", "response": obj{"here": 1, "b": true}, "parts": []any{obj{"inlineData": obj{"mimeType": "image/png", "data": pixel}}}}},
		}}}))
	if want := `The tool go failed: no way The tool look said: {"b":true,"here":1} [image/png, 70 bytes]`; got.text != want {
		t.Errorf("got %q\nwant %q", got.text, want)
	}
}

func TestGivesSeveralAnswersAndTheirProbabilities(t *testing.T) {
	for _, stream := range []bool{false, true} {
		s := start(t, llm.OpenAI, Options{})
		g := converse(t, s, stream, []any{user(llm.OpenAI, "echo four ear")}, obj{"n": 2, "logprobs": true, "top_logprobs": 3})
		texts, tokens := map[float64]string{}, 0
		for _, o := range objects(g.body) {
			choices, _ := o["choices"].([]any)
			for _, choice := range choices {
				i := dig(choice, "index").(float64)
				for _, at := range []string{"delta", "message"} {
					text, _ := dig(choice, at, "content").(string)
					texts[i] += text
				}
				list, _ := dig(choice, "logprobs", "content").([]any)
				for _, one := range list {
					tokens++
					if top, _ := dig(one, "top_logprobs").([]any); len(top) != 3 {
						t.Errorf("%v", one)
					}
				}
			}
		}
		if texts[0] != "four ear" || texts[1] != "four ear" || tokens != 4 {
			t.Errorf("%v %d %s", texts, tokens, g.body)
		}
		s = start(t, llm.Gemini, Options{})
		g = converse(t, s, stream, []any{user(llm.Gemini, "echo four ear")},
			obj{"generationConfig": obj{"candidateCount": 2, "responseLogprobs": true, "logprobs": 2}})
		if n := strings.Count(strings.ReplaceAll(g.body, " ", ""), `"index":1`); n == 0 || !strings.Contains(g.body, `"chosenCandidates"`) {
			t.Errorf("%s", g.body)
		}
		if _, out := usageOf(llm.Gemini, g.body); out != 4 {
			t.Errorf("%v tokens", out)
		}
		s = start(t, llm.Local, Options{})
		if g = converse(t, s, stream, []any{user(llm.Local, "echo four")}, obj{"logprobs": true, "top_logprobs": 1}); !strings.Contains(g.body,
			`"logprobs":[{"token":"four","logprob":-0.125,"bytes":[102,111,117,114],"top_logprobs":[{`) {
			t.Errorf("%s", g.body)
		}
	}
}

func TestCountsTokens(t *testing.T) {
	message := []any{obj{"role": "user", "content": "twelve chars"}}
	contents := []any{obj{"parts": []any{obj{"text": "twelve chars"}}}}
	for _, c := range []struct {
		kind llm.Provider
		path string
		body obj
		says string
	}{
		{llm.Claude, "/v1/messages/count_tokens", obj{"model": "m", "messages": message}, `{"input_tokens":6}`},
		{llm.Gemini, "/v1beta/models/m:countTokens", obj{"contents": contents}, `"totalTokens": 6`},
		{llm.Gemini, "/v1/models/m:countTokens", obj{"generateContentRequest": obj{"model": "models/m", "contents": contents}}, `"totalTokens": 6`},
		{llm.OpenAI, "/v1/responses/input_tokens", obj{"model": "m", "input": "twelve chars"}, `"input_tokens": 6`},
	} {
		s := start(t, c.kind, Options{Models: []string{"m"}})
		if g := post(t, s, c.path, c.body); g.status != 200 || !strings.Contains(g.body, c.says) || s.Requests() != 0 {
			t.Errorf("%s: %d %s", c.path, g.status, g.body)
		}
		none, _ := json.Marshal(c.body)
		path := strings.Replace(c.path, "/m:", "/nope:", 1)
		body := obj{}
		_ = json.Unmarshal([]byte(strings.Replace(string(none), `"model":"m"`, `"model":"nope"`, 1)), &body)
		if g := post(t, s, path, body); g.status != 404 {
			t.Errorf("%s: %d %s", path, g.status, g.body)
		}
	}
}

func TestOllamaGeneratesAndShowsWhatModelsCan(t *testing.T) {
	s := start(t, llm.Local, Options{})
	g := post(t, s, "/api/generate", obj{"model": "llama3", "prompt": "think hm\necho so", "system": "Be brief.", "stream": false})
	if o := objects(g.body)[0]; o["response"] != "so" || o["thinking"] != "hm" || o["done_reason"] != "stop" || o["message"] != nil {
		t.Errorf("%s", g.body)
	}
	g = post(t, s, "/api/generate", obj{"model": "llama3", "prompt": "echo twice as"})
	text := ""
	for _, o := range objects(g.body) {
		piece, _ := o["response"].(string)
		text += piece
	}
	if text != "twice as" || g.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%s", g.body)
	}
	if g = post(t, s, "/api/generate", obj{"model": "llama3", "stream": false}); !strings.Contains(g.body, `"done_reason":"load"`) {
		t.Errorf("%s", g.body)
	}
	g = post(t, s, "/api/generate", obj{"model": "llama3", "prompt": "Look", "images": []any{pixel}, "format": weather, "stream": false})
	if objects(g.body)[0]["response"] != `{"city":"text","days":1}` {
		t.Errorf("%s", g.body)
	}
	for model, want := range map[string]string{
		"llama3": `["completion","tools","vision","thinking"]`, "a-text-only-model": `["completion"]`, "embed-local": `["embedding"]`,
	} {
		if g := post(t, s, "/api/show", obj{"model": model}); !strings.Contains(g.body, `"capabilities":`+want) {
			t.Errorf("%s: %s", model, g.body)
		}
	}
}
