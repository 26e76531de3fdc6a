package anomaly

import (
	"fmt"
	"time"

	"breakwater/internal/llm"
)

// unreached is how many attempts in a row must not get through to a provider for
// it to count as out of reach: one failure is everyday life.
const unreached = 2

// reach is whether a provider's answers get here. Any answer shows that they do,
// be it an error.
type reach struct {
	failed int       // attempts in a row that did not get through
	began  time.Time // when the first of them ended
	cutOff bool      // a hold was not placed for that, with others out of reach
}

// reached takes an attempt that says something of the way to its provider. Once
// what was lost on this side is there again, what failed meanwhile says nothing.
func (w *Watcher) reached(s Sample) {
	r := w.ways[s.Target.Provider]
	switch s.Class {
	case llm.Network, llm.Timeout:
		if r.failed == 0 {
			r.began = s.At
		}
		r.failed++
	case "", llm.Server, llm.RateLimit, llm.Garbage:
		if r.cutOff {
			w.detector.clearAll(s.Target.Provider, s.At)
		}
		r = reach{}
	}
	w.ways[s.Target.Provider] = r
}

// common says why the trouble of a provider is probably this side's; "" where it
// is not. It remembers who was cut off, for reached to forgive.
func (w *Watcher) common(p llm.Provider, now time.Time) string {
	if out, known := w.cutOff(p, now); out >= 2 && 2*out > known {
		way := w.ways[p]
		way.cutOff = true
		w.ways[p] = way
		return fmt.Sprintf("no hold: %d of %d providers went out of reach at once, so the cause is probably on this side", out, known)
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
	mine := w.ways[as]
	return w.count(now, func(p llm.Provider) bool {
		way := w.ways[p]
		return mine.failed >= unreached && way.failed >= unreached && mine.began.Sub(way.began).Abs() <= w.cfg.Together
	})
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
