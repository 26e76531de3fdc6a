package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// benchModels are the models that requests are translated for.
func benchModels() map[llm.Dialect]string {
	return map[llm.Dialect]string{llm.OpenAIChat: "gpt-4.1", llm.AnthropicMessages: "claude-sonnet-4-5", llm.GeminiGenerate: "gemini-2.5-flash", llm.OllamaChat: "qwen3"}
}

// benchRequest is a conversation of an agent: ten tools and forty turns, about 40 KB.
func benchRequest() *llm.Request {
	limit, warm := int64(1000), 0.5
	r := &llm.Request{Dialect: llm.Plain, MaxTokens: &limit, Temperature: &warm, Stop: []string{"END"}}
	text := func(s string) []llm.Part { return []llm.Part{{Kind: llm.Text, Text: s}} }
	r.Messages = append(r.Messages, llm.Message{Role: llm.System, Parts: text(strings.Repeat("You are careful. ", 200))})
	for i := range 10 {
		r.Tools = append(r.Tools, llm.Tool{Name: fmt.Sprintf("tool_%d", i), Description: strings.Repeat("Does something. ", 10),
			Schema: []byte(`{"type":"object","properties":{"path":{"type":"string","description":"where"},"lines":{"type":"array","items":{"type":"integer"}},"mode":{"type":"string","enum":["r","w"]}},"required":["path"]}`)})
	}
	for i := range 20 {
		id := fmt.Sprintf("call_%d", i)
		call := &llm.ToolCall{ID: id, Name: "tool_1", Args: []byte(`{"path":"a/b \"c\"","lines":[1,2,3]}`)}
		r.Messages = append(r.Messages,
			llm.Message{Role: llm.User, Parts: text(strings.Repeat("Some \"words\"\nand more. ", 20))},
			llm.Message{Role: llm.Assistant, Parts: append(text("I look."), llm.Part{Kind: llm.Call, Call: call})},
			llm.Message{Role: llm.ToolRole, Parts: []llm.Part{{Kind: llm.Result, Result: &llm.ToolResult{CallID: id, Name: "tool_1", Parts: text(strings.Repeat("line of a file\n", 60))}}}},
			llm.Message{Role: llm.Assistant, Parts: text(strings.Repeat("I say this. ", 10))})
	}
	r.Messages = append(r.Messages, llm.Message{Role: llm.User, Parts: text("Go on.")})
	return r
}

// benchChunks is an answer as a stream tells it, of about 4 KB.
func benchChunks() []llm.Chunk {
	chunks := []llm.Chunk{{ID: "i", Model: "m"}}
	for i := range 500 {
		chunks = append(chunks, llm.Chunk{Text: fmt.Sprintf(" word%d\n", i)})
	}
	return append(chunks, piece(0, "a", `{"path":"a"}`), piece(1, "b", `{"path":"b","lines":[1,2]}`),
		llm.Chunk{Finish: llm.FinishToolCalls, Usage: &llm.Usage{Input: 10000, Output: 1200}})
}

func benchMeta(d llm.Dialect) Meta {
	return Meta{RequestID: "r", Model: "m", Created: time.Unix(1, 0), Request: &llm.Request{Dialect: d, Stream: true, IncludeUsage: true}}
}

// BenchmarkTranslate measures per pair of dialects what a request and a whole
// answer cost: reading in the one, writing in the other.
func BenchmarkTranslate(b *testing.B) {
	whole, err := Gather(&listed{chunks: benchChunks()})
	if err != nil {
		b.Fatal(err)
	}
	for _, from := range chatDialects() {
		codec, _ := CodecFor(from)
		door, _ := DoorFor(from)
		e, err := codec.Encode(benchModels()[from], benchRequest())
		if err != nil {
			b.Fatal(err)
		}
		answer := door.Answer(benchMeta(from), whole)
		for _, to := range chatDialects() {
			target, _ := CodecFor(to)
			out, _ := DoorFor(to)
			name := fmt.Sprintf("%s-%s", from, to)
			b.Run(name+"/request", func(b *testing.B) {
				b.SetBytes(int64(len(e.Body)))
				b.ReportAllocs()
				for b.Loop() {
					req, err := door.Decode(e.Body)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := target.Encode(benchModels()[to], req); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/answer", func(b *testing.B) {
				b.SetBytes(int64(len(answer)))
				b.ReportAllocs()
				meta := benchMeta(to)
				for b.Loop() {
					chunks, err := codec.Whole(answer, meta.Request)
					if err != nil {
						b.Fatal(err)
					}
					a, err := Gather(&listed{chunks: chunks})
					if err != nil {
						b.Fatal(err)
					}
					if from != to {
						out.Answer(meta, a)
					}
				}
			})
		}
	}
}

// benchEvent is an event of text in a dialect.
func benchEvent(d llm.Dialect) string {
	return map[llm.Dialect]string{
		llm.OpenAIChat: `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1773345365,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1",` +
			`"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"kZv1Ls5KFhu"}` + "\n\n",
		llm.AnthropicMessages: "event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}` + "\n\n",
		llm.GeminiGenerate: `data: {"candidates":[{"content":{"parts":[{"text":" word"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":3,"totalTokenCount":15,` +
			`"promptTokensDetails":[{"modality":"TEXT","tokenCount":12}]},"modelVersion":"gemini-2.5-flash","responseId":"x"}` + "\r\n\r\n",
		llm.OllamaChat: `{"model":"qwen3","created_at":"2026-11-02T10:11:12.123456789Z","message":{"role":"assistant","content":" word"},"done":false}` + "\n",
	}[d]
}

// translator reads events of one dialect and writes them in another. It begins
// a new answer now and then, since answers are bounded.
type translator struct {
	event    string
	from, to llm.Dialect
	n        int
	stream   *Stream
	writer   Writer
	out      []byte
}

func (t *translator) next() error {
	if t.n%10_000 == 0 {
		codec, _ := CodecFor(t.from)
		door, _ := DoorFor(t.to)
		meta := benchMeta(t.to)
		t.stream, t.writer = codec.Stream(repeat(t.event), meta.Request), door.Stream(meta)
	}
	t.n++
	c, err := t.stream.Next()
	if err == nil && t.from != t.to {
		t.out = t.writer.Chunk(t.out[:0], c)
	}
	return err
}

// BenchmarkStreamEvent measures per pair of dialects what an event of text
// costs, which passes as it is where they are the same.
func BenchmarkStreamEvent(b *testing.B) {
	for _, from := range chatDialects() {
		for _, to := range chatDialects() {
			b.Run(fmt.Sprintf("%s-%s", from, to), func(b *testing.B) {
				t := translator{event: benchEvent(from), from: from, to: to}
				b.SetBytes(int64(len(t.event)))
				b.ReportAllocs()
				for b.Loop() {
					if err := t.next(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestAnEventOfTextAllocatesLittle(t *testing.T) {
	for _, from := range chatDialects() {
		for _, to := range chatDialects() {
			events := translator{event: benchEvent(from), from: from, to: to}
			if n := testing.AllocsPerRun(1000, func() {
				if err := events.next(); err != nil {
					t.Fatal(err)
				}
			}); n > 2 {
				t.Errorf("%s-%s: %v allocations", from, to, n)
			}
		}
	}
}
