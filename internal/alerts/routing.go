package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Defaults of Route.
const (
	// DefaultRepeat is Alertmanager's repeat_interval: a critical incident that
	// nobody took on in half a working day was overlooked
	// (https://prometheus.io/docs/alerting/latest/configuration/#route, 2026-11).
	DefaultRepeat = 4 * time.Hour
	// DefaultRate is as many messages a minute as a person can read.
	DefaultRate = 10
)

// Route says which incidents a channel is told of, and when.
type Route struct {
	Severities []record.Severity // none: all but info, which a Digest adds
	Topics     []record.Topic    // none: all
	Providers  []llm.Provider    // none: all; an incident that is no provider's is told in any case
	// Quiet hours hold back all but what is critical. What was held is told at
	// their end, in one message.
	Quiet Quiet
	// Digest is the time of day at which what is of severity info is told, all
	// of it in one message; nil tells it at once, where Severities has it.
	Digest *time.Duration
	Zone   *time.Location // of Quiet and Digest; nil for UTC
	// Repeat is how often a critical incident is told again that nobody took on;
	// 0 for never.
	Repeat time.Duration
	// Rate is how many messages a minute go to a channel for people; what is
	// beyond them is told in one message. 0 for any number.
	Rate int
}

// Quiet is a span of the day, as time since midnight. It may go over midnight;
// where From and To are the same there is none.
type Quiet struct{ From, To time.Duration }

// takes says whether the channel is told of an incident.
func (r Route) takes(i *record.Incident) bool {
	switch {
	case len(r.Severities) > 0 && !slices.Contains(r.Severities, i.Severity) && !r.collects(i):
		return false
	case len(r.Severities) == 0 && i.Severity == record.Info && !r.collects(i):
		return false
	case len(r.Topics) > 0 && !slices.Contains(r.Topics, i.Topic):
		return false
	}
	return len(r.Providers) == 0 || i.Subject == "" || slices.Contains(r.Providers, i.Subject)
}

// collects says whether an incident is for the digest.
func (r Route) collects(i *record.Incident) bool { return r.Digest != nil && i.Severity == record.Info }

// due gives when the channel is to be told of what happened to an incident at
// an instant.
func (r Route) due(i *record.Incident, at time.Time) time.Time {
	if i.Severity == record.Critical {
		return at
	}
	due := at
	if r.collects(i) {
		due = r.next(at, *r.Digest)
	}
	if r.quiet(due) {
		due = r.next(due, r.Quiet.To)
	}
	return due
}

// quiet says whether an instant is within the quiet hours.
func (r Route) quiet(at time.Time) bool {
	local := at.In(r.zone())
	now := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute + time.Duration(local.Second())*time.Second
	if r.Quiet.From <= r.Quiet.To {
		return r.Quiet.From <= now && now < r.Quiet.To
	}
	return now >= r.Quiet.From || now < r.Quiet.To
}

// next gives the first instant after another at which clocks in the zone show a
// time of day. Where they are put forward over it, it is the hour after.
func (r Route) next(after time.Time, clock time.Duration) time.Time {
	local := after.In(r.zone())
	for day := 0; ; day++ {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, 0, int(clock/time.Minute), 0, 0, r.zone())
		if at.After(after) {
			return at
		}
	}
}

func (r Route) zone() *time.Location {
	if r.Zone == nil {
		return time.UTC
	}
	return r.Zone
}

// words says in a sentence what the channel is told.
func (r Route) words() string {
	severities := r.Severities
	if len(severities) == 0 {
		severities = []record.Severity{record.Critical, record.Warning}
	}
	text := list(severities)
	if len(r.Topics) > 0 {
		text += " of " + list(r.Topics)
	}
	if len(r.Providers) > 0 {
		text += " at " + list(r.Providers)
	}
	if r.Quiet.From != r.Quiet.To {
		text += fmt.Sprintf(", quiet %s to %s %s", ofDay(r.Quiet.From), ofDay(r.Quiet.To), r.zone())
	}
	if r.Digest != nil {
		text += fmt.Sprintf(", info daily at %s %s", ofDay(*r.Digest), r.zone())
	}
	return text
}

// list writes words as people do: "critical and warning".
func list[T ~string](words []T) string {
	var b strings.Builder
	for n, w := range words {
		switch {
		case n == 0:
		case n == len(words)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

func ofDay(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// route makes the notices of what happened to an incident at an instant: one
// for each channel that is told of it or heard of it before, to be saved with the
// incident. Text is that of NoticeChanged.
func (m *Manager) route(i *record.Incident, heard map[string]bool, kind record.NoticeKind, text string, at time.Time) []record.Notice {
	var all []record.Notice
	for _, c := range m.cfg.Channels {
		r := m.cfg.Routes[c.Name()]
		if !r.takes(i) && !heard[c.Name()] {
			continue
		}
		all = append(all, record.Notice{
			ID: m.cfg.NextID(at), Incident: i.ID, Channel: c.Name(), Kind: kind, Text: text, Created: at, NextTry: r.due(i, at),
		})
	}
	return all
}
