package wire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// readEvents reads all events; the reader's error is nil for io.EOF.
func readEvents(next func() (Event, error)) ([]Event, error) {
	var events []Event
	for {
		e, err := next()
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// show writes the events that carry something as name|data.
func show(events []Event) []string {
	var out []string
	for _, e := range events {
		if e.Data != nil || e.Name != "" {
			out = append(out, e.Name+"|"+string(e.Data))
		}
	}
	return out
}

func rawOf(events []Event) []byte {
	var raw []byte
	for _, e := range events {
		raw = append(raw, e.Raw...)
	}
	return raw
}

func TestSSEReaderReadsEveryFraming(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"LF", "data: a\n\ndata: b\n\n", []string{"|a", "|b"}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"|a", "|b"}},
		{"CR", "data: a\r\rdata: b\r\r", []string{"|a", "|b"}},
		{"mixed", "data: a\r\n\ndata: b\r\r\ndata: c\n\r", []string{"|a", "|b", "|c"}},
		{"name", "event: ping\ndata: {}\n\n", []string{"ping|{}"}},
		{"multi-line data", "data: a\ndata:b\ndata\n\n", []string{"|a\nb\n"}},
		{"comment", ": hello\n\ndata: a\n: x\n\n", []string{"|a"}},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []string{"|a"}},
		{"other fields", "id: 1\nretry: 5\nfoo\ndata: a\n\n", []string{"|a"}},
		{"one space only is framing", "data:  a \n\n", []string{"| a "}},
		{"open end", "data: a\n\ndata: b", []string{"|a", "|b"}},
		{"open end after a line", "data: a\n\ndata: b\n", []string{"|a", "|b"}},
		{"many blank lines", "\n\n\ndata: a\n\n\n\n", []string{"|a"}},
		{"nothing", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once":      strings.NewReader(c.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
				"with its end": iotest.DataErrReader(strings.NewReader(c.in)),
			} {
				events, err := readEvents(NewSSEReader(r, DefaultMaxEvent).Next)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := show(events); !slices.Equal(got, c.want) {
					t.Errorf("%s: got %q, want %q", name, got, c.want)
				}
				if got := rawOf(events); string(got) != c.in {
					t.Errorf("%s: raw bytes %q, want %q", name, got, c.in)
				}
			}
		})
	}
}

func TestSSEReaderGivesAnEventAsSoonAsItIsWhole(t *testing.T) {
	for _, frame := range []string{"data: a\n\n", "data: a\r\n\r\n", ": still here\n\n"} {
		r, w := io.Pipe()
		go w.Write([]byte(frame)) // and then silence
		e, err := NewSSEReader(r, DefaultMaxEvent).Next()
		if err != nil || string(e.Raw) != frame || e.Partial {
			t.Errorf("%q: got %q, partial %v, %v", frame, e.Raw, e.Partial, err)
		}
		r.Close()
	}
}

func TestSSEReaderTellsAnEventThatTheEndLeftOpen(t *testing.T) {
	events, err := readEvents(NewSSEReader(strings.NewReader("data: a\n\ndata: {\"b"), DefaultMaxEvent).Next)
	if err != nil || len(events) != 2 || events[0].Partial || !events[1].Partial {
		t.Errorf("got %+v, %v", events, err)
	}
}

func TestReadersRefuseEndlessEvents(t *testing.T) {
	endless := func() io.Reader { return io.MultiReader(strings.NewReader(`{"a":"`), neverEnding('x')) }
	if _, err := NewSSEReader(endless(), 100_000).Next(); !errors.Is(err, ErrEventTooLong) {
		t.Errorf("SSE: %v", err)
	}
	if _, err := newJSONReader(endless(), 100_000).Next(); !errors.Is(err, ErrEventTooLong) {
		t.Errorf("JSON: %v", err)
	}
	if _, err := newJSONReader(neverEnding(' '), 100_000).Next(); !errors.Is(err, ErrEventTooLong) {
		t.Errorf("JSON, spaces: %v", err)
	}
}

func TestReadersGiveTheErrorBeneath(t *testing.T) {
	broken := errors.New("broken")
	for _, next := range []func() (Event, error){
		NewSSEReader(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)), DefaultMaxEvent).Next,
		newJSONReader(io.MultiReader(strings.NewReader("{}\n{"), iotest.ErrReader(broken)), DefaultMaxEvent).Next,
	} {
		if events, err := readEvents(next); len(events) != 1 || !errors.Is(err, broken) {
			t.Errorf("got %d events and %v", len(events), err)
		}
	}
}

func TestEventsMayBeKept(t *testing.T) {
	var in bytes.Buffer
	for i := range 3000 {
		in.WriteString("data: " + strings.Repeat(string(rune('a'+i%26)), i%97) + "\n\n")
	}
	want := in.String()
	events, err := readEvents(NewSSEReader(&in, DefaultMaxEvent).Next)
	if err != nil || string(rawOf(events)) != want {
		t.Errorf("later reads changed earlier events (%v)", err)
	}
}

func TestJSONReaderReadsEveryFraming(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"lines", "{\"a\":1}\n{\"b\":2}\n", []string{`|{"a":1}`, `|{"b":2}`}, nil},
		{"CRLF", "{}\r\n{}\r\n", []string{"|{}", "|{}"}, nil},
		{"no line end", `{}{"a":"}\"{"}`, []string{"|{}", `|{"a":"}\"{"}`}, nil},
		{"one pretty object", "{\n  \"a\": [\n  {}]\n}\n\n", []string{"|{\n  \"a\": [\n  {}]\n}"}, nil},
		{"array", "[{\"a\":1}\n,\r\n{\"b\":[]}]\n", []string{`|{"a":1}`, `|{"b":[]}`}, nil},
		{"empty array", "[]", nil, nil},
		{"nothing", " \n", nil, nil},
		{"cut object", "{}\n{\"a", []string{"|{}"}, io.ErrUnexpectedEOF},
		{"cut array", "[{},", []string{"|{}"}, io.ErrUnexpectedEOF},
		{"HTML", "<html>", nil, ErrNotJSON},
		{"a number", "1", nil, ErrNotJSON},
		{"after an array", "[{}]{}", []string{"|{}"}, ErrNotJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once":      strings.NewReader(c.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
			} {
				events, err := readEvents(newJSONReader(r, DefaultMaxEvent).Next)
				if !errors.Is(err, c.err) || !slices.Equal(show(events), c.want) {
					t.Errorf("%s: got %q, %v, want %q, %v", name, show(events), err, c.want, c.err)
				}
				if c.err == nil && string(rawOf(events)) != c.in {
					t.Errorf("%s: raw bytes %q, want %q", name, rawOf(events), c.in)
				}
			}
		})
	}
}

func TestJSONReaderGivesALineWithItsEnd(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	go w.Write([]byte("{\"a\":1}\n"))
	if e, err := newJSONReader(r, DefaultMaxEvent).Next(); err != nil || string(e.Raw) != "{\"a\":1}\n" {
		t.Errorf("got %q, %v", e.Raw, err)
	}
}

func newJSONReader(r io.Reader, limit int) *jsonReader {
	return &jsonReader{blocks: blocks{r: r}, limit: limit}
}

func FuzzSSEReader(f *testing.F) {
	f.Add([]byte("event: a\r\ndata: b\r\n\r\n: c\n\ndata: d"), uint8(3))
	f.Add([]byte("\xef\xbb\xbfdata: a\rdata: b\r\r\n"), uint8(1))
	f.Add([]byte("event:0\r0\r\ndata:"), uint8(0))
	f.Add([]byte("\r\r\n\ufeffdata:"), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		whole, err := readEvents(NewSSEReader(bytes.NewReader(in), DefaultMaxEvent).Next)
		if err != nil || !bytes.Equal(rawOf(whole), in) {
			t.Fatalf("raw bytes %q of %q, %v", rawOf(whole), in, err)
		}
		split, err := readEvents(NewSSEReader(&chunked{in, int(chunk) + 1}, DefaultMaxEvent).Next)
		if err != nil || !slices.Equal(show(split), show(whole)) || !bytes.Equal(rawOf(split), in) {
			t.Fatalf("read in pieces %q, at once %q, %v", show(split), show(whole), err)
		}
	})
}

func FuzzJSONReader(f *testing.F) {
	f.Add([]byte("{\"a\":\"\\\"}\"}\n{}\n"), uint8(3))
	f.Add([]byte("[{},\r\n{}]"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		whole, err := readEvents(newJSONReader(bytes.NewReader(in), DefaultMaxEvent).Next)
		if err == nil && !bytes.Equal(rawOf(whole), in) {
			t.Fatalf("raw bytes %q of %q", rawOf(whole), in)
		}
		split, err2 := readEvents(newJSONReader(&chunked{in, int(chunk) + 1}, DefaultMaxEvent).Next)
		if err2 != err || !slices.Equal(show(split), show(whole)) {
			t.Fatalf("read in pieces %q, %v, at once %q, %v", show(split), err2, show(whole), err)
		}
	})
}

// chunked reads at most n bytes at a time.
type chunked struct {
	rest []byte
	n    int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.n, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}
