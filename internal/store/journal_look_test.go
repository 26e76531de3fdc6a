package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

func TestCheckTellsWhatWaitsInTheJournalAndWhatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		s.Record(served(record.ID(i+1), noon))
	}
	store.Abandon(s)
	check := func() store.Findings {
		t.Helper()
		found, err := store.Check(t.Context(), path, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := check(); !found.Sound() || found.Journal != (store.JournalFindings{Waiting: 5}) {
		t.Errorf("after a kill: %+v", found)
	}
	segments, err := filepath.Glob(filepath.Join(path+".journal", "*.segment"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	whole, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(segments[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := append([]byte(nil), whole...)
	broken[len(broken)/2] ^= 0xff
	write(broken)
	if found := check(); found.Sound() || found.Journal != (store.JournalFindings{Waiting: 4, Missing: 1}) || len(found.Faults) != 1 {
		t.Errorf("with a damaged entry: %+v", found)
	}
	write(whole[:len(whole)-10]) // as a kill inside a write leaves it
	if found := check(); !found.Sound() || found.Journal.Waiting != 4 {
		t.Errorf("with an entry that is not whole: %+v", found)
	}
	write(whole)
	run(t, mustOpen(t, store.Options{Path: path}))
	if found := check(); !found.Sound() || found.Journal != (store.JournalFindings{}) {
		t.Errorf("after the next start: %+v", found)
	}
}
