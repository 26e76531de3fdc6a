package traffic

import (
	"sync/atomic"
	"time"
)

// How a limiter learns from refusals: additive increase, multiplicative decrease.
const (
	// MaxBlock is how long nothing may go at most, whatever a provider tells and
	// however much is owed. A provider that means more says so again when it is
	// asked an hour later, which costs it one request; a header that is wrong must
	// not take a target away for days.
	MaxBlock = time.Hour

	// LearnInterval is how often the allowed rate changes. The refusals of one
	// burst come back within seconds and count once; a rate that rises every ten
	// seconds is noticed by the provider before it is far too high.
	LearnInterval = 10 * time.Second

	// MinLearned is the lowest rate that is learned, in requests a minute: less
	// than one in ten seconds would only keep a limiter from noticing that the
	// trouble is over.
	MinLearned = 6

	// MinEvidence is how many requests of the last minute a rate is learned from.
	// A refusal after fewer says that something else was wrong, such as others who
	// use the key too; the wait that came with it is heeded, and no rate is guessed.
	MinEvidence = 20
)

// learned is a rate that a provider showed by refusing, in thousandths of a
// request a minute, so that a low one can rise slowly.
type learned struct {
	bucket
	base    int64 // the rate that was refused
	cut     int64 // when it last shrank
	stepped int64 // when it last changed, or a refusal came
	settled int64 // refusals before this instant belong to the last cut
}

// Refused tells of a 429: the rate was too high. What is allowed shrinks to 7/10
// of what was sent in the last minute, if that was MinEvidence requests at least,
// and grows again by 1/20 of that in every ten seconds in which something went and
// nothing was refused: it is back where it was refused after a minute, and is
// forgotten at twice that, or after an hour. Nothing goes before wait has passed,
// an hour at most; 0 where the provider did not say. Refusals of requests that
// went before the last one was known do not count again.
func (l *Limiter) Refused(now time.Time, wait time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.instant(now)
	l.block(t, wait)
	l.learned.stepped = t
	if rate := l.recent.minute(t); rate >= MinEvidence && t >= l.learned.settled {
		if l.limits.Requests > 0 {
			rate = min(rate, l.limits.Requests)
		}
		l.learned.shrink(t, rate*1000)
		l.learned.settled = max(t+int64(LearnInterval), l.blocked)
	}
	l.bounded.Store(true)
}

// block lets nothing go before wait has passed. A block is never shortened: what
// says less may be older.
func (l *Limiter) block(t int64, wait time.Duration) {
	l.blocked = max(l.blocked, t+int64(min(wait, MaxBlock)))
}

// shrink lowers the rate to 7/10 of the given one, or of what was allowed where
// that was less. It starts empty: what was refused has used up what there was.
func (a *learned) shrink(t, rate int64) {
	if a.n > 0 {
		rate = min(rate, a.n)
	}
	a.base = max(rate, MinLearned*1000)
	a.set(max(rate*7/10, MinLearned*1000))
	a.full, _ = a.span(a.burst)
	a.full += t
	a.cut = t
}

// recover raises the rate when enough time has passed, and forgets it when it is
// well above what was refused.
func (a *learned) recover(t int64) {
	if a.n == 0 || t-a.stepped < int64(LearnInterval) {
		return
	}
	a.stepped = t
	if a.n += max(a.base/20, 1); a.n >= 2*a.base || t-a.cut >= int64(time.Hour) {
		*a = learned{}
		return
	}
	a.set(a.n)
}

func (a *learned) set(n int64) { a.bucket.set(n, 1000*time.Minute, burst(0, n/1000)) }

// recent counts requests in slots of five seconds, of the last minute. Who comes
// in the instant at which a slot is begun anew may be lost: it is an estimate, and
// needs no lock.
type recent [12]struct{ slot, n atomic.Int64 }

const slotTime = int64(5 * time.Second)

func (r *recent) add(t, n int64) {
	slot := t / slotTime
	s := &r[uint64(slot)%uint64(len(r))]
	if was := s.slot.Load(); was != slot && s.slot.CompareAndSwap(was, slot) {
		s.n.Store(0)
	}
	s.n.Add(n)
}

// minute gives how many there were in the last minute.
func (r *recent) minute(t int64) (n int64) {
	slot := t / slotTime
	for i := range r {
		if r[i].slot.Load() > slot-int64(len(r)) {
			n += r[i].n.Load()
		}
	}
	return max(n, 0)
}
