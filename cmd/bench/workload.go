package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// workload is one kind of request.
type workload struct {
	name    string
	callers []int
	body    string // of the request
	ends    string // how a complete answer ends
}

// Words in a request's "user" field, by which the upstream knows what to play.
const (
	playWhole  = "whole"
	playStream = "stream"
	playPaced  = "paced"
)

const (
	streamChunks = 50
	// pace is a fast model's: 50 tokens a second.
	pace = 20 * time.Millisecond
)

func workloads() []workload {
	question := func(user, prompt string, stream bool) string {
		return fmt.Sprintf(`{"model":"gpt-4o","user":%q,"stream":%t,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":%q}]}`,
			user, stream, prompt)
	}
	const short = "What does a breakwater do for the ships in the harbour behind it?"
	long := strings.Repeat("It takes the force out of the waves of the open sea. ", 100<<10/52)
	return []workload{
		{"chat", []int{1, 16, 256}, question(playWhole, short, false), "}"},
		{"stream", []int{1, 16, 256}, question(playStream, short, true), "data: [DONE]\n\n"},
		{"prompt", []int{1, 16, 256}, question(playWhole, long, false), "}"},
		{"paced", []int{64, 256}, question(playPaced, short, true), "data: [DONE]\n\n"},
	}
}

func workloadNames() string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return strings.Join(names, ", ")
}

const answer = `{"id":"chatcmpl-B1","object":"chat.completion","created":1763800000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"It takes the force out of the waves, so that the harbour stays calm.","refusal":null,"annotations":[]},` +
	`"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":16,"total_tokens":40,` +
	`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,` +
	`"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_1"}`

func chunk(choices string) []byte {
	return []byte(`data: {"id":"chatcmpl-B1","object":"chat.completion.chunk","created":1763800000,"model":"gpt-4o-2024-08-06","service_tier":"default",` +
		`"system_fingerprint":"fp_1","choices":[` + choices + `],"usage":null}` + "\n\n")
}

// upstream plays OpenAI, as cheaply as it can.
func upstream() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"object":"list","data":[{"id":"gpt-4o","object":"model","created":0,"owned_by":"system"}]}`)
	})
	token := chunk(`{"index":0,"delta":{"content":" waves"},"logprobs":null,"finish_reason":null}`)
	end := append(chunk(`{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}`), "data: [DONE]\n\n"...)
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		play := playWhole
		for _, word := range []string{playStream, playPaced} {
			if bytes.Contains(body, []byte(`"user":"`+word+`"`)) {
				play = word
			}
		}
		w.Header().Set("X-Request-Id", "req_1")
		if play == playWhole {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, answer)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range streamChunks {
			if play == playPaced {
				time.Sleep(pace)
			}
			w.Write(token)
			w.(http.Flusher).Flush()
		}
		w.Write(end)
	})
	return mux
}
