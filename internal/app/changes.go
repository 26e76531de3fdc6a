package app

import (
	"context"
	"sync"
	"time"

	"breakwater/web"
)

// changesEvery is how often the page hears of changes; it tells browsers at
// most once a second itself.
const changesEvery = 250 * time.Millisecond

// changes tells the live pages which parts are out of date.
type changes struct {
	mu     sync.Mutex
	dirty  map[web.Part]bool
	reader map[chan web.Part]bool
}

func newChanges() *changes {
	return &changes{dirty: make(map[web.Part]bool), reader: make(map[chan web.Part]bool)}
}

// mark says that parts are out of date. It never blocks for long.
func (c *changes) mark(parts ...web.Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parts {
		c.dirty[p] = true
	}
}

// Subscribe gives the parts that go out of date from now on.
func (c *changes) Subscribe() (<-chan web.Part, func()) {
	ch := make(chan web.Part, 2*len(web.Parts()))
	c.mu.Lock()
	c.reader[ch] = true
	c.mu.Unlock()
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.reader, ch)
	}
}

// Run hands on what was marked, until ctx ends.
func (c *changes) Run(ctx context.Context) error {
	return every(ctx, changesEvery, func(time.Time) { c.flush() })
}

// flush tells every reader. A reader whose buffer is full holds each part
// already, some twice, and will read them.
func (c *changes) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.dirty {
		for ch := range c.reader {
			select {
			case ch <- p:
			default:
			}
		}
	}
	clear(c.dirty)
}
