// Package llm holds the words of a conversation that every room of Breakwater
// shares: a request, its messages, the chunks of an answer, usage, targets and
// failures. It does no I/O.
package llm

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Provider names one of the four upstream kinds, in the word that callers,
// configuration, metrics and the store use.
type Provider string

// The providers, in the order of the default failover chain.
const (
	Gemini Provider = "gemini"
	Claude Provider = "claude"
	OpenAI Provider = "openai"
	Local  Provider = "local" // an Ollama server
)

// Providers lists all providers in the order of the default failover chain.
func Providers() []Provider { return []Provider{Gemini, Claude, OpenAI, Local} }

// ParseProvider reports the provider that a word names.
func ParseProvider(word string) (Provider, bool) {
	p := Provider(word)
	return p, slices.Contains(Providers(), p)
}

// Title is the provider's name as people write it.
func (p Provider) Title() string {
	switch p {
	case Gemini:
		return "Gemini"
	case Claude:
		return "Claude"
	case OpenAI:
		return "OpenAI"
	case Local:
		return "Ollama"
	}
	return string(p)
}

// Dialect names a wire format.
type Dialect string

// The wire formats.
const (
	OpenAIChat        Dialect = "openai-chat"        // POST /v1/chat/completions
	AnthropicMessages Dialect = "anthropic-messages" // POST /v1/messages
	GeminiGenerate    Dialect = "gemini-generate"    // POST /v1beta/models/{model}:generateContent
	OllamaChat        Dialect = "ollama-chat"        // POST /api/chat
	Plain             Dialect = "plain"              // POST /v1/route and HybridRouter.RouteRequest
)

// Target is where an attempt goes: one model at one endpoint of one provider.
type Target struct {
	Provider Provider
	Endpoint string // name of the endpoint; "" where a provider has only one
	Model    string
}

// String gives "provider/model", or "provider@endpoint/model".
func (t Target) String() string {
	var b strings.Builder
	b.WriteString(string(t.Provider))
	if t.Endpoint != "" {
		b.WriteByte('@')
		b.WriteString(t.Endpoint)
	}
	b.WriteByte('/')
	b.WriteString(t.Model)
	return b.String()
}

// Role says who speaks in a message.
type Role string

// The roles.
const (
	System    Role = "system"
	Developer Role = "developer" // OpenAI's newer word for instructions; other dialects read it as system
	User      Role = "user"
	Assistant Role = "assistant"
)

// PartKind says what a part of a message holds.
type PartKind string

// Text is the one kind that is translated between dialects so far.
const Text PartKind = "text"

// Part is one piece of a message's content.
type Part struct {
	Kind PartKind
	Text string
}

// Message is one turn of a conversation.
type Message struct {
	Role  Role
	Name  string
	Parts []Part
}

// Text joins the message's text parts.
func (m Message) Text() string {
	if len(m.Parts) == 1 {
		return m.Parts[0].Text
	}
	var b strings.Builder
	for _, p := range m.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Request is one request of a caller in the words that all dialects share.
type Request struct {
	Dialect  Dialect // the dialect it came in
	Model    string  // in a caller's request what was asked; in an attempt the target's model
	Messages []Message

	MaxTokens        *int64
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	Seed             *int64
	Stop             []string
	User             string

	Stream       bool
	IncludeUsage bool // the caller of a stream asked for a closing usage chunk

	// Via lists the Breakwaters that the request came through, so that a loop is seen.
	Via []string

	// Body is the caller's own body. A target of the same dialect gets it
	// byte for byte, but for the model's name and what Breakwater must add.
	Body json.RawMessage
	// Beyond names the fields of Body that these shared words cannot say.
	// Only a target of the same dialect can honour them.
	Beyond []string
}

// Usage counts the tokens of an answer.
type Usage struct {
	Input      int64 // all input tokens, cached ones included
	CacheRead  int64 // of Input: read from the provider's prompt cache
	CacheWrite int64 // of Input: written to the provider's prompt cache
	Output     int64 // all output tokens, reasoning included
	Reasoning  int64 // of Output: spent on reasoning
}

// Add gives the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	u.Input += v.Input
	u.CacheRead += v.CacheRead
	u.CacheWrite += v.CacheWrite
	u.Output += v.Output
	u.Reasoning += v.Reasoning
	return u
}

// FinishReason says why an answer ended.
type FinishReason string

// The finish reasons.
const (
	FinishStop          FinishReason = "stop"
	FinishLength        FinishReason = "length"
	FinishToolCalls     FinishReason = "tool_calls"
	FinishContentFilter FinishReason = "content_filter"
)

// Chunk is one piece of an answer. A non-streamed answer is a single chunk.
type Chunk struct {
	ID     string // the upstream's id of the answer, where the chunk tells it
	Model  string // the model as the upstream names it, where the chunk tells it
	Text   string
	Finish FinishReason // "" until the answer ends
	Usage  *Usage       // totals so far, not increments; nil where the chunk tells none

	// Opaque says that the chunk carries content that only Raw can say, such
	// as a tool call.
	Opaque bool
	// Hidden says that the chunk exists because Breakwater asked for it, not
	// the caller: it is read, but not passed on.
	Hidden bool
	// Raw holds the exact bytes from the upstream, framing included: a whole
	// body, or one event or line of a stream. A caller of the same dialect
	// gets them as they are.
	Raw []byte
}

// HasContent says whether the chunk commits a route: it carries something
// that the caller would see as part of the answer.
func (c Chunk) HasContent() bool { return c.Text != "" || c.Opaque || c.Finish != "" }

// Stream is an answer as it arrives. Next gives io.EOF after a complete
// answer and a *Failure for anything else, an answer that just stops
// included. Close releases the connection and may be called at any time,
// more than once.
type Stream interface {
	Next() (Chunk, error)
	io.Closer
}

// Reply is an upstream's answer whose body may still be arriving.
type Reply struct {
	Stream
	Dialect   Dialect     // the dialect of each chunk's Raw
	Header    http.Header // the upstream's response headers
	RequestID string      // the upstream's own id of the request
}
