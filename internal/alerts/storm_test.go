package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/store"
)

// wire is a way to the fake Slack without a network, so that its time is the
// test's, which can be cut.
type wire struct {
	slack *sim.Slack
	cut   atomic.Bool
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		return nil, fmt.Errorf("connection refused")
	}
	got := httptest.NewRecorder()
	w.slack.ServeHTTP(got, r)
	return got.Result(), nil
}

// storm is what happens to four providers that fail, each on its own clock.
type storm struct {
	*house
	random *rand.Rand
	open   map[llm.Target]bool
	waves  bool // all is well each other two minutes
	began  time.Time
}

// second gives the fifty signals of one second: breakers that open, fail their
// probes and close, and requests that fail or are served elsewhere.
func (s *storm) second() {
	targets := []llm.Target{gemini, claude, openai, local}
	for i := range 50 {
		t := targets[i%len(targets)]
		g := Signal{At: time.Now(), Asked: time.Now(), Provider: t.Provider, Target: t, Text: "server error, HTTP 503"}
		n := s.random.IntN(20)
		if s.waves && int(time.Since(s.began)/(2*time.Minute))%2 == 1 {
			n = []int{0, 7, 19}[n%3]
		}
		switch {
		case n == 0 && s.open[t]:
			g.Kind, s.open[t] = BreakerClosed, false
		case n < 3:
			g.Kind, s.open[t] = BreakerProbeFailed, true
		case n < 6:
			g.Kind, s.open[t] = BreakerOpened, true
		case n < 7:
			g.Kind = HoldPlaced
		case n < 8:
			g.Kind = HoldEnded
		case n < 12:
			g.Kind = CallerFailed
		case n < 16:
			g.Kind = Rerouted
		default:
			g.Kind = TargetServed
		}
		s.Signal(g)
	}
}

// Four providers that fail and flap, fifty signals a second for ten minutes,
// two restarts of Breakwater and one of Slack make a handful of messages, in
// order, none lost and none confirmed twice.
func TestAStormMakesAHandfulOfMessages(t *testing.T) {
	for name, waves := range map[string]bool{"each on its own clock": false, "in waves": true} {
		t.Run(name, func(t *testing.T) { weather(t, waves) })
	}
}

func weather(t *testing.T, waves bool) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		fake := &wire{slack: sim.NewSlack("ops")}
		plain := &listener{name: "plain"}
		cfg := Config{
			Channels: []Channel{plain, NewSlack(SlackConfig{
				Name: "slack", Token: token, Channel: "#ops", APIURL: "http://slack.example/api/", Client: &http.Client{Transport: fake},
			})},
			Providers: inUse(),
		}
		s := &storm{house: move(t, path, cfg), random: rand.New(rand.NewPCG(1, 2)), open: map[llm.Target]bool{}, waves: waves, began: time.Now()}
		var dropped uint64
		restart := func() {
			s.stop()
			dropped += s.Dropped()
			s.house = move(t, path, cfg)
		}
		const minutes = 10
		for second := range minutes * 60 {
			switch second {
			case 200, 400:
				restart()
			case 1:
				fake.cut.Store(true) // just when there is something to say
			case 90:
				fake.cut.Store(false)
			}
			s.second()
			time.Sleep(time.Second)
		}
		for _, target := range []llm.Target{gemini, claude, openai, local} {
			s.say(BreakerClosed, target)
			s.say(HoldEnded, target)
			s.say(TargetServed, target)
		}
		s.pass(MaxWellFor)
		settled(t, s.house)
		dropped += s.Dropped()
		t.Logf("%d messages for %d signals: %v; Slack has %d messages of %d requests", len(plain.told()), minutes*60*50, plain.told(),
			len(fake.slack.Messages()), fake.slack.Requests())
		if n := len(plain.told()); n < 2 || n > 6 {
			t.Errorf("%d messages, want a handful: %v", n, plain.told())
		}
		if dropped > 0 {
			t.Errorf("%d signals found no room", dropped)
		}
		incidents, err := s.store.Incidents(context.Background(), time.Time{}, store.MaxLimit)
		must(t, err)
		if len(incidents) != 1 {
			t.Errorf("%d incidents, want one", len(incidents))
		}
		for _, i := range incidents {
			must(t, inOrder(plain.told(), i.Number, i.State))
			if i.State != record.Resolved || i.Severity != record.Critical {
				t.Errorf("incident %d is %s and %s", i.Number, i.State, i.Severity)
			}
			once(t, s.house, i.ID)
		}
		last := fake.slack.Messages()
		if !slices.ContainsFunc(last, func(m sim.SlackMessage) bool { return strings.HasPrefix(m.Text, "Resolved") }) {
			t.Errorf("Slack was not told of the end: %+v", last)
		}
		s.stop()
	})
}

// once checks that both channels confirmed each notice of an incident, and in
// order.
func once(t *testing.T, h *house, incident record.ID) {
	t.Helper()
	notices, err := h.store.Notices(context.Background(), incident)
	must(t, err)
	sent := map[string]time.Time{}
	kinds := map[string][]record.NoticeKind{}
	for _, n := range notices {
		if n.Sent.IsZero() || n.Error != "" || n.Receipt == "" || n.Sent.Before(sent[n.Channel]) {
			raw, _ := json.Marshal(n)
			t.Errorf("a notice was lost or came out of order: %s", raw)
		}
		sent[n.Channel] = n.Sent
		kinds[n.Channel] = append(kinds[n.Channel], n.Kind)
	}
	if !slices.Equal(kinds["plain"], kinds["slack"]) {
		t.Errorf("the channels were told different things: %v", kinds)
	}
}

// While the store cannot be written, signals of a storm wait in little room.
func TestTheQueueOfAStormStaysShort(t *testing.T) {
	m := NewManager(Config{NextID: record.NewIDs(1, 0).Next})
	m.lasting.Store(1)
	m.endable.Store(1)
	s := &storm{house: &house{t: t, Manager: m}, random: rand.New(rand.NewPCG(3, 4)), open: map[llm.Target]bool{}}
	for range 10 * 60 {
		s.second()
	}
	if n := len(m.queue.waiting); n > maxQueued/4 || m.Dropped() > 0 {
		t.Errorf("%d signals wait and %d found no room", n, m.Dropped())
	}
	failed := int64(0)
	state := map[llm.Target]bool{}
	for _, g := range m.queue.take() {
		switch g.Kind {
		case CallerFailed:
			failed += g.Requests
		case BreakerOpened, BreakerProbeFailed:
			state[g.Target] = true
		case BreakerClosed:
			state[g.Target] = false
		}
	}
	if failed < 1000 {
		t.Errorf("%d requests that failed are left, want that they are counted", failed)
	}
	for target, open := range s.open {
		if state[target] != open {
			t.Errorf("the breaker of %s is open: %v, want %v", target, state[target], open)
		}
	}
}
