package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// recentDays is how far back the page lists incidents.
const recentDays = 14

// page is what the templates render: the figures, the verdict drawn from them,
// and what belongs to the server and the request.
type page struct {
	Status
	Verdict Verdict
	Assets  assets
	Version string
	BaseURL string // of the address that the reader used, for the first request's curl line
	NeedKey bool
}

// icon gives the address of the icon that carries the verdict.
func (p page) icon() string { return p.Assets.url("icon-" + string(p.Verdict.Level) + ".svg") }

// empty says that nothing has ever been asked, so that the page helps with the
// first request.
func (p page) empty() bool {
	for _, provider := range p.Providers {
		if provider.State != Off {
			return !seen(p.Status)
		}
	}
	return false
}

func (p page) openIncidents() []record.Incident {
	var open []record.Incident
	for _, in := range p.Incidents {
		if in.State.Lasts() {
			open = append(open, in)
		}
	}
	return open
}

// pastIncidents gives the resolved ones of the last days, newest first.
func (p page) pastIncidents() []record.Incident {
	var past []record.Incident
	for _, in := range p.Incidents {
		if in.State == record.Resolved && p.Now.Sub(in.Began) <= recentDays*24*time.Hour {
			past = append(past, in)
		}
	}
	sortNewestFirst(past)
	return past
}

// symbol names the icon of a state: its outline differs as well as its colour.
func (p Provider) symbol() string {
	if p.Maintenance != nil || p.State == Held && p.Hold != nil && p.Hold.Source == record.ByOperator {
		return "maintenance"
	}
	switch p.State {
	case Operational:
		return "ok"
	case Degraded, Held:
		return "warn"
	case Down:
		return "bad"
	}
	return "none"
}

// word is the state as it is read.
func (p Provider) word() string {
	if p.Maintenance != nil && p.State != Off {
		return "Maintenance"
	}
	switch p.State {
	case Operational:
		return "Operational"
	case Degraded:
		return "Degraded"
	case Down:
		return "Down"
	case Held:
		return "Held"
	case Off:
		return "Not set up"
	}
	return "No data yet"
}

// troubled says whether the row is marked.
func (p Provider) troubled() bool {
	return p.State == Degraded || p.State == Down || p.State == Held || p.Maintenance != nil && p.State != Off
}

// breakerNote says how the breaker is and what it waits for.
func (p Provider) breakerNote(now time.Time) string {
	var parts []string
	switch b := p.Breaker; b.State {
	case record.Open:
		parts = append(parts, "breaker open")
		if b.NextProbe.After(now) {
			parts = append(parts, "next probe "+clock(b.NextProbe))
		} else if !b.NextProbe.IsZero() {
			parts = append(parts, "probe due with the next request")
		}
	case record.HalfOpen:
		parts = append(parts, "breaker half-open, probing")
	default:
		parts = append(parts, "breaker closed")
		if b.Failures > 0 && b.Threshold > 0 {
			parts = append(parts, thousands(int64(b.Failures))+" of "+count(int64(b.Threshold), "failure"))
		}
	}
	if p.Hold != nil {
		parts = append(parts, "held until "+when(p.Hold.Expires, now))
	}
	if note := p.Keys.note(); note != "" {
		parts = append(parts, note)
	}
	return strings.Join(parts, ", ")
}

// reason is the sentence under a row in trouble: why it is there.
func (p Provider) reason() string {
	if m := p.Maintenance; m != nil {
		return "Under maintenance until " + m.Until.UTC().Format("15:04 on 2 January") + " UTC: " + m.Reason
	}
	if p.Hold != nil && p.Hold.Reason != "" {
		by := "Held by the detector"
		if p.Hold.Source == record.ByOperator {
			by = "Held by an operator"
		}
		return by + ": " + p.Hold.Reason
	}
	if (p.Breaker.State == record.Open || p.Breaker.State == record.HalfOpen) && p.Breaker.Reason != "" {
		return "Breaker opened: " + p.Breaker.Reason
	}
	if p.Keys.AllCooling() {
		return "Every usable key is cooling down after a rate limit; the first is back at " + clock(p.Keys.Until) + " UTC"
	}
	if p.Keys.All > 0 && p.Keys.Usable == 0 {
		return "No key is usable: each is refused or out of quota"
	}
	return ""
}

// place says beside the model where it runs, when that is not a cloud.
func (p Provider) place() string {
	if p.Name == llm.Local {
		return "local"
	}
	return ""
}

// usualWords describes the band of the last hour.
func usualWords(usual Figure[Band]) string {
	if !usual.Known {
		return "usual not known yet"
	}
	low, high := latency(usual.Value.Low), latency(usual.Value.High)
	lowNumber, unit, _ := strings.Cut(low, " ")
	if strings.HasSuffix(high, " "+unit) {
		low = lowNumber
	}
	return "usual " + low + "–" + high
}

// eventWord is the first word of a line of a timeline.
func eventWord(kind string) string {
	if kind == "" {
		return "Note"
	}
	return strings.ToUpper(kind[:1]) + kind[1:]
}

// sentence closes a text with a full stop.
func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

func percent0(v float64) string { return percent(v, 0) }
func percent2(v float64) string { return percent(v, 2) }
func percent1(v float64) string { return percent(v, 1) }

// figure writes a figure, or that there is none.
func figure[T any](f Figure[T], write func(T) string) string {
	if !f.Known {
		return noData
	}
	return write(f.Value)
}

func usual[T any](f Figure[T], write func(T) string) string {
	if !f.Known {
		return ""
	}
	return "usual " + write(f.Value)
}

func dailyCap(n record.NanoUSD) string {
	if n == 0 {
		return "no daily budget"
	}
	return "of " + dollars(n) + " a day"
}

func periodWord(p Period) string {
	if p == PerDay {
		return "today"
	}
	return "this month"
}

func incidentName(in record.Incident) string {
	if in.Number == 0 {
		return "Incident"
	}
	return "Incident " + thousands(in.Number)
}

// inPast puts the title of an incident that is over into the past tense.
func inPast(title string) string {
	for _, verb := range [][2]string{{" takes less than it is ", " took less than it was "}, {" is ", " was "}, {" are ", " were "}, {" cannot ", " could not "}, {" will not ", " was not going to "}} {
		if strings.Contains(title, verb[0]) {
			return strings.Replace(title, verb[0], verb[1], 1)
		}
	}
	return title
}

// anchor is where on the status page an incident is.
func anchor(in record.Incident) string { return "incident-" + in.ID.String() }

func simulatedWord(in record.Incident, until time.Time) string {
	if in.Began.Before(until) {
		return ", simulated"
	}
	return ""
}

func sortNewestFirst(list []record.Incident) {
	slices.SortStableFunc(list, func(a, b record.Incident) int { return b.Began.Compare(a.Began) })
}

// quarterWords says what the daily bars show.
func quarterWords(days []Day) string {
	var seen, bad int
	for _, d := range days {
		switch d.severity() {
		case dayNone:
			continue
		case dayWarn, dayBad:
			bad++
		}
		seen++
	}
	up := uptime(days)
	if !up.Known {
		return "The last 90 days: no data"
	}
	return fmt.Sprintf("The last 90 days: %s succeeded, %s with data, %d of them with trouble", percent(up.Value, 2), count(int64(seen), "day"), bad)
}

// simulatedPath underlines the first n daily bars.
func simulatedPath(n int) string {
	return fmt.Sprintf("M0 %d.5h%d", chartHeight+1, n*barPitch-(barPitch-barWidth))
}

func bulletWords(s spend) string {
	return fmt.Sprintf("%s used, %s of the %s has passed", percent(s.Used.Value, 0), percent(s.Pace, 0), s.Period)
}

// curl is a request that works as printed.
func curl(p page) string {
	key := ""
	if p.NeedKey {
		key = "  -H \"Authorization: Bearer $BREAKWATER_API_KEY\" \\\n"
	}
	return "curl " + p.BaseURL + "/v1/chat/completions \\\n" + key +
		"  -H \"Content-Type: application/json\" \\\n" +
		"  -d '{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}'"
}
