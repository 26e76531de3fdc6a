package traffic

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
)

func TestOverloadShedsHedgesThenBatchThenNormalThenUrgent(t *testing.T) {
	g, now := NewGate(GateLimits{Requests: 100}), time.Now()
	shed := map[string]int{}
	for i := range 101 {
		if _, noted := shed["spare"]; !noted && !g.Spare() {
			shed["spare"] = i
		}
		for _, p := range Priorities() {
			leave, _, ok := g.Enter(now, p, 0)
			if _, noted := shed[p.String()]; !noted && !ok {
				shed[p.String()] = i
			}
			if ok {
				leave()
			}
		}
		g.Enter(now, Urgent, 0)
	}
	if refused := g.Refused(); refused[Batch] != 21 || refused[Normal] != 6 || refused[Urgent] != 2 {
		t.Errorf("counted %v as refused", refused)
	}
	for what, want := range map[string]int{"spare": 70, "batch": 80, "normal": 95, "urgent": 100} {
		if shed[what] != want {
			t.Errorf("%s is shed from %d of 100 on; want %d", what, shed[what], want)
		}
	}
}

func TestBytesCountAsRequestsDo(t *testing.T) {
	g, now := NewGate(GateLimits{Requests: 100, Bytes: 1000}), time.Now()
	leave, _, ok := g.Enter(now, Normal, 850)
	if !ok || g.Load() != 0.85 || g.Spare() {
		t.Fatalf("850 of 1000 bytes: %t, load %g", ok, g.Load())
	}
	if _, _, ok := g.Enter(now, Batch, 1); ok {
		t.Error("batch gets in although 85 % of the bytes are taken")
	}
	if _, _, ok := g.Enter(now, Urgent, 151); ok {
		t.Error("a body larger than what is left gets in")
	}
	if _, _, ok := g.Enter(now, Urgent, 150); !ok {
		t.Error("a body of what is left does not get in")
	}
	leave()
	if g.Load() != 0.15 || g.requests.Load() != 1 {
		t.Errorf("load %g with %d requests after one of two left", g.Load(), g.requests.Load())
	}
}

func TestRetryAfterFollowsHowLongRequestsStay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		g := NewGate(GateLimits{Requests: 10})
		for range 100 {
			leave, _, _ := g.Enter(time.Now(), Normal, 0)
			time.Sleep(20 * time.Second)
			leave()
		}
		for range 10 {
			g.Enter(time.Now(), Urgent, 0)
		}
		for p, want := range map[Priority]time.Duration{Urgent: time.Second, Normal: time.Second, Batch: 4 * time.Second} {
			if _, retry, ok := g.Enter(time.Now(), p, 0); ok || retry != want {
				t.Errorf("%s: %t, %s; want %s", p, ok, retry, want)
			}
		}
		full := NewGate(GateLimits{Bytes: 100})
		full.Enter(time.Now(), Urgent, 60)
		if _, retry, ok := full.Enter(time.Now(), Urgent, 1<<62); ok || retry < minRetry || retry > maxGateRetry {
			t.Errorf("a body that never fits: %t, %s", ok, retry)
		}
	})
}

func TestAGateIsNeverExceeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limits := GateLimits{
			Requests: rapid.Int64Range(0, 12).Draw(rt, "requests"),
			Bytes:    rapid.Int64Range(0, 500).Draw(rt, "bytes"),
		}
		bodies := rapid.SliceOfN(rapid.SliceOfN(rapid.Int64Range(0, 300), 1, 30), 1, 8).Draw(rt, "bodies")
		g, now := NewGate(limits), time.Now()
		var mu sync.Mutex
		var requests, bytes int64
		var all sync.WaitGroup
		for i, of := range bodies {
			all.Go(func() {
				for j, body := range of {
					leave, retry, ok := g.Enter(now, Priority((i+j)%3-1), body)
					if !ok {
						if retry < minRetry || retry > maxGateRetry {
							rt.Errorf("retry after %s", retry)
						}
						continue
					}
					mu.Lock()
					requests, bytes = requests+1, bytes+body
					if limits.Requests > 0 && requests > limits.Requests || limits.Bytes > 0 && bytes > limits.Bytes {
						rt.Errorf("%d requests with %d bytes are in, limited to %+v", requests, bytes, limits)
					}
					mu.Unlock()
					if load := g.Load(); load < 0 || load > 1 {
						rt.Errorf("load is %g", load)
					}
					mu.Lock()
					requests, bytes = requests-1, bytes-body
					mu.Unlock()
					leave()
				}
			})
		}
		all.Wait()
		if g.requests.Load() != 0 || g.bytes.Load() != 0 {
			rt.Errorf("%d requests and %d bytes are left when all have left", g.requests.Load(), g.bytes.Load())
		}
	})
}

func TestANilGateLetsEverythingIn(t *testing.T) {
	var g *Gate
	leave, _, ok := g.Enter(time.Now(), Batch, 1<<40)
	if !ok || !g.Spare() || g.Load() != 0 {
		t.Error("it refuses")
	}
	leave()
}
