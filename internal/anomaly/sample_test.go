package anomaly

import (
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestAFailureSaysNothingWhereAnotherProviderFailsTheRequestTooAndNobodyServesIt(t *testing.T) {
	second := llm.Target{Provider: gemini.Provider, Model: "another"}
	tried := func(at llm.Target, c llm.FailureClass) record.Attempt { return record.Attempt{Target: at, Class: c} }
	for name, c := range map[string]struct {
		attempts []record.Attempt
		want     []bool
	}{
		"it fails wherever it goes": {
			[]record.Attempt{tried(gemini, llm.Server), tried(claude, llm.Server), tried(openai, llm.Garbage)}, []bool{true, true, true}},
		"somebody serves it": {
			[]record.Attempt{tried(gemini, llm.Server), tried(claude, llm.Server), tried(openai, "")}, []bool{false, false, false}},
		"no connection is no request's fault": {
			[]record.Attempt{tried(gemini, llm.Network), tried(claude, llm.Server), tried(openai, llm.Network)}, []bool{false, false, false}},
		"one provider's own targets may be ill together": {
			[]record.Attempt{tried(gemini, llm.Server), tried(second, llm.Server)}, []bool{false, false}},
		"a rate limit is none either": {
			[]record.Attempt{tried(gemini, llm.RateLimit), tried(claude, llm.Timeout), tried(openai, llm.RateLimit)}, []bool{false, false, false}},
	} {
		for i, want := range c.want {
			if got := SampleOf(&record.Trace{Attempts: c.attempts}, i).Everywhere; got != want {
				t.Errorf("%s: of attempt %d it is said %v", name, i, got)
			}
		}
	}
}

// The first provider's failures are one caller's, and the second gets nothing else.
func TestWhatFailsEverywhereHoldsNobodyAndIsNoCanary(t *testing.T) {
	w, holder, events, all := trio(t)
	all[2].now = latest(all)
	everywhere := func(i int) {
		s := refusal(all[2], all[2].now, "poison")
		s.Everywhere, s.Canary = true, i%5 == 0
		w.Observe(s)
	}
	for i := range 100 {
		everywhere(i)
	}
	if len(*events) > 0 {
		t.Fatalf("events %+v", *events)
	}
	all[2].errors = 1
	bring(t, w, all[2], holder)
	all[2].errors = 0
	for n := 0; len(holder.held) > 0; n++ {
		if n == 300 {
			t.Fatalf("still held: %s", kinds(*events))
		}
		w.Observe(let(all[2], holder))
		everywhere(0)
		w.Tick(all[2].now)
	}
}
