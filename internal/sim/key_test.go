package sim

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
)

func TestAFaultMayBeOneKeysAlone(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Key: "first-key", Keys: []string{"second-key"}})
		s.SetKey("first-key", Fault{Kind: QuotaExhausted, Times: 1})
		var statuses []int
		for _, key := range []string{"first-key", "second-key", "first-key", "third-key"} {
			statuses = append(statuses, ask{stream: stream, key: key}.send(t, s).status)
		}
		if statuses[0] < 400 || statuses[1] != 200 || statuses[2] != 200 || statuses[3] < 400 {
			t.Errorf("%v", statuses)
		}
		if s.RequestsWith("first-key") != 2 || s.RequestsWith("second-key") != 1 {
			t.Errorf("%d and %d requests", s.RequestsWith("first-key"), s.RequestsWith("second-key"))
		}
		s.SetKey("second-key", Fault{Kind: Unauthorized})
		s.SetKey("second-key", Fault{})
		if g := (ask{stream: stream, key: "second-key"}).send(t, s); g.status != 200 {
			t.Errorf("a healed key got %d", g.status)
		}
	})
}

// A limit lets its burst through and then as much as refills, tells how it
// stands as the provider does, and says truly how long to wait.
func TestALimitIsEnforced(t *testing.T) {
	for _, kind := range llm.Providers() {
		t.Run(string(kind), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				p := New(kind, Options{Reply: echo, Limit: Limit{Requests: 60, Burst: 3}})
				send := func() (int, http.Header) {
					w := httptest.NewRecorder()
					p.ServeHTTP(w, ask{prompt: "four"}.request(t, kind, "http://sim"))
					return w.Code, w.Header()
				}
				for range 3 {
					if code, _ := send(); code != 200 {
						t.Fatalf("within the burst: %d", code)
					}
				}
				code, h := send()
				if code != 429 || p.Throttled() != 1 {
					t.Fatalf("over the burst: %d, %d throttled", code, p.Throttled())
				}
				wait, _ := strconv.Atoi(h.Get("Retry-After"))
				if kind != llm.Gemini && wait != 1 {
					t.Errorf("Retry-After %q", h.Get("Retry-After"))
				}
				left, reset := h.Get("X-Ratelimit-Remaining-Requests"), h.Get("X-Ratelimit-Reset-Requests")
				switch kind {
				case llm.OpenAI:
					if left != "57" || reset != "3s" || h.Get("X-Ratelimit-Limit-Requests") != "60" {
						t.Errorf("left %q, whole in %q", left, reset)
					}
				case llm.Claude:
					want := time.Now().UTC().Add(3 * time.Second).Format(time.RFC3339)
					if got := h.Get("Anthropic-Ratelimit-Requests-Reset"); got != want || h.Get("Anthropic-Ratelimit-Requests-Remaining") != "57" {
						t.Errorf("whole at %q, want %q", got, want)
					}
				}
				time.Sleep(time.Second)
				if code, _ := send(); code != 200 {
					t.Errorf("after the wait: %d", code)
				}
				if code, _ := send(); code != 429 {
					t.Errorf("and one more: %d", code)
				}
			})
		})
	}
}

func TestALimitCountsTokens(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(llm.OpenAI, Options{Reply: echo, Limit: Limit{Tokens: 60}})
		send := func() int {
			w := httptest.NewRecorder()
			p.ServeHTTP(w, ask{prompt: strings.Repeat("four", 20)}.request(t, llm.OpenAI, "http://sim")) // 23 tokens in, 20 out
			return w.Code
		}
		if first, second := send(), send(); first != 200 || second != 429 {
			t.Errorf("%d and %d", first, second)
		}
		time.Sleep(26 * time.Second) // 17 were left and 43 are needed
		if code := send(); code != 200 {
			t.Errorf("when the tokens are there: %d", code)
		}
	})
}

func TestAHandshakeMayBeReset(t *testing.T) {
	s := start(t, llm.OpenAI, Options{})
	s.Set(Fault{Kind: Handshake, Times: 1})
	dial := func() error {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := dial(); err == nil || !strings.Contains(err.Error(), "reset") || s.Handshakes() != 1 {
		t.Errorf("%v after %d resets", err, s.Handshakes())
	}
	if err := dial(); err == nil || strings.Contains(err.Error(), "reset") { // this server speaks no TLS
		t.Errorf("the second got %v", err)
	}
	if g := (ask{}).send(t, s); g.status != 200 {
		t.Errorf("without TLS: %+v", g)
	}
}

func TestWhatIsUnderWayIsCounted(t *testing.T) {
	s := start(t, llm.Claude, Options{})
	s.Set(Fault{Kind: HangAfterHeaders})
	ask{stream: true}.sendUntil(t, s, func(got) bool {
		if s.Open() != 1 || s.Connections() != 1 {
			t.Errorf("%d requests on %d connections", s.Open(), s.Connections())
		}
		return true
	})
	if s.Open() != 0 || s.Connections() != 0 {
		t.Errorf("%d requests on %d connections are left", s.Open(), s.Connections())
	}
}

func TestAnEventMayBeMalformed(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		s.Set(Fault{Kind: Malformed, After: 1})
		g := ask{stream: stream, prompt: "one two three"}.send(t, s)
		text, finish := textOf(kind, g.body)
		if g.err != nil || g.status != 200 || stream && (text != "one three" || finish == "") || !stream && text != "" {
			t.Errorf("%v %q %q\n%s", g.err, text, finish, g.body)
		}
	})
}

func TestAStreamMayEndWithoutItsEnd(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		s.Set(Fault{Kind: NoEnd})
		g := ask{stream: stream, prompt: "one two"}.send(t, s)
		if text, finish := textOf(kind, g.body); g.err != nil || text != "one two" || (finish == "") != stream {
			t.Errorf("%v %q %q\n%s", g.err, text, finish, g.body)
		}
	})
}

func TestOnlyTheEndMarkMayBeMissing(t *testing.T) {
	marks := map[llm.Provider]string{llm.OpenAI: "[DONE]", llm.Claude: "message_stop", llm.Gemini: "finishReason", llm.Local: `"done":true`}
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		proper := ask{stream: stream, prompt: "one two"}.send(t, s)
		s.Set(Fault{Kind: NoMark})
		g := ask{stream: stream, prompt: "one two"}.send(t, s)
		text, finish := textOf(kind, g.body)
		if text != "one two" || stream && (strings.Contains(g.body, marks[kind]) || !strings.Contains(proper.body, marks[kind])) {
			t.Errorf("%q %q\n%s", text, finish, g.body)
		}
		if told := finish != ""; stream && told != (kind == llm.OpenAI || kind == llm.Claude) {
			t.Errorf("finish %q", finish)
		}
	})
}
