package wire

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"breakwater/internal/llm"
)

func TestOpenAIDoorWritesAnswers(t *testing.T) {
	created := time.Unix(1_780_000_000, 0)
	usage := &llm.Usage{Input: 20, CacheRead: 8, Output: 7, Reasoning: 3}
	var out bytes.Buffer
	show := func(name string, b []byte) { fmt.Fprintf(&out, "--- %s\n%s\n", name, b) }

	show("whole", OpenAIChatAnswer("01ABC", "claude-sonnet-4-5", created, Answer{Text: "Hi \"you\"\n<é>", Finish: llm.FinishLength, Usage: usage}))
	show("whole, nothing told", OpenAIChatAnswer("01ABC", "llama3", created, Answer{}))

	stream := func(include bool, chunks ...llm.Chunk) []byte {
		s := NewOpenAIChatStream("01ABC", "llama3", created, include)
		var b []byte
		for _, c := range chunks {
			b = s.Chunk(b, c)
		}
		return s.End(b)
	}
	show("stream", stream(false, llm.Chunk{ID: "x"}, llm.Chunk{Text: "Hi \"you\""}, llm.Chunk{}, llm.Chunk{Text: "\n<é>"}, llm.Chunk{Finish: llm.FinishStop, Usage: usage}))
	show("stream with usage", stream(true, llm.Chunk{Usage: &llm.Usage{Input: 1}}, llm.Chunk{Text: "Hi", Finish: llm.FinishContentFilter, Usage: usage}))
	show("stream with usage that nobody told", stream(true))
	show("error", OpenAIError{Message: "no \"such\" model", Type: "invalid_request_error", Param: "model", Code: "model_not_found"}.Body())
	show("error in a stream", OpenAIError{Message: "cut", Type: "server_error"}.Event(nil))
	golden(t, "openai_door.golden", out.Bytes())
}

func TestOpenAIDoorIsReadByOpenAICodec(t *testing.T) {
	usage := llm.Usage{Input: 20, CacheRead: 8, Output: 7, Reasoning: 3}
	created := time.Unix(1_780_000_000, 0)
	codec, _ := CodecFor(llm.OpenAIChat)
	req := &llm.Request{Dialect: llm.OpenAIChat, Stream: true, IncludeUsage: true}
	s := NewOpenAIChatStream("01ABC", "m", created, true)
	body := s.End(s.Chunk(s.Chunk(nil, llm.Chunk{Text: "He"}), llm.Chunk{Text: "y", Finish: llm.FinishLength, Usage: &usage}))
	a, err := Gather(&recorder{Stream: codec.Stream(bytes.NewReader(body), req)})
	if err != nil || a.Text != "Hey" || a.Finish != llm.FinishLength || a.Usage == nil || *a.Usage != usage || a.ID != "chatcmpl-01ABC" || a.Model != "m" {
		t.Errorf("stream: got %+v, %v", a, err)
	}
	c, err := codec.Whole(OpenAIChatAnswer("01ABC", "m", created, a), req)
	if err != nil || c.Text != "Hey" || c.Finish != llm.FinishLength || c.Usage == nil || *c.Usage != usage {
		t.Errorf("whole: got %+v, %v", c, err)
	}
}

func TestAnEventOfTheOpenAIDoorAllocatesNothing(t *testing.T) {
	s := NewOpenAIChatStream("01ABC", "m", time.Unix(0, 0), false)
	b := make([]byte, 0, 4096)
	c := llm.Chunk{Text: "some words \"and\" more"}
	if n := testing.AllocsPerRun(100, func() { b = s.Chunk(b[:0], c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOpenAIStreamEvent(b *testing.B) {
	const event = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1773345365,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"kZv1Ls5KFhu"}` + "\n\n"
	codec, _ := CodecFor(llm.OpenAIChat)
	s := codec.Stream(repeat(event), &llm.Request{})
	door := NewOpenAIChatStream("01ABC", "m", time.Unix(0, 0), false)
	var out []byte
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		c, err := s.Next()
		if err != nil {
			b.Fatal(err)
		}
		out = door.Chunk(out[:0], c)
	}
}

// repeat reads the text again and again.
func repeat(text string) io.Reader { return &repeated{text: text} }

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
