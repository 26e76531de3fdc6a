package monitor

import (
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/store"
)

// starts gives the beginnings of minutes, in minutes since noon.
func starts(minutes []Minute) (all []int) {
	for _, m := range minutes {
		all = append(all, int(m.Start.Sub(noon)/time.Minute))
	}
	return all
}

func TestMinutesRollOver(t *testing.T) {
	var w window
	for _, at := range []time.Duration{0, 59999 * time.Millisecond, time.Minute, 3 * time.Minute} {
		w.note(noon.Add(at), "", "", time.Second)
	}
	got := w.last(Minutes, noon.Add(3*time.Minute))
	if s := starts(got); len(s) != 3 || s[0] != 0 || s[1] != 1 || s[2] != 3 {
		t.Fatalf("minutes %v", s)
	}
	if got[0].Served != 2 || got[1].Served != 1 || got[2].Served != 1 {
		t.Errorf("got %+v", got)
	}
	if s := starts(w.last(3, noon.Add(3*time.Minute))); len(s) != 2 || s[0] != 1 {
		t.Errorf("the last three minutes are %v", s)
	}
}

func TestAnHourLaterAMinuteIsForgotten(t *testing.T) {
	var w window
	w.note(noon, "", "", time.Second)
	if s := starts(w.last(Minutes, noon.Add(Minutes*time.Minute-1))); len(s) != 1 {
		t.Errorf("within the hour: %v", s)
	}
	if s := starts(w.last(Minutes, noon.Add(Minutes*time.Minute))); len(s) != 0 {
		t.Errorf("after the hour: %v", s)
	}
	w.note(noon.Add(Minutes*time.Minute), llm.Server, "broken", time.Second)
	got := w.last(Minutes, noon.Add(Minutes*time.Minute))
	if len(got) != 1 || got[0].Served != 0 || got[0].Failed != 1 || got[0].Latency.Count() != 0 {
		t.Errorf("the ring came round to %+v", got)
	}
}

func TestTimesOlderThanTheRingChangeNoMinute(t *testing.T) {
	var w window
	w.note(noon.Add(Minutes*time.Minute), "", "", time.Second)
	w.note(noon, "", "", time.Second) // in the same place of the ring
	w.fill(store.Rollup{Start: noon, Served: 7})
	got := w.last(Minutes, noon.Add(Minutes*time.Minute))
	if len(got) != 1 || got[0].Served != 1 || starts(got)[0] != Minutes {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsCountedAsWhat(t *testing.T) {
	for _, class := range llm.FailureClasses() {
		var w window
		w.note(noon, class, "trouble", time.Second)
		m := w.last(1, noon)[0]
		failed, other := int64(0), int64(1)
		if class.CountsAgainstTarget() {
			failed, other = 1, 0
		}
		if m.Served != 0 || m.Failed != failed || m.Other != other || m.Latency.Count() != 0 {
			t.Errorf("%s: %+v", class, m)
		}
		trouble := w.trouble()
		if class == llm.Cancelled && trouble != "" || class.CountsAgainstTarget() && trouble == "" {
			t.Errorf("%s leaves the trouble %q", class, trouble)
		}
	}
}

func TestStoredMinutesAddUp(t *testing.T) {
	var sketch store.Sketch
	sketch.Add(time.Second)
	var w window
	w.note(noon, "", "", time.Second)
	for range 2 { // such as two models of a provider
		w.fill(store.Rollup{Start: noon, Served: 1, Failed: 2, Throttled: 3, Other: 4, Cancelled: 5, Latency: sketch})
	}
	m := w.last(1, noon)[0]
	if m.Served != 3 || m.Failed != 4 || m.Other != 24 || m.Latency.Count() != 3 {
		t.Errorf("got %+v", m)
	}
}

func TestCopiesOfMinutesAreIndependent(t *testing.T) {
	var w window
	w.note(noon, "", "", time.Second)
	first := w.last(1, noon)
	again := w.last(1, noon)
	first[0].Latency.Add(time.Second)
	w.note(noon, "", "", time.Second)
	if n, m, o := first[0].Latency.Count(), again[0].Latency.Count(), w.last(1, noon)[0].Latency.Count(); n != 2 || m != 1 || o != 2 {
		t.Errorf("the copies hold %d and %d values, the window %d", n, m, o)
	}
	if again[0].Latency.Quantile(1) != first[0].Latency.Quantile(1) {
		t.Error("equal values have different quantiles")
	}
	sum := Sum(again)
	sum.Latency.Add(time.Hour)
	if again[0].Latency.Quantile(1) > 2*time.Second {
		t.Error("a sum shares its sketch with what was summed")
	}
}

func TestSumOfMinutes(t *testing.T) {
	var w window
	w.note(noon, "", "", time.Second)
	w.note(noon.Add(time.Minute), llm.Server, "broken", time.Second)
	w.note(noon.Add(2*time.Minute), llm.RateLimit, "slow down", time.Second)
	w.note(noon.Add(2*time.Minute), "", "", 3*time.Second)
	sum := Sum(w.last(Minutes, noon.Add(2*time.Minute)))
	if !sum.Start.Equal(noon) || sum.Served != 2 || sum.Failed != 1 || sum.Other != 1 || sum.Latency.Count() != 2 {
		t.Errorf("got %+v", sum)
	}
	if empty := Sum(nil); !empty.Start.IsZero() || empty.Latency.Count() != 0 {
		t.Errorf("the sum of nothing is %+v", empty)
	}
}
