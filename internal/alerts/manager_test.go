package alerts

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatal(...any)
	Errorf(string, ...any)
}

// listener is a channel that remembers, and fails as it is told to.
type listener struct {
	name string
	fail func(n int, m Message) error // of the nth message; nil for none

	mu   sync.Mutex
	n    int
	sent []Message
	at   []time.Time
}

func (l *listener) Name() string { return l.name }

func (l *listener) Send(_ context.Context, m Message) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	l.at = append(l.at, time.Now())
	if l.fail != nil {
		if err := l.fail(l.n, m); err != nil {
			return "", err
		}
	}
	l.sent = append(l.sent, m)
	return fmt.Sprintf("%s-%d", l.name, m.Incident.Number), nil
}

// messages gives what was sent.
func (l *listener) messages() []Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sent)
}

// told gives what was sent, such as "1 opened".
func (l *listener) told() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.sent {
		all = append(all, fmt.Sprintf("%d %s", m.Incident.Number, m.Kind))
	}
	return all
}

// tries counts the messages that were tried.
func (l *listener) tries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// house is a Manager on a store, both running.
type house struct {
	t tester
	*Manager
	store *store.Store
	stop  func()
}

// move starts a house on a database.
func move(t tester, path string, cfg Config) *house {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.LastID(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Store, cfg.NextID = s, record.NewIDs(1, last).Next
	m := NewManager(cfg)
	storing, stopStore := context.WithCancel(context.Background())
	managing, stopManager := context.WithCancel(context.Background())
	stored, managed := make(chan error, 1), make(chan error, 1)
	go func() { stored <- s.Run(storing) }()
	go func() { managed <- m.Run(managing) }()
	return &house{t: t, Manager: m, store: s, stop: func() {
		stopManager()
		if err := <-managed; err != nil {
			t.Errorf("manager: %v", err)
		}
		stopStore()
		if err := <-stored; err != nil {
			t.Errorf("store: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}}
}

// say gives a signal now and lets it act.
func (h *house) say(k SignalKind, target llm.Target) {
	h.Signal(Signal{At: time.Now(), Provider: target.Provider, Target: target, Kind: k, Text: string(k)})
	synctest.Wait()
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// pass lets a time pass, and the look after it.
func (h *house) pass(d time.Duration) {
	time.Sleep(d + saveRetry + 100*time.Millisecond)
	synctest.Wait()
}

func (h *house) states() (all []string) {
	for _, i := range h.Open() {
		all = append(all, fmt.Sprintf("%s %s", i.Subject, i.State))
	}
	return all
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnIncidentIsToldWhenItOpensAndWhenItEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		a, b := &listener{name: "a"}, &listener{name: "b"}
		h := move(t, path, Config{Channels: []Channel{a, b}, Impact: func(_ context.Context, p llm.Provider, from, to time.Time) (record.Impact, error) {
			return record.Impact{ServedBy: llm.Claude, Rerouted: int64(to.Sub(from) / time.Second)}, nil
		}})
		defer h.stop()
		h.say(BreakerOpened, gemini)
		want(t, h.states(), "gemini pending")
		want(t, a.told())
		time.Sleep(time.Minute)
		h.say(BreakerProbeFailed, gemini)
		want(t, h.states(), "gemini open")
		want(t, a.told(), "1 opened")
		h.say(CallerFailed, gemini)
		h.say(HoldPlaced, gemini)
		h.say(BreakerClosed, gemini)
		want(t, a.told(), "1 opened")
		h.say(HoldEnded, gemini)
		want(t, h.states(), "gemini recovering")
		want(t, a.told(), "1 opened")
		h.pass(DefaultWellFor)
		want(t, h.states())
		want(t, a.told(), "1 opened", "1 resolved")
		want(t, b.told(), "1 opened", "1 resolved")
		if last := b.sent[1]; last.Receipt != "b-1" || last.Impact == nil || last.Impact.Rerouted != int64((time.Minute+DefaultWellFor)/time.Second)+1 {
			t.Errorf("resolved with receipt %q, impact %+v", last.Receipt, last.Impact)
		}
	})
}

func TestAPendingIncidentThatEndsIsNotTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}})
		defer h.stop()
		h.say(BreakerOpened, gemini)
		h.say(BreakerClosed, gemini)
		time.Sleep(time.Hour)
		want(t, h.states())
		want(t, l.told())
	})
}

func TestProvidersHaveIncidentsOfTheirOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}})
		defer h.stop()
		h.say(HoldPlaced, gemini)
		h.pass(Together) // within it they would have one cause
		h.say(HoldPlaced, claude)
		h.say(HoldEnded, gemini)
		h.pass(DefaultWellFor)
		want(t, h.states(), "claude open")
		want(t, l.told(), "1 opened", "2 opened", "1 resolved")
	})
}

func TestARestartLosesAndRepeatsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		up := &listener{name: "up"}
		down := &listener{name: "down", fail: func(int, Message) error { return errors.New("connection refused") }}
		h := move(t, path, Config{Channels: []Channel{up, down}})
		h.say(HoldPlaced, gemini)
		h.pass(Together)
		h.say(BreakerOpened, claude)
		h.stop()

		down.fail = nil
		h = move(t, path, Config{Channels: []Channel{up, down}})
		time.Sleep(time.Minute)
		want(t, h.states(), "gemini open", "claude pending")
		want(t, up.told(), "1 opened")
		want(t, down.told(), "1 opened")
		h.say(TargetServed, claude) // it recovered by itself
		want(t, h.states(), "gemini open")
		h.say(BreakerOpened, gemini) // the trouble lasts
		h.say(TargetServed, gemini)
		want(t, h.states(), "gemini open")
		h.stop()

		h = move(t, path, Config{Channels: []Channel{up, down}})
		defer h.stop()
		time.Sleep(time.Minute)
		h.say(TargetServed, gemini)
		want(t, h.states(), "gemini recovering")
		h.pass(DefaultWellFor)
		want(t, h.states())
		want(t, up.told(), "1 opened", "1 resolved")
		want(t, down.told(), "1 opened", "1 resolved")
		if r := down.sent[1].Receipt; r != "down-1" {
			t.Errorf("receipt %q", r)
		}
	})
}

func TestAChannelIsTriedAgainWithGrowingPausesInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		other := &listener{name: "other"}
		l := &listener{name: "a", fail: func(n int, _ Message) error {
			if n <= 6 {
				return errors.New("HTTP 500")
			}
			return nil
		}}
		h := move(t, path, Config{Channels: []Channel{l, other}})
		defer h.stop()
		h.say(HoldPlaced, gemini)
		h.say(HoldEnded, gemini)
		h.pass(DefaultWellFor)
		want(t, other.told(), "1 opened", "1 resolved") // one channel's trouble is its own
		time.Sleep(3 * time.Minute)
		want(t, l.told(), "1 opened", "1 resolved")
		for i, least := range []time.Duration{1, 2, 4, 8, 16, 32} {
			gap := l.at[i+1].Sub(l.at[i])
			if gap < least*time.Second || gap > least*time.Second*5/4+100*time.Millisecond {
				t.Errorf("pause %d: %v, want %v s to a quarter more", i, gap, int(least))
			}
		}
	})
}

func TestAChannelsWishToWaitIsHonoured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a", fail: func(n int, _ Message) error {
			if n == 1 {
				return fmt.Errorf("slack: %w", &RetryError{After: 40 * time.Second, Err: errors.New("rate limited")})
			}
			return nil
		}}
		h := move(t, path, Config{Channels: []Channel{l}})
		defer h.stop()
		h.say(HoldPlaced, gemini)
		h.say(KeyLost, claude) // other incidents wait as well
		time.Sleep(39 * time.Second)
		synctest.Wait()
		if n := l.tries(); n != 1 {
			t.Errorf("%d tries within the time to wait", n)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		got := l.told()
		slices.Sort(got)
		want(t, got, "1 opened", "2 opened")
	})
}

func TestASendThatHangsIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		h := move(t, path, Config{Channels: []Channel{hung{}}})
		h.say(HoldPlaced, gemini)
		time.Sleep(DefaultSendTimeout + 100*time.Millisecond)
		synctest.Wait()
		notices, err := h.store.Notices(t.Context(), h.Open()[0].ID)
		if err != nil || len(notices) != 1 || notices[0].Attempts != 1 || !strings.Contains(notices[0].Error, "deadline") {
			t.Errorf("%v %+v", err, notices)
		}
		time.Sleep(2 * time.Second) // a second try is on its way
		asked := time.Now()
		h.stop()
		if took := time.Since(asked); took > sendGrace+time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

type hung struct{}

func (hung) Name() string { return "hung" }
func (hung) Send(ctx context.Context, _ Message) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestSignalNeverBlocksAndCountsWhatItDrops(t *testing.T) {
	m := NewManager(Config{NextID: record.NewIDs(1, 0).Next})
	for range 10 * maxQueued {
		m.Signal(signal(TargetServed, gemini, 0)) // nothing to restore
		m.Signal(signal(CallerFailed, gemini, 0)) // says the same again
	}
	if n := len(m.queue.waiting); n != 1 || m.Dropped() != 0 {
		t.Errorf("%d wait, %d dropped; want 1, 0", n, m.Dropped())
	}
	for i := range maxQueued + 9 { // of targets that differ, so that none is merged
		m.Signal(signal(BreakerOpened, llm.Target{Provider: llm.Gemini, Model: fmt.Sprint(i)}, 0))
	}
	if m.Dropped() != 10 {
		t.Errorf("%d dropped, want 10", m.Dropped())
	}
}

// A finding that led to no hold, as of the last target that works, is an
// incident too, and ends when it is not repeated.
func TestAFindingWithoutAHoldIsAnIncidentWhileItIsRepeated(t *testing.T) {
	st := begin(record.ID(1), whole(llm.Local), time.Now())
	target := llm.Target{Provider: llm.Local, Model: "llama3"}
	found := Signal{At: time.Now(), Provider: llm.Local, Target: target, Kind: TroubleFound, Matters: true, Slow: true, Text: "slow"}
	if did := st.apply(found); did != opened || st.Title != "Ollama is slow" {
		t.Fatalf("the finding did %v to %q", did, st.Title)
	}
	if did := st.apply(found); did != nothing || len(st.Timeline) != 2 {
		t.Errorf("its repetition did %v; timeline %v", did, st.Timeline)
	}
	if did := st.apply(Signal{At: time.Now(), Provider: llm.Local, Target: target, Kind: TroubleEnded}); did != changed || st.State != record.Recovering {
		t.Errorf("its end did %v: %s", did, st.State)
	}
	if begins(Signal{Kind: TroubleFound}) {
		t.Error("a finding that does not matter begins an incident")
	}
}
