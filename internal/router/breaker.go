package router

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// The breaker's defaults are those of the original design.
const (
	// DefaultFailureThreshold opens a breaker after three failed requests in
	// a row: one is an accident, two a coincidence.
	DefaultFailureThreshold = 3
	// DefaultRecoveryTimeout leaves an open target alone for a minute, long
	// enough for a restart and short enough that nobody waits for a person.
	DefaultRecoveryTimeout = 60 * time.Second
)

// errNeutral settles a permit without evidence for or against the target.
var errNeutral = errors.New("neither success nor failure")

// cause is the last failure that a breaker counted.
type cause struct {
	failure *llm.Failure
	request record.ID
}

// breaker is the circuit breaker of one target.
type breaker struct {
	target llm.Target
	name   string // the target's
	cb     *gobreaker.TwoStepCircuitBreaker[struct{}]
	last   atomic.Pointer[cause]
	// disturbed is false while the breaker is closed, which gobreaker would tell
	// only under its mutex. generation counts the changes of its state.
	disturbed  atomic.Bool
	generation atomic.Int64
	// reopens is when an open breaker admits its probe, in Unix nanoseconds.
	reopens atomic.Int64
	opened  atomic.Pointer[string] // why it opened last
	probe   atomic.Pointer[permit] // the last one that was let out
	// used and busy say which breaker may be forgotten: when it was last asked,
	// in Unix nanoseconds, and the permits that are out.
	used atomic.Int64
	busy atomic.Int64
	// asked counts the requests that the target was sent.
	asked   atomic.Uint32
	resorts resorts
	hung    atomic.Int64  // when it last kept somebody waiting, in Unix nanoseconds
	givenUp atomic.Uint32 // late attempts since one was waited for
	lingers atomic.Bool   // one is waited for now
	pace    pace          // of the same target; kept and forgotten with the breaker
	callers callers
	tripped atomic.Uint32 // failures in a row that opened it last
}

// newBreaker makes a closed breaker. changed is called under gobreaker's
// mutex and must not block.
func newBreaker(target llm.Target, threshold int, recovery time.Duration, changed func(record.Transition)) *breaker {
	b := &breaker{target: target, name: target.String()}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        b.name,
		MaxRequests: 1,
		Timeout:     recovery,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			b.tripped.Store(c.ConsecutiveFailures)
			n := int(c.ConsecutiveFailures)
			return n >= threshold && (n >= onesOwn*threshold || !b.callers.one(time.Now()))
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errNeutral) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			now := time.Now()
			t := record.Transition{At: now, Target: target, From: stateOf(from), To: stateOf(to)}
			t.Reason, t.Request = b.why(t, recovery)
			if to == gobreaker.StateOpen {
				b.reopens.Store(now.Add(recovery).UnixNano())
				b.opened.Store(&t.Reason)
				if from == gobreaker.StateClosed {
					b.resorts.forget()
				}
			}
			b.disturbed.Store(to != gobreaker.StateClosed)
			b.generation.Add(1)
			changed(t)
		},
	})
	return b
}

// why says in words what brought a transition about.
func (b *breaker) why(t record.Transition, recovery time.Duration) (string, record.ID) {
	if t.To == record.HalfOpen {
		return fmt.Sprintf("%s have passed, one probe is admitted", recovery), 0
	}
	if t.To == record.Closed {
		return "the probe succeeded", 0
	}
	var last string
	var request record.ID
	if c := b.last.Load(); c != nil {
		last, request = brief(c.failure), c.request
	}
	if t.From == record.HalfOpen {
		return "the probe failed: " + last, request
	}
	return fmt.Sprintf("%d failures in a row, last: %s", b.tripped.Load(), last), request
}

// brief says what a failure was without the provider's own words.
func brief(f *llm.Failure) string {
	if f.Status >= 300 {
		return fmt.Sprintf("%s, HTTP %d", f.Class.Words(), f.Status)
	}
	return f.Class.Words()
}

func stateOf(s gobreaker.State) record.State {
	switch s {
	case gobreaker.StateOpen:
		return record.Open
	case gobreaker.StateHalfOpen:
		return record.HalfOpen
	}
	return record.Closed
}

// state gives the breaker's state now, moving it from open to half-open when
// its time has come.
func (b *breaker) state() record.State {
	if !b.disturbed.Load() {
		return record.Closed
	}
	return stateOf(b.cb.State())
}

// works says that the target was well lately to others than a caller.
func (b *breaker) works(but string, now time.Time) bool {
	return !b.disturbed.Load() && b.callers.works(but, now)
}

// nextProbe gives when an open breaker admits its probe; zero when it is not open.
func (b *breaker) nextProbe() time.Time {
	if b.state() != record.Open {
		return time.Time{}
	}
	return time.Unix(0, b.reopens.Load()).UTC()
}

// snapshot gives the breaker as it stands.
func (b *breaker) snapshot() BreakerState {
	s := BreakerState{Target: b.target, State: b.state(), NextProbe: b.nextProbe()}
	if s.State == record.Closed {
		s.Failures = int(b.cb.Counts().ConsecutiveFailures)
	} else if reason := b.opened.Load(); reason != nil {
		s.Reason = *reason
	}
	return s
}

// permit is the breaker's leave to try its target once. It is settled exactly
// once, whoever comes first: a permit that is never settled would wedge a
// half-open breaker for ever.
type permit struct {
	b       *breaker
	caller  string // whose request it is for
	probe   bool
	resort  *resort     // of a last resort, which the breaker does not hear of; nil for none
	doubted atomic.Bool // it was left open whether its failure counts
	settled atomic.Bool
	done    func(error)
	// lease is until when a probe may keep others out, in Unix nanoseconds. Every
	// phase of a probe has a deadline, so one that outlives its lease is lost.
	lease atomic.Int64
	// closed is the breaker's generation that a probe's success began; 0 before.
	closed int64
}

// refuses says what would keep a request away now, without a permit being taken.
func (b *breaker) refuses(now time.Time) record.Verdict {
	switch b.state() {
	case record.Open:
		return record.VerdictBreakerOpen
	case record.HalfOpen:
		if p := b.probe.Load(); p != nil && !p.settled.Load() && now.UnixNano() <= p.lease.Load() {
			return record.VerdictBreakerProbing
		}
	}
	return ""
}

// allow asks for leave; a probe gets it on a lease. Without it, the verdict says why.
func (b *breaker) allow(lease time.Duration) (*permit, record.Verdict) {
	for {
		generation := b.generation.Load()
		state := b.state()
		done, err := b.cb.Allow()
		if errors.Is(err, gobreaker.ErrTooManyRequests) {
			if b.reclaim() {
				continue
			}
			return nil, record.VerdictBreakerProbing
		}
		if err != nil {
			return nil, record.VerdictBreakerOpen
		}
		if b.generation.Load() != generation { // nobody knows in which state it was given
			done(errNeutral)
			continue
		}
		b.busy.Add(1)
		p := &permit{b: b, probe: state == record.HalfOpen, done: done}
		now := time.Now()
		b.used.Store(now.UnixNano())
		if p.probe {
			p.renew(now, lease)
			b.probe.Store(p)
		}
		return p, ""
	}
}

// reclaim takes the leave back from a probe that is lost, and says whether there
// was one. Whatever still comes of it later changes nothing.
func (b *breaker) reclaim() bool {
	p := b.probe.Load()
	return p != nil && time.Now().UnixNano() > p.lease.Load() && p.settle(errNeutral)
}

// renew gives a probe its lease anew.
func (p *permit) renew(now time.Time, lease time.Duration) { p.lease.Store(now.Add(lease).UnixNano()) }

func (p *permit) succeed() {
	if p.settle(nil) && p.probe {
		p.closed = p.b.generation.Load()
	}
}

// settle says whether the permit was not settled before.
func (p *permit) settle(err error) bool {
	if p.settled.Swap(true) {
		return false
	}
	if !p.doubted.Load() && p.resort == nil {
		p.b.callers.note(p.caller, err)
	}
	p.done(err)
	p.b.busy.Add(-1)
	return true
}

// neutral settles without evidence, and lets the next probe in.
func (p *permit) neutral() { p.settle(errNeutral) }

// fail settles with a failure; one that says nothing of the target is neutral.
func (p *permit) fail(f *llm.Failure, request record.ID) {
	if !f.Class.CountsAgainstTarget() {
		p.neutral()
		return
	}
	if p.settled.Load() { // too late to be anybody's reason
		return
	}
	if p.resort == nil {
		p.b.last.Store(&cause{failure: f, request: request})
	}
	p.settle(f)
}

// doubt takes note of a failure of which it is to be settled yet whether it counts:
// the request may be to blame.
func (p *permit) doubt(f *llm.Failure) {
	p.b.callers.note(p.caller, f)
	p.doubted.Store(true)
}

// failLate counts a failure of a probe that had already succeeded: a probe is
// settled by its first content, so that a long answer does not keep everybody
// else out, but a cut later on is a failure all the same, unless the breaker has
// changed again since.
func (p *permit) failLate(f *llm.Failure, request record.ID) {
	p.fail(f, request)
	if p.closed == 0 || p.b.generation.Load() != p.closed {
		return
	}
	again, _ := p.b.allow(0)
	if again == nil {
		return
	}
	if again.probe { // it has changed just now
		again.neutral()
		return
	}
	again.caller = p.caller
	again.fail(f, request)
}
