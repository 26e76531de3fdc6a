package alerts

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// renamer gives what renames a table of a database behind the store's back, so that
// what is written there fails.
func renamer(t *testing.T, path string) func(from, to string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return func(from, to string) {
		t.Helper()
		if _, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever must mend a disk hears of it although nothing can be written there,
// once, and what follows goes on in the same thread.
func TestAnIncidentThatCannotBeWrittenIsToldAllTheSameAndOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		rename := renamer(t, path)
		l := &listener{name: "a", fail: func(n int, _ Message) error {
			if n == 1 {
				return errors.New("connection refused")
			}
			return nil
		}}
		h := move(t, path, Config{Channels: []Channel{l}})
		defer h.stop()
		say := func(k SignalKind, words string) {
			h.Signal(Signal{At: time.Now(), Kind: k, Topic: record.TopicRecord, Name: "database", Severity: record.Warning, Title: "The record cannot be written", Text: words})
		}
		h.pass(0)
		rename("incidents", "hidden")
		say(Raised, "database or disk is full")
		h.pass(UnwrittenPatience - 2*time.Second)
		want(t, l.told())
		h.pass(10 * time.Second) // the first try failed, and is repeated
		want(t, l.told(), "0 opened")
		h.pass(time.Minute)
		want(t, l.told(), "0 opened")
		rename("hidden", "incidents")
		h.pass(10 * time.Second)
		if i := h.incident(1); i.Title != "The record cannot be written" || i.State != record.Ongoing {
			t.Errorf("written as %+v", i)
		}
		say(Cleared, "it is written again")
		h.pass(MaxWellFor)
		want(t, l.told(), "0 opened", "1 resolved")
		if got := l.sent[1].Receipt; got != "a-0" {
			t.Errorf("the end refers to %q", got)
		}
	})
}

// With a database that is locked each try to write takes seconds. People hear of
// all that happened soon after their patience all the same.
func TestIncidentsThatCannotBeWrittenDoNotWaitForEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		const slow = 5 * time.Second
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}, Impact: func(ctx context.Context, _ llm.Provider, _, _ time.Time) (record.Impact, error) {
			if _, sends := ctx.Deadline(); !sends {
				time.Sleep(slow) // what a try to write takes
			}
			return record.Impact{}, nil
		}})
		defer h.stop()
		h.pass(0)
		rename := renamer(t, path)
		rename("incidents", "hidden")
		began := time.Now()
		for _, endpoint := range []string{"us", "eu", "asia", "mirror", "east", "west", "north", "south"} {
			target := llm.Target{Provider: llm.Claude, Endpoint: endpoint}
			h.Signal(Signal{At: began, Kind: Raised, Topic: record.TopicThrottling, Provider: llm.Claude, Target: target, Severity: record.Warning, Title: "It takes less", Text: "429"})
		}
		h.Signal(Signal{At: began, Kind: Raised, Topic: record.TopicRecord, Name: "database", Severity: record.Warning, Title: "The record cannot be written", Text: "locked"})
		h.pass(time.Minute)
		want(t, l.told(), slices.Repeat([]string{"0 opened"}, 9)...)
		for i, at := range l.at {
			if took := at.Sub(began); took > UnwrittenPatience+slow+2*saveRetry {
				t.Errorf("message %d was sent after %v", i, took)
			}
		}
		rename("hidden", "incidents")
		h.pass(time.Minute)
	})
}
