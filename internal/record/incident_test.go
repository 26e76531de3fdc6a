package record

import (
	"testing"
	"time"

	"breakwater/internal/llm"
)

var noon = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func TestDowntimeLeavesMaintenanceOut(t *testing.T) {
	in := Incident{Topic: TopicProvider, Subject: llm.Gemini, State: Resolved, Began: noon, Ended: at(60)}
	window := func(p llm.Provider, from, until int) Silence {
		return Silence{Maintenance: true, Provider: p, From: at(from), Until: at(until)}
	}
	ended := window(llm.Gemini, 10, 60)
	ended.Ended = at(20)
	for name, c := range map[string]struct {
		from, to int
		silences []Silence
		want     time.Duration
	}{
		"all of it":              {-60, 120, nil, time.Hour},
		"a part":                 {50, 55, nil, 5 * time.Minute},
		"after it":               {61, 120, nil, 0},
		"a window within":        {-60, 120, []Silence{window(llm.Gemini, 10, 20)}, 50 * time.Minute},
		"windows that overlap":   {-60, 120, []Silence{window("", 15, 30), window(llm.Gemini, 10, 20)}, 40 * time.Minute},
		"one within another":     {-60, 120, []Silence{window("", 10, 50), window(llm.Gemini, 20, 30)}, 20 * time.Minute},
		"a window over it":       {-60, 120, []Silence{window(llm.Gemini, -10, 90)}, 0},
		"another's window":       {-60, 120, []Silence{window(llm.Claude, -10, 90)}, time.Hour},
		"a window ended early":   {-60, 120, []Silence{ended}, 50 * time.Minute},
		"a silence is no window": {-60, 120, []Silence{{From: noon, Until: at(60)}}, time.Hour},
	} {
		if got := in.Downtime(llm.Gemini, at(c.from), at(c.to), c.silences); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := in.Downtime(llm.Claude, noon, at(60), nil); got != 0 {
		t.Errorf("another provider: %s", got)
	}
	in.State, in.Ended = Ongoing, time.Time{}
	if got := in.Downtime(llm.Gemini, noon, at(70), nil); got != 70*time.Minute {
		t.Errorf("one that lasts: %s", got)
	}
	for _, other := range []Incident{
		{Topic: TopicKey, Subject: llm.Gemini, Key: "main", State: Ongoing, Began: noon},
		{Topic: TopicProvider, Subject: llm.Gemini, State: Pending, Began: noon},
		{Topic: TopicProvider, Subject: llm.Gemini, State: Dropped, Began: noon, Ended: at(1)},
	} {
		if got := other.Downtime(llm.Gemini, noon, at(60), nil); got != 0 {
			t.Errorf("%s that is %s: %s", other.Topic, other.State, got)
		}
	}
}

func TestSeveralProvidersIncidentIsDowntimeOfEach(t *testing.T) {
	in := Incident{Topic: TopicEverything, State: Resolved, Began: noon, Ended: at(60), Timeline: []Event{
		{At: noon, Kind: EventJoined, Text: "Gemini is in trouble too."}, {At: at(5), Kind: EventJoined, Text: "Ollama is in trouble too."},
	}}
	down := func(p llm.Provider) time.Duration { return in.Downtime(p, at(-60), at(120), nil) }
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
