package provider

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// BenchmarkSend measures a call's own work: an upstream that answers at once,
// without a network.
func BenchmarkSend(b *testing.B) {
	const answer = `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}`
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"Hello"}]}`)
	for _, p := range []llm.Provider{llm.OpenAI, llm.Gemini} {
		b.Run(string(p), func(b *testing.B) {
			c := ringOf(b, Config{Provider: p, Keys: keysNamed("a", "b"), Hop: "bw1"})
			c.call = roundTripper(func(r *http.Request) (*http.Response, error) {
				io.Copy(io.Discard, r.Body)
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req_1"}}, Body: io.NopCloser(bytes.NewReader([]byte(answer)))}, nil
			})
			req := hello(false)
			req.Dialect, req.Body = DialectOf(p), body
			b.ReportAllocs()
			for b.Loop() {
				l, busy := c.Admit(Ask{Model: "m"})
				if busy != nil {
					b.Fatal(busy)
				}
				c.Lacks("m", req)
				c.Streams(req)
				reply, err := c.Send(b.Context(), l, llm.Target{Model: "m"}, req)
				if err != nil {
					b.Fatal(err)
				}
				reply.Close()
				l.Done(llm.Usage{Input: 9, Output: 1}, nil)
			}
		})
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, order := range []KeyOrder{InOrder, Weighted, LeastUsed} {
		b.Run(string(order), func(b *testing.B) {
			c := ringOf(b, Config{Keys: keysNamed("a", "b", "c"), KeyOrder: order})
			b.ReportAllocs()
			for b.Loop() {
				l, busy := c.Admit(Ask{Model: "m"})
				if busy != nil {
					b.Fatal(busy)
				}
				l.Done(llm.Usage{Input: 9, Output: 1}, nil)
			}
		})
	}
}

// BenchmarkWhole reads an answer of some pages that comes in one piece.
func BenchmarkWhole(b *testing.B) {
	answer := `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("It takes the force out of the waves. ", 300) + `"},"finish_reason":"stop"}]}`
	c := ringOf(b, Config{Provider: llm.OpenAI, Keys: keysNamed("a"), Hop: "bw1"})
	c.call = roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: int64(len(answer)), Body: io.NopCloser(strings.NewReader(answer))}, nil
	})
	b.ReportAllocs()
	for b.Loop() {
		reply, err := c.Send(b.Context(), nil, llm.Target{Model: "m"}, hello(false))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := reply.Next(); err != nil {
			b.Fatal(err)
		}
		reply.Close()
	}
}
