package alerts

import (
	"context"
	"errors"
	"time"

	"breakwater/internal/record"
)

// ErrNotLasting says that an incident is over, so that nothing can be done
// about it but to write.
var ErrNotLasting = errors.New("the incident is over")

// Acknowledge notes that somebody took an incident on: no more reminders come.
// It gives store.ErrNotFound for a number that was never given, and ErrNotLasting.
func (m *Manager) Acknowledge(ctx context.Context, number int64, by string) error {
	return errors.ErrUnsupported
}

// Comment adds a written update to an incident, which channels are told of. It
// gives store.ErrNotFound.
func (m *Manager) Comment(ctx context.Context, number int64, by, text string) error {
	return errors.ErrUnsupported
}

// ResolveByHand ends an incident whose end Breakwater cannot see. Where the
// trouble lasts, the next signal opens it again. It gives store.ErrNotFound and
// ErrNotLasting.
func (m *Manager) ResolveByHand(ctx context.Context, number int64, by, text string) error {
	return errors.ErrUnsupported
}

// WriteUp keeps what a person wrote about an incident; an earlier one is
// replaced. It gives store.ErrNotFound.
func (m *Manager) WriteUp(ctx context.Context, number int64, text string) error {
	return errors.ErrUnsupported
}

// Silence places a silence or a maintenance window, and gives it with its ID.
// Its error says what is wrong with it: no reason, an end before its beginning,
// an end that is past.
func (m *Manager) Silence(ctx context.Context, s record.Silence) (record.Silence, error) {
	return s, errors.ErrUnsupported
}

// EndSilence ends one early. It gives store.ErrNotFound.
func (m *Manager) EndSilence(ctx context.Context, id record.ID, by string) error {
	return errors.ErrUnsupported
}

// ChannelState is how a channel stands.
type ChannelState struct {
	Name     string
	Kind     string // "slack", "mail", "webhook" or "pagerduty"
	Where    string // the address without its secret: "#ops", "ops@example.com", a host
	Sends    string // in words, which severities and when: "critical and warning, quiet 22:00 to 07:00 Europe/Berlin"
	Waiting  int    // messages that are to be sent
	LastSent time.Time
	Error    string // of the last try, "" where it went well
}

// Channels tells how all channels stand, in the order of the configuration.
func (m *Manager) Channels(ctx context.Context) ([]ChannelState, error) {
	return nil, errors.ErrUnsupported
}

// Test sends a message that says it is a test to one channel, the way every
// message goes, and waits for what came of it. It gives store.ErrNotFound for a
// name that is not configured.
func (m *Manager) Test(ctx context.Context, channel string) error { return errors.ErrUnsupported }
