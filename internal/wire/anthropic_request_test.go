package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// canonical writes what a request says, but for the bytes it came in.
func canonical(r *llm.Request) []byte {
	said := *r
	said.Body, said.Header, said.Aside, said.Dialect, said.Model, said.IncludeUsage = nil, nil, nil, "", "", false
	b, err := json.MarshalIndent(said, "", " ")
	if err != nil {
		panic(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) { // what is not set says nothing
		if value := strings.TrimRight(strings.TrimSpace(line), ","); !strings.HasSuffix(value, `: ""`) && !strings.HasSuffix(value, ": null") &&
			!strings.HasSuffix(value, ": false") {
			lines = append(lines, strings.TrimRight(line, ",\n"))
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

const anthropicEverything = `{
 "model":"claude-opus-4-8","max_tokens":1000,"stream":true,"temperature":0.5,"top_p":0.9,"top_k":5,"stop_sequences":["END"],
 "metadata":{"user_id":"u1"},"service_tier":"standard_only","cache_control":{"type":"ephemeral"},
 "thinking":{"type":"adaptive","display":"summarized","block_binding":{"prefix_mismatch_behavior":"drop_block"}},
 "output_config":{"effort":"max","format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}}},
 "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"mcp_servers":[],"container":null,
 "system":[{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral","ttl":"1h"}}],
 "tools":[{"name":"look","description":"Looks.","input_schema":{"type":"object","properties":{}},"strict":true,"cache_control":{"type":"ephemeral"},"eager_input_streaming":true,"defer_loading":false}],
 "tool_choice":{"type":"tool","name":"look","disable_parallel_tool_use":true},
 "messages":[
  {"role":"user","content":"hi"},
  {"role":"user","content":[
   {"type":"text","text":"see"},
   {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
   {"type":"image","source":{"type":"url","url":"https://x/y.png"},"cache_control":{"type":"ephemeral"}},
   {"type":"document","title":"T","context":"about it","citations":{"enabled":false},"source":{"type":"base64","media_type":"application/pdf","data":"BBBB"}},
   {"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"}},
   {"type":"document","source":{"type":"content","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]}},
   {"type":"document","source":{"type":"url","url":"https://x/y.pdf"}},
   {"type":"document","source":{"type":"file","file_id":"file_1"}}]},
  {"role":"system","content":"Now in French."},
  {"role":"assistant","content":[
   {"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"xyz"},
   {"type":"text","text":"let me look","citations":[{"type":"char_location","cited_text":"w"}]},
   {"type":"tool_use","id":"c1","name":"look","input":{"b":1,"a":2},"caller":{"type":"direct"}},
   {"type":"tool_use","id":"c2","name":"look","input":{}}]},
  {"role":"user","content":[
   {"type":"tool_result","tool_use_id":"c1","content":"done"},
   {"type":"tool_result","tool_use_id":"c2","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"CCCC"}}],"cache_control":{"type":"ephemeral"}},
   {"type":"text","text":"go on"}]},
  {"role":"assistant","content":[]}
 ]}`

func TestAnthropicRequestsAreRead(t *testing.T) {
	r, err := DecodeAnthropic([]byte(anthropicEverything))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "anthropic_request.golden", canonical(r))
}

func TestAnthropicFieldsThatOthersCannotCarryAreNamed(t *testing.T) {
	block := func(b string) string { return `"messages":[{"role":"user","content":[` + b + `]}]` }
	for body, want := range map[string]string{
		`"context_management":{"edits":[{"type":"compact_20260112"}]}`: "context_management",
		`"mcp_servers":[{"url":"x"}]`:                                  "mcp_servers",
		`"container":"c1"`:                                             "container",
		`"inference_geo":"us"`:                                         "inference_geo",
		`"thinking":{"type":"dreaming"}`:                               "thinking.type",
		`"tools":[{"type":"web_search_20250305","name":"web_search"}]`: "tools[0].web_search_20250305",
		`"tools":[{"name":"a","input_schema":{},"allowed_callers":["code_execution_20260120"]}]`:                           "tools[0].allowed_callers",
		`"messages":[{"role":"system","content":[{"type":"tool_addition","tool":{"name":"x"}}]}]`:                          "messages[0].content[0].tool_addition",
		`"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]}]`: "messages[0].content[0].server_tool_use",
		block(`{"type":"search_result","source":"x","title":"y","content":[]}`):                                            "messages[0].content[0].search_result",
		block(`{"type":"document","source":{"type":"text","data":"x"},"citations":{"enabled":true}}`):                      "messages[0].content[0].citations",
		block(`{"type":"image","source":{"type":"torrent"}}`):                                                              "messages[0].content[0].source.type",
	} {
		if !strings.Contains(body, `"messages"`) {
			body += `,"messages":[{"role":"user","content":"x"}]`
		}
		r, err := DecodeAnthropic([]byte(`{"model":"m","max_tokens":1,` + body + `}`))
		if err != nil || !reflect.DeepEqual(r.Beyond, []string{want}) {
			t.Errorf("%s: got %v, %v", body, r, err)
		}
	}
}

func TestAnthropicFieldsThatOnlyTuneAreSetAside(t *testing.T) {
	r, err := DecodeAnthropic([]byte(`{"model":"m","max_tokens":1,"speed":"fast","output_config":{"task_budget":{"total":1}},
		"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"tools":[{"name":"a","input_schema":{},"defer_loading":true}],
		"messages":[{"role":"user","content":"x","output_config":{"effort":"low"}},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":[{"type":"tool_reference","tool_name":"a"}]}]}]}`))
	want := []string{"speed", "output_config.task_budget", "context_management", "tools[0].defer_loading", "messages[0].output_config",
		"messages[1].content[0].content[0].tool_reference"}
	if err != nil || r.Beyond != nil || !reflect.DeepEqual(r.Aside, want) {
		t.Fatalf("got %+v, %v", r, err)
	}
	if found := r.Messages[1].Parts[0].Result.Parts[0].Text; found != "The tool a can be called." {
		t.Errorf("the tool that was found: %q", found)
	}
}

func TestBrokenAnthropicRequestsAreRefusedByField(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:            "model",
		`{"model":1}`:   "model",
		`{"model":"m"}`: "messages",
		`{"model":"m","messages":[{"role":"user","content":"x"}]}`:                                                       "max_tokens",
		`{"model":"m","max_tokens":1.5}`:                                                                                 "max_tokens",
		`{"model":"m","temperature":1.5}`:                                                                                "temperature",
		`{"model":"m","stop_sequences":"x"}`:                                                                             "stop_sequences",
		`{"model":"m","stop_sequences":["x",1]}`:                                                                         "stop_sequences[1]",
		`{"model":"m","system":1}`:                                                                                       "system",
		`{"model":"m","tools":{}}`:                                                                                       "tools",
		`{"model":"m","tools":[{"input_schema":{}}]}`:                                                                    "tools[0].name",
		`{"model":"m","tool_choice":{"type":"required"}}`:                                                                "tool_choice.type",
		`{"model":"m","tool_choice":{"type":"tool"}}`:                                                                    "tool_choice.name",
		`{"model":"m","thinking":{"type":"enabled"}}`:                                                                    "thinking.budget_tokens",
		`{"model":"m","thinking":{"type":"enabled","budget_tokens":5}}`:                                                  "thinking.budget_tokens",
		`{"model":"m","output_config":{"effort":"huge"}}`:                                                                "output_config.effort",
		`{"model":"m","output_config":{"format":{"type":"json_schema"}}}`:                                                "output_config.format.schema",
		`{"model":"m","messages":[{"role":"tool","content":"x"}]}`:                                                       "messages[0].role",
		`{"model":"m","messages":[{"role":"user"}]}`:                                                                     "messages[0].content",
		`{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}`:                                            "messages[0].content[0].type",
		`{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}`:                                         "messages[0].content[0].text",
		`{"model":"m","messages":[{"role":"user","content":[{"type":"image"}]}]}`:                                        "messages[0].content[0].source",
		`{"model":"m","messages":[{"role":"user","content":[{"type":"tool_use","id":"x"}]}]}`:                            "messages[0].content[0].type",
		`{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"y","input":[]}]}]}`: "messages[0].content[0].input",
		`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"ttl":"2h"}}]}]}`: "messages[0].content[0].cache_control.ttl",
	} {
		r, err := DecodeAnthropic([]byte(body))
		refused, ok := err.(*RequestError)
		if !ok || refused.Field != want {
			t.Errorf("%s: got %v, %v", body, r, err)
		}
	}
}

func TestAnthropicCountNeedsNoLimit(t *testing.T) {
	r, err := DecodeAnthropicCount([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}]}`))
	if err != nil || r.MaxTokens != nil || len(r.Messages) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if got := string(AnthropicCount(14)); got != `{"input_tokens":14}` {
		t.Errorf("got %s", got)
	}
}

// anthropicRecordings gives the recorded requests of messages and counts.
func anthropicRecordings(t testing.TB) []exchange {
	var found []exchange
	for _, x := range corpus(t) {
		if x.Provider == "anthropic" && x.Request.Method == "POST" {
			found = append(found, x)
		}
	}
	return found
}

func (x exchange) decodeAnthropic() (*llm.Request, error) {
	if strings.Contains(x.Request.Path, "count_tokens") {
		return DecodeAnthropicCount(x.Request.Body)
	}
	return DecodeAnthropic(x.Request.Body)
}

// TestRecordedAnthropicRequestsKeepTheirMeaning writes each recorded request
// anew, as for a request that came in another dialect, and reads that.
func TestRecordedAnthropicRequestsKeepTheirMeaning(t *testing.T) {
	for _, x := range anthropicRecordings(t) {
		r, err := x.decodeAnthropic()
		if err != nil && x.Response.Status == 400 { // Anthropic refused it too
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		same, err := encodeAnthropic(r.Model, r)
		if err != nil || !bytes.Equal(same.Body, x.Request.Body) {
			t.Errorf("%s: the same dialect does not keep the bytes: %v", x.Name, err)
		}
		if x.Response.Status != 200 || len(r.Beyond) > 0 {
			continue
		}
		plain := *r
		plain.Dialect = llm.Plain
		e, err := encodeAnthropic(r.Model, &plain)
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		again, err := DecodeAnthropic(e.Body)
		if err != nil {
			t.Errorf("%s: %v in %s", x.Name, err, e.Body)
			continue
		}
		if got, want := canonical(again), canonical(r); e.Adjusted == nil && !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s", x.Name, firstDifference(got, want))
		}
		if e.Adjusted != nil {
			t.Logf("%s: adjusted %q", x.Name, e.Adjusted)
		}
	}
}

// firstDifference shows where two texts part.
func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

func FuzzDecodeAnthropic(f *testing.F) {
	f.Add([]byte(anthropicEverything))
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"breakwater.thinking.."},{"type":"tool_use","id":"a","name":"b","input":{}},{"type":"redacted_thinking","data":"breakwater.block.gemini.s"}]},{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"tool_result","tool_use_id":"a"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeAnthropic(body)
		if err != nil {
			if _, ok := err.(*RequestError); !ok {
				t.Fatalf("not a RequestError: %v", err)
			}
			return
		}
		if _, err := encodeAnthropic("claude-sonnet-4-5", r); err != nil {
			t.Fatal(err)
		}
		r.Dialect, r.Beyond = llm.Plain, nil
		e, err := encodeAnthropic("claude-opus-4-6", r)
		if err != nil {
			return
		}
		first, err := DecodeAnthropic(e.Body)
		if err != nil {
			t.Fatalf("%v in %s", err, e.Body)
		}
		first.Dialect = llm.Plain
		e2, err := encodeAnthropic("claude-opus-4-6", first)
		if err != nil {
			t.Fatalf("%v in %s", err, e.Body)
		}
		if !bytes.Equal(e.Body, e2.Body) {
			t.Fatalf("not stable\n%s\n%s", e.Body, e2.Body)
		}
	})
}
