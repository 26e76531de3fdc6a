package anomaly

import (
	"math"
	"os"
	"strconv"
)

func env(n string, d float64) float64 {
	if v, err := strconv.ParseFloat(os.Getenv(n), 64); err == nil {
		return v
	}
	return d
}

// Tail scores one series of numbers row by row, whatever they measure: how
// unlikely is this row, after all before it? It looks at two residuals, the step
// from the row before and the distance of the last hour's mean from the last
// week's (at five minutes a row), and fits the tail of each with a generalised
// Pareto distribution over the largest 2 %, so that one threshold means the same
// for quantised, idle and heavy-tailed series (Siffer et al., "Anomaly Detection
// in Streams with Extreme Value Theory", KDD 2017). The zero value is ready.
type Tail struct {
	rows               int
	last               float64
	fast, slow         float64 // means of the last dozen rows and of the last 2016
	step, gap, raw, kt tail
	knn                knn
	recent             peaks
}

const (
	fastRows_ = 12   // an hour of rows every five minutes
	slowRows_ = 2016 // a week of them
	// muteRows is for how long one incident is told once: half a day.
	muteRows_ = 144
	// tailShare is the part of the residuals that the tail is fitted to.
	tailShare_ = 0.02
	// tailMin is how many residuals are seen before the tail means anything.
	tailMin = 100
	// alertLevel is the tail's probability, as a power of ten below one, that
	// scores 0.5.
	alertLevel = 4.0
)

// Add gives the score of the next row, 0 to 1; 0.5 is where it deserves an
// alert. A row that is no finite number scores 0 and is not learned from. After
// a high score only a higher one is told for muteRows.
func (t *Tail) Add(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	if t.rows == 0 {
		t.last, t.fast, t.slow = x, x, x
	}
	t.rows++
	prevfast := t.fast
	_ = prevfast
	t.fast += (x - t.fast) * rate(t.rows, fastRows)
	t.slow += (x - t.slow) * rate(t.rows, slowRows)
	a, b := t.step.add(math.Abs(x-t.last)), t.gap.add(math.Abs(t.fast-t.slow))
	level := max(a, b)
	kd := t.knn.add(x)
	c := t.kt.add(kd)
	switch mode {
	case 8:
		level = c
	case 9:
		level = max(a, b, c)
	case 10:
		level = max(a, c)
	case 11:
		level = max(a, t.raw.add(math.Abs(x-t.slow)), c)
	case 12:
		level = (a + b + c)
	case 13:
		level = max(b, c)
	case 1:
		level = a + b
	case 2:
		level = a
	case 3:
		level = b
	case 4:
		level = max(a, b, t.raw.add(math.Abs(x-t.slow)))
	case 5:
		level = max(a, t.raw.add(math.Abs(x-t.slow)))
	case 6:
		level = max(a, b, t.raw.add(math.Abs(x-prevfast)))
	case 7:
		level = max(b, t.raw.add(math.Abs(x-prevfast)))
	}
	t.last = x
	if level <= t.recent.add(level)+beat {
		return 0
	}
	return level / (level + alertLevel)
}

// rate is the weight of a row in a mean over so many rows, which is a plain
// mean until there were as many.
func rate(seen, over int) float64 { return 1 / float64(min(seen, over)) }

// tail is how the largest of a series of residuals are spread.
type tail struct {
	seen    int
	largest []float64 // the largest ones in falling order, at most maxPeaks
}

// maxPeaks bounds the residuals kept, and so the state: with more rows than they
// are 2 % of, the tail is that of fewer.
const maxPeaks = 256

// add gives how unlikely a residual is after those before it, as minus the power
// of ten of its probability, and learns from it. A residual within the bulk is 0.
func (t *tail) add(r float64) float64 {
	level := t.level(r)
	t.seen++
	at := len(t.largest)
	for at > 0 && t.largest[at-1] < r {
		at--
	}
	if at == maxPeaks {
		return level
	}
	if len(t.largest) < maxPeaks {
		t.largest = append(t.largest, 0)
	}
	copy(t.largest[at+1:], t.largest[at:])
	t.largest[at] = r
	return level
}

func (t *tail) level(r float64) float64 {
	if t.seen < tailMin {
		return 0
	}
	n := min(max(int(tailShare*float64(t.seen)), tailLeast), len(t.largest)-1)
	threshold := t.largest[n]
	if r <= threshold {
		return 0
	}
	var sum, squares float64
	for _, peak := range t.largest[:n] {
		y := peak - threshold
		sum += y
		squares += y * y
	}
	mean := sum / float64(n)
	spread := squares/float64(n) - mean*mean
	share := float64(n) / float64(t.seen)
	return -math.Log10(share) + pareto(r-threshold, mean, spread)
}

// pareto gives minus the power of ten of the probability that an excess is
// greater than y, where excesses have this mean and variance.
func pareto(y, mean, variance float64) float64 {
	floor := 1e-9 + 1e-3*y // all were alike: a scale is needed all the same
	mean = max(mean, floor)
	ratio := mean * mean / max(variance, floor*floor)
	shape, scale := (1-ratio)/2, mean*(1+ratio)/2
	if math.Abs(shape) < 1e-6 {
		return y / scale / math.Ln10
	}
	inner := 1 + shape*y/scale
	if inner <= 0 { // beyond the end of a short tail
		return maxLevel
	}
	return min(math.Log10(inner)/shape, maxLevel)
}

const (
	// tailLeast is how many peaks a fit needs at least.
	tailLeast_ = 10
	// maxLevel bounds a level: nothing is less likely than one in 10^30.
	maxLevel = 30.0
)

// peaks is the greatest level of the last muteRows rows.
type peaks struct {
	row    int
	levels []peak // falling
}

type peak struct {
	row   int
	level float64
}

// add takes in a row's level and gives the greatest of those before it.
func (p *peaks) add(level float64) float64 {
	p.row++
	for len(p.levels) > 0 && p.row-p.levels[0].row > muteRows {
		p.levels = p.levels[1:]
	}
	before := 0.0
	if len(p.levels) > 0 {
		before = p.levels[0].level
	}
	for len(p.levels) > 0 && p.levels[len(p.levels)-1].level <= level {
		p.levels = p.levels[:len(p.levels)-1]
	}
	p.levels = append(p.levels, peak{p.row, level})
	return before
}

var fastRows, slowRows, muteRows = int(env("FAST", 12)), int(env("SLOW", 2016)), int(env("MUTE", 144))
var tailShare, tailLeast, mode, beat = env("SHARE", 0.02), int(env("LEAST", 10)), int(env("MODE", 0)), env("BEAT", 0)

type knn struct {
	win  []float64
	hist [][]float64
	n    int
	diag []float64
}

var dim, hmax, kk, sub = int(env("DIM", 24)), int(env("HIST", 1000)), int(env("K", 3)), int(env("SUB", 1))

func (k *knn) add(x float64) float64 {
	k.n++
	k.win = append(k.win, x)
	if len(k.win) > dim {
		k.win = k.win[1:]
	}
	if len(k.win) < dim {
		return 0
	}
	best := make([]float64, kk)
	for i := range best {
		best[i] = math.Inf(1)
	}
	for i, h := range k.hist {
		if i > len(k.hist)-dim { // overlaps
			break
		}
		d := 0.0
		for j, v := range h {
			d += (v - k.win[j]) * (v - k.win[j])
			if d >= best[kk-1] {
				break
			}
		}
		for j := range best {
			if d < best[j] {
				copy(best[j+1:], best[j:kk-1])
				best[j] = d
				break
			}
		}
	}
	k.hist = append(k.hist, append([]float64(nil), k.win...))
	if len(k.hist) > hmax {
		k.hist = k.hist[1:]
	}
	s := 0.0
	for _, b := range best {
		if math.IsInf(b, 1) {
			return 0
		}
		s += math.Sqrt(b)
	}
	return s
}
