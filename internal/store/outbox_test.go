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

	for _, tt := range []struct {
		channel string
		want    store.Outbox
	}{
		{"ops", store.Outbox{Waiting: 3, Oldest: noon, LastSent: noon.Add(time.Second), Error: "HTTP 500"}},
		{"gone", store.Outbox{Waiting: 1, Oldest: noon.Add(time.Second)}},
		{"quiet", store.Outbox{Waiting: 1}},
		{"never", store.Outbox{}},
	} {
		if got, err := s.Outbox(t.Context(), tt.channel, noon); err != nil || got != tt.want {
			t.Errorf("%s: got %+v (%v), want %+v", tt.channel, got, err, tt.want)
		}
	}
	for until, want := range map[time.Duration][]record.Notice{0: {fresh}, time.Hour: {failed, fresh}} {
		if got, err := s.DueNotices(t.Context(), "ops", noon.Add(until), 0); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("due after %v: %+v (%v), want %+v", until, got, err, want)
		}
	}
	want := map[string]store.Outbox{
		"ops": {Waiting: 3, Oldest: noon}, "gone": {Waiting: 1, Oldest: noon.Add(time.Second)}, "quiet": {Waiting: 1},
	}
	if got, err := s.Waiting(t.Context(), noon); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("waiting %+v (%v), want %+v", got, err, want)
	}
	if got, err := s.Waiting(t.Context(), noon.Add(9*time.Hour)); err != nil || !got["quiet"].Oldest.Equal(noon) {
		t.Errorf("after the quiet hours %+v (%v)", got, err)
	}
	if n, err := s.CloseNotices(t.Context(), []string{"ops", "quiet"}, noon.Add(time.Hour), "no longer configured"); err != nil || n != 1 {
		t.Errorf("closed %d (%v)", n, err)
	}
	if got, err := s.Outbox(t.Context(), "gone", noon); err != nil || got.Waiting != 0 || !got.LastSent.IsZero() {
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
