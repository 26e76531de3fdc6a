package wire

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// ResponsesDoor is OpenAI's Responses API, see
// https://developers.openai.com/api/reference/resources/responses (2026-11).
// Its Writer is a Keeper.
func ResponsesDoor() Door {
	return Door{
		Dialect: llm.OpenAIResponses,
		Decode:  responsesDecode,
		Answer:  responsesAnswer,
		Stream:  func(m Meta) Writer { return newResponsesStream(m, false) },
		Problem: func(p Problem) []byte {
			return OpenAIError{Message: p.Message, Type: p.Type, Param: p.Param, Code: p.Code}.Body()
		},
	}
}

// ResponsesID is the id of the answer to the request with this public id.
func ResponsesID(requestID string) string { return "resp_" + ownMark + requestID }

// Keeper is a Writer that knows the whole answer at its end, for who keeps
// conversations.
type Keeper interface {
	Follower
	// Response gives the response object of a complete answer; nil before
	// its end is written.
	Response() json.RawMessage
}

// responsesAnswer writes a whole answer: what a stream of its parts would end with.
func responsesAnswer(m Meta, a Answer) []byte {
	s := newResponsesStream(m, true)
	s.usage, s.tier = a.Usage, a.ServiceTier
	if len(a.Choices) > 0 {
		s.choice(a.Choices[0])
	}
	s.close()
	return s.response(nil, s.status(), "")
}

// choice takes a whole answer's parts, each citation behind the text that it
// supports.
func (s *responsesStream) choice(c Choice) {
	last := 0
	for i, p := range c.Parts {
		if p.Kind == llm.Text {
			last = i
		}
	}
	calls, read := 0, 0
	cites, probs := c.Citations, c.Logprobs
	for i, p := range c.Parts {
		chunk := llm.Chunk{Signature: p.Signature, SignedBy: p.SignedBy, Redacted: p.Redacted}
		switch p.Kind {
		case llm.Thinking:
			chunk.Thinking = p.Text
		case llm.Text:
			chunk.Text = p.Text
			chunk.Logprobs, probs = probs, nil
		case llm.Refusal:
			chunk.Refusal = p.Text
		case llm.Call:
			chunk.Call = &llm.CallDelta{Index: calls, ID: p.Call.ID, Name: p.Call.Name, Args: string(p.Call.Args)}
			calls++
		}
		if p.Kind != llm.Text {
			s.Chunk(nil, chunk)
			continue
		}
		sign := llm.Chunk{Signature: chunk.Signature, SignedBy: chunk.SignedBy}
		chunk.Signature = ""
		s.Chunk(nil, chunk)
		read += utf8.RuneCountInString(p.Text)
		for len(cites) > 0 && (i == last || cites[0].End <= read && cites[0].End > 0) {
			s.Chunk(nil, llm.Chunk{Cite: &cites[0]})
			cites = cites[1:]
		}
		if sign.Signature != "" {
			s.signText(sign)
		}
	}
	for _, cite := range cites { // of an answer without text
		s.Chunk(nil, llm.Chunk{Cite: &cite})
	}
	s.finish = c.Finish
}

// responsesEcho holds the parts of the response object that repeat the
// request's settings, or say the defaults, before and behind its output.
type responsesEcho struct{ head, middle, tail string }

func newResponsesEcho(m Meta) responsesEcho {
	var asked gjson.Result
	if m.Request != nil {
		asked = gjson.ParseBytes(m.Request.Body)
	}
	field := func(b []byte, name, otherwise string) []byte {
		b = append(b, `,"`...)
		b = append(b, name...)
		b = append(b, `":`...)
		if v := asked.Get(name); v.Exists() && v.Type != gjson.Null {
			otherwise = oneLine(v.Raw)
		}
		return append(b, otherwise...)
	}
	var e responsesEcho
	b := append([]byte(nil), `{"id":`...)
	b = gjson.AppendJSONString(b, ResponsesID(m.RequestID))
	b = append(b, `,"object":"response","created_at":`...)
	b = strconv.AppendInt(b, m.Created.Unix(), 10)
	e.head = string(b)

	b = append(b[:0], `,"background":false`...)
	b = field(b, "instructions", "null")
	b = field(b, "max_output_tokens", "null")
	b = field(b, "max_tool_calls", "null")
	b = append(b, `,"model":`...)
	b = gjson.AppendJSONString(b, m.Model)
	e.middle = string(b)

	b = field(b[:0], "parallel_tool_calls", "true")
	b = field(b, "previous_response_id", "null")
	b = field(b, "prompt_cache_key", "null")
	b = append(b, `,"reasoning":`...)
	b = objectWith(b, asked.Get("reasoning"), [][2]string{{"effort", "null"}, {"summary", "null"}})
	b = field(b, "safety_identifier", "null")
	b = append(b, `,"store":`...)
	b = strconv.AppendBool(b, m.Kept)
	b = field(b, "temperature", "1.0")
	b = append(b, `,"text":`...)
	b = objectWith(b, asked.Get("text"), [][2]string{{"format", `{"type":"text"}`}, {"verbosity", `"medium"`}})
	b = field(b, "tool_choice", `"auto"`)
	b = field(b, "tools", "[]")
	b = field(b, "top_logprobs", "0")
	b = field(b, "top_p", "1.0")
	b = field(b, "truncation", `"disabled"`)
	b = field(b, "user", "null")
	b = field(b, "metadata", "{}")
	e.tail = string(b)
	return e
}

// oneLine writes JSON without line breaks, which would end an event's data.
func oneLine(raw string) string {
	if !strings.ContainsAny(raw, "\r\n") {
		return raw
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(raw) // in a string they are escaped
}

// objectWith writes an object with at least the given fields.
func objectWith(b []byte, o gjson.Result, fields [][2]string) []byte {
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `"`+f[0]+`":`...)
		if v := o.Get(f[0]); v.Exists() && v.Type != gjson.Null {
			b = append(b, oneLine(v.Raw)...)
		} else {
			b = append(b, f[1]...)
		}
	}
	return append(b, '}')
}

// response appends the response object as it is now. status is "in_progress",
// "completed", "incomplete" or "failed"; failure is the error's JSON, "" for none.
func (s *responsesStream) response(b []byte, status, failure string) []byte {
	b = append(b, s.echo.head...)
	b = append(b, `,"status":"`...)
	b = append(b, status...)
	b = append(b, `","error":`...)
	if failure == "" {
		failure = "null"
	}
	b = append(b, failure...)
	b = append(b, `,"incomplete_details":`...)
	switch {
	case status != "incomplete":
		b = append(b, "null"...)
	case s.finish == llm.FinishContentFilter:
		b = append(b, `{"reason":"content_filter"}`...)
	default:
		b = append(b, `{"reason":"max_output_tokens"}`...)
	}
	b = append(b, s.echo.middle...)
	b = append(b, `,"output":`...)
	b = append(b, s.output()...)
	b = append(b, s.echo.tail...)
	b = append(b, `,"service_tier":`...)
	tier := s.tier
	if tier == "" {
		tier = "default"
	}
	b = gjson.AppendJSONString(b, tier)
	b = append(b, `,"usage":`...)
	b = append(b, marshal(responsesUsage(s.usage))...)
	return append(b, '}')
}

// status says how a complete answer ended.
func (s *responsesStream) status() string {
	if s.finish == llm.FinishLength || s.finish == llm.FinishContentFilter {
		return "incomplete"
	}
	return "completed"
}

// output gives the finished items of the answer, as a list.
func (s *responsesStream) output() json.RawMessage {
	b := []byte{'['}
	for _, item := range s.items {
		if item == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, ']')
}

// responsesUsageBody is the usage object of an answer. It has no place for
// audio, which this API does not speak.
type responsesUsageBody struct {
	Input        int64 `json:"input_tokens"`
	InputDetails struct {
		Cached  int64 `json:"cached_tokens"`
		Written int64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	Output        int64 `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int64 `json:"total_tokens"`
}

func responsesUsage(u *llm.Usage) *responsesUsageBody {
	if u == nil {
		return nil
	}
	b := &responsesUsageBody{Input: u.Input, Output: u.Output, Total: u.Input + u.Output}
	b.InputDetails.Cached, b.InputDetails.Written = u.CacheRead, u.CacheWrite
	b.OutputDetails.Reasoning = u.Reasoning
	return b
}
