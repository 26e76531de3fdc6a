package anomaly

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"

	"pgregory.net/rapid"
)

// fakeHolder holds as the router does: never the last target that works.
type fakeHolder struct {
	held  map[llm.Target]record.Hold
	rests []time.Time
	all   int // targets that there are
}

func (h *fakeHolder) Hold(hold record.Hold) bool {
	_, again := h.held[hold.Target]
	if !again && len(h.held)+1 >= h.all {
		return false
	}
	h.held[hold.Target] = hold
	return true
}

func (h *fakeHolder) Rest(_ llm.Target, until time.Time) { h.rests = append(h.rests, until) }

func (h *fakeHolder) Release(t llm.Target, _ string) bool {
	_, ok := h.held[t]
	delete(h.held, t)
	return ok
}

// watch makes a Watcher over a fake holder, with a list of what it reports.
func watch(cfg WatcherConfig, targets int) (*Watcher, *fakeHolder, *[]Event) {
	holder := &fakeHolder{held: map[llm.Target]record.Hold{}, all: targets}
	var events []Event
	ids := record.NewIDs(1, 0)
	return NewWatcher(cfg, holder, ids.Next, func(e Event) { events = append(events, e) }), holder, &events
}

// bring feeds samples until the target is held.
func bring(t interface {
	Helper()
	Fatal(...any)
}, w *Watcher, g *traffic, h *fakeHolder) {
	t.Helper()
	for range 200 {
		w.Observe(g.next())
		if _, held := h.held[g.target]; held {
			return
		}
	}
	t.Fatal("no hold within 200 requests")
}

// settled watches a target in everyday use for n requests, one of several.
func settled(g *traffic, n, targets int) (*Watcher, *fakeHolder, *[]Event) {
	w, holder, events := watch(WatcherConfig{}, targets)
	for range n {
		w.Observe(g.next())
	}
	return w, holder, events
}

// down watches a target that fails after n requests, until it is held.
func down(t *testing.T, g *traffic, n int) (*Watcher, *fakeHolder, *[]Event) {
	t.Helper()
	w, holder, events := settled(g, n, 3)
	g.errors = 1
	bring(t, w, g, holder)
	return w, holder, events
}

func kinds(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		if !e.Finding.Again { // a finding that lasts is repeated
			fmt.Fprintf(&b, "%s ", e.Kind)
		}
	}
	return strings.TrimSpace(b.String())
}

// canary makes one canary sample, five seconds after the last sample.
func canary(g *traffic) Sample {
	return after(g, 5*time.Second)
}

// let makes the next sample that the router lets through: a canary, or one of
// the share of a target that comes back.
func let(g *traffic, h *fakeHolder) Sample {
	if share := h.held[g.target].Share; share > 0 {
		return after(g, time.Duration(100*60/(float64(share)*g.rate)*float64(time.Second)))
	}
	return canary(g)
}

func after(g *traffic, pause time.Duration) Sample {
	at := g.now.Add(pause)
	s := g.next()
	g.now, s.At, s.Canary = at, at, true
	return s
}

func TestATargetThatIsDownIsHeldUntilItsCanariesAreWell(t *testing.T) {
	g := newTraffic(1, gemini, 60)
	w, holder, events := down(t, g, 1000)
	hold := holder.held[gemini]
	if hold.ID == 0 || hold.Source != record.ByAnomaly || hold.Placed.Before(g.now) ||
		hold.Expires.Sub(hold.Placed) != DefaultHold || !strings.Contains(hold.Reason, "requests failed") {
		t.Errorf("hold %+v", hold)
	}
	for range 12 { // a minute of bad canaries
		w.Observe(canary(g))
		w.Tick(g.now)
	}
	if h := holder.held[gemini]; h.ID != hold.ID || h.Expires.Sub(h.Placed) <= 2*DefaultHold {
		t.Errorf("not extended: %+v", h)
	}
	g.errors = 0
	n := 0
	for ; len(holder.held) > 0 && n < 150; n++ {
		w.Observe(let(g, holder))
		w.Tick(g.now)
	}
	if n > 36+60 {
		t.Errorf("released after %d good canaries", n)
	}
	last := (*events)[len(*events)-1]
	if last.Kind != HoldEnded || !strings.Contains(last.Text, "well again") || last.Hold.Ended.IsZero() {
		t.Errorf("last event %+v", last)
	}
}

func TestASlowTargetIsHeldUntilItsSpeedIsBack(t *testing.T) {
	g := newTraffic(2, openai, 60)
	w, holder, events := settled(g, 1000, 3)
	g.errors, g.slow = 0, 5
	bring(t, w, g, holder)
	for range 40 { // it answers, but slowly
		w.Observe(canary(g))
		w.Tick(g.now)
	}
	if len(holder.held) == 0 {
		t.Fatal("released although still slow")
	}
	g.slow = 1
	for range 120 {
		if len(holder.held) == 0 {
			break
		}
		w.Observe(let(g, holder))
		w.Tick(g.now)
	}
	if len(holder.held) != 0 {
		t.Errorf("still held: %s", kinds(*events))
	}
	for range 500 {
		w.Observe(g.next())
	}
	if len(holder.held) != 0 {
		t.Error("held again although well")
	}
}

func TestTheLastTargetThatWorksIsNotHeld(t *testing.T) {
	g := newTraffic(3, gemini, 60)
	w, holder, events := settled(g, 1000, 1)
	g.errors = 1
	for range 300 {
		w.Observe(g.next())
	}
	if len(holder.held) != 0 || kinds(*events) != "found" || !strings.Contains((*events)[0].Text, "last target that still works") {
		t.Fatalf("held %d, events %+v", len(holder.held), *events)
	}
	holder.all = 2 // another one works again
	for range 120 {
		w.Observe(g.next())
	}
	if len(holder.held) != 1 {
		t.Error("not held once another target works")
	}
}

func TestWhenProvidersFailTogetherNothingMoves(t *testing.T) {
	w, holder, events := watch(WatcherConfig{}, 4)
	all := []*traffic{newTraffic(4, gemini, 60), newTraffic(5, claude, 60), newTraffic(6, openai, 60)}
	for range 1000 {
		for _, g := range all {
			w.Observe(g.next())
		}
	}
	for _, g := range all {
		g.now, g.errors = all[0].now, 1
	}
	for range 30 {
		for _, g := range all {
			w.Observe(g.next())
		}
	}
	last := (*events)[len(*events)-1]
	if last.Kind != Found || !strings.Contains(last.Text, "providers are in trouble at once") {
		t.Errorf("last event %+v", last)
	}
	for range 300 { // and so it stays for as long as they fail
		for _, g := range all {
			s := g.next()
			_, s.Canary = holder.held[g.target]
			w.Observe(s)
		}
		w.Tick(all[0].now)
	}
	if len(holder.held) > 1 {
		t.Errorf("%d targets held", len(holder.held))
	}
}

func TestABadCanaryGivesItsTargetARest(t *testing.T) {
	const s, min = time.Second, time.Minute
	for _, c := range []struct {
		rate float64
		as   Sample
		want []time.Duration
	}{
		{5, Sample{Class: llm.Server}, []time.Duration{30 * s, min, min, min}},
		{5, Sample{Class: llm.StreamCut}, []time.Duration{30 * s, min, 2 * min, 2 * min}}, // the caller has had a part of it
		{5, Sample{Looping: true}, []time.Duration{30 * s, min, 2 * min, 2 * min}},
		{60, Sample{Class: llm.Server}, []time.Duration{30 * s, 40 * s, 40 * s, 40 * s}},
		{60, Sample{Looping: true}, []time.Duration{30 * s, 40 * s, 40 * s, 40 * s}},
		{600, Sample{Class: llm.Server}, []time.Duration{4 * s, 4 * s, 4 * s, 4 * s}},
	} {
		g := newTraffic(8, gemini, c.rate)
		w, holder, _ := down(t, g, 1000)
		var rests []time.Duration
		for range c.want {
			bad, before := canary(g), len(holder.rests)
			bad.Class, bad.Looping = c.as.Class, c.as.Looping
			w.Observe(bad)
			for _, until := range holder.rests[before:] {
				rests = append(rests, until.Sub(bad.At))
			}
		}
		about := func(got, want time.Duration) bool { return (got - want).Abs() <= want/5 } // the rate is learned
		if !slices.EqualFunc(rests, c.want, about) {
			t.Errorf("%v requests a minute: rests of %v after each bad canary (%q, in circles %v), want %v", c.rate, rests, c.as.Class, c.as.Looping, c.want)
		}
	}
}

func TestACanaryThatWasUnderWayTellsNothingNewAfterABadOne(t *testing.T) {
	g := newTraffic(8, gemini, 60)
	w, holder, events := down(t, g, 1000)
	w.Observe(canary(g))
	extended, rested := kinds(*events), len(holder.rests)
	late := func(class llm.FailureClass) {
		s := canary(g)
		s.Class, s.Took = class, s.At.Sub(holder.held[gemini].Placed)
		w.Observe(s)
	}
	late(llm.Timeout)
	if kinds(*events) != extended || len(holder.rests) != rested+1 {
		t.Errorf("a second one that failed: %s, %d rests; want a later rest and nothing else", kinds(*events), len(holder.rests))
	}
	for range 30 {
		late("")
	}
	if len(holder.held) == 0 || holder.held[gemini].Share != 0 {
		t.Error("those that were sent before the bad one ended called the target well")
	}
}

func TestWhereAPartHangsCanariesUnderWayAreWaitedFor(t *testing.T) {
	back := func(took time.Duration) time.Duration {
		g := newTraffic(8, gemini, 60)
		w, holder, _ := settled(g, 1000, 3)
		for g.errors = 0.5; len(holder.held) == 0; {
			s := g.next()
			if s.Class != "" {
				s.Took = took
			}
			w.Observe(s)
		}
		began := g.now
		for g.errors = 0; holder.held[gemini].Share == 0 && len(holder.held) > 0; {
			w.Observe(canary(g))
			w.Tick(g.now)
		}
		return g.now.Sub(began)
	}
	soon, late := back(300*time.Millisecond), back(time.Minute)
	if want := soon*3/4 + time.Minute; (late - want).Abs() > 10*time.Second {
		t.Errorf("coming back %s after failures that took a moment, %s after those of a minute; want %s", soon, late, want)
	}
}

func TestATroubleThatComesBackIsJudgedByAllThatWasSeenOfIt(t *testing.T) {
	for calm, want := range map[time.Duration]float64{time.Minute: leastTrouble, DefaultCalm: mostTrouble} {
		g := newTraffic(8, gemini, 60)
		w, holder, _ := settled(g, 1000, 3)
		w.rests[gemini] = rest{ended: g.now.Add(-calm), signal: Errors, ill: ill{bad: 100, all: 500}}
		g.errors = 1
		bring(t, w, g, holder)
		if share := w.held[gemini].ill.share(); math.Abs(share-want) > 0.3 {
			t.Errorf("everything fails, %s after a fifth did: %.2f fail while it lasts, want %.2f", calm, share, want)
		}
	}
}

func TestTwoTroublesThatBeganApartAreBothHeld(t *testing.T) {
	w, holder, _ := watch(WatcherConfig{}, 4)
	all := []*traffic{newTraffic(4, gemini, 60), newTraffic(5, claude, 60), newTraffic(6, openai, 60)}
	for range 1000 {
		for _, g := range all {
			w.Observe(g.next())
		}
	}
	for _, g := range all {
		g.now = all[0].now
	}
	all[0].errors = 1
	bring(t, w, all[0], holder)
	for range 60 {
		w.Observe(canary(all[0]))
		w.Tick(all[0].now)
	}
	all[1].now, all[1].errors = all[0].now, 1
	for range 20 {
		w.Observe(canary(all[0]))
		w.Observe(all[1].next())
	}
	if len(holder.held) != 2 {
		t.Errorf("%d targets held, want 2", len(holder.held))
	}
}

func TestAHoldWithoutTrafficEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := newTraffic(7, gemini, 60)
		g.now = time.Now()
		w, holder, events := settled(g, 1000, 3)
		g.errors = 1
		bring(t, w, g, holder)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		time.Sleep(time.Until(g.now))
		go func() { done <- w.Run(ctx) }()
		time.Sleep(DefaultNoCanary - 2*DefaultTick)
		synctest.Wait()
		w.mu.Lock()
		if len(holder.held) != 1 {
			t.Errorf("ended early: %s", kinds(*events))
		}
		w.mu.Unlock()
		time.Sleep(3 * DefaultTick)
		synctest.Wait()
		w.mu.Lock()
		if last := (*events)[len(*events)-1]; len(holder.held) != 0 || last.Kind != HoldEnded {
			t.Errorf("still held: %+v", last)
		}
		w.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestHoldsOfAFlappingTargetGrow(t *testing.T) {
	g := newTraffic(8, gemini, 60)
	w, holder, _ := settled(g, 1000, 3)
	var lengths []time.Duration
	for range 3 {
		g.errors = 1
		bring(t, w, g, holder)
		h := holder.held[gemini]
		lengths = append(lengths, h.Expires.Sub(h.Placed))
		g.errors = 0
		for len(holder.held) > 0 {
			w.Observe(canary(g)) // no Tick: not extended
		}
		for range 60 {
			w.Observe(g.next())
		}
	}
	if lengths[0] != 30*time.Second || lengths[1] != 60*time.Second || lengths[2] != 120*time.Second {
		t.Errorf("lengths %v, want 30 s, 60 s, 120 s", lengths)
	}
}

func TestAHoldNeverOutlivesItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := WatcherConfig{
			Hold:     time.Duration(rapid.IntRange(1, 90).Draw(t, "hold")) * time.Second,
			NoCanary: time.Duration(rapid.IntRange(30, 600).Draw(t, "no canary")) * time.Second,
			Longest:  time.Duration(rapid.IntRange(60, 3600).Draw(t, "longest")) * time.Second,
		}
		w, holder, _ := watch(cfg, 3)
		g := newTraffic(9, gemini, 60)
		g.errors = 0
		for range 60 {
			w.Observe(g.next())
		}
		g.errors = 1
		bring(t, w, g, holder)
		placed := holder.held[gemini].Placed
		last := placed
		g.errors = rapid.Float64Range(0, 1).Draw(t, "errors")
		for len(holder.held) > 0 {
			h, since := holder.held[gemini], last
			if n := len(holder.rests); n > 0 && holder.rests[n-1].After(since) {
				since = holder.rests[n-1]
			}
			if h.Expires.After(placed.Add(cfg.Longest)) || h.Expires.After(since.Add(cfg.NoCanary)) {
				t.Fatalf("expires %v after placing and %v after the last canary and its rest", h.Expires.Sub(placed), h.Expires.Sub(since))
			}
			if g.now.After(h.Expires) {
				t.Fatalf("held %v past its expiry", g.now.Sub(h.Expires))
			}
			if rapid.IntRange(0, 9).Draw(t, "canary") == 0 {
				s := canary(g)
				s.At = g.now.Add(-4 * time.Second)
				g.now = s.At
				last = s.At
				w.Observe(s)
			} else {
				g.now = g.now.Add(time.Second)
			}
			w.Tick(g.now)
		}
	})
}

func TestARestIsNoSignThatThereAreNoRequests(t *testing.T) {
	w, holder, events := watch(WatcherConfig{}, 3)
	g := newTraffic(17, gemini, 1)
	for range 500 {
		w.Observe(g.next())
	}
	g.errors = 1
	bring(t, w, g, holder)
	for range 8 { // until the rests are as long as they become
		w.Observe(after(g, 3*time.Minute))
		w.Tick(g.now)
	}
	last := g.now
	for len(holder.held) > 0 {
		g.now = g.now.Add(time.Second)
		w.Tick(g.now)
	}
	const rest = DefaultMaxRest / 2
	if quiet := g.now.Sub(last); quiet < rest+DefaultNoCanary-DefaultTick || quiet > rest+DefaultNoCanary {
		t.Errorf("the hold ended %s after the last canary (%s); want %s after its rest", quiet, kinds(*events), DefaultNoCanary)
	}
}
