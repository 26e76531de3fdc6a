package wire

import (
	"encoding/json"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Answers to callers in OpenAI's dialect, for what another dialect served, see
// https://developers.openai.com/api/reference/resources/chat (2026-11). What
// openai_parts.go says of messages is true of them too: a caller who sends an
// answer's message back as it is keeps all that its provider wants back.

// OpenAIChatDoor is the door of POST /v1/chat/completions.
func OpenAIChatDoor() Door {
	return Door{
		Dialect: llm.OpenAIChat,
		Decode:  DecodeOpenAIChat,
		Answer:  openAIAnswer,
		Stream: func(m Meta) Writer {
			s := NewOpenAIChatStream(m.RequestID, m.Model, m.Created, m.Request.IncludeUsage)
			s.legacy = callsFunctions(m.Request)
			return s
		},
		Problem: openAIProblem,
	}
}

func openAIProblem(p Problem) []byte {
	return OpenAIError{Message: p.Message, Type: p.Type, Param: p.Param, Code: p.Code}.Body()
}

// callsFunctions says whether the caller speaks of functions, the older form
// of tools.
func callsFunctions(req *llm.Request) bool {
	return req != nil && req.Dialect == llm.OpenAIChat && len(req.Tools) > 0 && gjson.GetBytes(req.Body, "functions").Exists()
}

// openAIUsageBody is the usage object of an answer.
type openAIUsageBody struct {
	Prompt        int64 `json:"prompt_tokens"`
	Completion    int64 `json:"completion_tokens"`
	Total         int64 `json:"total_tokens"`
	PromptDetails struct {
		Cached     int64 `json:"cached_tokens"`
		CacheWrite int64 `json:"cache_write_tokens,omitempty"`
		Audio      int64 `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning          int64 `json:"reasoning_tokens"`
		Audio              int64 `json:"audio_tokens"`
		AcceptedPrediction int64 `json:"accepted_prediction_tokens"`
		RejectedPrediction int64 `json:"rejected_prediction_tokens"`
	} `json:"completion_tokens_details"`
}

func usageBody(u *llm.Usage) *openAIUsageBody {
	if u == nil {
		return nil
	}
	b := &openAIUsageBody{Prompt: u.Input, Completion: u.Output, Total: u.Input + u.Output}
	b.PromptDetails.Cached, b.PromptDetails.CacheWrite, b.PromptDetails.Audio = u.CacheRead, u.CacheWrite, u.AudioIn
	b.CompletionDetails.Reasoning, b.CompletionDetails.Audio = u.Reasoning, u.AudioOut
	return b
}

// OpenAIChatID is the id of an answer to the request with this public id.
func OpenAIChatID(requestID string) string { return "chatcmpl-" + requestID }

// openAIAnswerBody is a chat.completion object.
type openAIAnswerBody struct {
	ID          string               `json:"id"`
	Object      string               `json:"object"`
	Created     int64                `json:"created"`
	Model       string               `json:"model"`
	Choices     []openAIAnswerChoice `json:"choices"`
	ServiceTier string               `json:"service_tier,omitempty"`
	Usage       *openAIUsageBody     `json:"usage,omitempty"`
}

type openAIAnswerChoice struct {
	Index    int             `json:"index"`
	Message  openAIAnswered  `json:"message"`
	Logprobs json.RawMessage `json:"logprobs"`
	Finish   string          `json:"finish_reason"`
}

// openAIAnswered is the message of an answer.
type openAIAnswered struct {
	Role         llm.Role           `json:"role"`
	Content      *string            `json:"content"`
	Refusal      *string            `json:"refusal"`
	Reasoning    string             `json:"reasoning_content,omitempty"`
	Blocks       []openAIBlock      `json:"thinking_blocks,omitempty"`
	ToolCalls    []openAICall       `json:"tool_calls,omitempty"`
	FunctionCall *openAICalled      `json:"function_call,omitempty"`
	Annotations  []openAIAnnotation `json:"annotations,omitempty"`
	Extra        *extraGoogle       `json:"extra_content,omitempty"`
}

// openAIBlock is one of Claude's thinking blocks.
type openAIBlock struct {
	Type      string  `json:"type"`
	Thinking  *string `json:"thinking,omitempty"`
	Signature string  `json:"signature,omitempty"`
	Data      string  `json:"data,omitempty"`
}

// blockOf gives a thinking block of Claude's; false for other thinking.
func blockOf(p llm.Part) (openAIBlock, bool) {
	switch {
	case p.SignedBy != llm.Claude:
		return openAIBlock{}, false
	case p.Redacted:
		return openAIBlock{Type: "redacted_thinking", Data: p.Signature}, true
	}
	return openAIBlock{Type: "thinking", Thinking: &p.Text, Signature: p.Signature}, true
}

// extraGoogle is where Gemini's signatures are.
type extraGoogle struct {
	Google struct {
		Signature string `json:"thought_signature"`
	} `json:"google"`
}

// signedByGoogle gives Gemini's signature its place; nil where there is none.
func signedByGoogle(signature string, by llm.Provider) *extraGoogle {
	if signature == "" || by != llm.Gemini {
		return nil
	}
	e := &extraGoogle{}
	e.Google.Signature = signature
	return e
}

type openAIAnnotation struct {
	Type     string         `json:"type"`
	Citation openAICitation `json:"url_citation"`
}

type openAICitation struct {
	Start int    `json:"start_index"`
	End   int    `json:"end_index"`
	URL   string `json:"url"`
	Title string `json:"title"`
}

func annotation(c llm.Citation) openAIAnnotation {
	return openAIAnnotation{"url_citation", openAICitation{c.Start, c.End, c.URL, c.Title}}
}

// openAIAnswer writes a whole answer as a chat.completion object.
func openAIAnswer(m Meta, a Answer) []byte {
	body := openAIAnswerBody{
		ID: OpenAIChatID(m.RequestID), Object: "chat.completion", Created: m.Created.Unix(), Model: m.Model,
		ServiceTier: a.ServiceTier, Usage: usageBody(a.Usage),
	}
	choices := a.Choices
	if len(choices) == 0 {
		choices = []Choice{{}}
	}
	legacy := callsFunctions(m.Request)
	for i, c := range choices {
		body.Choices = append(body.Choices, openAIAnswerChoice{
			Index: i, Message: answered(c, legacy), Logprobs: c.Logprobs, Finish: finishWord(c.Finish, legacy),
		})
	}
	return marshal(body)
}

// answered gives a choice as a message. In the older form it has one call;
// further ones, which a model may make all the same, are told in the newer.
func answered(c Choice, legacy bool) openAIAnswered {
	m := openAIAnswered{Role: llm.Assistant}
	add := func(to **string, text string) {
		if *to == nil {
			*to = new(string)
		}
		**to += text
	}
	for _, p := range c.Parts {
		switch p.Kind {
		case llm.Text:
			add(&m.Content, p.Text)
		case llm.Refusal:
			add(&m.Refusal, p.Text)
		case llm.Thinking:
			m.Reasoning += p.Text
			if block, ok := blockOf(p); ok {
				m.Blocks = append(m.Blocks, block)
			}
		case llm.Call:
			called := openAICalled{p.Call.Name, string(p.Call.Args)}
			if legacy && m.FunctionCall == nil {
				m.FunctionCall = &called
				continue
			}
			m.ToolCalls = append(m.ToolCalls, openAICall{p.Call.ID, "function", called, signedByGoogle(p.Signature, p.SignedBy)})
			continue
		}
		if extra := signedByGoogle(p.Signature, p.SignedBy); extra != nil {
			m.Extra = extra
		}
	}
	if m.Content == nil && m.Refusal == nil && m.ToolCalls == nil && m.FunctionCall == nil {
		m.Content = new(string)
	}
	for _, cite := range c.Citations {
		m.Annotations = append(m.Annotations, annotation(cite))
	}
	return m
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

// finishWord gives the finish_reason.
func finishWord(f llm.FinishReason, legacy bool) string {
	if legacy && f == llm.FinishToolCalls {
		return "function_call"
	}
	return string(finishOr(f))
}

// OpenAIError is an error in OpenAI's shape, see
// https://developers.openai.com/api/docs/guides/error-codes (2026-11). Param
// and Code are null where they are "".
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
