package wire

import (
	"errors"
	"io"

	"breakwater/internal/llm"
	"breakwater/internal/redact"
)

// progress says how near its end an answer is after an event.
type progress int

const (
	more   progress = iota // the answer goes on
	mayEnd                 // the answer is complete if the stream ends here
	ended                  // the answer is complete
)

// decoder reads one event that carries data and appends what it tells, in
// order, to dst. An event that tells nothing appends nothing.
type decoder func(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure)

// Stream reads an answer event by event.
type Stream struct {
	blocks  blocks // what is read before the framing is known
	framed  bool   // only server-sent events are in order
	astray  bool   // it should be server-sent events, but is plain JSON
	next    func() (Event, error)
	events  *SSEReader // behind next; nil for JSON
	decode  decoder
	at      progress
	waiting []llm.Chunk // of the last event, to be given
	spare   []llm.Chunk // the same memory, to be used again
	content bool        // the answer has content so far
	mark    string      // what ends a stream of the dialect, for one that stops right before it
	size    int         // of the answer so far
	err     error
}

// Next gives the next chunk, io.EOF after a complete answer and a *llm.Failure
// for anything else: an error object within the stream, a broken or empty
// answer, an answer that just stops. What comes after a complete answer's end
// is not read.
func (s *Stream) Next() (llm.Chunk, error) {
	if s.err != nil {
		return llm.Chunk{}, s.err
	}
	if len(s.waiting) == 0 {
		if s.err = s.event(); s.err != nil {
			return llm.Chunk{}, s.err
		}
	}
	c := &s.waiting[0] // chunks are large, so that copies are felt
	s.waiting = s.waiting[1:]
	c.More = s.more()
	return *c, nil
}

// event reads the next event's chunks, at least one.
func (s *Stream) event() error {
	if s.at == ended {
		return io.EOF
	}
	if s.next == nil {
		if err := s.sniff(); err != nil {
			return s.stopped(err)
		}
	}
	e, err := s.next()
	if err != nil {
		return s.stopped(err)
	}
	if len(e.Data) == 0 && e.Partial { // half a line, which means nothing to anybody
		return s.stopped(io.EOF)
	}
	if len(e.Data) == 0 {
		s.waiting = append(s.spare[:0], llm.Chunk{Raw: e.Raw})
		return nil
	}
	chunks, at, failure := s.decode(s.spare[:0], e)
	switch {
	case failure != nil && failure.Class == llm.Garbage && e.Partial:
		return s.stopped(io.EOF)
	case failure != nil:
		return failure
	case s.astray:
		return garbage("the answer is not an event stream", nil)
	}
	s.spare = chunks
	if len(chunks) == 0 {
		chunks = append(chunks, llm.Chunk{})
	}
	s.at = max(s.at, at)
	for i := range chunks {
		s.content = s.content || chunks[i].HasContent()
		s.size += weight(&chunks[i])
	}
	if s.size > DefaultMaxAnswer { // writers, and whoever gathers, keep parts of it
		return &llm.Failure{Class: llm.StreamCut, Message: "the answer was cut off: it is endless"}
	}
	if s.at == ended && !s.content {
		return garbage("the answer is empty", nil)
	}
	chunks[0].Raw = e.Raw
	s.waiting = chunks
	return nil
}

// more says whether the next chunk comes without waiting.
func (s *Stream) more() bool {
	return len(s.waiting) > 0 || s.at != ended && s.events != nil && s.events.whole()
}

// sniff tells server-sent events from JSON by the first byte: Gemini answers
// with an array of objects where alt=sse got lost, and errors come as plain
// JSON anywhere.
func (s *Stream) sniff() error {
	for {
		for _, c := range s.blocks.pending() {
			switch c {
			case ' ', '\t', '\r', '\n':
				continue
			case '{', '[':
				s.next = (&jsonReader{blocks: s.blocks, limit: DefaultMaxEvent}).Next
				s.astray = s.framed
			default:
				s.events = &SSEReader{blocks: s.blocks, limit: DefaultMaxEvent}
				s.next = s.events.Next
			}
			return nil
		}
		if len(s.blocks.pending()) > blockSize {
			return ErrNotJSON
		}
		if err := s.blocks.fill(); err != nil {
			return err
		}
	}
}

// stopped says what it means that the stream gives no more events. Where only
// the mark of its end is missing that is given.
func (s *Stream) stopped(err error) error {
	switch {
	case err == io.EOF && s.at == mayEnd && s.content && s.mark != "": // callers of the dialect wait for it
		s.at = ended
		s.waiting = append(s.spare[:0], llm.Chunk{Raw: []byte(s.mark)})
		return nil
	case err == io.EOF && s.at == mayEnd && s.content:
		return io.EOF
	case errors.Is(err, ErrEventTooLong), errors.Is(err, ErrNotJSON):
		return garbage("the answer is not in the provider's format", err)
	case s.content && err == io.EOF:
		return &llm.Failure{Class: llm.StreamCut, Message: "the answer stopped before its end"}
	case s.content:
		return &llm.Failure{Class: llm.StreamCut, Message: "the answer stopped before its end: " + reason(err), Err: err}
	case err == io.EOF:
		return garbage("the answer is empty or not in the provider's format", nil)
	}
	return &llm.Failure{Class: llm.Network, Message: "the answer did not arrive: " + reason(err), Err: err}
}

// garbage is the failure of an answer that cannot be read. Its message never
// quotes the answer.
func garbage(message string, err error) *llm.Failure {
	return &llm.Failure{Class: llm.Garbage, Message: message, Err: err}
}

// reason words an error of the connection for a Failure's message.
func reason(err error) string { return redact.Short(redact.Secrets(err.Error()), MaxMessage) }
