package anomaly

import (
	"time"

	"breakwater/internal/record"
)

const (
	// everywhereFor is for how long it is remembered of a caller that a request of
	// its own failed everywhere: where such requests are seldomer than that, hardly
	// one of them is under way with another.
	everywhereFor = time.Minute
	// maxTold bounds the failures remembered whose requests are under way: hardly a
	// house has as many requests at once.
	maxTold = 4096
)

// told knows the failures that were told of at once, while nobody knew whether the
// request fails everywhere, and so says nothing of who failed it first.
type told struct {
	failures   map[record.ID]toldFailure
	everywhere map[string]time.Time // when a request of a caller last did
}

// toldFailure is one of them. What was weighed counts, unless it was taken back.
type toldFailure struct {
	sample          Sample
	weighed, counts bool
}

func newTold() told {
	return told{failures: map[record.ID]toldFailure{}, everywhere: map[string]time.Time{}}
}

// Failed takes a request whose first attempt failed, and which goes on. Where the
// caller's requests fail everywhere these days, its end tells whether that counts.
func (w *Watcher) Failed(t *record.Trace) {
	s := SampleOf(t, 0)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told.failures) >= maxTold { // nothing of what was told is taken back
		clear(w.told.failures)
	}
	count := !w.suspected(s)
	w.told.failures[t.ID] = toldFailure{sample: s, weighed: count, counts: count}
	w.heard(s)
	if count {
		w.weigh(s)
	}
}

// Ended takes the attempts of a request that is over. Where the caller's requests
// fail everywhere these days, one that somebody serves after all says nothing of
// several who failed it, either: what breaks them ends while some are under way.
func (w *Watcher) Ended(t *record.Trace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range t.Attempts {
		s := SampleOf(t, i)
		if s.Everywhere {
			w.suspect(s)
		}
		s.Everywhere = s.Everywhere || w.suspected(s) && failsElsewhere(t, i)
		if !t.Attempts[i].Told {
			w.observe(s)
			continue
		}
		f, known := w.told.failures[t.ID]
		delete(w.told.failures, t.ID)
		switch {
		case !known:
		case f.counts && s.Everywhere:
			w.detector.takeBack(s)
		case !f.counts && !(f.weighed && s.Everywhere):
			w.weigh(s)
		}
	}
}

// suspected says that a request of a sample's caller failed everywhere lately.
func (w *Watcher) suspected(s Sample) bool {
	last, known := w.told.everywhere[s.Caller]
	return known && s.At.Sub(last) <= everywhereFor
}

// suspect takes note that a request of a caller failed everywhere: its others that
// are under way are likely to, and do not count until that is known.
func (w *Watcher) suspect(s Sample) {
	if s.Caller == "" { // anybody's
		return
	}
	for caller, at := range w.told.everywhere {
		if s.At.Sub(at) > everywhereFor {
			delete(w.told.everywhere, caller)
		}
	}
	w.told.everywhere[s.Caller] = s.At
	for id, f := range w.told.failures {
		if f.counts && f.sample.Caller == s.Caller {
			w.detector.takeBack(f.sample)
			f.counts = false
			w.told.failures[id] = f
		}
	}
}
