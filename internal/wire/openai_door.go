package wire

import (
	"encoding/json"
	"strconv"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Answers to callers in OpenAI's dialect, for what another dialect served, see
// https://platform.openai.com/docs/api-reference/chat/object and
// https://platform.openai.com/docs/api-reference/chat/streaming (2026-11).

// openAIUsageBody is the usage object of an answer.
type openAIUsageBody struct {
	Prompt        int64 `json:"prompt_tokens"`
	Completion    int64 `json:"completion_tokens"`
	Total         int64 `json:"total_tokens"`
	PromptDetails struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func usageBody(u *llm.Usage) *openAIUsageBody {
	if u == nil {
		return nil
	}
	b := &openAIUsageBody{Prompt: u.Input, Completion: u.Output, Total: u.Input + u.Output}
	b.PromptDetails.Cached = u.CacheRead
	b.CompletionDetails.Reasoning = u.Reasoning
	return b
}

// OpenAIChatID is the id of an answer to the request with this public id.
func OpenAIChatID(requestID string) string { return "chatcmpl-" + requestID }

// OpenAIChatAnswer writes a whole answer as a chat.completion object. model is
// named as the one that answered.
func OpenAIChatAnswer(requestID, model string, created time.Time, a Answer) []byte {
	type message struct {
		Role    llm.Role `json:"role"`
		Content string   `json:"content"`
		Refusal *string  `json:"refusal"`
	}
	type choice struct {
		Index    int              `json:"index"`
		Message  message          `json:"message"`
		Logprobs *struct{}        `json:"logprobs"`
		Finish   llm.FinishReason `json:"finish_reason"`
	}
	return marshal(struct {
		ID      string           `json:"id"`
		Object  string           `json:"object"`
		Created int64            `json:"created"`
		Model   string           `json:"model"`
		Choices []choice         `json:"choices"`
		Usage   *openAIUsageBody `json:"usage,omitempty"`
	}{
		ID: OpenAIChatID(requestID), Object: "chat.completion", Created: created.Unix(), Model: model,
		Choices: []choice{{Message: message{Role: llm.Assistant, Content: a.Text}, Finish: finishOr(a.Finish)}},
		Usage:   usageBody(a.Usage),
	})
}

// marshal writes a value whose types cannot fail to marshal.
func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("wire: " + err.Error())
	}
	return b
}

// finishOr gives the reason, or stop where the upstream told none.
func finishOr(f llm.FinishReason) llm.FinishReason {
	if f == "" {
		return llm.FinishStop
	}
	return f
}

// OpenAIChatStream writes an answer as chat.completion.chunk events. Its
// methods append what is to be sent to a buffer, which may be reused: an event
// costs no allocation.
type OpenAIChatStream struct {
	head    string // of every chunk, up to its choices
	tail    string // of every chunk with choices
	begun   bool
	include bool
	finish  llm.FinishReason
	usage   *llm.Usage
}

// NewOpenAIChatStream begins a stream. model is named as the one that answers;
// with includeUsage it closes with a usage chunk.
func NewOpenAIChatStream(requestID, model string, created time.Time, includeUsage bool) *OpenAIChatStream {
	head := []byte(`data: {"id":`)
	head = gjson.AppendJSONString(head, OpenAIChatID(requestID))
	head = append(head, `,"object":"chat.completion.chunk","created":`...)
	head = strconv.AppendInt(head, created.Unix(), 10)
	head = append(head, `,"model":`...)
	head = gjson.AppendJSONString(head, model)
	head = append(head, `,"choices":[`...)
	s := &OpenAIChatStream{head: string(head), tail: "]}\n\n", include: includeUsage}
	if includeUsage {
		s.tail = "],\"usage\":null}\n\n" // as OpenAI does: null in all chunks but the last
	}
	return s
}

// Chunk appends what c tells the caller at once: before the first content the
// chunk with the role, then the content. Finish reason and usage wait for End,
// since providers tell them in any order.
func (s *OpenAIChatStream) Chunk(dst []byte, c llm.Chunk) []byte {
	if c.Finish != "" {
		s.finish = c.Finish
	}
	if c.Usage != nil {
		s.usage = c.Usage
	}
	if c.Text == "" {
		return dst
	}
	dst = s.begin(dst)
	dst = append(dst, s.head...)
	dst = append(dst, `{"index":0,"delta":{"content":`...)
	dst = gjson.AppendJSONString(dst, c.Text)
	dst = append(dst, `},"logprobs":null,"finish_reason":null}`...)
	return append(dst, s.tail...)
}

// begin appends the chunk with the role, once.
func (s *OpenAIChatStream) begin(dst []byte) []byte {
	if s.begun {
		return dst
	}
	s.begun = true
	dst = append(dst, s.head...)
	dst = append(dst, `{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}`...)
	return append(dst, s.tail...)
}

// End appends the end of a complete answer: the finish reason, the usage where
// it was asked for, and [DONE].
func (s *OpenAIChatStream) End(dst []byte) []byte {
	dst = s.begin(dst)
	dst = append(dst, s.head...)
	dst = append(dst, `{"index":0,"delta":{},"logprobs":null,"finish_reason":"`...)
	dst = append(dst, finishOr(s.finish)...)
	dst = append(dst, `"}`...)
	dst = append(dst, s.tail...)
	if s.include {
		dst = append(dst, s.head...)
		dst = append(dst, `],"usage":`...)
		dst = append(dst, marshal(usageBody(s.usage))...) // null where the upstream told none
		dst = append(dst, "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// OpenAIError is an error in OpenAI's shape, see
// https://platform.openai.com/docs/guides/error-codes (2026-11). Param and
// Code are null where they are "".
type OpenAIError struct {
	Message string
	Type    string
	Param   string
	Code    string
}

// Body gives the error as a response's body.
func (e OpenAIError) Body() []byte {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return marshal(struct {
		Error inner `json:"error"`
	}{inner{e.Message, e.Type, orNull(e.Param), orNull(e.Code)}})
}

// Event appends the error as the last event of a stream. No [DONE] follows: a
// broken answer must not look complete.
func (e OpenAIError) Event(dst []byte) []byte {
	dst = append(dst, "data: "...)
	dst = append(dst, e.Body()...)
	return append(dst, "\n\n"...)
}
