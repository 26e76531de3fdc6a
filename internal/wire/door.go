package wire

import (
	"time"

	"breakwater/internal/llm"
)

// Door is the side of a dialect that callers speak.
type Door struct {
	Dialect llm.Dialect
	// Reframed says that a provider of the same dialect is asked for another
	// framing than this door's: its Writer is a Reframer.
	Reframed bool
	// Decode reads a request's body. The error is a *RequestError. A dialect
	// that names model or streaming in the path leaves them to the caller.
	Decode func(body []byte) (*llm.Request, error)
	// Answer writes a whole answer as the response's body.
	Answer func(m Meta, a Answer) []byte
	// Stream begins a streamed answer; nil for embeddings, which never stream.
	Stream func(m Meta) Writer
	// Problem writes an error as a response's body.
	Problem func(p Problem) []byte
}

// Meta is what a door writes of an answer beside its content.
type Meta struct {
	RequestID string // public form of the request's id
	Model     string // that answers
	Created   time.Time
	Request   *llm.Request
	Kept      bool // a later request may go on from the answer by its id
}

// Writer writes a streamed answer in a door's dialect. Its methods append what
// is to be sent at once to a buffer, which may be reused.
type Writer interface {
	ContentType() string
	Chunk(dst []byte, c llm.Chunk) []byte
	// End appends the end of a complete answer.
	End(dst []byte) []byte
	// Fail appends an error as the last event: a broken answer must not look
	// complete.
	Fail(dst []byte, p Problem) []byte
}

// Reframer is a Writer whose framing is not its provider's: it is given each
// event that passes through, in place of a chunk.
type Reframer interface {
	Reframe(dst, event []byte) []byte
}

// Follower is a Writer that must know what went to the caller as it was: it is
// given each event that passes through.
type Follower interface {
	Passed(event []byte)
}

// Problem is an error for a caller, before a door has given it its dialect's
// shape. Type, Code and Param are in OpenAI's words.
type Problem struct {
	Status  int // HTTP
	Type    string
	Code    string
	Param   string
	Message string
	// RequestID is the request's public id, for dialects that name it in an
	// error's body; "" where there is none.
	RequestID string
}
