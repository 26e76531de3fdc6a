package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// geminiWriter writes a streamed answer. Calls are gathered until their
// choice goes on with something else or ends, since Gemini's are whole.
type geminiWriter struct {
	array   bool
	begun   bool
	raw     bool   // Gemini's own events are framed anew
	tail    string // of every response
	show    bool
	choices map[int]*geminiOut
	usage   *llm.Usage
	tier    string
}

// geminiOut is the state of one candidate.
type geminiOut struct {
	parts   geminiParts
	shown   string // thinking that is not signed yet
	calls   []*llm.Part
	byIndex map[int]*llm.Part
	text    strings.Builder // so far, for the places of citations
	cites   []llm.Citation
	probs   logprobs
	finish  llm.FinishReason
	detail  string
}

func newGeminiWriter(m Meta, array bool) *geminiWriter {
	tail := []byte(`,"modelVersion":`)
	tail = gjson.AppendJSONString(tail, m.Model)
	tail = append(tail, `,"responseId":`...)
	tail = gjson.AppendJSONString(tail, m.RequestID)
	return &geminiWriter{array: array, tail: string(append(tail, '}')), show: showsThoughts(m.Request), choices: make(map[int]*geminiOut, 1)}
}

func (w *geminiWriter) ContentType() string {
	if w.array {
		return "application/json; charset=UTF-8"
	}
	return "text/event-stream"
}

// Chunk appends text and thinking at once, and the calls before them. Finish reason and usage wait for
// End, since providers tell them in any order.
func (w *geminiWriter) Chunk(dst []byte, c llm.Chunk) []byte {
	w.raw = false // after a handover the rest is ours
	if c.Usage != nil {
		w.usage = c.Usage
	}
	if c.ServiceTier != "" {
		w.tier = c.ServiceTier
	}
	o := w.choices[c.Choice]
	if o == nil {
		if c.Choice < 0 || c.Choice >= maxChoices {
			return dst
		}
		o = &geminiOut{byIndex: make(map[int]*llm.Part), parts: geminiParts{show: w.show}}
		w.choices[c.Choice] = o
	}
	if c.Cite != nil {
		o.cites = append(o.cites, *c.Cite)
	}
	if c.Finish != "" {
		o.finish, o.detail = c.Finish, c.FinishDetail
	}
	if c.Logprobs != nil {
		var more logprobs
		if json.Unmarshal(c.Logprobs, &more) == nil {
			o.probs.Content = append(o.probs.Content, more.Content...)
		}
	}
	if c.Call != nil {
		o.call(c)
		return dst
	}
	if c.Text != "" && c.Thinking == "" && c.Refusal == "" && c.Signature == "" && len(o.calls) == 0 && len(o.parts.pending) == 0 {
		o.keep(c.Text)
		return w.text(dst, c.Choice, c.Text)
	}
	if parts := o.said(c); len(parts) > 0 {
		dst = w.response(dst, geminiCandidate{Content: geminiContent{Role: "model", Parts: parts}, Index: c.Choice}, false)
	}
	return dst
}

// keep keeps text for the places of citations.
func (o *geminiOut) keep(text string) {
	if o.text.Len() < maxCitedText {
		o.text.WriteString(text)
	}
}

// text appends a response of nothing but text, without an allocation.
func (w *geminiWriter) text(dst []byte, choice int, text string) []byte {
	dst = append(w.open(dst), `{"candidates":[{"content":{"parts":[{"text":`...)
	dst = gjson.AppendJSONString(dst, text)
	dst = append(dst, `}],"role":"model"},"index":`...)
	dst = strconv.AppendInt(dst, int64(choice), 10)
	dst = append(append(dst, "}]"...), w.tail...)
	return w.close(dst)
}

// said gives the parts of words and signatures, behind the calls before them.
func (o *geminiOut) said(c llm.Chunk) (parts []geminiPart) {
	sign := func(p llm.Part) llm.Part {
		p.Signature, p.SignedBy, p.Redacted = c.Signature, c.SignedBy, c.Redacted
		return p
	}
	if c.Thinking == "" && c.Text == "" && c.Refusal == "" && c.Signature == "" {
		return nil
	}
	parts = o.flush(false)
	switch {
	case c.Thinking != "" || c.Signature != "" && c.Text == "":
		parts = append(parts, o.thinking(sign(llm.Part{Kind: llm.Thinking, Text: c.Thinking}))...)
	case c.Text != "":
		o.keep(c.Text)
		parts = append(parts, o.parts.part(sign(llm.Part{Kind: llm.Text, Text: c.Text}))...)
	}
	if c.Refusal != "" {
		parts = append(parts, o.parts.part(llm.Part{Kind: llm.Text, Text: c.Refusal})...)
	}
	return parts
}

// thinking shows a piece of thinking, and once it is signed by another
// provider keeps the whole for the next part's signature.
func (o *geminiOut) thinking(p llm.Part) []geminiPart {
	foreign := p.SignedBy != llm.Gemini
	if foreign && !p.Redacted {
		o.shown += p.Text
	}
	if foreign && p.Signature != "" {
		whole := geminiSealed{By: p.SignedBy, Signature: p.Signature, Redacted: p.Redacted}
		if !p.Redacted {
			whole.Text, o.shown = o.shown, ""
		}
		o.parts.pending = append(o.parts.pending, whole)
		p.Signature, p.SignedBy = "", ""
	}
	return o.parts.part(p)
}

func (o *geminiOut) call(c llm.Chunk) {
	p := o.byIndex[c.Call.Index]
	if p == nil {
		if c.Call.ID == "" && strings.TrimSpace(c.Call.Args) == "" { // behind a call that was told
			return
		}
		p = &llm.Part{Kind: llm.Call, Call: &llm.ToolCall{}}
		o.byIndex[c.Call.Index] = p
		o.calls = append(o.calls, p)
	}
	if c.Call.ID != "" {
		p.Call.ID = c.Call.ID
	}
	if c.Call.Name != "" {
		p.Call.Name = c.Call.Name
	}
	if c.Signature != "" {
		p.Signature, p.SignedBy = c.Signature, c.SignedBy
	}
	p.Call.Args = append(p.Call.Args, c.Call.Args...)
}

// flush gives the calls that have come: all, or those ahead of the first that
// is not whole.
func (o *geminiOut) flush(all bool) (parts []geminiPart) {
	n := 0
	for _, p := range o.calls {
		if _, whole := object(p.Call.Args); !whole && !all {
			break
		}
		parts = append(parts, o.parts.part(*p)...)
		n++
	}
	if n == 0 {
		return parts
	}
	o.calls = o.calls[n:]
	maps.DeleteFunc(o.byIndex, func(_ int, p *llm.Part) bool { return !slices.Contains(o.calls, p) })
	return parts
}

// response appends one response in the stream's framing.
func (w *geminiWriter) response(dst []byte, c geminiCandidate, last bool) []byte {
	dst = w.open(dst)
	dst = append(dst, `{"candidates":[`...)
	dst = append(dst, marshal(c)...)
	dst = append(dst, ']')
	if usage := geminiUsageOf(w.usage, w.tier); last && usage != nil {
		dst = append(dst, `,"usageMetadata":`...)
		dst = append(dst, marshal(usage)...)
	}
	dst = append(dst, w.tail...)
	return w.close(dst)
}

// Reframe appends what Gemini itself sent, as an element of the array.
func (w *geminiWriter) Reframe(dst, event []byte) []byte {
	w.raw = true
	for r := NewSSEReader(bytes.NewReader(event), DefaultMaxEvent); ; {
		e, err := r.Next()
		if err != nil {
			return dst
		}
		if len(e.Data) > 0 {
			dst = append(w.open(dst), e.Data...)
		}
	}
}

// open and close write what stands around a response.
func (w *geminiWriter) open(dst []byte) []byte {
	switch {
	case !w.array:
		return append(dst, "data: "...)
	case w.begun:
		return append(dst, ",\r\n"...)
	}
	w.begun = true
	return append(dst, '[')
}

func (w *geminiWriter) close(dst []byte) []byte {
	if w.array {
		return dst
	}
	return append(dst, "\r\n\r\n"...)
}

// End appends the last response of each choice, with its calls, its finish
// reason, its sources and, in the last, the usage. It always has a part, since
// clients pass over responses without.
func (w *geminiWriter) End(dst []byte) []byte {
	if w.raw {
		return append(dst, "]\n"...)
	}
	if len(w.choices) == 0 {
		w.choices[0] = &geminiOut{}
	}
	indices := slices.Sorted(maps.Keys(w.choices))
	for n, i := range indices {
		o := w.choices[i]
		parts := append(o.flush(true), o.parts.end()...)
		if len(parts) == 0 {
			parts = []geminiPart{{Text: new(string)}}
		}
		c := geminiCandidate{
			Content: geminiContent{Role: "model", Parts: parts}, Index: i,
			Finish: o.parts.reason(o.finish, o.detail), Grounding: geminiGroundingOf(o.cites, o.text.String()),
		}
		if o.probs.Content != nil {
			c.Logprobs = geminiProbsOf(marshal(o.probs))
		}
		dst = w.response(dst, c, n == len(indices)-1)
	}
	if w.array {
		dst = append(dst, "]\n"...)
	}
	return dst
}

// Fail appends an error as the last event, and closes the array so that it can
// be read.
func (w *geminiWriter) Fail(dst []byte, p Problem) []byte {
	dst = w.open(dst)
	dst = append(dst, geminiProblem(p)...)
	dst = w.close(dst)
	if w.array {
		dst = append(dst, "]\n"...)
	}
	return dst
}
