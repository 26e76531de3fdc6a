package wire

import (
	"strconv"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DefaultAnthropicMaxTokens is sent where a caller sets no limit, since
// Anthropic demands one: the most that every Claude model since 3.5 accepts.
const DefaultAnthropicMaxTokens = 8192

// anthropicOpening stands in front of a conversation that the assistant
// begins: Anthropic demands that the user does.
const anthropicOpening = "(The conversation begins with the assistant.)"

type anthropicMessage struct {
	Role    llm.Role `json:"role"`
	Content string   `json:"content"`
}

type anthropicMetadata struct {
	UserID string `json:"user_id"`
}

type anthropicBody struct {
	Model       string             `json:"model"`
	MaxTokens   int64              `json:"max_tokens"`
	System      string             `json:"system,omitempty"`
	Messages    []anthropicMessage `json:"messages"`
	Temperature *float64           `json:"temperature,omitempty"`
	TopP        *float64           `json:"top_p,omitempty"`
	TopK        *int64             `json:"top_k,omitempty"`
	Stop        []string           `json:"stop_sequences,omitempty"`
	Metadata    *anthropicMetadata `json:"metadata,omitempty"`
	Stream      bool               `json:"stream,omitempty"`
}

// encodeAnthropic writes the body of POST /v1/messages, see
// https://platform.claude.com/docs/en/api/messages (2026-11). Instructions
// from anywhere in the conversation go to the top-level system prompt, a blank
// line between them; blank messages, which Anthropic refuses, are left out. A
// closing assistant message stays, though models since Claude 4.6 refuse it:
// what the caller wants can be said in no other way.
func encodeAnthropic(model string, req *llm.Request) (Encoded, error) {
	if err := translatable(req, llm.AnthropicMessages); err != nil {
		return Encoded{}, err
	}
	body := anthropicBody{Model: model, MaxTokens: DefaultAnthropicMaxTokens, Stream: req.Stream}
	if req.MaxTokens != nil {
		body.MaxTokens = *req.MaxTokens
	}
	if req.User != "" {
		body.Metadata = &anthropicMetadata{UserID: req.User}
	}
	var a adjusted
	a.names(req.Messages)
	a.sampleAnthropic(model, req, &body)
	for _, s := range req.Stop {
		if strings.TrimSpace(s) == "" { // refused by Anthropic
			a.dropped("stop", true)
			continue
		}
		body.Stop = append(body.Stop, s)
	}
	system, turns := conversation(req.Messages)
	body.System = system
	if len(turns) == 0 {
		return Encoded{}, &RequestError{"messages", "Claude needs a message that is not empty"}
	}
	if turns[0].Role == llm.Assistant {
		a.dropped("messages[0]", true)
		body.Messages = append(body.Messages, anthropicMessage{llm.User, anthropicOpening})
	}
	for _, m := range turns {
		body.Messages = append(body.Messages, anthropicMessage{m.Role, m.Text()})
	}
	if last := &body.Messages[len(body.Messages)-1]; last.Role == llm.Assistant {
		last.Content = strings.TrimRight(last.Content, " \t\r\n") // refused by Anthropic at the end of a prefill
	}
	return encoded(body, a)
}

// conversation parts the instructions, joined by blank lines, from the turns
// of user and assistant that are not empty. Instructions alone, which OpenAI
// answers and others refuse, become the user's turn.
func conversation(messages []llm.Message) (system string, turns []llm.Message) {
	var instructions []string
	for _, m := range messages {
		switch {
		case strings.TrimSpace(m.Text()) == "":
		case m.Role == llm.System || m.Role == llm.Developer:
			instructions = append(instructions, m.Text())
		default:
			turns = append(turns, m)
		}
	}
	system = strings.Join(instructions, "\n\n")
	if len(turns) == 0 && system != "" {
		return "", []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: system}}}}
	}
	return system, turns
}

// sampleAnthropic sets what the model takes of the sampling settings: none
// since Claude 4.7; temperature or top_p, never both, since 4.1, and Anthropic
// advised so before; a temperature from 0 to 1, to which a higher one is cut.
// See https://platform.claude.com/docs/en/about-claude/models/migration-guide
// (2026-11). Anthropic has no seed and no penalties.
func (a *adjusted) sampleAnthropic(model string, req *llm.Request, body *anthropicBody) {
	if claudeVersion(model) >= 407 {
		a.dropped("temperature", isSet(req.Temperature, 1))
		a.dropped("top_p", isSet(req.TopP, 1))
		a.dropped("top_k", req.TopK != nil)
	} else {
		body.Temperature, body.TopP, body.TopK = req.Temperature, req.TopP, req.TopK
		if req.Temperature != nil && *req.Temperature > 1 {
			one := 1.0
			body.Temperature = &one
			a.dropped("temperature", true)
		}
		if req.Temperature != nil {
			body.TopP = nil
			a.dropped("top_p", isSet(req.TopP, 1))
		}
	}
	a.dropped("frequency_penalty", isSet(req.FrequencyPenalty, 0))
	a.dropped("presence_penalty", isSet(req.PresencePenalty, 0))
	a.dropped("seed", req.Seed != nil)
}

// claudeVersion reads a version such as 405 out of ids such as
// claude-sonnet-4-5-20250929 and claude-3-5-sonnet-latest. An id without one
// is of a model to come.
func claudeVersion(model string) int {
	version, parts := 0, 0
	for word := range strings.FieldsFuncSeq(model, func(r rune) bool { return r == '-' || r == '.' || r == '@' }) {
		n, err := strconv.Atoi(word)
		if err != nil && parts == 0 {
			continue
		}
		if err != nil || n >= 100 || parts == 2 { // the family or the date
			break
		}
		version = version*100 + n
		parts++
	}
	switch parts {
	case 0:
		return 9900
	case 1:
		return version * 100
	}
	return version
}

// anthropicFinish reads a stop_reason, see
// https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
// (2026-11).
func anthropicFinish(v gjson.Result) llm.FinishReason {
	switch v.String() {
	case "":
		return ""
	case "max_tokens", "model_context_window_exceeded":
		return llm.FinishLength
	case "tool_use":
		return llm.FinishToolCalls
	case "refusal":
		return llm.FinishContentFilter
	}
	return llm.FinishStop // end_turn, stop_sequence, pause_turn
}

// anthropicUsage collects usage. A later report repeats and overrides an
// earlier one, field by field; input_tokens leaves out the cached ones.
type anthropicUsage struct {
	input, read, written, output, thinking int64
	told                                   bool
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
			u.written = count(v)
		case "output_tokens":
			u.output = count(v)
		case "output_tokens_details":
			u.thinking = count(v.Get("thinking_tokens"))
		}
		u.told = true
		return true
	})
	if !u.told {
		return nil
	}
	return &llm.Usage{
		Input: u.input + u.read + u.written, CacheRead: u.read, CacheWrite: u.written,
		Output: u.output, Reasoning: u.thinking,
	}
}

// anthropicBlock reads a content block, or the first of one, into c. Thinking
// is content for those who speak Anthropic's dialect.
func anthropicBlock(c *llm.Chunk, block gjson.Result, own bool) {
	switch block.Get("type").String() {
	case "text":
		c.Text += block.Get("text").String()
	case "thinking", "redacted_thinking":
		c.Opaque = c.Opaque || own
	default: // tool_use, server_tool_use, web_search_tool_result and others
		c.Opaque = true
	}
}

// wholeAnthropic reads a message. An empty content list is legal.
func wholeAnthropic(body []byte, req *llm.Request) (llm.Chunk, error) {
	o, ok := object(body)
	switch {
	case !ok:
		return llm.Chunk{}, garbage("the answer is not a JSON object", nil)
	case o.Get("type").String() == "error":
		return llm.Chunk{}, anthropicFailure(0, body)
	case !o.Get("content").IsArray():
		return llm.Chunk{}, garbage("the answer has no content", nil)
	}
	c := llm.Chunk{ID: o.Get("id").String(), Model: o.Get("model").String(), Raw: body}
	for _, block := range o.Get("content").Array() {
		anthropicBlock(&c, block, req.Dialect == llm.AnthropicMessages)
	}
	c.Finish = anthropicFinish(o.Get("stop_reason"))
	c.Usage = new(anthropicUsage).report(o.Get("usage"))
	if !c.HasContent() {
		return llm.Chunk{}, garbage("the answer is empty", nil)
	}
	return c, nil
}

// anthropicEvents reads the events of a streamed message, see
// https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11).
// The stream ends with message_stop. Pings and events that are not known yet
// are passed over.
func anthropicEvents(req *llm.Request) decoder {
	own := req.Dialect == llm.AnthropicMessages
	var usage anthropicUsage
	return func(e Event) (c llm.Chunk, at progress, f *llm.Failure) {
		o, ok := object(e.Data)
		if !ok {
			return c, more, garbage("an event of the answer is not a JSON object", nil)
		}
		switch o.Get("type").String() {
		case "error":
			return c, more, anthropicFailure(0, e.Data)
		case "message_start":
			c.ID, c.Model = o.Get("message.id").String(), o.Get("message.model").String()
			c.Usage = usage.report(o.Get("message.usage"))
		case "content_block_start":
			anthropicBlock(&c, o.Get("content_block"), own)
		case "content_block_delta":
			switch delta := o.Get("delta"); delta.Get("type").String() {
			case "text_delta":
				c.Text = delta.Get("text").String()
			case "input_json_delta":
				c.Opaque = true
			default: // thinking, signatures, citations
				c.Opaque = own
			}
		case "message_delta":
			c.Finish = anthropicFinish(o.Get("delta.stop_reason"))
			c.Usage = usage.report(o.Get("usage"))
		case "message_stop":
			return c, ended, nil
		}
		return c, more, nil
	}
}
