package router

import (
	"sync"
	"sync/atomic"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// DefaultCanaryInterval lets one request in five seconds through to a held
// target: 18 clean ones, the most that it takes to call it well, take a minute
// and a half.
const DefaultCanaryInterval = 5 * time.Second

// holds keeps the holds in force.
type holds struct {
	any      atomic.Bool // there may be holds: where there are none, nobody takes the mutex
	mu       sync.Mutex
	interval time.Duration
	byTarget map[llm.Target]*standing
}

type standing struct {
	record.Hold
	canary time.Time // when the last canary went
	came   int       // requests since the share of Hold was set
	rests  time.Time // until when none goes
}

func newHolds(interval time.Duration) *holds {
	return &holds{interval: interval, byTarget: make(map[llm.Target]*standing)}
}

// place puts a hold in force, in place of one on the same target. The first
// canary waits a whole interval.
func (h *holds) place(hold record.Hold, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &standing{Hold: hold, canary: now}
	if old := h.byTarget[hold.Target]; old != nil {
		s.canary, s.rests = old.canary, old.rests
		if s.Share == old.Share {
			s.came = old.came
		}
	}
	h.byTarget[hold.Target] = s
	h.any.Store(true)
}

// rest has a held target get no canary until an instant.
func (h *holds) rest(target llm.Target, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.byTarget[target]; s != nil {
		s.rests = until
	}
}

// end takes a hold away and gives it, ended.
func (h *holds) end(target llm.Target, why string, now time.Time) (record.Hold, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.byTarget[target]
	if s == nil {
		return record.Hold{}, false
	}
	delete(h.byTarget, target)
	h.any.Store(len(h.byTarget) > 0)
	s.Ended, s.Ending = now, why
	return s.Hold, true
}

// on gives the hold in force on a target. One past its expiry holds nothing,
// even where whoever placed it has not ended it yet.
func (h *holds) on(target llm.Target, now time.Time) (record.Hold, bool) {
	if !h.any.Load() {
		return record.Hold{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.byTarget[target]
	if s == nil || !now.Before(s.Expires) {
		return record.Hold{}, false
	}
	return s.Hold, true
}

// standing gives the holds in force.
func (h *holds) standing(now time.Time) []record.Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []record.Hold
	for _, s := range h.byTarget {
		if now.Before(s.Expires) {
			all = append(all, s.Hold)
		}
	}
	return all
}

// takeCanary says whether this request may go to a held target all the same: one
// in each interval or, while its traffic comes back, its share by count, evenly.
func (h *holds) takeCanary(target llm.Target, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.byTarget[target]
	if s == nil || s.Source != record.ByAnomaly {
		return false
	}
	if s.Share > 0 {
		s.came++
		return s.came*s.Share/100 > (s.came-1)*s.Share/100
	}
	if now.Before(s.rests) || now.Sub(s.canary) < h.interval {
		return false
	}
	s.canary = now
	return true
}

// giveBack has the next request be the canary, since the one that was chosen at
// this instant could not be sent.
func (h *holds) giveBack(target llm.Target, chosen time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s := h.byTarget[target]; {
	case s == nil:
	case s.Share > 0:
		s.came--
	case s.canary.Equal(chosen):
		s.canary = chosen.Add(-h.interval)
	}
}
