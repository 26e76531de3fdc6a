// Package llm holds the words of a conversation that every room of Breakwater
// shares: a request, its messages, the chunks of an answer, usage, targets and
// failures. It does no I/O.
package llm

import (
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
	OpenAIResponses   Dialect = "openai-responses"   // POST /v1/responses
	OpenAILegacy      Dialect = "openai-completions" // POST /v1/completions
	AnthropicMessages Dialect = "anthropic-messages" // POST /v1/messages
	GeminiGenerate    Dialect = "gemini-generate"    // POST /v1beta/models/{model}:generateContent
	OllamaChat        Dialect = "ollama-chat"        // POST /api/chat
	OllamaGenerate    Dialect = "ollama-generate"    // POST /api/generate
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
