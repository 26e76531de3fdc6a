package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/web"
)

var burnStart = time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC)

// heardSignals gives conditions and the list of what they say.
func heardSignals() (*conditions, *[]alerts.Signal) {
	var all []alerts.Signal
	return newConditions(func(s alerts.Signal) { all = append(all, s) }), &all
}

// saidOf writes signals as "raised critical availability".
func saidOf(all []alerts.Signal) string {
	var words []string
	for _, s := range all {
		w := string(s.Kind)
		if s.Kind == alerts.Raised {
			w += " " + string(s.Severity)
		}
		words = append(words, w+" "+s.Name)
	}
	return strings.Join(words, ", ")
}

// evenTraffic has requests come evenly, and every so many fail or be slow.
type evenTraffic struct {
	b   *burn
	now time.Time
}

func (e *evenTraffic) pass(d time.Duration, perHour, failEvery, slowEvery int) {
	pause := time.Hour / time.Duration(perHour)
	looked := e.now
	for n, end := 1, e.now.Add(d); e.now.Before(end); n++ {
		t := &record.Trace{Accepted: e.now, Took: time.Second, Outcome: record.Served}
		if failEvery > 0 && n%failEvery == 0 {
			t.Outcome = record.Failed
		} else if slowEvery > 0 && n%slowEvery == 0 {
			t.Took = 30 * time.Second
		}
		e.b.note(t)
		e.now = e.now.Add(pause)
		for ; looked.Before(e.now); looked = looked.Add(BurnLook) {
			e.b.look(looked)
		}
	}
}

func TestTheErrorBudgetsRulesFireAsTheirWindowsSay(t *testing.T) {
	for name, c := range map[string]struct {
		perHour, fail, slow int
		lasts, after        time.Duration
		want                string
	}{
		"everyday failures":                {600, 400, 0, 6 * time.Hour, time.Hour, ""},
		"a fifth fails for half an hour":   {600, 5, 0, 30 * time.Minute, time.Hour, "raised critical availability, cleared availability"},
		"a tenth fails for a minute":       {3600, 10, 0, time.Minute, time.Hour, ""},
		"four in a hundred, for hours":     {600, 25, 0, 5 * time.Hour, time.Hour, "raised critical availability, cleared availability"},
		"one in a hundred, for two days":   {600, 100, 0, 48 * time.Hour, 8 * time.Hour, "raised warning availability, cleared availability"},
		"one failure in an hour of ten":    {10, 10, 0, 5 * time.Hour, time.Hour, ""},
		"nine in ten slow for an hour":     {600, 0, 1, time.Hour, time.Hour, "raised critical latency, cleared latency"},
		"as many slow as the budget bears": {600, 0, 25, 24 * time.Hour, time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cond, all := heardSignals()
			slo := config.SLO{Availability: 0.995, Latency: 10 * time.Second, Share: 0.95, Window: 30 * 24 * time.Hour}
			e := evenTraffic{b: newBurn(slo, cond), now: burnStart}
			e.pass(73*time.Hour, c.perHour, 0, 0)
			e.pass(c.lasts, c.perHour, c.fail, c.slow)
			e.pass(c.after, c.perHour, 0, 0)
			if got := saidOf(*all); got != c.want {
				t.Errorf("said %q, want %q", got, c.want)
			}
			for _, s := range *all {
				t.Log(s.Text)
			}
		})
	}
}

func TestTheRatesAreThoseOfTheWorkbookForAMonth(t *testing.T) {
	for i, want := range []float64{14.4, 6, 1} {
		if got := BurnRules()[i].rate(30 * 24 * time.Hour); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("rule %d: %v, want %v", i, got, want)
		}
	}
}

func TestABudgetIsToldOnceAtEachStepAndOverWithItsPeriod(t *testing.T) {
	cond, all := heardSignals()
	spent := 0.0
	p := &budgetPace{
		budgets:    []budget{{name: "all", period: web.PerDay, amount: 100e9}},
		conditions: cond,
		spend: func(context.Context, time.Time, time.Time) (map[llm.Provider]record.NanoUSD, error) {
			return map[llm.Provider]record.NanoUSD{llm.OpenAI: record.NanoUSD(spent * 1e9)}, nil
		},
	}
	for minute := range 26 * 60 {
		now := burnStart.Add(time.Duration(minute) * time.Minute)
		if spent += 100.0 / (20 * 60); minute == 24*60 { // gone after 20 hours
			spent = 0
		}
		if err := p.look(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	want := "raised info all, raised warning all, raised warning all, cleared all"
	if got := saidOf(*all); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	for i, title := range []string{"The budget all will not last", "The budget all is spent to 80 %", "The budget all is spent"} {
		if (*all)[i].Title != title || !strings.Contains((*all)[i].Text, "of $100.00 are spent") {
			t.Errorf("%+v, want the title %q", (*all)[i], title)
		}
	}
	if first := (*all)[0]; first.At.Sub(burnStart).Round(time.Hour) != 10*time.Hour || !strings.Contains(first.Text, "It is spent by 2 March 19:5") {
		t.Errorf("%+v", first)
	}
}

func TestABudgetThatLastsIsNotTold(t *testing.T) {
	cond, all := heardSignals()
	var now time.Time
	p := &budgetPace{
		budgets: []budget{{name: "all", period: web.PerMonth, amount: 310e9}}, conditions: cond,
		spend: func(_ context.Context, from, _ time.Time) (map[llm.Provider]record.NanoUSD, error) {
			return map[llm.Provider]record.NanoUSD{llm.OpenAI: record.NanoUSD(now.Sub(from).Hours() / 24 * 10e9)}, nil
		},
	}
	for hour := range 31 * 24 {
		now = burnStart.AddDate(0, 0, -1).Add(time.Duration(hour) * time.Hour)
		if err := p.look(t.Context(), now); err != nil || len(*all) > 0 {
			t.Fatalf("%s: %v, %q", now, err, saidOf(*all))
		}
	}
}

func TestAConditionIsClearedWhenNobodySaysItAnyMoreAlsoAfterARestart(t *testing.T) {
	cond, all := heardSignals()
	s := alerts.Signal{At: burnStart, Topic: record.TopicThrottling, Provider: llm.Gemini, Target: llm.Target{Provider: llm.Gemini, Model: "flash"}, Severity: record.Warning, Title: "x"}
	for range 5 {
		cond.raise(s, conditionCalm, "throttling")
		s.At = s.At.Add(time.Minute)
		cond.calm(s.At)
	}
	if got := saidOf(*all); got != "raised warning " {
		t.Fatalf("said %q", got)
	}
	open := record.Incident{Topic: s.Topic, Subject: llm.Gemini, Model: "flash", Severity: s.Severity, Title: s.Title}
	after, heard := heardSignals()
	after.restore([]record.Incident{open, {Topic: record.TopicKey, Subject: llm.Gemini, Key: "k"}}, s.At)
	cond.calm(s.At.Add(conditionCalm))
	after.calm(s.At.Add(conditionLong + time.Second))
	for _, signals := range [][]alerts.Signal{(*all)[1:], *heard} {
		if len(signals) != 1 || signals[0].Kind != alerts.Cleared || signals[0].Target.Model != "flash" || signals[0].Topic != s.Topic {
			t.Errorf("%+v, want one that is cleared", signals)
		}
	}
}

func TestABreakerThatStaysOpenIsToldAfterFiveMinutesAndUntilItCloses(t *testing.T) {
	target := llm.Target{Provider: llm.Gemini, Model: "flash"}
	state := record.Open
	var all []alerts.Signal
	s := &stuck{
		breakers: func() []router.BreakerState { return []router.BreakerState{{Target: target, State: state}} },
		signal:   func(g alerts.Signal) { all = append(all, g) },
		since:    map[llm.Target]time.Time{}, told: map[llm.Target]time.Time{},
	}
	for at := time.Duration(0); at < 10*time.Minute; at += stuckLook {
		s.look(burnStart.Add(at))
		if state = record.Open; at%time.Minute < 10*time.Second {
			state = record.HalfOpen // a probe, which fails
		}
	}
	state = record.Closed
	s.look(burnStart.Add(10 * time.Minute))
	s.look(burnStart.Add(11 * time.Minute))
	if len(all) != 6 || all[0].At.Sub(burnStart) != StuckAfter || !all[0].Matters || all[5].Kind != alerts.TroubleEnded {
		t.Errorf("%d signals: %+v", len(all), all)
	}
}

func TestSharesAreNeverWrittenAsPowersOfTen(t *testing.T) {
	for share, want := range map[float64]string{1: "100 %", 0.999: "100 %", 0.57: "57 %", 0.12: "12 %", 0.072: "7.2 %", 0.02: "2 %", 0.005: "0.5 %", 0.0005: "0.05 %", 0: "0 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v is written as %q, want %q", share, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		100 * time.Hour: "4.2 days", 100 * 24 * time.Hour: "100 days", 1000 * 24 * time.Hour: "1000 days", 3*time.Hour + 36*time.Minute: "3.6 hours", 47 * time.Hour: "47 hours",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is written as %q, want %q", d, got, want)
		}
	}
}
