package app

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// morning makes a database with the requests of two hours from 8:00 on: thirty
// a minute to Gemini, nine in ten of which fail between 9:00 and 9:20 and go to
// OpenAI then, and as many to OpenAI. Two incidents were told.
func morning(t *testing.T, path string, day time.Time) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	ids := record.NewIDs(1, 0)
	r := rand.New(rand.NewPCG(1, 1))
	answer := func(p llm.Provider, model string, start time.Duration) record.Attempt {
		took := time.Duration(float64(time.Second) * (1 + 0.1*r.NormFloat64()))
		return record.Attempt{Target: llm.Target{Provider: p, Model: model}, Start: start, TTFT: took / 4, Took: took, Status: 200,
			Usage: llm.Usage{Input: 1000, Output: 100}}
	}
	for n := range 30 * 60 * 2 {
		at := day.Add(8*time.Hour + time.Duration(n)*2*time.Second)
		for _, p := range []llm.Provider{llm.Gemini, llm.OpenAI} {
			trace := &record.Trace{ID: ids.Next(at), Accepted: at, Stream: true, Outcome: record.Served, Status: 200, Caller: []string{"a", "b"}[n%2]}
			trace.Simulated = at.Before(day.Add(8*time.Hour + time.Minute))
			if since := at.Sub(day.Add(9 * time.Hour)); p == llm.Gemini && since >= 0 && since < 20*time.Minute && n%10 != 0 {
				trace.Attempts = []record.Attempt{
					{Target: llm.Target{Provider: p, Model: "flash"}, Took: 2 * time.Second, Class: llm.Server, Status: 503},
					answer(llm.OpenAI, "gpt", 2*time.Second),
				}
			} else {
				trace.Attempts = []record.Attempt{answer(p, map[llm.Provider]string{llm.Gemini: "flash", llm.OpenAI: "gpt"}[p], 0)}
			}
			last := trace.Attempts[len(trace.Attempts)-1]
			trace.Served, trace.Took = last.Target, last.Start+last.Took
			if !s.Record(trace) {
				t.Fatal("the queue is full")
			}
		}
		if n%500 == 0 {
			if err := s.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, in := range []record.Incident{
		{Subject: llm.OpenAI, Title: "OpenAI is failing", Began: day.Add(8*time.Hour + 30*time.Minute), Ended: day.Add(8*time.Hour + 35*time.Minute)},
		{Subject: llm.Gemini, Title: "Gemini is failing", Began: day.Add(9*time.Hour + 10*time.Second), Ended: day.Add(9*time.Hour + 21*time.Minute)},
	} {
		in.ID, in.Topic, in.State, in.Opened = ids.Next(in.Began), record.TopicProvider, record.Resolved, in.Began
		if err := s.SaveIncident(ctx, &in, nil); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBacktestTellsWhatWouldHaveBeenFoundBesideWhatWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backtest.db")
	day := time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC)
	morning(t, path, day)
	cfg := &config.Config{DB: path, Anomaly: config.Anomaly{Hold: anomaly.DefaultHold, Canary: 5 * time.Second, MinSamples: anomaly.DefaultMinSamples}}
	var out bytes.Buffer
	var until time.Time
	o := BacktestOptions{From: day, To: day.Add(24 * time.Hour), Out: &out, Progress: func(at time.Time) { until = at }}
	if err := Backtest(t.Context(), cfg, o); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	t.Log(got)
	for what, want := range map[string]string{
		"all but the simulated attempts": `^7680 attempts at 2 targets, 2026-03-02 00:00:00 to 2026-03-03 00:00:00 UTC\n`,
		"a hold within a minute":         `\n2026-03-02 09:00:\d\d  gemini/flash  errors +2\dm\d+s  +\d+ +\d+ +#2 +\d+ of \d+ requests failed`,
		"a breaker":                      `\n2026-03-02 09:00:\d\d  gemini/flash  breaker +\d+m\d+s  +\d+ +\d+ +#2 +3 failures in a row, last: server error`,
		"the incident that was found":    `\n#2 +2026-03-02 09:00:10  20m50s  \d+s (after|before) it began +Gemini is failing\n`,
		"the incident that was not":      `\n#1 +2026-03-02 08:30:00  5m0s +not found +OpenAI is failing\n`,
		"what it comes to":               `\nHolds: 1. They would have kept \d+ attempts away: \d+ that failed after \d+m\d+s of waiting in all and cost \$0.0000, 0 of them of requests that failed for their callers; and \d{1,3} that went well, which elsewhere would have taken about [\d.]+m?s (longer|less) and cost about \$\d+.\d{4} (more|less).\nBreakers: [1-9]`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: no match for %s", what, want)
		}
	}
	if !until.Equal(o.To) {
		t.Errorf("the progress ended at %s", until)
	}
	var again bytes.Buffer
	o.Out, o.Progress = &again, nil
	if err := Backtest(t.Context(), cfg, o); err != nil || again.String() != got {
		t.Errorf("a second time: %v, %s", err, again.String())
	}
	out.Reset()
	o.Out, o.JSON = &out, true
	var told backtestReport
	if err := Backtest(t.Context(), cfg, o); err != nil || json.Unmarshal(out.Bytes(), &told) != nil {
		t.Fatalf("as JSON: %v, %s", err, out.String())
	}
	held := told.Holds
	if told.Attempts != 7680 || held.Count != 1 || held.Waited != 2*float64(held.Failed) || math.Abs(held.Slower) > float64(held.Kept) || len(told.Incidents) != 2 || told.Incidents[1].Found == nil {
		t.Errorf("as JSON: %+v", told)
	}
	out.Reset()
	o.JSON = false
	o.From, o.To, o.Out = day.Add(-24*time.Hour), day, &out
	if err := Backtest(t.Context(), cfg, o); err != nil || !strings.HasPrefix(out.String(), "0 attempts") || strings.Contains(out.String(), "#") ||
		!strings.Contains(out.String(), "\nNothing was recorded in this time") {
		t.Errorf("the day before: %v, %s", err, out.String())
	}
	out.Reset()
	o.From, o.To = day.Add(8*time.Hour+time.Minute), day.Add(8*time.Hour+100*time.Second)
	want := "40 attempts at 2 targets, 2026-03-02 08:01:00 to 2026-03-02 08:01:40 UTC\n" +
		"That is too little to learn from: a target needs 30 good answers (anomaly.min_samples), and the busiest gave 20.\n"
	if err := Backtest(t.Context(), cfg, o); err != nil || !strings.HasPrefix(out.String(), want) {
		t.Errorf("a minute: %v, %s", err, out.String())
	}
	some := backtestReport{Targets: 3, TooFew: 1, Needed: 50, Busiest: 900}.little()
	if some != "There was too little to learn from at 1 of the targets: each needs 50 good answers (anomaly.min_samples).\n" {
		t.Errorf("where one target was little used: %q", some)
	}
}

func TestAnIncidentThatNoReplayCanFindIsNoMiss(t *testing.T) {
	began := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	r := &rerun{breakers: newRerun(&config.Config{}).breakers}
	report := r.report(BacktestOptions{}, []record.Incident{
		{Number: 1, Topic: record.TopicBudget, Began: began, Title: "The budget is spent"},
		{Number: 2, Topic: record.TopicProvider, Began: began, Title: "Gemini is failing"},
	})
	var out strings.Builder
	if err := report.write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"goes on  not replayed  The budget is spent", "goes on  not found     Gemini is failing"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\nwant %q", out.String(), want)
		}
	}
}

func TestAFindingBelongsToTheIncidentOfSeveralProvidersWhereItsOwnHasNone(t *testing.T) {
	began := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	all := []record.Incident{
		{Number: 1, Topic: record.TopicBudget, Began: began},
		{Number: 2, Topic: record.TopicEverything, Began: began},
		{Number: 3, Topic: record.TopicProvider, Subject: llm.Claude, Began: began},
	}
	for p, want := range map[llm.Provider]int64{llm.Gemini: 2, llm.Claude: 3} {
		f := &found{at: began.Add(time.Minute), target: llm.Target{Provider: p, Model: "m"}}
		if in := f.about(all); in == nil || in.Number != want {
			t.Errorf("what was found at %s belongs to %+v, want incident %d", p, in, want)
		}
	}
	all = append(all,
		record.Incident{Number: 4, Topic: record.TopicUsage, Name: usageName("nightly"), Began: began},
		record.Incident{Number: 5, Topic: record.TopicUsage, Name: usageName(""), Began: began},
		record.Incident{Number: 6, Topic: record.TopicThrottling, Subject: llm.Claude, Began: began})
	for want, f := range map[int64]*found{
		4: {signal: string(anomaly.Cost), caller: "nightly"}, 5: {signal: string(anomaly.TokenBloat)}, 6: {signal: string(anomaly.Throttling)}, 3: {signal: breakerSignal},
	} {
		f.at, f.target = began.Add(time.Minute), llm.Target{Provider: llm.Claude}
		if in := f.about(all); in == nil || in.Number != want {
			t.Errorf("%s belongs to %+v, want incident %d", f.signal, in, want)
		}
	}
	late := &found{at: began.Add(2 * time.Hour), target: llm.Target{Provider: llm.Gemini}}
	all[1].Ended = began.Add(time.Hour)
	if in := late.about(all); in != nil {
		t.Errorf("what was found after the end belongs to %+v", in)
	}
}
