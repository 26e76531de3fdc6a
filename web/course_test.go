package web

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/record"
)

func TestAProvidersPageShowsWhatHappenedAndItsHealth(t *testing.T) {
	_, h := newServer(t, &fake{status: busy(), detail: geminiDetail()})
	page := text(t, get(t, h, "/providers/gemini").Body.String())
	for _, want := range []string{
		"State open 24 min, held 48 min, half-open 3 min",
		"Latency p95 2.0 s, at most 6.6 s usual 1.8–2.4 s", "First token p95",
		"Incident 41 : Gemini was failing. It lasted 40 minutes.",
		"Failed by its fault: network, timeout, server error, broken answer 270",
		"Availability no data 99.68%", "Open no data 24 min", "Downtime by incidents no data 40 min", "Callers served by whomever 99.80% 99.95%",
		"Slow is more than twice the usual p95: now more than 4.2 s",
		"Time to first token gemini-2.5-flash 1.9 s 620 ms of 41,204 requests +4.2 enough: unusual",
		"Errors gemini-2.5-pro at eu 3.1% 0.4% of 1,204 requests +2.1 55% of what decides", "−0.3 none",
		"default free Answered 11:59:26 212 ms about 12:04:07", "eu free Failed network: connection refused 11:58:47 10 s due",
		"a tiny request, paid for",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q; it says\n%s", want, page)
		}
	}
}

func TestWithoutDataAProvidersPageSaysSo(t *testing.T) {
	c := Course{From: testNow.Add(-time.Hour), To: testNow, Step: 30 * time.Minute, Points: make([]Moment, 2), Rows: []Moment{{At: testNow.Add(-time.Hour)}, {At: testNow.Add(-30 * time.Minute)}},
		Stretches: []Stretch{{testNow.Add(-time.Hour), testNow, unseenState}}}
	_, h := newServer(t, &fake{status: well(), detail: Detail{Course: c, Records: []Record{{Window: "5 minutes"}}}})
	body := get(t, h, "/providers/gemini").Body.String()
	page := text(t, body)
	for _, want := range []string{"State no data", "Latency p50 no data", "Errors no data", "Health of 100 no data", "Availability no data", "Closed no data", "Downtime by incidents no data", "Nothing is compared yet", "None was sent"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q; it says\n%s", want, page)
		}
	}
	if strings.Contains(body, "NaN") || strings.Contains(body, `class="line"`) {
		t.Error("nothing is drawn as something")
	}
}

func TestAGapInACourseStaysAGap(t *testing.T) {
	step := func(i int) time.Time { return testNow.Add(time.Duration(i) * time.Minute) }
	c := Course{From: testNow, To: step(6), Step: time.Minute}
	for i, p95 := range []int{1, 2, 0, 3, 0, 4} {
		m := Moment{At: step(i)}
		if p95 > 0 {
			m.P95 = Known(time.Duration(p95) * time.Second)
		}
		c.Points = append(c.Points, m)
	}
	line := c.traces()[1]
	if got := strings.Map(func(r rune) rune {
		if strings.ContainsRune("MLh", r) {
			return r
		}
		return -1
	}, line.Line); got != "MLMhMh" {
		t.Errorf("the line goes %q: %s", got, line.Line)
	}
	if line.Peak != 4*time.Second || line.Last != Known(4*time.Second) {
		t.Errorf("got %+v", line)
	}
}

func TestAShortStateIsSeenOnALongAxis(t *testing.T) {
	from := testNow.AddDate(0, 0, -30)
	c := Course{From: from, To: testNow, Stretches: []Stretch{
		{from, testNow.Add(-time.Hour), record.Closed}, {testNow.Add(-time.Hour), testNow.Add(-59 * time.Minute), record.Open}, {testNow.Add(-59 * time.Minute), testNow, record.Closed},
	}}
	all := c.band()
	last := all[len(all)-1]
	if last.Class != "ok" && last.Class != "bad" || !slices.ContainsFunc(all, func(b block) bool { return b.Class == "bad" && b.Width == "1.5" }) {
		t.Errorf("got %+v", all)
	}
	if all[0].Class != "ok" || c.stateWords() != "open 1 min" {
		t.Errorf("got %+v, %q", all, c.stateWords())
	}
}

func TestLengthsAreBrief(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Millisecond: "<1 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min", time.Hour: "1 h", 90 * time.Minute: "1 h 30 min",
		48 * time.Hour: "2 d", 50*time.Hour + time.Minute: "2 d 2 h",
	} {
		if got := shortly(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestAHealthScoreIsNeverRoundedUp(t *testing.T) {
	for v, want := range map[float64]string{100: "100", 99.99: "99.9", 0: "0", 97.25: "97.2"} {
		if got := score(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestStatusJSONTellsUptimeAndNullWithoutData(t *testing.T) {
	s := well()
	s.Providers[0].Uptimes = []Uptime{{"24h", Known(0.9991)}, {"90d", Figure[float64]{}}}
	_, h := newServer(t, &fake{status: s})
	var got struct {
		Components []struct {
			ID     string
			Uptime map[string]*float64
		}
	}
	if err := json.Unmarshal(get(t, h, "/status.json").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	up := got.Components[0].Uptime
	if v, told := up["90d"]; len(up) != 2 || up["24h"] == nil || *up["24h"] != 0.9991 || !told || v != nil {
		t.Errorf("got %+v", got.Components[0])
	}
}

func TestAProviderWhoseKeysAllCoolDownIsNotCalledOperational(t *testing.T) {
	s := well()
	p := &s.Providers[0]
	p.State, p.Keys = Degraded, KeysOut{Usable: 2, All: 2, Cooling: 2, Until: testNow.Add(20 * time.Second)}
	v := Judge(s)
	if v.Level != LevelDegraded || !strings.Contains(v.Headline, "Gemini is degraded. Its traffic is going to Claude.") {
		t.Errorf("got %+v", v)
	}
	if got := p.reason(); got != "Every usable key is cooling down after a rate limit; the first is back at 12:00:27 UTC" {
		t.Errorf("got %q", got)
	}
	if got := p.breakerNote(testNow); !strings.Contains(got, "every usable key cools down") {
		t.Errorf("got %q", got)
	}
	p.Keys.Cooling = 1
	if divertsTraffic(*p) {
		t.Error("one key that cools down diverts no traffic")
	}
}

func TestStatusJSONListsIncidentsUntilTheyAreOver(t *testing.T) {
	for state, want := range map[record.IncidentState]string{record.Ongoing: "investigating", record.Mitigated: "identified", record.Recovering: "monitoring", record.Resolved: "", record.Pending: ""} {
		s := degraded()
		s.Incidents = s.Incidents[len(s.Incidents)-1:]
		s.Incidents[0].State = state
		got := ""
		for _, in := range summarise(s, "").Incidents {
			got = in.Status
		}
		if got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
}
