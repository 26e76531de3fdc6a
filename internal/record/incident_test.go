package record

import (
	"testing"
	"time"

	"breakwater/internal/llm"
)

var noon = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestTroubleIsOfThoseThatPeopleWereToldOf(t *testing.T) {
	lasted := func(in Incident, p llm.Provider) time.Duration {
		from, to := in.Trouble(p, at(70))
		return to.Sub(from)
	}
	in := Incident{Topic: TopicProvider, Subject: llm.Gemini, State: Resolved, Began: noon, Ended: at(60)}
	if g, c := lasted(in, llm.Gemini), lasted(in, llm.Claude); g != time.Hour || c != 0 {
		t.Errorf("its own: %s, another's: %s", g, c)
	}
	in.State, in.Ended = Ongoing, time.Time{}
	if got := lasted(in, llm.Gemini); got != 70*time.Minute {
		t.Errorf("one that lasts: %s", got)
	}
	for _, other := range []Incident{
		{Topic: TopicKey, Subject: llm.Gemini, Key: "main", State: Ongoing, Began: noon},
		{Topic: TopicProvider, Subject: llm.Gemini, State: Pending, Began: noon},
		{Topic: TopicProvider, Subject: llm.Gemini, State: Dropped, Began: noon, Ended: at(1)},
	} {
		if got := lasted(other, llm.Gemini); got != 0 {
			t.Errorf("%s that is %s: %s", other.Topic, other.State, got)
		}
	}
}

func TestSeveralProvidersIncidentIsTroubleOfEach(t *testing.T) {
	in := Incident{Topic: TopicEverything, State: Resolved, Began: noon, Ended: at(60), Timeline: []Event{
		{At: noon, Kind: EventJoined, Text: "Gemini is in trouble too."}, {At: at(5), Kind: EventJoined, Text: "Ollama is in trouble too."},
	}}
	down := func(p llm.Provider) time.Duration {
		from, to := in.Trouble(p, at(120))
		return to.Sub(from)
	}
	if g, l, c := down(llm.Gemini), down(llm.Local), down(llm.Claude); g != time.Hour || l != 55*time.Minute || c != 0 {
		t.Errorf("%s, %s and %s", g, l, c)
	}
	in.Topic, in.Subject = TopicProvider, llm.Local // it went on as Ollama's
	in.Timeline = append(in.Timeline, Event{At: at(30), Kind: EventSingle, Text: "The others are well again."})
	if g, l := down(llm.Gemini), down(llm.Local); g != 30*time.Minute || l != time.Hour {
		t.Errorf("once it is one's alone: %s and %s", g, l)
	}
}

func TestASilenceCoversWhatItNames(t *testing.T) {
	s := Silence{Provider: llm.Gemini, Topic: TopicKey, From: noon, Until: at(60), Ended: at(30)}
	key := Incident{Topic: TopicKey, Subject: llm.Gemini}
	for name, c := range map[string]struct {
		i    Incident
		at   time.Time
		want bool
	}{
		"as it begins": {key, noon, true}, "before": {key, at(-1), false}, "when it was ended": {key, at(30), false},
		"another provider": {Incident{Topic: TopicKey, Subject: llm.Claude}, noon, false},
		"another topic":    {Incident{Topic: TopicProvider, Subject: llm.Gemini}, noon, false},
	} {
		if got := s.Covers(&c.i, c.at); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
