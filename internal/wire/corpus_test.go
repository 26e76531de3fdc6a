package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"breakwater/internal/llm"
)

var update = flag.Bool("update", false, "write the golden files")

// exchange is one recording; the corpus' INDEX.md tells the format.
type exchange struct {
	Name     string
	Provider string
	Request  struct {
		Method, Path string
		Body         json.RawMessage
	}
	Response struct {
		Status int
		Stream string
		Raw    *string
		Body   json.RawMessage
		Lines  []string
	}
}

// body gives the response's bytes.
func (x exchange) body() []byte {
	switch r := x.Response; {
	case r.Lines != nil:
		return []byte(strings.Join(r.Lines, "\n"))
	case r.Raw != nil:
		return []byte(*r.Raw)
	default:
		return r.Body
	}
}

// dialect is what the upstream spoke.
func (x exchange) dialect() llm.Dialect {
	switch {
	case x.Provider == "anthropic":
		return llm.AnthropicMessages
	case x.Provider == "gemini":
		return llm.GeminiGenerate
	case x.Provider == "ollama" && !strings.HasPrefix(x.Request.Path, "/v1"):
		return llm.OllamaChat
	}
	return llm.OpenAIChat
}

// isChat says whether the exchange is an answer that is read.
func (x exchange) isChat() bool {
	path, _, _ := strings.Cut(x.Request.Path, "?")
	for _, end := range []string{"/chat/completions", "/v1/messages", ":generateContent", ":streamGenerateContent", "/api/chat"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

func (x exchange) codec(t testing.TB) Codec {
	c, ok := CodecFor(x.dialect())
	if !ok {
		t.Fatalf("no codec for %s", x.dialect())
	}
	return c
}

// corpus reads the recordings, or skips the test where there are none.
func corpus(t testing.TB) []exchange {
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "wire", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded exchanges in %s: set BREAKWATER_TESTDATA to the folder that has them", filepath.Join(dir, "wire"))
	}
	all := make([]exchange, len(files))
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

// golden compares got with a golden file line by line.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		var gl, wl string
		if i < len(g) {
			gl = g[i]
		}
		if i < len(w) {
			wl = w[i]
		}
		if gl != wl {
			t.Errorf("%s:%d\n got %s\nwant %s", file, i+1, gl, wl)
		}
	}
}

// recorder makes a Stream an llm.Stream that keeps all raw bytes which a caller
// of the same dialect would get.
type recorder struct {
	*Stream
	raw []byte
}

func (r *recorder) Next() (llm.Chunk, error) {
	c, err := r.Stream.Next()
	if !c.Hidden {
		r.raw = append(r.raw, c.Raw...)
	}
	return c, err
}

func (*recorder) Close() error { return nil }

// replay reads an exchange's answer from r for a caller of the given dialect
// who asked for usage. It also gives all raw bytes.
func replay(t testing.TB, x exchange, from llm.Dialect, r io.Reader) (Answer, []byte, error) {
	c := x.codec(t)
	req := &llm.Request{Dialect: from, Stream: x.Response.Lines != nil, IncludeUsage: true}
	if x.Response.Lines == nil && !c.StreamOnly {
		chunks, err := c.Whole(x.body(), req)
		if err != nil {
			return Answer{}, nil, err
		}
		a, err := Gather(&listed{chunks: chunks})
		return a, a.Raw, err
	}
	s := &recorder{Stream: c.Stream(r, req)}
	a, err := Gather(s)
	return a, s.raw, err
}

// listed is a stream of chunks at hand.
type listed struct{ chunks []llm.Chunk }

func (l *listed) Next() (llm.Chunk, error) {
	if len(l.chunks) == 0 {
		return llm.Chunk{}, io.EOF
	}
	c := l.chunks[0]
	l.chunks = l.chunks[1:]
	return c, nil
}

func (*listed) Close() error { return nil }

// outcome writes an answer in one line.
func outcome(a Answer, err error) string {
	var b strings.Builder
	if err != nil {
		f, ok := llm.AsFailure(err)
		if !ok {
			return "not a Failure: " + err.Error()
		}
		fmt.Fprintf(&b, "FAILED %v ", f)
		if f.RetryAfter != 0 {
			fmt.Fprintf(&b, "retry after %v ", f.RetryAfter)
		}
	} else {
		fmt.Fprintf(&b, "%-14s ", a.Finish())
	}
	if a.Usage != nil {
		u := *a.Usage
		fmt.Fprintf(&b, "in %d (read %d, written %d) out %d (reasoning %d) ", u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning)
	}
	if a.Opaque {
		b.WriteString("opaque ")
	}
	if a.Text() != "" {
		fmt.Fprintf(&b, "%d bytes %q", len(a.Text()), label(a.Text()))
	}
	return strings.TrimSpace(b.String())
}

func TestRecordedAnswersAreRead(t *testing.T) {
	var out bytes.Buffer
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, llm.Plain, bytes.NewReader(x.body()))
		fmt.Fprintf(&out, "%s\n\t%s\n", x.Name, outcome(a, err))
		if _, raw, err := replay(t, x, x.dialect(), bytes.NewReader(x.body())); err == nil && !bytes.Equal(raw, x.body()) {
			t.Errorf("%s: the bytes passed on differ from the recording", x.Name)
		}
		b, _, err2 := replay(t, x, llm.Plain, iotest.OneByteReader(bytes.NewReader(x.body())))
		if outcome(a, err) != outcome(b, err2) {
			t.Errorf("%s: byte by byte %s", x.Name, outcome(b, err2))
		}
	}
	golden(t, "answers.golden", out.Bytes())
}

func TestRecordedErrorsAreClassified(t *testing.T) {
	var out bytes.Buffer
	for _, x := range corpus(t) {
		if x.Response.Status == 200 {
			continue
		}
		f := x.codec(t).Failure(x.Response.Status, x.body())
		fmt.Fprintf(&out, "%s\n\t%s\n", x.Name, strings.TrimPrefix(outcome(Answer{}, f), "FAILED "))
	}
	golden(t, "errors.golden", out.Bytes())
}

// TestRecordedTextIsWhole compares with the text as a second, plain reading of
// the same JSON finds it.
func TestRecordedTextIsWhole(t *testing.T) {
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, x.dialect(), bytes.NewReader(x.body()))
		if err != nil {
			continue
		}
		if want := plainText(t, x); a.Text() != want {
			t.Errorf("%s: got %q, want %q", x.Name, a.Text(), want)
		}
	}
}

func plainText(t *testing.T, x exchange) string {
	type part struct {
		Type, Text string
		Thought    bool
	}
	var text strings.Builder
	for _, value := range jsonValues(x.body()) {
		var v struct {
			Choices []struct {
				Index          int
				Message, Delta struct{ Content any }
			}
			Content    []part
			Delta      part
			Message    struct{ Content any }
			Candidates []struct{ Content struct{ Parts []part } }
		}
		if err := json.Unmarshal(value, &v); err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		add := func(content any) {
			if s, ok := content.(string); ok {
				text.WriteString(s)
			}
		}
		for _, c := range v.Choices {
			if c.Index == 0 {
				add(c.Message.Content)
				add(c.Delta.Content)
			}
		}
		for _, p := range v.Content {
			if p.Type == "text" {
				text.WriteString(p.Text)
			}
		}
		if v.Delta.Type == "text_delta" {
			text.WriteString(v.Delta.Text)
		}
		for _, c := range v.Candidates {
			for _, p := range c.Content.Parts {
				if !p.Thought {
					text.WriteString(p.Text)
				}
			}
		}
		add(v.Message.Content)
	}
	return text.String()
}

// jsonValues finds the objects in a body or stream of any framing.
func jsonValues(body []byte) [][]byte {
	if json.Valid(body) {
		return [][]byte{body}
	}
	var values [][]byte
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("data: ")))
		if json.Valid(line) && len(line) > 1 {
			values = append(values, line)
		}
	}
	return values
}

func TestNoRecordingBreaksAnyReader(t *testing.T) {
	for _, x := range corpus(t) {
		for _, d := range []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat} {
			c, _ := CodecFor(d)
			req := &llm.Request{Dialect: d}
			c.Whole(x.body(), req)
			c.Failure(x.Response.Status, x.body())
			Gather(&recorder{Stream: c.Stream(bytes.NewReader(x.body()), req)})
		}
		DecodeOpenAIChat(x.Request.Body)
	}
}

func TestEveryCutOfARecordedStreamIsSeen(t *testing.T) {
	for _, x := range corpus(t) {
		body := bytes.TrimSpace(x.body())
		if _, _, err := replay(t, x, llm.Plain, bytes.NewReader(body)); err != nil || x.Response.Lines == nil || !x.isChat() {
			continue
		}
		for cut := 0; cut < len(body)-1; cut += 1 + len(body)/61 {
			for _, broken := range []bool{false, true} {
				r := io.Reader(bytes.NewReader(body[:cut]))
				before, after := llm.Garbage, llm.StreamCut
				if broken {
					r = io.MultiReader(r, iotest.ErrReader(io.ErrUnexpectedEOF))
					before = llm.Network
				}
				a, _, err := replay(t, x, llm.Plain, r)
				if err == nil && !broken && !slices.ContainsFunc(a.Choices, func(c Choice) bool { return c.Finish == "" }) {
					continue // all but the mark of the end came, and the connection was closed in order
				}
				f, ok := llm.AsFailure(err)
				want := after
				if a.Finish() == "" && !a.Opaque && !slices.ContainsFunc(a.Choices, func(c Choice) bool { return len(c.Parts) > 0 }) {
					want = before
					if x.dialect() == llm.OllamaChat && cut > 0 {
						want = llm.Network // half a JSON object broke off
					}
				}
				if !ok || f.Class != want {
					t.Fatalf("%s cut at %d of %d, broken %v: got %v, want %s", x.Name, cut, len(body), broken, err, want)
				}
			}
		}
	}
}

// A recorded stream means the same in whatever framing the standards allow.
func TestRecordedStreamsMeanTheSameInOtherFramings(t *testing.T) {
	sse := map[string]func(string) string{
		"CRLF":       func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"CR":         func(s string) string { return strings.ReplaceAll(s, "\n", "\r") },
		"comments":   func(s string) string { return ": hi\n\n" + strings.ReplaceAll(s, "\n\n", "\n\n: keep-alive\n\n") },
		"no space":   func(s string) string { return strings.ReplaceAll("\n"+s, "\ndata: ", "\ndata:") },
		"ids":        func(s string) string { return strings.ReplaceAll("\n"+s, "\ndata: ", "\nid: 1\nretry: 10\ndata: ") },
		"a mark":     func(s string) string { return "\xef\xbb\xbf" + s },
		"no end":     func(s string) string { return strings.TrimRight(s, "\n") },
		"data lines": func(s string) string { return strings.ReplaceAll(s, "}\n\n", "\ndata: }\n\n") },
	}
	lines := map[string]func(string) string{
		"CRLF":        func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"blank lines": func(s string) string { return "\n\n" + strings.ReplaceAll(s, "\n", "\n \n") },
		"no end":      func(s string) string { return strings.TrimRight(s, "\n") },
	}
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 || x.Response.Lines == nil {
			continue
		}
		body := strings.ReplaceAll(string(x.body()), "\r\n", "\n")
		a, _, err := replay(t, x, llm.Plain, strings.NewReader(body))
		framings := sse
		if x.Response.Stream != "sse" {
			framings = lines
		}
		for name, reframe := range framings {
			b, _, err2 := replay(t, x, llm.Plain, strings.NewReader(reframe(body)))
			if outcome(a, err) != outcome(b, err2) {
				t.Errorf("%s, %s:\n got %s\nwant %s", x.Name, name, outcome(b, err2), outcome(a, err))
			}
		}
	}
}
