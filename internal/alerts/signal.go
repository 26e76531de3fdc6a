// Package alerts turns signals into incidents and incidents into messages.
// A Manager keeps one incident for each provider in trouble, in the store;
// a worker for each channel tells of it, at least once and in order.
package alerts

import (
	"sync"
	"time"

	"breakwater/internal/llm"
)

// SignalKind says what a signal tells.
type SignalKind string

// The kinds of signal.
const (
	BreakerOpened      SignalKind = "breaker_opened"
	BreakerProbeFailed SignalKind = "breaker_probe_failed" // half-open, and open again
	BreakerClosed      SignalKind = "breaker_closed"
	HoldPlaced         SignalKind = "hold_placed"
	HoldEnded          SignalKind = "hold_ended"
	TroubleFound       SignalKind = "trouble_found" // the detector's finding that led to no hold; repeated while it lasts
	TroubleEnded       SignalKind = "trouble_ended" // such a finding was not repeated for CalmAfter
	CallerFailed       SignalKind = "caller_failed" // a request that had tried the provider failed for its caller
	TargetServed       SignalKind = "target_served" // a request or a probe went well
)

// Signal is one thing that may begin, confirm or end an incident.
type Signal struct {
	At       time.Time
	Provider llm.Provider
	Target   llm.Target
	Kind     SignalKind
	Text     string    // why, in plain words
	Slow     bool      // of HoldPlaced and TroubleFound: it answers, but slowly
	Matters  bool      // of TroubleFound: it would have been a hold
	Next     time.Time // when the target is tried again; zero where that is not known
}

// maxQueued bounds the signals that wait while the store is slow. Transitions
// are rare, and requests' signals are merged, so that this is minutes of a storm.
const maxQueued = 1024

// queue holds the signals that were not yet taken. Where requests say the
// same of a provider again and again, one of them is kept.
type queue struct {
	mu      sync.Mutex
	waiting []Signal
	dropped uint64
	ready   chan struct{} // holds a token while something waits
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) put(s Signal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.Kind == CallerFailed || s.Kind == TargetServed {
		for i := len(q.waiting) - 1; i >= 0; i-- {
			if w := q.waiting[i]; w.Provider == s.Provider {
				if w.Kind == s.Kind {
					return
				}
				break
			}
		}
	}
	if len(q.waiting) >= maxQueued {
		q.dropped++
		return
	}
	q.waiting = append(q.waiting, s)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take gives all that waits.
func (q *queue) take() []Signal {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = nil
	return all
}

func (q *queue) drops() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}
