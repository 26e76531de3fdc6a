package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

func TestAProvidersCourseIsReadFromItsOwnRows(t *testing.T) {
	s := mustOpen(t, store.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	stop := run(t, s)
	ids := record.NewIDs(1, 0)
	moment := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for i := range 5 {
		for _, target := range []llm.Target{claude, gemini} {
			s.RecordTransition(record.Transition{ID: ids.Next(moment(i)), At: moment(i), Target: target, From: record.Closed, To: record.Open, Reason: fmt.Sprint(i)})
		}
	}
	for name, h := range map[string]record.Hold{
		"over before":  {Placed: moment(-30), Expires: moment(-10)},
		"ended before": {Placed: moment(-20), Expires: moment(5), Ended: moment(-1)},
		"into it":      {Placed: moment(-15), Expires: moment(1), Ended: moment(1)},
		"within":       {Placed: moment(2), Expires: moment(3)},
		"out of it":    {Placed: moment(8), Expires: moment(20)},
		"after":        {Placed: moment(10), Expires: moment(20)},
	} {
		h.ID, h.Target, h.Reason = ids.Next(h.Placed), claude, name
		s.RecordHold(h)
		h.ID, h.Target = ids.Next(h.Placed), gemini
		s.RecordHold(h)
	}
	mustFlush(t, s)
	if err := s.SeedRollups(t.Context(), store.Minute, []store.Rollup{
		{Start: moment(0), Target: claude, Served: 1}, {Start: moment(0), Target: gemini, Served: 2}, {Start: moment(0), Callers: true, Served: 3},
		{Start: moment(1), Target: claude, Served: 4}, {Start: moment(2), Target: claude, Served: 5},
	}); err != nil {
		t.Fatal(err)
	}

	transitions, err := s.TransitionsOf(t.Context(), llm.Claude, moment(1), 3)
	var reasons []string
	for _, tr := range transitions {
		reasons = append(reasons, tr.Reason)
		if tr.Target != claude {
			t.Errorf("got %+v", tr)
		}
	}
	if !slices.Equal(reasons, []string{"2", "3", "4"}) || err != nil { // the latest three, oldest first
		t.Errorf("transitions %q, %v", reasons, err)
	}
	holds, err := s.HoldsBetween(t.Context(), llm.Claude, moment(0), moment(10), 0)
	reasons = nil
	for _, h := range holds {
		reasons = append(reasons, h.Reason)
	}
	if slices.Sort(reasons); !slices.Equal(reasons, []string{"into it", "out of it", "within"}) || err != nil {
		t.Errorf("holds %q, %v", reasons, err)
	}
	rollups, err := s.RollupsOf(t.Context(), store.Minute, llm.Claude, moment(0), moment(2))
	if err != nil || len(rollups) != 2 || rollups[0].Served != 1 || rollups[1].Served != 4 || rollups[0].Target != claude || !rollups[1].Start.Equal(moment(1)) {
		t.Errorf("rollups %+v, %v", rollups, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
