package api

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/replay"
)

// pieces is an upstream whose streams give what a test puts into words, until it
// is closed or holds a failure.
type pieces struct {
	upstream
	calls atomic.Int64
	words chan any // string or *llm.Failure
	ended chan struct{}
}

func newPieces() *pieces {
	return &pieces{words: make(chan any), ended: make(chan struct{}, 100)}
}

func (u *pieces) Send(ctx context.Context, _ *provider.Leave, _ llm.Target, _ *llm.Request) (*llm.Reply, error) {
	u.calls.Add(1)
	return &llm.Reply{Stream: &pieceStream{u, ctx}, Dialect: llm.OllamaChat}, nil
}

type pieceStream struct {
	u   *pieces
	ctx context.Context
}

func (s *pieceStream) Next() (llm.Chunk, error) {
	select {
	case <-s.ctx.Done():
		return llm.Chunk{}, s.ctx.Err()
	case word, ok := <-s.u.words:
		switch word := word.(type) {
		case string:
			return llm.Chunk{Text: word}, nil
		case *llm.Failure:
			return llm.Chunk{}, word
		}
		if !ok {
			return llm.Chunk{}, io.EOF
		}
		return llm.Chunk{Finish: llm.FinishStop, Usage: &llm.Usage{Input: 3, Output: 2}}, nil
	}
}

func (s *pieceStream) Close() error {
	s.u.ended <- struct{}{}
	return nil
}

// newOnce is a door over pieces that keeps answers.
func newOnce(t *testing.T, change func(*Options)) (*door, *pieces) {
	u := newPieces()
	d := newDoorTo(t, u, func(o *Options) {
		o.Replay = replay.Limits{Keep: time.Minute, Bytes: 1 << 20}
		if change != nil {
			change(o)
		}
	})
	return d, u
}

const streamBody = `{"model":"local","stream":true,"messages":[{"role":"user","content":"hi"}]}`

// open begins a request and gives its answer when its headers have come.
func (d *door) open(t *testing.T, ctx context.Context, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", d.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// until reads lines up to one that holds text.
func until(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, text) {
			return all.String()
		}
		if err != nil {
			t.Fatalf("%v before %q in\n%s", err, text, &all)
		}
	}
}

func rest(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestASecondRequestJoinsTheStreamAndAThirdGetsItFromMemory(t *testing.T) {
	d, u := newOnce(t, nil)
	go func() { u.words <- "one" }()
	first := d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k", "Origin", d.URL)
	lines := bufio.NewReader(first.Body)
	begun := until(t, lines, "one") // flushed although there is no more yet
	second := d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k")
	joined := bufio.NewReader(second.Body)
	if again := until(t, joined, "one"); again != begun {
		t.Errorf("the joiner got\n%s\nafter\n%s", again, begun)
	}
	u.words <- "two"
	if a, b := until(t, lines, "two"), until(t, joined, "two"); a != b {
		t.Errorf("got\n%s\nand\n%s", a, b)
	}
	u.words <- nil
	close(u.words)
	if a, b := rest(t, lines), rest(t, joined); a != b || !strings.HasSuffix(a, "data: [DONE]\n\n") {
		t.Errorf("got\n%s\nand\n%s", a, b)
	}
	third := d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k")
	if all := rest(t, third.Body); !strings.HasPrefix(all, begun) || !strings.HasSuffix(all, "data: [DONE]\n\n") {
		t.Errorf("from memory:\n%s", all)
	}
	for i, resp := range []*http.Response{first, second, third} {
		if got, want := resp.Header.Get(HeaderReplayed), []string{"", "true", "true"}[i]; got != want {
			t.Errorf("answer %d: replayed is %q", i, got)
		}
		for _, name := range []string{HeaderRequestID, HeaderModel, "Content-Type"} {
			if resp.Header.Get(name) != first.Header.Get(name) || first.Header.Get(name) == "" {
				t.Errorf("answer %d: %s is %q", i, name, resp.Header.Get(name))
			}
		}
	}
	if n := u.calls.Load(); n != 1 || len(d.recorder.traces) != 1 {
		t.Errorf("%d calls, %d traces", n, len(d.recorder.traces))
	}
}

func TestACallerThatHangsUpMayAskAgain(t *testing.T) {
	d, u := newOnce(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { u.words <- "one" }()
	first := d.open(t, ctx, streamBody, HeaderIdempotencyKey, "k")
	until(t, bufio.NewReader(first.Body), "one")
	hangUp()
	u.words <- "two"
	u.words <- nil
	close(u.words)
	again := d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k")
	if all := rest(t, again.Body); !strings.Contains(all, "two") || !strings.HasSuffix(all, "data: [DONE]\n\n") {
		t.Errorf("got\n%s", all)
	}
	if n := u.calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestWithoutTheHeaderACallerThatHangsUpEndsItsRequest(t *testing.T) {
	d, u := newOnce(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { u.words <- "one" }()
	first := d.open(t, ctx, streamBody)
	until(t, bufio.NewReader(first.Body), "one")
	hangUp()
	<-u.ended
}

func TestAStormOfTheSameKeyCallsTheProviderOnce(t *testing.T) {
	d, u := newOnce(t, nil)
	go func() {
		for range 20 {
			u.words <- "word "
			time.Sleep(time.Millisecond)
		}
		u.words <- nil
		close(u.words)
	}()
	var storm sync.WaitGroup
	answers := make([]string, 50)
	for i := range answers {
		storm.Go(func() {
			body := chatBody
			_, answers[i], _ = d.send(t, "POST", "/v1/chat/completions", body, HeaderIdempotencyKey, "k")
		})
	}
	storm.Wait()
	for _, a := range answers {
		if a != answers[0] || strings.Count(a, "word ") != 20 {
			t.Fatalf("got\n%s\nand\n%s", answers[0], a)
		}
	}
	if n := u.calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestAKeyForAnotherRequestIsRefused(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Replay = replay.Limits{Keep: time.Minute, Bytes: 1 << 20}
		o.Callers = []Caller{{Name: "a", Key: "a"}, {Name: "b", Key: "b"}}
	})
	other := strings.Replace(chatBody, "hi", "ho", 1)
	for _, c := range []struct {
		caller, path, body, key string
		status                  int
		replayed                string
	}{
		{"a", "/v1/chat/completions", chatBody, "k", 200, ""},
		{"a", "/v1/chat/completions", chatBody, "k", 200, "true"},
		{"a", "/v1/chat/completions", other, "k", 422, ""},
		{"b", "/v1/chat/completions", other, "k", 200, ""}, // somebody else's key is another key
		{"a", "/v1/route", `{"prompt":"hi","preferred_model":"local"}`, "k", 200, ""},
		{"a", "/v1/route", `{"prompt":"hi","preferred_model":"local"}`, "k", 200, "true"},
		{"a", "/v1/route", `{"prompt":5}`, "l", 400, ""},
		{"a", "/v1/route", `{"prompt":5}`, "l", 400, "true"}, // a final refusal
		{"a", "/v1/route", `{}`, strings.Repeat("k", 256), 400, ""},
		{"a", "/v1/route", `{}`, "schlüssel", 400, ""},
	} {
		status, body, header := d.send(t, "POST", c.path, c.body, HeaderIdempotencyKey, c.key, "X-Api-Key", c.caller)
		if status != c.status || header.Get(HeaderReplayed) != c.replayed || header.Get(HeaderRequestID) == "" {
			t.Errorf("%+v: HTTP %d, replayed %q\n%s", c, status, header.Get(HeaderReplayed), body)
		}
		if status == 422 && gjson.Get(body, "error.code").String() != "idempotency_mismatch" {
			t.Errorf("got %s", body)
		}
	}
}

func TestWhatFailedIsMadeAnew(t *testing.T) {
	d, u := newOnce(t, nil)
	go func() {
		u.words <- "one"
		u.words <- &llm.Failure{Class: llm.StreamCut, Message: "gone"}
	}()
	if all := rest(t, d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k").Body); !strings.Contains(all, "stream_cut") {
		t.Fatalf("got\n%s", all)
	}
	go func() { u.words <- &llm.Failure{Class: llm.Server, Status: 503, Message: "busy"} }()
	if resp := d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k"); resp.StatusCode != 502 || resp.Header.Get(HeaderReplayed) != "" {
		t.Errorf("a stream that broke off was kept: HTTP %d", resp.StatusCode)
	}
	go func() {
		u.words <- "well"
		u.words <- nil
		close(u.words)
	}()
	resp := d.open(t, t.Context(), streamBody, HeaderIdempotencyKey, "k")
	if all := rest(t, resp.Body); resp.StatusCode != 200 || !strings.Contains(all, "well") || resp.Header.Get(HeaderReplayed) != "" {
		t.Errorf("an error was kept: HTTP %d\n%s", resp.StatusCode, all)
	}
}

func TestAPanicIsToldToAllWhoWait(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.Replay = replay.Limits{Keep: time.Minute, Bytes: 1 << 20} })
	d.upstream.panic = true
	status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, HeaderIdempotencyKey, "k")
	if status != 500 || gjson.Get(body, "error.code").String() != "internal_error" {
		t.Errorf("HTTP %d %s", status, body)
	}
	d.upstream.panic = false
	if status, body, _ = d.send(t, "POST", "/v1/chat/completions", chatBody, HeaderIdempotencyKey, "k"); status != 200 {
		t.Errorf("afterwards: HTTP %d %s", status, body)
	}
}

func TestAJoinerHasATimeOfItsOwn(t *testing.T) {
	d, u := newOnce(t, nil)
	done := make(chan int)
	go func() {
		status, _, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, HeaderIdempotencyKey, "k")
		done <- status
	}()
	u.words <- "one" // the first has begun
	status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, HeaderIdempotencyKey, "k", HeaderTimeout, "20")
	if status != 504 || gjson.Get(body, "error.code").String() != "deadline_exceeded" {
		t.Errorf("HTTP %d %s", status, body)
	}
	u.words <- nil
	close(u.words)
	if status := <-done; status != 200 {
		t.Errorf("the first got HTTP %d", status)
	}
}

func TestTheOriginOfTheFirstIsNotPassedOn(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Replay = replay.Limits{Keep: time.Minute, Bytes: 1 << 20}
		o.Hosts.Origins = []string{"https://a.example", "https://b.example"}
	})
	for _, origin := range []string{"https://a.example", "https://b.example"} {
		_, _, header := d.send(t, "POST", "/v1/chat/completions", chatBody, HeaderIdempotencyKey, "k", "Origin", origin)
		if got := header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != origin {
			t.Errorf("%s is told %q", origin, got)
		}
	}
}
