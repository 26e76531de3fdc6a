package alerts

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/redact"
	"breakwater/internal/store"
)

// Channel is somewhere that people are told. An error of Send is free of
// secrets; a *RetryError among its causes says when to come back.
type Channel interface {
	Name() string
	// Send tells one message and gives back what a later message about the
	// same incident needs to find it.
	Send(ctx context.Context, m Message) (receipt string, err error)
}

// RetryError is a channel's wish not to be asked again for a while.
type RetryError struct {
	After time.Duration
	Err   error
}

// Error gives the cause's words.
func (e *RetryError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RetryError) Unwrap() error { return e.Err }

const (
	maxDue   = 1000 // notices looked at in one go, those of channels no longer configured included
	maxError = 300  // bytes of an error kept

	// sendGrace lets a message that is on its way arrive when Breakwater
	// stops, so that it is not sent again after the start.
	sendGrace = 3 * time.Second
)

// tell sends a channel's notices until ctx ends.
func (m *Manager) tell(ctx context.Context, c Channel, wake <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var quiet time.Time // the channel asked for silence until then
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		if time.Now().Before(quiet) {
			timer.Reset(time.Until(quiet))
			continue
		}
		var next time.Time
		next, quiet = m.tellDue(ctx, c)
		wait := m.cfg.Poll
		if !next.IsZero() {
			wait = min(wait, max(0, time.Until(next)))
		}
		timer.Reset(wait)
	}
}

// tellDue sends what is due. It gives when to look again, zero where nothing
// is known of that, and until when the whole channel wants silence.
func (m *Manager) tellDue(ctx context.Context, c Channel) (next, quiet time.Time) {
	// A store that cannot be read is asked again after a while; it reports
	// itself that it is unwell.
	due, err := m.cfg.Store.PendingNotices(ctx, time.Now().Add(m.cfg.Poll), maxDue)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	for _, n := range due {
		if n.Channel != c.Name() || ctx.Err() != nil {
			continue
		}
		if n.NextTry.After(time.Now()) {
			next = sooner(next, n.NextTry)
			continue
		}
		msg, ok := m.message(ctx, n)
		if !ok {
			continue
		}
		err := m.send(ctx, c, &n, msg)
		if err != nil && ctx.Err() != nil {
			break // we are stopping: that says nothing of the channel
		}
		if err != nil {
			m.cfg.Log.Warn("message not sent", "channel", n.Channel, "incident", msg.Incident.Number,
				"attempts", n.Attempts, "next_try", n.NextTry, "error", n.Error)
		}
		m.keep(ctx, n)
		m.cfg.Changed()
		next = sooner(next, n.NextTry)
		if wish, ok := errors.AsType[*RetryError](err); ok {
			return next, time.Now().Add(wish.After)
		}
	}
	return next, time.Time{}
}

// sooner gives the earlier of two instants, the first of which may be none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// send sends one notice and notes in it how it went. After a success NextTry
// is now, when the next notice of the incident may go.
func (m *Manager) send(ctx context.Context, c Channel, n *record.Notice, msg Message) error {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.SendTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(sendGrace, cancel) })()
	receipt, err := c.Send(sending, msg)
	now := time.Now()
	n.Attempts++
	if err == nil {
		n.Sent, n.NextTry, n.Receipt, n.Error = now, now, receipt, ""
		return nil
	}
	pause := m.pause(n.Attempts)
	if wish, ok := errors.AsType[*RetryError](err); ok {
		pause = max(pause, wish.After)
	}
	n.NextTry, n.Error = now.Add(pause), redact.Short(redact.Secrets(err.Error()), maxError)
	return err
}

// keep writes a notice down until it is written: a message that was sent must
// not be sent again. What ends ctx does not end the first try.
func (m *Manager) keep(ctx context.Context, n record.Notice) {
	for attempt := 1; ; attempt++ {
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		err := m.cfg.Store.SaveNotice(writing, n)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(m.pause(attempt)):
		}
	}
}

// pause grows with each attempt, with up to a quarter of jitter so that
// channels do not come back together.
func (m *Manager) pause(attempts int) time.Duration {
	d := m.cfg.Retry
	for i := 1; i < attempts && d < m.cfg.MaxRetry; i++ {
		d *= 2
	}
	d = min(d, m.cfg.MaxRetry)
	return d + rand.N(d/4+1)
}

// message gathers what a notice tells; false where it cannot be read now.
func (m *Manager) message(ctx context.Context, n record.Notice) (Message, bool) {
	notices, err := m.cfg.Store.Notices(ctx, n.Incident)
	if err != nil {
		return Message{}, false
	}
	// A notice is created when its incident opens or ends, so this finds it
	// without reading older ones.
	incidents, err := m.cfg.Store.Incidents(ctx, n.Created, store.MaxLimit)
	at := slices.IndexFunc(incidents, func(i record.Incident) bool { return i.ID == n.Incident })
	if err != nil || at < 0 {
		return Message{}, false
	}
	msg := Message{Kind: n.Kind, URL: m.cfg.PublicURL, Incident: incidents[at]}
	for _, o := range notices {
		if o.Channel == n.Channel && o.ID < n.ID {
			msg.Receipt = o.Receipt
		}
	}
	to := msg.Incident.Ended
	if to.IsZero() {
		to = time.Now()
	}
	msg.Next = m.next(&msg.Incident)
	if m.cfg.Impact != nil {
		// Without figures the message says less, and is still worth sending.
		if i, err := m.cfg.Impact(ctx, msg.Incident.Subject, msg.Incident.Began, to); err == nil {
			msg.Impact = &i
		}
	}
	return msg, true
}
