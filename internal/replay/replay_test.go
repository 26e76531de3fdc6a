package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
)

var limits = Limits{Keep: time.Minute, Bytes: 1 << 20, Patience: time.Minute}

var id = ID{Caller: "a", Path: "/p", Key: "k"}

func none(http.Header) {}

// join joins a run, and says whether it is the first to ask.
func join(t *testing.T, c *Cache, id ID) (*Follower, *Run) {
	t.Helper()
	f, r, err := c.Join(id, Digest{1}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// held gives the memory that a cache counts, and how many runs it knows.
func (c *Cache) held() (bytes int64, runs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size, len(c.runs)
}

// keeps says whether a cache knows a run.
func (c *Cache) keeps(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[id] != nil
}

// copied is what a follower got.
type copied struct {
	*httptest.ResponseRecorder
	err  error
	done bool
}

// follow copies in the background; it is done when synctest.Wait returns and done is set.
func follow(ctx context.Context, f *Follower) *copied {
	got := &copied{ResponseRecorder: httptest.NewRecorder()}
	go func() {
		got.err = f.Copy(ctx, got, none)
		got.done = true
	}()
	return got
}

func TestFollowersGetTheSameBytesAsTheyCome(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		f, run := join(t, c, id)
		first := follow(t.Context(), f)
		run.Begin(200, http.Header{"X-A": {"b"}})
		run.Write([]byte("one "))
		synctest.Wait()
		if first.Body.Len() > 0 {
			t.Error("what is not flushed was passed on")
		}
		run.Flush()
		synctest.Wait()
		if first.Body.String() != "one " || !first.Flushed {
			t.Errorf("flushed: got %q", first.Body)
		}
		f, again := join(t, c, id)
		if again != nil {
			t.Fatal("the second to ask has to make the answer, too")
		}
		second := follow(t.Context(), f)
		run.Write([]byte("two"))
		run.End(true)
		synctest.Wait()
		f, _ = join(t, c, id)
		late := follow(t.Context(), f)
		synctest.Wait()
		for i, got := range []*copied{first, second, late} {
			if !got.done || got.err != nil || got.Code != 200 || got.Body.String() != "one two" || got.Header().Get("X-A") != "b" {
				t.Errorf("follower %d: %d %q %v", i, got.Code, got.Body, got.err)
			}
		}
		time.Sleep(limits.Keep) // nobody asks; the sweep must find it
		synctest.Wait()
		if size, runs := c.held(); size != 0 || runs != 0 {
			t.Errorf("%d bytes and %d runs are left", size, runs)
		}
	})
}

func TestAKeyBelongsToOneRequestOfOneCaller(t *testing.T) {
	c := New(limits)
	_, run := join(t, c, id)
	if _, _, err := c.Join(id, Digest{2}, func() {}); !errors.Is(err, ErrMismatch) {
		t.Errorf("another body while it runs: %v", err)
	}
	run.Begin(200, nil)
	run.End(true)
	if _, _, err := c.Join(id, Digest{2}, func() {}); !errors.Is(err, ErrMismatch) {
		t.Errorf("another body afterwards: %v", err)
	}
	for _, other := range []ID{{"b", "/p", "k"}, {"a", "/q", "k"}, {"a", "/p", "l"}} {
		if _, run := join(t, c, other); run == nil {
			t.Errorf("%v got the answer of %v", other, id)
		}
	}
}

func TestAnAnswerThatIsNotKeptIsMadeAnew(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		f, run := join(t, c, id)
		joined := follow(t.Context(), f)
		run.Begin(502, nil)
		run.Write([]byte("failed"))
		run.End(false)
		synctest.Wait()
		if joined.Code != 502 || joined.Body.String() != "failed" {
			t.Errorf("whoever had joined got %d %q", joined.Code, joined.Body)
		}
		if f, run = join(t, c, id); run == nil {
			t.Fatal("a failure was kept")
		}
		aborted := follow(t.Context(), f)
		run.Abort()
		f, run = join(t, c, id)
		cut := follow(t.Context(), f)
		run.Begin(200, nil)
		run.Flush()
		run.Abort()
		f, run = join(t, c, id)
		mute := follow(t.Context(), f)
		run.End(true)
		synctest.Wait()
		if !errors.Is(aborted.err, ErrAborted) || !errors.Is(cut.err, ErrCut) || !errors.Is(mute.err, ErrAborted) {
			t.Errorf("got %v, %v, %v", aborted.err, cut.err, mute.err)
		}
		if size, _ := c.held(); size != 0 {
			t.Errorf("%d bytes are left", size)
		}
	})
}

func TestARunGoesOnWhenItsCallerHangsUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		ctx, hangUp := context.WithCancel(t.Context())
		var cancelled atomic.Bool
		f, run, _ := c.Join(id, Digest{1}, func() { cancelled.Store(true) })
		gone := follow(ctx, f)
		hangUp()
		synctest.Wait()
		if !errors.Is(gone.err, context.Canceled) {
			t.Errorf("got %v", gone.err)
		}
		time.Sleep(limits.Keep - time.Second)
		f, _ = join(t, c, id)
		back := follow(t.Context(), f)
		time.Sleep(2 * limits.Keep) // it has a follower again
		run.Begin(200, nil)
		run.Write([]byte("late"))
		run.End(true)
		synctest.Wait()
		if back.Body.String() != "late" || cancelled.Load() {
			t.Errorf("got %q, cancelled %v", back.Body, cancelled.Load())
		}
	})
}

func TestARunThatNobodyFollowsEndsAtLast(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		var cancelled atomic.Bool
		f, run, _ := c.Join(id, Digest{1}, func() { cancelled.Store(true) })
		ctx, hangUp := context.WithCancel(t.Context())
		follow(ctx, f)
		hangUp()
		time.Sleep(limits.Keep + time.Second)
		synctest.Wait()
		if !cancelled.Load() {
			t.Error("it goes on for ever")
		}
		run.End(false)
		f, run, _ = c.Join(id, Digest{1}, func() { cancelled.Store(true) })
		cancelled.Store(false)
		follow(t.Context(), f)
		c.Close()
		if !cancelled.Load() {
			t.Error("closing does not end it")
		}
		run.End(false)
	})
}

func TestTheOldestAnswersMakeRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		answer := func(key string, bytes int64) {
			f, run := join(t, c, ID{Key: key})
			follow(t.Context(), f)
			run.Begin(200, nil)
			for range bytes / 1024 {
				run.Write([]byte(strings.Repeat("x", 1024)))
			}
			run.End(true)
			synctest.Wait()
		}
		for i := range 6 {
			answer(fmt.Sprint(i), limits.Bytes/5)
		}
		kept := func(key string) bool { return c.keeps(ID{Key: key}) }
		size, _ := c.held()
		if size > limits.Bytes || kept("0") || kept("1") || !kept("2") || !kept("5") {
			t.Errorf("%d bytes; 0, 1, 2, 5 are kept: %v %v %v %v", size, kept("0"), kept("1"), kept("2"), kept("5"))
		}
		time.Sleep(limits.Keep)
		synctest.Wait()
		if kept("5") {
			t.Error("an answer outlived its time")
		}
	})
}

// slowWriter takes a piece each second.
type slowWriter struct{ *httptest.ResponseRecorder }

func (w slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Second)
	return w.ResponseRecorder.Write(p)
}

func TestALargeAnswerReachesThoseWhoFollowAndIsNotKept(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		f, run := join(t, c, id)
		slow := slowWriter{httptest.NewRecorder()}
		go f.Copy(t.Context(), slow, none)
		f, _ = join(t, c, id)
		fast := follow(t.Context(), f)
		run.Begin(200, nil)
		var want bytes.Buffer
		largest := int64(0)
		for i := range 2000 {
			piece := bytes.Repeat([]byte{byte(i)}, 1000)
			want.Write(piece)
			if n, err := run.Write(piece); err != nil || n != len(piece) {
				t.Fatal(n, err)
			}
			size, _ := c.held()
			largest = max(largest, size)
		}
		if _, _, err := c.Join(id, Digest{1}, func() {}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("whoever comes late: %v", err)
		}
		run.End(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !bytes.Equal(slow.Body.Bytes(), want.Bytes()) || !bytes.Equal(fast.Body.Bytes(), want.Bytes()) {
			t.Error("the answer was changed")
		}
		if size, runs := c.held(); largest > limits.Bytes/4+2*window || size != 0 || runs > 0 {
			t.Errorf("it held up to %d bytes, and %d afterwards", largest, size)
		}
	})
}

func TestALargeAnswerThatNobodyReadsEnds(t *testing.T) {
	c := New(limits)
	f, run := join(t, c, id)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	f.Copy(ctx, httptest.NewRecorder(), none)
	run.Begin(200, nil)
	if _, err := run.Write(make([]byte, limits.Bytes)); err == nil {
		t.Error("it is made for nobody")
	}
	run.End(true)
	if size, _ := c.held(); size != 0 {
		t.Errorf("%d bytes are left", size)
	}
}

// TestAStormRunsOnce asks from many sides at once.
func TestAStormRunsOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := New(limits)
		var mu sync.Mutex
		runs, answers := 0, map[string]int{}
		for range 200 {
			go func() {
				time.Sleep(rand.N(3 * time.Second))
				f, run, err := c.Join(id, Digest{1}, func() {})
				if err != nil {
					t.Error(err)
					return
				}
				if run != nil {
					mu.Lock()
					runs++
					mu.Unlock()
					go func() {
						run.Begin(200, nil)
						for i := range 10 {
							time.Sleep(100 * time.Millisecond)
							fmt.Fprintf(run, "%d,", i)
							run.Flush()
						}
						run.End(true)
					}()
				}
				w := httptest.NewRecorder()
				f.Copy(t.Context(), w, none)
				mu.Lock()
				answers[w.Body.String()]++
				mu.Unlock()
			}()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if runs != 1 || answers["0,1,2,3,4,5,6,7,8,9,"] != 200 {
			t.Errorf("%d runs, answers %v", runs, answers)
		}
	})
}

// TestTheBooksBalance lets runs come and go in any order: what is kept is what
// the model says, within its bounds, and in the end nothing is left.
func TestTheBooksBalance(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bubble.Test(t, func(t *testing.T) {
			l := Limits{Keep: time.Minute, Bytes: 40 << 10}
			c := New(l)
			var under []*Run
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				switch rapid.SampledFrom([]string{"join", "join", "write", "end", "abort", "sleep"}).Draw(rt, "step") {
				case "join":
					f, run, err := c.Join(ID{Key: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key")}, Digest{}, func() {})
					if err != nil {
						break
					}
					if run != nil {
						run.Begin(200, nil)
						under = append(under, run)
					}
					ctx, hangUp := context.WithTimeout(context.Background(), rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(rt, "patience"))
					go func() { f.Copy(ctx, httptest.NewRecorder(), none); hangUp() }()
				case "write":
					if len(under) > 0 {
						under[rapid.IntRange(0, len(under)-1).Draw(rt, "who")].Write(make([]byte, rapid.IntRange(0, 8<<10).Draw(rt, "bytes")))
					}
				case "end", "abort":
					if len(under) == 0 {
						break
					}
					i := rapid.IntRange(0, len(under)-1).Draw(rt, "who")
					if rapid.Bool().Draw(rt, "aborted") {
						under[i].Abort()
					} else {
						under[i].End(rapid.Bool().Draw(rt, "keep"))
					}
					under = slices.Delete(under, i, i+1)
				case "sleep":
					time.Sleep(rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(rt, "time"))
				}
				synctest.Wait()
				if size, _ := c.held(); size < 0 || size > l.Bytes+int64(len(under)+1)*(window+2*overhead) {
					rt.Errorf("%d bytes are held", size)
				}
			}
			for _, run := range under {
				run.End(true)
			}
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if size, runs := c.held(); size != 0 || runs != 0 {
				rt.Errorf("left: %d bytes, %d runs", size, runs)
			}
		})
	})
}
