package anomaly

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// tried lets canaries that fail with a probability speak until they decide, and
// says whether they called the target well, and how many there were.
func tried(trouble ill, failing float64, rng *rand.Rand) (well bool, n int) {
	var t trial
	for {
		bad := rng.Float64() < failing
		t.note(time.Unix(int64(n), 0), bad, usualFailures, trouble.share())
		n++
		if t.lasts() || t.well(Errors) {
			return t.well(Errors), n
		}
	}
}

func TestTheWorseTheTroubleTheFewerCanariesCallATargetWell(t *testing.T) {
	for _, c := range []struct {
		trouble     ill
		least, most int
	}{
		{ill{bad: 40, all: 40}, 3, 3},
		{ill{bad: 9, all: 10}, 4, 5},
		{ill{bad: 6, all: 12}, 11, 11},
		{ill{bad: 25, all: 100}, 18, 18},
	} {
		if well, n := tried(c.trouble, 0, rand.New(rand.NewPCG(1, 1))); !well || n < c.least || n > c.most {
			t.Errorf("after %d of %d bad requests: well %v after %d clean canaries, want %d to %d",
				c.trouble.bad, c.trouble.all, well, n, c.least, c.most)
		}
	}
}

func TestWhatIsStillIllIsRarelyCalledWell(t *testing.T) {
	const trials = 20_000
	for _, failing := range []float64{0.25, 0.5, 0.9} {
		rng := rand.New(rand.NewPCG(2, uint64(100*failing)))
		wrong := 0
		for range trials {
			if well, _ := tried(ill{bad: int(100 * failing), all: 100}, failing, rng); well {
				wrong++
			}
		}
		if share := float64(wrong) / trials; share > 0.015 {
			t.Errorf("%.1f %% of the trials called a target well of which %.0f %% fail", 100*share, 100*failing)
		}
	}
}

func TestWhatIsWellIsSeldomSentToRestByItsEverydayFailures(t *testing.T) {
	const trials = 20_000
	for _, trouble := range []ill{{100, 100}, {25, 100}} {
		rng := rand.New(rand.NewPCG(3, uint64(trouble.bad)))
		wrong := 0
		for range trials {
			if well, _ := tried(trouble, 0.01, rng); !well {
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
		all.note(time.Unix(int64(i), 0), false, usualSlow, mostTrouble)
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
		got := math.Exp(badFrom(Finding{Signal: Latency, Now: 0.5 * times, Usual: 0.5}))
		if math.Abs(got-want) > 0.01 {
			t.Errorf("%v times as slow: bad from x%.2f on, want x%.2f", times, got, want)
		}
	}
}
