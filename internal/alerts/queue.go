package alerts

import "sync"

const (
	// maxQueued bounds the signals that wait while the store is slow.
	maxQueued = 1024
	// maxAlike bounds those that wait of one kind of trouble of one target, key
	// or condition. Beyond it the newest takes the place of the last: how it
	// stands now is what counts. So a storm fills the queue with as many as there
	// are targets, not with as many as there are signals.
	maxAlike = 4
)

// queue holds the signals that were not yet taken. Where requests say the
// same of a provider again and again, one of them is kept and counts for all.
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
	s.Requests = max(s.Requests, 1)
	if q.merged(s) {
		return
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

// merged puts a signal into one that waits, where that loses nothing.
func (q *queue) merged(s Signal) bool {
	last, alike, between := -1, 0, false
	for i := len(q.waiting) - 1; i >= 0; i-- {
		w := &q.waiting[i]
		if w.Provider != s.Provider {
			continue
		}
		same := w.Target == s.Target && w.Key == s.Key && w.Topic == s.Topic && w.Name == s.Name
		if !same || w.Kind.family() != s.Kind.family() {
			between = between || same || !w.ofRequest()
			continue
		}
		if last < 0 {
			last = i
		}
		if alike++; s.ofRequest() && !between {
			break // nothing came in between that would count
		}
	}
	if alike < maxAlike && (alike == 0 || !s.ofRequest() || between) {
		return false
	}
	s.Requests += q.waiting[last].Requests
	q.waiting[last] = s
	return true
}

// family names what a signal is about; the last of a family says how it stands.
func (k SignalKind) family() string {
	switch k {
	case BreakerOpened, BreakerProbeFailed, BreakerClosed:
		return "breaker"
	case HoldPlaced, HoldEnded:
		return "hold"
	case TroubleFound, TroubleEnded:
		return "finding"
	case KeyLost, KeyBack, Removed:
		return "lost"
	case Raised, Cleared:
		return "condition"
	}
	return string(k)
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
