package anomaly

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
)

// lost is an attempt that does not get through.
func lost(g *traffic, at time.Time) Sample {
	s := g.next()
	g.now = at
	s.At, s.Took, s.Class = at, 50*time.Millisecond, llm.Network
	return s
}

// latest is when the last of them has ended, so that what comes is later for all.
func latest(all []*traffic) time.Time {
	at := all[0].now
	for _, g := range all {
		if g.now.After(at) {
			at = g.now
		}
	}
	return at.Add(time.Minute)
}

// trio watches three providers that are well.
func trio(t *testing.T) (*Watcher, *fakeHolder, *[]Event, []*traffic) {
	t.Helper()
	w, holder, events := watch(WatcherConfig{}, 4)
	all := []*traffic{newTraffic(41, gemini, 60), newTraffic(42, claude, 60), newTraffic(43, openai, 60)}
	for range 1000 {
		for _, g := range all {
			g.errors = 0
			w.Observe(g.next())
		}
	}
	return w, holder, events, all
}

// The breakers of the second and the third open after three failures each, before
// any test can have found them in trouble.
func TestWhenNobodyCanBeReachedNothingMoves(t *testing.T) {
	w, holder, events, all := trio(t)
	at := latest(all)
	for i := range 300 {
		at = at.Add(time.Second)
		w.Observe(lost(all[0], at))
		if i < 3 {
			w.Observe(lost(all[1], at))
			w.Observe(lost(all[2], at))
		}
	}
	if len(*events) == 0 || !strings.Contains((*events)[0].Text, "3 of 3 providers went out of reach at once") {
		t.Errorf("events %+v", *events)
	}
	all[0].now = at
	for i := range 60 { // it is over, but for one failure
		s := all[0].next()
		if i == 1 {
			s.Class = llm.Server
		}
		w.Observe(s)
	}
	if len(holder.held) > 0 {
		t.Errorf("held: %s", kinds(*events))
	}
}

func TestWhatThisSideLostCountsNoMoreForAnyTargetOfAProvider(t *testing.T) {
	w, holder, events, all := trio(t)
	second := newTraffic(45, llm.Target{Provider: gemini.Provider, Model: "another"}, 60)
	all = append(all, second)
	for range 1000 {
		w.Observe(second.next())
	}
	at := latest(all)
	for range 30 {
		at = at.Add(time.Second)
		for _, g := range all {
			w.Observe(lost(g, at))
		}
	}
	for _, g := range all { // it is over, and long enough ago to be told of again
		g.now = at.Add(3 * time.Minute)
	}
	for i := range 5 {
		for _, g := range all {
			s := g.next()
			if i == 1 && g == second { // one failure of its own
				s.Class = llm.Server
			}
			w.Observe(s)
		}
	}
	if len(holder.held) > 0 {
		t.Errorf("held: %s", kinds(*events))
	}
}

// Attempts begin a second after each other and end in any order.
func TestOutOfReachIsToldByWhenAttemptsBegan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got := rapid.SliceOfN(rapid.Bool(), 1, 12).Draw(t, "which are answered")
		ends := make([]int, len(got))
		for i := range ends {
			ends[i] = i
		}
		var r reach
		second := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
		last, lost := -1, map[int]bool{}
		for _, i := range rapid.Permutation(ends).Draw(t, "in the order of their ends") {
			if got[i] {
				r.hear(second(i))
				last = max(last, i)
			} else {
				r.miss(second(i))
				lost[i] = true
			}
			var since []int
			for i := range lost {
				if i > last {
					since = append(since, i)
				}
			}
			if r.out() != (len(since) >= unreached) {
				t.Fatalf("out of reach: %v, of the attempts since the last answer %v were lost", r.out(), since)
			}
			if len(since) > 0 && (r.began.After(second(slices.Min(since))) || r.began.Before(second(last))) {
				t.Fatalf("since %s, but the last answer was to attempt %d and %v were lost", r.began, last, since)
			}
		}
	})
}

// An answer to the first provider was under way when the network went, and comes a
// minute later; meanwhile breakers let one attempt a minute through.
func TestAnAnswerThatWasUnderWayDoesNotHideThatNobodyCanBeReached(t *testing.T) {
	w, holder, events, all := trio(t)
	at := latest(all)
	for i := range 30 {
		for _, g := range all {
			w.Observe(lost(g, at))
			if i == 0 {
				w.Observe(lost(g, at.Add(time.Second)))
			}
		}
		if i == 0 {
			s := all[0].next()
			s.At = at.Add(50 * time.Second)
			s.Took = 55 * time.Second
			w.Observe(s)
		}
		at = at.Add(63 * time.Second)
	}
	if len(holder.held) > 0 || !strings.Contains((*events)[0].Text, "3 of 3 providers went out of reach at once") {
		t.Errorf("events %+v", *events)
	}
}

// Where the network was out, streams that were under way then end when their silence
// has been long enough, after it is back. Where one provider alone was, they are its.
func TestWhatWasUnderWayWithoutANetworkIsExcused(t *testing.T) {
	for _, alone := range []bool{false, true} {
		w, holder, events, all := trio(t)
		at := latest(all)
		for i := range 3 {
			for _, g := range all {
				if !alone || g == all[0] {
					w.Observe(lost(g, at.Add(time.Duration(i)*time.Second)))
				}
			}
		}
		for i, g := range all {
			g.errors = 0
			s := g.next()
			s.At, s.Took = at.Add(20*time.Second+time.Duration(i)*time.Millisecond), 5*time.Second
			w.Observe(s)
		}
		for i := range 30 { // an answer each, too, of what is asked now
			s := all[0].next()
			s.At = at.Add(62*time.Second + time.Duration(i)*time.Millisecond)
			s.Took, s.Class = s.At.Sub(at.Add(-time.Duration(i)*time.Second)), llm.Timeout
			w.Observe(s)
		}
		if _, held := holder.held[gemini]; held != alone {
			t.Errorf("one provider alone: %v, but held: %v; %s", alone, held, kinds(*events))
		}
	}
}

func TestOneThatIsOutOfReachWhileAnotherAnswersIsHeld(t *testing.T) {
	for _, second := range []llm.FailureClass{"", llm.Server} {
		w, holder, events, all := trio(t)
		at := latest(all)
		for range 30 {
			at = at.Add(time.Second)
			w.Observe(lost(all[0], at))
			for _, g := range all[1:] {
				s := lost(g, at)
				if s.Class = second; second == "" {
					s.Took = time.Second
				}
				if g == all[2] {
					s.Class = ""
				}
				w.Observe(s)
			}
		}
		if _, held := holder.held[gemini]; !held && second == "" {
			t.Errorf("not held: %s", kinds(*events))
		}
		for _, e := range *events {
			if strings.Contains(e.Text, "out of reach") {
				t.Errorf("the second answers with %q: %s", second, e.Text)
			}
		}
	}
}

func TestAGoodAnswerIsNoReasonToHold(t *testing.T) {
	g := newTraffic(44, gemini, 60)
	w, holder, events := settled(g, 1000, 1)
	g.errors = 1
	for range 100 { // the last target that works
		w.Observe(g.next())
	}
	g.errors, g.now, holder.all = 0, g.now.Add(2*DefaultRepeat), 2
	for range 30 {
		w.Observe(g.next())
	}
	if len(holder.held) > 0 {
		t.Errorf("held after its end: %s", (*events)[len(*events)-1].Text)
	}
}

func TestAClockThatIsSetBackHidesNoOutage(t *testing.T) {
	w, _, events, all := trio(t)
	at := latest(all).Add(-24 * time.Hour)
	for range 30 {
		at = at.Add(time.Second)
		for _, g := range all {
			w.Observe(lost(g, at))
		}
	}
	if len(*events) == 0 || !strings.Contains((*events)[0].Text, "3 of 3 providers went out of reach at once") {
		t.Errorf("events %+v", *events)
	}
}

func TestALossThatIsToldOfLateIsNoneSinceTheLastAnswer(t *testing.T) {
	w, _, _ := watch(WatcherConfig{}, 3)
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	w.reached(Sample{Target: gemini, At: at.Add(time.Second), Took: time.Second})
	for range unreached {
		w.reached(Sample{Target: gemini, At: at.Add(-5 * time.Millisecond), Took: time.Second, Class: llm.Network})
	}
	if way := w.ways[gemini.Provider]; way.out() || way.answered != at {
		t.Errorf("out of reach %v, the last that was answered began at %s", way.out(), way.answered)
	}
}
