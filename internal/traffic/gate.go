package traffic

import "time"

// GateLimits bound what is under way in the whole of Breakwater.
type GateLimits struct {
	Requests int64 // at once
	Bytes    int64 // of request bodies held in memory
}

// Gate sheds load by priority before memory or file descriptors run out.
type Gate struct {
	limits GateLimits
}

// NewGate makes a gate.
func NewGate(limits GateLimits) *Gate { return &Gate{limits: limits} }

// Enter lets a request in whose body is about so many bytes, or says after how
// long it is worth asking again. leave is called once, when it has ended.
func (g *Gate) Enter(now time.Time, p Priority, bytes int64) (leave func(), retryAfter time.Duration, ok bool) {
	return func() {}, 0, true
}

// Spare says whether there is room for work that is not a request of somebody's:
// hedges and probes.
func (g *Gate) Spare() bool { return true }

// Load gives the share of the gate that is taken, 0 to 1.
func (g *Gate) Load() float64 { return 0 }
