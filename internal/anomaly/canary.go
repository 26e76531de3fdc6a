package anomaly

import (
	"math"
	"time"
)

// The test of canaries: an error rate of 2 % against one of 25 %, as a
// sequential probability ratio test. 18 clean canaries accept, two failures
// in a row reject.
const (
	canaryGood = 0.267 // what an answer says for "well"
	canaryBad  = -2.53 // what a failure says
	decided    = 4.6   // both ways: 1 % error

	minSpeeds  = 3                  // canaries whose speed is known, to judge a hold for latency
	fastEnough = 0.4054651081081644 // ln 1.5: slower than this by the usual is not yet well
)

// trial is what a target's canaries have shown since they last failed.
type trial struct {
	score  float64
	seen   int       // since the hold was placed or extended
	began  time.Time // when the first of them ended
	speeds int       // of them, how many told a speed
	slower float64   // mean deviation from the usual, a logarithm
}

func (t *trial) note(at time.Time, failed bool, slower float64, known bool) {
	if t.seen == 0 {
		t.began = at
	}
	t.seen++
	if failed {
		t.score = min(t.score, 0) + canaryBad
		return
	}
	t.score = min(t.score+canaryGood, decided)
	if known {
		t.speeds++
		t.slower += max(1/float64(t.speeds), 0.2) * (slower - t.slower)
	}
}

// perMinute is how many canaries there were in a minute.
func (t *trial) perMinute(now time.Time) float64 {
	return float64(t.seen-1) / max(now.Sub(t.began).Minutes(), 1.0/60)
}

// well says that the target may serve again. Where the trouble was latency,
// its speed must be known to be back.
func (t *trial) well(signal Signal) bool {
	if t.score < decided-1e-9 || t.speeds > 0 && t.slower > fastEnough {
		return false
	}
	return !signal.OfSpeed() || t.speeds >= minSpeeds
}

// bad says that the trouble lasts beyond doubt.
func (t *trial) bad() bool {
	return t.score <= -decided || t.speeds >= minSpeeds && t.slower > math.Ln2
}
