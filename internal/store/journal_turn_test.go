package store_test

import (
	"sync"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/store"
)

// A waiter that nobody tells waits for ever, and the bubble ends in a deadlock.
func TestATurnIsHadByOneAtATimeAndByAllWhoWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		take, await, leave := store.Turns()
		having, had := 0, 0
		have := func(d time.Duration) {
			if having++; having > 1 {
				t.Error("two have the turn")
			}
			time.Sleep(d)
			having--
			had++
			leave()
		}
		var everybody sync.WaitGroup
		for i := range 8 {
			everybody.Go(func() {
				for n := range 200 {
					switch {
					case (i+n)%3 == 0 && take():
					default:
						await(nil)
					}
					have(time.Duration((i*n)%5) * time.Microsecond)
				}
			})
			everybody.Go(func() { // those with little patience come between them
				for n := range 200 {
					if await(time.After(time.Duration((i*n)%7) * time.Microsecond)) {
						have(time.Microsecond)
					}
				}
			})
		}
		everybody.Wait()
		if had < 8*200 || !take() {
			t.Errorf("%d had a turn, and none is left", had)
		}
	})
}

func TestPatienceForATurnEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		take, await, leave := store.Turns()
		if !take() || take() {
			t.Fatal("a turn is not had once")
		}
		began := time.Now()
		if await(time.After(time.Second)) || time.Since(began) != time.Second {
			t.Errorf("waited %v", time.Since(began))
		}
		leave()
		if !await(nil) {
			t.Error("the turn was left, and is not to be had")
		}
	})
}
