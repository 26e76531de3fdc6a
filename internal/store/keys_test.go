package store_test

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

type keyRollupOf struct {
	start         time.Time
	provider      llm.Provider
	endpoint, key string
	simulated     bool
}

// checkKeyRollups compares all rollups of keys since an instant with the traces
// since then.
func checkKeyRollups(t rapid.TB, s *store.Store, since time.Time, traces []record.Trace) {
	t.Helper()
	for span, length := range spans {
		want := map[keyRollupOf]store.KeyRollup{}
		for _, trace := range traces {
			for _, a := range trace.Attempts {
				if a.Key == "" {
					continue
				}
				start := trace.Accepted.Add(a.Start + a.Took).Truncate(length)
				of := keyRollupOf{start, a.Target.Provider, a.Target.Endpoint, a.Key, trace.Simulated}
				r := want[of]
				r.Start, r.Provider, r.Endpoint, r.Key, r.Simulated = of.start, of.provider, of.endpoint, of.key, of.simulated
				r.Requests++
				if a.Class == llm.RateLimit || a.Class == llm.Quota {
					r.Throttled++
				}
				r.Input, r.Output, r.Cost = r.Input+a.Usage.Input, r.Output+a.Usage.Output, r.Cost+a.Cost
				want[of] = r
			}
		}
		rollups, err := s.KeyRollups(context.Background(), span, since, since.AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := map[keyRollupOf]store.KeyRollup{}
		for _, r := range rollups {
			got[keyRollupOf{r.Start, r.Provider, r.Endpoint, r.Key, r.Simulated}] = r
		}
		if len(got) != len(rollups) || !reflect.DeepEqual(got, want) {
			t.Fatalf("rollups of keys by %v\ngot  %+v\nwant %+v", length, rollups, want)
		}
	}
}

// sentWith gives an ordinary trace whose attempt took a key.
func sentWith(id record.ID, at time.Time, key string) *record.Trace {
	trace := served(id, at)
	trace.Attempts[0].Key = key
	return trace
}

func TestKeyUsageAddsUpWholeDaysHoursAndMinutes(t *testing.T) {
	s := mustRun(t)
	ids := record.NewIDs(0, 0)
	start := noon.AddDate(0, 0, -3)
	var ends []time.Time
	for i := range 3 * 24 * 6 {
		at := start.Add(time.Duration(i) * 10 * time.Minute)
		trace := sentWith(ids.Next(at), at, "main")
		s.Record(trace)
		ends = append(ends, trace.Ended())
	}
	limited := sentWith(ids.Next(noon), noon.Add(-time.Hour), "spare")
	limited.Attempts[0].Class = llm.RateLimit
	s.Record(limited)
	mustFlush(t, s)
	rapid.Check(t, func(rt *rapid.T) {
		minutes := rapid.IntRange(-100, 3*24*60+100)
		from := start.Add(time.Duration(minutes.Draw(rt, "from")) * time.Minute)
		to := start.Add(time.Duration(minutes.Draw(rt, "to")) * time.Minute)
		var want []store.KeyRollup
		n := int64(0)
		for _, end := range ends {
			if !end.Before(from) && end.Before(to) {
				n++
			}
		}
		if n > 0 {
			want = append(want, store.KeyRollup{Start: from, Provider: llm.Claude, Key: "main", Requests: n, Input: 812 * n, Output: 240 * n, Cost: record.NanoUSD(6_036_000 * n)})
		}
		if end := limited.Attempts[0].Start + limited.Attempts[0].Took; !limited.Accepted.Add(end).Before(from) && limited.Accepted.Add(end).Before(to) {
			want = append(want, store.KeyRollup{Start: from, Provider: llm.Claude, Key: "spare", Requests: 1, Throttled: 1, Input: 812, Output: 240, Cost: 6_036_000})
		}
		got, err := s.KeyUsage(t.Context(), llm.Claude, from, to)
		if err != nil || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			rt.Fatalf("from %v to %v: %+v (%v), want %+v", from, to, got, err, want)
		}
		if other, err := s.KeyUsage(t.Context(), llm.Gemini, from, to); err != nil || len(other) != 0 {
			rt.Fatalf("Gemini's keys: %+v (%v), want none", other, err)
		}
	})
}

func TestKeysBeyondTheBoundAreCountedTogetherAndTheirTracesKept(t *testing.T) {
	s := mustOpen(t, store.Bounded(store.Options{Path: filepath.Join(t.TempDir(), "test.db")}, 10, 2, 10))
	run(t, s)
	ids := record.NewIDs(0, 0)
	var last *record.Trace
	for _, key := range []string{"a", "b", "c", "d"} {
		last = sentWith(ids.Next(noon), noon, key)
		s.Record(last)
	}
	mustFlush(t, s)
	got, err := s.KeyUsage(t.Context(), llm.Claude, noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil || len(got) != 3 || got[0].Key != "" || got[0].Requests != 2 {
		t.Errorf("got %+v (%v), want a, b, and one without a name for the other two", got, err)
	}
	trace, err := s.Trace(t.Context(), last.ID)
	if err != nil || trace.Attempts[0].Key != "d" {
		t.Errorf("the trace came back as %+v (%v), want its key d", trace, err)
	}
}

func TestChangesOfKeysComeBackNewestFirst(t *testing.T) {
	s := mustRun(t)
	ids := record.NewIDs(0, 0)
	var want []record.KeyChange
	for i, to := range []record.KeyState{record.KeyCooling, record.KeyUsable, record.KeyRevoked} {
		at := noon.Add(time.Duration(i) * time.Minute)
		change := record.KeyChange{
			ID: ids.Next(at), At: at, Provider: llm.OpenAI, Endpoint: "eu", Key: "main", Last4: "x7Qf",
			From: record.KeyUsable, To: to, Model: "gpt-4o", Until: at.Add(time.Minute), Reason: "HTTP 429", Request: 5,
		}
		if to == record.KeyRevoked {
			change.Until, change.Model, change.Request = time.Time{}, "", 0
		}
		s.RecordKey(change)
		want = append([]record.KeyChange{change}, want...)
	}
	mustFlush(t, s)
	got, err := s.KeyChanges(t.Context(), llm.OpenAI, noon.Add(time.Minute), 0)
	if err != nil || !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("got %+v (%v), want %+v", got, err, want[:2])
	}
	if got, err = s.KeyChanges(t.Context(), "", time.Time{}, 1); err != nil || !reflect.DeepEqual(got, want[:1]) {
		t.Errorf("got %+v (%v), want %+v", got, err, want[:1])
	}
}
