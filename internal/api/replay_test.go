package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/tokens"
	"breakwater/internal/wire"
)

// recording is one recorded exchange of a provider.
type recording struct {
	Name     string
	Provider string
	Model    string
	Request  struct {
		Path string
		Body json.RawMessage
	}
	Response struct {
		Status  int
		Headers map[string]string
		Stream  string
		Raw     *string
		Body    json.RawMessage
		Lines   []string
	}
}

func (r recording) body() []byte {
	switch {
	case r.Response.Lines != nil:
		return []byte(strings.Join(r.Response.Lines, "\n"))
	case r.Response.Raw != nil:
		return []byte(*r.Response.Raw)
	}
	return r.Response.Body
}

// target says whose recording it is, that of an OpenAI-compatible server being
// OpenAI's; false for what is not a chat.
func (r recording) target() (llm.Provider, bool) {
	path, _, _ := strings.Cut(r.Request.Path, "?")
	for end, p := range map[string]llm.Provider{
		"/v1/messages": llm.Claude, "/api/chat": llm.Local, ":generateContent": llm.Gemini, ":streamGenerateContent": llm.Gemini,
		"/chat/completions": llm.OpenAI,
	} {
		if strings.HasSuffix(path, end) {
			return p, true
		}
	}
	return "", false
}

// recordings are those of chats, the answered and the refused.
func recordings(t *testing.T) []recording {
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "wire", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded exchanges in %s: set BREAKWATER_TESTDATA to the folder that has them", filepath.Join(dir, "wire"))
	}
	var all []recording
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r recording
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if _, ok := r.target(); ok {
			all = append(all, r)
		}
	}
	return all
}

// played is an API before one upstream that gives a recorded answer.
func played(t *testing.T, r recording) *httptest.Server {
	p, _ := r.target()
	return before(t, p, "m", func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		kind := map[string]string{"sse": "text/event-stream", "ndjson": "application/x-ndjson"}[r.Response.Stream]
		if kind == "" {
			kind = "application/json"
		}
		for name, value := range r.Response.Headers {
			if strings.HasPrefix(strings.ToLower(name), "retry-after") {
				w.Header().Set(name, value)
			}
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(r.Response.Status)
		w.Write(r.body())
	})
}

// before is an API before one upstream of a provider.
func before(t *testing.T, p llm.Provider, model string, serve http.HandlerFunc) *httptest.Server {
	t.Helper()
	upstream := httptest.NewServer(serve)
	t.Cleanup(upstream.Close)
	client, err := provider.New(provider.Config{Provider: p, BaseURL: upstream.URL, Keys: []provider.Key{{Name: "k", Secret: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	rec := &recorder{}
	rt, err := router.New(router.Config{
		Chain: []llm.Provider{p},
		Endpoints: []router.Endpoint{{Provider: p, Upstream: client, DefaultModel: model,
			Timeouts: router.Timeouts{FirstToken: time.Minute, Silence: time.Minute, Answer: time.Minute}}},
		Recorder: rec, Observer: rec, IDs: record.NewIDs(0, 0), Log: slog.New(slog.DiscardHandler),
		Price: func(llm.Target, llm.Usage) (record.NanoUSD, bool) { return 0, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := New(Options{
		Router: rt, Hop: "h", Hosts: Hosts{Listen: "127.0.0.1"}, Metrics: http.NotFoundHandler(),
		Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler), Tokens: tokens.NewEstimator(10),
	}).Engine()
	s := httptest.NewServer(engine)
	t.Cleanup(s.Close)
	return s
}

// ask sends a plain question at a door, and gives the answer's body.
func ask(t *testing.T, s *httptest.Server, d llm.Dialect, p llm.Provider, stream bool) (int, []byte) {
	t.Helper()
	messages := fmt.Sprintf(`"messages":[{"role":"user","content":"hi"}],"stream":%t`, stream)
	path, body := "", ""
	switch d {
	case llm.OpenAIChat:
		path, body = "/v1/chat/completions", `{"model":"`+string(p)+`",`+messages
		if stream {
			body += `,"stream_options":{"include_usage":true}`
		}
		body += "}"
	case llm.AnthropicMessages:
		path, body = "/v1/messages", `{"model":"`+string(p)+`","max_tokens":100,`+messages+`}`
	case llm.OllamaChat:
		path, body = "/api/chat", `{"model":"`+string(p)+`",`+messages+`}`
	case llm.GeminiGenerate:
		path, body = "/v1beta/models/"+string(p)+":generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`
		if stream {
			path = "/v1beta/models/" + string(p) + ":streamGenerateContent?alt=sse"
		}
	}
	status, got, _ := sendTo(t, s.URL+path, "POST", body, "Content-Type", "application/json")
	return status, []byte(got)
}

// meaning is what must come through every door.
type meaning struct {
	Text   string
	Calls  []string // name and arguments
	Finish llm.FinishReason
	Input  int64
	Output int64

	Refused, Broken bool // a refusal in words; a call that was cut off
}

// same says whether an answer at a door means what was recorded. Where a
// dialect has no word for a refusal or no way to say half a call, the rest
// must be the same.
func (m meaning) same(got meaning) bool {
	if m.Refused {
		got.Finish, got.Refused = m.Finish, true
	}
	if m.Broken {
		got.Calls, got.Broken = m.Calls, true
	}
	return reflect.DeepEqual(m, got)
}

// read gives the meaning of an answer in a dialect.
func read(d llm.Dialect, body []byte, stream bool) (meaning, error) {
	codec, _ := wire.CodecFor(d)
	req := &llm.Request{Dialect: llm.Plain, Stream: stream, IncludeUsage: true}
	var s llm.Stream = closing{codec.Stream(bytes.NewReader(body), req)}
	if !stream {
		chunks, err := codec.Whole(body, req)
		if err != nil {
			return meaning{}, err
		}
		s = &chunkList{chunks}
	}
	a, err := wire.Gather(s)
	if err != nil || len(a.Choices) == 0 {
		return meaning{}, fmt.Errorf("no answer: %w", err)
	}
	m := meaning{Text: a.Text(), Finish: a.Finish()}
	for _, p := range a.Choices[0].Parts {
		if p.Kind == llm.Refusal { // most dialects have no place of its own for it
			m.Text, m.Refused = m.Text+p.Text, true
		}
		if p.Kind == llm.Call {
			var args any
			if json.Unmarshal(p.Call.Args, &args) != nil {
				args, m.Broken = "broken off", true
			}
			canonical, _ := json.Marshal(args)
			m.Calls = append(m.Calls, p.Call.Name+string(canonical))
		}
	}
	if a.Usage != nil {
		m.Input, m.Output = a.Usage.Input, a.Usage.Output
	}
	return m, nil
}

type closing struct{ *wire.Stream }

func (closing) Close() error { return nil }

type chunkList struct{ chunks []llm.Chunk }

func (l *chunkList) Next() (llm.Chunk, error) {
	if len(l.chunks) == 0 {
		return llm.Chunk{}, io.EOF
	}
	c := l.chunks[0]
	l.chunks = l.chunks[1:]
	return c, nil
}

func (*chunkList) Close() error { return nil }

// Every recorded answer comes through every door with its meaning, and through
// its own byte for byte.
func TestRecordedAnswersComeThroughEveryDoor(t *testing.T) {
	table := map[llm.Provider]map[llm.Dialect]*passed{}
	defer func() { checkMatrix(t, table) }()
	for _, r := range recordings(t) {
		if r.Response.Status != 200 {
			continue
		}
		p, _ := r.target()
		own := provider.DialectOf(p)
		stream := r.Response.Lines != nil
		want, err := read(own, r.body(), stream)
		if err != nil {
			continue // an answer that fails has nothing to come through; the codecs' tests hold how
		}
		s := played(t, r)
		if table[p] == nil {
			table[p] = map[llm.Dialect]*passed{}
		}
		if p == llm.Gemini && stream {
			resp, err := http.Post(s.URL+"/v1beta/models/models/gemini:streamGenerateContent", "application/json", strings.NewReader(`{"contents":[{"parts":[{"text":"hi"}]}]}`))
			if err != nil {
				t.Fatal(err)
			}
			array, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			got, readErr := read(own, array, true)
			if err != nil || readErr != nil || !json.Valid(array) || !want.same(got) {
				t.Errorf("%s as an array: %v, %v, valid %t\n got %+v\nwant %+v", r.Name, err, readErr, json.Valid(array), got, want)
			}
		}
		for _, d := range doorsReplayed() {
			if table[p][d] == nil {
				table[p][d] = &passed{}
			}
			cell := table[p][d]
			cell.of++
			status, body := ask(t, s, d, p, stream)
			if d == own && r.Response.Stream != "json_array" {
				if status != 200 || !bytes.Equal(bytes.TrimRight(body, "\n"), bytes.TrimRight(r.body(), "\n")) {
					t.Errorf("%s through its own door: HTTP %d, %d bytes of %d", r.Name, status, len(body), len(r.body()))
					continue
				}
				cell.ok++
				continue
			}
			got, err := read(d, body, stream)
			if status != 200 || err != nil || !want.same(got) {
				t.Errorf("%s at the door %s: HTTP %d, %v\n got %+v\nwant %+v", r.Name, d, status, err, got, want)
				continue
			}
			cell.ok++
		}
	}
}

var update = flag.Bool("update", false, "write docs/compatibility.md")

// passed counts the recordings that came through.
type passed struct{ ok, of int }

func doorsReplayed() []llm.Dialect {
	return []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat}
}

// checkMatrix holds the table of docs/compatibility.md to what came through.
func checkMatrix(t *testing.T, table map[llm.Provider]map[llm.Dialect]*passed) {
	var b strings.Builder
	b.WriteString("| served by |")
	for _, d := range doorsReplayed() {
		fmt.Fprintf(&b, " `%s` |", d)
	}
	b.WriteString("\n|---|---|---|---|---|\n")
	for _, p := range llm.Providers() {
		fmt.Fprintf(&b, "| %s |", p.Title())
		for _, d := range doorsReplayed() {
			how := "same meaning"
			if provider.DialectOf(p) == d {
				how = "same bytes"
			}
			fmt.Fprintf(&b, " %d of %d, %s |", table[p][d].ok, table[p][d].of, how)
		}
		b.WriteString("\n")
	}
	checkTable(t, "answers", b.String())
}

// checkTable holds a table of docs/compatibility.md to what came through.
func checkTable(t *testing.T, what, table string) {
	t.Helper()
	const file, end = "../../docs/compatibility.md", "<!-- end -->\n"
	begin := "<!-- replayed " + what + " -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(page), begin)
	now, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no place for the table of %s", file, what)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if now != table {
		t.Errorf("docs/compatibility.md is not what came through; run: go test ./internal/api -update\n%s", table)
	}
}

// Every recorded error comes through every door in the door's own shape and in
// the provider's words. What the provider says of the request keeps its status;
// what it says of itself or of Breakwater's key becomes a gateway's error. Through
// its own door a refusal is the same bytes.
func TestRecordedErrorsComeThroughEveryDoor(t *testing.T) {
	gateway := map[llm.FailureClass]int{llm.Server: 502, llm.Auth: 502, llm.Quota: 429, llm.RateLimit: 429, llm.NoSuchModel: 404, llm.Timeout: 504}
	for _, r := range recordings(t) {
		if r.Response.Status == 200 {
			continue
		}
		p, _ := r.target()
		codec, _ := wire.CodecFor(provider.DialectOf(p))
		want := codec.Failure(r.Response.Status, r.body())
		for _, d := range doorsReplayed() {
			for _, stream := range []bool{false, true} {
				status, body := ask(t, played(t, r), d, p, stream)
				codec, _ := wire.CodecFor(d)
				got := codec.Failure(status, body)
				meant := gateway[want.Class]
				if meant == 0 {
					meant = r.Response.Status
				}
				switch words := want.Message[:min(len(want.Message), 200)]; {
				case status != meant:
					t.Errorf("%s (%s) at %s: HTTP %d, not %d: %s", r.Name, want.Class, d, status, meant, body)
				case got.Code == "" && d != llm.OllamaChat:
					t.Errorf("%s at %s: not an error in its shape: %s", r.Name, d, body)
				case !strings.Contains(got.Message, words):
					t.Errorf("%s (%s) at %s: the provider's words %q are lost: %s", r.Name, want.Class, d, words, body)
				case d == provider.DialectOf(p) && meant == r.Response.Status && gateway[want.Class] == 0 && !bytes.Equal(body, r.body()):
					t.Errorf("%s (%s) through its own door is not the same: %s", r.Name, want.Class, body)
				case stream && bytes.HasPrefix(body, []byte("data:")):
					t.Errorf("%s at %s: an event where nothing had begun: %s", r.Name, d, body)
				}
			}
		}
	}
}

// A recorded stream that fails, and one that is cut wherever, ends at no door
// as a complete answer does.
func TestBrokenStreamsLookBrokenAtEveryDoor(t *testing.T) {
	for i, r := range recordings(t) {
		if r.Response.Status != 200 || r.Response.Lines == nil {
			continue
		}
		p, _ := r.target()
		own := provider.DialectOf(p)
		whole := r.body()
		cuts := []int{len(whole)}
		if _, err := read(own, whole, true); err == nil {
			cuts = []int{len(whole) * (1 + i%5) / 6, len(bytes.TrimRight(whole, "\r\n")) - 2}
			if own == llm.GeminiGenerate { // the last event alone says that the answer is complete
				cuts = cuts[:1]
			}
		}
		for _, cut := range cuts {
			if _, err := read(own, whole[:cut], true); err == nil { // all but the mark of its end came
				continue
			}
			part := string(whole[:cut])
			broken := r
			broken.Response.Raw, broken.Response.Lines = &part, nil
			s := played(t, broken)
			for _, d := range doorsReplayed() {
				status, body := ask(t, s, d, p, true)
				if _, err := read(d, body, true); status == 200 && err == nil {
					t.Errorf("%s cut at %d of %d looks complete at %s: ...%s", r.Name, cut, len(whole), d, body[max(0, len(body)-200):])
				}
			}
		}
	}
}
