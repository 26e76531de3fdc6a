package alerts

import (
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// covered says whether a silence or a maintenance window keeps channels quiet
// about an incident. One of several providers is quiet when each of them is.
func (m *Manager) covered(i *record.Incident, parts map[llm.Provider]bool, at time.Time) bool {
	by := func(i *record.Incident) bool {
		for k := range m.silences {
			if m.silences[k].Covers(i, at) {
				return true
			}
		}
		return false
	}
	if by(i) || i.Topic != record.TopicEverything || len(parts) == 0 {
		return by(i) || m.knows(i, at)
	}
	for p := range parts {
		if !by(&record.Incident{Topic: record.TopicProvider, Subject: p}) {
			return false
		}
	}
	return true
}

// SameFailures is how long after an outage the error budget that it used up is no
// news: its faster rules look back for half an hour, and end ten minutes later.
const SameFailures = time.Hour

// hurt is when callers' requests last failed beyond a trickle in an incident of
// providers, and which channels were told of it.
type hurt struct {
	at    time.Time
	heard map[string]bool
}

// noteHurt notes that callers' requests fail, where people hear of it.
func (m *Manager) noteHurt(st *story, at time.Time) {
	if st.ofProviders() && st.State.Lasts() && !st.Silenced && st.callers.failing(at) {
		m.hurt = hurt{at, st.heard}
	}
}

// knows says whether every channel that would be told that the error budget is used
// up was told of the outage that does it: one trouble is one story, and nobody is
// paged for it twice.
func (m *Manager) knows(i *record.Incident, at time.Time) bool {
	if i.Topic != record.TopicErrorBudget || m.hurt.at.IsZero() || at.Sub(m.hurt.at) > SameFailures {
		return false
	}
	return !slices.ContainsFunc(m.cfg.Channels, func(c Channel) bool {
		return m.cfg.Routes[c.Name()].takes(i) && !m.hurt.heard[c.Name()]
	})
}

// unsilence tells of an incident whose silence ended while it lasts. One that is
// recovering is told when it comes back.
func (m *Manager) unsilence(st *story, now time.Time) {
	switch {
	case !st.Silenced, st.State != record.Ongoing && st.State != record.Mitigated, m.covered(&st.Incident, st.parts, now):
		return
	case st.restored && st.Topic == record.TopicErrorBudget:
		return // whether it lasts is not known yet
	}
	text := "The silence is over, and the trouble lasts."
	if st.Topic == record.TopicErrorBudget {
		text = "It lasts, and is told now."
	}
	st.Silenced, st.figures = false, true
	st.add(record.Event{At: now, Kind: silenceEvent, Text: text})
	m.toSave(st, m.notices(st, record.NoticeOpened, "", now))
}
