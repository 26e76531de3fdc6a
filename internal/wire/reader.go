package wire

import (
	"errors"
	"io"
)

// DefaultMaxEvent bounds one event of a stream, in bytes. Gemini sends a whole
// image, base64, in one event: the largest are a few MB.
const DefaultMaxEvent = 16 << 20

// Errors of the readers.
var (
	// ErrEventTooLong says that one event is longer than the reader's limit.
	ErrEventTooLong = errors.New("wire: an event of the stream is too long")
	// ErrNotJSON says that something else than JSON objects was read.
	ErrNotJSON = errors.New("wire: not a JSON object")
)

// Event is one event of a server-sent event stream or one value of a JSON
// stream. Its slices are the reader's gift: they are never written to again.
type Event struct {
	Name string // the SSE event name; "" where there is none
	Data []byte // nil for a comment, blank lines and the like
	Raw  []byte // all bytes of the event, framing included; those of all events together are the stream

	// Partial says that the stream ended before the event was closed.
	Partial bool
}

// blockSize is the size of a stream's buffers: a dozen usual events, and as much
// as a connection of net/http gives at once.
const blockSize = 4 << 10

// minRead is the least room for one read; with less a new block is begun.
const minRead = 512

// blocks reads into blocks of memory that are handed out in slices and never
// used twice, so that events need not be copied and may be kept.
type blocks struct {
	r     io.Reader
	block []byte // its length is what is filled
	start int    // what precedes is handed out
	err   error  // what the reader ended with
}

// pending gives what was read and not yet taken.
func (b *blocks) pending() []byte { return b.block[b.start:] }

// take hands out the first n pending bytes.
func (b *blocks) take(n int) []byte {
	taken := b.block[b.start : b.start+n : b.start+n]
	b.start += n
	return taken
}

// fill reads more, at least one byte, or gives the reader's error.
func (b *blocks) fill() error {
	if b.err != nil {
		return b.err
	}
	if cap(b.block)-len(b.block) < minRead {
		pending := b.pending()
		fresh := make([]byte, len(pending), max(blockSize, 2*len(pending)+minRead))
		copy(fresh, pending)
		b.block, b.start = fresh, 0
	}
	for range 100 {
		n, err := b.r.Read(b.block[len(b.block):cap(b.block)])
		b.block = b.block[:len(b.block)+n]
		b.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	b.err = io.ErrNoProgress
	return b.err
}
