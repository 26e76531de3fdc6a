package alerts

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/redact"
)

// Channel is somewhere that people are told. An error of Send is free of
// secrets; a *RetryError among its causes says when to come back, a
// *RefusedError that only a person can mend it.
type Channel interface {
	Name() string
	// Kind is its type in the configuration, Where its address without secrets.
	Kind() string
	Where() string
	// Send tells one message and gives back what a later message about the
	// same incident needs to find it.
	Send(ctx context.Context, m Message) (receipt string, err error)
}

// Digester is a channel that people read: several incidents can be told there
// in one message. Any other gets the last state of each incident.
type Digester interface {
	SendDigest(ctx context.Context, d Digest) error
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

// RefusedError says that the channel does not take Breakwater's messages until
// somebody changes its configuration: a token that is no longer valid.
type RefusedError struct{ Err error }

// Error gives the cause's words.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// RefusedPause is how long a channel that refuses is left alone: it is
// unlikely to change its mind without a person, and must not lock the account.
const RefusedPause = 15 * time.Minute

const (
	maxDue   = 1000 // incidents of a channel looked at in one go
	maxError = 300  // bytes of an error kept

	// longestHeld is more than a digest that falls into quiet hours can wait.
	longestHeld = 50 * time.Hour

	// sendGrace lets a message that is on its way arrive when Breakwater
	// stops, so that it is not sent again after the start.
	sendGrace = 3 * time.Second

	// inDigest is the receipt of what a digest told.
	inDigest = "digest"
)

// sooner gives the earlier of two instants, the first of which may be none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// noted notes in a notice how sending it went, and gives for how long the whole
// channel is to be left alone. After a success NextTry is now, when the next
// notice of the incident may go. A test that failed is not tried again.
func (m *Manager) noted(n *record.Notice, receipt string, err error) time.Duration {
	now := time.Now()
	n.Attempts++
	if err == nil {
		n.Sent, n.NextTry, n.Receipt, n.Error = now, now, receipt, ""
		return 0
	}
	rest := time.Duration(0)
	if wish, ok := errors.AsType[*RetryError](err); ok {
		rest = wish.After
	}
	if _, refused := errors.AsType[*RefusedError](err); refused {
		rest = RefusedPause
	}
	n.NextTry, n.Error = now.Add(max(m.pause(n.Attempts), rest)), redact.Short(redact.Secrets(err.Error()), maxError)
	if n.Kind == record.NoticeTest {
		n.Sent = now
	}
	return rest
}

// keep writes a notice down until it is written: a message that was sent must
// not be sent again. What ends ctx does not end the first try.
func (m *Manager) keep(ctx context.Context, n record.Notice) {
	for attempt := 1; ; attempt++ {
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		err := m.cfg.Store.SaveNotice(writing, n)
		cancel()
		if err == nil {
			m.confirmed(n)
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

// message gathers what a notice tells; before are the notices of its incident,
// oldest first.
func (m *Manager) message(ctx context.Context, n record.Notice, i record.Incident, before []record.Notice) Message {
	msg := Message{ID: n.ID, Kind: n.Kind, Text: n.Text, URL: m.cfg.PublicURL, Incident: i}
	for _, o := range before {
		if o.Channel == n.Channel && o.ID < n.ID && o.Receipt != "" && o.Receipt != inDigest {
			msg.Receipt = o.Receipt
		}
	}
	to := i.Ended
	if to.IsZero() {
		to = time.Now()
	}
	msg.Next = m.next(&i)
	if i.Impact != (record.Impact{}) {
		msg.Impact = &i.Impact
	}
	if m.cfg.Impact != nil && n.Kind != record.NoticeTest {
		// Without figures the message says less, and is still worth sending.
		if found, err := m.cfg.Impact(ctx, i.Subject, i.Began, to); err == nil {
			msg.Impact = &found
		}
	}
	return msg
}
