package store_test

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

type rollupOf struct {
	start     time.Time
	target    llm.Target
	simulated bool
}

// recomputed is what rollups should be, straight from the traces.
func recomputed(traces []record.Trace, span time.Duration) map[rollupOf]*store.Rollup {
	all := map[rollupOf]*store.Rollup{}
	at := func(ended time.Time, target llm.Target, simulated bool) *store.Rollup {
		key := rollupOf{ended.Truncate(span), target, simulated}
		if all[key] == nil {
			all[key] = &store.Rollup{Start: key.start, Target: target, Callers: target == llm.Target{}, Simulated: simulated}
		}
		return all[key]
	}
	served := func(r *store.Rollup, took, ttft time.Duration) {
		r.Served++
		r.Latency.Add(took)
		if ttft > 0 {
			r.TTFT.Add(ttft)
		}
	}
	for _, t := range traces {
		r := at(t.Ended(), llm.Target{}, t.Simulated)
		r.Usage, r.Cost = r.Usage.Add(t.Usage), r.Cost+t.Cost
		switch t.Outcome {
		case record.Served:
			served(r, t.Took, t.TTFT)
		case record.Failed:
			r.Failed++
		case record.Refused:
			r.Other++
		case record.Abandoned:
			r.Cancelled++
		}
		for _, a := range t.Attempts {
			r := at(t.Accepted.Add(a.Start+a.Took), a.Target, t.Simulated)
			r.Usage, r.Cost = r.Usage.Add(a.Usage), r.Cost+a.Cost
			switch a.Class {
			case "":
				served(r, a.Took, a.TTFT)
			case llm.Network, llm.Timeout, llm.Server, llm.Garbage, llm.StreamCut:
				r.Failed++
			case llm.RateLimit, llm.Quota:
				r.Throttled++
			case llm.Cancelled, llm.Deadline:
				r.Cancelled++
			default:
				r.Other++
			}
		}
	}
	return all
}

// sameRollups compares two rollups, sketches by their values.
func sameRollups(t rapid.TB, a, b store.Rollup) bool {
	t.Helper()
	same := bytes.Equal(encoded(t, a.Latency), encoded(t, b.Latency)) && bytes.Equal(encoded(t, a.TTFT), encoded(t, b.TTFT))
	a.Latency, a.TTFT, b.Latency, b.TTFT = store.Sketch{}, store.Sketch{}, store.Sketch{}, store.Sketch{}
	return same && reflect.DeepEqual(a, b)
}

var spans = map[store.Span]time.Duration{
	store.Minute: time.Minute, store.Hour: time.Hour, store.Day: 24 * time.Hour,
}

// checkRollups compares all rollups since an instant with the traces since then.
func checkRollups(t rapid.TB, s *store.Store, since time.Time, traces []record.Trace) {
	t.Helper()
	for span, length := range spans {
		want := recomputed(traces, length)
		got, err := s.Rollups(context.Background(), span, since, since.AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d rollups of %v, want %d", len(got), length, len(want))
		}
		for _, r := range got {
			w := want[rollupOf{r.Start, r.Target, r.Simulated}]
			if w == nil || !sameRollups(t, r, *w) {
				t.Fatalf("rollup of %v\ngot  %+v\nwant %+v", length, r, w)
			}
		}
	}
}

func TestRollupsAreWhatTheRawRowsComeTo(t *testing.T) {
	s := mustRun(t)
	ids := record.NewIDs(0, 0)
	day := noon.Truncate(24 * time.Hour)
	rapid.Check(t, func(rt *rapid.T) {
		day = day.AddDate(0, 0, 2) // no two runs share a rollup
		at := day.Add(10 * time.Hour)
		for range rapid.IntRange(1, 12).Draw(rt, "traces") {
			at = at.Add(drawDuration(rt, "gap"))
			trace := drawTrace(rt, ids.Next(at))
			s.Record(&trace)
			if rapid.Bool().Draw(rt, "flush") {
				mustFlush(t, s)
			}
		}
		mustFlush(t, s)
		traces, err := s.Traces(t.Context(), store.TraceQuery{})
		if err != nil {
			rt.Fatal(err)
		}
		for i, trace := range traces {
			if trace.ID < record.At(day) {
				traces = traces[:i]
				break
			}
		}
		checkRollups(rt, s, day, traces)
		checkKeyRollups(rt, s, day, traces)
	})
}

func TestAFailedOverRequestCountsForEachTargetAndIsServedForItsCaller(t *testing.T) {
	s := mustRun(t)
	s.Record(failedOver(record.At(noon), noon))
	mustFlush(t, s)
	got, err := s.Rollups(t.Context(), store.Hour, noon, noon.Add(time.Hour))
	if err != nil || len(got) != 3 {
		t.Fatalf("%d rollups (%v), want 3", len(got), err)
	}
	for _, r := range got {
		wantServed, wantFailed := int64(1), int64(0)
		if r.Target == gemini {
			wantServed, wantFailed = 0, 1
		}
		if r.Served != wantServed || r.Failed != wantFailed || r.Latency.Count() != uint64(wantServed) {
			t.Errorf("%v: served %d, failed %d, %d latencies; want %d, %d, %d",
				r.Target, r.Served, r.Failed, r.Latency.Count(), wantServed, wantFailed, wantServed)
		}
		if r.Callers != (r.Target == llm.Target{}) {
			t.Errorf("%v: callers %t", r.Target, r.Callers)
		}
	}
}

func TestSeededRollupsStandBesideRealOnesAndReachLongerSpans(t *testing.T) {
	s := mustRun(t)
	var seeds []store.Rollup
	for i := range 48 {
		r := store.Rollup{Start: noon.Add(time.Duration(i-48) * time.Hour), Target: openai, Simulated: true, Served: 10, Cost: 5}
		r.Latency.Add(time.Second)
		seeds = append(seeds, r, store.Rollup{Start: r.Start, Callers: true, Simulated: true, Served: 10})
	}
	if err := s.SeedRollups(t.Context(), store.Hour, seeds); err != nil {
		t.Fatal(err)
	}
	s.Record(served(record.At(noon), noon))
	mustFlush(t, s)
	got, err := s.Rollups(t.Context(), store.Day, noon.AddDate(0, 0, -2).Truncate(24*time.Hour), noon)
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		day       int
		target    llm.Target
		simulated bool
		served    int64
	}
	var lines []line
	for _, r := range got {
		lines = append(lines, line{r.Start.Day(), r.Target, r.Simulated, r.Served})
	}
	want := []line{
		{12, llm.Target{}, true, 120}, {12, openai, true, 120},
		{13, llm.Target{}, true, 240}, {13, openai, true, 240},
		{14, llm.Target{}, false, 1}, {14, llm.Target{}, true, 120}, {14, openai, true, 120}, {14, claude, false, 1},
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got  %v\nwant %v", lines, want)
	}
	minutes, err := s.Rollups(t.Context(), store.Minute, noon.AddDate(0, 0, -3), noon)
	if err != nil || len(minutes) != 0 {
		t.Errorf("%d rollups of minutes (%v), want none from hours", len(minutes), err)
	}
}

func TestSpendAddsUpWholeDaysHoursAndMinutes(t *testing.T) {
	s := mustRun(t)
	ids := record.NewIDs(0, 0)
	start := noon.AddDate(0, 0, -3)
	var ends []time.Time
	for i := range 3 * 24 * 6 {
		at := start.Add(time.Duration(i) * 10 * time.Minute)
		trace := served(ids.Next(at), at)
		trace.Cost, trace.Attempts[0].Cost = 1, 1
		s.Record(trace)
		ends = append(ends, trace.Ended())
	}
	mustFlush(t, s)
	rapid.Check(t, func(rt *rapid.T) {
		minutes := rapid.IntRange(-100, 3*24*60+100)
		from := start.Add(time.Duration(minutes.Draw(rt, "from")) * time.Minute)
		to := start.Add(time.Duration(minutes.Draw(rt, "to")) * time.Minute)
		var want record.NanoUSD
		for _, end := range ends {
			if !end.Before(from) && end.Before(to) {
				want++
			}
		}
		got, err := s.Spend(t.Context(), from, to)
		if err != nil || got[llm.Claude] != want {
			rt.Fatalf("from %v to %v: %v (%v), want %d", from, to, got, err, want)
		}
	})
}
