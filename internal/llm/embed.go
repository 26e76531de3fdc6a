package llm

import "encoding/json"

// The wire formats of embeddings.
const (
	OpenAIEmbeddings Dialect = "openai-embeddings"  // POST /v1/embeddings
	GeminiEmbed      Dialect = "gemini-embed"       // POST /v1beta/models/{model}:embedContent
	GeminiBatchEmbed Dialect = "gemini-batch-embed" // POST /v1beta/models/{model}:batchEmbedContents
	OllamaEmbed      Dialect = "ollama-embed"       // POST /api/embed
	OllamaEmbeddings Dialect = "ollama-embeddings"  // POST /api/embeddings, the older one
)

// Embeds says whether the format is one of embeddings.
func (d Dialect) Embeds() bool {
	switch d {
	case OpenAIEmbeddings, GeminiEmbed, GeminiBatchEmbed, OllamaEmbed, OllamaEmbeddings:
		return true
	}
	return false
}

// Embed is what an embedding request asks for.
type Embed struct {
	Inputs     []EmbedInput // none where an Ollama server shall only load the model
	Dimensions *int64       // of each vector; nil for the model's own
	Truncate   *bool        // whether an input that is too long is cut, not refused; nil for the provider's own way
	Packed     bool         // the caller wants vectors in base64, see Vector
}

// EmbedInput is what becomes one vector: a text, or the model's own tokens.
type EmbedInput struct {
	Text   string
	Tokens []int64 // instead of Text; nil for a text
}

// Vector is the embedding of one input, in the form in which its provider told
// it, so that no digit is lost on the way.
type Vector struct {
	Index  int             // of the input, from 0
	Values json.RawMessage // JSON's list of numbers; nil where Packed has them
	Packed string          // base64 of float32, little endian; "" where Values has them
}
