package anomaly

import (
	"fmt"
	"math"
	"time"

	"breakwater/internal/llm"
)

const (
	chainMemory = 20000            // requests over which failures are remembered
	commitAfter = 10 * time.Minute // what is counted is learned this much later, and not at all in an alarm of that length
	maxTeach    = 10               // failures that one alarm may teach: a burst of the background is shorter
)

// The two troubles that are tested for.
const (
	partial = iota
	hard
	hypotheses
)

// troubles gives for each trouble the probability of a failure after a
// success, and after a failure.
func troubles() [hypotheses][2]float64 {
	return [hypotheses][2]float64{partial: {0.30, 0.40}, hard: {0.50, 0.97}}
}

// counts are failures and requests, by whether the request before failed.
type counts struct{ failures, requests [2]float64 }

// chain is a target's usual rate of failures as a Markov chain of two states,
// since real failures come in bursts, and the evidence against it: a CUSUM
// for each trouble.
type chain struct {
	learned counts
	waiting [2]counts // not yet learned: this span's and the one before
	turned  time.Time

	failed  bool // the request before
	healthy int
	step    [hypotheses][2][2]float64 // log likelihood ratio by trouble, by the request before, by this one

	evidence [hypotheses]float64
	run, bad int // requests and failures in this excursion
	taught   int // failures counted since it was found
	recent   float64
	alarm    alarm
	witness  witness
}

func newChain(at time.Time) chain {
	c := chain{turned: at}
	c.weigh()
	return c
}

// usual gives the two probabilities of a failure, with their priors of 1 in
// 200 and 3 in 20, and the share of failures that follows from them.
func (c *chain) usual() (afterSuccess, afterFailure, share float64) {
	afterSuccess = (1 + c.learned.failures[0]) / (200 + c.learned.requests[0])
	afterFailure = (3 + c.learned.failures[1]) / (20 + c.learned.requests[1])
	return afterSuccess, afterFailure, afterSuccess / (1 - afterFailure + afterSuccess)
}

// weigh works out what each outcome says for each trouble.
func (c *chain) weigh() {
	a, b, _ := c.usual()
	sd := math.Sqrt(b * (1 - b) / (21 + c.learned.requests[1]))
	p := [2]float64{min(max(1.5*a, 0.01), 0.10), min(max(b+sd, 0.05), 0.85)}
	for h, q := range troubles() {
		q[1] = max(q[1], p[1]+0.12)
		for before := range 2 {
			c.step[h][before][0] = math.Log((1 - q[before]) / (1 - p[before]))
			c.step[h][before][1] = math.Log(q[before] / p[before])
		}
	}
}

// observe takes one outcome and gives a finding when the evidence suffices.
func (c *chain) observe(failed bool, in input) (Finding, bool) {
	before, now := index(c.failed), index(failed)
	c.failed = failed
	if !failed {
		c.healthy++
	}
	if c.healthy >= in.cfg.MinSamples {
		c.recent += recentWeight * (float64(now) - c.recent)
		c.judge(before, now, in)
	}
	c.learn(before, now, in.at)
	if max(c.evidence[partial], c.evidence[hard]) < in.threshold {
		return Finding{}, false
	}
	again, tell := c.alarm.tell(!c.witness.single(), in)
	if !tell {
		return Finding{}, false
	}
	_, _, usual := c.usual()
	f := Finding{
		Signal: Errors, Failover: c.alarm.failover, Again: again,
		Now: float64(c.bad) / float64(c.run), Usual: usual,
	}
	f.Z = (f.Now - usual) / c.deviation(float64(c.run))
	f.Text = fmt.Sprintf("%d of %d requests failed (%.0f %%), usually %.1f %% (z = %.1f)", c.bad, c.run, 100*f.Now, 100*usual, f.Z)
	if c.witness.single() {
		f.Text += ", all failures are one caller's"
	}
	return f, true
}

func (c *chain) judge(before, now int, in input) {
	var sum float64
	for h := range c.evidence {
		c.evidence[h] = min(max(0, c.evidence[h]+c.step[h][before][now]), maxEvidence*in.threshold)
		sum += c.evidence[h]
	}
	if sum == 0 {
		c.clear(in.at)
		return
	}
	c.run++
	c.bad += now
	c.witness.note(in.caller, now == 1)
}

// learn counts the outcome now and learns it later. Short alarms are learned
// too: were they left out, a background that fails in bursts would never be
// known and alarm for ever. An incident teaches next to nothing.
func (c *chain) learn(before, now int, at time.Time) {
	if at.Sub(c.turned) >= commitAfter {
		c.commit(at)
	}
	if c.alarm.found && now == 1 {
		if c.taught == maxTeach {
			return
		}
		c.taught++
	}
	c.waiting[0].requests[before]++
	c.waiting[0].failures[before] += float64(now)
}

// commit learns what waited long enough, unless an alarm may yet turn out to
// be an incident.
func (c *chain) commit(at time.Time) {
	if c.alarm.found {
		if c.alarm.lasted(at) >= commitAfter {
			c.waiting, c.turned = [2]counts{}, at
		}
		return
	}
	due := c.waiting[1]
	keep := math.Exp(-(due.requests[0] + due.requests[1]) / chainMemory)
	for i := range 2 {
		c.learned.failures[i] = c.learned.failures[i]*keep + due.failures[i]
		c.learned.requests[i] = c.learned.requests[i]*keep + due.requests[i]
	}
	c.waiting, c.turned = [2]counts{1: c.waiting[0]}, at
	c.weigh()
}

// clear forgets the evidence. Where it was an incident, what it might teach is
// forgotten as well.
func (c *chain) clear(at time.Time) {
	if c.alarm.found && c.alarm.lasted(at) >= commitAfter {
		c.waiting = [2]counts{}
	}
	c.evidence = [hypotheses]float64{}
	c.run, c.bad, c.taught = 0, 0, 0
	c.alarm, c.witness = alarm{}, witness{}
}

// deviation is the usual standard deviation of the share of failures among n
// requests, wider where failures follow each other.
func (c *chain) deviation(n float64) float64 {
	a, b, share := c.usual()
	together := max(0, b-a)
	return math.Sqrt(share * (1 - share) / n * (1 + together) / (1 - together))
}

func (c *chain) score(t llm.Target, threshold float64) Score {
	_, _, usual := c.usual()
	return Score{
		Target: t, Signal: Errors, Measure: string(Errors), Samples: c.healthy,
		Z:   (c.recent - usual) / c.deviation((2-recentWeight)/recentWeight),
		Now: c.recent, Usual: usual,
		Evidence: max(c.evidence[partial], c.evidence[hard]), Threshold: threshold,
	}
}

func index(failed bool) int {
	if failed {
		return 1
	}
	return 0
}
