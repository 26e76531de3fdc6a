package store_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/parquet-go/parquet-go"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

func quiet(int64, time.Time) {}

// mustBeSound checks a database, of which every rollup must be compared that
// can be.
func mustBeSound(t testing.TB, path string) {
	t.Helper()
	found, err := store.Check(t.Context(), path, func(string) {})
	if err != nil || !found.Sound() || len(found.Drifts) != 6 {
		t.Errorf("check: %+v, %v", found, err)
	}
}

// writing records a trace every 50 ms until the function it gives is called.
func writing(t *testing.T, s *store.Store) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ids := record.NewIDs(2, record.At(noon.AddDate(0, 0, 9)))
		tick := time.NewTicker(store.CommitEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				at := noon.AddDate(0, 0, 10)
				s.Record(served(ids.Next(at), at))
			}
		}
	}()
	return func() { cancel(); <-ended }
}

func TestABackupIsWholeWhileTheRecordIsWrittenAndOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "test.db"), filepath.Join(dir, "copy.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	fill(t, s, 20_000, noon, time.Second)
	stop := writing(t, s)
	defer stop()
	var done, about int64
	if err := store.Backup(t.Context(), path, copied, func(d, a int64) { done, about = d, a }); err != nil {
		t.Fatal(err)
	}
	if done == 0 || about < done/2 || about > done*2 {
		t.Errorf("the last progress was %d of about %d", done, about)
	}
	mustBeSound(t, copied)
	if n := count(t, copied, `SELECT count(*) FROM traces`); n < 20_000 {
		t.Errorf("the copy has %d traces", n)
	}
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy's mode: %v, %v", info.Mode(), err)
	}
	if err := store.Backup(t.Context(), path, copied, func(int64, int64) {}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one to the same file: %v", err)
	}
	again := mustOpen(t, store.Options{Path: copied})
	run(t, again)
	again.Record(served(record.At(noon.AddDate(0, 1, 0)), noon))
	mustFlush(t, again)
}

func TestABackupThatIsBrokenOffLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	fill(t, s, 100, noon, time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Backup(ctx, path, filepath.Join(dir, "copy.db"), func(int64, int64) {}); err == nil {
		t.Error("it was made")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "copy*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ harm, says string }{
		"a rollup that counts too much": {`UPDATE rollups SET served = served + 1 WHERE span = 3600 AND subject = 0`, "rollups"},
		"a rollup that is missing":      {`DELETE FROM rollups WHERE span = 60 AND start = (SELECT min(start) FROM rollups WHERE span = 60)`, "rollups"},
		"a rollup of nothing":           {`INSERT INTO key_rollups VALUES (86400, 0, 1, 0, 1, 0, 0, 0, 0)`, "rollups"},
		"an attempt without its trace":  {`DELETE FROM traces WHERE id = (SELECT min(trace) FROM attempts)`, "attempts without their trace"},
		"a word that is not there":      {`DELETE FROM targets`, "with a word that is not there"},
		"a notice without its incident": {`INSERT INTO notices VALUES (1, 77, '', '', 0, 0, 0, 0, '', '', '')`, "incidents"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			s := mustOpen(t, store.Options{Path: path})
			run(t, s)
			fill(t, s, 200, noon, time.Second)
			mustBeSound(t, path)
			if _, err := raw(t, path).Exec(test.harm); err != nil {
				t.Fatal(err)
			}
			found, err := store.Check(t.Context(), path, func(string) {})
			if err != nil || found.Sound() {
				t.Fatalf("%+v, %v", found, err)
			}
			if said := strings.Join(found.Faults, "\n"); test.says != "rollups" && !strings.Contains(said, test.says) {
				t.Errorf("it says %q, want %q", said, test.says)
			}
		})
	}
}

func TestCheckTellsOfAPageThatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	stop := run(t, s)
	fill(t, s, 5000, noon, time.Second)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	damage(t, path, "traces")
	found, err := store.Check(t.Context(), path, func(string) {})
	if err != nil || len(found.Faults) == 0 {
		t.Errorf("%+v, %v", found, err)
	}
}

// settle has all that is in the log go to the file, and empties the writer's cache.
func settle(t testing.TB, s *store.Store) {
	t.Helper()
	for _, pragma := range []string{"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA shrink_memory"} {
		if err := store.OnWriter(t.Context(), s, pragma); err != nil {
			t.Fatal(err)
		}
	}
}

// damage overwrites the page of a table on which its rows begin, and gives the
// function that mends it.
func damage(t testing.TB, path, table string) (mend func()) {
	t.Helper()
	page := count(t, path, `SELECT rootpage FROM sqlite_schema WHERE name = ?`, table)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	was := make([]byte, 4096)
	at := (page - 1) * 4096
	if _, err := f.ReadAt(was, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 4096), at); err != nil {
		t.Fatal(err)
	}
	return func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(was, at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNeitherCheckNorBackupNorExportTakesAForeignFile(t *testing.T) {
	dir := t.TempDir()
	text, foreign := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "songs.db")
	if err := os.WriteFile(text, []byte("Buy milk, and a few other things.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, foreign).Exec(`CREATE TABLE songs (title)`); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{text: store.ErrNotDatabase, foreign: store.ErrNotDatabase, filepath.Join(dir, "none"): fs.ErrNotExist} {
		_, checked := store.Check(t.Context(), path, func(string) {})
		backedUp := store.Backup(t.Context(), path, filepath.Join(dir, "copy"), func(int64, int64) {})
		exported := store.Export(t.Context(), path, store.CSV, noon, noon, &bytes.Buffer{}, quiet)
		for _, err := range []error{checked, backedUp, exported} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", filepath.Base(path), err, want)
			}
		}
	}
}

func TestRebuiltRollupsAreThoseThatWereWrittenAlong(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		bounded := store.Bounded(store.Options{Path: path}, 50, 4, 20)
		s, end := mustBegin(t, bounded)
		ids, at := record.NewIDs(0, 0), noon
		for range rapid.IntRange(1, 30).Draw(rt, "traces") {
			at = at.Add(drawDuration(rt, "gap"))
			trace := drawTrace(rt, ids.Next(at))
			s.Record(&trace)
			if rapid.Bool().Draw(rt, "flush") {
				mustFlush(t, s)
			}
		}
		mustFlush(t, s)
		if rapid.Bool().Draw(rt, "retention") {
			retain(t, s, store.Retention{Traces: time.Hour, Minutes: 2 * time.Hour}, at)
		}
		end()
		s = mustOpen(t, bounded)
		before := everything(t, path)
		drifts, err := s.Rebuild(t.Context(), quiet)
		if err != nil {
			rt.Fatal(err)
		}
		for _, d := range drifts {
			if d.Rows != 0 {
				rt.Errorf("drift: %+v", d)
			}
		}
		if after := everything(t, path); after != before {
			rt.Errorf("the rebuild changed the rollups:\n%s\nbefore\n%s", after, before)
		}
	})
}

// mustBegin opens a store whose writer runs until the function it gives is
// called, which closes it, too.
func mustBegin(t testing.TB, o store.Options) (s *store.Store, end func()) {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	return s, func() {
		t.Helper()
		if err := errors.Join(stop(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// everything dumps both tables of rollups.
func everything(t testing.TB, path string) string {
	t.Helper()
	var b strings.Builder
	for _, q := range []string{
		`SELECT span || ' ' || start || ' ' || subject || ' ' || simulated || ' ' || served || ' ' || failed || ' ' || throttled || ' ' || other || ' '
			|| cancelled || ' ' || input_tokens || ' ' || output_tokens || ' ' || cost || ' ' || hex(took) || ' ' || hex(ttft) FROM rollups ORDER BY span, start, subject, simulated`,
		`SELECT span || ' ' || start || ' ' || key || ' ' || simulated || ' ' || requests || ' ' || throttled || ' ' || input_tokens || ' ' || output_tokens || ' ' || cost
			FROM key_rollups ORDER BY span, start, key, simulated`,
	} {
		rows, err := raw(t, path).Query(q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			b.WriteString(line + "\n")
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestRebuildMendsRollupsAndABrokenOffOneChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, end := mustBegin(t, store.Options{Path: path})
	fill(t, s, 12_000, noon, time.Second)
	if _, err := s.Rebuild(t.Context(), quiet); err == nil {
		t.Error("it rebuilds beside the writer")
	}
	if err := s.SeedRollups(t.Context(), store.Hour, []store.Rollup{{Start: noon, Target: gemini, Simulated: true, Served: 7}}); err != nil {
		t.Fatal(err)
	}
	end()
	s = mustOpen(t, store.Options{Path: path})
	want := everything(t, path)
	for _, harm := range []string{`UPDATE rollups SET took = ttft, cost = cost / 2 WHERE simulated = 0`, `DELETE FROM key_rollups`} {
		if _, err := raw(t, path).Exec(harm); err != nil {
			t.Fatal(err)
		}
	}
	harmed := everything(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := s.Rebuild(ctx, func(int64, time.Time) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
	if everything(t, path) != harmed {
		t.Error("a rebuild that was broken off has changed something")
	}
	drifts, err := s.Rebuild(t.Context(), quiet)
	if err != nil || len(drifts) != 6 || drifts[0].Rows == 0 || drifts[1].Rows == 0 || !drifts[0].First.Equal(noon) {
		t.Errorf("%+v, %v", drifts, err)
	}
	if everything(t, path) != want {
		t.Error("the rebuilt rollups are not those of before")
	}
}

// columnar is some columns of a Parquet file, as a reader of it names them.
type columnar struct {
	ID       string    `parquet:"id"`
	Accepted time.Time `parquet:"accepted,timestamp(microsecond)"`
	Model    string    `parquet:"model"`
	Took     int64     `parquet:"took_us"`
	Cost     int64     `parquet:"cost_usd,decimal(9:18)"`
	Attempts []struct {
		Key string `parquet:"key"`
	} `parquet:"attempts,list"`
}

func TestAnExportIsEveryTraceOfTheSpanInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	fill(t, s, 2500, noon, time.Second)
	from, to := noon.Add(10*time.Second), noon.Add(2300*time.Second)
	var lines, table, columns bytes.Buffer
	var told int64
	for format, out := range map[store.Format]*bytes.Buffer{store.NDJSON: &lines, store.CSV: &table, store.Parquet: &columns} {
		err := store.Export(t.Context(), path, format, from, to, out, func(n int64, _ time.Time) { told = n })
		if err != nil || told != 2290 {
			t.Fatalf("%s: %d traces, %v", format, told, err)
		}
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 2291 {
		t.Fatalf("%d lines of CSV, %v", len(rows), err)
	}
	packed, err := parquet.Read[columnar](bytes.NewReader(columns.Bytes()), int64(columns.Len()))
	if err != nil || len(packed) != 2290 {
		t.Fatalf("%d rows of Parquet, %v", len(packed), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	decode := json.NewDecoder(&lines)
	for i := range 2290 {
		var line struct {
			ID       string
			Accepted time.Time
			CostUSD  string `json:"cost_usd"`
			TookUS   int64  `json:"took_us"`
			Served   map[string]string
			Usage    map[string]int64
			Attempts []map[string]any
		}
		if err := decode.Decode(&line); err != nil {
			t.Fatal(err)
		}
		id, err := record.ParseID(line.ID)
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Trace(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if at := from.Add(time.Duration(i) * time.Second); !line.Accepted.Equal(at) || line.CostUSD != want.Cost.String() ||
			line.TookUS != want.Took.Microseconds() || line.Served["model"] != want.Served.Model || len(line.Attempts) != len(want.Attempts) {
			t.Fatalf("line %d: %+v, want %+v", i, line, want)
		}
		row := func(name string) string { return rows[i+1][column[name]] }
		got := []string{row("id"), row("took_us"), row("output_tokens"), row("cost_usd"), row("key"), row("attempts")}
		told := []string{line.ID, strconv.FormatInt(line.TookUS, 10), "240", line.CostUSD, "main", strconv.Itoa(len(want.Attempts))}
		if !reflect.DeepEqual(got, told) {
			t.Fatalf("line %d of CSV: %v, want %v", i, got, told)
		}
		p := packed[i]
		if p.ID != line.ID || !p.Accepted.Equal(line.Accepted) || p.Took != line.TookUS || p.Cost != int64(want.Cost) || p.Model != want.Served.Model ||
			len(p.Attempts) != len(want.Attempts) || p.Attempts[0].Key != want.Attempts[0].Key {
			t.Fatalf("row %d of Parquet: %+v, want %+v", i, p, want)
		}
	}
	if err := store.Export(t.Context(), path, "xml", from, to, &lines, quiet); err == nil {
		t.Error("it writes XML")
	}
}
