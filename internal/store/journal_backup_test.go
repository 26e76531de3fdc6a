package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

// mustTraces gives the IDs of all traces, in order.
func mustTraces(t *testing.T, s *store.Store) (ids []record.ID) {
	t.Helper()
	traces, err := s.Traces(t.Context(), store.TraceQuery{Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range traces {
		ids = append(ids, trace.ID)
	}
	slices.Sort(ids)
	return ids
}

// backedUp gives a backup of 10 traces, with or without rows of its own time in
// the journal, and what a kill after the 50th left: the last 10 are not in the
// database.
func backedUp(t *testing.T, segment int64) (backup, killed string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	backup, killed = filepath.Join(t.TempDir(), "backup.db"), filepath.Join(t.TempDir(), "killed.db")
	s := mustOpen(t, store.Segmented(store.Options{Path: path}, segment))
	for id := record.ID(1); id <= 50; id++ {
		if !s.Record(served(id, noon)) {
			t.Fatal("a trace was dropped")
		}
		if id%10 != 0 || id == 50 {
			continue
		}
		store.Drain(t.Context(), s)
		if err := store.Keep(s); err != nil {
			t.Fatal(err)
		}
		if id == 10 {
			if err := store.Backup(t.Context(), path, backup, func(int64, int64) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
	copyStore(t, path, killed)
	return backup, killed
}

// restore puts a backup in the place of a database.
func restore(t *testing.T, backup, path string) {
	t.Helper()
	if err := errors.Join(os.Remove(path), os.RemoveAll(path+"-wal"), os.RemoveAll(path+"-shm"), os.Rename(backup, path)); err != nil {
		t.Fatal(err)
	}
}

func TestABackupTakesFromANewerJournalEachRowThatItHasNot(t *testing.T) {
	for name, segment := range map[string]int64{"the journal reaches back to it": store.SegmentBytes, "there is a gap": 1000} {
		t.Run(name, func(t *testing.T) {
			backup, killed := backedUp(t, segment)
			restore(t, backup, killed)
			s, err := store.Open(t.Context(), store.Options{Path: killed})
			if err != nil {
				t.Fatal(err)
			}
			r := s.Stats().Replay
			if gap := segment == 1000; gap != (r.Missing > 0) || r.Entries+r.Missing != 40 || r.Entries < 10 || r.Unread > 0 {
				t.Errorf("replay %+v of the 40 since the backup", r)
			}
			var want []record.ID
			for id := record.ID(1); id <= 50; id++ {
				if id <= 10 || id > 10+record.ID(r.Missing) {
					want = append(want, id)
				}
			}
			if got := mustTraces(t, s); !slices.Equal(got, want) {
				t.Errorf("traces %v, want %v", got, want)
			}
			mustBeSound(t, killed)
			s.Record(served(51, noon))
			again := filepath.Join(t.TempDir(), "again.db")
			copyStore(t, killed, again)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, store.Options{Path: again})
			if r := s.Stats().Replay; r != (store.Replay{Entries: 1}) {
				t.Errorf("replay after the next kill: %+v", r)
			}
			if got := mustTraces(t, s); !slices.Equal(got, append(want, 51)) {
				t.Errorf("traces after the next kill: %v", got)
			}
		})
	}
}

func TestABackupNeedsNoJournal(t *testing.T) {
	backup, killed := backedUp(t, 1000)
	restore(t, backup, killed)
	if err := os.RemoveAll(killed + ".journal"); err != nil {
		t.Fatal(err)
	}
	for n := range record.ID(3) { // each run is killed with a trace that only the journal has
		s := mustOpen(t, store.Options{Path: killed})
		if r := s.Stats().Replay; r != (store.Replay{Entries: min(uint64(n), 1)}) {
			t.Errorf("replay %+v", r)
		}
		if got := mustTraces(t, s); len(got) != 10+int(n) {
			t.Errorf("traces %v, want %d", got, 10+n)
		}
		mustBeSound(t, killed)
		s.Record(served(100+n, noon))
		next := filepath.Join(t.TempDir(), fmt.Sprint(n, ".db"))
		copyStore(t, killed, next)
		killed = next
	}
}

func TestARebuildWritesFirstWhatTheJournalHolds(t *testing.T) {
	_, killed := backedUp(t, 1000)
	if _, err := raw(t, killed).Exec(`UPDATE rollups SET cost = cost + 1`); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, store.Options{Path: killed, Durability: store.Unjournaled})
	drifts, err := s.Rebuild(t.Context(), quiet)
	if err != nil || drifts[0].Rows == 0 {
		t.Errorf("%+v, %v", drifts, err)
	}
	mustBeSound(t, killed)
	if got := mustTraces(t, s); len(got) != 50 || len(segments(t, killed)) > 0 {
		t.Errorf("%d traces, and %v is left", len(got), segments(t, killed))
	}
}
