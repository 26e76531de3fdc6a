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
	"breakwater/internal/record"
)

// Defaults of Config.
const (
	// DefaultMinSamples is enough to know a spread to within about 13 %, and comes
	// within half an hour at one request a minute. With fifty there were no fewer
	// false holds in a target's first day, and at one a minute they may take an hour.
	DefaultMinSamples = 30
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
	Latency    Signal = "latency"     // answers take longer than usual
	SlowShare  Signal = "slow_share"  // more of the answers than usual are slow
	Errors     Signal = "errors"      // more requests fail than usual
	Throttling Signal = "throttling"  // more requests are rate-limited than usual
	TokenBloat Signal = "token_bloat" // a caller's answers from a model are longer than usual
	Usage      Signal = "usage"       // a caller uses more tokens than usual
	Cost       Signal = "cost"        // a caller costs more than usual
)

// Signals lists all signals.
func Signals() []Signal {
	return []Signal{Latency, SlowShare, Errors, Throttling, TokenBloat, Usage, Cost}
}

// Holds says whether findings of the signal may place a hold. Nothing would get
// better elsewhere of the others.
func (s Signal) Holds() bool { return s == Latency || s == SlowShare || s == Errors }

// OfSpeed says whether the signal is about how fast a target answers.
func (s Signal) OfSpeed() bool { return s == Latency || s == SlowShare }

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
	Retry        bool             // the target failed the same request before: the two tell no more than one
	Everywhere   bool             // another provider failed the same request, too, and none served it
	Asked        string           // the model as the caller wrote it; "" for the target's own
	Tokens       int64            // of prompt and answer, whoever counted them
	Cost         record.NanoUSD   // of the attempt
	Looping      bool             // the answer goes in circles, so it is none
	// Prompt is a hash of what was asked; 0 where it is not known. Failures that
	// all have the same one are not the target's.
	Prompt uint64
	// Nth is the attempt's number among those that this target was sent, in the
	// order in which they began; 0 where it is not known, and they end in that order.
	Nth uint32
}

// Finding is one trouble of one target, or one caller's unusual use.
type Finding struct {
	Target     llm.Target // zero for Usage and Cost
	Caller     string     // of TokenBloat, Usage and Cost
	Model      string     // of Usage and Cost: as the caller asked for it
	At         time.Time
	Signal     Signal
	Z          float64       // distance from the usual in the target's own standard deviations
	Now, Usual float64       // in the unit of the measure's Score
	Bad, Of    int           // requests that went badly, of those of the trouble; of Errors, SlowShare, Throttling and Latency
	Failing    time.Duration // how long the request took to fail that completed the evidence; 0 where it did not fail
	Text       string        // in plain words, with the figures
	Failover   bool          // it matters enough to send traffic elsewhere
	Again      bool          // the same trouble was found before and lasts

	by measure // of Latency: what is slow
}

// Score is how far one measure is from its usual, for the page. Z is what is
// shown; Evidence reaching Threshold is what decides.
type Score struct {
	Target     llm.Target // zero for Usage and Cost
	Caller     string     // of TokenBloat, Usage and Cost
	Model      string     // of Usage and Cost: as the caller asked for it
	Signal     Signal
	Measure    string // in words: "time to first token"
	Label      string // in a metric: "ttft"
	Unit       string // "seconds", "share" (of requests), "tokens" or "USD"
	Z          float64
	Now, Usual float64 // in Unit
	Evidence   float64
	Threshold  float64
	Samples    int // requests that the usual was learned from; spans of five minutes for Usage and Cost
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
	usage  usage
}

// NewDetector makes a Detector that knows nothing yet.
func NewDetector(cfg Config) *Detector {
	return &Detector{cfg: cfg.withDefaults(), series: map[llm.Target]*series{}, usage: newUsage()}
}

// series is what is known of one target.
type series struct {
	first   instant
	last    instant
	arrived float64 // requests a minute, before the correction for a young series
	levels  [measures]level
	order   order // of those that went well and that failed
	served  served
	errors  chain
	slow    chain
	limited chain
}

// Observe takes one sample and gives what it completes the evidence for:
// nearly always nothing.
func (d *Detector) Observe(s Sample) []Finding {
	s = s.judged()
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(d.observe(s, 1), d.usage.observe(&d.cfg, s)...)
}

// observeAt is Observe where findings about the target need only a share of the
// usual evidence.
func (d *Detector) observeAt(s Sample, share float64) []Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(d.observe(s, share), d.usage.observe(&d.cfg, s)...)
}

// count takes a sample that says nothing of its target, only of its caller.
func (d *Detector) count(s Sample) []Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usage.observe(&d.cfg, s)
}

// Tick ends the spans in which use is counted, whether or not there is traffic.
func (d *Detector) Tick(now time.Time) []Finding {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usage.roll(&d.cfg, instantOf(now))
}

// observe lets the tests of the sample's target see it.
func (d *Detector) observe(s Sample, share float64) []Finding {
	limited := s.Class == llm.RateLimit
	tells := !s.Everywhere && (s.Class == "" || s.Class.CountsAgainstTarget())
	began := instantOf(s.began())
	if !tells {
		if sr := d.series[s.Target]; sr != nil {
			sr.order.pass(s.Nth, began)
		}
	}
	if s.Retry || s.Everywhere || !tells && !limited {
		return nil
	}
	sr := d.find(s)
	if sr == nil {
		return nil
	}
	in := input{cfg: &d.cfg, at: instantOf(s.At), began: began, from: originOf(s), nth: s.Nth, looping: s.Looping}
	in.threshold = share * sr.arrive(in.at, len(d.series), d.cfg.Forget)
	found := taken(nil, &sr.limited, limited, 0, in)
	if !limited {
		ordered := in
		ordered.order, ordered.served = &sr.order, &sr.served
		found = taken(found, &sr.errors, s.Class != "", 0, ordered)
	}
	if s.Class == "" {
		sr.served.note(in.from.caller, in.at)
		found = sr.timed(found, s, in)
	}
	for i := range found {
		found[i].Target, found[i].At = s.Target, s.At
		if s.Class != "" {
			found[i].Failing = s.Took
		}
	}
	return found
}

// takeBack takes a failure out of the evidence that was observed when it happened,
// and turns out to tell nothing of its target.
func (d *Detector) takeBack(s Sample) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sr := d.series[s.Target]
	if sr == nil {
		return
	}
	if at, ok := sr.order.takeBack(s.Nth); ok {
		sr.errors.takeBack(at, input{at: instantOf(s.At), began: instantOf(s.began())})
	}
}

// taken lets a chain see one outcome and adds what it found.
func taken(found []Finding, c *chain, bad bool, excess float64, in input) []Finding {
	if f, ok := c.observe(bad, excess, in); ok {
		return append(found, f)
	}
	return found
}

// timed lets the tests of speed see an answer and adds what they found.
func (sr *series) timed(found []Finding, s Sample, in input) []Finding {
	var x, size [measures]float64
	var has [measures]bool
	slow, known, excess := false, false, 0.0
	for m := range measures {
		if x[m], size[m], has[m] = m.of(s); has[m] && int(sr.levels[m].n) >= in.cfg.MinSamples {
			e, beyond := sr.levels[m].slow(m, x[m])
			if beyond {
				excess = max(excess, e)
			}
			slow, known = slow || beyond, true
		}
	}
	if known {
		slowed := in
		slowed.material = sr.material(x, has, index(slow), in)
		found = taken(found, &sr.slow, slow, excess, slowed)
	}
	in.frozen = sr.slow.most() > freezeAt*in.threshold
	for m := range measures {
		if !has[m] {
			continue
		}
		if f, ok := sr.levels[m].observe(m, x[m], size[m], in); ok {
			found = append(found, f)
		}
		if sr.levels[m].n == 0 { // it is learned anew, and with it what counts as slow
			sr.slow = newChain(slowing, s.At)
		}
	}
	return found
}

// material takes the times of an answer and says whether the answers of the
// excursion in which answers are slow are so slow on average as to matter.
func (sr *series) material(x [measures]float64, has [measures]bool, slow int, in input) bool {
	past, matters := sr.slow.past(slow, in), false
	for m := range sr.levels {
		l := &sr.levels[m]
		if sr.slow.run == 0 {
			l.slowed = slowed{}
		}
		if has[m] && !past {
			l.slowed.note(x[m] - l.mean)
		}
		matters = matters || l.slowed.n > 0 && float64(l.slowed.mean)+l.doubt(l.slowed.n) > material
	}
	return matters
}

// input is what the tests of one sample have in common.
type input struct {
	cfg       *Config
	at        instant // when the attempt ended
	began     instant
	nth       uint32 // of the attempt, by its beginning
	order     *order // of the requests whose outcome is tested; nil where their ends order them
	served    *served
	from      origin
	threshold float64
	frozen    bool // part of the answers is slow: no speed is learned
	looping   bool // the answer goes in circles
	material  bool // the answers since the first slow one are slow enough on average to matter
}

// find gives the sample's series. A series begins with an answer, so that
// models which do not exist take no memory.
func (d *Detector) find(s Sample) *series {
	if sr := d.series[s.Target]; sr != nil {
		return sr
	}
	if s.Class != "" || len(d.series) >= d.cfg.MaxSeries && !d.evict(instantOf(s.At)) {
		return nil
	}
	at := instantOf(s.At)
	sr := &series{first: at, last: at, errors: newChain(failing, s.At), slow: newChain(slowing, s.At), limited: newChain(throttling, s.At)}
	d.series[s.Target] = sr
	return sr
}

// evict forgets the target that was silent for longest, if that is a while.
func (d *Detector) evict(now instant) bool {
	var oldest llm.Target
	last := now
	for t, sr := range d.series {
		if sr.last < last {
			oldest, last = t, sr.last
		}
	}
	if now.since(last) < d.cfg.Forget {
		return false
	}
	delete(d.series, oldest)
	return true
}

// arrive counts an arrival and gives the evidence that a finding needs at
// this rate of traffic, so that false alarms come once in 30 days over all
// targets, however many requests there are.
func (sr *series) arrive(at instant, targets int, forget time.Duration) float64 {
	gap := max(0, at.since(sr.last))
	if gap > forget {
		sr.clear(at)
	}
	sr.last = max(sr.last, at)
	sr.arrived = sr.arrived*math.Exp(-gap.Minutes()/rateMemory) + 1/rateMemory
	return sr.threshold(targets)
}

// rate is how many requests a minute came lately.
func (sr *series) rate() float64 {
	age := max(1, sr.last.since(sr.first).Minutes()) // a young series has not seen its memory's worth
	return sr.arrived / (1 - math.Exp(-age/rateMemory))
}

func (sr *series) threshold(targets int) float64 {
	return math.Log(max(1, sr.rate()) * minutesIn30Days * float64(targets))
}

// clear forgets the evidence, not what is usual.
func (sr *series) clear(at instant) {
	sr.order = order{}
	for _, c := range []*chain{&sr.errors, &sr.slow, &sr.limited} {
		c.clear(at)
	}
	for m := range sr.levels {
		sr.levels[m].clear()
	}
}

// forgive forgets the evidence as far as nobody is known to be to blame for it:
// whose requests fail is learned slowly, and would have to be learned anew.
func (sr *series) forgive(at instant) {
	for _, c := range []*chain{&sr.errors, &sr.slow, &sr.limited} {
		if !c.witness.single(oneFails, nil, at) {
			c.clear(at)
		}
	}
	for m := range sr.levels {
		if l := &sr.levels[m]; !l.witness.single(0, nil, at) {
			l.clear()
		}
	}
}

// Clear forgets the evidence against a target, but not what is usual for it:
// its trouble is over. Until then requests may have been kept from it, so that it
// was silent tells nothing of their rate.
func (d *Detector) Clear(t llm.Target, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sr := d.series[t]; sr != nil {
		silent := max(0, instantOf(at)-sr.last)
		sr.first, sr.last = sr.first+silent, sr.last+silent
		sr.clear(instantOf(at))
	}
}

// forgive forgets the evidence against all targets of a provider, but what one
// caller or prompt is known to be to blame for.
func (d *Detector) forgive(of llm.Provider, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t, sr := range d.series {
		if t.Provider == of {
			sr.forgive(instantOf(at))
		}
	}
}

// rate gives how many requests a minute a target had lately, 0 where it is not
// known.
func (d *Detector) rate(t llm.Target) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sr := d.series[t]; sr != nil {
		return sr.rate()
	}
	return 0
}

// Relearn forgets the usual latency of a target, which has been unusual for
// so long that it must be learned anew.
func (d *Detector) Relearn(t llm.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sr := d.series[t]; sr != nil {
		sr.levels = [measures]level{}
		sr.slow = newChain(slowing, time.Unix(0, int64(sr.last)))
	}
}

// speed is how an answer compares with the usual.
type speed struct {
	slower [measures]float64 // logarithms
	known  [measures]bool
	slow   bool // so far by one of them that it counts as slow by itself
}

// worst is how much slower than usual it was by the worst measure.
func (s speed) worst() float64 {
	worst := math.Inf(-1)
	for m, known := range s.known {
		if known {
			worst = max(worst, s.slower[m])
		}
	}
	return worst
}

// speed compares an answer with the usual.
func (d *Detector) speed(s Sample) (is speed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sr := d.series[s.Target]
	if sr == nil || s.Class != "" {
		return is
	}
	for m := range measures {
		l := &sr.levels[m]
		if x, _, ok := m.of(s); ok && int(l.n) >= d.cfg.MinSamples {
			e, beyond := l.slow(m, x)
			is.slower[m], is.known[m], is.slow = e, true, is.slow || beyond
		}
	}
	return is
}

// Scores gives the measures of all targets, in the order of their names, and
// then those of callers.
func (d *Detector) Scores() []Score {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Score
	for t, sr := range d.series {
		h := sr.threshold(len(d.series))
		all = append(all, sr.errors.score(t, h), sr.limited.score(t, h))
		if sr.slow.healthy > 0 {
			all = append(all, sr.slow.score(t, h))
		}
		for m := range measures {
			if l := &sr.levels[m]; int(l.n) >= d.cfg.MinSamples {
				all = append(all, l.score(t, m, h))
			}
		}
	}
	all = append(all, d.usage.scores(&d.cfg)...)
	slices.SortFunc(all, func(a, b Score) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target.String(), b.Target.String()),
			cmp.Compare(a.Model, b.Model), cmp.Compare(a.Measure, b.Measure))
	})
	return all
}

// alarm is the life of one trouble: found, perhaps found to matter, repeated
// while it lasts.
type alarm struct {
	found    bool
	failover bool
	since    instant
	told     instant
}

// lasted is for how long the trouble has been known.
func (a *alarm) lasted(at instant) time.Duration { return at.since(a.since) }

// tell says whether the trouble is to be told now, and whether again.
func (a *alarm) tell(failover bool, in input) (again, tell bool) {
	again = a.found && (a.failover || !failover)
	if again && in.at.since(a.told) < in.cfg.Repeat {
		return again, false
	}
	if !a.found {
		a.since = in.at
	}
	a.found, a.failover, a.told = true, a.failover || failover, in.at
	return again, true
}
