package anomaly

import (
	"fmt"
	"time"

	"breakwater/internal/llm"
)

// unreached is how many attempts in a row must not get through to a provider for
// it to count as out of reach: one failure is everyday life.
const unreached = 2

// setBack is how much earlier than an answered one began another may end: more is
// of a clock that was set back.
const setBack = 30 * time.Minute

// reach is whether a provider's answers get here, and whether it takes requests. Any
// answer shows that they get here, be it an error. Attempts are told of when they
// end, and those that were under way when the way broke may be answered long after
// others were lost, so that what counts is when they began.
type reach struct {
	answered time.Time            // when the latest that was answered began
	began    time.Time            // when the first of those that began since and were lost did
	lost     [unreached]time.Time // when those that were lost last did, the latest first
	cutOff   bool                 // it went out of reach with others, and no answer came since
	broke    time.Time            // when a breaker of its opened last; zero once it served what came later
	back     time.Time            // what began before and failed is excused
}

// out says that none gets through.
func (r *reach) out() bool { return r.lost[unreached-1].After(r.answered) }

// miss takes one that began then and did not get through.
func (r *reach) miss(at time.Time) {
	if !at.After(r.answered) {
		return
	}
	if !r.lost[0].After(r.answered) || at.Before(r.began) {
		r.began = at
	}
	for i, other := range r.lost {
		if at.After(other) {
			copy(r.lost[i+1:], r.lost[i:])
			r.lost[i] = at
			return
		}
	}
}

// hear takes one that began then and was answered, and says whether it shows that
// what was lost on this side is there again.
func (r *reach) hear(at time.Time) (again bool) {
	if !at.After(r.answered) {
		return false
	}
	r.answered = at
	if r.lost[0].After(at) { // those before it were another trouble
		if r.began.Before(at) {
			r.began = at
		}
		return false
	}
	again, r.cutOff = r.cutOff, false
	if again {
		r.back = at
	}
	return again
}

// reached takes an attempt that says something of the way to its provider. Once
// what was lost on this side is there again, what failed meanwhile says nothing.
// One that went silent halfway had got through.
func (w *Watcher) reached(s Sample) {
	p := s.Target.Provider
	if s.Class == "" {
		w.served(s)
	}
	r := w.ways[p]
	if r.answered.Sub(s.At) > setBack { // the clock was set back
		r = reach{}
	}
	switch {
	case s.Class == llm.Network || s.Class == llm.Timeout && s.TTFT == 0:
		r.miss(s.began())
		w.ways[p] = r
		w.noteCut(p, s.At)
	case s.Class == "" || s.Class == llm.Server || s.Class == llm.RateLimit || s.Class == llm.Garbage:
		again := r.hear(s.began())
		w.ways[p] = r
		if again {
			w.detector.forgive(p, s.At)
		}
	}
}

// noteCut remembers who went out of reach together with a provider: what they
// lose until they answer again says nothing of them.
func (w *Watcher) noteCut(as llm.Provider, now time.Time) {
	if out, known := w.cutOff(as, now); out < 2 || 2*out <= known {
		return
	}
	for p, way := range w.ways {
		if w.outWith(as, p) {
			way.cutOff = true
			w.ways[p] = way
		}
	}
}

// common says why the trouble of a provider is probably this side's, or why nobody
// would be served better elsewhere; "" where neither is so.
func (w *Watcher) common(p llm.Provider, now time.Time) string {
	if out, known := w.cutOff(p, now); out >= 2 && 2*out > known {
		return fmt.Sprintf("no hold: %d of %d providers went out of reach at once, so the cause is probably on this side", out, known)
	}
	if w.alone(p, now) {
		return lastThatWorks
	}
	if several, known := w.together(p, now); several >= 2 && known >= 3 {
		return fmt.Sprintf("no hold: %d of %d providers are in trouble at once, so the cause is probably on this side", several, known)
	}
	return ""
}

// cutOff counts the providers that went out of reach together with this one, and
// those with traffic. What this side lost is lost for all at once, while no test
// has had the requests that it needs.
func (w *Watcher) cutOff(as llm.Provider, now time.Time) (out, known int) {
	return w.count(now, func(p llm.Provider) bool { return w.outWith(as, p) })
}

// outWith says whether two providers went out of reach together.
func (w *Watcher) outWith(as, p llm.Provider) bool {
	mine, other := w.ways[as], w.ways[p]
	return mine.out() && other.out() && mine.began.Sub(other.began).Abs() <= w.cfg.Together
}

// together counts the providers whose trouble began with this one's and lasts,
// and those with traffic.
func (w *Watcher) together(as llm.Provider, now time.Time) (in, known int) {
	mine := w.trouble[as]
	return w.count(now, func(p llm.Provider) bool {
		t := w.trouble[p]
		return now.Sub(t.last) <= 2*w.cfg.Together && mine.began.Sub(t.began).Abs() <= w.cfg.Together
	})
}

// count counts the providers with traffic, and those of them that are such.
func (w *Watcher) count(now time.Time, such func(llm.Provider) bool) (some, known int) {
	for p, at := range w.seen {
		if now.Sub(at) > knownFor {
			continue
		}
		known++
		if such(p) {
			some++
		}
	}
	return some, known
}
