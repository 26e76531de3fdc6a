package router

import (
	"errors"
	"sync"
	"time"
)

const (
	// onesOwn is how many times the breaker's threshold one caller's failures take,
	// while the target serves others: a prompt that fails wherever it goes would
	// else open every breaker, and nobody would be served.
	onesOwn = 3
	// servedLately is for how long a good answer to another caller says that the
	// target is well: as long as an open breaker would stay open.
	servedLately = DefaultRecoveryTimeout
)

// callers knows whose the failures in a row of a target are, and who was served
// last. Where callers have no names all are one.
type callers struct {
	mu      sync.Mutex
	failing string // whose request failed first in this row
	failed  bool   // one did
	several bool   // another's did too
	served  [2]serving
}

// serving is when a caller was served last. Those of the two callers who were
// served last are kept, so that one of them is another than whose requests fail.
type serving struct {
	caller string
	at     time.Time
}

// note takes in how a request ended.
func (c *callers) note(caller string, err error) {
	if errors.Is(err, errNeutral) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.failed, c.several = false, false
		if c.served[0].caller != caller {
			c.served[1] = c.served[0]
		}
		c.served[0] = serving{caller, time.Now()}
	case !c.failed:
		c.failing, c.failed = caller, true
	case caller != c.failing:
		c.several = true
	}
}

// one says that all failures in a row are one caller's, while others were served
// lately.
func (c *callers) one(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.failed || c.several {
		return false
	}
	for _, s := range c.served {
		if s.caller != c.failing && !s.at.IsZero() && now.Sub(s.at) < servedLately {
			return true
		}
	}
	return false
}
