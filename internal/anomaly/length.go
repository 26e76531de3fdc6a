package anomaly

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

const (
	// lengthSlack is more than what tells three times the length soonest, 0.5:
	// the lengths of real answers follow each other, and long ones come in runs.
	lengthSlack  = 0.8
	lengthFloor  = 0.3                // of the spread: answers of one length are rare
	lengthMost   = 3.0                // standard deviations that one answer says at most
	lengthMemory = 0.002              // weight of an answer: 500 of them, lest the mean itself wanders
	lengthSettle = 6 * time.Hour      // after which a new length is the usual
	lengthMatter = 1.0986122886681098 // ln 3: mean excess that is worth a word
	lengthLeast  = 20                 // answers that it is the mean of: a handful of long ones is nothing
	overshoot    = 1.1659             // of a CUSUM's threshold, Siegmund's correction
	lengthRepeat = 1 * time.Hour      // between two words about the same
)

// length is how long the answers are that one caller gets of one target, as
// logarithms of tokens, and the evidence that they grew: a CUSUM.
type length struct {
	n, run   int32
	first    instant
	last     instant
	since    instant // when it was last learned
	told     instant
	found    bool
	mean     float64
	spread   float64
	recent   float64
	evidence float64
	excess   float64
}

// threshold is the evidence that gives one false alarm in 30 days over all
// series: Siegmund's approximation of the run length, solved for h.
func (l *length) threshold(series int) float64 {
	days := max(l.last.since(l.first).Hours()/24, 0.1)
	answers := max(float64(l.n)/days, 1440) * 30 * float64(series)
	return math.Log(2*lengthSlack*lengthSlack*answers)/(2*lengthSlack) - overshoot
}

// observe takes one answer.
func (l *length) observe(s Sample, at instant, cfg *Config, series int) (Finding, bool) {
	x := math.Log(float64(s.OutputTokens))
	if l.n == 0 {
		*l = length{n: 1, first: at, last: at, since: at, mean: x, spread: 1}
		return Finding{}, false
	}
	if at.since(l.last) > cfg.Forget {
		l.clear()
	}
	l.last = max(l.last, at)
	d := x - l.mean
	h := l.threshold(series)
	if int(l.n) >= cfg.MinSamples {
		l.recent += recentWeight * (d - l.recent)
		l.evidence = min(max(0, l.evidence+clip(d/l.spread, lengthMost)-lengthSlack), maxEvidence*h)
		if l.evidence == 0 {
			l.clear()
		} else {
			l.run++
			l.excess = running(l.excess, d, l.run, 0.1)
		}
	}
	switch {
	case l.evidence <= freezeAt*h:
		l.n, l.since = min(l.n+1, math.MaxInt32-1), at
		g := max(lengthMemory, 2/float64(l.n+1))
		l.mean += g * clip(d, 2*l.spread)
		l.spread = max(lengthFloor, l.spread+g*(1.2533*min(math.Abs(d), 3*l.spread)-l.spread))
	case at.since(l.since) > lengthSettle:
		*l = length{}
		return Finding{}, false
	}
	if l.evidence < h || l.run < lengthLeast || l.excess < lengthMatter || l.found && at.since(l.told) < lengthRepeat {
		return Finding{}, false
	}
	f := Finding{
		Target: s.Target, Caller: s.Caller, At: s.At, Signal: TokenBloat, Again: l.found, Z: l.excess / l.spread,
		Now: math.Exp(l.mean + l.excess), Usual: math.Exp(l.mean),
	}
	f.Text = fmt.Sprintf("answers to %s are x%.1f as long, %.0f tokens where %.0f are usual (z = %.1f over %d answers)",
		cmp.Or(s.Caller, "callers"), math.Exp(l.excess), f.Now, f.Usual, f.Z, l.run)
	l.found, l.told = true, at
	return f, true
}

// clear forgets the evidence, not what is usual.
func (l *length) clear() { l.evidence, l.run, l.excess, l.found = 0, 0, 0, false }

func (l *length) score(key lengthKey, h float64) Score {
	return Score{
		Target: key.target, Caller: key.caller, Signal: TokenBloat, Measure: "tokens of an answer", Label: "output_tokens", Unit: "tokens",
		Z: l.recent / l.spread, Now: math.Exp(l.mean + l.recent), Usual: math.Exp(l.mean),
		Evidence: l.evidence, Threshold: h, Samples: int(l.n),
	}
}
