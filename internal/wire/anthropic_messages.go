package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"
)

// anthropicOpening stands in front of a conversation that the assistant
// begins: Anthropic demands that the user does.
const anthropicOpening = "(The conversation begins with the assistant.)"

type anthropicMessage struct {
	Role    llm.Role
	Content []anthropicBlock
}

// MarshalJSON writes a message of nothing but a text as a string.
func (m anthropicMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Role    llm.Role `json:"role"`
		Content any      `json:"content"`
	}{m.Role, anthropicPlainly(m.Content)})
}

// anthropicPlainly gives blocks as a string where they are but a text.
func anthropicPlainly(blocks []anthropicBlock) any {
	if len(blocks) == 1 && blocks[0].Type == "text" && blocks[0].Cache == nil && blocks[0].Text != nil {
		return *blocks[0].Text
	}
	return blocks
}

// anthropicBlock is a content block of a request or an answer.
type anthropicBlock struct {
	Type      string              `json:"type"`
	Text      *string             `json:"text,omitempty"`
	Citations []anthropicCitation `json:"citations,omitempty"`
	Thinking  *string             `json:"thinking,omitempty"`
	Signature string              `json:"signature,omitempty"`
	Data      string              `json:"data,omitempty"`   // of redacted_thinking
	Source    *anthropicSource    `json:"source,omitempty"` // of image and document
	Title     string              `json:"title,omitempty"`
	ID        string              `json:"id,omitempty"` // of tool_use
	Name      string              `json:"name,omitempty"`
	Input     json.RawMessage     `json:"input,omitempty"`
	CallID    string              `json:"tool_use_id,omitempty"` // of tool_result
	Content   any                 `json:"content,omitempty"`
	IsError   bool                `json:"is_error,omitempty"`
	Cache     *anthropicCache     `json:"cache_control,omitempty"`
}

type anthropicSource struct {
	Type string `json:"type"`
	MIME string `json:"media_type,omitempty"`
	Data string `json:"data,omitempty"`
	URL  string `json:"url,omitempty"`
}

type anthropicCache struct {
	Type string `json:"type"`
	TTL  string `json:"ttl,omitempty"`
}

// anthropicCacheMark writes Part.Cache.
func anthropicCacheMark(lifetime string) *anthropicCache {
	switch lifetime {
	case "":
		return nil
	case "5m": // what no ttl means
		return &anthropicCache{Type: "ephemeral"}
	}
	return &anthropicCache{Type: "ephemeral", TTL: lifetime}
}

func anthropicText(text string) anthropicBlock { return anthropicBlock{Type: "text", Text: &text} }

// conversation writes system prompt and messages. Instructions ahead of all
// turns are the system prompt. Later ones keep their place where the model
// takes them, which must be between a user's turn and the assistant's; else
// they go to the system prompt, or become the user's turn where nothing else
// follows the assistant. Turns of one side are joined, since the results of
// parallel calls must come in one message, ahead of whatever else is in it.
// Blank texts, which Anthropic refuses, are left out, and what another
// provider thought is its own.
func (e *anthropicEncoder) conversation() error {
	e.names(e.req.Messages)
	said := anthropicTurns(e.req.Messages)
	for i, m := range e.req.Messages {
		blocks := said[i]
		switch {
		case len(blocks) == 0:
		case (m.Role == llm.System || m.Role == llm.Developer) && len(e.body.Messages) == 0:
			e.system = append(e.system, blocks...)
		case m.Role == llm.System || m.Role == llm.Developer:
			e.later, e.laterAt = append(e.later, blocks...), i
		case m.Role == llm.Assistant:
			e.instruct()
			if len(e.body.Messages) == 0 {
				e.dropped(fmt.Sprintf("messages[%d]", i), true)
				e.turn(llm.User, []anthropicBlock{anthropicText(anthropicOpening)})
			}
			e.turn(llm.Assistant, blocks)
		default:
			e.dropped(fmt.Sprintf("messages[%d]", e.laterAt), len(e.later) > 0 && e.model.instructed()) // they go behind this turn
			e.turn(llm.User, blocks)
		}
	}
	switch turns := e.body.Messages; {
	case len(turns) == 0 && len(e.system) == 0:
		return &RequestError{"messages", "Claude needs a message that is not empty"}
	case len(turns) == 0: // instructions alone, which OpenAI answers
		e.turn(llm.User, e.system)
		return nil
	case len(e.later) > 0 && turns[len(turns)-1].Role == llm.Assistant:
		e.dropped(fmt.Sprintf("messages[%d]", e.laterAt), true)
		e.turn(llm.User, e.later)
	default:
		e.instruct()
	}
	last := e.body.Messages[len(e.body.Messages)-1]
	if text := last.Content[len(last.Content)-1].Text; last.Role == llm.Assistant && text != nil {
		*text = strings.TrimRight(*text, " \t\r\n") // refused by Anthropic at the end of a prefill
	}
	e.body.System = anthropicSystem(e.system)
	return nil
}

// instruct writes the instructions that wait for the end of the user's turn.
func (e *anthropicEncoder) instruct() {
	turns := e.body.Messages
	switch {
	case len(e.later) == 0:
		return
	case e.model.instructed() && turns[len(turns)-1].Role == llm.User:
		e.turn(llm.System, e.later)
	default:
		e.system = append(e.system, e.later...)
		e.dropped(fmt.Sprintf("messages[%d]", e.laterAt), true)
	}
	e.later = nil
}

// turn adds blocks to the conversation: to the last turn where that is of the
// same side, results first.
func (e *anthropicEncoder) turn(role llm.Role, blocks []anthropicBlock) {
	last := len(e.body.Messages) - 1
	if last < 0 || e.body.Messages[last].Role != role {
		e.body.Messages = append(e.body.Messages, anthropicMessage{Role: role, Content: blocks})
		return
	}
	content := &e.body.Messages[last].Content
	if blocks[0].Type != "tool_result" {
		*content = append(*content, blocks...)
		return
	}
	at := 0
	for at < len(*content) && (*content)[at].Type == "tool_result" {
		at++
	}
	*content = slices.Insert(*content, at, blocks...)
}

// anthropicTurns writes the parts of each message. Thinking at the end of the
// assistant's turn, which Anthropic refuses, is left out.
func anthropicTurns(messages []llm.Message) [][]anthropicBlock {
	said := make([][]anthropicBlock, len(messages))
	goesOn := false // the assistant says more
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		blocks := anthropicBlocks(m)
		for m.Role == llm.Assistant && !goesOn && len(blocks) > 0 && strings.HasSuffix(blocks[len(blocks)-1].Type, "thinking") {
			blocks = blocks[:len(blocks)-1]
		}
		if len(blocks) > 0 {
			goesOn = m.Role == llm.Assistant
		}
		said[i] = blocks
	}
	return said
}

// anthropicSystem joins instructions by blank lines where no cache mark is
// between them.
func anthropicSystem(blocks []anthropicBlock) any {
	texts := make([]string, len(blocks))
	for i, b := range blocks {
		if b.Cache != nil {
			return blocks
		}
		texts[i] = *b.Text
	}
	if len(texts) == 0 {
		return nil
	}
	return strings.Join(texts, "\n\n")
}

// anthropicBlocks writes a message's parts. The texts of an instruction are
// one, unless a cache mark is between them.
func anthropicBlocks(m llm.Message) (blocks []anthropicBlock) {
	if m.Role == llm.System || m.Role == llm.Developer {
		marked := slices.ContainsFunc(m.Parts, func(p llm.Part) bool { return p.Cache != "" })
		if text := m.Text(); !marked && strings.TrimSpace(text) != "" {
			return []anthropicBlock{anthropicText(text)}
		} else if !marked {
			return nil
		}
	}
	for _, p := range m.Parts {
		var b anthropicBlock
		switch {
		case p.Kind == llm.Image || p.Kind == llm.Document:
			b = anthropicMedia(p)
		case p.Kind == llm.Call:
			b = anthropicBlock{Type: "tool_use", ID: anthropicCallID(p.Call.ID), Name: p.Call.Name, Input: callInput(p.Call)}
		case p.Kind == llm.Result:
			b = anthropicResult(p.Result)
		case p.Kind == llm.Thinking && p.SignedBy == llm.Claude && p.Signature != "":
			b = anthropicThought(p)
		case (p.Kind == llm.Text || p.Kind == llm.Refusal) && strings.TrimSpace(p.Text) != "":
			b = anthropicText(p.Text)
		default:
			continue
		}
		if p.Kind != llm.Thinking {
			b.Cache = anthropicCacheMark(p.Cache)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// anthropicThought writes thinking that is signed.
func anthropicThought(p llm.Part) anthropicBlock {
	if p.Redacted {
		return anthropicBlock{Type: "redacted_thinking", Data: p.Signature}
	}
	return anthropicBlock{Type: "thinking", Thinking: &p.Text, Signature: p.Signature}
}

// anthropicMedia writes an image or a document, see
// https://platform.claude.com/docs/en/build-with-claude/vision and
// https://platform.claude.com/docs/en/build-with-claude/pdf-support (2026-11).
func anthropicMedia(p llm.Part) anthropicBlock {
	m := p.Media
	b := anthropicBlock{Type: string(p.Kind), Source: &anthropicSource{Type: "base64", MIME: m.MIME, Data: m.Data}}
	text, plain := anthropicPlain(m)
	switch {
	case p.Kind == llm.Document && plain:
		b.Source = &anthropicSource{Type: "text", MIME: "text/plain", Data: text}
	case m.Data == "":
		b.Source = &anthropicSource{Type: "url", URL: m.URL}
	}
	if p.Kind == llm.Document {
		b.Title = m.Name
	}
	return b
}

// anthropicPlain gives the words of a document that has nothing else.
func anthropicPlain(m *llm.Media) (string, bool) {
	if m.Text != "" {
		return m.Text, true
	}
	if m.Data == "" || !strings.HasPrefix(m.MIME, "text/") && m.MIME != "application/json" {
		return "", false
	}
	text, err := base64.StdEncoding.DecodeString(m.Data)
	return string(text), err == nil && utf8.Valid(text)
}

func anthropicResult(r *llm.ToolResult) anthropicBlock {
	b := anthropicBlock{Type: "tool_result", CallID: anthropicCallID(r.CallID), IsError: r.Error}
	content := anthropicBlocks(llm.Message{Role: llm.ToolRole, Parts: r.Parts})
	if len(content) == 0 && r.Error { // Anthropic demands some
		content = []anthropicBlock{anthropicText("error")}
	}
	if len(content) > 0 {
		b.Content = anthropicPlainly(content)
	}
	return b
}

// anthropicCallID gives a call's id in the letters that Anthropic takes.
func anthropicCallID(id string) string {
	if anthropicName(id) {
		return id
	}
	return madeUpCallID(id, 0)
}
