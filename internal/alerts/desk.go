package alerts

import (
	"context"
	"errors"

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
