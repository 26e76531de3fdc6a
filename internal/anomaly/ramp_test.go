package anomaly

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// ramped gives the shares that a target went through, and when.
func ramped(events []Event) (shares []int, at []time.Time) {
	for _, e := range events {
		if e.Kind == HoldRamped {
			shares, at = append(shares, e.Hold.Share), append(at, e.At)
		}
	}
	return shares, at
}

func TestTrafficComesBackStepByStep(t *testing.T) {
	for _, c := range []struct {
		rate float64
		want []int // the canaries were 2 %, 20 % and all of the traffic
	}{{600, []int{5, 25, 50}}, {60, []int{25, 50}}, {5, nil}} {
		g := newTraffic(31, gemini, c.rate)
		w, holder, events := down(t, g, 3000)
		g.errors = 0
		began := g.now
		for i := range 2000 {
			if len(holder.held) == 0 {
				break
			}
			s := let(g, holder)
			if c.rate < 12 && holder.held[gemini].Share == 0 {
				s.At = g.now.Add(7 * time.Second) // one every 12 seconds, and all of them canaries
				if i == 1 {
					s.At = s.At.Add(90 * time.Second) // by chance none for a while
				}
				g.now = s.At
			}
			w.Observe(s)
			w.Tick(g.now)
		}
		shares, at := ramped(*events)
		if len(holder.held) != 0 || !slices.Equal(shares, c.want) {
			t.Errorf("%v/min: still held %d, shares %v, want %v", c.rate, len(holder.held), shares, c.want)
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < RampStage {
				t.Errorf("%v/min: %d %% for only %s", c.rate, shares[i-1], at[i].Sub(at[i-1]))
			}
		}
		if back := g.now.Sub(began); back > 5*time.Minute {
			t.Errorf("%v/min: back after %s", c.rate, back)
		} else {
			t.Logf("%v/min: back after %s", c.rate, back)
		}
	}
}

func TestARelapseWhileComingBackSendsTrafficAwayAtOnceAndForLonger(t *testing.T) {
	g := newTraffic(32, gemini, 600)
	w, holder, events := down(t, g, 5000)
	placed := holder.held[gemini].ID
	for relapse := range 3 {
		g.errors = 0
		began := g.now
		for holder.held[gemini].Share == 0 && len(holder.held) > 0 {
			w.Observe(let(g, holder))
			w.Tick(g.now)
		}
		if relapse > 1 && g.now.Sub(began) < 2*DefaultHold {
			t.Errorf("relapse %d: back after %s", relapse, g.now.Sub(began))
		}
		g.errors = 1
		n := 0
		for ; holder.held[gemini].Share > 0 && n < 50; n++ {
			w.Observe(let(g, holder))
			w.Tick(g.now)
		}
		if n > 8 || holder.held[gemini].ID != placed {
			t.Errorf("relapse %d: seen after %d requests, hold %+v", relapse, n, holder.held[gemini])
		}
	}
	relapses := 0
	for _, e := range *events {
		switch e.Kind {
		case HoldEnded:
			t.Errorf("the hold ended: %s", kinds(*events))
		case HoldRelapsed:
			relapses++
			if e.Hold.Share != 0 || !strings.Contains(e.Text, "not well yet") {
				t.Errorf("told as %q with a share of %d %%", e.Text, e.Hold.Share)
			}
		}
	}
	if relapses != 3 {
		t.Errorf("%d relapses are told, of 3", relapses)
	}
}

// While it is held a target gets hardly any requests, which says nothing of how
// many it gets when it serves again.
func TestAfterALongHoldWithARelapseTrafficStillComesBackStepByStep(t *testing.T) {
	g := newTraffic(31, gemini, 600)
	w, holder, events := down(t, g, 3000)
	lets := func(until func() bool) {
		for n := 0; n < 2000 && !until(); n++ {
			w.Observe(let(g, holder))
			w.Tick(g.now)
		}
	}
	end := g.now.Add(40 * time.Minute)
	lets(func() bool { return g.now.After(end) })
	for range 2 {
		g.errors = 0
		lets(func() bool { return holder.held[gemini].Share > 0 })
		g.errors = 1
		lets(func() bool { return holder.held[gemini].Share == 0 })
	}
	g.errors = 0
	lets(func() bool { return len(holder.held) == 0 })
	relapses := 0
	for _, e := range *events {
		relapses += index(e.Kind == HoldRelapsed)
	}
	if shares, _ := ramped(*events); relapses != 2 || !slices.Equal(shares, []int{5, 5, 5, 25, 50}) || len(holder.held) != 0 {
		t.Errorf("%d relapses, shares %v, held %d: %s", relapses, shares, len(holder.held), kinds(*events))
	}
}

func TestATargetThatIsWellEveryOtherMinuteStaysHeld(t *testing.T) {
	g := newTraffic(33, gemini, 60)
	w, holder, events := settled(g, 3000, 3)
	end := g.now.Add(time.Hour)
	for began := g.now; g.now.Before(end); {
		g.errors = 0
		if int(g.now.Sub(began)/time.Minute)%2 == 0 {
			g.errors = 1
		}
		if _, held := holder.held[gemini]; held {
			w.Observe(let(g, holder))
		} else {
			w.Observe(g.next())
		}
		w.Tick(g.now)
	}
	placed := 0
	for _, e := range *events {
		if e.Kind == HoldPlaced {
			placed++
		}
	}
	if placed > 2 {
		t.Errorf("%d holds in an hour of flapping: %s", placed, kinds(*events))
	}
}

func TestABreakerThatOpensSaysThatTheTroubleOfAHeldTargetLasts(t *testing.T) {
	g := newTraffic(34, gemini, 600)
	w, holder, events := settled(g, 5000, 3)
	w.Broke(gemini, g.now) // nothing is held yet
	g.errors = 1
	bring(t, w, g, holder)
	g.errors = 0
	for holder.held[gemini].Share == 0 {
		w.Observe(let(g, holder))
	}
	w.Broke(gemini, g.now)
	broke := g.now
	if h := holder.held[gemini]; h.Share != 0 {
		t.Fatalf("%d %% of the traffic still goes there", h.Share)
	}
	for holder.held[gemini].Share == 0 && g.now.Sub(broke) < time.Hour {
		w.Observe(let(g, holder))
		if at := g.now.Sub(broke); at > 30*time.Second && at < 36*time.Second {
			w.Broke(gemini, g.now) // between two canaries that go well
		}
		w.Tick(g.now)
	}
	if back := g.now.Sub(broke); back < 90*time.Second || back > 3*time.Minute {
		t.Errorf("comes back %s after a relapse and another opening: %s", back, kinds(*events))
	}
}

// foundAgain gives how many requests find the errors of a target at five requests a
// minute once more, so many good ones after it came back.
func foundAgain(t *testing.T, seed uint64, well int) int {
	w, holder, _ := watch(WatcherConfig{}, 3)
	g := newTraffic(seed, gemini, 5)
	g.errors = 0
	for range 1000 {
		w.Observe(g.next())
	}
	g.errors = 0.4
	bring(t, w, g, holder)
	g.errors = 0
	for len(holder.held) > 0 {
		s := after(g, 12*time.Second)
		w.Observe(s)
		w.Tick(g.now)
	}
	for range well {
		w.Observe(g.next())
	}
	g.errors = 0.4
	for n := 1; ; n++ {
		w.Observe(g.next())
		if len(holder.held) > 0 {
			return n
		}
	}
}

func TestWhatComesBackWithoutARampIsWatchedAsDuringOne(t *testing.T) {
	soon, late := 0, 0
	for seed := range uint64(40) {
		soon += foundAgain(t, seed, 0)
		late += foundAgain(t, seed, 3*RampRequests)
	}
	if 4*soon > 3*late {
		t.Errorf("errors that come again at once are found after %d requests in 40 runs, those after thirty good ones after %d; want a quarter less", soon, late)
	}
}
