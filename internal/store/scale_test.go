package store_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

var scale = flag.Int("scale", 0, "traces of the database that TestReadingAtScale builds, over 90 days; 0 leaves it out")

// pageTime is what reading for a page may take at any size of the record.
const pageTime = 50 * time.Millisecond

// daysAtScale is how far back the traces of TestReadingAtScale reach.
const daysAtScale = 90

// TestReadingAtScale measures what opening, pages and searches take, on a
// database of as many traces as the flag says: one day is written as always,
// the others are copies of it.
// go test ./internal/store -run AtScale -scale 50000000 -v -timeout 60m
func TestReadingAtScale(t *testing.T) {
	if *scale == 0 {
		t.Skip("only with -scale")
	}
	path := buildAtScale(t, *scale)
	openAtScale(t, path, buildAtScale(t, *scale/50))
	s := mustOpen(t, store.Options{Path: path})
	now := noon.Truncate(24*time.Hour).AddDate(0, 0, daysAtScale)
	readAtScale(t, s, now)
	run(t, s)
	searchAtScale(t, s, now)
	retainAtScale(t, s, now)
}

// buildAtScale makes a database of n traces, all of which is on the disk.
func buildAtScale(t *testing.T, n int) string {
	path := filepath.Join(t.TempDir(), "scale.db")
	s, end := mustBegin(t, store.Options{Path: path, Queue: n})
	began := time.Now()
	fillDay(t, s, noon.Truncate(24*time.Hour), n/daysAtScale)
	t.Logf("a day of %d traces written in %v", n/daysAtScale, time.Since(began).Round(time.Millisecond))
	end()
	began = time.Now()
	db := raw(t, path)
	copyDays(t, db)
	fillChanges(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("copied to %d days of %d MB in %v", daysAtScale, info.Size()>>20, time.Since(began).Round(time.Second))
	return path
}

// openAtScale measures by turns how long a large and a small database take to
// open, with their pages in memory and without.
func openAtScale(t *testing.T, large, small string) {
	for _, cold := range []bool{false, true} {
		took := map[string][]time.Duration{}
		for range 7 {
			for _, path := range []string{large, small} {
				if cold {
					forget(t, path)
				}
				began := time.Now()
				s, err := store.Open(t.Context(), store.Options{Path: path})
				took[path] = append(took[path], time.Since(began))
				if err == nil {
					err = s.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		slices.Sort(took[large])
		slices.Sort(took[small])
		t.Logf("opened, forgotten by the system: %t; large: least %v, median %v; small: least %v, median %v", cold,
			took[large][0].Round(10*time.Microsecond), took[large][3].Round(10*time.Microsecond),
			took[small][0].Round(10*time.Microsecond), took[small][3].Round(10*time.Microsecond))
		if took[large][3] > time.Second {
			t.Errorf("opening took %v", took[large][3])
		}
	}
}

// forget has the system drop what it keeps of a file in memory, which GNU dd
// knows how to ask for.
func forget(t *testing.T, path string) {
	if out, err := exec.Command("dd", "if="+path, "iflag=nocache", "count=0", "status=none").CombinedOutput(); err != nil {
		t.Logf("what the system has of %s stays in memory: %v: %s", path, err, out)
	}
}

// reads are what pages and commands read, by name. Each gives its rows.
type reads map[string]func(context.Context) (int, error)

// readAtScale measures what pages read, each for itself.
func readAtScale(t *testing.T, s *store.Store, now time.Time) {
	for name, read := range ofTraffic(s, now) {
		timeRead(t, name, read)
	}
	for name, read := range ofChanges(s, now) {
		timeRead(t, name, read)
	}
}

func timeRead(t *testing.T, name string, read func(context.Context) (int, error)) {
	var took []time.Duration
	var rows int
	for range 11 {
		at := time.Now()
		var err error
		if rows, err = read(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		took = append(took, time.Since(at))
	}
	first := took[0]
	slices.Sort(took)
	t.Logf("%-28s %6d rows, first %8v, least %8v, median %8v", name, rows, first.Round(10*time.Microsecond),
		took[0].Round(10*time.Microsecond), took[5].Round(10*time.Microsecond))
	if took[5] > pageTime {
		t.Errorf("%s takes %v", name, took[5])
	}
}

// ofTraffic reads traces and rollups.
func ofTraffic(s *store.Store, now time.Time) reads {
	first := now.AddDate(0, 0, -daysAtScale)
	middle := record.At(now.AddDate(0, 0, -daysAtScale/2))
	month := now.AddDate(0, 0, -30)
	return reads{
		"the last hour by minute": func(ctx context.Context) (int, error) {
			return counted(s.Rollups(ctx, store.Minute, now.Add(-time.Hour), now))
		},
		"90 days by day": func(ctx context.Context) (int, error) { return counted(s.Rollups(ctx, store.Day, first, now)) },
		"a week by hour": func(ctx context.Context) (int, error) {
			return counted(s.Rollups(ctx, store.Hour, now.AddDate(0, 0, -7), now))
		},
		"a provider's hour by minute": func(ctx context.Context) (int, error) {
			return counted(s.RollupsOf(ctx, store.Minute, llm.Claude, now.Add(-time.Hour), now))
		},
		"a provider's day by minute": func(ctx context.Context) (int, error) {
			return counted(s.RollupsOf(ctx, store.Minute, llm.Claude, now.Add(-24*time.Hour), now))
		},
		"a provider's month by hour": func(ctx context.Context) (int, error) {
			return counted(s.RollupsOf(ctx, store.Hour, llm.Claude, month, now))
		},
		"a month's spend": func(ctx context.Context) (int, error) {
			spend, err := s.Spend(ctx, month.Add(-time.Minute), now)
			return len(spend), err
		},
		"a month of keys":       func(ctx context.Context) (int, error) { return counted(s.KeyUsage(ctx, llm.Claude, month, now)) },
		"whole from when":       func(ctx context.Context) (int, error) { _, err := s.WholeFrom(ctx, first, now); return 1, err },
		"the newest 100 traces": func(ctx context.Context) (int, error) { return counted(s.Traces(ctx, store.TraceQuery{})) },
		"100 traces of the middle": func(ctx context.Context) (int, error) {
			return counted(s.Traces(ctx, store.TraceQuery{Before: middle}))
		},
		"the newest 100 that failed": func(ctx context.Context) (int, error) {
			return counted(s.Traces(ctx, store.TraceQuery{Outcome: record.Failed}))
		},
		"a trace and those beside it": func(ctx context.Context) (int, error) {
			older, _, err := s.Beside(ctx, middle)
			if err == nil {
				_, err = s.Trace(ctx, older)
			}
			return 1, err
		},
		"the last id": func(ctx context.Context) (int, error) { _, err := s.LastID(ctx); return 1, err },
	}
}

// ofChanges reads transitions, holds, changes of keys and incidents.
func ofChanges(s *store.Store, now time.Time) reads {
	first := now.AddDate(0, 0, -daysAtScale)
	return reads{
		"2,000 transitions":     func(ctx context.Context) (int, error) { return counted(s.TransitionsOf(ctx, llm.Claude, first, 2000)) },
		"transitions of nobody": func(ctx context.Context) (int, error) { return counted(s.TransitionsOf(ctx, llm.Local, first, 2000)) },
		"90 days of holds": func(ctx context.Context) (int, error) {
			return counted(s.HoldsBetween(ctx, llm.Claude, first, now, 2000))
		},
		"holds that stand": func(ctx context.Context) (int, error) { return counted(s.Holds(ctx, now)) },
		"10 changes of keys": func(ctx context.Context) (int, error) {
			return counted(s.KeyChanges(ctx, llm.Claude, now.AddDate(0, 0, -7), 10))
		},
		"changes of nobody's": func(ctx context.Context) (int, error) {
			return counted(s.KeyChanges(ctx, llm.Local, now.AddDate(0, 0, -7), 10))
		},
		"90 days of incidents":  func(ctx context.Context) (int, error) { return counted(s.Incidents(ctx, first, 200)) },
		"incidents that last":   func(ctx context.Context) (int, error) { return counted(s.OpenIncidents(ctx)) },
		"an incident":           func(ctx context.Context) (int, error) { in, err := s.Incident(ctx, 100); return len(in.Timeline), err },
		"an incident's notices": func(ctx context.Context) (int, error) { return counted(s.Notices(ctx, record.At(first))) },
		"notices that are due":  func(ctx context.Context) (int, error) { return counted(s.PendingNotices(ctx, now, 100)) },
		"90 days of silences":   func(ctx context.Context) (int, error) { return counted(s.Silences(ctx, first)) },
	}
}

func counted[T any](all []T, err error) (int, error) { return len(all), err }

// retainAtScale removes a day as retention does, while a writer writes, and
// measures how long a commit waits meanwhile.
func retainAtScale(t *testing.T, s *store.Store, now time.Time) {
	wait := func() time.Duration {
		at := time.Now()
		s.Record(served(record.At(now)+record.ID(at.UnixNano()&0xffffffffff), now))
		mustFlush(t, s)
		return time.Since(at)
	}
	var alone, beside []time.Duration
	for range 200 {
		alone = append(alone, wait())
	}
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- store.RetainAt(t.Context(), s, store.Retention{Traces: 89 * 24 * time.Hour}, now) }()
	for under := true; under; {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			under = false
		default:
			beside = append(beside, wait())
		}
	}
	slices.Sort(alone)
	slices.Sort(beside)
	t.Logf("%d rows removed in %v; a commit takes %v at the median and %v at p99 alone, %v and %v beside it",
		s.Stats().Removed, time.Since(began).Round(time.Millisecond), alone[len(alone)/2].Round(10*time.Microsecond),
		alone[len(alone)*99/100].Round(10*time.Microsecond), beside[len(beside)/2].Round(10*time.Microsecond),
		beside[len(beside)*99/100].Round(10*time.Microsecond))
}

// fillDay records n traces over a day, on three targets; one in 20 failed over
// and one in 1000 failed.
func fillDay(t *testing.T, s *store.Store, day time.Time, n int) {
	ids := record.NewIDs(1, 0)
	every := 24 * time.Hour / time.Duration(n+1)
	for i := range n {
		at := day.Add(time.Duration(i) * every)
		trace := served(ids.Next(at), at)
		if i%20 == 0 {
			trace = failedOver(trace.ID, at)
		}
		last := &trace.Attempts[len(trace.Attempts)-1]
		last.Key = fmt.Sprintf("key %d", i%3)
		if target := []llm.Target{claude, openai, gemini}[i%3]; i%20 != 0 {
			trace.Served, last.Target = target, target
		}
		if i%1000 == 1 {
			trace.Outcome, trace.Served, last.Class = record.Failed, llm.Target{}, llm.Server
		}
		// Latencies differ, as real ones do, so that the sketches have their size.
		more := time.Duration(i*7919%4000) * time.Millisecond
		trace.Took, last.Took = trace.Took+more, last.Took+more
		trace.TTFT, last.TTFT = trace.TTFT+more/4, last.TTFT+more/4
		if trace.Took > 24*time.Hour-time.Duration(i)*every {
			trace.Took, last.Took = time.Millisecond, time.Millisecond // ends within the day
		}
		s.Record(trace)
	}
	mustFlush(t, s)
}

// fillChanges records far more changes than there are, day by day: 400
// transitions, 1,000 changes of keys and 40 holds, for one of three providers
// each, and 5 incidents of 10 events and 4 notices.
func fillChanges(t *testing.T, db *sql.DB) {
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	each := func(daily int, of func(at time.Time, id record.ID, target llm.Target)) {
		for i := range daysAtScale * daily {
			at := noon.Truncate(24 * time.Hour).Add(time.Duration(i) * 24 * time.Hour / time.Duration(daily))
			of(at, record.At(at), []llm.Target{claude, openai, gemini}[i%3])
		}
	}
	exec := func(statement string, args ...any) {
		if _, err := tx.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	each(400, func(at time.Time, id record.ID, of llm.Target) {
		exec(`INSERT INTO transitions VALUES (?,?,?,?,?,'closed','open','3 failures in a row',0)`, id, at.UnixMicro(), of.Provider, of.Endpoint, of.Model)
	})
	each(1000, func(at time.Time, id record.ID, of llm.Target) {
		exec(`INSERT INTO key_changes VALUES (?,?,?,?,'main','abcd','ready','limited',?,?,'HTTP 429',0)`, id, at.UnixMicro(), of.Provider, of.Endpoint, of.Model, at.Add(time.Minute).UnixMicro())
	})
	each(40, func(at time.Time, id record.ID, of llm.Target) {
		exec(`INSERT INTO holds VALUES (?,?,?,?,'anomaly','slow',?,?,?,'well again')`, id, of.Provider, of.Endpoint, of.Model,
			at.UnixMicro(), at.Add(time.Minute).UnixMicro(), at.Add(30*time.Second).UnixMicro())
	})
	number := 0
	each(5, func(at time.Time, id record.ID, of llm.Target) {
		number++
		exec(`INSERT INTO incidents (id, number, subject, state, title, began, opened, ended) VALUES (?,?,?,'resolved','does not answer',?,?,?)`,
			id, number, of.Provider, at.UnixMicro(), at.UnixMicro(), at.Add(time.Hour).UnixMicro())
		for n := range 10 {
			exec(`INSERT INTO incident_events (incident, n, at, kind, text) VALUES (?,?,?,'note','The provider is slow to answer, and others serve its callers.')`, id, n, at.UnixMicro())
		}
		for n := range 4 {
			exec(`INSERT INTO notices (id, incident, channel, kind, created, sent, attempts, receipt, error) VALUES (?,?,'chat','opened',?,?,1,'ok','')`,
				id+record.ID(n), id, at.UnixMicro(), at.UnixMicro())
		}
		exec(`INSERT INTO silences VALUES (?,1,?,'','upgrade','anna',?,?,NULL,'')`, id, of.Provider, at.UnixMicro(), at.Add(time.Hour).UnixMicro())
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// copyDays makes the days after the first one of it.
func copyDays(t *testing.T, db *sql.DB) {
	if _, err := db.Exec(`PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 20000;
		CREATE TEMP TABLE day AS SELECT * FROM traces; CREATE TEMP TABLE tries AS SELECT * FROM attempts;
		CREATE TEMP TABLE sums AS SELECT * FROM rollups; CREATE TEMP TABLE keysums AS SELECT * FROM key_rollups;`); err != nil {
		t.Fatal(err)
	}
	step := int64(record.At(noon.Add(24*time.Hour)) - record.At(noon))
	for d := range daysAtScale - 1 {
		for table, shift := range map[string]struct {
			column string
			by     int64
		}{"day": {"id", step}, "tries": {"trace", step}, "sums": {"start", 86400}, "keysums": {"start", 86400}} {
			into := map[string]string{"day": "traces", "tries": "attempts", "sums": "rollups", "keysums": "key_rollups"}[table]
			for _, q := range []string{
				fmt.Sprintf(`UPDATE temp.%s SET %s = %s + %d`, table, shift.column, shift.column, shift.by),
				fmt.Sprintf(`INSERT INTO main.%s SELECT * FROM temp.%s`, into, table),
			} {
				if _, err := db.Exec(q); err != nil {
					t.Fatalf("day %d: %v", d, err)
				}
			}
		}
	}
}
