package alerts

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// of gives a signal about Gemini's key main.
func of(k SignalKind, after time.Duration) Signal {
	s := keyLost(record.KeyRevoked, "HTTP 401", "spare serves on")
	s.Kind, s.At, s.Asked = k, noon.Add(after), noon.Add(after)
	return s
}

func TestALostKeyIsToldOfAtOnceAndOnceOnly(t *testing.T) {
	s, did := started(of(KeyLost, 0), of(KeyLost, time.Second), of(KeyLost, time.Hour))
	if want := []step{opened, nothing, nothing}; !slices.Equal(did, want) {
		t.Errorf("steps %v, want %v", did, want)
	}
	if s.Title != "Gemini's key main ····x7Qf is refused" || s.State != record.Ongoing || len(s.Timeline) != 2 {
		t.Errorf("%q is %s with %v", s.Title, s.State, s.Timeline)
	}
}

func TestAKeyWithoutANameOfItsOwnIsNotCalledKeyTwice(t *testing.T) {
	lost := of(KeyLost, 0)
	lost.Key = "key 1"
	if s, _ := started(lost); s.Title != "Gemini's key 1 ····x7Qf is refused" {
		t.Errorf("it is called %q", s.Title)
	}
}

func TestALostKeyIsWellWhenARequestShowsIt(t *testing.T) {
	underWay := of(TargetServed, time.Minute)
	underWay.Asked = noon.Add(-time.Second)
	nextSecret := of(KeyLost, time.Minute)
	nextSecret.Last4 = "aaaa"
	for _, c := range []struct {
		name  string
		after []Signal
		want  []step
	}{
		{"a request that was under way when it was lost shows nothing", []Signal{underWay}, []step{nothing}},
		{"a later one does", []Signal{of(TargetServed, time.Minute)}, []step{resolved}},
		{"a ping does as well", []Signal{of(KeyBack, time.Hour)}, []step{resolved}},
		{"its next secret is lost too", []Signal{nextSecret, nextSecret, of(TargetServed, time.Hour)}, []step{changed, nothing, resolved}},
		{"a key that was taken out", []Signal{of(Removed, time.Minute)}, []step{resolved}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, did := started(append([]Signal{of(KeyLost, 0)}, c.after...)...)
			if did[0] != opened || !slices.Equal(did[1:], c.want) {
				t.Errorf("steps %v, want opened, then %v", did, c.want)
			}
		})
	}
}

func TestAMissingModelIsWellWhenItAnswers(t *testing.T) {
	missing := signal(ModelMissing, gemini, 0)
	served := signal(TargetServed, gemini, time.Minute)
	served.Asked = served.At
	s, did := started(missing, missing, served)
	if want := []step{opened, nothing, resolved}; !slices.Equal(did, want) || s.Title != "Gemini's model gemini-2.5-flash is missing" {
		t.Errorf("%q: steps %v, want %v", s.Title, did, want)
	}
}

// A provider, its keys and its models have incidents of their own, which end
// by themselves; a restart loses none of them and tells nothing twice.
func TestIncidentsOfKeysStandBesideTheProvidersOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		channel := &listener{name: "slack"}
		cfg := Config{Channels: []Channel{channel}}
		now := func(k SignalKind, key string) Signal {
			s := Signal{At: time.Now(), Asked: time.Now(), Provider: llm.Gemini, Target: gemini, Kind: k, Key: key, State: record.KeyRevoked}
			if k == KeyLost || k == Removed {
				s.Target.Model = "" // of the key for all its models
			}
			return s
		}
		say := func(h *house, all ...Signal) {
			for _, s := range all {
				time.Sleep(time.Second)
				h.Signal(s)
			}
			time.Sleep(time.Second)
		}
		h := move(t, path, cfg)
		say(h, now(BreakerProbeFailed, ""))
		say(h, now(KeyLost, "main"))
		say(h, now(KeyLost, "spare"))
		say(h, now(ModelMissing, ""))
		h.stop()
		h = move(t, path, cfg)
		say(h, now(BreakerProbeFailed, "")) // the trouble lasts
		say(h, now(KeyLost, "main"))
		if open := h.Open(); len(open) != 4 {
			t.Errorf("%d incidents after the restart, want those of the provider, two keys and a model", len(open))
		}
		say(h, now(TargetServed, "spare"))
		if told := channel.told(); !slices.Equal(told, []string{"1 opened", "2 opened", "3 opened", "4 opened", "3 resolved", "4 resolved"}) &&
			!slices.Equal(told, []string{"1 opened", "2 opened", "3 opened", "4 opened", "4 resolved", "3 resolved"}) {
			t.Errorf("told %v, want four openings and the ends of the key that served and of the model", told)
		}
		say(h, now(Removed, "main"))
		if open := h.Open(); len(open) != 1 || !open[0].Whole() {
			t.Errorf("open %+v, want the provider's own alone", open)
		}
		h.stop()
	})
}

func TestWhatManyRequestsSayOfTheSameIsQueuedOnce(t *testing.T) {
	q := newQueue()
	for range 100 {
		for _, target := range []llm.Target{gemini, claude, {Provider: llm.Gemini, Model: "gemini-2.5-pro"}} {
			q.put(Signal{Provider: target.Provider, Target: target, Kind: TargetServed, Key: "main"})
			q.put(Signal{Provider: target.Provider, Target: target, Kind: TargetServed, Key: "spare"})
		}
	}
	if n := len(q.take()); n != 6 {
		t.Errorf("%d signals wait, want one of each target and key", n)
	}
	missing, served := signal(ModelMissing, gemini, 0), signal(TargetServed, gemini, 0)
	for _, s := range []Signal{missing, missing, served, served, missing, of(KeyLost, 0), missing, missing} {
		q.put(s)
	}
	var kinds []SignalKind
	for _, s := range q.take() {
		kinds = append(kinds, s.Kind)
	}
	if want := []SignalKind{ModelMissing, TargetServed, ModelMissing, KeyLost, ModelMissing}; !slices.Equal(kinds, want) {
		t.Errorf("%v wait, want %v: what came in between counts", kinds, want)
	}
}
