package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Answers to callers in Ollama's dialect, for what another dialect served, see
// https://docs.ollama.com/api/chat, https://docs.ollama.com/api/generate and
// https://docs.ollama.com/api/errors (2026-11). It has one answer only, and no
// words for citations and signatures; a refusal is content.

// OllamaChatDoor is POST /api/chat.
func OllamaChatDoor() Door { return ollamaDoor(llm.OllamaChat, DecodeOllamaChat) }

func ollamaDoor(d llm.Dialect, decode func([]byte) (*llm.Request, error)) Door {
	return Door{
		Dialect: d,
		Decode:  decode,
		Answer:  func(m Meta, a Answer) []byte { return newOllamaWriter(d, m).answer(a) },
		Stream:  func(m Meta) Writer { return newOllamaWriter(d, m) },
		Problem: ollamaProblem,
	}
}

// ollamaProblem writes {"error": "..."}, as a body and as a stream's last line.
func ollamaProblem(p Problem) []byte {
	message := p.Message
	if p.Param != "" && !strings.Contains(message, p.Param) {
		message = p.Param + ": " + message
	}
	return marshal(struct {
		Error string `json:"error"`
	}{message})
}

// ollamaWriter writes an answer as lines of JSON. A line of content costs no
// allocation.
type ollamaWriter struct {
	head     string // of every line, up to its time
	generate bool   // in the words of /api/generate
	began    time.Time
	now      func() time.Time

	calls  []ollamaCall // by index; an answer's calls are told whole, before its end
	args   [][]byte
	cut    bool // a call broke off
	finish llm.FinishReason
	detail string
	usage  *llm.Usage
}

func newOllamaWriter(d llm.Dialect, m Meta) *ollamaWriter {
	head := gjson.AppendJSONString([]byte(`{"model":`), m.Model)
	head = append(head, `,"created_at":"`...)
	return &ollamaWriter{head: string(head), generate: d == llm.OllamaGenerate, began: m.Created, now: time.Now}
}

// ContentType is that of lines of JSON.
func (*ollamaWriter) ContentType() string { return "application/x-ndjson" }

// Chunk appends what c tells the caller at once: its thinking and its text.
// Calls wait until they are whole, finish reason and usage for End.
func (w *ollamaWriter) Chunk(dst []byte, c llm.Chunk) []byte {
	if c.Usage != nil {
		w.usage = c.Usage
	}
	if c.Choice != 0 {
		return dst
	}
	if c.Finish != "" {
		w.finish, w.detail = c.Finish, c.FinishDetail
	}
	if c.Call != nil {
		w.call(*c.Call)
	}
	if c.Thinking != "" {
		dst = w.line(dst, "", c.Thinking, nil, nil)
	}
	if c.Text != "" || c.Logprobs != nil {
		dst = w.line(dst, c.Text, "", nil, c.Logprobs)
	}
	if c.Refusal != "" {
		dst = w.line(dst, c.Refusal, "", nil, nil)
	}
	return dst
}

// call collects a piece of a call.
func (w *ollamaWriter) call(d llm.CallDelta) {
	if d.Index < 0 || d.Index > len(w.calls) {
		w.cut = true // there is no call without those before it
		return
	}
	if d.Index == len(w.calls) {
		w.calls = append(w.calls, ollamaCall{})
		w.args = append(w.args, nil)
	}
	c := &w.calls[d.Index]
	if d.ID != "" {
		c.ID = d.ID
	}
	if d.Name != "" {
		c.Function.Name = d.Name
	}
	w.args[d.Index] = append(w.args[d.Index], d.Args...)
}

// whole gives the calls, without those that broke off, as the last does where
// the tokens ran out.
func (w *ollamaWriter) whole() []ollamaCall {
	var calls []ollamaCall
	for i, c := range w.calls {
		args := w.args[i]
		if len(bytes.TrimSpace(args)) == 0 {
			args = []byte("{}")
		}
		if _, ok := object(args); !ok || c.Function.Name == "" {
			w.cut = true
			continue
		}
		c.Function.Index, c.Function.Arguments = len(calls), args
		calls = append(calls, c)
	}
	return calls
}

// line appends a line that is not the last.
func (w *ollamaWriter) line(dst []byte, text, thinking string, calls []ollamaCall, logprobs json.RawMessage) []byte {
	dst = w.open(dst, w.now())
	dst = w.said(dst, text, thinking, calls)
	dst = append(dst, `,"done":false`...)
	dst = ollamaTokens(dst, logprobs)
	return append(dst, "}\n"...)
}

func (w *ollamaWriter) open(dst []byte, now time.Time) []byte {
	dst = append(dst, w.head...)
	dst = now.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

// said appends what the assistant says.
func (w *ollamaWriter) said(dst []byte, text, thinking string, calls []ollamaCall) []byte {
	if w.generate {
		dst = append(dst, `,"response":`...)
	} else {
		dst = append(dst, `,"message":{"role":"assistant","content":`...)
	}
	dst = gjson.AppendJSONString(dst, text)
	if thinking != "" {
		dst = append(dst, `,"thinking":`...)
		dst = gjson.AppendJSONString(dst, thinking)
	}
	if len(calls) > 0 {
		dst = append(dst, `,"tool_calls":`...)
		dst = append(dst, marshal(calls)...)
	}
	if !w.generate {
		dst = append(dst, '}')
	}
	return dst
}

// ollamaTokens appends log probabilities, which are in OpenAI's shape.
func ollamaTokens(dst []byte, logprobs json.RawMessage) []byte {
	if tokens := gjson.GetBytes(logprobs, "content"); tokens.IsArray() && !emptyList(tokens) {
		dst = append(dst, `,"logprobs":`...)
		dst = append(dst, tokens.Raw...)
	}
	return dst
}

// End appends the calls and the line that ends the answer.
func (w *ollamaWriter) End(dst []byte) []byte {
	if calls := w.whole(); len(calls) > 0 {
		dst = w.line(dst, "", "", calls, nil)
	}
	now := w.now()
	dst = w.said(w.open(dst, now), "", "", nil)
	return append(w.close(dst, now), "}\n"...)
}

// close appends why the answer ended and what it took. How long the model was
// loaded, read and wrote is not known and left out: nothing was loaded for it.
func (w *ollamaWriter) close(dst []byte, now time.Time) []byte {
	dst = append(dst, `,"done":true,"done_reason":`...)
	dst = gjson.AppendJSONString(dst, w.reason())
	dst = append(dst, `,"total_duration":`...)
	dst = strconv.AppendInt(dst, int64(max(0, now.Sub(w.began))), 10)
	dst = append(dst, `,"load_duration":0`...)
	if u := w.usage; u != nil {
		dst = append(dst, `,"prompt_eval_count":`...)
		dst = strconv.AppendInt(dst, u.Input, 10)
		if u.CacheRead > 0 {
			dst = append(dst, `,"prompt_eval_cached_count":`...)
			dst = strconv.AppendInt(dst, u.CacheRead, 10)
		}
		dst = append(dst, `,"eval_count":`...)
		dst = strconv.AppendInt(dst, u.Output, 10)
	}
	return dst
}

// reason is the done_reason: Ollama's own where it answered, else "stop",
// calls included, "length", or "content_filter", for which it has no word.
func (w *ollamaWriter) reason() string {
	switch {
	case w.cut:
		return string(llm.FinishLength)
	case w.detail == "load", w.detail == "unload":
		return w.detail
	case w.finish == llm.FinishLength, w.finish == llm.FinishContentFilter:
		return string(w.finish)
	}
	return string(llm.FinishStop)
}

// Fail appends an error as the last line.
func (*ollamaWriter) Fail(dst []byte, p Problem) []byte {
	return append(append(dst, ollamaProblem(p)...), '\n')
}

// answer writes a whole answer as one object.
func (w *ollamaWriter) answer(a Answer) []byte {
	var c Choice
	if len(a.Choices) > 0 {
		c = a.Choices[0]
	}
	var text, thinking strings.Builder
	for _, p := range c.Parts {
		switch p.Kind {
		case llm.Text, llm.Refusal:
			text.WriteString(p.Text)
		case llm.Thinking:
			thinking.WriteString(p.Text)
		case llm.Call:
			w.call(llm.CallDelta{Index: len(w.calls), ID: p.Call.ID, Name: p.Call.Name, Args: string(p.Call.Args)})
		}
	}
	w.finish, w.detail, w.usage = c.Finish, c.FinishDetail, a.Usage
	now := w.now()
	dst := w.said(w.open(nil, now), text.String(), thinking.String(), w.whole())
	dst = ollamaTokens(w.close(dst, now), c.Logprobs)
	return append(dst, '}')
}
