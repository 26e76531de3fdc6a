package wire

import (
	"bytes"
	"io"
	"strings"
)

// bom is the byte order mark that a stream may begin with.
const bom = "\xef\xbb\xbf"

// SSEReader reads a stream of server-sent events, with any line ending, as
// https://html.spec.whatwg.org/multipage/server-sent-events.html tells
// (2026-11), but that an event which the stream's end leaves open is given too.
type SSEReader struct {
	blocks
	limit int

	text      int  // where in the pending bytes text begins: behind a byte order mark
	pos       int  // of the pending bytes, how many are examined
	lineStart int  // where in the pending bytes the current line starts
	began     bool // a byte order mark can no longer come
	afterCR   bool // the last event ended in CR: a LF that follows belongs to it
	bareCR    bool // lines of this stream end in CR alone
}

// NewSSEReader reads events of at most limit bytes from r.
func NewSSEReader(r io.Reader, limit int) *SSEReader {
	return &SSEReader{blocks: blocks{r: r}, limit: limit}
}

// Next gives the next event; io.EOF at the stream's end, ErrEventTooLong, or
// the error of the underlying reader.
func (s *SSEReader) Next() (Event, error) {
	for {
		if n := s.frame(); n > 0 {
			return s.event(n, false), nil
		}
		if len(s.pending()) > s.limit {
			return Event{}, ErrEventTooLong
		}
		err := s.fill()
		switch {
		case err == nil:
		case err == io.EOF && len(s.pending()) > 0:
			if n := s.frame(); n > 0 { // a CR at the very end
				return s.event(n, false), nil
			}
			return s.event(len(s.pending()), true), nil
		default:
			return Event{}, err
		}
	}
}

// whole says whether the pending bytes are known to hold a whole event.
func (s *SSEReader) whole() bool {
	b := s.pending()
	return bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\r\n\r\n"))
}

// frame gives the length of the first whole event among the pending bytes, or
// 0 where more must be read to know it.
func (s *SSEReader) frame() int {
	b := s.pending()
	if s.pos == 0 && !s.open(b) {
		return 0
	}
	for ; ; s.pos++ {
		if s.pos += lineEnd(b[s.pos:]); s.pos >= len(b) {
			return 0
		}
		c := b[s.pos]
		end := s.pos + 1
		if c == '\n' && s.pos == s.lineStart && s.pos > 0 && b[s.pos-1] == '\r' {
			s.lineStart = end // the rest of a CRLF that was taken for a bare CR
			continue
		}
		if c == '\r' {
			switch {
			case end < len(b) && b[end] == '\n':
				end++
			case end < len(b):
				s.bareCR = true
			case !s.bareCR && s.err == nil:
				return 0 // the LF of a CRLF may follow; a stream of bare CRs need not wait
			}
		}
		if s.pos == s.lineStart {
			s.afterCR = b[end-1] == '\r'
			return end
		}
		s.lineStart = end
		s.pos = end - 1
	}
}

// lineEnd gives where the first line of b ends; len(b) where it does not.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	if i := bytes.IndexByte(b, '\r'); i >= 0 {
		return i
	}
	return len(b)
}

// open steps over what may stand before an event's first line. It reports
// whether enough was read to tell.
func (s *SSEReader) open(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if !s.began {
		if len(b) < len(bom) && strings.HasPrefix(bom, string(b)) && s.err == nil {
			return false
		}
		s.began = true
		if bytes.HasPrefix(b, []byte(bom)) {
			s.pos, s.text = len(bom), len(bom)
		}
	}
	if s.afterCR && b[0] == '\n' {
		s.pos = 1
	}
	s.afterCR = false
	s.lineStart = s.pos
	return true
}

// event takes n bytes as one event.
func (s *SSEReader) event(n int, partial bool) Event {
	raw := s.take(n)
	e := Event{Raw: raw, Partial: partial}
	rest := raw[min(s.text, n):]
	s.text, s.pos, s.lineStart = 0, 0, 0
	for lines := 0; len(rest) > 0; {
		line := rest
		if i := lineEnd(rest); i < len(rest) {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.Name = string(value)
		case "data":
			if lines == 0 {
				e.Data = value[:len(value):len(value)]
			} else {
				e.Data = append(append(e.Data, '\n'), value...)
			}
			lines++
		}
	}
	return e
}
