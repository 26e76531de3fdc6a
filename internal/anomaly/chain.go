package anomaly

import (
	"fmt"
	"math"
	"time"

	"breakwater/internal/llm"
)

const (
	chainMemory = 20000            // requests over which failures are remembered
	burstMemory = 1000             // requests after a failure over which it is remembered how often another follows
	commitAfter = 10 * time.Minute // what is counted is learned this much later, and not at all in an alarm of that length
	twoTroubles = math.Ln2         // the evidence that testing for two of them costs: each has half of the budget
	maxTeach    = 10               // failures that one alarm may teach: a burst of the background is shorter
)

// The two troubles that are tested for.
const (
	partial = iota
	hard
	hypotheses
)

// kind is one of the things that a chain tests: which requests go badly, what is
// taken as usual before anything is known, and which troubles are tested for.
type kind uint8

const (
	failing kind = iota
	slowing
	throttling
)

// character is what a kind of chain assumes.
type character struct {
	signal   Signal
	measure  string
	label    string
	what     string                 // what goes badly, for people
	verb     string                 // the same as a sentence's end
	priors   [2][2]float64          // bad and all requests, after a good one and after a bad one
	least    float64                // of the probability of a bad request after a good one
	most     float64                // of the same
	troubles [hypotheses][2]float64 // the probability of a bad request after a good one, and after a bad one
}

func (k kind) character() character {
	switch k {
	case slowing:
		// One answer in fifty is slow on any day, and a slow one says more of the next.
		return character{
			signal: SlowShare, measure: "slow answers", label: "slow_share", what: "slow answers", verb: "answers were slow",
			priors: [2][2]float64{{2, 100}, {1, 7}}, least: 0.02, most: 0.15,
			troubles: [hypotheses][2]float64{partial: {0.30, 0.40}, hard: {0.50, 0.90}},
		}
	case throttling:
		// Some rate limits are everyday life, which pacing deals with.
		return character{
			signal: Throttling, measure: "throttling", label: "throttling", what: "rate limits", verb: "requests were rate-limited",
			priors: [2][2]float64{{1, 100}, {2, 7}}, least: 0.02, most: 0.25,
			troubles: [hypotheses][2]float64{partial: {0.50, 0.60}, hard: {0.50, 0.97}},
		}
	}
	return character{
		signal: Errors, measure: string(Errors), label: string(Errors), what: "failures", verb: "requests failed",
		priors: [2][2]float64{{1, 200}, {1, 7}}, least: 0.01, most: 0.10,
		troubles: [hypotheses][2]float64{partial: {0.30, 0.40}, hard: {0.50, 0.97}},
	}
}

// learned are the bad requests and all of them, by whether the one before was bad.
type learned struct{ bad, all [2]float32 }

// counts are the same, of minutes only.
type counts struct{ bad, all [2]uint32 }

// chain is a target's usual share of bad requests as a Markov chain of two
// states, since real failures come in bursts, and the evidence against it: a
// CUSUM for each trouble.
type chain struct {
	learned learned
	waiting [2]counts // not yet learned: this span's and the one before
	turned  instant

	kind    kind
	failed  bool   // the request before
	looping uint16 // answers in circles among the bad ones of this excursion; not saved, as looper is not
	healthy int32
	step    [hypotheses][2][2]float32 // log likelihood ratio by trouble, by the request before, by this one

	evidence [hypotheses]float32
	since    instant // when the first of this excursion began
	run, bad int32   // requests and bad ones in this excursion
	taught   int32   // bad requests counted since it was found
	recent   float32 // share of the last dozen
	excess   float32 // by how much the bad ones are slower than usual, a mean logarithm
	looper   uint32  // whose answers go in circles; 0 for nobody's
	alarm    alarm
	witness  *witness // nil while nothing went badly
}

func newChain(k kind, at time.Time) chain {
	c := chain{kind: k, turned: instantOf(at)}
	c.weigh()
	return c
}

// usual gives the two probabilities of a bad request and the share that
// follows from them.
func (c *chain) usual() (afterGood, afterBad, share float64) {
	prior := c.kind.character().priors
	l := &c.learned
	afterGood = (prior[0][0] + float64(l.bad[0])) / (prior[0][1] + float64(l.all[0]))
	afterBad = (prior[1][0] + float64(l.bad[1])) / (prior[1][1] + float64(l.all[1]))
	return afterGood, afterBad, afterGood / (1 - afterBad + afterGood)
}

// weigh works out what each outcome says for each trouble.
func (c *chain) weigh() {
	ch := c.kind.character()
	a, b, _ := c.usual()
	sd := math.Sqrt(b * (1 - b) / (1 + ch.priors[1][1] + float64(c.learned.all[1])))
	p := [2]float64{min(max(1.5*a, ch.least), ch.most), min(max(b+sd, 0.05), 0.85)}
	for h, q := range ch.troubles {
		q[1] = max(q[1], p[1]+0.12)
		for before := range 2 {
			c.step[h][before][0] = float32(math.Log((1 - q[before]) / (1 - p[before])))
			c.step[h][before][1] = float32(math.Log(q[before] / p[before]))
		}
	}
}

// observe takes one outcome, and by how much it was too slow, and gives a
// finding when the evidence suffices.
func (c *chain) observe(bad bool, excess float64, in input) (Finding, bool) {
	at, now := place{before: index(c.failed)}, index(bad)
	c.failed = bad
	if in.order != nil {
		at = in.order.note(in.nth, in.began, bad)
	}
	in.threshold += twoTroubles
	if !bad {
		c.healthy = min(c.healthy+1, math.MaxInt32-1)
	}
	if int(c.healthy) >= in.cfg.MinSamples {
		c.recent += recentWeight * (float32(now) - c.recent)
		c.judge(at, now, excess, in)
	}
	c.learn(at.before, now, in.at)
	c.relearn(at)
	if c.most() < in.threshold || !bad && at.parted == 0 { // what goes well is no reason to leave
		return Finding{}, false
	}
	matters := c.matters(in) && !c.witness.single(oneFails, in.served, in.at) && !c.askedFor()
	again, tell := c.alarm.tell(matters, in)
	if !tell {
		return Finding{}, false
	}
	f := c.finding(in)
	f.Failover, f.Again = matters, again
	return f, true
}

// matters says whether traffic should go elsewhere if the trouble is the target's.
func (c *chain) matters(in input) bool {
	return c.kind == failing || c.kind == slowing && (c.excess > slowMatters || in.material)
}

func (c *chain) finding(in input) Finding {
	ch := c.kind.character()
	_, _, usual := c.usual()
	f := Finding{
		Signal: ch.signal, Now: float64(c.bad) / float64(c.run), Usual: usual, Bad: int(c.bad), Of: int(c.run),
	}
	f.Z = (f.Now - usual) / c.deviation(float64(c.run))
	f.Text = fmt.Sprintf("%d of %d %s (%.0f %%), usually %.1f %% (z = %.1f)", c.bad, c.run, ch.verb, 100*f.Now, 100*usual, f.Z)
	if c.kind == slowing {
		f.Text += fmt.Sprintf(", the slow ones x%.1f", math.Exp(float64(c.excess)))
	}
	f.Text += c.circles(in) + c.witness.tells(ch.what, oneFails, in.served, in.at)
	return f
}

// most is the evidence for the likelier trouble.
func (c *chain) most() float64 { return float64(max(c.evidence[partial], c.evidence[hard])) }

// judge adds what one outcome says to the evidence. What is still under way counts
// as well, and adds nothing when it turns out so: nearly all of it will, and a
// few failures that are known at once would look like all there is.
func (c *chain) judge(at place, now int, excess float64, in input) {
	if c.past(now, in) {
		return
	}
	if c.run == 0 {
		c.since = in.began
	}
	var sum float32
	for h := range c.evidence {
		c.evidence[h] = min(max(0, c.waited(h, at)+c.says(h, at, now)), float32(maxEvidence*in.threshold))
		sum += c.evidence[h]
	}
	if sum == 0 {
		c.clear(in.at)
		return
	}
	c.bad += int32(now)
	c.run = max(c.run+int32(at.skipped+index(!at.late)), c.bad) // what is late was under way, and counted
	if now == 1 {
		c.excess += (float32(excess) - c.excess) / float32(min(c.bad, 10))
	}
	if now == 1 && in.looping {
		c.circle(in.from)
	}
	c.witness = c.witness.note(in.from, now == 1, c.shares(), in.threshold)
}

// takeBack takes a bad outcome out of the evidence that turns out to tell nothing,
// and out of what is to be learned.
func (c *chain) takeBack(at place, in input) {
	for i := range c.waiting {
		if w := &c.waiting[i]; w.bad[at.before] > 0 {
			w.bad[at.before]--
			w.all[at.before]--
			break
		}
	}
	c.relearn(at)
	if c.bad == 0 || in.began < c.since {
		return
	}
	was := place{before: at.before, joined: at.parted} // what it parts now it joined then
	var sum float32
	for h := range c.evidence {
		c.evidence[h] = max(0, c.evidence[h]-c.says(h, was, 1))
		sum += c.evidence[h]
	}
	if c.run, c.bad = c.run-1, c.bad-1; sum == 0 {
		c.clear(in.at)
	}
}

// past says that an outcome tells nothing of this excursion: it went well, and
// began before the first that did not. One that ended before that, too, is of a
// clock that was set back.
func (c *chain) past(now int, in input) bool {
	return c.run > 0 && now == 0 && in.began < c.since && in.at >= c.since
}

// waited gives the evidence after those that began before an outcome, and are
// still under way.
func (c *chain) waited(h int, at place) float32 {
	if at.skipped == 0 || c.evidence[h] == 0 {
		return c.evidence[h]
	}
	return max(0, c.evidence[h]+float32(at.skipped)*c.step[h][0][0])
}

// says gives what one outcome adds to the evidence.
func (c *chain) says(h int, at place, now int) float32 {
	says := float32(at.parted-at.joined) * (c.step[h][0][1] - c.step[h][1][1])
	if !at.late || now == 1 {
		says += c.step[h][at.before][now]
	}
	return says
}

// shares are what the failures of some callers are compared with: the same as
// in the test of all, but without regard to the request before.
func (c *chain) shares() shares {
	ch := c.kind.character()
	_, _, usual := c.usual()
	return shares{usual: min(max(1.5*usual, ch.least), ch.most), trouble: ch.troubles[partial][0]}
}

// learn counts the outcome now and learns it later. Short alarms are learned
// too: were they left out, a background that fails in bursts would never be
// known and alarm for ever. An incident teaches next to nothing.
func (c *chain) learn(before, now int, at instant) {
	if at.since(c.turned) >= commitAfter {
		c.commit(at)
	}
	if c.alarm.found && now == 1 {
		if c.taught == maxTeach {
			return
		}
		c.taught++
	}
	c.waiting[0].all[before]++
	c.waiting[0].bad[before] += uint32(now)
}

// relearn counts bad requests anew of which it has turned out what they followed.
func (c *chain) relearn(at place) {
	for i := range c.waiting {
		w := &c.waiting[i]
		move := min(int64(at.parted), int64(w.bad[1])) - min(int64(at.joined), int64(w.bad[0]))
		for _, n := range []*[2]uint32{&w.bad, &w.all} {
			n[0], n[1] = uint32(int64(n[0])+move), uint32(int64(n[1])-move)
		}
		if move != 0 {
			return
		}
	}
}

// commit learns what waited long enough, unless an alarm may yet turn out to
// be an incident.
func (c *chain) commit(at instant) {
	if c.alarm.found {
		if c.alarm.lasted(at) >= commitAfter {
			c.waiting, c.turned = [2]counts{}, at
		}
		return
	}
	due := c.waiting[1]
	for i, memory := range [2]float64{chainMemory, burstMemory} {
		keep := float32(math.Exp(-float64(due.all[i]) / memory))
		c.learned.bad[i] = c.learned.bad[i]*keep + float32(due.bad[i])
		c.learned.all[i] = c.learned.all[i]*keep + float32(due.all[i])
	}
	c.waiting, c.turned = [2]counts{1: c.waiting[0]}, at
	c.weigh()
}

// clear forgets the evidence. Where it was an incident, what it might teach is
// forgotten as well.
func (c *chain) clear(at instant) {
	if c.alarm.found && c.alarm.lasted(at) >= commitAfter {
		c.waiting = [2]counts{}
	}
	c.evidence = [hypotheses]float32{}
	c.run, c.bad, c.taught, c.excess, c.since = 0, 0, 0, 0, 0
	c.looping, c.looper = 0, 0
	c.alarm, c.witness = alarm{}, nil
}

// deviation is the usual standard deviation of the share of failures among n
// requests, wider where failures follow each other.
func (c *chain) deviation(n float64) float64 {
	a, b, share := c.usual()
	together := max(0, b-a)
	return math.Sqrt(share * (1 - share) / n * (1 + together) / (1 - together))
}

func (c *chain) score(t llm.Target, threshold float64) Score {
	ch := c.kind.character()
	_, _, usual := c.usual()
	return Score{
		Target: t, Signal: ch.signal, Measure: ch.measure, Label: ch.label, Unit: "share", Samples: int(c.healthy),
		Z:   (float64(c.recent) - usual) / c.deviation((2-recentWeight)/recentWeight),
		Now: float64(c.recent), Usual: usual,
		Evidence: c.most(), Threshold: threshold + twoTroubles,
	}
}

func index(failed bool) int {
	if failed {
		return 1
	}
	return 0
}
