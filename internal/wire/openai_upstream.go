package wire

import (
	"bytes"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Answers of OpenAI and of the many servers that speak its dialect, see
// https://developers.openai.com/api/reference/resources/chat and
// https://developers.openai.com/api/reference/resources/chat/subresources/completions/streaming-events (2026-11).
// What openai_parts.go says of messages is true of answers too.

// openAIFinish reads a finish_reason. One that is not known ended the answer
// in order all the same.
func openAIFinish(v gjson.Result) llm.FinishReason {
	switch v.String() {
	case "":
		return ""
	case "length":
		return llm.FinishLength
	case "tool_calls", "function_call":
		return llm.FinishToolCalls
	case "content_filter":
		return llm.FinishContentFilter
	}
	return llm.FinishStop
}

// openAIUsage reads a usage object; nil where there is none.
func openAIUsage(v gjson.Result) *llm.Usage {
	if !v.IsObject() {
		return nil
	}
	u := &llm.Usage{}
	each(v, func(name string, v gjson.Result) bool {
		switch name {
		case "prompt_tokens":
			u.Input = count(v)
		case "completion_tokens":
			u.Output = count(v)
		case "prompt_tokens_details":
			each(v, func(name string, v gjson.Result) bool {
				switch name {
				case "cached_tokens":
					u.CacheRead = count(v)
				case "cache_write_tokens":
					u.CacheWrite = count(v)
				case "audio_tokens":
					u.AudioIn = count(v)
				}
				return true
			})
		case "completion_tokens_details":
			each(v, func(name string, v gjson.Result) bool {
				switch name {
				case "reasoning_tokens":
					u.Reasoning = count(v)
				case "audio_tokens":
					u.AudioOut = count(v)
				}
				return true
			})
		}
		return true
	})
	return u
}

// openAIReader reads the events of one answer, or a whole one as if it were
// one event.
type openAIReader struct {
	req     *llm.Request
	own     bool // the caller speaks the same dialect
	choices []openAIChoice
	seed    string // of ids for calls that have none
	dst     []llm.Chunk
	text    gjson.Result // of the last choice, where it tells nothing else
	alike   alike
}

// openAIChoice is what is known of one of the answers.
type openAIChoice struct {
	calls   []openAICallSeen
	thought bool // reasoning came since the last signature of Claude's
	ended   bool // its finish reason came
}

// openAICallSeen is a call that began.
type openAICallSeen struct {
	index  int64 // the upstream's own
	id     string
	legacy bool // in the older form, function_call
	args   bool // some came
}

// wholeOpenAI reads a chat completion.
func wholeOpenAI(body []byte, req *llm.Request) ([]llm.Chunk, error) {
	o, ok := object(body)
	if !ok {
		return nil, garbage("the answer is not a JSON object", nil)
	}
	head, choices := openAIHeadOf(o)
	switch {
	case head.failed.IsObject():
		return nil, openAIFailure(0, body)
	case !choices.IsArray() || emptyList(choices):
		return nil, garbage("the answer has no choices", nil)
	}
	r := openAIReader{req: req, own: req.Dialect == llm.OpenAIChat, seed: o.Raw}
	each(choices, func(_ string, choice gjson.Result) bool {
		r.choice(choice)
		return true
	})
	r.end()
	content := false
	for _, c := range r.dst {
		content = content || c.HasContent()
	}
	if !content {
		return nil, garbage("the answer is empty", nil)
	}
	head.on(&r.dst[0])
	r.dst[0].Raw = body
	return r.dst, nil
}

// openAIHead is what an answer or an event of one says beside its choices.
type openAIHead struct {
	id, model, tier string
	usage           *llm.Usage
	failed          gjson.Result
}

func openAIHeadOf(o gjson.Result) (h openAIHead, choices gjson.Result) {
	each(o, func(name string, v gjson.Result) bool {
		switch name {
		case "error":
			h.failed = v
		case "id":
			h.id = v.String()
		case "model":
			h.model = v.String()
		case "service_tier":
			h.tier = v.String()
		case "usage":
			h.usage = openAIUsage(v)
		case "choices":
			choices = v
		}
		return true
	})
	return h, choices
}

// on writes it on the chunk that is first.
func (h openAIHead) on(c *llm.Chunk) {
	c.ID, c.Model, c.ServiceTier, c.Usage = h.id, h.model, h.tier, h.usage
}

// openAIEvents reads chat completion chunks. The stream ends with [DONE]; the
// usage comes before it in a chunk of its own without choices, which is hidden
// when the caller did not ask for it.
func openAIEvents(req *llm.Request) decoder {
	r := &openAIReader{req: req, own: req.Dialect == llm.OpenAIChat}
	return r.event
}

func (r *openAIReader) event(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
	if dst, known := r.alike.read(dst, e.Data); known {
		return dst, more, nil
	}
	r.dst = dst
	if string(bytes.TrimSpace(e.Data)) == "[DONE]" {
		r.end()
		return r.dst, ended, nil
	}
	o, ok := object(e.Data)
	if !ok {
		return dst, more, garbage("an event of the answer is not a JSON object", nil)
	}
	r.seed = o.Raw
	head, choices := openAIHeadOf(o)
	if head.failed.Type != gjson.Null {
		return dst, more, openAIFailure(0, e.Data)
	}
	n := 0
	each(choices, func(_ string, choice gjson.Result) bool {
		n++
		r.choice(choice)
		return true
	})
	if len(r.dst) == len(dst) {
		r.dst = append(r.dst, llm.Chunk{})
	}
	c := &r.dst[len(dst)]
	head.on(c)
	c.Hidden = r.own && !r.req.IncludeUsage && n == 0 && c.Usage != nil
	at := r.progress()
	if at == mayEnd {
		r.alike = alike{} // after its end nothing is as usual
	} else if n == 1 && c.Usage == nil && r.text.Exists() {
		r.alike.learn(e.Data, r.text, *c)
	}
	return r.dst, at, nil
}

// progress says that the answer may end when all choices have: some servers
// send no [DONE].
func (r *openAIReader) progress() progress {
	n := 1
	if r.req.N != nil {
		n = int(*r.req.N)
	}
	if len(r.choices) < n {
		return more
	}
	for _, c := range r.choices {
		if !c.ended {
			return more
		}
	}
	return mayEnd
}

// openAISaid are the fields of a message or a delta.
type openAISaid struct {
	content, refusal, reasoning, blocks, audio gjson.Result
	signature                                  string
	calls, functionCall, annotations           gjson.Result
}

// onlyText says whether there is nothing else than content.
func (m *openAISaid) onlyText() bool {
	return m.content.Type == gjson.String && m.refusal.Type == gjson.Null && m.reasoning.Str == "" && m.blocks.Type == gjson.Null &&
		m.audio.Type == gjson.Null && m.signature == "" && m.calls.Type == gjson.Null && m.functionCall.Type == gjson.Null && m.annotations.Type == gjson.Null
}

func openAISaidOf(v gjson.Result) openAISaid {
	var m openAISaid
	each(v, func(name string, v gjson.Result) bool {
		switch name {
		case "content":
			m.content = v
		case "refusal":
			m.refusal = v
		case "reasoning_content", "reasoning":
			if v.Type == gjson.String && v.Str != "" {
				m.reasoning = v
			}
		case "thinking_blocks":
			m.blocks = v
		case "audio":
			m.audio = v
		case "extra_content":
			m.signature = googleSignature(v)
		case "tool_calls":
			m.calls = v
		case "function_call":
			m.functionCall = v
		case "annotations":
			m.annotations = v
		}
		return true
	})
	return m
}

// choice reads a choice, whole or a piece of it: a chunk for each thing, in
// the order of its making.
func (r *openAIReader) choice(v gjson.Result) {
	var m openAISaid
	var probs, finish gjson.Result
	i := 0
	each(v, func(name string, v gjson.Result) bool {
		switch name {
		case "index":
			i = int(v.Int())
		case "delta", "message":
			m = openAISaidOf(v)
		case "logprobs":
			probs = v
		case "finish_reason":
			finish = v
		}
		return true
	})
	if i < 0 || i >= maxChoices {
		return
	}
	for len(r.choices) <= i {
		r.choices = append(r.choices, openAIChoice{})
	}
	r.text = gjson.Result{}
	if m.onlyText() && probs.Type == gjson.Null && finish.Type == gjson.Null {
		r.text = m.content
	}
	r.think(i, m)
	r.words(i, m, probs)
	r.calls(i, m)
	m.annotations.ForEach(func(_, v gjson.Result) bool {
		r.citation(i, v)
		return true
	})
	r.finish(i, finish)
}

func (r *openAIReader) emit(c llm.Chunk) { r.dst = append(r.dst, c) }

// think reads the reasoning: its text, and Claude's blocks. In a stream of
// this package's doors a block repeats the text that came before it, in other
// streams it comes in pieces along with the same text: only its signature is
// news then. Reasoning is content for a caller of the same dialect.
func (r *openAIReader) think(i int, m openAISaid) {
	state := &r.choices[i]
	blocks := m.blocks.Array()
	whole := len(blocks) > 0 && !state.thought && allSigned(blocks)
	if m.reasoning.Str != "" && !whole {
		state.thought = true
		r.emit(llm.Chunk{Choice: i, Thinking: m.reasoning.Str, Opaque: r.own})
	}
	for _, block := range blocks {
		p, ok := thinkingBlock(block)
		if !ok {
			r.emit(llm.Chunk{Choice: i, Opaque: true})
			continue
		}
		c := llm.Chunk{Choice: i, Signature: p.Signature, SignedBy: p.SignedBy, Redacted: p.Redacted, Opaque: r.own}
		if !state.thought {
			c.Thinking = p.Text
		}
		if c.Thinking != "" || c.Signature != "" {
			r.emit(c)
		}
		if p.Signature != "" && !p.Redacted {
			state.thought = false
		}
	}
}

// allSigned says whether blocks are whole: each has its signature.
func allSigned(blocks []gjson.Result) bool {
	for _, block := range blocks {
		if p, ok := thinkingBlock(block); !ok || p.Signature == "" {
			return false
		}
	}
	return true
}

// words reads the content and the refusal, and the log probabilities of either.
func (r *openAIReader) words(i int, m openAISaid, probs gjson.Result) {
	c := llm.Chunk{Choice: i, Signature: m.signature}
	if c.Signature != "" {
		c.SignedBy = llm.Gemini
	}
	switch {
	case m.content.Type == gjson.String:
		c.Text = m.content.Str
	case m.content.Type != gjson.Null && !emptyList(m.content):
		c.Opaque = true
	}
	if probs.IsObject() {
		c.Logprobs = []byte(probs.Raw)
	}
	if c.Text != "" || c.Signature != "" || c.Opaque || c.Logprobs != nil {
		r.emit(c)
	}
	if m.refusal.Type == gjson.String && m.refusal.Str != "" {
		r.emit(llm.Chunk{Choice: i, Refusal: m.refusal.Str})
	}
	if m.audio.Type != gjson.Null {
		r.emit(llm.Chunk{Choice: i, Opaque: true})
	}
}

// calls reads calls or pieces of them, in the present and the older form. A
// call of a custom tool no other words can say.
func (r *openAIReader) calls(i int, m openAISaid) {
	if m.functionCall.IsObject() {
		r.call(i, m.functionCall, openAICallSeen{index: -1, legacy: true}, "")
	}
	m.calls.ForEach(func(_, v gjson.Result) bool {
		if kind := v.Get("type").String(); kind == "custom" || v.Get("custom").Exists() {
			r.emit(llm.Chunk{Choice: i, Opaque: true})
			return true
		}
		seen := openAICallSeen{index: -1, id: v.Get("id").String()}
		if index := v.Get("index"); index.Type == gjson.Number {
			seen.index = index.Int()
		}
		r.call(i, v.Get("function"), seen, googleSignature(v.Get("extra_content")))
		return true
	})
}

// call reads a call or a piece of one. Pieces are told apart by their index;
// some servers give none, or the same for all: then a new id begins a new
// call, or without ids a name.
func (r *openAIReader) call(i int, function gjson.Result, seen openAICallSeen, signature string) {
	state := &r.choices[i]
	name := function.Get("name").String()
	at := len(state.calls) - 1
	if seen.index >= 0 {
		for at >= 0 && state.calls[at].index != seen.index {
			at--
		}
	}
	d := llm.CallDelta{Name: name}
	if at < 0 || seen.legacy != state.calls[at].legacy || name != "" && seen.begins(state.calls[at]) {
		at = len(state.calls)
		if seen.id == "" {
			seen.id = madeUpCallID(r.seed, i*maxChoices+at)
		}
		d.ID = seen.id
		state.calls = append(state.calls, seen)
	}
	d.Index = at
	switch args := function.Get("arguments"); {
	case args.Type == gjson.String:
		d.Args = args.Str
	case args.IsObject():
		d.Args = args.Raw
	}
	state.calls[at].args = state.calls[at].args || strings.TrimSpace(d.Args) != ""
	c := llm.Chunk{Choice: i, Call: &d, Signature: signature}
	if signature != "" {
		c.SignedBy = llm.Gemini
	}
	r.emit(c)
}

// begins says whether a piece that has a name is of another call than last.
func (c openAICallSeen) begins(last openAICallSeen) bool {
	if c.id == "" {
		return c.index < 0
	}
	return c.id != last.id
}

// finish ends a choice where there is a reason.
func (r *openAIReader) finish(i int, reason gjson.Result) {
	finish := openAIFinish(reason)
	if finish == "" {
		return
	}
	r.complete(i)
	r.choices[i].ended = true
	if finish == llm.FinishStop && len(r.choices[i].calls) > 0 {
		finish = llm.FinishToolCalls
	}
	c := llm.Chunk{Choice: i, Finish: finish}
	if reason.Str != string(finish) {
		c.FinishDetail = reason.Str
	}
	r.emit(c)
}

// end completes all choices.
func (r *openAIReader) end() {
	for i := range r.choices {
		r.complete(i)
	}
}

// complete gives calls that had no arguments theirs: none.
func (r *openAIReader) complete(i int) {
	calls := r.choices[i].calls
	for at := range calls {
		if !calls[at].args {
			calls[at].args = true
			r.emit(llm.Chunk{Choice: i, Call: &llm.CallDelta{Index: at, Args: "{}"}})
		}
	}
}

// citation reads an annotation.
func (r *openAIReader) citation(i int, v gjson.Result) {
	cited := v.Get("url_citation")
	if !cited.IsObject() {
		r.emit(llm.Chunk{Choice: i, Opaque: true})
		return
	}
	r.emit(llm.Chunk{Choice: i, Cite: &llm.Citation{
		URL: cited.Get("url").String(), Title: cited.Get("title").String(),
		Start: int(cited.Get("start_index").Int()), End: int(cited.Get("end_index").Int()),
	}})
}
