package store_test

import (
	"flag"
	"fmt"
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

// TestReadingAtScale measures what pages and searches take, on a database of
// as many traces as the flag says: one day is written as always, the others
// are copies of it. go test ./internal/store -run AtScale -scale 50000000 -v
func TestReadingAtScale(t *testing.T) {
	if *scale == 0 {
		t.Skip("only with -scale")
	}
	const days = 90
	path := filepath.Join(t.TempDir(), "scale.db")
	day := noon.Truncate(24 * time.Hour)
	s, end := mustBegin(t, store.Options{Path: path, Queue: *scale})
	began := time.Now()
	fillDay(t, s, day, *scale/days)
	t.Logf("a day of %d traces written in %v", *scale/days, time.Since(began).Round(time.Millisecond))
	end()
	began = time.Now()
	copyDays(t, path, days)
	fillChanges(t, path, days)
	t.Logf("copied to %d days in %v", days, time.Since(began).Round(time.Second))

	began = time.Now()
	s = mustOpen(t, store.Options{Path: path})
	opened := time.Since(began)
	t.Logf("%d MB opened in %v", s.Stats().SizeBytes>>20, opened.Round(time.Millisecond))
	if opened > time.Second {
		t.Errorf("opening took %v", opened)
	}
	now := day.AddDate(0, 0, days)
	ctx := t.Context()
	middle := record.At(day.AddDate(0, 0, days/2))
	for name, read := range map[string]func() (int, error){
		"the last hour by minute": func() (int, error) { return counted(s.Rollups(ctx, store.Minute, now.Add(-time.Hour), now)) },
		"90 days by day":          func() (int, error) { return counted(s.Rollups(ctx, store.Day, day, now)) },
		"a week by hour":          func() (int, error) { return counted(s.Rollups(ctx, store.Hour, now.AddDate(0, 0, -7), now)) },
		"a provider's day by minute": func() (int, error) {
			return counted(s.RollupsOf(ctx, store.Minute, llm.Claude, now.Add(-24*time.Hour), now))
		},
		"a provider's month by hour": func() (int, error) {
			return counted(s.RollupsOf(ctx, store.Hour, llm.Claude, now.AddDate(0, 0, -30), now))
		},
		"2,000 transitions": func() (int, error) { return counted(s.TransitionsOf(ctx, llm.Claude, day, 2000)) },
		"90 days of holds":  func() (int, error) { return counted(s.HoldsBetween(ctx, llm.Claude, day, now, store.MaxLimit)) },
		"a month's spend": func() (int, error) {
			spend, err := s.Spend(ctx, now.Add(-30*24*time.Hour-time.Minute), now)
			return len(spend), err
		},
		"a month of keys":            func() (int, error) { return counted(s.KeyUsage(ctx, llm.Claude, now.AddDate(0, 0, -30), now)) },
		"the newest 100 traces":      func() (int, error) { return counted(s.Traces(ctx, store.TraceQuery{})) },
		"100 traces of the middle":   func() (int, error) { return counted(s.Traces(ctx, store.TraceQuery{Before: middle})) },
		"the newest 100 that failed": func() (int, error) { return counted(s.Traces(ctx, store.TraceQuery{Outcome: record.Failed})) },
		"the last id":                func() (int, error) { _, err := s.LastID(ctx); return 1, err },
	} {
		var took []time.Duration
		var rows int
		for range 11 {
			at := time.Now()
			var err error
			if rows, err = read(); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(at))
		}
		first := took[0]
		slices.Sort(took)
		t.Logf("%-28s %6d rows, first %8v, median %8v", name, rows, first.Round(10*time.Microsecond), took[5].Round(10*time.Microsecond))
		if took[5] > pageTime {
			t.Errorf("%s takes %v", name, took[5])
		}
	}
	searchAtScale(t, s, now)
	retainAtScale(t, s, now)
}

func counted[T any](all []T, err error) (int, error) { return len(all), err }

// retainAtScale removes a day as retention does, while a writer writes, and
// measures how long a commit waits meanwhile.
func retainAtScale(t *testing.T, s *store.Store, now time.Time) {
	stop := run(t, s)
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
	if err := stop(); err != nil {
		t.Error(err)
	}
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

// fillChanges records more changes than a page reads: 400 transitions and 40
// holds a day, for one of three providers each.
func fillChanges(t *testing.T, path string, days int) {
	db := raw(t, path)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for i := range days * 400 {
		at := noon.Truncate(24 * time.Hour).Add(time.Duration(i) * 24 * time.Hour / 400)
		target := []llm.Target{claude, openai, gemini}[i%3]
		if _, err := tx.Exec(`INSERT INTO transitions VALUES (?,?,?,?,?,'closed','open','3 failures in a row',0)`,
			record.At(at), at.UnixMicro(), target.Provider, target.Endpoint, target.Model); err != nil {
			t.Fatal(err)
		}
		if i%10 > 0 {
			continue
		}
		if _, err := tx.Exec(`INSERT INTO holds VALUES (?,?,?,?,'anomaly','slow',?,?,?,'well again')`,
			record.At(at), target.Provider, target.Endpoint, target.Model, at.UnixMicro(), at.Add(time.Minute).UnixMicro(), at.Add(30*time.Second).UnixMicro()); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// copyDays makes the days after the first one of it.
func copyDays(t *testing.T, path string, days int) {
	db := raw(t, path)
	if _, err := db.Exec(`PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 20000;
		CREATE TEMP TABLE day AS SELECT * FROM traces; CREATE TEMP TABLE tries AS SELECT * FROM attempts;
		CREATE TEMP TABLE sums AS SELECT * FROM rollups; CREATE TEMP TABLE keysums AS SELECT * FROM key_rollups;`); err != nil {
		t.Fatal(err)
	}
	step := int64(record.At(noon.Add(24*time.Hour)) - record.At(noon))
	for d := range days - 1 {
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
