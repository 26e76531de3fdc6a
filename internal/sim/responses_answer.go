package sim

import (
	"encoding/json"
	"fmt"
	"strings"

	"breakwater/internal/llm"
)

// responseBody writes the response object, in any of its states: with the
// output so far, and the usage once it is known.
func responseBody(c call, a answer, status string, output []string, ended bool) string {
	var asked map[string]json.RawMessage
	_ = json.Unmarshal(c.request, &asked) // no request is none
	or := func(name, fallback string) string {
		if value, ok := asked[name]; ok && string(value) != "null" {
			return compacted(value)
		}
		return fallback
	}
	incomplete, usage, completed := "null", "null", "null"
	if ended {
		usage = fmt.Sprintf(`{"input_tokens":%d,"input_tokens_details":{"cached_tokens":0},"output_tokens":%d,`+
			`"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}`, c.input, a.output(), len(a.thinking), c.input+a.output())
		switch a.finish {
		case finishLength:
			incomplete = `{"reason":"max_output_tokens"}`
		case finishFilter:
			incomplete = `{"reason":"content_filter"}`
		default:
			completed = fmt.Sprint(a.made.Unix())
		}
	}
	return fmt.Sprintf(`{"id":%q,"object":"response","created_at":%d,"status":%q,"background":false,"completed_at":%s,"error":null,`+
		`"incomplete_details":%s,"instructions":%s,"max_output_tokens":%s,"max_tool_calls":%s,"model":%s,"output":[%s],`+
		`"parallel_tool_calls":%s,"previous_response_id":%s,"prompt_cache_key":%s,"reasoning":%s,"safety_identifier":%s,`+
		`"service_tier":"default","store":%s,"temperature":%s,"text":%s,"tool_choice":%s,"tools":%s,"top_logprobs":%s,"top_p":%s,`+
		`"truncation":%s,"usage":%s,"user":%s,"metadata":%s}`,
		responseID(a), a.made.Unix(), status, completed, incomplete, or("instructions", "null"), or("max_output_tokens", "null"),
		or("max_tool_calls", "null"), quote(a.model), strings.Join(output, ","), or("parallel_tool_calls", "true"),
		or("previous_response_id", "null"), or("prompt_cache_key", "null"), or("reasoning", `{"effort":null,"summary":null}`),
		or("safety_identifier", "null"), or("store", "true"), or("temperature", "1.0"),
		or("text", `{"format":{"type":"text"},"verbosity":"medium"}`), or("tool_choice", `"auto"`), or("tools", "[]"),
		or("top_logprobs", "0"), or("top_p", "1.0"), or("truncation", `"disabled"`), usage, or("user", "null"), or("metadata", "{}"))
}

func responseID(a answer) string { return "resp_" + strings.ToLower(a.id) }

// responseStatus gives the status with which an answer ends.
func responseStatus(a answer) string {
	if a.finish == finishLength || a.finish == finishFilter {
		return "incomplete"
	}
	return "completed"
}

// outputItems are the items of an answer in their last state.
type outputItems struct {
	c call
	a answer
}

func (o outputItems) id(prefix string, n int) string {
	return fmt.Sprintf("%s_%s%02d", prefix, strings.ToLower(o.a.id), n)
}

func (o outputItems) reasoning(done bool) string {
	summary, sealed := "[]", ""
	if done && !o.c.hides {
		summary = fmt.Sprintf(`[{"type":"summary_text","text":%s}]`, quote(o.a.thought()))
	}
	if o.c.sealed {
		sealed = fmt.Sprintf(`,"encrypted_content":%q`, sign(llm.OpenAI, o.a.thought()))
	}
	return fmt.Sprintf(`{"id":%q,"type":"reasoning","summary":%s%s}`, o.id("rs", 0), summary, sealed)
}

func (o outputItems) text(done bool) string {
	if !done {
		return `{"type":"output_text","annotations":[],"logprobs":[],"text":""}`
	}
	return fmt.Sprintf(`{"type":"output_text","annotations":[],"logprobs":%s,"text":%s}`, o.logprobs(o.a.tokens), quote(o.a.text()))
}

func (o outputItems) logprobs(tokens []string) string {
	if !o.c.logprobs {
		return "[]"
	}
	return likelihoods(tokens, o.c.likely)
}

func (o outputItems) message(done bool) string {
	status, content := "in_progress", ""
	if done {
		status, content = "completed", o.text(true)
		if o.a.finish == finishLength && len(o.a.calls) == 0 {
			status = "incomplete"
		}
	}
	return fmt.Sprintf(`{"id":%q,"type":"message","status":%q,"content":[%s],"role":"assistant"}`, o.id("msg", 0), status, content)
}

func (o outputItems) call(n int, done bool) string {
	s := o.a.calls[n]
	status, args := "in_progress", ""
	if done {
		status, args = "completed", s.args
		if s.cut {
			status = "incomplete"
		}
	}
	return fmt.Sprintf(`{"id":%q,"type":"function_call","status":%q,"arguments":%s,"call_id":%q,"name":%s}`,
		o.id("fc", n), status, quote(args), openAICallID(s, 0), quote(s.name))
}

// all gives the whole output.
func (o outputItems) all() (list []string) {
	if len(o.a.thinking) > 0 {
		list = append(list, o.reasoning(true))
	}
	if len(o.a.tokens) > 0 || len(o.a.calls) == 0 {
		list = append(list, o.message(true))
	}
	for n := range o.a.calls {
		list = append(list, o.call(n, true))
	}
	return list
}

// remember stores a response that came to its end, where the request did not
// forbid it.
func (d responses) remember(c call, a answer, body string, output []string) {
	if c.kept == nil || a.finish == unfinished {
		return
	}
	k := keptResponse{id: responseID(a), body: body, items: c.kept}
	for _, raw := range output {
		var it item
		_ = json.Unmarshal([]byte(raw), &it) // written above
		k.items = append(k.items, it)
	}
	var asked struct{ Input json.RawMessage }
	_ = json.Unmarshal(c.request, &asked) // read before
	if json.Unmarshal(asked.Input, &k.input) != nil {
		k.input = []json.RawMessage{json.RawMessage(fmt.Sprintf(`{"type":"message","role":"user","content":[{"type":"input_text","text":%s}]}`, asked.Input))}
	}
	d.memory.keep(k)
}

func (d responses) whole(c call, a answer) response {
	output := outputItems{c, a}.all()
	status := responseStatus(a)
	if a.finish == unfinished {
		status = "in_progress"
	}
	body := responseBody(c, a, status, output, a.finish != unfinished)
	d.remember(c, a, body, output)
	return response{status: 200, header: contentType("application/json"), body: indent(body)}
}

// responseEvents builds the events of a stream.
type responseEvents struct {
	frames
	number int   // of the next event
	sent   []int // the number of the next event after so many tokens
	output int   // index of the item that is open
}

func (e *responseEvents) event(kind, rest string) string {
	frame := fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d,%s}\n\n", kind, kind, e.number, rest)
	e.number++
	return frame
}

// part gives an event within the open item: its fields come after the item's.
func (e *responseEvents) part(kind, id, rest string) string {
	return e.event(kind, fmt.Sprintf(`"item_id":%q,"output_index":%d,%s`, id, e.output, rest))
}

// said gives the event of a token: a delta, padded so that its size tells
// nothing of the text.
func (e *responseEvents) said(kind, id, rest string) {
	e.token(e.part(kind, id, fmt.Sprintf(`%s,"obfuscation":"%0*d"`, rest, 1+len(rest)%11, 0)))
	e.sent = append(e.sent, e.number)
}

// opened and closed begin and end an item.
func (e *responseEvents) opened(item string) {
	e.along(e.event("response.output_item.added", fmt.Sprintf(`"output_index":%d,"item":%s`, e.output, item)))
}

func (e *responseEvents) closed(item string) {
	e.along(e.event("response.output_item.done", fmt.Sprintf(`"output_index":%d,"item":%s`, e.output, item)))
	e.output++
}

func (d responses) stream(c call, a answer) frames {
	e := responseEvents{frames: frames{contentType: "text/event-stream; charset=utf-8"}}
	o := outputItems{c, a}
	begun := `"response":` + responseBody(c, a, "in_progress", nil, false)
	e.along(e.event("response.created", begun))
	e.along(e.event("response.in_progress", begun))
	e.sent = []int{e.number}
	e.thoughts(o)
	e.message(o)
	e.calls(o)
	last := e.sent
	e.failure = func(sent int) string {
		return fmt.Sprintf("event: error\ndata: {\"type\":\"error\",\"sequence_number\":%d,\"code\":\"server_error\",\"message\":%s,\"param\":null}\n\n",
			last[min(sent, len(last)-1)], quote(openAIServerError))
	}
	if a.finish == unfinished {
		return e.frames
	}
	output := o.all()
	body := responseBody(c, a, responseStatus(a), output, true)
	d.remember(c, a, body, output)
	e.tail = []string{e.event("response."+responseStatus(a), `"response":`+body)}
	return e.frames
}

func (e *responseEvents) thoughts(o outputItems) {
	if len(o.a.thinking) == 0 {
		return
	}
	id := o.id("rs", 0)
	e.opened(o.reasoning(false))
	if !o.c.hides {
		part := func(text string) string {
			return fmt.Sprintf(`"summary_index":0,"part":{"type":"summary_text","text":%s}`, quote(text))
		}
		e.along(e.part("response.reasoning_summary_part.added", id, part("")))
		for _, token := range o.a.thinking {
			e.said("response.reasoning_summary_text.delta", id, `"summary_index":0,"delta":`+quote(token))
		}
		e.along(e.part("response.reasoning_summary_text.done", id, `"summary_index":0,"text":`+quote(o.a.thought())))
		e.along(e.part("response.reasoning_summary_part.done", id, part(o.a.thought())))
	}
	e.closed(o.reasoning(true))
}

// message sends the text. The events that end it need its end, which an
// unfinished answer does not have where it is all there is.
func (e *responseEvents) message(o outputItems) {
	if len(o.a.tokens) == 0 && len(o.a.calls) > 0 {
		return
	}
	id := o.id("msg", 0)
	e.opened(o.message(false))
	e.along(e.part("response.content_part.added", id, `"content_index":0,"part":`+o.text(false)))
	for _, token := range o.a.tokens {
		e.said("response.output_text.delta", id, fmt.Sprintf(`"content_index":0,"delta":%s,"logprobs":%s`, quote(token), o.logprobs([]string{token})))
	}
	if o.a.finish == unfinished && len(o.a.calls) == 0 {
		return
	}
	e.along(e.part("response.output_text.done", id, fmt.Sprintf(`"content_index":0,"text":%s,"logprobs":%s`, quote(o.a.text()), o.logprobs(o.a.tokens))))
	e.along(e.part("response.content_part.done", id, `"content_index":0,"part":`+o.text(true)))
	e.closed(o.message(true))
}

func (e *responseEvents) calls(o outputItems) {
	for n, s := range o.a.calls {
		id := o.id("fc", n)
		e.opened(o.call(n, false))
		for _, piece := range s.pieces {
			e.said("response.function_call_arguments.delta", id, `"delta":`+quote(piece))
		}
		if o.a.finish == unfinished && n == len(o.a.calls)-1 {
			return
		}
		e.along(e.part("response.function_call_arguments.done", id, `"arguments":`+quote(s.args)))
		e.closed(o.call(n, true))
	}
}
