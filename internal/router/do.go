package router

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
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

	// ctx is the request's own, for those who go on with its answer. It stands in
	// a field because the answer is a stream as all readers of one know it, and
	// lives no longer than its request.
	ctx     context.Context
	walk    *walk
	served  int // index of the target in the plan
	attempt *attempt
	over    bool // the attempt is over and in the trace
	relay   relay
	ended   error // what Next gives from now on
}

// Do routes a request: it asks the candidates in order until one gives its
// first content. Where all that could answer are limited it waits for its turn.
// Where none does the error is a *Error, and the trace is already recorded.
func (r *HybridRouter) Do(ctx context.Context, call *Call) (*Answer, error) {
	trace := r.newTrace(call)
	p, e := r.plan(call)
	if e != nil {
		return nil, r.refuse(trace, e)
	}
	trace.Preferred, trace.Strategy = p.preferred, string(p.strategy)
	trace.Plan = p.outcome
	w := &walk{r: r, call: call, plan: p, trace: trace}
	w.estimate = w.needs
	returned := false
	defer func() {
		if !returned { // a panic, which the record tells of too
			w.blame(false)
			r.refuse(trace, &Error{Status: 500, Code: "internal_error"})
		}
	}()
	answer, e := w.answer(ctx)
	w.blame(e == nil)
	if returned = true; e != nil {
		return nil, r.refuse(trace, e)
	}
	return answer, nil
}

// answer asks the candidates until one answers.
func (w *walk) answer(ctx context.Context) (*Answer, *Error) {
	for {
		g, ok := w.next(false)
		if !ok && w.soon && w.r.queue != nil {
			var e *Error
			if g, ok, e = w.queue(ctx); e != nil {
				return nil, e
			}
		}
		if !ok {
			return nil, w.exhausted(nil)
		}
		a, g, e := w.ask(ctx, g)
		if e != nil {
			return nil, e
		}
		if a != nil {
			return w.commit(ctx, g, a), nil
		}
	}
}

func (r *HybridRouter) newTrace(call *Call) *record.Trace {
	return &record.Trace{
		ID: call.ID, Accepted: call.Accepted, Caller: call.Caller, Door: call.Request.Dialect,
		Asked: clip(call.Request.Model), Stream: call.Request.Stream,
		Prompt: fingerprintOf(r.prompts, call.Request),
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
	hedged := false
	for i := range trace.Attempts {
		a := &trace.Attempts[i]
		trace.Cost += a.Cost
		hedged = hedged || a.Hedge
	}
	if hedged {
		slices.SortStableFunc(trace.Attempts, func(a, b record.Attempt) int { return cmp.Compare(a.Start, b.Start) })
	}
	r.recorder.Trace(trace)
}

// commit makes the answer of a candidate that gave its first content.
func (w *walk) commit(ctx context.Context, g grant, a *attempt) *Answer {
	w.trace.TTFT = time.Since(w.trace.Accepted)
	w.trace.Reason = w.reason(g)
	if g.i > 0 {
		w.r.log.Info("failover", "request", w.call.ID.String(), "from", w.plan.candidates[0].target.String(),
			"to", a.target.String(), "reason", w.trace.Reason)
	}
	answer := &Answer{
		ID: w.call.ID, Target: a.target, Dialect: a.reply.Dialect, Header: a.reply.Header,
		Attempts: len(w.trace.Attempts) + 1, Reason: w.trace.Reason,
		ctx: ctx, walk: w, served: g.i, attempt: a,
	}
	if w.r.continuable(w.call.Request) {
		answer.relay.said = &said{}
	} else {
		a.slow.floor = 0
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
			if a.relay.times > 0 {
				total := chunk.Usage.Add(a.relay.before)
				chunk.Usage = &total
			}
		}
		if said := a.relay.said; said != nil {
			if said.note(chunk); said.more { // slow is better than broken off
				a.attempt.slow.floor = 0
			}
		}
		return chunk, nil
	}
	if errors.Is(err, io.EOF) {
		a.finish(err)
		return llm.Chunk{}, err
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
func (a *Answer) Usage() llm.Usage { return a.attempt.Usage.Add(a.relay.before) }

// finish ends the attempt and records the trace.
func (a *Answer) finish(err error) {
	a.ended = err
	trace := a.walk.trace
	trace.Outcome, trace.Status = record.Served, 200
	if errors.Is(err, io.EOF) {
		a.walk.r.end(a.attempt, nil)
		trace.Attempts = append(trace.Attempts, a.attempt.Attempt)
		trace.Served = a.Target
		a.walk.r.sessions.served(a.walk.call, a.Target, a.attempt.Key, a.attempt.Usage, time.Now())
	} else {
		f, _ := llm.AsFailure(err)
		trace.Outcome, trace.Status = record.Failed, 502
		switch f.Class {
		case llm.Cancelled:
			trace.Outcome, trace.Status = record.Abandoned, StatusAbandoned
		case llm.Deadline:
			trace.Status = 504
		}
		a.broke(f)
	}
	trace.Usage = a.Usage()
	a.walk.r.finish(trace)
}

// broke ends the attempt that served with a failure, if it is not over yet.
func (a *Answer) broke(f *llm.Failure) {
	if !a.over {
		a.over = true
		a.walk.r.end(a.attempt, f)
		a.tell(a.attempt, a.served, f)
	}
}
