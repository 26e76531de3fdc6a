package app

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/sim"
	"breakwater/internal/traffic"
)

// turnstile stands before a simulated provider, takes several keys for its own,
// and notes them.
type turnstile struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (s *turnstile) saw(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen["Bearer "+key]
}

func (s *turnstile) before(t *testing.T, base string) string {
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		s.mu.Lock()
		s.seen[r.In.Header.Get("Authorization")] = true
		s.mu.Unlock()
		r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host})
		r.Out.Header.Set("Authorization", "Bearer "+secretKey)
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL + to.Path
}

// TestARotationDropsNoRequest changes a key's file under traffic.
func TestARotationDropsNoRequest(t *testing.T) {
	const next = "sk-test-of-another-account-NEWS"
	file := filepath.Join(t.TempDir(), "key")
	write := func(secret string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secretKey)
	reload := make(chan os.Signal, 1)
	gate := &turnstile{seen: map[string]bool{}}
	h := startHouse(t, houseOptions{
		env: map[string]string{"OPENAI_API_KEY": "file:" + file},
		app: Options{Reload: reload},
		between: func(p llm.Provider, s *sim.Server) string {
			if p == llm.OpenAI {
				return gate.before(t, s.BaseURL())
			}
			return s.BaseURL()
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				answer, err := http.Post(h.URL()+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"openai","messages":[{"role":"user","content":"hi"}]}`))
				if err != nil {
					t.Error(err)
					return
				}
				answer.Body.Close()
				if who := answer.Header.Get("X-Breakwater-Provider"); answer.StatusCode != 200 || who != "openai" {
					t.Errorf("HTTP %d by %q", answer.StatusCode, who)
				}
			}
		})
	}
	os.Remove(file)
	reload <- syscall.SIGHUP
	h.eventually(t, "a lost file is told", func() bool { return strings.Contains(h.log.String(), "those before stay") })
	write(next)
	reload <- syscall.SIGHUP
	h.eventually(t, "the new key is used", func() bool { return gate.saw(next) })
	stop()
	callers.Wait()
	log := h.log.String()
	if strings.Contains(log, secretKey) || strings.Contains(log, next) || !strings.Contains(log, "key 1 ····NEWS") {
		t.Errorf("the log names a key wrongly:\n%s", h.log.tail())
	}
	if n := strings.Count(log, "keys changed"); n != 1 {
		t.Errorf("the keys changed %d times", n)
	}
}

func TestAnIdempotentRequestIsPaidOnce(t *testing.T) {
	h := startHouse(t, houseOptions{})
	var ids []string
	for range 3 {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", h.URL()+"/v1/chat/completions",
			strings.NewReader(`{"model":"claude","messages":[{"role":"user","content":"hi"}]}`))
		req.Header.Set("Idempotency-Key", "order-17")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("HTTP %d", resp.StatusCode)
		}
		ids = append(ids, resp.Header.Get("X-Breakwater-Request-Id"))
	}
	if n := h.sims[llm.Claude].Requests(); ids[0] != ids[1] || ids[0] != ids[2] || n != 1 {
		t.Errorf("ids %q, %d calls", ids, n)
	}
}

// TestANewKeyServesThoseWhoWait reads a new key while the only one cools down and
// requests wait in line for it, which refused at least one of them.
func TestANewKeyServesThoseWhoWait(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secretKey), 0o600); err != nil {
		t.Fatal(err)
	}
	reload := make(chan os.Signal, 1)
	gate := &turnstile{seen: map[string]bool{}}
	h := startHouse(t, houseOptions{
		env: map[string]string{"OPENAI_API_KEY": "file:" + file}, file: "chain: [openai]\nqueue: {wait: 20m}\n",
		app: Options{Reload: reload},
		between: func(p llm.Provider, s *sim.Server) string {
			if p == llm.OpenAI {
				return gate.before(t, s.BaseURL())
			}
			return s.BaseURL()
		},
	})
	ask := func() int {
		answer, err := http.Post(h.URL()+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"openai","messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			t.Error(err)
			return 0
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	h.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.RateLimited, RetryAfter: 10 * time.Minute}) // within what they may wait
	began := time.Now()
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if status := ask(); status != 200 {
				t.Errorf("HTTP %d after %s", status, time.Since(began))
			}
		})
	}
	h.eventually(t, "they wait", func() bool { return h.flow.queue.Waiting()[traffic.Normal] == 3 })
	h.sims[llm.OpenAI].Set(sim.Fault{})
	if err := os.WriteFile(file, []byte("sk-test-of-another-account-NEWS"), 0o600); err != nil {
		t.Fatal(err)
	}
	reload <- syscall.SIGHUP
	waiting.Wait()
	if took := time.Since(began); took > 9*time.Minute { // the wait that was told is longer
		t.Errorf("it took %s", took)
	}
}
