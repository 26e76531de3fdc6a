package alerts

import (
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/redact"
)

const (
	maxEvents = 100 // of a timeline; the oldest but the first ten go
	keepFirst = 10
	maxText   = 300 // bytes of one event
)

// story is one incident in its life, with what still speaks against its end.
type story struct {
	record.Incident
	open     map[llm.Target]bool // breakers that are not closed
	held     map[llm.Target]bool
	found    map[llm.Target]bool // the detector's findings without a hold
	foundAt  time.Time           // when one was last repeated
	restored bool                // from before a restart: whether the trouble lasts is not known yet
	failing  bool                // not only slow
	next     time.Time
	said     Signal    // the last that the timeline tells of
	lostAt   time.Time // when the provider last said that the key or model is lost
}

// step is what a signal did to a story.
type step int

const (
	nothing step = iota
	changed
	opened   // it is confirmed: tell
	resolved // it is over: tell
	dropped  // it was never confirmed: say nothing
)

// begins says whether a signal begins an incident where there is none. The
// others confirm one or end one.
func begins(s Signal) bool {
	switch s.Kind {
	case BreakerOpened, BreakerProbeFailed, HoldPlaced, KeyLost, ModelMissing:
		return true
	}
	return s.Kind == TroubleFound && s.Matters
}

func begin(id record.ID, of subject, at time.Time) *story {
	return &story{
		Incident: record.Incident{
			ID: id, Topic: of.topic, Severity: record.Warning, Subject: of.provider, Endpoint: of.endpoint, Key: of.key, Model: of.model,
			Name: of.name, State: record.Pending, Began: at,
		},
		open: map[llm.Target]bool{}, held: map[llm.Target]bool{}, found: map[llm.Target]bool{},
	}
}

// restore takes up an incident from before a restart. Breakers and holds did
// not outlive it, so the next signal tells whether the trouble does.
func restore(i record.Incident) *story {
	return &story{
		Incident: i, open: map[llm.Target]bool{}, held: map[llm.Target]bool{}, found: map[llm.Target]bool{}, restored: true,
		failing: !strings.HasSuffix(i.Title, slowTitle),
	}
}

// apply takes one signal.
func (s *story) apply(g Signal) step {
	if !s.Whole() {
		return s.applyPart(g)
	}
	switch g.Kind {
	case BreakerOpened:
		s.trouble(s.open, "breaker", g)
		if len(s.held) > 0 {
			return s.confirm(g)
		}
	case BreakerProbeFailed:
		s.trouble(s.open, "breaker", g)
		return s.confirm(g)
	case HoldPlaced:
		s.trouble(s.held, "anomaly", g)
		return s.confirm(g)
	case TroubleFound:
		s.foundAt = g.At
		switch {
		case s.found[g.Target]:
			return nothing
		case g.Matters:
			s.trouble(s.found, "anomaly", g)
		default:
			s.say("anomaly", g)
		}
		return s.confirm(g)
	case TroubleEnded:
		return s.better(s.found, g)
	case CallerFailed:
		if s.State != record.Pending || s.restored || g.At.Before(s.Began) {
			return nothing
		}
		s.say("breaker", g)
		return s.confirm(g)
	case BreakerClosed:
		return s.better(s.open, g)
	case HoldEnded:
		return s.better(s.held, g)
	case TargetServed:
		if !s.restored {
			return nothing
		}
		return s.better(nil, g)
	}
	return changed
}

// trouble notes what now speaks against the incident's end.
func (s *story) trouble(of map[llm.Target]bool, kind string, g Signal) {
	of[g.Target] = true
	s.restored = false
	s.failing = s.failing || !g.Slow
	s.Title = s.Subject.Title() + failingTitle
	if !s.failing {
		s.Title = s.Subject.Title() + slowTitle
	}
	s.next = g.Next
	s.say(kind, g)
}

// confirm opens a pending incident.
func (s *story) confirm(g Signal) step {
	if s.State != record.Pending {
		return changed
	}
	text := "Confirmed by the anomaly detector."
	switch g.Kind {
	case BreakerProbeFailed:
		text = "Confirmed: the first probe failed."
	case CallerFailed:
		text = "Confirmed: a caller's request failed."
	}
	s.State, s.Opened = record.Ongoing, g.At
	s.add(record.Event{At: g.At, Kind: "opened", Text: text})
	return opened
}

// better takes one trouble away, and ends the incident with the last one.
func (s *story) better(of map[llm.Target]bool, g Signal) step {
	if !of[g.Target] && !s.restored {
		return nothing
	}
	delete(of, g.Target)
	s.restored = false
	s.say("recovered", g)
	if len(s.open)+len(s.held)+len(s.found) > 0 {
		return changed
	}
	if s.State == record.Pending {
		s.State, s.Ended = record.Dropped, g.At
		return dropped
	}
	return s.resolve(g.At, "All is well again.")
}

// resolve ends an incident that was told of.
func (s *story) resolve(at time.Time, text string) step {
	s.State, s.Ended = record.Resolved, at
	s.add(record.Event{At: at, Kind: "resolved", Text: text})
	return resolved
}

// say adds a signal to the timeline. Of probes that fail one after the other
// it keeps the last.
func (s *story) say(kind string, g Signal) {
	again := s.said.Kind == g.Kind && s.said.Target == g.Target && g.Kind == BreakerProbeFailed
	s.said = g
	text := g.Text
	if text == "" {
		text = strings.ReplaceAll(string(g.Kind), "_", " ")
	}
	if g.Target != (llm.Target{}) {
		text = g.Target.String() + ": " + text
	}
	e := record.Event{At: g.At, Kind: kind, Text: redact.Short(redact.Secrets(text), maxText)}
	if last := len(s.Timeline) - 1; again && last >= 0 && s.Timeline[last].Kind == kind {
		s.Timeline[last] = e
		return
	}
	s.add(e)
}

func (s *story) add(e record.Event) {
	if len(s.Timeline) >= maxEvents {
		s.Timeline = slices.Delete(s.Timeline, keepFirst, keepFirst+1)
	}
	s.Timeline = append(s.Timeline, e)
}

// snapshot gives the incident with a timeline of its own.
func (s *story) snapshot() record.Incident {
	i := s.Incident
	i.Timeline = slices.Clone(i.Timeline)
	return i
}
