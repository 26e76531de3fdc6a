package alerts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"breakwater/internal/record"
)

// measureEvery is how often the figures of a lasting incident are written: so
// much of them a kill may lose.
const measureEvery = time.Minute

// measurable says whether the incident is one that callers notice, and of
// which there are figures.
func (s *story) measurable() bool {
	switch s.Topic {
	case record.TopicProvider, record.TopicEverything, record.TopicKey, record.TopicModel, record.TopicThrottling:
		return true
	}
	return false
}

// measure brings a story's figures up to date, and writes them into its
// timeline where something happened to it. Reading them may take a while, so
// that nothing is locked meanwhile.
func (m *Manager) measure(ctx context.Context, st *story) {
	m.mu.Lock()
	wanted := m.cfg.Impact != nil && st.State.Told() && st.measurable()
	subject, from, to := st.Subject, st.Began, st.Ended
	m.mu.Unlock()
	if !wanted {
		return
	}
	now := time.Now()
	if to.IsZero() {
		to = now
	}
	i, err := m.cfg.Impact(ctx, subject, from, to)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		st.Impact = grown(st.Impact, i)
	}
	if !st.figures {
		return
	}
	st.figures = false
	text := figures(st.Impact)
	if text == "" {
		return
	}
	text = soFar(text)
	// The last word of a timeline is what brought the end about.
	at := len(st.Timeline)
	if at > 0 && st.Timeline[at-1].Kind == resolvedEvent {
		at--
	}
	last := ""
	for _, e := range st.Timeline {
		if e.Kind == figuresEvent {
			last = e.Text
		}
	}
	if text != last {
		st.insert(at, record.Event{At: to, Kind: figuresEvent, Text: text})
	}
}

// insert puts an event before another one.
func (s *story) insert(at int, e record.Event) {
	s.add(e)
	if last := len(s.Timeline) - 1; at < last {
		s.Timeline[last-1], s.Timeline[last] = s.Timeline[last], s.Timeline[last-1]
	}
}

// grown keeps the larger of what was counted before and what is now: figures
// only grow, and after a restart not all of them may be found again.
func grown(before, now record.Impact) record.Impact {
	i := now
	if before.Rerouted > now.Rerouted {
		i.ServedBy, i.Rerouted, i.Added = before.ServedBy, before.Rerouted, before.Added
	}
	i.Failed, i.Extra = max(before.Failed, now.Failed), max(before.Extra, now.Extra)
	return i
}

// soFar begins a sentence about figures that may still grow.
func soFar(text string) string { return "So far " + strings.ToLower(text[:1]) + text[1:] }

// figures says what an incident meant for callers; "" where it meant nothing.
func figures(i record.Impact) string {
	if i.Rerouted+i.Failed == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(impactWords(i))
	if i.Added > 0 {
		fmt.Fprintf(&b, " Those served elsewhere took %s longer on average.", brief(i.Added))
	}
	if i.Extra > 0 {
		fmt.Fprintf(&b, " Calls that did not serve cost %s.", dollars(i.Extra))
	}
	return b.String()
}

// brief writes a short time with as many digits as tell something.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return lasted(d)
}
