package alerts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Together is how close the beginnings of several providers' troubles must be
// to have one cause, most likely near Breakwater: as the detector has it.
const Together = time.Minute

// everything is the subject of several providers' incident.
var everything = subject{topic: record.TopicEverything}

// place says which incident a signal about a provider as a whole acts on: its
// own, or that of several providers, which it joins where it is new in trouble.
func (m *Manager) place(of subject, s Signal) subject {
	e := m.stories[everything]
	if of.topic != record.TopicProvider || e == nil {
		return of
	}
	if !e.parts[of.provider] {
		if m.stories[of] != nil || !begins(s) {
			return of
		}
		e.join(of.provider, s.At, "is in trouble too.")
	}
	return everything
}

// gather makes one incident of the troubles of several providers, when they
// began together, or no provider is left. It says whether the story was taken
// into it.
func (m *Manager) gather(st *story, did step, at time.Time) bool {
	if st.Topic != record.TopicProvider || !st.troubled() || did == nothing {
		return false
	}
	var near, all []*story
	for of, o := range m.stories {
		if of.topic != record.TopicProvider || !o.troubled() || len(o.unknown) > 0 {
			continue
		}
		all = append(all, o)
		if o != st && !o.Silenced && o.Began.Sub(st.Began).Abs() <= Together {
			near = append(near, o)
		}
	}
	e := m.stories[everything]
	why := fmt.Sprintf("Confirmed: several providers got into trouble within %s, for one cause most likely.", lasted(Together))
	switch {
	case m.noneLeft(all, e):
		near, why = all, "No provider is left that is well."
	case len(near) == 0 || !st.State.Lasts() || m.covered(&st.Incident, nil, at):
		return false
	default:
		near = append(near, st)
	}
	m.takeIn(e, near, st, did, why, at)
	return true
}

// noneLeft says whether every provider that is in use is in trouble.
func (m *Manager) noneLeft(alone []*story, e *story) bool {
	in := map[llm.Provider]bool{}
	if e != nil {
		in = e.inTrouble()
	}
	for _, s := range alone {
		in[s.Subject] = true
	}
	return len(m.cfg.Providers) > 1 && !slices.ContainsFunc(m.cfg.Providers, func(p llm.Provider) bool { return !in[p] })
}

// takeIn ends the stories of single providers and goes on with that of several.
// st is the one that a signal just acted on, and did what it did.
func (m *Manager) takeIn(e *story, parts []*story, st *story, did step, why string, at time.Time) {
	slices.SortFunc(parts, func(a, b *story) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.Subject, b.Subject))
	})
	fresh := e == nil
	if fresh {
		e = begin(m.cfg.NextID(at), everything, at)
		e.of = len(m.cfg.Providers)
		m.stories[everything] = e
	}
	for _, o := range parts {
		told := o.State.Lasts() && (o != st || did != opened)
		e.takes(o)
		delete(m.stories, whole(o.Subject))
		switch {
		case told:
			o.add(record.Event{At: at, Kind: partEvent, Text: "It goes on as part of one incident with other providers."})
			o.resolve(record.Event{At: at, Text: "It is part of a larger incident now."})
			m.ended[whole(o.Subject)] = o
			m.toSave(o, m.notices(o, record.NoticeResolved, "", at))
		case o.kept:
			o.State, o.Ended, o.Opened = record.Dropped, at, time.Time{}
			m.toSave(o, nil)
		}
	}
	e.title()
	if !fresh {
		m.worsen(e, at)
		m.settle(everything, e, changed, at)
		return
	}
	did = e.opens(at, why)
	m.worsen(e, at)
	m.settle(everything, e, did, at)
}

// takes takes over what speaks against a provider's end.
func (s *story) takes(o *story) {
	for t := range o.open {
		s.open[t] = true
	}
	for t := range o.held {
		s.held[t] = true
	}
	for t := range o.found {
		s.found[t] = true
		s.foundAt[t] = o.foundAt[t]
	}
	for c := range o.raised {
		s.raised[c] = true
	}
	s.failing = s.failing || o.failing
	s.callers.now.failed += o.callers.now.failed
	s.callers.now.rerouted += o.callers.now.rerouted
	if s.callers.minute.Before(o.callers.minute) {
		s.callers.minute = o.callers.minute
	}
	if o.Began.Before(s.Began) && s.State == record.Pending && s.Began.Sub(o.Began) <= 2*Together {
		s.Began = o.Began
	}
	why := "is in trouble too."
	for _, e := range o.Timeline {
		if e.Kind == "breaker" || e.Kind == "anomaly" || e.Kind == conditionEvent {
			why = "is in trouble: " + e.Text
		}
	}
	s.join(o.Subject, o.Began, why)
}

// join makes a provider part of several providers' incident.
func (s *story) join(p llm.Provider, at time.Time, why string) {
	if s.parts[p] {
		return
	}
	s.parts[p] = true
	s.add(record.Event{At: at, Kind: record.EventJoined, Text: p.Title() + " " + why})
}

// partWell says in several providers' incident that one of them has no trouble
// left, and who has. One that is well now and then is said once, with its last time.
func (s *story) partWell(p llm.Provider, at time.Time) {
	if s.Topic != record.TopicEverything {
		return
	}
	s.title()
	left := s.inTrouble()
	if left[p] || s.back[p] {
		return
	}
	s.add(record.Event{At: at, Kind: recoveredEvent, Text: s.wellNow([]string{p.Title()}, left)})
}

// wellNow says who is well again and who is not yet, in the place of what the
// timeline says of each of them.
func (s *story) wellNow(names []string, left map[llm.Provider]bool) string {
	s.Timeline = slices.DeleteFunc(s.Timeline, func(e record.Event) bool {
		return e.Kind == recoveredEvent && slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(e.Text, n+" is"+backAgain) })
	})
	var ill []string
	for _, p := range llm.Providers() {
		if left[p] {
			ill = append(ill, p.Title())
		}
	}
	return are(names) + backAgain + are(ill) + " not yet."
}

// are writes names with their verb.
func are(names []string) string {
	if len(names) > 1 {
		return list(names) + " are"
	}
	return list(names) + " is"
}

// several says in the title of several providers' incident whose trouble it is
// now, and at its end whose it was.
func (s *story) several() string {
	left := s.inTrouble()
	n := len(left)
	if n == 0 || s.State == record.Resolved {
		n = len(s.Parts())
	}
	switch {
	case n == 1:
		for p := range left {
			return p.Title() + " is"
		}
		return "One provider is"
	case n == s.of:
		return "Every provider is"
	case n < s.of:
		return fmt.Sprintf("%d of %d providers are", n, s.of)
	}
	return fmt.Sprintf("%d providers are", n)
}

// worsen makes an incident critical when no provider is left to serve.
func (m *Manager) worsen(s *story, at time.Time) {
	if !s.ofProviders() || !s.State.Lasts() || s.Severity == record.Critical || len(m.cfg.Providers) == 0 {
		return
	}
	broken := map[llm.Provider]bool{}
	for t := range s.open {
		broken[t.Provider] = true
	}
	for _, p := range m.cfg.Providers {
		if !broken[p] {
			return
		}
	}
	s.Severity = record.Critical
	s.tells(failingEvent, "No other provider is left that works.", at)
}

// wellParts tells of those that are well again while others are not, once that
// has lasted for as long as an incident must be well to be over. Where one alone
// is left, it goes on as that one's.
func (m *Manager) wellParts(e *story, now time.Time) {
	left := e.inTrouble()
	if len(left) == 0 || !e.State.Lasts() || e.State == record.Recovering {
		clear(e.calm)
		return
	}
	sure, names := 0, []string(nil)
	for _, p := range llm.Providers() {
		since, known := e.calm[p]
		switch {
		case !e.parts[p]:
		case left[p]:
			delete(e.calm, p)
		case !known:
			e.calm[p] = now
		case now.Sub(since) >= e.wellFor(m.cfg.WellFor, now):
			sure++
			if !e.back[p] {
				names = append(names, p.Title())
			}
		}
	}
	switch {
	case len(left) == 1 && sure == len(e.parts)-1:
		m.single(e, left, now)
	case len(names) > 0:
		e.areBack(names, left, now)
		m.settle(everything, e, changed, now)
	}
}

// areBack tells that some are well again.
func (s *story) areBack(names []string, left map[llm.Provider]bool, at time.Time) {
	e := record.Event{At: at, Kind: record.EventBack, Text: s.wellNow(names, left)}
	s.tells(e.Kind, e.Text, at)
	for _, p := range named(e) {
		s.back[p] = true
	}
}

// again tells that a provider is in trouble again of which people were told that
// it is well.
func (s *story) again(p llm.Provider, at time.Time) {
	if !s.back[p] {
		return
	}
	s.back[p] = false
	s.tells(againEvent, p.Title()+" is in trouble again.", at)
}

// backAgain follows the names of those that are well again, and their verb.
const backAgain = " well again; "

// named gives the providers of which an event says that they are well again, or
// in trouble.
func named(e record.Event) []llm.Provider {
	who, _, _ := strings.Cut(e.Text, ";")
	return slices.DeleteFunc(slices.Clone(llm.Providers()), func(p llm.Provider) bool { return !strings.Contains(who, p.Title()) })
}

// single goes on as one provider's incident when only that one is still in
// trouble.
func (m *Manager) single(e *story, left map[llm.Provider]bool, now time.Time) {
	for p := range left {
		if m.stories[whole(p)] != nil {
			return
		}
		e.Topic, e.Subject = record.TopicProvider, p
		e.title()
		e.tells(record.EventSingle, "The others are well again: it goes on as "+p.Title()+"'s.", now)
		delete(m.stories, everything)
		delete(m.ended, whole(p))
		m.stories[whole(p)] = e
		m.settle(whole(p), e, changed, now)
	}
}
