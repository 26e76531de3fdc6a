package router

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
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
		if f.RetryAfter > 0 && !f.TooLarge { // otherwise nobody knows when it would help
			most = r.Max
		}
	}
	if nth >= min(most, r.Max) || f.RetryAfter > r.Patience {
		return 0, false
	}
	backoff := rand.N(min(r.Backoff<<min(nth, 16), maxBackoff) + 1)
	return max(backoff, f.RetryAfter), true
}

// tried is what became of asking one candidate.
type tried struct {
	grant   grant
	served  *attempt // its first content has come; nil after a failure
	failed  []*attempt
	failure *llm.Failure // of the last one
	doubted bool         // the request may be to blame: the permit is not settled
}

// try asks a candidate until it gives its first content or there is no use in
// asking it again. The permit is settled then, once for all attempts, unless the
// request may be to blame. insist says that nobody else could answer.
//
// A failure that is about the provider's key is followed by another of its keys
// at once, which is no retry; that ends when a key comes back.
func (w *walk) try(ctx context.Context, g grant, insist bool) tried {
	t := tried{grant: g}
	var keys []string
	for nth := 0; ; {
		a := w.attempt(g, len(t.failed) > 0)
		if t.failure = w.r.start(ctx, a, *w.call.Request, !insist); t.failure == nil {
			t.served = a
			return t
		}
		t.failed = append(t.failed, a)
		keys = append(keys, a.Key)
		if g.permit.resort == nil {
			if g.leave = w.anotherKey(g.i, t.failure, keys); g.leave != nil {
				continue
			}
		}
		if g.leave = w.again(ctx, g, t.failure, nth, insist); g.leave == nil {
			if t.doubted = w.doubts(a, t.failure); t.doubted {
				a.permit.doubt(t.failure)
			} else {
				a.settle(t.failure)
			}
			return t
		}
		nth++
	}
}

// anotherKey asks for leave with a key that was not tried yet, after a failure
// that speaks of the last one; nil where there is none.
func (w *walk) anotherKey(i int, f *llm.Failure, keys []string) *provider.Leave {
	switch f.Class {
	case llm.RateLimit, llm.Quota, llm.Auth:
	default:
		return nil
	}
	if f.TooLarge || keys[len(keys)-1] == "" { // no key would help, or there is none
		return nil
	}
	leave, _ := w.askAgain(i)
	if leave != nil && slices.Contains(keys, leave.Key) {
		w.r.giveBack(leave, false)
		return nil
	}
	return leave
}

// again waits and asks for leave to ask a candidate once more; nil where there
// is no use in it.
func (w *walk) again(ctx context.Context, g grant, f *llm.Failure, nth int, insist bool) *provider.Leave {
	// A target whose last request failed as well is not merely having an
	// accident: while others can answer, it is not asked over and over. What another
	// one failed, too, which works, is no accident of this one's.
	b := g.permit.b
	if g.permit.probe || g.permit.resort != nil || g.canary || !insist && b.callers.failed() ||
		f.Class.MayBeOfRequest() && w.failsElsewhere(b.target.Provider) {
		return nil
	}
	wait, ok := w.r.retries.pause(f, nth)
	if !ok || !waited(ctx, wait) || b.state() == record.Open {
		return nil
	}
	leave, busy := w.askAgain(g.i)
	if busy != nil && !busy.NoKey && busy.Wait > 0 && busy.Wait <= w.r.retries.Patience && waited(ctx, busy.Wait) {
		leave, _ = w.askAgain(g.i)
	}
	return leave
}

// askAgain asks candidate i's upstream for leave once more.
func (w *walk) askAgain(i int) (*provider.Leave, *provider.Busy) {
	c := &w.plan.candidates[i]
	return c.admit(func() int64 { return w.r.needs(c.target, w.call.Request) })
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
