package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// copyStore copies the database and its journal as a kill leaves them.
func copyStore(t rapid.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to+".journal", 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{from: to, from + "-wal": to + "-wal"}
	for _, path := range segments(t, from) {
		files[path] = filepath.Join(to+".journal", filepath.Base(path))
	}
	for from, to := range files {
		b, err := os.ReadFile(from)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// life is a store that is killed again and again, and what it must know.
type life struct {
	*store.Store
	folder      string
	path        string
	kills       int
	ids         *record.IDs
	answered    []record.Trace
	transitions int
}

// open opens what the last kill left.
func (l *life) open(t rapid.TB) {
	var err error
	if l.Store, err = store.Open(context.Background(), store.Segmented(store.Options{Path: l.path}, 2000)); err != nil {
		t.Fatal(err)
	}
}

// step does one thing that a store does.
func (l *life) step(t *rapid.T) {
	switch rapid.SampledFrom([]string{"answer", "answer", "transition", "commit", "keep"}).Draw(t, "step") {
	case "answer":
		for range rapid.IntRange(1, 5).Draw(t, "n") {
			trace := served(l.ids.Next(noon), noon)
			if rapid.Bool().Draw(t, "failed over") {
				trace = failedOver(trace.ID, noon)
			}
			if !l.Record(trace) {
				t.Fatal("a trace was dropped")
			}
			l.answered = append(l.answered, *trace)
		}
	case "transition":
		l.transitions++
		l.RecordTransition(record.Transition{ID: l.ids.Next(noon), At: noon, Target: gemini})
	case "commit":
		store.Drain(context.Background(), l.Store)
	case "keep":
		if err := store.Keep(l.Store); err != nil {
			t.Fatal(err)
		}
	}
}

// kill ends it, perhaps in mid-write, opens what is left, and looks.
func (l *life) kill(t *rapid.T) {
	was := l.path
	l.kills++
	l.path = filepath.Join(l.folder, fmt.Sprint(l.kills, ".db"))
	copyStore(t, was, l.path)
	store.Abandon(l.Store)
	if rapid.Bool().Draw(t, "in mid-write") {
		tear(t, l.path)
	}
	l.open(t)
	if r := l.Stats().Replay; r.Missing > 0 || r.Unread > 0 {
		t.Fatalf("replay %+v", r)
	}
	traces, err := l.Traces(context.Background(), store.TraceQuery{Limit: store.MaxLimit})
	if err != nil || len(traces) != len(l.answered) {
		t.Fatalf("%d traces (%v) of %d that were answered", len(traces), err, len(l.answered))
	}
	if len(l.answered) > 0 {
		checkRollups(t, l.Store, noon.AddDate(0, 0, -1), l.answered)
	}
	changes, err := l.Transitions(context.Background(), noon.AddDate(-1, 0, 0), store.MaxLimit)
	if err != nil || len(changes) > l.transitions {
		t.Fatalf("%d transitions (%v) of %d", len(changes), err, l.transitions)
	}
	l.transitions = len(changes) // one that no answer came after may be lost
}

func TestEachEntryIsWrittenExactlyOnceWheneverTheKillComes(t *testing.T) {
	fresh, kills := filepath.Join(t.TempDir(), "fresh.db"), 0
	mustOpen(t, store.Options{Path: fresh, Durability: store.Unjournaled})
	rapid.Check(t, func(rt *rapid.T) {
		kills++
		l := &life{folder: filepath.Dir(fresh), path: filepath.Join(filepath.Dir(fresh), fmt.Sprint("life", kills)), kills: 1000 * kills, ids: record.NewIDs(0, 0)}
		copyStore(rt, fresh, l.path)
		l.open(rt)
		defer func() { store.Abandon(l.Store) }()
		for range rapid.IntRange(1, 2).Draw(rt, "kills") {
			for range rapid.IntRange(0, 12).Draw(rt, "steps") {
				l.step(rt)
			}
			l.kill(rt)
		}
	})
}

// tear has a journal end in half an entry.
func tear(t rapid.TB, path string) {
	t.Helper()
	all := segments(t, path)
	f, err := os.OpenFile(all[len(all)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	half := store.Pack(served(1, noon))
	if _, err := f.Write(half[:len(half)/2]); err != nil {
		t.Fatal(err)
	}
}

func TestAPowerCutTakesBackCommitsButNoTraces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Segmented(store.Options{Path: path}, 1000))
	before := filepath.Join(t.TempDir(), "before.db")
	copyStore(t, path, before) // what the disk has of the database
	store.FailHarden(s, errors.New("the disk is slow"))
	for id := range record.ID(50) {
		s.Record(served(id+1, noon))
		if id%5 == 4 {
			store.Drain(t.Context(), s)
			if store.Keep(s) == nil {
				t.Fatalf("after trace %d: segments were removed, or none is full", id+1)
			}
		}
	}
	// What was committed is gone; the segments are on the disk.
	for _, segment := range segments(t, path) {
		b, err := os.ReadFile(segment)
		if err == nil {
			err = os.WriteFile(filepath.Join(before+".journal", filepath.Base(segment)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	store.FailHarden(s, nil) // for Close
	after := mustOpen(t, store.Options{Path: before})
	if r := after.Stats().Replay; r.Entries != 50 || r.Missing > 0 {
		t.Errorf("replay %+v, want 50 entries", r)
	}
	if traces, err := after.Traces(t.Context(), store.TraceQuery{Limit: 100}); err != nil || len(traces) != 50 {
		t.Errorf("%d traces, %v; want 50", len(traces), err)
	}
}

func TestSegmentsGoOnceTheDatabaseHasThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := store.Open(t.Context(), store.Segmented(store.Options{Path: path}, 1000))
	if err != nil {
		t.Fatal(err)
	}
	for id := range record.ID(500) {
		s.Record(served(id+1, noon))
		if id%20 == 0 {
			store.Drain(t.Context(), s)
			if err := store.Keep(s); err != nil {
				t.Fatal(err)
			}
			if n, size := len(segments(t, path)), s.Stats().JournalBytes; n != 1 || size > 1000 {
				t.Fatalf("%d segments of %d bytes after trace %d", n, size, id)
			}
		}
	}
	store.Drain(t.Context(), s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err == nil { // it must come back all the same
		t.Error("a store was closed twice without an error")
	}
	if left := segments(t, path); len(left) > 0 {
		t.Errorf("a good end left %v", left)
	}
	s = mustOpen(t, store.Options{Path: path})
	if r := s.Stats().Replay; r != (store.Replay{}) {
		t.Errorf("after a good end: %+v", r)
	}
}

func TestAJournalThatCannotBeWrittenDelaysNobodyAndGoesOnByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	copied := filepath.Join(t.TempDir(), "copy.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path})
		run(t, s)
		disk := store.OnDisk(s)
		full := error(syscall.ENOSPC)
		disk.Err.Store(&full)
		began := time.Now()
		for id := range record.ID(10) {
			if !s.Record(served(id+1, noon)) {
				t.Fatal("a trace was dropped")
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("requests waited %v", took)
		}
		st := s.Stats()
		if !st.JournalFailing || st.JournalError == "" || st.Late != 10 || st.Dropped != 0 {
			t.Errorf("while the disk is full: %+v", st)
		}
		time.Sleep(time.Minute)
		s.Record(served(11, noon))
		if st := s.Stats(); !st.JournalFailing || st.Written != 10 || st.Late != 11 {
			t.Errorf("a minute later: %+v", st)
		}
		disk.Err.Store(nil)
		time.Sleep(store.RetryMax)
		s.Record(served(12, noon))
		if st := s.Stats(); st.JournalFailing || st.Late != 11 {
			t.Errorf("with room again: %+v", st)
		}
		copyStore(t, path, copied) // the last trace is in the journal only
	})
	s := mustOpen(t, store.Options{Path: copied})
	if r := s.Stats().Replay; r.Entries != 1 || r.Skipped != 0 {
		t.Errorf("replay %+v, want one entry, and nothing left of the failed write", r)
	}
	if traces, err := s.Traces(t.Context(), store.TraceQuery{}); err != nil || len(traces) != 12 {
		t.Errorf("%d traces, %v; want 12", len(traces), err)
	}
}

func TestADiskThatHangsHoldsUpOneRequestAndNoTransition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path})
		disk := store.OnDisk(s)
		hold := make(chan struct{})
		disk.Hold.Store(&hold)
		go s.Record(served(1, noon))
		synctest.Wait()
		began := time.Now()
		for id := range record.ID(10) {
			s.Record(served(id+2, noon))
		}
		s.RecordTransition(record.Transition{ID: 20, At: noon, Target: gemini})
		if took := time.Since(began); took != store.JournalPatience {
			t.Errorf("the others waited %v together, want %v", took, store.JournalPatience)
		}
		if st := s.Stats(); st.Late != 10 || st.Queued != 12 {
			t.Errorf("while the disk hangs: %+v", st)
		}
		disk.Hold.Store(nil)
		close(hold)
		synctest.Wait()
		s.Record(served(21, noon))
		if st := s.Stats(); st.Late != 10 {
			t.Errorf("the disk is back: %+v", st)
		}
		copyStore(t, path, path+".copy")
	})
	s := mustOpen(t, store.Options{Path: path + ".copy"})
	if r := s.Stats().Replay; r.Entries != 13 || r.Missing > 0 {
		t.Errorf("replay %+v, want 13 entries", r)
	}
}

func TestADurableTraceIsOnTheDiskBeforeItsRequestEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path, Durability: store.Durable})
		run(t, s)
		s.Record(served(1, noon))
		if st := s.Stats(); st.Late != 0 {
			t.Errorf("on a good disk: %+v", st)
		}
		disk := store.OnDisk(s)
		broken := error(syscall.EIO)
		disk.Err.Store(&broken)
		s.Record(served(2, noon)) // comes back although it is not on the disk
		if st := s.Stats(); st.Late != 1 || !st.JournalFailing {
			t.Errorf("on a bad disk: %+v", st)
		}
		disk.Err.Store(nil)
		time.Sleep(store.RetryMax)
		began := time.Now()
		s.Record(served(3, noon))
		if st := s.Stats(); st.Late != 1 || st.JournalFailing || time.Since(began) > 0 {
			t.Errorf("on a good disk again, after %v: %+v", time.Since(began), st)
		}
	})
}

func TestRowsThatTheDatabaseCannotTakeBeforeTheEndAreThereAfterTheNextStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path})
		db := raw(t, path)
		if _, err := db.Exec(`ALTER TABLE traces RENAME TO hidden`); err != nil {
			t.Fatal(err)
		}
		mustEndWith(t, s, store.ErrLeft)
		if st := s.Stats(); st.Dropped != 0 || st.Queued != 0 {
			t.Errorf("after the end: %+v", st)
		}
		if _, err := db.Exec(`ALTER TABLE hidden RENAME TO traces`); err != nil {
			t.Fatal(err)
		}
	})
	s := mustOpen(t, store.Options{Path: path})
	if traces, err := s.Traces(t.Context(), store.TraceQuery{}); err != nil || len(traces) != 1 {
		t.Errorf("%d traces, %v; want 1", len(traces), err)
	}
}

func TestAStartWithADatabaseThatCannotBeWrittenLeavesTheJournalForLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	ids := record.NewIDs(0, 0)
	var last record.ID
	for range 5 {
		last = ids.Next(noon)
		s.Record(served(last, noon))
	}
	killed := filepath.Join(t.TempDir(), "killed.db")
	copyStore(t, path, killed)
	db := raw(t, killed)
	if _, err := db.Exec(`ALTER TABLE traces RENAME TO hidden`); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, store.Options{Path: killed})
	if st := s.Stats(); st.Queued != 5 || st.Replay.Entries != 5 || !st.Failing {
		t.Errorf("at the start: %+v", st)
	}
	if _, err := s.Rebuild(t.Context(), quiet); !errors.Is(err, store.ErrWaiting) {
		t.Errorf("rebuilding while rows wait: %v", err)
	}
	if _, err := db.Exec(`ALTER TABLE hidden RENAME TO traces`); err != nil {
		t.Fatal(err)
	}
	if id, err := s.LastID(t.Context()); err != nil || id != last {
		t.Errorf("the last ID is %v (%v), want %v: the next one must not be given twice", id, err, last)
	}
	s.Record(served(ids.Next(noon), noon))
	run(t, s)
	mustFlush(t, s)
	if st := s.Stats(); st.Written != 6 || st.Queued != 0 || st.Failing {
		t.Errorf("with the table back: %+v", st)
	}
}

// killedWithOne gives the files of a store that was killed with one trace in its
// journal only.
func killedWithOne(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	s.Record(served(1, noon))
	killed := filepath.Join(t.TempDir(), "killed.db")
	copyStore(t, path, killed)
	return killed
}

func TestSegmentsOfOthersAreLeftAlone(t *testing.T) {
	killed := killedWithOne(t)
	if err := errors.Join(os.Remove(killed), os.Remove(killed+"-wal")); err != nil { // begun anew
		t.Fatal(err)
	}
	for range 2 {
		s, err := store.Open(t.Context(), store.Options{Path: killed})
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Stats().Replay; r.Unread != 1 || r.Entries != 0 {
			t.Errorf("replay %+v, want one segment unread", r)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASegmentOfAnotherVersionIsSetAside(t *testing.T) {
	killed := killedWithOne(t)
	segment := segments(t, killed)[0]
	f, err := os.OpenFile(segment, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "brkwjnl9"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s := mustOpen(t, store.Options{Path: killed})
	if r := s.Stats().Replay; r.Unread != 1 || r.Entries != 0 {
		t.Errorf("replay %+v, want one segment unread", r)
	}
	if _, err := os.Stat(segment + ".unread"); err != nil || slices.Contains(segments(t, killed), segment) {
		t.Errorf("the segment was not set aside: %v", err)
	}
}

func TestWithoutAJournalNothingIsWrittenBesideTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path, Durability: store.Unjournaled})
	run(t, s)
	s.Record(served(1, noon))
	mustFlush(t, s)
	if _, err := os.Stat(path + ".journal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal's folder: %v", err)
	}
	if st := s.Stats(); st.Written != 1 || st.JournalBytes != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAJournalIsReplayedAlsoWhereThereIsToBeNone(t *testing.T) {
	killed := killedWithOne(t)
	s := mustOpen(t, store.Options{Path: killed, Durability: store.Unjournaled})
	if traces, err := s.Traces(t.Context(), store.TraceQuery{}); err != nil || len(traces) != 1 {
		t.Errorf("%d traces, %v; want 1", len(traces), err)
	}
	if left := segments(t, killed); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}
