package traffic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// QueueLimits bound a queue.
type QueueLimits struct {
	Size  int           // requests that may wait
	Wait  time.Duration // how long one may wait
	Aging time.Duration // one that waited so long counts as one class more urgent; 0 for never
}

// Ticket says who waits, and for what.
type Ticket struct {
	Priority Priority
	Caller   string   // within a class, callers take turns
	Ways     []string // the ways that the request could go; those with the same ways wait in one line
	// Waited is how long the request stood in line before, in vain: that counts
	// towards the longest wait.
	Waited time.Duration
}

// FullError says that a request cannot wait: the queue is full, or its turn
// would come too late.
type FullError struct {
	Reason     string        // in words: "1000 requests are waiting"
	RetryAfter time.Duration // when it is worth asking again
}

func (e *FullError) Error() string { return fmt.Sprintf("%s; try again in %s", e.Reason, e.RetryAfter) }

// Queue holds requests that found every way limited. It has no goroutine: the
// requests hand on the turn to try, from one to the next. A nil Queue is empty
// and holds nobody, as does one of no size.
type Queue struct {
	limits QueueLimits
	size   atomic.Int64 // requests that wait

	mu      sync.Mutex
	lines   map[string]*line
	ways    map[string]int   // how many wait for a way
	callers map[string]*turn // of the callers that wait
	clock   int64            // numbers arrivals and turns
	turn    *waiter          // who may try now; nil for nobody
	woken   int64            // how often all lines were set free to try
	begun   int              // how often that was while somebody tried, in this round
	again   bool             // there was a Wake since, so that another round is due
	timer   *time.Timer      // for the earliest wait told; nil before the first
	drain   drain
}

// maxBegun is how often a Wake has a round over all lines begin anew. Beginning
// anew gives what came free to the most urgent. Where requests end faster than a
// round takes, the last lines would never be reached, so the next round waits for
// this one then.
const maxBegun = 8

// NewQueue makes a queue.
func NewQueue(limits QueueLimits) *Queue {
	return &Queue{limits: limits, lines: map[string]*line{}, ways: map[string]int{}, callers: map[string]*turn{}}
}

// Wait holds a request until try says that it is settled, which is either that
// a way was found or that there is no use in waiting. try is called at once where
// nobody stands before it, then in turn, never at the same time as another's
// of the same queue; where it is not settled it says how long until it is worth
// trying again, 0 for when something ends (Wake). Since all others stand still
// meanwhile, try must not block. The error is a *FullError, or the context's.
//
// The more urgent go first; within a class callers take turns, and a caller's
// requests go in the order in which they came. Those with the same ways stand in
// one line: while its head cannot go, nobody in it does, so that a small request
// does not take again and again what a large one waits for. Other lines go on.
func (q *Queue) Wait(ctx context.Context, t Ticket, try func(now time.Time) (wait time.Duration, settled bool)) error {
	if q == nil || q.limits.Size <= 0 {
		return &FullError{Reason: "requests do not wait here", RetryAfter: minRetry}
	}
	w, err := q.enter(ctx, t)
	if err != nil {
		return err
	}
	settled := false
	defer func() { q.leave(w, settled) }() // deferred, so that a try that panics holds up nobody
	late := time.NewTimer(q.limits.Wait - t.Waited)
	defer late.Stop()
	for {
		select {
		case refused := <-w.called:
			if refused != nil {
				return refused
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			now, woken := time.Now(), q.wakes()
			var wait time.Duration
			if wait, settled = try(now); settled {
				return nil
			}
			q.pass(w, now, wait, woken)
		case <-late.C:
			return q.tooLate()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Taken says whether somebody waits for a way already, so that a newcomer has
// to stand in line. It costs next to nothing where the queue is empty.
func (q *Queue) Taken(way string) bool {
	if q == nil || q.size.Load() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ways[way] > 0
}

// Wake says that room may have come free: the head of every line tries again. It
// costs next to nothing where the queue is empty.
func (q *Queue) Wake() {
	if q == nil || q.size.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.turn != nil && q.begun == maxBegun {
		q.again = true
		return
	}
	if q.turn != nil {
		q.begun++
	}
	q.free()
	q.next()
}

// free lets the heads of all lines try.
func (q *Queue) free() {
	q.woken++
	for _, l := range q.lines {
		l.stuck = nil
	}
}

// Bears says whether a wait of so long is within what a request may wait at most.
// A nil Queue leaves that to whoever asks.
func (q *Queue) Bears(wait time.Duration) bool { return q == nil || wait <= q.limits.Wait }

// Waiting gives how many wait, by priority.
func (q *Queue) Waiting() map[Priority]int {
	waiting := map[Priority]int{}
	if q == nil {
		return waiting
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lines {
		for key, lane := range l.lanes {
			waiting[key.priority] += lane.Len()
		}
	}
	return waiting
}

// enter has a request stand in line, or says why it cannot.
func (q *Queue) enter(ctx context.Context, t Ticket) (*waiter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	ways := slices.Compact(slices.Sorted(slices.Values(t.Ways)))
	key := strings.Join(ways, "\x00")
	w := &waiter{
		lane: laneKey{caller: t.Caller, priority: min(max(t.Priority, Batch), Urgent)},
		came: now, called: make(chan *FullError, 1),
	}
	if l := q.lines[key]; l != nil {
		if err := l.hopeless(ctx, w, q.limits.Wait-t.Waited, now); err != nil {
			return nil, err
		}
	}
	if err := q.makeRoom(w, now); err != nil {
		return nil, err
	}
	l := q.lines[key]
	if l == nil {
		l = &line{key: key, ways: ways, lanes: map[laneKey]*lane{}}
		q.lines[key] = l
	}
	q.add(w, l)
	if l.stuck != nil && q.before(w, l.stuck, now) {
		l.stuck = nil
	}
	q.next()
	return w, nil
}

// makeRoom sees to it that one more may wait, by sending away the newest of the
// least urgent where the newcomer is more urgent.
func (q *Queue) makeRoom(w *waiter, now time.Time) *FullError {
	n := int(q.size.Load())
	if n < q.limits.Size {
		return nil
	}
	retry := q.retry(now, n)
	last := q.last(now)
	if last == nil || q.class(last, now) >= w.lane.priority {
		return &FullError{Reason: fmt.Sprintf("%d requests are waiting", n), RetryAfter: retry}
	}
	q.remove(last)
	last.called <- &FullError{Reason: fmt.Sprintf("%d requests are waiting, and a more urgent one took its place", n), RetryAfter: retry}
	return nil
}

// next gives the turn to try to the first of all who may, unless somebody has it.
// Where nobody may, the timer is set for when somebody will.
func (q *Queue) next() {
	if q.turn != nil {
		return
	}
	now := time.Now()
	first, due := q.first(now)
	if first == nil && q.again {
		q.begun, q.again = 0, false
		q.free()
		first, _ = q.first(now)
	}
	if first == nil {
		q.begun = 0
		q.wakeAt(due, now)
		return
	}
	q.turn = first
	first.called <- nil
}

// first gives who goes first of all lines that are not stuck, and when the
// earliest of the others is worth trying again.
func (q *Queue) first(now time.Time) (first *waiter, due time.Time) {
	for _, l := range q.lines {
		switch {
		case l.stuck == nil:
			if head := q.head(l, now); first == nil || q.before(head, first, now) {
				first = head
			}
		case !l.due.IsZero() && (due.IsZero() || l.due.Before(due)):
			due = l.due
		}
	}
	return first, due
}

// wakeAt sets the timer; never for the zero time.
func (q *Queue) wakeAt(due, now time.Time) {
	switch {
	case due.IsZero():
		if q.timer != nil {
			q.timer.Stop()
		}
	case q.timer == nil:
		q.timer = time.AfterFunc(due.Sub(now), q.Wake)
	default:
		q.timer.Reset(due.Sub(now))
	}
}

// wakes gives how often everybody was woken, to tell whether somebody was since.
func (q *Queue) wakes() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.woken
}

// pass hands on the turn of one who could not go. Its line is stuck until the
// wait has passed, unless there was a Wake that its try may not have seen, or
// somebody came to stand before it meanwhile.
func (q *Queue) pass(w *waiter, now time.Time, wait time.Duration, woken int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turn = nil
	if q.woken == woken && q.head(w.line, now) == w {
		w.line.stuck, w.line.due = w, time.Time{}
		if wait > 0 {
			w.line.due = now.Add(wait)
		}
	}
	q.next()
}

// leave takes a request out of the queue, for whatever reason, and hands on the
// turn where it had it.
func (q *Queue) leave(w *waiter, settled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if settled {
		now := time.Now()
		q.drain.add(now)
		w.line.drain.add(now)
		q.clock++
		q.callers[w.lane.caller].last = q.clock
	}
	if q.turn == w {
		q.turn = nil
	}
	if w.place != nil {
		q.remove(w)
	}
	q.next()
}

// tooLate says that a turn did not come in time.
func (q *Queue) tooLate() *FullError {
	q.mu.Lock()
	defer q.mu.Unlock()
	return &FullError{
		Reason:     fmt.Sprintf("no way was free within %s", q.limits.Wait),
		RetryAfter: q.retry(time.Now(), int(q.size.Load())),
	}
}

// minRetry is the shortest time after which a refused request is told to ask
// again: Retry-After is in whole seconds.
const minRetry = time.Second

// retry gives when it is worth asking again where so many wait: when they will
// have gone, at the rate at which they went lately. Where none went it is when
// the last of them will have left.
func (q *Queue) retry(now time.Time, waiting int) time.Duration {
	each, known := q.drain.each(now)
	if !known {
		return max(q.limits.Wait, minRetry)
	}
	return clampRetry(each*time.Duration(waiting), q.limits.Wait)
}

// clampRetry rounds up to a whole second, and bounds by how long one may wait.
func clampRetry(d, most time.Duration) time.Duration {
	return max(min((d+time.Second-1).Truncate(time.Second), most), minRetry)
}
