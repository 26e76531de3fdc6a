package anomaly

import (
	"cmp"
	"context"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Defaults of WatcherConfig.
const (
	// DefaultHold is Envoy's base ejection time: long enough for a blip to pass.
	DefaultHold = 30 * time.Second
	// DefaultMaxHold is Envoy's cap of one ejection; a recovered target waits
	// no longer than this to be judged.
	DefaultMaxHold = 300 * time.Second
	// DefaultCanary is the pause between two canaries as the router's default has it.
	DefaultCanary = 5 * time.Second
	// DefaultMaxRest bounds for how long a target gets no canaries after one did
	// badly, so that what is well again is as a rule back within five minutes. Where
	// the callers of bad canaries do not feel it, since the next target answers them,
	// half of it has to do.
	DefaultMaxRest = 2 * time.Minute
	// RestRequests is how many of a target's requests go elsewhere for one that
	// its trouble hurts once more: few enough for callers, as far as DefaultMaxRest
	// allows where there are few requests.
	RestRequests = 40
	// DefaultNoCanary ends a hold that no canary could judge since its rest, because there
	// was no traffic: the next requests will tell.
	DefaultNoCanary = 10 * time.Minute
	// DefaultLongest ends any hold; where the trouble lasts, a handful of
	// requests places the next. It is about the 75th percentile of providers' incidents.
	DefaultLongest = 2 * time.Hour
	// DefaultCalm is after how long without a hold a target's holds begin
	// short again.
	DefaultCalm = 30 * time.Minute
	// DefaultTogether is how close the beginnings of several providers'
	// troubles must be to have one cause, most likely on our side.
	DefaultTogether = time.Minute
	// DefaultTick is how often expiry is looked at.
	DefaultTick = time.Second
)

// knownFor is how long a provider without requests counts among those that
// an alarm is compared with.
const knownFor = time.Hour

// Holder keeps traffic away from a target; the router is one. Its methods
// must not call the Watcher.
type Holder interface {
	// Hold places a hold, or extends the one with the same ID; its Share of the
	// target's requests goes there all the same, marked as canaries. It gives false,
	// and holds nothing anew, where the target is the last that still works.
	Hold(record.Hold) bool
	// Rest has a held target get no canary until an instant.
	Rest(target llm.Target, until time.Time)
	// Release ends the hold on a target and says whether there was one.
	Release(target llm.Target, why string) bool
}

// WatcherConfig sets a Watcher; a zero field means its default.
type WatcherConfig struct {
	Detector Config
	Hold     time.Duration // of a first hold; each further one is twice as long
	MaxHold  time.Duration // of one hold, or of one extension
	Canary   time.Duration // the pause between two canaries that the Holder lets through
	MaxRest  time.Duration // from canaries, after one did badly
	NoCanary time.Duration // since the last canary and its rest, after which a hold ends
	Longest  time.Duration // of a hold with all its extensions
	Calm     time.Duration
	Together time.Duration
	Tick     time.Duration
}

func (c WatcherConfig) withDefaults() WatcherConfig {
	c.Hold = cmp.Or(c.Hold, DefaultHold)
	c.Canary = cmp.Or(c.Canary, DefaultCanary)
	c.NoCanary = cmp.Or(c.NoCanary, DefaultNoCanary)
	c.Longest = cmp.Or(c.Longest, DefaultLongest)
	c.MaxHold = min(cmp.Or(c.MaxHold, DefaultMaxHold), c.NoCanary, c.Longest)
	c.MaxRest = min(cmp.Or(c.MaxRest, DefaultMaxRest), c.MaxHold)
	c.Calm = cmp.Or(c.Calm, DefaultCalm)
	c.Together = cmp.Or(c.Together, DefaultTogether)
	c.Tick = cmp.Or(c.Tick, DefaultTick)
	return c
}

// EventKind says what a Watcher reports.
type EventKind string

// The kinds of event.
const (
	Found        EventKind = "found" // a trouble that led to no hold; Text says why
	HoldPlaced   EventKind = "hold_placed"
	HoldExtended EventKind = "hold_extended"
	HoldRamped   EventKind = "hold_ramped"   // a share of the traffic, or a larger one, goes to the target again
	HoldRelapsed EventKind = "hold_relapsed" // that share is gone again: the target is not well yet
	HoldEnded    EventKind = "hold_ended"
)

// Event is one thing that a Watcher found or did.
type Event struct {
	Kind    EventKind
	At      time.Time
	Target  llm.Target
	Finding Finding     // of Found and HoldPlaced
	Hold    record.Hold // of the other kinds
	Text    string      // in plain words
}

// Watcher turns findings that matter into holds, and ends each hold when the
// target's canaries show that it is well, or at its bound. It may be used by
// several goroutines at once.
type Watcher struct {
	cfg      WatcherConfig
	detector *Detector
	holder   Holder
	nextID   func(time.Time) record.ID
	report   func(Event)

	mu      sync.Mutex
	held    map[llm.Target]*watched
	rests   map[llm.Target]rest
	seen    map[llm.Provider]time.Time // last sample
	trouble map[llm.Provider]span      // by findings that mattered and bad canaries
	ways    map[llm.Provider]reach
	told    told
}

// watched is one hold in force.
type watched struct {
	hold   record.Hold
	signal Signal
	slow   slowness
	ill    ill
	level  int           // how often the time was doubled
	again  int           // how often in a row it came back too soon
	canary time.Time     // the last one, or since when there could be one
	since  time.Time     // when the trial began
	took   time.Duration // the longest that requests took to fail lately
	felt   bool          // callers of bad canaries have had to take what they got
	trial  trial
	ramp   ramp
}

// retry begins a new trial. What the last one showed of the trouble stays, and
// canaries that are under way tell no more than it did.
func (h *watched) retry(now time.Time) {
	h.ill.add(h.trial.bad, h.trial.seen)
	h.trial, h.since = trial{}, now
}

// span is when a provider's trouble began and was last seen.
type span struct{ began, last time.Time }

// rest is what is remembered of a target's last hold.
type rest struct {
	again   int
	ended   time.Time
	signal  Signal
	ill     ill
	watched int // requests for which less evidence suffices to hold it again
}

// NewWatcher makes a Watcher. report hears of everything, in order; it must
// not block and must not call the Watcher.
func NewWatcher(cfg WatcherConfig, holder Holder, nextID func(time.Time) record.ID, report func(Event)) *Watcher {
	cfg = cfg.withDefaults()
	return &Watcher{
		cfg: cfg, detector: NewDetector(cfg.Detector), holder: holder, nextID: nextID, report: report,
		held: map[llm.Target]*watched{}, rests: map[llm.Target]rest{},
		seen: map[llm.Provider]time.Time{}, trouble: map[llm.Provider]span{}, ways: map[llm.Provider]reach{},
		told: newTold(),
	}
}

// Scores gives the measures of all targets, for the page.
func (w *Watcher) Scores() []Score { return w.detector.Scores() }

// Save gives what the detector knows, for Load after a restart. Holds are not
// among it: they do not outlive one.
func (w *Watcher) Save() []byte { return w.detector.Save() }

// Load takes up what Save gave; ErrState means that nothing is known.
func (w *Watcher) Load(state []byte) error { return w.detector.Load(state) }

// Run looks at expiry until ctx ends, whether or not there is traffic.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			w.Tick(now)
		}
	}
}

// Observe takes one sample.
func (w *Watcher) Observe(s Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observe(s)
}

func (w *Watcher) observe(s Sample) {
	s = s.judged()
	w.heard(s)
	w.weigh(s)
}

// heard takes note of what a sample says of the way to its provider.
func (w *Watcher) heard(s Sample) {
	if s.Class == "" || s.Class.CountsAgainstTarget() {
		w.seen[s.Target.Provider] = s.At
	}
	w.reached(s)
}

// weigh has a sample count for or against its target.
func (w *Watcher) weigh(s Sample) {
	h := w.held[s.Target]
	switch {
	case s.Retry || w.excused(s):
		w.actAll(w.detector.count(s))
	case h == nil:
		w.actAll(w.look(s))
	case s.Canary && h.hold.Share > 0:
		w.climb(h, s)
	case s.Canary:
		w.judge(h, s)
		fallthrough
	default: // requests that were under way when the hold was placed tell nothing new of the target
		w.actAll(w.detector.count(s))
	}
}

// look lets a request of a target that is not held speak. One whose traffic is so low
// that it came back without a ramp is watched as during one, for as many requests.
func (w *Watcher) look(s Sample) []Finding {
	r := w.rests[s.Target]
	if r.watched == 0 || s.At.Sub(r.ended) >= w.cfg.Calm {
		return w.detector.Observe(s)
	}
	r.watched--
	w.rests[s.Target] = r
	return w.detector.observeAt(s, RampEvidence)
}

func (w *Watcher) actAll(found []Finding) {
	for _, f := range found {
		w.act(f)
	}
}

// act places a hold for a finding that matters, unless something speaks
// against it.
func (w *Watcher) act(f Finding) {
	if w.held[f.Target] != nil && f.Signal.Holds() {
		return
	}
	if !f.Failover {
		w.report(Event{Kind: Found, At: f.At, Target: f.Target, Finding: f, Text: f.Text})
		return
	}
	w.alarm(f.Target.Provider, f.At)
	why := w.common(f.Target.Provider, f.At)
	if why == "" {
		if h := w.place(f); h != nil {
			w.held[f.Target] = h
			w.report(Event{Kind: HoldPlaced, At: f.At, Target: f.Target, Finding: f, Hold: h.hold, Text: f.Text})
			return
		}
		why = lastThatWorks
	}
	w.report(Event{Kind: Found, At: f.At, Target: f.Target, Finding: f, Text: f.Text + "; " + why})
}

// alarm notes that a provider is in trouble now.
func (w *Watcher) alarm(p llm.Provider, now time.Time) {
	t := w.trouble[p]
	if now.Sub(t.last) > 2*w.cfg.Together {
		t.began = now
	}
	t.last = now
	w.trouble[p] = t
}

func (w *Watcher) place(f Finding) *watched {
	again, seen := 0, ill{bad: f.Bad, all: f.Of}
	if r, ok := w.rests[f.Target]; ok {
		calm := int(f.At.Sub(r.ended) / w.cfg.Calm)
		again = max(0, r.again+1-calm)
		if again > 0 && r.signal == f.Signal { // the same trouble: it was found where it looked worst
			seen.add(r.ill.bad, r.ill.all)
		}
	}
	h := &watched{
		signal: f.Signal, slow: slownessOf(f), ill: seen, level: again, again: again,
		canary: f.At, since: f.At, took: min(f.Failing, w.cfg.MaxRest),
		hold: record.Hold{
			ID: w.nextID(f.At), Target: f.Target, Source: record.ByAnomaly, Reason: f.Text,
			Placed: f.At, Expires: f.At.Add(w.length(again)),
		},
	}
	if !w.holder.Hold(h.hold) {
		return nil
	}
	return h
}

// length is how long a hold lasts before it must be extended.
func (w *Watcher) length(level int) time.Duration {
	d := w.cfg.Hold
	for range level {
		if d >= w.cfg.MaxHold {
			break
		}
		d *= 2
	}
	return min(d, w.cfg.MaxHold)
}

// judge lets one canary speak for or against a held target.
func (w *Watcher) judge(h *watched, s Sample) {
	if !w.try(h, s) {
		return
	}
	switch {
	case h.trial.well(h.signal):
		if w.steady(h, s.At) {
			w.comeBack(h, s.At)
		}
	case h.trial.lasts():
		w.extend(h, s.At, "canary requests show that the trouble lasts")
	}
}

// Broke takes note that a target's breaker has opened. While it is open no canary
// shows that the trouble lasts.
func (w *Watcher) Broke(target llm.Target, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	way := w.ways[target.Provider]
	way.broke = at
	w.ways[target.Provider] = way
	switch h := w.held[target]; {
	case h == nil:
	case h.hold.Share > 0:
		w.relapse(h, at, "its breaker opened")
	default:
		h.retry(at)
	}
}

// try notes how a request went that a held target got; false where that says
// nothing of the target.
func (w *Watcher) try(h *watched, s Sample) bool {
	failed := s.Class != ""
	if s.Everywhere || failed && !s.Class.CountsAgainstTarget() {
		return false
	}
	if s.At.After(h.canary) {
		h.canary = s.At
	}
	if failed {
		h.took = max(h.took/2, min(s.Took, w.cfg.MaxRest))
	}
	is := w.detector.speed(s)
	bad := failed
	switch h.signal {
	case Latency:
		bad = failed || is.slower[h.slow.by] > h.slow.bad()
	case SlowShare:
		bad = failed || is.slow
	}
	h.felt = h.felt || bad && (!failed || s.Looping || s.Class == llm.StreamCut)
	if bad || is.worst() > material {
		w.alarm(s.Target.Provider, s.At)
	}
	if s.began().Before(h.since) {
		if bad && !s.At.After(h.since) { // it is what opened the breaker
			h.ill.add(1, 1)
		}
		if bad && h.hold.Share == 0 {
			w.pause(h, s.At)
		}
		return false
	}
	tells := says(bad, h.ill.share())
	if h.signal == Latency && !failed {
		tells = 0 // where it is too short to tell its pace
		if is.known[h.slow.by] {
			tells = h.slow.says(is.slower[h.slow.by])
		}
	}
	h.trial.speed(is, h.slow.bad())
	h.trial.note(s.At, bad, tells, h.ill.share())
	return true
}

// steady says that a target has been well for long enough. One that came back
// too soon must be so for a minute without a bad canary, then for two and so on,
// so that one that is well only now and then does not pull traffic to and fro.
func (w *Watcher) steady(h *watched, now time.Time) bool {
	if !h.trial.known(h.ill.share(), h.took, now) {
		return false
	}
	return h.again == 0 || now.Sub(h.trial.fine) >= w.length(h.again)
}

// Tick ends or extends the holds whose time has come. It acts one tick before
// the expiry, so that no traffic slips through to a target that stays held.
func (w *Watcher) Tick(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.actAll(w.detector.Tick(now))
	for _, h := range w.held {
		switch {
		case now.Before(h.hold.Expires.Add(-w.cfg.Tick)):
		case now.Sub(h.hold.Placed) >= w.cfg.Longest-w.cfg.Tick:
			if h.signal.OfSpeed() {
				w.detector.Relearn(h.hold.Target)
			}
			w.end(h, now, "held for long enough: the next requests will tell")
		case now.Sub(h.canary) >= w.cfg.NoCanary-w.cfg.Tick:
			w.end(h, now, "no request came to try it with")
		case h.hold.Share > 0:
			w.extend(h, now, "still coming back")
		default:
			w.extend(h, now, "too few canary requests to call it well")
		}
	}
}

// extend gives a hold more time, never past its bound. Where its canaries did
// badly there are none for a while, and then they get a new trial.
func (w *Watcher) extend(h *watched, now time.Time, why string) {
	if h.trial.lasts() {
		w.pause(h, now)
		h.retry(now)
	}
	if h.hold.Share == 0 {
		h.level++
	}
	until := w.until(h, now.Add(w.length(h.level)))
	if until.After(h.hold.Expires) {
		h.hold.Expires = until
		w.renew(h, now, HoldExtended, why)
	}
}

// renew has a changed hold obeyed, or ends it where all others failed meanwhile.
func (w *Watcher) renew(h *watched, now time.Time, kind EventKind, text string) {
	if !w.holder.Hold(h.hold) {
		w.end(h, now, "the last target that still works is not held")
		return
	}
	w.report(Event{Kind: kind, At: now, Target: h.hold.Target, Hold: h.hold, Text: text})
}

// pause has a target get no canaries for a while. That none comes meanwhile is no
// sign that there are no requests.
func (w *Watcher) pause(h *watched, now time.Time) {
	h.canary = now.Add(w.rest(h))
	w.holder.Rest(h.hold.Target, h.canary)
}

// rest is for how long a target gets no canaries after a bad one.
func (w *Watcher) rest(h *watched) time.Duration {
	longest := min(w.length(h.level), w.cfg.MaxRest)
	if !h.felt {
		longest = min(longest, w.cfg.MaxRest/2)
	}
	rate := w.detector.rate(h.hold.Target)
	if rate*longest.Minutes() <= RestRequests {
		return longest
	}
	return time.Duration(RestRequests / rate * float64(time.Minute))
}

// until gives an instant, or the hold's bound if that comes first.
func (w *Watcher) until(h *watched, at time.Time) time.Time {
	bound := h.hold.Placed.Add(w.cfg.Longest)
	if quiet := h.canary.Add(w.cfg.NoCanary); quiet.Before(bound) {
		bound = quiet
	}
	if at.After(bound) {
		return bound
	}
	return at
}

func (w *Watcher) end(h *watched, now time.Time, why string) {
	delete(w.held, h.hold.Target)
	w.rests[h.hold.Target] = rest{again: h.again, ended: now, signal: h.signal, ill: h.ill}
	w.detector.Clear(h.hold.Target, now)
	w.holder.Release(h.hold.Target, why)
	h.hold.Ended, h.hold.Ending = now, why
	w.report(Event{Kind: HoldEnded, At: now, Target: h.hold.Target, Hold: h.hold, Text: why})
}
