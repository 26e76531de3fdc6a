package store_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// noon is when the tests' traffic happens.
var noon = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)

var (
	gemini = llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-pro"}
	claude = llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}
	openai = llm.Target{Provider: llm.OpenAI, Endpoint: "eu", Model: "gpt-4o"}
)

// mustOpen opens a store on a file and closes it at the end of the test.
func mustOpen(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "test.db")
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// run starts the writer and gives the function that ends it; the end of the
// test does so too.
func run(t testing.TB, s *store.Store) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return stop
}

// mustRun opens a store on a file of its own and starts its writer.
func mustRun(t testing.TB) *store.Store {
	t.Helper()
	s := mustOpen(t, store.Options{})
	run(t, s)
	return s
}

func mustFlush(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// raw opens the database file beside the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// served makes an ordinary trace: one attempt, which served.
func served(id record.ID, at time.Time) *record.Trace {
	usage := llm.Usage{Input: 812, Output: 240}
	return &record.Trace{
		ID: id, Accepted: at, TTFT: 412345 * time.Microsecond, Took: 2103456 * time.Microsecond,
		Door: llm.OpenAIChat, Asked: "claude", Preferred: llm.Claude, Stream: true,
		Outcome: record.Served, Status: 200, Served: claude, Reason: "claude was asked for",
		Attempts: []record.Attempt{{
			Target: claude, Start: 85 * time.Microsecond, TTFT: 412200 * time.Microsecond,
			Took: 2103300 * time.Microsecond, Status: 200, UpstreamID: "req_011CSHoEeqs5C35K2UUqR7Fy",
			Usage: usage, Cost: 6_036_000,
		}},
		Plan: []record.Candidate{
			{Target: claude, Verdict: record.VerdictServed},
			{Target: gemini, Verdict: record.VerdictNotNeeded},
			{Target: openai, Verdict: record.VerdictNotNeeded},
		},
		Usage: usage, Cost: 6_036_000,
	}
}

// failedOver makes a trace of which Gemini failed and Claude served.
func failedOver(id record.ID, at time.Time) *record.Trace {
	t := served(id, at)
	t.Preferred = llm.Gemini
	t.Reason = "gemini failed (server, HTTP 503), claude answered"
	t.Attempts[0].Start = 300 * time.Millisecond
	t.Attempts = append([]record.Attempt{{
		Target: gemini, Start: 80 * time.Microsecond, Took: 250 * time.Millisecond, Class: llm.Server, Status: 503,
		Code: "UNAVAILABLE", Message: "The model is overloaded.", UpstreamID: "gem-1",
	}}, t.Attempts...)
	t.Plan[0], t.Plan[1] = record.Candidate{Target: gemini, Verdict: record.VerdictTriedFailed, Detail: "server"}, t.Plan[0]
	return t
}
