package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/store"
)

// samplesOf gives from how many requests the errors of a provider are known.
func samplesOf(h *testHouse, p llm.Provider) int {
	for _, s := range h.scores() {
		if s.Signal == anomaly.Errors && s.Target.Provider == p {
			return s.Samples
		}
	}
	return 0
}

func TestWhatIsUsualOutlivesARestartAndADamagedStateIsNoObstacle(t *testing.T) {
	h := startHouse(t, houseOptions{})
	for range 12 {
		h.chat(t, "gemini")
	}
	h.stop()
	again := startHouse(t, houseOptions{keep: h.db})
	if n := samplesOf(again, llm.Gemini); n != 12 {
		t.Errorf("errors are known from %d requests after a restart, want 12", n)
	}
	again.chat(t, "gemini")
	again.stop()

	st := reopen(t, h.db)
	stop := runStore(t, st)
	state, _, err := st.State(t.Context(), stateName)
	if err != nil {
		t.Fatal(err)
	}
	state[len(state)/2] ^= 1
	if err := st.SaveState(t.Context(), stateName, state); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := startHouse(t, houseOptions{keep: h.db})
	if n := samplesOf(fresh, llm.Gemini); n != 0 || !strings.Contains(fresh.log.String(), "it is damaged") {
		t.Errorf("%d requests are known of a damaged state", n)
	}
	if text, _ := fresh.chat(t, "gemini"); text == "" {
		t.Error("it does not serve")
	}
}

// runStore runs a store's writer, and gives the function that ends it.
func runStore(t *testing.T, st *store.Store) (stop func()) {
	t.Helper()
	l := startLayer(func() {}, st.Run)
	return func() {
		if err := l.end(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheWayBackOfAHeldTargetIsInItsIncident(t *testing.T) {
	h := startHouse(t, houseOptions{})
	now := time.Now()
	target := llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}
	slow := anomaly.Finding{Signal: anomaly.Latency, Target: target, At: now}
	for _, e := range []anomaly.Event{
		{Kind: anomaly.HoldPlaced, Finding: slow, Text: "slow"},
		{Kind: anomaly.HoldRamped, Text: "coming back with 5 % of its traffic"},
		{Kind: anomaly.HoldExtended, Text: "still coming back"},
		{Kind: anomaly.HoldRelapsed, Text: "not well yet with 5 % of its traffic: slow"},
	} {
		e.At, e.Target = now, target
		h.App.detected(e)
	}
	want := []string{"claude/claude-sonnet-4-5: coming back with 5 % of its traffic", "claude/claude-sonnet-4-5: not well yet with 5 % of its traffic: slow"}
	h.eventually(t, "the lines of the timeline", func() bool {
		var lines []string
		for _, in := range h.App.alerts.Open() {
			for _, e := range in.Timeline {
				if e.Kind == "returning" {
					lines = append(lines, e.Text)
				}
			}
		}
		return slices.Equal(lines, want)
	})
}
