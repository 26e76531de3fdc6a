package traffic

import (
	"sync/atomic"
	"time"
)

// From which share of a gate on what is shed. Hedges and probes go first, though
// an overload sheds callers' requests before it lets Breakwater do without
// knowing its targets: a hedge is a second request for what is asked already and
// would push the gate over by itself, so it stops while nobody is refused yet.
// Probes that are due then wait for the next round.
const (
	SpareUntil  = 0.70 // Spare: hedges and probes
	BatchUntil  = 0.80 // nobody waits for the answer, so it can be asked for later
	NormalUntil = 0.95 // the rest is kept for those who wait in front of a screen
)

// maxGateRetry is the longest that a caller is told to wait where the gate is
// full: after half a minute an overload is over, or is better asked about anew.
const maxGateRetry = 30 * time.Second

// GateLimits bound what is under way in the whole of Breakwater. What is 0 is not
// bounded.
type GateLimits struct {
	Requests int64 // at once
	Bytes    int64 // of request bodies held in memory
}

// Gate sheds load by priority before memory or file descriptors run out. The
// larger of the two shares, of requests and of bytes, rules. A nil Gate lets
// everything in.
type Gate struct {
	limits   GateLimits
	requests atomic.Int64
	bytes    atomic.Int64
	stay     atomic.Int64 // nanoseconds from Enter to leave, lately
	refused  [3]atomic.Uint64
}

// NewGate makes a gate.
func NewGate(limits GateLimits) *Gate { return &Gate{limits: limits} }

// Enter lets a request in whose body is about so many bytes, or says after how
// long it is worth asking again. leave is called once, when it has ended.
//
// Batch is refused from BatchUntil on, normal from NormalUntil on, and everybody
// where the request does not fit; so a large body is refused where a small one
// still gets in.
func (g *Gate) Enter(now time.Time, p Priority, bytes int64) (leave func(), retryAfter time.Duration, ok bool) {
	if g == nil {
		return func() {}, 0, true
	}
	bytes = max(bytes, 0)
	until := shedFrom(p)
	if !reserve(&g.requests, 1, g.limits.Requests, until) {
		g.refuse(p)
		return nil, g.retry(until, 0), false
	}
	if !reserve(&g.bytes, bytes, g.limits.Bytes, until) {
		g.requests.Add(-1)
		g.refuse(p)
		return nil, g.retry(until, bytes), false
	}
	return func() {
		g.requests.Add(-1)
		g.bytes.Add(-bytes)
		was := g.stay.Load()
		g.stay.CompareAndSwap(was, was+(int64(time.Since(now))-was)/8) // one that is lost to another does not matter
	}, 0, true
}

// Grow has the gate count so many bytes more for a request that is in, under the
// rules of Enter. leave is called once, when it has ended.
func (g *Gate) Grow(p Priority, bytes int64) (leave func(), retryAfter time.Duration, ok bool) {
	if g == nil {
		return func() {}, 0, true
	}
	bytes = max(bytes, 0)
	until := shedFrom(p)
	if !reserve(&g.bytes, bytes, g.limits.Bytes, until) {
		g.refuse(p)
		return nil, g.retry(until, bytes), false
	}
	return func() { g.bytes.Add(-bytes) }, 0, true
}

// refuse counts a request that is turned away.
func (g *Gate) refuse(p Priority) { g.refused[min(max(p, Batch), Urgent)-Batch].Add(1) }

// Refused counts the requests that were turned away, by priority.
func (g *Gate) Refused() map[Priority]uint64 {
	all := make(map[Priority]uint64)
	if g != nil {
		for _, p := range Priorities() {
			all[p] = g.refused[p-Batch].Load()
		}
	}
	return all
}

// shedFrom gives the share of the gate from which on a priority is refused.
func shedFrom(p Priority) float64 {
	switch {
	case p >= Urgent:
		return 1
	case p <= Batch:
		return BatchUntil
	}
	return NormalUntil
}

// reserve takes n of what is limited, unless the share is reached already or n
// does not fit.
func reserve(taken *atomic.Int64, n, limit int64, until float64) bool {
	for {
		was := taken.Load()
		if limit > 0 && (float64(was) >= until*float64(limit) || n > limit-was) {
			return false
		}
		if taken.CompareAndSwap(was, was+n) {
			return true
		}
	}
}

// retry gives when there is room again if nobody else comes: as large a part of
// what is under way has to end first as is over the share or in the way of bytes
// more, and all of it ends within the time that requests stay.
func (g *Gate) retry(until float64, bytes int64) time.Duration {
	load := g.Load()
	over := load - until
	if g.limits.Bytes > 0 {
		over = max(over, float64(g.bytes.Load()+bytes)/float64(g.limits.Bytes)-1)
	}
	if over <= 0 || load <= 0 {
		return minRetry
	}
	d := time.Duration(min(over/load, 1) * float64(g.stay.Load()))
	return clampRetry(d, maxGateRetry)
}

// Spare says whether there is room for work that is not a request of somebody's:
// hedges and probes.
func (g *Gate) Spare() bool { return g == nil || g.Load() < SpareUntil }

// Load gives the share of the gate that is taken, 0 to 1.
func (g *Gate) Load() float64 {
	if g == nil {
		return 0
	}
	return max(share(g.requests.Load(), g.limits.Requests), share(g.bytes.Load(), g.limits.Bytes))
}

func share(taken, limit int64) float64 {
	if limit <= 0 {
		return 0
	}
	return float64(taken) / float64(limit)
}
