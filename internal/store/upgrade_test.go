package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/migrations"
)

// testdata/schemaN.sql is a dump of a database with the first N migrations.

// mustRestore makes a database of a dump.
func mustRestore(t *testing.T, name string) (path string) {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "old.db")
	old := raw(t, path)
	if _, err := old.Exec("PRAGMA application_id = 0x62726b77;" + string(dump)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryEarlierSchemaIsBroughtUpToDateAndIsSound(t *testing.T) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for version := 1; version < len(files); version++ {
		t.Run(fmt.Sprint("schema ", version), func(t *testing.T) {
			path := mustRestore(t, fmt.Sprintf("schema%d.sql", version))
			if _, err := store.Check(t.Context(), path, func(string) {}); !errors.Is(err, store.ErrOlder) {
				t.Errorf("check before: %v, want ErrOlder", err)
			}
			before := count(t, path, `SELECT count(*) FROM traces`)
			s := mustOpen(t, store.Options{Path: path})
			drifts, err := s.Rebuild(t.Context(), quiet)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range drifts {
				// Only the first schema knew of no rollups.
				if missing := version == 1 && !d.Keys; missing != (d.Rows > 0) {
					t.Errorf("rollups that were not as they should be: %+v", d)
				}
			}
			mustBeSound(t, path)
			traces, err := s.Traces(t.Context(), store.TraceQuery{})
			if err != nil || before < 4 || int64(len(traces)) != before {
				t.Fatalf("%d traces (%v), want the %d of before", len(traces), err, before)
			}
			for _, trace := range traces {
				if !trace.Accepted.Equal(noon) || trace.Outcome != record.Served || len(trace.Attempts) == 0 || len(trace.Plan) != 3 {
					t.Errorf("a trace is not whole: %+v", trace)
				}
			}
			incidents, err := s.OpenIncidents(t.Context())
			if err != nil || len(incidents) != 1 || len(incidents[0].Timeline) != 1 {
				t.Fatalf("open incidents %+v (%v), want one", incidents, err)
			}
			if in := incidents[0]; in.Whole() != (in.Key == "") || in.Severity != record.Warning {
				t.Errorf("the open incident is about %q and %q, of its key %q", in.Topic, in.Severity, in.Key)
			}
		})
	}
}

// testdata/schema5.sql holds a resolved incident of a provider and one of a
// model as well.
func TestIncidentsOfBeforeTopicsGetTheirs(t *testing.T) {
	s := mustOpen(t, store.Options{Path: mustRestore(t, "schema5.sql")})
	run(t, s)
	for number, topic := range map[int64]record.Topic{1: record.TopicKey, 2: record.TopicProvider, 3: record.TopicModel} {
		in, err := s.Incident(t.Context(), number)
		if err != nil || in.Topic != topic || in.Severity != record.Warning || in.Number != number {
			t.Errorf("incident %d is %+v (%v), want one of a %s", number, in, err, topic)
		}
	}
	if _, err := s.Incident(t.Context(), 4); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("incident 4: %v, want ErrNotFound", err)
	}
	notices, err := s.Notices(t.Context(), 8)
	if err != nil || len(notices) != 1 || notices[0].Kind != record.NoticeOpened || notices[0].Text != "" {
		t.Errorf("notices %+v (%v), want the one of before", notices, err)
	}
}

func TestADatabaseOfBeforeTheJournalGoesOn(t *testing.T) {
	path := mustRestore(t, "schema4.sql")
	s := mustOpen(t, store.Options{Path: path})
	if since, err := s.Since(t.Context()); err != nil || since != (store.Since{Traces: noon.AddDate(0, 0, -1)}) {
		t.Errorf("since %+v (%v), want what it was", since, err)
	}
	if r := s.Stats().Replay; r != (store.Replay{}) {
		t.Errorf("replay %+v of no journal", r)
	}
	s.Record(served(21, noon))
	killed := filepath.Join(t.TempDir(), "killed.db")
	copyStore(t, path, killed)
	s = mustOpen(t, store.Options{Path: killed})
	if traces, err := s.Traces(t.Context(), store.TraceQuery{}); err != nil || len(traces) != 5 {
		t.Errorf("%d traces, %v; want the 4 of before and the one of the journal", len(traces), err)
	}
	mustBeSound(t, killed)
}

func TestADatabaseOfBeforeRetentionGoesOn(t *testing.T) {
	path := mustRestore(t, "schema3.sql")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	want := sentWith(2, noon, "main")
	want.Attempts[0].Canary, want.Strategy, want.Queued = true, "latency", 3*time.Second
	if got, err := s.Trace(t.Context(), 2); err != nil || !reflect.DeepEqual(got, *want) {
		t.Errorf("got  %+v (%v)\nwant %+v", got, err, *want)
	}
	if since, err := s.Since(t.Context()); err != nil || since != (store.Since{}) {
		t.Errorf("since %+v (%v), want that nothing was removed", since, err)
	}
	notices, err := s.Notices(t.Context(), 8)
	if err != nil || len(notices) != 1 {
		t.Errorf("notices %+v, %v", notices, err)
	}
	keys, err := s.KeyRollups(t.Context(), store.Day, noon.Truncate(24*time.Hour), noon)
	if err != nil || len(keys) != 1 || keys[0].Requests != 3 {
		t.Errorf("rollups of keys %+v, %v", keys, err)
	}
}

// testdata/schema2.sql is a dump of a database that Breakwater wrote before
// traces had keys: an ordinary trace, a canary, one that failed over and one
// that found no room for a word; a transition, a hold, and an open incident.

func TestADatabaseOfBeforeKeysIsReadAndGoesOn(t *testing.T) {
	path := mustRestore(t, "schema2.sql")
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
	beside := record.Incident{ID: 20, Topic: record.TopicKey, Severity: record.Warning, Subject: llm.Gemini, Key: "main ····x7Qf", State: record.Ongoing, Title: "a key", Began: noon}
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
