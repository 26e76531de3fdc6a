package llm

import (
	"encoding/json"
	"io"
	"net/http"
)

// Usage counts the tokens of an answer.
type Usage struct {
	Input        int64 // all input tokens, cached ones included
	CacheRead    int64 // of Input: read from the provider's prompt cache
	CacheWrite   int64 // of Input: written to the provider's prompt cache
	CacheWrite1h int64 // of CacheWrite: kept for an hour, which costs more
	Output       int64 // all output tokens, reasoning included
	Reasoning    int64 // of Output: spent on reasoning
	AudioIn      int64 // of Input: audio
	AudioOut     int64 // of Output: audio
}

// Add gives the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	u.Input += v.Input
	u.CacheRead += v.CacheRead
	u.CacheWrite += v.CacheWrite
	u.CacheWrite1h += v.CacheWrite1h
	u.Output += v.Output
	u.Reasoning += v.Reasoning
	u.AudioIn += v.AudioIn
	u.AudioOut += v.AudioOut
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

// Chunk is one piece of an answer. An answer in one piece is a few chunks, in
// the order of its parts, of which the first has the whole body in Raw.
type Chunk struct {
	ID     string // the upstream's id of the answer, where the chunk tells it
	Model  string // the model as the upstream names it, where the chunk tells it
	Choice int    // which of several answers it belongs to, from 0

	Text     string
	Thinking string // reasoning as far as it is shown
	Refusal  string // the model's own words of refusal
	Call     *CallDelta
	Cite     *Citation
	Logprobs json.RawMessage // of the choice's tokens, in OpenAI's shape
	Vector   *Vector         // one of an embedding request's

	// Signature is what the provider SignedBy attached to the part that this
	// chunk belongs to; see Part. With Redacted it is the whole of a thinking part.
	Signature string
	SignedBy  Provider
	Redacted  bool

	Finish       FinishReason // "" until the choice ends
	StopSequence string       // the one that ended it, where the provider tells
	FinishDetail string       // the provider's own word for Finish, such as "MALFORMED_FUNCTION_CALL"
	Usage        *Usage       // totals so far, not increments; nil where the chunk tells none
	ServiceTier  string       // that served, where the provider tells

	// Opaque says that the chunk carries content that only Raw can say, such
	// as a built-in tool's result.
	Opaque bool
	// Hidden says that the chunk exists because Breakwater asked for it, not
	// the caller: it is read, but not passed on.
	Hidden bool
	// More says that another chunk is at hand: it comes without waiting, so
	// that both may go to the caller at once.
	More bool
	// Raw holds the exact bytes from the upstream, framing included: a whole
	// body, or one event or line of a stream. A caller of the same dialect
	// gets them as they are.
	Raw []byte
}

// HasContent says whether the chunk commits a route: it carries something
// that the caller would see as part of the answer, be it reasoning.
func (c Chunk) HasContent() bool {
	return c.Text != "" || c.Thinking != "" || c.Refusal != "" || c.Call != nil || c.Vector != nil || c.Opaque || c.Finish != ""
}

// CallDelta is a piece of a tool call. The first piece of a call has ID and
// Name; the pieces of Args join to a JSON object.
type CallDelta struct {
	Index int // which of the answer's calls, from 0
	ID    string
	Name  string
	Args  string
}

// Citation is a source that the provider names for a piece of the answer.
type Citation struct {
	URL        string
	Title      string
	Text       string // the cited words, where told
	Start, End int    // of the answer's text that it supports, in characters; both 0 where not told
}

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
