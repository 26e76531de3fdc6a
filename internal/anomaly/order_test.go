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
			after, parted := o.note(e.began, e.bad)
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
