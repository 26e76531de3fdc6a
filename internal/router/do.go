package router

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// Call is one caller's request on its way through the router.
type Call struct {
	ID       record.ID
	Accepted time.Time
	Caller   string // the name of the caller's key; "" where none is demanded
	Request  *llm.Request
	Priority traffic.Priority
	Strategy Strategy // the caller's own wish; "" for none
}

// NewCall numbers a request that has just been accepted.
func (r *HybridRouter) NewCall(req *llm.Request, caller string) *Call {
	now := time.Now().UTC()
	return &Call{ID: r.ids.Next(now), Accepted: now, Caller: caller, Request: req}
}

// Answer is a committed route: its first content has come, and the rest comes
// with Next. Next gives io.EOF after a complete answer and a *llm.Failure for
// one that broke off. The request's trace is recorded when Next first gives an
// error, or with Close, whichever comes first.
type Answer struct {
	ID       record.ID
	Target   llm.Target
	Dialect  llm.Dialect // of each chunk's Raw
	Header   http.Header
	Attempts int
	Reason   string
	// Waiting, where set, is called before Next waits for somebody else to go
	// on with the answer, which may take long.
	Waiting func()

	router   *HybridRouter
	caller   context.Context // the request's own, for those who go on with its answer
	call     *Call
	plan     *plan
	served   int // index of the target in the plan
	attempt  *attempt
	settled  bool // the attempt is over and in the trace
	trace    *record.Trace
	said     *said // nil where the answer cannot be continued
	seam     *seam // nil before a handover
	before   llm.Usage
	handover *Handover
	// How often it changed hands, whom it came back to, whose failure was counted.
	handovers int
	again     map[int]bool
	counted   map[llm.Target]bool
	ended     error // what Next gives from now on
}

// Do routes a request: it tries the candidates in order until one gives its
// first content. Where none does the error is a *Error, and the trace is
// already recorded.
func (r *HybridRouter) Do(ctx context.Context, call *Call) (*Answer, error) {
	trace := r.newTrace(call)
	p, e := r.plan(call)
	if e != nil {
		return nil, r.refuse(trace, e)
	}
	trace.Preferred, trace.Strategy = p.preferred, string(p.strategy)
	trace.Plan = p.outcome
	var failures []*llm.Failure
	var longest int64 // the context of the largest model that the prompt was too long for
	// Where nobody else can, a target that is only held serves after all: slow
	// is better than not at all.
	for _, lastResort := range []bool{false, true} {
		for i, c := range p.candidates {
			if lastResort && p.outcome[i].Verdict != record.VerdictHeldByAnomaly {
				continue
			}
			if longest > 0 && r.context(c.target) <= longest {
				p.outcome[i].Verdict = record.VerdictContextTooLong
				continue
			}
			permit, canary := r.admit(p, i, call.Request, lastResort)
			if permit == nil {
				continue
			}
			a, failed, f := r.try(ctx, c, permit, canary, call, lastResort || i == len(p.candidates)-1)
			for _, before := range failed {
				trace.Attempts = append(trace.Attempts, before.Attempt)
			}
			if f == nil {
				p.outcome[i].Verdict = record.VerdictServed
				return r.commit(ctx, trace, p, i, a, call), nil
			}
			p.failed(i, f)
			failures = append(failures, f)
			if f.Class == llm.Cancelled {
				return nil, r.refuse(trace, abandoned())
			}
			if f.Class == llm.Deadline {
				return nil, r.refuse(trace, late(p))
			}
			if f.Class == llm.ContextLength {
				longest = max(longest, r.context(c.target))
			}
			if !f.Class.TryNext() && (f.Class != llm.ContextLength || longest == 0 || !r.larger(p, longest)) {
				return nil, r.refuse(trace, refusal(c.target, f))
			}
		}
	}
	return nil, r.refuse(trace, r.exhausted(p, call.Request, failures))
}

// larger says whether a candidate that was not asked takes a longer prompt.
func (r *HybridRouter) larger(p *plan, than int64) bool {
	for i, c := range p.candidates {
		if p.outcome[i].Verdict == record.VerdictNotNeeded && c.endpoint.Unusable == "" && r.context(c.target) > than {
			return true
		}
	}
	return false
}

// admit asks everything that may keep a request from candidate i and writes
// the verdict down. A nil permit means no. As a last resort a hold keeps nobody
// away, and the request tells as much as a canary.
func (r *HybridRouter) admit(p *plan, i int, req *llm.Request, lastResort bool) (got *permit, canary bool) {
	c, out := p.candidates[i], &p.outcome[i]
	if out.Verdict, out.Detail = judge(c, req); out.Verdict != "" {
		return nil, false
	}
	b := r.breaker(c.target)
	if b.state() == record.Open { // before a canary is spent on it
		out.Verdict = record.VerdictBreakerOpen
		return nil, false
	}
	now := time.Now()
	if hold, held := r.holds.on(c.target, now); held {
		if canary = lastResort || r.holds.takeCanary(c.target, now); !canary {
			out.Verdict = record.VerdictHeldByAnomaly
			if hold.Source == record.ByOperator {
				out.Verdict = record.VerdictHeldByOperator
			}
			return nil, false
		}
	}
	got, out.Verdict = b.allow()
	return got, canary
}

func (r *HybridRouter) newTrace(call *Call) *record.Trace {
	return &record.Trace{
		ID: call.ID, Accepted: call.Accepted, Caller: call.Caller, Door: call.Request.Dialect,
		Asked: clip(call.Request.Model), Stream: call.Request.Stream,
	}
}

// refuse records a request without an answer and gives its error.
func (r *HybridRouter) refuse(trace *record.Trace, e *Error) *Error {
	e.Request, e.Attempts = trace.ID, len(trace.Attempts)
	trace.Outcome, trace.Status, trace.Reason = e.outcome(), e.Status, e.Code
	r.finish(trace)
	return e
}

// Refuse records a request that never got as far as a plan, such as one that
// is not JSON, and gives the error with the request's id in it.
func (r *HybridRouter) Refuse(call *Call, e *Error) *Error {
	return r.refuse(r.newTrace(call), e)
}

func (r *HybridRouter) finish(trace *record.Trace) {
	trace.Took = time.Since(trace.Accepted)
	for _, a := range trace.Attempts {
		trace.Cost += a.Cost
	}
	r.recorder.Trace(trace)
}

// commit makes the answer of a candidate that gave its first content.
func (r *HybridRouter) commit(ctx context.Context, trace *record.Trace, p *plan, i int, a *attempt, call *Call) *Answer {
	trace.TTFT = time.Since(trace.Accepted)
	trace.Reason = p.reason(i)
	if i > 0 {
		r.log.Info("failover", "request", call.ID.String(), "from", p.candidates[0].target.String(),
			"to", a.target.String(), "reason", trace.Reason)
	}
	answer := &Answer{
		ID: call.ID, Target: a.target, Dialect: a.reply.Dialect, Header: a.reply.Header,
		Attempts: len(trace.Attempts) + 1, Reason: trace.Reason,
		router: r, caller: ctx, call: call, plan: p, served: i, attempt: a, trace: trace,
	}
	if r.continuable(call.Request) {
		answer.said = &said{}
	}
	return answer
}

// Next gives the answer's next chunk.
func (a *Answer) Next() (llm.Chunk, error) {
	if a.ended != nil {
		return llm.Chunk{}, a.ended
	}
	chunk, err := a.pull()
	if err == nil {
		if chunk.Usage != nil {
			a.attempt.Usage = *chunk.Usage
			total := chunk.Usage.Add(a.before)
			chunk.Usage = &total
		}
		if a.said != nil {
			a.said.note(chunk)
		}
		return chunk, nil
	}
	if f, ok := llm.AsFailure(err); ok {
		if f = a.goOn(f); f == nil {
			return a.Next()
		}
		err = f
	}
	a.finish(err)
	return llm.Chunk{}, a.ended
}

// Close ends an answer that was not read to its end: the caller went away.
func (a *Answer) Close() error {
	if a.ended == nil {
		a.finish(&llm.Failure{Class: llm.Cancelled})
	}
	return nil
}

// Usage gives the tokens that the target has counted so far.
func (a *Answer) Usage() llm.Usage { return a.attempt.Usage.Add(a.before) }

// finish settles the attempt and records the trace.
func (a *Answer) finish(err error) {
	a.ended = err
	trace := a.trace
	trace.Outcome, trace.Status = record.Served, 200
	if errors.Is(err, io.EOF) {
		a.router.end(a.attempt, nil)
		trace.Served = a.Target
	} else {
		f, _ := llm.AsFailure(err)
		if !a.settled {
			a.router.end(a.attempt, f)
			a.settle(a.attempt, f)
		}
		trace.Outcome, trace.Status = record.Failed, 502
		switch f.Class {
		case llm.Cancelled:
			trace.Outcome, trace.Status = record.Abandoned, StatusAbandoned
		case llm.Deadline:
			trace.Status = 504
		}
		a.plan.failed(a.served, f)
	}
	trace.Usage = a.Usage()
	if !a.settled {
		trace.Attempts = append(trace.Attempts, a.attempt.Attempt)
	}
	a.router.finish(trace)
}
