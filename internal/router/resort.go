package router

import (
	"errors"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// LastResort says where a target is tried all the same whose breaker is open.
type LastResort string

// The ways to treat it.
const (
	ResortNever LastResort = "never"
	// ResortFull tries it where somebody else could answer but has no room: the caller
	// would wait in line for that, or be refused.
	ResortFull LastResort = "full"
	// ResortAlways tries it also where nobody else could answer, of which the caller
	// would be told at once.
	ResortAlways LastResort = "always"
)

// LastResorts lists them.
func LastResorts() []LastResort { return []LastResort{ResortNever, ResortFull, ResortAlways} }

const (
	// resortPause lies between two last resorts that were not earned: one request a
	// second is no burden to a server that tries to come back. A shorter wait for
	// somebody else's room is better waited out.
	resortPause = time.Second
	// resortsEarned is how many more each answer lets through, so that a target that
	// answers one in three is sent all there is.
	resortsEarned = 3
	// mostResorts bounds what is saved up.
	mostResorts = 64
	// resortRest is for how long a target gets none after it kept a caller waiting,
	// who could have had a turn meanwhile.
	resortRest = DefaultRecoveryTimeout
)

// resorts says how many requests may go to a target whose breaker is open: one a
// second and one at a time until its first content, and more for each that the target
// answers. A breaker that chance has opened so costs little.
type resorts struct {
	mu     sync.Mutex
	earned int
	alone  bool      // one that was not earned has not begun to be answered
	last   time.Time // when that was sent
	rests  time.Time // until when none is sent
}

// resort is one request that is sent so.
type resort struct {
	of     *resorts
	earned bool
	begun  bool
}

// forget has the target earn its requests anew.
func (s *resorts) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earned = 0
}

// take gives leave for one request, of those that were earned or else without; nil
// for no.
func (s *resorts) take(now time.Time, earned, unearned bool) *resort {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case now.Before(s.rests):
		return nil
	case earned && s.earned > 0:
		s.earned--
		return &resort{of: s, earned: true}
	case unearned && !s.alone && now.Sub(s.last) >= resortPause:
		s.alone, s.last = true, now
		return &resort{of: s}
	}
	return nil
}

// unsent gives the leave back.
func (r *resort) unsent() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if r.earned {
		r.of.earned++
	} else {
		r.of.alone, r.of.last = false, time.Time{}
	}
}

// begins takes note that the first content has come.
func (r *resort) begins() {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.begin()
}

func (r *resort) begin() {
	if !r.earned && !r.begun {
		r.of.alone = false
	}
	r.begun = true
}

// over takes note of how the request went. It earns by whole answers: a target that
// begins them all and ends none is none to send more to.
func (r *resort) over(err error) {
	s := r.of
	s.mu.Lock()
	defer s.mu.Unlock()
	r.begin()
	gain := 0
	switch {
	case err == nil:
		gain = resortsEarned
	case errors.Is(err, errNeutral) && r.earned:
		gain = 1
	case classOf(err) == llm.Timeout:
		s.earned, s.rests = 0, time.Now().Add(resortRest)
	}
	s.earned = min(s.earned+gain, mostResorts)
}

// resortable says whether a target whose breaker is open may be tried now. Each
// request tries one.
func (w *walk) resortable() bool {
	how := w.r.lastResort
	switch {
	case w.resorted:
		return false
	case w.busy:
		return how != ResortNever && (w.wait == 0 || w.wait > resortPause)
	}
	return how == ResortAlways && len(w.failures) == 0
}

// resort tries a target whose breaker is open. The breaker never hears how it went.
// Who stands in line risks no place: what is not earned is for newcomers, and what is
// earned for the line first.
func (w *walk) resort(i int, now time.Time, turn bool) (grant, bool) {
	c, out := &w.plan.candidates[i], &w.plan.outcome[i]
	if out.Verdict != record.VerdictBreakerOpen && out.Verdict != record.VerdictBreakerProbing {
		return grant{}, false
	}
	if hold, held := w.r.holds.on(c.target, now); held && hold.Source == record.ByOperator {
		return grant{}, false
	}
	b := w.r.breaker(c.target)
	if w.busy && b.hangs() {
		return grant{}, false
	}
	one := b.resorts.take(now, !w.behind, !turn)
	if one == nil {
		return grant{}, false
	}
	w.asked = i
	leave, _ := c.admit(w.estimate)
	if leave == nil {
		one.unsent()
		return grant{}, false
	}
	out.Verdict, out.Detail = "", ""
	w.resorted = true
	w.plan.asked.Or(1 << i)
	b.busy.Add(1)
	return grant{i: i, leave: leave, permit: &permit{b: b, caller: w.call.Caller, resort: one, done: one.over}}, true
}

// hangs says that the breaker's last failure kept its caller waiting.
func (b *breaker) hangs() bool {
	last := b.last.Load()
	return last != nil && last.failure.Class == llm.Timeout
}
