package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// retain has retention look once, at an instant of the tests' own.
func retain(t testing.TB, s *store.Store, keep store.Retention, now time.Time) {
	t.Helper()
	if err := store.RetainAt(t.Context(), s, keep, now); err != nil {
		t.Fatal(err)
	}
}

// fill records a trace each so often, the first at from, every fifth one failed over.
func fill(t testing.TB, s *store.Store, n int, from time.Time, every time.Duration) {
	t.Helper()
	ids := record.NewIDs(1, 0)
	for i := range n {
		at := from.Add(time.Duration(i) * every)
		make := served
		if i%5 == 0 {
			make = failedOver
		}
		trace := make(ids.Next(at), at)
		trace.Attempts[len(trace.Attempts)-1].Key = "main"
		s.Record(trace)
		if i%2000 == 0 {
			mustFlush(t, s)
		}
	}
	mustFlush(t, s)
}

// count gives the number of rows that a query counts.
func count(t testing.TB, path, query string, args ...any) (n int64) {
	t.Helper()
	if err := raw(t, path).QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRetentionRemovesWhatIsOldAndSaysHowFarTheRecordReaches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	fill(t, s, 4800, noon, time.Minute) // three days and eight hours
	now := noon.Add(4800 * time.Minute)
	if since, err := s.Since(t.Context()); err != nil || since != (store.Since{}) {
		t.Errorf("since %+v (%v) before anything was removed", since, err)
	}
	retain(t, s, store.Retention{Traces: 24 * time.Hour, Minutes: 12 * time.Hour, Hours: 48 * time.Hour}, now)

	cut := now.Add(-24 * time.Hour)
	for table, column := range map[string]string{"traces": "id", "attempts": "trace"} {
		if old := count(t, path, `SELECT count(*) FROM `+table+` WHERE `+column+` < ?`, record.At(cut)); old != 0 {
			t.Errorf("%d rows of %s are older than a day", old, table)
		}
	}
	if kept := count(t, path, `SELECT count(*) FROM traces`); kept != 1440 {
		t.Errorf("%d traces are kept, want the 1440 of a day", kept)
	}
	for span, age := range map[int]time.Duration{60: 12 * time.Hour, 3600: 48 * time.Hour} {
		for _, table := range []string{"rollups", "key_rollups"} {
			oldest := count(t, path, `SELECT min(start) FROM `+table+` WHERE span = ?`, span)
			if want := now.Add(-age).Truncate(time.Duration(span) * time.Second); oldest != want.Unix() {
				t.Errorf("the oldest of %s of %d s starts at %v, want %v", table, span, time.Unix(oldest, 0).UTC(), want)
			}
		}
	}
	if days := count(t, path, `SELECT count(DISTINCT start) FROM rollups WHERE span = 86400`); days != 4 {
		t.Errorf("%d days are kept, want all 4", days)
	}
	since, err := s.Since(t.Context())
	ended := cut.Add(-time.Minute).Add(served(1, noon).Took)
	if err != nil || !since.Traces.Equal(ended.Add(time.Microsecond)) || !since.Minutes.Equal(now.Add(-12*time.Hour)) ||
		!since.Hours.Equal(now.Add(-48*time.Hour)) || !since.Days.IsZero() {
		t.Errorf("since %+v (%v); want traces just after %v", since, err, ended)
	}
	if st := s.Stats(); st.Removed < 3360 || st.RetentionError != "" || st.Failing {
		t.Errorf("stats %+v", st)
	}
	mustBeSound(t, path)
}

// A trace that is removed while a longer one from before it counts in a later
// minute must not have that minute compared.
func TestWhatEndedBeforeIsMeasuredByTheLatestEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	ids := record.NewIDs(1, 0)
	long := served(ids.Next(noon), noon)
	long.Took += 3 * time.Hour
	straggler := failedOver(ids.Next(noon.Add(time.Second)), noon.Add(time.Second))
	straggler.Attempts[0].Took += 5 * time.Hour // longer than its request
	s.Record(long)
	s.Record(straggler)
	s.Record(served(ids.Next(noon.Add(4*time.Hour)), noon.Add(4*time.Hour)))
	mustFlush(t, s)
	retain(t, s, store.Retention{Traces: time.Hour}, noon.Add(2*time.Hour))
	since, err := s.Since(t.Context())
	want := noon.Add(time.Second + straggler.Attempts[0].Start + straggler.Attempts[0].Took + time.Microsecond)
	if err != nil || !since.Traces.Equal(want) {
		t.Errorf("since %v (%v), want %v", since.Traces, err, want)
	}
	mustBeSound(t, path)
}

func TestTheSizeBoundRemovesTheOldestTracesAndGivesTheirRoomBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	stop := run(t, s)
	fill(t, s, 40_000, noon, 10*time.Millisecond)
	before := s.Stats().SizeBytes - s.Stats().LogBytes
	const limit = 1 << 20
	retain(t, s, store.Retention{Bytes: limit}, noon.Add(time.Hour))
	if err := stop(); err != nil { // the file is cut at a checkpoint
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before < 2*limit || info.Size() > limit*(store.FreeShare+1)/store.FreeShare+1<<20 {
		t.Errorf("the file took %d bytes and takes %d, want no more than %d and what may be free", before, info.Size(), limit)
	}
	newest := noon.Add(39_999 * 10 * time.Millisecond)
	if kept := count(t, path, `SELECT count(*) FROM traces`); kept < 1000 || kept >= 40_000 {
		t.Errorf("%d traces are kept", kept)
	}
	if last := count(t, path, `SELECT max(id) FROM traces`); record.ID(last).Time().Before(newest) {
		t.Errorf("the newest trace is gone")
	}
	mustBeSound(t, path)
}

func TestASizeBoundBelowWhatDaysTakeRemovesAllThatMayGoAndEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	fill(t, s, 3000, noon, time.Minute)
	retain(t, s, store.Retention{Bytes: 1}, noon.Add(200*time.Hour))
	if left := count(t, path, `SELECT (SELECT count(*) FROM traces) + (SELECT count(*) FROM rollups WHERE span < 86400)`); left != 0 {
		t.Errorf("%d rows are left that may go", left)
	}
	if days := count(t, path, `SELECT count(*) FROM rollups WHERE span = 86400`); days == 0 {
		t.Error("the days are gone")
	}
}

func TestFiguresSayFromWhenOnTheyAreWhole(t *testing.T) {
	s := mustOpen(t, store.Options{})
	run(t, s)
	fill(t, s, 5000, noon, time.Minute)
	now := noon.Add(5000 * time.Minute)
	month := now.AddDate(0, 0, -30)
	whole := func(from, want time.Time) {
		t.Helper()
		if got, err := s.WholeFrom(t.Context(), from, now); err != nil || !got.Equal(want) {
			t.Errorf("from %v it is whole from %v (%v), want %v", from, got, err, want)
		}
	}
	whole(month, month)
	retain(t, s, store.Retention{Minutes: time.Second, Hours: time.Second}, now)
	whole(now.Add(-time.Hour), now.Add(-time.Hour))
	// Minutes are kept for two hours, whatever is said; before that the first whole hour counts.
	whole(now.Add(-24*time.Hour), now.Add(-24*time.Hour).Truncate(time.Hour).Add(time.Hour))
	// And hours for two days: what is asked from within a day that is longer ago begins with the next.
	whole(noon.Add(4*time.Hour), noon.Truncate(24*time.Hour).AddDate(0, 0, 1))
}

func TestRetentionOfChangesAndIncidentsKeepsWhatStillMatters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	later := noon.AddDate(0, 0, 10)
	for i, at := range []time.Time{noon, later} {
		id := record.At(at)
		s.RecordTransition(record.Transition{ID: id, At: at, Target: claude})
		s.RecordKey(record.KeyChange{ID: id + 1, At: at})
		s.RecordHold(record.Hold{ID: id + 2, Target: claude, Placed: at, Expires: at.Add(time.Hour)})
		mustFlush(t, s)
		for n, state := range []record.IncidentState{record.Resolved, record.Ongoing} {
			in := record.Incident{ID: id + 10 + record.ID(n), Subject: llm.Providers()[i], State: state, Began: at}
			if state == record.Resolved {
				in.Ended = at.Add(time.Minute)
			}
			if err := s.SaveIncident(t.Context(), &in, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A hold that stands for a year is kept, however old.
	s.RecordHold(record.Hold{ID: record.At(noon) + 5, Target: gemini, Placed: noon, Expires: noon.AddDate(1, 0, 0)})
	mustFlush(t, s)
	for i, until := range []time.Time{noon.Add(time.Hour), later} {
		if err := s.SaveSilence(t.Context(), record.Silence{ID: record.ID(i + 1), Reason: "a test", From: noon, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	retain(t, s, store.Retention{Changes: 24 * time.Hour, Incidents: 24 * time.Hour}, later)
	for table, want := range map[string]int64{"transitions": 1, "key_changes": 1, "holds": 2, "incidents": 3, "silences": 1} {
		if got := count(t, path, `SELECT count(*) FROM `+table); got != want {
			t.Errorf("%d rows of %s are kept, want %d", got, table, want)
		}
	}
	retain(t, s, store.Retention{Incidents: time.Second}, later.AddDate(1, 0, 0))
	in := record.Incident{ID: record.At(later) + 100, Subject: llm.OpenAI, State: record.Ongoing, Began: later}
	if err := s.SaveIncident(t.Context(), &in, nil); err != nil || in.Number != 5 {
		t.Errorf("the next incident has number %d (%v), want 5", in.Number, err)
	}
}

func TestRetainLooksEachMinuteAndTriesAgainWhatFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		s := mustOpen(t, store.Options{Path: path})
		run(t, s)
		old := time.Now().AddDate(30, 0, 0) // the bubble's clock begins before record.Epoch
		time.Sleep(time.Until(old))
		s.Record(served(record.At(old), old))
		mustFlush(t, s)
		ended := make(chan error, 1)
		go func() { ended <- s.Retain(t.Context(), store.Retention{Traces: 90 * time.Second}) }()
		has := func(want int) {
			t.Helper()
			synctest.Wait()
			if got, err := s.Traces(t.Context(), store.TraceQuery{}); err != nil || len(got) != want {
				t.Errorf("%d traces (%v), want %d", len(got), err, want)
			}
		}
		time.Sleep(store.RetainEvery + time.Second)
		has(1)
		if err := store.OnWriter(t.Context(), s, "PRAGMA query_only = 1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(store.RetainEvery)
		has(1)
		if st := s.Stats(); st.RetentionError == "" {
			t.Error("a look that failed is not told")
		}
		if err := store.OnWriter(t.Context(), s, "PRAGMA query_only = 0"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(store.RetainEvery)
		has(0)
		if st := s.Stats(); st.RetentionError != "" || st.Removed != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}
