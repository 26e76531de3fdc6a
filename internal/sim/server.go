package sim

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"breakwater/internal/llm"
)

// Server is a simulated provider on a loopback port of its own.
type Server struct {
	*Provider
	host
	shakes int // handshakes that were reset; under the Provider's lock
}

// Start makes a simulated provider and listens on a free port of 127.0.0.1.
func Start(kind llm.Provider, opts Options) (*Server, error) {
	s := &Server{Provider: New(kind, opts)}
	s.handler, s.accepted = s.Provider, s.shake
	return s, s.Revive()
}

// BaseURL gives the address in the form that the official SDK of the provider
// expects: OpenAI's ends in /v1, the others name only the host.
func (s *Server) BaseURL() string {
	if s.kind == llm.OpenAI {
		return s.URL() + "/v1"
	}
	return s.URL()
}

// shake puts the fault of the handshake in front of a new connection.
func (s *Server) shake(c net.Conn) net.Conn { return &shaken{Conn: c, server: s} }

// shaken is a connection that the fault Handshake may hit once the client has
// sent its first message.
type shaken struct {
	net.Conn
	server *Server
	looked bool
}

func (c *shaken) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	const handshake = 0x16 // the first byte of a TLS ClientHello, by https://www.rfc-editor.org/rfc/rfc8446#section-5.1
	if c.looked || n == 0 || b[0] != handshake || !c.server.resets() {
		c.looked = c.looked || n > 0
		return n, err
	}
	breakOff(c)
	return 0, net.ErrClosed
}

// resets says whether the fault hits a handshake.
func (s *Server) resets() bool {
	s.Provider.mu.Lock()
	defer s.Provider.mu.Unlock()
	if s.general.fault.Kind != Handshake || s.general.strike().Kind == Healthy {
		return false
	}
	s.shakes++
	return true
}

// Handshakes gives how many TLS handshakes were reset.
func (s *Server) Handshakes() int {
	s.Provider.mu.Lock()
	defer s.Provider.mu.Unlock()
	return s.shakes
}

// host serves a handler on one loopback address that can go away and come back.
type host struct {
	handler  http.Handler
	accepted func(net.Conn) net.Conn // what new connections are wrapped in; may be nil

	connections atomic.Int64

	mu   sync.Mutex
	addr string // kept over Kill and Revive
	stop func() // nil while nothing listens
}

// Connections gives the number of connections that are open.
func (h *host) Connections() int { return int(h.connections.Load()) }

// wrapping is a listener that wraps the connections which it accepts.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// URL gives the root address, without a slash at its end.
func (h *host) URL() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return "http://" + h.addr
}

// Kill closes the port and every connection and waits for the handlers to
// end, so that new connections are refused. A dead server stays dead.
func (h *host) Kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// Close ends the server for good; it is Kill under the name that clean-ups expect.
func (h *host) Close() { h.Kill() }

// Revive listens again, on the same port as before. It does nothing on a
// server that is alive, and fails where another process took the port.
func (h *host) Revive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != nil {
		return nil
	}
	addr := h.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("simulated server: %w", err)
	}
	h.addr = listener.Addr().String()
	if h.accepted != nil {
		listener = wrapping{listener, h.accepted}
	}

	var open sync.WaitGroup // connections
	server := &http.Server{
		Handler:  h.handler,
		ErrorLog: log.New(io.Discard, "", 0), // broken connections are its trade
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
				h.connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				h.connections.Add(-1)
				open.Done()
			}
		},
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // http.ErrServerClosed after stop
	}()
	h.stop = func() {
		_ = server.Close()
		<-served
		_ = server.Close() // a connection accepted while the first one ran
		open.Wait()
	}
	return nil
}
