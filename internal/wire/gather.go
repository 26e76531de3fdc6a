package wire

import (
	"errors"
	"io"
	"strings"

	"breakwater/internal/llm"
)

// DefaultMaxAnswer bounds the text of an answer that is gathered, in bytes. The
// longest answers of today's models are about half a MB: a longer one is
// endless.
const DefaultMaxAnswer = 32 << 20

// Answer is a whole answer.
type Answer struct {
	ID     string
	Model  string // as the upstream names it
	Text   string
	Finish llm.FinishReason
	Usage  *llm.Usage // nil where the upstream told none
	Opaque bool       // it has content that only Raw can say
	// Raw is the upstream's whole body where the answer came in one piece,
	// and nil where it was streamed.
	Raw []byte
}

// Gather reads a stream to its end. With an error, which is the stream's, it
// gives what had arrived until then. It does not close the stream.
func Gather(s llm.Stream) (Answer, error) {
	var a Answer
	var text strings.Builder
	for n := 0; ; n++ {
		c, err := s.Next()
		if err != nil {
			a.Text = text.String()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return a, err
		}
		if c.ID != "" {
			a.ID = c.ID
		}
		if c.Model != "" {
			a.Model = c.Model
		}
		if c.Finish != "" {
			a.Finish = c.Finish
		}
		if c.Usage != nil {
			a.Usage = c.Usage
		}
		a.Opaque = a.Opaque || c.Opaque
		a.Raw = nil
		if n == 0 {
			a.Raw = c.Raw
		}
		text.WriteString(c.Text)
		if text.Len() > DefaultMaxAnswer {
			a.Text = text.String()
			return a, garbage("the answer is endless", nil)
		}
	}
}
