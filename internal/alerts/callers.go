package alerts

import (
	"time"

	"breakwater/internal/record"
)

const (
	// ServedFor is how long callers must have been served elsewhere, and none have
	// failed, until an incident counts as mitigated: long enough that a request
	// which found nobody would have shown.
	ServedFor = 15 * time.Second
	// TrickleLeast and TrickleShare say when callers' requests fail beyond a
	// trickle: that many of the last one to two minutes, and more than one in
	// TrickleShare. A single failure has a cause of its own more often than not.
	TrickleLeast = 3
	TrickleShare = 20
)

// tally counts what a trouble does to callers, over the last one to two
// minutes.
type tally struct {
	minute      time.Time
	now, before effects
	served      time.Time // the first that was served elsewhere since one failed
}

type effects struct{ failed, rerouted int64 }

// roll moves the minutes on.
func (t *tally) roll(at time.Time) {
	switch minute := at.Truncate(time.Minute); {
	case !minute.After(t.minute):
	case minute.Sub(t.minute) == time.Minute:
		t.minute, t.before, t.now = minute, t.now, effects{}
	default:
		t.minute, t.before, t.now = minute, effects{}, effects{}
	}
}

func (t *tally) note(g Signal) {
	t.roll(g.At)
	n := max(g.Requests, 1)
	if g.Kind == CallerFailed {
		t.now.failed += n
		t.served = time.Time{}
		return
	}
	t.now.rerouted += n
	if t.served.IsZero() {
		t.served = g.At
	}
}

// failing says whether callers' requests fail beyond a trickle.
func (t *tally) failing(at time.Time) bool {
	t.roll(at)
	failed, rerouted := t.now.failed+t.before.failed, t.now.rerouted+t.before.rerouted
	return failed >= TrickleLeast && failed*TrickleShare > failed+rerouted
}

// elsewhere says whether callers are served elsewhere, all of them, and were
// for a while.
func (t *tally) elsewhere(at time.Time) bool {
	t.roll(at)
	return !t.served.IsZero() && at.Sub(t.served) >= ServedFor && t.now.rerouted+t.before.rerouted > 0
}

// noticed takes a request that the trouble sent elsewhere, or failed.
func (s *story) noticed(g Signal) step {
	if g.At.Before(s.Began) {
		return nothing
	}
	s.callers.note(g)
	if s.State == record.Pending && len(s.unknown) == 0 && g.Kind == CallerFailed {
		s.say("breaker", g)
		return s.confirm(g)
	}
	return s.judge(g.At)
}

// judge moves a lasting incident by what callers notice of it.
func (s *story) judge(at time.Time) step {
	if s.State != record.Ongoing && s.State != record.Mitigated {
		return nothing
	}
	switch {
	case s.callers.failing(at):
		if s.State == record.Ongoing && s.Severity == record.Critical {
			return nothing
		}
		text := "Callers' requests fail: no other provider serves them all."
		if s.State == record.Mitigated {
			text = "Callers' requests fail again."
		}
		s.State, s.Severity = record.Ongoing, record.Critical
		s.tells(failingEvent, text, at)
	case s.State == record.Ongoing && s.callers.elsewhere(at):
		s.State = record.Mitigated
		text := "Callers are served elsewhere; none fails."
		if s.Mitigated.IsZero() {
			s.Mitigated = at
		}
		if s.Severity != record.Critical { // the opening said no worse
			s.figures = true
			s.add(record.Event{At: at, Kind: mitigatedEvent, Text: text})
			break
		}
		s.tells(mitigatedEvent, text, at)
	default:
		return nothing
	}
	return changed
}
