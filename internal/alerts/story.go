package alerts

import (
	"fmt"
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
	// maxChanged bounds the notices of changes that one incident sends by
	// itself: after a few of them nobody reads the next.
	maxChanged = 6
)

// The kinds of event that tell of the incident itself and not of what happened
// to a provider.
const (
	openedEvent     = "opened"
	mitigatedEvent  = "mitigated"
	failingEvent    = "failing" // callers' requests fail again, or more than before
	recoveringEvent = "recovering"
	flappingEvent   = "flapping"
	reopenedEvent   = "reopened"
	resolvedEvent   = "resolved"
	figuresEvent    = "figures"
	partEvent       = "part"  // it became a part of a larger incident
	againEvent      = "again" // a part of it that was well is in trouble again
	recoveredEvent  = "recovered"
	returningEvent  = "returning" // traffic comes back in shares
)

// story is one incident in its life, with what still speaks against its end.
type story struct {
	record.Incident
	open   map[llm.Target]bool // breakers that are not closed
	held   map[llm.Target]bool
	found  map[llm.Target]bool // the detector's findings without a hold
	raised map[condition]bool  // the conditions that hold
	// unknown are the providers of which it is not known yet, after a restart,
	// whether their trouble lasts.
	unknown map[llm.Provider]bool
	parts   map[llm.Provider]bool      // of several providers' incident: whose trouble it is or was
	calm    map[llm.Provider]time.Time // since when a part of it has no trouble left
	back    map[llm.Provider]bool      // the parts of which people were told so
	of      int                        // providers that are in use

	foundAt map[llm.Target]time.Time // when a finding was last repeated
	lostAt  time.Time                // when the provider last said that the key or model is lost
	wordsAt time.Time                // when a condition's words were last kept
	failing bool                     // not only slow
	next    time.Time
	said    map[saidKey]said

	callers tally
	onsets  []time.Time // when it began and came back, within ReopenWithin
	well    time.Time   // since when it is recovering
	ending  string      // what is said at the end of it
	looked  time.Time   // when it was first looked at
	// restored says that it is from before a restart, and was not raised since.
	restored bool

	kept    bool            // it was, or is about to be, written
	heard   map[string]bool // the channels that were told of it, or are about to be
	news    []string        // that people are to be told of with the next save
	told    int             // of such news so far
	figures bool            // the next save adds a line of figures
}

// condition is one of Raised's that is about a provider as a whole.
type condition struct {
	target llm.Target
	name   string
}

type saidKey struct {
	kind   SignalKind
	target llm.Target
}

// said is what the timeline has of one kind of signal of one target.
type said struct {
	text  string
	times int
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
	case BreakerOpened, BreakerProbeFailed, HoldPlaced, KeyLost, ModelMissing, Raised:
		return true
	}
	return s.Kind == TroubleFound && s.Matters
}

func begin(id record.ID, of subject, at time.Time) *story {
	return newStory(record.Incident{
		ID: id, Topic: of.topic, Severity: record.Warning, Subject: of.provider, Endpoint: of.endpoint, Key: of.key, Model: of.model,
		Name: of.name, State: record.Pending, Began: at,
	})
}

func newStory(i record.Incident) *story {
	return &story{
		Incident: i, open: map[llm.Target]bool{}, held: map[llm.Target]bool{}, found: map[llm.Target]bool{},
		raised: map[condition]bool{}, unknown: map[llm.Provider]bool{}, parts: map[llm.Provider]bool{}, said: map[saidKey]said{},
		calm: map[llm.Provider]time.Time{}, back: map[llm.Provider]bool{}, heard: map[string]bool{},
		foundAt: map[llm.Target]time.Time{},
	}
}

// restore takes up an incident from before a restart. Breakers and holds did
// not outlive it, so the next signal tells whether the trouble does.
func restore(i record.Incident) *story {
	s := newStory(i)
	s.kept, s.restored, s.failing = true, true, !strings.HasSuffix(i.Title, slowTitle)
	for _, p := range i.Parts() {
		s.parts[p] = true
		if i.State != record.Recovering {
			s.unknown[p] = true
		}
	}
	for _, e := range i.Timeline {
		switch e.Kind {
		case openedEvent, reopenedEvent:
			s.onsets = append(s.onsets, e.At)
		case flappingEvent:
			s.onsets = append(s.onsets, slices.Repeat([]time.Time{e.At}, FlapsFrom)...)
			s.told++
		case mitigatedEvent, failingEvent, record.EventSingle:
			s.told++
		case record.EventBack, againEvent:
			s.told++
			for _, p := range named(e) {
				s.back[p] = e.Kind == record.EventBack
			}
		}
	}
	return s
}

// ofProviders says whether it is about one provider as a whole, or several.
func (s *story) ofProviders() bool {
	return s.Topic == record.TopicProvider || s.Topic == record.TopicEverything
}

// apply takes one signal.
func (s *story) apply(g Signal) step {
	switch {
	case s.ofProviders():
		return s.applyWhole(g)
	case g.Kind == Raised || g.Kind == Cleared:
		return s.applyCondition(g)
	}
	return s.applyPart(g)
}

func (s *story) applyWhole(g Signal) step {
	switch g.Kind {
	case BreakerOpened:
		trouble(s, s.open, g.Target, "breaker", g)
		if len(s.held) > 0 {
			return s.confirm(g)
		}
	case BreakerProbeFailed:
		trouble(s, s.open, g.Target, "breaker", g)
		return s.confirm(g)
	case HoldPlaced:
		trouble(s, s.held, g.Target, "anomaly", g)
		return s.confirm(g)
	case TroubleFound:
		return s.finding(g)
	case TroubleEnded:
		return better(s, s.found, g.Target, g)
	case Raised:
		of := condition{g.Target, g.Name}
		if s.raised[of] {
			return nothing
		}
		trouble(s, s.raised, of, conditionEvent, g)
		return s.confirm(g)
	case Cleared:
		return better(s, s.raised, condition{g.Target, g.Name}, g)
	case CallerFailed, Rerouted:
		return s.noticed(g)
	case BreakerClosed:
		return better(s, s.open, g.Target, g)
	case HoldEnded:
		return better(s, s.held, g.Target, g)
	case TrafficReturned:
		if !s.held[g.Target] {
			return nothing
		}
		s.returning(g)
	case TargetServed:
		if !s.unknown[g.Provider] {
			return nothing
		}
		return better(s, s.found, g.Target, g)
	}
	return changed
}

// finding takes what the detector found and placed no hold for.
func (s *story) finding(g Signal) step {
	s.foundAt[g.Target] = g.At
	switch {
	case s.found[g.Target]:
		return nothing
	case g.Matters:
		trouble(s, s.found, g.Target, "anomaly", g)
	default:
		s.say("anomaly", g)
	}
	return s.confirm(g)
}

// trouble notes what now speaks against the incident's end.
func trouble[K comparable](s *story, of map[K]bool, which K, kind string, g Signal) {
	of[which] = true
	delete(s.unknown, g.Provider)
	s.failing = s.failing || !g.Slow
	s.next = g.Next
	s.title()
	s.say(kind, g)
	s.again(g.Provider, g.At)
	s.returns(g.At)
}

// title says what is the matter, in a few words.
func (s *story) title() {
	who := s.Subject.Title() + " is"
	if s.Topic == record.TopicEverything {
		who = s.several()
	}
	s.Title = who + failingTitle
	if !s.failing {
		s.Title = who + slowTitle
	}
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
	case Raised:
		text = "Confirmed by what was measured."
		s.worse(g)
	}
	return s.opens(g.At, text)
}

// opens makes it an incident that people hear of.
func (s *story) opens(at time.Time, text string) step {
	s.State, s.Opened, s.figures = record.Ongoing, at, true
	if s.callers.failing(at) {
		s.Severity = record.Critical
	}
	s.onset(at)
	s.add(record.Event{At: at, Kind: openedEvent, Text: text})
	return opened
}

// better takes one trouble away, and the incident is recovering when it was the
// last one.
func better[K comparable](s *story, of map[K]bool, which K, g Signal) step {
	if !of[which] && !s.unknown[g.Provider] {
		return nothing
	}
	delete(of, which)
	delete(s.unknown, g.Provider)
	s.say(recoveredEvent, g)
	if s.troubled() {
		s.partWell(g.Provider, g.At)
		return changed
	}
	return s.wellAgain(g.At, "All is well again.")
}

// troubled says whether anything speaks against the incident's end.
func (s *story) troubled() bool {
	return len(s.open)+len(s.held)+len(s.found)+len(s.raised)+len(s.unknown) > 0
}

// inTrouble gives the providers whose trouble lasts.
func (s *story) inTrouble() map[llm.Provider]bool {
	all := map[llm.Provider]bool{}
	for _, of := range []map[llm.Target]bool{s.open, s.held, s.found} {
		for t := range of {
			all[t.Provider] = true
		}
	}
	for c := range s.raised {
		all[c.target.Provider] = true
	}
	for p := range s.unknown {
		all[p] = true
	}
	return all
}

// resolve ends an incident that was told of.
func (s *story) resolve(e record.Event) step {
	s.State, s.Ended, s.figures, s.news = record.Resolved, e.At, true, nil
	if s.Topic == record.TopicEverything {
		s.title()
	}
	e.Kind = resolvedEvent
	s.add(e)
	return resolved
}

// say adds a signal to the timeline. What it told of the same target since the
// incident opened, or came back, it tells anew with how often it came.
func (s *story) say(kind string, g Signal) {
	text := g.Text
	if text == "" {
		text = strings.ReplaceAll(string(g.Kind), "_", " ")
	}
	if g.Target != (llm.Target{}) {
		text = g.Target.String() + ": " + text
	}
	text = redact.Short(redact.Secrets(text), maxText)
	key, times := saidKey{g.Kind, g.Target}, 1
	if before, ok := s.said[key]; ok {
		if at := s.since(kind, before.text); at >= 0 {
			s.Timeline = slices.Delete(s.Timeline, at, at+1)
			times = before.times + 1
			text = fmt.Sprintf("%s (%d times)", text, times)
		}
	}
	s.said[key] = said{text, times}
	s.add(record.Event{At: g.At, Kind: kind, Text: text})
}

// returning says which share of its traffic a held target gets. The same share
// of the same target is said once, with its last time.
func (s *story) returning(g Signal) {
	text := redact.Short(redact.Secrets(g.Target.String()+": "+g.Text), maxText)
	s.Timeline = slices.DeleteFunc(s.Timeline, func(e record.Event) bool { return e.Kind == returningEvent && e.Text == text })
	s.add(record.Event{At: g.At, Kind: returningEvent, Text: text})
}

// since finds an event after the incident opened or came back; -1 where there
// is none.
func (s *story) since(kind, text string) int {
	for i := len(s.Timeline) - 1; i >= 0; i-- {
		switch e := s.Timeline[i]; {
		case e.Kind == kind && e.Text == text:
			return i
		case e.Kind == openedEvent, e.Kind == reopenedEvent:
			return -1
		}
	}
	return -1
}

func (s *story) add(e record.Event) {
	if len(s.Timeline) >= maxEvents {
		s.Timeline = slices.Delete(s.Timeline, keepFirst, keepFirst+1)
	}
	s.Timeline = append(s.Timeline, e)
}

// tells notes news that people should hear, unless they heard enough.
func (s *story) tells(kind, text string, at time.Time) {
	s.add(record.Event{At: at, Kind: kind, Text: text})
	s.figures = true
	if s.told < maxChanged {
		s.told++
		s.news = append(s.news, text)
	}
}

// snapshot gives the incident with a timeline of its own.
func (s *story) snapshot() record.Incident {
	i := s.Incident
	i.Timeline = slices.Clone(i.Timeline)
	return i
}
