package monitor

import (
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// What a provider's course may be in beside its breakers' states.
const (
	// Held is kept from traffic by a hold.
	Held record.State = "held"
	// Unseen is time of which nothing is known: there was no traffic yet, or
	// Breakwater was started again without anybody having looked.
	Unseen record.State = ""
)

// Modes lists what a provider may be in, the worst first. A provider with
// several targets is in the worst that any of them is in.
func Modes() []record.State {
	return []record.State{record.Open, Held, record.HalfOpen, Unseen, record.Closed}
}

// Stretch is a time that a provider spent in one state.
type Stretch struct {
	From, To time.Time
	State    record.State
}

// Course is what is known of a provider's breakers and holds within a time.
type Course struct {
	From, To time.Time
	// Known is from when on there is anything to know of it; the time before is
	// Unseen.
	Known time.Time
	// Started is when this process began, with all breakers closed.
	Started     time.Time
	Transitions []record.Transition // within the time, in order
	Holds       []record.Hold       // that stood at some time of it
	// Now is how the breakers stand at To, for those without a transition.
	Now map[llm.Target]record.State
}

// Stretches cuts the time into what the provider was in, without a gap, each
// different from the one before.
func (c Course) Stretches() []Stretch {
	known := clamp(c.Known, c.From, c.To)
	var cut []Stretch
	if known.After(c.From) {
		cut = append(cut, Stretch{c.From, known, Unseen})
	}
	spans := c.ofHolds(c.ofBreakers(nil))
	type edge struct {
		at    time.Time
		state record.State
		by    int
	}
	edges := []edge{{c.To, record.Closed, 0}}
	for _, s := range spans {
		from, to := clamp(s.From, known, c.To), clamp(s.To, known, c.To)
		if from.Before(to) {
			edges = append(edges, edge{from, s.State, 1}, edge{to, s.State, -1})
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	standing, at := map[record.State]int{record.Closed: 1}, known
	for _, e := range edges {
		if e.at.After(at) {
			worst := Modes()[slices.IndexFunc(Modes(), func(s record.State) bool { return standing[s] > 0 })]
			if n := len(cut); n > 0 && cut[n-1].State == worst {
				cut[n-1].To = e.at
			} else {
				cut = append(cut, Stretch{at, e.at, worst})
			}
			at = e.at
		}
		standing[e.state] += e.by
	}
	return cut
}

// ofBreakers adds the times in which a breaker was not closed. One that tells of
// another state than it was last seen in was made anew in between.
func (c Course) ofBreakers(spans []Stretch) []Stretch {
	type was struct {
		state record.State
		since time.Time
	}
	last := map[llm.Target]was{}
	end := func(w was, at time.Time, next record.State) {
		switch restarted := w.since.Before(c.Started) && c.Started.Before(at); {
		case w.state == record.Closed:
		case restarted:
			spans = append(spans, Stretch{w.since, c.Started, w.state})
		case w.state != next:
			spans = append(spans, Stretch{w.since, at, Unseen})
		default:
			spans = append(spans, Stretch{w.since, at, w.state})
		}
	}
	for _, t := range c.Transitions {
		w, seen := last[t.Target]
		if !seen {
			w = was{t.From, c.From}
		}
		end(w, t.At, t.From)
		last[t.Target] = was{t.To, t.At}
	}
	for target, state := range c.Now {
		if _, seen := last[target]; !seen {
			last[target] = was{state, c.Started}
		}
	}
	for _, w := range last {
		end(w, c.To, w.state)
	}
	return spans
}

// ofHolds adds the times in which a hold stood.
func (c Course) ofHolds(spans []Stretch) []Stretch {
	for _, h := range c.Holds {
		until := h.Expires
		if !h.Ended.IsZero() && h.Ended.Before(until) {
			until = h.Ended
		}
		spans = append(spans, Stretch{h.Placed, until, Held})
	}
	return spans
}

func clamp(t, from, to time.Time) time.Time {
	switch {
	case t.Before(from):
		return from
	case t.After(to):
		return to
	}
	return t
}

// TimeIn gives how much of the time from from to to the stretches spent in each
// state.
func TimeIn(stretches []Stretch, from, to time.Time) map[record.State]time.Duration {
	in := map[record.State]time.Duration{}
	for _, s := range stretches {
		if took := clamp(s.To, from, to).Sub(clamp(s.From, from, to)); took > 0 {
			in[s.State] += took
		}
	}
	return in
}

// Span is a time from one instant to another.
type Span struct{ From, To time.Time }

// Union joins spans that overlap or meet, and gives them in order.
func Union(spans []Span) []Span {
	spans = slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return !s.From.Before(s.To) })
	slices.SortFunc(spans, func(a, b Span) int { return a.From.Compare(b.From) })
	var joined []Span
	for _, s := range spans {
		if n := len(joined); n > 0 && !s.From.After(joined[n-1].To) {
			if s.To.After(joined[n-1].To) {
				joined[n-1].To = s.To
			}
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// Without gives what is left of the spans outside of others, in order.
func Without(spans, others []Span) []Span {
	left := Union(spans)
	for _, o := range Union(others) {
		var rest []Span
		for _, s := range left {
			before, after := Span{s.From, minTime(s.To, o.From)}, Span{maxTime(s.From, o.To), s.To}
			for _, part := range []Span{before, after} {
				if part.From.Before(part.To) {
					rest = append(rest, part)
				}
			}
		}
		left = rest
	}
	return left
}

// Within gives how much of the time from from to to the spans take, which do
// not overlap.
func Within(spans []Span, from, to time.Time) (sum time.Duration) {
	for _, s := range spans {
		sum += max(0, clamp(s.To, from, to).Sub(clamp(s.From, from, to)))
	}
	return sum
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
