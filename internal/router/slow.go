package router

import (
	"fmt"
	"time"

	"breakwater/internal/llm"
)

const (
	// slowWindow is how long a stream is watched before its pace is judged: a few
	// slow seconds are no trend.
	slowWindow = 10 * time.Second
	// slowestWait is what a single wait counts for at most: a long one is the
	// silence deadline's business, and a model may think in the middle.
	slowestWait = slowWindow / 4
)

// slow watches how fast a stream comes, by what arrives while its upstream is
// waited for. It needs no timer: a stream from which nothing comes is silent.
type slow struct {
	floor  float64 // tokens a second below which it is cut; 0 for never
	usual  float64
	waited time.Duration
	bytes  int
}

// watch begins to watch an attempt whose target has a usual pace.
func (a *attempt) watch() {
	share := a.endpoint.Timeouts.SlowShare
	if share <= 0 {
		return
	}
	if usual, ok := a.permit.b.pace.usualRate(); ok {
		a.slow = slow{floor: share * usual, usual: usual}
	}
}

// saw counts a chunk that was waited for since an instant, zero for one that
// was at hand. It gives the failure of a stream that is too slow.
func (s *slow) saw(c llm.Chunk, since time.Time) *llm.Failure {
	s.bytes += len(c.Text) + len(c.Thinking)
	if c.Call != nil {
		s.bytes += len(c.Call.Args)
	}
	if c.Opaque {
		s.bytes += len(c.Raw)
	}
	if since.IsZero() {
		return nil
	}
	s.waited += min(time.Since(since), slowestWait)
	if s.waited < slowWindow || c.Finish != "" {
		return nil
	}
	rate := float64(s.bytes) / bytesPerToken / s.waited.Seconds()
	s.waited, s.bytes = 0, 0
	if rate >= s.floor {
		return nil
	}
	return &llm.Failure{Class: llm.Timeout, Message: fmt.Sprintf("slow: about %.1f tokens a second, usually %.0f", rate, s.usual)}
}
