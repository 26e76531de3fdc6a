package sim

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"

	"breakwater/internal/llm"
)

// Server is a simulated provider on a loopback port of its own.
type Server struct {
	*Provider
	host
}

// Start makes a simulated provider and listens on a free port of 127.0.0.1.
func Start(kind llm.Provider, opts Options) (*Server, error) {
	s := &Server{Provider: New(kind, opts)}
	s.handler = s.Provider
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

// host serves a handler on one loopback address that can go away and come back.
type host struct {
	handler http.Handler

	mu   sync.Mutex
	addr string // kept over Kill and Revive
	stop func() // nil while nothing listens
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

	var open sync.WaitGroup // connections
	server := &http.Server{
		Handler:  h.handler,
		ErrorLog: log.New(io.Discard, "", 0), // broken connections are its trade
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
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
