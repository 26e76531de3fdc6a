package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

const (
	// backtestStep is how much of the record is in memory at once.
	backtestStep = time.Hour
	// backtestPage is how many traces one read gives: few, since an hour
	// without requests costs one read.
	backtestPage = 1000
	// knownToWork is for how long after an answer a target counts as one that
	// traffic could go to instead.
	knownToWork = time.Hour
	// beforeIncident is how long before an incident began a finding may have
	// come and still be about it: the detector can be ahead of the breakers.
	beforeIncident = 10 * time.Minute
)

// BacktestOptions says what is replayed.
type BacktestOptions struct {
	From, To time.Time       // when the requests were accepted
	Out      io.Writer       // takes the report
	Progress func(time.Time) // hears how far it is; may be nil
}

// Backtest replays recorded requests through a detector with the settings of
// cfg, which knows nothing at first, and prints what it would have found beside
// the incidents that were.
func Backtest(ctx context.Context, cfg *config.Config, o BacktestOptions) error {
	if _, err := os.Stat(cfg.DB); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database at %s", cfg.DB) // which opening would make
	}
	s, err := store.Open(ctx, store.Options{Path: cfg.DB})
	if err != nil {
		return err
	}
	defer s.Close()
	incidents, err := s.Incidents(ctx, o.From, store.MaxLimit)
	if err != nil {
		return err
	}
	r := newRerun(watching(cfg), cfg.Anomaly.Canary)
	if err := r.run(ctx, s, o); err != nil {
		return err
	}
	slices.Reverse(incidents)
	incidents = slices.DeleteFunc(incidents, func(in record.Incident) bool { return !in.Began.Before(o.To) })
	return r.report(o, incidents)
}

// rerun is a detector that decides anew over recorded attempts. It stands in
// for the router: it keeps the holds, and knows what they would have kept away.
type rerun struct {
	watcher  *anomaly.Watcher
	interval time.Duration // between two canaries
	attempts int
	served   map[llm.Target]time.Time // the last answer of each target
	holds    map[llm.Target]*found
	all      []*found
	ticked   time.Time
}

// found is one thing that the detector found.
type found struct {
	at     time.Time
	target llm.Target
	text   string
	held   bool
	ended  time.Time // of the hold; zero while it stands
	canary time.Time // when the last one went
	rests  time.Time // before which none goes
	kept   int       // attempts that the hold would have kept away
	failed int       // of them, as it was
	waited time.Duration
}

func newRerun(wc anomaly.WatcherConfig, interval time.Duration) *rerun {
	r := &rerun{interval: interval, served: map[llm.Target]time.Time{}, holds: map[llm.Target]*found{}}
	r.watcher = anomaly.NewWatcher(wc, r, record.NewIDs(0, 0).Next, r.heard)
	return r
}

// run replays the record in the order in which attempts ended.
func (r *rerun) run(ctx context.Context, s *store.Store, o BacktestOptions) error {
	var waiting []anomaly.Sample
	for from := o.From; from.Before(o.To); from = from.Add(backtestStep) {
		to := from.Add(backtestStep)
		if to.After(o.To) {
			to = o.To
		}
		traces, err := between(ctx, s, from, to)
		if err != nil {
			return err
		}
		for i := range traces {
			for _, attempt := range traces[i].Attempts {
				waiting = append(waiting, sample(&traces[i], attempt))
			}
		}
		slices.SortStableFunc(waiting, func(a, b anomaly.Sample) int { return a.At.Compare(b.At) })
		// What is accepted later ends later than this.
		n, _ := slices.BinarySearchFunc(waiting, to, func(s anomaly.Sample, t time.Time) int { return s.At.Compare(t) })
		for _, s := range waiting[:n] {
			r.observe(s)
		}
		waiting = append(waiting[:0], waiting[n:]...)
		if o.Progress != nil {
			o.Progress(to)
		}
	}
	for _, s := range waiting {
		r.observe(s)
	}
	return nil
}

// between reads the real requests accepted in a span, oldest first.
func between(ctx context.Context, s *store.Store, from, to time.Time) ([]record.Trace, error) {
	var all []record.Trace
	for before := record.At(to); ; before = all[len(all)-1].ID {
		page, err := s.Traces(ctx, store.TraceQuery{Before: before, Limit: backtestPage})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < backtestPage || page[len(page)-1].ID < record.At(from) {
			break
		}
	}
	all = slices.DeleteFunc(all, func(t record.Trace) bool { return t.Simulated || t.ID < record.At(from) })
	slices.Reverse(all)
	return all, nil
}

func (r *rerun) observe(s anomaly.Sample) {
	r.tick(s.At)
	r.attempts++
	s.Canary = false // it was one of a hold of that time
	if h := r.holds[s.Target]; h != nil {
		if s.At.Sub(h.canary) >= r.interval && !s.At.Before(h.rests) {
			h.canary, s.Canary = s.At, true
		} else {
			h.kept++
			if s.Class.CountsAgainstTarget() {
				h.failed++
				h.waited += s.Took
			}
		}
	} else if s.Class == "" {
		r.served[s.Target] = s.At
	}
	r.watcher.Observe(s)
}

// tick lets the time pass. Only where a hold stands does anything come of it.
func (r *rerun) tick(now time.Time) {
	for len(r.holds) > 0 && r.ticked.Add(anomaly.DefaultTick).Before(now) {
		r.ticked = r.ticked.Add(anomaly.DefaultTick)
		r.watcher.Tick(r.ticked)
	}
	r.ticked = now
}

// Hold stands in for the router: a hold is refused where no other target is
// known to work.
func (r *rerun) Hold(h record.Hold) bool {
	for t, at := range r.served {
		if t == h.Target || r.holds[t] != nil || r.ticked.Sub(at) > knownToWork {
			continue
		}
		if r.holds[h.Target] == nil {
			r.holds[h.Target] = &found{at: h.Placed, target: h.Target, held: true, canary: h.Placed}
		}
		return true
	}
	return false
}

// Rest stands in for the router.
func (r *rerun) Rest(t llm.Target, until time.Time) { r.holds[t].rests = until }

// Release stands in for the router.
func (r *rerun) Release(target llm.Target, _ string) bool {
	_, stood := r.holds[target]
	delete(r.holds, target)
	return stood
}

func (r *rerun) heard(e anomaly.Event) {
	switch e.Kind {
	case anomaly.Found:
		if !e.Finding.Again {
			r.all = append(r.all, &found{at: e.At, target: e.Target, text: e.Text})
		}
	case anomaly.HoldPlaced:
		h := r.holds[e.Target]
		h.text = e.Text
		r.all = append(r.all, h)
	case anomaly.HoldEnded:
		for _, f := range slices.Backward(r.all) {
			if f.held && f.target == e.Target {
				f.ended = e.At
				break
			}
		}
	}
}

// about gives the incident that a finding belongs to, or nil.
func (f *found) about(incidents []record.Incident) *record.Incident {
	for i := range incidents {
		in := &incidents[i]
		if in.Subject == f.target.Provider && !f.at.Before(in.Began.Add(-beforeIncident)) && (in.Ended.IsZero() || !f.at.After(in.Ended)) {
			return in
		}
	}
	return nil
}

// report prints what was found, and the incidents that were.
func (r *rerun) report(o BacktestOptions, incidents []record.Incident) error {
	const day = "2006-01-02 15:04:05"
	fmt.Fprintf(o.Out, "%d attempts at %d targets, %s to %s UTC\n", r.attempts, len(r.served), o.From.UTC().Format(day), o.To.UTC().Format(day))
	table := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	first := map[record.ID]*found{}
	fmt.Fprintln(table, "\nFOUND\tTARGET\tHELD\tKEPT AWAY\tOF THEM FAILED\tINCIDENT\tWHAT")
	var sum found
	holds := 0
	for _, f := range r.all {
		held, kept, failed, number := "no", "", "", "none"
		if f.held {
			holds++
			held, kept, failed = "to the end", fmt.Sprint(f.kept), fmt.Sprint(f.failed)
			if !f.ended.IsZero() {
				held = f.ended.Sub(f.at).Round(time.Second).String()
			}
			sum.kept, sum.failed, sum.waited = sum.kept+f.kept, sum.failed+f.failed, sum.waited+f.waited
		}
		if in := f.about(incidents); in != nil {
			number = fmt.Sprintf("#%d", in.Number)
			first[in.ID] = cmp.Or(first[in.ID], f)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.at.UTC().Format(day), f.target, held, kept, failed, number, f.text)
	}
	fmt.Fprintln(table, "\nINCIDENT\tBEGAN\tLASTED\tFOUND\tWHAT")
	for _, in := range incidents {
		lasted, when := "goes on", "not found"
		if !in.Ended.IsZero() {
			lasted = in.Ended.Sub(in.Began).Round(time.Second).String()
		}
		if f := first[in.ID]; f != nil {
			when = f.at.Sub(in.Began).Round(time.Second).String() + " after it began"
			if f.at.Before(in.Began) {
				when = in.Began.Sub(f.at).Round(time.Second).String() + " before it began"
			}
		}
		fmt.Fprintf(table, "#%d\t%s\t%s\t%s\t%s\n", in.Number, in.Began.UTC().Format(day), lasted, when, in.Title)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(o.Out, "\nHolds: %d. They would have kept %d attempts away: %d that failed after %s of waiting in all, and %d that went well.\n",
		holds, sum.kept, sum.failed, sum.waited.Round(time.Millisecond), sum.kept-sum.failed)
	return err
}
