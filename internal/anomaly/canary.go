package anomaly

import (
	"math"
	"time"
)

// The test of canaries is a sequential probability ratio test: as good as a
// target that is well, or as bad as this trouble was. Where everything failed
// three clean canaries tell; where a quarter did, it takes eighteen, or ten where
// there is a request a minute.
const (
	accept = 4.6 // 1 % of those that are still ill are called well
	// inTime is how soon what is well shall be called so, where there are requests
	// enough to be as sure as accept is.
	inTime = 5 * time.Minute
	// oneWrong is in which time a target that is still ill may be called well once
	// where there are not. With the rests and the requests that it takes to find it
	// again that is about once an hour, as long as an incident lasts.
	oneWrong = 45 * time.Minute
	// reject is what one bad canary among the first comes to: a wrong rejection
	// costs no more than a rest.
	reject = -2

	usualFailures = 0.02 // of canaries of a target that is well
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

// slowness is how slow a trouble of latency was, by the measure that told of it,
// and how much this one scatters: logarithms.
type slowness struct {
	by             measure
	excess, spread float64
}

// slownessOf takes it from a finding; of another signal it is zero.
func slownessOf(f Finding) (s slowness) {
	if f.Signal == Latency {
		s = slowness{by: f.by, excess: math.Log(f.Now / f.Usual)}
		s.spread = max(s.excess/f.Z, spreadFloor)
	}
	return s
}

// bad is from which deviation on a canary is a bad one: half of the trouble's,
// where as usual and as bad are equally likely.
func (s slowness) bad() float64 { return max(s.excess/2, fastEnough) }

// says is what a deviation tells, as evidence that the target is well: how much
// likelier it is of one that is than while the trouble lasts. What drifts by less
// than half of the trouble's deviation makes it slower to tell, not wrong.
func (s slowness) says(d float64) float64 {
	return clip(s.excess*(s.bad()-d)/(s.spread*s.spread), says(false, mostTrouble))
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
	ripe   time.Time // when there were enough of them; zero while there are not
	speeds [measures]pace
}

// pace is what canaries told of one measure of speed.
type pace struct {
	n      int32
	slower float64 // mean deviation from the usual, a logarithm
}

// enough is the evidence that calls a target well of which a trouble hurts so many.
// Canaries that come too rarely to gather it in time call one well that is still
// ill once in oneWrong at most: each that goes badly ends a trial, so that there are
// as many trials as of those.
func (t *trial) enough(trouble float64, now time.Time) float64 {
	pace := float64(t.seen-1) / max(1, float64(now.Sub(t.began)))
	if t.seen == 1 || accept/says(false, trouble) <= pace*float64(inTime) {
		return accept
	}
	return min(max(-reject, math.Log(trouble*pace*float64(oneWrong))), accept)
}

// says is what a canary tells that went well or badly where a trouble makes so many
// do so.
func says(bad bool, trouble float64) float64 {
	if bad {
		return math.Log(usualFailures / trouble)
	}
	return math.Log((1 - usualFailures) / (1 - trouble))
}

// note adds a canary that went well or badly, and what it tells.
func (t *trial) note(at time.Time, bad bool, tells, trouble float64) {
	if t.seen == 0 {
		t.began = at
	}
	t.seen++
	t.score = min(t.score+tells, accept)
	if t.score < t.enough(trouble, at) {
		t.ripe = time.Time{}
	} else if t.ripe.IsZero() {
		t.ripe = at
	}
	switch {
	case bad:
		t.bad++
		t.fine = time.Time{}
	case t.fine.IsZero():
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
	if slower, known := t.slower(1); t.ripe.IsZero() || known && slower > fastEnough {
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
