package alerts

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

var (
	openai = llm.Target{Provider: llm.OpenAI, Model: "gpt-4o"}
	local  = llm.Target{Provider: llm.Local, Model: "llama3"}
)

// live runs a test in a house with one channel, where time is virtual.
func live(t *testing.T, cfg Config, test func(t *testing.T, h *house, l *listener)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		cfg.Channels = []Channel{l}
		h := move(t, path, cfg)
		defer h.stop()
		test(t, h, l)
	})
}

// all of the providers that the tests use.
func inUse() []llm.Provider { return []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI, llm.Local} }

// requests gives signals of requests, each second for a time.
func (h *house) requests(k SignalKind, p llm.Provider, each int64, d time.Duration) {
	for range d / time.Second {
		h.Signal(Signal{At: time.Now(), Provider: p, Kind: k, Requests: each, Text: string(k)})
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

// kinds gives the kinds of event of an incident's timeline.
func kinds(i record.Incident) string {
	var all []string
	for _, e := range i.Timeline {
		all = append(all, e.Kind)
	}
	return strings.Join(all, " ")
}

// text gives the texts of an incident's events of a kind.
func text(i record.Incident, kind string) string {
	var all []string
	for _, e := range i.Timeline {
		if e.Kind == kind {
			all = append(all, e.Text)
		}
	}
	return strings.Join(all, "\n")
}

// incident reads an incident as it was written.
func (h *house) incident(number int64) record.Incident {
	h.t.Helper()
	i, err := h.store.Incident(context.Background(), number)
	if err != nil {
		h.t.Fatal(err)
	}
	return i
}

func TestAnIncidentIsMitigatedWhileCallersAreServedElsewhere(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, l *listener) {
		h.say(BreakerProbeFailed, gemini)
		h.requests(Rerouted, llm.Gemini, 1, ServedFor+2*time.Second)
		want(t, h.states(), "gemini mitigated")
		if i := h.incident(1); i.Severity != record.Warning || i.Mitigated.IsZero() {
			t.Errorf("%+v, want a warning with the instant of its mitigation", i)
		}
		h.requests(CallerFailed, llm.Gemini, 1, 1*time.Second) // a trickle
		want(t, h.states(), "gemini mitigated")
		h.requests(CallerFailed, llm.Gemini, 4, time.Second) // merged into one signal
		want(t, h.states(), "gemini open")
		want(t, l.told(), "1 opened", "1 changed")
		h.pass(2 * time.Minute) // no traffic: nothing shows that callers are served
		want(t, h.states(), "gemini open")
		h.requests(Rerouted, llm.Gemini, 1, ServedFor+2*time.Second)
		want(t, h.states(), "gemini mitigated")
		want(t, l.told(), "1 opened", "1 changed", "1 changed")
		if i := h.incident(1); i.Severity != record.Critical {
			t.Errorf("severity %s, want the worst that it was", i.Severity)
		}
		h.say(BreakerClosed, gemini)
		want(t, h.states(), "gemini recovering")
		h.pass(DefaultWellFor)
		want(t, l.told(), "1 opened", "1 changed", "1 changed", "1 resolved")
	})
}

func TestAnIncidentIsCriticalAtOnceWhereNothingElseWorks(t *testing.T) {
	live(t, Config{Providers: []llm.Provider{llm.Gemini}}, func(t *testing.T, h *house, l *listener) {
		h.say(BreakerOpened, gemini)
		h.say(BreakerProbeFailed, gemini)
		want(t, l.told(), "1 opened")
		if l.sent[0].Incident.Severity != record.Critical {
			t.Errorf("severity %s", l.sent[0].Incident.Severity)
		}
	})
}

func TestTheTimelineTellsWhatItMeantForCallers(t *testing.T) {
	seconds := int64(0)
	cfg := Config{Impact: func(_ context.Context, _ llm.Provider, from, to time.Time) (record.Impact, error) {
		seconds = int64(to.Sub(from) / time.Second)
		return record.Impact{ServedBy: llm.Claude, Rerouted: seconds, Failed: 2, Added: 350 * time.Millisecond, Extra: 1_500_000_000}, nil
	}}
	live(t, cfg, func(t *testing.T, h *house, _ *listener) {
		h.say(BreakerOpened, gemini)
		h.pass(time.Minute)
		h.say(BreakerProbeFailed, gemini)
		h.requests(Rerouted, llm.Gemini, 1, ServedFor+2*time.Second)
		h.say(BreakerClosed, gemini)
		h.pass(DefaultWellFor)
		i := h.incident(1)
		if got := kinds(i); got != "breaker breaker opened figures mitigated figures recovered recovering figures resolved" {
			t.Errorf("timeline %s", got)
		}
		first, _, _ := strings.Cut(text(i, figuresEvent), "\n")
		if first != "So far 2 requests failed; 61 were served elsewhere, most by Claude. Those served elsewhere took 350 ms longer on average. Calls that did not serve cost $1.50." {
			t.Errorf("figures %q", first)
		}
		if i.Impact.Rerouted != seconds || i.Impact.Added != 350*time.Millisecond {
			t.Errorf("impact %+v, want that of the end", i.Impact)
		}
	})
}

func TestFiguresOnlyGrow(t *testing.T) {
	before := record.Impact{ServedBy: llm.Claude, Rerouted: 10, Failed: 5, Added: time.Second, Extra: 7}
	if got := grown(before, record.Impact{ServedBy: llm.Gemini, Rerouted: 3, Failed: 6, Added: time.Minute}); got != (record.Impact{
		ServedBy: llm.Claude, Rerouted: 10, Failed: 6, Added: time.Second, Extra: 7}) {
		t.Errorf("%+v", got)
	}
	if got, now := grown(before, record.Impact{Rerouted: 11, Failed: 5, Extra: 8}), (record.Impact{Rerouted: 11, Failed: 5, Extra: 8}); got != now {
		t.Errorf("%+v", got)
	}
}

func TestSeveralProvidersInTroubleTogetherAreOneIncident(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, l *listener) {
		for _, p := range []llm.Target{gemini, claude} {
			h.say(BreakerOpened, p)
		}
		h.say(BreakerProbeFailed, gemini)
		h.say(BreakerOpened, openai)
		want(t, h.states(), " open")
		want(t, l.told(), "1 opened")
		i := h.incident(1)
		if i.Topic != record.TopicEverything || i.Title != "3 of 4 providers are failing" || !slices.Equal(i.Parts(), []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI}) {
			t.Errorf("%+v", i)
		}
		h.say(BreakerOpened, local)
		want(t, l.told(), "1 opened", "1 changed") // nobody is left
		titles := []string{h.incident(1).Title}
		for _, p := range []llm.Target{gemini, claude, openai, local} {
			h.say(BreakerClosed, p)
			titles = append(titles, h.incident(1).Title)
		}
		want(t, titles, "Every provider is failing", "3 of 4 providers are failing", "2 of 4 providers are failing", "Ollama is failing", "Ollama is failing")
		want(t, strings.Split(text(h.incident(1), recoveredEvent), "\n"),
			"gemini/gemini-2.5-flash: breaker_closed", "Gemini is well again; Claude, OpenAI and Ollama are not yet.",
			"claude/claude-3-5-sonnet: breaker_closed", "Claude is well again; OpenAI and Ollama are not yet.",
			"openai/gpt-4o: breaker_closed", "OpenAI is well again; Ollama is not yet.", "local/llama3: breaker_closed")
		h.pass(DefaultWellFor)
		want(t, h.states())
		want(t, l.told(), "1 opened", "1 changed", "1 resolved")
		if i := h.incident(1); i.Severity != record.Critical || i.Title != "Every provider is failing" || strings.Count(kinds(i), record.EventJoined) != 4 {
			t.Errorf("%+v", i)
		}
	})
}

// Whoever follows several providers' trouble hears of each that is well again, once
// that is sure, and of one that is in trouble again after that.
func TestPeopleHearWhichOfSeveralProvidersAreWellAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		cfg := Config{Channels: []Channel{l}, Providers: inUse()}
		h := move(t, path, cfg)
		defer func() { h.stop() }()
		for _, p := range []llm.Target{gemini, claude, openai, local} {
			h.say(BreakerOpened, p)
		}
		for range 3 { // now and then is not well
			h.say(BreakerClosed, gemini)
			h.say(BreakerOpened, gemini)
		}
		heard := len(l.told())
		news := func(all ...string) {
			t.Helper()
			var got []string
			for _, m := range l.messages()[heard:] {
				got = append(got, m.Text)
			}
			want(t, got, all...)
		}
		h.say(BreakerClosed, gemini)
		h.say(BreakerClosed, claude)
		h.pass(DefaultWellFor - 10*time.Second)
		news()
		h.pass(10 * time.Second)
		both := "Gemini and Claude are well again; OpenAI and Ollama are not yet."
		news(both)
		if causes := strings.Join(l.messages()[heard].causes(), "\n"); strings.Contains(causes, "gemini") || !strings.Contains(causes, "openai/gpt-4o: ") || !strings.Contains(causes, "local/") {
			t.Errorf("what is wrong: %q", causes)
		}
		if said := text(h.incident(1), record.EventBack) + text(h.incident(1), recoveredEvent); strings.Count(said, "Gemini is well") > 0 || strings.Count(said, both) != 1 {
			t.Errorf("the timeline says %q", said)
		}
		h.stop()
		h = move(t, path, cfg)
		h.pass(time.Second)
		for _, p := range []llm.Target{gemini, claude} {
			h.say(TargetServed, p)
		}
		h.pass(2 * DefaultWellFor)
		news(both) // a restart repeats nothing
		h.say(BreakerOpened, gemini)
		news(both, "Gemini is in trouble again.")
	})
}

func TestAProvidersFindingEndsThoughThatOfAnotherIsRepeated(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, _ *listener) {
		find := func(target llm.Target) {
			h.Signal(Signal{At: time.Now(), Provider: target.Provider, Target: target, Kind: TroubleFound, Matters: true, Text: "slow"})
			synctest.Wait()
		}
		find(gemini)
		for range 2 + int(CalmAfter/time.Minute) {
			find(claude)
			h.pass(time.Minute)
		}
		if i := h.incident(2); i.Title != "Claude is failing" || !strings.Contains(text(i, recoveredEvent), "Gemini is well again; Claude is not yet.") {
			t.Errorf("%+v", i)
		}
	})
}

// The error budget that an outage uses up is not paged for beside the outage. It is
// told where it lasts for long after it, as bad as it is then, and where somebody
// did not hear of the outage.
func TestAnOutageAndTheErrorBudgetItUsesUpAreToldOnce(t *testing.T) {
	burns := func(h *house, s record.Severity) {
		h.Signal(Signal{At: time.Now(), Kind: Raised, Topic: record.TopicErrorBudget, Name: "availability", Severity: s, Title: "The error budget is being used up", Text: "so fast"})
		synctest.Wait()
	}
	outage := func(h *house) {
		h.say(BreakerProbeFailed, gemini)
		h.requests(CallerFailed, llm.Gemini, 3, 5*time.Second)
	}
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, l *listener) {
		outage(h)
		burns(h, record.Critical)
		h.say(BreakerClosed, gemini)
		h.pass(DefaultWellFor + time.Second)
		want(t, l.told(), "1 opened", "1 changed", "1 resolved")
		if i := h.incident(2); i.State != record.Ongoing || !strings.Contains(text(i, silenceEvent), "told of the outage") {
			t.Errorf("%+v", i)
		}
		burns(h, record.Warning)
		h.pass(SameFailures)
		want(t, l.told()[3:], "2 opened")
		if i := h.incident(2); i.Severity != record.Warning {
			t.Errorf("%+v, want what it is now", i)
		}
	})
	all, others := &listener{name: "all"}, &listener{name: "others"}
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		h := move(t, path, Config{Channels: []Channel{all, others}, Providers: inUse(), Routes: map[string]Route{
			"others": {Topics: []record.Topic{record.TopicErrorBudget}},
		}})
		defer h.stop()
		outage(h)
		burns(h, record.Warning)
		burns(h, record.Critical) // worse
		h.say(BreakerClosed, gemini)
		h.Signal(Signal{At: time.Now(), Kind: Cleared, Topic: record.TopicErrorBudget, Name: "availability"})
		h.pass(DefaultWellFor + time.Second)
		want(t, all.told(), "1 opened", "1 changed", "1 resolved")
		want(t, others.told(), "2 opened", "2 changed", "2 resolved")
	})
}

func TestAProviderThatIsWellNowAndThenIsSaidSoOnce(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, _ *listener) {
		h.say(BreakerOpened, gemini)
		h.say(BreakerOpened, claude)
		h.say(BreakerProbeFailed, gemini)
		for range 5 {
			h.say(BreakerClosed, gemini)
			h.say(BreakerOpened, gemini)
		}
		if said := text(h.incident(1), recoveredEvent); strings.Count(said, "Gemini is well again") != 1 {
			t.Errorf("it says %q", said)
		}
	})
}

func TestTheSharesInWhichTrafficComesBackAreInTheTimelineAlone(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, l *listener) {
		share := func(target llm.Target, text string) {
			h.Signal(Signal{At: time.Now(), Provider: target.Provider, Target: target, Kind: TrafficReturned, Text: text})
			synctest.Wait()
		}
		share(gemini, "coming back with 5 % of its traffic") // of what nobody held
		want(t, h.states())
		h.say(HoldPlaced, gemini)
		share(claude, "coming back with 5 % of its traffic")
		for _, text := range []string{"coming back with 5 %", "not well yet with 5 %: slow", "coming back with 5 %", "coming back with 20 %"} {
			share(gemini, text)
			time.Sleep(time.Second)
		}
		want(t, h.states(), "gemini open")
		want(t, strings.Split(text(h.incident(1), returningEvent), "\n"), "gemini/gemini-2.5-flash: not well yet with 5 %: slow",
			"gemini/gemini-2.5-flash: coming back with 5 %", "gemini/gemini-2.5-flash: coming back with 20 %")
		want(t, l.told(), "1 opened")
		if causes := strings.Join(l.sent[0].causes(), " "); strings.Contains(causes, "coming back") {
			t.Errorf("the message says %q is wrong", causes)
		}
	})
}

func TestAnIncidentThatWasToldBecomesPartOfThatOfEveryProvider(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, l *listener) {
		for _, p := range []llm.Target{gemini, claude, openai} { // long after each other
			h.say(BreakerProbeFailed, p)
			h.pass(2 * Together)
		}
		h.say(BreakerOpened, local)
		want(t, l.told()[:3], "1 opened", "2 opened", "3 opened")
		rest := l.told()[3:]
		slices.Sort(rest)
		want(t, rest, "1 resolved", "2 resolved", "3 resolved", "4 opened")
		if i := h.incident(1); i.State != record.Resolved || text(i, partEvent) == "" {
			t.Errorf("%+v, want that it goes on as a part", i)
		}
		for _, m := range l.messages()[3:] { // nothing is well
			if said := m.headline() + m.summary() + m.plain(); m.Kind == record.NoticeResolved && (strings.Contains(said, "esolved") || strings.Contains(said, "traffic again")) {
				t.Errorf("people read %q", said)
			}
		}
		for _, p := range []llm.Target{gemini, claude, local} {
			h.say(BreakerClosed, p)
		}
		h.pass(DefaultWellFor)
		want(t, h.states(), "openai open")
		if i := h.incident(4); i.Topic != record.TopicProvider || i.Title != "OpenAI is failing" {
			t.Errorf("%+v, want that it goes on as OpenAI's", i)
		}
		h.say(BreakerOpened, gemini) // long after, and pending
		want(t, h.states(), "openai open", "gemini pending")
		h.say(BreakerClosed, openai)
		h.pass(DefaultWellFor)
		if told := l.told(); told[len(told)-1] != "4 resolved" || told[len(told)-2] != "4 changed" {
			t.Errorf("told %v", told)
		}
	})
}

func TestTroubleThatComesBackSoonGoesOnUnderItsNumber(t *testing.T) {
	live(t, Config{}, func(t *testing.T, h *house, l *listener) {
		outage := func() {
			h.say(BreakerOpened, gemini)
			h.say(BreakerProbeFailed, gemini)
			h.say(BreakerClosed, gemini)
			h.pass(DefaultWellFor)
		}
		outage()
		h.pass(20 * time.Minute)
		outage()
		want(t, h.states(), "gemini recovering") // for longer than the first time
		h.pass(DefaultWellFor)
		want(t, l.told(), "1 opened", "1 resolved", "1 reopened", "1 resolved")
		if i := h.incident(1); i.Reopened != 1 || strings.Count(kinds(i), "reopened") != 1 || strings.Count(kinds(i), "opened") != 2 {
			t.Errorf("%+v", i)
		}
		h.pass(ReopenWithin)
		outage()
		want(t, l.told()[4:], "2 opened", "2 resolved")
	})
}

func TestAnIncidentGoesOnUnderItsNumberAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		cfg := Config{Channels: []Channel{l}}
		h := move(t, path, cfg)
		h.say(HoldPlaced, gemini)
		h.say(HoldEnded, gemini)
		h.stop() // while it recovers
		h = move(t, path, cfg)
		h.pass(time.Minute)
		want(t, h.states(), "gemini recovering")
		h.pass(time.Minute)
		want(t, l.told(), "1 opened", "1 resolved")
		h.stop()
		h = move(t, path, cfg)
		defer h.stop()
		h.say(HoldPlaced, gemini)
		want(t, l.told(), "1 opened", "1 resolved", "1 reopened")
	})
}

func TestAProviderThatIsNoLongerInUseHoldsNoIncidentOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}, Providers: inUse()})
		h.say(BreakerProbeFailed, gemini)
		h.say(BreakerProbeFailed, claude)
		h.stop()
		h = move(t, path, Config{Channels: []Channel{l}, Providers: []llm.Provider{llm.Claude, llm.Local}})
		h.pass(0)
		h.say(TargetServed, claude)
		h.stop()
		h = move(t, path, Config{Channels: []Channel{l}, Providers: []llm.Provider{llm.Local}})
		defer h.stop()
		h.pass(DefaultWellFor)
		if told := l.told(); told[len(told)-1] != "2 resolved" || len(h.states()) != 0 {
			t.Errorf("told %v, and there are %v", told, h.states())
		}
	})
}

func TestFlappingIsSaidOnce(t *testing.T) {
	live(t, Config{}, func(t *testing.T, h *house, l *listener) {
		for range 10 {
			h.say(BreakerOpened, gemini)
			h.pass(time.Minute)
			h.say(BreakerProbeFailed, gemini)
			h.say(BreakerClosed, gemini)
			h.pass(time.Minute)
		}
		want(t, h.states(), "gemini recovering")
		want(t, l.told(), "1 opened", "1 changed")
		if got := text(h.incident(1), flappingEvent); got != "Flapping: it came 10 times in 17 min." {
			t.Errorf("%q", got)
		}
		if n := len(h.incident(1).Timeline); n > 12 {
			t.Errorf("%d events for ten times the same: %s", n, kinds(h.incident(1)))
		}
		h.pass(MaxWellFor)
		want(t, l.told(), "1 opened", "1 changed", "1 resolved")
	})
}

// raise gives a signal of a condition now.
func (h *house) raise(k SignalKind, severity record.Severity, words string) {
	h.Signal(Signal{At: time.Now(), Kind: k, Topic: record.TopicBudget, Name: "team", Severity: severity, Title: "The budget of team is spent fast", Text: words})
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// toldAll has the channel a hear of everything.
func toldAll() map[string]Route { return map[string]Route{"a": {Severities: record.Severities()}} }

func TestAConditionOpensAtOnceAndEndsWhenItIsCleared(t *testing.T) {
	live(t, Config{Routes: toldAll()}, func(t *testing.T, h *house, l *listener) {
		h.raise(Raised, record.Info, "12 % in an hour")
		h.pass(2 * time.Minute)
		for i := range 50 {
			h.raise(Raised, record.Info, fmt.Sprintf("%d %% in an hour", 20+i))
		}
		want(t, l.told(), "1 opened")
		i := h.incident(1)
		if i.Topic != record.TopicBudget || i.Name != "team" || i.Severity != record.Info || kinds(i) != "condition condition" || text(i, conditionEvent) != "12 % in an hour\n20 % in an hour" {
			t.Errorf("%+v", i)
		}
		h.raise(Raised, record.Warning, "90 % in an hour")
		want(t, l.told(), "1 opened", "1 changed")
		h.raise(Raised, record.Info, "80 % in an hour")
		h.raise(Cleared, "", "as usual")
		want(t, l.told(), "1 opened", "1 changed", "1 resolved")
		if i := h.incident(1); i.Severity != record.Warning || text(i, resolvedEvent) != "as usual" {
			t.Errorf("%+v", i)
		}
		h.raise(Cleared, "", "as usual")
		want(t, h.states())
	})
}

func TestAConditionThatComesAndGoesIsNotToldEachTime(t *testing.T) {
	live(t, Config{Routes: toldAll()}, func(t *testing.T, h *house, l *listener) {
		for range 20 {
			h.raise(Raised, record.Info, "fast")
			h.pass(10 * time.Second)
			h.raise(Cleared, "", "as usual")
			h.pass(10 * time.Second)
		}
		h.pass(MaxWellFor)
		want(t, l.told(), "1 opened", "1 resolved", "1 reopened", "1 changed", "1 resolved")
	})
}

func TestAConditionThatIsNotRaisedAfterARestartEndsByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}, Routes: toldAll()})
		h.raise(Raised, record.Info, "12 %")
		h.Signal(Signal{At: time.Now(), Kind: Raised, Topic: record.TopicUsage, Name: "ana", Title: "ana uses more", Text: "much"})
		h.pass(0)
		h.stop()
		h = move(t, path, Config{Channels: []Channel{l}, Routes: toldAll()})
		defer h.stop()
		h.pass(time.Minute)
		h.raise(Raised, record.Info, "13 %")
		h.pass(ConditionGrace)
		want(t, l.told(), "1 opened", "2 opened", "2 resolved")
		if got := text(h.incident(2), resolvedEvent); got != "It was not seen again since Breakwater was restarted." {
			t.Errorf("%q", got)
		}
	})
}

func TestAConditionOfAProviderAsAWholeJoinsItsIncident(t *testing.T) {
	live(t, Config{}, func(t *testing.T, h *house, l *listener) {
		long := Signal{At: time.Now(), Provider: llm.Gemini, Target: llm.Target{Provider: llm.Gemini}, Topic: record.TopicProvider, Name: "open",
			Kind: Raised, Severity: record.Critical, Text: "its breaker is open for 5 minutes"}
		h.say(BreakerProbeFailed, gemini)
		h.Signal(long)
		h.say(BreakerClosed, gemini)
		want(t, h.states(), "gemini open")
		long.Kind = Cleared
		h.Signal(long)
		h.pass(DefaultWellFor)
		want(t, l.told(), "1 opened", "1 resolved")
	})
}
