package store

import (
	"sync"

	"breakwater/internal/record"
)

// entry is one thing in the queue; exactly one of its fields is set.
type entry struct {
	trace      *record.Trace
	transition *record.Transition
	hold       *record.Hold
	key        *record.KeyChange
	flushed    chan<- error // told when all that came before is committed
}

// queue stands between the callers, who never wait, and the writer. It counts
// what the writer has in hand against its limit as well, so that a disk that
// stays full cannot take more memory than was allowed.
type queue struct {
	mu      sync.Mutex
	entries []entry
	inHand  int
	limit   int
	closed  bool
	dropped uint64

	some chan struct{} // there is something
	full chan struct{} // there is enough to write at once, or someone waits for it
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
}

// put adds an entry, or counts it as dropped where there is no room. A wish to
// flush always has room.
func (q *queue) put(e entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || e.flushed == nil && len(q.entries)+q.inHand >= q.limit {
		if e.flushed == nil {
			q.dropped++
		}
		return false
	}
	q.entries = append(q.entries, e)
	if len(q.entries) == 1 {
		signal(q.some)
	}
	if len(q.entries) == BatchRows || e.flushed != nil {
		signal(q.full)
	}
	return true
}

// take hands over all entries; they count as in hand until done.
func (q *queue) take() []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.entries
	q.entries = nil
	q.inHand += len(taken)
	return taken
}

// done says that entries are out of hand, and how many of them are lost.
func (q *queue) done(n, lost int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inHand -= n
	q.dropped += uint64(lost)
}

// close refuses everything from now on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) counts() (waiting int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries) + q.inHand, q.dropped
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
