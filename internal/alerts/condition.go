package alerts

import (
	"cmp"
	"slices"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/redact"
)

const (
	// ConditionGrace is how long a condition from before a restart may take to
	// be raised again. Whoever measures it needs a few minutes of traffic.
	ConditionGrace = 5 * time.Minute
	// wordsEvery bounds how often new words of a condition are written.
	wordsEvery = time.Minute
)

// conditionEvent tells what holds; raised again with new words it tells those.
const conditionEvent = "condition"

// applyCondition takes that a condition holds, or does no longer. Who raises
// it is certain, so nothing is pending.
func (s *story) applyCondition(g Signal) step {
	text := redact.Short(redact.Secrets(g.Text), maxText)
	if g.Kind == Cleared {
		return s.wellAgain(g.At, cmp.Or(text, "It is over."))
	}
	title := s.Title
	s.Title, s.next = cmp.Or(redact.Short(g.Title, maxText), s.Title, string(g.Topic)), g.Next
	s.restored = false
	if s.State == record.Pending {
		s.Severity = cmp.Or(g.Severity, record.Warning)
		s.State, s.Opened, s.figures, s.wordsAt = record.Ongoing, g.At, true, g.At
		s.onset(g.At)
		s.add(record.Event{At: g.At, Kind: conditionEvent, Text: text})
		return opened
	}
	back := s.State == record.Recovering
	s.returns(g.At)
	worse := s.worse(g)
	if worse {
		s.tells(failingEvent, "It is "+string(s.Severity)+" now: "+text, g.At)
	}
	if !back && !worse && s.Title == title && g.At.Sub(s.wordsAt) < wordsEvery {
		return nothing
	}
	s.wordsAt = g.At
	s.words(record.Event{At: g.At, Kind: conditionEvent, Text: text})
	return changed
}

// worse keeps the worst severity that a condition had. One that nobody was told of
// has the one of now, with which it may be told later.
func (s *story) worse(g Signal) bool {
	if s.Topic == record.TopicErrorBudget && len(s.heard) == 0 {
		s.Severity = cmp.Or(g.Severity, s.Severity)
		return false
	}
	all := record.Severities()
	if g.Severity == "" || slices.Index(all, g.Severity) >= slices.Index(all, s.Severity) {
		return false
	}
	s.Severity = g.Severity
	return true
}

// words puts new words of a condition in the place of those of before, the
// first excepted.
func (s *story) words(e record.Event) {
	first := slices.IndexFunc(s.Timeline, func(o record.Event) bool { return o.Kind == conditionEvent })
	for i := len(s.Timeline) - 1; i > first && first >= 0; i-- {
		if s.Timeline[i].Kind == conditionEvent {
			s.Timeline = slices.Delete(s.Timeline, i, i+1)
			break
		}
	}
	s.add(e)
}

// forgotten says whether a condition from before a restart was not raised again.
func (s *story) forgotten(now time.Time) bool {
	switch s.Topic {
	case record.TopicProvider, record.TopicEverything, record.TopicKey, record.TopicModel:
		return false
	}
	return s.State.Lasts() && s.restored && now.Sub(s.looked) >= ConditionGrace
}
