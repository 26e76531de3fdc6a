package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/tokens"
	"breakwater/internal/wire"
)

// upstream answers every request with "hello", or does what its fault says.
type upstream struct {
	fault  error
	cut    bool
	panic  bool
	silent bool // until the caller's time is up
}

func (u *upstream) Admit(provider.Ask) (*provider.Leave, *provider.Busy) {
	return &provider.Leave{}, nil
}

func (u *upstream) Send(ctx context.Context, _ *provider.Leave, _ llm.Target, req *llm.Request) (*llm.Reply, error) {
	if u.panic {
		panic("broken")
	}
	if u.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if u.fault != nil {
		return nil, u.fault
	}
	return &llm.Reply{Stream: &hello{cut: u.cut}, Dialect: llm.OllamaChat}, nil
}

func (u *upstream) Lacks(model string, req *llm.Request) []string {
	codec, _ := wire.CodecFor(llm.OllamaChat)
	return codec.Lacks(model, req)
}

func (u *upstream) Streams(*llm.Request) bool { return true }

func (u *upstream) Ping(context.Context) (provider.Status, error) {
	return provider.Status{Version: "1", Models: []string{"llama3", "org/tiny"}}, nil
}

type hello struct {
	at  int
	cut bool
}

func (h *hello) Next() (llm.Chunk, error) {
	h.at++
	switch {
	case h.at == 1:
		return llm.Chunk{Text: "hel"}, nil
	case h.cut:
		return llm.Chunk{}, &llm.Failure{Class: llm.StreamCut, Message: "gone"}
	case h.at == 2:
		return llm.Chunk{Text: "lo", Finish: llm.FinishStop, Usage: &llm.Usage{Input: 3, Output: 2}}, nil
	}
	return llm.Chunk{}, io.EOF
}

func (h *hello) Close() error { return nil }

type recorder struct{ traces []*record.Trace }

func (r *recorder) Trace(t *record.Trace)              { r.traces = append(r.traces, t) }
func (r *recorder) Failed(*record.Trace)               {}
func (r *recorder) Transition(record.Transition)       {}
func (r *recorder) Hold(record.Hold)                   {}
func (r *recorder) Recent(llm.Provider) router.Figures { return router.Figures{} }

// door is an API over one local upstream.
type door struct {
	*httptest.Server
	upstream *upstream
	recorder *recorder
	router   *router.HybridRouter
}

func newDoor(t *testing.T, change func(*Options)) *door {
	t.Helper()
	u := &upstream{}
	d := newDoorTo(t, u, change)
	d.upstream = u
	return d
}

// newDoorTo is an API over an upstream of a test's own.
func newDoorTo(t *testing.T, u router.Upstream, change func(*Options)) *door {
	t.Helper()
	d := &door{recorder: &recorder{}}
	r, err := router.New(router.Config{
		Chain: []llm.Provider{llm.Local},
		Endpoints: []router.Endpoint{{Provider: llm.Local, Upstream: u, DefaultModel: "llama3",
			Timeouts: router.Timeouts{FirstToken: time.Minute, Silence: time.Minute, Answer: time.Minute}}},
		Recorder: d.recorder, Observer: d.recorder, IDs: record.NewIDs(0, 0), Log: slog.New(slog.DiscardHandler),
		Price: func(llm.Target, llm.Usage) (record.NanoUSD, bool) { return 1_500_000, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.router = r
	o := Options{
		Router: r, Hop: "this-one", Hosts: Hosts{Listen: "127.0.0.1"},
		Metrics: http.NotFoundHandler(), Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler), Tokens: tokens.NewEstimator(10),
	}
	if change != nil {
		change(&o)
	}
	engine, _ := New(o).Engine()
	d.Server = httptest.NewServer(engine)
	t.Cleanup(d.Close)
	return d
}

// send sends a request and gives status, body and headers.
func (d *door) send(t *testing.T, method, path, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	return sendTo(t, d.URL+path, method, body, headers...)
}

func sendTo(t *testing.T, address, method, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

const chatBody = `{"model":"local","messages":[{"role":"user","content":"hi"}]}`

func TestBadInputGetsAClearErrorAndIsRecorded(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.BodyLimit = 2000 })
	for name, c := range map[string]struct {
		path, body string
		status     int
		code       string
	}{
		"not JSON":               {"/v1/chat/completions", `{"model":`, 400, "invalid_request"},
		"empty body":             {"/v1/chat/completions", ``, 400, "invalid_request"},
		"an array":               {"/v1/chat/completions", `[1]`, 400, "invalid_request"},
		"wrong type":             {"/v1/chat/completions", `{"model":7,"messages":[]}`, 400, "invalid_request"},
		"messages is a string":   {"/v1/chat/completions", `{"model":"local","messages":"hi"}`, 400, "invalid_request"},
		"no messages":            {"/v1/chat/completions", `{"model":"local"}`, 400, "invalid_request"},
		"two values":             {"/v1/chat/completions", chatBody + chatBody, 400, "invalid_request"},
		"deep nesting":           {"/v1/chat/completions", strings.Repeat("[", 900), 400, "invalid_request"},
		"a bad byte":             {"/v1/chat/completions", "{\"model\":\"local\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"", 400, "invalid_request"},
		"unknown model":          {"/v1/chat/completions", `{"model":"x","messages":[{"role":"user","content":"hi"}]}`, 404, "model_not_found"},
		"oversized":              {"/v1/chat/completions", `{"model":"` + strings.Repeat("x", 3000) + `"}`, 413, "body_too_large"},
		"what nobody can carry":  {"/v1/chat/completions", `{"model":"local","n":2,"messages":[{"role":"user","content":"hi"}]}`, 400, "capability_missing"},
		"plain: not JSON":        {"/v1/route", `nope`, 400, "invalid_json"},
		"plain: wrong type":      {"/v1/route", `{"prompt":5}`, 400, "invalid_type"},
		"plain: no prompt":       {"/v1/route", `{}`, 400, "missing_required_parameter"},
		"plain: empty prompt":    {"/v1/route", `{"prompt":" "}`, 400, "invalid_value"},
		"plain: unknown field":   {"/v1/route", `{"prompt":"hi","sytem":"x"}`, 400, "invalid_json"},
		"plain: wrong preferred": {"/v1/route", `{"prompt":"hi","preferred_model":"mistral"}`, 400, "invalid_value"},
		"plain: two values":      {"/v1/route", `{"prompt":"hi"}{}`, 400, "invalid_json"},
	} {
		before := len(d.recorder.traces)
		status, body, header := d.send(t, "POST", c.path, c.body)
		e := gjson.Get(body, "error")
		if status != c.status || e.Get("code").String() != c.code || e.Get("type").String() != "invalid_request_error" || len(e.Get("message").String()) < 10 {
			t.Errorf("%s: HTTP %d %s", name, status, body)
		}
		if len(d.recorder.traces) != before+1 {
			t.Errorf("%s: %d traces", name, len(d.recorder.traces)-before)
			continue
		}
		tr := d.recorder.traces[before]
		if tr.Outcome != record.Refused || tr.Status != c.status || header.Get(HeaderRequestID) != tr.ID.String() {
			t.Errorf("%s: the trace says %s, %d; the header %s", name, tr.Outcome, tr.Status, header.Get(HeaderRequestID))
		}
	}
}

func TestABodyThatStopsHalfWayIsRefused(t *testing.T) {
	d := newDoor(t, nil)
	conn, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n%s", chatBody)
	conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 400 || gjson.GetBytes(body, "error.code").String() != "incomplete_body" {
		t.Errorf("HTTP %d %s", resp.StatusCode, body)
	}
}

func TestAnAnswerTellsWhereItCameFrom(t *testing.T) {
	d := newDoor(t, nil)
	status, body, header := d.send(t, "POST", "/v1/chat/completions", chatBody)
	if status != 200 || gjson.Get(body, "choices.0.message.content").String() != "hello" || gjson.Get(body, "usage.total_tokens").Int() != 5 {
		t.Fatalf("HTTP %d %s", status, body)
	}
	for name, want := range map[string]string{HeaderProvider: "local", HeaderModel: "llama3", HeaderAttempts: "1", HeaderReason: "Ollama was the first choice"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := record.ParseID(header.Get(HeaderRequestID)); err != nil {
		t.Errorf("request id: %v", err)
	}
}

func TestAStreamEndsWithDoneOrWithAnError(t *testing.T) {
	d := newDoor(t, nil)
	streamed := strings.Replace(chatBody, "{", `{"stream":true,`, 1)
	_, body, header := d.send(t, "POST", "/v1/chat/completions", streamed)
	if !strings.HasSuffix(body, "data: [DONE]\n\n") || !strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("got %q as %s", body, header.Get("Content-Type"))
	}
	d.upstream.cut = true
	status, body, _ := d.send(t, "POST", "/v1/chat/completions", streamed)
	if status != 200 || strings.Contains(body, "[DONE]") || strings.Contains(body, `"finish_reason":"stop"`) || !strings.Contains(body, `"code":"stream_cut"`) {
		t.Errorf("a cut stream looks like %q", body)
	}
}

func TestNoAnswerIsAnErrorInTheOpenAIShape(t *testing.T) {
	d := newDoor(t, nil)
	d.upstream.fault = &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 1500 * time.Millisecond}
	status, body, header := d.send(t, "POST", "/v1/chat/completions", chatBody)
	if status != 429 || header.Get("Retry-After") != "2" || gjson.Get(body, "error.type").String() != "rate_limit_error" {
		t.Errorf("HTTP %d, Retry-After %q: %s", status, header.Get("Retry-After"), body)
	}
	d.upstream.fault = nil
	d.upstream.panic = true
	if status, body, _ = d.send(t, "POST", "/v1/chat/completions", chatBody); status != 500 || gjson.Get(body, "error.code").String() != "internal_error" {
		t.Errorf("a panic gave HTTP %d %s", status, body)
	}
}

func TestTheKeyIsDemandedInAnyOfItsForms(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.Callers = []Caller{{Name: "default", Key: "right"}} })
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{401, nil},
		{401, []string{"Authorization", "Bearer wrong"}},
		{401, []string{"Authorization", "right"}},
		{200, []string{"Authorization", "Bearer right"}},
		{200, []string{"X-Api-Key", "right"}},
		{200, []string{"Authorization", "Basic bWU6cmlnaHQ="}}, // me:right
	} {
		if status, body, _ := d.send(t, "GET", "/v1/models", "", c.headers...); status != c.status {
			t.Errorf("%v: HTTP %d %s", c.headers, status, body)
		}
	}
	if status, _, header := d.send(t, "GET", "/metrics", ""); status != 401 || header.Get("WWW-Authenticate") == "" {
		t.Errorf("a browser is not asked for the key: HTTP %d", status)
	}
	if status, _, _ := d.send(t, "GET", "/healthz", ""); status != 200 {
		t.Errorf("/healthz wants a key: HTTP %d", status)
	}
}

func TestForeignHostsAndOriginsAreRefusedUnlessListed(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Hosts.Allowed, o.Hosts.Origins = []string{"gateway.example.com"}, []string{"https://chat.example.com"}
	})
	own := strings.TrimPrefix(d.URL, "http://")
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{200, nil},
		{200, []string{"Host", "localhost:99"}},
		{200, []string{"Host", "[::1]:99"}},
		{200, []string{"Host", "gateway.example.com"}},
		{403, []string{"Host", "evil.example.com"}},
		{403, []string{"Host", "192.168.1.9"}},
		{200, []string{"Origin", "http://" + own}},
		{200, []string{"Origin", "https://chat.example.com"}},
		{403, []string{"Origin", "https://evil.example.com"}},
		{403, []string{"Origin", "null"}},
	} {
		status, body, header := d.send(t, "GET", "/v1/models", "", c.headers...)
		if status != c.status {
			t.Errorf("%v: HTTP %d %s", c.headers, status, body)
		}
		if listed := len(c.headers) == 2 && c.headers[1] == "https://chat.example.com"; listed != (header.Get("Access-Control-Allow-Origin") != "") {
			t.Errorf("%v: Access-Control-Allow-Origin %q", c.headers, header.Get("Access-Control-Allow-Origin"))
		}
	}
	status, _, header := d.send(t, "OPTIONS", "/v1/chat/completions", "", "Origin", "https://chat.example.com",
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
	if status != 204 || header.Get("Access-Control-Allow-Headers") != "authorization,content-type" {
		t.Errorf("preflight: HTTP %d, %v", status, header)
	}
}

func TestARequestThatComesBackIsALoop(t *testing.T) {
	d := newDoor(t, nil)
	status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, provider.HopHeader, "another, this-one")
	if status != 508 || gjson.Get(body, "error.code").String() != "loop_detected" {
		t.Errorf("HTTP %d %s", status, body)
	}
	if status, _, _ = d.send(t, "POST", "/v1/chat/completions", chatBody, provider.HopHeader, "another"); status != 200 {
		t.Errorf("another Breakwater's request: HTTP %d", status)
	}
}

func TestModelsAreListedAndFound(t *testing.T) {
	d := newDoor(t, nil)
	_, body, _ := d.send(t, "GET", "/v1/models", "")
	if got := gjson.Get(body, "data.#.id").String(); got != `["auto","local","llama3"]` {
		t.Errorf("models %s", got)
	}
	if status, body, _ := d.send(t, "GET", "/v1/models/llama3", ""); status != 200 || gjson.Get(body, "owned_by").String() != "local" {
		t.Errorf("HTTP %d %s", status, body)
	}
	if status, body, _ := d.send(t, "GET", "/v1/models/a/b", ""); status != 404 || gjson.Get(body, "error.code").String() != "model_not_found" {
		t.Errorf("HTTP %d %s", status, body)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.Ready = func() error { return errors.New("stopping") } })
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/v2", 404}, {"GET", "/v1/chat/completions", 405}, {"GET", "/readyz", 503}} {
		if status, body, _ := d.send(t, c.method, c.path, ""); status != c.status || body == "" {
			t.Errorf("%s %s: HTTP %d %s", c.method, c.path, status, body)
		}
	}
}

func TestABrowserThatGoesAstrayIsShownAPage(t *testing.T) {
	d := newDoor(t, func(o *Options) { o.Nowhere = func(c *gin.Context) { c.String(404, "a page") } })
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	if status, body, _ := d.send(t, "GET", "/nonsense", "", "Accept", browser); status != 404 || body != "a page" {
		t.Errorf("a browser: HTTP %d %s", status, body)
	}
	for method, accept := range map[string]string{"GET": "*/*", "POST": browser} {
		if status, body, _ := d.send(t, method, "/nonsense", "", "Accept", accept); status != 404 || gjson.Get(body, "error.code").String() != "not_found" {
			t.Errorf("%s that accepts %s: HTTP %d %s", method, accept, status, body)
		}
	}
}

func TestACallerSetsItsOwnLimit(t *testing.T) {
	d := newDoor(t, nil)
	d.upstream.silent = true
	const chat = `{"model":"local","messages":[{"role":"user","content":"hi"}]}`
	for path, body := range map[string]string{"/v1/chat/completions": chat, "/v1/route": `{"prompt":"hi","preferred_model":"local"}`} {
		status, got, h := d.send(t, "POST", path, body, HeaderTimeout, "20")
		if status != 504 || gjson.Get(got, "error.code").String() != "deadline_exceeded" || h.Get(HeaderRequestID) == "" {
			t.Errorf("%s: HTTP %d %s", path, status, got)
		}
		for _, wrong := range []string{"0", "-1", "1.5", "10s", "86400001"} {
			status, got, _ := d.send(t, "POST", path, body, HeaderTimeout, wrong)
			if status != 400 || gjson.Get(got, "error.param").String() != HeaderTimeout {
				t.Errorf("%s: a limit of %s gave HTTP %d %s", path, wrong, status, got)
			}
		}
	}
}

func TestHeadersStayPrintable(t *testing.T) {
	if got := headerSafe("a\r\nSet-Cookie: x\x7fé"); strings.ContainsAny(got, "\r\n\x7f") || strings.Contains(got, "é") {
		t.Errorf("got %q", got)
	}
}

func TestOnlyHarmlessHeadersOfACallerReachAProvider(t *testing.T) {
	from := http.Header{}
	for _, name := range []string{
		"Anthropic-Beta", "Anthropic-Version", "OpenAI-Organization", "X-Stainless-Lang", "X-Goog-Api-Client", "X-Request-Id", "Idempotency-Key", "X-Own-Label",
		"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Cookie2", "X-Auth-Token", "X-Amz-Security-Token", "Cf-Access-Jwt-Assertion",
		"Connection", "X-Named", "Proxy-Authorization", "Te", "Http2-Settings", "X-Real-Ip", "X-Forwarded-For", "Via", "If-None-Match", "Range", "Content-Md5",
		"X-Http-Method-Override", "X-Breakwater-Hop", "Accept-Encoding", "Host", "Origin",
	} {
		from.Set(name, "v")
	}
	from.Set("Connection", "close, x-named")
	var got []string
	for name := range passable(from) {
		got = append(got, name)
	}
	slices.Sort(got)
	want := "Anthropic-Beta Anthropic-Version Openai-Organization X-Goog-Api-Client X-Own-Label X-Request-Id X-Stainless-Lang"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestAnErrorAfterHalfAnEventIsAnEventOfItsOwn(t *testing.T) {
	for last, want := range map[string]string{"": "", "}\n\n": "", "}\r\n\r\n": "", "}\n": "\n\n", "x}": "\n\n"} {
		if got := string(endEvent(nil, []byte(last), "text/event-stream")); got != want {
			t.Errorf("after %q: %q, want %q", last, got, want)
		}
	}
	if got := string(endEvent(nil, []byte("x}"), "application/x-ndjson")); got != "\n" {
		t.Errorf("a line: %q", got)
	}
}
