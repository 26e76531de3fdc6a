package store_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// testdata/schema2.sql is a dump of a database that Breakwater wrote before
// traces had keys: an ordinary trace, a canary, one that failed over and one
// that found no room for a word; a transition, a hold, and an open incident.

func TestADatabaseOfBeforeKeysIsReadAndGoesOn(t *testing.T) {
	dump, err := os.ReadFile("testdata/schema2.sql")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "old.db")
	old := raw(t, path)
	if _, err := old.Exec("PRAGMA application_id = 0x62726b77;" + string(dump)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	canary := served(2, noon)
	canary.Attempts[0].Canary = true
	overflow := served(4, noon)
	overflow.Asked = "a name too many"
	for _, want := range []*record.Trace{served(1, noon), canary, failedOver(3, noon), overflow} {
		if got, err := s.Trace(t.Context(), want.ID); err != nil || !reflect.DeepEqual(got, *want) {
			t.Errorf("got  %+v (%v)\nwant %+v", got, err, *want)
		}
	}
	hour := func() (requests, served int64, keys []store.KeyRollup) {
		t.Helper()
		rollups, err := s.Rollups(t.Context(), store.Hour, noon, noon.Add(time.Hour))
		if err != nil || len(rollups) == 0 || !rollups[0].Callers {
			t.Fatalf("the rollups of the hour: %+v, %v", rollups, err)
		}
		keys, err = s.KeyRollups(t.Context(), store.Hour, noon, noon.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return rollups[0].Served + rollups[0].Failed, rollups[0].Served, keys
	}
	if requests, served, keys := hour(); requests != 6 || served != 6 || len(keys) != 0 {
		t.Errorf("%d requests, %d served, keys %+v; want the 6 of before, and no keys", requests, served, keys)
	}
	incidents, err := s.OpenIncidents(t.Context())
	if err != nil || len(incidents) != 1 || incidents[0].Subject != llm.Gemini || !incidents[0].Whole() || len(incidents[0].Timeline) != 1 {
		t.Fatalf("open incidents %+v (%v), want the one of Gemini", incidents, err)
	}

	// A key's incident stands beside the provider's own, and a new trace beside the old ones.
	beside := record.Incident{ID: 20, Subject: llm.Gemini, Key: "main ····x7Qf", State: record.Ongoing, Title: "a key", Began: noon}
	if err := s.SaveIncident(t.Context(), &beside, nil); err != nil || beside.Number != 2 {
		t.Errorf("an incident of a key: number %d, %v; want 2", beside.Number, err)
	}
	if incidents, err = s.OpenIncidents(t.Context()); err != nil || len(incidents) != 2 || incidents[0].Key != beside.Key {
		t.Errorf("open incidents %+v (%v), want that of the key and Gemini's own", incidents, err)
	}
	trace := sentWith(21, noon, "main")
	trace.Strategy, trace.Queued = "latency", 3*time.Second
	s.Record(trace)
	mustFlush(t, s)
	if got, err := s.Trace(t.Context(), 21); err != nil || !reflect.DeepEqual(got, *trace) {
		t.Errorf("got  %+v (%v)\nwant %+v", got, err, *trace)
	}
	if requests, _, keys := hour(); requests != 7 || len(keys) != 1 || keys[0].Requests != 1 {
		t.Errorf("%d requests, keys %+v; want 7, and one of the key main", requests, keys)
	}
}
