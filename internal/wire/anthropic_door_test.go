package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// meant writes an answer without what differs between two tellings of it.
func meant(a Answer) string {
	a.ID, a.Model, a.Raw, a.Opaque, a.ServiceTier = "", "", nil, false, ""
	for i := range a.Choices {
		a.Choices[i].FinishDetail = ""
	}
	b, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		panic(err)
	}
	return string(b)
}

// throughAnthropic writes an answer by the door, whole or streamed, and reads it.
func throughAnthropic(t *testing.T, chunks []llm.Chunk, streamed bool) (Answer, []byte) {
	t.Helper()
	c, _ := CodecFor(llm.AnthropicMessages)
	meta := Meta{RequestID: "r1", Model: "m"}
	req := &llm.Request{Dialect: llm.Plain}
	if streamed {
		w := AnthropicDoor().Stream(meta)
		var body []byte
		for _, chunk := range chunks {
			body = w.Chunk(body, chunk)
		}
		body = w.End(body)
		a, err := Gather(&recorder{Stream: c.Stream(bytes.NewReader(body), req)})
		if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return a, body
	}
	first, err := Gather(&listed{chunks: chunks})
	if err != nil {
		t.Fatal(err)
	}
	body := AnthropicDoor().Answer(meta, first)
	whole, err := c.Whole(body, req)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	a, err := Gather(&listed{chunks: whole})
	if err != nil {
		t.Fatal(err)
	}
	return a, body
}

// TestRecordedAnthropicAnswersAreToldAgain reads each recorded answer, writes
// it by the door, whole and streamed, and reads that.
func TestRecordedAnthropicAnswersAreToldAgain(t *testing.T) {
	for _, x := range anthropicRecordings(t) {
		if x.Response.Status != 200 {
			continue
		}
		var chunks []llm.Chunk
		req := &llm.Request{Dialect: llm.Plain}
		if x.Response.Lines == nil {
			chunks, _ = x.codec(t).Whole(x.body(), req)
		} else {
			s := x.codec(t).Stream(bytes.NewReader(x.body()), req)
			for {
				c, err := s.Next()
				if err != nil {
					break
				}
				chunks = append(chunks, c)
			}
		}
		want, err := Gather(&listed{chunks: append([]llm.Chunk(nil), chunks...)})
		if err != nil || want.Finish() == "" { // cut by an error
			continue
		}
		for _, streamed := range []bool{false, true} {
			got, body := throughAnthropic(t, append([]llm.Chunk(nil), chunks...), streamed)
			if meant(got) != meant(want) {
				t.Errorf("%s, streamed %v: %s\n%s", x.Name, streamed, firstDifference([]byte(meant(got)), []byte(meant(want))), body)
			}
		}
	}
}

// foreign is an answer with all that other providers tell.
func foreign() []llm.Chunk {
	usage := &llm.Usage{Input: 10, CacheRead: 3, CacheWrite: 2, Output: 9, Reasoning: 4}
	return []llm.Chunk{
		{ID: "x", Model: "y", Usage: &llm.Usage{Input: 10}},
		{Thinking: "let "}, {Thinking: "me"}, {Signature: "gs", SignedBy: llm.Gemini},
		{Thinking: "unsigned"},
		{Text: "Hé"}, {Text: "llo", Signature: "ts", SignedBy: llm.Gemini}, {Text: " world"},
		{Cite: &llm.Citation{URL: "https://x", Title: "X", Text: "w", Start: 5, End: 11}},
		{Call: &llm.CallDelta{Index: 0, ID: "c1", Name: "look"}, Signature: "cs", SignedBy: llm.Gemini},
		{Call: &llm.CallDelta{Index: 0, Args: `{"a":`}}, {Call: &llm.CallDelta{Index: 0, Args: `"<1>"}`}},
		{Call: &llm.CallDelta{Index: 1, ID: "c2", Name: "look", Args: "{}"}},
		{Signature: "enc", SignedBy: llm.OpenAI, Redacted: true},
		{Choice: 1, Text: "another choice"},
		{Finish: llm.FinishToolCalls, Usage: usage, ServiceTier: "priority"},
	}
}

func TestAnthropicDoorTellsForeignAnswers(t *testing.T) {
	var out bytes.Buffer
	for _, c := range []struct {
		name   string
		chunks []llm.Chunk
	}{
		{"everything", foreign()},
		{"refusal", []llm.Chunk{{Refusal: "I "}, {Refusal: "won't"}, {Finish: llm.FinishStop}}},
		{"filter", []llm.Chunk{{Finish: llm.FinishContentFilter, FinishDetail: "SAFETY"}}},
		{"length", []llm.Chunk{{Text: "a"}, {Finish: llm.FinishLength}}},
		{"stop sequence", []llm.Chunk{{Text: "a"}, {Finish: llm.FinishStop, StopSequence: "END"}}},
		{"broken arguments", []llm.Chunk{{Call: &llm.CallDelta{ID: "c", Name: "n", Args: `{"a`}}, {Finish: llm.FinishLength}}},
	} {
		first, err := Gather(&listed{chunks: append([]llm.Chunk(nil), c.chunks...)})
		if err != nil {
			t.Fatal(err)
		}
		meta := Meta{RequestID: "r1", Model: "m"}
		fmt.Fprintf(&out, "%s\n%s\n", c.name, AnthropicDoor().Answer(meta, first))
		w := AnthropicDoor().Stream(meta)
		var body []byte
		for _, chunk := range c.chunks {
			body = w.Chunk(body, chunk)
		}
		fmt.Fprintf(&out, "%s", w.End(body))
	}
	golden(t, "anthropic_door.golden", out.Bytes())
}

// TestSignaturesComeBackThroughAnthropicClients sends an answer's blocks back
// as an official client does.
func TestSignaturesComeBackThroughAnthropicClients(t *testing.T) {
	first, _ := Gather(&listed{chunks: foreign()})
	body := AnthropicDoor().Answer(Meta{RequestID: "r1", Model: "m"}, first)
	var answer struct{ Content json.RawMessage }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	r, err := DecodeAnthropic(fmt.Appendf(nil, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":%s}]}`, answer.Content))
	if err != nil || len(r.Beyond) > 0 {
		t.Fatalf("%v, beyond %q", err, r.Beyond)
	}
	parts := r.Messages[1].Parts
	var signed []string
	for _, p := range parts {
		signed = append(signed, fmt.Sprintf("%s:%s:%s", p.Kind, p.SignedBy, p.Signature))
	}
	want := "thinking:gemini:gs thinking:: text:gemini:ts text:: call:gemini:cs call:: thinking:openai:enc"
	if got := strings.Join(signed, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e, err := encodeAnthropic("claude-opus-5", r)
	if err != nil || bytes.Contains(e.Body, []byte(seal)) || !bytes.Contains(e.Body, []byte(`"tool_use"`)) {
		t.Errorf("to Anthropic goes %s, %v", e.Body, err)
	}
}

func TestAnthropicStreamsOfABrokenAnswerDoNotLookComplete(t *testing.T) {
	w := AnthropicDoor().Stream(Meta{RequestID: "r1", Model: "m"})
	body := w.Chunk(nil, llm.Chunk{Text: "a"})
	body = w.Fail(body, Problem{Status: 529, Message: "gone", RequestID: "r1"})
	want := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"gone\"},\"request_id\":\"r1\"}\n\n"
	if !strings.HasSuffix(string(body), want) || strings.Contains(string(body), "message_stop") {
		t.Errorf("got %s", body)
	}
	w = AnthropicDoor().Stream(Meta{RequestID: "r1", Model: "m"})
	for _, d := range []llm.CallDelta{{Index: 0, ID: "a", Name: "a"}, {Index: 0, Args: "{}"}} {
		body = w.Chunk(nil, llm.Chunk{Text: "b", Call: &d})
	}
	if body = w.End(body); strings.Contains(string(body), "message_stop") {
		t.Errorf("a call that lost its arguments ends with %s", body)
	}
}

func TestAnthropicErrorsHaveTheirType(t *testing.T) {
	for status, want := range map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
		413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error", 500: "api_error", 502: "api_error",
		503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
	} {
		got := string(AnthropicDoor().Problem(Problem{Status: status, Param: "max_tokens", Message: "is required"}))
		if got != `{"type":"error","error":{"type":"`+want+`","message":"max_tokens: is required"}}` {
			t.Errorf("%d: got %s", status, got)
		}
	}
}

// Behind events that passed through, the writer goes on in the block that is
// open, or in the next one.
func TestTheAnthropicWriterGoesOnBehindWhatPassed(t *testing.T) {
	event := func(kind, rest string) string {
		return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + rest + "}\n\n"
	}
	start := event("message_start", `,"message":{"id":"m","content":[]}`)
	text := func(index string) string {
		return event("content_block_start", `,"index":`+index+`,"content_block":{"type":"text","text":""}`) +
			event("content_block_delta", `,"index":`+index+`,"delta":{"type":"text_delta","text":"a"}`)
	}
	stop := func(index string) string { return event("content_block_stop", `,"index":`+index) }
	thinking := event("content_block_start", `,"index":0,"content_block":{"type":"thinking","thinking":""}`) +
		event("content_block_delta", `,"index":0,"delta":{"type":"thinking_delta","thinking":"hm"}`)
	for name, c := range map[string]struct{ passed, want string }{
		"in an open block":     {start + text("0"), "content_block_delta 0, content_block_stop 0"},
		"behind a closed one":  {start + text("0") + stop("0"), "content_block_start 1, content_block_delta 1, content_block_stop 1"},
		"in the second":        {start + text("0") + stop("0") + text("1"), "content_block_delta 1, content_block_stop 1"},
		"behind open thinking": {start + thinking, "content_block_delta 0, content_block_stop 0, content_block_start 1, content_block_delta 1, content_block_stop 1"},
	} {
		w := AnthropicDoor().Stream(Meta{RequestID: "r", Model: "m", Request: &llm.Request{Dialect: llm.AnthropicMessages, Stream: true}})
		for r := NewSSEReader(strings.NewReader(c.passed), DefaultMaxEvent); ; {
			e, err := r.Next()
			if err != nil {
				break
			}
			w.(Follower).Passed(e.Raw)
		}
		out := w.Chunk(nil, llm.Chunk{Text: "b"})
		out = w.End(w.Chunk(out, llm.Chunk{Finish: llm.FinishStop}))
		var got []string
		for r := NewSSEReader(bytes.NewReader(out), DefaultMaxEvent); ; {
			e, err := r.Next()
			if err != nil {
				break
			}
			if index := gjson.GetBytes(e.Data, "index"); index.Exists() {
				got = append(got, e.Name+" "+index.Raw)
			}
		}
		if strings.Join(got, ", ") != c.want || strings.Contains(string(out), "message_start") {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

func TestNumbersOfTokensStayNumbers(t *testing.T) {
	a, err := gather(llm.OpenAIChat, `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`+"\n\n"+
		`data: {"choices":[],"usage":{"prompt_tokens":1e308,"completion_tokens":-5,"completion_tokens_details":{"reasoning_tokens":320}}}`+"\n\ndata: [DONE]\n\n",
		&llm.Request{Stream: true, IncludeUsage: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []llm.Dialect{llm.OpenAIChat, llm.OpenAIResponses, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat} {
		door, _ := DoorFor(d)
		body := door.Answer(Meta{RequestID: "r", Model: "m", Created: time.Unix(1, 0), Request: &llm.Request{Dialect: d}}, a)
		if strings.Contains(string(body), ":-") {
			t.Errorf("%s tells a negative number: %s", d, body)
		}
	}
}
