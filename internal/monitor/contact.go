package monitor

import (
	"sync"
	"time"

	"breakwater/internal/record"
)

// contacts remembers of each endpoint what its last request told.
type contacts struct {
	mu   sync.Mutex
	last map[place]contact
}

// contact is the last request that told of an endpoint's health.
type contact struct {
	at   time.Time
	well bool // it was answered
}

// note takes an attempt that ended. A failure that is not the provider's, such
// as a rate limit, tells neither that it is well nor that it is not.
func (c *contacts) note(a record.Attempt, ended time.Time) {
	if a.Class != "" && !a.Class.CountsAgainstTarget() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = make(map[place]contact)
	}
	c.last[place{a.Target.Provider, a.Target.Endpoint}] = contact{at: ended, well: a.Class == ""}
}

// lastAnswer says when a request last told of an endpoint, and whether it was
// answered; false where none did.
func (m *Monitor) lastAnswer(at place) (time.Time, bool) {
	m.contacts.mu.Lock()
	defer m.contacts.mu.Unlock()
	last := m.contacts.last[at]
	return last.at, last.well
}
