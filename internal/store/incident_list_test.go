package store_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// wanted is what a query means, said once more over whole incidents.
func wanted(q store.IncidentQuery, all []record.Incident) []int64 {
	var before record.ID
	for _, in := range all {
		if in.Number == q.Before {
			before = in.ID
		}
	}
	var numbers []int64
	for _, in := range slices.Backward(all) {
		fits := in.Number > 0 && (q.Before == 0 || in.ID < before) && (q.Topic == "" || q.Topic == in.Topic) &&
			(q.Provider == "" || q.Provider == in.Subject) && (q.Severity == "" || q.Severity == in.Severity) &&
			(q.State == "" || q.State == in.State) && (!q.Lasting || in.State.Lasts())
		if fits && len(numbers) < q.Limit {
			numbers = append(numbers, in.Number)
		}
	}
	return numbers
}

func TestThePagesOfTheListHaveEveryIncidentThatFitsOnce(t *testing.T) {
	s := mustRun(t)
	var all []record.Incident
	for i := range 60 {
		in := pending(record.ID(i+1), llm.Providers()[i%4])
		in.Began, in.Topic, in.Severity = noon.Add(time.Duration(i)*time.Minute), record.Topics()[i%3], record.Severities()[i%2]
		in.Name = strings.Repeat("x", i) // so that several of one kind may last
		if i%5 > 0 {
			in = open(in)
		}
		if i%3 == 0 && i%5 > 0 {
			in = resolve(in)
		}
		all = append(all, in)
	}
	// The later one may be told of first: numbers are not in the order of the list.
	for i := range all {
		mustSave(t, s, &all[i^1])
	}
	rapid.Check(t, func(t *rapid.T) {
		q := store.IncidentQuery{
			Topic:    rapid.SampledFrom(append(record.Topics()[:4], "")).Draw(t, "topic"),
			Provider: rapid.SampledFrom(append(llm.Providers(), "")).Draw(t, "provider"),
			Severity: rapid.SampledFrom(append(record.Severities(), "")).Draw(t, "severity"),
			State:    rapid.SampledFrom([]record.IncidentState{"", "", record.Ongoing, record.Resolved}).Draw(t, "state"),
			Lasting:  rapid.Bool().Draw(t, "lasting"), Limit: rapid.IntRange(1, 20).Draw(t, "limit"),
		}
		whole := q
		whole.Limit = len(all)
		var got []int64
		for range all {
			page, err := s.FindIncidents(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var numbers []int64
			for _, in := range page {
				numbers = append(numbers, in.Number)
				if len(in.Timeline) != 1 {
					t.Fatalf("an incident is not whole: %+v", in)
				}
			}
			if want := wanted(q, all); !slices.Equal(numbers, want) {
				t.Fatalf("%+v gives %v, want %v", q, numbers, want)
			}
			got = append(got, numbers...)
			if len(page) < q.Limit {
				break
			}
			q.Before = page[len(page)-1].Number
		}
		if want := wanted(whole, all); !slices.Equal(got, want) {
			t.Fatalf("the pages together are %v, want %v", got, want)
		}
	})
}

// A plan tells what no clock can in a test: that nothing walks through all
// incidents of all time, or sorts them.
func TestNoListOfIncidentsWalksThroughTheTable(t *testing.T) {
	s := mustOpen(t, store.Options{})
	queries := []store.IncidentQuery{
		{}, {Before: 7}, {Topic: record.TopicKey}, {Provider: llm.Claude}, {Severity: record.Critical}, {State: record.Resolved},
		{Lasting: true}, {Topic: record.TopicKey, Provider: llm.Claude, Severity: record.Info, Lasting: true, Before: 7},
	}
	for _, q := range queries {
		plan, err := store.PlanOfList(t.Context(), s, q)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(plan, func(step string) bool { return strings.Contains(step, "USING COVERING INDEX incidents_listed") }) {
			t.Errorf("%+v reads no index that has all it asks for: %q", q, plan)
		}
		mustNotWalk(t, plan)
	}
	plan, err := store.PlanOfRecent(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if found := strings.Count(strings.Join(plan, "\n"), "INDEX incidents_by_end (ended"); found != 2 {
		t.Errorf("the recent ones are not found by their end alone: %q", plan)
	}
	mustNotWalk(t, plan)
}

func mustNotWalk(t *testing.T, plan []string) {
	t.Helper()
	for _, step := range plan {
		if strings.Contains(step, "TEMP B-TREE") || strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "incidents_listed") {
			t.Errorf("%q in %q", step, plan)
		}
	}
}

// BenchmarkIncidents reads pages of a record of 100,000 incidents with ten
// events each: go test ./internal/store -run '^$' -bench Incidents
func BenchmarkIncidents(b *testing.B) {
	path := filepath.Join(b.TempDir(), "incidents.db")
	s := mustOpen(b, store.Options{Path: path})
	db := raw(b, path)
	for _, fill := range []string{
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100000)
			INSERT INTO incidents (id, number, subject, state, title, began, opened, ended, topic, severity, write_up)
			SELECT i<<20, i, CASE i % 4 WHEN 0 THEN 'gemini' WHEN 1 THEN 'claude' WHEN 2 THEN 'openai' ELSE 'ollama' END, 'resolved',
				'A provider is failing', i*1000000, i*1000000, i*1000000+60, 'provider', 'warning', printf('%500s', 'What happened and why.') FROM n`,
		`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < 9)
			INSERT INTO incident_events (incident, n, at, kind, text) SELECT id, i, began, 'breaker', 'opened after 5 failures in a row' FROM incidents, n`,
	} {
		if _, err := db.Exec(fill); err != nil {
			b.Fatal(err)
		}
	}
	for name, q := range map[string]store.IncidentQuery{
		"newest": {Limit: 51}, "last page": {Limit: 51, Before: 50}, "of a provider": {Limit: 51, Provider: llm.Claude},
		"none fits": {Limit: 51, Topic: record.TopicKey}, "not over": {Limit: 51, Lasting: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.FindIncidents(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("of 90 days", func(b *testing.B) {
		for b.Loop() {
			if found, err := s.Incidents(b.Context(), time.UnixMicro(99_990*1000000), 2000); err != nil || len(found) != 11 {
				b.Fatal(len(found), err)
			}
		}
	})
}
