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
	"strconv"
	"time"

	"github.com/pressly/goose/v3"

	"breakwater/migrations"
)

const (
	// applicationID marks the file as ours: "brkw" in ASCII, in the place that
	// https://www.sqlite.org/fileformat2.html#application_id has for it.
	applicationID = 0x62726b77

	// walLimit is the size to which the write-ahead log is cut after a
	// checkpoint, should a long read ever have made it grow.
	walLimit = 64 << 20

	// busyTimeout is how long a connection waits for another one's lock.
	busyTimeout = 5 * time.Second

	header = "SQLite format 3\x00"
)

// Open opens the database, makes it where there is none, and brings its schema
// up to date. Where that cannot be done the error says why and what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (opened *Store, err error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	fresh, err := checkFile(o.Path)
	if err != nil {
		return nil, err
	}
	if o.Queue == 0 {
		o.Queue = DefaultQueue
	}
	if o.Readers == 0 {
		o.Readers = DefaultReaders
	}
	if o.Durability == "" {
		o.Durability = DefaultDurability
	}
	if o.segment == 0 {
		o.segment = SegmentBytes
	}
	if o.bounds == (bounds{}) {
		o.bounds = mostWords()
	}
	locked, err := lock(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			locked.Close()
		}
	}()
	s := &Store{
		locked: locked,
		path:   path,
		queue:  newQueue(o.Queue),
		calls:  make(chan call),
		ended:  make(chan struct{}),
	}
	pragmas := url.Values{"_txlock": {"immediate"}}
	if fresh {
		// Freed pages can only be given back when the file was made for it. Said
		// again of a file that was, it would commit, and a commit works off what
		// a kill left of the write-ahead log, while nobody is served.
		pragmas.Set("_auto_vacuum", "incremental")
	}
	s.writing, err = sql.Open("sqlite3", dsn(path, pragmas))
	if err != nil {
		return nil, err
	}
	s.writing.SetMaxOpenConns(1)
	reading, err := sql.Open("sqlite3", dsn(path, url.Values{"_query_only": {"1"}}))
	if err != nil {
		return nil, errors.Join(err, s.writing.Close())
	}
	s.readers = &reader{DB: reading, idle: o.Readers}
	s.readers.SetMaxOpenConns(o.Readers)
	s.readers.SetMaxIdleConns(o.Readers)

	if err = migrate(ctx, s.writing); err == nil {
		s.writer, err = newWriter(ctx, s.writing, o.bounds)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.Path, err), s.readers.Close(), s.writing.Close())
	}
	if err = s.openJournal(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.Path, err), s.readers.Close(), s.writer.close(), s.writing.Close())
	}
	return s, nil
}

// dsn names the file with the pragmas that every connection needs.
func dsn(path string, more url.Values) string {
	more.Set("_journal_mode", "WAL")
	more.Set("_synchronous", "NORMAL")
	more.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	more.Set("_foreign_keys", "1")
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: more.Encode()}
	return u.String()
}

// checkFile finds what SQLite would only report in words of its own, and makes
// a missing file, readable by its owner alone. It says whether the file is empty.
func checkFile(path string) (fresh bool, err error) {
	if path == "" {
		return false, errors.New("no path was given for the database file")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		folder := filepath.Dir(path)
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("the folder %s does not exist: make it (mkdir -p %s) or choose another path for the database", folder, folder)
		}
	case err != nil:
		return false, fmt.Errorf("the database file cannot be looked at: %w", err)
	case info.IsDir():
		return false, fmt.Errorf("%s is a folder: choose a file in it, such as %s", path, filepath.Join(path, "breakwater.db"))
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not an ordinary file: choose another path for the database", path)
	case info.Mode().Perm()&0o222 == 0:
		return false, readOnly(path, fs.ErrPermission)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrPermission) && info != nil {
		return false, readOnly(path, err)
	}
	if err != nil {
		return false, fmt.Errorf("the database file cannot be made: %w: choose a folder that can be written", err)
	}
	defer f.Close()
	start := make([]byte, len(header))
	n, err := io.ReadFull(f, start)
	if n > 0 && string(start[:n]) != header {
		return false, fmt.Errorf("%s: %w, nor any SQLite file: move it away or choose another path", path, ErrNotDatabase)
	}
	if err != nil && n > 0 {
		return false, fmt.Errorf("the database file cannot be read: %w", err)
	}
	return n == 0, nil
}

func readOnly(path string, err error) error {
	return fmt.Errorf("%w: allow writing (chmod u+w %s) or choose another path: %w", ErrReadOnly, path, err)
}

// migrate refuses a foreign or newer database and applies what is missing.
func migrate(ctx context.Context, db *sql.DB) error {
	var application int64
	var tables int
	err := db.QueryRowContext(ctx, `SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id`).
		Scan(&application, &tables)
	if err != nil {
		return err
	}
	if application != applicationID && (application != 0 || tables > 0) {
		return fmt.Errorf("%w, but one of another program: choose another path", ErrNotDatabase)
	}
	if application == 0 {
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return err
		}
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.FS)
	if err != nil {
		return err
	}
	has, knows, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if has > knows {
		return fmt.Errorf("%w (schema %d, this one knows %d): upgrade Breakwater or choose another path", ErrNewer, has, knows)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bringing the schema up to date: %w", err)
	}
	return nil
}
