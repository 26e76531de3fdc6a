package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"

	"breakwater/migrations"
)

// ErrOlder says that a database has to be brought up to date first.
var ErrOlder = errors.New("the database was written by an older Breakwater: start this one once, and it is brought up to date")

// look opens a database only to read it, beside a Breakwater that may be
// writing to it.
func look(ctx context.Context, path string) (*sql.DB, error) {
	if err := whole(path); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: fmt.Sprintf("mode=ro&_busy_timeout=%d", busyTimeout.Milliseconds())}
	db, err := sql.Open("sqlite3", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var application int64
	if err = db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&application); err == nil && application != applicationID {
		err = ErrNotDatabase
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, nil
}

// whole says whether there is an SQLite file.
func whole(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	start := make([]byte, len(header))
	if n, err := io.ReadFull(f, start); err != nil || string(start[:n]) != header {
		return fmt.Errorf("%s: %w", path, ErrNotDatabase)
	}
	return nil
}

// current says whether a database has the schema that this program knows.
func current(ctx context.Context, db *sql.DB) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.FS)
	if err != nil {
		return err
	}
	var has int64
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version`).Scan(&has); err != nil {
		return err
	}
	sources := provider.ListSources()
	switch knows := sources[len(sources)-1].Version; {
	case has < knows:
		return ErrOlder
	case has > knows:
		return ErrNewer
	}
	return nil
}

// Backup copies a database to a file that does not exist yet, as it is at one
// instant and without the room that is free in it, while a Breakwater may be
// writing to it. It tells progress how many bytes of about how many are
// written. The file has its name only when it is complete.
func Backup(ctx context.Context, path, file string, progress func(done, about int64)) error {
	if err := backup(ctx, path, file, progress); err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	return nil
}

func backup(ctx context.Context, path, file string, progress func(done, about int64)) (err error) {
	if err := absent(file); err != nil {
		return err
	}
	db, err := look(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	var count, free, size int64
	if err := db.QueryRowContext(ctx, pages).Scan(&count, &free, &size); err != nil {
		return err
	}
	part := file + ".part"
	made, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: of a backup that is under way, or was broken off; then remove it", part)
	}
	if err != nil {
		return err
	}
	defer func() {
		made.Close()
		if err != nil {
			os.Remove(part)
			os.Remove(part + "-journal") // SQLite's own, which stays when the disk is full
		}
	}()
	copied := make(chan error, 1)
	go func() {
		_, err := db.ExecContext(ctx, `VACUUM INTO ?`, part)
		copied <- err
	}()
	if err := await(copied, func() {
		if info, err := made.Stat(); err == nil {
			progress(info.Size(), (count-free)*size)
		}
	}); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := made.Sync(); err != nil {
		return err
	}
	if err := absent(file); err != nil {
		return err
	}
	return os.Rename(part, file)
}

// lookEvery is how often progress is told.
const lookEvery = time.Second

// await waits for a result, and calls each meanwhile and at a good end.
func await(result <-chan error, each func()) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-result:
			if err == nil {
				each()
			}
			return err
		case <-tick.C:
			each()
		}
	}
}

func absent(file string) error {
	_, err := os.Lstat(file)
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w, and a backup overwrites nothing", file, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// Findings are what Check found.
type Findings struct {
	Faults  []string // of the file and of what refers to what, in words
	Drifts  []Drift  // of the rollups, those without fault included
	Journal JournalFindings
}

// Sound says whether there is nothing wrong.
func (f Findings) Sound() bool {
	for _, d := range f.Drifts {
		if d.Rows > 0 {
			return false
		}
	}
	return len(f.Faults) == 0
}

// Check looks at a whole database at one instant: whether the file is sound,
// whether what rows refer to is there, and whether the rollups are what the
// raw rows come to, and what waits in its journal. It changes nothing. progress is told what is looked at,
// and how far it has come. An error means that it could not be checked.
func Check(ctx context.Context, path string, progress func(step string)) (Findings, error) {
	f, err := check(ctx, path, progress)
	if broken(err) { // so much that not even this can be looked at
		f.Faults = append(f.Faults, err.Error())
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("store: check: %w", err)
	}
	return f, nil
}

func check(ctx context.Context, path string, progress func(step string)) (f Findings, err error) {
	db, err := look(ctx, path)
	if err != nil {
		return f, err
	}
	defer db.Close()
	if err := current(ctx, db); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	progress("the journal")
	seen, err := seeJournal(ctx, path, db)
	if err != nil {
		return f, err
	}
	w, err := newWriter(ctx, db, mostWords())
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if _, err := w.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return f, err
	}
	defer w.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	_, written, err := journalOf(ctx, w.conn)
	if err != nil {
		return f, err
	}
	f.Journal = seen.against(written)
	for _, c := range checks() {
		if f.Faults, err = c.watched(ctx, w.conn, f.Faults, progress); err != nil {
			return f, err
		}
	}
	journal := f.Journal.faults()
	if len(f.Faults) > 0 {
		f.Faults = append(f.Faults, journal...)
		return f, nil // of a file that is broken nothing else can be said
	}
	f.Drifts, err = recount(ctx, w, func(traces int64, at time.Time) {
		progress(fmt.Sprintf("rollups against raw rows: %d traces, up to %s", traces, at.Format(time.DateTime)))
	})
	f.Faults = journal
	return f, err
}

// inspection is a query whose every row is a fault, or several that are counted.
type inspection struct {
	step, query, fault string
}

func checks() []inspection {
	const none = ` <> 0 AND NOT EXISTS (SELECT 1 FROM `
	return []inspection{
		{"the file", `SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'`, ""},
		{"foreign keys", `SELECT 'a row of ' || "table" || ' refers to a row of ' || parent || ' that is not there' FROM pragma_foreign_key_check`, ""},
		{"attempts", `SELECT count(*) FROM attempts WHERE trace NOT IN (SELECT id FROM traces)`, "attempts without their trace"},
		{"traces kept whole", `SELECT count(*) FROM trace_overflow WHERE trace NOT IN (SELECT id FROM traces)`, "traces kept whole without their row"},
		{"words of traces", `SELECT count(*) FROM traces t WHERE t.target` + none + `targets WHERE id = t.target)
			OR t.plan` + none + `plans WHERE id = t.plan) OR t.key` + none + `keys WHERE id = t.key)
			OR t.outcome` + none + `names WHERE id = t.outcome) OR t.door` + none + `names WHERE id = t.door)
			OR t.asked` + none + `names WHERE id = t.asked) OR t.caller` + none + `names WHERE id = t.caller)`, "traces with a word that is not there"},
	}
}

// watched is run, and tells progress how long it has taken, since the query
// itself does not tell how far it has come.
func (i inspection) watched(ctx context.Context, db querier, faults []string, progress func(step string)) ([]string, error) {
	began, done := time.Now(), make(chan error, 1)
	progress(i.step)
	go func() {
		var err error
		faults, err = i.run(ctx, db, faults)
		done <- err
	}()
	err := await(done, func() { progress(fmt.Sprintf("%s, for %v", i.step, time.Since(began).Round(time.Second))) })
	return faults, err
}

// run adds the faults that the query finds.
func (i inspection) run(ctx context.Context, db querier, faults []string) ([]string, error) {
	found, err := query(ctx, db, func(rows *sql.Rows, s *string) error { return rows.Scan(s) }, i.query)
	for _, s := range found {
		switch {
		case i.fault == "":
			faults = append(faults, strings.TrimSpace(s))
		case s != "0":
			faults = append(faults, s+" "+i.fault)
		}
	}
	return faults, err
}

// broken says whether SQLite found a file that is not as it should be.
func broken(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}
