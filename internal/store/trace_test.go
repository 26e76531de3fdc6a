package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

func drawTarget(t *rapid.T, label string) llm.Target {
	return llm.Target{
		Provider: pick(t, label, llm.Providers()...),
		Endpoint: pick(t, label+" endpoint", "", "eu"),
		Model:    fmt.Sprintf("model-%d", rapid.IntRange(0, 5).Draw(t, label+" model")),
	}
}

func drawDuration(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(20*time.Minute)/1000).Draw(t, label)) * time.Microsecond
}

func drawUsage(t *rapid.T, label string) llm.Usage {
	n := rapid.Int64Range(0, 1<<20)
	return llm.Usage{
		Input: n.Draw(t, label), CacheRead: n.Draw(t, label), CacheWrite: n.Draw(t, label),
		Output: n.Draw(t, label), Reasoning: n.Draw(t, label),
	}
}

func drawAttempt(t *rapid.T) record.Attempt {
	return record.Attempt{
		Target: drawTarget(t, "target"), Start: drawDuration(t, "start"), TTFT: drawDuration(t, "attempt ttft"),
		Took: drawDuration(t, "attempt took"), Class: pick(t, "class", append(llm.FailureClasses(), "")...),
		Status: pick(t, "upstream status", 0, 200, 429, 503), Code: pick(t, "code", "", "overloaded_error"),
		Message:    rapid.StringN(0, 40, -1).Draw(t, "message"),
		UpstreamID: pick(t, "upstream id", "", "req_1"), Usage: drawUsage(t, "attempt usage"),
		Cost:  record.NanoUSD(rapid.Int64Range(0, 1<<40).Draw(t, "attempt cost")),
		Probe: rapid.Bool().Draw(t, "probe"), Canary: rapid.Bool().Draw(t, "canary"),
		Hedge: rapid.Bool().Draw(t, "hedge"), LastResort: rapid.Bool().Draw(t, "last resort"), Looping: rapid.Bool().Draw(t, "looping"),
		Key: pick(t, "key", "", "main", "spare", "team-b"),
	}
}

// drawTrace draws any trace, sensible or not, with times to the microsecond.
// Half of them end in an attempt that served, as most real ones do.
func drawTrace(t *rapid.T, id record.ID) record.Trace {
	trace := record.Trace{
		ID:       id,
		Accepted: id.Time().Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, "late")) * time.Microsecond),
		TTFT:     drawDuration(t, "ttft"), Took: drawDuration(t, "took"),
		Door: pick(t, "door", llm.OpenAIChat, llm.Plain, ""), Asked: rapid.StringN(0, 20, -1).Draw(t, "asked"),
		Preferred: pick(t, "preferred", llm.Gemini, ""), Caller: pick(t, "caller", "", "team-a"),
		Stream: rapid.Bool().Draw(t, "stream"), Outcome: pick(t, "outcome", record.Outcomes()...),
		Status: pick(t, "status", 200, 499, 502), Reason: pick(t, "reason", "", "gemini failed, claude answered"),
		Usage: drawUsage(t, "usage"), Cost: record.NanoUSD(rapid.Int64Range(0, 1<<40).Draw(t, "cost")),
		Simulated: rapid.Bool().Draw(t, "simulated"), Strategy: pick(t, "strategy", "", "failover", "cost"),
		Queued: drawDuration(t, "queued"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "attempts") {
		trace.Attempts = append(trace.Attempts, drawAttempt(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "candidates") {
		trace.Plan = append(trace.Plan, record.Candidate{
			Target: drawTarget(t, "candidate"), Verdict: pick(t, "verdict", record.VerdictServed, record.VerdictNotNeeded),
			Detail: pick(t, "detail", "", "<3 failures>"),
		})
	}
	if rapid.Bool().Draw(t, "ends served") {
		a := drawAttempt(t)
		a.Class, a.Code, a.Message = "", "", ""
		trace.Served, trace.Usage, trace.Cost = a.Target, a.Usage, a.Cost
		trace.Attempts = append(trace.Attempts, a)
	}
	return trace
}

func TestATraceComesBackAsItWasRecorded(t *testing.T) {
	for _, test := range []struct {
		name    string
		options store.Options
	}{
		{"with room in the dictionaries", store.Options{}},
		{"with full dictionaries", store.Bounded(store.Options{}, 3, 2, 2)},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.Path = filepath.Join(t.TempDir(), "test.db")
			s := mustOpen(t, test.options)
			run(t, s)
			ids := record.NewIDs(7, 0)
			rapid.Check(t, func(rt *rapid.T) {
				want := drawTrace(rt, ids.Next(noon))
				given := want
				s.Record(&given)
				mustFlush(t, s)
				got, err := s.Trace(t.Context(), want.ID)
				if err != nil {
					rt.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					rt.Fatalf("got  %+v\nwant %+v", got, want)
				}
			})
		})
	}
}

func TestNothingThatTookTimeIsRoundedToNothing(t *testing.T) {
	s := mustRun(t)
	trace := served(record.At(noon), noon.Add(999*time.Nanosecond))
	trace.TTFT, trace.Took = time.Nanosecond, 1001*time.Nanosecond
	s.Record(trace)
	mustFlush(t, s)
	got, err := s.Trace(t.Context(), trace.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Accepted.Equal(noon) || got.TTFT != time.Microsecond || got.Took != 2*time.Microsecond {
		t.Errorf("accepted %v, TTFT %v, took %v; want %v, 1µs, 2µs", got.Accepted, got.TTFT, got.Took, noon)
	}
}

func TestEqualPlansAreKeptOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Options{Path: path})
	run(t, s)
	ids := record.NewIDs(0, 0)
	for range 100 {
		s.Record(served(ids.Next(noon), noon))
		s.Record(failedOver(ids.Next(noon), noon))
	}
	mustFlush(t, s)
	var plans int
	if err := raw(t, path).QueryRow(`SELECT count(*) FROM plans`).Scan(&plans); err != nil || plans != 2 {
		t.Errorf("%d plans (%v), want 2", plans, err)
	}
}

func TestDictionariesStayWithinTheirBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := mustOpen(t, store.Bounded(store.Options{Path: path}, 10, 10, 10))
	run(t, s)
	ids := record.NewIDs(0, 0)
	for i := range 50 {
		trace := served(ids.Next(noon), noon)
		trace.Asked = fmt.Sprintf("gpt-%d", i)
		trace.Reason = fmt.Sprintf("reason %d", i)
		trace.Served.Model = fmt.Sprintf("model-%d", i)
		trace.Attempts[0].Target = trace.Served
		s.Record(trace)
	}
	mustFlush(t, s)
	var asked, targets, plans int
	err := raw(t, path).QueryRow(`SELECT (SELECT count(*) FROM names WHERE kind = 'asked'),
		(SELECT count(*) FROM targets), (SELECT count(*) FROM plans)`).Scan(&asked, &targets, &plans)
	if err != nil || asked != 10 || targets != 11 || plans != 10 {
		t.Errorf("%d names, %d targets, %d plans (%v); want 10, 11 with the rest of Claude, and 10", asked, targets, plans, err)
	}
	rollups, err := s.Rollups(t.Context(), store.Day, noon.AddDate(0, 0, -1), noon)
	if err != nil {
		t.Fatal(err)
	}
	last := rollups[len(rollups)-1]
	if last.Target != (llm.Target{Provider: llm.Claude}) || last.Served != 40 {
		t.Errorf("the last rollup is of %v with %d served, want the rest of Claude with 40", last.Target, last.Served)
	}
}

func TestTracesArePagedNewestFirst(t *testing.T) {
	s := mustRun(t)
	ids := record.NewIDs(0, 0)
	var all, failed []record.ID
	for i := range 25 {
		trace := served(ids.Next(noon), noon)
		if i%5 == 0 {
			trace.Outcome = record.Failed
			failed = append([]record.ID{trace.ID}, failed...)
		}
		all = append([]record.ID{trace.ID}, all...)
		s.Record(trace)
	}
	mustFlush(t, s)
	for _, test := range []struct {
		outcome record.Outcome
		want    []record.ID
	}{{"", all}, {record.Failed, failed}, {record.Refused, nil}} {
		var got []record.ID
		for q := (store.TraceQuery{Outcome: test.outcome, Limit: 4}); ; {
			page, err := s.Traces(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, trace := range page {
				got = append(got, trace.ID)
			}
			q.Before = got[len(got)-1]
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("outcome %q: got %v, want %v", test.outcome, got, test.want)
		}
	}
}

func TestATraceIsRecordedOnce(t *testing.T) {
	s := mustRun(t)
	for range 2 {
		s.Record(failedOver(record.At(noon), noon))
		mustFlush(t, s)
	}
	rollups, err := s.Rollups(t.Context(), store.Day, noon.Truncate(24*time.Hour), noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rollups {
		if r.Served+r.Failed != 1 {
			t.Errorf("%v: %d served and %d failed, want one of them", r.Target, r.Served, r.Failed)
		}
	}
}

func TestOfManyTracesEachIsRecordedOnce(t *testing.T) {
	s := mustRun(t)
	put := func(i int, caller string) {
		trace := served(record.At(noon)+record.ID(i), noon)
		trace.Caller = caller
		s.Record(trace)
	}
	put(3, "first")
	put(20, "first")
	mustFlush(t, s)
	for i := range 50 {
		put(i, "second")
		if i%3 == 0 {
			put(i, "third")
		}
	}
	mustFlush(t, s)
	rollups, err := s.Rollups(t.Context(), store.Day, noon.Truncate(24*time.Hour), noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rollups {
		if r.Served != 50 {
			t.Errorf("%v: %d served, want 50", r.Target, r.Served)
		}
	}
	for i := range 50 {
		want := "second"
		if i == 3 || i == 20 {
			want = "first"
		}
		if got, err := s.Trace(t.Context(), record.At(noon)+record.ID(i)); err != nil || got.Caller != want {
			t.Errorf("trace %d is of %q (%v), want %q", i, got.Caller, err, want)
		}
	}
}

func TestAnUnknownTraceIsNotFound(t *testing.T) {
	s := mustOpen(t, store.Options{})
	if _, err := s.Trace(t.Context(), 42); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestLastIDIsTheHighestOfAllTables(t *testing.T) {
	s := mustRun(t)
	check := func(want record.ID) {
		t.Helper()
		mustFlush(t, s)
		if got, err := s.LastID(t.Context()); err != nil || got != want {
			t.Errorf("last id %d (%v), want %d", got, err, want)
		}
	}
	check(0)
	s.Record(served(10, noon))
	check(10)
	s.RecordTransition(record.Transition{ID: 11, At: noon})
	check(11)
	s.RecordHold(record.Hold{ID: 12, Placed: noon, Expires: noon})
	check(12)
	in := record.Incident{ID: 13, Subject: llm.Gemini, State: record.Pending, Began: noon}
	if err := s.SaveIncident(t.Context(), &in, nil); err != nil {
		t.Fatal(err)
	}
	check(13)
	if err := s.SaveNotice(t.Context(), record.Notice{ID: 14, Incident: 13, Created: noon}); err != nil {
		t.Fatal(err)
	}
	check(14)
	s.RecordKey(record.KeyChange{ID: 15, At: noon})
	check(15)
}

func TestTransitionsComeBackNewestFirst(t *testing.T) {
	s := mustRun(t)
	ids := record.NewIDs(0, 0)
	var want []record.Transition
	for i, state := range []record.State{record.Open, record.HalfOpen, record.Closed} {
		at := noon.Add(time.Duration(i) * time.Minute)
		tr := record.Transition{ID: ids.Next(at), At: at, Target: openai, From: record.Closed, To: state, Reason: "why", Request: 5}
		s.RecordTransition(tr)
		want = append([]record.Transition{tr}, want...)
	}
	mustFlush(t, s)
	got, err := s.Transitions(t.Context(), noon.Add(time.Minute), 0)
	if err != nil || !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("got %+v (%v), want %+v", got, err, want[:2])
	}
	if got, err = s.Transitions(t.Context(), time.Time{}, 1); err != nil || !reflect.DeepEqual(got, want[:1]) {
		t.Errorf("got %+v (%v), want %+v", got, err, want[:1])
	}
}

func TestAHoldStandsFromItsPlacingToItsEnd(t *testing.T) {
	s := mustRun(t)
	hold := record.Hold{
		ID: 1, Target: openai, Source: record.ByAnomaly, Reason: "p95 8.1 s, usually 1.2 s",
		Placed: noon, Expires: noon.Add(10 * time.Minute),
	}
	s.RecordHold(hold)
	mustFlush(t, s)
	check := func(after time.Duration, want ...record.Hold) {
		t.Helper()
		got, err := s.Holds(t.Context(), noon.Add(after))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("after %v: got %+v (%v), want %+v", after, got, err, want)
		}
	}
	check(-time.Second)
	check(0, hold)
	check(10 * time.Minute)
	ended := hold
	ended.Ended, ended.Ending = noon.Add(3*time.Minute), "canaries were served"
	s.RecordHold(ended)
	mustFlush(t, s)
	check(2*time.Minute, ended)
	check(3 * time.Minute)
}
