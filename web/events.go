package web

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	// EventInterval is the least time between two messages of a stream: a
	// reader cannot follow more, and a busy router changes hundreds of times a second.
	EventInterval = time.Second
	// HeartbeatInterval is how often an idle stream says that it is alive:
	// well under the minute after which proxies close idle connections.
	HeartbeatInterval = 15 * time.Second
	// eventWriteTimeout gives up on a reader that takes nothing any more.
	eventWriteTimeout = 10 * time.Second
)

// events streams the names of what changed until the reader or the server goes.
func (s *Server) events(c *gin.Context) {
	changed, cancel := s.options.Changes.Subscribe()
	defer cancel()
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	control := http.NewResponseController(c.Writer)
	write := func(text string) error {
		// Not every connection knows deadlines; without one a write may wait longer.
		_ = control.SetWriteDeadline(time.Now().Add(eventWriteTimeout))
		if _, err := io.WriteString(c.Writer, text); err != nil {
			return err
		}
		return control.Flush()
	}
	// A reader that has just connected, or connected again, may have missed
	// anything since its page was rendered.
	if write("retry: 2000\n\n"+messages(Parts())) != nil {
		return
	}
	heartbeat := time.NewTicker(HeartbeatInterval)
	defer heartbeat.Stop()
	pending := map[Part]bool{}
	last := time.Now()
	var due <-chan time.Time
	for {
		var err error
		select {
		case <-c.Request.Context().Done():
			return
		case <-s.closed:
			return
		case part, open := <-changed:
			if !open {
				return
			}
			pending[part] = true
			if due == nil {
				due = time.After(time.Until(last.Add(EventInterval)))
			}
		case <-due:
			err = write(messages(slices.DeleteFunc(Parts(), func(p Part) bool { return !pending[p] })))
			clear(pending)
			due, last = nil, time.Now()
		case now := <-heartbeat.C:
			// The comment is for proxies, the event for the page's clock: a
			// browser does not show comments to scripts.
			err = write(": heartbeat\nevent: heartbeat\ndata: " + machine(now) + "\n\n")
		}
		if err != nil {
			return
		}
	}
}

// messages writes the names of parts as events.
func messages(parts []Part) string {
	var b strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", part, part)
	}
	return b.String()
}
