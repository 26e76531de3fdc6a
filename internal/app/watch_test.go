package app

import (
	"strings"
	"testing"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// observed feeds the watch a second at a time and gives what it told, each with
// the second at which it came.
func observed(w *storeWatch, from int, seconds int, stats store.Stats) map[int]alerts.Signal {
	told := make(map[int]alerts.Signal)
	start := time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)
	for i := range seconds {
		for _, s := range w.look(stats, start.Add(time.Duration(from+i)*time.Second)) {
			told[from+i] = s
		}
	}
	return told
}

func TestARecordThatCannotBeWrittenIsToldOfAndSoIsItsEnd(t *testing.T) {
	w := &storeWatch{}
	if told := observed(w, 0, 60, store.Stats{Dropped: 2}); len(told) != 0 {
		t.Errorf("while all was well: %v", told)
	}
	full := store.Stats{Failing: true, LastError: "database or disk is full", Queued: 700, Dropped: 5}
	told := observed(w, 60, 90, full)
	first, again := told[75], told[135]
	if len(told) != 2 || first.Kind != alerts.Raised || again.Kind != alerts.Raised {
		t.Fatalf("told %v, want it after 15 s and a minute later", told)
	}
	for _, part := range []string{"disk is full", "700 rows wait", "3 are lost", "Requests are served"} {
		if !strings.Contains(first.Text, part) {
			t.Errorf("%q does not say %q", first.Text, part)
		}
	}
	if first.Topic != record.TopicRecord || first.Name == "" || first.Title == "" || first.Severity != record.Critical {
		t.Errorf("raised as %+v", first)
	}
	if lasted := 15 * time.Second; again.At.Sub(first.At) != time.Minute+lasted {
		t.Errorf("raised as of %v and %v, want it as of when it began", first.At, again.At)
	}
	end := observed(w, 150, 5, store.Stats{Dropped: 5})[150]
	if end.Kind != alerts.Cleared || end.Topic != first.Topic || end.Name != first.Name || !strings.Contains(end.Text, "3 rows are lost") {
		t.Errorf("ended with %+v", end)
	}
	if told := observed(w, 155, 60, store.Stats{Dropped: 5}); len(told) != 0 {
		t.Errorf("after the end: %v", told)
	}
}

func TestAMomentsTroubleOfTheRecordIsNotTold(t *testing.T) {
	w := &storeWatch{}
	for i := range 5 {
		if told := observed(w, 100*i, 10, store.Stats{Failing: true, LastError: "database is locked"}); len(told) != 0 {
			t.Errorf("told %v", told)
		}
		if told := observed(w, 100*i+10, 10, store.Stats{}); len(told) != 0 {
			t.Errorf("the end of what nobody heard of: %v", told)
		}
	}
}

func TestTheJournalsTroubleIsItsOwn(t *testing.T) {
	w := &storeWatch{}
	journal := observed(w, 0, 20, store.Stats{JournalFailing: true, JournalError: "no space left on device"})[15]
	if journal.Kind != alerts.Raised || journal.Severity != record.Warning || !strings.Contains(journal.Text, "no space left") {
		t.Fatalf("raised as %+v", journal)
	}
	database := observed(w, 20, 20, store.Stats{JournalFailing: true, Failing: true})
	if len(database) != 1 || database[35].Name == journal.Name || database[35].Severity != record.Warning { // nothing is lost yet
		t.Errorf("the database's: %v", database)
	}
}

func TestAFileThatCannotBeReadIsATroubleOfItsOwn(t *testing.T) {
	w := &storeWatch{}
	damaged := store.Stats{Damage: "database disk image is malformed"}
	s := observed(w, 0, 20, damaged)[15]
	if s.Title != "Part of the record cannot be read" || s.Kind != alerts.Raised || s.Severity != record.Warning || !strings.Contains(s.Text, damaged.Damage) {
		t.Fatalf("raised as %+v", s)
	}
	full := damaged
	full.Failing, full.LastError = true, "database or disk is full"
	told := observed(w, 20, 20, full)
	if len(told) != 1 || told[35].Name == s.Name || !strings.Contains(told[35].Text, "disk is full") {
		t.Errorf("that it cannot be written either is told as %+v", told)
	}
	if end := observed(w, 40, 1, store.Stats{Failing: true})[40]; end.Kind != alerts.Cleared || end.Name != s.Name || !strings.Contains(end.Text, "read again") {
		t.Errorf("ended with %+v", end)
	}
}
