package anomaly

import (
	"fmt"
	"math"
	"time"

	"breakwater/internal/llm"
)

// measure is one way to see a target's speed. None of them is the time of a
// whole answer as it is: that says more about its length than about the target.
type measure int

const (
	firstToken  measure = iota // streamed: time to first content, for the size of the prompt
	outputToken                // streamed: time per output token
	wholeAnswer                // not streamed: the whole time, for the sizes of prompt and answer
	measures
)

func (m measure) String() string {
	return [...]string{"time to first token", "time per output token", "time for an answer"}[m]
}

// label is the measure in a metric.
func (m measure) label() string { return [...]string{"ttft", "tpot", "answer"}[m] }

// slowFrom is the deviation from which a single answer counts as slow, unless
// the measure's own spread is so wide that more is needed: ln 1.75 for the pace,
// ln 2.5 for what varies with a queue.
func (m measure) slowFrom() float64 {
	if m == outputToken {
		return 0.5596
	}
	return slowMatters
}

const (
	inputScale    = 4000 // input tokens that double the time to first token
	outputScale   = 25   // output tokens that take as long as a first token
	minOutput     = 16   // output tokens below which the time per token is mostly noise
	notNoticed    = 50 * time.Millisecond
	notNoticedPer = time.Millisecond // 1,000 tokens a second

	spreadFloor  = 0.08 // so that a steady series does not make trifles unusual
	firstSpread  = 0.3
	slack        = 1.5                // of the CUSUM, in standard deviations
	aboveSlack   = 0.1                // share of answers above it as usual: 7 % of a normal distribution, and outliers
	manySlow     = 0.5                // the share of them in a trouble
	decideAt     = 0.8                // of the threshold
	usualMinutes = 30                 // memory of the usual level
	anchorMemory = 24 * time.Hour     // of the level that a slow ramp is compared with
	maxExcess    = 2.0794415416798357 // ln 8: no single answer says more
	material     = math.Ln2           // twice as slow as usual is worth a failover
	slowMatters  = 0.9162907318741551 // ln 2.5: so slow must the slow part be to be worth one
	excessWeight = 0.05               // of a request in the mean deviation of a long excursion: outliers alone do not matter
	slowSpreads  = 3                  // standard deviations from which a single answer may count as slow
)

// of gives the logarithm of the sample's time with the part that its size
// explains taken out, and that part. Times that nobody notices count as the
// shortest that somebody does, so that 2 ms turning into 10 ms is no trouble.
//
// The first content of an answer that is not streamed is the whole answer, so
// its TTFT says nothing. Its whole time is compared instead, divided by what
// its sizes let expect of a typical model; where a model is not typical the
// error is part of the learned spread and makes the test slower, not wrong.
// An answer that does not tell its size is not used.
func (m measure) of(s Sample) (x, size float64, ok bool) {
	in := float64(max(0, s.InputTokens)) / inputScale // some tell of more from their cache than of all
	switch {
	case m == firstToken && s.Stream && s.TTFT > 0:
		size = math.Log1p(in)
		return math.Log(max(s.TTFT, notNoticed).Seconds()) - size, size, true
	case m == outputToken && s.Stream && s.TTFT > 0 && s.OutputTokens >= minOutput:
		each := (s.Took - s.TTFT) / time.Duration(s.OutputTokens-1)
		return math.Log(max(each, notNoticedPer).Seconds()), 0, true
	case m == wholeAnswer && !s.Stream && s.OutputTokens > 0:
		size = math.Log1p(in + float64(s.OutputTokens)/outputScale)
		return math.Log(max(s.Took, notNoticed).Seconds()) - size, size, true
	}
	return 0, 0, false
}

// level is the usual of one measure and the evidence against it: a winsorised
// CUSUM on the z-score against the target's own past. Logarithms of seconds.
type level struct {
	n      int32
	run    int32 // requests in this excursion
	mean   float64
	spread float64 // standard deviation, winsorised
	anchor float64 // the mean over a day
	before usual   // what was usual when the excursion began: it does not teach its own test
	size   float64 // usual part that sizes explain, for showing
	gap    float32 // usual minutes between samples
	recent float32 // deviation over about the last dozen
	last   instant
	since  instant // when it was last learned

	evidence float64
	excess   float64 // mean deviation over the excursion
	alarm    alarm
	witness  *witness // nil while nothing went badly
	slowed   slowed
}

// slowed is by how much answers were slower than usual since the first of them that
// counted as slow by itself.
type slowed struct {
	n    int32
	mean float32
}

func (s *slowed) note(d float64) {
	s.n++
	s.mean = running(s.mean, float32(min(d, maxExcess)), s.n, excessWeight)
}

// running is a mean with the nth value in it, of which none weighs less than so much.
func running[F float32 | float64](mean, value F, nth int32, least F) F {
	return mean + max(1/F(nth), least)*(value-mean)
}

// usual is where a measure's logarithms lie.
type usual struct{ mean, spread float32 }

// observe takes one time and gives a finding when the evidence suffices.
func (l *level) observe(m measure, x, size float64, in input) (Finding, bool) {
	if l.n == 0 {
		*l = level{n: 1, mean: x, spread: firstSpread, anchor: x, size: size, last: in.at, since: in.at, gap: 1}
		return Finding{}, false
	}
	minutes := max(0, in.at.since(l.last).Minutes())
	l.last = in.at
	if l.evidence == 0 {
		l.before = usual{float32(l.mean), float32(l.spread)}
	}
	d := x - float64(l.before.mean)
	if int(l.n) >= in.cfg.MinSamples {
		l.recent += recentWeight * (float32(min(d, maxExcess)) - l.recent)
		l.judge(d, in)
	}
	if !in.frozen && l.evidence <= freezeAt*in.threshold*decideAt {
		l.since = in.at
		l.learn(x-l.mean, size, minutes)
	} else {
		l.mean, l.spread = float64(l.before.mean), float64(l.before.spread)
		if in.at.since(l.since) > in.cfg.Settle {
			*l = level{} // it has been so for so long that it is the usual now
			return Finding{}, false
		}
	}
	if l.evidence < decideAt*in.threshold || d <= 0 { // what is fast is no reason to leave
		return Finding{}, false
	}
	l.evidence = min(l.evidence, maxEvidence*decideAt*in.threshold)
	matters := l.excess+l.doubt(l.run) > material && !l.witness.single(0, nil, in.at)
	again, tell := l.alarm.tell(matters, in)
	if !tell {
		return Finding{}, false
	}
	f := Finding{
		Signal: Latency, by: m, Z: l.excess / l.spread, Failover: matters, Again: again,
		Now: math.Exp(l.mean + l.size + l.excess), Usual: math.Exp(l.mean + l.size), Bad: int(l.run), Of: int(l.run),
	}
	f.Text = fmt.Sprintf("%s %s, usually %s (z = %.1f over %d requests)", m, seconds(f.Now), seconds(f.Usual), f.Z, l.run)
	f.Text += l.witness.tells("slow answers", 0, nil, in.at)
	return f, true
}

// doubt is the standard error of the mean deviation of so many answers: of what is
// twice as slow, half is measured as a little less.
func (l *level) doubt(n int32) float64 {
	return l.spread * math.Sqrt(max(1/float64(n), excessWeight/2))
}

// slow says whether a time is so far from usual that it counts as slow, and by
// how much.
func (l *level) slow(m measure, x float64) (excess float64, slow bool) {
	d := min(x-l.mean, maxExcess)
	return d, d > max(m.slowFrom(), slowSpreads*l.spread)
}

// judge adds one deviation to the evidence.
func (l *level) judge(d float64, in input) {
	z := clip(d/float64(l.before.spread), 3)
	l.evidence = max(0, l.evidence+z-slack)
	if l.evidence == 0 {
		l.clear()
		return
	}
	l.run++
	l.excess = running(l.excess, min(d, maxExcess), l.run, excessWeight)
	l.witness = l.witness.note(in.from, z > slack, shares{usual: aboveSlack, trouble: manySlow}, in.threshold)
}

// learn moves the usual. A level that crept away from the day's is put back
// to it, so that a slow ramp is seen by the same test as a jump.
func (l *level) learn(d, size, minutes float64) {
	l.n = min(l.n+1, math.MaxInt32-1)
	l.gap += max(2/float32(l.n+1), 0.02) * (float32(minutes) - l.gap)
	g := max(2/float64(l.n+1), min(max(float64(l.gap)/usualMinutes, 0.002), 0.03))
	l.mean += g * clip(d, 2*l.spread)
	l.spread = max(spreadFloor, l.spread+g*(1.2533*min(math.Abs(d), 3*l.spread)-l.spread))
	l.size += g * (size - l.size)
	if g > 0.03 {
		l.anchor = l.mean
		return
	}
	l.anchor += min(1, minutes/anchorMemory.Minutes()) * (l.mean - l.anchor)
	if l.mean-l.anchor > material {
		l.mean = l.anchor
	}
}

func (l *level) clear() {
	l.evidence, l.run, l.excess = 0, 0, 0
	l.alarm, l.witness = alarm{}, nil
}

func (l *level) score(t llm.Target, m measure, threshold float64) Score {
	return Score{
		Target: t, Signal: Latency, Measure: m.String(), Label: m.label(), Unit: "seconds", Samples: int(l.n),
		Z: float64(l.recent) / l.spread, Now: math.Exp(l.mean + l.size + float64(l.recent)), Usual: math.Exp(l.mean + l.size),
		Evidence: l.evidence, Threshold: decideAt * threshold,
	}
}

func clip(v, limit float64) float64 { return min(max(v, -limit), limit) }

// seconds writes a time as people say it.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.1f s", s)
}
