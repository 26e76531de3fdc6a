package wire

import (
	"io"
)

// jsonReader reads JSON objects that follow one another, as Ollama streams
// them line by line, and the elements of a JSON array of objects, as Gemini
// streams them without alt=sse. White space between and within them is free.
// It finds where objects end and leaves it to others to judge what is inside.
type jsonReader struct {
	blocks
	limit int // of one object, in bytes

	pos      int  // of the pending bytes, how many are examined
	from     int  // where in the pending bytes the object starts
	depth    int  // how many brackets are open within the object
	quoted   bool // within a string
	escaped  bool // after a backslash within a string
	array    bool // within an array of objects
	finished bool // the array is closed
	began    bool // something else than white space was read
}

// Next gives the next object; io.EOF at the stream's end,
// io.ErrUnexpectedEOF where it ends within an object or array, ErrNotJSON,
// ErrEventTooLong, or the error of the underlying reader.
func (j *jsonReader) Next() (Event, error) {
	for {
		whole, err := j.scan()
		if err != nil {
			return Event{}, err
		}
		if whole {
			return j.event(), nil
		}
		if len(j.pending()) > j.limit {
			return Event{}, ErrEventTooLong
		}
		switch err := j.fill(); {
		case err == nil:
		case err != io.EOF:
			return Event{}, err
		case j.depth > 0 || j.array && !j.finished:
			return Event{}, io.ErrUnexpectedEOF
		case len(j.pending()) > 0: // white space and the array's end
			j.pos = 0
			return Event{Raw: j.take(len(j.pending()))}, nil
		default:
			return Event{}, io.EOF
		}
	}
}

// scan goes on until an object is whole or there is no more to read.
func (j *jsonReader) scan() (whole bool, err error) {
	b := j.pending()
	for ; j.pos < len(b); j.pos++ {
		c := b[j.pos]
		if j.depth == 0 {
			if err := j.between(c); err != nil {
				return false, err
			}
			continue
		}
		switch {
		case j.escaped:
			j.escaped = false
		case j.quoted:
			j.escaped = c == '\\'
			j.quoted = c != '"'
		case c == '"':
			j.quoted = true
		case c == '{' || c == '[':
			j.depth++
		case c == '}' || c == ']':
			j.depth--
			if j.depth == 0 {
				j.pos++
				return true, nil
			}
		}
	}
	return false, nil
}

// between takes a byte that stands outside of all objects.
func (j *jsonReader) between(c byte) error {
	switch {
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		return nil
	case j.finished:
		return ErrNotJSON
	case c == '{':
		j.from = j.pos
		j.depth = 1
	case c == ',' && j.array:
	case c == '[' && !j.began:
		j.array = true
	case c == ']' && j.array:
		j.finished = true
	default:
		return ErrNotJSON
	}
	j.began = true
	return nil
}

// event takes the object that scan found, with what precedes it and, as far as
// it is read already, the rest of its line.
func (j *jsonReader) event() Event {
	b := j.pending()
	end := j.pos
	for end < len(b) && (b[end] == ' ' || b[end] == '\r') {
		end++
	}
	if end < len(b) && b[end] == '\n' {
		end++
	} else {
		end = j.pos
	}
	from, to := j.from, j.pos
	j.pos = 0
	raw := j.take(end)
	return Event{Data: raw[from:to:to], Raw: raw}
}
