package faults

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// general is what a fault of all providers came to.
type general struct {
	mu         sync.Mutex
	name       string
	status     int
	code       string
	retryAfter bool
	attempts   int
}

func (g *general) String() string {
	told := "no"
	if g.retryAfter {
		told = "yes"
	}
	return fmt.Sprintf("| %s | %d | `%s` | %s | %d |", g.name, g.status, g.code, told, g.attempts)
}

// add takes a request in.
func (g *general) add(t *testing.T, a asked) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.status != 0 && g.status != a.status {
		t.Errorf("HTTP %d, and others got %d", a.status, g.status)
	}
	g.status = a.status
	if a.q.dialect == llm.OpenAIChat {
		g.code = a.code
	}
	g.retryAfter = g.retryAfter || a.header.Get("Retry-After") != ""
	g.attempts = max(g.attempts, a.requests[llm.Gemini], a.requests[llm.OpenAI])
}

// simple says whether all providers may have the fault at once, and fail by it
// every time.
func (c tableCase) simple() bool {
	return !c.streams && !c.lenient && c.options.tls == nil && c.providers == nil && c.header == nil && c.fault.Times == 0 && c.fault.After == 0
}

// everywhere plays the case where nobody else can answer: each caller gets one
// clean error, and no provider is asked more often for it.
func (c tableCase) everywhere(t *testing.T, d llm.Dialect, stream bool, g *general) {
	o := c.options
	o.chain = []llm.Provider{llm.Gemini, llm.OpenAI}
	if c.late() {
		o.late = o.chain
	}
	h := open(t, o)
	for _, s := range h.sims {
		s.Set(c.fault)
	}
	began := time.Now()
	a := h.put(t.Context(), llm.Gemini, question{dialect: d, model: string(llm.Gemini), text: text(0), stream: stream})
	took := time.Since(began)
	tr, ok := h.close(t)[a.id]
	if !ok || a.ending() != clean || a.text != "" {
		t.Fatalf("streamed %t: %q: HTTP %d %s\n%s", stream, a.ending(), a.status, a.wrong, a.body)
	}
	a.truth(t, tr)
	if tr.Outcome == record.Served || tr.Status != a.status {
		t.Errorf("the trace says %s and HTTP %d, the caller got %d", tr.Outcome, tr.Status, a.status)
	}
	if n := a.requests; n[llm.Gemini] > 3 || n[llm.OpenAI] > 3 || n[llm.Claude]+n[llm.Local] > 0 {
		t.Errorf("requests: %v", n)
	}
	if asked := c.fault.RetryAfter; asked > 0 {
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if told := time.Duration(wait) * time.Second; err != nil || told > asked || told < asked-took-time.Second {
			t.Errorf("Retry-After: %q, and the providers asked for %s within %s", a.header.Get("Retry-After"), asked, took)
		}
	}
	if strings.Contains(a.body, secret(llm.Gemini)) || strings.Contains(a.body, secret(llm.OpenAI)) {
		t.Errorf("the error shows a key: %s", a.body)
	}
	g.add(t, a)
}
