package wire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

func gather(d llm.Dialect, body string, req *llm.Request) (Answer, error) {
	c, _ := CodecFor(d)
	return Gather(&recorder{Stream: c.Stream(strings.NewReader(body), req)})
}

func TestStreamsThatAreNoAnswerFail(t *testing.T) {
	const (
		chunk = `data: {"id":"c","choices":[{"index":0,"delta":{"content":"SECRET PROMPT"}}]}` + "\n\n"
		role  = `data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n"
	)
	html := "<html>\n<body>SECRET PROMPT: data</body>\n\n</html>"
	for _, c := range []struct {
		name    string
		dialect llm.Dialect
		body    string
		class   llm.FailureClass
		code    string
	}{
		{"nothing", llm.OpenAIChat, "", llm.Garbage, ""},
		{"comments only", llm.OpenAIChat, ": hi\n\n: SECRET PROMPT\n\n", llm.Garbage, ""},
		{"done only", llm.OpenAIChat, "data: [DONE]\n\n", llm.Garbage, ""},
		{"role only", llm.OpenAIChat, role, llm.Garbage, ""},
		{"role and done", llm.OpenAIChat, role + "data: [DONE]\n\n", llm.Garbage, ""},
		{"cut", llm.OpenAIChat, chunk, llm.StreamCut, ""},
		{"HTML", llm.OpenAIChat, html, llm.Garbage, ""},
		{"HTML for Anthropic", llm.AnthropicMessages, html, llm.Garbage, ""},
		{"HTML for Gemini", llm.GeminiGenerate, html, llm.Garbage, ""},
		{"HTML for Ollama", llm.OllamaChat, html, llm.Garbage, ""},
		{"broken JSON", llm.OpenAIChat, "data: {\"choices\":[SECRET PROMPT\n\n", llm.Garbage, ""},
		{"deep JSON", llm.OpenAIChat, "data: " + strings.Repeat("[", 1<<20) + "\n\n", llm.Garbage, ""},
		{"not an object", llm.OpenAIChat, "data: \"SECRET PROMPT\"\n\n", llm.Garbage, ""},
		{"a whole answer", llm.OpenAIChat, `{"choices":[{"message":{"content":"SECRET PROMPT"},"finish_reason":"stop"}]}`, llm.Garbage, ""},
		{"an endless event", llm.OpenAIChat, "data: " + strings.Repeat("x", DefaultMaxEvent+1), llm.Garbage, ""},
		{"plain error", llm.OpenAIChat, `{"error":{"message":"busy","type":"server_error"}}`, llm.Server, "server_error"},
		{"quota error", llm.OpenAIChat, `data: {"error":{"message":"","code":"insufficient_quota"}}` + "\n\n", llm.Quota, "insufficient_quota"},
		{"rate error", llm.OpenAIChat, `data: {"error":{"message":"","code":"rate_limit_exceeded"}}` + "\n\n", llm.RateLimit, "rate_limit_exceeded"},
		{"context error", llm.OpenAIChat, `data: {"error":{"message":"","code":"context_length_exceeded"}}` + "\n\n", llm.ContextLength, "context_length_exceeded"},
		{"error after content", llm.OpenAIChat, chunk + `data: {"error":{"message":"busy"}}` + "\n\n", llm.Server, ""},
		{"overloaded", llm.AnthropicMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", llm.Server, "overloaded_error"},
		{"rate limit", llm.AnthropicMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}\n\n", llm.RateLimit, "rate_limit_error"},
		{"ping only", llm.AnthropicMessages, "event: ping\ndata: {\"type\":\"ping\"}\n\n", llm.Garbage, ""},
		{"stop without content", llm.AnthropicMessages, "data: {\"type\":\"message_stop\"}\n\n", llm.Garbage, ""},
		{"blocked prompt", llm.GeminiGenerate, "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\r\n\r\n", llm.ContentFilter, "SAFETY"},
		{"Gemini error", llm.GeminiGenerate, `[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"slow down"}}]`, llm.RateLimit, "RESOURCE_EXHAUSTED"},
		{"Gemini error in SSE", llm.GeminiGenerate, "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\r\n\r\n", llm.Server, "UNAVAILABLE"},
		{"Gemini without finish", llm.GeminiGenerate, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\n\r\n", llm.StreamCut, ""},
		{"Gemini cut array", llm.GeminiGenerate, `[{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`, llm.StreamCut, ""},
		{"Ollama error", llm.OllamaChat, `{"error":"out of memory"}`, llm.Server, ""},
		{"Ollama cut", llm.OllamaChat, `{"message":{"content":"a"},"done":false}` + "\n", llm.StreamCut, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := gather(c.dialect, c.body, &llm.Request{Dialect: llm.Plain, Stream: true})
			f, ok := llm.AsFailure(err)
			if !ok || f.Class != c.class || f.Code != c.code {
				t.Fatalf("got %v, want %s %s", err, c.class, c.code)
			}
			if f.Message == "" && c.code == "" || strings.Contains(f.Error(), "SECRET") {
				t.Errorf("message %q", f.Message)
			}
		})
	}
}

func TestWholeAnswersThatAreNoAnswerFail(t *testing.T) {
	for _, d := range []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat} {
		c, _ := CodecFor(d)
		for _, body := range []string{
			"", "<html>SECRET</html>", "SECRET", "{}", `{"choices":[],"content":[],"candidates":[]}`, `{"choices":[{}],"candidates":[{}]}`,
			`{"choices":[{"message":{"content":""}}]}`, `[]`, strings.Repeat("[", 1<<20),
		} {
			_, err := c.Whole([]byte(body), &llm.Request{Dialect: llm.Plain})
			if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Garbage || strings.Contains(f.Error(), "SECRET") {
				t.Errorf("%s %.40q: got %v", d, body, err)
			}
		}
	}
}

func TestUsageThatOnlyBreakwaterAskedForIsHidden(t *testing.T) {
	const body = `data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}` + "\n\n" +
		`data: {"choices":[],"moderation":{}}` + "\n\n" + "data: [DONE]\n\n"
	codec, _ := CodecFor(llm.OpenAIChat)
	for _, asked := range []bool{false, true} {
		s := codec.Stream(strings.NewReader(body), &llm.Request{Dialect: llm.OpenAIChat, Stream: true, IncludeUsage: asked})
		var hidden []bool
		for {
			c, err := s.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			hidden = append(hidden, c.Hidden)
		}
		if want := []bool{false, !asked, false, false}; !slices.Equal(hidden, want) {
			t.Errorf("asked %v: hidden %v, want %v", asked, hidden, want)
		}
	}
}

func TestThinkingIsContent(t *testing.T) {
	for d, body := range map[llm.Dialect]string{
		llm.OpenAIChat:        `data: {"choices":[{"index":0,"delta":{"content":"","reasoning_content":"hm"}}]}` + "\n\n",
		llm.AnthropicMessages: `data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}` + "\n\n",
		llm.GeminiGenerate:    `data: {"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]}}]}` + "\n\n",
		llm.OllamaChat:        `{"message":{"role":"assistant","content":"","thinking":"hm"},"done":false}` + "\n",
	} {
		for _, from := range []llm.Dialect{d, llm.Plain} {
			codec, _ := CodecFor(d)
			c, err := codec.Stream(strings.NewReader(body), &llm.Request{Dialect: from}).Next()
			if err != nil || c.Text != "" || c.Thinking != "hm" || !c.HasContent() {
				t.Errorf("%s for %s: %+v, %v", d, from, c, err)
			}
		}
	}
}

func TestGeminiArraysAreReadLikeEvents(t *testing.T) {
	a, err := gather(llm.GeminiGenerate, "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n,\r\n"+
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":2,\"thoughtsTokenCount\":3}}]\n",
		&llm.Request{Dialect: llm.Plain, Stream: true})
	if err != nil || a.Text() != "ab" || a.Finish() != llm.FinishStop || a.Usage == nil || *a.Usage != (llm.Usage{Input: 2, Output: 3, Reasoning: 3}) {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestALastLineWithoutItsEndCounts(t *testing.T) {
	for d, body := range map[llm.Dialect]string{
		llm.OpenAIChat: `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]",
		llm.OllamaChat: `{"message":{"content":"a"},"done":true,"done_reason":"stop"}`,
	} {
		if a, err := gather(d, body, &llm.Request{Dialect: llm.Plain}); err != nil || a.Text() != "a" {
			t.Errorf("%s: got %+v, %v", d, a, err)
		}
	}
}

func TestAStreamThatIsCutWithinTheMarkOfItsEndIsMadeWhole(t *testing.T) {
	for d, stream := range map[llm.Dialect][2]string{
		llm.OpenAIChat: {`data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n", "data: [DONE]\n\n"},
		llm.AnthropicMessages: {"event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}` + "\n\n" +
			"event: message_delta\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}` + "\n\n",
			"event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n"},
	} {
		codec, _ := CodecFor(d)
		whole := stream[0] + stream[1]
		for cut := len(stream[0]); cut <= len(whole)-len("]\n\n"); cut++ {
			s := codec.Stream(strings.NewReader(whole[:cut]), &llm.Request{Dialect: d, Stream: true})
			var got strings.Builder
			c, err := s.Next()
			for ; err == nil; c, err = s.Next() {
				got.Write(c.Raw)
			}
			if err != io.EOF || got.String() != whole {
				t.Errorf("%s cut at %d of %d: %v after\n%s", d, cut, len(whole), err, got.String())
			}
		}
	}
}

func TestGeminiQuotaIsToldFromRateLimits(t *testing.T) {
	codec, _ := CodecFor(llm.GeminiGenerate)
	for _, c := range []struct {
		name    string
		status  int
		message string
		details string
		want    llm.FailureClass
	}{
		{"a minute's limit", 429, "You exceeded your current quota", `{"@type":"x/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProject"}]}`, llm.RateLimit},
		{"a day's limit", 429, "You exceeded your current quota", `{"@type":"x/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]}`, llm.Quota},
		{"only a delay", 429, "You exceeded your current quota", `{"@type":"x/google.rpc.RetryInfo","retryDelay":"3s"}`, llm.RateLimit},
		{"no free tier", 429, "Quota exceeded for metric: x, limit: 0, model: y", `{"@type":"x/google.rpc.RetryInfo","retryDelay":"3s"}`, llm.Quota},
		{"nothing told", 429, "You exceeded your current quota, please check your plan and billing details.", "", llm.Quota},
		{"shared capacity", 429, "Resource has been exhausted (e.g. check quota).", "", llm.RateLimit},
		{"bad key", 400, "API key not valid. Please pass a valid API key.", `{"@type":"x/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}`, llm.Auth},
		{"too long", 400, "The input token count (9) exceeds the maximum number of tokens allowed (8).", "", llm.ContextLength},
		{"no billing", 400, "Please enable billing on your project", "", llm.Quota},
		{"wrong place", 400, "User location is not supported for the API use.", "", llm.Auth},
		{"deadline", 504, "Deadline expired before operation could complete.", "", llm.Server},
	} {
		body := []byte(`{"error":{"code":0,"message":"` + c.message + `","details":[` + c.details + `]}}`)
		if f := codec.Failure(c.status, body); f.Class != c.want {
			t.Errorf("%s: got %s, want %s", c.name, f.Class, c.want)
		}
	}
}

func TestQuotaIsTestedBeforeRateLimits(t *testing.T) {
	for _, c := range []struct {
		dialect llm.Dialect
		status  int
		body    string
		want    llm.FailureClass
	}{
		{llm.OpenAIChat, 429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","code":"insufficient_quota"}}`, llm.Quota},
		{llm.OpenAIChat, 400, `{"error":{"message":"Billing hard limit has been reached","code":"billing_hard_limit_reached"}}`, llm.Quota},
		{llm.OpenAIChat, 400, `{"error":{"message":"This model's maximum context length is 8192 tokens.","code":null}}`, llm.ContextLength},
		{llm.OpenAIChat, 400, `{"error":{"message":"filtered","code":"content_filter"}}`, llm.ContentFilter},
		{llm.OpenAIChat, 500, `{"error":{"message":"billing service is down"}}`, llm.Server},
		{llm.AnthropicMessages, 400, `{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, llm.Quota},
		{llm.AnthropicMessages, 400, `{"error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits."}}`, llm.Quota},
		{llm.AnthropicMessages, 402, `{"error":{"type":"billing_error","message":"pay"}}`, llm.Quota},
		{llm.AnthropicMessages, 400, `{"error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}`, llm.ContextLength},
		{llm.AnthropicMessages, 400, `{"error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}`, llm.ContentFilter},
		{llm.AnthropicMessages, 529, `{"error":{"type":"overloaded_error","message":"Overloaded"}}`, llm.Server},
		{llm.OllamaChat, 429, `{"error":"you've reached your hourly usage limit"}`, llm.Quota},
		{llm.OllamaChat, 400, `{"error":"the input length exceeds the context length"}`, llm.ContextLength},
		{llm.OllamaChat, 401, `{"error":"unauthorized"}`, llm.Auth},
	} {
		codec, _ := CodecFor(c.dialect)
		if f := codec.Failure(c.status, []byte(c.body)); f.Class != c.want || f.Status != c.status {
			t.Errorf("%s %d %s: got %v, want %s", c.dialect, c.status, c.body, f, c.want)
		}
	}
}

func FuzzStreams(f *testing.F) {
	f.Add([]byte(`data: {"id":"c","choices":[{"index":0,"delta":{"content":"a","tool_calls":[{}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`+"\n\ndata: [DONE]\n\n"), uint8(7))
	f.Add([]byte("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":1}}}\n\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n"), uint8(1))
	f.Add([]byte("[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"},{\"functionCall\":{}},{\"thoughtSignature\":\"x\"}]},\"finishReason\":\"STOP\"}]}]"), uint8(3))
	f.Add([]byte("{\"message\":{\"content\":\"a\",\"tool_calls\":[{}]},\"done\":true,\"eval_count\":-1}\n{\"error\":\"x\"}"), uint8(200))
	f.Fuzz(func(t *testing.T, body []byte, chunk uint8) {
		for _, d := range []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat} {
			codec, _ := CodecFor(d)
			req := &llm.Request{Dialect: d, IncludeUsage: true}
			whole := &recorder{Stream: codec.Stream(bytes.NewReader(body), req)}
			a, err := Gather(whole)
			if _, failed := llm.AsFailure(err); err != nil && !failed {
				t.Fatalf("%s: not a Failure: %v", d, err)
			}
			if !bytes.HasPrefix(body, whole.raw) {
				t.Fatalf("%s: raw bytes %q of %q", d, whole.raw, body)
			}
			b, err2 := Gather(&recorder{Stream: codec.Stream(&chunked{body, int(chunk) + 1}, req)})
			if a.Text() != b.Text() || outcome(a, err) != outcome(b, err2) {
				t.Fatalf("%s: at once %s, in pieces %s", d, outcome(a, err), outcome(b, err2))
			}
			if chunks, err := codec.Whole(body, req); err == nil && !slices.ContainsFunc(chunks, llm.Chunk.HasContent) {
				t.Fatalf("%s: an empty answer", d)
			}
			codec.Failure(400, body)
		}
	})
}

// More tells the truth: a chunk with it is followed by one that is read
// already, wherever the bytes were split.
func TestAChunkSaysWhetherAnotherIsAtHand(t *testing.T) {
	codec, _ := CodecFor(llm.OpenAIChat)
	event := func(text, end string) string {
		return `data: {"choices":[{"index":0,"delta":{"content":"` + text + `"}}]}` + end + end
	}
	for _, end := range []string{"\n", "\r\n"} {
		first, second := event("a", end), event("b", end)
		reads := []string{first, second + first[:10], first[10:] + second + first + second[:len(second)-len(end)], second[len(second)-len(end):], "data: [DONE]" + end + end}
		var served int
		s := codec.Stream(readerFunc(func(p []byte) (int, error) {
			if served == len(reads) {
				return 0, io.EOF
			}
			served++
			return copy(p, reads[served-1]), nil
		}), &llm.Request{Dialect: llm.OpenAIChat, Stream: true})
		var more []bool
		for {
			before := served
			c, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := len(more); n > 0 && more[n-1] && served != before {
				t.Errorf("chunk %d was said to be at hand, and had to be read", n)
			}
			more = append(more, c.More)
		}
		if want := []bool{false, false, true, true, false, false, false}; !slices.Equal(more, want) {
			t.Errorf("got %v, want %v", more, want)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
