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

	minSpeeds  = 3                  // canaries whose speed is known, to judge a hold for latency
	fastEnough = 0.4054651081081644 // ln 1.5: slower than this by the usual is not yet well
)

// ill counts what was seen of a trouble: the requests that it was found by, and
// the canaries that showed that it lasts.
type ill struct{ bad, all int }

// add counts a trial that went badly.
func (i *ill) add(t trial) {
	i.bad += t.bad
	i.all += t.seen
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
	began  time.Time // when the first of them ended
	fine   time.Time // when the first since the last bad one did; zero after a bad one
	speeds int       // of them, how many told a speed
	slower float64   // mean deviation from the usual, a logarithm
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
	t.score = min(t.score+math.Log((1-usual)/(1-trouble)), accept)
	if t.fine.IsZero() {
		t.fine = at
	}
}

// speed adds how much slower than usual a canary was.
func (t *trial) speed(slower float64) {
	t.speeds++
	t.slower += max(1/float64(t.speeds), 0.2) * (slower - t.slower)
}

// perMinute is how many canaries there were in a minute.
func (t *trial) perMinute(now time.Time) float64 {
	return float64(t.seen-1) / max(now.Sub(t.began).Minutes(), 1.0/60)
}

// well says that the target may serve again. Where the trouble was latency,
// its speed must be known to be back.
func (t *trial) well(signal Signal) bool {
	if t.score < accept || t.speeds > 0 && t.slower > fastEnough {
		return false
	}
	return !signal.OfSpeed() || t.speeds >= minSpeeds
}

// lasts says that the trouble does, as far as it is worth a rest.
func (t *trial) lasts() bool {
	return t.score <= reject || t.speeds >= minSpeeds && t.slower > material
}
