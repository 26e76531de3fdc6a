package router

import (
	"context"
	"fmt"
	"time"

	"breakwater/internal/llm"
)

const (
	// leastPatience is how long a stream has to its first piece in any case, and
	// leastHurry one to its first content whose target is in doubt: with the answer of
	// the next one after it, the caller still has not waited for long.
	leastPatience = 10 * time.Second
	leastHurry    = 5 * time.Second
	// slowestReading is how many tokens of a prompt a provider reads in a second at
	// the least: nobody may have seen one as long as this one lately.
	slowestReading = 2000
	// mostHurried is how many late attempts are given up before one has all the time
	// there is: what was usual may have changed for good.
	mostHurried = 3
)

// The fates of a hurried attempt.
const (
	isAwaited   int32 = iota // its answer has not begun
	hasBegun                 // it has
	isGivenUp                // it will not be taken any more
	isWaitedFor              // it is as late as others that were given up, and waited for
)

// hurry has a caller whom another target can answer, too, wait for a stream to begin
// no longer than until that is far out of the ordinary. Where the attempt is to show
// whether a target is well again that has kept somebody waiting lately, out of the
// ordinary is enough: what comes later would not show that. A local target is left
// alone, since it may have to load its model first, and so is a request to think.
func (r *HybridRouter) hurry(a *attempt, req *llm.Request) {
	b, limits := a.permit.b, &a.endpoint.Timeouts
	a.doubtful = (a.Canary || a.Probe) && time.Duration(a.began.UnixNano()-b.hung.Load()) <= paceHalfLife
	least := leastPatience
	switch {
	case limits.Patient, a.target.Provider == llm.Local, len(a.plan.candidates) == 1:
		return
	case a.doubtful && !a.streams: // a long answer takes its time
		least = limits.FirstToken
	case a.doubtful:
		least = leastHurry
	case !a.streams, req.Thought != nil && req.Thought.Effort != "none":
		return
	}
	a.hasty = time.AfterFunc(least, func() {
		input := r.input(a.target, req)
		late, known := b.pace.extreme(input)
		if a.doubtful {
			late, known = b.pace.unusual(input, a.streams)
		}
		if !known {
			return
		}
		late = max(late, least+time.Duration(countable(input)/slowestReading*float64(time.Second)))
		select {
		case <-time.After(late - time.Since(a.began)):
			r.giveUp(a, req, late)
		case <-a.ctx.Done():
		}
	})
}

// giveUp ends an attempt that is late, where somebody else can answer. After three
// that were ended so one is waited for: it speaks for those, too.
func (r *HybridRouter) giveUp(a *attempt, req *llm.Request, late time.Duration) {
	b := a.permit.b
	switch {
	case !r.elsewhere(a, req): // it has all the time there is
	case b.givenUp.Load() < mostHurried || !b.lingers.CompareAndSwap(false, true):
		if a.fate.CompareAndSwap(isAwaited, isGivenUp) {
			b.givenUp.Add(1)
			a.expired(late, "before the answer began, which is out of the ordinary")
		}
	case !a.fate.CompareAndSwap(isAwaited, isWaitedFor):
		b.lingers.Store(false)
	default:
		b.hung.Store(time.Now().UnixNano())
		<-a.ctx.Done()
		if a.fate.CompareAndSwap(isWaitedFor, isGivenUp) { // its answer never began
			a.lingered(classOf(context.Cause(a.ctx)) == llm.Timeout)
		}
	}
}

// elsewhere says whether a candidate that was not asked could answer now.
func (r *HybridRouter) elsewhere(a *attempt, req *llm.Request) bool {
	now, asked := time.Now(), a.plan.asked.Load()
	for i, c := range a.plan.candidates {
		if i >= 64 || asked&(1<<i) != 0 || !r.isWell(c.target, now) || a.longest > 0 && r.context(c.target) <= a.longest {
			continue
		}
		if verdict, _ := judge(c, req); verdict != "" || r.queue.Taken(c.target.String()) {
			continue
		}
		if leave, _ := c.admit(func() int64 { return r.needs(c.target, req) }); leave != nil {
			r.giveBack(leave, false)
			return true
		}
	}
	return false
}

// begins takes note that the answer does, and says whether it is still wanted.
func (a *attempt) begins() bool {
	if a.hasty == nil {
		return true
	}
	a.hasty.Stop()
	switch a.fate.Swap(hasBegun) {
	case isAwaited:
		if a.doubtful { // the target comes back, so that nothing has to be waited for
			a.permit.b.givenUp.Store(0)
		}
	case isGivenUp:
		<-a.ctx.Done() // at once
		return false
	case isWaitedFor:
		a.lingered(true)
		if a.streams {
			a.permit.b.pace.standsFor(time.Since(a.began), mostHurried)
		}
	}
	return true
}

// lingered has another one be waited for, when the next three were given up; told
// says that this one showed whether those would have been answered.
func (a *attempt) lingered(told bool) {
	b := a.permit.b
	if told {
		b.givenUp.Store(0)
	}
	b.lingers.Store(false)
}

// expired ends an attempt that has kept somebody waiting for so long.
func (a *attempt) expired(patience time.Duration, when string) {
	a.permit.b.hung.Store(time.Now().UnixNano())
	a.cancel(&llm.Failure{Class: llm.Timeout, Message: fmt.Sprintf("nothing for %s %s", patience.Round(time.Millisecond), when)})
}
