package alerts

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"

	"pgregory.net/rapid"
)

func (l *listener) Kind() string  { return "slack" }
func (l *listener) Where() string { return "#" + l.name }
func (hung) Kind() string         { return "slack" }
func (hung) Where() string        { return "" }

// reader is a listener that people read: it takes digests.
type reader struct{ listener }

func (r *reader) SendDigest(_ context.Context, d Digest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.at = append(r.at, time.Now())
	if r.fail != nil {
		if err := r.fail(r.n, Message{}); err != nil {
			return err
		}
	}
	told := Message{Kind: "digest"}
	for _, m := range d.Of {
		told.Text += fmt.Sprintf("%d %s; ", m.Incident.Number, m.Kind)
	}
	if d.Storm {
		told.Kind = "storm"
	}
	r.sent = append(r.sent, told)
	return nil
}

// heard gives what was sent, digests with what is in them.
func (r *reader) heard() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.sent {
		if m.Incident.Number == 0 {
			all = append(all, string(m.Kind)+": "+m.Text)
			continue
		}
		all = append(all, fmt.Sprintf("%d %s", m.Incident.Number, m.Kind))
	}
	return all
}

func incident(severity record.Severity, topic record.Topic, p llm.Provider) *record.Incident {
	return &record.Incident{Severity: severity, Topic: topic, Subject: p}
}

func clockOf(hours float64) time.Duration { return time.Duration(hours * float64(time.Hour)) }

func at(hours float64) *time.Duration {
	d := clockOf(hours)
	return &d
}

func TestARouteTakesWhatItNames(t *testing.T) {
	gemini := func(s record.Severity) *record.Incident { return incident(s, record.TopicProvider, llm.Gemini) }
	budget := incident(record.Warning, record.TopicBudget, "")
	for name, tt := range map[string]struct {
		route      Route
		take, left []*record.Incident
	}{
		"all but info":        {Route{}, []*record.Incident{gemini(record.Critical), gemini(record.Warning), budget}, []*record.Incident{gemini(record.Info)}},
		"info in a digest":    {Route{Digest: at(9)}, []*record.Incident{gemini(record.Critical), gemini(record.Info)}, nil},
		"critical alone":      {Route{Severities: []record.Severity{record.Critical}}, []*record.Incident{gemini(record.Critical)}, []*record.Incident{gemini(record.Warning), gemini(record.Info), budget}},
		"critical and digest": {Route{Severities: []record.Severity{record.Critical}, Digest: at(9)}, []*record.Incident{gemini(record.Critical), gemini(record.Info)}, []*record.Incident{gemini(record.Warning)}},
		"info at once":        {Route{Severities: []record.Severity{record.Info}}, []*record.Incident{gemini(record.Info)}, []*record.Incident{gemini(record.Critical)}},
		"one topic":           {Route{Topics: []record.Topic{record.TopicBudget}}, []*record.Incident{budget}, []*record.Incident{gemini(record.Critical)}},
		"one provider": {
			Route{Providers: []llm.Provider{llm.Gemini}}, []*record.Incident{gemini(record.Critical), budget},
			[]*record.Incident{incident(record.Critical, record.TopicProvider, llm.OpenAI)},
		},
	} {
		for _, i := range tt.take {
			if !tt.route.takes(i) {
				t.Errorf("%s: leaves %+v", name, i)
			}
		}
		for _, i := range tt.left {
			if tt.route.takes(i) {
				t.Errorf("%s: takes %+v", name, i)
			}
		}
	}
}

func TestQuietHoursAndDigestSayWhenSomethingIsTold(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	night := Route{Quiet: Quiet{From: clockOf(22), To: clockOf(7)}, Zone: berlin}
	lunch := Route{Quiet: Quiet{From: clockOf(12), To: clockOf(13.5)}}
	daily := Route{Digest: at(9), Zone: berlin}
	inNight := Route{Digest: at(6), Quiet: night.Quiet, Zone: berlin}
	day := func(d, h, m int) time.Time { return time.Date(2026, time.March, d, h, m, 0, 0, berlin) }
	utc := func(d, h, m int) time.Time { return time.Date(2026, time.March, d, h, m, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name     string
		route    Route
		severity record.Severity
		at, want time.Time
	}{
		{"by day", night, record.Warning, day(10, 15, 0), day(10, 15, 0)},
		{"in the evening", night, record.Warning, day(10, 22, 0), day(11, 7, 0)},
		{"after midnight", night, record.Warning, day(11, 3, 0), day(11, 7, 0)},
		{"at its end", night, record.Warning, day(11, 7, 0), day(11, 7, 0)},
		{"critical goes through", night, record.Critical, day(11, 3, 0), day(11, 3, 0)},
		{"in the night that is an hour short", night, record.Warning, day(28, 23, 0), day(29, 7, 0)},
		{"within one day", lunch, record.Warning, utc(10, 12, 30), utc(10, 13, 30)},
		{"after it", lunch, record.Warning, utc(10, 13, 30), utc(10, 13, 30)},
		{"info before the hour", daily, record.Info, day(10, 8, 59), day(10, 9, 0)},
		{"info after it", daily, record.Info, day(10, 9, 0), day(11, 9, 0)},
		{"warning beside a digest", daily, record.Warning, day(10, 9, 30), day(10, 9, 30)},
		{"a digest in quiet hours", inNight, record.Info, day(10, 12, 0), day(11, 7, 0)},
	} {
		if got := tt.route.due(incident(tt.severity, record.TopicProvider, llm.Gemini), tt.at); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestNothingIsHeldForLongNorToldInQuietHours(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		minute := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 1439).Draw(t, "minute")) * time.Minute
		})
		r := Route{Zone: zone, Quiet: Quiet{From: minute.Draw(t, "from"), To: minute.Draw(t, "to")}}
		if rapid.Bool().Draw(t, "digest") {
			d := minute.Draw(t, "at")
			r.Digest = &d
		}
		now := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "now"), 0)
		severity := rapid.SampledFrom(record.Severities()).Draw(t, "severity")
		due := r.due(incident(severity, record.TopicProvider, llm.Gemini), now)
		if due.Before(now) || due.Sub(now) > longestHeld {
			t.Fatalf("due %v after %v", due.Sub(now), now)
		}
		if severity == record.Critical && !due.Equal(now) {
			t.Fatal("critical waits")
		}
		_, offset := due.In(zone).Zone()
		_, before := due.Add(-2 * time.Hour).In(zone).Zone()
		if severity != record.Critical && r.quiet(due) && offset == before {
			t.Fatalf("told at %v, which is quiet", due.In(zone))
		}
	})
}

func TestARouteIsToldInWords(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Route{
		"critical and warning": {},
		"critical, warning and info of budget at gemini, quiet 22:00 to 07:00 Europe/Berlin, info daily at 09:30 Europe/Berlin": {
			Severities: record.Severities(), Topics: []record.Topic{record.TopicBudget}, Providers: []llm.Provider{llm.Gemini},
			Quiet: Quiet{From: clockOf(22), To: clockOf(7)}, Digest: at(9.5), Zone: berlin,
		},
	} {
		if got := r.words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEachChannelGetsWhatItsRouteTakes(t *testing.T) {
	m := NewManager(Config{
		NextID:   record.NewIDs(1, 0).Next,
		Channels: []Channel{&listener{name: "all"}, &listener{name: "night"}, &listener{name: "money"}},
		Routes: map[string]Route{
			"night": {Quiet: Quiet{From: clockOf(22), To: clockOf(7)}}, "money": {Topics: []record.Topic{record.TopicBudget}},
		},
	})
	i := geminiDown()
	i.Topic, i.Severity = record.TopicProvider, record.Warning
	late := time.Date(2026, time.March, 14, 23, 0, 0, 0, time.UTC)
	var got []string
	for _, n := range m.route(&i, nil, record.NoticeChanged, "worse", late) {
		got = append(got, fmt.Sprint(n.Channel, " ", n.Kind, " ", n.Text, " ", n.NextTry.Sub(late)))
	}
	if want := []string{"all changed worse 0s", "night changed worse 8h0m0s"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A channel for warnings alone, or for another kind of incident, is not left with
// a message that says that something is wrong which is over.
func TestWhoWasToldOfAnIncidentHearsHowItEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		warnings, together, pager := &listener{name: "warnings"}, &listener{name: "together"}, &listener{name: "pager"}
		cfg := Config{Channels: []Channel{warnings, together, pager}, Providers: inUse(), Routes: map[string]Route{
			"warnings": {Severities: []record.Severity{record.Warning}},
			"together": {Topics: []record.Topic{record.TopicEverything}},
			"pager":    {Severities: []record.Severity{record.Critical}, Providers: []llm.Provider{llm.Gemini}},
		}}
		h := move(t, path, cfg)
		defer func() { h.stop() }()
		h.say(BreakerProbeFailed, gemini)
		h.say(BreakerProbeFailed, claude)
		h.say(BreakerOpened, openai)
		want(t, warnings.told(), "1 opened", "1 resolved", "2 opened")
		h.say(BreakerOpened, local) // nobody is left
		h.stop()
		h = move(t, path, cfg)
		h.pass(time.Second)
		for _, p := range []llm.Target{gemini, claude, openai} {
			h.say(TargetServed, p)
		}
		h.pass(DefaultWellFor + 2*time.Second) // it goes on as that of the local one
		h.say(TargetServed, local)
		h.pass(MaxWellFor)
		for _, l := range []*listener{warnings, together, pager} {
			if told := l.told(); told[len(told)-1] != "2 resolved" {
				t.Errorf("%s was told %v", l.name, told)
			}
		}
	})
}
