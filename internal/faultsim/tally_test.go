package faultsim

import (
	"math"
	"slices"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// result is what a caller got.
type result struct {
	whole bool          // a complete answer
	first time.Duration // to the first content
	each  time.Duration // between two tokens
	from  llm.Provider
}

// reason is what takes traffic away from a target.
type reason string

const (
	byBreaker reason = "breaker"
	byHold    reason = "hold"
	byKey     reason = "cool-down" // of a key, after a 429
	byRule    reason = "rule"      // of a simple policy
)

// incident is a fault, and what became of it.
type incident struct {
	fault
	requests int // that came while it lasted
	lost     int // of them, without a complete answer
	good     int // of them, complete and in good time
	found    bool
	by       reason
	after    time.Duration // until found
	asked    int           // requests that had come until found
	heard    int           // of them, those that were over, this one included
	over     int           // requests of its time that are over
	held     bool          // the detector kept traffic away
	flaps    int           // came back while it lasted, but for keys that had cooled down
	back     time.Duration // after its end, until traffic was back for good
	out      bool          // still away at the end of the run
}

// standing is where traffic is kept away from.
type standing struct {
	target llm.Target
	by     reason
}

// tally counts what became of a run.
type tally struct {
	mu        sync.Mutex
	span      time.Duration
	requests  int
	whole     int
	good      int
	unlucky   int // whole, and slow only because providers that are well are so now and then
	cutOff    int // requests that came while nobody could be reached from this side; in none of the other counts
	elsewhere int // answers that did not come from the first provider
	cost      record.NanoUSD
	attempts  int
	waits     histogram // for the first content
	moved     histogram // the same, of those that were served elsewhere
	incidents []*incident
	away      map[standing]time.Duration // since when
	falsely   map[reason][]time.Duration // when traffic was kept away without a fault
	longBlips int                        // a blip kept traffic away for more than two minutes after
	common    int                        // holds placed while the fault was on this side
	poisoned  int                        // requests of a caller whose prompts fail everywhere
	cpu       time.Duration
}

// clears is how long after a fault's end what follows from it may still come:
// a hang is known to be one only when its patience is over.
const clears = 2*time.Minute + patience

func newTally(sc *scenario) *tally {
	t := &tally{span: sc.span, away: map[standing]time.Duration{}, falsely: map[reason][]time.Duration{}}
	for _, f := range sc.faults {
		t.incidents = append(t.incidents, &incident{fault: f})
	}
	return t
}

// arrived counts a request for the incidents that last.
func (t *tally) arrived(at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, in := range t.around(at) {
		if in.active(at) {
			in.requests++
		}
	}
}

// around gives the incidents that may have to do with an instant.
func (t *tally) around(at time.Duration) []*incident {
	if len(t.incidents) < 4 {
		return t.incidents
	}
	to, _ := slices.BinarySearchFunc(t.incidents, at, func(in *incident, at time.Duration) int {
		if in.from <= at {
			return -1
		}
		return 1
	})
	from := to
	for from > 0 && at-t.incidents[from-1].from < 13*time.Hour {
		from--
	}
	return t.incidents[from:to]
}

// ended counts what a request came to.
func (t *tally) ended(r *request, got result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := got.whole && !r.worthless
	for _, in := range t.around(r.at) {
		if in.kind == ownEgress && in.active(r.at) {
			t.cutOff++
			in.over++
			in.lost += count(!whole)
			return
		}
	}
	t.requests++
	good := whole && got.first < 10*time.Second && (r.output < 16 || got.each < seconds(2*usualEach.Seconds()*daily(r.at)))
	if whole {
		t.whole++
		t.waits.add(got.first)
	}
	if good {
		t.good++
	} else if whole && r.outlier {
		t.unlucky++
	}
	if got.from != "" && got.from != llm.Claude {
		t.elsewhere++
		t.moved.add(got.first)
	}
	for _, in := range t.around(r.at) {
		if !in.active(r.at) {
			continue
		}
		in.over++
		t.poisoned += count(in.kind == poison && in.caller == r.caller)
		if !whole {
			in.lost++
		}
		if good {
			in.good++
		}
	}
}

// left takes note that traffic is kept away from a target from now on.
func (t *tally) left(at time.Duration, target llm.Target, by reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.away[standing{target, by}]; ok {
		return
	}
	t.away[standing{target, by}] = at
	caused := false
	for _, in := range t.around(at) {
		if !slices.Contains(in.on, target.Provider) || at < in.from || at >= in.to+clears {
			continue
		}
		caused = caused || in.kind != noFault
		if in.kind == ownEgress && by == byHold {
			t.common++
		}
		if by == byHold {
			in.held = true
		}
		if !in.found {
			in.found, in.by, in.after, in.asked, in.heard = true, by, at-in.from, in.requests, in.over+1
		}
	}
	if !caused {
		t.falsely[by] = append(t.falsely[by], at)
	}
}

// returned takes note that nothing of this kind keeps traffic away any more.
func (t *tally) returned(at time.Duration, target llm.Target, by reason) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, ok := t.away[standing{target, by}]
	if !ok {
		return
	}
	delete(t.away, standing{target, by})
	for away := range t.away {
		if away.target == target {
			return
		}
	}
	for _, in := range t.around(at) {
		if !slices.Contains(in.on, target.Provider) || since < in.from || since >= in.to+clears {
			continue
		}
		if at < in.to {
			in.flaps += count(by != byKey)
			continue
		}
		in.back = max(in.back, at-in.to)
		if in.name == blip && at-in.from > 2*time.Minute && by == byHold {
			t.longBlips++
		}
	}
}

// paid adds what an attempt cost.
func (t *tally) paid(cost record.NanoUSD, attempts int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cost += cost
	t.attempts += attempts
}

// close marks what is still away at the end.
func (t *tally) close() *tally {
	for away, since := range t.away {
		for _, in := range t.incidents {
			if slices.Contains(in.on, away.target.Provider) && since >= in.from && since < in.to+clears {
				in.out = true
			}
		}
	}
	return t
}

// histogram counts times in steps of 5 %, from a millisecond on.
type histogram struct {
	n     int
	steps [400]int
}

func (h *histogram) add(d time.Duration) {
	step := int(math.Log(max(1, d.Seconds()*1000)) / math.Log(1.05))
	h.steps[min(step, len(h.steps)-1)]++
	h.n++
}

// quantile gives the time that a share of all is within.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(math.Ceil(q * float64(h.n)))
	for step, n := range h.steps {
		if left -= n; left <= 0 && h.n > 0 {
			return seconds(math.Pow(1.05, float64(step)+0.5) / 1000)
		}
	}
	return 0
}
