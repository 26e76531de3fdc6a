package store_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// drawQuery draws a query of one to three conditions, mostly such that
// something matches.
func drawQuery(t *rapid.T, all []record.Trace) store.Query {
	var q store.Query
	some := func(label string) record.Trace { return rapid.SampledFrom(all).Draw(t, label) }
	attempt := func(label string) record.Attempt {
		if tried := some(label).Attempts; len(tried) > 0 {
			return rapid.SampledFrom(tried).Draw(t, label+" attempt")
		}
		return record.Attempt{Target: llm.Target{Provider: llm.Local}}
	}
	for _, condition := range rapid.SliceOfNDistinct(rapid.IntRange(0, 17), 0, 3, rapid.ID).Draw(t, "conditions") {
		switch condition {
		case 0:
			q.Since = some("since").ID.Time()
		case 1:
			q.Until = some("until").ID.Time()
		case 2:
			q.ID = some("id").ID.String()[:rapid.IntRange(1, 13).Draw(t, "prefix")]
		case 3, 4:
			q.Outcome = pick(t, "outcome", record.Outcomes()...)
		case 5:
			q.Caller = pick(t, "caller", "team-a", "nobody")
		case 6:
			q.Asked = some("asked").Asked
		case 7:
			q.Provider = attempt("provider").Target.Provider
		case 8:
			q.Endpoint = "eu"
		case 9:
			q.Model = attempt("model").Target.Model
		case 10:
			q.Key = attempt("key").Key
		case 11:
			q.Class = pick(t, "class", append(llm.FailureClasses(), store.AnyClass, attempt("class").Class)...)
		case 12:
			q.Rerouted = true
		case 13:
			q.Hedged = true
		case 14:
			q.Queued = true
		case 15:
			q.Took = some("took").Took
		case 16:
			q.TTFT = some("ttft").TTFT
		case 17:
			q.Cost = some("cost").Cost
		}
	}
	return q
}

// asks is the plain filter: what each condition means.
func asks(q store.Query, t record.Trace) bool {
	tried := func(is func(record.Attempt) bool) bool { return slices.ContainsFunc(t.Attempts, is) }
	passed := t.Served.Provider != "" && len(t.Plan) > 0 && t.Plan[0].Verdict != record.VerdictServed
	checks := []struct{ asked, holds bool }{
		{!q.Since.IsZero(), !t.ID.Time().Before(q.Since)},
		{!q.Until.IsZero(), t.ID.Time().Before(q.Until)},
		{q.ID != "", strings.HasPrefix(t.ID.String(), q.ID)},
		{q.Outcome != "", t.Outcome == q.Outcome},
		{q.Caller != "", t.Caller == q.Caller},
		{q.Asked != "", t.Asked == q.Asked},
		{q.Rerouted, len(t.Attempts) > 1 || passed},
		{q.Hedged, tried(func(a record.Attempt) bool { return a.Hedge })},
		{q.Queued, t.Queued > 0},
		{q.Took > 0, t.Took > q.Took},
		{q.TTFT > 0, t.TTFT > q.TTFT},
		{q.Cost > 0, t.Cost > q.Cost},
		{q.Provider != "" || q.Endpoint != "" || q.Model != "" || q.Key != "" || q.Class != "", tried(func(a record.Attempt) bool {
			return (q.Provider == "" || a.Target.Provider == q.Provider) && (q.Endpoint == "" || a.Target.Endpoint == q.Endpoint) &&
				(q.Model == "" || a.Target.Model == q.Model) && (q.Key == "" || a.Key == q.Key) && (q.Class == "" || a.Class == q.Class || q.Class == store.AnyClass && a.Class != "")
		})},
	}
	for _, c := range checks {
		if c.asked && !c.holds {
			return false
		}
	}
	return true
}

func TestASearchFindsWhatAPlainFilterDoes(t *testing.T) {
	for name, o := range map[string]store.Options{
		"with room in the dictionaries": {}, "with full dictionaries": store.Bounded(store.Options{}, 4, 3, 3),
	} {
		t.Run(name, func(t *testing.T) {
			o.Path = filepath.Join(t.TempDir(), "empty.db")
			_, end := mustBegin(t, o)
			end()
			empty, err := os.ReadFile(o.Path)
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(rt *rapid.T) {
				o.Path = filepath.Join(t.TempDir(), "test.db") // which takes less time than to make it anew
				if err := os.WriteFile(o.Path, empty, 0o600); err != nil {
					t.Fatal(err)
				}
				s, end := mustBegin(t, o)
				defer end()
				if rapid.Bool().Draw(rt, "hasty") {
					store.Hasty(s)
				}
				ids, at := record.NewIDs(0, 0), noon
				var all []record.Trace
				for range rapid.IntRange(1, 40).Draw(rt, "traces") {
					at = at.Add(drawDuration(rt, "gap") * pick(rt, "far", time.Duration(1), 1, 1, 500)) // days, too
					trace := drawTrace(rt, ids.Next(at))
					all = append(all, trace)
					s.Record(&trace)
				}
				mustFlush(t, s)
				slices.Reverse(all)
				for range 5 {
					q := drawQuery(rt, all)
					q.Limit = rapid.IntRange(1, 10).Draw(rt, "limit")
					searchIsPlain(rt, s, q, all)
				}
			})
		})
	}
}

// searchIsPlain goes through all pages of a search, and looks at each whether
// it has all that it says.
func searchIsPlain(t *rapid.T, s *store.Store, q store.Query, all []record.Trace) {
	t.Helper()
	for before, pages := record.ID(0), 0; ; pages++ {
		q.Before = before
		found, err := s.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var want []record.Trace
		for _, trace := range all {
			if (before == 0 || trace.ID < before) && trace.ID >= found.Next && asks(q, trace) {
				want = append(want, trace)
			}
		}
		if !slices.EqualFunc(found.Traces, want, func(a, b record.Trace) bool { return reflect.DeepEqual(a, b) }) || len(want) > q.Limit {
			t.Fatalf("%+v: %d traces, want %d\ngot  %+v\nwant %+v", q, len(found.Traces), len(want), found.Traces, want)
		}
		if found.Done != (found.Next == 0) || pages > len(all) {
			t.Fatalf("%+v: done %v, next %v, page %d", q, found.Done, found.Next, pages)
		}
		if found.Done {
			return
		}
		before = found.Next
	}
}

func TestASearchForAWordThatIsNotThereEndsAtOnce(t *testing.T) {
	s := mustRun(t)
	store.Hasty(s)
	fill(t, s, 50, noon, time.Second)
	for field, q := range map[string]store.Query{
		"caller": {Caller: "nobody"}, "asked": {Asked: "gpt-9"}, "model": {Model: "gpt-9"}, "provider": {Provider: llm.Local},
		"endpoint": {Endpoint: "mars"}, "key": {Key: "spare"}, "class": {Class: llm.Garbage}, "outcome": {Outcome: record.Refused},
	} {
		found, err := s.Search(t.Context(), q)
		if err != nil || !found.Done || len(found.Traces) > 0 || len(found.Unknown) != 1 || found.Unknown[0][0] != field {
			t.Errorf("%s: %+v, %v", field, found, err)
		}
	}
}

func TestASearchThatRunsOutOfTimeSaysHowFarItCame(t *testing.T) {
	s := mustRun(t)
	store.Hasty(s)
	fill(t, s, 50, noon, time.Second)
	found, err := s.Search(t.Context(), store.Query{Took: time.Hour})
	if reached := noon.Add(48 * time.Second); err != nil || found.Done || !found.Reached.Equal(reached) || found.Next != record.At(reached)+1 {
		t.Errorf("%+v, %v; want to have come to %v", found, err, reached)
	}
	found, err = s.Search(t.Context(), store.Query{Took: time.Hour, Since: noon.Add(49 * time.Second)})
	if err != nil || !found.Done || !found.Reached.Equal(noon.Add(49*time.Second)) {
		t.Errorf("of a second: %+v, %v", found, err)
	}
}

func TestASearchForWhatIsLongGoneSkipsWhatCameSince(t *testing.T) {
	s := mustRun(t)
	store.Hasty(s)
	old := served(record.At(noon.AddDate(0, 0, -10)), noon.AddDate(0, 0, -10))
	old.Attempts[0].Target, old.Attempts[0].Key = llm.Target{Provider: llm.Local, Model: "llama3"}, "old"
	old.Served = old.Attempts[0].Target
	s.Record(old)
	fill(t, s, 50, noon, time.Second)
	for _, q := range []store.Query{{Provider: llm.Local}, {Key: "old"}} {
		found, err := s.Search(t.Context(), q)
		if err != nil || len(found.Traces) != 1 || found.Traces[0].ID != old.ID {
			t.Errorf("%+v: %+v, %v", q, found, err)
		}
		q.Before = old.ID
		if found, err = s.Search(t.Context(), q); err != nil || !found.Done {
			t.Errorf("before it: %+v, %v", found, err)
		}
	}
}

func TestCountsOfAQueryAddUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // where a scan takes no time, and is never cut short
		s := mustRun(t)
		fill(t, s, 2000, noon, time.Second)
		now := noon.Add(time.Hour)
		for name, test := range map[string]struct {
			query store.Query
			of    store.Counted
			want  int64
		}{
			"all":            {store.Query{}, store.CountedRequests, 2000},
			"an outcome":     {store.Query{Outcome: record.Served}, store.CountedRequests, 2000},
			"none":           {store.Query{Outcome: record.Abandoned}, store.CountedRequests, 0},
			"a provider":     {store.Query{Provider: llm.Claude}, store.CountedAttempts, 2000},
			"a key":          {store.Query{Key: "main"}, store.CountedAttempts, 2000},
			"slow ones":      {store.Query{Took: time.Second}, store.CountedScanned, 2000},
			"ten of them":    {store.Query{Took: time.Second, Until: noon.Add(10 * time.Second)}, store.CountedScanned, 10},
			"slower than is": {store.Query{Took: time.Hour}, store.CountedScanned, 0},
		} {
			counts, err := s.Count(t.Context(), test.query, now)
			if err != nil || counts.Of != test.of || !counts.Whole {
				t.Errorf("%s: %+v, %v", name, counts, err)
			}
			var sum int64
			for i, bar := range counts.Bars {
				sum += bar.Number
				if bar.Start.Before(counts.From) || !bar.Start.Before(counts.To) || bar.Start.Sub(counts.From)%counts.Step != 0 ||
					i > 0 && !bar.Start.After(counts.Bars[i-1].Start) || bar.Simulated != 0 {
					t.Errorf("%s: bar %d of %+v", name, i, counts)
				}
			}
			if sum != test.want {
				t.Errorf("%s: counted %d, want %d", name, sum, test.want)
			}
		}
		store.Hasty(s)
		counts, err := s.Count(t.Context(), store.Query{Took: time.Second}, now)
		if err != nil || counts.Whole || len(counts.Bars) != 1 || counts.Bars[0].Number != 2 || !counts.From.Equal(noon.Add(1995*time.Second)) {
			t.Errorf("in no time: %+v, %v", counts, err)
		}
	})
}

func TestSimulatedTrafficIsMarkedInCounts(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // where a scan takes no time, and is never cut short
		s := mustRun(t)
		real, made := served(record.At(noon), noon), served(record.At(noon)+1, noon)
		made.Simulated = true
		s.Record(real)
		s.Record(made)
		mustFlush(t, s)
		for _, q := range []store.Query{{}, {Took: time.Second}} {
			counts, err := s.Count(t.Context(), q, noon.Add(time.Minute))
			if err != nil || len(counts.Bars) != 1 || counts.Bars[0].Number != 2 || counts.Bars[0].Simulated != 1 {
				t.Errorf("%+v, %v", counts, err)
			}
		}
	})
}

func TestAnExportOfASearchIsTheSameTraces(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { // where a scan takes no time, and is never cut short
		s := mustRun(t)
		fill(t, s, 2500, noon, time.Second)
		q := store.Query{Since: noon.Add(100 * time.Second), Until: noon.Add(2300 * time.Second)}
		var lines, table bytes.Buffer
		for format, out := range map[store.Format]*bytes.Buffer{store.NDJSON: &lines, store.CSV: &table} {
			sent := 0
			if err := s.ExportFound(t.Context(), q, format, out, func() { sent++ }); err != nil || sent < 3 {
				t.Errorf("%s: sent %d times, %v", format, sent, err)
			}
		}
		rows, err := csv.NewReader(&table).ReadAll()
		if err != nil || len(rows) != 2201 {
			t.Fatalf("%d lines of CSV, %v", len(rows), err)
		}
		for i, line := range strings.Split(strings.TrimSpace(lines.String()), "\n") {
			var got struct{ ID string }
			at := (record.At(noon.Add(time.Duration(2299-i)*time.Second)) + 1).String() // of instance 1
			if err := json.Unmarshal([]byte(line), &got); err != nil || got.ID != at || rows[i+1][0] != at {
				t.Fatalf("line %d: %q and %q, want %s (%v)", i, got.ID, rows[i+1][0], at, err)
			}
		}
		if err := s.ExportFound(t.Context(), q, "xml", &lines, func() {}); err == nil {
			t.Error("it writes XML")
		}
	})
}

func TestAnExportThatIsNotAllSaysSoAndWhereToGoOn(t *testing.T) {
	s := mustRun(t)
	store.Hasty(s)
	fill(t, s, 10, noon, time.Second)
	var lines, table bytes.Buffer
	for format, out := range map[store.Format]*bytes.Buffer{store.NDJSON: &lines, store.CSV: &table} {
		if err := s.ExportFound(t.Context(), store.Query{}, format, out, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	next := (record.At(noon.Add(7*time.Second)) + 1).String()
	all := strings.Split(strings.TrimSpace(lines.String()), "\n")
	var last struct{ Note, Before string }
	if err := json.Unmarshal([]byte(all[len(all)-1]), &last); err != nil || len(all) != 4 || last.Before != next || !strings.HasPrefix(last.Note, "not all: ") {
		t.Errorf("%s, %v; want 3 and to go on with %s", lines.String(), err, next)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 5 || !strings.HasPrefix(rows[4][0], "# not all: ") || !strings.HasSuffix(rows[4][0], "before="+next) {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestAnExportKeepsSpreadsheetsFromRunningWhatCallersWrote(t *testing.T) {
	s := mustRun(t)
	trace := served(record.At(noon), noon)
	trace.Asked = `=HYPERLINK("http://x")`
	s.Record(trace)
	mustFlush(t, s)
	var table bytes.Buffer
	if err := s.ExportFound(t.Context(), store.Query{}, store.CSV, &table, func() {}); err != nil {
		t.Fatal(err)
	}
	if text := table.String(); !strings.Contains(text, `"'=HYPERLINK(""http://x"")"`) {
		t.Error(text)
	}
}

func TestTracesBesideOne(t *testing.T) {
	s := mustRun(t)
	fill(t, s, 3, noon, time.Second)
	at := func(i int) record.ID { return record.At(noon.Add(time.Duration(i)*time.Second)) + 1 }
	for id, want := range map[record.ID][2]record.ID{at(0): {0, at(1)}, at(1): {at(0), at(2)}, at(2): {at(1), 0}} {
		older, newer, err := s.Beside(t.Context(), id)
		if got := [2]record.ID{older, newer}; err != nil || got != want {
			t.Errorf("%v: %v, want %v (%v)", id, got, want, err)
		}
	}
}

// searchesAtScale gives the searches that TestReadingAtScale times.
func searchesAtScale() map[string]store.Query {
	return map[string]store.Query{
		"the newest": {}, "failed": {Outcome: record.Failed}, "a provider": {Provider: llm.Gemini}, "a class": {Class: llm.Server},
		"rerouted": {Rerouted: true}, "slower than is": {Took: time.Hour}, "a key that is not": {Key: "no such"},
		"a target long gone":       {Model: "llama3", Took: time.Nanosecond},
		"hedged, of which none is": {Hedged: true}, "a class that is rare": {Class: llm.Server, Provider: llm.Claude},
		"dear and queued": {Queued: true, Cost: 1 << 40},
	}
}

func searchAtScale(t *testing.T, s *store.Store, now time.Time) {
	gone := now.AddDate(0, 0, -60)
	old := served(record.At(gone)+7, gone)
	old.Attempts[0].Target = llm.Target{Provider: llm.Local, Model: "llama3"}
	old.Served = old.Attempts[0].Target
	s.Record(old)
	mustFlush(t, s)
	for name, q := range searchesAtScale() {
		var took, counting []time.Duration
		var found store.Found
		var counts store.Counts
		for range 11 {
			at := time.Now()
			var err error
			if found, err = s.Search(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(at))
			at = time.Now()
			if counts, err = s.Count(t.Context(), q, now); err != nil {
				t.Fatal(err)
			}
			counting = append(counting, time.Since(at))
		}
		reach := "the end"
		if !found.Done {
			reach = fmt.Sprint(now.Sub(found.Reached).Round(time.Second), " back")
		}
		first := took[0]
		slices.Sort(took)
		slices.Sort(counting)
		t.Logf("search: %-26s %4d found, to %s; first %v, median %v; counted %s in %v", name, len(found.Traces), reach,
			first.Round(10*time.Microsecond), took[5].Round(10*time.Microsecond), counts.Of, counting[5].Round(10*time.Microsecond))
		if took[5] > pageTime || counting[5] > pageTime {
			t.Errorf("%s takes %v and %v", name, took[5], counting[5])
		}
	}
}
