package record

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// ID identifies a request, and every other row of the record: 53 bits of
// microseconds since Epoch, then 10 bits for the number of the instance that
// made it. IDs of one instance rise strictly, so they sort by time.
type ID int64

// Epoch is the instant that IDs count from; 53 bits of microseconds reach to
// the year 2310.
var Epoch = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

const (
	instanceBits = 10
	// MaxInstance is the highest instance number that fits an ID.
	MaxInstance = 1<<instanceBits - 1

	idWidth  = 13 // 13 base-32 digits hold 65 bits
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// At gives the lowest ID of an instant: the boundary for a search by time.
func At(t time.Time) ID { return ID(t.Sub(Epoch).Microseconds() << instanceBits) }

// Time gives the instant at which the ID was made, in UTC.
func (id ID) Time() time.Time {
	return Epoch.Add(time.Duration(id>>instanceBits) * time.Microsecond)
}

// String gives the public form: 13 characters of Crockford's base 32, which
// sort as the numbers do.
func (id ID) String() string {
	var b [idWidth]byte
	for i := idWidth - 1; i >= 0; i-- {
		b[i] = alphabet[id&31]
		id >>= 5
	}
	return string(b[:])
}

// ParseID reads the public form.
func ParseID(s string) (ID, error) {
	if len(s) != idWidth {
		return 0, fmt.Errorf("a request id has %d characters, not %d", idWidth, len(s))
	}
	var id uint64
	for i := range len(s) {
		digit := -1
		for d := range len(alphabet) {
			if alphabet[d] == s[i] {
				digit = d
				break
			}
		}
		if digit < 0 || i == 0 && digit > 7 {
			return 0, fmt.Errorf("%q is not a request id", s)
		}
		id = id<<5 | uint64(digit)
	}
	return ID(id), nil
}

// Prefixed gives the lowest and the highest ID whose public form begins so.
func Prefixed(start string) (low, high ID, err error) {
	if len(start) > idWidth {
		return 0, 0, fmt.Errorf("a request id has %d characters, not %d", idWidth, len(start))
	}
	rest := idWidth - len(start)
	if low, err = ParseID(start + strings.Repeat("0", rest)); err != nil {
		return 0, 0, fmt.Errorf("%q is not the beginning of a request id", start)
	}
	if start == "" {
		return 0, math.MaxInt64, nil
	}
	return low, low | (1<<(5*rest) - 1), nil
}

// IDs makes the IDs of one instance.
type IDs struct {
	mu       sync.Mutex
	last     int64 // microseconds
	instance int64
}

// NewIDs makes a source of IDs for an instance number of 0 to MaxInstance.
// Every ID is higher than after, the highest that the store already holds, even where the
// clock was set back since.
func NewIDs(instance int, after ID) *IDs {
	return &IDs{instance: int64(instance) & MaxInstance, last: int64(after >> instanceBits)}
}

// Next gives the ID of something that happens now. Where the clock stands
// still or goes back, it goes on from the last ID.
func (s *IDs) Next(now time.Time) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last+1, now.Sub(Epoch).Microseconds())
	return ID(s.last<<instanceBits | s.instance)
}
