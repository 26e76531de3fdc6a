package alerts

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/record"
)

// Whoever must mend a disk hears of it although nothing can be written there,
// once, and what follows goes on in the same thread.
func TestAnIncidentThatCannotBeWrittenIsToldAllTheSameAndOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		db, err := sql.Open("sqlite3", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rename := func(from, to string) {
			t.Helper()
			if _, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil {
				t.Fatal(err)
			}
		}
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
