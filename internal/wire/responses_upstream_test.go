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
	"testing/iotest"

	"breakwater/internal/llm"

	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"
)

// responsesOutput has an item of each kind that OpenAI's answers are made of, in
// the shape of https://developers.openai.com/api/reference/resources/responses (2026-11).
const responsesOutput = `{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"**Looking**"}],"encrypted_content":"gAAAA"},` +
	`{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"x"}},` +
	`{"id":"msg_1","type":"message","status":"completed","role":"assistant","phase":"final_answer","content":[` +
	`{"type":"output_text","text":"Größe: 18 °C","annotations":[{"type":"url_citation","start_index":0,"end_index":5,"url":"https://example.com","title":"A"}],"logprobs":[{"token":"G","logprob":-0.5,"bytes":[71],"top_logprobs":[]}]},` +
	`{"type":"refusal","refusal":"No more."}]},` +
	`{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Paris\"}"},` +
	`{"id":"ctc_1","type":"custom_tool_call","status":"completed","call_id":"call_2","name":"apply","input":"*** \"a\"\n+b"},` +
	`{"id":"fc_2","type":"function_call","status":"completed","call_id":"call_3","name":"time","arguments":""}`

const responsesUsageJSON = `"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":4},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":12},"total_tokens":50}`

func responsesObject(status, output, more string) string {
	return `{"id":"resp_1","object":"response","status":"` + status + `","error":null,"model":"gpt-5.1-2025-11-13","output":[` + output + `],"service_tier":"default",` + more + `}`
}

// responsesEventStream frames events as OpenAI does, numbered and named.
func responsesEventStream(events ...string) []byte {
	var b bytes.Buffer
	for i, e := range events {
		kind := gjson.Get(e, "type").String()
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", kind, strings.Replace(e, "{", fmt.Sprintf(`{"sequence_number":%d,`, i), 1))
	}
	return b.Bytes()
}

func responsesFixture() []byte {
	item := func(kind string, index int, item string) string {
		return fmt.Sprintf(`{"type":"response.output_item.%s","output_index":%d,"item":%s}`, kind, index, item)
	}
	items := gjson.Parse("[" + responsesOutput + "]").Array()
	return responsesEventStream(
		`{"type":"response.created","response":`+responsesObject("in_progress", "", `"usage":null`)+`}`,
		`{"type":"response.in_progress","response":`+responsesObject("in_progress", "", `"usage":null`)+`}`,
		item("added", 0, `{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAA"}`),
		`{"type":"response.reasoning_summary_part.added","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}`,
		`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"**Look","obfuscation":"x7"}`,
		`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"ing**"}`,
		`{"type":"response.reasoning_summary_text.done","item_id":"rs_1","output_index":0,"summary_index":0,"text":"**Looking**"}`,
		item("done", 0, items[0].Raw),
		item("added", 1, `{"id":"ws_1","type":"web_search_call","status":"in_progress"}`),
		`{"type":"response.web_search_call.searching","output_index":1,"item_id":"ws_1"}`,
		item("done", 1, items[1].Raw),
		item("added", 2, `{"id":"msg_1","type":"message","status":"in_progress","content":[],"role":"assistant"}`),
		`{"type":"response.content_part.added","item_id":"msg_1","output_index":2,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}`,
		`{"type":"response.output_text.delta","item_id":"msg_1","output_index":2,"content_index":0,"delta":"Größe: ","logprobs":[{"token":"G","logprob":-0.5,"bytes":[71],"top_logprobs":[]}]}`,
		`{"type":"response.output_text.delta","item_id":"msg_1","output_index":2,"content_index":0,"delta":"18 °C","logprobs":[]}`,
		`{"type":"response.output_text.annotation.added","item_id":"msg_1","output_index":2,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","start_index":0,"end_index":5,"url":"https://example.com","title":"A"}}`,
		`{"type":"response.content_part.added","item_id":"msg_1","output_index":2,"content_index":1,"part":{"type":"refusal","refusal":""}}`,
		`{"type":"response.refusal.delta","item_id":"msg_1","output_index":2,"content_index":1,"delta":"No more."}`,
		item("done", 2, items[2].Raw),
		item("added", 3, `{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"weather"}`),
		`{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":3,"delta":"{\"city\":"}`,
		`{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":3,"delta":"\"Paris\"}"}`,
		`{"type":"response.function_call_arguments.done","item_id":"fc_1","output_index":3,"arguments":"{\"city\":\"Paris\"}"}`,
		item("done", 3, items[3].Raw),
		item("added", 4, `{"id":"ctc_1","type":"custom_tool_call","status":"in_progress","input":"","call_id":"call_2","name":"apply"}`),
		`{"type":"response.custom_tool_call_input.delta","item_id":"ctc_1","output_index":4,"delta":"*** \"a\"\n"}`,
		`{"type":"response.custom_tool_call_input.delta","item_id":"ctc_1","output_index":4,"delta":"+b"}`,
		item("done", 4, items[4].Raw),
		item("done", 5, items[5].Raw),
		`{"type":"response.completed","response":`+responsesObject("completed", responsesOutput, responsesUsageJSON)+`}`,
	)
}

func responsesCodec() Codec {
	c, _ := CodecFor(llm.OpenAIResponses)
	return c
}

func TestAResponseMeansTheSameWholeAndStreamed(t *testing.T) {
	req := &llm.Request{Dialect: llm.OpenAIResponses}
	body := []byte(responsesObject("completed", responsesOutput, responsesUsageJSON))
	chunks, err := responsesCodec().Whole(body, req)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Gather(&listed{chunks: chunks})
	if err != nil || string(whole.Raw) != string(body) {
		t.Fatalf("%v, raw %q", err, whole.Raw)
	}
	stream := responsesFixture()
	req.Stream = true
	for name, r := range map[string]io.Reader{
		"at once": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)), "by halves": iotest.HalfReader(bytes.NewReader(stream)),
		"with CRLF": bytes.NewReader(bytes.ReplaceAll(stream, []byte("\n"), []byte("\r\n"))),
	} {
		rec := &recorder{Stream: responsesCodec().Stream(r, req)}
		got, err := Gather(rec)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name != "with CRLF" && string(rec.raw) != string(stream) {
			t.Errorf("%s: the bytes changed", name)
		}
		got.Raw, whole.Raw = nil, nil
		if string(marshal(got)) != string(marshal(whole)) {
			t.Errorf("%s:\n got %s\nwant %s", name, marshal(got), marshal(whole))
		}
	}
	want := `[{"Kind":"thinking","Text":"**Looking**"`
	if got := string(marshal(whole.Choices[0].Parts)); !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
	kinds := []llm.PartKind{}
	args := []string{}
	for _, p := range whole.Choices[0].Parts {
		kinds = append(kinds, p.Kind)
		if p.Call != nil {
			args = append(args, p.Call.ID+" "+p.Call.Name+" "+string(p.Call.Args))
		}
	}
	if !slices.Equal(kinds, []llm.PartKind{llm.Thinking, llm.Text, llm.Refusal, llm.Call, llm.Call, llm.Call}) ||
		!slices.Equal(args, []string{`call_1 weather {"city":"Paris"}`, `call_2 apply {"input":"*** \"a\"\n+b"}`, `call_3 time {}`}) {
		t.Errorf("got %v, %q", kinds, args)
	}
	if c := whole.Choices[0].Citations; len(c) != 1 || c[0].End != 5 || c[0].URL != "https://example.com" {
		t.Errorf("citations %+v", c)
	}
	if p := whole.Choices[0].Parts[0]; p.Signature != "gAAAA" || p.SignedBy != llm.OpenAI {
		t.Errorf("thinking %+v", p)
	}
	if *whole.Usage != (llm.Usage{Input: 30, CacheRead: 10, CacheWrite: 4, Output: 20, Reasoning: 12}) || whole.Finish() != llm.FinishToolCalls || !whole.Opaque ||
		whole.ID != "resp_1" || whole.Model != "gpt-5.1-2025-11-13" || whole.ServiceTier != "default" {
		t.Errorf("got %s", marshal(whole))
	}
}

func TestEveryCutOfAResponseStreamIsSeen(t *testing.T) {
	stream := responsesFixture()
	req := &llm.Request{Dialect: llm.OpenAIResponses, Stream: true}
	last := bytes.LastIndex(stream, []byte("event:"))
	for cut := 0; cut < len(stream); cut += 1 + cut%7 {
		_, err := Gather(&recorder{Stream: responsesCodec().Stream(bytes.NewReader(stream[:cut]), req)})
		f, ok := llm.AsFailure(err)
		if cut > last && err == nil && gjson.ValidBytes(bytes.TrimPrefix(bytes.SplitN(stream[last:cut], []byte("\n"), 2)[1], []byte("data: "))) {
			continue // the last event was whole, but for its empty line
		}
		if !ok || f.Class != llm.Garbage && f.Class != llm.StreamCut {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestAResponseThatFailsIsAFailure(t *testing.T) {
	created := `{"type":"response.created","response":` + responsesObject("in_progress", "", `"usage":null`) + `}`
	text := `{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"He"}`
	for _, test := range []struct {
		name   string
		events []string
		want   llm.FailureClass
		code   string
	}{
		{"an error event", []string{created, `{"type":"error","code":"server_error","message":"Oops","param":null}`}, llm.Server, "server_error"},
		{"an error event with an object", []string{created, `{"type":"error","error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"too long"}}`}, llm.ContextLength, "context_length_exceeded"},
		{"a failed response", []string{created, text, `{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"rate_limit_exceeded","message":"slow down"},"output":[]}}`}, llm.RateLimit, "rate_limit_exceeded"},
		{"a plain error", []string{`{"error":{"message":"no","type":"server_error","code":null}}`}, llm.Server, "server_error"},
		{"nothing", []string{created, `{"type":"response.completed","response":` + responsesObject("completed", "", `"usage":null`) + `}`}, llm.Garbage, ""},
	} {
		_, err := Gather(&recorder{Stream: responsesCodec().Stream(bytes.NewReader(responsesEventStream(test.events...)), &llm.Request{Dialect: llm.OpenAIResponses, Stream: true})})
		if f, ok := llm.AsFailure(err); !ok || f.Class != test.want || f.Code != test.code {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for body, want := range map[string]llm.FailureClass{
		`{"id":"r","status":"failed","error":{"code":"invalid_prompt","message":"x"},"output":[]}`: llm.ContentFilter,
		`{"error":{"message":"x","code":"insufficient_quota"}}`:                                    llm.Quota,
		`{"id":"r","status":"completed","output":[]}`:                                              llm.Garbage,
		`{"object":"chat.completion","choices":[]}`:                                                llm.Garbage,
		`<html>`: llm.Garbage,
	} {
		_, err := responsesCodec().Whole([]byte(body), &llm.Request{Dialect: llm.OpenAIResponses})
		if f, ok := llm.AsFailure(err); !ok || f.Class != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAResponseThatStopsEarlySaysWhy(t *testing.T) {
	for more, want := range map[string]string{
		`"incomplete_details":{"reason":"max_output_tokens"}`: "length max_output_tokens",
		`"incomplete_details":{"reason":"content_filter"}`:    "content_filter content_filter",
		`"incomplete_details":{"reason":"steered"}`:           "stop steered",
	} {
		object := responsesObject("incomplete", "", more)
		chunks, err := responsesCodec().Whole([]byte(object), &llm.Request{})
		if err != nil {
			t.Fatal(err)
		}
		streamed, err := Gather(&recorder{Stream: responsesCodec().Stream(bytes.NewReader(responsesEventStream(`{"type":"response.incomplete","response":`+object+`}`)), &llm.Request{})})
		a, _ := Gather(&listed{chunks: chunks})
		for _, a := range []Answer{a, streamed} {
			if got := string(a.Finish()) + " " + a.Choices[0].FinishDetail; err != nil || got != want {
				t.Errorf("%s: got %s, %v", more, got, err)
			}
		}
	}
	chunks, err := responsesCodec().Whole([]byte(responsesObject("queued", "", `"background":true`)), &llm.Request{})
	if err != nil || !chunks[0].HasContent() || chunks[0].Finish != "" {
		t.Errorf("queued: %+v, %v", chunks, err)
	}
}

func TestAResponsesRequestPassesThrough(t *testing.T) {
	encode := func(body string) string {
		e, err := responsesCodec().Encode("gpt-5.1", &llm.Request{Dialect: llm.OpenAIResponses, Body: json.RawMessage(body)})
		if err != nil || e.Adjusted != nil {
			t.Fatalf("%v, %v", e.Adjusted, err)
		}
		return string(e.Body)
	}
	const body = `{ "model":"openai/x", "input":[{"role":"user","content":"hi"},{"type":"item_reference","id":"msg_9"}],"previous_response_id":"resp_9","made_up":[1.0, 2] }`
	if got, want := encode(body), strings.Replace(body, "openai/x", "gpt-5.1", 1); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	seal := responsesSeal{By: llm.Claude, Of: llm.Thinking, Signature: "c2ln"}.String()
	got := encode(`{"model":"gpt-5.1","previous_response_id":"resp_bwk_1","input":[{"role":"user","content":"hi"},` +
		`{"type":"reasoning","id":"rs_bwk_1_0","summary":[],"encrypted_content":"` + seal + `"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},` +
		`{"type":"message","id":"msg_bwk_1_1","role":"assistant","content":"hey"},{"type":"message","id":"msg_2","role":"assistant","content":"ho"}]}`)
	want := `{"model":"gpt-5.1","input":[{"role":"user","content":"hi"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},` +
		`{"type":"message","role":"assistant","content":"hey"},{"type":"message","id":"msg_2","role":"assistant","content":"ho"}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := responsesCodec().Encode("m", &llm.Request{Dialect: llm.OpenAIChat}); err == nil {
		t.Error("a chat went to /v1/responses")
	}
}

// TestWhatTheResponsesDoorWritesIsReadAgain sends the door's own streams
// through the reader of OpenAI's.
func TestWhatTheResponsesDoorWritesIsReadAgain(t *testing.T) {
	for _, test := range responsesStreams {
		if test.name == "nothing" || strings.Contains(test.name, "sign") || strings.Contains(test.name, "turns") || strings.Contains(test.name, "cut off") {
			continue // seals are for others, calls come in the order of their items, half a call is no JSON
		}
		want, _ := Gather(&listed{chunks: test.chunks})
		got, err := Gather(&recorder{Stream: responsesCodec().Stream(bytes.NewReader(writeResponses(responsesMeta, test.chunks...)), &llm.Request{})})
		if err != nil || string(marshal(got.Choices[0].Parts)) != string(marshal(want.Choices[0].Parts)) || got.Finish() == "" ||
			want.Usage != nil && (got.Usage.Output != want.Usage.Output || got.Usage.CacheRead != want.Usage.CacheRead) {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, marshal(got), marshal(want))
		}
	}
}

// accumulated builds the answer as the official SDK does.
func accumulated(t testing.TB, stream []byte) *responses.Response {
	t.Helper()
	var a responses.ResponseAccumulator
	for _, e := range responsesEvents(t, stream) {
		var event responses.ResponsesServerEventUnion
		if err := json.Unmarshal([]byte(e.Raw), &event); err != nil {
			t.Fatalf("%s: %v", e.Raw, err)
		}
		if err := a.AddEvent(event); err != nil {
			t.Fatalf("%s: %v", e.Raw, err)
		}
	}
	r, err := a.ReconstructedResponse()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheOfficialAccumulatorUnderstandsEveryStream(t *testing.T) {
	for _, test := range responsesStreams {
		stream := writeResponses(responsesMeta, test.chunks...)
		events := responsesEvents(t, stream)
		r := accumulated(t, stream)
		if got, want := r.RawJSON(), events[len(events)-1].Get("response").Raw; got != want {
			t.Errorf("%s: got %s\nwant %s", test.name, got, want)
		}
	}
	if r := accumulated(t, responsesFixture()); len(r.Output) != 6 {
		t.Errorf("the fixture is not what the SDK reads: %s", r.RawJSON())
	}
}

func TestAStreamThatPassedThroughEndsWithAnErrorEvent(t *testing.T) {
	w := ResponsesDoor().Stream(responsesMeta)
	stream := responsesFixture()
	n := 0
	s := responsesCodec().Stream(bytes.NewReader(stream), &llm.Request{})
	for range 6 {
		c, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		w.(Keeper).Passed(c.Raw)
		if c.Raw != nil {
			n++
		}
	}
	e := responsesEvents(t, append(responsesEventStream(slices.Repeat([]string{`{"type":"response.in_progress","response":{}}`}, n)...), w.Fail(nil, Problem{Code: "stream_cut", Message: "gone"})...))
	if last := e[len(e)-1]; last.Get("type").Str != "error" || last.Get("code").Str != "stream_cut" || last.Get("sequence_number").Int() != int64(n) {
		t.Errorf("got %s", last.Raw)
	}
	w = ResponsesDoor().Stream(responsesMeta)
	s = responsesCodec().Stream(bytes.NewReader(stream), &llm.Request{})
	for {
		c, err := s.Next()
		if err != nil {
			break
		}
		w.(Keeper).Passed(c.Raw)
	}
	if got := string(w.(Keeper).Response()); got != responsesObject("completed", responsesOutput, responsesUsageJSON) {
		t.Errorf("got %s", got)
	}
}

func FuzzResponsesUpstream(f *testing.F) {
	f.Add(responsesFixture(), uint8(3))
	f.Add([]byte(responsesObject("completed", responsesOutput, responsesUsageJSON)), uint8(9))
	f.Add([]byte("data: {\"type\":\"response.output_item.done\",\"output_index\":-1,\"item\":{\"type\":\"custom_tool_call\"}}\n\ndata: {\"type\":\"response.incomplete\"}\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, piece uint8) {
		req := &llm.Request{Dialect: llm.OpenAIResponses, Stream: true}
		rec := &recorder{Stream: responsesCodec().Stream(bytes.NewReader(body), req)}
		a, err := Gather(rec)
		if _, failed := llm.AsFailure(err); err != nil && !failed {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(body, rec.raw) {
			t.Fatalf("raw bytes %q of %q", rec.raw, body)
		}
		b, err2 := Gather(&recorder{Stream: responsesCodec().Stream(&chunked{body, int(piece) + 1}, req)})
		if outcome(a, err) != outcome(b, err2) {
			t.Fatalf("at once %s, in pieces %s", outcome(a, err), outcome(b, err2))
		}
		chunks, err := responsesCodec().Whole(body, req)
		if err == nil && !slices.ContainsFunc(chunks, llm.Chunk.HasContent) {
			t.Fatal("an answer without content")
		}
		var failure *llm.Failure
		if err != nil && !errors.As(err, &failure) {
			t.Fatal(err)
		}
		w := ResponsesDoor().Stream(responsesMeta)
		w.(Keeper).Passed(body)
	})
}
