package traffic

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
)

func TestWhoFindsNobodyInLineTriesAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{"a": 1})
		if err := <-h.wait("first", Ticket{Ways: []string{"a"}}); err != nil {
			t.Error(err)
		}
		h.wantWent(t, "first")
		h.end(t)
	})
}

func TestTheMoreUrgentGoFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		for _, p := range []Priority{Batch, Normal, Urgent} {
			h.wait(p.String(), Ticket{Priority: p, Ways: []string{"a"}})
		}
		if got := h.Waiting(); got[Batch] != 1 || got[Normal] != 1 || got[Urgent] != 1 {
			t.Errorf("waiting are %v", got)
		}
		h.give("a", 3)
		h.wantWent(t, "urgent", "normal", "batch")
		h.end(t)
	})
}

func TestWhoWaitedAgingCountsOneClassMoreUrgent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		h.wait("old batch", Ticket{Priority: Batch, Ways: []string{"a"}})
		time.Sleep(10 * time.Second)
		h.wait("batch", Ticket{Priority: Batch, Ways: []string{"a"}})
		h.wait("normal", Ticket{Ways: []string{"a"}})
		h.wait("urgent", Ticket{Priority: Urgent, Ways: []string{"a"}})
		h.give("a", 4)
		h.wantWent(t, "old batch", "urgent", "normal", "batch")
		h.end(t)
	})
}

func TestAgeingBoundsHowLongBatchWaitsBehindASteadyStreamOfUrgent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		for i := range 5 {
			h.wait("urgent", Ticket{Priority: Urgent, Caller: fmt.Sprint("loud", i), Ways: []string{"a"}})
		}
		batch := h.wait("batch", Ticket{Priority: Batch, Caller: "quiet", Ways: []string{"a"}})
		began := time.Now()
		for i := range 200 { // one comes for each that goes
			h.wait("urgent", Ticket{Priority: Urgent, Caller: fmt.Sprint("loud", i%7), Ways: []string{"a"}})
			time.Sleep(100 * time.Millisecond)
			h.give("a", 1)
			if len(batch) > 0 {
				break
			}
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("it waited %s; want twice Aging and a turn of each caller", took)
		}
		h.give("a", 300)
		h.end(t)
	})
}

func TestCallersTakeTurns(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		for range 4 {
			h.wait("greedy", Ticket{Caller: "greedy", Ways: []string{"a"}})
		}
		h.wait("b1", Ticket{Caller: "b", Ways: []string{"a"}})
		h.wait("b2", Ticket{Caller: "b", Ways: []string{"a"}})
		h.wait("c1", Ticket{Caller: "c", Ways: []string{"a"}})
		h.give("a", 7)
		h.wantWent(t, "greedy", "b1", "c1", "greedy", "b2", "greedy", "greedy")
		h.end(t)
	})
}

func TestWhoAlwaysComesAnewHasNoMoreTurnsThanWhoWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		for range 20 {
			h.wait("patient", Ticket{Caller: "patient", Ways: []string{"a"}})
		}
		var anew <-chan error
		for range 20 {
			if anew == nil || len(anew) > 0 {
				anew = h.wait("anew", Ticket{Caller: "anew", Ways: []string{"a"}})
			}
			h.give("a", 1)
		}
		turns := 0
		for _, name := range h.went {
			if name == "patient" {
				turns++
			}
		}
		if turns < 10 || turns > 14 {
			t.Errorf("who waited had %d of 20 turns", turns)
		}
		h.give("a", 20)
		h.end(t)
	})
}

func TestAHeadThatCannotGoHoldsUpItsLineButNoOther(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		h.wait("a1", Ticket{Priority: Urgent, Ways: []string{"a", "b"}})
		h.wait("a2", Ticket{Ways: []string{"b", "a"}}) // the same line, whatever the order
		h.wait("c1", Ticket{Priority: Batch, Ways: []string{"c"}})
		if !h.Taken("a") || !h.Taken("b") || !h.Taken("c") || h.Taken("d") {
			t.Error("the ways that are waited for are not those that are taken")
		}
		h.give("c", 1)
		h.wantWent(t, "c1")
		if h.Taken("c") || len(h.lines) != 1 {
			t.Errorf("c is still taken, or there are other lines than one: %v", h.lines)
		}
		h.give("a", 1)
		h.give("b", 1)
		h.wantWent(t, "c1", "a1", "a2")
		h.end(t)
	})
}

func TestASmallRequestDoesNotOvertakeALargeOneOfItsLine(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		tries := 0
		h.all.Go(func() {
			_ = h.Wait(context.Background(), Ticket{Ways: []string{"a"}}, func(time.Time) (time.Duration, bool) { tries++; return time.Second, tries > 3 })
		})
		synctest.Wait()
		small := h.wait("small", Ticket{Ways: []string{"a"}})
		h.give("a", 1)
		h.wantWent(t)
		time.Sleep(3 * time.Second)
		if err := <-small; err != nil {
			t.Error(err)
		}
		h.wantWent(t, "small")
		h.end(t)
	})
}

func TestTheEarliestWaitToldWakes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		var at []time.Duration
		began := time.Now()
		for _, wait := range []time.Duration{7 * time.Second, 2 * time.Second} {
			due := time.Now().Add(wait)
			h.all.Go(func() {
				err := h.Wait(context.Background(), Ticket{Ways: []string{wait.String()}}, func(now time.Time) (time.Duration, bool) {
					return due.Sub(now), !now.Before(due)
				})
				h.mu.Lock()
				defer h.mu.Unlock()
				if err == nil {
					at = append(at, time.Since(began))
				}
			})
		}
		h.all.Wait()
		if !slices.Equal(at, []time.Duration{2 * time.Second, 7 * time.Second}) {
			t.Errorf("went after %v", at)
		}
		h.end(t)
	})
}

func TestAWakeWhileSomebodyTriesIsNotLost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		q := NewQueue(usual())
		tries := 0
		err := q.Wait(context.Background(), Ticket{Ways: []string{"a"}}, func(time.Time) (time.Duration, bool) {
			if tries++; tries == 1 {
				q.Wake() // room comes free after it has looked
				return 0, false
			}
			return 0, true
		})
		if err != nil || tries != 2 {
			t.Errorf("settled after %d tries: %v; want 2", tries, err)
		}
	})
}

func TestWakesInQuickSuccessionDoNotKeepTheLastLineFromTrying(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		stop, tries := false, 0
		h.all.Go(func() {
			err := h.Wait(context.Background(), Ticket{Priority: Urgent, Ways: []string{"a"}}, func(time.Time) (time.Duration, bool) {
				if tries++; tries == 1 {
					h.all.Go(func() {
						_ = h.Wait(context.Background(), Ticket{Priority: Batch, Ways: []string{"b"}}, func(time.Time) (time.Duration, bool) {
							stop = true
							return 0, true
						})
					})
					for h.Waiting()[Batch] == 0 {
						runtime.Gosched()
					}
				}
				h.Wake() // something always ends while it tries
				return 0, stop
			})
			if err != nil {
				t.Errorf("the last Wake was lost: %v", err)
			}
		})
		h.all.Wait()
		if tries > 2*maxBegun {
			t.Errorf("the urgent one tried %d times", tries)
		}
		h.end(t)
	})
}

// during has a request try, and calls f while it does; it settles by the second try.
func (h *house) during(t Ticket, f func()) <-chan error {
	done := make(chan error, 1)
	tries := 0
	h.all.Go(func() {
		done <- h.Wait(context.Background(), t, func(time.Time) (time.Duration, bool) {
			if tries++; tries == 1 {
				f()
			}
			return 0, tries > 1
		})
	})
	synctest.Wait()
	return done
}

func TestWhoComesToStandBeforeTheHeadTriesAtOnce(t *testing.T) {
	urgent := Ticket{Priority: Urgent, Ways: []string{"a"}}
	t.Run("while it tries", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(usual(), map[string]int{"a": 1})
			h.during(Ticket{Ways: []string{"a"}}, func() {
				h.all.Go(func() { _ = h.Wait(context.Background(), urgent, h.try("urgent", urgent.Ways, 0)) })
				for h.Waiting()[Urgent] == 0 {
					runtime.Gosched()
				}
			})
			h.wantWent(t, "urgent")
			h.Wake()
			h.end(t)
		})
	})
	t.Run("after it tried", func(t *testing.T) {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(usual(), map[string]int{"a": 1})
			h.during(Ticket{Ways: []string{"a"}}, func() {})
			h.wait("normal", Ticket{Ways: []string{"a"}})
			h.wantWent(t)
			h.wait("urgent", urgent)
			h.wantWent(t, "urgent")
			h.give("a", 1)
			h.end(t)
		})
	})
}

func TestWhoIsTryingIsNotPushedOut(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		limits := usual()
		limits.Size = 1
		h := newHouse(limits, map[string]int{})
		trying := h.during(Ticket{Priority: Batch, Ways: []string{"a"}}, func() {
			err := h.Wait(context.Background(), Ticket{Priority: Urgent, Ways: []string{"a"}}, nil)
			wantFull(t, err, "1 requests")
		})
		h.Wake()
		if err := <-trying; err != nil {
			t.Error(err)
		}
		h.end(t)
	})
}

func TestWhoGoesAwayLeavesAtOnceAndHoldsUpNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		ctx, cancel := context.WithCancel(context.Background())
		gone := h.waitCtx(ctx, "gone", Ticket{Priority: Urgent, Ways: []string{"a"}})
		h.wait("stays", Ticket{Ways: []string{"a"}})
		cancel()
		synctest.Wait()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got := h.Waiting(); got[Urgent] != 0 || got[Normal] != 1 {
			t.Errorf("waiting are %v", got)
		}
		h.give("a", 1)
		h.wantWent(t, "stays")
		h.end(t)
	})
}

func TestWhenTheHeadLeavesTheNextOneTries(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		ctx, cancel := context.WithCancel(context.Background())
		h.all.Go(func() {
			_ = h.Wait(ctx, Ticket{Priority: Urgent, Ways: []string{"a"}}, func(time.Time) (time.Duration, bool) { return 0, false })
		})
		synctest.Wait()
		h.wait("next", Ticket{Ways: []string{"a"}})
		h.mu.Lock()
		h.free["a"] = 1 // without a Wake: there was always room for a request as small
		h.mu.Unlock()
		cancel()
		synctest.Wait()
		h.wantWent(t, "next")
		h.end(t)
	})
}

func TestATryThatPanicsHoldsUpNobody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		func() {
			defer func() { _ = recover() }()
			_ = h.Wait(context.Background(), Ticket{Ways: []string{"a"}}, func(time.Time) (time.Duration, bool) { panic("bug") })
		}()
		h.wait("next", Ticket{Ways: []string{"a"}})
		h.give("a", 1)
		h.wantWent(t, "next")
		h.end(t)
	})
}

// wantFull checks that an error is a *FullError, and gives it.
func wantFull(t *testing.T, err error, reason string) *FullError {
	t.Helper()
	var full *FullError
	if !errors.As(err, &full) {
		t.Fatalf("got %v, want a *FullError", err)
	}
	if !strings.Contains(full.Reason, reason) {
		t.Errorf("the reason is %q, want one with %q", full.Reason, reason)
	}
	if full.RetryAfter < time.Second || full.RetryAfter > 30*time.Second || full.RetryAfter%time.Second != 0 {
		t.Errorf("RetryAfter is %s", full.RetryAfter)
	}
	return full
}

func TestNobodyWaitsLongerThanTheLimit(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		began := time.Now()
		wantFull(t, <-h.wait("late", Ticket{Ways: []string{"a"}}), "within 30s")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it waited %s", took)
		}
		h.end(t)
	})
}

func TestWhatWasWaitedBeforeCountsTowardsTheLongestWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		longest := usual().Wait
		for _, waited := range []time.Duration{longest / 3, longest, 2 * longest} {
			began := time.Now()
			err := <-h.wait("again", Ticket{Ways: []string{"a"}, Waited: waited})
			var full *FullError
			if took := time.Since(began); !errors.As(err, &full) || took != max(longest-waited, 0) {
				t.Errorf("after %s it waited %s: %v", waited, took, err)
			}
		}
		h.end(t)
	})
}

func TestAFullQueueKeepsTheMoreUrgent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		limits := usual()
		limits.Size = 3
		h := newHouse(limits, map[string]int{})
		h.wait("old", Ticket{Priority: Batch, Ways: []string{"a"}})
		newest := h.wait("newest", Ticket{Priority: Batch, Ways: []string{"b"}})
		h.wait("normal", Ticket{Ways: []string{"a"}})
		wantFull(t, <-h.wait("another", Ticket{Priority: Batch, Ways: []string{"a"}}), "3 requests are waiting")
		h.wait("urgent", Ticket{Priority: Urgent, Ways: []string{"a"}})
		wantFull(t, <-newest, "more urgent")
		h.give("a", 3)
		h.wantWent(t, "urgent", "normal", "old")
		h.end(t)
	})
}

func TestWhatHasAgedIsNotPushedOutByItsNewClass(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		limits := usual()
		limits.Size = 1
		h := newHouse(limits, map[string]int{})
		h.wait("aged", Ticket{Priority: Batch, Ways: []string{"a"}})
		time.Sleep(5 * time.Second)
		wantFull(t, <-h.wait("normal", Ticket{Ways: []string{"a"}}), "1 requests are waiting")
		h.give("a", 1)
		h.wantWent(t, "aged")
		h.end(t)
	})
}

func TestWhoseTurnWouldComeAfterItsDeadlineIsToldAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		for range 20 {
			h.wait("ahead", Ticket{Caller: "c", Ways: []string{"a"}})
		}
		soon := func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 9*time.Second)
		}
		ctx, cancel := soon()
		defer cancel()
		unknown := h.waitCtx(ctx, "unknown", Ticket{Caller: "c", Ways: []string{"a"}})
		for range 10 { // one a second
			time.Sleep(time.Second)
			h.give("a", 1)
		}
		if err := <-unknown; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before a rate is known: %v; want it to wait for its deadline", err)
		}
		ctx, cancel = soon()
		defer cancel()
		began := time.Now()
		full := wantFull(t, h.Wait(ctx, Ticket{Caller: "c", Ways: []string{"a"}}, nil), "too late")
		if time.Since(began) != 0 || full.RetryAfter > 2*time.Second {
			t.Errorf("told after %s to ask again in %s; want at once, and a second or two", time.Since(began), full.RetryAfter)
		}
		wantFull(t, h.Wait(ctx, Ticket{Caller: "d", Priority: Batch, Ways: []string{"a"}}, nil), "too late")
		other := h.waitCtx(ctx, "other", Ticket{Caller: "other", Ways: []string{"a"}}) // one goes before it: callers take turns
		urgent := h.waitCtx(ctx, "urgent", Ticket{Caller: "c", Priority: Urgent, Ways: []string{"a"}})
		elsewhere := h.waitCtx(ctx, "elsewhere", Ticket{Caller: "c", Ways: []string{"b"}})
		h.give("b", 1)
		h.give("a", 12)
		for _, c := range []<-chan error{other, urgent, elsewhere} {
			if err := <-c; err != nil {
				t.Error(err)
			}
		}
		h.end(t)
	})
}

func TestRetryAfterIsHowLongTheQueueTakesToDrain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		limits := usual()
		limits.Size = 20
		h := newHouse(limits, map[string]int{})
		for range 20 {
			h.wait("ahead", Ticket{Ways: []string{"a"}})
		}
		if got := wantFull(t, <-h.wait("more", Ticket{Ways: []string{"a"}}), "20"); got.RetryAfter != limits.Wait {
			t.Errorf("before anything went it is %s; want when all who wait will have left", got.RetryAfter)
		}
		for range 10 {
			time.Sleep(500 * time.Millisecond)
			h.give("a", 1)
			h.wait("ahead", Ticket{Ways: []string{"a"}})
		}
		if got := wantFull(t, <-h.wait("more", Ticket{Ways: []string{"a"}}), "20"); got.RetryAfter != 10*time.Second {
			t.Errorf("at two a second it is %s; want 10s", got.RetryAfter)
		}
		h.give("a", 20)

		time.Sleep(time.Hour) // empty: says nothing of how fast it drains
		for range 20 {
			h.wait("ahead", Ticket{Ways: []string{"a"}})
		}
		for range 10 {
			h.give("a", 1)
			h.wait("ahead", Ticket{Ways: []string{"a"}})
			time.Sleep(500 * time.Millisecond)
		}
		if got := wantFull(t, <-h.wait("more", Ticket{Ways: []string{"a"}}), "20"); got.RetryAfter > 12*time.Second {
			t.Errorf("an hour later at two a second it is %s; want about 10s", got.RetryAfter)
		}
		h.give("a", 20)
		h.end(t)
	})
}

func TestANilQueueHoldsNobody(t *testing.T) {
	for _, q := range []*Queue{nil, NewQueue(QueueLimits{Wait: time.Second})} {
		wantFull(t, q.Wait(context.Background(), Ticket{}, nil), "do not wait")
		q.Wake()
		if q.Taken("a") || len(q.Waiting()) != 0 {
			t.Error("somebody waits")
		}
	}
}

func BenchmarkQueue(b *testing.B) {
	b.Run("taken, empty", func(b *testing.B) {
		q := NewQueue(usual())
		for b.Loop() {
			if q.Taken("a") {
				b.Fatal("taken")
			}
		}
	})
	b.Run("wake, empty", func(b *testing.B) {
		q := NewQueue(usual())
		for b.Loop() {
			q.Wake()
		}
	})
	b.Run("one goes through", func(b *testing.B) {
		q, ctx, ways := NewQueue(usual()), context.Background(), []string{"a", "b"}
		b.ReportAllocs()
		for b.Loop() {
			if err := q.Wait(ctx, Ticket{Ways: ways}, func(time.Time) (time.Duration, bool) { return 0, true }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
