package store

import (
	"sync/atomic"
	"time"
)

// turn is had by one goroutine at a time. Others may wait for it as long as
// they like, which a mutex does not know, and where nobody waits it costs a
// third of what a channel does.
type turn struct {
	taken   atomic.Bool
	waiting atomic.Int32
	left    chan struct{} // of one place: told when the turn was left and somebody waits
}

// take gives false where somebody has the turn.
func (t *turn) take() bool { return t.taken.CompareAndSwap(false, true) }

// await waits for the turn, and gives false when patience ended before.
func (t *turn) await(patience <-chan time.Time) bool {
	t.waiting.Add(1) // before looking again, so that whoever leaves meanwhile tells
	defer t.waiting.Add(-1)
	for !t.take() {
		select {
		case <-t.left:
		case <-patience:
			return false
		}
	}
	return true
}

func (t *turn) leave() {
	t.taken.Store(false)
	if t.waiting.Load() > 0 {
		signal(t.left)
	}
}
