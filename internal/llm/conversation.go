package llm

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Role says who speaks in a message.
type Role string

// The roles.
const (
	System    Role = "system"
	Developer Role = "developer" // OpenAI's newer word for instructions; other dialects read it as system
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // results of tool calls, one ToolResult part each
)

// PartKind says what a part of a message holds.
type PartKind string

// The kinds of part.
const (
	Text     PartKind = "text"
	Image    PartKind = "image"
	Document PartKind = "document"
	Audio    PartKind = "audio"
	Call     PartKind = "call"     // the assistant calls a tool
	Result   PartKind = "result"   // what the tool gave
	Thinking PartKind = "thinking" // the assistant's reasoning, as far as it is shown
	Refusal  PartKind = "refusal"  // the assistant's own words of refusal
)

// Part is one piece of a message's content.
type Part struct {
	Kind   PartKind
	Text   string      // of Text, Thinking and Refusal
	Media  *Media      // of Image, Document and Audio
	Call   *ToolCall   // of Call
	Result *ToolResult // of Result

	// Signature is what the provider SignedBy attached to this part and wants
	// back unchanged: a thinking block's signature or encrypted content
	// (Redacted), or the thought signature of a call or a text. Other providers are not sent it.
	Signature string
	SignedBy  Provider
	Redacted  bool

	// Cache marks the end of a prefix that the provider shall cache; "" for none, else
	// the lifetime in Anthropic's words, "5m" or "1h".
	Cache string
}

// Media is an image, a document or a recording: given as Data or at URL.
type Media struct {
	MIME   string // such as "image/png"; "" where it is not told, as with many URLs
	Data   string // base64, standard alphabet
	URL    string
	FileID string // of a file that was uploaded to the provider before
	Name   string
	Detail string // OpenAI's detail of an image: "low", "high", "auto"
	Text   string // of a document that is plain text
}

// ToolCall is a call that the assistant asks for.
type ToolCall struct {
	ID   string // unique in the conversation; made up where the provider has none
	Name string
	Args json.RawMessage // a JSON object; {} where there are no arguments
}

// ToolResult is what a tool gave.
type ToolResult struct {
	CallID string
	Name   string // of the tool, where the dialect tells or the call was found
	Parts  []Part // Text, Image and Document
	Error  bool
}

// Message is one turn of a conversation.
type Message struct {
	Role  Role
	Name  string
	Parts []Part
}

// Text joins the message's text parts.
func (m Message) Text() string {
	if len(m.Parts) == 1 && m.Parts[0].Kind == Text {
		return m.Parts[0].Text
	}
	var b strings.Builder
	for _, p := range m.Parts {
		if p.Kind == Text {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// Tool is a function that the model may call.
type Tool struct {
	Name        string
	Description string
	Schema      json.RawMessage // JSON schema of the arguments; nil for none
	Strict      *bool
	Cache       string // as Part.Cache
}

// ChoiceMode says whether the model may, must or must not call a tool.
type ChoiceMode string

// The modes of a ToolChoice.
const (
	ChooseAuto ChoiceMode = "auto"
	ChooseNone ChoiceMode = "none"
	ChooseAny  ChoiceMode = "any"  // it must call some tool
	ChooseTool ChoiceMode = "tool" // it must call ToolChoice.Name
)

// ToolChoice restricts what the model does with its tools.
type ToolChoice struct {
	Mode  ChoiceMode
	Name  string
	Among []string // with ChooseAny or ChooseAuto: only these; nil for all
}

// FormatKind says what form an answer must have.
type FormatKind string

// The forms.
const (
	FormatJSON   FormatKind = "json"   // some JSON object
	FormatSchema FormatKind = "schema" // JSON of a schema
)

// Format is the form that an answer must have.
type Format struct {
	Kind        FormatKind
	Name        string
	Description string
	Schema      json.RawMessage
	Strict      *bool
}

// Thought says how much a model shall reason.
type Thought struct {
	Effort   string // "none", "minimal", "low", "medium", "high", "xhigh" or "max"; "" where not told
	Budget   *int64 // tokens; -1 lets the model choose
	Show     *bool  // the caller wants the reasoning, or its summary, shown
	Adaptive bool   // the model decides how much, as in Anthropic's adaptive thinking
}

// Request is one request of a caller in the words that all dialects share.
type Request struct {
	Dialect  Dialect // the dialect it came in
	Model    string  // in a caller's request what was asked; in an attempt the target's model
	Messages []Message
	Embed    *Embed // set for an embedding request, which has no Messages

	Tools      []Tool
	ToolChoice *ToolChoice
	Parallel   *bool // whether several calls may come at once; nil for the provider's default
	Format     *Format
	Thought    *Thought

	MaxTokens        *int64
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	Seed             *int64
	Stop             []string
	N                *int64 // answers wanted
	Logprobs         *bool
	TopLogprobs      *int64
	User             string
	CacheKey         string `json:",omitempty"` // the caller's own name for what shares a prompt's beginning: OpenAI's prompt_cache_key
	Metadata         map[string]string
	ServiceTier      string // as the caller's dialect says it

	Stream       bool
	IncludeUsage bool // the caller of a stream asked for a closing usage chunk

	// Via lists the Breakwaters that the request came through, so that a loop is seen.
	Via []string

	// Header holds the caller's headers that a target of the same dialect gets
	// too: no credentials, no cookies, nothing of one connection alone.
	Header http.Header

	// Body is the caller's own body. A target of the same dialect gets it
	// byte for byte, but for the model's name and what Breakwater must add.
	Body json.RawMessage
	// Beyond names the fields of Body that these shared words cannot say.
	// Only a target of the same dialect can honour them.
	Beyond []string
	// Aside names the fields of Body that these shared words cannot say and
	// that only tune the answer, such as Ollama's min_p: another dialect's
	// target goes without, and the caller is told.
	Aside []string
}
