package wire

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"breakwater/internal/llm"
)

// sse joins data to a stream of events.
func anthropicSSE(data ...string) string {
	return "data: " + strings.Join(data, "\n\ndata: ") + "\n\n"
}

func TestAnthropicStreamsAreReadBlockByBlock(t *testing.T) {
	body := anthropicSSE(
		`{"type":"message_start","message":{"id":"m1","model":"claude","usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":1},"output_tokens":1}}}`,
		`{"type":"message_start","message":{"id":"m1","model":"claude","usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2,"output_tokens":1}}}`,
		`{"type":"ping"}`, `{"type":"something_new"}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s1"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"r1"}}`,
		`{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"né"}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"text","text":"","citations":[]}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://x","title":"X","cited_text":"c"}}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"abc"}}`,
		`{"type":"content_block_stop","index":3}`,
		`{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t1","name":"none","input":{}}}`,
		`{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":""}}`,
		`{"type":"content_block_stop","index":4}`,
		`{"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"t2","name":"some","input":{}}}`,
		`{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}`,
		`{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":":1}"}}`,
		`{"type":"content_block_stop","index":5}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":5,"output_tokens":20,"output_tokens_details":{"thinking_tokens":7},"service_tier":"standard"}}`,
		`{"type":"message_stop"}`,
	)
	c, _ := CodecFor(llm.AnthropicMessages)
	a, err := Gather(&recorder{Stream: c.Stream(strings.NewReader(body), &llm.Request{Dialect: llm.Plain})})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "anthropic_answer.golden", []byte(meant(a)+"\n"))
	if a.ID != "m1" || a.ServiceTier != "standard" || a.Opaque {
		t.Errorf("got %+v", a)
	}
}

func TestAnthropicStopReasonsKeepTheirMeaning(t *testing.T) {
	text, call := `{"type":"text","text":"a"}`, `{"type":"tool_use","id":"t","name":"n","input":{}}`
	for _, c := range []struct {
		content, reason string
		want            llm.FinishReason
	}{
		{text, `"end_turn"`, llm.FinishStop}, {"", `"end_turn"`, llm.FinishStop}, {text, `"stop_sequence","stop_sequence":"END"`, llm.FinishStop},
		{text, `"pause_turn"`, llm.FinishStop}, {text, `"max_tokens"`, llm.FinishLength}, {text, `"model_context_window_exceeded"`, llm.FinishLength},
		{call, `"tool_use"`, llm.FinishToolCalls}, {call, `"end_turn"`, llm.FinishToolCalls}, {call, `"max_tokens"`, llm.FinishLength},
		{"", `"refusal","stop_details":{"type":"refusal","category":"cyber","explanation":"no"}`, llm.FinishContentFilter},
	} {
		codec, _ := CodecFor(llm.AnthropicMessages)
		chunks, err := codec.Whole([]byte(`{"type":"message","content":[`+c.content+`],"usage":{"input_tokens":1},"stop_reason":`+c.reason+`}`), &llm.Request{Dialect: llm.Plain})
		if err != nil {
			t.Errorf("%s: %v", c.reason, err)
			continue
		}
		want, _ := Gather(&listed{chunks: append([]llm.Chunk(nil), chunks...)})
		detail := want.Choices[0].FinishDetail
		if want.Finish() != c.want || !strings.HasPrefix(c.reason, `"`+detail+`"`) {
			t.Errorf("%s: got %s, %s", c.reason, want.Finish(), detail)
		}
		for _, streamed := range []bool{false, true} {
			got, body := throughAnthropic(t, append([]llm.Chunk(nil), chunks...), streamed)
			if again := got.Choices[0].FinishDetail; again != detail && again != "tool_use" {
				t.Errorf("%s is told again as %s", c.reason, again)
			}
			if meant(got) != meant(want) {
				t.Errorf("%s told again: %s\n%s", c.reason, firstDifference([]byte(meant(got)), []byte(meant(want))), body)
			}
		}
	}
}

func FuzzAnthropicAnswer(f *testing.F) {
	f.Add([]byte(`{"type":"message","content":[{"type":"text","text":"a","citations":[{"url":"x"}]},{"type":"tool_use","id":"t","name":"n","input":{"a":1}}],"stop_reason":"end_turn"}`))
	f.Add([]byte(anthropicSSE(`{"type":"content_block_start","index":0,"content_block":{"type":"tool_use"}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}`, `{"type":"content_block_stop"}`, `{"type":"message_delta","delta":{"stop_reason":"refusal"}}`, `{"type":"message_stop"}`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, _ := CodecFor(llm.AnthropicMessages)
		req := &llm.Request{Dialect: llm.Plain}
		if chunks, err := c.Whole(body, req); err == nil && utf8.Valid(body) {
			want, _ := Gather(&listed{chunks: append([]llm.Chunk(nil), chunks...)})
			if want.Finish() == "" { // then the door tells one
				return
			}
			for _, c := range want.Choices[0].Citations {
				if c.End == 0 { // then the door finds it a place
					return
				}
			}
			got, told := throughAnthropic(t, chunks, false)
			if want.Usage == nil { // then the door tells zeros
				got.Usage = nil
			}
			if meant(got) != meant(want) {
				t.Fatalf("told again differs: %s\n%s", firstDifference([]byte(meant(got)), []byte(meant(want))), told)
			}
		}
		w := AnthropicDoor().Stream(Meta{RequestID: "r"})
		s := c.Stream(bytes.NewReader(body), req)
		var told []byte
		for {
			chunk, err := s.Next()
			if err != nil {
				break
			}
			told = w.Chunk(told, chunk)
		}
		for _, data := range jsonValues(w.End(told)) {
			if !validJSON(data) {
				t.Fatalf("not JSON: %s", data)
			}
		}
	})
}
