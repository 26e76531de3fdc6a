package traffic

import (
	"container/list"
	"context"
	"fmt"
	"time"
)

// waiter is one request that waits.
type waiter struct {
	lane   laneKey
	seq    int64 // in which order they came
	came   time.Time
	called chan *FullError // nil: its turn; else it is sent away. Holds one, so that nobody waits to call.
	line   *line
	place  *list.Element // in its lane; nil when it is in none any more
}

// line holds the requests with the same ways.
type line struct {
	key   string
	ways  []string
	lanes map[laneKey]*lane
	stuck *waiter   // the head that could not go; nil where the head may try
	due   time.Time // when it is worth trying again; zero for when something ends
	drain drain
}

// A lane holds what one caller sent with one priority, in the order in which it
// came. They age alike, so whoever goes first of a line is the head of a lane.
type (
	lane    = list.List
	laneKey struct {
		caller   string
		priority Priority
	}
)

// turn remembers when a caller that waits had its last turn, or came.
type turn struct {
	last    int64
	waiting int
}

func (q *Queue) add(w *waiter, l *line) {
	q.clock++
	w.seq, w.line = q.clock, l
	if l.lanes[w.lane] == nil {
		l.lanes[w.lane] = list.New()
	}
	w.place = l.lanes[w.lane].PushBack(w)
	for _, way := range l.ways {
		q.ways[way]++
	}
	c := q.callers[w.lane.caller]
	if c == nil { // behind those who wait already: who comes and goes has no more turns than they
		c = &turn{last: q.clock}
		q.callers[w.lane.caller] = c
	}
	c.waiting++
	q.size.Add(1)
}

func (q *Queue) remove(w *waiter) {
	l := w.line
	in := l.lanes[w.lane]
	in.Remove(w.place)
	w.place = nil
	if in.Len() == 0 {
		delete(l.lanes, w.lane)
	}
	if len(l.lanes) == 0 {
		delete(q.lines, l.key)
	}
	if l.stuck == w {
		l.stuck = nil
	}
	for _, way := range l.ways {
		if q.ways[way]--; q.ways[way] == 0 {
			delete(q.ways, way)
		}
	}
	c := q.callers[w.lane.caller]
	if c.waiting--; c.waiting == 0 {
		delete(q.callers, w.lane.caller)
	}
	if q.size.Add(-1) == 0 {
		q.drain = drain{}
	}
}

// class gives how urgent a request has become.
func (q *Queue) class(w *waiter, now time.Time) Priority {
	if q.limits.Aging <= 0 {
		return w.lane.priority
	}
	return min(w.lane.priority+Priority(min(now.Sub(w.came)/q.limits.Aging, 2)), Urgent)
}

// before says whether a goes before b.
func (q *Queue) before(a, b *waiter, now time.Time) bool {
	if ca, cb := q.class(a, now), q.class(b, now); ca != cb {
		return ca > cb
	}
	if a.lane.caller != b.lane.caller {
		return q.callers[a.lane.caller].last < q.callers[b.lane.caller].last
	}
	return a.seq < b.seq
}

// head gives who goes first of a line.
func (q *Queue) head(l *line, now time.Time) (first *waiter) {
	for _, in := range l.lanes {
		if w := in.Front().Value.(*waiter); first == nil || q.before(w, first, now) {
			first = w
		}
	}
	return first
}

// last gives the newest of the least urgent, leaving out who is trying.
func (q *Queue) last(now time.Time) (last *waiter) {
	for _, l := range q.lines {
		for _, in := range l.lanes {
			w := in.Back().Value.(*waiter)
			if w == q.turn {
				continue
			}
			if last == nil || q.class(w, now) < q.class(last, now) || q.class(w, now) == q.class(last, now) && w.seq > last.seq {
				last = w
			}
		}
	}
	return last
}

// hopeless says so where a newcomer's turn would come after its deadline or
// after the longest wait. It counts only those who are sure to go before it,
// and the rate at which the line moved lately, so that nobody is sent away who
// would have been in time.
func (l *line) hopeless(ctx context.Context, w *waiter, limits QueueLimits, now time.Time) error {
	each, known := l.drain.each(now)
	if !known {
		return nil
	}
	own, ahead := 0, 0
	if in := l.lanes[w.lane]; in != nil {
		own = in.Len()
	}
	for key, in := range l.lanes {
		switch {
		case key.priority > w.lane.priority:
			ahead += in.Len()
		case key.priority == w.lane.priority:
			ahead += min(in.Len(), own+1)
		}
	}
	left := limits.Wait
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, deadline.Sub(now))
	}
	if in := each * time.Duration(ahead); in > left {
		return &FullError{
			Reason:     fmt.Sprintf("its turn would come in about %s, which is too late", in.Round(100*time.Millisecond)),
			RetryAfter: clampRetry(in-left, limits.Wait),
		}
	}
	return nil
}

// drain measures how fast a line or the queue moves while requests wait, by when
// the last ones went. Few say little: it is not known before minDrained.
type drain struct {
	went [32]time.Time
	n    int
}

const minDrained = 4

func (d *drain) add(now time.Time) {
	d.went[d.n%len(d.went)] = now
	d.n++
}

// each gives in what time one goes: the time since the first of those remembered,
// divided among those after it. A standstill since the last one counts.
func (d *drain) each(now time.Time) (time.Duration, bool) {
	if d.n < minDrained {
		return 0, false
	}
	first, after := d.went[0], d.n-1
	if d.n > len(d.went) {
		first, after = d.went[d.n%len(d.went)], len(d.went)-1
	}
	return now.Sub(first) / time.Duration(after), true
}
