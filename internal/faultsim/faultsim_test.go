package faultsim

import (
	"os"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// one runs a fault of the list by its name.
func one(t *testing.T, name string, perMin float64, part time.Duration) *tally {
	t.Helper()
	for _, f := range singles() {
		if f.name == name {
			return breakwater(t, single(loadShape(), f, perMin, backgrounds()[0], part, 1))
		}
	}
	t.Fatalf("no fault is named %q", name)
	return nil
}

func TestDeadProviderIsLeftWithinSevenRequestsAndLosesNone(t *testing.T) {
	for perMin, name := range map[float64]string{5: "hard down, refused", 20: "hard down, 503"} {
		in := one(t, name, perMin, time.Hour).incidents[0]
		if !in.found || in.asked > 7 || in.lost > 0 || in.flaps > 1 || in.out {
			t.Errorf("%s at %v a minute: found %v after %d requests, %d lost, %d flaps, still away %v; want found within 7, none lost, one flap at most, back",
				name, perMin, in.found, in.asked, in.lost, in.flaps, in.out)
		}
	}
}

func TestHangIsLeftSoonAfterItsDeadline(t *testing.T) {
	in := one(t, "hang, 100 %", 20, time.Hour/2).incidents[0]
	if !in.found || in.after > hurried+30*time.Second || in.lost > 0 {
		t.Errorf("found %v after %s, %d lost; want within 30 s of the deadline of %s, none lost", in.found, in.after, in.lost, hurried)
	}
}

func TestAQuarterOfErrorsIsFoundWithin45Requests(t *testing.T) {
	in := one(t, "5xx, 25 %", 20, time.Hour/2).incidents[0]
	if !in.found || in.heard > 45 || in.lost > 0 {
		t.Errorf("found %v after %d requests, %d lost; want within 45, none lost", in.found, in.heard, in.lost)
	}
}

func TestTextThatGoesInCirclesIsHeld(t *testing.T) {
	for _, perMin := range []float64{5, 20} {
		in := one(t, "looping text", perMin, time.Hour).incidents[0]
		if !in.held || in.heard > 20 || in.out {
			t.Errorf("at %v a minute: held %v after %d answers, still held %v; want within 20, and back", perMin, in.held, in.heard, in.out)
		}
	}
}

func TestTwiceAsSlowIsHeld(t *testing.T) {
	for _, name := range []string{"slow x2", "slow x5, first token"} {
		in := one(t, name, 5, time.Hour).incidents[0]
		if !in.held || in.asked > 15 || in.out {
			t.Errorf("%s: held %v after %d requests, still held %v; want within 15, and back", name, in.held, in.asked, in.out)
		}
	}
}

func TestPoisonPromptAndOwnNetworkHoldNobody(t *testing.T) {
	for name, perMin := range map[string]float64{
		"poison prompt of a tenant of 5 %": 20, "poison prompt of a tenant of 25 %": 20, "no network on this side": 600,
	} {
		for _, in := range one(t, name, perMin, time.Hour/3).incidents {
			if in.held {
				t.Errorf("%s at %v a minute: the detector placed a hold", name, perMin)
			}
		}
	}
}

func TestThoseWhoAreLeftServeWhatTheyHaveRoomFor(t *testing.T) {
	for name, most := range map[string]float64{secondDownToo: 0.15, halfQuota: 0.10} {
		for _, perMin := range []float64{5, 20, 60} {
			in := one(t, name, perMin, time.Hour/2).incidents[0]
			if lost := float64(in.lost) / float64(in.requests); lost > most {
				t.Errorf("%s at %v a minute: %.1f %% of %d requests are lost, want %.0f %% at most", name, perMin, 100*lost, in.requests, 100*most)
			}
		}
	}
}

// A quarter of all requests are the tenant's, and nobody can answer those.
func TestPoisonPromptCostsNobodyElseAnAnswer(t *testing.T) {
	for perMin, part := range map[float64]time.Duration{20: time.Hour, 600: 5 * time.Minute} {
		ta := one(t, "poison prompt of a tenant of 25 %", perMin, part)
		in := ta.incidents[0]
		if others := in.lost - ta.poisoned; in.held || others > in.requests/100 {
			t.Errorf("at %v a minute: held %v, of %d requests %d of other tenants lost", perMin, in.held, in.requests, others)
		}
	}
}

func TestNobodyIsHeldWithoutAFault(t *testing.T) {
	s := loadShape()
	if c := controlAlone(s, 20, backgrounds()[0], 1); c.holds > 0 {
		t.Errorf("%d holds in a healthy day at 20 requests a minute for each provider", c.holds)
	}
	if c := controlAlone(s, 2, backgrounds()[1], 10); c.holds-c.early > 1 {
		t.Errorf("%d holds after the first week, at 2 requests a minute that fail in bursts", c.holds-c.early)
	}
	if c := controlThrough(t, s, 5, backgrounds()[0], 1); c.holds > 0 || float64(c.whole) < 0.9999*float64(c.requests) {
		t.Errorf("%d holds in a healthy day, %d of %d requests answered", c.holds, c.whole, c.requests)
	}
}

func TestThreeRunsInFiftyBreakABoundAndTwoDoNot(t *testing.T) {
	of50 := func(n int, one incident) []verdict {
		c, v := cell{perMin: 5, by: map[reason]int{}}, verdicts{}
		for range n {
			c.add(&one, time.Hour)
		}
		for range 50 - n {
			c.add(&incident{found: true, back: time.Minute}, time.Hour)
		}
		v.missed(errorsOf(0.5), c)
		return v.all
	}
	for name, one := range map[string]incident{"missed": {}, "not back": {found: true, out: true}} {
		if broken := of50(2, one); len(broken) > 0 {
			t.Errorf("two of fifty were %s: %v; want no bound broken", name, broken)
		}
		got := map[string]string{"missed": "6 %", "not back": "1 (60)"}[name]
		if broken := of50(3, one); len(broken) != 1 || broken[0].holds || broken[0].got != got {
			t.Errorf("three of fifty were %s: %v; want %s told", name, broken, got)
		}
	}
}

// badDay is eight hours with a trouble in every second one.
func badDay(s *shape) *scenario {
	sc := &scenario{shape: s, perMin: 20, span: 8 * time.Hour, back: backgrounds()[0], seed: 1}
	for i, f := range []fault{errorsOf(0.5), {kind: refused, share: 1}, {kind: slow, share: 1, ttft: 5, tpot: 5}} {
		f.on = []llm.Provider{llm.Claude}
		f.from, f.to = time.Duration(2*i+1)*time.Hour, time.Duration(2*i+2)*time.Hour
		sc.faults = append(sc.faults, f)
	}
	return sc
}

func TestBreakwaterIsBetterThanSimplePolicies(t *testing.T) {
	s := loadShape()
	ours := breakwater(t, badDay(s))
	for _, p := range policies() {
		simple := p.run(badDay(s))
		if simple.whole > ours.whole || simple.good >= ours.good {
			t.Errorf("%s: of %d requests %d were answered and %d well, by Breakwater %d and %d",
				p.name, simple.requests, simple.whole, simple.good, ours.whole, ours.good)
		}
	}
	best := oracle().run(badDay(s))
	if ours.whole < best.whole-best.requests/1000 || ours.good < best.good-best.requests/50 {
		t.Errorf("Breakwater answered %d and %d well, who knows all faults %d and %d", ours.whole, ours.good, best.whole, best.good)
	}
}

func TestThePageHasTheWordsOfItsTables(t *testing.T) {
	pageHas(t, acceptanceWords, limitWords, singleWords, burstyWords, policyWords, controlWords)
}

func pageHas(t *testing.T, all ...string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range all {
		if !strings.Contains(string(text), words) {
			t.Errorf("%s does not say %q", page, words)
		}
	}
}
