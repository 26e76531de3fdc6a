package store_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

// until waits for something that the writer brings about in real time; how long
// only bounds a hang.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begun := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 5*time.Minute {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

// Recording fails for as long as something is the matter with the file, takes
// no time of those who record meanwhile, and goes on by itself.
func TestRecordingGoesOnAfterTrouble(t *testing.T) {
	for name, trouble := range map[string]func(t *testing.T, s *store.Store, path string) (mend func()){
		"another program's lock": func(t *testing.T, s *store.Store, path string) func() {
			other := raw(t, path)
			if err := store.OnWriter(t.Context(), s, "PRAGMA busy_timeout = 10"); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Exec(`BEGIN EXCLUSIVE`); err != nil {
				t.Fatal(err)
			}
			return func() {
				if _, err := other.Exec(`ROLLBACK`); err != nil {
					t.Error(err)
				}
			}
		},
		"a read-only file": func(t *testing.T, s *store.Store, _ string) func() {
			set := func(to string) {
				if err := store.OnWriter(t.Context(), s, "PRAGMA query_only = "+to); err != nil {
					t.Error(err)
				}
			}
			set("1")
			return func() { set("0") }
		},
		"a damaged page": func(t *testing.T, s *store.Store, path string) func() {
			settle(t, s)
			return damage(t, path, "holds")
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			s := mustOpen(t, store.Options{Path: path, Queue: 500})
			run(t, s)
			s.RecordHold(record.Hold{ID: 1, Target: claude, Placed: noon, Expires: noon})
			mustFlush(t, s)
			mend := trouble(t, s, path)
			began := time.Now()
			for i := range 600 {
				s.RecordHold(record.Hold{ID: record.ID(i + 2), Target: claude, Placed: noon, Expires: noon})
			}
			if took := time.Since(began); took > 5*time.Second { // less than it takes to wait for the file 600 times
				t.Errorf("recording took %v while it could not be written", took)
			}
			until(t, "the failure is told", func() bool { return s.Stats().Failing })
			st := s.Stats()
			if st.LastError == "" || st.LastErrorAt.IsZero() || st.Queued != 500 || st.Dropped != 100 || st.Written != 1 {
				t.Errorf("while it fails: %+v", st)
			}
			mend()
			mustFlush(t, s)
			if st := s.Stats(); st.Failing || st.Queued != 0 || st.Written != 501 || st.Dropped != 100 {
				t.Errorf("afterwards: %+v", st)
			}
			if held, err := s.Holds(t.Context(), noon.Add(-1)); err != nil || len(held) != 0 {
				t.Errorf("%d holds, %v", len(held), err)
			}
			if n := count(t, path, `SELECT count(*) FROM holds`); n != 501 {
				t.Errorf("%d rows, want 501", n)
			}
			mustBeSound(t, path)
		})
	}
}

func TestTheWriteAheadLogGrowsOnlyWhileAReaderNeedsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	at := noon
	write := func() {
		fill(t, s, 20_000, at, 10*time.Millisecond)
		at = at.Add(time.Hour)
	}
	write()
	usual := s.Stats().LogBytes
	write()
	if grown := s.Stats().LogBytes; grown > usual*2 {
		t.Errorf("without a reader the log grew from %d to %d bytes", usual, grown)
	}
	reader := raw(t, path)
	if _, err := reader.Exec(`BEGIN`); err != nil {
		t.Fatal(err)
	}
	if n := count(t, path, `SELECT count(*) FROM traces`); n != 40_000 {
		t.Fatalf("%d traces", n)
	}
	var n int64
	if err := reader.QueryRow(`SELECT count(*) FROM traces`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	var held int64
	for writes := 0; held < usual*5/4; writes++ { // where the log had just been begun anew, it first fills up
		if writes == 5 {
			t.Fatalf("the log is %d bytes long beside a reader, and %d without: there is nothing to see", held, usual)
		}
		write()
		held = s.Stats().LogBytes
	}
	if _, err := reader.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	write()
	write()
	// One commit may still go to the end of it, before it is begun anew.
	if after := s.Stats().LogBytes; after > held+usual/4 {
		t.Errorf("after the reader had gone the log still grew, from %d to %d bytes", held, after)
	}
}

// Readers that follow each other without a gap keep the writer from beginning
// the log anew; retention sees to it.
func TestRetentionShortensALogThatHasGrown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	if err := store.OnWriter(t.Context(), s, "PRAGMA wal_autocheckpoint = 0"); err != nil {
		t.Fatal(err)
	}
	message := strings.Repeat("The model is overloaded. ", 4000)
	ids := record.NewIDs(1, 0)
	for i := range 900 {
		trace := failedOver(ids.Next(noon), noon)
		trace.Attempts[0].Message = message
		s.Record(trace)
		if i%50 == 0 {
			mustFlush(t, s)
		}
	}
	mustFlush(t, s)
	if grown := s.Stats().LogBytes; grown <= store.LogLimit {
		t.Fatalf("the log is only %d bytes long", grown)
	}
	retain(t, s, store.Retention{}, noon)
	if left := s.Stats().LogBytes; left != 0 {
		t.Errorf("the log is still %d bytes long", left)
	}
	mustBeSound(t, path)
}
