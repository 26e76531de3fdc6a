package router

import (
	"errors"
	"fmt"
	"sync"
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
	cb     *gobreaker.TwoStepCircuitBreaker[struct{}]
	last   atomic.Pointer[cause]
	// reopens is when an open breaker admits its probe, in Unix nanoseconds.
	reopens atomic.Int64
	opened  atomic.Pointer[string] // why it opened last
	// used and busy say which breaker may be forgotten: when it was last asked,
	// in Unix nanoseconds, and the permits that are out.
	used atomic.Int64
	busy atomic.Int64
	pace pace // of the same target; kept and forgotten with the breaker
}

// newBreaker makes a closed breaker. changed is called under gobreaker's
// mutex and must not block.
func newBreaker(target llm.Target, threshold int, recovery time.Duration, changed func(record.Transition)) *breaker {
	b := &breaker{target: target}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        target.String(),
		MaxRequests: 1,
		Timeout:     recovery,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(threshold) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNeutral) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			now := time.Now()
			t := record.Transition{At: now, Target: target, From: stateOf(from), To: stateOf(to)}
			t.Reason, t.Request = b.why(t, threshold, recovery)
			if to == gobreaker.StateOpen {
				b.reopens.Store(now.Add(recovery).UnixNano())
				b.opened.Store(&t.Reason)
			}
			changed(t)
		},
	})
	return b
}

// why says in words what brought a transition about.
func (b *breaker) why(t record.Transition, threshold int, recovery time.Duration) (string, record.ID) {
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
	return fmt.Sprintf("%d failures in a row, last: %s", threshold, last), request
}

// brief says what a failure was without the provider's own words.
func brief(f *llm.Failure) string {
	if f.Status >= 300 {
		return fmt.Sprintf("%s (HTTP %d)", f.Class, f.Status)
	}
	return string(f.Class)
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
func (b *breaker) state() record.State { return stateOf(b.cb.State()) }

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
	b     *breaker
	probe bool
	// suspect says that the last request that the breaker counted failed.
	suspect bool
	once    sync.Once
	done    func(error)
}

// allow asks for leave. Without it, the verdict says why.
func (b *breaker) allow() (*permit, record.Verdict) {
	probe := b.state() == record.HalfOpen
	done, err := b.cb.Allow()
	switch {
	case errors.Is(err, gobreaker.ErrTooManyRequests):
		return nil, record.VerdictBreakerProbing
	case err != nil:
		return nil, record.VerdictBreakerOpen
	}
	b.used.Store(time.Now().UnixNano())
	b.busy.Add(1)
	return &permit{b: b, probe: probe, suspect: b.cb.Counts().ConsecutiveFailures > 0, done: done}, ""
}

func (p *permit) succeed() { p.settle(nil) }

func (p *permit) settle(err error) {
	p.once.Do(func() {
		p.done(err)
		p.b.busy.Add(-1)
	})
}

// neutral settles without evidence, and lets the next probe in.
func (p *permit) neutral() { p.settle(errNeutral) }

// fail settles with a failure; one that says nothing of the target is neutral.
func (p *permit) fail(f *llm.Failure, request record.ID) {
	if !f.Class.CountsAgainstTarget() {
		p.neutral()
		return
	}
	p.b.last.Store(&cause{failure: f, request: request})
	p.settle(f)
}

// failLate counts a failure of a probe that had already succeeded: a probe is
// settled by its first content, so that a long answer does not keep everybody
// else out, but a cut later on is a failure all the same.
func (p *permit) failLate(f *llm.Failure, request record.ID) {
	p.fail(f, request)
	if !p.probe {
		return
	}
	if again, _ := p.b.allow(); again != nil {
		again.fail(f, request)
	}
}
