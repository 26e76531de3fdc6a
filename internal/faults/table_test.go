package faults

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/record"
)

// page is where the table is told to operators.
const page = "../../docs/faults.md"

// row is what all requests of a case came to.
type row struct {
	mu       sync.Mutex
	name     string
	why      string // what the case itself has to say
	endings  map[ending][]string
	ways     map[string]bool
	attempts int
	bound    bool // the number depends on timing, so that its bound is told
}

func newRow(name, why string) *row {
	return &row{name: name, why: why, endings: map[ending][]string{}, ways: map[string]bool{}}
}

// add takes a request in.
func (r *row) add(got ending, a asked, tr record.Trace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	manner := "whole"
	if a.q.stream {
		manner = "streamed"
	}
	if !slices.Contains(r.endings[got], manner) {
		r.endings[got] = append(r.endings[got], manner)
	}
	if got == rescued {
		r.ways[how(a, tr)] = true
	}
	r.attempts = max(r.attempts, a.requests[a.faulty])
}

// story takes in what a case of its own kind came to.
func (r *row) story(got ending, way string, attempts int, bound bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endings[got] = append(r.endings[got], "")
	if way != "" {
		r.ways[way] = true
	}
	r.attempts, r.bound = attempts, bound
}

func (r *row) String() string {
	var ends []string
	for _, e := range []ending{rescued, told, clean} {
		manners, ok := r.endings[e]
		switch {
		case !ok:
		case len(r.endings) == 1:
			ends = append(ends, string(e))
		default:
			slices.Sort(manners)
			ends = append(ends, fmt.Sprintf("%s (%s)", e, strings.Join(manners, ", ")))
		}
	}
	var ways []string
	for way := range r.ways {
		ways = append(ways, way)
	}
	slices.Sort(ways)
	if r.why != "" {
		ways = append(ways, r.why)
	}
	attempts := fmt.Sprint(r.attempts)
	if r.bound {
		attempts = "at most " + attempts
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", r.name, strings.Join(ends, "; "), strings.Join(ways, "; "), attempts)
}

// tell writes the table into the page, or compares the page with it.
func tell(t *testing.T, rows []*row, everywhere []*general) {
	t.Helper()
	const begin, end = "<!-- the table begins -->\n", "<!-- the table ends -->"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	var table strings.Builder
	table.WriteString("| what a provider does | the caller is | how, or why not | requests to the faulty provider |\n|---|---|---|---|\n")
	for _, r := range rows {
		table.WriteString(r.String() + "\n")
	}
	table.WriteString("\nWhere every provider does so:\n\n| what all providers do | HTTP status | `code` in OpenAI's dialect | `Retry-After` | requests to each |\n|---|---|---|---|---|\n")
	for _, g := range everywhere {
		table.WriteString(g.String() + "\n")
	}
	want := head + begin + "\n" + table.String() + "\n" + end + tail
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want == string(b) {
		return
	}
	was := strings.Split(string(b), "\n")
	for line := range strings.Lines(want) {
		if line = strings.TrimSuffix(line, "\n"); !slices.Contains(was, line) {
			t.Errorf("%s lacks: %s", page, line)
		}
	}
	t.Errorf("%s does not tell what was seen; -update writes it", page)
}
