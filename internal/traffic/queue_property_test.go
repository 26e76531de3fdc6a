package traffic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
)

// visit is a request of the property of the queue.
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
		bubble.Test(t, func(t *testing.T) {
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
