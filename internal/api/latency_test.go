package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// streamed is how a provider streams: what comes before the text, a piece of
// it, and the end.
type streamed struct {
	kind              string // the content type
	head, piece, tail string // piece has a %s
}

func streams() map[llm.Provider]streamed {
	return map[llm.Provider]streamed{
		llm.OpenAI: {"text/event-stream",
			`data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n",
			`data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}` + "\n\n",
			`data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"},
		llm.Claude: {"text/event-stream",
			"event: message_start\ndata: " + `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n" +
				"event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n",
			"event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}` + "\n\n",
			"event: content_block_stop\ndata: " + `{"type":"content_block_stop","index":0}` + "\n\nevent: message_delta\ndata: " +
				`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}` + "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
		llm.Gemini: {"text/event-stream", "",
			`data: {"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"},"index":0}]}` + "\r\n\r\n",
			`data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}` + "\r\n\r\n"},
		llm.Local: {"application/x-ndjson", "",
			`{"model":"m","created_at":"2026-11-22T12:00:00Z","message":{"role":"assistant","content":"%s"},"done":false}` + "\n",
			`{"model":"m","created_at":"2026-11-22T12:00:00Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":1,"eval_count":5}` + "\n"},
	}
}

// streamRequests asks a provider for a stream at each door: path and body.
func streamRequests(p llm.Provider) map[string]string {
	const chat = `"stream":true,"messages":[{"role":"user","content":"hi"}]`
	contents := `{"contents":[{"parts":[{"text":"hi"}]}]}`
	model := fmt.Sprintf(`{"model":"%s",`, p)
	return map[string]string{
		"/v1/chat/completions": model + chat + `}`,
		"/v1/completions":      model + `"stream":true,"prompt":"hi"}`,
		"/v1/responses":        model + `"stream":true,"store":false,"input":"hi"}`,
		"/v1/messages":         model + `"max_tokens":9,` + chat + `}`,
		"/api/chat":            model + chat + `}`,
		"/api/generate":        model + `"prompt":"hi"}`,
		"/v1beta/models/" + string(p) + ":streamGenerateContent":         contents,
		"/v1beta/models/" + string(p) + ":streamGenerateContent?alt=sse": contents,
	}
}

// TestEveryEventIsFlushedByItself has an upstream that sends a piece only when
// the caller has the one before.
func TestEveryEventIsFlushedByItself(t *testing.T) {
	const pieces = 4
	for p, s := range streams() {
		has := make(chan struct{})
		d := overHTTP(t, map[llm.Provider]http.HandlerFunc{p: func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", s.kind)
			io.WriteString(w, s.head)
			for i := range pieces {
				fmt.Fprintf(w, s.piece, fmt.Sprintf("piece%d ", i))
				w.(http.Flusher).Flush()
				select {
				case <-has:
				case <-r.Context().Done():
					return
				}
			}
			io.WriteString(w, s.tail)
		}})
		for path, body := range streamRequests(p) {
			if p == llm.OpenAI && path == "/v1/responses" {
				continue // its upstream speaks Responses, which is not what this one sends
			}
			t.Run(string(p)+" at "+path, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				var got []byte
				buffer := make([]byte, 4<<10)
				for i := range pieces {
					for !bytes.Contains(got, fmt.Appendf(nil, "piece%d", i)) {
						n, err := resp.Body.Read(buffer)
						got = append(got, buffer[:n]...)
						if err != nil {
							t.Fatalf("piece %d did not come: %v\n%s", i, err, got)
						}
					}
					if bytes.Contains(got, fmt.Appendf(nil, "piece%d", i+1)) {
						t.Fatalf("two pieces at once:\n%s", got)
					}
					has <- struct{}{}
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// BenchmarkFirstContent measures from when an upstream sends its first content
// to when the caller has it, over loopback: the difference to "direct" is what
// Breakwater adds. The upstream takes some milliseconds, as real ones do.
func BenchmarkFirstContent(b *testing.B) {
	for _, c := range []struct {
		name     string
		provider llm.Provider
		path     string
		direct   bool
	}{
		{"direct", llm.OpenAI, "/v1/chat/completions", true},
		{"openai to openai", llm.OpenAI, "/v1/chat/completions", false},
		{"claude to openai", llm.Claude, "/v1/chat/completions", false},
		{"gemini to anthropic", llm.Gemini, "/v1/messages", false},
		{"ollama to gemini", llm.Local, "/v1beta/models/local:streamGenerateContent?alt=sse", false},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := streams()[c.provider]
			sent := make(chan time.Time, 1)
			upstream := func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", s.kind)
				io.WriteString(w, s.head)
				w.(http.Flusher).Flush()
				time.Sleep(3 * time.Millisecond)
				sent <- time.Now()
				fmt.Fprintf(w, s.piece, "first content")
				w.(http.Flusher).Flush()
				io.WriteString(w, s.tail)
			}
			d := overHTTP(b, map[llm.Provider]http.HandlerFunc{c.provider: upstream})
			address := d.URL
			if c.direct {
				server := httptest.NewServer(http.HandlerFunc(upstream))
				defer server.Close()
				address = server.URL
			}
			body := streamRequests(c.provider)[c.path]
			var delays []time.Duration
			for b.Loop() {
				resp, err := http.Post(address+c.path, "application/json", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				lines := bufio.NewReader(resp.Body)
				for {
					line, err := lines.ReadString('\n')
					if strings.Contains(line, "first content") {
						delays = append(delays, time.Since(<-sent))
						break
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				io.Copy(io.Discard, lines)
				resp.Body.Close()
			}
			slices.Sort(delays)
			b.ReportMetric(float64(delays[len(delays)/2].Nanoseconds())/1000, "p50-µs")
			b.ReportMetric(float64(delays[len(delays)*99/100].Nanoseconds())/1000, "p99-µs")
			b.ReportMetric(0, "ns/op") // the upstream's own pace
		})
	}
}
