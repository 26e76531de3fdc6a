package router

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// DefaultOutput is how many output tokens a request is taken to need that sets
// itself no limit, until its answer tells: a page of text, as most answers have
// less.
const DefaultOutput = 1024

// walk is one request on its way through the candidates of its plan. At any
// time one goroutine has it.
type walk struct {
	r        *HybridRouter
	call     *Call
	plan     *plan
	trace    *record.Trace
	failures []*llm.Failure // of the candidates that were asked, one each
	doubted  []doubted      // of them, those of which the request's end tells whether they count
	refused  []refused      // by candidate; nil while none has failed
	longest  int64          // the context of the largest model that the prompt was too long for
	busy     bool           // the last look at the candidates found one that is merely limited
	behind   bool           // and somebody else stands in line for it
	soon     bool           // and not for longer than a request may wait in line
	wait     time.Duration  // until the earliest may be free; 0 where something has to end first
	resorted bool           // a target was tried as a last resort
	hedged   bool           // a second candidate was considered beside a late one
	estimate func() int64   // tokens of the request at candidate asked
	asked    int
	tokens   []int64 // by candidate, as far as estimated
}

// grant is leave to ask one candidate: its breaker's permit and its upstream's
// leave.
type grant struct {
	i      int // of the candidate in the plan
	permit *permit
	leave  *provider.Leave
	canary bool
	held   bool // held, but nobody else can answer
	hedge  bool // to be asked beside another one
}

// refused is how often a candidate refused a request for want of room.
type refused struct {
	times int
	last  *llm.Failure // as it stands in walk.failures; nil where it failed otherwise since
}

// doubted is a failure that may be the request's own.
type doubted struct {
	*attempt
	failure *llm.Failure
}

// next finds the first candidate that may be asked now. Nothing in it waits, so
// the queue asks it too, for the request whose turn it is. Where there is none,
// w.soon says whether waiting in line may help.
//
// The candidates are looked at from the first one on each time: one that was
// limited or open may not be so any more when another one has failed.
//
// Where nobody else can answer at once, a target that is only held serves after
// all: slow is better than later. What refused the request for want of room is
// asked again before the request fails, as soon as it may have some. And a target
// whose breaker is open may be tried as a last resort.
func (w *walk) next(turn bool) (grant, bool) {
	w.busy, w.behind, w.soon, w.wait = false, false, false, 0
	now := time.Now()
	for i := range w.plan.candidates {
		if g, ok := w.admit(i, now, turn, false); ok {
			return g, true
		}
	}
	for i := range w.plan.candidates {
		if w.plan.outcome[i].Verdict == record.VerdictHeldByAnomaly {
			if g, ok := w.admit(i, now, turn, true); ok {
				return g, true
			}
		}
	}
	for i := range w.refused {
		if w.forgive(i) {
			if g, ok := w.admit(i, now, turn, false); ok {
				return g, true
			}
		}
	}
	if w.resortable() {
		for i := range w.plan.candidates {
			if g, ok := w.resort(i, now, turn); ok {
				return g, true
			}
		}
	}
	return grant{}, false
}

// forgive has a candidate that refused for want of room be looked at anew, no more
// often than one is asked again for other failures. It says whether it is to be.
func (w *walk) forgive(i int) bool {
	out, no := &w.plan.outcome[i], w.refused[i]
	if out.Verdict != record.VerdictTriedFailed || no.times == 0 || no.times > w.r.retries.Max || w.r.queue == nil {
		return false
	}
	out.Verdict, out.Detail = record.VerdictNotNeeded, ""
	return true
}

// changeable says whether a verdict may still change within the request.
func changeable(v record.Verdict) bool {
	switch v {
	case record.VerdictNotNeeded, record.VerdictBreakerOpen, record.VerdictBreakerProbing, record.VerdictHeldByAnomaly,
		record.VerdictHeldByOperator, record.VerdictRateLimited, record.VerdictNoUsableKey:
		return true
	}
	return false
}

// admit asks everything that may keep the request from candidate i and writes
// the verdict down. The breaker's permit comes last: one that is not used would
// cost a half-open breaker its probe, while leave that is not used costs nothing.
func (w *walk) admit(i int, now time.Time, turn, held bool) (grant, bool) {
	r, c, out := w.r, &w.plan.candidates[i], &w.plan.outcome[i]
	if !changeable(out.Verdict) {
		return grant{}, false
	}
	if w.longest > 0 && r.context(c.target) <= w.longest {
		out.Verdict, out.Detail = record.VerdictContextTooLong, ""
		return grant{}, false
	}
	if out.Verdict == record.VerdictNotNeeded || out.Verdict == record.VerdictNoUsableKey { // not judged yet
		if out.Verdict, out.Detail = judge(*c, w.call.Request); out.Verdict != "" {
			return grant{}, false
		}
	}
	b := r.breaker(c.target)
	if out.Verdict, out.Detail = b.refuses(now), ""; out.Verdict != "" {
		if out.Verdict == record.VerdictBreakerOpen {
			w.worthIn(time.Unix(0, b.reopens.Load()).Sub(now) + time.Nanosecond)
		}
		return grant{}, false
	}
	hold, canary := r.holds.on(c.target, now)
	if canary && !held && !r.holds.takeCanary(c.target, now) {
		out.Verdict = record.VerdictHeldByAnomaly
		if hold.Source == record.ByOperator {
			out.Verdict = record.VerdictHeldByOperator
		}
		return grant{}, false
	}
	g := grant{i: i, canary: canary, held: held}
	if g.leave = w.leave(i, b, turn); g.leave != nil {
		if g.permit, out.Verdict = b.allow(c.endpoint.Timeouts.lease()); g.permit != nil {
			g.permit.caller = w.call.Caller
			w.plan.asked.Or(1 << i)
			return g, true
		}
		r.giveBack(g.leave, turn)
	}
	if canary && !held {
		r.holds.giveBack(c.target, now)
	}
	return grant{}, false
}

// leave asks an upstream for leave, and writes down why there is none. Somebody
// who waits in line for the same target goes first.
func (w *walk) leave(i int, b *breaker, turn bool) *provider.Leave {
	c, out := &w.plan.candidates[i], &w.plan.outcome[i]
	if !turn && w.r.queue.Taken(b.name) {
		out.Verdict, out.Detail = record.VerdictRateLimited, "others wait for it already"
		w.busy, w.behind, w.soon = true, true, true
		return nil
	}
	w.asked = i
	leave, busy := c.admit(w.estimate)
	if busy == nil {
		return leave
	}
	out.Verdict, out.Detail = record.VerdictRateLimited, busy.Detail
	if busy.NoKey {
		out.Verdict = record.VerdictNoUsableKey
	} else {
		w.busy, w.soon = true, w.soon || w.r.queue.Bears(w.trace.Queued+busy.Wait)
	}
	w.worthIn(busy.Wait)
	return nil
}

// worthIn notes when it is worth looking at the candidates again.
func (w *walk) worthIn(wait time.Duration) {
	if wait > 0 && (w.wait == 0 || wait < w.wait) {
		w.wait = wait
	}
}

// giveBack ends leave that nothing was sent with. The queue that is asking
// itself need not be woken.
func (r *HybridRouter) giveBack(leave *provider.Leave, turn bool) {
	leave.Return()
	if !turn {
		r.queue.Wake()
	}
}

// input gives about how many tokens a request puts into a target; 0 where nobody
// estimates them.
func (r *HybridRouter) input(t llm.Target, req *llm.Request) int64 {
	if r.estimate == nil {
		return 0
	}
	return r.estimate(t, req)
}

// needs gives about how many tokens the request takes at candidate asked. The
// queue may ask many times.
func (w *walk) needs() int64 {
	if w.tokens == nil {
		w.tokens = make([]int64, len(w.plan.candidates))
	}
	known := &w.tokens[w.asked]
	if *known == 0 {
		*known = w.r.needs(w.plan.candidates[w.asked].target, w.call.Request)
	}
	return *known
}

// needs gives about how many tokens a request takes at a target, in and out. No
// model puts out more than its context, whatever the caller would take.
func (r *HybridRouter) needs(t llm.Target, req *llm.Request) int64 {
	tokens := r.input(t, req)
	switch {
	case req.Embed != nil:
		return max(tokens, 1)
	case req.MaxTokens != nil:
		out := min(*req.MaxTokens, math.MaxInt64-tokens)
		if most := r.context(t); most > 0 {
			out = min(out, most)
		}
		return tokens + out
	}
	return tokens + DefaultOutput
}

// others says whether somebody beside candidate i could answer, as far as is known.
func (w *walk) others(i int) bool {
	for j, out := range w.plan.outcome {
		if j != i && w.plan.candidates[j].endpoint.Unusable == "" &&
			(out.Verdict == record.VerdictNotNeeded || out.Verdict == record.VerdictRateLimited) {
			return true
		}
	}
	return false
}

// queue waits until a candidate may be asked. Without a grant and an error
// there is no use in waiting any more.
func (w *walk) queue(ctx context.Context) (g grant, ok bool, e *Error) {
	t := traffic.Ticket{Priority: w.call.Priority, Caller: w.call.Caller, Waited: w.trace.Queued}
	for i, out := range w.plan.outcome {
		if out.Verdict == record.VerdictRateLimited {
			t.Ways = append(t.Ways, w.plan.candidates[i].target.String())
		}
	}
	began := time.Now()
	err := w.r.queue.Wait(ctx, t, func(time.Time) (time.Duration, bool) {
		g, ok = w.next(true)
		return w.wait, ok || !w.soon // so with a grant there is no error
	})
	w.trace.Queued += time.Since(began)
	if err == nil {
		return g, ok, nil
	}
	var full *traffic.FullError
	if errors.As(err, &full) {
		return grant{}, false, w.exhausted(full)
	}
	if classOf(context.Cause(ctx)) == llm.Deadline {
		return grant{}, false, late(w.plan)
	}
	return grant{}, false, abandoned()
}

// ask asks a candidate, and perhaps another one beside it. It gives the attempt
// that serves, and what that was granted; or else nil, and the error that the
// request ends with, if it does.
func (w *walk) ask(ctx context.Context, g grant) (*attempt, grant, *Error) {
	if late, ok := w.hedgeAfter(g); ok {
		return w.race(ctx, g, late)
	}
	t := w.try(ctx, g, !w.others(g.i))
	return w.conclude(&t)
}

// conclude writes down what became of asking a candidate.
func (w *walk) conclude(t *tried) (*attempt, grant, *Error) {
	w.note(t.failed)
	if t.doubted {
		w.doubted = append(w.doubted, doubted{t.failed[len(t.failed)-1], t.failure})
	}
	if t.served != nil {
		w.plan.outcome[t.grant.i].Verdict = record.VerdictServed
		return t.served, t.grant, nil
	}
	return nil, t.grant, w.failed(t.grant, t.failure)
}

// note adds attempts that are over to the trace.
func (w *walk) note(over []*attempt) {
	for _, a := range over {
		w.trace.Attempts = append(w.trace.Attempts, a.Attempt)
	}
}

// failed writes down that a candidate failed. It gives the error that the
// request ends with, or nil where the next candidate may be asked. What is expected
// of a last resort is no reason for the request to fail where others have merely no
// room.
func (w *walk) failed(g grant, f *llm.Failure) *Error {
	i, aside := g.i, g.permit.resort != nil && w.busy
	w.plan.failed(i, f)
	if !aside {
		w.fails(i, f)
	}
	switch {
	case f.Class == llm.Cancelled:
		return abandoned()
	case f.Class == llm.Deadline:
		return late(w.plan)
	case aside:
		return nil
	case f.Class == llm.ContextLength:
		w.longest = max(w.longest, w.r.context(w.plan.candidates[i].target))
		if w.longest > 0 && w.larger() {
			return nil
		}
	case f.Class == llm.ContentFilter && w.r.nextAfterFilter:
		return nil
	}
	if f.Class.TryNext() {
		return nil
	}
	return refusal(w.plan.candidates[i].target, f)
}

// fails adds the failure of candidate i to those that the request's error is made
// of, in place of one that was for want of room.
func (w *walk) fails(i int, f *llm.Failure) {
	if w.refused == nil {
		w.refused = make([]refused, len(w.plan.candidates))
	}
	no := &w.refused[i]
	if no.last != nil {
		w.failures = slices.DeleteFunc(w.failures, func(of *llm.Failure) bool { return of == no.last })
	}
	w.failures = append(w.failures, f)
	no.last = nil
	if f.Class == llm.RateLimit && !f.TooLarge {
		no.times, no.last = no.times+1, f
	}
}

// larger says whether a candidate that was not asked takes a longer prompt.
func (w *walk) larger() bool {
	for i, c := range w.plan.candidates {
		if changeable(w.plan.outcome[i].Verdict) && c.endpoint.Unusable == "" && w.r.context(c.target) > w.longest {
			return true
		}
	}
	return false
}

// reason says in words why the request went where it went.
func (w *walk) reason(g grant) string {
	why := w.plan.reason(g.i)
	title := w.plan.candidates[g.i].target.Provider.Title()
	switch {
	case g.held:
		why = title + " is held, and nobody else could answer"
	case g.permit.resort != nil && w.busy:
		why = title + " has an open breaker, and nobody else had room"
	case g.permit.resort != nil:
		why = title + " has an open breaker, and nobody else could answer"
	}
	if w.trace.Queued >= time.Millisecond {
		return "waited for its turn, " + why // for how long is in Queued: the store keeps equal reasons once
	}
	return why
}
