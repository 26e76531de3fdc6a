package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/redact"
)

// Draft gives a write-up of an incident to begin with, in Markdown: what
// Breakwater knows of it, and what a person has to fill in. now is the end of
// one that lasts.
func Draft(i record.Incident, now time.Time) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	ended, until, title := i.Ended, clock(i.Ended), tenseOf(i.Title).past
	if ended.IsZero() {
		ended, until, title = now, "now", i.Title
	}
	say("# Incident %d: %s", i.Number, markdown(title))
	say("\n%s to %s, %s, %s. %s", clock(i.Began), until, lasted(ended.Sub(i.Began)), i.Severity, returned(i))
	say("\n## What happened\n")
	for _, e := range i.Timeline {
		switch e.Kind {
		case "breaker", "anomaly", keyEvent, modelEvent, conditionEvent, record.EventJoined:
			say("- %s", markdown(e.Text))
		}
	}
	say("\n_In one or two sentences, for somebody who was not there:_ …")
	say("\n## Impact\n")
	impact := figures(i.Impact)
	if impact == "" {
		impact = "No request of a caller was affected, as far as Breakwater counted."
	}
	say("%s", impact)
	say("\n_Who noticed, and how:_ …")
	say("\n## When\n")
	say("| | at | after |\n|---|---|---|")
	row := func(what string, at time.Time) {
		if !at.IsZero() {
			say("| %s | %s | %s |", what, at.UTC().Format("15:04:05 UTC on 2 Jan"), lasted(at.Sub(i.Began)))
		}
	}
	row("began", i.Began)
	row("found", i.Opened)
	row("taken on by "+markdown(i.AcknowledgedBy), i.Acknowledged)
	row("callers served elsewhere", i.Mitigated)
	row("resolved", i.Ended)
	say("\n## Timeline\n")
	for _, e := range i.Timeline {
		by := ""
		if e.By != "" {
			by = markdown(e.By) + ": "
		}
		say("- %s %s%s", e.At.UTC().Format("15:04:05"), by, markdown(e.Text))
	}
	for _, heading := range []string{"Why it happened", "What went well", "What did not", "What we change, who, until when"} {
		say("\n## %s\n\n…", heading)
	}
	return b.String()
}

// returned says how often the incident came back.
func returned(i record.Incident) string {
	switch i.Reopened {
	case 0:
		return "It did not come back."
	case 1:
		return "It came back once."
	}
	return fmt.Sprintf("It came back %d times.", i.Reopened)
}

// markdown makes a text say what it says and nothing else in Markdown and in
// HTML: https://spec.commonmark.org/0.31.2/#backslash-escapes (2026-11).
func markdown(text string) string {
	var b strings.Builder
	for _, r := range redact.Short(text, MaxUpdate) {
		if slices.Contains([]rune("\\`*_[]<>#|!&~"), r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
