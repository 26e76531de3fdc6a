package web

import (
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestVerdictSaysWhatIsWrongWhereTrafficGoesAndWhoFeelsIt(t *testing.T) {
	edit := func(s Status, change func(*Status)) Status {
		change(&s)
		return s
	}
	for _, test := range []struct {
		name        string
		status      Status
		level       Level
		headline    string
		consequence string
		title       string
	}{
		{"all well", well(), LevelOperational,
			"All providers are operational.", "99.8% of requests succeeded in the last 15 minutes.", "All operational"},
		{"no failure at all", edit(well(), func(s *Status) { s.Numbers.Served, s.Numbers.Failed = 1204, 0 }), LevelOperational,
			"All providers are operational.", "All 1,204 requests of the last 15 minutes succeeded.", "All operational"},
		{"one request", edit(well(), func(s *Status) { s.Numbers.Served, s.Numbers.Failed = 1, 0 }), LevelOperational,
			"All providers are operational.", "The one request of the last 15 minutes succeeded.", "All operational"},
		{"quiet", edit(well(), func(s *Status) { s.Numbers = Numbers{} }), LevelOperational,
			"All providers are operational.", "No requests in the last 15 minutes.", "All operational"},
		{"some not set up", edit(well(), func(s *Status) { s.Providers[1].State, s.Providers[2].State = Off, Off }), LevelOperational,
			"Gemini and Ollama are operational.", "99.8% of requests succeeded in the last 15 minutes.", "All operational"},
		{"only one set up", edit(well(), func(s *Status) { s.Providers = s.Providers[3:] }), LevelOperational,
			"Ollama is operational.", "99.8% of requests succeeded in the last 15 minutes. No other provider is set up, so there is nothing to fail over to.", "Operational"},
		{"one degraded, callers fine", degraded(), LevelDegraded,
			"Claude is degraded. Its traffic is going to Gemini.", "Callers are unaffected: 99.6% of requests succeeded in the last 15 minutes.", "Claude is degraded"},
		{"one held", held(), LevelDegraded,
			"OpenAI is held back. Its traffic is going to Gemini.", "Callers are unaffected: 99.8% of requests succeeded in the last 15 minutes.", "OpenAI is held back"},
		{"one held whose traffic another than the next takes", edit(held(), func(s *Status) {
			s.Incidents = append([]record.Incident{{Topic: record.TopicProvider, Subject: llm.OpenAI, State: record.Mitigated, Impact: record.Impact{ServedBy: llm.Claude}}}, s.Incidents...)
		}), LevelDegraded,
			"OpenAI is held back. Its traffic is going to Claude.", "Callers are unaffected: 99.8% of requests succeeded in the last 15 minutes.", "OpenAI is held back"},
		{"degraded with its breaker closed", edit(degraded(), func(s *Status) { s.Providers[1].Breaker.State = record.Closed }), LevelDegraded,
			"Claude is degraded. It still takes requests.", "Callers are unaffected: 99.6% of requests succeeded in the last 15 minutes.", "Claude is degraded"},
		{"callers affected", edit(degraded(), func(s *Status) { s.Numbers.Served, s.Numbers.Failed = 900, 100 }), LevelDegraded,
			"Claude is degraded. Its traffic is going to Gemini.", "Callers are affected: 10.0% of requests failed in the last 15 minutes.", "Claude is degraded"},
		{"trouble in silence", edit(degraded(), func(s *Status) { s.Numbers = Numbers{} }), LevelDegraded,
			"Claude is degraded. Its traffic is going to Gemini.", "No requests came in the last 15 minutes, so no caller has noticed.", "Claude is degraded"},
		{"two down, one degraded", edit(degraded(), func(s *Status) { s.Providers[0].State, s.Providers[2].State = Down, Down }), LevelDegraded,
			"Gemini and OpenAI are down and Claude is degraded. Their traffic is going to Ollama.", "Callers are unaffected: 99.6% of requests succeeded in the last 15 minutes.", "Gemini and OpenAI are down and Claude is degraded"},
		{"all down", down(), LevelDown,
			"No provider is answering. Requests are failing.", "Callers are affected: 44.4% of requests failed in the last 15 minutes. The next attempt is due at 12:00:30 UTC.", "All providers are down"},
		{"the only one down", edit(down(), func(s *Status) { s.Providers, s.Numbers = s.Providers[3:], Numbers{Failed: 12} }), LevelDown,
			"Ollama is down. No other provider is set up, so requests are failing.", "Callers are affected: no request succeeded in the last 15 minutes, 12 failed. The next attempt is due at 12:00:57 UTC.", "Ollama is down"},
		{"all down, and nobody asks", edit(down(), func(s *Status) { s.Numbers = Numbers{} }), LevelDown,
			"No provider is answering. Requests would fail.", "No requests came in the last 15 minutes, so no caller has noticed. The next attempt is due at 12:00:30 UTC.", "All providers are down"},
		{"requests fail though providers answer", edit(well(), func(s *Status) { s.Numbers.Served, s.Numbers.Failed = 90, 10 }), LevelDegraded,
			"The providers answer, but requests are failing.", "Callers are affected: 10.0% of requests failed in the last 15 minutes.", "Requests are failing"},
		{"nothing asked yet", newcomer(), LevelUnknown,
			"Ready, and waiting for the first request.", "Only Ollama, on your own machine, is set up. With a cloud provider's key as well there is somewhere to fail over to.", "Ready"},
		{"nothing asked yet of several", edit(newcomer(), func(s *Status) { s.Providers[0].State = Unknown }), LevelUnknown,
			"Ready, and waiting for the first request.", "Gemini and Ollama are set up; Gemini is asked first.", "Ready"},
		{"nothing set up", edit(newcomer(), func(s *Status) { s.Providers = s.Providers[:3] }), LevelUnknown,
			"No provider is set up.", "Requests are refused until there is one: set a provider's key or start Ollama, then start Breakwater again.", "Not set up"},
		{"recorder trouble", edit(well(), func(s *Status) { s.Dropped = 1204 }), LevelDegraded,
			"Requests are being served, but not all of them are recorded.", "99.8% of requests succeeded in the last 15 minutes. The record has gaps: 1,204 samples could not be recorded since 19 Nov 08:00 UTC.", "Record has gaps"},
		{"recorder trouble beside worse", edit(degraded(), func(s *Status) { s.Dropped = 1 }), LevelDegraded,
			"Claude is degraded. Its traffic is going to Gemini.", "Callers are unaffected: 99.6% of requests succeeded in the last 15 minutes. The record has gaps: 1 sample could not be recorded since 19 Nov 08:00 UTC.", "Claude is degraded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Judge(test.status)
			if got.Level != test.level || got.Headline != test.headline || got.Consequence != test.consequence || got.Title != test.title {
				t.Errorf("got  %s: %s\n%s\n(%s)\nwant %s: %s\n%s\n(%s)", got.Level, got.Headline, got.Consequence, got.Title,
					test.level, test.headline, test.consequence, test.title)
			}
		})
	}
}

func TestVerdictNamesTheLatestOpenIncident(t *testing.T) {
	if v := Judge(degraded()); v.Incident == nil || v.Incident.Number != 42 {
		t.Errorf("incident %+v, want number 42", v.Incident)
	}
	if v := Judge(well()); v.Incident != nil {
		t.Errorf("incident %+v though none is open", v.Incident)
	}
}

func TestFiguresInWords(t *testing.T) {
	for got, want := range map[string]string{
		percent(1, 1):                        "100%",
		percent(0.99999, 2):                  "99.99%",
		percent(0.9984, 1):                   "99.8%",
		percent(0, 1):                        "0.0%",
		percent(0.0001, 1):                   "<0.1%",
		latency(612 * time.Millisecond):      "612 ms",
		latency(6900 * time.Millisecond):     "6.9 s",
		latency(999 * time.Millisecond):      "1.0 s",
		latency(42 * time.Second):            "42 s",
		latency(3 * time.Minute):             "3 min",
		span(8*time.Minute + 20*time.Second): "8 minutes",
		span(64 * time.Minute):               "1 hour 4 minutes",
		span(-time.Second):                   "0 seconds",
		thousands(-1234567):                  "−1,234,567",
		perMinute(311.6):                     "312",
		perMinute(0.04):                      "<0.1",
		perMinute(2):                         "2",
		dollars(0):                           "$0",
		dollars(60 * usd):                    "$60",
		dollars(41_800_000_000):              "$41.80",
		dollars(4_200_000):                   "$0.0042",
		dollars(50_000):                      "<$0.0001",
		dollars(1_234_560_000_000):           "$1,235",
		names([]string{"A", "B", "C"}):       "A, B and C",
		against(Known(69*time.Second), Known(20*time.Second)):  "3.5× usual",
		against(Known(96*time.Second), Known(100*time.Second)): "−4% vs usual",
		against(Figure[time.Duration]{}, Known(time.Second)):   "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBudgetsAreProjectedInWords(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 22, hour, 0, 0, 0, time.UTC) }
	for _, test := range []struct {
		budget Budget
		now    time.Time
		want   string
		class  severity
	}{
		{Budget{Period: PerDay, Cap: 60 * usd, Spent: 20 * usd}, at(12), "On course for $40 today.", dayGood},
		{Budget{Period: PerDay, Cap: 60 * usd, Spent: 40 * usd}, at(12), "Runs out about 18:00 UTC at this pace.", dayWarn},
		{Budget{Period: PerDay, Cap: 60 * usd, Spent: 60 * usd}, at(12), "Used up; a new day begins at 00:00 UTC.", dayBad},
		{Budget{Period: PerMonth, Cap: 60 * usd, Spent: 61 * usd}, at(12), "Used up; a new month begins at 00:00 UTC on 1 December.", dayBad},
		{Budget{Period: PerMonth, Cap: 1200 * usd, Spent: 1130 * usd}, at(12), "Runs out about 23 November at this pace.", dayWarn},
		{Budget{Period: PerMonth, Spent: 43 * usd}, at(12), "On course for $60 in November.", dayGood},
		{Budget{Period: PerDay, Cap: 60 * usd, Spent: 20 * usd}, at(1), "Too early in the day to project.", dayGood},
		{Budget{Period: PerDay, Cap: 60 * usd}, at(12), "Nothing spent yet.", dayGood},
	} {
		if got := project(test.budget, test.now); got.Words != test.want || got.Class != test.class {
			t.Errorf("%+v at %s: %q (%s), want %q (%s)", test.budget, test.now, got.Words, got.Class, test.want, test.class)
		}
	}
}

func TestAMissingDayIsAGapAndNotZero(t *testing.T) {
	today := testNow.Truncate(24 * time.Hour)
	days := quarter([]Day{{Date: today, Served: 98, Failed: 2}, {Date: today.AddDate(0, 0, -200), Failed: 9}}, testNow)
	if len(days) != DayCount || !days[DayCount-1].Date.Equal(today) {
		t.Fatalf("%d days, the last %s", len(days), days[len(days)-1].Date)
	}
	if got := days[0].severity(); got != dayNone {
		t.Errorf("a day without data is %s", got)
	}
	if got := days[DayCount-1].severity(); got != dayWarn {
		t.Errorf("a day with 2%% of failures is %s", got)
	}
	if up := uptime(days); !up.Known || up.Value != 0.98 {
		t.Errorf("uptime %+v counts days that it should not", up)
	}
	if got := (Day{Served: 9, Failed: 1}).severity(); got != dayBad {
		t.Errorf("a day with 10%% of failures is %s", got)
	}
}

func TestAMissingMinuteBreaksTheLine(t *testing.T) {
	points := hour(time.Second, 0, 1)
	whole := drawHour(points, Figure[Band]{}, testNow)
	if n := strings.Count(whole.Line, "M"); n != 1 {
		t.Errorf("a whole hour is drawn in %d pieces", n)
	}
	broken := drawHour(append(points[:20:20], points[40:]...), Figure[Band]{}, testNow)
	if n := strings.Count(broken.Line, "M"); n != 2 {
		t.Errorf("an hour with a gap is drawn in %d pieces, want 2", n)
	}
	if one := drawHour(points[30:31], Figure[Band]{}, testNow); !strings.Contains(one.Line, "h") {
		t.Errorf("a lone minute leaves no mark: %q", one.Line)
	}
	if none := drawHour(nil, Known(Band{time.Second, 2 * time.Second}), testNow); none.Line != "" {
		t.Errorf("no data is drawn as %q", none.Line)
	}
}

func TestRowsSayHowTheBreakerIs(t *testing.T) {
	soon := testNow.Add(30 * time.Second)
	for _, test := range []struct {
		provider Provider
		want     string
	}{
		{Provider{}, "breaker closed"},
		{Provider{Breaker: Breaker{State: record.Closed, Failures: 2, Threshold: 3}}, "breaker closed, 2 of 3 failures"},
		{Provider{Breaker: Breaker{State: record.Open, NextProbe: soon}}, "breaker open, next probe 12:00:37"},
		{Provider{Breaker: Breaker{State: record.Open, NextProbe: testNow}}, "breaker open, probe due with the next request"},
		{Provider{Breaker: Breaker{State: record.HalfOpen}}, "breaker half-open, probing"},
		{Provider{Name: llm.Claude, Hold: &record.Hold{Expires: soon}}, "breaker closed, held until 12:00"},
	} {
		if got := test.provider.breakerNote(testNow); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
