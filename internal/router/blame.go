package router

import (
	"slices"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// A request may fail wherever it goes: a prompt that breaks every model, or a form
// that no server takes. Those who are not asked first get hardly anything but such
// requests, so that three in a row would open their breakers, however well they are,
// and the first one's trouble would leave everybody without an answer. The request is
// to blame where several providers failed it and nobody served it, though one of them
// works: it answers other callers. Where nobody is known to work, as when all are down
// or nobody else asks, each failure counts, and at once.

// doubts says that a request may be to blame for what an attempt at it came to, and
// not a target that fails it alone. The permit is to be settled when it is known
// whether somebody serves the request.
func (w *walk) doubts(a *attempt, f *llm.Failure) bool {
	return f.Class.MayBeOfRequest() && a.permit.resort == nil && !a.permit.b.callers.failsOthers(w.call.Caller) &&
		(w.failsElsewhere(a.target.Provider) || w.r.suspects.has(w.call.Caller))
}

// failsElsewhere says that another provider than this failed the request, and works.
func (w *walk) failsElsewhere(but llm.Provider) bool {
	return slices.ContainsFunc(w.trace.Attempts, func(a record.Attempt) bool {
		return a.Target.Provider != but && a.Class.MayBeOfRequest() && w.r.breaker(a.Target).works(w.call.Caller, time.Now())
	})
}

// blame settles what was left open: the breakers count it, unless several providers
// failed the request and nobody served it.
func (w *walk) blame(served bool) {
	if len(w.doubted) == 0 {
		return
	}
	everywhere := !served && w.trace.FailedElsewhere(w.doubted[0].target.Provider)
	if everywhere && w.failsElsewhere("") {
		w.r.suspects.note(w.call.Caller)
	}
	for _, d := range w.doubted {
		if everywhere {
			d.permit.neutral()
		} else {
			d.settle(d.failure)
		}
	}
	w.doubted = nil
}

// suspects are the callers whose requests lately failed everywhere, though somebody
// works. Whoever has taken over from that one may not have answered anybody yet.
type suspects struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (s *suspects) note(caller string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, at := range s.at {
		if now.Sub(at) >= servedLately {
			delete(s.at, c)
		}
	}
	s.at[caller] = now
}

func (s *suspects) has(caller string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known := s.at[caller]
	return known && time.Since(at) < servedLately
}
