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
	// othersAccident is how many failures of others in a row leave a target one
	// that works: one is an accident.
	othersAccident = 1
)

// callers knows whose the failures in a row of a target are, and who was served
// last. Where callers have no names all are one.
type callers struct {
	mu      sync.Mutex
	row     int        // failures since the last answer
	failing [2]failing // of the two callers who failed first in this row
	served  [2]serving
}

// failing is how many failures of the row are a caller's.
type failing struct {
	caller string
	n      int
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
	if err == nil {
		c.row, c.failing = 0, [2]failing{}
		if c.served[0].caller != caller {
			c.served[1] = c.served[0]
		}
		c.served[0] = serving{caller, time.Now()}
		return
	}
	c.row++
	for i := range c.failing {
		if f := &c.failing[i]; f.n == 0 || f.caller == caller {
			f.caller, f.n = caller, f.n+1
			return
		}
	}
}

// failed says that the last request failed, as far as is known.
func (c *callers) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row > 0
}

// one says that all failures in a row are one caller's, while others were served
// lately. There is none where the target served since, whoever it was.
func (c *callers) one(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row == 0 || c.failing[0].n == c.row && c.serves(c.failing[0].caller, now)
}

// works says that the target was well lately to others than a caller.
func (c *callers) works(but string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spares(but) && c.serves(but, now)
}

// failsOthers says that the failures in a row are not a caller's alone.
func (c *callers) failsOthers(but string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.spares(but)
}

// spares says that of the failures in a row no more than one is of others than a
// caller.
func (c *callers) spares(but string) bool {
	others := c.row
	for _, f := range c.failing {
		if f.caller == but {
			others -= f.n
		}
	}
	return others <= othersAccident
}

// serves says that another than a caller was served lately.
func (c *callers) serves(but string, now time.Time) bool {
	for _, s := range c.served {
		if s.caller != but && !s.at.IsZero() && now.Sub(s.at) < servedLately {
			return true
		}
	}
	return false
}
