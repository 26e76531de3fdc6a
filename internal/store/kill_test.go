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

// writeUntilKilled prints the ID of each trace once it is recorded, which is
// when its request may end.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return err
	}
	last, err := s.LastID(ctx)
	if err != nil {
		return err
	}
	go s.Run(ctx)
	ids := record.NewIDs(1, last)
	for i := 0; ; i++ {
		trace := served
		if i%10 == 0 {
			trace = failedOver
		}
		t := trace(ids.Next(time.Now()), time.Now())
		s.Record(t)
		if _, err := fmt.Println(int64(t.ID)); err != nil {
			return err
		}
	}
}

// runUntilKilled starts the child, kills it after a number of answers, and
// gives the IDs of all that it answered.
func runUntilKilled(t *testing.T, path string, answers int) []record.ID {
	t.Helper()
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
	var answered []record.ID
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var id record.ID
		if _, err := fmt.Sscan(lines.Text(), &id); err != nil {
			t.Fatal(err)
		}
		if answered = append(answered, id); len(answered) == answers {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(answered) < answers {
		t.Fatalf("the child ended by itself after %d answers", len(answered))
	}
	return answered
}

func TestAKillLosesNothingThatWasAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	var answered []record.ID
	var replayed uint64
	for _, answers := range []int{1, 700, 50, 1500, 300, 900} {
		answered = append(answered, runUntilKilled(t, path, answers)...)
		s, err := store.Open(t.Context(), store.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		replay := s.Stats().Replay
		if replayed += replay.Entries; replay.Missing > 0 || replay.Unread > 0 {
			t.Errorf("after %d answers: %+v", answers, replay)
		}
		traces, err := s.Traces(t.Context(), store.TraceQuery{Limit: store.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		there := map[record.ID]bool{}
		for _, trace := range traces {
			there[trace.ID] = true
		}
		for _, id := range answered {
			if !there[id] {
				t.Fatalf("%v was answered and is not in the record", id)
			}
		}
		checkRollups(t, s, time.Now().AddDate(0, 0, -2), traces)
		var verdict string
		if err := raw(t, path).QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity check: %q, %v", verdict, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if replayed == 0 {
		t.Error("every kill came when all was committed: the journal was not needed")
	}
}
