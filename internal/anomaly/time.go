package anomaly

import (
	"math"
	"time"
)

// instant is nanoseconds since 1970, a third of a time.Time; 0 is never.
type instant int64

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return 0
	}
	return instant(t.UnixNano())
}

// since is how much later it is than another instant.
func (i instant) since(other instant) time.Duration {
	if other == 0 {
		return math.MaxInt64
	}
	return time.Duration(i - other)
}
