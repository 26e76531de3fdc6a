package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// chatDialects are those that are doors and upstreams.
func chatDialects() []llm.Dialect {
	return []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat}
}

func TestBrokenArgumentsInAHistoryReachEveryProvider(t *testing.T) {
	for args, want := range map[string]string{
		``: `{}`, ` `: `{}`, `{"a": 1}`: `{"a":1}`,
		`{"city":"Par`: `{"INVALID_JSON":"{\"city\":\"Par"}`,
		`["a"]`:        `{"INVALID_JSON":"[\"a\"]"}`,
		`"Paris"`:      `{"INVALID_JSON":"\"Paris\""}`,
		`Paris`:        `{"INVALID_JSON":"Paris"}`,
		`{}{}`:         `{"INVALID_JSON":"{}{}"}`,
		`null`:         `{"INVALID_JSON":"null"}`,
	} {
		body := fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"x"},
			{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":%s}}]},
			{"role":"tool","tool_call_id":"c","content":"bad"}],"tools":[{"type":"function","function":{"name":"f"}}]}`, marshal(args))
		for d, model := range map[llm.Dialect]string{llm.AnthropicMessages: "claude-opus-5", llm.GeminiGenerate: "gemini-3-pro", llm.OllamaChat: "llama3"} {
			req, err := DecodeOpenAIChat(body)
			if err != nil || len(req.Beyond) > 0 {
				t.Fatalf("%q: %v, beyond %q", args, err, req.Beyond)
			}
			c, _ := CodecFor(d)
			e, err := c.Encode(model, req)
			if err != nil || len(c.Lacks(model, req)) > 0 {
				t.Fatalf("%q to %s: %v", args, d, err)
			}
			const field = "messages[1].tool_calls[0].function.arguments"
			if named := slices.Contains(e.Adjusted, field); named != strings.Contains(want, "INVALID") {
				t.Errorf("%q to %s: adjusted %q", args, d, e.Adjusted)
			}
			door, _ := DoorFor(d)
			again, err := door.Decode(e.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range again.Messages {
				for _, p := range m.Parts {
					if p.Kind == llm.Call && compact(string(p.Call.Args)) != want {
						t.Errorf("%q to %s: %s", args, d, p.Call.Args)
					}
				}
			}
		}
		req, _ := DecodeOpenAIChat(body)
		if e, err := encodeOpenAI("m", req); err != nil || !bytes.Equal(e.Body, body) || e.Adjusted != nil {
			t.Errorf("%q to its own dialect: %s, %v", args, e.Body, err)
		}
	}
}

// write writes chunks at a door.
func write(d llm.Dialect, chunks []llm.Chunk) []byte {
	door, _ := DoorFor(d)
	w := door.Stream(Meta{RequestID: "r", Model: "m", Created: time.Unix(1, 0), Request: &llm.Request{Dialect: d, Stream: true, IncludeUsage: true}})
	var body []byte
	for _, c := range chunks {
		body = w.Chunk(body, c)
	}
	return w.End(body)
}

func piece(index int, id, args string) llm.Chunk {
	c := llm.Chunk{Call: &llm.CallDelta{Index: index, ID: id, Args: args}}
	if id != "" {
		c.Call.Name = "f" + id
	}
	return c
}

func TestInterleavedCallsComeThroughEveryDoor(t *testing.T) {
	finish := llm.Chunk{Finish: llm.FinishToolCalls}
	want := `fa{"x":"{\"}"} fb{"y":[1]} fc{}`
	for name, chunks := range map[string][]llm.Chunk{
		"in order": {piece(0, "a", ""), piece(0, "", `{"x":"{\"}"}`), piece(1, "b", ""), piece(1, "", `{"y":[1]}`), piece(2, "c", ""), piece(2, "", "{}"), finish},
		"alternating": {piece(0, "a", ""), piece(1, "b", ""), piece(0, "", `{"x":`), piece(1, "", `{"y"`), piece(2, "c", ""), piece(0, "", `"{\"`),
			piece(1, "", `:[1`), piece(0, "", `}"}`), piece(1, "", `]}`), piece(2, "", "{}"), finish},
		"the first last":          {piece(0, "a", `{`), piece(1, "b", `{"y":[1]}`), piece(2, "c", `{}`), piece(0, "", `"x":"{\"}"}`), finish},
		"arguments after the end": {piece(0, "a", `{"x":"{\"}"}`), piece(1, "b", `{"y":[1]}`), piece(2, "c", ""), finish, piece(2, "", "{}")},
	} {
		for _, d := range append(chatDialects(), llm.OpenAIResponses) {
			a, err := gather(d, string(write(d, chunks)), &llm.Request{Dialect: llm.Plain, Stream: true})
			var got []string
			for _, p := range a.Choices[0].Parts {
				if p.Kind == llm.Call {
					got = append(got, p.Call.Name+compact(string(p.Call.Args)))
				}
			}
			if err != nil || strings.Join(got, " ") != want || a.Finish() != llm.FinishToolCalls {
				t.Errorf("%s at %s: %q, %s, %v", name, d, got, a.Finish(), err)
			}
		}
	}
}

func TestACallIsToldAtOnceWhereNothingWaits(t *testing.T) {
	w := AnthropicDoor().Stream(Meta{RequestID: "r", Model: "m"})
	for _, c := range []llm.Chunk{piece(0, "a", ""), piece(0, "", "{"), piece(0, "", "}"), piece(1, "b", ""), piece(1, "", "{")} {
		if body := w.Chunk(nil, c); len(body) == 0 {
			t.Errorf("%+v waits", *c.Call)
		}
	}
}

// endless is an upstream that never comes to an end.
type endless struct {
	rest, again string
	read        int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.rest == "" {
		e.rest = e.again
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	e.read += n
	return n, nil
}

func TestEndlessAnswersAreCutOff(t *testing.T) {
	long := strings.Repeat("a", 2000)
	for d, answers := range map[llm.Dialect]map[string][2]string{
		llm.OpenAIChat: {
			"arguments": {`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\":\""}}]}}]}` + "\n\n",
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"` + long + `"}}]}}]}` + "\n\n"},
			"calls": {"", `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}` + "\n\n"},
			"text":  {"", `data: {"choices":[{"index":0,"delta":{"content":"` + long + `"}}]}` + "\n\n"},
		},
		llm.AnthropicMessages: {
			"arguments": {`data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}` + "\n\n",
				`data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"` + long + `"}}` + "\n\n"},
			"thinking": {"", `data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"` + long + `"}}` + "\n\n"},
		},
	} {
		for name, a := range answers {
			c, _ := CodecFor(d)
			upstream := &endless{rest: a[0], again: a[1]}
			s := c.Stream(upstream, &llm.Request{Dialect: llm.Plain, Stream: true})
			var err error
			for err == nil {
				_, err = s.Next()
			}
			if f, ok := llm.AsFailure(err); !ok || f.Class != llm.StreamCut || !strings.Contains(f.Message, "endless") || upstream.read > 2*DefaultMaxAnswer {
				t.Errorf("%s, %s: %v after %d bytes", d, name, err, upstream.read)
			}
			if _, again := s.Next(); !errors.Is(again, err) || errors.Is(err, io.EOF) {
				t.Errorf("%s, %s: after the end comes %v", d, name, again)
			}
		}
	}
}

func TestCacheWritesForAnHourAreToldApart(t *testing.T) {
	const usage = `{"input_tokens":1,"cache_creation_input_tokens":30,"cache_read_input_tokens":4,"output_tokens":2,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}`
	chunks, err := wholeAnthropic([]byte(`{"id":"i","type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":`+usage+`}`), &llm.Request{})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := Gather(&listed{chunks: chunks})
	want := llm.Usage{Input: 35, CacheRead: 4, CacheWrite: 30, CacheWrite1h: 20, Output: 2}
	if *a.Usage != want {
		t.Errorf("read %+v", *a.Usage)
	}
	var body struct{ Usage json.RawMessage }
	if err := json.Unmarshal(AnthropicDoor().Answer(Meta{}, a), &body); err != nil || !strings.Contains(string(body.Usage), `"ephemeral_1h_input_tokens":20`) {
		t.Errorf("told as %s, %v", body.Usage, err)
	}
	streamed, err := gather(llm.AnthropicMessages, string(write(llm.AnthropicMessages, chunks)), &llm.Request{})
	if err != nil || *streamed.Usage != want {
		t.Errorf("streamed %+v, %v", streamed.Usage, err)
	}
	if sum := want.Add(want); sum.CacheWrite1h != 40 {
		t.Errorf("the sum is %+v", sum)
	}
}

func TestEditedMessagesLeaveTheRestAsItIs(t *testing.T) {
	const body = "{ \"a\" : \"messages\",\n \"messages\" : [ {\"n\":0} ,\n {\"n\":1}, {\"n\":2} ] , \"b\":[1] }"
	for taken, want := range map[string]string{
		"":    body,
		"0":   "{ \"a\" : \"messages\",\n \"messages\" : [{\"n\":1}, {\"n\":2} ] , \"b\":[1] }",
		"1":   "{ \"a\" : \"messages\",\n \"messages\" : [ {\"n\":0}, {\"n\":2} ] , \"b\":[1] }",
		"2":   "{ \"a\" : \"messages\",\n \"messages\" : [ {\"n\":0} ,\n {\"n\":1} ] , \"b\":[1] }",
		"012": "{ \"a\" : \"messages\",\n \"messages\" : [ ] , \"b\":[1] }",
	} {
		got, err := editMessages([]byte(body), func(m gjson.Result) ([]byte, error) {
			if strings.Contains(taken, m.Get("n").Raw) {
				return nil, nil
			}
			return []byte(m.Raw), nil
		})
		if err != nil || string(got) != want {
			t.Errorf("without %q: %s, %v", taken, got, err)
		}
	}
	for _, x := range corpus(t) {
		got, err := editMessages(x.Request.Body, func(m gjson.Result) ([]byte, error) { return []byte(m.Raw), nil })
		if err != nil || !bytes.Equal(got, x.Request.Body) {
			t.Errorf("%s: %v", x.Name, err)
		}
	}
}
