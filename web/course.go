package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"breakwater/internal/record"
)

// What a provider may be in beside its breakers' states.
const (
	heldState   record.State = "held" // kept from traffic by a hold
	unseenState record.State = ""     // nothing is known of that time
)

// Course is how a provider fared over a Span: everything in it shares one axis
// of time, so that a change of state lines up with what changed with it.
type Course struct {
	From, To  time.Time // To is now
	Step      time.Duration
	Stretches []Stretch // states, without a gap
	Points    []Moment  // one each Step, from From on
	Rows      []Moment  // the same in fewer, for the table, with In
	Sum       Moment    // of all
	Usual     Bands
	Marks     []record.Incident // of the provider as a whole
}

// Stretch is a time in one state: a breaker's, "held", or "" where nothing is
// known.
type Stretch struct {
	From, To time.Time
	State    record.State
}

// Bands is what is usual of each measure.
type Bands struct{ P50, P95, P99, TTFT Figure[Band] }

// Moment is one step of a Course.
type Moment struct {
	At             time.Time
	P50, P95, P99  Figure[time.Duration] // of whole answers
	TTFT           Figure[time.Duration] // to the first token, p95
	Served, Failed int64                 // attempts; failed are those that count against the provider
	Throttled      int64                 // by a rate limit or quota
	Other          int64                 // failed for another reason than the provider's health
	Cancelled      int64                 // the caller went away
	Cost           record.NanoUSD
	In             map[record.State]time.Duration
}

// wrong counts the attempts that failed and are not the provider's fault.
func (m Moment) wrong() int64 { return m.Throttled + m.Other }

func (m Moment) hasData() bool { return m.Served+m.Failed+m.wrong()+m.Cancelled > 0 }

// state says what the provider was in, and for how long where that changed.
func (m Moment) state() string {
	if len(m.In) == 1 {
		for s := range m.In {
			return breakerWord(s)
		}
	}
	return inWords(m.In)
}

const (
	courseWidth  = 720
	courseHeight = 40
	courseMargin = 2 // half of a line's width, and some air
)

// Length is how long the axis is: whole rows of the table.
func (c Course) length() time.Duration {
	if len(c.Rows) < 2 {
		return c.To.Sub(c.From)
	}
	return time.Duration(len(c.Rows)) * c.Rows[1].At.Sub(c.Rows[0].At)
}

// x is where on the axis an instant is.
func (c Course) x(t time.Time) float64 {
	return max(0, min(courseWidth, courseWidth*float64(t.Sub(c.From))/float64(c.length())))
}

// ticks divides the axis into parts that people count in.
func (c Course) ticks(s Span) (all []tick) {
	parts := 4
	if s == LastMonth {
		parts = 5
	}
	for i := range parts + 1 {
		at := c.From.Add(c.length() * time.Duration(i) / time.Duration(parts))
		words := at.UTC().Format("15:04")
		if s == LastMonth {
			words = at.UTC().Format("2 Jan")
		}
		all = append(all, tick{px(c.x(at)), words})
	}
	return all
}

// tick is a place on the axis and its words.
type tick struct{ X, Words string }

// block is a rectangle over some time.
type block struct {
	Class, X, Width, Y, Height, Tip string
}

func (c Course) block(from, to time.Time, class, tip string) block {
	x := c.x(from)
	// What was short is still to be seen on an axis of weeks.
	return block{Class: class, X: px(x), Width: px(max(c.x(to)-x, 1.5)), Y: "0", Height: px(courseHeight), Tip: tip}
}

// stateLooks says how a state is drawn: severity as height and as colour.
func stateLooks(s record.State) (class string, height float64) {
	switch s {
	case record.Open:
		return "bad", 26
	case heldState:
		return "maintenance", 20
	case record.HalfOpen:
		return "warn", 20
	case record.Closed:
		return "ok", 14
	}
	return "none", 14
}

// breakerWord names a state as people read it.
func breakerWord(s record.State) string {
	if s == unseenState {
		return "nothing known"
	}
	return string(s)
}

// stateNames lists the states of a course, in the order of tables.
func stateNames() []record.State {
	return []record.State{record.Closed, record.HalfOpen, record.Open, heldState, unseenState}
}

// band draws the states; long ones first, so that a short one is not hidden
// beneath its neighbour.
func (c Course) band() (all []block) {
	for _, long := range []bool{true, false} {
		for _, s := range c.Stretches {
			b := c.block(s.From, s.To, "", breakerWord(s.State)+" "+when(s.From, c.To)+"–"+when(s.To, c.To)+", "+shortly(s.To.Sub(s.From)))
			if (c.x(s.To)-c.x(s.From) >= 1.5) != long {
				continue
			}
			class, height := stateLooks(s.State)
			b.Class, b.Y, b.Height = class, px(chartHeight-height), px(height)
			all = append(all, b)
		}
	}
	return all
}

// in gives how long the course was in each state.
func (c Course) in() map[record.State]time.Duration {
	in := map[record.State]time.Duration{}
	for _, s := range c.Stretches {
		in[s.State] += s.To.Sub(s.From)
	}
	return in
}

// stateWords says how long it was in other states than closed.
func (c Course) stateWords() string {
	in := c.in()
	closed, unseen := in[record.Closed], in[unseenState]
	delete(in, record.Closed)
	delete(in, unseenState)
	switch {
	case len(in) > 0:
		return inWords(in)
	case closed == 0:
		return noData
	case unseen > 0:
		return "closed as far as known"
	}
	return "closed all the time"
}

// inWords says how long each state lasted, the worst first.
func inWords(in map[record.State]time.Duration) string {
	var parts []string
	for _, s := range []record.State{record.Open, heldState, record.HalfOpen, record.Closed, unseenState} {
		if in[s] > 0 {
			parts = append(parts, breakerWord(s)+" "+shortly(in[s]))
		}
	}
	if len(parts) == 0 {
		return noData
	}
	return strings.Join(parts, ", ")
}

// marks draws the incidents behind everything else.
func (c Course) marks() (all []block) {
	for _, in := range c.Marks {
		end := in.Ended
		if end.IsZero() {
			end = c.To
		}
		all = append(all, c.block(in.Began, end, "mark", markWords(in, c.To)))
	}
	return all
}

// markWords names an incident and says when it was.
func markWords(in record.Incident, now time.Time) string {
	words := incidentName(in) + ": " + in.Title + ", " + when(in.Began, now)
	if in.Ended.IsZero() {
		return words + " until now"
	}
	return words + "–" + when(in.Ended, now)
}

// trace is one measure as a line on its usual band.
type trace struct {
	Name         string
	Line         string // SVG path; a step without data breaks it
	BandY, BandH string // "" where nothing is usual yet
	Last         Figure[time.Duration]
	Peak         time.Duration
	Usual        Figure[Band]
}

// words says what the line comes to.
func (t trace) words() string {
	if !t.Last.Known {
		return noData
	}
	return latency(t.Last.Value) + ", at most " + latency(t.Peak)
}

// traces draws every measure of latency, each from zero on a scale of its own.
func (c Course) traces() []trace {
	return []trace{
		c.trace("Latency p50", c.Usual.P50, func(m Moment) Figure[time.Duration] { return m.P50 }),
		c.trace("Latency p95", c.Usual.P95, func(m Moment) Figure[time.Duration] { return m.P95 }),
		c.trace("Latency p99", c.Usual.P99, func(m Moment) Figure[time.Duration] { return m.P99 }),
		c.trace("First token p95", c.Usual.TTFT, func(m Moment) Figure[time.Duration] { return m.TTFT }),
	}
}

func (c Course) trace(name string, usual Figure[Band], of func(Moment) Figure[time.Duration]) trace {
	t := trace{Name: name, Usual: usual}
	for _, m := range c.Points {
		if v := of(m); v.Known {
			t.Last, t.Peak = v, max(t.Peak, v.Value)
		}
	}
	top := max(t.Peak, headroom*usual.Value.High)
	if top <= 0 {
		return t
	}
	y := func(d time.Duration) float64 {
		return courseHeight - courseMargin - float64(d)/float64(top)*(courseHeight-2*courseMargin)
	}
	var line strings.Builder
	for i, m := range c.Points {
		v := of(m)
		if !v.Known {
			continue
		}
		before, after := i > 0 && of(c.Points[i-1]).Known, i+1 < len(c.Points) && of(c.Points[i+1]).Known
		verb := "M"
		if before {
			verb = "L"
		}
		fmt.Fprintf(&line, "%s%s %s", verb, px(min(c.x(m.At.Add(c.Step/2)), c.x(c.To))), px(y(v.Value)))
		if !before && !after {
			line.WriteString("h2") // a step between two gaps is still a mark
		}
	}
	t.Line = line.String()
	if usual.Known {
		t.BandY, t.BandH = px(y(usual.Value.High)), px(max(y(usual.Value.Low)-y(usual.Value.High), 1))
	}
	return t
}

// bars is a measure that is counted, as bars from zero.
type bars struct{ Bad, Other string }

// draw stacks what is bad and the rest of each step.
func (c Course) bars(of func(Moment) (bad, other float64)) bars {
	top := 0.0
	for _, m := range c.Points {
		bad, other := of(m)
		top = max(top, bad+other)
	}
	var low, high strings.Builder
	for _, m := range c.Points {
		bad, other := of(m)
		if bad+other == 0 {
			continue
		}
		x, width := c.x(m.At), max(c.x(m.At.Add(c.Step))-c.x(m.At)-1, 1)
		scale := (courseHeight - courseMargin) / top
		// What is there at all is seen.
		lower, upper := bad*scale, other*scale
		if bad > 0 {
			lower = math.Max(lower, 1.5)
			fmt.Fprintf(&low, "M%s %sv-%sh%sv%sz", px(x), px(courseHeight), px(lower), px(width), px(lower))
		}
		if other > 0 {
			upper = math.Max(upper, 1.5)
			fmt.Fprintf(&high, "M%s %sv-%sh%sv%sz", px(x), px(courseHeight-lower), px(upper), px(width), px(upper))
		}
	}
	return bars{low.String(), high.String()}
}

func (c Course) errorBars() bars {
	return c.bars(func(m Moment) (float64, float64) { return float64(m.Failed), float64(m.wrong()) })
}

func (c Course) costBars() bars {
	return c.bars(func(m Moment) (float64, float64) { return 0, float64(m.Cost) })
}

// errorWords says what went wrong in all.
func (c Course) errorWords() string {
	if !c.Sum.hasData() {
		return noData
	}
	if c.Sum.Failed+c.Sum.wrong() == 0 {
		return "none"
	}
	return thousands(c.Sum.Failed) + " failed, " + thousands(c.Sum.wrong()) + " limited or refused"
}

// kind is one class of what became of attempts.
type kind struct {
	Name, Meaning string
	Count         int64
}

// kinds lists what became of the attempts.
func (c Course) kinds() []kind {
	return []kind{
		{"Answered", "a whole answer came", c.Sum.Served},
		{"Failed", "by its fault: network, timeout, server error, broken answer", c.Sum.Failed},
		{"Limited", "rate limit or quota", c.Sum.Throttled},
		{"Refused", "a key, the request or its content; no such model", c.Sum.Other},
		{"Abandoned", "the caller went away, or its time was up", c.Sum.Cancelled},
	}
}

// all counts the attempts.
func (c Course) all() int64 { return c.Sum.Served + c.Sum.Failed + c.Sum.wrong() + c.Sum.Cancelled }

// shortly writes how long something lasted in few characters.
func shortly(d time.Duration) string {
	part := func(n time.Duration, unit string, rest time.Duration, restUnit string) string {
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		return fmt.Sprintf("%d %s %d %s", n, unit, rest, restUnit)
	}
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Second:
		return "<1 s"
	case d < time.Minute:
		return part(d/time.Second, "s", 0, "")
	case d < time.Hour:
		return part(d/time.Minute, "min", 0, "")
	case d < 24*time.Hour:
		return part(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
	}
	return part(d/(24*time.Hour), "d", d%(24*time.Hour)/time.Hour, "h")
}
