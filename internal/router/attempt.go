package router

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
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
	// Patient has every attempt have that time, and none be given up before since it
	// is far later than usual; see hurry.
	Patient bool
	// Silence runs between two pieces.
	Silence time.Duration
	// Answer bounds the first content: of an answer that comes in one piece,
	// and of a model that thinks.
	Answer time.Duration
}

// probeMargin is for what a probe does beside waiting for its upstream: each of
// its phases has a deadline, and taking a probe for lost too early would let a
// second one in.
const probeMargin = 10 * time.Second

// lease gives how long a probe may take to its first content, which settles it:
// to the first piece, and from there to the content.
func (t Timeouts) lease() time.Duration {
	return t.FirstToken + max(t.Answer, t.FirstToken) + probeMargin
}

// maxPreamble bounds the pieces without content that are held back for a caller
// of the same dialect before the first content commits the route.
const maxPreamble = 256

// maxAnswer bounds an answer that is held until it is whole, in bytes; see
// provider.DefaultMaxBody.
const maxAnswer = provider.DefaultMaxBody

// phase is what an attempt waits for.
type phase int32

const (
	awaitsHeaders phase = iota
	awaitsFirst
	awaitsContent
	awaitsMore
	goesOn // from piece to piece, with silent for a deadline
)

// attempt is one call of an upstream, from its permit to its end.
type attempt struct {
	candidate
	record.Attempt
	trace    *record.Trace // of its request; who began it may not be who has it now
	first    bool          // of the request
	began    time.Time
	permit   *permit
	leave    *provider.Leave
	ctx      context.Context // of this call alone, as its timer and its end share it; cancelled with a cause when a deadline passes
	cancel   context.CancelCauseFunc
	free     func(error)   // lets go of the context around ctx; nil where there is none but the caller's
	streams  bool          // the answer comes in pieces
	patience time.Duration // from the start to the first piece
	plan     *plan
	longest  int64        // the context of the largest model that the prompt was too long for; 0 for none
	hasty    *time.Timer  // looks whether the answer is far later than usual; nil for never
	doubtful bool         // the target kept somebody waiting lately, and this is to show whether it still does
	fate     atomic.Int32 // of an attempt with a hasty timer
	content  time.Time    // until when the first content must come; zero when it has, or nothing has
	timer    *time.Timer  // ends the attempt while it waits for too long; nil before
	phase    atomic.Int32 // what it waits for
	silent   atomic.Int64 // when the next piece is late, in nanoseconds from began; 0 while none is waited for, over at the end
	reply    *llm.Reply
	more     bool        // the next piece is at hand
	held     []llm.Chunk // read, not yet passed on
	size     int         // of held and of what held had before, in bytes
	whole    bool        // held is all there is
	priced   bool        // the model's price is known
	slow     slow
	ending   *ending    // of what it said; nil while it said nothing
	endings  *sync.Pool // where that is from
}

// attempt prepares an attempt with what it was granted; again says that the same
// target has failed the request before.
func (w *walk) attempt(g grant, again bool) *attempt {
	now := time.Now()
	c := w.plan.candidates[g.i]
	if g.permit.probe {
		g.permit.renew(now, c.endpoint.Timeouts.lease())
	}
	a := &attempt{
		candidate: c, trace: w.trace, first: !again && !g.hedge && len(w.trace.Attempts) == 0,
		began: now, permit: g.permit, leave: g.leave, plan: w.plan, longest: w.longest, endings: &w.r.endings,
		Attempt: record.Attempt{
			Target: c.target, Start: now.Sub(w.call.Accepted), Probe: g.permit.probe, Canary: g.canary,
			Hedge: g.hedge, LastResort: g.permit.resort != nil, Key: g.leave.Key,
		},
	}
	if !again {
		a.Nth = g.permit.b.asked.Add(1)
	}
	return a
}

// start sends the request and reads up to the first content, or, for a caller
// who gets the answer in one piece, to its end: as long as nothing has reached
// the caller, the next candidate can still answer. After a failure the attempt is
// over, but its permit not settled. watched says that somebody else could answer
// where this one turns out to be slow.
func (r *HybridRouter) start(ctx context.Context, a *attempt, req llm.Request, watched bool) *llm.Failure {
	a.permit.b.pace.begin()
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	defer func() {
		if v := recover(); v != nil { // a permit that is never settled would wedge its breaker
			a.permit.neutral()
			r.release(a, &llm.Failure{Class: llm.Cancelled})
			panic(v)
		}
	}()
	req.Model = a.target.Model
	a.streams, a.patience = a.endpoint.Upstream.Streams(&req), a.endpoint.Timeouts.FirstToken
	// A probe that hangs must not keep a target that is well again from everybody, nor
	// a last resort its caller from a turn elsewhere.
	if !a.streams && !a.Probe && !a.LastResort {
		a.patience = a.endpoint.Timeouts.Answer
	}
	r.hurry(a, &req)
	err := a.open(&req)
	if err == nil {
		a.TTFT = time.Since(a.began)
		switch {
		case a.Probe:
			a.permit.succeed()
			r.queue.Wake()
		case a.LastResort:
			a.permit.resort.begins()
		}
		if watched && a.streams {
			a.watch()
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
	a.permit.failLate(f, a.trace.ID)
}

// readAll holds the rest of the answer.
func (a *attempt) readAll() error {
	for {
		chunk, err := a.pull()
		if errors.Is(err, io.EOF) {
			a.whole = true
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.keep(chunk); err != nil {
			return err
		}
	}
}

// keep holds a chunk back, within bounds.
func (a *attempt) keep(chunk llm.Chunk) error {
	if a.size += weight(chunk); a.size > maxAnswer {
		return &llm.Failure{Class: llm.Garbage, Message: "the answer has no end"}
	}
	a.held = append(a.held, chunk)
	return nil
}

// weight gives about how many bytes a chunk holds.
func weight(c llm.Chunk) int {
	n := len(c.Raw) + len(c.Text) + len(c.Thinking) + len(c.Refusal) + len(c.Signature) + len(c.Logprobs)
	if c.Call != nil {
		n += len(c.Call.Args) + len(c.Call.Name)
	}
	if c.Cite != nil {
		n += len(c.Cite.Text) + len(c.Cite.URL) + len(c.Cite.Title)
	}
	if c.Vector != nil {
		n += len(c.Vector.Values) + len(c.Vector.Packed)
	}
	return n
}

// open sends the request and holds back what comes before the first content.
func (a *attempt) open(req *llm.Request) error {
	limits := &a.endpoint.Timeouts
	headers := a.streams && limits.Headers > 0 && limits.Headers < a.patience
	if headers {
		a.arm(limits.Headers, awaitsHeaders)
	} else {
		a.arm(a.patience, awaitsFirst)
	}
	var err error
	if a.reply, err = a.endpoint.Upstream.Send(a.ctx, a.leave, a.target, req); err != nil {
		a.timer.Stop()
		return err
	}
	if headers {
		a.arm(a.patience-time.Since(a.began), awaitsFirst)
	}
	a.UpstreamID, a.Status = a.reply.RequestID, 200
	chunk, err := a.reply.Next()
	a.timer.Stop()
	if err == nil {
		if a.hears(&chunk); !chunk.HasContent() {
			a.content = time.Now().Add(max(limits.Answer, a.patience))
		}
	}
	for ; err == nil; chunk, err = a.pull() {
		if (!a.doubtful || chunk.HasContent()) && !a.begins() {
			return a.ctx.Err()
		}
		if err := a.hold(chunk, req.Dialect); err != nil {
			return err
		}
		if chunk.HasContent() {
			a.more, a.content = chunk.More, time.Time{}
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
func (a *attempt) hold(chunk llm.Chunk, dialect llm.Dialect) error {
	if chunk.Usage != nil {
		a.Usage = *chunk.Usage
	}
	if chunk.HasContent() || chunk.Usage != nil || chunk.Signature != "" || a.reply.Dialect == dialect {
		return a.keep(chunk)
	}
	return nil
}

// over is silent of an attempt that has ended.
const over = -1

// await has the attempt end unless the next piece comes before the silence's
// deadline. The timer is not set anew for each piece, which would cost more than
// the piece: it looks again when it may be late at the earliest.
func (a *attempt) await(now time.Time) {
	silence := a.endpoint.Timeouts.Silence
	a.silent.Store(int64(now.Sub(a.began) + silence))
	if phase(a.phase.Load()) != goesOn {
		a.arm(silence, goesOn)
	}
}

// listen says whether the attempt has been silent for too long. Otherwise the
// timer runs until that can be so.
func (a *attempt) listen() bool {
	late, silence := a.silent.Load(), a.endpoint.Timeouts.Silence
	if late == over {
		return false
	}
	if late != 0 {
		if silence = time.Duration(late) - time.Since(a.began); silence <= 0 {
			return true
		}
	}
	a.timer.Reset(silence)
	return false
}

// arm has the attempt end, unless its timer is stopped or armed anew before.
func (a *attempt) arm(patience time.Duration, p phase) {
	a.phase.Store(int32(p))
	if a.timer == nil {
		a.timer = time.AfterFunc(patience, a.expire)
	} else {
		a.timer.Reset(patience)
	}
}

// expire ends an attempt that has kept somebody waiting for too long.
func (a *attempt) expire() {
	limits := &a.endpoint.Timeouts
	var patience time.Duration
	var when string
	switch phase(a.phase.Load()) {
	case awaitsHeaders:
		patience, when = limits.Headers, "before the response began"
	case awaitsFirst:
		patience, when = a.patience, "before the answer began"
	case awaitsContent:
		patience, when = max(limits.Answer, a.patience), "before the first content"
	case goesOn:
		if !a.listen() {
			return
		}
		fallthrough
	case awaitsMore:
		patience, when = limits.Silence, "in mid-answer"
	}
	a.expired(patience, when)
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

// pull reads on. The deadlines run only while it waits for the upstream, so a
// caller that reads slowly is not the target's fault.
func (a *attempt) pull() (llm.Chunk, error) {
	var waits time.Time
	switch {
	case a.more:
	case a.content.IsZero():
		waits = time.Now()
		a.await(waits)
		defer a.silent.Store(0)
	default:
		waits = time.Now()
		patience, phase := a.endpoint.Timeouts.Silence, awaitsMore
		if left := a.content.Sub(waits); left < patience {
			patience, phase = left, awaitsContent
		}
		a.arm(patience, phase)
		defer a.timer.Stop()
	}
	chunk, err := a.reply.Next()
	a.more = chunk.More
	if err != nil {
		return chunk, err
	}
	a.hears(&chunk)
	if a.slow.floor > 0 {
		if f := a.slow.saw(chunk, waits); f != nil {
			return llm.Chunk{}, f
		}
	}
	return chunk, nil
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

// release lets go of all that an attempt holds but its permit, exactly once on
// every way out, and has the queue look whether there is room now.
func (r *HybridRouter) release(a *attempt, f *llm.Failure) {
	a.cancel(nil)
	if a.free != nil {
		a.free(nil)
	}
	a.silent.Store(over)
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.hasty != nil {
		a.hasty.Stop()
	}
	if a.reply != nil {
		a.reply.Close()
	}
	if a.ending != nil {
		a.endings.Put(a.ending)
		a.ending = nil
	}
	a.permit.b.pace.end()
	a.leave.Done(a.Usage, f)
	r.queue.Wake()
}

// end closes the attempt and writes its figures down. f is nil for an answer
// that was served, which settles the permit; after a failure settle does.
func (r *HybridRouter) end(a *attempt, f *llm.Failure) {
	a.Took = time.Since(a.began)
	a.Looping = a.ending != nil && a.ending.loops()
	a.Cost, a.priced = r.price(a.target, a.Usage)
	r.release(a, f)
	if f == nil {
		a.permit.succeed()
		if a.LastResort { // which has earned others
			r.queue.Wake()
		}
		a.permit.b.pace.served(a.TTFT, a.Took-a.TTFT, a.Usage, a.streams)
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
	r.tell(a)
	if f.Class == llm.Cancelled {
		return
	}
	r.log.Warn("attempt failed", "request", a.trace.ID.String(), "target", a.target.String(), "key", a.Key, "class", string(f.Class),
		"status", f.Status, "code", f.Code, "upstream_request", a.UpstreamID, "message", a.Message)
}

// tell has a failure of the request's first attempt known at once: the request may
// go on for long.
func (r *HybridRouter) tell(a *attempt) {
	if !a.first {
		return
	}
	a.Told = true
	r.recorder.Failed(&record.Trace{
		ID: a.trace.ID, Accepted: a.trace.Accepted, Caller: a.trace.Caller, Door: a.trace.Door, Asked: a.trace.Asked,
		Stream: a.trace.Stream, Prompt: a.trace.Prompt, Attempts: []record.Attempt{a.Attempt},
	})
}
