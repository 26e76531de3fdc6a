package app

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"breakwater/internal/record"
)

// The report of a backtest, as its JSON has it. Instants are in UTC, money is in
// US dollars.
type (
	backtestReport struct {
		From      time.Time          `json:"from"`
		To        time.Time          `json:"to"`
		Attempts  int                `json:"attempts"`
		Targets   int                `json:"targets"`
		Needed    int                `json:"needed"`  // good answers of a target, before it is compared with its past
		TooFew    int                `json:"too_few"` // targets that gave fewer
		Busiest   int                `json:"busiest"` // good answers of the target that gave most
		Found     []backtestFinding  `json:"found"`
		Incidents []backtestIncident `json:"incidents"`
		Holds     backtestSum        `json:"holds"`
		Breakers  backtestSum        `json:"breakers"`
	}
	backtestFinding struct {
		At       time.Time       `json:"at"`
		Target   string          `json:"target"`
		Signal   string          `json:"signal"`
		Text     string          `json:"text"`
		Ended    *time.Time      `json:"ended"`  // of the hold, or when the breaker closed; null for none
		Effect   *backtestEffect `json:"effect"` // null where nothing would have moved
		Incident int64           `json:"incident,omitempty"`
	}
	// backtestEffect says what moving attempts elsewhere would have come to.
	backtestEffect struct {
		Kept    int     `json:"kept_away"`
		Failed  int     `json:"of_them_failed"`
		Rescued int     `json:"rescued"`        // failed attempts of requests that failed for their callers
		Waited  float64 `json:"waited_seconds"` // for those that failed
		Saved   float64 `json:"saved_usd"`      // what those that failed cost
		Slower  float64 `json:"slower_seconds"` // that those which went well would have taken longer; estimated
		Dearer  float64 `json:"dearer_usd"`     // that they would have cost more; estimated
	}
	backtestSum struct {
		Count int `json:"count"`
		backtestEffect
	}
	backtestIncident struct {
		Number   int64      `json:"number"`
		Title    string     `json:"title"`
		Topic    string     `json:"topic"`
		Began    time.Time  `json:"began"`
		Ended    *time.Time `json:"ended"`
		Replayed bool       `json:"replayed"` // whether a replay can find what it is about
		// Found is how long after it began the first finding came, in seconds, less
		// than 0 where it came before; null where none did.
		Found *float64 `json:"found_after_seconds"`
	}
)

func (e moved) told() backtestEffect {
	// Of what is estimated or summed up in floating point, what nobody pays is left out.
	dollars := func(v float64) float64 { return math.Round(v*1e6) / 1e6 }
	return backtestEffect{
		Kept: e.kept, Failed: e.failed, Rescued: e.rescued, Waited: e.waited.Seconds(), Saved: dollars(e.saved),
		Slower: e.slower.Seconds(), Dearer: dollars(e.dearer),
	}
}

// report puts together what was found, and the incidents that were.
func (r *rerun) report(o BacktestOptions, incidents []record.Incident) backtestReport {
	report := backtestReport{
		From: o.From.UTC(), To: o.To.UTC(), Attempts: r.attempts, Targets: len(r.breakers.all), Needed: r.needed,
		Found: []backtestFinding{}, Incidents: []backtestIncident{},
	}
	for target := range r.breakers.all {
		n := 0
		if a := r.usual[target]; a != nil {
			n = a.n
		}
		report.Busiest = max(report.Busiest, n)
		if n < r.needed {
			report.TooFew++
		}
	}
	first := map[record.ID]*found{}
	var holds, breakers moved
	for _, f := range r.all {
		told := backtestFinding{At: f.at.UTC(), Target: f.target.String(), Signal: f.signal, Text: f.text, Ended: known(f.ended)}
		if f.held {
			e := f.effect.told()
			told.Effect = &e
			if f.signal == breakerSignal {
				report.Breakers.Count++
				breakers.add(f.effect)
			} else {
				report.Holds.Count++
				holds.add(f.effect)
			}
		}
		if in := f.about(incidents); in != nil {
			told.Incident = in.Number
			if first[in.ID] == nil {
				first[in.ID] = f
			}
		}
		report.Found = append(report.Found, told)
	}
	report.Holds.backtestEffect, report.Breakers.backtestEffect = holds.told(), breakers.told()
	for _, in := range incidents {
		told := backtestIncident{Number: in.Number, Title: in.Title, Topic: string(in.Topic), Began: in.Began.UTC(), Ended: known(in.Ended), Replayed: replayed(in.Topic)}
		if f := first[in.ID]; f != nil {
			after := f.at.Sub(in.Began).Seconds()
			told.Found = &after
		}
		report.Incidents = append(report.Incidents, told)
	}
	return report
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// write prints the report for people.
func (b backtestReport) write(out io.Writer) error {
	const day = "2006-01-02 15:04:05"
	fmt.Fprintf(out, "%d attempts at %d targets, %s to %s UTC\n", b.Attempts, b.Targets, b.From.Format(day), b.To.Format(day))
	fmt.Fprint(out, b.little())
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nFOUND\tTARGET\tBY\tHELD\tKEPT AWAY\tOF THEM FAILED\tINCIDENT\tWHAT")
	for _, f := range b.Found {
		held, kept, failed, number := "no", "", "", "none"
		if e := f.Effect; e != nil {
			held, kept, failed = "to the end", fmt.Sprint(e.Kept), fmt.Sprint(e.Failed)
			if f.Ended != nil {
				held = f.Ended.Sub(f.At).Round(time.Second).String()
			}
		}
		if f.Incident > 0 {
			number = fmt.Sprintf("#%d", f.Incident)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.At.Format(day), f.Target, f.Signal, held, kept, failed, number, f.Text)
	}
	fmt.Fprintln(table, "\nINCIDENT\tBEGAN\tLASTED\tFOUND\tWHAT")
	for _, in := range b.Incidents {
		lasted, when := "goes on", "not found"
		if !in.Replayed {
			when = "not replayed"
		}
		if in.Ended != nil {
			lasted = in.Ended.Sub(in.Began).Round(time.Second).String()
		}
		if in.Found != nil {
			after := time.Duration(*in.Found * float64(time.Second)).Round(time.Second)
			when = after.String() + " after it began"
			if after < 0 {
				when = (-after).String() + " before it began"
			}
		}
		fmt.Fprintf(table, "#%d\t%s\t%s\t%s\t%s\n", in.Number, in.Began.Format(day), lasted, when, in.Title)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nHolds: %s\nBreakers: %s\n", b.Holds.sentence(), b.Breakers.sentence())
	return err
}

// little says where there was too little to learn from; "" where there was enough.
func (b backtestReport) little() string {
	switch {
	case b.Targets == 0:
		return "Nothing was recorded in this time, so there was nothing to learn from.\n"
	case b.TooFew == b.Targets:
		return fmt.Sprintf("That is too little to learn from: a target needs %d good answers (anomaly.min_samples), and the busiest gave %d.\n", b.Needed, b.Busiest)
	case b.TooFew > 0:
		return fmt.Sprintf("There was too little to learn from at %d of the targets: each needs %d good answers (anomaly.min_samples).\n", b.TooFew, b.Needed)
	}
	return ""
}

// sentence says what all of a kind come to.
func (s backtestSum) sentence() string {
	longer, dearer := "longer", "more"
	if s.Slower < 0 {
		longer = "less"
	}
	if s.Dearer < 0 {
		dearer = "less"
	}
	seconds := func(v float64) time.Duration {
		return time.Duration(math.Abs(v) * float64(time.Second)).Round(time.Millisecond)
	}
	return fmt.Sprintf("%d. They would have kept %d attempts away: %d that failed after %s of waiting in all and cost $%.4f, %d of them of requests that failed for their callers; "+
		"and %d that went well, which elsewhere would have taken about %s %s and cost about $%.4f %s.",
		s.Count, s.Kept, s.Failed, seconds(s.Waited), s.Saved, s.Rescued, s.Kept-s.Failed, seconds(s.Slower), longer, math.Abs(s.Dearer), dearer)
}
