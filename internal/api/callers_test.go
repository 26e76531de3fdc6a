package api

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/traffic"
)

func TestEveryCallerIsKnownByItsKey(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Callers = []Caller{{Name: "default", Key: "one"}, {Name: "chat", Key: "two"}, {Name: "nightly", Key: "three"}}
	})
	for key, name := range map[string]string{"one": "default", "two": "chat", "three": "nightly"} {
		if status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, "Authorization", "Bearer "+key); status != 200 {
			t.Fatalf("%s: HTTP %d %s", key, status, body)
		}
		if got := d.recorder.traces[len(d.recorder.traces)-1].Caller; got != name {
			t.Errorf("%s is recorded as %q", name, got)
		}
	}
	for _, key := range []string{"", "on", "oneone", "four"} {
		if status, _, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, "Authorization", "Bearer "+key); status != 401 {
			t.Errorf("%q: HTTP %d", key, status)
		}
	}
}

func TestTheOperatorsKeyOpensThePagesAlone(t *testing.T) {
	for name, o := range map[string]struct {
		operator string
		want     map[string]int // by key
	}{
		"with a key": {"ops", map[string]int{"ops": 200, "one": 200, "": 401, "opsx": 401}},
		"without":    {"", map[string]int{"ops": 401, "one": 200, "": 401}},
	} {
		engine, pages := New(Options{Callers: []Caller{{Name: "default", Key: "one"}}, Operator: o.operator, Metrics: http.NotFoundHandler()}).Engine()
		pages.GET("/page", func(c *gin.Context) { c.String(http.StatusOK, "shown") })
		ask := func(path, key string) int {
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
			r.Header.Set("Authorization", "Bearer "+key)
			w := httptest.NewRecorder()
			engine.ServeHTTP(w, r)
			return w.Code
		}
		for key, want := range o.want {
			if got := ask("/page", key); got != want {
				t.Errorf("%s: %q opens the page with %d", name, key, got)
			}
		}
		if got := ask("/v1/models", "ops"); got != http.StatusUnauthorized {
			t.Errorf("%s: the operator's key opens a door: %d", name, got)
		}
	}
}

func TestWhoHasAPriorityMayOnlyAskForLess(t *testing.T) {
	free, capped := &caller{}, &caller{Caller: Caller{Priority: traffic.Normal, Capped: true}}
	for _, c := range []struct {
		caller *caller
		asked  string
		want   traffic.Priority
	}{
		{free, "", traffic.Normal}, {free, "urgent", traffic.Urgent}, {free, "batch", traffic.Batch},
		{capped, "", traffic.Normal}, {capped, "urgent", traffic.Normal}, {capped, "batch", traffic.Batch},
	} {
		if got, err := c.caller.priority(c.asked); err != nil || got != c.want {
			t.Errorf("capped %v asks for %q: %s, %v", c.caller.Capped, c.asked, got, err)
		}
	}
}

func TestUnknownWordsInHeadersAreRefusedByName(t *testing.T) {
	d := newDoor(t, nil)
	for name, word := range map[string]string{HeaderPriority: "high", HeaderStrategy: "fastest"} {
		for _, path := range []string{"/v1/chat/completions", "/v1/route", "/v1/messages/count_tokens"} {
			status, body, _ := d.send(t, "POST", path, chatBody, name, word)
			if status != 400 || !strings.Contains(body, name) || !strings.Contains(body, word) {
				t.Errorf("%s: %s: HTTP %d %s", path, name, status, body)
			}
		}
	}
	for _, s := range router.Strategies() {
		if status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, HeaderStrategy, string(s), HeaderPriority, "batch"); status != 200 {
			t.Errorf("%s: HTTP %d %s", s, status, body)
		}
	}
}

func TestACallerBeyondItsLimitsIsToldWhenToComeBackInItsDialect(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Callers = []Caller{{Name: "a", Key: "a", Limits: traffic.Limits{Requests: 6, Burst: 1}}, {Name: "b", Key: "b"}}
	})
	if status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, "X-Api-Key", "a"); status != 200 {
		t.Fatalf("HTTP %d %s", status, body)
	}
	for path, shape := range map[string]string{
		"/v1/chat/completions": "error.code", "/v1/route": "error.code", "/v1/messages": "error.type", "/api/chat": "error",
		"/v1beta/models/local:generateContent": "error.status",
	} {
		body := strings.Replace(chatBody, `{`, `{"max_tokens":5,"contents":[{"parts":[{"text":"hi"}]}],`, 1)
		if path == "/v1/route" {
			body = `{"prompt":"hi","preferred_model":"local"}`
		}
		status, answer, header := d.send(t, "POST", path, body, "X-Api-Key", "a")
		wait, _ := strconv.Atoi(header.Get("Retry-After"))
		if status != 429 || wait < 1 || wait > 10 || !gjson.Get(answer, shape).Exists() || !strings.Contains(answer, "6 requests a minute") {
			t.Errorf("%s: HTTP %d, Retry-After %d, %s", path, status, wait, answer)
		}
	}
	if status, _, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, "X-Api-Key", "b"); status != 200 {
		t.Errorf("another caller: HTTP %d", status)
	}
}

func TestACallersTokensAreSettledByWhatWasUsed(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Callers = []Caller{{Name: "a", Key: "a", Limits: traffic.Limits{Tokens: 6000}}} // 1,000 at once
	})
	for i := range 10 { // an answer uses 5, and its caller says that it may use 900
		status, body, _ := d.send(t, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"max_tokens":900,`, 1), "X-Api-Key", "a")
		if status != 200 {
			t.Fatalf("request %d: HTTP %d %s", i, status, body)
		}
	}
	d.upstream.fault = &llm.Failure{Class: llm.BadRequest, Status: 400, Message: "no"}
	for range 10 { // what a provider refuses uses nothing
		d.send(t, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"max_tokens":900,`, 1), "X-Api-Key", "a")
	}
	d.upstream.fault = nil
	if status, body, _ := d.send(t, "POST", "/v1/chat/completions", chatBody, "X-Api-Key", "a"); status != 200 {
		t.Errorf("HTTP %d %s", status, body)
	}
}

// Each answer uses 5 tokens, so the limit is never reached: but what a caller says
// that it may use must be there first, and no number is so large that it counts
// for nothing.
func TestNoMaximumIsTooLargeToBeLimited(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Callers = []Caller{{Name: "a", Key: "a", Limits: traffic.Limits{Tokens: 60}}} // 10 at once, which fill in in 10 s
	})
	send := func() int {
		status, _, _ := d.send(t, "POST", "/v1/chat/completions", strings.Replace(chatBody, "{", `{"max_tokens":9223372036854775807,`, 1), "X-Api-Key", "a")
		return status
	}
	if first, second := send(), send(); first != 200 || second != 429 {
		t.Errorf("HTTP %d, then %d", first, second)
	}
}

func TestAPanicGivesTheCallersRoomBack(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Callers = []Caller{{Name: "a", Key: "a", Limits: traffic.Limits{Concurrent: 1}}}
	})
	for path, body := range map[string]string{"/v1/chat/completions": chatBody, "/v1/route": `{"prompt":"hi","preferred_model":"local"}`} {
		d.upstream.panic = true
		if status, answer, _ := d.send(t, "POST", path, body, "X-Api-Key", "a"); status != 500 {
			t.Errorf("%s: HTTP %d %s", path, status, answer)
		}
		d.upstream.panic = false
		if status, answer, _ := d.send(t, "POST", path, body, "X-Api-Key", "a"); status != 200 {
			t.Errorf("%s, afterwards: HTTP %d %s", path, status, answer)
		}
	}
}

func TestWhatACallerIsRefusedForItsOwnLimitsIsNoFailure(t *testing.T) {
	d := newDoor(t, func(o *Options) {
		o.Callers = []Caller{{Name: "a", Key: "a", Limits: traffic.Limits{Requests: 6, Burst: 1}}}
	})
	for _, want := range []record.Outcome{record.Served, record.Refused} {
		d.send(t, "POST", "/v1/chat/completions", chatBody, "X-Api-Key", "a")
		if got := d.recorder.traces[len(d.recorder.traces)-1].Outcome; got != want {
			t.Errorf("recorded as %s, not %s", got, want)
		}
	}
}

// settle waits until the handlers before have returned: the connection that
// they answered on takes the next request only then.
func (d *door) settle(t *testing.T) { d.send(t, "GET", "/healthz", "") }

func TestAFullGateTurnsRequestsAwayAndIsLeftOnce(t *testing.T) {
	gate := traffic.NewGate(traffic.GateLimits{Requests: 1, Bytes: 1 << 20})
	d, u := newOnce(t, func(o *Options) { o.Gate = gate })
	go func() { u.words <- "one" }()
	stream := d.open(t, t.Context(), streamBody, HeaderPriority, "urgent")
	status, body, header := d.send(t, "POST", "/v1/chat/completions", chatBody)
	if status != 503 || gjson.Get(body, "error.code").String() != "overloaded" || header.Get("Retry-After") == "" {
		t.Errorf("HTTP %d %s", status, body)
	}
	if status, _, _ = d.send(t, "GET", "/v1/health", ""); status != 200 {
		t.Errorf("who asks how it is: HTTP %d", status)
	}
	u.words <- nil
	close(u.words)
	rest(t, stream.Body)
	d.settle(t)
	for _, path := range []string{"/v1/chat/completions", "/v1/route", "/v1/messages/count_tokens", "/api/show"} {
		d.send(t, "POST", path, `{"model":`) // refused in one way or another
	}
	d.settle(t)
	if load := gate.Load(); load != 0 {
		t.Errorf("%v of the gate is taken by nobody", load)
	}
}

func TestALongBodyOfUnknownLengthIsOneRequest(t *testing.T) {
	gate := traffic.NewGate(traffic.GateLimits{Requests: 1})
	d := newDoor(t, func(o *Options) { o.Gate = gate })
	long := `{"model":"local","messages":[{"role":"user","content":"` + strings.Repeat("x", 2*believedLength) + `"}]}`
	resp, err := http.Post(d.URL+"/v1/chat/completions", "application/json", struct{ io.Reader }{strings.NewReader(long)})
	if err != nil {
		t.Fatal(err)
	}
	if answer := rest(t, resp.Body); resp.StatusCode != 200 {
		t.Errorf("HTTP %d %s", resp.StatusCode, answer)
	}
	d.settle(t)
	if load := gate.Load(); load != 0 {
		t.Errorf("%v of the gate is taken by nobody", load)
	}
}

func TestABodyOfUnknownLengthIsCountedBeforeItIsRead(t *testing.T) {
	gate := traffic.NewGate(traffic.GateLimits{Bytes: 20 << 20})
	d := newDoor(t, func(o *Options) { o.Gate, o.BodyLimit = gate, 16<<20 })
	send := func(size int) int {
		long := `{"model":"local","messages":[{"role":"user","content":"` + strings.Repeat("x", size) + `"}]}`
		req, _ := http.NewRequestWithContext(t.Context(), "POST", d.URL+"/v1/chat/completions", struct{ io.Reader }{strings.NewReader(long)})
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		rest(t, resp.Body)
		resp.Body.Close()
		d.settle(t)
		return resp.StatusCode
	}
	if a, b := send(10), send(2<<20); a != 200 || b != 200 {
		t.Errorf("with room: HTTP %d and %d", a, b)
	}
	leave, _, _ := gate.Enter(time.Now(), traffic.Urgent, 8<<20)
	if small, large := send(10), send(2<<20); small != 200 || large != 503 {
		t.Errorf("with little room: HTTP %d and %d", small, large)
	}
	leave()
	if load := gate.Load(); load != 0 {
		t.Errorf("%v of the gate is taken by nobody", load)
	}
}

func TestAPromisedBodyTakesRoomOnlyWhenItComes(t *testing.T) {
	gate := traffic.NewGate(traffic.GateLimits{Bytes: 16 << 20})
	d := newDoor(t, func(o *Options) { o.Gate, o.BodyLimit = gate, 15<<20 })
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n{", 15<<20)
	for gate.Load() == 0 {
		runtime.Gosched()
	}
	if status, _, _ := d.send(t, "POST", "/v1/chat/completions", strings.Replace(chatBody, "hi", strings.Repeat("x", 4<<20), 1)); status != 200 {
		t.Errorf("HTTP %d beside a body that was only promised", status)
	}
	conn.Close()
	for gate.Load() != 0 {
		runtime.Gosched()
	}
}

func TestABodyThatIsCutShortLeavesTheGate(t *testing.T) {
	gate := traffic.NewGate(traffic.GateLimits{Bytes: 1 << 20})
	d := newDoor(t, func(o *Options) { o.Gate = gate })
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "incomplete_body") {
		t.Errorf("%v: %s", err, answer)
	}
	conn.Close()
	d.Close() // waits for the handler
	if load := gate.Load(); load != 0 {
		t.Errorf("%v of the gate is taken by nobody", load)
	}
}
