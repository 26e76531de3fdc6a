package monitor

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// at is some seconds after noon.
func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// words writes stretches with their ends in seconds after noon.
func words(all []Stretch) (list []string) {
	for _, s := range all {
		state := string(s.State)
		if s.State == Unseen {
			state = "unseen"
		}
		list = append(list, state+" "+s.To.Sub(noon).String())
	}
	return list
}

func move(seconds int, target llm.Target, from, to record.State) record.Transition {
	return record.Transition{At: at(seconds), Target: target, From: from, To: to}
}

func TestACourseIsCutWhereTheWorstStateChanges(t *testing.T) {
	other := llm.Target{Provider: gemini.Provider, Model: "other"}
	outage := []record.Transition{
		move(10, gemini, record.Closed, record.Open), move(70, gemini, record.Open, record.HalfOpen), move(75, gemini, record.HalfOpen, record.Closed),
	}
	for name, test := range map[string]struct {
		course Course
		want   []string
	}{
		"nothing happened":     {Course{}, []string{"closed 1m40s"}},
		"nothing is known":     {Course{Known: at(500)}, []string{"unseen 1m40s"}},
		"known from later on":  {Course{Known: at(40)}, []string{"unseen 40s", "closed 1m40s"}},
		"an outage":            {Course{Transitions: outage}, []string{"closed 10s", "open 1m10s", "half-open 1m15s", "closed 1m40s"}},
		"it was open before":   {Course{Transitions: outage[1:]}, []string{"open 1m10s", "half-open 1m15s", "closed 1m40s"}},
		"it is open still":     {Course{Transitions: outage[:1]}, []string{"closed 10s", "open 1m40s"}},
		"it is open all along": {Course{Now: map[llm.Target]record.State{gemini: record.Open}, Started: at(-50)}, []string{"open 1m40s"}},
		"two targets": {Course{Transitions: []record.Transition{outage[0], move(30, other, record.Closed, record.Open), outage[1], move(80, other, record.Open, record.HalfOpen)}},
			[]string{"closed 10s", "open 1m20s", "half-open 1m40s"}},
		"a hold":                       {Course{Holds: []record.Hold{{Placed: at(-5), Expires: at(30), Ended: at(20)}}}, []string{"held 20s", "closed 1m40s"}},
		"a hold that expires":          {Course{Holds: []record.Hold{{Placed: at(50), Expires: at(60), Ended: at(90)}}}, []string{"closed 50s", "held 1m0s", "closed 1m40s"}},
		"open is worse than held":      {Course{Transitions: outage, Holds: []record.Hold{{Placed: at(0), Expires: at(90)}}}, []string{"held 10s", "open 1m10s", "held 1m30s", "closed 1m40s"}},
		"a new start closes":           {Course{Transitions: outage[:1], Started: at(60)}, []string{"closed 10s", "open 1m0s", "closed 1m40s"}},
		"an earlier start was missed":  {Course{Transitions: []record.Transition{outage[0], move(90, gemini, record.Closed, record.Open)}, Started: at(-1)}, []string{"closed 10s", "unseen 1m30s", "open 1m40s"}},
		"what is known and not closed": {Course{Known: at(20), Transitions: outage}, []string{"unseen 20s", "open 1m10s", "half-open 1m15s", "closed 1m40s"}},
	} {
		test.course.From, test.course.To = noon, at(100)
		if got := words(test.course.Stretches()); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// drawCourse makes up a course of up to three targets over 60 seconds.
func drawCourse(t *rapid.T) Course {
	second := rapid.IntRange(0, 60)
	c := Course{From: noon, To: at(60), Known: at(rapid.IntRange(-5, 65).Draw(t, "known")), Started: at(rapid.IntRange(-5, 60).Draw(t, "started"))}
	for _, model := range []string{"a", "b", "c"} {
		moments := rapid.SliceOfN(second, 0, 5).Draw(t, model)
		slices.Sort(moments)
		for _, m := range moments {
			c.Transitions = append(c.Transitions, move(m, llm.Target{Model: model},
				rapid.SampledFrom(record.States()).Draw(t, "from"), rapid.SampledFrom(record.States()).Draw(t, "to")))
		}
	}
	slices.SortStableFunc(c.Transitions, func(a, b record.Transition) int { return a.At.Compare(b.At) })
	for range rapid.IntRange(0, 3).Draw(t, "holds") {
		from := rapid.IntRange(-10, 60).Draw(t, "placed")
		h := record.Hold{Placed: at(from), Expires: at(from + rapid.IntRange(1, 30).Draw(t, "lasts"))}
		if rapid.Bool().Draw(t, "ended") {
			h.Ended = at(from + rapid.IntRange(0, 40).Draw(t, "ends"))
		}
		c.Holds = append(c.Holds, h)
	}
	return c
}

// stateAt says what a course is in, looked at for one instant alone.
func stateAt(c Course, now time.Time) record.State {
	if now.Before(c.Known) {
		return Unseen
	}
	in := map[record.State]bool{record.Closed: true}
	for _, h := range c.Holds {
		if !now.Before(h.Placed) && now.Before(h.Expires) && (h.Ended.IsZero() || now.Before(h.Ended)) {
			in[Held] = true
		}
	}
	models := map[string][]record.Transition{}
	for _, tr := range c.Transitions {
		models[tr.Target.Model] = append(models[tr.Target.Model], tr)
	}
	for _, all := range models {
		state, since := all[0].From, c.From
		next := len(all)
		for i, tr := range all {
			if tr.At.After(now) {
				next = i
				break
			}
			state, since = tr.To, tr.At
		}
		switch until := c.To; {
		case next < len(all):
			until = all[next].At
			fallthrough
		default:
			restarted := since.Before(c.Started) && c.Started.Before(until)
			switch {
			case restarted && !now.Before(c.Started):
				state = record.Closed
			case !restarted && state != record.Closed && next < len(all) && all[next].From != state:
				state = Unseen
			}
		}
		in[state] = true
	}
	for _, s := range Modes() {
		if in[s] {
			return s
		}
	}
	return record.Closed
}

func TestStretchesCoverTheTimeAndAreWhatEachInstantWasIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCourse(t)
		all := c.Stretches()
		if !all[0].From.Equal(c.From) || !all[len(all)-1].To.Equal(c.To) {
			t.Fatalf("from %v to %v: %+v", c.From, c.To, all)
		}
		for i, s := range all {
			if !s.From.Before(s.To) || i > 0 && (!s.From.Equal(all[i-1].To) || s.State == all[i-1].State) {
				t.Fatalf("stretch %d of %+v", i, all)
			}
			for now := s.From.Add(500 * time.Millisecond); now.Before(s.To); now = now.Add(time.Second) {
				if want := stateAt(c, now); s.State != want {
					t.Fatalf("at %v it is %q, want %q: %q", now.Sub(noon), s.State, want, words(all))
				}
			}
		}
		var sum time.Duration
		for _, d := range TimeIn(all, c.From, c.To) {
			sum += d
		}
		if sum != c.To.Sub(c.From) {
			t.Fatalf("the states add up to %v", sum)
		}
	})
}

func TestSpansAreJoinedAndCutAsSetsOfInstants(t *testing.T) {
	draw := func(t *rapid.T, name string) (all []Span) {
		for range rapid.IntRange(0, 6).Draw(t, name) {
			from := rapid.IntRange(0, 40).Draw(t, "from")
			all = append(all, Span{at(from), at(from + rapid.IntRange(0, 20).Draw(t, "length"))})
		}
		return all
	}
	holds := func(all []Span, now time.Time) bool {
		return slices.ContainsFunc(all, func(s Span) bool { return !now.Before(s.From) && now.Before(s.To) })
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		joined, left := Union(a), Without(a, b)
		var seconds time.Duration
		for now := at(0); now.Before(at(60)); now = now.Add(time.Second) {
			if holds(joined, now) != holds(a, now) || holds(left, now) != (holds(a, now) && !holds(b, now)) {
				t.Fatalf("at %v: a %v, b %v, joined %v, left %v", now.Sub(noon), a, b, joined, left)
			}
			if holds(left, now) && !now.Before(at(10)) && now.Before(at(30)) {
				seconds += time.Second
			}
		}
		if got := Within(left, at(10), at(30)); got != seconds {
			t.Fatalf("%v within, want %v", got, seconds)
		}
		for i := 1; i < len(joined); i++ {
			if !joined[i-1].To.Before(joined[i].From) {
				t.Fatalf("%v overlap or meet", joined)
			}
		}
	})
}
