package web

import (
	"fmt"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// requestsPage is what the page of a search is rendered from.
type requestsPage struct {
	Form    requestForm
	Found   RequestsFound
	Counts  RequestCounts
	Now     time.Time
	Assets  assets
	Version string
}

// headline says in words what is searched for.
func (p requestsPage) headline() string {
	if len(p.Form.Errors) > 0 {
		return "Nothing was searched: a filter cannot be read."
	}
	q := p.Form.Query
	kinds := []string{string(q.Outcome)}
	for _, k := range []struct {
		asked bool
		word  string
	}{{q.Rerouted, "rerouted"}, {q.Hedged, "hedged"}, {q.Queued, "queued"}} {
		if k.asked {
			kinds = append(kinds, k.word)
		}
	}
	if kinds[0] == "" {
		kinds = kinds[1:]
	}
	text := strings.Join(append(kinds, "requests"), ", ")
	text = strings.Replace(text, ", requests", " requests", 1)
	text = strings.ToUpper(text[:1]) + text[1:]
	if tried := attemptWords(q); tried != "" {
		text += " " + tried
	}
	var more []string
	for _, m := range []struct {
		asked bool
		words string
	}{
		{q.Caller != "", "of caller " + q.Caller}, {q.Asked != "", "for “" + q.Asked + "”"},
		{q.Took > 0, "slower than " + exactly(q.Took)}, {q.TTFT > 0, "with a first token after " + exactly(q.TTFT)},
		{q.Cost > 0, "dearer than $" + q.Cost.String()}, {q.ID != "", "whose id begins with " + q.ID},
		{!q.Since.IsZero(), "since " + instantWords(q.Since, p.Now)}, {!q.Until.IsZero(), "until " + instantWords(q.Until, p.Now)},
	} {
		if m.asked {
			more = append(more, m.words)
		}
	}
	if len(more) > 0 {
		text += " " + strings.Join(more, ", ")
	}
	if text == "Requests" {
		text = "All requests"
	}
	return text + "."
}

// attemptWords says what an attempt must be.
func attemptWords(q RequestQuery) string {
	var at []string
	if q.Provider != "" {
		at = append(at, q.Provider.Title())
	}
	if q.Model != "" {
		at = append(at, q.Model)
	}
	if q.Endpoint != "" {
		at = append(at, "endpoint "+q.Endpoint)
	}
	if q.Key != "" {
		at = append(at, "key "+q.Key)
	}
	place := strings.Join(at, ", ")
	switch {
	case q.Class == AnyFailure && place == "":
		return "with a failed attempt"
	case q.Class == AnyFailure:
		return "that failed at " + place
	case q.Class != "" && place == "":
		return "with a failed attempt (" + q.Class.Words() + ")"
	case q.Class != "":
		return "that failed at " + place + " (" + q.Class.Words() + ")"
	case place != "":
		return "sent to " + place
	}
	return ""
}

// finding says what was found, and how far back was searched.
func (p requestsPage) finding() string {
	f := p.Found
	var text string
	switch n := len(f.Traces); {
	case n == 0 && f.Done && p.Form.Query.Before != 0:
		text = "There are no older ones."
	case n == 0 && f.Done:
		text = "None was found."
	case n == 0:
		text = "None was found so far."
	case f.Done:
		text = thousands(int64(n)) + " found, newest first."
	default:
		text = thousands(int64(n)) + " found so far, newest first."
	}
	for _, u := range f.Unknown {
		text += fmt.Sprintf(" Nothing in the record has the %s “%s”.", fieldWord(u[0]), u[1])
	}
	switch {
	case len(f.Unknown) > 0:
	case !f.Done:
		text += " Searched back to " + instantWords(f.Reached, p.Now) + " UTC."
	case !p.Form.Query.Since.IsZero() && p.Form.Query.Since.After(f.Kept):
	case !f.Kept.IsZero():
		text += " Requests are kept from " + instantWords(f.Kept, p.Now) + " UTC on; older ones were removed."
	case len(f.Traces) > 0:
		text += " There are no older ones."
	}
	return text
}

func fieldWord(name string) string {
	if name == "asked" {
		return "asked model"
	}
	if name == "class" {
		return "failure"
	}
	return name
}

// nothing says whether the whole record is empty, as far as one can tell.
func (p requestsPage) nothing() bool {
	return len(p.Found.Traces) == 0 && p.Found.Done && len(p.Form.Values) == 0 && p.Form.Query.Before == 0 && p.Found.Kept.IsZero()
}

// link is what goes on with the search.
func (p requestsPage) link() string {
	if len(p.Found.Traces) == 0 {
		return "Continue before " + instantWords(p.Found.Reached, p.Now) + " UTC"
	}
	return "Continue with older ones"
}

// requestRow is a request as a line of the list.
type requestRow struct {
	record.Trace
	now time.Time
}

// symbol names the icon of a request that wants a look; "" for one that does not.
func (r requestRow) symbol() string {
	switch {
	case r.Outcome == record.Failed:
		return "bad"
	case r.Rerouted():
		return "warn"
	}
	return ""
}

// word is how it ended.
func (r requestRow) word() string {
	if r.Outcome == record.Served && r.Rerouted() {
		return "Rerouted"
	}
	word := string(r.Outcome)
	if word == "" {
		return "Unknown"
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// note says what led to the outcome.
func (r requestRow) note() string {
	var parts []string
	if r.Outcome != record.Served && r.Status != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", r.Status))
	}
	for _, a := range r.Attempts {
		if a.Class != "" && a.Class != llm.Cancelled {
			parts = append(parts, a.Target.Provider.Title()+": "+a.Class.Words())
		}
	}
	if len(parts) > 3 {
		parts = append(parts[:3], fmt.Sprintf("%d more", len(parts)-3))
	}
	return strings.Join(parts, ", ")
}

// exactly writes a length of time as it was asked for.
func exactly(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// instantWords writes an instant to the second, with its date where that is
// not today's, and with the year where that is not this one.
func instantWords(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	layout := "15:04:05"
	if t.Second() == 0 {
		layout = "15:04"
	}
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format(layout)
	case t.Year() == now.Year():
		return t.Format("2 Jan " + layout)
	}
	return t.Format("2 Jan 2006 " + layout)
}

// The histogram is drawn in these units, and stretched to the page's width.
const (
	countWidth, countHeight = 1128, 56
)

// countChart is the histogram as it is drawn.
type countChart struct {
	Bars, Simulated string // SVG paths
	Peak, Sum       int64
}

func drawCounts(c RequestCounts) countChart {
	var d countChart
	for _, b := range c.Bars {
		d.Peak = max(d.Peak, b.Number)
		d.Sum += b.Number
	}
	steps := float64(c.To.Sub(c.From)) / float64(c.Step)
	if d.Peak == 0 || steps <= 0 {
		return d
	}
	pitch := countWidth / max(steps, 1)
	gap := min(2, pitch/4)
	var bars, simulated strings.Builder
	for _, b := range c.Bars {
		x := float64(b.Start.Sub(c.From)) / float64(c.Step) * pitch
		width := min(pitch-gap, countWidth-x)
		h := max(float64(b.Number)/float64(d.Peak)*(countHeight-2), 1)
		fmt.Fprintf(&bars, "M%s %sh%sV%dh-%[3]sz", px(x), px(countHeight-h), px(width), countHeight)
		if b.Simulated > 0 {
			fmt.Fprintf(&simulated, "M%s %d.5h%s", px(x), countHeight+1, px(width))
		}
	}
	d.Bars, d.Simulated = bars.String(), simulated.String()
	return d
}

// stepWords says how long a bar is.
func stepWords(step time.Duration) string {
	switch {
	case step == time.Second:
		return "second"
	case step == time.Minute:
		return "minute"
	case step == time.Hour:
		return "hour"
	case step == 24*time.Hour:
		return "day"
	case step < time.Minute:
		return thousands(int64(step/time.Second)) + " seconds"
	case step < time.Hour:
		return thousands(int64(step/time.Minute)) + " minutes"
	case step < 24*time.Hour:
		return thousands(int64(step/time.Hour)) + " hours"
	}
	return thousands(int64(step/(24*time.Hour))) + " days"
}

// words says what the histogram counts.
func (c RequestCounts) words() string {
	switch {
	case c.Of == CountedRequests:
		return "Requests per " + stepWords(c.Step) + ", by when they ended"
	case c.Of == CountedAttempts:
		return "Attempts per " + stepWords(c.Step) + ", by when they ended; one request may be tried more than once"
	case c.Whole:
		return "Matches per " + stepWords(c.Step)
	}
	return "Matches per " + stepWords(c.Step) + ", of the part that was counted"
}

// label tells the histogram in a sentence.
func (c RequestCounts) label(now time.Time) string {
	d := drawCounts(c)
	return fmt.Sprintf("%s: %s in all from %s to %s, at most %s",
		c.words(), thousands(d.Sum), instantWords(c.From, now), instantWords(c.To, now), thousands(d.Peak))
}

// day is the date of a request that was not today's.
func (r requestRow) day() string {
	if r.Accepted.UTC().Format(time.DateOnly) == r.now.UTC().Format(time.DateOnly) {
		return ""
	}
	return r.Accepted.UTC().Format("2 Jan 2006")
}

// tokens counts input and output; what came from a cache is part of the input,
// and what was thought part of the output.
func (r requestRow) tokens() int64 { return r.Usage.Input + r.Usage.Output }

func outcomeOptions() [][2]string {
	return optionsOf(record.Outcomes(), itself[record.Outcome])
}

func providerOptions() [][2]string { return optionsOf(llm.Providers(), llm.Provider.Title) }

func classOptions() [][2]string {
	all := [][2]string{{string(AnyFailure), "any failed attempt"}}
	for _, c := range llm.FailureClasses() {
		all = append(all, [2]string{string(c), c.Words()})
	}
	return all
}
