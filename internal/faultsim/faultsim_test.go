package faultsim

import (
	"testing"
	"time"
)

// one runs a fault of the list by its name.
func one(t *testing.T, name string, perMin float64, back background, part time.Duration, seed uint64) *tally {
	t.Helper()
	for _, f := range singles() {
		if f.name == name {
			return breakwater(t, single(loadShape(), f, perMin, back, part, seed))
		}
	}
	t.Fatalf("no fault is named %q", name)
	return nil
}

func TestDeadProviderIsLeftWithinSevenRequestsAndLosesNone(t *testing.T) {
	for _, perMin := range []float64{5, 20} {
		for seed := range uint64(2) {
			for _, name := range []string{"hard down, refused", "hard down, 503"} {
				in := one(t, name, perMin, backgrounds()[0], time.Hour, seed+1).incidents[0]
				if !in.found || in.asked > 7 || in.lost > 0 || in.flaps > 1 || in.out {
					t.Errorf("%s at %v a minute: found %v after %d requests, %d lost, %d flaps, still away %v; want found within 7, none lost, one flap at most, back",
						name, perMin, in.found, in.asked, in.lost, in.flaps, in.out)
				}
			}
		}
	}
}

func TestHangIsLeftSoonAfterItsDeadline(t *testing.T) {
	in := one(t, "hang, 100 %", 20, backgrounds()[0], time.Hour, 1).incidents[0]
	if !in.found || in.after > patience+30*time.Second || in.lost > 0 {
		t.Errorf("found %v after %s, %d lost; want within 30 s of the deadline of %s, none lost", in.found, in.after, in.lost, patience)
	}
}

func TestAQuarterOfErrorsIsFoundWithin45Requests(t *testing.T) {
	for seed := range uint64(2) {
		in := one(t, "5xx, 25 %", 20, backgrounds()[0], time.Hour, seed+1).incidents[0]
		if !in.found || in.asked > 45 || in.lost > 0 {
			t.Errorf("found %v after %d requests, %d lost; want within 45, none lost", in.found, in.asked, in.lost)
		}
	}
}

func TestTwiceAsSlowIsHeld(t *testing.T) {
	for _, name := range []string{"slow x2", "slow x5, first token", "slow x5, per token"} {
		in := one(t, name, 5, backgrounds()[0], time.Hour, 1).incidents[0]
		if !in.held || in.asked > 15 || in.out {
			t.Errorf("%s: held %v after %d requests, still held %v; want within 15, and back", name, in.held, in.asked, in.out)
		}
	}
}

func TestPoisonPromptAndOwnNetworkHoldNobody(t *testing.T) {
	for _, name := range []string{"poison prompt of a tenant of 5 %", "no network on this side"} {
		for _, in := range one(t, name, 20, backgrounds()[0], time.Hour, 1).incidents {
			if in.held {
				t.Errorf("%s: the detector placed a hold", name)
			}
		}
	}
}

func TestNobodyIsHeldWithoutAFault(t *testing.T) {
	s := loadShape()
	for _, back := range backgrounds() {
		if c := controlAlone(s, 60, back, 1); c.holds > 0 {
			t.Errorf("%s: %d holds in a healthy day at 60 requests a minute", back.name, c.holds)
		}
	}
	if c := controlThrough(t, s, 5, backgrounds()[0], 2); c.holds > 0 || float64(c.whole) < 0.9999*float64(c.requests) {
		t.Errorf("%d holds in two healthy days, %d of %d requests answered", c.holds, c.whole, c.requests)
	}
}

func TestBreakwaterIsBetterThanSimplePolicies(t *testing.T) {
	sc := history(loadShape(), 1, 20, 3)
	ours := breakwater(t, sc)
	for _, p := range policies() {
		simple := p.run(sc)
		if simple.whole > ours.whole {
			t.Errorf("%s answered %d of %d requests, Breakwater %d", p.name, simple.whole, simple.requests, ours.whole)
		}
	}
	if best := oracle().run(sc); float64(ours.whole) < 0.998*float64(best.whole) {
		t.Errorf("Breakwater answered %d requests, who knows all faults %d", ours.whole, best.whole)
	}
}
