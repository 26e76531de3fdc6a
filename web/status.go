// Package web is the status page: one page, rendered on the server, that says
// in a sentence how the providers are and what that means for callers, and
// then shows the figures behind the sentence; and a page for each provider's
// keys, connections and limits. They keep themselves current through
// server-sent events and work without JavaScript.
package web

import (
	"context"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Source gives what the page shows. It is asked once for every page and for
// every element that renews itself, so it must answer from memory and rollups.
// After an error the page says that the status cannot be read; the error
// itself is logged, not shown.
type Source interface {
	Status(ctx context.Context) (Status, error)
	// Detail gives what the page of one provider shows beside its row.
	Detail(ctx context.Context, p llm.Provider, s Span) (Detail, error)
}

// Changes tells which parts of the page are out of date. The channel is read
// until cancel is called; a Part that is sent several times before the page
// was told counts once. When the channel is closed the page reconnects.
type Changes interface {
	Subscribe() (changed <-chan Part, cancel func())
}

// Part names an element of the page that renews itself. The names are the only
// thing that the event stream carries.
type Part string

// The parts of the page.
const (
	PartVerdict   Part = "verdict"   // the sentence: a provider's state or the recorder changed
	PartNow       Part = "now"       // its consequence and the four numbers: a request ended
	PartProviders Part = "providers" // the rows: a request ended, a breaker or a hold changed
	PartIncidents Part = "incidents" // an incident opened, went on or resolved
	PartBudgets   Part = "budgets"   // money was spent
)

// Parts lists all parts in the order of the page.
func Parts() []Part {
	return []Part{PartVerdict, PartNow, PartProviders, PartIncidents, PartBudgets}
}

// Figure is a measured value that may be missing. The zero Figure is missing:
// it is shown as "no data", never as zero.
type Figure[T any] struct {
	Value T
	Known bool
}

// Known gives a Figure that was measured.
func Known[T any](v T) Figure[T] { return Figure[T]{Value: v, Known: true} }

// Status is everything that the page shows, as figures. All times are UTC.
type Status struct {
	Now     time.Time // when the figures were taken
	Started time.Time // when this process started

	Numbers   Numbers
	Providers []Provider        // in the order of the failover chain, those without a key too
	Incidents []record.Incident // those that are not over, and those that began in the last 14 days; pending and dropped ones are not shown
	Budgets   []Budget          // in the order to show; those without a cap only show what is spent
	Line      Line
	// Maintenances are the maintenance windows of the last 90 days, those that
	// stand, and those that are planned.
	Maintenances []record.Silence

	// Dropped counts the samples that could not be recorded since Started.
	Dropped int64
	// Waiting counts the samples that wait in memory because the record cannot
	// be written right now; 0 while it can.
	Waiting int64
	// SimulatedUntil is where seeded history ends and real traffic begins;
	// zero where all history is real.
	SimulatedUntil time.Time
}

// Numbers are the four numbers at the top, each with what is usual.
type Numbers struct {
	Served, Failed int64           // requests of the last 15 minutes with these record.Outcomes; refused and abandoned ones count as neither
	UsualSucceeded Figure[float64] // share, 0 to 1

	P95, UsualP95             Figure[time.Duration] // of whole requests, in the last 15 minutes
	PerMinute, UsualPerMinute Figure[float64]       // requests a minute, in the last 15 minutes

	SpentToday record.NanoUSD
	DailyCap   record.NanoUSD // of all providers together; 0 for none
}

// Succeeded gives the share of the last 15 minutes' requests that were served.
func (n Numbers) Succeeded() Figure[float64] { return share(n.Served, n.Failed) }

// State is how a provider is, as one word.
type State string

// The states of a provider. A provider with several targets is as well as the
// worst of them that traffic would go to.
const (
	Operational State = "operational" // it answers as usual
	Degraded    State = "degraded"    // it answers, but slower or with more errors than usual, or its breaker is half-open
	Down        State = "down"        // its breaker is open, or it does not answer
	Held        State = "held"        // traffic is kept away from it by a hold
	Unknown     State = "unknown"     // set up, but nothing has been asked of it yet
	Off         State = "off"         // not set up; Provider.Missing says what it lacks
)

// Provider is one row of the table.
type Provider struct {
	Name    llm.Provider
	Model   string // the model that is asked by default
	Missing string // the environment variable that would set it up; "" where it is
	State   State
	Breaker Breaker
	Hold    *record.Hold // nil where none stands
	// Maintenance is the window that stands; nil where none does.
	Maintenance *record.Silence
	Keys        KeysOut // zero where it needs none

	Share         Figure[float64]       // of all served requests in the last 15 minutes, 0 to 1
	P95, UsualP95 Figure[time.Duration] // of whole attempts, in the last 15 minutes
	Errors        Figure[float64]       // share of its attempts in the last 15 minutes that failed, 0 to 1

	Hour  []Point      // the last 60 minutes, oldest first; a minute without traffic is left out
	Usual Figure[Band] // what the line of Hour usually keeps within
	Days  []Day        // the last 90 days, oldest first, today last; a day without traffic may be left out

	Uptimes []Uptime // of the last 24 hours and longer, the shortest first
}

// Uptime is a provider's availability within one window.
type Uptime struct {
	Window string          // "24h", "7d", "30d", "90d"
	Share  Figure[float64] // of its attempts that were answered, of those answered or failed by its fault, 0 to 1
}

// Breaker is the state of a provider's breaker: the worst of its targets.
type Breaker struct {
	State     record.State
	Failures  int       // failures in a row, while closed
	Threshold int       // failures in a row that open it
	NextProbe time.Time // while open: when a request is let through again
	Reason    string    // why it opened, in words: "3 failures in a row, last: server error, HTTP 503"
}

// Point is one minute of a provider.
type Point struct {
	At  time.Time
	P95 time.Duration
}

// Band is the range between the 10th and the 90th percentile.
type Band struct{ Low, High time.Duration }

// Day is one UTC day of a provider.
type Day struct {
	Date           time.Time     // its first instant
	Served, Failed int64         // attempts; failed are those that count against the provider
	Incident       time.Duration // how long an incident of it was open that day, without planned maintenance
	Maintenance    time.Duration // how long it was under planned maintenance that day
}

// Period is how long a budget lasts.
type Period string

// The periods, which begin at midnight UTC.
const (
	PerDay   Period = "day"
	PerMonth Period = "month"
)

// Budget is what is spent in a period, and what may be.
type Budget struct {
	Name   string // whose it is: "All providers", "Gemini"
	Period Period
	Cap    record.NanoUSD // 0 for none
	Spent  record.NanoUSD // since the period began
}

// share gives good/(good+bad), missing where there was neither.
func share(good, bad int64) Figure[float64] {
	if good+bad <= 0 {
		return Figure[float64]{}
	}
	return Known(float64(good) / float64(good+bad))
}
