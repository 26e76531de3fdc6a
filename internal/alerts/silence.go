package alerts

import (
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
