package anomaly

import (
	"time"

	"breakwater/internal/llm"
)

// lastThatWorks is why the last target is not held.
const lastThatWorks = "no hold: this is the last target that still works"

// alone says that a provider is the last that works: breakers of all others opened
// within minutes, and none of them served anything since. What opened before that
// and is not asked any more counts no longer, since only requests could show that it
// is well, and there are none while this one serves, however badly.
func (w *Watcher) alone(p llm.Provider, now time.Time) bool {
	broken, known := w.count(now, func(other llm.Provider) bool {
		broke := w.ways[other].broke
		return other != p && !broke.IsZero() && now.Sub(broke) <= 2*w.cfg.Together
	})
	return known > 1 && broken == known-1
}

// served takes an answer. Where it shows that another provider is not the last that
// works any more, what that one failed meanwhile says nothing of it: it had
// everybody's requests, more than it may have room for.
func (w *Watcher) served(s Sample) {
	mine := w.ways[s.Target.Provider]
	if mine.broke.IsZero() || !s.began().After(mine.broke) {
		return
	}
	for p, way := range w.ways {
		if p != s.Target.Provider && w.alone(p, s.At) {
			way.back = s.At
			w.ways[p] = way
			w.detector.forgive(p, s.At)
		}
	}
	mine.broke = time.Time{}
	w.ways[s.Target.Provider] = mine
}

// excused says that an attempt failed that was under way while its provider was out
// of reach by this side's fault, or the last that worked: it may wait out its
// deadline, and end long after that.
func (w *Watcher) excused(s Sample) bool {
	return s.Class.CountsAgainstTarget() && s.began().Before(w.ways[s.Target.Provider].back)
}
