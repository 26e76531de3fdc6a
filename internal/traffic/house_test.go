package traffic

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// house is what the requests of a test wait for: ways with places, and a queue
// before them. It notes who goes, in order.
type house struct {
	*Queue
	mu     sync.Mutex
	free   map[string]int
	trying bool
	wrong  string // what must not happen and did
	went   []string
	all    sync.WaitGroup
}

func newHouse(limits QueueLimits, free map[string]int) *house {
	return &house{Queue: NewQueue(limits), free: free}
}

func usual() QueueLimits {
	return QueueLimits{Size: 1000, Wait: 30 * time.Second, Aging: 5 * time.Second}
}

// try takes a place on one of the ways.
func (h *house) try(name string, ways []string, wait time.Duration) func(time.Time) (time.Duration, bool) {
	return func(time.Time) (time.Duration, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.trying {
			h.wrong = "two try at the same time"
		}
		h.trying = true
		defer func() { h.trying = false }()
		for _, way := range ways {
			if h.free[way] > 0 {
				h.free[way]--
				h.went = append(h.went, name)
				return 0, true
			}
		}
		return wait, false
	}
}

// wait has a request wait in the background, and returns when it does.
func (h *house) wait(name string, t Ticket) <-chan error {
	return h.waitCtx(context.Background(), name, t)
}

func (h *house) waitCtx(ctx context.Context, name string, t Ticket) <-chan error {
	done := make(chan error, 1)
	h.all.Go(func() { done <- h.Wait(ctx, t, h.try(name, t.Ways, 0)) })
	synctest.Wait()
	return done
}

// give frees places on a way, one after the other.
func (h *house) give(way string, n int) {
	for range n {
		h.mu.Lock()
		h.free[way]++
		h.mu.Unlock()
		h.Wake()
		synctest.Wait()
	}
}

func (h *house) wantWent(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.went, want) {
		t.Errorf("went %v, want %v", h.went, want)
	}
	if h.wrong != "" {
		t.Error(h.wrong)
	}
}

// end waits for all requests, and sees that nothing is left.
func (h *house) end(t *testing.T) {
	t.Helper()
	h.all.Wait()
	if h.size.Load() != 0 || len(h.lines)+len(h.ways)+len(h.callers) > 0 || h.turn != nil {
		t.Errorf("something is left in the queue: %d, lines %v, ways %v, callers %v", h.size.Load(), h.lines, h.ways, h.callers)
	}
}
