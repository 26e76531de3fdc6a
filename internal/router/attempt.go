package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// Timeouts bound the phases of an attempt; none bounds an answer that keeps
// coming. A slow model is not a hung connection.
type Timeouts struct {
	// Headers runs from the attempt's start to the response headers of an answer
	// that comes in pieces; 0 for FirstToken.
	Headers time.Duration
	// SlowShare cuts a stream that comes slower than this share of the target's
	// usual pace, 0 to 1; 0 for never.
	SlowShare float64
	// FirstToken runs from the attempt's start to the first piece of an answer
	// that comes in pieces. A model that shows that it thinks has begun.
	FirstToken time.Duration
	// Silence runs between two pieces.
	Silence time.Duration
	// Answer bounds the first content: of an answer that comes in one piece,
	// and of a model that thinks.
	Answer time.Duration
}

// maxPreamble bounds the pieces without content that are held back for a caller
// of the same dialect before the first content commits the route.
const maxPreamble = 256

// maxAnswer bounds an answer that is held until it is whole, in bytes; see
// provider.DefaultMaxBody.
const maxAnswer = provider.DefaultMaxBody

// attempt is one call of an upstream, from its permit to its end.
type attempt struct {
	candidate
	record.Attempt
	request  record.ID
	began    time.Time
	permit   *permit
	ctx      context.Context // of this call alone; cancelled with a cause when a deadline passes
	cancel   context.CancelCauseFunc
	patience time.Duration // from the start to the first piece
	reply    *llm.Reply
	silence  *time.Timer // ends the attempt while it waits for the next piece; nil before
	more     bool        // the next piece is at hand
	held     []llm.Chunk // read, not yet passed on
	whole    bool        // held is all there is
	priced   bool        // the model's price is known
}

// newAttempt prepares an attempt that has its breaker's permit.
func newAttempt(c candidate, p *permit, canary bool, call *Call) *attempt {
	now := time.Now()
	a := &attempt{
		candidate: c, request: call.ID, began: now, permit: p,
		Attempt: record.Attempt{Target: c.target, Start: now.Sub(call.Accepted), Probe: p.probe, Canary: canary},
	}
	a.patience = c.endpoint.Timeouts.FirstToken
	// A probe that hangs must not keep a target that is well again from everybody.
	if !c.endpoint.Upstream.Streams(call.Request) && !p.probe {
		a.patience = c.endpoint.Timeouts.Answer
	}
	return a
}

// start sends the request and reads up to the first content, or, for a caller
// who gets the answer in one piece, to its end: as long as nothing has reached
// the caller, the next candidate can still answer. After a failure the attempt is
// over, but its permit not settled.
func (r *HybridRouter) start(ctx context.Context, a *attempt, req llm.Request) *llm.Failure {
	defer func() {
		if v := recover(); v != nil { // a permit that is never settled would wedge its breaker
			a.permit.neutral()
			panic(v)
		}
	}()
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	req.Model = a.target.Model
	err := a.open(&req)
	if err == nil {
		a.TTFT = time.Since(a.began)
		if a.Probe {
			a.permit.succeed()
		}
		if !req.Stream || r.onCut == RecoverBuffer {
			err = a.readAll()
		}
	}
	if err == nil {
		return nil
	}
	f := a.failure(err)
	if f.Class == llm.StreamCut { // nobody has seen any of it
		f = f.In(llm.Network)
	}
	r.end(a, f)
	return f
}

// settle tells the breaker that the target failed.
func (a *attempt) settle(f *llm.Failure) {
	if f.Class == llm.Cancelled {
		a.permit.neutral()
		return
	}
	a.permit.failLate(f, a.request)
}

// readAll holds the rest of the answer.
func (a *attempt) readAll() error {
	size := 0
	for {
		chunk, err := a.pull()
		if errors.Is(err, io.EOF) {
			a.whole = true
			return nil
		}
		if err != nil {
			return err
		}
		if size += len(chunk.Raw); size > maxAnswer {
			return &llm.Failure{Class: llm.Garbage, Message: "the answer has no end"}
		}
		a.held = append(a.held, chunk)
	}
}

// open sends the request and holds back what comes before the first content.
func (a *attempt) open(req *llm.Request) error {
	first := a.within(a.patience, "before the answer began")
	defer first.Stop()
	var err error
	if a.reply, err = a.endpoint.Upstream.Send(a.ctx, &provider.Leave{}, a.target, req); err != nil {
		return err
	}
	a.UpstreamID, a.Status = a.reply.RequestID, 200
	chunk, err := a.reply.Next()
	first.Stop()
	content := a.within(max(a.endpoint.Timeouts.Answer, a.patience), "before the first content")
	defer content.Stop()
	for ; err == nil; chunk, err = a.pull() {
		a.hold(chunk, req.Dialect)
		if chunk.HasContent() {
			return nil
		}
		if len(a.held) > maxPreamble {
			return &llm.Failure{Class: llm.Garbage, Message: "the stream has no content"}
		}
	}
	if errors.Is(err, io.EOF) {
		return &llm.Failure{Class: llm.Garbage, Message: "the answer is empty"}
	}
	return err
}

// hold keeps a chunk for the caller. One that says nothing means something
// only to a caller of the same dialect, who gets its bytes.
func (a *attempt) hold(chunk llm.Chunk, dialect llm.Dialect) {
	if chunk.Usage != nil {
		a.Usage = *chunk.Usage
	}
	if chunk.HasContent() || chunk.Usage != nil || chunk.Signature != "" || a.reply.Dialect == dialect {
		a.held = append(a.held, chunk)
	}
}

// within has the attempt end, unless the timer is stopped before.
func (a *attempt) within(patience time.Duration, phase string) *time.Timer {
	return time.AfterFunc(patience, func() {
		a.cancel(&llm.Failure{Class: llm.Timeout, Message: fmt.Sprintf("nothing for %s %s", patience.Round(time.Millisecond), phase)})
	})
}

// next gives the next chunk of a committed answer, or its end as io.EOF or a
// failure.
func (a *attempt) next() (llm.Chunk, error) {
	if len(a.held) > 0 {
		chunk := a.held[0]
		a.held = a.held[1:]
		chunk.More = len(a.held) > 0 || chunk.More && !a.whole
		return chunk, nil
	}
	if a.whole {
		return llm.Chunk{}, io.EOF
	}
	chunk, err := a.pull()
	if err == nil || errors.Is(err, io.EOF) {
		return chunk, err
	}
	f := a.failure(err)
	if f.Class != llm.Timeout && f.Class != llm.Cancelled && f.Class != llm.Deadline {
		f = f.In(llm.StreamCut) // whatever ended it: the caller has half an answer
	}
	return llm.Chunk{}, f
}

// pull reads on. The silence deadline runs only while it waits for the
// upstream, so a caller that reads slowly is not the target's fault.
func (a *attempt) pull() (llm.Chunk, error) {
	if !a.more {
		if a.silence == nil {
			a.silence = a.within(a.endpoint.Timeouts.Silence, "in mid-answer")
		} else {
			a.silence.Reset(a.endpoint.Timeouts.Silence)
		}
		defer a.silence.Stop()
	}
	chunk, err := a.reply.Next()
	a.more = chunk.More
	return chunk, err
}

// failure says what an upstream's error means: a deadline of ours, the
// caller's going away, or what the provider made of it.
func (a *attempt) failure(err error) *llm.Failure {
	if a.ctx.Err() != nil {
		if f, ok := llm.AsFailure(context.Cause(a.ctx)); ok {
			return f
		}
		return &llm.Failure{Class: llm.Cancelled, Err: err}
	}
	if f, ok := llm.AsFailure(err); ok {
		return f
	}
	return &llm.Failure{Class: llm.Network, Message: "the connection broke", Err: err}
}

// end closes the attempt and writes its figures down. f is nil for an answer
// that was served, which settles the permit; after a failure settle does.
func (r *HybridRouter) end(a *attempt, f *llm.Failure) {
	a.cancel(nil)
	if a.reply != nil {
		a.reply.Close()
	}
	a.Took = time.Since(a.began)
	a.Cost, a.priced = r.price(a.target, a.Usage)
	if f == nil {
		a.permit.succeed()
		a.endpoint.heard("")
		return
	}
	a.Class, a.Code = f.Class, f.Code
	if f.Status != 0 {
		a.Status = f.Status
	}
	if f.RequestID != "" {
		a.UpstreamID = f.RequestID
	}
	if f.Class.TellsOnlyOfTarget() {
		a.Message = f.Message
	}
	if f.Class == llm.Cancelled {
		return
	}
	r.log.Warn("attempt failed", "request", a.request.String(), "target", a.target.String(), "class", string(f.Class),
		"status", f.Status, "code", f.Code, "upstream_request", a.UpstreamID, "message", a.Message)
}
