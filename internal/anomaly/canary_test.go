package anomaly

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// tried lets canaries so many seconds apart that fail with a probability speak until
// they decide, and says whether they called the target well, and how many there were.
func tried(trouble ill, failing float64, every int64, rng *rand.Rand) (well bool, n int) {
	var t trial
	for {
		bad := rng.Float64() < failing
		t.note(time.Unix(int64(n)*every, 0), bad, says(bad, trouble.share()), trouble.share())
		n++
		if t.lasts() || t.well(Errors) {
			return t.well(Errors), n
		}
	}
}

func TestTheWorseTheTroubleTheFewerCanariesCallATargetWell(t *testing.T) {
	for _, c := range []struct {
		trouble     ill
		every       int64
		least, most int
	}{
		{ill{bad: 40, all: 40}, 5, 3, 3},
		{ill{bad: 9, all: 10}, 5, 4, 5},
		{ill{bad: 6, all: 12}, 5, 11, 11},
		{ill{bad: 25, all: 100}, 5, 18, 18},
		{ill{bad: 40, all: 40}, 60, 3, 3},
		{ill{bad: 6, all: 12}, 60, 7, 7},
		{ill{bad: 25, all: 100}, 60, 10, 10},
	} {
		if well, n := tried(c.trouble, 0, c.every, rand.New(rand.NewPCG(1, 1))); !well || n < c.least || n > c.most {
			t.Errorf("after %d of %d bad requests: well %v after %d clean canaries each %d s, want %d to %d",
				c.trouble.bad, c.trouble.all, well, n, c.every, c.least, c.most)
		}
	}
}

func TestWhatIsStillIllIsRarelyCalledWell(t *testing.T) {
	const trials = 20_000
	for _, failing := range []float64{0.25, 0.5, 0.9} {
		rng := rand.New(rand.NewPCG(2, uint64(100*failing)))
		wrong := 0
		for range trials {
			if well, _ := tried(ill{bad: int(100 * failing), all: 100}, failing, 5, rng); well {
				wrong++
			}
		}
		if share := float64(wrong) / trials; share > 0.015 {
			t.Errorf("%.1f %% of the trials called a target well of which %.0f %% fail", 100*share, 100*failing)
		}
	}
}

// Where canaries are rare the trials are, too: what counts is how often traffic
// comes back to a target that is ill.
func TestRareCanariesCallWhatIsIllWellOnceInHalfAnHourAtMost(t *testing.T) {
	const canaries = 100_000
	for _, every := range []int64{60, 120} {
		for _, failing := range []float64{0.25, 0.5, 0.8} {
			rng := rand.New(rand.NewPCG(5, uint64(100*failing)))
			wrong, n := 0, 0
			for n < canaries {
				well, took := tried(ill{bad: int(1000 * failing), all: 1000}, failing, every, rng)
				n += took
				if well {
					wrong++
				}
			}
			if between := time.Duration(int64(n)*every/int64(max(1, wrong))) * time.Second; between < oneWrong {
				t.Errorf("%.0f %% fail, a canary each %d s: called well every %s, want %s at least", 100*failing, every, between, oneWrong)
			}
		}
	}
}

func TestWhatIsWellIsSeldomSentToRestByItsEverydayFailures(t *testing.T) {
	const trials = 20_000
	for _, trouble := range []ill{{100, 100}, {25, 100}} {
		rng := rand.New(rand.NewPCG(3, uint64(trouble.bad)))
		wrong := 0
		for range trials {
			if well, _ := tried(trouble, 0.01, 5, rng); !well {
				wrong++
			}
		}
		if share := float64(wrong) / trials; share > 0.15 {
			t.Errorf("after %d of %d bad requests: %.1f %% of the trials sent a target to rest that is well", trouble.bad, trouble.all, 100*share)
		}
	}
}

func TestOneOutlierAmongTheCanariesDoesNotMakeATargetSlow(t *testing.T) {
	var all trial
	once := speed{known: [measures]bool{firstToken: true}}
	for i, slower := range []float64{math.Log(30), 0, 0} {
		once.slower[firstToken] = slower
		all.speed(once, fastEnough)
		all.note(time.Unix(int64(i), 0), false, accept, mostTrouble)
	}
	if slower, _ := all.slower(minSpeeds); !all.well(Latency) || all.lasts() {
		t.Errorf("an outlier and two as usual: well %v, lasts %v, x%.1f", all.well(Latency), all.lasts(), math.Exp(slower))
	}
}

// Either measure scatters, and the slower of the two always is slow.
func TestEachMeasureOfCanariesIsComparedByItself(t *testing.T) {
	var all trial
	for i := range 6 {
		one := speed{known: [measures]bool{firstToken: true, outputToken: true}}
		one.slower[i%2] = 0.7
		all.speed(one, 1)
	}
	if slower, known := all.slower(minSpeeds); !known || math.Abs(slower-0.35) > 0.1 {
		t.Errorf("half of the canaries slow by either measure: %.2f, want about 0.35", slower)
	}
}

func TestHalfOfTheTroubleMakesABadCanary(t *testing.T) {
	for times, want := range map[float64]float64{2: 1.5, 4: 2, 9: 3} {
		got := math.Exp(slownessOf(Finding{Signal: Latency, Now: 0.5 * times, Usual: 0.5, Z: 3}).bad())
		if math.Abs(got-want) > 0.01 {
			t.Errorf("%v times as slow: bad from x%.2f on, want x%.2f", times, got, want)
		}
	}
}

// The load of a provider is never the one that its usual was learned at.
func TestASlowTargetThatIsWellUnderMoreLoadIsCalledWellSoon(t *testing.T) {
	const trials, spread = 5000, 0.27
	trouble := slowness{by: firstToken, excess: math.Ln2, spread: spread}
	for _, c := range []struct {
		by          string
		d           float64
		least, most float64 // share of trials that call it well
	}{
		{"as usual", 0, 0.95, 1}, {"a quarter slower", 0.22, 0.8, 1}, {"twice as slow", math.Ln2, 0, 0.015}, {"four times as slow", 2 * math.Ln2, 0, 0},
	} {
		rng := rand.New(rand.NewPCG(4, 4))
		well, asked := 0, 0
		for range trials {
			var one trial
			once := speed{known: [measures]bool{firstToken: true}}
			for !one.lasts() && !one.well(Latency) {
				d := c.d + spread*rng.NormFloat64()
				once.slower[firstToken] = d
				one.speed(once, trouble.bad())
				one.note(time.Unix(int64(5*one.seen), 0), d > trouble.bad(), trouble.says(d), mostTrouble)
			}
			asked += one.seen
			if one.well(Latency) {
				well++
			}
		}
		if share := float64(well) / trials; share < c.least || share > c.most || asked > 7*trials {
			t.Errorf("%s: %.1f %% of the trials called it well, of %.1f canaries on average", c.by, 100*share, float64(asked)/trials)
		}
	}
}
