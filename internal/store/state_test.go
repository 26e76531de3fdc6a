package store_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"breakwater/internal/store"
)

func TestAStateIsThereAfterARestartAndReplacesTheOneBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, s)
	if _, _, err := s.State(t.Context(), "detector"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a state that was never saved: %v", err)
	}
	for _, body := range [][]byte{{1, 2, 3}, {0, 255}} {
		if err := s.SaveState(t.Context(), "detector", body); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveState(t.Context(), "other", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveState(t.Context(), "other", make([]byte, store.MaxState+1)); err == nil {
		t.Error("a state without bound was kept")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, store.Options{Path: path})
	body, at, err := s.State(t.Context(), "detector")
	if err != nil || !bytes.Equal(body, []byte{0, 255}) || at.IsZero() {
		t.Errorf("got %v of %s, %v", body, at, err)
	}
}
