package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

// TestPatience bounds a test of a channel: twice what one message may take.
const TestPatience = 2 * DefaultSendTimeout

// noLongerConfigured is why a message of a channel that is gone was given up.
const noLongerConfigured = "the channel was no longer configured"

// ChannelState is how a channel stands.
type ChannelState struct {
	Name     string
	Kind     string    // "slack", "email", "webhook" or "pagerduty"
	Where    string    // the address without its secret: "#ops", "ops@example.com", a host
	Sends    string    // in words, which severities and when: "critical and warning, quiet 22:00 to 07:00 Europe/Berlin"
	Waiting  int       // messages that are to be sent
	Oldest   time.Time // when the oldest was made that should have been sent by now; zero where there is none
	LastSent time.Time
	Error    string // of the last try, "" where it went well
}

// Channels tells how all channels stand, in the order of the configuration.
func (m *Manager) Channels(ctx context.Context) ([]ChannelState, error) {
	outboxes, err := m.cfg.Store.Outboxes(ctx, m.names(), time.Now())
	if err != nil {
		return nil, err
	}
	all := make([]ChannelState, 0, len(m.cfg.Channels))
	for i, c := range m.cfg.Channels {
		o := outboxes[i]
		all = append(all, ChannelState{
			Name: c.Name(), Kind: c.Kind(), Where: c.Where(), Sends: m.cfg.Routes[c.Name()].words(),
			Waiting: o.Waiting, Oldest: o.Oldest, LastSent: o.LastSent, Error: o.Error,
		})
	}
	return all, nil
}

// names are those of the channels, in the order of the configuration.
func (m *Manager) names() []string {
	names := make([]string, len(m.cfg.Channels))
	for i, c := range m.cfg.Channels {
		names[i] = c.Name()
	}
	return names
}

// channel gives which of the channels has a name; -1 where none has.
func (m *Manager) channel(name string) int {
	return slices.IndexFunc(m.cfg.Channels, func(c Channel) bool { return c.Name() == name })
}

// tests are those who wait for what came of a test.
type tests struct {
	mu      sync.Mutex
	waiting map[record.ID]chan<- record.Notice
}

// Test sends a message that says it is a test to one channel, the way every
// message goes, and waits for what came of it. It gives store.ErrNotFound for a
// name that is not configured.
func (m *Manager) Test(ctx context.Context, channel string) error {
	at := m.channel(channel)
	if at < 0 {
		return fmt.Errorf("channel %q: %w", channel, store.ErrNotFound)
	}
	now := time.Now()
	// A notice belongs to an incident: this one has no number, so that it is on
	// no page.
	i := record.Incident{
		ID: m.cfg.NextID(now), State: record.Dropped, Severity: record.Info, Title: "Test of Breakwater's channel " + channel, Began: now, Ended: now,
	}
	n := record.Notice{ID: m.cfg.NextID(now), Incident: i.ID, Channel: channel, Kind: record.NoticeTest, Created: now, NextTry: now}
	done := make(chan record.Notice, 1)
	m.tests.await(n.ID, done)
	defer m.tests.forget(n.ID)
	ctx, cancel := context.WithTimeout(ctx, TestPatience)
	defer cancel()
	if err := m.cfg.Store.SaveIncident(ctx, &i, []record.Notice{n}); err != nil {
		return err
	}
	poke(m.wake[at])
	select {
	case n := <-done:
		if n.Error != "" {
			return errors.New(n.Error)
		}
		return nil
	case <-ctx.Done():
		return errors.New("the message was not sent yet, because the channel asked for a pause or does not answer; it will be sent later")
	}
}

func (t *tests) await(id record.ID, done chan<- record.Notice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.waiting = map[record.ID]chan<- record.Notice{}
	}
	t.waiting[id] = done
}

func (t *tests) forget(id record.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, id)
}

// confirmed tells whoever waits for it that a notice's result is written.
func (m *Manager) confirmed(n record.Notice) {
	m.tests.mu.Lock()
	defer m.tests.mu.Unlock()
	if done, ok := m.tests.waiting[n.ID]; ok {
		done <- n
		delete(m.tests.waiting, n.ID)
	}
}

// leaveBehind gives up what was not sent to channels that are gone.
func (m *Manager) leaveBehind(ctx context.Context) {
	switch n, err := m.cfg.Store.CloseNotices(ctx, m.names(), time.Now(), noLongerConfigured); {
	case err != nil && ctx.Err() == nil:
		m.cfg.Log.Warn("messages of channels that are no longer configured stay in the outbox", "error", err)
	case n > 0:
		m.cfg.Log.Warn("messages of channels that are no longer configured will not be sent", "messages", n)
	}
}
