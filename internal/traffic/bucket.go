package traffic

import (
	"math"
	"math/bits"
	"time"
)

// bucket is a token bucket without a clock of its own. It is kept as the instant
// at which it will be full again, so that nothing has to be filled: time alone
// does. Instants are nanoseconds since any fixed one. All of it is whole numbers;
// what does not divide evenly is kept as a part, so that no rate drifts. The zero
// value bounds nothing.
type bucket struct {
	n, per int64 // n items fill in within per nanoseconds
	burst  int64 // items that it holds when it is full
	full   int64 // the instant when it is full
	part   int64 // n-ths of a nanosecond that it is full later than that
}

// longAgo is an instant before all others, and far enough from the smallest
// number to count back from.
const longAgo = math.MinInt64 / 2

// set changes the rate and the size. The instant when it is full stays; a new one
// has always been.
func (b *bucket) set(n int64, per time.Duration, burst int64) {
	if b.n == 0 {
		b.full = longAgo
	}
	if b.part > 0 {
		b.full, b.part = b.full+1, 0
	}
	b.n, b.per, b.burst = n, int64(per), burst
}

// wait gives the nanoseconds until there are need items, to the nanosecond. More
// than the bucket holds is there when the bucket is full, since it would never be
// otherwise.
func (b *bucket) wait(now, need int64) int64 {
	if b.n == 0 {
		return 0
	}
	ns, part := b.span(b.burst - min(need, b.burst))
	at := b.full - ns
	if b.part > part {
		at++
	}
	return max(at-now, 0)
}

// charge takes items out, more than there are if need be. A debt counts for no
// longer than MaxBlock.
func (b *bucket) charge(now, items int64) {
	if b.n == 0 {
		return
	}
	if b.full < now {
		b.full, b.part = now, 0
	}
	ns, part := b.span(items)
	b.full += ns
	if b.part += part; b.part >= b.n {
		b.full, b.part = b.full+1, b.part-b.n
	}
	b.bound(now)
}

// bound sees to it that there is an item within MaxBlock.
func (b *bucket) bound(now int64) {
	rest, _ := b.span(b.burst - 1)
	if most := now + rest + int64(MaxBlock); b.full > most {
		b.full, b.part = most, 0
	}
}

// refund puts items back.
func (b *bucket) refund(items int64) {
	if b.n == 0 {
		return
	}
	ns, part := b.span(items)
	b.full -= ns
	if b.part -= part; b.part < 0 {
		b.full, b.part = b.full-1, b.part+b.n
	}
}

// left gives how many items there are; below 0 is a debt.
func (b *bucket) left(now int64) float64 {
	return float64(b.burst) - float64(max(b.full-now, 0))*float64(b.n)/float64(b.per)
}

// span gives how long items take to fill in. What takes longer than a hundred
// days is cut off there: no rate is so low, and sums of a few stay far from the
// largest number.
func (b *bucket) span(items int64) (ns, part int64) {
	const most = uint64(100 * 24 * time.Hour)
	hi, lo := bits.Mul64(uint64(max(items, 0)), uint64(b.per))
	if hi >= uint64(b.n) {
		return int64(most), 0
	}
	quo, rem := bits.Div64(hi, lo, uint64(b.n))
	if quo >= most {
		return int64(most), 0
	}
	return int64(quo), int64(rem)
}
