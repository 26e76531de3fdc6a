package store_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

func TestDamageThatIsMetInReadingIsToldUntilItCanBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	s.RecordHold(record.Hold{ID: 1, Target: claude, Placed: noon, Expires: noon.Add(time.Hour)})
	mustFlush(t, s)
	settle(t, s)
	mend := damage(t, path, "holds")
	if d := s.Stats().Damage; d != "" {
		t.Fatalf("told before anybody read: %q", d)
	}
	if _, err := s.Holds(t.Context(), noon.Add(-1)); err == nil {
		t.Fatal("the damage was not met")
	}
	s.ReadAgain(t.Context())
	st := s.Stats()
	if !strings.Contains(st.Damage, "malformed") || st.Failing {
		t.Errorf("while it is damaged: %+v", st)
	}
	if _, err := s.Traces(t.Context(), store.TraceQuery{}); err != nil || s.Stats().Damage == "" {
		t.Errorf("what is sound reads as %v, and the damage is forgotten: %v", err, s.Stats().Damage == "")
	}
	mend()
	s.ReadAgain(t.Context())
	if d := s.Stats().Damage; d != "" {
		t.Errorf("after it was mended: %q", d)
	}
	if held, err := s.Holds(t.Context(), noon); err != nil || len(held) != 1 {
		t.Errorf("%d holds, %v", len(held), err)
	}
}

func TestAllThatIsDamagedMustBeReadBeforeItsEndIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	mustFlush(t, s)
	settle(t, s)
	mendHolds, mendSilences := damage(t, path, "holds"), damage(t, path, "silences")
	_, holds := s.Holds(t.Context(), noon)
	_, silences := s.Silences(t.Context(), noon)
	if holds == nil || silences == nil {
		t.Fatalf("holds: %v, silences: %v", holds, silences)
	}
	mendSilences()
	s.ReadAgain(t.Context())
	if s.Stats().Damage == "" {
		t.Error("the holds are forgotten")
	}
	mendHolds()
	s.ReadAgain(t.Context())
	if d := s.Stats().Damage; d != "" {
		t.Errorf("after both were mended: %q", d)
	}
}

func TestAReadThatFailsOtherwiseTellsOfNoDamage(t *testing.T) {
	s := mustOpen(t, store.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	run(t, s)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Holds(gone, noon); err == nil {
		t.Error("it was read")
	}
	if d := s.Stats().Damage; d != "" {
		t.Errorf("told %q", d)
	}
}
