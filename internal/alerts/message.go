package alerts

import (
	"fmt"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// The ends of an incident's title.
const (
	failingTitle = " is failing"
	slowTitle    = " is slow"
)

// maxCauses is how many events a message tells: the page has them all.
const maxCauses = 3

// Message is one notice, ready to be put into a channel's form.
type Message struct {
	Kind     record.NoticeKind
	Incident record.Incident
	Receipt  string         // what the channel gave back for the opening; "" where it gave nothing
	Impact   *record.Impact // nil where it is not known
	Next     time.Time      // when the provider is tried again; zero where that is not known
	URL      string         // of the page; "" where there is none
}

// line is one labelled sentence of a message.
type line struct{ label, text string }

// headline says what is the matter, in a few words.
func (m Message) headline() string {
	if m.Kind == record.NoticeResolved {
		return "Resolved: " + strings.Replace(m.Incident.Title, " is ", " was ", 1)
	}
	return m.Incident.Title
}

// lines says the rest, in plain words for somebody who was just woken.
func (m Message) lines() []line {
	i := m.Incident
	if !i.Whole() {
		return m.partLines()
	}
	if m.Kind == record.NoticeResolved {
		return []line{
			{"How long", fmt.Sprintf("%s, from %s to %s.", lasted(i.Ended.Sub(i.Began)), clock(i.Began), clock(i.Ended))},
			{"What it was", strings.Join(m.causes(), "\n")},
			{"Callers", m.callers()},
			{"To do", "Nothing. " + i.Subject.Title() + " gets its traffic again."},
		}
	}
	return []line{
		{"What", strings.Join(m.causes(), "\n")},
		{"Since", clock(i.Began)},
		{"Callers", m.callers()},
		{"Breakwater", m.doing()},
		{"To do", advice(i.Subject)},
	}
}

// causes gives what went wrong, the latest last.
func (m Message) causes() []string {
	var all []string
	for _, e := range m.Incident.Timeline {
		switch e.Kind {
		case "breaker", "anomaly", keyEvent, modelEvent:
			all = append(all, e.Text)
		}
	}
	if n := len(all); n > maxCauses {
		all = append(all[:1:1], all[n-maxCauses+1:]...)
	}
	return all
}

func (m Message) callers() string {
	over := m.Kind == record.NoticeResolved
	switch {
	case !over && !m.Incident.Whole():
		return m.partCallers()
	case m.Impact == nil && over:
		return "No figures of what they noticed."
	case m.Impact == nil:
		return "Requests go to the next provider of the chain; those that find none fail."
	case m.Impact.Failed == 0 && m.Impact.Rerouted == 0 && strings.HasSuffix(m.Incident.Title, slowTitle):
		return "Its answers took longer than usual; no request failed."
	case m.Impact.Failed == 0 && m.Impact.Rerouted == 0:
		return "No request was affected."
	}
	return impactWords(*m.Impact)
}

// impactWords gives the figures as a sentence.
func impactWords(i record.Impact) string {
	var b strings.Builder
	if n := i.Rerouted; n > 0 {
		fmt.Fprintf(&b, "%s served elsewhere", requests(n))
		if by := i.ServedBy; by != "" {
			fmt.Fprintf(&b, ", most by %s", by.Title())
		}
		b.WriteString("; ")
	}
	if n := i.Failed; n > 0 {
		fmt.Fprintf(&b, "%s failed.", requests(n))
	} else {
		b.WriteString("none failed.")
	}
	return b.String()
}

func (m Message) doing() string {
	text := "Sends its traffic to the next provider of the chain and tries " + m.Incident.Subject.Title() + " again"
	if m.Next.IsZero() {
		return text + " from time to time."
	}
	return text + " at " + m.Next.UTC().Format("15:04:05 UTC") + "."
}

// summary is the message in one sentence, for notifications.
func (m Message) summary() string {
	if m.Kind == record.NoticeResolved {
		return fmt.Sprintf("%s for %s. %s", m.headline(), lasted(m.Incident.Ended.Sub(m.Incident.Began)), m.callers())
	}
	return fmt.Sprintf("%s since %s. %s", strings.Replace(m.headline(), " is ", " has been ", 1), clock(m.Incident.Began), m.callers())
}

// advice says what a person can look at.
func advice(p llm.Provider) string {
	const wait = "Nothing, if it recovers by itself. Otherwise look at "
	switch p {
	case llm.Gemini:
		return wait + "status.cloud.google.com and at the project's quota."
	case llm.Claude:
		return wait + "status.claude.com and at the organisation's limits."
	case llm.OpenAI:
		return wait + "status.openai.com and at the project's limits."
	case llm.Local:
		return "Look at the Ollama server: does it run (ollama ps), is its memory full, is the model there (ollama list)?"
	}
	return wait + "its status page."
}

// clock writes an instant for people: in UTC, with its date.
func clock(t time.Time) string { return t.UTC().Format("15:04 UTC on 2 Jan") }

// lasted writes a duration as people say it.
func lasted(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// requests writes a count of requests with groups of three digits.
func requests(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if n == 1 {
		return "1 request"
	}
	return digits + " requests"
}
