package anomaly

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Failures end at once and answers take up to ten seconds: when all have ended it
// is known which failures came one after the other, as if they had ended in the
// order in which they began.
func TestWhatFollowedWhatIsKnownWhenAllHaveEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type ended struct {
			began, at instant
			bad       bool
		}
		var all []ended
		at, before, want := instantOf(start), false, 0
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			at += instant(time.Duration(rapid.IntRange(1000, 5000).Draw(t, "gap")) * time.Millisecond)
			e := ended{began: at, at: at, bad: rapid.Bool().Draw(t, "bad")}
			if !e.bad {
				e.at += instant(time.Duration(rapid.IntRange(0, 10000).Draw(t, "took")) * time.Millisecond)
			}
			want += index(e.bad && before)
			before = e.bad
			all = append(all, e)
		}
		slices.SortStableFunc(all, func(a, b ended) int { return int(a.at - b.at) })
		var o order
		got := 0
		for _, e := range all {
			after, parted := o.note(e.began, e.at, e.bad)
			if e.bad {
				got += after
			}
			got -= index(parted)
		}
		if got != want {
			t.Fatalf("%d failures followed one at once, want %d", got, want)
		}
	})
}

func TestATroubleIsFoundHoweverLongAgoTheLastFailureWas(t *testing.T) {
	for _, calm := range []time.Duration{time.Hour, 20 * 24 * time.Hour, 30 * 24 * time.Hour, 45 * 24 * time.Hour} {
		d := NewDetector(Config{})
		g := newTraffic(41, gemini, 1)
		g.errors = 0
		g.feed(d, 500)
		g.errors = 1
		g.feed(d, 1)
		g.errors = 0
		for end := g.now.Add(calm); g.now.Before(end); {
			d.Observe(g.next())
		}
		g.errors = 0.3
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
		g := newTraffic(42, gemini, 600)
		g.errors = 0.004
		g.feed(d, 72000)
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
