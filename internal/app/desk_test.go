package app

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/web"
)

func TestTheDeskSpeaksInThePagesWords(t *testing.T) {
	other := errors.New("another")
	for name, c := range map[string]struct{ err, want error }{
		"unknown": {fmt.Errorf("incident 7: %w", store.ErrNotFound), web.ErrNotFound}, "over": {fmt.Errorf("incident 7: %w", alerts.ErrNotLasting), web.ErrOver},
		"ended": {alerts.ErrSilenceOver, web.ErrSilenceOver}, "another": {other, other}, "none": {nil, nil},
	} {
		if got := deskError(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTheDeskReadsTheRecord(t *testing.T) {
	h := startHouse(t, houseOptions{})
	now := time.Now().UTC()
	var last record.Incident
	for i, topic := range []record.Topic{record.TopicKey, record.TopicProvider, record.TopicKey} {
		last = record.Incident{
			ID: h.App.ids.Next(now), Topic: topic, Severity: record.Warning, Subject: llm.Claude, State: record.Resolved, Title: "Claude was failing",
			Began: now.Add(-time.Duration(5-i) * time.Hour), Opened: now.Add(-time.Hour), Ended: now.Add(-time.Minute),
			Timeline: []record.Event{{At: now, Kind: "update", Text: "It was the network.", By: "Ada"}},
		}
		if err := h.App.store.SaveIncident(t.Context(), &last, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []record.Silence{
		{ID: h.App.ids.Next(now), Maintenance: true, Provider: llm.Gemini, Reason: "Move", From: now.Add(-time.Hour), Until: now.Add(time.Hour)},
		{ID: h.App.ids.Next(now), Reason: "Quiet", From: now.Add(-time.Hour), Until: now.Add(time.Hour)},
	} {
		if err := h.App.store.SaveSilence(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	d := &incidentDesk{store: h.App.store, alerts: h.App.alerts, changed: h.App.changed}
	keys, err := d.Incidents(t.Context(), web.IncidentQuery{Topic: record.TopicKey}, 50)
	if err != nil || len(keys) != 2 || keys[0].Number != last.Number {
		t.Errorf("of keys: %+v, %v", keys, err)
	}
	if lasting, err := d.Incidents(t.Context(), web.IncidentQuery{State: web.StateNotOver}, 50); err != nil || len(lasting) != 0 {
		t.Errorf("not over: %+v, %v", lasting, err)
	}
	if over, err := d.Incidents(t.Context(), web.IncidentQuery{State: record.Resolved, Provider: llm.Claude}, 50); err != nil || len(over) != 3 {
		t.Errorf("resolved: %+v, %v", over, err)
	}
	if older, err := d.Incidents(t.Context(), web.IncidentQuery{Before: last.Number}, 1); err != nil || len(older) != 1 || older[0].Number != last.Number-1 {
		t.Errorf("older: %+v, %v", older, err)
	}
	if got, err := d.Incident(t.Context(), last.Number); err != nil || got.Incident.Timeline[0].By != "Ada" {
		t.Errorf("the last: %+v, %v", got, err)
	}
	if _, err := d.Incident(t.Context(), last.Number+1); !errors.Is(err, web.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	status, err := h.App.status.Status(t.Context())
	if err != nil || len(status.Maintenances) != 1 || status.Maintenances[0].Provider != llm.Gemini {
		t.Errorf("maintenances %+v, %v", status.Maintenances, err)
	}
}
