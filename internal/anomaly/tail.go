package anomaly

import (
	"math"
	"slices"
)

// TailThreshold is the score of a Tail from which a row deserves an alert.
const TailThreshold = 0.5

// What a Tail is made of. Each figure lies within a range that does about as
// well, which docs/backtest.md gives.
const (
	// fastRows is the length of the short mean: an hour and a half where a row
	// is five minutes, so that a changed level is told from a single spike.
	fastRows = 18
	// slowRows is the length of the long mean: three and a half days.
	slowRows = 1000
	// tailRows is how many rows a tail is fitted to: five weeks, after which
	// an old incident no longer hides a new one.
	tailRows = 10080
	// tailShare is the part of them that counts as the tail.
	tailShare = 0.02
	// tailPeaks is how many of the largest are the tail at least: fewer say
	// nothing about its shape.
	tailPeaks = 10
	// tailMin is how many rows are seen before one can be unlikely.
	tailMin = 100
	// alertLevel is how unlikely a row is that scores TailThreshold: its
	// probability is 10^-3.1, one in 1250.
	alertLevel = 3.1
	// maxLevel bounds how unlikely a row can be.
	maxLevel = 30.0
	// quietRows is for how long one incident is told once: ten hours.
	quietRows = 120
	// maxValue is beyond what a row can be, lest squares overflow.
	maxValue = 1e150
)

// Tail scores one series of numbers row by row, whatever they measure: how
// unlikely is this row after all before it? It looks at two residuals, the step
// from the row before and the distance between a short and a long mean, and
// models the tail of each with a generalised Pareto distribution (peaks over a
// threshold, as in Siffer et al., "Anomaly Detection in Streams with Extreme
// Value Theory", KDD 2017). So one threshold means the same for quantised, idle
// and heavy-tailed series, and no spread that may be zero is divided by.
//
// It takes rows as evenly spaced and knows no clock. Its state is at most
// 0.4 MB. The zero value is ready to use, by one goroutine.
type Tail struct {
	rows       int
	last       float64 // the row before
	fast, slow float64 // the two means
	step, gap  tail    // of the two residuals
	quiet      int     // rows for which nothing is told
}

// Add gives the score of the next row, from 0 to 1: 0 within the bulk, from
// TailThreshold on it deserves an alert, and each alertLevel powers of ten less
// likely halve what is missing to 1. The quietRows rows after an alert score 0.
// So does a row that is no number of reasonable size, which is not learned from.
func (t *Tail) Add(x float64) float64 {
	if !(math.Abs(x) <= maxValue) {
		return 0
	}
	if t.rows == 0 {
		t.last, t.fast, t.slow = x, x, x
	}
	t.rows++
	t.fast += (x - t.fast) / float64(min(t.rows, fastRows))
	t.slow += (x - t.slow) / float64(min(t.rows, slowRows))
	level := max(t.step.add(math.Abs(x-t.last)), t.gap.add(math.Abs(t.fast-t.slow)))
	t.last = x
	if t.quiet > 0 {
		t.quiet--
		return 0
	}
	score := 1 - math.Exp2(-level/alertLevel)
	if score >= TailThreshold {
		t.quiet = quietRows
	}
	return score
}

// tail holds the last tailRows residuals.
type tail struct {
	ring   []float64 // as they came; once it is full, next is the oldest
	next   int
	sorted []float64 // the same, rising
}

// add gives how unlikely a residual is after those before it, and learns it.
func (t *tail) add(r float64) float64 {
	level := t.level(r)
	to, _ := slices.BinarySearch(t.sorted, r)
	if len(t.ring) < tailRows {
		t.ring = append(t.ring, r)
		t.sorted = slices.Insert(t.sorted, to, r)
		return level
	}
	from, _ := slices.BinarySearch(t.sorted, t.ring[t.next])
	if from < to {
		to--
		copy(t.sorted[from:to], t.sorted[from+1:])
	} else {
		copy(t.sorted[to+1:from+1], t.sorted[to:])
	}
	t.sorted[to] = r
	t.ring[t.next] = r
	t.next = (t.next + 1) % tailRows
	return level
}

// level is minus the power of ten of the probability that a residual is so
// large, or 0 within the bulk.
func (t *tail) level(r float64) float64 {
	seen := len(t.sorted)
	if seen < tailMin {
		return 0
	}
	peaks := t.sorted[seen-max(int(tailShare*float64(seen)), tailPeaks):]
	threshold := t.sorted[seen-len(peaks)-1]
	if r <= threshold {
		return 0
	}
	var sum, squares float64
	for _, peak := range peaks {
		over := peak - threshold
		sum += over
		squares += over * over
	}
	mean := sum / float64(len(peaks))
	variance := squares/float64(len(peaks)) - mean*mean
	// Where all peaks are alike a scale is needed all the same, and what is only
	// the rounding of a large number must not seem unlikely.
	finest := 1e-9*r + 1e-3*(r-threshold) + 1e-300
	within := pareto(r-threshold, max(mean, finest), math.Sqrt(max(variance, finest*finest)))
	return min(math.Log10(float64(seen)/float64(len(peaks)))+within, maxLevel)
}

// pareto gives minus the power of ten of the probability that an excess is
// greater than y, where excesses have this mean and standard deviation: the
// moments of a generalised Pareto distribution give its shape and scale.
func pareto(y, mean, deviation float64) float64 {
	const hardest = 1e6 // a tail that ends so abruptly is an end in any case
	ratio := min(mean/deviation*(mean/deviation), hardest)
	shape, scale := (1-ratio)/2, mean*(1+ratio)/2
	if math.Abs(shape) < 1e-6 {
		return y / scale / math.Ln10
	}
	inner := 1 + shape*y/scale
	if inner <= 0 { // beyond the end of a short tail
		return maxLevel
	}
	return math.Log10(inner) / shape
}
