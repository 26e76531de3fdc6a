package router

import (
	"context"
	"math/rand/v2"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Retries says when a target is asked again before the next candidate is. The
// zero value never asks again.
type Retries struct {
	// Max bounds how often a target is asked again in one request.
	Max int
	// Backoff is the longest pause before the first retry; it doubles with each.
	// The pause is drawn between nothing and that, so that callers who failed
	// together do not come back together.
	Backoff time.Duration
	// Patience bounds what a provider may ask to wait (Retry-After). A longer
	// wait means the next candidate at once.
	Patience time.Duration
}

// The defaults of the configuration.
const (
	// DefaultRetries gives an overloaded server two more chances, as the
	// providers' own SDKs do.
	DefaultRetries = 2
	// DefaultBackoff is half of what those SDKs wait: somebody else could answer.
	DefaultBackoff = 250 * time.Millisecond
	// DefaultPatience is how long the model that was asked for is worth waiting for.
	DefaultPatience = 3 * time.Second
)

// maxBackoff bounds the doubling.
const maxBackoff = 4 * time.Second

// pause says whether a target that failed may be asked again, for the nth time
// from 0, and how long after.
func (r Retries) pause(f *llm.Failure, nth int) (time.Duration, bool) {
	most := 0
	switch f.Class {
	case llm.Network:
		most = 1 // a new connection; one that fails too is no accident
	case llm.Server:
		most = r.Max
	case llm.RateLimit:
		if f.RetryAfter > 0 { // otherwise nobody knows when it would help
			most = r.Max
		}
	}
	if nth >= min(most, r.Max) || f.RetryAfter > r.Patience {
		return 0, false
	}
	backoff := rand.N(min(r.Backoff<<min(nth, 16), maxBackoff) + 1)
	return max(backoff, f.RetryAfter), true
}

// try asks a candidate until it gives its first content or there is no use in
// asking it again. The permit is settled then, once for all attempts. insist
// says that nobody else could answer.
func (r *HybridRouter) try(ctx context.Context, c candidate, p *permit, canary bool, call *Call, insist bool) (served *attempt, failed []*attempt, f *llm.Failure) {
	// A target whose last request failed as well is not merely having an
	// accident: while others can answer, it is not asked over and over.
	once := p.probe || canary || !insist && p.suspect
	for nth := 0; ; nth++ {
		a := newAttempt(c, p, canary, call)
		if f = r.start(ctx, a, *call.Request); f == nil {
			return a, failed, nil
		}
		failed = append(failed, a)
		wait, again := r.retries.pause(f, nth)
		if once || !again || !waited(ctx, wait) || p.b.state() == record.Open {
			a.settle(f)
			return nil, failed, f
		}
	}
}

// waited waits, unless the wait cannot end before ctx does.
func waited(ctx context.Context, wait time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
