package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/redact"
	"breakwater/internal/store"
)

// Errors of what a person asks for.
var (
	// ErrNotLasting says that an incident is over, so that nothing can be done
	// about it but to write.
	ErrNotLasting = errors.New("the incident is over")
	// ErrSilenceOver says that a silence ended already.
	ErrSilenceOver = errors.New("the silence is over")
	// ErrStopped says that the Manager does not run any more.
	ErrStopped = errors.New("incidents are no longer kept: Breakwater stops")
)

const (
	// MaxUpdate and MaxWriteUp bound what a person writes, in bytes.
	MaxUpdate  = 4000
	MaxWriteUp = 64 << 10
	// LongestSilence bounds a silence: nobody forgets that somebody is in a
	// maintenance of three months.
	LongestSilence = 92 * 24 * time.Hour
)

// The kinds of event that a person brings about.
const (
	acknowledgedEvent = "acknowledged"
	updateEvent       = "update"
	silenceEvent      = "silence"
)

// order is something that a person wants done; Run does it, between two signals.
type order struct {
	do   func(ctx context.Context) (*story, error) // gives the story that changed, nil for none
	done chan error
}

// ask has Run do something and waits until it is written.
func (m *Manager) ask(ctx context.Context, do func(context.Context) (*story, error)) error {
	o := order{do: do, done: make(chan error, 1)}
	select {
	case m.asked <- o:
	case <-m.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// carryOut does what a person asked for. What cannot be written is kept and
// tried again, and the person is told.
func (m *Manager) carryOut(ctx context.Context, o order) error {
	st, err := o.do(ctx)
	saved := m.save(ctx)
	if err != nil || st == nil {
		return err
	}
	if slices.ContainsFunc(m.unsaved, func(s saving) bool { return s.story == st }) {
		return fmt.Errorf("noted, but not written yet, which is tried again: %w", saved)
	}
	return nil
}

// numbered finds the incident with a number: one that lasts, one that ended a
// short while ago, or one of the record.
func (m *Manager) numbered(ctx context.Context, number int64) (subject, *story, error) {
	m.mu.Lock()
	for _, stories := range []map[subject]*story{m.stories, m.ended} {
		for of, st := range stories {
			if st.Number == number && number > 0 {
				m.mu.Unlock()
				return of, st, nil
			}
		}
	}
	m.mu.Unlock()
	i, err := m.cfg.Store.Incident(ctx, number)
	if err != nil {
		return subject{}, nil, err
	}
	return about(&i), restore(i), nil
}

// change has a change made to an incident, and people told of it where there is
// a text.
func (m *Manager) change(ctx context.Context, number int64, lasting bool, do func(of subject, st *story, at time.Time) (text string)) error {
	return m.ask(ctx, func(ctx context.Context) (*story, error) {
		of, st, err := m.numbered(ctx, number)
		if err != nil {
			return nil, err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if lasting && !st.State.Lasts() {
			return nil, fmt.Errorf("incident %d: %w", number, ErrNotLasting)
		}
		now := time.Now().UTC()
		text := do(of, st, now)
		var notices []record.Notice
		if text != "" && st.State.Lasts() {
			notices = m.notices(st, record.NoticeChanged, text, now)
		}
		m.toSave(st, notices)
		return st, nil
	})
}

// Acknowledge notes that somebody took an incident on: no more reminders come.
// Taken on again by the same person it changes nothing. It gives
// store.ErrNotFound for a number that was never given, and ErrNotLasting.
func (m *Manager) Acknowledge(ctx context.Context, number int64, by string) error {
	by = person(by)
	return m.change(ctx, number, true, func(_ subject, st *story, at time.Time) string {
		if !st.Acknowledged.IsZero() && st.AcknowledgedBy == by {
			return ""
		}
		st.Acknowledged, st.AcknowledgedBy = at, by
		st.add(record.Event{At: at, Kind: acknowledgedEvent, Text: "Taken on.", By: by})
		return by + " took it on."
	})
}

// Comment adds a written update to an incident; channels are told of it while
// the incident lasts. It gives store.ErrNotFound, and an error for a text that
// is empty or longer than MaxUpdate.
func (m *Manager) Comment(ctx context.Context, number int64, by, text string) error {
	text, err := written(text, MaxUpdate)
	if err != nil {
		return err
	}
	if text == "" {
		return errors.New("the update says nothing")
	}
	by = person(by)
	return m.change(ctx, number, false, func(_ subject, st *story, at time.Time) string {
		st.add(record.Event{At: at, Kind: updateEvent, Text: text, By: by})
		return by + ": " + text
	})
}

// ResolveByHand ends an incident whose end Breakwater cannot see. Where the
// trouble lasts, the next signal opens it again. It gives store.ErrNotFound and
// ErrNotLasting.
func (m *Manager) ResolveByHand(ctx context.Context, number int64, by, text string) error {
	text, err := written(text, MaxUpdate)
	if err != nil {
		return err
	}
	by = person(by)
	return m.change(ctx, number, true, func(of subject, st *story, at time.Time) string {
		st.resolve(record.Event{At: at, Text: cmp.Or(text, "Ended by hand."), By: by})
		m.settle(of, st, resolved, at)
		m.count()
		return ""
	})
}

// WriteUp keeps what a person wrote about an incident; an earlier one is
// replaced, by "" as well. It gives store.ErrNotFound, and an error for one
// longer than MaxWriteUp.
func (m *Manager) WriteUp(ctx context.Context, number int64, text string) error {
	text, err := written(text, MaxWriteUp)
	if err != nil {
		return err
	}
	return m.change(ctx, number, false, func(_ subject, st *story, _ time.Time) string {
		st.WriteUp = text
		return ""
	})
}

// Silence places a silence or a maintenance window, and gives it with its ID.
// Without From it begins now. Its error says what is wrong with it: no reason,
// an end before its beginning, an end that is past.
func (m *Manager) Silence(ctx context.Context, s record.Silence) (record.Silence, error) {
	now := time.Now().UTC()
	if s.From.IsZero() {
		s.From = now
	}
	reason, err := written(s.Reason, MaxUpdate)
	switch {
	case err != nil:
		return s, err
	case reason == "":
		return s, errors.New("a silence needs a reason")
	case s.Topic != "" && !slices.Contains(record.Topics(), s.Topic):
		return s, fmt.Errorf("%q is no topic", s.Topic)
	case !s.Until.After(s.From):
		return s, errors.New("the end is not after the beginning")
	case !s.Until.After(now):
		return s, errors.New("the end is past")
	case s.Until.Sub(s.From) > LongestSilence:
		return s, fmt.Errorf("it is longer than %d days", LongestSilence/(24*time.Hour))
	}
	s.Reason, s.By, s.Ended, s.EndedBy = reason, person(s.By), time.Time{}, ""
	s.From, s.Until = s.From.UTC().Truncate(time.Microsecond), s.Until.UTC().Truncate(time.Microsecond)
	s.ID = m.cfg.NextID(now)
	return s, m.ask(ctx, func(ctx context.Context) (*story, error) {
		if err := m.cfg.Store.SaveSilence(ctx, s); err != nil {
			return nil, err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.silences = append(m.silences, s)
		return nil, nil
	})
}

// EndSilence ends one early. It gives store.ErrNotFound and ErrSilenceOver.
func (m *Manager) EndSilence(ctx context.Context, id record.ID, by string) error {
	return m.ask(ctx, func(ctx context.Context) (*story, error) {
		all, err := m.cfg.Store.Silences(ctx, time.Time{})
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(all, func(s record.Silence) bool { return s.ID == id })
		if at < 0 {
			return nil, fmt.Errorf("silence %s: %w", id, store.ErrNotFound)
		}
		s, now := all[at], time.Now().UTC()
		if !s.Ended.IsZero() || !now.Before(s.Until) {
			return nil, ErrSilenceOver
		}
		s.Ended, s.EndedBy = now, person(by)
		if err := m.cfg.Store.SaveSilence(ctx, s); err != nil {
			return nil, err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.silences = slices.DeleteFunc(m.silences, func(o record.Silence) bool { return o.ID == id })
		return nil, nil
	})
}

// person gives a name for whoever has none.
func person(by string) string { return cmp.Or(redact.Short(redact.Secrets(by), 100), "somebody") }

// written cleans what a person wrote.
func written(text string, most int) (string, error) {
	text = strings.TrimSpace(strings.ToValidUTF8(redact.Secrets(text), ""))
	if len(text) > most {
		return "", fmt.Errorf("it is longer than %d bytes", most)
	}
	return text, nil
}
