// Package anomaly compares each target with its own past. A Detector turns
// samples into findings by sequential tests whose false alarms are bounded; a
// Watcher turns findings that matter into holds and ends them by canaries.
package anomaly

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"breakwater/internal/llm"
)

// Defaults of Config.
const (
	// DefaultMinSamples is enough to know a spread to within about 10 %, and
	// comes within ten minutes at five requests a minute.
	DefaultMinSamples = 50
	// DefaultMaxSeries bounds the memory to about 1 MB where callers may name
	// models freely.
	DefaultMaxSeries = 1024
	// DefaultSettle is how long a level of latency must last before it is
	// taken as the new usual: longer than the median incident of a provider.
	DefaultSettle = 2 * time.Hour
	// DefaultForget is after how long without a request the evidence so far
	// tells nothing of now.
	DefaultForget = 30 * time.Minute
	// DefaultRepeat is how often a trouble that lasts is found again, so that
	// a hold which was refused is asked for again.
	DefaultRepeat = time.Minute
)

const (
	minutesIn30Days = 43200 // the false-alarm budget: one in 30 days over all targets
	rateMemory      = 10.0  // minutes over which the rate of traffic is averaged
	freezeAt        = 0.4   // share of the threshold above which no latency is learned
	maxEvidence     = 1.5   // evidence is capped at this multiple of the threshold, so that an end is seen
	recentWeight    = 0.15  // of a new request in the "now" that is shown: about the last dozen
)

// Signal says which behaviour of a target is unusual.
type Signal string

// The signals.
const (
	Latency Signal = "latency"
	Errors  Signal = "errors"
)

// Sample is one attempt, as the detector sees it.
type Sample struct {
	Target       llm.Target
	At           time.Time        // when the attempt ended
	Class        llm.FailureClass // "" for an attempt that served
	TTFT         time.Duration    // from the attempt's start to the first content; 0 where none came
	Took         time.Duration    // from the attempt's start to its end
	InputTokens  int64            // without those read from the provider's cache
	OutputTokens int64            // 0 where the provider did not tell
	Stream       bool             // the answer came in pieces, so TTFT is the model's own
	Caller       string           // name of the caller's key; "" where none is demanded
	Canary       bool             // sent to a held target to see whether it is well again
}

// Finding is one trouble of one target.
type Finding struct {
	Target     llm.Target
	At         time.Time
	Signal     Signal
	Z          float64 // distance from the usual in the target's own standard deviations
	Now, Usual float64 // seconds for latency, share of requests for errors
	Text       string  // in plain words, with the figures
	Failover   bool    // it matters enough to send traffic elsewhere
	Again      bool    // the same trouble was found before and lasts
}

// Score is how far one measure of a target is from its usual, for the page.
// Z is what is shown; Evidence reaching Threshold is what decides.
type Score struct {
	Target     llm.Target
	Signal     Signal
	Measure    string // "time to first token", "time per output token", "time for an answer", "errors"
	Z          float64
	Now, Usual float64 // seconds for latency, share of requests for errors
	Evidence   float64
	Threshold  float64
	Samples    int // requests that the usual was learned from
}

// Config sets a Detector; a zero field means its default.
type Config struct {
	MinSamples int           // healthy requests before a measure can be found unusual
	MaxSeries  int           // targets remembered
	Settle     time.Duration // after which a changed latency is the new usual
	Forget     time.Duration // of silence, after which evidence is forgotten
	Repeat     time.Duration // between findings of one lasting trouble
}

func (c Config) withDefaults() Config {
	c.MinSamples = cmp.Or(c.MinSamples, DefaultMinSamples)
	c.MaxSeries = cmp.Or(c.MaxSeries, DefaultMaxSeries)
	c.Settle = cmp.Or(c.Settle, DefaultSettle)
	c.Forget = cmp.Or(c.Forget, DefaultForget)
	c.Repeat = cmp.Or(c.Repeat, DefaultRepeat)
	return c
}

// Detector keeps what is usual for each target. It reads no clock but the
// samples', so a replay of recorded traffic finds what was found live. It may
// be used by several goroutines at once.
type Detector struct {
	cfg    Config
	mu     sync.Mutex
	series map[llm.Target]*series
}

// NewDetector makes a Detector that knows nothing yet.
func NewDetector(cfg Config) *Detector {
	return &Detector{cfg: cfg.withDefaults(), series: map[llm.Target]*series{}}
}

// series is what is known of one target.
type series struct {
	first   time.Time
	last    time.Time
	arrived float64 // requests a minute, before the correction for a young series
	levels  [measures]level
	errors  chain
}

// Observe takes one sample and gives what it completes the evidence for:
// nearly always nothing.
func (d *Detector) Observe(s Sample) []Finding {
	if s.Class != "" && !s.Class.CountsAgainstTarget() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	sr := d.find(s)
	if sr == nil {
		return nil
	}
	in := input{cfg: &d.cfg, at: s.At, caller: s.Caller, threshold: sr.arrive(s.At, len(d.series), d.cfg.Forget)}
	var found []Finding
	if f, ok := sr.errors.observe(s.Class != "", in); ok {
		found = append(found, f)
	}
	if s.Class == "" {
		for m := range sr.levels {
			x, size, ok := measure(m).of(s)
			if !ok {
				continue
			}
			if f, ok := sr.levels[m].observe(measure(m), x, size, in); ok {
				found = append(found, f)
			}
		}
	}
	for i := range found {
		found[i].Target, found[i].At = s.Target, s.At
	}
	return found
}

// input is what the tests of one sample have in common.
type input struct {
	cfg       *Config
	at        time.Time
	caller    string
	threshold float64
}

// find gives the sample's series. A series begins with an answer, so that
// models which do not exist take no memory.
func (d *Detector) find(s Sample) *series {
	if sr := d.series[s.Target]; sr != nil {
		return sr
	}
	if s.Class != "" || len(d.series) >= d.cfg.MaxSeries && !d.evict(s.At) {
		return nil
	}
	sr := &series{first: s.At, last: s.At, errors: newChain(s.At)}
	d.series[s.Target] = sr
	return sr
}

// evict forgets the target that was silent for longest, if that is a while.
func (d *Detector) evict(now time.Time) bool {
	var oldest llm.Target
	last := now
	for t, sr := range d.series {
		if sr.last.Before(last) {
			oldest, last = t, sr.last
		}
	}
	if now.Sub(last) < d.cfg.Forget {
		return false
	}
	delete(d.series, oldest)
	return true
}

// arrive counts an arrival and gives the evidence that a finding needs at
// this rate of traffic, so that false alarms come once in 30 days over all
// targets, however many requests there are.
func (sr *series) arrive(at time.Time, targets int, forget time.Duration) float64 {
	gap := max(0, at.Sub(sr.last))
	if gap > forget {
		sr.clear(at)
	}
	if at.After(sr.last) {
		sr.last = at
	}
	sr.arrived = sr.arrived*math.Exp(-gap.Minutes()/rateMemory) + 1/rateMemory
	return sr.threshold(targets)
}

func (sr *series) threshold(targets int) float64 {
	age := max(1, sr.last.Sub(sr.first).Minutes()) // a young series has not seen its memory's worth
	rate := sr.arrived / (1 - math.Exp(-age/rateMemory))
	return math.Log(max(1, rate) * minutesIn30Days * float64(targets))
}

// clear forgets the evidence, not what is usual.
func (sr *series) clear(at time.Time) {
	sr.errors.clear(at)
	for m := range sr.levels {
		sr.levels[m].clear()
	}
}

// Clear forgets the evidence against a target, but not what is usual for it:
// its trouble is over.
func (d *Detector) Clear(t llm.Target, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sr := d.series[t]; sr != nil {
		sr.clear(at)
	}
}

// Relearn forgets the usual latency of a target, which has been unusual for
// so long that it must be learned anew.
func (d *Detector) Relearn(t llm.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sr := d.series[t]; sr != nil {
		sr.levels = [measures]level{}
	}
}

// slowness says by how much an answer is slower than usual, as a logarithm
// and by its worst measure; false where nothing is known to compare it with.
func (d *Detector) slowness(s Sample) (float64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sr := d.series[s.Target]
	if sr == nil || s.Class != "" {
		return 0, false
	}
	worst, known := math.Inf(-1), false
	for m := range sr.levels {
		l := &sr.levels[m]
		if x, _, ok := measure(m).of(s); ok && l.n >= d.cfg.MinSamples {
			worst, known = max(worst, min(x-l.mean, maxExcess)), true
		}
	}
	return worst, known
}

// Scores gives the measures of all targets, in the order of their names.
func (d *Detector) Scores() []Score {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Score
	for t, sr := range d.series {
		h := sr.threshold(len(d.series))
		all = append(all, sr.errors.score(t, h))
		for m := range sr.levels {
			if l := &sr.levels[m]; l.n >= d.cfg.MinSamples {
				all = append(all, l.score(t, measure(m), h))
			}
		}
	}
	slices.SortFunc(all, func(a, b Score) int {
		return cmp.Or(cmp.Compare(a.Target.String(), b.Target.String()), cmp.Compare(a.Measure, b.Measure))
	})
	return all
}

// alarm is the life of one trouble: found, perhaps found to matter, repeated
// while it lasts.
type alarm struct {
	found    bool
	failover bool
	since    time.Time
	told     time.Time
}

// lasted is for how long the trouble has been known.
func (a *alarm) lasted(at time.Time) time.Duration { return at.Sub(a.since) }

// tell says whether the trouble is to be told now, and whether again.
func (a *alarm) tell(failover bool, in input) (again, tell bool) {
	again = a.found && (a.failover || !failover)
	if again && in.at.Sub(a.told) < in.cfg.Repeat {
		return again, false
	}
	if !a.found {
		a.since = in.at
	}
	a.found, a.failover, a.told = true, a.failover || failover, in.at
	return again, true
}

// witness remembers from whom the evidence of one excursion comes.
type witness struct {
	caller     string // whose request went badly first
	bad        bool   // one went badly
	severalBad bool   // another caller's did too
	othersWell bool   // another caller's went well
}

func (w *witness) note(caller string, bad bool) {
	switch {
	case bad && !w.bad:
		*w = witness{caller: caller, bad: true}
	case caller != w.caller && bad:
		w.severalBad = true
	case caller != w.caller && w.bad:
		w.othersWell = true
	}
}

// single says that the trouble is one caller's: all that went badly is its
// own, and others are served well.
func (w *witness) single() bool { return w.bad && !w.severalBad && w.othersWell }
