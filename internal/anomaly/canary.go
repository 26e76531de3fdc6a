package anomaly

import (
	"math"
	"time"
)

// The test of canaries is a sequential probability ratio test: as good as a
// target that is well, or as bad as this trouble was. Where everything failed
// three clean canaries tell; where a quarter did, it takes eighteen.
const (
	accept = 4.6 // 1 % of those that are still ill are called well
	// reject is what one bad canary among the first comes to: a wrong rejection
	// costs no more than a rest.
	reject = -2

	usualFailures = 0.02 // of canaries of a target that is well
	usualSlow     = 0.08 // of them, by either measure, when they are compared one by one
	leastTrouble  = 0.25 // a smaller share is not told from the usual by a handful
	mostTrouble   = 0.9  // so that no single canary decides
	// doubted is how many requests are added as good ones to those that a trouble
	// was found by, since it is found where it looks worst.
	doubted = 4

	// nearlyAll is a share of failures with which hardly a canary goes well, so that
	// none has to be waited for.
	nearlyAll = 0.75

	minSpeeds  = 3                  // canaries whose speed is known, to judge a hold for latency
	fastEnough = 0.4054651081081644 // ln 1.5: slower than this by the usual is not yet well
)

// badFrom is from which deviation on a canary of a hold is a bad one, a logarithm:
// half of the trouble's, where as usual and as bad are equally likely.
func badFrom(f Finding) float64 {
	if f.Signal == Latency {
		return max(math.Log(f.Now/f.Usual)/2, fastEnough)
	}
	return fastEnough
}

// ill counts what was seen of a trouble: the requests that it was found by, and
// the canaries that showed that it lasts.
type ill struct{ bad, all int }

// add counts what was seen beside.
func (i *ill) add(bad, all int) {
	i.bad += bad
	i.all += all
}

// share is how likely a request goes badly while the trouble lasts.
func (i ill) share() float64 {
	return min(max(float64(i.bad)/float64(i.all+doubted), leastTrouble), mostTrouble)
}

// trial is what a target's canaries have shown since its last rest.
type trial struct {
	score  float64
	seen   int
	bad    int       // of them
	fine   time.Time // when the first since the last bad one did; zero after a bad one
	began  time.Time // when the first of them ended
	ripe   time.Time // when there were enough of them
	speeds [measures]pace
}

// pace is what canaries told of one measure of speed.
type pace struct {
	n      int32
	slower float64 // mean deviation from the usual, a logarithm
}

// note adds a canary that went well or badly, where usually few do and a trouble
// makes many.
func (t *trial) note(at time.Time, bad bool, usual, trouble float64) {
	if t.seen == 0 {
		t.began = at
	}
	t.seen++
	if bad {
		t.bad++
		t.score += math.Log(usual / trouble)
		t.fine = time.Time{}
		return
	}
	had := t.score
	t.score = min(t.score+math.Log((1-usual)/(1-trouble)), accept)
	if had < accept && t.score >= accept {
		t.ripe = at
	}
	if t.fine.IsZero() {
		t.fine = at
	}
}

// speed adds how much slower than usual a canary was, each measure by itself: of
// two that scatter the worse one is always slow. None says more than twice what
// makes a canary a bad one, so that an outlier passes.
func (t *trial) speed(one speed, bad float64) {
	for m, known := range one.known {
		if known {
			p := &t.speeds[m]
			p.n++
			p.slower = running(p.slower, min(one.slower[m], 2*bad), p.n, 0.2)
		}
	}
}

// slower is the mean deviation by the worst measure that enough canaries told.
func (t *trial) slower(enough int32) (worst float64, known bool) {
	worst = math.Inf(-1)
	for _, p := range t.speeds {
		if p.n >= enough {
			worst, known = max(worst, p.slower), true
		}
	}
	return worst, known
}

// well says that the target may serve again. Where the trouble was latency,
// its speed must be known to be back.
func (t *trial) well(signal Signal) bool {
	if slower, known := t.slower(1); t.score < accept || known && slower > fastEnough {
		return false
	}
	_, known := t.slower(minSpeeds)
	return known || !signal.OfSpeed()
}

// known says that it is known of most canaries how they went. A request that hangs
// is known by its deadline, long after those that were sent with it and went well:
// where only a part fails these alone would call the target well.
func (t *trial) known(failing float64, took time.Duration, now time.Time) bool {
	return failing >= nearlyAll || now.Sub(t.began) >= t.ripe.Sub(t.began)*3/4+took
}

// lasts says that the trouble does, as far as it is worth a rest.
func (t *trial) lasts() bool {
	slower, known := t.slower(minSpeeds)
	return t.score <= reject || known && slower > material
}
