package store_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

func mustSave(t *testing.T, s *store.Store, in *record.Incident, notices ...record.Notice) {
	t.Helper()
	if err := s.SaveIncident(t.Context(), in, notices); err != nil {
		t.Fatal(err)
	}
}

func pending(id record.ID, subject llm.Provider) record.Incident {
	return record.Incident{
		ID: id, Topic: record.TopicProvider, Severity: record.Critical, Subject: subject, State: record.Pending, Title: subject.Title() + " is failing", Began: noon,
		Timeline: []record.Event{{At: noon, Kind: "breaker", Text: "the breaker opened"}},
	}
}

func open(in record.Incident) record.Incident {
	in.State, in.Opened = record.Ongoing, in.Began.Add(time.Second)
	return in
}

func resolve(in record.Incident) record.Incident {
	in.State, in.Ended = record.Resolved, in.Began.Add(time.Minute)
	return in
}

func TestAnIncidentLivesThroughItsStates(t *testing.T) {
	s := mustRun(t)
	in := pending(1, llm.Gemini)
	mustSave(t, s, &in)
	check := func(name string, got []record.Incident, err error, want ...record.Incident) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, want)
		}
	}
	got, err := s.OpenIncidents(t.Context())
	check("pending", got, err, in)
	got, err = s.Incidents(t.Context(), noon, 0)
	check("nobody was told of a pending one", got, err)

	in = open(in)
	in.Timeline = append(in.Timeline, record.Event{At: in.Opened, Kind: "opened", Text: "a probe failed"})
	mustSave(t, s, &in)
	if in.Number != 1 {
		t.Errorf("number %d, want 1", in.Number)
	}
	in = resolve(in)
	in.Timeline = in.Timeline[:1]
	mustSave(t, s, &in)
	got, err = s.OpenIncidents(t.Context())
	check("none is open", got, err)
	got, err = s.Incidents(t.Context(), in.Ended, 0)
	check("resolved", got, err, in)
	got, err = s.Incidents(t.Context(), in.Ended.Add(time.Second), 0)
	check("over by then", got, err)
}

func TestAnIncidentKeepsAllThatIsKnownOfIt(t *testing.T) {
	s := mustRun(t)
	in := record.Incident{
		ID: 1, Topic: record.TopicBudget, Severity: record.Info, Subject: llm.Claude, Endpoint: "eu", Key: "main", Model: "m", Name: "team",
		State: record.Recovering, Title: "The budget team is spent fast", Began: noon, Opened: noon.Add(time.Second), Mitigated: noon.Add(2 * time.Second),
		Reopened: 2, Acknowledged: noon.Add(3 * time.Second), AcknowledgedBy: "ana", Silenced: true,
		Impact:   record.Impact{ServedBy: llm.Gemini, Rerouted: 12, Failed: 3, Added: 1500 * time.Millisecond, Extra: 42},
		WriteUp:  "## What happened\n\nMuch.",
		Timeline: []record.Event{{At: noon, Kind: "update", Text: "I look at it.", By: "ana"}},
	}
	notice := record.Notice{ID: 9, Incident: 1, Channel: "ops", Kind: record.NoticeChanged, Text: "ana: I look at it.", Created: noon, NextTry: noon}
	mustSave(t, s, &in, notice)
	got, err := s.Incident(t.Context(), 1)
	if err != nil || !reflect.DeepEqual(got, in) {
		t.Errorf("got  %+v (%v)\nwant %+v", got, err, in)
	}
	notices, err := s.Notices(t.Context(), 1)
	if err != nil || !reflect.DeepEqual(notices, []record.Notice{notice}) {
		t.Errorf("notices %+v (%v), want %+v", notices, err, notice)
	}
}

func TestIncidentsOfDifferentThingsLastBesideEachOther(t *testing.T) {
	s := mustRun(t)
	first := record.Incident{Topic: record.TopicUsage, Severity: record.Info, Subject: llm.Gemini, State: record.Mitigated, Began: noon, Opened: noon}
	others := make([]record.Incident, 6)
	for i := range others {
		others[i] = first
		others[i].ID = record.ID(10 + i)
	}
	others[0].Topic, others[1].Subject, others[2].Endpoint, others[3].Key, others[4].Model, others[5].Name = record.TopicBudget, llm.Claude, "eu", "k", "m", "n"
	for i := range others {
		mustSave(t, s, &others[i])
	}
	first.ID = 1
	mustSave(t, s, &first)
	for i, state := range []record.IncidentState{record.Pending, record.Ongoing, record.Mitigated, record.Recovering} {
		again := first
		again.ID, again.Number, again.State = record.ID(20+i), 0, state
		if err := s.SaveIncident(t.Context(), &again, nil); !errors.Is(err, store.ErrConflict) {
			t.Errorf("another one that is %s: %v, want ErrConflict", state, err)
		}
	}
}

func TestSilencesAreGivenWhileTheyMatter(t *testing.T) {
	s := mustRun(t)
	window := record.Silence{
		ID: 1, Maintenance: true, Provider: llm.Gemini, Topic: record.TopicProvider, Reason: "new region", By: "ana",
		From: noon, Until: noon.Add(time.Hour),
	}
	ended := record.Silence{ID: 2, Reason: "a test", By: "ben", From: noon, Until: noon.Add(2 * time.Hour)}
	for _, q := range []record.Silence{window, ended} {
		if err := s.SaveSilence(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	ended.Ended, ended.EndedBy = noon.Add(time.Minute), "ana"
	if err := s.SaveSilence(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	for since, want := range map[time.Time][]record.Silence{
		noon: {ended, window}, noon.Add(time.Minute): {window}, noon.Add(time.Hour): nil,
	} {
		if got, err := s.Silences(t.Context(), since); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("since %s: got %+v (%v), want %+v", since, got, err, want)
		}
	}
	if last, err := s.LastID(t.Context()); err != nil || last != 2 {
		t.Errorf("the last ID is %d (%v), want that of the last silence", last, err)
	}
}

func TestIncidentNumbersCountWhatOpened(t *testing.T) {
	s := mustRun(t)
	dropped := pending(1, llm.Gemini)
	dropped.State, dropped.Ended = record.Dropped, noon
	mustSave(t, s, &dropped)
	first, second := open(pending(2, llm.Gemini)), open(pending(3, llm.Claude))
	mustSave(t, s, &first)
	mustSave(t, s, &second)
	again := first
	again.Number = 0
	mustSave(t, s, &again)
	if dropped.Number != 0 || first.Number != 1 || second.Number != 2 || again.Number != 1 {
		t.Errorf("numbers %d, %d, %d, %d; want 0, 1, 2, 1", dropped.Number, first.Number, second.Number, again.Number)
	}
	got, err := s.Incidents(t.Context(), noon, 1)
	if err != nil || !reflect.DeepEqual(got, []record.Incident{second}) {
		t.Errorf("got %+v (%v), want only the newest", got, err)
	}
}

func TestOneIncidentOfASubjectIsLiveAtATime(t *testing.T) {
	s := mustRun(t)
	first := open(pending(1, llm.Gemini))
	mustSave(t, s, &first)
	second := pending(2, llm.Gemini)
	notice := record.Notice{ID: 3, Incident: 2, Created: noon}
	if err := s.SaveIncident(t.Context(), &second, []record.Notice{notice}); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	if notices, err := s.Notices(t.Context(), 2); err != nil || len(notices) != 0 {
		t.Errorf("notices of the refused incident: %v (%v), want none", notices, err)
	}
	other := pending(4, llm.Claude)
	mustSave(t, s, &other)
	first = resolve(first)
	mustSave(t, s, &first)
	mustSave(t, s, &second)
}

func TestAnIncidentAndItsNoticesAreSavedTogetherOrNotAtAll(t *testing.T) {
	s := mustRun(t)
	in := open(pending(1, llm.Gemini))
	stray := record.Notice{ID: 2, Incident: 99, Created: noon}
	if err := s.SaveIncident(t.Context(), &in, []record.Notice{stray}); err == nil {
		t.Fatal("a notice of an unknown incident was saved")
	}
	if got, err := s.OpenIncidents(t.Context()); err != nil || len(got) != 0 || in.Number != 0 {
		t.Errorf("got %+v (%v) and number %d, want nothing", got, err, in.Number)
	}
}

func TestNoticesComeDueInOrder(t *testing.T) {
	s := mustRun(t)
	one, two := open(pending(1, llm.Gemini)), open(pending(2, llm.Claude))
	opened := record.Notice{ID: 10, Incident: 1, Channel: "ops", Kind: record.NoticeOpened, Created: noon}
	resolved := record.Notice{ID: 11, Incident: 1, Channel: "ops", Kind: record.NoticeResolved, Created: noon}
	other := record.Notice{ID: 12, Incident: 1, Channel: "mail", Kind: record.NoticeOpened, Created: noon}
	second := record.Notice{ID: 13, Incident: 2, Channel: "ops", Kind: record.NoticeOpened, Created: noon}
	mustSave(t, s, &one, opened, resolved, other)
	mustSave(t, s, &two, second)
	check := func(name string, now time.Time, want ...record.Notice) {
		t.Helper()
		got, err := s.PendingNotices(t.Context(), now, 0)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, want)
		}
	}
	save := func(n record.Notice) {
		t.Helper()
		if err := s.SaveNotice(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	check("the oldest for each incident and channel", noon, opened, other, second)

	opened.Attempts, opened.NextTry, opened.Error = 1, noon.Add(time.Minute), "slack: HTTP 500"
	save(opened)
	check("a delayed one holds back what follows it", noon, other, second)
	check("until it is due", noon.Add(time.Minute), opened, other, second)

	opened.Attempts, opened.Sent, opened.Receipt, opened.Error = 2, noon.Add(time.Minute), "1710417600.000100", ""
	save(opened)
	check("then the next one", noon, resolved, other, second)
	got, err := s.Notices(t.Context(), 1)
	if want := []record.Notice{opened, resolved, other}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
}

func TestASaveWaitsNoLongerThanItsContext(t *testing.T) {
	s := mustOpen(t, store.Options{}) // nobody runs the writer
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := pending(1, llm.Gemini)
	if err := s.SaveIncident(ctx, &in, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := s.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush: %v, want the context's error", err)
	}
}
