package traffic

import (
	"sync"
	"sync/atomic"
	"time"
)

// BurstShare is what part of a minute's requests, and of its tokens, may go at
// once after a pause, where Limits.Burst says nothing: a sixth, that is ten
// seconds' worth. A page that asks a few things at once is not held up, and the
// minute after a pause stays within 7/6 of the limit.
const BurstShare = 6

// Limits bound what may go through in a minute and at once. What is 0 is not
// bounded.
type Limits struct {
	Requests   int64 // a minute
	Tokens     int64 // a minute, input and output
	Burst      int64 // requests that may go at once after a pause; 0 for a BurstShare of Requests
	Concurrent int64 // under way at once
}

// Limiter keeps within Limits, and learns tighter ones from what a provider
// tells. It may be used by many at once. A nil Limiter limits nothing.
//
// In any stretch of time t it lets through at most the burst and t's share of a
// minute's requests. Tokens are counted by estimate first and by actual use when
// the request is done; what was used beyond the estimate is owed, and is filled
// in before anything else goes.
type Limiter struct {
	limits Limits
	start  time.Time // instants are counted from here
	most   int64     // tokens that one request is taken to need at most

	// What every request touches, without a lock.
	under   atomic.Int64 // requests under way
	pending atomic.Int64 // tokens that they took
	recent  recent
	bounded atomic.Bool // whether there is anything to keep within
	counts  atomic.Bool // whether tokens matter

	mu       sync.Mutex
	requests bucket // as configured
	tokens   bucket
	blocked  int64 // nothing goes before this instant
	learned  learned
	restart  restart
	told     told
}

// NewLimiter makes a limiter; one without limits still learns.
func NewLimiter(limits Limits) *Limiter {
	l := &Limiter{limits: limits, start: time.Now(), blocked: longAgo, restart: restart{next: longAgo}, most: maxEstimate}
	if n := limits.Requests; n > 0 {
		l.requests.set(n, time.Minute, burst(limits.Burst, n))
	}
	if n := limits.Tokens; n > 0 {
		l.tokens.set(n, time.Minute, burst(0, n))
		l.most = min(n, maxEstimate/perBlock) * perBlock
	}
	l.bounded.Store(l.bounds(0))
	l.counts.Store(l.tokens.n > 0)
	return l
}

// What a request says that it may need is believed up to what fills in within
// MaxBlock, which is as long as anything is owed for. If more were taken, more
// would be given back in the end than had been taken, and a caller who asks for
// a million tokens would have no limit at all.
const (
	maxEstimate = 1 << 40 // where no limit bounds it, so that sums do not overflow
	perBlock    = int64(MaxBlock / time.Minute)
)

// believed gives what an estimate counts for.
func (l *Limiter) believed(tokens int64) int64 { return min(max(tokens, 0), l.most) }

// burst gives how much may go at once where n may go in a minute.
func burst(configured, n int64) int64 {
	if configured > 0 {
		return configured
	}
	return max(n/BurstShare, 1)
}

// CountsTokens says whether Take wants to know the request's tokens: a limit on
// them is configured, or a provider has told that few are left.
func (l *Limiter) CountsTokens() bool { return l != nil && l.counts.Load() }

// Take takes room for one request of about so many tokens: all that it needs or
// nothing. Where there is none it says how long until there may be; who waits
// exactly so long and is alone gets it. 0 means when another one ends. A request
// of more tokens than go at once goes when all of those are there.
func (l *Limiter) Take(now time.Time, tokens int64) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	t, tokens := l.instant(now), l.believed(tokens)
	if !l.bounded.Load() {
		l.enter(t, tokens)
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.wait(t, tokens); wait > 0 {
		return time.Duration(wait), false
	}
	if l.limits.Concurrent > 0 && l.under.Load() >= l.limits.Concurrent {
		return 0, false
	}
	l.requests.charge(t, 1)
	l.tokens.charge(t, tokens)
	l.learned.charge(t, 1)
	l.restart.step(t)
	l.told.requests.charge(t, 1)
	l.enter(t, tokens)
	l.learned.recover(t)
	l.told.forget(t)
	l.counts.Store(l.tokens.n > 0 || l.told.tokens.n > 0)
	l.bounded.Store(l.bounds(t))
	return 0, true
}

// wait gives the nanoseconds until time alone lets the request through.
func (l *Limiter) wait(t, tokens int64) int64 {
	return max(l.blocked-t,
		l.requests.wait(t, 1),
		l.tokens.wait(t, tokens),
		l.learned.wait(t, 1),
		l.restart.next-t,
		l.told.requests.wait(t, 1),
		l.told.tokens.wait(t, tokens+l.told.uncounted(l.pending.Load())))
}

// bounds says whether there is anything to keep within.
func (l *Limiter) bounds(t int64) bool {
	return l.requests.n > 0 || l.tokens.n > 0 || l.limits.Concurrent > 0 ||
		l.blocked > t || l.learned.n > 0 || l.restart.n > 0 || l.told.requests.n > 0 || l.told.tokens.n > 0
}

// Undo gives back what Take took, as if it had never been: the request was not
// sent. It is meant to follow at once, where another limiter had no room. Room
// that stood taken for a while filled in meanwhile, so it comes back a little
// fuller than it would have been.
func (l *Limiter) Undo(now time.Time, tokens int64) {
	if l == nil {
		return
	}
	tokens = l.believed(tokens)
	l.leave(tokens)
	l.recent.add(l.instant(now), -1)
	if !l.bounded.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests.refund(1)
	l.tokens.refund(tokens)
	l.learned.refund(1)
	l.restart.next = min(l.restart.next, l.instant(now))
	l.told.requests.refund(1)
}

// Done ends a request that took about so many tokens and used so many in fact.
func (l *Limiter) Done(now time.Time, taken, used int64) {
	if l == nil {
		return
	}
	taken, used = l.believed(taken), max(used, 0)
	l.leave(taken)
	if l.limits.Tokens <= 0 || used == taken {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if used > taken {
		l.tokens.charge(l.instant(now), used-taken)
	} else {
		l.tokens.refund(taken - used)
	}
}

func (l *Limiter) enter(t, tokens int64) {
	l.under.Add(1)
	if tokens > 0 {
		l.pending.Add(tokens)
	}
	l.recent.add(t, 1)
}

func (l *Limiter) leave(tokens int64) {
	l.under.Add(-1)
	if tokens > 0 {
		l.pending.Add(-tokens)
	}
}

func (l *Limiter) instant(now time.Time) int64 { return int64(now.Sub(l.start)) }

// Use is how a limiter stands, for people.
type Use struct {
	Limits               // as configured
	Allowed      float64 // requests a minute that are let through now, as learned; 0 where not bounded
	Under        int64   // requests under way
	RequestsLeft float64 // before the limit; meaningless where Requests and Allowed are 0
	TokensLeft   float64 // below 0 is owed; meaningless where Tokens is 0 and nothing was told
}

// Use gives how the limiter stands.
func (l *Limiter) Use(now time.Time) Use {
	if l == nil {
		return Use{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.instant(now)
	u := Use{Limits: l.limits, Under: l.under.Load()}
	for _, b := range []bucket{l.requests, l.learned.bucket, l.told.requests} {
		if b.n > 0 {
			allowed := float64(b.n) * float64(time.Minute) / float64(b.per)
			if u.Allowed == 0 {
				u.Allowed, u.RequestsLeft = allowed, b.left(t)
			}
			u.Allowed, u.RequestsLeft = min(u.Allowed, allowed), min(u.RequestsLeft, b.left(t))
		}
	}
	if l.blocked > t {
		u.RequestsLeft = min(u.RequestsLeft, 0)
	}
	if l.tokens.n > 0 {
		u.TokensLeft = l.tokens.left(t)
	}
	if b := l.told.tokens; b.n > 0 && (l.tokens.n == 0 || b.left(t) < u.TokensLeft) {
		u.TokensLeft = b.left(t)
	}
	return u
}
