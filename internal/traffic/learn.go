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
	base    int64 // the pace that was refused in the end
	cut     int64 // when it last shrank
	stepped int64 // when it last changed, or a refusal came
	settled int64 // refusals before this instant belong to the last cut
}

// Refused tells of a 429: the rate was too high. Nothing goes before wait has
// passed, an hour at most; 0 where the provider did not say. If MinEvidence
// requests at least were sent in the last minute, what is allowed shrinks to 7/10
// of what the provider is known to take, as took tells. That may be far below the
// pace at which requests came in the end, and nobody knows which of the two it
// refused: so the rate doubles in every ten seconds in which something went and
// nothing was refused, up to 7/10 of the pace. From there it grows by 1/20 of the
// pace in such ten seconds: it is back where it was refused after a minute, and is
// forgotten at twice that, or after an hour. Refusals of requests that went before
// the last one was known do not count again.
//
// configured is the lowest limit of requests a minute that others keep for the
// same requests; 0 for none.
func (l *Limiter) Refused(now time.Time, wait time.Duration, configured int64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.instant(now)
	l.block(t, wait)
	l.learned.stepped = t
	l.restart = restart{n: 1, next: longAgo}
	if sent := l.recent.minute(t); sent >= MinEvidence && t >= l.learned.settled {
		l.learned.shrink(t, sent*1000, l.recent.pace(t)*1000, least(configured, l.limits.Requests)*1000)
		l.learned.settled = max(t+int64(LearnInterval), l.blocked)
	}
	l.bounded.Store(true)
}

// restart spaces what goes after a refusal. Whoever waited for its end would go at
// once, all together, and nearly all would be refused again. The nth request goes
// restartGap/n after the one before instead: so the pace grows by a factor of e
// in each restartGap, and few are under way when the next refusal comes.
type restart struct {
	n    int64 // 0 where nothing is spaced
	next int64 // nothing goes before this instant; longAgo until the first has gone
}

// A refusal takes a fraction of restartGap, and ten requests a second are reached
// within three of it. After restarted requests, or LearnInterval in which nobody
// was in a hurry, nothing is spaced any more.
const (
	restartGap = time.Second
	restarted  = 32
)

// step takes note of a request that goes.
func (r *restart) step(t int64) {
	idle := r.next != longAgo && t-r.next > int64(LearnInterval)
	if r.n == 0 || r.n == restarted || idle {
		*r = restart{next: longAgo}
		return
	}
	r.next = t + int64(restartGap)/r.n
	r.n++
}

// least gives the lower of two limits, of which 0 is none.
func least(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// block lets nothing go before wait has passed. A block is never shortened: what
// says less may be older.
func (l *Limiter) block(t int64, wait time.Duration) {
	l.blocked = max(l.blocked, t+int64(min(wait, MaxBlock)))
}

// shrink lowers the rate. It starts empty: what was refused has used up what there
// was. The pace up to which the rate doubles comes down with each refusal too, so
// that a provider that really counts by the minute refuses less and less.
func (a *learned) shrink(t, sent, pace, configured int64) {
	if limit := least(configured, a.n); limit > 0 {
		pace = min(pace, limit)
	}
	if a.n > 0 {
		pace = min(pace, a.base*7/10)
	}
	rate := a.took(t, sent, pace, configured)
	a.base = max(rate, pace, MinLearned*1000)
	a.set(max(rate*7/10, MinLearned*1000))
	a.full, _ = a.span(a.burst)
	a.full += t
	a.cut = t
}

// took gives how many requests a minute a provider is known to take that has
// refused one now, where so many were sent in the last minute.
func (a *learned) took(t, sent, pace, configured int64) int64 {
	switch {
	case a.n > 0: // it had nothing left then as now, so what it took between is what came in
		return min(sent*int64(time.Minute)/min(t-a.cut, int64(time.Minute)), a.n)
	case configured > 0: // which the operator knows, and no more than its burst went at once
		return pace
	}
	return sent // which may have been one burst, all that there is for a minute
}

// recover raises the rate when enough time has passed, and forgets it when it is
// well above what was refused.
func (a *learned) recover(t int64) {
	if a.n == 0 || t-a.stepped < int64(LearnInterval) {
		return
	}
	a.stepped = t
	if most := a.base * 7 / 10; a.n < most {
		a.n = min(2*a.n, most)
	} else {
		a.n += max(a.base/20, 1)
	}
	if a.n >= 2*a.base || t-a.cut >= int64(time.Hour) {
		*a = learned{}
		return
	}
	a.set(a.n)
}

func (a *learned) set(n int64) { a.bucket.set(n, 1000*time.Minute, burst(0, n/1000)) }

// recent counts requests in slots of five seconds, of the last minute. Who comes
// in the instant at which a slot is begun anew may be lost: it is an estimate, and
// needs no lock.
type recent [12]struct{ slot, n, first atomic.Int64 }

const slotTime = int64(5 * time.Second)

func (r *recent) add(t, n int64) {
	slot := t / slotTime
	s := &r[uint64(slot)%uint64(len(r))]
	if was := s.slot.Load(); was != slot && s.slot.CompareAndSwap(was, slot) {
		s.n.Store(0)
		s.first.Store(t)
	}
	s.n.Add(n)
}

// minute gives how many there were in the last minute.
func (r *recent) minute(t int64) int64 {
	n, _ := r.since(t, len(r))
	return n
}

// pace gives how many a minute there were in the end: since the first one of the
// last minute, or of the last two slots where that is more.
func (r *recent) pace(t int64) (most int64) {
	for _, slots := range [...]int{len(r), 2} {
		n, took := r.since(t, slots)
		most = max(most, n*int64(time.Minute)/max(took, int64(time.Second)))
	}
	return most
}

// since gives how many there were in the last slots, and how long ago the first
// of them was.
func (r *recent) since(t int64, slots int) (n, took int64) {
	slot := t / slotTime
	for i := range r {
		if s := &r[i]; s.slot.Load() > slot-int64(slots) && s.n.Load() != 0 {
			n += s.n.Load()
			took = max(took, t-s.first.Load())
		}
	}
	return max(n, 0), took
}
