package alerts

import (
	"context"
	"slices"
	"time"

	"breakwater/internal/record"
)

// UnwrittenPatience is how long an incident may wait to be written before people
// are told all the same: a lock or a busy disk passes sooner, and whoever must
// mend a full one has to hear of it.
const UnwrittenPatience = 15 * time.Second

// tellUnwritten tells of the incidents that the store does not take, past the
// outbox. The notices remember it, so that they are written as sent once the
// store takes them; a kill before that forgets the incident as well. It goes on
// for saveRetry, or until a message fails, since signals wait meanwhile.
func (m *Manager) tellUnwritten(ctx context.Context, now time.Time) {
	for _, s := range m.unsaved {
		if now.Sub(s.since) < UnwrittenPatience {
			continue
		}
		m.mu.Lock()
		incident := s.story.snapshot()
		m.mu.Unlock()
		for at := range s.notices {
			n := &s.notices[at]
			if !n.Sent.IsZero() || n.NextTry.After(now) || m.cfg.Routes[n.Channel].due(&incident, n.Created).After(now) || earlierUnsent(s.notices[:at], n.Channel) {
				continue
			}
			if m.sendUnwritten(ctx, n, incident, s.notices) != nil || time.Since(now) > saveRetry {
				return
			}
		}
	}
}

// earlierUnsent says whether a channel has not heard of what was before, so that
// the order holds.
func earlierUnsent(before []record.Notice, channel string) bool {
	return slices.ContainsFunc(before, func(n record.Notice) bool { return n.Channel == channel && n.Sent.IsZero() })
}

func (m *Manager) sendUnwritten(ctx context.Context, n *record.Notice, i record.Incident, unwritten []record.Notice) error {
	at := m.channel(n.Channel)
	if at < 0 {
		return nil
	}
	// What the channel was told before is in the store, if that can be read.
	before, err := m.cfg.Store.Notices(ctx, i.ID)
	if err != nil {
		before = nil
	}
	sending, cancel := context.WithTimeout(ctx, m.cfg.SendTimeout)
	defer cancel()
	receipt, err := m.cfg.Channels[at].Send(sending, m.message(sending, *n, i, append(before, unwritten...)))
	m.noted(n, receipt, err)
	if err != nil {
		m.cfg.Log.Warn("message not sent, and not written down either", "channel", n.Channel, "incident", i.Title, "attempts", n.Attempts, "next_try", n.NextTry, "error", err)
	}
	return err
}
