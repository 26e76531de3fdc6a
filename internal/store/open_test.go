package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/internal/store"
)

func TestOpenMakesAFileForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a name with spaces, ?, # and %41.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	s.Record(served(1, noon))
	mustFlush(t, s)
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%q has mode %o, want 600", suffix, got)
		}
	}
}

func TestANewFileCanGiveBackItsSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	mustOpen(t, store.Options{Path: path})
	var mode string
	var vacuum int
	err := raw(t, path).QueryRow(`SELECT journal_mode, auto_vacuum FROM pragma_journal_mode, pragma_auto_vacuum`).Scan(&mode, &vacuum)
	if err != nil || mode != "wal" || vacuum != 2 {
		t.Errorf("journal mode %q, auto vacuum %d (%v); want wal and 2, incremental", mode, vacuum, err)
	}
}

// A commit works off the write-ahead log that a kill left, of whatever size.
func TestOpeningAFileThatIsThereCommitsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, end := mustBegin(t, store.Options{Path: path})
	s.Record(served(1, noon))
	end()
	mustOpen(t, store.Options{Path: path})
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() > 0 {
		t.Errorf("the write-ahead log has %d bytes (%v)", info.Size(), err)
	}
}

func TestOpenAgainFindsEverythingAndChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	var before string
	for n := range 3 {
		s, err := store.Open(t.Context(), store.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, s)
		s.Record(served(1, noon))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Trace(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var schema string
		err = raw(t, path).QueryRow(`SELECT group_concat(sql, ';') || (SELECT max(id) FROM goose_db_version) FROM sqlite_schema`).Scan(&schema)
		if err != nil || n > 0 && schema != before {
			t.Errorf("opening for the %d. time changed the schema (%v)", n+1, err)
		}
		before = schema
	}
}

func TestOpenSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	if _, err := raw(t, foreign).Exec(`CREATE TABLE songs (title)`); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	made, err := store.Open(t.Context(), store.Options{Path: newer})
	if err == nil {
		err = made.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, newer).Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		is         error
		says       string
	}{
		{"no path", "", nil, "no path"},
		{"a folder", dir, nil, filepath.Join(dir, "breakwater.db")},
		{"a missing folder", filepath.Join(dir, "none", "x.db"), nil, "mkdir -p " + filepath.Join(dir, "none")},
		{"a file in the place of a folder", filepath.Join(foreign, "x.db"), nil, "cannot be"},
		{"a text file", write("notes.txt", "Buy milk.\n", 0o600), store.ErrNotDatabase, "choose another path"},
		{"another program's database", foreign, store.ErrNotDatabase, "another program"},
		{"a newer database", newer, store.ErrNewer, "upgrade Breakwater"},
		{"a read-only file", write("ro.db", "", 0o400), store.ErrReadOnly, "chmod u+w"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := store.Open(t.Context(), store.Options{Path: test.path})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %q, want it to say %q", err, test.says)
			}
		})
	}
}

func TestASecondBreakwaterIsKeptAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared.db")
	mustOpen(t, store.Options{Path: path})
	_, err := store.Open(t.Context(), store.Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "another Breakwater uses this database") {
		t.Errorf("a second one: %v", err)
	}
}
