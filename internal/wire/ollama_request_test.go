package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// pixel is a PNG of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// ollamaRequests are requests to /api/chat, or with a prompt to /api/generate.
var ollamaRequests = []struct{ name, body string }{
	{"bare", `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
	{"not streamed", `{"model":"m","stream":false,"messages":[{"role":"USER","content":""},{"role":"assistant","content":null}]}`},
	{"image", `{"model":"m","messages":[{"role":"user","content":"What is it?","images":["` + pixel + `"]}]}`},
	{"tools", `{"model":"m","messages":[{"role":"system","content":"Use tools."},{"role":"user","content":"Add twice"},
		{"role":"assistant","content":"","thinking":"hm","tool_calls":[
			{"type":"function","function":{"name":"add","arguments":{"a":1, "b":2}}},{"id":"c2","function":{"index":1,"name":"add","arguments":{}}}]},
		{"role":"tool","tool_name":"add","content":"3"},{"role":"tool","tool_call_id":"c2","content":"4","images":["` + pixel + `"]}],
		"tools":[{"type":"function","function":{"name":"add","description":"Adds","parameters":{"type":"object","properties":{"a":{"type":"number"}}},"strict":true}},
			{"type":"function","function":{"name":"now"}}]}`},
	{"results without calls", `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"tool","name":"add","content":"3"}]}`},
	{"settings", `{"model":"m","messages":[{"role":"user","content":"x"}],"format":"json","think":"high","logprobs":true,"top_logprobs":3,
		"options":{"num_predict":9,"temperature":0.5,"top_p":0.9,"top_k":40,"seed":7,"stop":["a","b"],"frequency_penalty":0.1,"presence_penalty":-3}}`},
	{"settings of one server", `{"model":"m","messages":[{"role":"user","content":"x"}],"keep_alive":"5m","truncate":true,"shift":true,
		"options":{"num_ctx":4096,"num_gpu":1,"num_thread":4,"use_mmap":true,"num_keep":5,"repeat_last_n":64}}`},
	{"settings aside", `{"model":"m","messages":[{"role":"user","content":"x"}],"options":{"min_p":0.05,"repeat_penalty":1.1,"mirostat":1,"brand_new":true}}`},
	{"settings that are off", `{"model":"m","messages":[{"role":"user","content":"x"}],"format":"","tools":[],"logprobs":false,"top_logprobs":0,"options":{"num_predict":-1,
		"top_k":0,"seed":-1,"min_p":0,"repeat_penalty":1.0,"stop":"","temperature":null}}`},
	{"schema", `{"model":"m","messages":[{"role":"user","content":"x"}],"format":{"type":"object"},"think":true}`},
	{"think off", `{"model":"m","messages":[{"role":"user","content":"x"}],"think":false}`},
	{"a model's own level", `{"model":"m","messages":[{"role":"user","content":"x"}],"think":"galaxy"}`},
	{"a model's own role", `{"model":"m","messages":[{"role":"control","content":"thinking"},{"role":"user","content":"x"}]}`},
	{"out of place", `{"model":"m","messages":[{"role":"user","content":"x","thinking":"y","tool_calls":[{"function":{"name":"f"}}],"new":1}],"new":1,"_debug_render_only":true}`},
	{"load", `{"model":"m","keep_alive":-1}`},
	{"generate", `{"model":"m","prompt":"Hi","system":"Be brief.","images":["` + pixel + `"],"raw":false,"template":"","context":[],"suffix":"","options":{"min_p":0.1,"top_k":4}}`},
	{"generate in its own words", `{"model":"m","prompt":"Hi","raw":true,"template":"{{.Prompt}}","context":[1],"suffix":"x","stream":false}`},
	{"generate loads", `{"model":"m","prompt":"","keep_alive":0}`},
}

// given writes a value as JSON without what is not given in it.
func given(v any) []byte {
	var prune func(v any) any
	prune = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for name, field := range v {
				if field = prune(field); field == nil || field == "" || field == false || field == 0.0 {
					delete(v, name)
				} else {
					v[name] = field
				}
			}
		case []any:
			for i := range v {
				v[i] = prune(v[i])
			}
		}
		return v
	}
	var shown any
	json.Unmarshal(marshal(v), &shown)
	return marshal(prune(shown))
}

func decodeOllama(name, body string) (*llm.Request, error) {
	if strings.HasPrefix(name, "generate") {
		return DecodeOllamaGenerate([]byte(body))
	}
	return DecodeOllamaChat([]byte(body))
}

// TestOllamaRequestsAreRead holds what requests mean, and what they become for
// a server behind another door, in a golden file.
func TestOllamaRequestsAreRead(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	var out bytes.Buffer
	for _, c := range ollamaRequests {
		req, err := decodeOllama(c.name, c.body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if string(req.Body) != c.body {
			t.Errorf("%s: the body was changed", c.name)
		}
		shown := *req
		shown.Body, shown.Dialect, shown.Model = nil, "", ""
		fmt.Fprintf(&out, "%s\n\t%s\n", c.name, bytes.ReplaceAll(given(shown), []byte(pixel), []byte("PIXEL")))
		other := *req
		if other.Dialect == llm.OllamaChat {
			other.Dialect = llm.Plain
		}
		e, err := codec.Encode("target", &other)
		if err != nil {
			fmt.Fprintf(&out, "\trefused: %v; lacks %q\n", err, codec.Lacks("target", &other))
			continue
		}
		fmt.Fprintf(&out, "\t%s\n", bytes.ReplaceAll(e.Body, []byte(pixel), []byte("PIXEL")))
		if e.Adjusted != nil {
			fmt.Fprintf(&out, "\tadjusted: %q\n", e.Adjusted)
		}
	}
	golden(t, "ollama_requests.golden", out.Bytes())
}

func TestOllamaRequestsThatAreWrongAreRefused(t *testing.T) {
	for _, c := range []struct{ body, field string }{
		{``, ""}, {`[]`, ""}, {`{"messages":[]}`, "model"}, {`{"model":1}`, "model"}, {`{"model":"m","model":"m"}`, "model"},
		{`{"model":"m","messages":{}}`, "messages"}, {`{"model":"m","messages":["x"]}`, "messages[0]"},
		{`{"model":"m","messages":[{"content":"x"}]}`, "messages[0].role"},
		{`{"model":"m","messages":[{"role":"user","content":["x"]}]}`, "messages[0].content"},
		{`{"model":"m","messages":[{"role":"user","images":["data:image/png;base64,` + pixel + `"]}]}`, "messages[0].images[0]"},
		{`{"model":"m","messages":[{"role":"user","images":["https://example.com/x.png"]}]}`, "messages[0].images[0]"},
		{`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]}`, "messages[0].tool_calls[0].function.arguments"},
		{`{"model":"m","messages":[{"role":"assistant","tool_calls":[{}]}]}`, "messages[0].tool_calls[0].function.name"},
		{`{"model":"m","tools":[{"type":"function"}]}`, "tools[0].function"},
		{`{"model":"m","tools":[{"function":{"name":"f","parameters":[]}}]}`, "tools[0].function.parameters"},
		{`{"model":"m","stream":"no"}`, "stream"}, {`{"model":"m","format":"xml"}`, "format"}, {`{"model":"m","think":1}`, "think"},
		{`{"model":"m","logprobs":1}`, "logprobs"}, {`{"model":"m","top_logprobs":21}`, "top_logprobs"},
		{`{"model":"m","options":[]}`, "options"}, {`{"model":"m","options":{"num_predict":"9"}}`, "options.num_predict"},
		{`{"model":"m","options":{"temperature":-1}}`, "options.temperature"}, {`{"model":"m","options":{"stop":[1]}}`, "options.stop[0]"},
	} {
		_, err := DecodeOllamaChat([]byte(c.body))
		var refused *RequestError
		if !errors.As(err, &refused) || refused.Field != c.field || refused.Message == "" {
			t.Errorf("%s: got %v, want %s", c.body, err, c.field)
		}
	}
}

func TestAnOllamaCallersBytesAreKept(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	for _, c := range ollamaRequests {
		if strings.HasPrefix(c.name, "generate") {
			continue
		}
		req, err := decodeOllama(c.name, c.body)
		if err != nil {
			t.Fatal(err)
		}
		same, err := codec.Encode("m", req)
		other, err2 := codec.Encode("n", req)
		if want := strings.Replace(c.body, `"model":"m"`, `"model":"n"`, 1); err != nil || err2 != nil || string(same.Body) != c.body || string(other.Body) != want {
			t.Errorf("%s: got %s, %v and %s, %v", c.name, same.Body, err, other.Body, err2)
		}
		if codec.Lacks("m", req) != nil || codec.Streams(req) != req.Stream {
			t.Errorf("%s: lacks %q, streams %v", c.name, codec.Lacks("m", req), codec.Streams(req))
		}
	}
}

// ollamaMeaning is a request without what may differ between two that mean the same.
func ollamaMeaning(req *llm.Request) string {
	r := *req
	r.Dialect, r.Body, r.Stream, r.IncludeUsage, r.Beyond, r.Aside, r.Model = "", nil, false, false, nil, nil, ""
	if r.Format != nil && r.Format.Schema != nil {
		r.Format.Schema = compactJSON(r.Format.Schema)
	}
	return string(marshal(r))
}

func compactJSON(b []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	return out.Bytes()
}

func TestRecordedOllamaRequestsKeepTheirMeaning(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	n := 0
	for _, x := range corpus(t) {
		decode := DecodeOllamaChat
		switch x.Request.Path {
		case "/api/generate":
			decode = DecodeOllamaGenerate
		case "/api/chat":
		default:
			continue
		}
		n++
		req, err := decode(x.Request.Body)
		if err != nil || req.Beyond != nil {
			t.Errorf("%s: beyond %q, %v", x.Name, req.Beyond, err)
			continue
		}
		for _, d := range []llm.Dialect{llm.Plain, llm.OllamaGenerate} {
			other := *req
			if other.Dialect = d; d == llm.OllamaGenerate && req.Dialect != d {
				continue
			}
			e, err := codec.Encode("m", &other)
			if err != nil {
				t.Errorf("%s: %v", x.Name, err)
				continue
			}
			again, err := DecodeOllamaChat(e.Body)
			if err != nil || ollamaMeaning(again) != ollamaMeaning(req) || !again.Stream {
				t.Errorf("%s: %v\n got %s\nwant %s", x.Name, err, ollamaMeaning(again), ollamaMeaning(req))
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d recordings", n)
	}
}

// FuzzOllamaRequests holds that what was read and written is read again as the same.
func FuzzOllamaRequests(f *testing.F) {
	for _, c := range ollamaRequests {
		f.Add([]byte(c.body))
	}
	codec, _ := CodecFor(llm.OllamaChat)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte) (*llm.Request, error){DecodeOllamaChat, DecodeOllamaGenerate} {
			req, err := decode(body)
			if err != nil {
				var refused *RequestError
				if !errors.As(err, &refused) {
					t.Fatalf("not a RequestError: %v", err)
				}
				continue
			}
			req.Dialect, req.Beyond = llm.Plain, nil
			e, err := codec.Encode("m", req)
			if err != nil {
				t.Fatal(err)
			}
			first, err := DecodeOllamaChat(e.Body)
			if err != nil {
				t.Fatalf("%v in %s", err, e.Body)
			}
			first.Dialect, first.Beyond = llm.Plain, nil
			e2, err := codec.Encode("m", first)
			if err != nil {
				t.Fatal(err)
			}
			second, err := DecodeOllamaChat(e2.Body)
			if err != nil || !reflect.DeepEqual(ollamaMeaning(first), ollamaMeaning(second)) {
				t.Fatalf("%v\n got %s\nwant %s", err, ollamaMeaning(second), ollamaMeaning(first))
			}
		}
	})
}
