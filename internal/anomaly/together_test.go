package anomaly

import (
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// lost is an attempt that does not get through.
func lost(g *traffic, at time.Time) Sample {
	s := g.next()
	g.now = at
	s.At, s.Took, s.Class = at, 50*time.Millisecond, llm.Network
	return s
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
	at := all[0].now
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
	at := second.now
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

func TestOneThatIsOutOfReachWhileAnotherAnswersIsHeld(t *testing.T) {
	for _, second := range []llm.FailureClass{"", llm.Server} {
		w, holder, events, all := trio(t)
		at := all[0].now
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
	w, holder, events := watch(WatcherConfig{}, 1)
	g := newTraffic(44, gemini, 60)
	for range 1000 {
		w.Observe(g.next())
	}
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
