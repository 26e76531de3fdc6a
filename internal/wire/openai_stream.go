package wire

import (
	"strconv"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// OpenAIChatStream writes an answer as chat.completion.chunk events. Its
// methods append what is to be sent to a buffer, which may be reused: an event
// of text costs no allocation.
type OpenAIChatStream struct {
	head    string // of every chunk, up to its choices
	tail    string // of every chunk with choices
	include bool
	legacy  bool // calls are told in the older form
	choices []openAIStreamed
	usage   *llm.Usage
	tier    string
}

// openAIStreamed is what is known of one of the answers.
type openAIStreamed struct {
	begun    bool
	finish   llm.FinishReason
	thinking []byte // since the last block of Claude's
	calls    []bool // by index: begun and without arguments so far
}

var _ Writer = (*OpenAIChatStream)(nil)

// NewOpenAIChatStream begins a stream. model is named as the one that answers;
// with includeUsage it closes with a usage chunk.
func NewOpenAIChatStream(requestID, model string, created time.Time, includeUsage bool) *OpenAIChatStream {
	s := &OpenAIChatStream{include: includeUsage, choices: make([]openAIStreamed, 1)}
	s.head, s.tail = streamFrame(OpenAIChatID(requestID), "chat.completion.chunk", model, created, includeUsage)
	return s
}

// streamFrame gives what stands before and behind the choices of every event.
func streamFrame(id, object, model string, created time.Time, includeUsage bool) (head, tail string) {
	b := gjson.AppendJSONString([]byte(`data: {"id":`), id)
	b = append(b, `,"object":"`+object+`","created":`...)
	b = strconv.AppendInt(b, created.Unix(), 10)
	b = gjson.AppendJSONString(append(b, `,"model":`...), model)
	b = append(b, `,"choices":[`...)
	tail = "]}\n\n"
	if includeUsage {
		tail = "],\"usage\":null}\n\n" // as OpenAI does: null in all chunks but the last
	}
	return string(b), tail
}

// ContentType gives the media type.
func (s *OpenAIChatStream) ContentType() string { return "text/event-stream; charset=utf-8" }

// Chunk appends what c tells the caller at once: before the first content of a
// choice the chunk with the role, then the content. Finish reason and usage
// wait for End, since providers tell them in any order.
func (s *OpenAIChatStream) Chunk(dst []byte, c llm.Chunk) []byte {
	if c.Usage != nil {
		s.usage = c.Usage
	}
	if c.ServiceTier != "" {
		s.tier = c.ServiceTier
	}
	if c.Choice < 0 || c.Choice >= maxChoices {
		return dst
	}
	for len(s.choices) <= c.Choice {
		s.choices = append(s.choices, openAIStreamed{})
	}
	state := &s.choices[c.Choice]
	if c.Finish != "" {
		state.finish = c.Finish
	}
	signed := c.Signature != "" && (c.SignedBy == llm.Claude || c.SignedBy == llm.Gemini)
	if c.Text == "" && c.Thinking == "" && c.Refusal == "" && c.Call == nil && c.Cite == nil && c.Logprobs == nil && !signed {
		return dst
	}
	dst = s.begin(dst, c.Choice)
	dst = s.open(dst, c.Choice)
	dst = append(dst, `"delta":{`...)
	if c.Thinking != "" {
		state.thinking = append(state.thinking, c.Thinking...)
		dst = appendField(dst, "reasoning_content", c.Thinking)
	}
	if c.Text != "" {
		dst = appendField(dst, "content", c.Text)
	}
	if c.Refusal != "" {
		dst = appendField(dst, "refusal", c.Refusal)
	}
	if c.Cite != nil {
		dst = append(comma(dst), `"annotations":`...)
		dst = append(dst, marshal([]openAIAnnotation{annotation(*c.Cite)})...)
	}
	switch {
	case c.Call != nil:
		dst = s.call(dst, state, c)
	case signed:
		dst = state.sign(dst, c)
	}
	dst = append(dst, `},"logprobs":`...)
	if c.Logprobs != nil {
		dst = append(dst, c.Logprobs...)
	} else {
		dst = append(dst, `null`...)
	}
	dst = append(dst, `,"finish_reason":null}`...)
	return append(dst, s.tail...)
}

// open appends the begin of an event of a choice.
func (s *OpenAIChatStream) open(dst []byte, choice int) []byte {
	dst = append(dst, s.head...)
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(choice), 10)
	return append(dst, ',')
}

// begin appends the chunk with the role, once for each choice.
func (s *OpenAIChatStream) begin(dst []byte, choice int) []byte {
	if s.choices[choice].begun {
		return dst
	}
	s.choices[choice].begun = true
	dst = s.open(dst, choice)
	dst = append(dst, `"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}`...)
	return append(dst, s.tail...)
}

// comma appends a comma unless an object or a list was just opened.
func comma(dst []byte) []byte {
	if last := dst[len(dst)-1]; last == '{' || last == '[' {
		return dst
	}
	return append(dst, ',')
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(append(comma(dst), '"'), name...), `":`...)
	return gjson.AppendJSONString(dst, value)
}

// sign appends a signature: Claude's in a whole block, Gemini's alone.
func (state *openAIStreamed) sign(dst []byte, c llm.Chunk) []byte {
	p := llm.Part{Signature: c.Signature, SignedBy: c.SignedBy, Redacted: c.Redacted}
	if !c.Redacted {
		p.Text = string(state.thinking)
		state.thinking = state.thinking[:0]
	}
	if block, ok := blockOf(p); ok {
		dst = append(comma(dst), `"thinking_blocks":`...)
		return append(dst, marshal([]openAIBlock{block})...)
	}
	return appendExtra(dst, c)
}

func appendExtra(dst []byte, c llm.Chunk) []byte {
	if extra := signedByGoogle(c.Signature, c.SignedBy); extra != nil {
		dst = append(comma(dst), `"extra_content":`...)
		dst = append(dst, marshal(extra)...)
	}
	return dst
}

// call appends a call or a piece of one. In the older form there is one call;
// further ones, which a model may make all the same, are told in the newer.
func (s *OpenAIChatStream) call(dst []byte, state *openAIStreamed, c llm.Chunk) []byte {
	d := c.Call
	for len(state.calls) <= d.Index && d.Index < maxCalls {
		state.calls = append(state.calls, false)
	}
	if d.Index >= 0 && d.Index < len(state.calls) {
		state.calls[d.Index] = d.Args == "" && (state.calls[d.Index] || d.ID != "" || d.Name != "")
	}
	old := s.legacy && d.Index == 0
	if old {
		dst = append(comma(dst), `"function_call":{`...)
	} else {
		dst = append(comma(dst), `"tool_calls":[{"index":`...)
		dst = strconv.AppendInt(dst, int64(d.Index), 10)
		if d.ID != "" {
			dst = appendField(dst, "id", d.ID)
			dst = append(dst, `,"type":"function"`...)
		}
		dst = append(dst, `,"function":{`...)
	}
	if d.Name != "" {
		dst = appendField(dst, "name", d.Name)
	}
	dst = append(appendField(dst, "arguments", d.Args), '}')
	if old {
		return dst
	}
	return append(appendExtra(dst, c), "}]"...)
}

// maxCalls bounds the calls of an answer whose arguments are watched; OpenAI
// allows 128 tools.
const maxCalls = 1024

// End appends the end of a complete answer: for each choice what its calls
// lack and the finish reason, the usage where it was asked for, and [DONE].
func (s *OpenAIChatStream) End(dst []byte) []byte {
	for i := range s.choices {
		dst = s.begin(dst, i)
		for index, bare := range s.choices[i].calls {
			if bare {
				dst = s.Chunk(dst, llm.Chunk{Choice: i, Call: &llm.CallDelta{Index: index, Args: "{}"}})
			}
		}
		dst = s.open(dst, i)
		dst = append(dst, `"delta":{},"logprobs":null,"finish_reason":"`...)
		dst = append(dst, finishWord(s.choices[i].finish, s.legacy)...)
		dst = append(dst, `"}`...)
		dst = append(dst, s.tail...)
	}
	return endStream(dst, s.head, s.include, s.usage, s.tier)
}

// endStream appends the usage where it was asked for, null where the upstream
// told none, and [DONE].
func endStream(dst []byte, head string, include bool, usage *llm.Usage, tier string) []byte {
	if include {
		dst = append(dst, head...)
		dst = append(dst, ']')
		if tier != "" {
			dst = appendField(dst, "service_tier", tier)
		}
		dst = append(dst, `,"usage":`...)
		dst = append(dst, marshal(usageBody(usage))...)
		dst = append(dst, "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// Fail appends an error as the last event.
func (s *OpenAIChatStream) Fail(dst []byte, p Problem) []byte {
	return OpenAIError{Message: p.Message, Type: p.Type, Param: p.Param, Code: p.Code}.Event(dst)
}
