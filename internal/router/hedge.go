package router

import (
	"context"
	"sync/atomic"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// This file is all there is of concurrency within one request: where the first
// content of a stream is late, a second candidate is asked beside the first. The
// first content wins. When race returns nothing of the loser is left.

// hedges is the budget of hedged requests. Each request of a route that hedges
// earns a share of a hedge, and each hedge spends a whole one, so there are never
// more than that share of the requests so far.
type hedges struct {
	share  int64 // of wholeHedge
	credit atomic.Int64
}

const (
	wholeHedge = 1_000_000
	// savedHedges bounds what quiet times save up: at the default share, what the
	// last two hundred requests earned.
	savedHedges = 10
)

func newHedges(share float64) *hedges {
	return &hedges{share: int64(share*wholeHedge + 0.5)}
}

// earn adds what one request earns.
func (h *hedges) earn() { h.add(h.share) }

func (h *hedges) add(credit int64) {
	for {
		had := h.credit.Load()
		if h.credit.CompareAndSwap(had, min(had+credit, savedHedges*wholeHedge)) {
			return
		}
	}
}

// spend takes one hedge, where there is one.
func (h *hedges) spend() bool {
	for {
		had := h.credit.Load()
		if had < wholeHedge {
			return false
		}
		if h.credit.CompareAndSwap(had, had-wholeHedge) {
			return true
		}
	}
}

// unspend gives back a hedge that nobody could be asked with.
func (h *hedges) unspend() { h.add(wholeHedge) }

// hedgeAfter gives how long the first content of a candidate may take before a
// second one is asked; false where none is. A stream that is held until it is
// whole has no first content that anybody waits for.
func (w *walk) hedgeAfter(g grant) (time.Duration, bool) {
	r := w.r
	if w.hedged || !w.call.Request.Stream || r.onCut == RecoverBuffer || !r.routes[w.call.Request.Model].Hedge {
		return 0, false
	}
	w.hedged = true
	r.hedges.earn()
	return g.permit.b.pace.late()
}

// What decides a race.
const (
	undecided int32 = iota
	firstWon
	secondWon
)

// race is one candidate asked beside another.
type race struct {
	*walk
	winner   atomic.Int32
	second   tried // whole when done is closed
	panicked any
	done     chan struct{}
}

// errLost ends the attempt that was later.
var errLost = &llm.Failure{Class: llm.Cancelled, Message: "another candidate was sooner"}

// race asks a candidate, and when it is late another one beside it.
func (w *walk) race(ctx context.Context, g grant, late time.Duration) (*attempt, grant, *Error) {
	insist := !w.others(g.i)
	c := &race{walk: w, done: make(chan struct{})}
	first, endFirst := context.WithCancelCause(ctx)
	second, endSecond := context.WithCancelCause(ctx)
	timer := time.AfterFunc(late, func() { c.run(second, endFirst) })
	returned := false
	defer func() {
		if !returned { // the first one panicked
			endFirst(nil)
			endSecond(errLost)
			c.reap(timer)
			c.lose(&c.second)
		}
	}()
	one := w.try(first, g, insist)
	returned = true
	if (one.served != nil || ends(one.failure)) && c.winner.CompareAndSwap(undecided, firstWon) {
		endSecond(errLost)
	}
	c.reap(timer)
	if c.winner.Load() == secondWon {
		c.second.served.free = endSecond
		endFirst(nil)
		c.lose(&one)
		return w.conclude(&c.second)
	}
	endSecond(nil)
	if c.panicked != nil {
		if one.served == nil {
			endFirst(nil)
			panic(c.panicked)
		}
		w.r.log.Error("panic beside a request", "request", w.call.ID.String(), "panic", c.panicked)
	}
	e := c.lose(&c.second)
	if one.served != nil {
		one.served.free = endFirst
		e = nil
	} else {
		endFirst(nil)
	}
	a, g, own := w.conclude(&one)
	if own == nil {
		own = e
	}
	return a, g, own
}

// ends says whether a failure of the first one leaves no use for the second
// one's answer: the request itself is at fault, or its caller is gone.
func ends(f *llm.Failure) bool {
	switch f.Class {
	case llm.BadRequest, llm.Cancelled, llm.Deadline:
		return true
	}
	return false
}

// run asks the second candidate, where there is room, budget and somebody to ask.
// The walk is its own until done is closed: the first one only sends.
func (c *race) run(ctx context.Context, endFirst context.CancelCauseFunc) {
	defer close(c.done)
	defer func() { c.panicked = recover() }()
	r := c.r
	if r.spare != nil && !r.spare() || !r.hedges.spend() {
		return
	}
	g, ok := c.beside()
	if !ok {
		r.hedges.unspend()
		return
	}
	c.second = c.try(ctx, g, false)
	if c.second.served != nil && c.winner.CompareAndSwap(undecided, secondWon) {
		endFirst(errLost)
	}
}

// beside finds a candidate to ask beside another one: a well one, since a probe
// or a canary that is cancelled tells nothing.
func (w *walk) beside() (grant, bool) {
	now := time.Now()
	for i, c := range w.plan.candidates {
		if !w.r.isWell(c.target, now) {
			continue
		}
		if g, ok := w.admit(i, now, false, false); ok {
			g.hedge = true
			return g, true
		}
	}
	return grant{}, false
}

// reap has the second one over: it never began, or is waited for.
func (c *race) reap(timer *time.Timer) {
	if !timer.Stop() {
		<-c.done
	}
}

// lose writes down the one that did not win. It gives the error that a failure of
// its own would end the request with.
func (c *race) lose(t *tried) *Error {
	if t.grant.permit == nil { // never asked
		return nil
	}
	if t.served != nil { // at the same instant
		c.r.end(t.served, errLost)
		t.served.settle(errLost)
		t.failed, t.failure = append(t.failed, t.served), errLost
		t.served = nil
	}
	if t.failure != errLost {
		_, _, e := c.conclude(t)
		return e
	}
	c.note(t.failed)
	out := &c.plan.outcome[t.grant.i]
	out.Verdict, out.Detail = record.VerdictNotNeeded, "asked too, and later"
	return nil
}
