package alerts

import (
	"fmt"
	"slices"
	"time"

	"breakwater/internal/record"
)

const (
	// DefaultWellFor is how long all must be well until an incident is over: two
	// of a breaker's recovery timeouts, in which a half recovered provider would
	// have failed again.
	DefaultWellFor = 2 * time.Minute
	// MaxWellFor caps that time, which doubles each time the trouble comes back.
	MaxWellFor = 15 * time.Minute
	// ReopenWithin is how long after its end an incident goes on when its trouble
	// comes back: who was just told of the end remembers it still.
	ReopenWithin = 30 * time.Minute
	// FlapsFrom is how often trouble comes within ReopenWithin until it is called
	// flapping: the third time is no accident.
	FlapsFrom = 3
)

// wellAgain begins the recovery, when nothing speaks against the end any more.
// Keys, models and conditions are certain: the first time they end at once.
func (s *story) wellAgain(at time.Time, text string) step {
	switch {
	case s.State == record.Pending:
		s.State, s.Ended = record.Dropped, at
		return dropped
	case s.State == record.Recovering:
		return changed
	case !s.ofProviders() && len(s.recent(at)) < 2:
		return s.resolve(record.Event{At: at, Text: text})
	}
	s.State, s.well, s.ending = record.Recovering, at, text
	clear(s.calm)
	if !s.flaps() {
		s.add(record.Event{At: at, Kind: recoveringEvent, Text: "Nothing is wrong any more; it is over when that lasts."})
	}
	return changed
}

// returns takes an incident that was recovering back: the trouble is there again.
func (s *story) returns(at time.Time) {
	if s.State != record.Recovering {
		return
	}
	s.State = record.Ongoing
	s.onset(at)
}

// onset notes that the trouble began or came back. What comes again and again
// is said once.
func (s *story) onset(at time.Time) {
	s.onsets = append(s.recent(at), at)
	n := len(s.onsets)
	if n < FlapsFrom {
		return
	}
	text := fmt.Sprintf("Flapping: it came %d times in %s.", n, lasted(at.Sub(s.onsets[0])))
	for i, e := range s.Timeline {
		if e.Kind == flappingEvent {
			s.Timeline = slices.Delete(s.Timeline, i, i+1)
			s.add(record.Event{At: at, Kind: flappingEvent, Text: text})
			return
		}
	}
	s.tells(flappingEvent, text, at)
}

// flaps says whether the timeline tells that it flaps.
func (s *story) flaps() bool {
	return slices.ContainsFunc(s.Timeline, func(e record.Event) bool { return e.Kind == flappingEvent })
}

// recent gives the onsets that still count.
func (s *story) recent(at time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(s.onsets), func(t time.Time) bool { return at.Sub(t) > ReopenWithin })
}

// wellFor is how long it must be well until it is over.
func (s *story) wellFor(first time.Duration, at time.Time) time.Duration {
	d := first
	for range len(s.recent(at)) - 1 {
		d *= 2
	}
	return max(first, min(d, MaxWellFor))
}

// look moves an incident on with time alone.
func (s *story) look(now time.Time, wellFor time.Duration) step {
	if s.looked.IsZero() {
		s.looked = now
	}
	switch {
	case s.State == record.Recovering && s.well.IsZero(): // from before a restart
		s.well, s.ending = now, "All is well again."
	case s.State == record.Recovering && now.Sub(s.well) >= s.wellFor(wellFor, now):
		return s.resolve(record.Event{At: now, Text: s.ending})
	case s.forgotten(now):
		return s.resolve(record.Event{At: now, Text: "It was not seen again since Breakwater was restarted."})
	case s.ofProviders():
		return s.judge(now)
	}
	return nothing
}

// reopen takes up an incident again that ended a short while ago, with what
// its trouble did since it came back.
func (s *story) reopen(again *story, at time.Time) {
	ended := s.Ended
	s.State, s.Ended, s.Title = record.Ongoing, time.Time{}, again.Title
	s.Acknowledged, s.AcknowledgedBy = time.Time{}, "" // whoever took it on may have gone
	s.Reopened++
	if again.Severity == record.Critical {
		s.Severity = record.Critical
	}
	s.open, s.held, s.found, s.raised, s.unknown = again.open, again.held, again.found, again.raised, again.unknown
	s.parts, s.callers, s.next, s.lostAt, s.failing = again.parts, again.callers, again.next, again.lostAt, again.failing
	s.foundAt, s.wordsAt, s.looked, s.of = again.foundAt, again.wordsAt, again.looked, again.of
	s.calm, s.back = again.calm, again.back
	s.add(record.Event{At: again.Began, Kind: reopenedEvent, Text: fmt.Sprintf("It came back %s after its end.", lasted(max(again.Began.Sub(ended), 0)))})
	for _, e := range again.Timeline {
		if e.Kind != openedEvent {
			s.add(e)
		}
	}
	s.said, s.figures = again.said, true
	s.onset(at)
	s.news = nil // the notice of the reopening says it
}
