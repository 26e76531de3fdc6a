package anomaly

import (
	"slices"
	"testing"
	"time"

	"breakwater/internal/llm"

	"pgregory.net/rapid"
)

// Failures end soon and answers take up to ten seconds: when all have ended it
// is known which failures came one after the other, as if they had ended in the
// order in which they began.
func TestWhatFollowedWhatIsKnownWhenAllHaveEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type ended struct {
			nth       uint32
			began, at instant
			bad       bool
		}
		var all []ended
		at, before, want := instantOf(start), false, 0
		for i := range rapid.IntRange(1, 60).Draw(t, "requests") {
			at += instant(time.Duration(rapid.IntRange(100, 5000).Draw(t, "gap")) * time.Millisecond)
			e := ended{nth: uint32(i + 1), began: at, at: at, bad: rapid.Bool().Draw(t, "bad")}
			most := 10000
			if e.bad {
				most = 2000
			}
			e.at += instant(time.Duration(rapid.IntRange(0, most).Draw(t, "took")) * time.Millisecond)
			want += index(e.bad && before)
			before = e.bad
			all = append(all, e)
		}
		slices.SortStableFunc(all, func(a, b ended) int { return int(a.at - b.at) })
		var o order
		got := 0
		for _, e := range all {
			p := o.note(e.nth, e.began, e.bad)
			if e.bad {
				got += p.before
			}
			got += p.joined - p.parted
		}
		if got != want {
			t.Fatalf("%d failures followed one at once, want %d", got, want)
		}
	})
}

// soon gives samples in the order in which they end, each with its number: what
// fails does so within a second, while fifty answers are under way.
func (g *traffic) soon(n int) []Sample {
	var all []Sample
	for i := range n {
		s := g.next()
		s.Nth = uint32(i + 1)
		if s.Class != "" {
			s.Took = time.Duration(200+g.IntN(800)) * time.Millisecond
			s.At = g.now.Add(s.Took)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Sample) int { return a.At.Compare(b.At) })
	return all
}

func TestFailuresThatAreKnownAtOnceAreNotTakenForAllThereIs(t *testing.T) {
	for _, everyday := range []struct{ errors, burst float64 }{{0.02, 0}, {0.01, 2}, {0.02, 3}} {
		d := NewDetector(Config{})
		g := newTraffic(43, gemini, 600)
		g.errors, g.burst = everyday.errors, everyday.burst
		all := g.soon(60_000)
		for i, s := range all {
			if found := d.Observe(s); errorsFound(found) && i > len(all)/2 {
				t.Errorf("%+v: %s", everyday, found[0].Text)
			}
		}
		afterGood, afterBad, share := d.series[gemini].errors.usual()
		if again := 1 - 1/max(everyday.burst, 1/(1-everyday.errors)); share < 0.8*everyday.errors || share > 1.25*everyday.errors || afterBad < again-0.1 || afterBad > again+0.1 {
			t.Errorf("%+v: learned %.4f after a good one and %.2f after a bad one, %.2f %% in all", everyday, afterGood, afterBad, 100*share)
		}
	}
}

func TestFailuresAreFoundWhileAnswersAreUnderWay(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(44, gemini, 600)
	g.errors = 0.003
	for _, s := range g.soon(50_000) {
		d.Observe(s)
	}
	began := g.now
	g.errors = 0.25
	over := 0
	for _, s := range g.soon(500) {
		s.Nth += 50_000
		found := d.Observe(s)
		if s.Class == "" {
			over++
		}
		if errorsFound(found) {
			if took := s.At.Sub(began); took > 8*time.Second || over > 30 {
				t.Errorf("found after %s and %d answers, want within 8 s and 30", took, over)
			}
			return
		}
	}
	t.Error("a quarter of the requests fail, and that is not found")
}

func TestWhatTellsNothingIsNotTakenForWell(t *testing.T) {
	found := func(class llm.FailureClass) int {
		d := NewDetector(Config{})
		g := newTraffic(45, gemini, 60)
		g.errors = 0.003
		g.feed(d, 3000)
		for n := range 300 {
			s := Sample{Target: gemini, At: g.now.Add(time.Duration(n) * time.Second), Nth: uint32(3001 + n), Class: class}
			if n%12 == 0 {
				s.Class = llm.Server
			} else if n%4 == 0 {
				s.Class, s.Stream = "", true
			}
			if errorsFound(d.Observe(s)) {
				return n
			}
		}
		return 300
	}
	if limited, well := found(llm.RateLimit), found(""); limited > 100 || well < 300 {
		t.Errorf("one in three of those that tell fails: found after %d requests; where the others are well after %d", limited, well)
	}
}

func TestCountingThatBeginsAnewMakesNoTroubleOfEverydayFailures(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(46, gemini, 60)
	g.errors = 0.02
	for range 2 {
		for _, s := range g.soon(2000) {
			if found := d.Observe(s); errorsFound(found) {
				t.Fatal(found[0].Text)
			}
		}
	}
}

func TestATroubleIsFoundHoweverLongAgoTheLastFailureWas(t *testing.T) {
	for _, calm := range []time.Duration{time.Hour, 20 * 24 * time.Hour, 30 * 24 * time.Hour, 45 * 24 * time.Hour} {
		d := NewDetector(Config{})
		g := newTraffic(41, gemini, 1)
		g.errors = 0
		g.feed(d, 500)
		g.errors = 1
		g.feed(d, 1)
		g.errors, g.rate = 0, 0.1
		for end := g.now.Add(calm); g.now.Before(end); {
			d.Observe(g.next())
		}
		g.errors, g.rate = 0.3, 1
		n := 0
		for n < 200 && !errorsFound(d.Observe(g.next())) {
			n++
		}
		if n == 200 {
			t.Errorf("%s after the last failure three in ten of 200 fail, and that is not found", calm)
		}
	}
}

func TestAClockThatIsSetBackMakesNoTroubleOfEverydayFailures(t *testing.T) {
	for _, back := range []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour} {
		d := NewDetector(Config{})
		g := newTraffic(42, gemini, 120)
		g.errors = 0.004
		g.feed(d, 14_400)
		g.errors = 1
		g.feed(d, 2)
		g.errors = 0.004
		g.now = g.now.Add(-back)
		for end := g.now.Add(back + time.Hour); g.now.Before(end); {
			if found := d.Observe(g.next()); errorsFound(found) {
				t.Errorf("%s back: %s", back, found[0].Text)
			}
		}
		if afterGood, _, share := d.series[gemini].errors.usual(); share > 2*0.004 || afterGood > 2*0.004 {
			t.Errorf("%s back: %.2f %% count as usual", back, 100*share)
		}
	}
}

func errorsFound(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Signal == Errors })
}
