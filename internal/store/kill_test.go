package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

// childEnv names the database that this binary, started again as a child,
// writes to until it is killed.
const childEnv = "BREAKWATER_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled prints the ID of the last trace after each commit.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return err
	}
	go s.Run(ctx)
	ids := record.NewIDs(1, 0)
	for {
		var last record.ID
		for i := range 100 {
			last = ids.Next(time.Now())
			trace := served
			if i%10 == 0 {
				trace = failedOver
			}
			s.Record(trace(last, time.Now()))
		}
		if err := s.Flush(ctx); err != nil {
			return err
		}
		fmt.Println(int64(last))
	}
}

func TestAKillLosesNothingThatWasCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines, commits := bufio.NewScanner(out), 0
	var last int64
	for lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Fatal(err)
		}
		if commits++; commits == 20 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || commits < 20 {
		t.Fatalf("the child ended by itself after %d commits", commits)
	}

	s := mustOpen(t, store.Options{Path: path})
	traces, err := s.Traces(t.Context(), store.TraceQuery{Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	there := 0
	for _, trace := range traces {
		if trace.ID <= record.ID(last) {
			there++
		}
	}
	if there != commits*100 {
		t.Errorf("%d traces of the %d that were committed", there, commits*100)
	}
	checkRollups(t, s, time.Now().AddDate(0, 0, -2), traces)
	var verdict string
	if err := raw(t, path).QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %q, %v", verdict, err)
	}
}
