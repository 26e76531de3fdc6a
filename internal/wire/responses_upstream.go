package wire

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// OpenAI's own /v1/responses, which only callers of the same dialect reach: for
// others Chat Completions say as much. See
// https://developers.openai.com/api/reference/resources/responses and
// https://developers.openai.com/api/reference/resources/responses/streaming-events
// (2026-11).

// encodeResponses keeps the caller's body but for the model's name and what
// Breakwater itself has put into a conversation; OpenAI would look its ids up
// and find nothing.
func encodeResponses(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect != llm.OpenAIResponses {
		return Encoded{}, &RequestError{Message: "only a caller of /v1/responses is passed on to it"}
	}
	body := []byte(req.Body)
	var err error
	if gjson.GetBytes(body, "model").String() != model {
		if body, err = sjson.SetBytes(body, "model", model); err != nil {
			return Encoded{}, &RequestError{"model", "cannot be replaced in the body"}
		}
	}
	if body, err = forgetOurs(body); err != nil {
		return Encoded{}, &RequestError{"input", "cannot be changed in the body"}
	}
	return Encoded{Body: body}, nil
}

// lacksResponses believes a caller who speaks the provider's own dialect.
func lacksResponses(string, *llm.Request) []string { return nil }

// forgetOurs takes ids of Breakwater's own, and reasoning that other providers
// signed, out of a body.
func forgetOurs(body []byte) ([]byte, error) {
	if !bytes.Contains(body, []byte(ownMark)) && !bytes.Contains(body, []byte(sealPrefix)) {
		return body, nil
	}
	var err error
	if IsOwnID(gjson.GetBytes(body, "previous_response_id").String()) { // its items are in the input by now
		if body, err = sjson.DeleteBytes(body, "previous_response_id"); err != nil {
			return nil, err
		}
	}
	in := gjson.GetBytes(body, "input")
	if !in.IsArray() {
		return body, nil
	}
	kept, changed := []json.RawMessage{}, false
	for _, item := range in.Array() {
		_, sealed := openSeal(item.Get("encrypted_content").String())
		own := IsOwnID(item.Get("id").String())
		if item.Get("type").String() == "reasoning" && (sealed || own && item.Get("encrypted_content").String() == "") {
			changed = true
			continue
		}
		raw := item.Raw
		if own {
			changed = true
			if raw, err = sjson.Delete(raw, "id"); err != nil {
				return nil, err
			}
		}
		kept = append(kept, json.RawMessage(raw))
	}
	if !changed {
		return body, nil
	}
	return sjson.SetRawBytes(body, "input", marshal(kept))
}

// responsesReader reads the events of one answer, or a whole one as if it were one event.
type responsesReader struct {
	dst   []llm.Chunk
	items map[int64]*responsesSeen // by output index
	calls int
	read  int  // characters of text so far
	start int  // of them, before the content part that goes on
	told  bool // there is content so far
}

// responsesSeen is an item of an answer that began.
type responsesSeen struct {
	call   int // its index among the calls; -1 for other items
	custom bool
	args   bool // some arguments came
	words  bool // of a reasoning or message: some came
}

func (r *responsesReader) emit(c llm.Chunk) {
	r.told = r.told || c.HasContent()
	r.dst = append(r.dst, c)
}

// seen gives what is known of an item.
func (r *responsesReader) seen(index int64) *responsesSeen {
	if r.items == nil {
		r.items = map[int64]*responsesSeen{}
	}
	s := r.items[index]
	if s == nil {
		s = &responsesSeen{call: -1}
		if len(r.items) < maxItems {
			r.items[index] = s
		}
	}
	return s
}

// maxItems bounds the items of one answer that are remembered: long agentic
// answers have some hundreds.
const maxItems = 1 << 14

// wholeResponses reads a response object.
func wholeResponses(body []byte, _ *llm.Request) ([]llm.Chunk, error) {
	o, ok := object(body)
	if !ok {
		return nil, garbage("the answer is not a JSON object", nil)
	}
	if o.Get("error").IsObject() || o.Get("error").Type == gjson.String {
		return nil, openAIFailure(0, body)
	}
	if !o.Get("output").IsArray() {
		return nil, garbage("the answer has no output", nil)
	}
	var r responsesReader
	if failure := r.ending(o); failure != nil {
		return nil, failure
	}
	r.dst[0].Raw = body
	return r.dst, nil
}

// eventsOfResponses reads the events of a stream, which ends with
// response.completed or response.incomplete.
func eventsOfResponses(*llm.Request) decoder { return new(responsesReader).event }

func (r *responsesReader) event(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
	r.dst = dst
	if string(bytes.TrimSpace(e.Data)) == "[DONE]" { // of compatible servers; it says nothing that is not known
		return dst, more, nil
	}
	o, ok := object(e.Data)
	if !ok {
		return dst, more, garbage("an event of the answer is not a JSON object", nil)
	}
	switch kind := o.Get("type").String(); kind {
	case "response.created", "response.in_progress", "response.queued":
		answer := o.Get("response")
		r.emit(llm.Chunk{ID: answer.Get("id").String(), Model: answer.Get("model").String()})
	case "response.completed", "response.incomplete":
		failure := r.ending(o.Get("response"))
		return r.dst, ended, failure
	case "response.failed", "response.cancelled":
		return dst, more, openAIFailure(0, []byte(o.Get("response").Raw))
	case "error", "response.error":
		if o.Get("error").IsObject() {
			return dst, more, openAIFailure(0, e.Data)
		}
		return dst, more, openAIClass(0, o.Get("code").String(), o.Get("message").String())
	case "":
		if o.Get("error").Exists() {
			return dst, more, openAIFailure(0, e.Data)
		}
	default:
		r.piece(kind, o)
	}
	return r.dst, more, nil
}

// piece reads an event in the middle of an answer. One of a kind that is not
// known tells of an item that began before.
func (r *responsesReader) piece(kind string, o gjson.Result) {
	index := o.Get("output_index").Int()
	switch kind {
	case "response.output_item.added":
		r.began(index, o.Get("item"))
	case "response.output_item.done":
		r.done(index, o.Get("item"))
	case "response.content_part.added":
		r.start = r.read
	case "response.output_text.delta":
		r.text(index, o.Get("delta").String(), o.Get("logprobs"))
	case "response.refusal.delta":
		r.seen(index).words = true
		r.emit(llm.Chunk{Refusal: o.Get("delta").String()})
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		r.seen(index).words = true
		r.emit(llm.Chunk{Thinking: o.Get("delta").String(), Opaque: true})
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		if s := r.seen(index); s.call >= 0 {
			r.args(s, o.Get("delta").String())
		}
	case "response.output_text.annotation.added":
		r.cite(o.Get("annotation"))
	}
}

// text reads words of a message.
func (r *responsesReader) text(index int64, words string, logs gjson.Result) {
	c := llm.Chunk{Text: words}
	if logs.IsArray() && !emptyList(logs) {
		c.Logprobs = json.RawMessage(`{"content":` + logs.Raw + `,"refusal":null}`)
	}
	r.seen(index).words = true
	r.read += utf8.RuneCountInString(words)
	if c.Text != "" || c.Logprobs != nil {
		r.emit(c)
	}
}

// began reads an item that opens. Calls and what built-in tools do are content
// at once; messages and reasoning are once they have words.
func (r *responsesReader) began(index int64, item gjson.Result) {
	s := r.seen(index)
	switch kind := item.Get("type").String(); kind {
	case "message", "reasoning":
	case "function_call", "custom_tool_call":
		if s.call >= 0 {
			return
		}
		s.call, s.custom = r.calls, kind == "custom_tool_call"
		r.calls++
		r.emit(llm.Chunk{Call: &llm.CallDelta{Index: s.call, ID: item.Get("call_id").String(), Name: item.Get("name").String()}})
		if s.custom {
			r.emit(llm.Chunk{Call: &llm.CallDelta{Index: s.call, Args: `{"input":"`}})
		}
	default:
		r.emit(llm.Chunk{Opaque: true})
	}
}

// args reads arguments of a call. The input of a custom tool, which is any
// text, stands in a JSON object as the shared words want it.
func (r *responsesReader) args(s *responsesSeen, piece string) {
	s.args = true
	if s.custom {
		quoted := gjson.AppendJSONString(nil, piece)
		piece = string(quoted[1 : len(quoted)-1])
	}
	if piece != "" {
		r.emit(llm.Chunk{Call: &llm.CallDelta{Index: s.call, Args: piece}})
	}
}

// done reads an item that is whole: what its deltas have not told, and what
// only the end tells.
func (r *responsesReader) done(index int64, item gjson.Result) {
	s := r.seen(index)
	switch item.Get("type").String() {
	case "function_call", "custom_tool_call":
		if s.call < 0 {
			r.began(index, item)
		}
		if said := item.Get("arguments").String() + item.Get("input").String(); !s.args && said != "" {
			r.args(s, said)
		}
		if s.custom {
			r.emit(llm.Chunk{Call: &llm.CallDelta{Index: s.call, Args: `"}`}})
		} else if !s.args {
			r.args(s, "{}")
		}
	case "reasoning":
		if !s.words {
			s.words = r.thoughts(item)
		}
		if sealed := item.Get("encrypted_content").String(); sealed != "" {
			r.emit(llm.Chunk{Signature: sealed, SignedBy: llm.OpenAI, Redacted: !s.words})
		}
	case "message":
		if !s.words {
			r.said(index, item)
		}
	}
}

// thoughts reads the words of a reasoning item, and says whether it has any.
func (r *responsesReader) thoughts(item gjson.Result) (any bool) {
	for _, field := range [...]string{"content", "summary"} {
		for _, part := range item.Get(field).Array() {
			if words := part.Get("text").String(); words != "" {
				r.emit(llm.Chunk{Thinking: words, Opaque: true})
				any = true
			}
		}
	}
	return any
}

// said reads the parts of a message.
func (r *responsesReader) said(index int64, item gjson.Result) {
	for _, part := range item.Get("content").Array() {
		switch part.Get("type").String() {
		case "output_text":
			r.start = r.read
			r.text(index, part.Get("text").String(), part.Get("logprobs"))
			part.Get("annotations").ForEach(func(_, v gjson.Result) bool {
				r.cite(v)
				return true
			})
		case "refusal":
			r.emit(llm.Chunk{Refusal: part.Get("refusal").String()})
		default:
			r.emit(llm.Chunk{Opaque: true})
		}
	}
}

// cite reads an annotation, whose place is counted within its part.
func (r *responsesReader) cite(v gjson.Result) {
	if v.Get("type").String() != "url_citation" {
		r.emit(llm.Chunk{Opaque: true})
		return
	}
	c := llm.Citation{URL: v.Get("url").String(), Title: v.Get("title").String()}
	if end := int(v.Get("end_index").Int()); end > 0 {
		c.Start, c.End = r.start+int(v.Get("start_index").Int()), r.start+end
	}
	r.emit(llm.Chunk{Cite: &c})
}

// ending reads a response object at the answer's end. Items that no event
// told of are read from it.
func (r *responsesReader) ending(o gjson.Result) *llm.Failure {
	status := o.Get("status").String()
	if status == "failed" || status == "cancelled" {
		return openAIFailure(0, []byte(o.Raw))
	}
	if len(r.items) == 0 {
		for i, item := range o.Get("output").Array() {
			r.began(int64(i), item)
			r.done(int64(i), item)
		}
	}
	c := llm.Chunk{
		ID: o.Get("id").String(), Model: o.Get("model").String(),
		Usage: usageOfResponses(o.Get("usage")), ServiceTier: o.Get("service_tier").String(),
		Finish: llm.FinishStop,
	}
	if r.calls > 0 {
		c.Finish = llm.FinishToolCalls
	}
	switch status {
	case "queued", "in_progress": // in the background: the caller asks for it later
		c.Opaque, c.Finish = true, ""
	case "incomplete":
		c.FinishDetail = o.Get("incomplete_details.reason").String()
		switch c.FinishDetail {
		case "max_output_tokens":
			c.Finish = llm.FinishLength
		case "content_filter":
			c.Finish = llm.FinishContentFilter
		}
	default:
		if !r.told {
			return garbage("the answer is empty", nil)
		}
	}
	r.emit(c)
	return nil
}

// usageOfResponses reads a usage object; nil where there is none.
func usageOfResponses(v gjson.Result) *llm.Usage {
	if !v.IsObject() {
		return nil
	}
	return &llm.Usage{
		Input:      count(v.Get("input_tokens")),
		CacheRead:  count(v.Get("input_tokens_details.cached_tokens")),
		CacheWrite: count(v.Get("input_tokens_details.cache_write_tokens")),
		Output:     count(v.Get("output_tokens")),
		Reasoning:  count(v.Get("output_tokens_details.reasoning_tokens")),
	}
}
