package anomaly

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// street has requests under way in time: they go to the first of three providers, and
// where it fails them to the others.
type street struct {
	*Watcher
	events *[]Event
	holder *fakeHolder
	first  *traffic
	ids    *record.IDs
	nth    map[llm.Target]uint32
	later  []later
}

// later is something that is told at its time.
type later struct {
	at   time.Time
	tell func()
}

func newStreet(seed uint64) *street {
	w, holder, events := watch(WatcherConfig{}, 4)
	st := &street{Watcher: w, holder: holder, events: events, first: newTraffic(seed, gemini, 600), ids: record.NewIDs(9, 0), nth: map[llm.Target]uint32{}}
	for i := range 1000 {
		st.request([]string{"app", "batch", "chat"}[i%3], "")
		st.later = append(st.later, later{st.first.now, func() { w.Observe(sampleOf(claude, st.first.now)) }})
	}
	return st
}

// sampleOf is a good answer of a target.
func sampleOf(target llm.Target, at time.Time) Sample {
	return Sample{Target: target, At: at, TTFT: time.Second / 2, Took: 4 * time.Second, OutputTokens: 200, Stream: true, Caller: "app"}
}

// request lets time pass until the next request. Its attempts end in these classes.
func (st *street) request(caller string, classes ...llm.FailureClass) {
	st.pass(st.first.next().At)
	t := &record.Trace{ID: st.ids.Next(st.first.now), Accepted: st.first.now, Caller: caller, Stream: true}
	for i, class := range classes {
		a := record.Attempt{Target: []llm.Target{gemini, claude, openai}[i], Start: t.Took, Took: 600 * time.Millisecond, Class: class}
		if class == "" {
			a.Took, a.TTFT, a.Usage = 4*time.Second, time.Second/2, llm.Usage{Output: 200}
		}
		st.nth[a.Target]++
		a.Nth = st.nth[a.Target]
		t.Attempts, t.Took = append(t.Attempts, a), t.Took+a.Took
	}
	if classes[0] != "" {
		told := *t
		told.Attempts = slices.Clone(t.Attempts[:1])
		st.later = append(st.later, later{t.AttemptEnded(0), func() { st.Failed(&told) }})
		t.Attempts[0].Told = true
	}
	st.later = append(st.later, later{t.Ended(), func() { st.Ended(t) }})
}

// pass tells what happens until an instant.
func (st *street) pass(until time.Time) {
	slices.SortStableFunc(st.later, func(a, b later) int { return a.at.Compare(b.at) })
	for len(st.later) > 0 && !st.later[0].at.After(until) {
		st.later[0].tell()
		st.later = st.later[1:]
	}
}

// mixed is a request of which a quarter are one caller's and fail everywhere.
func (st *street) mixed(i int, others ...llm.FailureClass) {
	if i%4 == 0 {
		st.request("poison", llm.Server, llm.Server, llm.Server)
	} else {
		st.request([]string{"app", "batch", "chat"}[i%3], others...)
	}
}

// Some failures of others, soon after the first that fail everywhere, would else hide
// who is to blame.
func TestRequestsThatFailEverywhereHoldNobodyWhoeverFailsBeside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := newStreet(rapid.Uint64().Draw(t, "seed"))
		beside := rapid.IntRange(24, 40).Draw(t, "failures beside")
		for i := range 120 {
			if i%4 != 0 && i >= beside && i < beside+8 {
				st.mixed(i, llm.Server, "")
			} else {
				st.mixed(i, "")
			}
		}
		st.pass(st.first.now.Add(time.Minute))
		if len(st.holder.held) > 0 {
			t.Fatalf("held: %+v", *st.events)
		}
	})
}

func TestAFailureToldOfCountsUntilItIsKnownThatTheRequestFailsEverywhere(t *testing.T) {
	for _, caller := range []string{"poison", ""} {
		st := newStreet(56)
		st.pass(st.first.now.Add(time.Minute))
		st.first.now = st.first.now.Add(time.Minute)
		evidence := func() bool { return st.detector.series[gemini].errors.most() > 0 }
		st.request(caller, llm.Server, llm.Server, llm.Server)
		began := st.first.now
		if st.pass(began.Add(time.Second)); !evidence() {
			t.Fatalf("caller %q: it is not heard of at once", caller)
		}
		if st.pass(began.Add(2 * time.Second)); evidence() {
			t.Errorf("caller %q: it is not taken back", caller)
		}
	}
	st := newStreet(57)
	st.request("poison", llm.Server, llm.Server, llm.Server)
	began := st.first.now
	st.first.now = began.Add(time.Second)
	st.request("poison", llm.Server, llm.Server, llm.Server)
	if st.pass(began.Add(1900 * time.Millisecond)); st.detector.series[gemini].errors.most() > 0 {
		t.Error("one fails everywhere, and the other, which is under way, still counts")
	}
	st.first.now = began.Add(10 * time.Second)
	st.request("poison", llm.Server, llm.Server, llm.Server)
	if st.pass(st.first.now.Add(time.Second)); st.detector.series[gemini].errors.most() > 0 {
		t.Error("one failed everywhere just before, and the next counts at once")
	}
}

func TestATroubleBesideRequestsThatFailEverywhereIsFound(t *testing.T) {
	st := newStreet(51)
	for i := range 200 {
		st.mixed(i, "")
	}
	n := 0
	for ; len(st.holder.held) == 0 && n < 400; n++ {
		if n%2 == 0 {
			st.mixed(n, "")
		} else {
			st.mixed(n, llm.Server, "")
		}
	}
	if n > 80 {
		t.Errorf("two thirds of the others' requests fail, which is found after %d", n)
	}
}

// It is known sooner what fails than what goes well.
func TestWhoFailsFirstIsToBlameWhileOthersWereServedRightBefore(t *testing.T) {
	st := newStreet(52)
	st.first.rate = 6000
	for range 30 {
		st.request("poison", llm.Server, "")
	}
	st.pass(st.first.now.Add(2 * time.Second))
	if len(*st.events) == 0 || len(st.holder.held) > 0 {
		t.Fatalf("within two seconds of a caller's first failure: events %+v", *st.events)
	}
	st.first.rate = 60
	for range 120 {
		st.request("poison", llm.Server, "")
	}
	if len(st.holder.held) == 0 {
		t.Error("it is not held, though nobody else was served for two minutes")
	}
}

func TestWhatFailedEverywhereUntilItEndedHoldsNobody(t *testing.T) {
	st := newStreet(53)
	for i := range 900 { // so that the second one served nobody for more than a minute
		st.mixed(i, "")
	}
	for i := range 160 {
		if i%4 == 0 {
			st.request("poison", llm.Server, llm.Server, "")
		} else {
			st.request("app", "")
		}
	}
	st.pass(st.first.now.Add(time.Minute))
	if len(st.holder.held) > 0 {
		t.Errorf("held: %+v", *st.events)
	}
}

// A caller without a name is anybody, and its failures are heard of at once.
func TestFailuresOfCallersWithoutANameAreHeardOfAtOnce(t *testing.T) {
	st := newStreet(54)
	st.first.rate = 60
	for range 120 {
		st.request("", "")
	}
	st.request("", llm.Server, llm.Server, llm.Server)
	st.first.now = st.first.now.Add(2 * time.Second)
	st.first.rate = 6000
	for range 20 {
		st.request("", llm.Server, "")
	}
	st.pass(st.first.now.Add(time.Second))
	if len(st.holder.held) == 0 {
		t.Errorf("events %+v", *st.events)
	}
}

func TestFailuresWhoseRequestsNeverEndAreForgotten(t *testing.T) {
	st := newStreet(55)
	for range 2 * maxTold {
		at := st.first.next().At
		st.Failed(&record.Trace{ID: st.ids.Next(at), Accepted: at, Caller: "app", Attempts: []record.Attempt{{Target: gemini, Class: llm.Server}}})
	}
	if n := len(st.told.failures); n > maxTold {
		t.Errorf("%d are remembered, want at most %d", n, maxTold)
	}
}

// What is taken back leaves the evidence and what is to be learned as they were.
func TestWhatIsTakenBackWasNeverThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		with, without := NewDetector(Config{}), NewDetector(Config{})
		g := newTraffic(rapid.Uint64().Draw(t, "seed"), gemini, 60)
		g.errors = 0
		for _, d := range []*Detector{with, without} {
			g.feed(d, 100)
		}
		var taken []Sample
		for i := range orderKept {
			s := g.next()
			s.Nth = uint32(i + 1)
			if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
				s.Class = llm.Server
				taken = append(taken, s)
				with.Observe(s)
				continue
			}
			with.Observe(s)
			without.Observe(s)
		}
		for _, s := range taken {
			with.takeBack(s)
		}
		a, b := with.series[gemini], without.series[gemini]
		if a.errors.most() > 0 || a.errors.run != 0 || a.errors.witness != nil {
			t.Fatalf("evidence %v of %d requests is left", a.errors.evidence, a.errors.run)
		}
		if got, want := a.errors.waiting[0].bad, b.errors.waiting[0].bad; got != want {
			t.Fatalf("%v of them are to be learned, want %v", got, want)
		}
	})
}
