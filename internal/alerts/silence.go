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
		return by(i)
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

// knows says whether a channel was told of the outage that uses an error budget up:
// one trouble is one story, and nobody is paged for it twice.
func (m *Manager) knows(st *story, channel string, at time.Time) bool {
	return st.Topic == record.TopicErrorBudget && m.hurt.heard[channel] && at.Sub(m.hurt.at) <= SameFailures
}

// tellLate tells of an error budget that is used up still, long after the outage, who
// was not told of it on account of that.
func (m *Manager) tellLate(st *story, now time.Time) {
	if st.Topic != record.TopicErrorBudget || st.State != record.Ongoing || st.restored || st.Silenced {
		return
	}
	late := slices.DeleteFunc(m.route(&st.Incident, nil, record.NoticeOpened, "", now), func(n record.Notice) bool {
		return st.heard[n.Channel] || m.needless(st, n, now)
	})
	if len(late) == 0 {
		return
	}
	for _, n := range late {
		st.heard[n.Channel] = true
	}
	st.add(record.Event{At: now, Kind: silenceEvent, Text: "It lasts, and is told now."})
	m.toSave(st, late)
}

// unsilence tells of an incident whose silence ended while it lasts. One that is
// recovering is told when it comes back.
func (m *Manager) unsilence(st *story, now time.Time) {
	if !st.Silenced || st.State != record.Ongoing && st.State != record.Mitigated || m.covered(&st.Incident, st.parts, now) {
		return
	}
	st.Silenced, st.figures = false, true
	st.add(record.Event{At: now, Kind: silenceEvent, Text: "The silence is over, and the trouble lasts."})
	m.toSave(st, m.notices(st, record.NoticeOpened, "", now))
}
