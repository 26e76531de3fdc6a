package anomaly

import (
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// refusal is an attempt that fails half a second after its beginning.
func refusal(g *traffic, began time.Time, caller string) Sample {
	s := g.next()
	s.At, s.Took, s.Class, s.Caller = began.Add(time.Second/2), time.Second/2, llm.Server, caller
	s.TTFT, g.now = 0, s.At
	return s
}

// reply is one that goes well.
func reply(g *traffic, began time.Time, caller string) Sample {
	g.errors = 0
	s := g.next()
	s.At, s.Caller, g.now = began.Add(s.Took), caller, began
	return s
}

// overrun has the first of three providers be the last that works, with too many
// requests, and gives when another one's breaker lets requests through again.
func overrun(t *testing.T) (*Watcher, *fakeHolder, *[]Event, []*traffic, time.Time) {
	t.Helper()
	w, holder, events, all := trio(t)
	at := latest(all)
	w.Broke(claude, at)
	w.Broke(openai, at)
	for i := range 40 {
		at = at.Add(time.Second)
		w.Observe(refusal(all[0], at, []string{"app", "batch", "chat"}[i%3]))
	}
	if len(holder.held) > 0 || len(*events) == 0 || !strings.HasSuffix((*events)[0].Text, lastThatWorks) {
		t.Fatalf("the last that works: events %+v", *events)
	}
	at = at.Add(2 * DefaultRepeat)
	w.Broke(claude, at.Add(-DefaultRepeat)) // their probes failed
	w.Broke(openai, at.Add(-DefaultRepeat))
	w.Observe(reply(all[1], at, "app"))
	return w, holder, events, all, at
}

func TestWhatTheLastThatWorksFailedIsExcusedOnceAnotherOneServes(t *testing.T) {
	w, holder, events, all, at := overrun(t)
	late := refusal(all[0], at.Add(-time.Second), "app")
	late.At, late.Took = at.Add(time.Minute), time.Minute+time.Second
	w.Observe(late) // it was asked while there was nobody else
	w.Observe(refusal(all[0], at.Add(time.Minute), "batch"))
	if len(holder.held) > 0 {
		t.Errorf("held for one failure: %s", (*events)[len(*events)-1].Text)
	}
}

func TestTheLastThatWorkedIsHeldWhereItsTroubleLasts(t *testing.T) {
	w, holder, events, all, at := overrun(t)
	for i := range 30 {
		w.Observe(refusal(all[0], at.Add(time.Duration(i+15)*time.Second), []string{"app", "batch", "chat"}[i%3]))
	}
	if _, held := holder.held[gemini]; !held {
		t.Errorf("not held: %s", kinds(*events))
	}
}

// Nobody asks them while this one serves, so nobody can tell whether they are well.
func TestABreakerThatOpenedLongAgoLeavesNobodyAlone(t *testing.T) {
	w, holder, events, all := trio(t)
	at := latest(all)
	w.Broke(claude, at)
	w.Broke(openai, at)
	for i := range 30 {
		w.Observe(refusal(all[0], at.Add(2*DefaultTogether+time.Duration(i+1)*time.Second), []string{"app", "batch", "chat"}[i%3]))
	}
	if _, held := holder.held[gemini]; !held {
		t.Errorf("not held: %s", kinds(*events))
	}
}

// A quarter of what the first gets is one caller's and fails, and is heard of before
// what goes well. It was the last that worked for a while.
func TestThatOneCallerIsToBlameIsNotForgottenWithTheRest(t *testing.T) {
	w, holder, events, all := trio(t)
	at := latest(all)
	for i := range 400 {
		at = at.Add(time.Second)
		if i%4 == 0 {
			w.Observe(refusal(all[0], at, "poison"))
		} else {
			w.Observe(reply(all[0], at, "app"))
		}
	}
	w.Broke(claude, at)
	w.Broke(openai, at)
	w.Observe(reply(all[1], at.Add(time.Second), "app"))
	for i := range 12 {
		w.Observe(refusal(all[0], at.Add(time.Duration(20+i)*time.Second), "poison"))
	}
	if len(*events) == 0 || len(holder.held) > 0 {
		t.Errorf("held: %v, events %s", holder.held, kinds(*events))
	}
}
