package anomaly

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
)

// A quarter of the requests are one caller's, and all of them fail. Of the others'
// one does by nobody's fault, whenever that is.
func TestOneCallersFailuresForceNoFailoverThoughOneOfAnotherFails(t *testing.T) {
	past, usual := newTraffic(30, gemini, 60), NewDetector(Config{})
	past.errors = 0.003
	past.feed(usual, 1000)
	rapid.Check(t, func(t *rapid.T) {
		g, d := past.fork(usual)
		g.source.Seed(rapid.Uint64().Draw(t, "seed"), 1)
		g.rate = rapid.SampledFrom([]float64{5, 60, 600}).Draw(t, "rate")
		g.errors, g.callers = 0, []string{"poison", "app", "batch", "chat"}
		found, other := 0, rapid.IntRange(0, 60).Draw(t, "the other's failure")
		for i := range 300 {
			s := g.next()
			switch {
			case i == 0: // some are served well
				s.Caller = "app"
			case s.Caller == "poison" || i == other+1:
				s.Class = llm.Server
			}
			for _, f := range d.Observe(s) {
				if found++; f.Failover {
					t.Fatalf("after %d requests: %s", i+1, f.Text)
				}
			}
		}
		if found == 0 {
			t.Fatal("one caller's failures were not even found")
		}
	})
}

// While its failures were the only requests of minutes it was not known whose they
// are, and no other target worked. Both change.
func TestATroubleThatTurnsOutToBeOneCallersPlacesNoHold(t *testing.T) {
	g := newTraffic(31, gemini, 60)
	w, holder, events := settled(g, 1000, 1)
	g.errors, g.callers = 1, []string{"poison"}
	g.now = g.now.Add(2 * servedLately)
	for range 20 {
		w.Observe(g.next())
	}
	if kinds(*events) != "found" || !(*events)[0].Finding.Failover {
		t.Fatalf("events %+v", *events)
	}
	holder.all = 3
	g.errors, g.callers = 0, []string{"poison", "app", "batch", "chat"}
	for range 600 {
		s := g.next()
		if s.Caller == "poison" {
			s.Class = llm.Server
		}
		w.Observe(s)
	}
	if len(holder.held) > 0 {
		t.Errorf("held: %s", (*events)[len(*events)-1].Text)
	}
}

func TestRetriesOfOneRequestTellNoMoreThanOne(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(32, gemini, 60)
	g.feed(d, 1000)
	for i := range 60 {
		s := g.next()
		s.Class, s.Retry = "", i%15 > 3
		if i%15 > 2 && i%15 < 12 {
			s.Class = llm.Server
		}
		for _, f := range d.Observe(s) {
			t.Fatalf("four requests in a minute failed, and their retries: %s", f.Text)
		}
	}
}

func TestATroubleBesideOneCallersOwnIsFound(t *testing.T) {
	var needed []int
	for seed := range uint64(20) {
		d := NewDetector(Config{})
		g := newTraffic(200+seed, gemini, 60)
		g.feed(d, 1000)
		g.callers = []string{"poison", "app", "batch", "chat"}
		poisoned := func() Sample {
			s := g.next()
			if s.Caller == "poison" {
				s.Class = llm.Server
			}
			return s
		}
		for range 1000 {
			d.Observe(poisoned())
		}
		g.errors = 0.5
		n := 0
		for failover := false; !failover && n < 500; n++ {
			failover = slices.ContainsFunc(d.Observe(poisoned()), func(f Finding) bool { return f.Failover })
		}
		needed = append(needed, n)
	}
	slices.Sort(needed)
	if needed[10] > 40 || needed[18] > 90 {
		t.Errorf("half of all failing beside the poison is found after %v requests", needed)
	}
}

func TestWhoIsToBlameIsFoundWhoeverFailsFirst(t *testing.T) {
	of := shares{usual: 0.015, trouble: 0.3}
	rapid.Check(t, func(t *rapid.T) {
		var w *witness
		before := rapid.SliceOfN(rapid.Uint32Range(2, 9), 0, 3).Draw(t, "failed before")
		for _, who := range before {
			w = w.note(origin{caller: who}, true, of, 15)
		}
		for i := range 40 * (1 + len(before)) {
			w = w.note(origin{caller: 1}, true, of, 15)
			for range 3 {
				w = w.note(origin{caller: uint32(2 + i%8)}, false, of, 15)
			}
		}
		if !w.single(oneFails, nil, 0) || !strings.Contains(w.tells("failures", oneFails, nil, 0), "one caller") {
			t.Fatalf("nobody is to blame: %+v", w)
		}
		for i := range 20 {
			w = w.note(origin{caller: uint32(2 + i%8)}, true, of, 15)
		}
		if w.single(oneFails, nil, 0) {
			t.Fatalf("somebody is to blame for what all suffer: %+v", w)
		}
	})
}
