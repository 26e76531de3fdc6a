package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"

	"pgregory.net/rapid"
)

// watched follows each incident from one look at the store to the next.
type watched struct {
	t    tester
	seen map[record.ID]record.IncidentState
}

// reach says whether a state can follow another one, with states between that
// nobody looked at. One that ended goes on only where it was counted.
func reach(from, to record.IncidentState) bool {
	known := map[record.IncidentState]bool{}
	for todo := []record.IncidentState{from}; len(todo) > 0; todo = todo[1:] {
		if at := todo[0]; !known[at] {
			known[at] = true
			todo = append(todo, edges[at]...)
			if at == record.Resolved {
				todo = append(todo, record.Ongoing)
			}
		}
	}
	return known[to]
}

// look checks what the store has of all incidents.
func (w *watched) look(s *store.Store) {
	told, err := s.Incidents(context.Background(), time.Time{}, store.MaxLimit)
	must(w.t, err)
	open, err := s.OpenIncidents(context.Background())
	must(w.t, err)
	live := map[subject]int{}
	for _, i := range open {
		if live[about(&i)]++; live[about(&i)] > 1 {
			w.t.Errorf("%d incidents of %+v last", live[about(&i)], about(&i))
		}
	}
	for _, i := range append(told, open...) {
		over := i.State == record.Resolved || i.State == record.Dropped
		if over == i.Ended.IsZero() || i.State != record.Pending && i.Opened.IsZero() || i.Reopened > 0 && i.Number == 0 {
			w.t.Errorf("incident %d is %s, opened %s, ended %s, reopened %d", i.Number, i.State, i.Opened, i.Ended, i.Reopened)
		}
		if before, ok := w.seen[i.ID]; ok && !reach(before, i.State) {
			w.t.Errorf("incident %d went from %s to %s", i.Number, before, i.State)
		}
		w.seen[i.ID] = i.State
		if len(i.Timeline) > maxEvents {
			w.t.Errorf("%d events", len(i.Timeline))
		}
	}
}

// settled waits until nothing waits to be sent.
func settled(t tester, h *house) {
	t.Helper()
	for range 1000 {
		time.Sleep(time.Second)
		synctest.Wait()
		due, err := h.store.PendingNotices(context.Background(), time.Now().Add(24*time.Hour), 1)
		must(t, err)
		if len(due) == 0 {
			return
		}
	}
	t.Fatal("notices were never sent")
}

// inOrder says whether what was told of one incident makes sense: an opening,
// then changes, and ends and reopenings in turn.
func inOrder(told []string, number int64, state record.IncidentState) error {
	open, began := false, false
	for _, line := range told {
		var of int64
		var kind record.NoticeKind
		if _, err := fmt.Sscanf(line, "%d %s", &of, &kind); err != nil {
			return err
		}
		if of != number {
			continue
		}
		ok := false
		switch kind {
		case record.NoticeOpened:
			ok, open, began = !began, true, true
		case record.NoticeChanged:
			ok = open
		case record.NoticeReopened:
			ok, open = began && !open, true
		case record.NoticeResolved:
			ok, open = open, false
		}
		if !ok {
			return fmt.Errorf("incident %d: %s out of turn: %v", number, kind, told)
		}
	}
	if !began || open != state.Lasts() {
		return fmt.Errorf("incident %d is %s: %v", number, state, told)
	}
	return nil
}

// endsAsItIs says whether the last that people were told of an incident is how it
// stands: a message may tell in one what happened while the channel was away.
func endsAsItIs(told []string, number int64, state record.IncidentState) error {
	over, known := false, false
	for _, line := range told {
		var of int64
		var kind record.NoticeKind
		if _, err := fmt.Sscanf(line, "%d %s", &of, &kind); err != nil {
			return err
		}
		if of == number {
			over, known = kind == record.NoticeResolved, true
		}
	}
	if !known || over == state.Lasts() {
		return fmt.Errorf("incident %d is %s, and people were told %v", number, state, told)
	}
	return nil
}

// verdict is a tester whose failure ends what runs in a bubble, to be told
// outside of it, where rapid looks for a shorter story.
type verdict struct{ said string }

func (v *verdict) Helper()                   {}
func (v *verdict) Fatal(args ...any)         { v.said = fmt.Sprint(args...); panic(v) }
func (v *verdict) Errorf(f string, a ...any) { v.Fatal(fmt.Sprintf(f, a...)) }

// happening is one thing of a story: a signal, and what comes after it.
type happening struct {
	target   llm.Target
	kind     SignalKind
	key      string
	requests int64
	pause    time.Duration
	then     int // 0: a restart, 1: an incident is ended by hand, others: nothing
	number   int64
}

func draw(t *rapid.T) happening {
	return happening{
		target: rapid.SampledFrom([]llm.Target{gemini, gemini, claude, openai}).Draw(t, "target"),
		// Breakers come more often, so that incidents open, end and come back.
		kind: rapid.SampledFrom([]SignalKind{BreakerOpened, BreakerOpened, BreakerProbeFailed, BreakerProbeFailed, BreakerClosed, BreakerClosed, HoldPlaced, HoldEnded, TroubleFound, CallerFailed,
			Rerouted, TargetServed, KeyLost, KeyBack, ModelMissing, Removed, Raised, Cleared}).Draw(t, "kind"),
		key:      rapid.SampledFrom([]string{"", "main"}).Draw(t, "key"),
		requests: rapid.Int64Range(1, 5).Draw(t, "requests"),
		pause:    rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second, 3 * time.Minute, 40 * time.Minute}).Draw(t, "pause"),
		then:     rapid.IntRange(0, 15).Draw(t, "then"),
		number:   rapid.Int64Range(1, 5).Draw(t, "number"),
	}
}

func TestWhateverComesEachIncidentIsOneStoryToldInOrder(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(r *rapid.T) {
		const enough = 25 // of rapid's 100 runs: each opens several databases
		if n++; n > enough {
			return
		}
		story := rapid.SliceOfN(rapid.Custom(draw), 1, 60).Draw(r, "story")
		v := &verdict{}
		bubble.Test(t, func(*testing.T) {
			defer func() {
				if p := recover(); p != nil && p != any(v) {
					panic(p)
				}
			}()
			tell(v, filepath.Join(dir, fmt.Sprintf("%d.db", n)), story)
		})
		if v.said != "" {
			r.Fatal(v.said)
		}
	})
}

// tell plays a story, and checks what became of it.
func tell(t tester, path string, story []happening) {
	third := func(n int, _ Message) error {
		if n%3 == 1 {
			return errors.New("HTTP 500")
		}
		return nil
	}
	fine, flaky, people := &machine{listener{name: "fine"}}, &machine{listener{name: "flaky", fail: third}}, &listener{name: "people", fail: third}
	cfg := Config{Channels: []Channel{fine, flaky, people}, Providers: []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI}, Log: slog.New(slog.DiscardHandler), Poll: seldom}
	w := &watched{t: t, seen: map[record.ID]record.IncidentState{}}
	h := move(t, path, cfg)
	defer func() { h.stop() }()
	for _, s := range story {
		h.Signal(Signal{
			At: time.Now(), Asked: time.Now(), Provider: s.target.Provider, Target: s.target, Kind: s.kind, Topic: record.TopicUsage,
			Key: s.key, Matters: true, Requests: s.requests,
		})
		time.Sleep(s.pause)
		synctest.Wait()
		switch s.then {
		case 0:
			h.stop()
			h = move(t, path, cfg)
		case 1: // it may not be there, or be over
			_ = h.ResolveByHand(context.Background(), s.number, "ana", "")
		}
		w.look(h.store)
	}
	h.stop()
	h = move(t, path, cfg)
	settled(t, h)
	w.look(h.store)
	incidents, err := h.store.Incidents(context.Background(), time.Time{}, store.MaxLimit)
	must(t, err)
	notices := 0 // of each channel
	for _, i := range incidents {
		for _, l := range []*machine{fine, flaky} {
			must(t, inOrder(l.told(), i.Number, i.State))
		}
		must(t, endsAsItIs(people.told(), i.Number, i.State))
		all, err := h.store.Notices(context.Background(), i.ID)
		must(t, err)
		notices += len(all) / len(cfg.Channels)
	}
	if a, b := len(fine.told()), len(flaky.told()); a != notices || b != notices {
		t.Errorf("%d notices, of which %d and %d were confirmed: one is lost, or was confirmed twice", notices, a, b)
	}
}
