package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"
)

var responsesMeta = Meta{
	RequestID: "01ABC", Model: "claude-sonnet-4-6", Created: time.Unix(1_780_000_000, 0),
	Request: &llm.Request{Dialect: llm.OpenAIResponses, Body: json.RawMessage(`{"model":"m","input":"hi","instructions":"Be brief.","temperature":0.5,"tools":[{"type":"function","name":"f"}],"reasoning":{"effort":"low"},"metadata":{"a":"b"},"previous_response_id":"resp_0","store":false,"max_output_tokens":9}`)},
}

// responsesEvents splits a stream and checks its framing: event: and type
// agree, the numbers go up by one, and the official SDK knows each event.
func responsesEvents(t testing.TB, stream []byte) (events []gjson.Result) {
	t.Helper()
	r := NewSSEReader(bytes.NewReader(stream), DefaultMaxEvent)
	for {
		e, err := r.Next()
		if err != nil {
			return events
		}
		v := gjson.ParseBytes(e.Data)
		var known responses.ResponseStreamEventUnion
		if err := json.Unmarshal(e.Data, &known); err != nil || !gjson.ValidBytes(e.Data) {
			t.Fatalf("%s: %v", e.Data, err)
		}
		if known.AsAny() == nil || known.Type != e.Name || known.SequenceNumber != int64(len(events)) {
			t.Fatalf("event %d %q: %s", len(events), e.Name, e.Data)
		}
		events = append(events, v)
	}
}

// replayEvents builds the output as a client does that believes only the events.
func replayEvents(t testing.TB, events []gjson.Result) string {
	t.Helper()
	items, words := map[int64]string{}, map[string]string{}
	where := func(e gjson.Result) string {
		return e.Get("item_id").String() + e.Get("content_index").Raw + e.Get("summary_index").Raw
	}
	for _, e := range events {
		kind := e.Get("type").String()
		at := e.Get("output_index").Int()
		switch {
		case strings.HasSuffix(kind, ".delta"):
			words[where(e)] += e.Get("delta").String()
		case strings.HasSuffix(kind, "output_text.done"), strings.HasSuffix(kind, "summary_text.done"), strings.HasSuffix(kind, "arguments.done"), strings.HasSuffix(kind, "refusal.done"):
			whole := e.Get("text").String() + e.Get("arguments").String() + e.Get("refusal").String()
			if words[where(e)] != whole {
				t.Errorf("%s says %q, its deltas %q", kind, whole, words[where(e)])
			}
		case kind == "response.output_item.added":
			if _, ok := items[at]; ok || int(at) != len(items) {
				t.Errorf("item %d comes twice or too early", at)
			}
			items[at] = ""
		case kind == "response.output_item.done":
			if items[at] != "" {
				t.Errorf("item %d ends twice", at)
			}
			items[at] = e.Get("item").Raw
		}
	}
	all := make([]string, len(items))
	for at, item := range items {
		all[at] = item
	}
	return "[" + strings.Join(all, ",") + "]"
}

func writeResponses(m Meta, chunks ...llm.Chunk) []byte {
	w := ResponsesDoor().Stream(m)
	var b []byte
	for _, c := range chunks {
		b = w.Chunk(b, c)
	}
	return w.End(b)
}

func call(index int, id, name, args string) llm.Chunk {
	return llm.Chunk{Call: &llm.CallDelta{Index: index, ID: id, Name: name, Args: args}}
}

var responsesStreams = []struct {
	name   string
	chunks []llm.Chunk
}{
	{"text", []llm.Chunk{{ID: "x", Model: "y"}, {Text: "Hi \"you\""}, {Text: "\n<é>", Finish: llm.FinishStop, Usage: &llm.Usage{Input: 20, CacheRead: 8, CacheWrite: 2, Output: 7, Reasoning: 3}, ServiceTier: "priority"}}},
	{"thinking, signed, then text and calls", []llm.Chunk{
		{Thinking: "Let "}, {Thinking: "me see."}, {Signature: "c2ln", SignedBy: llm.Claude}, {Signature: "cmVk", SignedBy: llm.Claude, Redacted: true},
		{Text: "I look."}, call(0, "call_1", "weather", ""), call(0, "", "", `{"city":`), call(0, "", "", `"Paris"}`), call(1, "call_2", "time", ""), {Finish: llm.FinishToolCalls},
	}},
	{"calls signed by Gemini, and a text", []llm.Chunk{
		{Text: "One.", Signature: "dGV4dA==", SignedBy: llm.Gemini}, {Text: "Two."},
		{Call: &llm.CallDelta{ID: "call_1", Name: "f", Args: `{}`}, Signature: "Y2FsbA==", SignedBy: llm.Gemini}, call(1, "call_2", "f", `{"a":1}`), {Finish: llm.FinishToolCalls},
	}},
	{"calls in pieces by turns", []llm.Chunk{call(0, "a", "f", `{"x"`), call(1, "b", "g", `{"y"`), call(0, "", "", `:1}`), {Text: "and"}, call(1, "", "", `:2}`), {Finish: llm.FinishToolCalls}}},
	{"a refusal behind a text", []llm.Chunk{{Text: "Well."}, {Refusal: "I can"}, {Refusal: "not."}, {Finish: llm.FinishContentFilter}}},
	{"citations and logprobs", []llm.Chunk{
		{Text: "Größe", Logprobs: json.RawMessage(`{"content":[{"token":"Größe","logprob":-0.5,"bytes":[71],"top_logprobs":[]}],"refusal":null}`)},
		{Cite: &llm.Citation{URL: "https://example.com", Title: "A", Start: 0, End: 5}}, {Finish: llm.FinishStop},
	}},
	{"cut off in a call", []llm.Chunk{{Text: "x"}, call(0, "a", "f", `{"x":`), {Finish: llm.FinishLength, Usage: &llm.Usage{Input: 1, Output: 2}}}},
	{"nothing", nil},
}

func TestResponsesStreamsAreWritten(t *testing.T) {
	var out bytes.Buffer
	for _, test := range responsesStreams {
		stream := writeResponses(responsesMeta, test.chunks...)
		events := responsesEvents(t, stream)
		last := events[len(events)-1]
		if got, want := replayEvents(t, events), last.Get("response.output").Raw; got != want {
			t.Errorf("%s: the events tell %s\nthe answer %s", test.name, got, want)
		}
		fmt.Fprintf(&out, "--- %s\n%s", test.name, stream)

		a, err := Gather(&listed{chunks: test.chunks})
		if err != nil {
			t.Fatal(err)
		}
		whole := ResponsesDoor().Answer(responsesMeta, a)
		var r responses.Response
		if err := json.Unmarshal(whole, &r); err != nil || r.ID != "resp_bwk_01ABC" || string(r.Status) != last.Get("response.status").String() {
			t.Errorf("%s: %s, %v", test.name, whole, err)
		}
		if !strings.Contains(test.name, "turns") && string(whole) != last.Get("response").Raw {
			t.Errorf("%s: whole it is\n%s\nand streamed\n%s", test.name, whole, last.Get("response").Raw)
		}
	}
	broken := ResponsesDoor().Stream(responsesMeta)
	b := broken.Fail(broken.Chunk(nil, llm.Chunk{Text: "He"}), Problem{Status: 502, Type: "server_error", Message: "cut \"off\""})
	events := responsesEvents(t, b)
	if last := events[len(events)-1]; last.Get("type").Str != "response.failed" || last.Get("response.status").Str != "failed" || last.Get("response.output.0.status").Str != "incomplete" {
		t.Errorf("got %s", b)
	}
	fmt.Fprintf(&out, "--- broken\n%s", b)
	fmt.Fprintf(&out, "--- error\n%s\n", ResponsesDoor().Problem(Problem{Type: "invalid_request_error", Param: "model", Code: "model_not_found", Message: "no such model"}))
	golden(t, "responses_door.golden", out.Bytes())
}

// comeBack sends an answer's items back as a client does, and gives the parts
// of the assistant's turn.
func comeBack(t testing.TB, whole []byte) []llm.Part {
	t.Helper()
	output := gjson.GetBytes(whole, "output").Raw
	req, _, err := DecodeResponses([]byte(`{"model":"m","instructions":"x","input":` + output + `}`))
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var parts []llm.Part
	for _, m := range req.Messages[1:] {
		if m.Role != llm.Assistant {
			t.Fatalf("got %s", marshal(req.Messages))
		}
		parts = append(parts, m.Parts...)
	}
	if len(req.Messages) > 2 {
		t.Errorf("one turn became %d messages: %s", len(req.Messages)-1, output)
	}
	return parts
}

func TestResponsesAnswersComeBackWhole(t *testing.T) {
	for _, test := range responsesStreams {
		if strings.Contains(test.name, "cut off") {
			continue
		}
		a, _ := Gather(&listed{chunks: test.chunks})
		var want []llm.Part
		if len(a.Choices) > 0 {
			want = a.Choices[0].Parts
		}
		if got := comeBack(t, ResponsesDoor().Answer(responsesMeta, a)); string(marshal(got)) != string(marshal(want)) {
			t.Errorf("%s:\n got %s\nwant %s", test.name, marshal(got), marshal(want))
		}
	}
}

func TestResponsesSealOfChangedWordsIsDropped(t *testing.T) {
	whole := ResponsesDoor().Answer(responsesMeta, Answer{Choices: []Choice{{Parts: []llm.Part{{Kind: llm.Thinking, Text: "hm", Signature: "s", SignedBy: llm.Claude}}}}})
	changed := bytes.Replace(whole, []byte(`"hm"`), []byte(`"ah"`), 1)
	if got := comeBack(t, changed); len(got) != 1 || got[0].Text != "ah" || got[0].Signature != "" {
		t.Errorf("got %+v", got)
	}
	req, _, err := DecodeResponses([]byte(`{"model":"m","input":[{"role":"user","content":"x"},{"type":"reasoning","summary":[],"encrypted_content":"` + sealPrefix + `broken"}]}`))
	if err != nil || len(req.Messages[1].Parts) != 0 {
		t.Errorf("got %+v, %v", req, err)
	}
}

func TestRecordedAnswersPassTheResponsesDoor(t *testing.T) {
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, llm.OpenAIResponses, bytes.NewReader(x.body()))
		if err != nil || len(a.Choices) == 0 {
			continue
		}
		a.Choices = a.Choices[:1]
		whole := ResponsesDoor().Answer(responsesMeta, a)
		var r responses.Response
		if err := json.Unmarshal(whole, &r); err != nil || r.OutputText() != a.Text() {
			t.Errorf("%s: the SDK reads %q, %v", x.Name, r.OutputText(), err)
		}
		if a.Usage != nil && (r.Usage.InputTokens != a.Usage.Input || r.Usage.OutputTokensDetails.ReasoningTokens != a.Usage.Reasoning) {
			t.Errorf("%s: usage %+v", x.Name, r.Usage)
		}
		if a.Finish() == llm.FinishLength {
			continue // a call that is cut off cannot be sent back
		}
		if got := comeBack(t, whole); string(marshal(got)) != string(marshal(a.Choices[0].Parts)) {
			t.Errorf("%s:\n got %s\nwant %s", x.Name, marshal(got), marshal(a.Choices[0].Parts))
		}
		if x.Response.Lines == nil {
			continue
		}
		s := x.codec(t).Stream(bytes.NewReader(x.body()), &llm.Request{Dialect: llm.OpenAIResponses, Stream: true})
		w := ResponsesDoor().Stream(responsesMeta)
		var stream []byte
		for {
			c, err := s.Next()
			if err != nil {
				break
			}
			stream = w.Chunk(stream, c)
		}
		stream = w.End(stream)
		events := responsesEvents(t, stream)
		last := events[len(events)-1].Get("response.output").Raw
		if got := replayEvents(t, events); got != last {
			t.Errorf("%s: the events tell %s\nthe answer %s", x.Name, got, last)
		}
		if want := gjson.GetBytes(whole, "output").Raw; last != want {
			t.Errorf("%s: streamed %s\nwhole %s", x.Name, last, want)
		}
	}
}

func TestResponsesEchoStaysOnOneLine(t *testing.T) {
	m := responsesMeta
	m.Request = &llm.Request{Body: json.RawMessage("{\"model\":\"m\",\n\"tools\": [\n {\"type\":\"function\",\r\n\"name\":\"f\"}\n],\"text\":{\"format\":{\n\"type\":\"json_object\"}}}")}
	events := responsesEvents(t, writeResponses(m, llm.Chunk{Text: "x", Logprobs: json.RawMessage("{\"content\":[\n{\"token\":\"x\",\"logprob\":0}\n]}")}))
	if last := events[len(events)-1]; last.Get("response.tools.0.name").Str != "f" || last.Get("response.text.format.type").Str != "json_object" {
		t.Errorf("got %s", last.Raw)
	}
}

func TestResponsesWriterGivesItsOutput(t *testing.T) {
	w := ResponsesDoor().Stream(responsesMeta)
	w.End(w.Chunk(nil, llm.Chunk{Text: "hey"}))
	kept, ok := w.(Keeper)
	if !ok || gjson.GetBytes(kept.Response(), "output.0.content.0.text").Str != "hey" {
		t.Error("no output")
	}
	if w.ContentType() != "text/event-stream" {
		t.Error(w.ContentType())
	}
}

func TestAnEventOfTheResponsesDoorAllocatesNothing(t *testing.T) {
	w := newResponsesStream(responsesMeta, false)
	c := llm.Chunk{Text: "some words \"and\" more"}
	b := w.Chunk(make([]byte, 0, 1<<16), c)
	w.open.words = make([]byte, 0, 1<<16)
	if n := testing.AllocsPerRun(100, func() { b = w.Chunk(b[:0], c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkResponsesStreamEvent(b *testing.B) {
	w := newResponsesStream(responsesMeta, false)
	c := llm.Chunk{Text: " word"}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = w.Chunk(out[:0], c)
	}
}

// Gemini signs its calls. Some clients keep one reasoning item of a turn, so
// the signature goes into the one that has the words.
func TestACallsSignatureRidesOnItsReasoning(t *testing.T) {
	door := ResponsesDoor()
	req := &llm.Request{Dialect: llm.OpenAIResponses, Stream: true}
	w := door.Stream(Meta{RequestID: "r", Model: "m", Request: req})
	var out []byte
	for _, c := range []llm.Chunk{
		{Thinking: "Look it up."},
		{Call: &llm.CallDelta{ID: "c1", Name: "f", Args: "{}"}, Signature: "sig", SignedBy: llm.Gemini},
		{Call: &llm.CallDelta{Args: " "}},
		{Call: &llm.CallDelta{Index: 1, Args: " "}},
		{Finish: llm.FinishToolCalls},
	} {
		out = append(out, w.Chunk(nil, c)...)
	}
	out = append(out, w.End(nil)...)
	_, final, _ := strings.Cut(string(out), "event: response.completed\ndata: ")
	output := gjson.Get(final, "response.output")
	if output.Get("#").Int() != 2 || output.Get("0.summary.0.text").String()+output.Get("0.content.0.text").String() == "" {
		t.Fatalf("the output is %s", output)
	}
	again, err := door.Decode([]byte(`{"model":"m","input":` + output.Raw + `}`))
	if err != nil {
		t.Fatal(err)
	}
	parts := again.Messages[0].Parts
	if len(parts) != 2 || parts[0].Text != "Look it up." || parts[1].Call == nil || parts[1].Signature != "sig" || parts[1].SignedBy != llm.Gemini {
		t.Errorf("it came back as %+v", parts)
	}
}

func TestArgumentsThatAreNoObjectAreCarriedAndTold(t *testing.T) {
	req, err := ResponsesDoor().Decode([]byte(`{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(req.Messages[0].Parts[0].Call.Args); !gjson.Valid(got) || !slices.Contains(req.Aside, "input[0].arguments") {
		t.Errorf("the arguments are %s, aside %v", got, req.Aside)
	}
}
