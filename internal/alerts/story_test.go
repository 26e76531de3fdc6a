package alerts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"

	"pgregory.net/rapid"
)

func signal(k SignalKind, t llm.Target, after time.Duration) Signal {
	return Signal{At: noon.Add(after), Provider: t.Provider, Target: t, Kind: k, Text: string(k)}
}

// play lets signals act on a story and gives what each did.
func play(s *story, signals ...Signal) (did []step) {
	for _, g := range signals {
		did = append(did, s.apply(g))
	}
	return did
}

func started(signals ...Signal) (*story, []step) {
	s := begin(1, signals[0].subjects()[0], signals[0].At)
	return s, play(s, signals...)
}

func TestABreakerThatOpensIsPendingUntilSomethingConfirmsIt(t *testing.T) {
	other := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-pro"}
	for _, c := range []struct {
		by   Signal
		want step
	}{
		{signal(BreakerProbeFailed, gemini, time.Minute), opened},
		{signal(CallerFailed, gemini, time.Minute), opened},
		{signal(HoldPlaced, other, time.Minute), opened},
		{signal(TroubleFound, gemini, time.Minute), opened},
		{signal(BreakerOpened, other, time.Minute), changed},
		{signal(BreakerClosed, gemini, time.Minute), dropped},
		{signal(CallerFailed, gemini, -time.Minute), nothing},
		{signal(TargetServed, gemini, time.Minute), nothing},
		{signal(HoldEnded, gemini, time.Minute), nothing},
	} {
		t.Run(string(c.by.Kind), func(t *testing.T) {
			_, did := started(signal(BreakerOpened, gemini, 0), c.by)
			if did[0] != changed || did[1] != c.want {
				t.Errorf("steps %v, want [%v %v]", did, changed, c.want)
			}
		})
	}
}

func TestAHoldOpensAnIncidentByItself(t *testing.T) {
	slow := signal(HoldPlaced, gemini, 0)
	slow.Slow = true
	s, did := started(slow)
	if did[0] != opened || s.Title != "Gemini is slow" {
		t.Errorf("%v, %q", did, s.Title)
	}
	s.apply(signal(BreakerOpened, gemini, time.Second))
	if s.Title != "Gemini is failing" {
		t.Errorf("title %q once it fails", s.Title)
	}
}

func TestAnIncidentEndsWithItsLastTrouble(t *testing.T) {
	other := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-pro"}
	s, did := started(
		signal(BreakerOpened, gemini, 0), signal(BreakerProbeFailed, gemini, 1), signal(BreakerOpened, other, 2),
		signal(HoldPlaced, gemini, 3), signal(BreakerClosed, gemini, 4), signal(HoldEnded, gemini, 5), signal(BreakerClosed, other, 6),
	)
	if fmt.Sprint(did) != fmt.Sprint([]step{changed, opened, changed, changed, changed, changed, changed}) {
		t.Errorf("steps %v", did)
	}
	if s.State != record.Recovering || !s.Ended.IsZero() {
		t.Errorf("%s, ended %s; want that it recovers", s.State, s.Ended)
	}
	if did := s.look(noon.Add(DefaultWellFor), DefaultWellFor); did != nothing {
		t.Errorf("%v before it was well for long", did)
	}
	if did := s.look(noon.Add(DefaultWellFor+time.Second), DefaultWellFor); did != resolved || s.Ended.IsZero() {
		t.Errorf("%v when it was", did)
	}
	var kinds []string
	for _, e := range s.Timeline {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "breaker breaker opened breaker anomaly recovered recovered recovered recovering resolved" {
		t.Errorf("timeline %s", got)
	}
}

func TestARestoredIncidentFollowsTheNextSignal(t *testing.T) {
	for _, c := range []struct {
		state record.IncidentState
		by    SignalKind
		want  step
	}{
		{record.Ongoing, TargetServed, changed},
		{record.Ongoing, BreakerClosed, changed},
		{record.Mitigated, TargetServed, changed},
		{record.Ongoing, BreakerOpened, changed},
		{record.Pending, TargetServed, dropped},
		{record.Pending, BreakerProbeFailed, opened},
		{record.Pending, HoldPlaced, opened},
	} {
		s := restore(record.Incident{ID: 1, Topic: record.TopicProvider, Subject: llm.Gemini, State: c.state, Began: noon})
		if did := s.apply(signal(c.by, gemini, time.Hour)); did != c.want {
			t.Errorf("%s after %s: %v, want %v", c.by, c.state, did, c.want)
		}
		if well := c.by == TargetServed || c.by == BreakerClosed; well && c.want == changed && s.State != record.Recovering {
			t.Errorf("%s after %s: %s, want that it recovers", c.by, c.state, s.State)
		}
		if c.want == changed || c.want == opened {
			if did := s.apply(signal(TargetServed, gemini, time.Hour)); did != nothing {
				t.Errorf("%s after %s: still taken for restored", c.by, c.state)
			}
		}
	}
}

func TestAFindingAloneDoesNotLeaveARestoredIncidentForEver(t *testing.T) {
	s := restore(record.Incident{ID: 1, Topic: record.TopicProvider, Subject: llm.Gemini, State: record.Ongoing, Began: noon})
	did := play(s, signal(TroubleFound, gemini, 1), signal(TargetServed, gemini, 2))
	if did[1] != changed || s.State != record.Recovering {
		t.Errorf("steps %v to %s", did, s.State)
	}
}

func TestTheTitleOfSeveralProvidersIsRightAfterARestart(t *testing.T) {
	joined := func(p llm.Provider) record.Event {
		return record.Event{At: noon, Kind: record.EventJoined, Text: p.Title() + " is in trouble too."}
	}
	s := restore(record.Incident{
		ID: 1, Topic: record.TopicEverything, State: record.Ongoing, Title: "3 of 4 providers are slow", Began: noon,
		Timeline: []record.Event{joined(llm.Gemini), joined(llm.Claude), joined(llm.OpenAI)},
	})
	s.of = 4
	for _, step := range []struct {
		by   SignalKind
		of   llm.Target
		want string
	}{
		{TargetServed, gemini, "2 of 4 providers are slow"},
		{BreakerOpened, gemini, "3 of 4 providers are failing"},
		{TargetServed, claude, "2 of 4 providers are failing"},
		{TargetServed, openai, "Gemini is failing"},
	} {
		if s.apply(signal(step.by, step.of, time.Hour)); s.Title != step.want {
			t.Errorf("after %s of %s: %q, want %q", step.by, step.of, s.Title, step.want)
		}
	}
	s.resolve(record.Event{At: noon.Add(2 * time.Hour), Text: "Ended by hand."})
	if s.Title != "3 of 4 providers are failing" {
		t.Errorf("at its end: %q", s.Title)
	}
}

func TestATimelineStaysShortHoweverLongTheTrouble(t *testing.T) {
	s, _ := started(signal(BreakerOpened, gemini, 0))
	for i := range 5000 {
		s.apply(signal(BreakerProbeFailed, gemini, time.Duration(i)*time.Minute))
	}
	if n := len(s.Timeline); n != 4 {
		t.Errorf("%d events for one target's probes, want 4", n)
	}
	for i := range 5000 {
		s.apply(signal(HoldPlaced, llm.Target{Provider: llm.Gemini, Model: fmt.Sprint(i)}, time.Duration(i)*time.Minute))
	}
	if n := len(s.Timeline); n != maxEvents {
		t.Errorf("%d events, want %d", n, maxEvents)
	}
}

func TestTheTimelineHoldsNoSecret(t *testing.T) {
	g := signal(BreakerOpened, gemini, 0)
	g.Text = "refused key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789\n" + strings.Repeat("x", 5000)
	s, _ := started(g)
	if text := s.Timeline[0].Text; strings.Contains(text, "abcdefghijkl") || strings.Contains(text, "\n") || len(text) > maxText {
		t.Errorf("text %q", text)
	}
}

// edges are the ways from one state to the next.
var edges = map[record.IncidentState][]record.IncidentState{
	record.Pending:    {record.Ongoing, record.Dropped},
	record.Ongoing:    {record.Mitigated, record.Recovering, record.Resolved},
	record.Mitigated:  {record.Ongoing, record.Recovering, record.Resolved},
	record.Recovering: {record.Ongoing, record.Resolved},
}

func TestAnIncidentsLifeHoldsWhateverComes(t *testing.T) {
	kinds := []SignalKind{BreakerOpened, BreakerProbeFailed, BreakerClosed, HoldPlaced, HoldEnded, TroubleFound, TroubleEnded, CallerFailed,
		Rerouted, TrafficReturned, TargetServed, Raised, Cleared}
	rapid.Check(t, func(t *rapid.T) {
		s, at, said := begin(1, whole(llm.Gemini), noon), noon, 0
		for range rapid.IntRange(1, 60).Draw(t, "signals") {
			at = at.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "seconds")) * time.Second)
			g := signal(rapid.SampledFrom(kinds).Draw(t, "kind"), llm.Target{Provider: llm.Gemini, Model: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "model")}, at.Sub(noon))
			g.Matters, g.Requests = rapid.Bool().Draw(t, "matters"), rapid.Int64Range(0, 9).Draw(t, "requests")
			if len(s.Timeline) == 0 && !begins(g) {
				continue
			}
			if rapid.Bool().Draw(t, "time") {
				g.Kind = ""
			}
			before, severity, lines := s.State, s.Severity, len(s.Timeline)
			var did step
			if g.Kind == "" {
				did = s.look(at, DefaultWellFor)
			} else {
				did = s.apply(g)
			}
			if s.State != before && !slices.Contains(edges[before], s.State) {
				t.Fatalf("from %s to %s", before, s.State)
			}
			if severity == record.Critical && s.Severity != severity {
				t.Fatalf("the worst severity was forgotten: %s", s.Severity)
			}
			if said += len(s.news); said > maxChanged {
				t.Fatalf("%d changes told", said)
			}
			s.news = nil
			over := s.State == record.Resolved || s.State == record.Dropped
			switch {
			case did == opened && (before != record.Pending || s.State != record.Ongoing || s.Opened.IsZero()),
				did == resolved && s.State != record.Resolved, did == dropped && s.State != record.Dropped,
				did == nothing && (s.State != before || len(s.Timeline) != lines),
				over != (did == resolved || did == dropped), over == s.Ended.IsZero(),
				s.State == record.Mitigated && (s.Mitigated.IsZero() || !s.troubled()),
				s.State == record.Recovering && s.troubled():
				t.Fatalf("%s did %v: from %s to %s, ended %s, trouble %v", g.Kind, did, before, s.State, s.Ended, s.troubled())
			}
			if !slices.IsSortedFunc(s.Timeline, func(a, b record.Event) int { return a.At.Compare(b.At) }) {
				t.Fatalf("the timeline is out of order: %v", s.Timeline)
			}
			if over {
				return
			}
		}
	})
}

func TestAMessageTellsWhatIsWrongNow(t *testing.T) {
	i := geminiDown()
	i.Timeline = append(i.Timeline, i.Timeline[0]) // said again after a restart
	causes := func(all ...string) {
		t.Helper()
		want(t, Message{Kind: record.NoticeChanged, Incident: i}.causes(), all...)
	}
	causes(i.Timeline[1].Text, i.Timeline[0].Text)
	i.Timeline = append(i.Timeline, record.Event{Kind: recoveringEvent, Text: "Nothing is wrong any more."})
	causes(i.Timeline[1].Text, i.Timeline[0].Text)
	slow := record.Event{Kind: "anomaly", Text: "gemini/gemini-2.5-flash: time to first token 6.9 s"}
	i.Timeline = append(i.Timeline, slow)
	causes(slow.Text)
	i.State, i.Reopened, i.Ended = record.Resolved, 2, i.Began.Add(time.Hour)
	causes(i.Timeline[1].Text, i.Timeline[0].Text, slow.Text)
	if got := (Message{Kind: record.NoticeResolved, Incident: i}).lines()[0].text; got != "1 h 0 min, from 12:00 to 13:00 UTC on 14 Mar; in between it was over 2 times." {
		t.Errorf("how long: %q", got)
	}
}
