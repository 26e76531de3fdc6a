package wire

import (
	"encoding/json"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Answers of POST /api/chat, see https://docs.ollama.com/api/chat and
// https://docs.ollama.com/api/streaming (2026-11).

// ollamaEvents reads the lines of a streamed answer. The one that says done
// ends it; a line with an error may come at any time. "</think>" within the
// content is text: only Ollama knows how its models mark thinking.
func ollamaEvents(req *llm.Request) decoder {
	own := req.Dialect == llm.OllamaChat
	r := ollamaReader{own: own, single: !own && req.Parallel != nil && !*req.Parallel}
	return r.line
}

// ollamaReader reads one answer.
type ollamaReader struct {
	own    bool // the caller gets the lines as they are
	single bool // the caller wants one call at a time, which Ollama cannot be told
	calls  int  // so far
}

func (r *ollamaReader) line(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
	o, ok := object(e.Data)
	if !ok {
		return dst, more, garbage("a line of the answer is not a JSON object", nil)
	}
	var message, reason, logprobs gjson.Result
	var failed, done bool
	var model string
	o.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "error":
			failed = v.Type != gjson.Null
		case "model":
			model = v.String()
		case "message":
			message = v
		case "done":
			done = v.Bool()
		case "done_reason":
			reason = v
		case "logprobs":
			logprobs = v
		}
		return true
	})
	if failed {
		return dst, more, ollamaFailure(0, e.Data)
	}
	from := len(dst)
	dst, failure := r.message(dst, message, e.Data)
	if failure != nil {
		return dst, more, failure
	}
	if probs := ollamaLogprobs(logprobs); probs != nil {
		if len(dst) == from || dst[len(dst)-1].Text == "" {
			dst = append(dst, llm.Chunk{})
		}
		dst[len(dst)-1].Logprobs = probs
	}
	at := more
	if done {
		at = ended
		dst = append(dst, llm.Chunk{
			Finish: ollamaFinish(reason.String(), r.calls > 0), FinishDetail: reason.String(), Usage: ollamaUsage(o),
		})
	}
	if len(dst) > from {
		dst[from].Model = model
	}
	return dst, at, nil
}

// message reads what a line says: thinking, content, calls.
func (r *ollamaReader) message(dst []llm.Chunk, message gjson.Result, line []byte) ([]llm.Chunk, *llm.Failure) {
	var thinking, content string
	var calls, images gjson.Result
	message.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "content":
			content = v.String()
		case "thinking":
			thinking = v.String()
		case "tool_calls":
			calls = v
		case "images":
			images = v
		}
		return true
	})
	if thinking != "" {
		dst = append(dst, llm.Chunk{Thinking: thinking, Opaque: r.own})
	}
	if content != "" {
		dst = append(dst, llm.Chunk{Text: content})
	}
	if images.IsArray() && !emptyList(images) {
		dst = append(dst, llm.Chunk{Opaque: true})
	}
	var failure *llm.Failure
	calls.ForEach(func(_, v gjson.Result) bool {
		if r.single && r.calls > 0 {
			return false // the model asks again once it has the first result
		}
		call := &llm.CallDelta{Index: r.calls, ID: v.Get("id").String(), Name: v.Get("function.name").String()}
		if call.Args, failure = ollamaArguments(v.Get("function.arguments")); call.Name == "" {
			failure = garbage("a call of the answer names no tool", nil)
		}
		if failure != nil {
			return false
		}
		if call.ID == "" { // the line tells its time to the nanosecond: no other answer has the same
			call.ID = madeUpCallID(string(line), r.calls)
		}
		r.calls++
		dst = append(dst, llm.Chunk{Call: call})
		return true
	})
	return dst, failure
}

// ollamaArguments reads a call's arguments: an object.
func ollamaArguments(v gjson.Result) (string, *llm.Failure) {
	switch {
	case v.IsObject():
		return v.Raw, nil
	case !v.Exists() || v.Type == gjson.Null:
		return "{}", nil
	}
	return "", garbage("the arguments of a call of the answer are not an object", nil)
}

// ollamaFinish reads a done_reason. Calls end with "stop" like any answer.
func ollamaFinish(reason string, called bool) llm.FinishReason {
	switch {
	case called:
		return llm.FinishToolCalls
	case reason == "length":
		return llm.FinishLength
	case reason == string(llm.FinishContentFilter): // of a Breakwater behind this one
		return llm.FinishContentFilter
	}
	return llm.FinishStop
}

// ollamaUsage reads the counts of the last line; nil where there are none.
func ollamaUsage(o gjson.Result) *llm.Usage {
	input, output := o.Get("prompt_eval_count"), o.Get("eval_count")
	if !input.Exists() && !output.Exists() {
		return nil
	}
	return &llm.Usage{Input: count(input), Output: count(output), CacheRead: count(o.Get("prompt_eval_cached_count"))}
}

// ollamaLogprobs gives a line's log probabilities in OpenAI's shape, in which
// no field is left out; nil where there are none.
func ollamaLogprobs(v gjson.Result) json.RawMessage {
	if !v.IsArray() || emptyList(v) {
		return nil
	}
	type token struct {
		Token   string          `json:"token"`
		Logprob json.RawMessage `json:"logprob"`
		Bytes   json.RawMessage `json:"bytes"`
	}
	type tokens struct {
		token
		Top []token `json:"top_logprobs"`
	}
	read := func(v gjson.Result) token {
		t := token{v.Get("token").String(), json.RawMessage("null"), json.RawMessage("null")}
		if p := v.Get("logprob"); p.Type == gjson.Number {
			t.Logprob = json.RawMessage(p.Raw)
		}
		if b := v.Get("bytes"); b.IsArray() {
			t.Bytes = json.RawMessage(b.Raw)
		}
		return t
	}
	probs := struct {
		Content []tokens `json:"content"`
		Refusal *string  `json:"refusal"`
	}{}
	v.ForEach(func(_, v gjson.Result) bool {
		t := tokens{token: read(v), Top: []token{}}
		v.Get("top_logprobs").ForEach(func(_, v gjson.Result) bool {
			t.Top = append(t.Top, read(v))
			return true
		})
		probs.Content = append(probs.Content, t)
		return true
	})
	return marshal(probs)
}

// wholeOllama reads an answer that was not streamed: the one object that says
// all of it.
func wholeOllama(body []byte, req *llm.Request) ([]llm.Chunk, error) {
	chunks, at, failure := ollamaEvents(req)(nil, Event{Data: body})
	switch {
	case failure != nil:
		return nil, failure
	case at != ended:
		return nil, garbage("the answer is not whole", nil)
	}
	chunks[0].Raw = body
	return chunks, nil
}
