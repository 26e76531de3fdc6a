package provider

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/wire"
)

// lingering is how long after an answer's end the end of its body is waited
// for, so that the connection can be used again: it comes in the same packet or
// in the next. A longer wait would cost more than a new connection.
const lingering = 50 * time.Millisecond

// believedLength is how much memory an answer's Content-Length alone is given,
// in bytes.
const believedLength = 1 << 20

// stream is an answer as it arrives.
type stream struct {
	client      *Client
	body        io.ReadCloser
	next        func() (llm.Chunk, error)
	interrupted func() error // how the attempt's context ended; nil while it lasts
	status      int
	length      int64 // of the body as its header tells it; -1 where it does not
	requestID   string
	drained     bool  // the body was read to its end
	ended       error // what Next ended with
	close       sync.Once
}

// Next gives the next chunk, see llm.Stream.
func (s *stream) Next() (c llm.Chunk, err error) {
	if s.ended != nil {
		return llm.Chunk{}, s.ended
	}
	if c, err = s.next(); err != nil {
		s.ended = s.end(err)
	}
	return c, s.ended
}

// end says what the end of the answer means to the attempt.
func (s *stream) end(err error) error {
	if err == io.EOF {
		if !s.drained {
			s.linger()
		}
		s.Close()
		return err
	}
	if err := s.interrupted(); err != nil {
		return err
	}
	var f *llm.Failure
	if !errors.As(err, &f) {
		return err
	}
	told := *f
	if told.Status == 0 {
		told.Status = s.status
	}
	if told.RequestID == "" {
		told.RequestID = s.requestID
	}
	return s.client.clean(&told)
}

// linger reads what is left behind a complete answer, which is nearly nothing.
func (s *stream) linger() {
	giveUp := time.AfterFunc(lingering, func() { s.Close() })
	defer giveUp.Stop()
	io.CopyN(io.Discard, s.body, 4<<10) // an error changes nothing: the answer is complete
}

// Close frees the connection.
func (s *stream) Close() error {
	s.close.Do(func() { s.body.Close() })
	return nil
}

// whole reads an answer that comes in one piece.
func (s *stream) whole(codec wire.Codec, req *llm.Request) func() (llm.Chunk, error) {
	var chunks []llm.Chunk
	read := false
	return func() (llm.Chunk, error) {
		if !read {
			read = true
			var body bytes.Buffer
			body.Grow(int(min(max(s.length, 0), believedLength)) + bytes.MinRead)
			_, err := body.ReadFrom(&io.LimitedReader{R: s.body, N: DefaultMaxBody + 1})
			switch {
			case err != nil:
				return llm.Chunk{}, &llm.Failure{Class: llm.Network, Message: "the answer did not arrive: " + reason(err), Err: err}
			case body.Len() > DefaultMaxBody:
				return llm.Chunk{}, &llm.Failure{Class: llm.Garbage, Message: "the answer is endless"}
			}
			s.drained = true
			if chunks, err = codec.Whole(body.Bytes(), req); err != nil {
				return llm.Chunk{}, err
			}
		}
		if len(chunks) == 0 {
			return llm.Chunk{}, io.EOF
		}
		c := chunks[0]
		chunks = chunks[1:]
		return c, nil
	}
}
