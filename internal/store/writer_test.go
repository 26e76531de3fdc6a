package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

func TestAFullQueueDropsAndCounts(t *testing.T) {
	s := mustOpen(t, store.Options{Queue: 3})
	ids := record.NewIDs(0, 0)
	for i := range 5 {
		if got, want := s.Record(served(ids.Next(noon), noon)), i < 3; got != want {
			t.Errorf("trace %d taken: %t, want %t", i, got, want)
		}
	}
	if s.RecordTransition(record.Transition{ID: 1, At: noon}) || s.RecordHold(record.Hold{ID: 1}) {
		t.Error("a full queue took a transition or a hold")
	}
	if st := s.Stats(); st.Queued != 3 || st.Dropped != 4 {
		t.Errorf("queued %d, dropped %d; want 3, 4", st.Queued, st.Dropped)
	}
	run(t, s)
	mustFlush(t, s)
	if st := s.Stats(); st.Queued != 0 || st.Written != 3 || st.Dropped != 4 || st.SizeBytes == 0 {
		t.Errorf("after writing: %+v", st)
	}
}

func TestQueuedRowsAreCommittedWithinTheInterval(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path})
		run(t, s)
		s.Record(served(1, noon))
		synctest.Wait()
		if st := s.Stats(); st.Written != 0 {
			t.Errorf("%d written before the interval was over, want 0", st.Written)
		}
		time.Sleep(store.CommitEvery)
		synctest.Wait()
		if st := s.Stats(); st.Written != 1 {
			t.Errorf("%d written after the interval, want 1", st.Written)
		}
		for i := range store.BatchRows {
			s.Record(served(record.ID(2+i), noon))
		}
		synctest.Wait()
		if st := s.Stats(); st.Written != 1+store.BatchRows {
			t.Errorf("%d written after a full batch, want %d", st.Written, 1+store.BatchRows)
		}
	})
}

func TestAFullDiskLosesNothingWhileTheQueueHasRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path, Queue: 400})
		run(t, s)
		if err := store.LimitPages(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		ids := record.NewIDs(0, 0)
		for range 300 {
			s.Record(served(ids.Next(noon), noon))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		st := s.Stats()
		if !st.Failing || st.LastError == "" || st.LastErrorAt.IsZero() || st.Queued != 300 || st.Written+st.Dropped != 0 {
			t.Fatalf("while the disk is full: %+v", st)
		}
		// What is being tried again counts against the queue's limit.
		for i := range 120 {
			if got, want := s.Record(served(ids.Next(noon), noon)), i < 100; got != want {
				t.Fatalf("trace %d taken: %t, want %t", i, got, want)
			}
		}
		// What still finds a place in the file is written meanwhile.
		in := record.Incident{ID: 1, Subject: llm.Gemini, State: record.Pending, Began: noon}
		if err := s.SaveIncident(t.Context(), &in, nil); err != nil {
			t.Errorf("saving an incident while the disk is full: %v", err)
		}
		if err := store.LimitPages(t.Context(), s, 1<<30); err != nil {
			t.Fatal(err)
		}
		mustFlush(t, s)
		st = s.Stats()
		if st.Failing || st.Queued != 0 || st.Written != 400 || st.Dropped != 20 || st.LastError == "" {
			t.Errorf("with room again: %+v", st)
		}
		if got, err := s.Traces(t.Context(), store.TraceQuery{Limit: 500}); err != nil || len(got) != 400 {
			t.Errorf("%d traces (%v), want 400", len(got), err)
		}
	})
}

func TestARowThatCannotBeWrittenIsLeftOutAndCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	if _, err := raw(t, path).Exec(`CREATE TRIGGER bad BEFORE INSERT ON traces WHEN new.id = 40
		BEGIN SELECT RAISE(ABORT, 'bad row'); END`); err != nil {
		t.Fatal(err)
	}
	var want []record.Trace
	for id := range record.ID(100) {
		trace := served(id+1, noon)
		s.Record(trace)
		if trace.ID != 40 {
			want = append(want, *trace)
		}
	}
	run(t, s)
	mustFlush(t, s)
	if st := s.Stats(); st.Written != 99 || st.Dropped != 1 || st.LastError == "" || st.Failing {
		t.Errorf("stats %+v; want 99 written, 1 dropped", st)
	}
	if _, err := s.Trace(t.Context(), 40); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the bad row: %v, want ErrNotFound", err)
	}
	checkRollups(t, s, noon.AddDate(0, 0, -1), want)
}

func TestALockedDatabaseDelaysNoCallerAndLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	db := raw(t, path)
	if _, err := db.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	ids := record.NewIDs(0, 0)
	const n = 2000
	var slowest time.Duration
	for range n {
		trace := served(ids.Next(noon), noon)
		began := time.Now()
		if !s.Record(trace) {
			t.Fatal("a trace was dropped")
		}
		slowest = max(slowest, time.Since(began))
	}
	if slowest > 4*time.Second { // the writer waits 5 s for the lock
		t.Errorf("a call took %v while the database was locked", slowest)
	}
	if st := s.Stats(); st.Queued != n || st.Written != 0 {
		t.Errorf("while locked: %d queued, %d written; want %d, 0", st.Queued, st.Written, n)
	}
	if _, err := db.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s)
	if st := s.Stats(); st.Written != n || st.Dropped != 0 || st.Queued != 0 {
		t.Errorf("after the lock: %+v", st)
	}
}

func TestTheEndOfRunWritesAllThatWasQueued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	stop := run(t, s)
	ids := record.NewIDs(0, 0)
	for range 1000 {
		s.Record(served(ids.Next(noon), noon))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Written != 1000 || st.Queued != 0 {
		t.Errorf("after the end: %+v", st)
	}
	if s.Record(served(1, noon)) {
		t.Error("a trace was taken after the end")
	}
	if err := s.Flush(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Flush: %v, want ErrClosed", err)
	}
	if err := s.SaveNotice(t.Context(), record.Notice{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("SaveNotice: %v, want ErrClosed", err)
	}
}

// mustEndWith ends a store that cannot write a trace, and checks what its worker
// and who waits for the trace are told.
func mustEndWith(t *testing.T, s *store.Store, want error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.Record(served(1, noon))
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush(t.Context()) }()
	time.Sleep(time.Second)
	cancel()
	if err := <-ended; !errors.Is(err, want) {
		t.Errorf("Run: %v, want %v", err, want)
	}
	if err := <-flushed; !errors.Is(err, want) {
		t.Errorf("Flush: %v, want %v", err, want)
	}
}

func TestAnEndThatCannotWriteSaysWhatIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path, Durability: store.Unjournaled})
		if _, err := raw(t, path).Exec(`DROP TABLE traces`); err != nil {
			t.Fatal(err)
		}
		mustEndWith(t, s, store.ErrLost)
		if st := s.Stats(); st.Dropped != 1 || st.Queued != 0 {
			t.Errorf("after the end: %+v", st)
		}
	})
}

func TestReadersSeeWholeTracesWhileTheWriterWrites(t *testing.T) {
	s := mustRun(t)
	done := make(chan struct{})
	errs := make(chan error, 3)
	for range 3 {
		go func() { errs <- readUntil(t.Context(), s, done) }()
	}
	ids := record.NewIDs(0, 0)
	for i := range 4000 {
		at := noon.Add(time.Duration(i) * 100 * time.Millisecond)
		s.Record(failedOver(ids.Next(at), at))
		if i%500 == 0 {
			mustFlush(t, s)
		}
	}
	mustFlush(t, s)
	close(done)
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// readUntil reads everything until done and checks that it is whole.
func readUntil(ctx context.Context, s *store.Store, done <-chan struct{}) error {
	var count int64
	for {
		traces, err := s.Traces(ctx, store.TraceQuery{Limit: 50})
		if err != nil {
			return err
		}
		for i, t := range traces {
			if len(t.Attempts) != 2 || len(t.Plan) != 3 {
				return errors.New("a trace is not whole")
			}
			if i > 0 && t.ID >= traces[i-1].ID {
				return errors.New("traces are out of order")
			}
		}
		rollups, err := s.Rollups(ctx, store.Day, noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1))
		if err != nil {
			return err
		}
		if len(rollups) > 0 {
			if rollups[0].Served < count {
				return errors.New("the callers' count went down")
			}
			count = rollups[0].Served
			if len(rollups) != 3 || rollups[1].Failed+rollups[1].Served != count || rollups[2].Failed+rollups[2].Served != count {
				return errors.New("a rollup is only half of a batch")
			}
		}
		select {
		case <-done:
			return nil
		default:
		}
	}
}
