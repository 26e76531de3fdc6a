package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"breakwater/internal/store"
)

func TestARecordIsReadBesideTheOneThatWritesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busy.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	s.Record(served(1, noon))
	mustFlush(t, s)
	v, err := store.OpenView(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for id := 2; id < 4; id++ {
		traces, err := v.Traces(t.Context(), store.TraceQuery{})
		if err != nil || len(traces) != id-1 {
			t.Errorf("%d traces, %v; want %d", len(traces), err, id-1)
		}
		s.Record(served(2, noon))
		mustFlush(t, s)
	}
	if _, err := store.OpenView(t.Context(), mustRestore(t, "schema4.sql")); !errors.Is(err, store.ErrOlder) {
		t.Errorf("an older record: %v", err)
	}
	if _, err := store.OpenView(t.Context(), filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Error("a record that is not there was opened")
	}
}
