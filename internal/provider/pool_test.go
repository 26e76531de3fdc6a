package provider

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// speaker is an upstream that streams, and that notes the connections it gets.
type speaker struct {
	*httptest.Server
	opened, open atomic.Int64
	proto        atomic.Value
	halfway      chan bool // where it is not nil, an answer waits for it in its middle
}

// speaks starts an upstream with HTTP/1, or TLS, or HTTP/2.
func speaks(t *testing.T, protocol string, halfway chan bool) *speaker {
	s := &speaker{halfway: halfway}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		s.proto.Store(r.Proto)
		event := `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":%s}]}` + "\n\n"
		fmt.Fprintf(w, event, "null")
		http.NewResponseController(w).Flush()
		if s.halfway != nil {
			<-s.halfway
		}
		fmt.Fprintf(w, event+"data: [DONE]\n\n", `"stop"`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that were begun and not needed
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.opened.Add(1)
			s.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.open.Add(-1)
		}
	}
	switch protocol {
	case "HTTP/1":
		s.Start()
	case "TLS":
		s.StartTLS()
	case "HTTP/2":
		s.EnableHTTP2 = true
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s
}

// clientOf makes a client that trusts the upstream.
func (s *speaker) clientOf(t *testing.T, conf Pool) *Client {
	c, err := New(Config{Provider: llm.OpenAI, BaseURL: s.URL, Keys: keysNamed("a"), Pool: conf})
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS != nil {
		c.pool.tls.RootCAs = x509.NewCertPool()
		c.pool.tls.RootCAs.AddCert(s.Certificate())
	}
	t.Cleanup(c.Close)
	return c
}

// eventually waits for what another goroutine brings about; how long only
// bounds a hang.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("%s does not come about", what)
		}
	}
}

func TestThePoolIsCounted(t *testing.T) {
	for protocol, proto := range map[string]string{"HTTP/1": "HTTP/1.1", "TLS": "HTTP/1.1", "HTTP/2": "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := speaks(t, protocol, nil)
			c := s.clientOf(t, Pool{})
			if use := c.PoolUse(); use != (PoolUse{}) {
				t.Errorf("before: %+v", use)
			}
			for range 5 {
				if a, _, err := ask(t.Context(), c, hello(true)); err != nil || a.Text() != "aa" {
					t.Fatalf("got %+v, %v", a, err)
				}
			}
			if got := s.proto.Load(); got != proto {
				t.Errorf("spoke %s", got)
			}
			use := c.PoolUse()
			if use.Opened != 1 || use.Reused != 4 || use.InUse != 0 || use.Idle != 1 || use.Handshake <= 0 {
				t.Errorf("got %+v", use)
			}
			c.Close()
			eventually(t, "the end of the connection", func() bool { return c.PoolUse().Idle == 0 && s.open.Load() == 0 })
		})
	}
}

func TestHTTP2CanBeRefused(t *testing.T) {
	s := speaks(t, "HTTP/2", nil)
	if _, _, err := ask(t.Context(), s.clientOf(t, Pool{NoHTTP2: true}), hello(true)); err != nil || s.proto.Load() != "HTTP/1.1" {
		t.Errorf("spoke %v, %v", s.proto.Load(), err)
	}
}

func TestConnectionsAreRenewedAndNoStreamIsCut(t *testing.T) {
	for _, protocol := range []string{"HTTP/1", "TLS", "HTTP/2"} {
		t.Run(protocol, func(t *testing.T) {
			halfway := make(chan bool)
			s := speaks(t, protocol, halfway)
			c := s.clientOf(t, Pool{LifeTime: time.Hour})
			reply, err := c.Send(t.Context(), nil, llm.Target{Model: "m"}, hello(true))
			if err != nil {
				t.Fatal(err)
			}
			if chunk, err := reply.Next(); err != nil || chunk.Text != "a" {
				t.Fatalf("got %+v, %v", chunk, err)
			}
			if use := c.PoolUse(); use.InUse != 1 || use.Idle != 0 {
				t.Errorf("under way: %+v", use)
			}
			first := c.pool.now.Load()
			first.born = first.born.Add(-time.Hour) // its life time is over
			done := make(chan error)
			go func() {
				_, _, err := ask(t.Context(), c, hello(true))
				done <- err
			}()
			eventually(t, "a new connection", func() bool { return s.opened.Load() == 2 })
			halfway <- true
			halfway <- true
			if err := <-done; err != nil {
				t.Error(err)
			}
			for err == nil {
				_, err = reply.Next()
			}
			if err != io.EOF {
				t.Errorf("the old stream ended with %v", err)
			}
			reply.Close()
			// The server hears of the end before it is counted here.
			eventually(t, "the end of the old connection", func() bool { return s.open.Load() == 1 && c.PoolUse().Idle == 1 })
			if use := c.PoolUse(); use.Opened != 2 || use.Reused != 0 || use.InUse != 0 || use.Idle != 1 {
				t.Errorf("got %+v", use)
			}
		})
	}
}

func TestALifeTimeMayBeShorterThanARequest(t *testing.T) {
	s := speaks(t, "HTTP/1", nil)
	c := s.clientOf(t, Pool{LifeTime: 1})
	for range 3 {
		if _, _, err := ask(t.Context(), c, hello(true)); err != nil {
			t.Fatal(err)
		}
	}
	if use := c.PoolUse(); use.Opened != 3 || use.Reused != 0 {
		t.Errorf("got %+v", use)
	}
}

func TestRenewalsUnderLoadLoseNoRequest(t *testing.T) {
	for _, protocol := range []string{"HTTP/1", "HTTP/2"} {
		s := speaks(t, protocol, nil)
		c := s.clientOf(t, Pool{LifeTime: time.Millisecond})
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 25 {
					if a, _, err := ask(t.Context(), c, hello(true)); err != nil || a.Text() != "aa" {
						t.Errorf("%s: got %q, %v", protocol, a.Text(), err)
					}
				}
			})
		}
		wg.Wait()
		c.Close()
		eventually(t, "the end of all connections", func() bool { return s.open.Load() == 0 })
		if use := c.PoolUse(); use.InUse != 0 || use.Idle != 0 || use.Opened < 2 {
			t.Errorf("%s: got %+v", protocol, use)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	halfway := make(chan bool)
	s := speaks(t, "HTTP/1", halfway)
	c := s.clientOf(t, Pool{Connections: 2})
	done := make(chan error)
	for range 5 {
		go func() {
			_, _, err := ask(t.Context(), c, hello(true))
			done <- err
		}()
	}
	for range 5 {
		halfway <- true
	}
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if use := c.PoolUse(); use.Opened > 2 {
		t.Errorf("got %+v", use)
	}
}

func TestFailedCallsAreNotInUse(t *testing.T) {
	c := client(t, llm.OpenAI, "http://127.0.0.1:1")
	for range 3 {
		if _, _, err := ask(t.Context(), c, hello(true)); err == nil {
			t.Fatal("nobody listens there")
		}
	}
	if use := c.PoolUse(); use.InUse != 0 || use.Idle != 0 || use.Opened != 0 {
		t.Errorf("got %+v", use)
	}
}

func TestAPoolWithoutSenseIsRefused(t *testing.T) {
	if _, err := New(Config{Provider: llm.Local, Pool: Pool{LifeTime: -1}}); err == nil || !strings.Contains(err.Error(), "pool") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Provider: llm.Local, KeyOrder: "random"}); err == nil || !strings.Contains(err.Error(), "key_order") {
		t.Errorf("got %v", err)
	}
}

// proxyVariable tells a process of this test that it is the one behind a proxy:
// the environment's proxies are read once in a process.
const proxyVariable = "BREAKWATER_TEST_BEHIND_PROXY"

func TestProxiesOfTheEnvironmentAreUsed(t *testing.T) {
	if protocol := os.Getenv(proxyVariable); protocol != "" {
		c, err := New(Config{Provider: llm.OpenAI, BaseURL: protocol + "://upstream.test", Keys: keysNamed("a")})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.pool.tls.InsecureSkipVerify = true
		c.pool.close() // and what was set up without it
		if a, _, err := ask(t.Context(), c, hello(true)); err != nil || a.Text() != "aa" || c.PoolUse().Opened != 1 {
			t.Errorf("got %+v, %v, %+v", a, err, c.PoolUse())
		}
		return
	}
	for protocol, s := range map[string]*speaker{"http": speaks(t, "HTTP/1", nil), "https": speaks(t, "HTTP/2", nil)} {
		var asked atomic.Value
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.Method + " " + r.Host)
			if r.Method != http.MethodConnect {
				s.Config.Handler.ServeHTTP(w, r)
				return
			}
			upstream, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			w.WriteHeader(http.StatusOK)
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			tunnel(conn, buffered.Reader, upstream)
		}))
		child := exec.Command(os.Args[0], "-test.run=^TestProxiesOfTheEnvironmentAreUsed$")
		child.Env = append(os.Environ(), proxyVariable+"="+protocol, "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", protocol, err, out)
		}
		proxy.Close()
		if want := map[string]string{"http": "POST upstream.test", "https": "CONNECT upstream.test:443"}[protocol]; asked.Load() != want {
			t.Errorf("%s: the proxy was asked %v", protocol, asked.Load())
		}
	}
}

// tunnel passes on both ways until one of them ends.
func tunnel(down net.Conn, buffered *bufio.Reader, up net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(up, buffered)
		up.Close()
	})
	wg.Go(func() {
		io.Copy(down, up)
		down.Close()
	})
	wg.Wait()
}
