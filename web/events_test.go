package web

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/bubble"
)

// stream is a response that is read while it is written.
type stream struct {
	mu     sync.Mutex
	header http.Header
	body   bytes.Buffer
	fail   error
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) WriteHeader(int)     {}
func (s *stream) Flush()              {}
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	return s.body.Write(p)
}

// take gives what was written since the last take.
func (s *stream) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.body.String()
	s.body.Reset()
	return text
}

// follow opens /events and gives the stream and a channel that closes with it.
func follow(t *testing.T, ctx context.Context, f *fake) (*Server, *stream, <-chan struct{}) {
	t.Helper()
	server, err := New(Options{Source: f, Changes: f})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	server.Register(engine)
	w := &stream{header: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/events", nil).WithContext(ctx))
	}()
	synctest.Wait()
	return server, w, done
}

func TestEventsComeAtMostOnceASecondAndEachNameOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := &fake{}
		server, w, done := follow(t, t.Context(), f)
		if got := w.header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("content type %q", got)
		}
		if got := strings.Count(w.take(), "event: "); got != len(Parts()) {
			t.Errorf("a new stream names %d parts, want all", got)
		}
		time.Sleep(EventInterval)
		f.set(Status{}, nil, PartNow)
		synctest.Wait()
		if got := w.take(); got != "event: now\ndata: now\n\n" {
			t.Errorf("the first change is told as %q, and not at once", got)
		}
		for range 9 {
			f.set(Status{}, nil, PartBudgets, PartVerdict, PartNow, PartNow)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if got := w.take(); got != "" {
				t.Fatalf("told again within a second: %q", got)
			}
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		want := "event: verdict\ndata: verdict\n\nevent: now\ndata: now\n\nevent: budgets\ndata: budgets\n\n"
		if got := w.take(); got != want {
			t.Errorf("after a second %q, want %q", got, want)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := w.take(); got != "" {
			t.Errorf("without a change %q", got)
		}
		server.Close()
		<-done
	})
}

func TestAnIdleStreamHasAHeartbeat(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		server, w, done := follow(t, t.Context(), &fake{})
		w.take()
		time.Sleep(HeartbeatInterval)
		synctest.Wait()
		if got := w.take(); !strings.HasPrefix(got, ": heartbeat\n") || strings.Count(got, "\n\n") != 1 {
			t.Errorf("heartbeat %q", got)
		}
		server.Close()
		server.Close() // may be called again
		<-done
	})
}

func TestAStreamEndsWithItsReaderOrItsServer(t *testing.T) {
	ends := map[string]func(*Server, *fake, *stream, context.CancelFunc){
		"the reader goes":   func(_ *Server, _ *fake, _ *stream, cancel context.CancelFunc) { cancel() },
		"the server closes": func(s *Server, _ *fake, _ *stream, _ context.CancelFunc) { s.Close() },
		"the changes end":   func(_ *Server, f *fake, _ *stream, _ context.CancelFunc) { f.end() },
		"a write fails":     func(_ *Server, f *fake, w *stream, _ context.CancelFunc) { w.breakOff(); f.set(Status{}, nil, PartNow) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f := &fake{}
				server, w, done := follow(t, ctx, f)
				end(server, f, w, cancel)
				<-done
				if n := f.subscribers(); n != 0 {
					t.Errorf("%d subscriptions are left", n)
				}
			})
		})
	}
}

func (s *stream) breakOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = errTest
}
