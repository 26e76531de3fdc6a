package store_test

import (
	"reflect"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

func TestTheOutboxOfAChannel(t *testing.T) {
	s := mustRun(t)
	one, two := open(pending(1, llm.Gemini)), open(pending(2, llm.Claude))
	sent := record.Notice{ID: 10, Incident: 1, Channel: "ops", Kind: record.NoticeOpened, Created: noon, Sent: noon.Add(time.Second), Attempts: 1}
	failed := record.Notice{ID: 11, Incident: 1, Channel: "ops", Kind: record.NoticeResolved, Created: noon, NextTry: noon.Add(time.Minute), Attempts: 3, Error: "HTTP 500"}
	fresh := record.Notice{ID: 12, Incident: 2, Channel: "ops", Kind: record.NoticeOpened, Created: noon}
	behind := record.Notice{ID: 13, Incident: 2, Channel: "ops", Kind: record.NoticeResolved, Created: noon}
	gone := record.Notice{ID: 14, Incident: 2, Channel: "gone", Kind: record.NoticeOpened, Created: noon.Add(time.Second)}
	held := record.Notice{ID: 15, Incident: 2, Channel: "quiet", Kind: record.NoticeOpened, Created: noon, NextTry: noon.Add(9 * time.Hour)}
	mustSave(t, s, &one, sent, failed)
	mustSave(t, s, &two, fresh, behind, gone, held)

	channels := []string{"quiet", "ops", "never", "gone"}
	for at, want := range map[time.Duration][]store.Outbox{
		0: {
			{Waiting: 1}, {Waiting: 3, Oldest: noon, LastSent: noon.Add(time.Second), Error: "HTTP 500"},
			{}, {Waiting: 1, Oldest: noon.Add(time.Second)},
		},
		9 * time.Hour: {
			{Waiting: 1, Oldest: noon}, {Waiting: 3, Oldest: noon, LastSent: noon.Add(time.Second), Error: "HTTP 500"},
			{}, {Waiting: 1, Oldest: noon.Add(time.Second)},
		},
	} {
		if got, err := s.Outboxes(t.Context(), channels, noon.Add(at)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("after %v: got %+v (%v), want %+v", at, got, err, want)
		}
	}
	if got, err := s.Outboxes(t.Context(), nil, noon); err != nil || len(got) != 0 {
		t.Errorf("of no channel: %+v (%v)", got, err)
	}
	for until, want := range map[time.Duration][]record.Notice{0: {fresh}, time.Hour: {failed, fresh}} {
		if got, err := s.DueNotices(t.Context(), "ops", noon.Add(until), 0); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("due after %v: %+v (%v), want %+v", until, got, err, want)
		}
	}
	if n, err := s.CloseNotices(t.Context(), []string{"ops", "quiet"}, noon.Add(time.Hour), "no longer configured"); err != nil || n != 1 {
		t.Errorf("closed %d (%v)", n, err)
	}
	if got, err := s.Outboxes(t.Context(), []string{"gone"}, noon); err != nil || len(got) != 1 || got[0].Waiting != 0 || !got[0].LastSent.IsZero() {
		t.Errorf("after its end: %+v (%v)", got, err)
	}
	if n, err := s.CloseNotices(t.Context(), nil, noon, "none is left"); err != nil || n != 4 {
		t.Errorf("closed %d (%v)", n, err)
	}
}

func TestIncidentsAreFoundByID(t *testing.T) {
	s := mustRun(t)
	told, never := open(pending(1, llm.Gemini)), pending(2, llm.Claude)
	never.State = record.Dropped
	mustSave(t, s, &told)
	mustSave(t, s, &never)
	got, err := s.IncidentsByID(t.Context(), []record.ID{1, 2, 99})
	if err != nil || len(got) != 2 || got[0].ID != 2 || got[1].ID != 1 || got[1].Number != 1 || got[0].Number != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := s.IncidentsByID(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%+v %v", got, err)
	}
}
