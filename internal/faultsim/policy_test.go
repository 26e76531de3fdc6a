package faultsim

import (
	"container/heap"
	"math"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/price"
	"breakwater/internal/record"
)

// world is what a simple policy acts in. It reckons with times instead of
// waiting for them, so it needs no bubble.
type world struct {
	*tally
	stubs  []*stub
	prices *price.Table
	later  events
	now    time.Duration
	asked  [3]uint32 // attempts by provider
}

// policy decides what becomes of a request, with a model of a few lines where
// Breakwater is the real thing.
type policy struct {
	name string
	// begin gives how a request is served in a world.
	begin func(*world) func(*request)
}

func policies() []policy {
	return []policy{
		{"A only", func(w *world) func(*request) {
			return func(r *request) { w.chain(r, nil, 0) }
		}},
		{"A and one retry", func(w *world) func(*request) {
			return func(r *request) { w.chain(r, nil, 0, 0) }
		}},
		{"fallback for each request", func(w *world) func(*request) {
			return func(r *request) { w.chain(r, nil, 0, 1, 2) }
		}},
		{"z > 3 failover", newNaive},
		{"detector only", newDetecting},
	}
}

// oracle knows every fault, and falls back for what nobody can know.
func oracle() policy {
	return policy{"oracle", func(w *world) func(*request) {
		return func(r *request) {
			var order, ill []int
			for i, s := range w.stubs {
				if s.ill(r.at) {
					ill = append(ill, i)
				} else {
					order = append(order, i)
				}
			}
			w.chain(r, nil, append(order, ill...)...)
		}
	}}
}

// ill says whether any fault lasts.
func (s *stub) ill(at time.Duration) bool {
	for i := s.over; i < len(s.faults) && s.faults[i].from <= at; i++ {
		if s.faults[i].active(at) {
			return true
		}
	}
	return false
}

// run runs a scenario under a simple policy.
func (p policy) run(sc *scenario) *tally {
	cpu := spent()
	w := &world{tally: newTally(sc), stubs: sc.stubs(), prices: price.Default()}
	serve := p.begin(w)
	from := sc.source()
	for {
		r := from.request()
		if r.at >= sc.span {
			break
		}
		w.until(r.at)
		w.arrived(r.at)
		serve(&r)
	}
	w.until(sc.span + time.Hour)
	w.cpu = spent() - cpu
	return w.close()
}

// until lets time pass.
func (w *world) until(at time.Duration) {
	for len(w.later) > 0 && w.later[0].at <= at {
		e := heap.Pop(&w.later).(event)
		w.now = e.at
		e.do()
	}
	w.now = at
}

// attempt is one try, as it turned out.
type attempt struct {
	target      llm.Target
	class       llm.FailureClass
	first, took time.Duration
	input       int
	output      int
	each        time.Duration
	committed   bool // the caller has seen some of it
	looping     bool
	nth         uint32 // of those at its target
}

// try asks a provider.
func (w *world) try(at time.Duration, r *request, i int) attempt {
	target := targets[i]
	o := w.stubs[i].answer(at, r, target.Model)
	r.worthless, r.outlier = o.worthless, r.outlier || o.outlier
	w.asked[i]++
	a := attempt{target: target, took: o.wait, input: r.input, nth: w.asked[i]}
	switch {
	case o.hangs:
		a.class, a.took = llm.Timeout, patience
	case o.failure != nil:
		a.class = o.failure.Class
	case o.empty:
		a.class = llm.Garbage
	default:
		a.first, a.each, a.output, a.committed, a.looping = o.wait, o.each, o.output, true, o.worthless
		if o.breaksAt > 0 {
			a.class, a.output = llm.StreamCut, o.breaksAt
		}
		a.took += time.Duration(a.output-1) * o.each
		if o.stalls {
			a.class, a.took = llm.Timeout, a.took+patience
		}
	}
	cost, _ := w.prices.CostAt(target, llm.Usage{Input: int64(a.input), Output: int64(a.output)}, priced)
	w.paid(cost*record.NanoUSD(count(a.committed)), 1)
	return a
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// chain asks providers one after the other until one answers; heard, where set,
// is told of each attempt when it ends.
func (w *world) chain(r *request, heard func(attempt, time.Duration), order ...int) {
	at := r.at
	for _, i := range order {
		a := w.try(at, r, i)
		if heard != nil {
			ended := at + a.took
			w.at(ended, func() { heard(a, ended) })
		}
		if a.committed {
			w.ended(r, result{whole: a.class == "", first: at + a.first - r.at, each: a.each, from: a.target.Provider})
			return
		}
		at += a.took
	}
	w.ended(r, result{})
}

// naive compares each minute's error rate and mean time with those of the
// minutes before, and leaves a provider for five minutes where either is more
// than three standard deviations off.
type naive struct {
	w            *world
	errors, took usual
	minute       time.Duration
	n, failed    int
	sum          float64
	until        time.Duration
}

// usual is a mean and a variance, both forgetting.
type usual struct {
	n              int
	mean, variance float64
}

// unusual says whether a value is more than three standard deviations above,
// and learns it where it is not.
func (u *usual) unusual(x float64) bool {
	d := x - u.mean
	if u.n >= 30 && d > 3*math.Sqrt(u.variance)+1e-9 {
		return true
	}
	u.n++
	g := max(1/float64(u.n), 0.01)
	u.mean += g * d
	u.variance += g * (d*d - u.variance)
	return false
}

func newNaive(w *world) func(*request) {
	n := &naive{w: w}
	return func(r *request) {
		i := 0
		if r.at < n.until {
			i = 1
		} else {
			w.returned(r.at, targets[0], byRule)
		}
		w.chain(r, n.heard, i)
	}
}

func (n *naive) heard(a attempt, at time.Duration) {
	if a.target != targets[0] || at < n.until {
		return
	}
	if at-n.minute >= time.Minute && n.n > 0 {
		bad := n.errors.unusual(float64(n.failed) / float64(n.n))
		late := n.took.unusual(n.sum / float64(n.n))
		n.minute, n.n, n.failed, n.sum = at, 0, 0, 0
		if bad || late {
			n.until = at + 5*time.Minute
			n.w.left(at, targets[0], byRule)
			return
		}
	}
	n.n++
	n.failed += count(a.class != "")
	n.sum += a.took.Seconds()
}

// detecting is the real detector before a switch that knows nothing but its
// holds: no breaker, no retry, no second candidate.
type detecting struct {
	w       *world
	watcher *anomaly.Watcher
	held    map[llm.Target]time.Duration // since when, or the last canary
	ticking bool
}

const canaryEvery = 5 * time.Second

func newDetecting(w *world) func(*request) {
	d := &detecting{w: w, held: map[llm.Target]time.Duration{}}
	d.watcher = anomaly.NewWatcher(anomaly.WatcherConfig{}, d, record.NewIDs(2, 0).Next, d.detected)
	return func(r *request) {
		order := 0
		canary := false
		for order < len(targets)-1 {
			since, held := d.held[targets[order]]
			if !held {
				break
			}
			if canary = r.at-since >= canaryEvery; canary {
				d.held[targets[order]] = r.at
				break
			}
			order++
		}
		w.chain(r, func(a attempt, at time.Duration) {
			d.watcher.Observe(anomaly.Sample{
				Target: a.target, At: moment(at), Class: a.class, TTFT: a.first, Took: a.took,
				InputTokens: int64(a.input), OutputTokens: int64(a.output), Stream: true, Caller: r.caller, Canary: canary,
				Looping: a.looping, Nth: a.nth,
			})
		}, order)
	}
}

// moment gives the time of an instant of a world, on the clock of a bubble.
func moment(at time.Duration) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(at)
}

// Hold takes a hold, unless all others are held.
func (d *detecting) Hold(h record.Hold) bool {
	if _, known := d.held[h.Target]; known {
		return true
	}
	if len(d.held) == len(targets)-1 {
		return false
	}
	d.held[h.Target] = d.w.now
	if !d.ticking {
		d.ticking = true
		d.tick()
	}
	return true
}

// Rest counts from an instant as if a canary had gone then.
func (d *detecting) Rest(t llm.Target, until time.Time) {
	d.held[t] = until.Sub(moment(0))
}

func (d *detecting) Release(t llm.Target, _ string) bool {
	_, was := d.held[t]
	delete(d.held, t)
	return was
}

// tick has the watcher look at its holds each second, while there are any.
func (d *detecting) tick() {
	at := d.w.now + anomaly.DefaultTick
	d.w.at(at, func() {
		d.watcher.Tick(moment(at))
		if d.ticking = len(d.held) > 0; d.ticking {
			d.tick()
		}
	})
}

func (d *detecting) detected(e anomaly.Event) {
	switch e.Kind {
	case anomaly.HoldPlaced:
		d.w.left(d.w.now, e.Target, byHold)
	case anomaly.HoldEnded:
		d.w.returned(d.w.now, e.Target, byHold)
	}
}

// event is something that happens at its time.
type event struct {
	at time.Duration
	do func()
}

// events is a heap of them.
type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (w *world) at(at time.Duration, do func()) { heap.Push(&w.later, event{at, do}) }
