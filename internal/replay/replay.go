// Package replay keeps the answer to a request that may be asked again under the
// same Idempotency-Key: while it is made, so that those who ask meanwhile join,
// and for a while afterwards.
package replay

import (
	"container/list"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Errors of Join.
var (
	// ErrMismatch says that the key was used for another request.
	ErrMismatch = errors.New("the key belongs to another request")
	// ErrTooLarge says that an answer is under way whose beginning is not kept any
	// more, since it is too large.
	ErrTooLarge = errors.New("the answer is under way and too large to be kept")
)

// Limits say what is kept.
type Limits struct {
	Keep  time.Duration // an answer after its end, and a run that nobody follows any more
	Bytes int64         // of all answers together, those under way included; about
	// Patience bounds how long a follower may take to read one piece.
	Patience time.Duration
}

// window is how far, in bytes, a run that is not kept may be ahead of the
// slowest that follow it: as much as a socket holds.
const window = 64 << 10

// overhead is about what a run takes beside its bytes.
const overhead = 1 << 10

// ID says which requests are the same.
type ID struct {
	Caller, Path string
	Key          string // the caller's own
}

// Digest is that of a request's body.
type Digest [32]byte

// Cache keeps runs, each for the caller that asked. It may be used by many at once.
type Cache struct {
	limits Limits

	mu    sync.Mutex
	runs  map[ID]*Run
	ended list.List // of *Run, the first that ended in front
	size  int64
	count Counts
	sweep *time.Timer // runs while anything is kept
}

// Counts says how often requests came again, since the start.
type Counts struct {
	Replayed   uint64 // got an answer that had ended
	Joined     uint64 // follow one that was under way
	Mismatched uint64 // were another request under the same key
	TooLarge   uint64 // came too late to follow a large answer
}

// Counts gives how often requests came again.
func (c *Cache) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// New makes a cache.
func New(l Limits) *Cache { return &Cache{limits: l, runs: map[ID]*Run{}} }

// Join gives a follower of the run of a request. The first to ask gets the run as
// well, which it has to make and to end; cancel is called where it is not worth
// going on with. The error is ErrMismatch or ErrTooLarge.
func (c *Cache) Join(id ID, body Digest, cancel context.CancelFunc) (*Follower, *Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	r, first := c.runs[id], false
	switch {
	case r == nil:
		r, first = &Run{cache: c, id: id, digest: body, cancel: cancel, cost: overhead, followers: map[*Follower]bool{}, changed: make(chan struct{})}, true
		c.runs[id] = r
		c.size += r.cost
	case r.digest != body:
		c.count.Mismatched++
		return nil, nil, ErrMismatch
	case r.base > 0:
		c.count.TooLarge++
		return nil, nil, ErrTooLarge
	case r.over:
		c.count.Replayed++
	default:
		c.count.Joined++
	}
	f := &Follower{run: r}
	r.followers[f] = true
	if r.lonely != nil {
		r.lonely.Stop()
		r.lonely = nil
	}
	if first {
		return f, r, nil
	}
	return f, nil, nil
}

// Close cancels the runs that have not ended.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		if !r.over {
			r.cancel()
		}
	}
}

// fit makes room by dropping the answers that ended first. Where that is not
// enough, or r has more than its share, r is not kept.
func (c *Cache) fit(r *Run, more int64) {
	r.transient = r.transient || int64(len(r.bytes))+more > c.limits.Bytes/4
	if r.transient {
		return
	}
	for c.size+more > c.limits.Bytes && c.ended.Len() > 0 {
		c.drop(c.ended.Front().Value.(*Run))
	}
	r.transient = c.size+more > c.limits.Bytes
}

// drop forgets a run that is over. Its memory counts until nobody reads it.
func (c *Cache) drop(r *Run) {
	if r.place != nil {
		c.ended.Remove(r.place)
		r.place = nil
	}
	if c.runs[r.id] == r {
		delete(c.runs, r.id)
	}
	r.dropped = true
	r.release()
}

// expire drops what is older than it may be.
func (c *Cache) expire() {
	for front := c.ended.Front(); front != nil; front = c.ended.Front() {
		r := front.Value.(*Run)
		if time.Since(r.endedAt) < c.limits.Keep {
			return
		}
		c.drop(r)
	}
}

// sweepUp expires without being asked, so that nothing stays longer than it may.
func (c *Cache) sweepUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	c.sweep = nil
	if front := c.ended.Front(); front != nil {
		c.sweep = time.AfterFunc(c.limits.Keep-time.Since(front.Value.(*Run).endedAt), c.sweepUp)
	}
}

// Run is one request's answer on its way. Its methods are for whoever makes it.
type Run struct {
	cache  *Cache
	id     ID
	digest Digest
	cancel context.CancelFunc

	// Guarded by the cache's mutex.
	status    int
	header    http.Header
	bytes     []byte // those from base on; what was shown once is never written again
	base      int64
	shown     int64 // up to here followers may read
	headShown bool
	transient bool // it will not be kept, and only what followers need is held
	over      bool
	aborted   bool
	dropped   bool
	cost      int64 // in the cache's size
	endedAt   time.Time
	place     *list.Element
	followers map[*Follower]bool
	lonely    *time.Timer   // runs while nobody follows
	changed   chan struct{} // closed when there is something new for followers, or for the run
}

// wake tells all who wait that something changed.
func (r *Run) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// release gives the memory of a dropped run back when nobody reads it any more.
func (r *Run) release() {
	if r.dropped && len(r.followers) == 0 {
		r.cache.size -= r.cost
		r.cost, r.bytes = 0, nil
	}
}

// Begin tells status and header, which the run keeps.
func (r *Run) Begin(status int, h http.Header) {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.status, r.header = status, h.Clone()
	var n int64
	for name, values := range h {
		for _, v := range values {
			n += int64(len(name) + len(v))
		}
	}
	r.cost += n
	r.cache.size += n
}

// Write adds to the answer's body. Where the answer is too large to be kept it
// waits for the slowest follower, and fails when there is none.
func (r *Run) Write(p []byte) (int, error) {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.cache.fit(r, int64(len(p)))
	written := 0
	for written < len(p) {
		piece := p[written:]
		if r.transient {
			if err := r.waitForRoom(); err != nil {
				return written, err
			}
			piece = piece[:min(len(piece), window)]
		}
		r.bytes = append(r.bytes, piece...)
		r.grow(int64(len(piece)))
		written += len(piece)
	}
	return written, nil
}

func (r *Run) grow(n int64) {
	r.cost += n
	r.cache.size += n
}

// waitForRoom shows all that there is, and waits until the followers have read
// most of it.
func (r *Run) waitForRoom() error {
	for {
		r.show()
		r.trim()
		switch {
		case len(r.followers) == 0:
			return errors.New("nobody reads the answer")
		case len(r.bytes) < window:
			return nil
		}
		changed := r.changed
		r.cache.mu.Unlock()
		<-changed
		r.cache.mu.Lock()
	}
}

// trim lets go of what every follower has read.
func (r *Run) trim() {
	slowest := r.base + int64(len(r.bytes))
	for f := range r.followers {
		slowest = min(slowest, f.at)
	}
	n := slowest - r.base
	if n < window/2 {
		return
	}
	r.bytes = append([]byte(nil), r.bytes[n:]...)
	r.base = slowest
	r.grow(-n)
}

// show lets followers have all there is.
func (r *Run) show() {
	end := r.base + int64(len(r.bytes))
	if r.shown == end && r.headShown == (r.status != 0) {
		return
	}
	r.shown, r.headShown = end, r.status != 0
	r.wake()
}

// Flush lets followers have what was written.
func (r *Run) Flush() {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.show()
}

// End ends the run. Its answer is kept for those who ask again where keep says
// so and it is not too large; otherwise they have it made anew.
func (r *Run) End(keep bool) {
	c := r.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	r.over, r.aborted = true, r.status == 0
	r.show()
	r.wake()
	if r.lonely != nil {
		r.lonely.Stop()
	}
	if !keep || r.transient || r.aborted || c.limits.Keep <= 0 {
		c.drop(r)
		return
	}
	r.endedAt = time.Now()
	r.place = c.ended.PushBack(r)
	if c.sweep == nil {
		c.sweep = time.AfterFunc(c.limits.Keep, c.sweepUp)
	}
}

// Abort ends a run that went wrong without an answer.
func (r *Run) Abort() {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	r.over, r.aborted = true, true
	r.show()
	r.wake()
	r.cache.drop(r)
}
