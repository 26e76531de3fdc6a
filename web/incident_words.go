package web

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"breakwater/internal/record"
)

// stateWord is an incident's state as it is read.
func stateWord(s record.IncidentState) string {
	switch s {
	case StateNotOver:
		return "not over"
	case record.Ongoing:
		return "open"
	case record.Mitigated:
		return "mitigated"
	case record.Recovering:
		return "recovering"
	case record.Resolved:
		return "resolved"
	}
	return string(s)
}

// stateSymbol names the icon of an incident's state.
func stateSymbol(in record.Incident) string {
	switch {
	case in.State == record.Resolved:
		return "ok"
	case in.State == record.Ongoing && in.Severity == record.Critical:
		return "bad"
	case in.State.Lasts() && in.Severity != record.Info:
		return "warn"
	}
	return "none"
}

// incidentLevel is how much an incident asks for attention now.
func incidentLevel(in record.Incident) Level {
	switch stateSymbol(in) {
	case "bad":
		return LevelDown
	case "warn":
		return LevelDegraded
	case "none":
		return LevelUnknown
	}
	return LevelOperational
}

// worse gives the level that asks for more attention.
func worse(a, b Level) Level {
	rank := map[Level]int{LevelOperational: 0, LevelUnknown: 1, LevelDegraded: 2, LevelDown: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// flags are the words beside an incident's state.
func flags(in record.Incident) []string {
	var all []string
	if !in.Acknowledged.IsZero() {
		all = append(all, "acknowledged")
	}
	if in.Silenced {
		all = append(all, "silenced")
	}
	if in.Reopened > 0 {
		all = append(all, "reopened "+times(in.Reopened))
	}
	return all
}

// times writes how often: "once", "twice", "3 times".
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return thousands(int64(n)) + " times"
}

// topicWord is a topic as it is read.
func topicWord(t record.Topic) string {
	switch t {
	case record.TopicEverything:
		return "several providers"
	case record.TopicErrorBudget:
		return "error budget"
	case "":
		return "provider"
	}
	return string(t)
}

// ofCallers says whether incidents of a topic are felt by callers' requests
// and count them, so that their number is worth a word even where it is zero.
// Those that used up an error budget failed before its incident began: it
// counts none, and zero would be a lie.
func ofCallers(t record.Topic) bool {
	switch t {
	case record.TopicErrorBudget, record.TopicBudget, record.TopicUsage, record.TopicRecord:
		return false
	}
	return true
}

// counted says whether there are figures of what an incident meant for callers.
func counted(in record.Incident) bool {
	return ofCallers(in.Topic) || in.Impact.Failed+in.Impact.Rerouted > 0
}

// duration is how long an incident lasted, or lasts by now.
func duration(in record.Incident, now time.Time) time.Duration {
	if in.Ended.IsZero() {
		return max(now.Sub(in.Began), 0)
	}
	return max(in.Ended.Sub(in.Began), 0)
}

// impactLine is what an incident meant, in one line: "no request failed,
// 1,204 served elsewhere, 8 min".
func impactLine(in record.Incident, now time.Time) string {
	var parts []string
	i := in.Impact
	if counted(in) {
		failed := "no request failed"
		if i.Failed > 0 {
			failed = count(i.Failed, "request") + " failed"
		}
		parts = append(parts, failed, thousands(i.Rerouted)+" served elsewhere")
	}
	if i.Added >= time.Millisecond {
		parts = append(parts, latency(i.Added)+" slower")
	}
	if i.Extra > 0 {
		parts = append(parts, dollars(i.Extra)+" extra")
	}
	return strings.Join(append(parts, shortly(duration(in, now))), ", ")
}

// incidentHeadline is an incident as sentences: what it is or was, and what
// that means for callers.
func incidentHeadline(in record.Incident, now time.Time) string {
	var b strings.Builder
	past := inPast(in.Title)
	switch {
	case in.State != record.Resolved:
		b.WriteString(sentence(in.Title))
	case past != in.Title && ofCallers(in.Topic):
		fmt.Fprintf(&b, "%s for %s.", strings.TrimSuffix(past, "."), span(duration(in, now)))
	default:
		fmt.Fprintf(&b, "%s It lasted %s and is over.", sentence(past), span(duration(in, now)))
	}
	if words := callersWords(in); words != "" {
		b.WriteString(" " + words)
	}
	return b.String()
}

// callersWords says what an incident means for callers; "" where it says
// nothing about them.
func callersWords(in record.Incident) string {
	over, i := in.State == record.Resolved, in.Impact
	served := ""
	if i.ServedBy != "" {
		served = i.ServedBy.Title()
	}
	switch {
	case i.Failed > 0 && i.Rerouted > 0:
		were := "were"
		if i.Rerouted == 1 {
			were = "was"
		}
		return fmt.Sprintf("%s failed, %s %s served elsewhere.", count(i.Failed, "request"), thousands(i.Rerouted), were)
	case i.Failed > 0:
		return count(i.Failed, "request") + " failed for their callers."
	case i.Rerouted > 0 && served != "" && over:
		return "No caller failed: " + served + " took the traffic."
	case i.Rerouted > 0 && served != "":
		return "No caller failed so far: the traffic is going to " + served + "."
	case i.Rerouted > 0:
		return "No caller failed: other targets served."
	case ofCallers(in.Topic) && over:
		return "No caller noticed."
	}
	return ""
}

// standingWords says how the incident stands: its number, state, who took it
// on, and what else is to be known.
func standingWords(in record.Incident, now time.Time) string {
	parts := []string{incidentName(in) + " " + stateSince(in, now) + "."}
	if in.Mitigated.IsZero() && in.State == record.Ongoing && ofCallers(in.Topic) && in.Impact.Failed > 0 {
		parts = append(parts, "Callers are not yet all served elsewhere.")
	}
	switch {
	case !in.Acknowledged.IsZero() && in.AcknowledgedBy != "":
		parts = append(parts, "Acknowledged by "+in.AcknowledgedBy+" at "+when(in.Acknowledged, now)+".")
	case !in.Acknowledged.IsZero():
		parts = append(parts, "Acknowledged at "+when(in.Acknowledged, now)+".")
	case in.State.Lasts():
		parts = append(parts, "Nobody has acknowledged it.")
	}
	if in.Reopened > 0 {
		parts = append(parts, "Reopened "+times(in.Reopened)+".")
	}
	if in.Silenced {
		parts = append(parts, "Silenced: nobody was told when it opened.")
	}
	return strings.Join(parts, " ")
}

// stateSince says how an incident stands, and since when as far as that is known.
func stateSince(in record.Incident, now time.Time) string {
	is, since := "is "+stateWord(in.State), "has been "+stateWord(in.State)+" since "
	switch {
	case in.State == record.Resolved && !in.Ended.IsZero():
		return since + when(in.Ended, now) + " UTC"
	case in.State == record.Mitigated && !in.Mitigated.IsZero():
		return since + when(in.Mitigated, now) + " UTC: callers are served elsewhere"
	case in.State == record.Recovering:
		return is + ": traffic is coming back"
	}
	return is + "; it began at " + when(in.Began, now) + " UTC"
}

// subjectWords says what an incident is about: "Gemini, key main at eu".
func subjectWords(in record.Incident) string {
	var parts []string
	if in.Subject != "" {
		parts = append(parts, in.Subject.Title())
	}
	if in.Key != "" {
		parts = append(parts, "key "+in.Key)
	}
	if in.Model != "" {
		parts = append(parts, "model "+in.Model)
	}
	if in.Name != "" {
		parts = append(parts, in.Name)
	}
	text := strings.Join(parts, ", ")
	if in.Endpoint != "" && text != "" {
		text += " at " + in.Endpoint
	}
	return text
}

// severityWord says an incident's severity with what it means.
func severityWord(in record.Incident) string {
	felt := ofCallers(in.Topic) || in.Topic == record.TopicErrorBudget
	switch worst := in.Severity == record.Critical; {
	case in.State == record.Resolved, worst && in.State != record.Ongoing:
		return string(in.Severity) + " at its worst"
	case worst && felt:
		return "critical: callers are failing"
	case worst:
		return "critical: somebody has to act"
	}
	switch in.Severity {
	case record.Warning:
		if !ofCallers(in.Topic) {
			return "warning: soon enough by day"
		}
		return "warning: callers are served, with less left in reserve"
	case record.Info:
		return "info: good to know"
	}
	return string(in.Severity)
}

// noticeWord says what a notice told.
func noticeWord(n record.Notice) string {
	switch n.Kind {
	case record.NoticeOpened:
		return "opened"
	case record.NoticeReopened:
		return "reopened"
	case record.NoticeReminder:
		return "reminder: it lasts"
	case record.NoticeResolved:
		return "resolved"
	case record.NoticeChanged:
		if n.Text != "" {
			return "changed: " + n.Text
		}
		return "changed"
	}
	return string(n.Kind)
}

// receipt is what a channel gave back for a notice; a mail's has its subject behind it.
func receipt(n record.Notice) string {
	id, _, _ := strings.Cut(n.Receipt, " ")
	return shortenTo(id, 60)
}

// delivery says what became of a notice.
func delivery(n record.Notice, now time.Time) string {
	switch {
	case !n.Sent.IsZero() && n.Attempts > 1:
		return fmt.Sprintf("confirmed at %s, after %s", clock(n.Sent), count(int64(n.Attempts), "attempt"))
	case !n.Sent.IsZero():
		return "confirmed at " + clock(n.Sent)
	case n.Attempts == 0:
		return "waiting to be sent"
	case n.NextTry.After(now):
		return fmt.Sprintf("failed %s, next try at %s", times(n.Attempts), clock(n.NextTry))
	}
	return "failed " + times(n.Attempts) + ", being tried again"
}

func upperFirst(text string) string {
	r, n := utf8.DecodeRuneInString(text)
	if n == 0 {
		return text
	}
	return string(unicode.ToUpper(r)) + text[n:]
}

// lowerFirst begins a clause with what was a sentence. A name keeps its
// capital.
func lowerFirst(text string) string {
	first, _, _ := strings.Cut(text, " ")
	for _, word := range []string{"The", "A", "An", "No", "All", "Several", "Both"} {
		if first == word {
			return strings.ToLower(word) + text[len(word):]
		}
	}
	return text
}

// spelled writes a small number as a word.
func spelled(n int, capital bool) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
	if n >= len(words) || n < 0 {
		return thousands(int64(n))
	}
	if capital {
		return upperFirst(words[n])
	}
	return words[n]
}

// titleNow is an incident's title, in the past tense where it is over.
func titleNow(in record.Incident) string {
	if in.State == record.Resolved {
		return inPast(in.Title)
	}
	return in.Title
}

// severityOnly is an incident's severity in one word; those of before there
// were severities say nothing.
func severityOnly(in record.Incident) string { return upperFirst(string(in.Severity)) }

// servedBy, added and the like write the figures of an incident.
func servedBy(in record.Incident) string {
	if in.Impact.ServedBy == "" {
		return ""
	}
	return "most by " + in.Impact.ServedBy.Title()
}

func added(in record.Incident) string {
	if in.Impact.Added < time.Millisecond {
		return "none"
	}
	return latency(in.Impact.Added)
}

func addedNote(in record.Incident) string {
	if in.Impact.Added < time.Millisecond {
		return ""
	}
	return "on average"
}

func lastsWord(in record.Incident) string {
	if in.State == record.Resolved {
		return ""
	}
	return "so far"
}

func foundAfter(in record.Incident) string {
	if in.Opened.IsZero() {
		return noData
	}
	return shortly(in.Opened.Sub(in.Began))
}

func mitigatedAfter(in record.Incident) string {
	switch {
	case in.Mitigated.IsZero() && (in.State == record.Resolved || in.State == record.Recovering):
		return "never"
	case in.Mitigated.IsZero():
		return "not yet"
	}
	return shortly(in.Mitigated.Sub(in.Began))
}

// mitigatedNote says why an incident that callers did not feel was never
// mitigated: it was over before it had lasted long enough to say so.
func mitigatedNote(in record.Incident) string {
	if in.State == record.Resolved && in.Mitigated.IsZero() && counted(in) && in.Impact.Failed == 0 {
		return "it was over first"
	}
	return ""
}

// silenceWhat says what a silence of an incident's subject covers.
func silenceWhat(in record.Incident) string {
	if in.Subject != "" {
		if in.Topic == record.TopicProvider {
			return "incidents of " + in.Subject.Title() + " as a whole"
		}
		return "incidents of " + in.Subject.Title() + ": " + topicWord(in.Topic)
	}
	return "incidents about: " + topicWord(in.Topic)
}

func writeUpTitle(p incidentPage) string {
	if p.Incident.WriteUp != "" {
		return "Change the write-up"
	}
	return "Write it"
}

// openNote says of an incident that is not over how it stands, in a line.
func openNote(in record.Incident, now time.Time) string {
	text := upperFirst(stateWord(in.State)) + ", began at " + when(in.Began, now) + " UTC, " + shortly(duration(in, now)) + " ago"
	if words := flags(in); len(words) > 0 {
		text += ", " + strings.Join(words, ", ")
	}
	return text + "."
}

// eventHead is the first word of a line of a timeline: who wrote it, or what
// kind of thing Breakwater noted.
func eventHead(e record.Event) string {
	if e.By != "" {
		return e.By
	}
	return eventWord(e.Kind)
}
