package app

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/router"
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
	JSON     bool            // as one JSON document, instead of text
	Progress func(time.Time) // hears how far it is; may be nil
}

// Backtest replays recorded requests through a detector and breakers with the
// settings of cfg, which know nothing at first, and prints what they would have
// found beside the incidents that were. A Breakwater may be writing to the record.
func Backtest(ctx context.Context, cfg *config.Config, o BacktestOptions) error {
	v, err := store.OpenView(ctx, cfg.DB)
	if err != nil {
		return err
	}
	defer v.Close()
	incidents, err := v.Incidents(ctx, o.From, store.MaxLimit)
	if err != nil {
		return err
	}
	r := newRerun(cfg)
	if err := r.run(ctx, v, o); err != nil {
		return err
	}
	slices.Reverse(incidents)
	incidents = slices.DeleteFunc(incidents, func(in record.Incident) bool { return !in.Began.Before(o.To) })
	report := r.report(o, incidents)
	if o.JSON {
		out := json.NewEncoder(o.Out)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	return report.write(o.Out)
}

// moment is one recorded attempt.
type moment struct {
	anomaly.Sample
	request record.ID
	lost    bool // its request failed for the caller
}

// rerun is a detector that decides anew over recorded attempts. It stands in
// for the router: it keeps the holds, and knows what they would have kept away.
type rerun struct {
	watcher  *anomaly.Watcher
	interval time.Duration // between two canaries
	needed   int           // good answers of a target, before it is compared with its past
	breakers circuits
	attempts int
	asked    map[llm.Target]uint32 // requests that a target was sent
	usual    elsewhere
	holds    map[llm.Target]*found
	all      []*found
	ticked   time.Time
}

// found is one thing that the detector or a breaker found.
type found struct {
	at     time.Time
	target llm.Target
	signal string // of the detector, or "breaker"
	caller string // whose use it is about; "" for all of them, and for what a target does
	text   string
	held   bool
	ended  time.Time // of the hold, or when the breaker closed; zero while it stands
	canary time.Time // when the last one went
	share  int       // of the traffic that goes there while it comes back
	came   int       // attempts since the share was set
	effect moved
	rests  time.Time // before which no canary goes
}

func newRerun(cfg *config.Config) *rerun {
	r := &rerun{
		interval: cfg.Anomaly.Canary, needed: cmp.Or(cfg.Anomaly.MinSamples, anomaly.DefaultMinSamples),
		asked: map[llm.Target]uint32{}, usual: elsewhere{}, holds: map[llm.Target]*found{},
	}
	r.breakers = circuits{
		threshold: cmp.Or(cfg.Breaker.FailureThreshold, router.DefaultFailureThreshold),
		recovery:  cmp.Or(cfg.Breaker.RecoveryTimeout, router.DefaultRecoveryTimeout), all: map[llm.Target]*circuit{},
	}
	r.watcher = anomaly.NewWatcher(watching(cfg), r, record.NewIDs(0, 0).Next, r.heard)
	return r
}

// run replays the record in the order in which attempts ended.
func (r *rerun) run(ctx context.Context, v *store.View, o BacktestOptions) error {
	var waiting []moment
	for from := o.From; from.Before(o.To); from = from.Add(backtestStep) {
		to := from.Add(backtestStep)
		if to.After(o.To) {
			to = o.To
		}
		traces, err := between(ctx, v, from, to)
		if err != nil {
			return err
		}
		for i := range traces {
			t := &traces[i]
			for n := range t.Attempts {
				m := moment{anomaly.SampleOf(t, n), t.ID, t.Outcome == record.Failed}
				if !m.Retry {
					r.asked[m.Target]++
					m.Nth = r.asked[m.Target]
				}
				waiting = append(waiting, m)
			}
		}
		slices.SortStableFunc(waiting, func(a, b moment) int { return a.At.Compare(b.At) })
		// What is accepted later ends later than this.
		n, _ := slices.BinarySearchFunc(waiting, to, func(m moment, t time.Time) int { return m.At.Compare(t) })
		for _, m := range waiting[:n] {
			r.observe(m)
		}
		waiting = append(waiting[:0], waiting[n:]...)
		if o.Progress != nil {
			o.Progress(to)
		}
	}
	for _, m := range waiting {
		r.observe(m)
	}
	return nil
}

// between reads the real requests accepted in a span, oldest first.
func between(ctx context.Context, v *store.View, from, to time.Time) ([]record.Trace, error) {
	var all []record.Trace
	for before := record.At(to); ; before = all[len(all)-1].ID {
		page, err := v.Traces(ctx, store.TraceQuery{Before: before, Limit: backtestPage})
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

func (r *rerun) observe(m moment) {
	r.tick(m.At)
	r.attempts++
	m.Canary = false // it was one of a hold of that time
	if f := r.breakers.see(m, r.usual); f != nil {
		r.all = append(r.all, f)
	}
	if h := r.holds[m.Target]; h == nil {
		r.usual.learn(m)
	} else if h.lets(m.At, r.interval) {
		m.Canary = true
	} else {
		h.effect.keep(m, r.usual)
	}
	r.watcher.Observe(m.Sample)
}

// lets says whether an attempt would have gone to the held target all the same.
func (f *found) lets(at time.Time, interval time.Duration) bool {
	if f.share > 0 {
		f.came++
		return f.came*f.share/100 > (f.came-1)*f.share/100
	}
	if at.Before(f.rests) || at.Sub(f.canary) < interval {
		return false
	}
	f.canary = at
	return true
}

// tick lets the time pass. Where no hold stands, only the spans of use end.
func (r *rerun) tick(now time.Time) {
	for len(r.holds) > 0 && r.ticked.Add(anomaly.DefaultTick).Before(now) {
		r.ticked = r.ticked.Add(anomaly.DefaultTick)
		r.watcher.Tick(r.ticked)
	}
	for r.ticked.Add(anomaly.UsageSpan).Before(now) && !r.ticked.IsZero() {
		r.ticked = r.ticked.Add(anomaly.UsageSpan)
		r.watcher.Tick(r.ticked)
	}
	r.ticked = now
}

// Hold stands in for the router: a hold is refused where no other target is
// known to work.
func (r *rerun) Hold(h record.Hold) bool {
	if _, ok := r.usual.than(h.Target, r.ticked, func(t llm.Target) bool { return r.holds[t] != nil }); !ok {
		return false
	}
	f := r.holds[h.Target]
	if f == nil {
		f = &found{at: h.Placed, target: h.Target, held: true, canary: h.Placed}
		r.holds[h.Target] = f
	}
	if f.share != h.Share {
		f.share, f.came = h.Share, 0
	}
	return true
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
			r.all = append(r.all, &found{at: e.At, target: e.Target, signal: string(e.Finding.Signal), caller: e.Finding.Caller, text: e.Text})
		}
	case anomaly.HoldPlaced:
		h := r.holds[e.Target]
		h.text, h.signal = e.Text, string(e.Finding.Signal)
		r.all = append(r.all, h)
	case anomaly.HoldEnded:
		for _, f := range slices.Backward(r.all) {
			if f.held && f.signal != breakerSignal && f.target == e.Target {
				f.ended = e.At
				break
			}
		}
	}
}

// about gives the incident that a finding belongs to, or nil: one of its kind, of
// its own provider, or else one of several providers at once.
func (f *found) about(incidents []record.Incident) *record.Incident {
	var shared *record.Incident
	for i := range incidents {
		in := &incidents[i]
		if f.at.Before(in.Began.Add(-beforeIncident)) || !in.Ended.IsZero() && f.at.After(in.Ended) {
			continue
		}
		own := in.Subject == f.target.Provider
		if in.Topic == record.TopicUsage {
			own = in.Name == usageName(f.caller)
		}
		if own && in.Topic == f.topic() {
			return in
		}
		if in.Topic == record.TopicEverything && f.topic() == record.TopicProvider && shared == nil {
			shared = in
		}
	}
	return shared
}

// topic is what kind of incident such a finding makes.
func (f *found) topic() record.Topic {
	switch anomaly.Signal(f.signal) {
	case anomaly.Throttling:
		return record.TopicThrottling
	case anomaly.TokenBloat, anomaly.Usage, anomaly.Cost:
		return record.TopicUsage
	}
	return record.TopicProvider
}

// replayed says whether a replay can find what an incident is about. Keys, models,
// budgets and the record itself are not replayed.
func replayed(topic record.Topic) bool {
	switch topic {
	case record.TopicProvider, record.TopicEverything, record.TopicThrottling, record.TopicUsage:
		return true
	}
	return false
}
