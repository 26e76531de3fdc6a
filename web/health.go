package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/record"
)

// mostMeasures bounds what the page shows of what is compared: callers may name
// many models.
const mostMeasures = 24

// Record is how a provider did within one window up to now.
type Record struct {
	Window        string          // "5 minutes"
	Health        Figure[float64] // 0 to 100
	Availability  Figure[float64] // share of attempts that were answered, of those answered or failed by its fault
	Errors        Figure[float64] // share of all attempts without a whole answer, those aside whose caller went away
	P50, P95, P99 Figure[time.Duration]
	TTFT          Figure[time.Duration]          // p95
	In            map[record.State]time.Duration // nil where nothing is known
	Downtime      Figure[time.Duration]
	// Callers is not of the provider: the share of callers' requests that were
	// served, of those served or failed, whoever served them.
	Callers Figure[float64]
}

// healthRow is one row of the table of records: a measure over all windows.
type healthRow struct {
	Name, Note string
	Cells      []string
}

// row makes one from each record's figure.
func row[T any](d Detail, name, note string, of func(Record) Figure[T], write func(T) string) healthRow {
	r := healthRow{Name: name, Note: note}
	for _, rec := range d.Records {
		r.Cells = append(r.Cells, figure(of(rec), write))
	}
	return r
}

// ownRows tells of the provider alone.
func (d Detail) ownRows() []healthRow {
	rows := []healthRow{
		row(d, "Health", "of 100", func(r Record) Figure[float64] { return r.Health }, score),
		row(d, "Availability", "", func(r Record) Figure[float64] { return r.Availability }, percent2),
		row(d, "Errors", "of all attempts", func(r Record) Figure[float64] { return r.Errors }, percent1),
		row(d, "Latency p50", "", func(r Record) Figure[time.Duration] { return r.P50 }, latency),
		row(d, "Latency p95", "", func(r Record) Figure[time.Duration] { return r.P95 }, latency),
		row(d, "Latency p99", "", func(r Record) Figure[time.Duration] { return r.P99 }, latency),
		row(d, "First token p95", "", func(r Record) Figure[time.Duration] { return r.TTFT }, latency),
	}
	for _, s := range stateNames() {
		name := breakerWord(s)
		if s == unseenState && !slices.ContainsFunc(d.Records, func(r Record) bool { return r.In[s] > 0 }) {
			continue
		}
		rows = append(rows, row(d, sentenceCase(name), "", func(r Record) Figure[time.Duration] {
			if r.In == nil {
				return Figure[time.Duration]{}
			}
			return Known(r.In[s])
		}, shortly))
	}
	return append(rows, row(d, "Downtime", "by incidents", func(r Record) Figure[time.Duration] { return r.Downtime }, shortly))
}

// callersRow tells of Breakwater's callers.
func (d Detail) callersRow() healthRow {
	return row(d, "Callers served", "by whomever", func(r Record) Figure[float64] { return r.Callers }, percent2)
}

// score writes a health score. It never rounds up to 100.
func score(v float64) string {
	return strconv.FormatFloat(math.Floor(v*10+1e-9)/10, 'f', -1, 64)
}

// slowWords says what counts as slow.
func (d Detail) slowWords() string {
	if d.Slow <= 0 {
		return "what is usual of it is not known yet, so none counts as slow"
	}
	return "now more than " + latency(d.Slow)
}

// Measure is one behaviour of a target that is compared with its own past.
type Measure struct {
	Endpoint, Model string
	Name            string // "time to first token"
	Share, Seconds  bool   // what Now and Usual are
	Now, Usual      float64
	Z               float64 // distance from the usual in standard deviations
	Evidence        float64 // as a share of what decides: 1 is a finding
	Samples         int64   // that the usual was learned from
}

// figure writes a value of the measure.
func (m Measure) figure(v float64) string {
	switch {
	case m.Share:
		return percent(v, 1)
	case m.Seconds:
		return latency(time.Duration(v * float64(time.Second)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// z writes the distance, with its sign.
func (m Measure) z() string { return strings.Replace(fmt.Sprintf("%+.1f", m.Z), "-", "−", 1) }

// evidence says how near a finding is.
func (m Measure) evidence() string {
	switch {
	case m.Evidence >= 1:
		return "enough: unusual"
	case m.Evidence <= 0:
		return "none"
	}
	return percent(m.Evidence, 0) + " of what decides"
}

func (m Measure) class() string {
	switch {
	case m.Evidence >= 1:
		return "bad"
	case m.Evidence >= 0.5:
		return "warn"
	}
	return ""
}

// name names the target for people.
func (m Measure) target() string {
	if m.Endpoint == "" {
		return m.Model
	}
	return m.Model + " at " + m.Endpoint
}

// shownMeasures gives those that the page shows, and how many it leaves out.
func (d Detail) shownMeasures() (shown []Measure, more int) {
	n := min(len(d.Measures), mostMeasures)
	return d.Measures[:n], len(d.Measures) - n
}

// Look is the last probe of an endpoint.
type Look struct {
	Endpoint string
	Paid     bool
	At       time.Time
	Took     time.Duration
	Error    string // "" where it was answered
	Next     time.Time
}

// kind says what was asked.
func (l Look) kind() string {
	if l.Paid {
		return "a tiny request, paid for"
	}
	return "free"
}

// next says when the endpoint is looked at again.
func (l Look) next(now time.Time) string {
	if !l.Next.After(now) {
		return "due"
	}
	return "about " + clock(l.Next)
}

// sentenceCase writes a name with a capital.
func sentenceCase(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
