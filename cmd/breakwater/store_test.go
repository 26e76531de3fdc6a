package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"breakwater/internal/store"
)

func TestTheRecordIsLookedAfterWhileBreakwaterRuns(t *testing.T) {
	_, env := providers(t, 0)
	dir := t.TempDir()
	db, copied := filepath.Join(dir, "run.db"), filepath.Join(dir, "copy.db")
	s := serve(t, env, db)
	var id string
	for range 20 {
		var err error
		if id, err = s.ask(t.Context(), false, nil); err != nil {
			t.Fatal(err)
		}
	}
	env = append(env, "BREAKWATER_DB="+db)
	rebuilt, out, errs := runProgram(t, env, "store", "rebuild")
	if rebuilt != 1 || !strings.Contains(errs, "another Breakwater uses this database") {
		t.Errorf("rebuild beside a running one: exit %d, %s%s", rebuilt, out, errs)
	}
	if code, out, errs := runProgram(t, env, "store", "check"); code != 0 || !strings.Contains(out, "is sound") {
		t.Errorf("check: exit %d, %s%s", code, out, errs)
	}
	if code, out, errs := runProgram(t, env, "store", "backup", copied); code != 0 {
		t.Errorf("backup: exit %d, %s%s", code, out, errs)
	}
	if code, _, errs := runProgram(t, env, "store", "backup", copied); code != 1 || !strings.Contains(errs, "overwrites nothing") {
		t.Errorf("a second backup: exit %d, %s", code, errs)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	code, out, errs := runProgram(t, env, "store", "export")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last struct{ ID string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || code != 0 || len(lines) != 20 || last.ID != id {
		t.Errorf("export: exit %d, %d lines, the last of %q, want %q: %v %s", code, len(lines), last.ID, id, err, errs)
	}
	code, out, _ = runProgram(t, env, "store", "export", "--format", "csv", "--from", "2030-01-01", "--to", "2031-01-01")
	if code != 0 || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "id,accepted,") {
		t.Errorf("an export of nothing: exit %d, %q", code, out)
	}
	if code, out, errs = runProgram(t, env, "store", "rebuild"); code != 0 || !strings.Contains(out, "every figure was") {
		t.Errorf("rebuild: exit %d, %s%s", code, out, errs)
	}
	// A page in the middle of a backup is damaged.
	f, err := os.OpenFile(copied, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 3*4096)), 5*4096); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = runProgram(t, env, "store", "check", copied); code != 1 || !strings.Contains(errs, "is not sound") {
		t.Errorf("check of a damaged backup: exit %d, %s%s", code, out, errs)
	}
}

// emptyRecord makes a database without traces.
func emptyRecord(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestACommandThatASignalEndsSaysWhatCameOfIt(t *testing.T) {
	db := emptyRecord(t)
	copied := filepath.Join(t.TempDir(), "copy.db")
	ended, end := context.WithCancel(t.Context())
	end()
	for want, args := range map[string][]string{
		"there is no copy": {"backup", copied}, "not all was looked at": {"check"},
		"what was written is not all": {"export"}, "no figure was changed": {"rebuild"},
	} {
		cmd := root(t.Context())
		cmd.SetArgs(append([]string{"store", "--db", db}, args...))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(ended); err == nil || err.Error() != "broken off: "+want {
			t.Errorf("%s: %v", args[0], err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(copied)); err != nil || len(left) > 0 {
		t.Errorf("a backup that was broken off left %v (%v)", left, err)
	}
}

func TestADatabaseThatIsNotThereIsNamedWithTheWayToAnother(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.db")
	for _, args := range [][]string{{"check"}, {"check", missing}, {"export"}, {"rebuild"}, {"backup", missing + ".copy"}} {
		code, out, errs := runProgram(t, nil, append([]string{"store", "--db", missing}, args...)...)
		if want := "breakwater: there is no database at " + missing + "; --db or BREAKWATER_DB names another\n"; code != exitTrouble || out != "" || errs != want {
			t.Errorf("%v: exit %d, %s%s", args, code, out, errs)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(missing)); err != nil || len(left) > 0 {
		t.Errorf("what only looks made %v (%v)", left, err)
	}
}

func TestParquetIsNotWrittenToATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there is no terminal to be had: %v", err)
	}
	defer terminal.Close()
	for format, refused := range map[string]bool{"parquet": true, "ndjson": false, "csv": false} {
		cmd := root(t.Context())
		cmd.SetArgs([]string{"store", "export", "--db", emptyRecord(t), "--format", format})
		cmd.SetOut(terminal)
		err := cmd.ExecuteContext(t.Context())
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "write it to a file with > all.parquet") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestABackupThatFindsNoRoomLeavesNothing(t *testing.T) {
	path, copied := emptyRecord(t), filepath.Join(t.TempDir(), "copy.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	// Of more than fits SQLite's memory, so that it writes before the end.
	if _, err := db.Exec(`INSERT INTO state (name, at, body) VALUES ('large', 0, zeroblob(?))`, 12<<20); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// A file may have 8,000 blocks, of 512 or 1024 bytes.
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 8000 && exec "$0" "$@"`, program, "store", "backup", copied, "--db", path)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), copied) {
		t.Errorf("%v: %s", err, out)
	}
	if left, err := os.ReadDir(filepath.Dir(copied)); err != nil || len(left) > 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
}

func TestAWrongLineOfTheStoreEndsWith2(t *testing.T) {
	for _, args := range [][]string{
		{"backup"}, {"backup", "a", "b"}, {"check", "a", "b"}, {"export", "--format", "xml"}, {"export", "--from", "yesterday"},
		{"export", "--to", "1"}, {"rebuild", "all"}, {"store", "vacuum"},
	} {
		if code, _, errs := runProgram(t, nil, append([]string{"store"}, args...)...); code != 2 || errs == "" {
			t.Errorf("store %v: exit %d, %q", args, code, errs)
		}
	}
	for _, args := range [][]string{{"check"}, {"rebuild"}, {"export"}, {"backup", "copy.db"}} {
		if code, _, errs := runProgram(t, nil, append([]string{"store"}, args...)...); code != 1 || !strings.Contains(errs, "there is no database at") {
			t.Errorf("store %v without a database: exit %d, %q", args, code, errs)
		}
	}
}
