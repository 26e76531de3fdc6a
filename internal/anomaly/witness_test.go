package anomaly

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
)

// A quarter of the requests are one caller's, and all of them fail; of the
// others' three in a thousand do by nobody's fault, the very first one among them.
func TestOneCallersFailuresForceFewFailoversThoughOthersFailAsUsual(t *testing.T) {
	found, moved := 0, 0
	for seed := range uint64(20) {
		d := NewDetector(Config{})
		g := newTraffic(100+seed, gemini, 60)
		g.errors = 0.003
		g.feed(d, 1000)
		g.callers = []string{"poison", "app", "batch", "chat"}
		failover := false
		for i := range 1000 {
			s := g.next()
			switch {
			case i == 0:
				s.Caller, s.Class = "app", llm.Server
			case s.Caller == "poison":
				s.Class = llm.Server
			}
			for _, f := range d.Observe(s) {
				found++
				failover = failover || f.Failover
			}
		}
		moved += index(failover)
	}
	if found == 0 {
		t.Error("one caller's failures were not even found")
	}
	if moved > 12 { // where a finding comes before enough of the others were served well
		t.Errorf("%d of 20 runs had a failover", moved)
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
		if !w.single() || !strings.Contains(w.tells("failures"), "one caller") {
			t.Fatalf("nobody is to blame: %+v", w)
		}
		for i := range 20 {
			w = w.note(origin{caller: uint32(2 + i%8)}, true, of, 15)
		}
		if w.single() {
			t.Fatalf("somebody is to blame for what all suffer: %+v", w)
		}
	})
}
