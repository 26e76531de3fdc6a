package web

import (
	"context"
	"slices"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// fakeDesk is a Desk that a test controls. It does what it is asked to its
// incidents and silences, and notes it.
type fakeDesk struct {
	mu        sync.Mutex
	incidents []record.Incident // newest first
	notices   []record.Notice
	draft     string
	alerts    Alerts
	err       error // of every action and every look
	testErr   error
	did       []string
	placed    []record.Silence
}

func (d *fakeDesk) Incidents(_ context.Context, q IncidentQuery, limit int) ([]record.Incident, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []record.Incident
	older := false
	for i := range d.incidents {
		if q.Before > 0 && !older {
			older = d.incidents[i].Number == q.Before
			continue
		}
		if matches(q, &d.incidents[i]) && len(found) < limit {
			found = append(found, d.incidents[i])
		}
	}
	return found, d.err
}

// matches says whether an incident is asked for.
func matches(q IncidentQuery, in *record.Incident) bool {
	state := q.State == "" || q.State == in.State || q.State == StateNotOver && in.State.Lasts()
	return state && in.Number > 0 && (q.Topic == "" || q.Topic == in.Topic) &&
		(q.Provider == "" || q.Provider == in.Subject) && (q.Severity == "" || q.Severity == in.Severity)
}

func (d *fakeDesk) Incident(_ context.Context, number int64) (IncidentDetail, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find(number)
	if err != nil {
		return IncidentDetail{}, err
	}
	return IncidentDetail{Incident: *in, Notices: d.notices, Draft: d.draft}, nil
}

func (d *fakeDesk) find(number int64) (*record.Incident, error) {
	i := slices.IndexFunc(d.incidents, func(in record.Incident) bool { return in.Number == number })
	switch {
	case d.err != nil:
		return nil, d.err
	case i < 0:
		return nil, ErrNotFound
	}
	return &d.incidents[i], nil
}

func (d *fakeDesk) Alerts(context.Context) (Alerts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alerts, d.err
}

// on lets an action do something to an incident.
func (d *fakeDesk) on(number int64, what string, lasting bool, do func(*record.Incident)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := d.find(number)
	switch {
	case err != nil:
		return err
	case lasting && !in.State.Lasts():
		return ErrOver
	}
	d.did = append(d.did, what)
	do(in)
	return nil
}

func (d *fakeDesk) Acknowledge(_ context.Context, number int64, by string) error {
	return d.on(number, "acknowledge by "+by, true, func(in *record.Incident) { in.Acknowledged, in.AcknowledgedBy = testNow, by })
}

func (d *fakeDesk) Comment(_ context.Context, number int64, by, text string) error {
	return d.on(number, "comment by "+by+": "+text, false, func(in *record.Incident) {
		in.Timeline = append(in.Timeline, record.Event{At: testNow, Kind: "update", Text: text, By: by})
	})
}

func (d *fakeDesk) ResolveByHand(_ context.Context, number int64, by, text string) error {
	return d.on(number, "resolve by "+by+": "+text, true, func(in *record.Incident) { in.State, in.Ended = record.Resolved, testNow })
}

func (d *fakeDesk) WriteUp(_ context.Context, number int64, text string) error {
	return d.on(number, "write-up: "+text, false, func(in *record.Incident) { in.WriteUp = text })
}

func (d *fakeDesk) Silence(_ context.Context, s record.Silence) (record.Silence, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return s, d.err
	}
	s.ID = record.At(testNow)
	d.placed = append(d.placed, s)
	d.alerts.Silences = append(d.alerts.Silences, s)
	return s, nil
}

func (d *fakeDesk) EndSilence(_ context.Context, id record.ID, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.alerts.Silences {
		if s := &d.alerts.Silences[i]; s.ID == id {
			s.Ended, s.EndedBy = testNow, by
			d.did = append(d.did, "end silence by "+by)
			return nil
		}
	}
	return ErrNotFound
}

func (d *fakeDesk) Test(_ context.Context, channel string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.did = append(d.did, "test "+channel)
	return d.testErr
}

// done gives what was asked of the desk so far.
func (d *fakeDesk) done() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.did)
}

// busyDesk has incidents in every state, notices, channels and silences.
func busyDesk() *fakeDesk {
	open := degraded().Incidents[2]
	open.Topic, open.Severity, open.State = record.TopicProvider, record.Warning, record.Mitigated
	open.Mitigated = open.Began.Add(68 * time.Second)
	open.Acknowledged, open.AcknowledgedBy, open.Reopened = testNow.Add(-4*time.Minute), "Ada", 1
	open.Impact = record.Impact{ServedBy: llm.Gemini, Rerouted: 1204, Added: 312 * time.Millisecond, Extra: 4_200_000_000}
	open.Timeline[2].At = open.Began.Add(3 * time.Minute)
	open.Timeline = append(open.Timeline,
		record.Event{At: testNow.Add(-4 * time.Minute), Kind: "acknowledged", Text: "Ada took it on."},
		record.Event{At: testNow.Add(-3 * time.Minute), Kind: "update", By: "Ada", Text: "Anthropic’s status page reports elevated errors for Sonnet.\nNothing to do on our side; I watch it."})
	key := past(43, llm.Gemini, "Gemini's key main ····x7Qf is refused", 2*time.Hour, 0)
	key.Topic, key.Severity, key.State, key.Key, key.Ended, key.Silenced = record.TopicKey, record.Critical, record.Ongoing, "main", time.Time{}, true
	key.Impact = record.Impact{Failed: 37}
	everything := past(39, "", "Gemini, Claude and OpenAI are failing", 25*time.Hour, 21*time.Minute)
	everything.Topic, everything.Severity, everything.Reopened = record.TopicEverything, record.Critical, 3
	everything.Impact = record.Impact{Failed: 1812, Rerouted: 220, Added: 2 * time.Second, ServedBy: llm.Local}
	everything.WriteUp = "What happened\n\nThe office lost its uplink from 11:03 to 11:24 UTC. Requests went to Ollama, which could not take them all.\n\nWhat will be different\n\nA second uplink by the end of the month."
	budget := past(38, "", "The budget of search is spent faster than it allows", 27*time.Hour, 3*time.Hour)
	budget.Topic, budget.Severity, budget.Name = record.TopicBudget, record.Info, "search"
	slow := past(41, llm.OpenAI, "OpenAI is slow", 69*time.Hour, 8*time.Minute)
	slow.Topic, slow.Severity, slow.Impact = record.TopicProvider, record.Warning, record.Impact{Rerouted: 96, ServedBy: llm.Gemini}
	at := open.Opened
	return &fakeDesk{
		incidents: []record.Incident{open, key, everything, budget, slow},
		draft:     "Claude was failing from 11:51 UTC.\n\nNo request failed for its caller; 1,204 were served by Gemini.",
		notices: []record.Notice{
			{ID: 1, Channel: "slack", Kind: record.NoticeOpened, Created: at, Sent: at.Add(time.Second), Attempts: 1, Receipt: "1763812340.000200"},
			{ID: 2, Channel: "slack", Kind: record.NoticeChanged, Text: "callers are served by Gemini", Created: at.Add(20 * time.Second), Sent: at.Add(26 * time.Second), Attempts: 3, Receipt: "1763812340.000200"},
			{ID: 3, Channel: "on-call", Kind: record.NoticeOpened, Created: at, Attempts: 4, NextTry: testNow.Add(16 * time.Second), Error: "smtp mail.example.com:587: 421 4.7.0 Try again later"},
		},
		alerts: Alerts{
			Channels: []Channel{
				{Name: "slack", Kind: "slack", Where: "#llm-incidents", Sends: "critical and warning, at any hour", LastSent: testNow.Add(-8 * time.Minute)},
				{Name: "on-call", Kind: "email", Where: "oncall@example.com", Sends: "critical, quiet 22:00 to 07:00 Europe/Berlin", Waiting: 2, Oldest: testNow.Add(-20 * time.Minute), LastSent: testNow.Add(-75 * time.Hour), Error: "smtp mail.example.com:587: 421 4.7.0 Try again later"},
				{Name: "archive", Kind: "webhook", Where: "hooks.example.com"},
			},
			Silences: []record.Silence{
				{ID: 11, Maintenance: true, Provider: llm.Local, Reason: "New driver for the GPU", By: "Grace", From: testNow.Add(-20 * time.Minute), Until: testNow.Add(40 * time.Minute)},
				{ID: 12, Provider: llm.OpenAI, Topic: record.TopicThrottling, Reason: "The batch of the quarter runs", By: "Ada", From: testNow.Add(20 * time.Hour), Until: testNow.Add(26 * time.Hour)},
				{ID: 13, Reason: "Move of the data centre", By: "Ada", From: testNow.Add(-50 * time.Hour), Until: testNow.Add(-44 * time.Hour), Ended: testNow.Add(-46 * time.Hour), EndedBy: "Grace"},
			},
			Dropped: 3,
		},
	}
}

// maintainedStatus is a status with a provider under maintenance, and days
// with maintenance behind it.
func maintainedStatus() Status {
	s := well()
	s.Maintenances = []record.Silence{
		{ID: record.At(testNow.Add(-time.Hour)), Maintenance: true, Provider: llm.Local, Reason: "New driver for the GPU", By: "Grace", From: testNow.Add(-20 * time.Minute), Until: testNow.Add(40 * time.Minute)},
		{ID: record.At(testNow.Add(-2 * time.Hour)), Maintenance: true, Provider: llm.Gemini, Reason: "Move to another region", By: "Ada", From: testNow.Add(20 * time.Hour), Until: testNow.Add(26 * time.Hour)},
		{ID: 3, Maintenance: true, Provider: llm.Gemini, Reason: "Quota moved", By: "Ada", From: testNow.Add(-30 * 24 * time.Hour), Until: testNow.Add(-30*24*time.Hour + 3*time.Hour)},
	}
	local := &s.Providers[3]
	local.State, local.Breaker = Down, Breaker{State: record.Open, NextProbe: testNow.Add(20 * time.Second), Reason: "3 failures in a row, last: network trouble"}
	return s
}
