package store

import (
	"sync"

	"breakwater/internal/record"
)

// entry is one thing in the queue; exactly one of its pointers
// and flushed is set.
type entry struct {
	trace      *record.Trace
	transition *record.Transition
	hold       *record.Hold
	key        *record.KeyChange
	flushed    chan<- error // told when all that came before is committed
	number     uint64       // in the journal; 0 where it is not there
}

// id gives the ID of what is recorded.
func (e entry) id() record.ID {
	switch {
	case e.trace != nil:
		return e.trace.ID
	case e.transition != nil:
		return e.transition.ID
	case e.hold != nil:
		return e.hold.ID
	case e.key != nil:
		return e.key.ID
	}
	return 0
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
	journal *journal // nil where there is none

	some chan struct{} // there is something
	full chan struct{} // there is enough to write at once, or someone waits for it
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
}

// put adds an entry and gives its number in the journal, or counts it as
// dropped where there is no room. A wish to flush always has room.
func (q *queue) put(e entry) (number uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || e.flushed == nil && len(q.entries)+q.inHand >= q.limit {
		if e.flushed == nil {
			q.dropped++
		}
		return 0, false
	}
	if q.journal != nil && e.flushed == nil {
		e.number = q.journal.add(&e)
	}
	q.entries = append(q.entries, e)
	if len(q.entries) == 1 {
		signal(q.some)
	}
	if len(q.entries) == BatchRows || e.flushed != nil {
		signal(q.full)
	}
	return e.number, true
}

// hold says that entries are in hand that were never put.
func (q *queue) hold(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inHand += n
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
