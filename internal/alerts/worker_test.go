package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// quiet is a route whose quiet hours end at 7; the bubble's clock begins at
// midnight.
func quiet() Route { return Route{Quiet: Quiet{From: clockOf(22), To: clockOf(7)}, Rate: 10} }

// seldom is how often the tests of long spans look for lost wake-ups: none may
// be lost there, and each look asks a real database.
const seldom = time.Minute

// silent is a configuration that logs nothing.
func silent(route Route, all ...Channel) Config {
	routes := map[string]Route{}
	for _, c := range all {
		routes[c.Name()] = route
	}
	return Config{Channels: all, Routes: routes, Log: slog.New(slog.DiscardHandler), Poll: seldom}
}

// key gives a signal of a key now, each of which has an incident of its own.
func (h *house) key(kind SignalKind, name string) {
	h.Signal(Signal{
		At: time.Now(), Provider: llm.Gemini, Target: llm.Target{Provider: llm.Gemini}, Kind: kind, Key: name, State: record.KeyRevoked, Text: "refused",
	})
}

// settle lets everything act that waits.
func settle() {
	synctest.Wait()
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

func TestWhatQuietHoursHeldIsToldOnceAtTheirEndWhateverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		people, machine := &reader{listener{name: "people"}}, &listener{name: "machine"}
		cfg := silent(quiet(), people, machine)
		h := move(t, path, cfg)
		h.key(KeyLost, "a")
		settle()
		h.key(KeyLost, "b")
		settle()
		h.stop()
		h = move(t, path, cfg)
		time.Sleep(3 * time.Hour)
		h.key(KeyBack, "a")
		settle()
		h.stop()
		h = move(t, path, cfg)
		defer func() { h.stop() }()
		time.Sleep(3*time.Hour + 59*time.Minute)
		want(t, people.heard())
		want(t, machine.told())
		time.Sleep(time.Minute)
		settle()
		want(t, people.heard(), "digest: 1 resolved; 2 opened; ")
		want(t, machine.told(), "1 resolved", "2 opened")
		h.key(KeyBack, "b")
		settle()
		want(t, people.heard(), "digest: 1 resolved; 2 opened; ", "2 resolved")
		want(t, machine.told(), "1 resolved", "2 opened", "2 resolved")
		if r := people.sent[1].Receipt; r != "" {
			t.Errorf("the message answers the digest: %q", r)
		}
	})
}

func TestOneHeldIncidentIsAnOrdinaryMessage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		people := &reader{listener{name: "people"}}
		h := move(t, path, silent(quiet(), people))
		defer h.stop()
		h.key(KeyLost, "a")
		settle()
		h.key(KeyBack, "a")
		settle()
		time.Sleep(7 * time.Hour)
		settle()
		want(t, people.heard(), "1 resolved")
	})
}

func TestAFailedDigestIsTriedAgainWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		people := &reader{listener{name: "people", fail: func(n int, _ Message) error {
			if n < 3 {
				return errors.New("HTTP 500")
			}
			return nil
		}}}
		h := move(t, path, silent(quiet(), people))
		defer h.stop()
		h.key(KeyLost, "a")
		settle()
		h.key(KeyLost, "b")
		settle()
		time.Sleep(7*time.Hour + time.Minute)
		settle()
		want(t, people.heard(), "digest: 1 opened; 2 opened; ")
	})
}

func TestMoreThanPeopleCanReadIsOneMessage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		people, machine := &reader{listener{name: "people"}}, &listener{name: "machine"}
		cfg := silent(Route{Rate: 3}, people, machine)
		h := move(t, path, cfg)
		defer h.stop()
		h.key(KeyLost, "a")
		settle()
		want(t, people.heard(), "1 opened")
		for n := range 6 {
			h.key(KeyLost, fmt.Sprint(n))
		}
		for _, back := range []string{"a", "0", "1"} {
			h.key(KeyBack, back)
			settle()
		}
		if n := len(people.heard()); n > 3 {
			t.Errorf("%d messages in the first minute: %q", n, people.heard())
		}
		time.Sleep(time.Minute)
		settle()
		all := strings.Join(people.heard(), "; ")
		for _, change := range []string{"1 resolved", "2 resolved", "3 resolved", "4 opened", "5 opened", "6 opened", "7 opened"} {
			if strings.Count(all, change) != 1 {
				t.Errorf("%q is told %d times: %q", change, strings.Count(all, change), all)
			}
		}
		if n := len(people.heard()); n > 6 || !strings.Contains(all, "storm: ") {
			t.Errorf("%d messages in two minutes: %q", n, all)
		}
		if n := len(machine.told()); n != 10 {
			t.Errorf("a machine was told %d times, want each of 10 changes", n)
		}
	})
}

// The storm of the issue: four providers that fail and come back, 50 signals a
// second for ten minutes, two restarts of Breakwater and a channel that is away.
func TestAStormMakesAFewMessagesAndLosesNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		began := time.Now()
		away := func(int, Message) error {
			if since := time.Since(began); since > 4*time.Minute && since < 6*time.Minute {
				return errors.New("connection refused")
			}
			return nil
		}
		people := &reader{listener{name: "people", fail: away}}
		cfg := silent(Route{Rate: DefaultRate}, people)
		h := move(t, path, cfg)
		kinds := []SignalKind{HoldPlaced, BreakerOpened, BreakerProbeFailed, CallerFailed, BreakerClosed, HoldEnded}
		for n := range 50 * 600 {
			p := llm.Providers()[n%4]
			h.Signal(Signal{At: time.Now(), Provider: p, Target: llm.Target{Provider: p, Model: "m"}, Kind: kinds[n/4/500%len(kinds)], Text: "storm"})
			if n%50 == 0 {
				time.Sleep(time.Second)
			}
			if n == 12_345 || n == 23_456 {
				h.stop()
				h = move(t, path, cfg)
			}
		}
		defer func() { h.stop() }()
		time.Sleep(10 * time.Minute)
		settle()
		all, err := h.store.Incidents(t.Context(), time.Time{}, store.MaxLimit)
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		last := map[string]string{} // of each incident
		for _, line := range people.heard() {
			line = line[strings.Index(line, ":")+1:]
			for change := range strings.SplitSeq(line, ";") {
				if number, kind, ok := strings.Cut(strings.TrimSpace(change), " "); ok {
					if last[number] == string(record.NoticeResolved) && kind != string(record.NoticeReopened) {
						t.Errorf("incident %s is %s after its end", number, kind)
					}
					last[number] = kind
				}
			}
		}
		for _, i := range all {
			if got := last[fmt.Sprint(i.Number)]; got == "" || (got == string(record.NoticeResolved)) != (i.State == record.Resolved) {
				t.Errorf("of incident %d, which is %s, %q was told last", i.Number, i.State, got)
			}
		}
		o, err := h.store.Outboxes(t.Context(), []string{"people"}, time.Now())
		if n := len(people.heard()); n > 40 || err != nil || o[0].Waiting != 0 {
			t.Errorf("%d messages about %d incidents, %+v (%v)", n, len(all), o, err)
		}
	})
}

func TestAChannelThatRefusesIsLeftAloneAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		refuses := true
		l := &listener{name: "a", fail: func(int, Message) error {
			if refuses {
				return fmt.Errorf("slack: %w", &RefusedError{errors.New("invalid_auth")})
			}
			return nil
		}}
		cfg := silent(Route{}, l)
		h := move(t, path, cfg)
		began := time.Now().UTC()
		h.key(KeyLost, "a")
		settle()
		h.key(KeyLost, "b")
		settle()
		time.Sleep(RefusedPause - 10*time.Second)
		settle()
		if n := l.tries(); n != 1 {
			t.Errorf("tried %d times", n)
		}
		states, err := h.Channels(t.Context())
		if want := (ChannelState{Name: "a", Kind: "slack", Where: "#a", Sends: "critical and warning", Waiting: 2, Oldest: began, Error: "slack: invalid_auth"}); err != nil || len(states) != 1 || states[0] != want {
			t.Errorf("got %+v (%v), want %+v", states, err, want)
		}
		if err := h.Test(t.Context(), "a"); err == nil || err.Error() != "slack: invalid_auth" {
			t.Errorf("a test says %v", err)
		}
		refuses = false
		if err := h.Test(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		settle()
		want(t, l.told(), "0 test", "1 opened", "2 opened") // the test released them

		refuses = true
		h.key(KeyBack, "a")
		settle()
		h.stop()
		refuses = false
		h = move(t, path, cfg) // somebody mended the configuration
		defer h.stop()
		settle()
		want(t, l.told(), "0 test", "1 opened", "2 opened", "1 resolved")
	})
}

func TestATestTakesTheWayOfEveryMessage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, silent(quiet(), l)) // quiet hours do not hold it
		defer h.stop()
		if err := h.Test(t.Context(), "b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a channel that is not there: %v", err)
		}
		if err := h.Test(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		states, err := h.Channels(t.Context())
		if err != nil || states[0].LastSent.IsZero() || states[0].Waiting != 0 || states[0].Error != "" {
			t.Errorf("%+v %v", states, err)
		}
		l.fail = func(int, Message) error { return errors.New("HTTP 500") }
		if err := h.Test(t.Context(), "a"); err == nil || err.Error() != "HTTP 500" {
			t.Errorf("got %v", err)
		}
		tried := l.tries()
		time.Sleep(time.Hour)
		if l.tries() != tried {
			t.Error("a test that failed is tried again")
		}
		if states, err = h.Channels(t.Context()); err != nil || states[0].Error != "HTTP 500" || states[0].Waiting != 0 {
			t.Errorf("%+v %v", states, err)
		}
		if all, err := h.store.Incidents(t.Context(), time.Time{}, 10); err != nil || len(all) != 0 {
			t.Errorf("a test is an incident: %+v %v", all, err)
		}
		l.fail = func(int, Message) error { return &RetryError{After: time.Hour, Err: errors.New("HTTP 429")} }
		h.say(HoldPlaced, gemini) // held: quiet
		_ = h.Test(t.Context(), "a")
		if err := h.Test(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "pause") {
			t.Errorf("while the channel wants a pause: %v", err)
		}
	})
}

func TestACriticalIncidentThatNobodyTookOnIsToldAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, silent(Route{Repeat: 4 * time.Hour}, l))
		defer h.stop()
		h.key(KeyLost, "a")
		settle()
		h.key(KeyLost, "b")
		settle()
		change := func(key string, do func(*record.Incident)) {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, s := range h.stories {
				if s.Key == key {
					do(&s.Incident)
				}
			}
		}
		change("a", func(i *record.Incident) { i.Severity = record.Critical })
		change("b", func(i *record.Incident) { i.Severity = record.Warning })
		time.Sleep(3*time.Hour + 50*time.Minute)
		want(t, l.told(), "1 opened", "2 opened")
		time.Sleep(20 * time.Minute)
		want(t, l.told(), "1 opened", "2 opened", "1 reminder")
		time.Sleep(4 * time.Hour)
		want(t, l.told(), "1 opened", "2 opened", "1 reminder", "1 reminder")
		change("a", func(i *record.Incident) { i.Acknowledged = time.Now() })
		time.Sleep(24 * time.Hour)
		want(t, l.told(), "1 opened", "2 opened", "1 reminder", "1 reminder")
	})
}

func TestWhatBecameCriticalWaitsNoLonger(t *testing.T) {
	w := &worker{route: quiet()}
	midnight := time.Date(2026, time.March, 14, 0, 0, 0, 0, time.UTC)
	n := record.Notice{Created: midnight, NextTry: midnight.Add(7 * time.Hour)}
	i := *incident(record.Warning, record.TopicProvider, llm.Gemini)
	if it, due := w.weigh(n, i); !it.held || !due.Equal(n.NextTry) {
		t.Errorf("a warning: held %v until %v", it.held, due)
	}
	i.Severity = record.Critical
	if it, due := w.weigh(n, i); it.held || !due.Equal(midnight) {
		t.Errorf("critical: held %v until %v", it.held, due)
	}
}

func TestMessagesOfAChannelThatIsGoneAreGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		gone := &listener{name: "gone", fail: func(int, Message) error { return errors.New("HTTP 500") }}
		stays := &listener{name: "stays"}
		h := move(t, path, silent(Route{}, gone, stays))
		h.key(KeyLost, "a")
		settle()
		h.stop()
		h = move(t, path, silent(Route{}, stays))
		settle()
		notices, err := h.store.Notices(t.Context(), h.Open()[0].ID)
		if at := slices.IndexFunc(notices, func(n record.Notice) bool { return n.Channel == "gone" }); err != nil || at < 0 ||
			notices[at].Sent.IsZero() || notices[at].Error != noLongerConfigured {
			t.Errorf("%+v %v", notices, err)
		}
		h.stop()
		gone.fail = nil
		h = move(t, path, silent(Route{}, gone, stays)) // it returns
		defer h.stop()
		h.key(KeyLost, "b")
		settle()
		want(t, gone.told(), "2 opened")
		want(t, stays.told(), "1 opened", "2 opened")
	})
}

func TestAStoppedTestSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		h := move(t, path, silent(Route{}, hung{}))
		defer h.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Test(ctx, "hung"); err == nil || !strings.Contains(err.Error(), "not sent yet") {
			t.Errorf("got %v", err)
		}
	})
}

// Nobody is woken by what is over: a channel that was away is told of an incident
// once, as it stands; a webhook, which a program reads, hears each step.
func TestAChannelThatWasAwayIsToldHowItStandsNow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		var back atomic.Bool
		fail := func(int, Message) error {
			if !back.Load() {
				return errors.New("HTTP 500")
			}
			return nil
		}
		people, program := &listener{name: "people", fail: fail}, &machine{listener{name: "program", fail: fail}}
		h := move(t, path, silent(Route{}, people, program))
		defer h.stop()
		h.key(KeyLost, "over")
		h.key(KeyLost, "lasting")
		settle()
		for _, text := range []string{"I look at it.", "It is the proxy."} {
			if err := h.Comment(t.Context(), 2, "Anna", text); err != nil {
				t.Fatal(err)
			}
		}
		h.key(KeyBack, "over")
		h.pass(time.Minute)
		back.Store(true)
		h.pass(DefaultMaxRetry)
		told := people.told()
		lasting := people.messages()[slices.Index(told, "2 opened")]
		slices.Sort(told)
		want(t, told, "1 resolved", "2 opened")
		if got := lasting.lines()[0]; got != (line{"New", "Anna: I look at it.\nAnna: It is the proxy."}) {
			t.Errorf("it begins with %+v", got)
		}
		told = program.told()
		slices.Sort(told)
		want(t, told, "1 opened", "1 resolved", "2 changed", "2 changed", "2 opened")
	})
}

// machine is a listener that a program reads.
type machine struct{ listener }

func (*machine) Kind() string { return webhookKind }
