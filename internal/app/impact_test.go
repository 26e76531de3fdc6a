package app

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// reroutedTrace is a request that OpenAI failed for a cost, and Claude served
// 300 ms later.
func reroutedTrace(id record.ID, at time.Time) *record.Trace {
	openai, claude := llm.Target{Provider: llm.OpenAI, Model: "a"}, llm.Target{Provider: llm.Claude, Model: "b"}
	return &record.Trace{
		ID: id, Accepted: at, Took: time.Second, Outcome: record.Served, Status: 200, Served: claude,
		Attempts: []record.Attempt{
			{Target: openai, Start: time.Millisecond, Took: 299 * time.Millisecond, Class: llm.Server, Status: 503, Cost: 40},
			{Target: claude, Start: 301 * time.Millisecond, Took: 600 * time.Millisecond, Status: 200, Cost: 100},
		},
		Plan: []record.Candidate{
			{Target: openai, Verdict: record.VerdictTriedFailed}, {Target: openai, Verdict: record.VerdictBreakerOpen},
			{Target: claude, Verdict: record.VerdictServed},
		},
	}
}

func TestImpactTellsWhatWasReroutedAndFailedAndWhatItCost(t *testing.T) {
	im := newImpacts(llm.Providers(), nil)
	at := time.Now().Add(time.Second)
	im.note(reroutedTrace(1, at))
	failed := reroutedTrace(2, at.Add(time.Minute))
	failed.Outcome, failed.Plan[2].Verdict = record.Failed, record.VerdictTriedFailed
	failed.Attempts[1].Class = llm.Server
	im.note(failed)
	for p, want := range map[llm.Provider]record.Impact{
		llm.OpenAI: {ServedBy: llm.Claude, Rerouted: 1, Failed: 1, Added: 300 * time.Millisecond, Extra: 80},
		llm.Claude: {Failed: 1, Extra: 100},
		"":         {ServedBy: llm.Claude, Rerouted: 1, Failed: 1, Added: 300 * time.Millisecond, Extra: 180},
	} {
		if got, err := im.between(t.Context(), p, at, at.Add(2*time.Minute)); err != nil || got != want {
			t.Errorf("%q: %+v (%v), want %+v", p, got, err, want)
		}
	}
}

func TestImpactOfTroubleThatIsOlderIsReadFromTheRecord(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	began := time.Now().Add(-2 * time.Hour)
	ids := record.NewIDs(1, 0)
	const before = 2500 // of which some began before the trouble
	for i := range before {
		at := began.Add(time.Duration(i-100) * time.Second)
		if !s.Record(reroutedTrace(ids.Next(at), at)) {
			t.Fatal("the queue is full")
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads := 0
	im := newImpacts(llm.Providers(), func(ctx context.Context, q store.TraceQuery) ([]record.Trace, error) {
		reads++
		return s.Traces(ctx, q)
	})
	im.note(reroutedTrace(ids.Next(time.Now()), time.Now()))
	since := began.Truncate(time.Minute) // figures are to the minute of the request's end
	want := int64(1)
	for i := range before {
		if at := began.Add(time.Duration(i-100)*time.Second + time.Second); !at.Before(since) {
			want++
		}
	}
	for range 3 {
		if got, err := im.between(t.Context(), llm.OpenAI, began, time.Now().Add(time.Minute)); err != nil || got.Rerouted != want || got.Added != 300*time.Millisecond {
			t.Errorf("%+v (%v), want %d rerouted", got, err, want)
		}
	}
	if most := before/store.MaxLimit + 1; reads > most {
		t.Errorf("read %d times, want %d at most however often one asks", reads, most)
	}
	im = newImpacts(llm.Providers(), s.Traces)
	im.left = 50
	if got, err := im.between(t.Context(), llm.OpenAI, began, time.Now()); err != nil || got.Rerouted != 50 {
		t.Errorf("%+v (%v), want no more than may be read", got, err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
