package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/record"
)

// DayCount is how many daily bars a provider has: a quarter of a year, which
// is what other status pages show.
const DayCount = 90

// A day is drawn as good from DayGood and as bad below DayBad of its attempts.
// Providers fail about 1 to 2 % of requests in ordinary times, and one that
// fails one in twenty is felt through every retry.
const (
	DayGood = 0.99
	DayBad  = 0.95
)

// severity is how bad a day was. It is drawn as colour and as height.
type severity string

const (
	dayNone severity = "none"
	dayGood severity = "ok"
	dayWarn severity = "warn"
	dayBad  severity = "bad"
	// dayMaintenance is a day with planned maintenance and no trouble beside it.
	dayMaintenance severity = "maintenance"
)

const (
	chartHeight = 28 // of daily bars and of the last hour, in pixels
	barPitch    = 4
	barWidth    = 3
	hourMinutes = 60
	headroom    = 2 // the usual band keeps to the lower part of the last hour, so that trouble stands out above it
	hourWidth   = 120
)

func (d Day) hasData() bool { return d.Served+d.Failed > 0 || d.Incident > 0 || d.Maintenance > 0 }

func (d Day) severity() severity {
	up := share(d.Served, d.Failed)
	switch {
	case !d.hasData():
		return dayNone
	case d.Maintenance > 0 && d.Incident == 0:
		return dayMaintenance // what failed is put down to it
	case up.Known && up.Value < DayBad:
		return dayBad
	case up.Known && up.Value < DayGood || d.Incident > 0:
		return dayWarn
	}
	return dayGood
}

// succeeded writes the share of the day's attempts that succeeded.
func (d Day) succeeded() string { return figure(share(d.Served, d.Failed), percent2) }

// trouble tells what was wrong on the day; "" for a good one.
func (d Day) trouble() string {
	var parts []string
	if d.Failed > 0 && d.severity() != dayGood {
		parts = append(parts, thousands(d.Failed)+" of "+thousands(d.Served+d.Failed)+" failed")
	}
	if d.Incident > 0 {
		parts = append(parts, "incident for "+span(max(d.Incident, time.Minute)))
	}
	if d.Maintenance > 0 {
		parts = append(parts, "maintenance for "+span(max(d.Maintenance, time.Minute)))
	}
	return strings.Join(parts, ", ")
}

// tip tells the day in a few words, for the bar's tooltip.
func (d Day) tip() string {
	text := d.Date.Format("2 Jan") + ": " + d.succeeded()
	if trouble := d.trouble(); trouble != "" {
		text += ", " + trouble
	}
	return text
}

// quarter gives the last DayCount days up to now's, each of them once: a day
// that the provider has no row for is there without data.
func quarter(days []Day, now time.Time) []Day {
	today := now.UTC().Truncate(24 * time.Hour)
	out := make([]Day, DayCount)
	for i := range out {
		out[i].Date = today.AddDate(0, 0, i-DayCount+1)
	}
	for _, d := range days {
		age := int(today.Sub(d.Date.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
		if i := DayCount - 1 - age; i >= 0 && i < DayCount {
			out[i].Served += d.Served
			out[i].Failed += d.Failed
			out[i].Incident += d.Incident
			out[i].Maintenance += d.Maintenance
		}
	}
	return out
}

// uptime is the share of all attempts on the days that had any.
func uptime(days []Day) Figure[float64] {
	var served, failed int64
	for _, d := range days {
		served += d.Served
		failed += d.Failed
	}
	return share(served, failed)
}

// bar is one daily bar.
type bar struct {
	Class severity
	Path  string
	Tip   string
}

func dayBars(days []Day) []bar {
	heights := map[severity]int{dayNone: 14, dayMaintenance: 9, dayGood: 14, dayWarn: 20, dayBad: 26}
	bars := make([]bar, len(days))
	for i, d := range days {
		s := d.severity()
		x, h := i*barPitch, heights[s]
		b := bar{Class: s, Tip: d.tip()}
		if s == dayNone {
			// A hollow bar keeps its outline inside the pixels that a full one fills.
			b.Path = fmt.Sprintf("M%d.5 %d.5h%dv%dh-%dz", x, chartHeight-h, barWidth-1, h-1, barWidth-1)
		} else {
			b.Path = fmt.Sprintf("M%d %dh%dv%dh-%dz", x, chartHeight-h, barWidth, h, barWidth)
		}
		bars[i] = b
	}
	return bars
}

// simulatedDays gives how many of the days, counted from the first, began
// before real traffic did.
func simulatedDays(days []Day, until time.Time) int {
	n := 0
	for n < len(days) && days[n].Date.Before(until) {
		n++
	}
	return n
}

// week is one row of the table of days: Monday to Sunday, nil outside the 90.
type week struct {
	Monday time.Time
	Days   [7]*Day
}

func weeks(days []Day) []week {
	var out []week
	for i := range days {
		weekday := (int(days[i].Date.Weekday()) + 6) % 7
		if i == 0 || weekday == 0 {
			out = append(out, week{Monday: days[i].Date.AddDate(0, 0, -weekday)})
		}
		out[len(out)-1].Days[weekday] = &days[i]
	}
	return out
}

// hourChart is the last hour as a line on its usual band. Its scale begins at
// zero, so that heights compare.
type hourChart struct {
	Line         string // SVG path; a minute without data breaks it
	BandY, BandH string // "" where nothing is usual yet
	Peak         time.Duration
}

func drawHour(points []Point, usual Figure[Band], now time.Time) hourChart {
	var c hourChart
	start := now.Truncate(time.Minute).Add(-hourMinutes * time.Minute)
	var top time.Duration
	if usual.Known {
		top = headroom * usual.Value.High
	}
	var visible []Point
	for _, p := range points {
		if !p.At.Before(start) && !p.At.After(now) {
			visible = append(visible, p)
			c.Peak = max(c.Peak, p.P95)
		}
	}
	top = max(top, c.Peak)
	if top <= 0 {
		return c
	}
	const margin = 2 // half of the line's width, and some air
	y := func(d time.Duration) float64 {
		return chartHeight - margin - float64(d)/float64(top)*(chartHeight-2*margin)
	}
	var line strings.Builder
	for i, p := range visible {
		x := p.At.Sub(start).Minutes() / hourMinutes * (hourWidth - 2)
		joined := i > 0 && p.At.Sub(visible[i-1].At) < 90*time.Second
		verb := "M"
		if joined {
			verb = "L"
		}
		fmt.Fprintf(&line, "%s%s %s", verb, px(x), px(y(p.P95)))
		alone := !joined && (i+1 == len(visible) || visible[i+1].At.Sub(p.At) >= 90*time.Second)
		if alone {
			line.WriteString("h1.5") // a minute between two gaps is still a mark
		}
	}
	c.Line = line.String()
	if usual.Known {
		c.BandY = px(y(usual.Value.High))
		c.BandH = px(max(y(usual.Value.Low)-y(usual.Value.High), 1))
	}
	return c
}

// tenMinutes is one row of the table of the last hour.
type tenMinutes struct {
	From time.Time
	P95  [10]Figure[time.Duration]
}

func hourTable(points []Point, now time.Time) []tenMinutes {
	const row = 10 * time.Minute
	start := now.Truncate(time.Minute).Add(-hourMinutes * time.Minute)
	first := start.Truncate(row)
	var out []tenMinutes
	for from := first; !from.After(now); from = from.Add(row) {
		out = append(out, tenMinutes{From: from})
	}
	for _, p := range points {
		if p.At.Before(start) || p.At.After(now) {
			continue
		}
		minute := int(p.At.Sub(first) / time.Minute)
		out[minute/10].P95[minute%10] = Known(p.P95)
	}
	return out
}

// spend is a budget as it is drawn and said.
type spend struct {
	Budget
	Used  Figure[float64] // share of the cap, missing where there is none
	Pace  float64         // share of the period that has passed
	Words string          // where it is heading
	Class severity
}

// MinPace is how much of a period must have passed before its end is
// projected: before a twentieth, one large request decides the answer.
const MinPace = 0.05

func (b Budget) bounds(now time.Time) (from, to time.Time) {
	now = now.UTC()
	if b.Period == PerDay {
		from = now.Truncate(24 * time.Hour)
		return from, from.AddDate(0, 0, 1)
	}
	from = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	return from, from.AddDate(0, 1, 0)
}

func project(b Budget, now time.Time) spend {
	from, to := b.bounds(now)
	s := spend{Budget: b, Class: dayGood, Pace: float64(now.Sub(from)) / float64(to.Sub(from))}
	if b.Cap > 0 {
		s.Used = Known(float64(b.Spent) / float64(b.Cap))
	}
	expected := record.NanoUSD(float64(b.Spent) / max(s.Pace, MinPace))
	end := "today"
	if b.Period == PerMonth {
		end = "in " + from.Format("January")
	}
	switch {
	case b.Cap > 0 && b.Spent >= b.Cap:
		s.Class, s.Words = dayBad, "Used up; a new "+string(b.Period)+" begins at "+renewal(to, b.Period)+"."
	case b.Spent == 0:
		s.Words = "Nothing spent yet."
	case s.Pace < MinPace:
		s.Words = "Too early in the " + string(b.Period) + " to project."
	case b.Cap > 0 && expected > b.Cap:
		out := from.Add(time.Duration(float64(now.Sub(from)) * float64(b.Cap) / float64(b.Spent)))
		s.Class, s.Words = dayWarn, "Runs out about "+runsOut(out, b.Period)+" at this pace."
	default:
		s.Words = "On course for " + rounded(expected) + " " + end + "."
	}
	return s
}

func renewal(to time.Time, p Period) string {
	if p == PerDay {
		return "00:00 UTC"
	}
	return "00:00 UTC on " + to.Format("2 January")
}

func runsOut(at time.Time, p Period) string {
	if p == PerDay {
		return at.Format("15:04") + " UTC"
	}
	return at.Format("2 January")
}

// rounded writes a projection without a precision that it does not have.
func rounded(n record.NanoUSD) string {
	const dollar = 1_000_000_000
	if n >= 20*dollar {
		n = (n + dollar/2) / dollar * dollar
	}
	return dollars(n)
}

// px writes a length to a tenth of a pixel.
func px(v float64) string { return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64) }
