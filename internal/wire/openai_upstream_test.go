package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

func events(lines ...string) string {
	var b strings.Builder
	for _, line := range append(lines, "[DONE]") {
		b.WriteString("data: " + line + "\n\n")
	}
	return b.String()
}

func delta(d string) string { return `{"id":"a","choices":[{"index":0,"delta":` + d + `}]}` }

const finished = `{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`

// TestOpenAIStreamsAreReadWhateverTheServer holds what the variants of the
// dialect mean: one line for each part.
func TestOpenAIStreamsAreReadWhateverTheServer(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"Azure's empty choices, obfuscation, null content", events(`{"id":"","choices":[],"prompt_filter_results":[]}`, delta(`{"role":"assistant","content":null,"refusal":null}`),
			`{"id":"a","choices":[{"index":0,"delta":{"content":"Hi"}}],"obfuscation":"x"}`, finished), `text "Hi" | stop`},
		{"pieces of calls", events(delta(`{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}`),
			delta(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}`), delta(`{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`),
			delta(`{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]}`), finished),
			`call c1 f {"a":1} | call c2 g {} | tool_calls (stop)`},
		{"whole calls in one chunk", events(delta(`{"content":null,"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\":1}"}},{"index":1,"id":"c2","function":{"name":"g"}}]}`), finished),
			`call c1 f {"a":1} | call c2 g {} | tool_calls (stop)`},
		{"no index", events(delta(`{"tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{"}}]}`), delta(`{"tool_calls":[{"function":{"arguments":"}"}}]}`),
			delta(`{"tool_calls":[{"id":"c2","function":{"name":"f","arguments":{"a":1}}}]}`), finished), `call c1 f {} | call c2 f {"a":1} | tool_calls (stop)`},
		{"the same index for all", events(delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}]}`),
			delta(`{"tool_calls":[{"index":0,"id":"c2","function":{"name":"f","arguments":"{}"}}]}`), finished), `call c1 f {} | call c2 f {} | tool_calls (stop)`},
		{"id repeated in each piece", events(delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{"}}]}`),
			delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"}"}}]}`), finished), `call c1 f {} | tool_calls (stop)`},
		{"interleaved", events(delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{"}},{"index":1,"id":"c2","function":{"name":"g","arguments":"{"}}]}`),
			delta(`{"tool_calls":[{"index":0,"function":{"arguments":"}"}},{"index":1,"function":{"arguments":"}"}}]}`), finished), `call c1 f {} | call c2 g {} | tool_calls (stop)`},
		{"older form", events(delta(`{"function_call":{"name":"f","arguments":""}}`), delta(`{"function_call":{"arguments":"{}"}}`),
			`{"id":"a","choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]}`), `call MADE-UP f {} | tool_calls (function_call)`},
		{"no arguments, no finish", events(delta(`{"tool_calls":[{"index":0,"function":{"name":"f"}}]}`)), `call MADE-UP f {}`},
		{"reasoning of others", events(delta(`{"reasoning_content":"h","reasoning":"h"}`), delta(`{"reasoning":"m"}`), delta(`{"content":"Hi"}`), finished), `thinking "hm" | text "Hi" | stop`},
		{"blocks in pieces", events(delta(`{"reasoning_content":"h","thinking_blocks":[{"type":"thinking","thinking":"h","signature":""}]}`),
			delta(`{"reasoning_content":"m","thinking_blocks":[{"type":"thinking","thinking":"m"}]}`), delta(`{"thinking_blocks":[{"type":"thinking","thinking":"","signature":"s"}]}`), finished),
			`thinking "hm" s | stop`},
		{"a block of its own", events(delta(`{"reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"d"}]}`), finished),
			`thinking "hm" s | thinking "" d redacted | stop`},
		{"Gemini's signatures", events(delta(`{"content":"Hi","extra_content":{"google":{"thought_signature":"g"}}}`),
			delta(`{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"h"}}}]}`), finished),
			`text "Hi" g | call c f {} h | tool_calls (stop)`},
		{"refusal", events(delta(`{"refusal":"N"}`), delta(`{"refusal":"o"}`), finished), `refusal "No" | stop`},
		{"citations and tiers", events(`{"id":"a","service_tier":"flex","choices":[{"index":0,"delta":{"content":"x","annotations":[{"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}}]}}]}`, finished),
			`text "x" | cited {u t  0 1} | stop | tier flex`},
		{"logprobs", events(`{"id":"a","choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-1}],"refusal":null}}]}`, finished),
			`text "x" | logprobs {"content":[{"token":"x","logprob":-1}],"refusal":null} | stop`},
		{"what no words can say", events(delta(`{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"x","input":"y"}}]}`), delta(`{"audio":{"id":"x"}}`), finished), `stop | opaque`},
		{"several choices", events(`{"id":"a","choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}`,
			`{"id":"a","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"},{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"length"}]}`),
			`text "a" | call MADE-UP f {} | tool_calls || text "b" | call MADE-UP f {} | length`},
	} {
		a, err := gather(llm.OpenAIChat, c.body, &llm.Request{Dialect: llm.Plain})
		if got := outline(a); err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
		ids := map[string]bool{}
		for _, choice := range a.Choices {
			for _, p := range choice.Parts {
				if p.Kind == llm.Call {
					if ids[p.Call.ID] || p.Call.ID == "" {
						t.Errorf("%s: the id %q is not unique", c.name, p.Call.ID)
					}
					ids[p.Call.ID] = true
				}
			}
		}
	}
}

// outline writes an answer in one line.
func outline(a Answer) string {
	var b strings.Builder
	for i, c := range a.Choices {
		if i > 0 {
			b.WriteString(" || ")
		}
		var parts []string
		for _, p := range c.Parts {
			s := fmt.Sprintf("%s %q", p.Kind, p.Text)
			if p.Kind == llm.Call {
				id := p.Call.ID
				if strings.HasPrefix(id, "call_") {
					id = "MADE-UP"
				}
				s = fmt.Sprintf("call %s %s %s", id, p.Call.Name, p.Call.Args)
			}
			if p.Signature != "" {
				s += " " + p.Signature
			}
			if p.Redacted {
				s += " redacted"
			}
			parts = append(parts, s)
		}
		for _, cite := range c.Citations {
			parts = append(parts, fmt.Sprintf("cited %v", cite))
		}
		if c.Logprobs != nil {
			parts = append(parts, "logprobs "+string(c.Logprobs))
		}
		if c.Finish != "" {
			s := string(c.Finish)
			if c.FinishDetail != "" {
				s += " (" + c.FinishDetail + ")"
			}
			parts = append(parts, s)
		}
		b.WriteString(strings.Join(parts, " | "))
	}
	if a.ServiceTier != "" {
		b.WriteString(" | tier " + a.ServiceTier)
	}
	if a.Opaque {
		b.WriteString(" | opaque")
	}
	return b.String()
}

func TestMadeUpIDsOfOpenAICallsAreStable(t *testing.T) {
	body := func(id string) string {
		return `{"id":"` + id + `","choices":[{"index":0,"message":{"tool_calls":[{"function":{"name":"f"}},{"function":{"name":"f"}}]},"finish_reason":"stop"}]}`
	}
	ids := func(id string) string {
		chunks, err := wholeOpenAI([]byte(body(id)), &llm.Request{})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := Gather(&listed{chunks: chunks})
		return a.Choices[0].Parts[0].Call.ID + " " + a.Choices[0].Parts[1].Call.ID
	}
	if one, again, other := ids("a"), ids("a"), ids("b"); one != again || one == other {
		t.Errorf("got %s, again %s, of another answer %s", one, again, other)
	}
}

// TestRecordedOpenAIAnswersSayEverything holds what is read of each recorded
// answer in a golden file, and compares calls with a plain reading.
func TestRecordedOpenAIAnswersSayEverything(t *testing.T) {
	var out bytes.Buffer
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 || x.dialect() != llm.OpenAIChat {
			continue
		}
		a, _, err := replay(t, x, llm.Plain, bytes.NewReader(x.body()))
		if err != nil {
			fmt.Fprintf(&out, "%s\n\tFAILED %v\n", x.Name, err)
			continue
		}
		usage := ""
		if a.Usage != nil {
			usage = fmt.Sprintf("%+v", *a.Usage)
		}
		line := outline(a)
		if len(line) > 400 {
			line = line[:300] + " … " + line[len(line)-100:]
		}
		fmt.Fprintf(&out, "%s\n\t%s\n\t%s\n", x.Name, strings.ToValidUTF8(line, "?"), usage)
		var calls int
		for _, v := range jsonValues(x.body()) {
			for _, choice := range gjson.GetBytes(v, "choices").Array() {
				for _, call := range append(choice.Get("delta.tool_calls").Array(), choice.Get("message.tool_calls").Array()...) {
					if call.Get("id").String() != "" {
						calls++
					}
				}
				if choice.Get("message.function_call").IsObject() {
					calls++
				}
			}
		}
		for _, p := range a.Choices[0].Parts {
			if p.Kind != llm.Call {
				continue
			}
			calls--
			if !gjson.ValidBytes(p.Call.Args) && a.Finish() != llm.FinishLength {
				t.Errorf("%s: arguments %s", x.Name, p.Call.Args)
			}
		}
		if calls != 0 {
			t.Errorf("%s: %d calls are missing", x.Name, calls)
		}
	}
	golden(t, "openai_answers.golden", out.Bytes())
}
