package alerts

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatAPersonDoesIsKeptAndTold(t *testing.T) {
	live(t, Config{}, func(t *testing.T, h *house, l *listener) {
		h.say(BreakerProbeFailed, gemini)
		must(t, h.Acknowledge(t.Context(), 1, "ana"))
		must(t, h.Acknowledge(t.Context(), 1, "ana")) // nothing new
		synctest.Wait()
		must(t, h.Comment(t.Context(), 1, "", " The key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789.\nMore soon. "))
		synctest.Wait()
		must(t, h.WriteUp(t.Context(), 1, "## What happened"))
		must(t, h.ResolveByHand(t.Context(), 1, "ana", "Gemini says it is mended."))
		h.pass(time.Second)
		want(t, l.told(), "1 opened", "1 changed", "1 changed", "1 resolved")
		i := h.incident(1)
		if i.AcknowledgedBy != "ana" || i.Acknowledged.IsZero() || i.WriteUp != "## What happened" || i.State != record.Resolved {
			t.Errorf("%+v", i)
		}
		if update := text(i, updateEvent); strings.Contains(update, "abcdefgh") || !strings.HasSuffix(update, "\nMore soon.") {
			t.Errorf("update %q", update)
		}
		var by []string
		for _, e := range i.Timeline {
			by = append(by, e.Kind+" "+e.By)
		}
		want(t, by[2:], "acknowledged ana", "update somebody", "resolved ana")
		notices, err := h.store.Notices(t.Context(), i.ID)
		if err != nil || notices[1].Text != "ana took it on." || !strings.HasPrefix(notices[2].Text, "somebody: The key is") {
			t.Errorf("notices %+v, %v", notices, err)
		}

		// What ended may still be written about, and nobody is told.
		must(t, h.Comment(t.Context(), 1, "ben", "It was DNS."))
		for _, err := range []error{h.Acknowledge(t.Context(), 1, "ben"), h.ResolveByHand(t.Context(), 1, "ben", "")} {
			if !errors.Is(err, ErrNotLasting) {
				t.Errorf("%v, want ErrNotLasting", err)
			}
		}
		h.say(BreakerProbeFailed, gemini) // the trouble lasts
		want(t, l.told()[4:], "1 reopened")
		i = h.incident(1)
		if !strings.Contains(text(i, updateEvent), "It was DNS.") || !i.Acknowledged.IsZero() || i.WriteUp == "" {
			t.Errorf("reopened: %+v, want what was written, and that somebody has to take it on", i)
		}
	})
}

func TestAnIncidentOfLongAgoCanBeWrittenAbout(t *testing.T) {
	live(t, Config{}, func(t *testing.T, h *house, l *listener) {
		h.say(HoldPlaced, gemini)
		h.say(HoldEnded, gemini)
		h.pass(2 * ReopenWithin)
		must(t, h.WriteUp(t.Context(), 1, "it was DNS"))
		must(t, h.Comment(t.Context(), 1, "ana", "See the write-up."))
		if i := h.incident(1); i.WriteUp != "it was DNS" || text(i, updateEvent) != "See the write-up." || i.State != record.Resolved {
			t.Errorf("%+v", i)
		}
		want(t, l.told(), "1 opened", "1 resolved")
	})
}

func TestTheDeskSaysWhatIsWrong(t *testing.T) {
	live(t, Config{}, func(t *testing.T, h *house, _ *listener) {
		h.say(HoldPlaced, gemini)
		for name, err := range map[string]error{
			"acknowledge": h.Acknowledge(t.Context(), 7, "ana"), "comment": h.Comment(t.Context(), 0, "ana", "x"),
			"resolve": h.ResolveByHand(t.Context(), -1, "ana", ""), "write-up": h.WriteUp(t.Context(), 2, "x"), "silence": h.EndSilence(t.Context(), 9, "ana"),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: %v, want ErrNotFound", name, err)
			}
		}
		for _, err := range []error{h.Comment(t.Context(), 1, "ana", " \n"), h.Comment(t.Context(), 1, "ana", strings.Repeat("x", MaxUpdate+1)),
			h.WriteUp(t.Context(), 1, strings.Repeat("x", MaxWriteUp+1))} {
			if err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("%v, want that the text is wrong", err)
			}
		}
		now := time.Now()
		for name, s := range map[string]record.Silence{
			"reason":       {Reason: " ", Until: now.Add(time.Hour)},
			"is past":      {Reason: "x", From: now.Add(-2 * time.Hour), Until: now.Add(-time.Hour)},
			"not after":    {Reason: "x", From: now.Add(2 * time.Hour), Until: now.Add(time.Hour)},
			"longer than":  {Reason: "x", Until: now.Add(LongestSilence + time.Hour)},
			"is no topic":  {Reason: "x", Until: now.Add(time.Hour), Topic: "weather"},
			"longer than ": {Reason: strings.Repeat("x", MaxUpdate+1), Until: now.Add(time.Hour)},
		} {
			if _, err := h.Silence(t.Context(), s); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	m := NewManager(Config{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Acknowledge(ended, 1, "ana"); !errors.Is(err, context.Canceled) {
		t.Errorf("without Run: %v", err)
	}
}

func TestWhatCannotBeWrittenIsSaidAndTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}})
		defer h.stop()
		other, err := sql.Open("sqlite3", path)
		must(t, err)
		defer other.Close()
		h.say(HoldPlaced, gemini)
		_, err = other.Exec(`CREATE TRIGGER broken BEFORE UPDATE ON incidents BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
		must(t, err)
		if err := h.Acknowledge(t.Context(), 1, "ana"); err == nil || !strings.Contains(err.Error(), "not written yet") {
			t.Errorf("%v, want that it is not written yet", err)
		}
		h.pass(3 * time.Second)
		want(t, l.told(), "1 opened")
		_, err = other.Exec(`DROP TRIGGER broken`)
		must(t, err)
		h.pass(3 * time.Second)
		want(t, l.told(), "1 opened", "1 changed")
		if i := h.incident(1); i.AcknowledgedBy != "ana" {
			t.Errorf("%+v", i)
		}
	})
}

func TestASilencedIncidentIsKeptAndToldWhenItOutlastsTheSilence(t *testing.T) {
	live(t, Config{Providers: inUse()}, func(t *testing.T, h *house, l *listener) {
		window, err := h.Silence(t.Context(), record.Silence{Maintenance: true, Provider: llm.Gemini, Reason: "new region", By: "ana", Until: time.Now().Add(time.Hour)})
		must(t, err)
		if _, err := h.Silence(t.Context(), record.Silence{Topic: record.TopicBudget, Reason: "known", Until: time.Now().Add(10 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		h.say(BreakerProbeFailed, gemini)
		h.raise(Raised, record.Warning, "fast")
		h.say(BreakerProbeFailed, claude) // in the same minute, and nobody planned it
		want(t, l.told(), "3 opened")
		if i := h.incident(1); !i.Silenced || i.State != record.Ongoing {
			t.Errorf("%+v, want that it is kept, and silenced", i)
		}
		must(t, h.Comment(t.Context(), 1, "ana", "As planned."))
		h.say(BreakerClosed, claude)
		h.pass(10 * time.Minute)
		want(t, l.told(), "3 opened", "3 resolved", "2 opened")
		must(t, h.EndSilence(t.Context(), window.ID, "ana"))
		if err := h.EndSilence(t.Context(), window.ID, "ana"); !errors.Is(err, ErrSilenceOver) {
			t.Errorf("ended twice: %v", err)
		}
		h.pass(0)
		want(t, l.told(), "3 opened", "3 resolved", "2 opened", "1 opened")
		if i := h.incident(1); i.Silenced || text(i, silenceEvent) == "" {
			t.Errorf("%+v, want that the end of the silence is in its timeline", i)
		}
		h.say(BreakerClosed, gemini)
		h.raise(Cleared, "", "")
		h.pass(DefaultWellFor)
		got := l.told()[4:]
		slices.Sort(got)
		want(t, got, "1 resolved", "2 resolved")
	})
}

func TestASilencedIncidentThatEndsIsNeverTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		l := &listener{name: "a"}
		h := move(t, path, Config{Channels: []Channel{l}, Providers: inUse()})
		for _, p := range []llm.Provider{llm.Gemini, llm.Claude} {
			_, err := h.Silence(t.Context(), record.Silence{Provider: p, Reason: "moving house", Until: time.Now().Add(time.Hour)})
			must(t, err)
		}
		h.stop()
		h = move(t, path, Config{Channels: []Channel{l}, Providers: inUse()}) // silences outlive it
		h.say(BreakerProbeFailed, gemini)
		h.stop()
		h = move(t, path, Config{Channels: []Channel{l}, Providers: inUse()})
		defer h.stop()
		h.pass(0)
		h.say(TargetServed, gemini)
		h.pass(DefaultWellFor)
		h.pass(2 * time.Hour)
		want(t, l.told())
		if i := h.incident(1); !i.Silenced || i.State != record.Resolved {
			t.Errorf("%+v", i)
		}
	})
}

func TestADraftOfAWriteUpTellsWhatIsKnown(t *testing.T) {
	i := hostile()
	i.Number, i.Ended, i.State, i.Severity, i.Reopened = 12, noon.Add(8*time.Minute), record.Resolved, record.Critical, 2
	i.Acknowledged, i.AcknowledgedBy = noon.Add(2*time.Minute), "ana|ben"
	i.Impact = record.Impact{ServedBy: llm.Claude, Rerouted: 1204, Failed: 2, Added: 1500 * time.Millisecond, Extra: 2_000_000_000}
	i.Timeline = append(i.Timeline, record.Event{At: noon.Add(3 * time.Minute), Kind: updateEvent, Text: "# We look\n# at it", By: "ana"})
	draft := Draft(i, noon.Add(time.Hour))
	for _, part := range []string{
		"# Incident 12: Gemini was failing\n\n12:00 UTC on 14 Mar to 12:08 UTC on 14 Mar, 8 min, critical. It came back 2 times.",
		"2 requests failed; 1,204 were served elsewhere, most by Claude. Those served elsewhere took 1.5 s longer on average. Calls that did not serve cost $2.00.",
		"| found | 12:01:00 UTC on 14 Mar | 1 min |", `| taken on by ana\|ben | 12:02:00 UTC on 14 Mar | 2 min |`, "| resolved | 12:08:00 UTC on 14 Mar | 8 min |",
		`- 12:03:00 ana: \# We look \# at it`, "## Why it happened\n\n…",
	} {
		if !strings.Contains(draft, part) {
			t.Errorf("the draft lacks %q:\n%s", part, draft)
		}
	}
	if regexp.MustCompile(`[^\\][<\[*]|[\x00\x{202e}]`).MatchString(draft) || strings.Contains(draft, "callers served elsewhere") {
		t.Errorf("the draft has what it should not:\n%s", draft)
	}
	if going := Draft(record.Incident{Number: 1, Began: noon, Title: "x"}, noon.Add(time.Hour)); !strings.Contains(going, "to now, 1 h 0 min") {
		t.Errorf("one that lasts:\n%s", going)
	}
}

func TestAMessageCountsWholeUnitsAsThePagesDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		900 * time.Millisecond:               "0 s",
		15900 * time.Millisecond:             "15 s",
		time.Minute + 50*time.Second:         "1 min",
		2*time.Hour - time.Second:            "1 h 59 min",
		26*time.Hour + 30*time.Minute + 59e9: "26 h 30 min",
	} {
		if got := lasted(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
