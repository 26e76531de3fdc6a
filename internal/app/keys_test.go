package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/bubble"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/store"
	"breakwater/internal/traffic"
	"breakwater/web"

	"github.com/prometheus/client_golang/prometheus"
)

// desk is as much of an App as keys and incidents need.
func desk(t *testing.T, ctx context.Context, path string, chain ...llm.Provider) *App {
	t.Helper()
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Chain: chain, Aliases: map[string]string{"fast": "openai/gpt-5-nano"}}
	for _, p := range chain {
		cfg.Providers = append(cfg.Providers, config.Provider{Name: p, Enabled: true, DefaultModel: "default-of-" + string(p), Endpoints: []config.Endpoint{{}}})
	}
	a := &App{cfg: cfg, store: s, ids: record.NewIDs(1, 0), flow: &flow{}, changes: newChanges(), impacts: newImpacts(chain, nil), status: &status{}}
	a.monitor = monitor.New(monitor.Config{Store: s, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	a.monitor.Listen(a.heard)
	a.alerts = alerts.NewManager(alerts.Config{Store: s, NextID: a.ids.Next, Log: slog.New(slog.DiscardHandler)})
	return a
}

// onDesk runs f beside the workers of a desk, at a time of its own.
func onDesk(t *testing.T, f func(a *App), chain ...llm.Provider) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)))
		ctx := context.Background()
		a := desk(t, ctx, path, chain...)
		var layers []*layer
		for _, work := range []func(context.Context) error{a.store.Run, a.alerts.Run, func(ctx context.Context) error { return a.monitor.Run(ctx, noBreakers{}) }} {
			layers = append(layers, startLayer(func() {}, work))
		}
		f(a)
		for _, l := range slices.Backward(layers) {
			if err := l.end(); err != nil {
				t.Error(err)
			}
		}
		if err := a.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// settle lets what was told be heard and written.
func settle() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func lostKey(to record.KeyState) record.KeyChange {
	return record.KeyChange{
		At: time.Now(), Provider: llm.OpenAI, Endpoint: "eu", Key: "main", Last4: "x7Qf", From: record.KeyUsable, To: to,
		Until: time.Now().Add(time.Hour), Reason: "HTTP 429 insufficient_quota: You exceeded your current quota",
	}
}

func TestALostKeyIsAnIncidentOfItsOwnUntilItWorksAgain(t *testing.T) {
	onDesk(t, func(a *App) {
		cooling := lostKey(record.KeyCooling)
		a.keyChanged(cooling)
		settle()
		if open := a.alerts.Open(); len(open) != 0 {
			t.Errorf("a key that cools down made %+v", open)
		}
		a.keyChanged(lostKey(record.KeyExhausted))
		settle()
		open := a.alerts.Open()
		if len(open) != 1 || open[0].Title != "OpenAI's key main ····x7Qf at eu is out of quota" {
			t.Fatalf("open: %+v", open)
		}
		if said := open[0].Timeline[1].Text; said != "It was OpenAI's last key: requests go to the next provider of the chain, Claude." {
			t.Errorf("who serves: %q", said)
		}
		back := lostKey(record.KeyUsable)
		back.From, back.Reason = record.KeyExhausted, "a request succeeded"
		a.keyChanged(back)
		settle()
		if open := a.alerts.Open(); len(open) != 0 {
			t.Errorf("still open: %+v", open)
		}
		changes, err := a.store.KeyChanges(context.Background(), "", time.Time{}, 0)
		if err != nil || len(changes) != 3 || changes[0].ID <= changes[1].ID || changes[2].To != record.KeyCooling {
			t.Errorf("the record has %+v (%v), want the three changes with ids that rise", changes, err)
		}
	}, llm.OpenAI, llm.Claude)
}

func TestAKeyThatIsNoLongerConfiguredEndsItsIncident(t *testing.T) {
	onDesk(t, func(a *App) {
		a.keyChanged(lostKey(record.KeyRevoked))
		settle()
		if open := a.alerts.Open(); len(open) != 1 || !strings.HasSuffix(open[0].Timeline[1].Text, "no other provider is set up: requests fail.") {
			t.Fatalf("open: %+v", open)
		}
		watching := startLayer(func() {}, a.watchLost)
		time.Sleep(lostLook)
		settle()
		if open := a.alerts.Open(); len(open) != 0 {
			t.Errorf("still open: %+v", open)
		}
		if err := watching.end(); err != nil {
			t.Error(err)
		}
	}, llm.OpenAI)
}

func TestOnlyAModelOfTheConfigurationIsMissed(t *testing.T) {
	onDesk(t, func(a *App) {
		ask := func(model string, class llm.FailureClass) {
			attempt := record.Attempt{Target: llm.Target{Provider: llm.OpenAI, Model: model}, Class: class, Status: 404, Code: "model_not_found", Message: "no such model"}
			a.traced(&record.Trace{Accepted: time.Now(), Attempts: []record.Attempt{attempt}, Outcome: record.Refused})
			settle()
		}
		ask("a-callers-own-idea", llm.NoSuchModel)
		if open := a.alerts.Open(); len(open) != 0 {
			t.Errorf("a caller's mistake made %+v", open)
		}
		ask("default-of-openai", llm.NoSuchModel)
		ask("gpt-5-nano", llm.NoSuchModel) // of an alias
		open := a.alerts.Open()
		if len(open) != 2 || open[0].Title != "OpenAI's model default-of-openai is missing" || open[0].Timeline[0].Text != "HTTP 404 model_not_found: no such model" {
			t.Errorf("open: %+v", open)
		}
		ask("gpt-5-nano", "")
		if open := a.alerts.Open(); len(open) != 1 || open[0].Model != "default-of-openai" {
			t.Errorf("after one answered, open: %+v", open)
		}
	}, llm.OpenAI)
}

// noBreakers is a router without targets.
type noBreakers struct{}

func (noBreakers) Breakers() []router.BreakerState { return nil }

func TestWhatHappensWithoutAKeyCountsForItsProviderOnlyWhereItIsInUse(t *testing.T) {
	im := newImpacts([]llm.Provider{llm.OpenAI, llm.Claude}, nil)
	at := time.Now()
	trace := &record.Trace{
		Accepted: at, Outcome: record.Served, Served: llm.Target{Provider: llm.Claude},
		Plan: []record.Candidate{
			{Target: llm.Target{Provider: llm.Gemini}, Verdict: record.VerdictNoUsableKey}, // was never set up
			{Target: llm.Target{Provider: llm.OpenAI}, Verdict: record.VerdictNoUsableKey},
			{Target: llm.Target{Provider: llm.Claude}, Verdict: record.VerdictServed},
		},
	}
	im.note(trace)
	for p, want := range map[llm.Provider]int64{llm.Gemini: 0, llm.OpenAI: 1} {
		got, err := im.between(context.Background(), p, im.since, at.Add(time.Minute))
		if err != nil || got.Rerouted != want {
			t.Errorf("%s: %+v, %v; want %d served elsewhere", p, got, err, want)
		}
	}
}

func TestUsageIsAddedToTheKeysThatStand(t *testing.T) {
	keys := []web.Key{{Name: "main", Last4: "new1"}, {Name: "main", Last4: "old1"}, {Endpoint: "eu", Name: "main"}}
	countUsage(keys, []store.KeyRollup{
		{Key: "main", Requests: 6, Throttled: 1, Input: 10, Output: 5, Cost: 7}, {Endpoint: "eu", Key: "main", Requests: 2}, {Key: "gone", Requests: 2},
	})
	want := []web.Key{
		{Name: "main", Last4: "new1", Requests: 6, Throttled: 1, Input: 10, Output: 5, Cost: 7, Share: web.Known(0.6)},
		{Name: "main", Last4: "old1"},
		{Endpoint: "eu", Name: "main", Requests: 2, Share: web.Known(0.2)},
	}
	if !reflect.DeepEqual(keys, want) {
		t.Errorf("got  %+v\nwant %+v", keys, want)
	}
}

func TestOnlyLimitsThatBoundSomethingAreShown(t *testing.T) {
	f := &flow{limits: map[llm.Provider]*traffic.Limiter{llm.OpenAI: nil}}
	if uses := f.uses(); len(uses) != 0 {
		t.Errorf("limits that do not exist: %+v", uses)
	}
	if !bounds(traffic.Use{Limits: traffic.Limits{Concurrent: 1}}) || !bounds(traffic.Use{Allowed: 3}) || bounds(traffic.Use{Under: 2}) {
		t.Error("what bounds is set or learned, not what is under way")
	}
}
