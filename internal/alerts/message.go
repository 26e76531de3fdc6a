package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// The ends of an incident's title.
const (
	failingTitle = " failing"
	slowTitle    = " slow"
)

// maxCauses is how many events a message tells: the page has them all.
const maxCauses = 3

// Message is one notice, ready to be put into a channel's form.
type Message struct {
	ID       record.ID // of the notice: the same however often it is tried
	Kind     record.NoticeKind
	Text     string // what changed, in plain words; of another kind than NoticeChanged what did meanwhile
	Incident record.Incident
	Receipt  string         // what the channel gave back for the opening; "" where it gave nothing
	Impact   *record.Impact // nil where it is not known
	Next     time.Time      // when the provider is tried again; zero where that is not known
	URL      string         // of the page; "" where there is none
}

// line is one labelled sentence of a message.
type line struct{ label, text string }

// page is the address of the incident's own page; "" where there is none.
func (m Message) page() string {
	switch {
	case m.URL == "":
		return ""
	case m.Incident.Number == 0:
		return m.at("/alerts") // of a test
	}
	return m.at(fmt.Sprintf("/incidents/%d", m.Incident.Number))
}

// at gives the address of a page, by its path alone where nobody said where
// people reach Breakwater.
func (m Message) at(path string) string { return strings.TrimSuffix(m.URL, "/") + path }

// foot says how bad it is and which incident it is.
func (m Message) foot() string {
	if m.Kind == record.NoticeTest {
		return "Test"
	}
	foot := "Incident without a number: it could not be written down yet"
	if m.Incident.Number > 0 {
		foot = fmt.Sprintf("Incident %d", m.Incident.Number)
	}
	if s := string(m.Incident.Severity); s != "" {
		foot = strings.ToUpper(s[:1]) + s[1:] + " · " + foot
	}
	return foot
}

// headline says what is the matter, in a few words.
func (m Message) headline() string {
	switch m.Kind {
	case record.NoticeResolved:
		if m.part() {
			return "Part of a larger incident now: " + m.Incident.Title
		}
		return "Resolved: " + tenseOf(m.Incident.Title).past
	case record.NoticeReopened:
		return "Back again: " + m.Incident.Title
	case record.NoticeReminder:
		return "Still: " + m.Incident.Title
	}
	return m.Incident.Title
}

// lines says the rest, in plain words for somebody who was just woken.
func (m Message) lines() []line {
	i := m.Incident
	switch m.Kind {
	case record.NoticeTest:
		return []line{
			{"What", "Somebody asked Breakwater at " + clock(i.Began) + " to show that its messages arrive here. They do."},
			{"To do", "Nothing. No provider is in trouble on account of this."},
		}
	case record.NoticeResolved:
		if m.part() {
			return []line{{"What", strings.Join(m.causes(), "\n")}, {"Callers", m.callers()}, {"To do", m.afterwards()}}
		}
		return []line{
			{"How long", fmt.Sprintf("%s, from %s to %s%s.", lasted(i.Ended.Sub(i.Began)), clockBefore(i.Began, i.Ended), clock(i.Ended), m.between())},
			{"What it was", strings.Join(m.causes(), "\n")},
			{"Callers", m.callers()},
			{"To do", m.afterwards()},
		}
	}
	var all []line
	switch {
	case m.Kind == record.NoticeChanged:
		all = append(all, line{"New", m.change()})
	case m.Text != "":
		all = append(all, line{"New", m.Text})
	}
	all = append(all, []line{
		{"What", strings.Join(m.causes(), "\n")},
		{"Since", m.since()},
		{"Callers", m.callers()},
		{"Breakwater", m.doing()},
		{"To do", m.advice()},
	}...)
	if !i.Acknowledged.IsZero() {
		by := "somebody"
		if i.AcknowledgedBy != "" {
			by = i.AcknowledgedBy
		}
		all = append(all, line{"Taken on", fmt.Sprintf("By %s at %s.", by, clock(i.Acknowledged))})
	}
	return all
}

// part says whether the incident ended because that of several providers goes on in
// its place: nothing is well.
func (m Message) part() bool {
	part := false
	for _, e := range m.Incident.Timeline {
		part = e.Kind == partEvent || part && e.Kind != reopenedEvent
	}
	return part
}

// between says how often the incident was over before its end.
func (m Message) between() string {
	if n := m.Incident.Reopened; n > 0 {
		return "; in between it was over " + times(n)
	}
	return ""
}

func (m Message) since() string {
	text := clock(m.Incident.Began)
	if n := m.Incident.Reopened; n > 0 {
		text += fmt.Sprintf("; since then it ended and came back %s", times(n))
	}
	return text
}

// quietKinds are the events that say where the incident stands or what people
// wrote, and not what is wrong.
func quietKinds() []string {
	return []string{
		"opened", "mitigated", "failing", "recovering", recoveredEvent, returningEvent, "resolved", "reopened", "update", "acknowledged", "silence", "flapping",
		"figures", "part", "single", servingEvent, record.EventBack, againEvent,
	}
}

// causes gives what went wrong, the latest last: of several providers' incident the
// latest of each that is not well again.
func (m Message) causes() []string {
	several := slices.ContainsFunc(m.Incident.Timeline, func(e record.Event) bool { return e.Kind == record.EventJoined })
	over := m.Incident.State == record.Resolved
	var past, all []string
	without := func(p llm.Provider) {
		all = slices.DeleteFunc(all, func(text string) bool { return causeOf(p, text) })
	}
	for _, e := range m.Incident.Timeline {
		switch {
		case e.By != "":
		case !over && (e.Kind == reopenedEvent || e.Kind == recoveringEvent):
			past, all = all, nil // what was wrong before is over
		case !over && (e.Kind == recoveredEvent || e.Kind == record.EventBack) && strings.Contains(e.Text, backAgain):
			for _, p := range named(e) {
				without(p)
			}
		case !slices.Contains(quietKinds(), e.Kind):
			for _, p := range llm.Providers() {
				if several && causeOf(p, e.Text) {
					without(p)
				}
			}
			all = append(slices.DeleteFunc(all, func(text string) bool { return text == e.Text }), e.Text) // after a restart it may be said again
		}
	}
	if len(all) == 0 {
		all = past
	}
	if n := len(all); n > maxCauses && !several {
		all = append(all[:1:1], all[n-maxCauses+1:]...)
	}
	if len(all) == 0 {
		return []string{m.Incident.Title + "."}
	}
	return all
}

// causeOf says whether a cause is of a provider.
func causeOf(p llm.Provider, text string) bool {
	return strings.HasPrefix(text, string(p)+"/") || strings.HasPrefix(text, p.Title()+" ")
}

// callers says what callers notice of it.
func (m Message) callers() string {
	over := m.Kind == record.NoticeResolved
	none := m.Impact == nil || m.Impact.Failed == 0 && m.Impact.Rerouted == 0
	switch topic := m.Incident.Topic; {
	case !noticed(topic) && over:
		return "Callers were served as before."
	case !noticed(topic):
		return "Callers are served as before."
	case !over && (topic == record.TopicKey || topic == record.TopicModel):
		return m.partCallers()
	case !over && topic != record.TopicProvider && none:
		return unmeasured(topic)
	case topic == record.TopicErrorBudget && none:
		return "No request failed any more after it opened; those before it are what it is about."
	case m.Impact == nil && over:
		return "No figures of what they noticed."
	case m.Impact == nil:
		return unmeasured(topic)
	case none && strings.HasSuffix(m.Incident.Title, slowTitle):
		return "Its answers took longer than usual; no request failed."
	case none:
		return "No request was affected."
	}
	return meant(*m.Impact)
}

// impactWords gives the figures as a sentence, first whom it hurt.
func impactWords(i record.Impact) string {
	text := "No request failed"
	if n := i.Failed; n > 0 {
		text = requests(n) + " failed"
	}
	switch n := i.Rerouted; {
	case n == 1:
		text += "; 1 was served elsewhere"
	case n > 1:
		text += "; " + grouped(n) + " were served elsewhere"
	}
	if by := i.ServedBy; by != "" && i.Rerouted > 1 {
		text += ", most by " + by.Title()
	} else if by != "" && i.Rerouted == 1 {
		text += ", by " + by.Title()
	}
	return text + "."
}

// noticeable is how much later an answer must come on average that a message tells it:
// nobody notices less. The page has every figure.
const noticeable = 100 * time.Millisecond

// meant gives all figures: what callers noticed, and what it cost.
func meant(i record.Impact) string {
	text := impactWords(i)
	if i.Rerouted > 0 && i.Added >= noticeable {
		text += fmt.Sprintf(" Those served elsewhere took %s longer on average.", milliseconds(i.Added))
	}
	if i.Extra > 0 {
		text += fmt.Sprintf(" Calls that did not serve cost %s.", dollars(i.Extra))
	}
	return text
}

// summary is the message in one sentence, for notifications.
func (m Message) summary() string {
	since := sinceWhen(m.Incident.Title, clock(m.Incident.Began))
	switch m.Kind {
	case record.NoticeTest:
		return m.headline() + ". Nothing is to be done."
	case record.NoticeResolved:
		if m.part() {
			return m.headline() + ". Other providers are in trouble, too: that incident goes on. " + m.callers()
		}
		took := lasted(m.Incident.Ended.Sub(m.Incident.Began))
		if !tenseOf(m.Incident.Title).span {
			return fmt.Sprintf("%s. It was so for %s. %s", m.headline(), took, m.callers())
		}
		return fmt.Sprintf("%s for %s. %s", m.headline(), took, m.callers())
	case record.NoticeReopened:
		return m.headline() + ". " + m.callers()
	case record.NoticeReminder:
		return "Still: " + since + " Nobody has taken it on" + m.lasts() + ". " + m.callers()
	case record.NoticeChanged:
		return m.Incident.Title + ". " + m.change()
	}
	return since + " " + m.callers()
}

// standing is the summary of how things are, whatever brings the message about.
func (m Message) standing() string {
	m.Kind = record.NoticeOpened
	return m.summary()
}

// lasts says for how long it has lasted when the message is made.
func (m Message) lasts() string {
	if d := m.ID.Time().Sub(m.Incident.Began); d > 0 {
		return " in " + lasted(d)
	}
	return ""
}

// tense is a title of what has lasted since an instant ("" where that cannot be
// said so), and of what is over. span says that a length of time fits behind the
// last.
type tense struct {
	since, past string
	span        bool
}

// tenseOf gives the whole title in each tense; one without a known verb stays.
func tenseOf(title string) tense {
	for _, verb := range []struct {
		now string
		tense
	}{
		{" takes less than it is ", tense{" has taken less than it is ", " took less than it was ", true}},
		{" is being ", tense{"", " was being ", true}},
		{" is ", tense{" has been ", " was ", true}},
		{" are ", tense{" have been ", " were ", true}},
		{" cannot ", tense{"", " could not ", true}},
		{" will not ", tense{"", " was not going to ", false}},
	} {
		if before, after, ok := strings.Cut(title, verb.now); ok {
			whole := tense{past: before + verb.past + after, span: verb.span}
			if verb.since != "" {
				whole.since = before + verb.since + after
			}
			return whole
		}
	}
	return tense{past: title}
}

// sinceWhen says since when what a title says has lasted.
func sinceWhen(title, when string) string {
	if t := tenseOf(title); t.since != "" {
		return t.since + " since " + when + "."
	}
	return title + ". It has been so since " + when + "."
}

// change says of NoticeChanged what changed.
func (m Message) change() string {
	if m.Text == "" {
		return "It is " + string(m.Incident.State) + "."
	}
	return m.Text
}

// rest gives the lines without what changed, where the summary stands above them.
func (m Message) rest() []line {
	if m.Kind == record.NoticeChanged {
		return m.lines()[1:]
	}
	return m.lines()
}

// plain is the message below its summary, as lines of text.
func (m Message) plain() string {
	var b strings.Builder
	for _, l := range m.rest() {
		fmt.Fprintf(&b, "%s\n  %s\n\n", l.label, strings.ReplaceAll(l.text, "\n", "\n  "))
	}
	b.WriteString(m.foot() + "\n")
	if page := m.page(); page != "" {
		b.WriteString(page + "\n")
	}
	return b.String()
}

// Digest is several incidents told in one message: what was held back in quiet
// hours or collected for the day, or what came faster than the channel may be told.
type Digest struct {
	ID    record.ID // of its first notice
	Of    []Message // one for each incident, as it stands now
	Storm bool      // it came too fast
	URL   string    // of the page; "" where there is none
}

// headline says how many there are.
func (d Digest) headline() string {
	open := 0
	for _, m := range d.Of {
		if m.Kind != record.NoticeResolved {
			open++
		}
	}
	still := fmt.Sprintf("%d of them not over", open)
	switch open {
	case 0:
		still = "all of them over"
	case len(d.Of):
		still = "none of them over"
	}
	if d.Storm {
		return fmt.Sprintf("%d incidents at once, %s", len(d.Of), still)
	}
	return fmt.Sprintf("Held back until now: %d incidents, %s", len(d.Of), still)
}

// plain is the digest as lines of text.
func (d Digest) plain() string {
	var b strings.Builder
	for _, m := range d.Of {
		fmt.Fprintf(&b, "* %s (%s)\n", m.summary(), m.foot())
		if page := m.page(); page != "" {
			fmt.Fprintf(&b, "  %s\n", page)
		}
	}
	return b.String()
}

// clock writes an instant for people: in UTC, with its date.
func clock(t time.Time) string { return t.UTC().Format("15:04 UTC on 2 Jan") }

// clockBefore writes the first of two instants, with its date where that is another.
func clockBefore(t, then time.Time) string {
	const day = "2 Jan 2006"
	if t.UTC().Format(day) == then.UTC().Format(day) {
		return t.UTC().Format("15:04")
	}
	return clock(t)
}

// lasted writes a duration as people say it: in whole units that are over, as
// the pages do, so that both say the same of one incident.
func lasted(d time.Duration) string {
	switch d = d.Truncate(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// grouped writes a number with groups of three digits.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// requests writes a count of requests.
func requests(n int64) string {
	if n == 1 {
		return "1 request"
	}
	return grouped(n) + " requests"
}

// times writes how often something was: "once", "3 times".
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// milliseconds writes a short duration.
func milliseconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// dollars writes an amount for people.
func dollars(n record.NanoUSD) string {
	if n < 1e7 {
		return "less than $0.01"
	}
	return fmt.Sprintf("$%.2f", n.Dollars())
}
