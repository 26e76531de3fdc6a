package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
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

func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestWhoFindsNobodyInLineTriesAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{"a": 1})
		if err := <-h.wait("first", Ticket{Ways: []string{"a"}}); err != nil {
			t.Error(err)
		}
		h.wantWent(t, "first")
		h.end(t)
	})
}

func TestTheMoreUrgentGoFirst(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		for range 3 {
			h.wait("patient", Ticket{Caller: "patient", Ways: []string{"a"}})
		}
		for range 3 {
			h.wait("anew", Ticket{Caller: "anew", Ways: []string{"a"}})
			h.give("a", 1)
		}
		h.give("a", 3)
		h.wantWent(t, "patient", "anew", "patient", "anew", "patient", "anew")
		h.end(t)
	})
}

func TestAHeadThatCannotGoHoldsUpItsLineButNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		var at []time.Duration
		began := time.Now()
		for _, wait := range []time.Duration{7 * time.Second, 2 * time.Second} {
			due := time.Now().Add(wait)
			h.all.Go(func() {
				err := h.Wait(context.Background(), Ticket{Ways: []string{wait.String()}}, func(now time.Time) (time.Duration, bool) {
					return due.Sub(now), !now.Before(due)
				})
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{"b": 1})
		stop := false
		h.all.Go(func() {
			_ = h.Wait(context.Background(), Ticket{Priority: Urgent, Ways: []string{"a"}}, func(time.Time) (time.Duration, bool) {
				h.Wake() // something always ends while it tries
				return 0, stop
			})
		})
		batch := make(chan error, 1)
		h.all.Go(func() {
			batch <- h.Wait(context.Background(), Ticket{Priority: Batch, Ways: []string{"b"}}, func(time.Time) (time.Duration, bool) {
				stop = true
				return 0, true
			})
		})
		h.all.Wait()
		h.end(t)
	})
}

func TestWhoGoesAwayLeavesAtOnceAndHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
		h := newHouse(usual(), map[string]int{})
		began := time.Now()
		wantFull(t, <-h.wait("late", Ticket{Ways: []string{"a"}}), "within 30s")
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it waited %s", took)
		}
		h.end(t)
	})
}

func TestAFullQueueKeepsTheMoreUrgent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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
	inBubble(t, func(t *testing.T) {
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

// visit is a request of the property below.
type visit struct {
	Ticket
	after, hold, patience time.Duration // patience: until it goes away; 0 for never
	deadline              bool          // its patience is a deadline, which the queue knows
}

func visits(t *rapid.T) []visit {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) visit {
		ms := func(most int, label string) time.Duration {
			return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Millisecond
		}
		return visit{
			Ticket: Ticket{
				Priority: rapid.SampledFrom(Priorities()).Draw(t, "priority"),
				Caller:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "caller"),
				Ways:     rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), 1, 3, rapid.ID).Draw(t, "ways"),
			},
			after:    ms(300, "after"),
			hold:     ms(2000, "hold"),
			patience: ms(4000, "patience") * time.Duration(rapid.IntRange(0, 1).Draw(t, "impatient")),
			deadline: rapid.Bool().Draw(t, "deadline"),
		}
	}), 1, 60).Draw(t, "visits")
}

func TestEveryRequestEndsOnceAndNoRoomStaysUnused(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limits := QueueLimits{
			Size:  rapid.IntRange(1, 20).Draw(rt, "size"),
			Wait:  time.Duration(rapid.IntRange(1, 8).Draw(rt, "wait")) * time.Second,
			Aging: time.Duration(rapid.IntRange(0, 2).Draw(rt, "aging")) * time.Second,
		}
		free := map[string]int{"x": rapid.IntRange(0, 2).Draw(rt, "x"), "y": rapid.IntRange(1, 2).Draw(rt, "y"), "z": 1}
		places := free["x"] + free["y"] + free["z"]
		come := visits(rt)
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(limits, free)
			ended := make([]int, len(come))
			for i, v := range come {
				time.Sleep(v.after)
				synctest.Wait()
				h.mu.Lock()
				for _, l := range h.lines {
					for _, way := range l.ways {
						if h.free[way] > 0 {
							rt.Errorf("somebody waits for %v while %s is free", l.ways, way)
						}
					}
				}
				h.mu.Unlock()
				h.all.Go(func() {
					ended[i] += h.visit(rt, limits, v)
				})
			}
			h.all.Wait()
			for i, n := range ended {
				if n != 1 {
					rt.Errorf("request %d ended %d times", i, n)
				}
			}
			if left := h.free["x"] + h.free["y"] + h.free["z"]; left != places {
				rt.Errorf("%d places at the end, %d at the start", left, places)
			}
			if h.wrong != "" {
				rt.Error(h.wrong)
			}
			h.end(t)
		})
	})
}

// visit is one request from its coming to its end; it gives how often it ended.
func (h *house) visit(t *rapid.T, limits QueueLimits, v visit) (ended int) {
	ctx, cancel := context.WithCancel(context.Background())
	if v.patience > 0 && v.deadline {
		ctx, cancel = context.WithTimeout(context.Background(), v.patience)
	} else if v.patience > 0 {
		stop := time.AfterFunc(v.patience, cancel)
		defer stop.Stop()
	}
	defer cancel()
	began, way := time.Now(), ""
	err := h.Wait(ctx, v.Ticket, func(time.Time) (time.Duration, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.trying {
			h.wrong = "two try at the same time"
		}
		h.trying = true
		h.mu.Unlock()
		h.mu.Lock() // lets another in, where the queue would
		h.trying = false
		for _, w := range v.Ways {
			if h.free[w] > 0 {
				h.free[w]--
				way = w
				ended++
				return 0, true
			}
		}
		return 0, false
	})
	took := time.Since(began)
	var full *FullError
	switch {
	case err == nil:
		if way == "" {
			t.Errorf("settled without a way")
		}
		time.Sleep(v.hold)
		h.mu.Lock()
		h.free[way]++
		h.mu.Unlock()
		h.Wake()
		return ended
	case errors.As(err, &full):
		if full.RetryAfter < time.Second || full.RetryAfter > max(limits.Wait, time.Second) {
			t.Errorf("RetryAfter is %s", full.RetryAfter)
		}
	case v.patience > 0 && took == v.patience && errors.Is(err, ctx.Err()):
	default:
		t.Errorf("ended with %v after %s, with a patience of %s", err, took, v.patience)
	}
	if way != "" || took > limits.Wait {
		t.Errorf("after %s it ended with %v, and has way %q", took, err, way)
	}
	return ended + 1
}

func TestManyThreadsLoseNobody(t *testing.T) {
	limits := usual()
	h := newHouse(limits, map[string]int{"a": 2, "b": 1})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			way := []string{"a", "b"}[i%2]
			for j := range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				if j%10 == 0 {
					go cancel()
				}
				err := h.Wait(ctx, Ticket{Caller: fmt.Sprint(i), Priority: Priority(j%3 - 1), Ways: []string{way}}, h.try("", []string{way}, 0))
				cancel()
				if err == nil {
					h.mu.Lock()
					h.free[way]++
					h.mu.Unlock()
					h.Wake()
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	all.Wait()
	if h.wrong != "" || h.free["a"] != 2 || h.free["b"] != 1 {
		t.Errorf("%s; at the end free are %v", h.wrong, h.free)
	}
	h.end(t)
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
