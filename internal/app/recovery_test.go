package app

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/wire"
)

// streamDoor is how to ask for a stream in a dialect.
type streamDoor struct{ dialect, path, body string }

func streamDoors(p llm.Provider) []streamDoor {
	messages := `"model":"` + string(p) + `","stream":true,"messages":[{"role":"user","content":"hi"}]`
	return []streamDoor{
		{string(llm.OpenAIChat), "/v1/chat/completions", "{" + messages + `,"stream_options":{"include_usage":true}}`},
		{string(llm.AnthropicMessages), "/v1/messages", "{" + messages + `,"max_tokens":1000}`},
		{string(llm.OllamaChat), "/api/chat", "{" + messages + "}"},
		{string(llm.GeminiGenerate), "/v1beta/models/" + string(p) + ":streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"hi"}]}]}`},
		{string(llm.GeminiGenerate), "/v1beta/models/" + string(p) + ":streamGenerateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`},
	}
}

// Whatever the door and whoever breaks off: the caller gets one answer that
// reads as one, the first half from the one and the rest from the other.
func TestAStreamThatBreaksOffIsContinuedAtEveryDoor(t *testing.T) {
	for _, p := range []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI, llm.Local} {
		t.Run(string(p), func(t *testing.T) {
			h := startHouse(t, houseOptions{env: map[string]string{"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "100"}})
			next := llm.Gemini
			if p == llm.Gemini {
				next = llm.Claude
			}
			h.sims[p].Set(sim.Fault{Kind: sim.Cut, After: 8})
			for _, door := range streamDoors(p) {
				resp, err := http.Post(h.URL()+door.path, "application/json", strings.NewReader(door.body))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || resp.Header.Get("X-Breakwater-Provider") != string(p) {
					t.Fatalf("%s: HTTP %d, %v", door.path, resp.StatusCode, err)
				}
				codec, _ := wire.CodecFor(llm.Dialect(door.dialect))
				s := codec.Stream(strings.NewReader(string(body)), &llm.Request{Stream: true, IncludeUsage: true})
				text, finish := "", llm.FinishReason("")
				for {
					c, err := s.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatalf("%s: %v\n%s", door.path, err, body)
					}
					text, finish = text+c.Text, max(finish, c.Finish)
				}
				first, rest := sim.Speech(p)("")[:8*4], sim.Speech(next)("")
				if text != first+rest || finish != llm.FinishStop {
					t.Errorf("%s: %q, finish %q", door.path, text, finish)
				}
				if told := strings.Contains(string(body), " goes on\n"); told != strings.Contains(resp.Header.Get("Content-Type"), "event-stream") {
					t.Errorf("%s: the handover is told: %t", door.path, told)
				}
			}
			if _, finish, used := h.stream(t, string(p)); finish != "stop" || used == 0 { // the SDK reads over the comment
				t.Errorf("the SDK saw the end %q, %d tokens", finish, used)
			}
			h.stop()
			for _, tr := range traces(t, reopen(t, h.db)) {
				if tr.Outcome != record.Served || tr.Served.Provider != next || len(tr.Attempts) != 2 || tr.Attempts[0].Class != llm.StreamCut || tr.Attempts[1].Usage.Output == 0 {
					t.Errorf("the trace says %+v", tr)
				}
			}
		})
	}
}
