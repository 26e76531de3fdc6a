package router

import (
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

const (
	// leastHurry is how long a hurried stream has in any case: with the answer of the
	// next one after it, the caller still has not waited for long.
	leastHurry = 5 * time.Second
	// mostHurried is how many attempts in a row may be cut off in a hurry before one
	// has all the time there is: what was usual may have changed for good.
	mostHurried = 3
)

// tries says whether what was granted is to show that a target is well again, while
// another candidate can answer, as far as is known without asking for leave. A local
// target is left alone, since it may have to load its model first.
func (w *walk) tries(g grant, now time.Time) bool {
	if !(g.canary && !g.held || g.permit.probe) || g.permit.b.target.Provider == llm.Local {
		return false
	}
	for i, c := range w.plan.candidates {
		if i == g.i || w.plan.outcome[i].Verdict != record.VerdictNotNeeded || !w.r.isWell(c.target, now) {
			continue
		}
		if verdict, _ := judge(c, w.call.Request); verdict == "" {
			return true
		}
	}
	return false
}

// hurry has the caller wait for a target that has kept somebody waiting lately no
// longer than for an answer that is out of the ordinary. If it hangs again, somebody
// else answers soon, and whoever tries it learns soon that it does; what comes later
// would not show that the target is well.
func (r *HybridRouter) hurry(a *attempt, req *llm.Request) {
	b, least := a.permit.b, leastHurry
	if !a.streams { // a long answer takes its time
		least = a.endpoint.Timeouts.FirstToken
	}
	unusual, known := b.pace.unusual(r.input(a.target, req), a.streams)
	if !known {
		return
	}
	a.unusual = max(least, unusual)
	if a.unusual >= a.patience || time.Duration(a.began.UnixNano()-b.hung.Load()) > paceHalfLife {
		return
	}
	if n := b.cutOff.Load(); n >= mostHurried && b.cutOff.CompareAndSwap(n, 0) { // more, where several were cut off at once
		return
	}
	a.patience, a.hurried = a.unusual, true
}

// noteFirst takes note of how late the first content came.
func (a *attempt) noteFirst() {
	switch {
	case a.hurried:
		a.permit.b.cutOff.Store(0)
	case a.unusual > 0 && a.TTFT > a.unusual:
		a.permit.b.hung.Store(time.Now().UnixNano())
	}
}

// noteTimeout takes note that an attempt is ended since nothing comes, and says
// whether it is for hurry.
func (a *attempt) noteTimeout(awaited phase) bool {
	a.permit.b.hung.Store(time.Now().UnixNano())
	cut := a.hurried && (awaited == awaitsFirst || awaited == awaitsContent)
	if cut {
		a.permit.b.cutOff.Add(1)
	}
	return cut
}
