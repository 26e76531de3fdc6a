package wire

import (
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// anthropicFinish reads a stop_reason, see
// https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
// (2026-11).
func anthropicFinish(reason string, calls int) llm.FinishReason {
	switch reason {
	case "":
		return ""
	case "max_tokens", "model_context_window_exceeded":
		return llm.FinishLength
	case "refusal":
		return llm.FinishContentFilter
	}
	if reason == "tool_use" || calls > 0 {
		return llm.FinishToolCalls
	}
	return llm.FinishStop // end_turn, stop_sequence, pause_turn
}

// anthropicUsage collects usage. A later report repeats and overrides an
// earlier one, field by field; input_tokens leaves out the cached ones. The
// parts of cache_creation are read where their sum is not told.
type anthropicUsage struct {
	input, read, written, hour, output, thinking int64
	told, sum                                    bool
	tier                                         string
}

func (u *anthropicUsage) report(v gjson.Result) *llm.Usage {
	v.ForEach(func(key, v gjson.Result) bool {
		if v.Type == gjson.Null {
			return true
		}
		switch key.Str {
		case "input_tokens":
			u.input = count(v)
		case "cache_read_input_tokens":
			u.read = count(v)
		case "cache_creation_input_tokens":
			u.written, u.sum = count(v), true
		case "cache_creation":
			u.hour = count(v.Get("ephemeral_1h_input_tokens"))
			if !u.sum {
				u.written = count(v.Get("ephemeral_5m_input_tokens")) + u.hour
			}
		case "output_tokens":
			u.output = count(v)
		case "output_tokens_details":
			u.thinking = count(v.Get("thinking_tokens"))
		case "service_tier":
			u.tier = v.String()
		}
		u.told = true
		return true
	})
	if !u.told {
		return nil
	}
	return &llm.Usage{
		Input: u.input + u.read + u.written, CacheRead: u.read, CacheWrite: u.written, CacheWrite1h: min(u.hour, u.written),
		Output: u.output, Reasoning: u.thinking,
	}
}

// anthropicReader reads the blocks of one message.
type anthropicReader struct {
	// own says that the caller speaks Anthropic's dialect too and sees all of
	// the answer: thinking is content for it, and commits the route.
	own   bool
	usage anthropicUsage
	calls int
	chars int // of the text so far
	open  map[int64]*anthropicOpen
	alike alike // of the block that is open
}

// anthropicOpen is a block that is being read.
type anthropicOpen struct {
	kind  string
	call  int  // index of a tool_use
	args  bool // some were told
	start int  // where its text begins
	cites []llm.Citation
}

// start reads a block, or the first of one.
func (r *anthropicReader) start(dst []llm.Chunk, index int64, block gjson.Result) []llm.Chunk {
	b := &anthropicOpen{kind: block.Get("type").String(), start: r.chars}
	r.open[index] = b
	switch b.kind {
	case "text":
		dst = r.text(dst, block.Get("text").String())
		block.Get("citations").ForEach(func(_, c gjson.Result) bool {
			b.cites = append(b.cites, anthropicCite(c))
			return true
		})
	case "thinking":
		dst = r.thinking(dst, block.Get("thinking").String(), block.Get("signature").String())
	case "redacted_thinking":
		if data := block.Get("data").String(); data != "" {
			dst = append(dst, llm.Chunk{Signature: data, SignedBy: llm.Claude, Redacted: true, Opaque: r.own})
		}
	case "tool_use":
		b.call = r.calls
		r.calls++
		call := &llm.CallDelta{Index: b.call, ID: block.Get("id").String(), Name: block.Get("name").String()}
		if input := block.Get("input"); input.IsObject() && len(input.Map()) > 0 {
			call.Args, b.args = input.Raw, true
		}
		dst = append(dst, llm.Chunk{Call: call})
	default: // server_tool_use, web_search_tool_result and others
		dst = append(dst, llm.Chunk{Opaque: true})
	}
	return dst
}

func (r *anthropicReader) text(dst []llm.Chunk, text string) []llm.Chunk {
	if text == "" {
		return dst
	}
	r.chars += utf8.RuneCountInString(text)
	return append(dst, llm.Chunk{Text: text})
}

func (r *anthropicReader) thinking(dst []llm.Chunk, text, signature string) []llm.Chunk {
	if text != "" {
		dst = append(dst, llm.Chunk{Thinking: text, Opaque: r.own})
	}
	if signature != "" {
		dst = append(dst, llm.Chunk{Signature: signature, SignedBy: llm.Claude, Opaque: r.own})
	}
	return dst
}

// delta reads a further piece of a block.
func (r *anthropicReader) delta(dst []llm.Chunk, index int64, delta gjson.Result) []llm.Chunk {
	b := r.open[index]
	if b == nil { // one that was not announced
		b = &anthropicOpen{start: r.chars}
		r.open[index] = b
	}
	switch delta.Get("type").String() {
	case "text_delta":
		return r.text(dst, delta.Get("text").String())
	case "thinking_delta":
		return r.thinking(dst, delta.Get("thinking").String(), "")
	case "signature_delta":
		return r.thinking(dst, "", delta.Get("signature").String())
	case "citations_delta":
		b.cites = append(b.cites, anthropicCite(delta.Get("citation")))
		return dst
	case "input_json_delta":
		args := delta.Get("partial_json").String()
		switch {
		case b.kind != "tool_use":
			return append(dst, llm.Chunk{Opaque: true})
		case args == "":
			return dst
		}
		b.args = true
		return append(dst, llm.Chunk{Call: &llm.CallDelta{Index: b.call, Args: args}})
	}
	return append(dst, llm.Chunk{Opaque: true})
}

// stop ends a block: a call without any arguments has none, and only now is
// known which text the citations support.
func (r *anthropicReader) stop(dst []llm.Chunk, index int64) []llm.Chunk {
	b := r.open[index]
	if b == nil {
		return dst
	}
	delete(r.open, index)
	if b.kind == "tool_use" && !b.args {
		dst = append(dst, llm.Chunk{Call: &llm.CallDelta{Index: b.call, Args: "{}"}})
	}
	for _, c := range b.cites {
		if r.chars > b.start {
			c.Start, c.End = b.start, r.chars
		}
		dst = append(dst, llm.Chunk{Cite: &c})
	}
	return dst
}

// end reads why the answer ended: delta is the message or what changed of it.
func (r *anthropicReader) end(delta, usage gjson.Result) llm.Chunk {
	reason := delta.Get("stop_reason").String()
	return llm.Chunk{
		Finish: anthropicFinish(reason, r.calls), FinishDetail: reason,
		StopSequence: delta.Get("stop_sequence").String(),
		Refusal:      delta.Get("stop_details.explanation").String(),
		Usage:        r.usage.report(usage), ServiceTier: r.usage.tier,
	}
}

// anthropicCite reads a citation, see
// https://platform.claude.com/docs/en/build-with-claude/citations (2026-11).
func anthropicCite(c gjson.Result) llm.Citation {
	cite := llm.Citation{URL: c.Get("url").String(), Title: c.Get("title").String(), Text: c.Get("cited_text").String()}
	if cite.URL == "" {
		cite.URL = c.Get("source").String() // of a search result
	}
	if cite.Title == "" {
		cite.Title = c.Get("document_title").String()
	}
	return cite
}

// wholeAnthropic reads a message. An empty content list is legal.
func wholeAnthropic(body []byte, req *llm.Request) ([]llm.Chunk, error) {
	o, ok := object(body)
	switch {
	case !ok:
		return nil, garbage("the answer is not a JSON object", nil)
	case o.Get("type").String() == "error":
		return nil, anthropicFailure(0, body)
	case !o.Get("content").IsArray():
		return nil, garbage("the answer has no content", nil)
	}
	r := anthropicReader{own: req.Dialect == llm.AnthropicMessages, open: make(map[int64]*anthropicOpen)}
	chunks := []llm.Chunk{{ID: o.Get("id").String(), Model: o.Get("model").String(), Raw: body}}
	o.Get("content").ForEach(func(_, block gjson.Result) bool {
		chunks = r.stop(r.start(chunks, 0, block), 0)
		return true
	})
	chunks = append(chunks, r.end(o, o.Get("usage")))
	for _, c := range chunks {
		if c.HasContent() {
			return chunks, nil
		}
	}
	return nil, garbage("the answer is empty", nil)
}

// anthropicEvents reads the events of a streamed message, see
// https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11).
// The stream ends with message_stop. Pings and events that are not known yet
// are passed over.
func anthropicEvents(req *llm.Request) decoder {
	r := &anthropicReader{own: req.Dialect == llm.AnthropicMessages, open: make(map[int64]*anthropicOpen)}
	return r.event
}

func (r *anthropicReader) event(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
	if dst, known := r.alike.read(dst, e.Data); known {
		r.chars += utf8.RuneCountInString(dst[len(dst)-1].Text)
		return dst, more, nil
	}
	o, ok := object(e.Data)
	if !ok {
		return dst, more, garbage("an event of the answer is not a JSON object", nil)
	}
	index := o.Get("index").Int()
	switch o.Get("type").String() {
	case "error":
		return dst, more, anthropicFailure(0, e.Data)
	case "message_start":
		m := o.Get("message")
		dst = append(dst, llm.Chunk{ID: m.Get("id").String(), Model: m.Get("model").String(), Usage: r.usage.report(m.Get("usage")), ServiceTier: r.usage.tier})
	case "content_block_start":
		dst = r.start(dst, index, o.Get("content_block"))
	case "content_block_delta":
		delta := o.Get("delta")
		dst = r.delta(dst, index, delta)
		if delta.Get("type").String() == "text_delta" {
			r.alike.learn(e.Data, fieldOf(delta, "text"), llm.Chunk{})
		}
	case "content_block_stop":
		dst = r.stop(dst, index)
		r.alike = alike{}
	case "message_delta":
		end := r.end(o.Get("delta"), o.Get("usage"))
		if dst = append(dst, end); end.Finish != "" {
			return dst, mayEnd, nil // all but message_stop is there
		}
	case "message_stop":
		return dst, ended, nil
	}
	return dst, more, nil
}
