package alerts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// oneOf gives an incident of a topic as the rooms that find it tell it.
func oneOf(topic record.Topic) record.Incident {
	i := record.Incident{ID: 1, Number: 12, Topic: topic, Severity: record.Warning, State: record.Ongoing, Began: noon, Opened: noon}
	text := ""
	switch topic {
	case record.TopicProvider:
		i.Subject, i.Severity, i.Title = llm.Gemini, record.Critical, "Gemini is failing"
		text = "gemini/gemini-2.5-flash: 3 failures in a row, last: server error, HTTP 503"
	case record.TopicEverything:
		i.Severity, i.Title = record.Critical, "3 providers are failing at once"
		text = "Gemini, Claude and OpenAI got into trouble within 40 s: network"
	case record.TopicKey:
		return lostKey(record.KeyRevoked, "HTTP 401: API key expired.", "Gemini's key spare ····9f3c serves on.")
	case record.TopicModel:
		return missingModel()
	case record.TopicThrottling:
		i.Subject, i.Title = llm.OpenAI, "openai/gpt-4o takes less than it is sent"
		text = "OpenAI refused 38 of 120 requests in 5 min with 429, and takes 60 requests a minute where 500 are configured."
	case record.TopicErrorBudget:
		i.Severity, i.Name, i.Title = record.Critical, "availability", "The error budget for all requests is being used up"
		text = "2.1 % of the requests of the last hour failed; 99.9 % in 30 days are the objective. At this pace it is used up in 2 days."
	case record.TopicBudget:
		i.Name, i.Title = "Gemini today", "The budget Gemini today will not last"
		text = "$1.90 of $2.50 is spent at 12:00 UTC; at this pace it is used up at 15:47 UTC."
	case record.TopicUsage:
		i.Severity, i.Name, i.Title = record.Info, "nightly", "The use of the caller nightly is unlike its past"
		text = "4,200,000 tokens in the last hour, usually 310,000 (z = 6.1)"
	case record.TopicRecord:
		i.Severity, i.Title = record.Critical, "The record cannot be written"
		text = "database or disk is full; 1,204 rows wait in memory"
	}
	i.Timeline = []record.Event{{At: noon, Kind: "raised", Text: text}}
	return i
}

// at3 gives an incident as it is at a kind of notice.
func at3(i record.Incident, kind record.NoticeKind) Message {
	m := Message{Kind: kind, Incident: i, URL: "https://breakwater.example"}
	switch kind {
	case record.NoticeChanged:
		m.Text = "Worse: it is critical now."
		m.Incident.State, m.Incident.Mitigated = record.Mitigated, noon.Add(3*time.Minute)
		m.Impact = &record.Impact{ServedBy: llm.Claude, Rerouted: 1204, Failed: 2, Added: 820 * time.Millisecond, Extra: 420_000_000}
	case record.NoticeReopened:
		m.Incident.Reopened = 2
		m.Impact = &record.Impact{Failed: 1}
	case record.NoticeReminder:
		m.Incident.State = record.Recovering
	case record.NoticeResolved:
		m.Incident.State, m.Incident.Ended = record.Resolved, noon.Add(8*time.Minute)
		m.Impact = &record.Impact{ServedBy: llm.Claude, Rerouted: 1204, Failed: 2, Added: 820 * time.Millisecond, Extra: 420_000_000}
	}
	return m
}

// Each file is what somebody reads who was woken: one topic, each kind of notice.
func TestEveryTopicIsToldInFull(t *testing.T) {
	kinds := []record.NoticeKind{record.NoticeOpened, record.NoticeChanged, record.NoticeReopened, record.NoticeReminder, record.NoticeResolved}
	for _, topic := range record.Topics() {
		var b strings.Builder
		for _, kind := range kinds {
			m := at3(oneOf(topic), kind)
			fmt.Fprintf(&b, "=== %s\n%s\n\n%s\n\n%s\n", kind, m.headline(), m.summary(), m.plain())
			for _, l := range m.lines() {
				if strings.TrimSpace(l.text) == "" || strings.Contains(l.text, "  ") {
					t.Errorf("%s, %s: %s says %q", topic, kind, l.label, l.text)
				}
			}
		}
		golden(t, "topic-"+string(topic)+".txt", []byte(b.String()))
	}
}
