package traffic

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
)

// grant is one request that a limiter let through.
type grant struct {
	at     time.Time
	tokens int64
}

// someLimits draws limits of which each may be missing.
func someLimits(t *rapid.T) Limits {
	return Limits{
		Requests:   rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 700)).Draw(t, "requests"),
		Tokens:     rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(500, 50_000)).Draw(t, "tokens"),
		Burst:      rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 30)).Draw(t, "burst"),
		Concurrent: rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 4)).Draw(t, "concurrent"),
	}
}

// exceeded says in which stretch of time more went than was allowed.
func exceeded(limits Limits, grants []grant) string {
	for i, from := range grants {
		var requests, tokens int64
		for _, to := range grants[i:] {
			d := int64(to.at.Sub(from.at))
			requests++
			if n := limits.Requests; n > 0 && (requests-burst(limits.Burst, n))*int64(time.Minute) > n*d {
				return fmt.Sprintf("%d requests within %s", requests, time.Duration(d))
			}
			// What is larger than the bucket goes when it is full, and is owed then.
			if n := limits.Tokens; n > 0 && (tokens+min(to.tokens, burst(0, n))-burst(0, n))*int64(time.Minute) > n*d {
				return fmt.Sprintf("%d tokens within %s", tokens+to.tokens, time.Duration(d))
			}
			tokens += to.tokens
		}
	}
	return ""
}

func TestLimitsHoldInAnyStretchOfTimeUnderConcurrency(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limits := someLimits(rt)
		type step struct {
			tokens int64
			hold   time.Duration
			undo   bool
		}
		callers := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				tokens: rapid.Int64Range(0, 20_000).Draw(t, "tokens"),
				hold:   time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "hold")),
				undo:   rapid.IntRange(0, 4).Draw(t, "undo") == 0,
			}
		}), 1, 12), 1, 6).Draw(rt, "callers")

		var mu sync.Mutex
		var grants []grant
		var under, most int64
		bubble.Test(t, func(*testing.T) {
			l := NewLimiter(limits)
			var all sync.WaitGroup
			for _, steps := range callers {
				all.Go(func() {
					for _, s := range steps {
						for {
							mu.Lock() // so that grants are recorded in the order in which they are made
							now := time.Now()
							wait, ok := l.Take(now, s.tokens)
							if ok && s.undo {
								l.Undo(now, s.tokens)
							} else if ok {
								grants = append(grants, grant{now, s.tokens})
								under++
								most = max(most, under)
							}
							mu.Unlock()
							if ok {
								break
							}
							time.Sleep(max(wait, time.Millisecond))
						}
						if s.undo {
							continue
						}
						time.Sleep(s.hold)
						mu.Lock()
						under--
						l.Done(time.Now(), s.tokens, s.tokens)
						mu.Unlock()
					}
				})
			}
			all.Wait()
			if u := l.Use(time.Now()); u.Under != 0 {
				rt.Errorf("%d are under way at the end", u.Under)
			}
		})
		if problem := exceeded(limits, grants); problem != "" {
			rt.Errorf("%+v let through %s", limits, problem)
		}
		if limits.Concurrent > 0 && most > limits.Concurrent {
			rt.Errorf("%d at once, limited to %d", most, limits.Concurrent)
		}
	})
}

func TestManyAtOnceTakeNoMoreThanThereIs(t *testing.T) {
	now := time.Now()
	l := NewLimiter(Limits{Requests: 600, Burst: 100, Tokens: 60_000, Concurrent: 80})
	var all sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for range 16 {
		all.Go(func() {
			for range 50 {
				if _, ok := l.Take(now, 100); ok {
					mu.Lock()
					got++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if got != 80 {
		t.Errorf("%d went at once; want 80, as many as may be under way", got)
	}
}

func TestWhoWaitsAsLongAsToldGetsItAndNotSooner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := someLimits(t)
		l, now := NewLimiter(limits), time.Now()
		var under []int64
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "later")))
			tokens := rapid.Int64Range(0, 20_000).Draw(t, "tokens")
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				if len(under) > 0 {
					l.Done(now, under[0], tokens)
					under = under[1:]
				}
			case 1:
				l.Refused(now, time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "wait")), 0)
			case 2:
				l.Told(now, openAI(60, rapid.Int64Range(0, 60).Draw(t, "left"), "30s", 10_000, rapid.Int64Range(0, 10_000).Draw(t, "left tokens"), "20s"))
			default:
				wait, ok := l.Take(now, tokens)
				if ok {
					under = append(under, tokens)
					continue
				}
				if wait == 0 {
					if limits.Concurrent == 0 || int64(len(under)) < limits.Concurrent {
						t.Fatalf("refused without a wait, with %d of %d under way", len(under), limits.Concurrent)
					}
					continue
				}
				if _, ok := l.Take(now.Add(wait-1), tokens); ok {
					t.Fatalf("told to wait %s, but a nanosecond less would do", wait)
				}
				now = now.Add(wait)
				if again, ok := l.Take(now, tokens); ok {
					under = append(under, tokens)
				} else if again != 0 || limits.Concurrent == 0 || int64(len(under)) < limits.Concurrent {
					t.Fatalf("waited %s as told, and was told to wait %s more", wait, again)
				}
			}
		}
	})
}

func TestWhatIsUndoneHasNeverBeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := someLimits(t)
		now := time.Now()
		with, without := NewLimiter(limits), NewLimiter(limits)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "later")))
			tokens := rapid.Int64Range(0, 20_000).Draw(t, "tokens")
			if _, ok := with.Take(now, tokens+1); ok {
				with.Undo(now, tokens+1)
			}
			wait1, ok1 := with.Take(now, tokens)
			wait2, ok2 := without.Take(now, tokens)
			if wait1 != wait2 || ok1 != ok2 {
				t.Fatalf("%s %t after an Undo, %s %t without it", wait1, ok1, wait2, ok2)
			}
			if ok1 && rapid.Bool().Draw(t, "done") {
				used := rapid.Int64Range(0, 40_000).Draw(t, "used")
				with.Done(now, tokens, used)
				without.Done(now, tokens, used)
			}
		}
	})
}

func TestARateThatDoesNotDivideEvenlyDoesNotDrift(t *testing.T) {
	l, start := NewLimiter(Limits{Requests: 7, Burst: 2}), time.Now()
	now, n := start, 0
	for {
		wait, ok := l.Take(now, 0)
		if !ok {
			now = now.Add(wait)
			if now.Sub(start) > 24*time.Hour {
				break
			}
			continue
		}
		n++
	}
	if want := 7*60*24 + 2; n != want {
		t.Errorf("%d went in a day; want %d: 7 a minute, and two that were there", n, want)
	}
}

func TestTokensAreCorrectedByWhatWasUsed(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name     string
		used     int64
		wantLeft float64
		wantWait time.Duration // of one of 500
	}{
		{"less is given back", 100, 900, 0},
		{"as much as estimated", 600, 400, time.Second},
		{"more is owed", 3600, -2600, 31 * time.Second},
		{"nothing, for one that failed", 0, 1000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLimiter(Limits{Tokens: 6000})
			l.Take(now, 600)
			l.Done(now, 600, tt.used)
			if left := l.Use(now).TokensLeft; left != tt.wantLeft {
				t.Errorf("%g left; want %g", left, tt.wantLeft)
			}
			if wait, _ := l.Take(now, 500); wait != tt.wantWait {
				t.Errorf("told to wait %s; want %s", wait, tt.wantWait)
			}
			if wait := l.tokens.wait(l.instant(now), 500); tt.wantWait > 0 && time.Duration(wait) != tt.wantWait {
				t.Errorf("wait is %s; want %s", time.Duration(wait), tt.wantWait)
			}
		})
	}
}

func TestAnAbsurdUseIsNotOwedForLongerThanMaxBlock(t *testing.T) {
	l, now := NewLimiter(Limits{Tokens: 60}), time.Now()
	l.Take(now, 1)
	l.Done(now, 1, 1<<62)
	if wait, _ := l.Take(now, 1); wait > MaxBlock {
		t.Errorf("told to wait %s", wait)
	}
}

// A caller that says it may use far more than its limit still has what it did
// use counted: what is given back is no more than what was taken.
func TestAnAbsurdEstimateDoesNotVoidTheLimit(t *testing.T) {
	for _, estimate := range []int64{100_000, 1_000_000_000, math.MaxInt64} {
		l := NewLimiter(Limits{Tokens: 1000})
		now := time.Now()
		var used int64
		for at := now; at.Sub(now) < 10*time.Minute; at = at.Add(time.Second) {
			if _, ok := l.Take(at, estimate); ok {
				l.Done(at, estimate, 900)
				used += 900
			}
		}
		if most := int64(11 * 1000); used > most || used < 5000 {
			t.Errorf("an estimate of %d: %d tokens in ten minutes", estimate, used)
		}
		if left := l.pending.Load(); left != 0 {
			t.Errorf("an estimate of %d: %d tokens are taken by nobody", estimate, left)
		}
	}
}

func TestARequestLargerThanTheBucketGoesWhenItIsFull(t *testing.T) {
	l, now := NewLimiter(Limits{Tokens: 6000}), time.Now()
	l.Take(now, 250) // a quarter of what goes at once
	wait, ok := l.Take(now, 50_000)
	if ok || wait != 2500*time.Millisecond {
		t.Fatalf("told to wait %s, %t; want 2.5s", wait, ok)
	}
	if _, ok := l.Take(now.Add(wait), 50_000); !ok {
		t.Error("it does not go when the bucket is full")
	}
	if wait, _ := l.Take(now.Add(wait), 0); wait != 490*time.Second {
		t.Errorf("the next one is told to wait %s; want until what is owed has filled in, 490s", wait)
	}
}

func TestANilLimiterLimitsNothing(t *testing.T) {
	var l *Limiter
	now := time.Now()
	if wait, ok := l.Take(now, 1); !ok || wait != 0 {
		t.Error("it refuses")
	}
	l.Undo(now, 1)
	l.Done(now, 1, 2)
	l.Refused(now, time.Hour, 0)
	l.Told(now, openAI(1, 0, "1m0s", 1, 0, "1m0s"))
	if l.Use(now) != (Use{}) || l.CountsTokens() {
		t.Error("it says that it limits something")
	}
}

func TestUseTellsHowALimiterStands(t *testing.T) {
	l, now := NewLimiter(Limits{Requests: 60, Tokens: 6000, Concurrent: 5}), time.Now()
	l.Take(now, 400)
	got := l.Use(now)
	want := Use{Limits: Limits{Requests: 60, Tokens: 6000, Concurrent: 5}, Allowed: 60, Under: 1, RequestsLeft: 9, TokensLeft: 600}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	l.Refused(now, time.Minute, 0)
	if got := l.Use(now); got.Allowed != 60 {
		t.Errorf("after a refusal of a lone request %g a minute are allowed, want the configured 60", got.Allowed)
	}
}

func TestARefusalTeachesARateOnlyWhereManyWent(t *testing.T) {
	for requests, want := range map[int]float64{
		1: 0, MinEvidence - 1: 0,
		40: 28,
	} {
		l, now := NewLimiter(Limits{}), time.Now()
		for range requests {
			l.Take(now, 0)
		}
		l.Refused(now, time.Second, 0)
		if got := l.Use(now).Allowed; got != want {
			t.Errorf("after %d requests and a refusal %g a minute are allowed, want %g", requests, got, want)
		}
		if wait, ok := l.Take(now, 0); ok || wait < time.Second {
			t.Errorf("after %d requests and a refusal the next may go after %s, want the second that was told at least", requests, wait)
		}
	}
}

func BenchmarkLimiter(b *testing.B) {
	for name, limits := range map[string]Limits{
		"unlimited": {},
		"limited":   {Requests: 1 << 40, Tokens: 1 << 40, Concurrent: 1 << 40},
	} {
		b.Run(name, func(b *testing.B) {
			l, now := NewLimiter(limits), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := l.Take(now, 1000); !ok {
					b.Fatal("refused")
				}
				l.Done(now, 1000, 900)
			}
		})
		b.Run(name+" in parallel", func(b *testing.B) {
			l, now := NewLimiter(limits), time.Now()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Take(now, 1000)
					l.Done(now, 1000, 900)
				}
			})
		})
	}
}
