package anomaly

import "time"

const (
	// orderKept is how long after a bad one its neighbours may end: later it is the
	// neighbour of none that ends now.
	orderKept = 30 * time.Minute
	// orderBack is how far before the beginning of a bad one others may end that are
	// told of after it; when they end earlier, the clock was set back.
	orderBack = time.Minute
)

// order knows what went before a request by when the two began. They end in
// another order: what fails does so at once and an answer takes seconds, so that
// by their ends a burst of failures would be many single ones.
type order struct {
	bad   [14]moment // when the last bad ones began, the latest first; 0 for none
	close uint16     // a bit for each that followed the one before as far as is known
	good  moment     // when the first good one after the latest began; 0 for none yet
}

// moment is milliseconds, which repeat after seven weeks: it tells what came
// first of things that are at most half as far apart.
type moment uint32

func momentOf(at instant) moment { return moment(at/1e6) | 1 }

func (m moment) before(other moment) bool { return int32(m-other) < 0 }

// since is how much later it is than another moment.
func (m moment) since(other moment) time.Duration {
	return time.Duration(int32(m-other)) * time.Millisecond
}

// note takes a request and says whether the one before it was bad. A bad one
// follows a bad one as far as is known: a good one that began between the two and
// ends later parts them.
func (o *order) note(began, ended instant, bad bool) (before int, parted bool) {
	if o.bad[0] != 0 {
		if later := momentOf(ended).since(o.bad[0]); later > orderKept || later < -orderBack {
			*o = order{} // before moments repeat
		}
	}
	at := momentOf(began)
	if o.bad[0] != 0 && at.before(o.bad[0]) {
		if bad { // those that began later are its neighbours
			return 1, false
		}
		parted = o.part(at)
		return index(parted), parted
	}
	first := o.bad[0] != 0 && o.good == 0
	if !bad {
		if first || at.before(o.good) {
			o.good = at
		}
		return index(first), false
	}
	after := o.bad[0] != 0 && (first || at.before(o.good))
	copy(o.bad[1:], o.bad[:])
	o.bad[0], o.close = at, o.close<<1|uint16(index(after))
	if o.good.before(at) {
		o.good = 0
	}
	return index(after), false
}

// part takes a good one that began before the latest bad one, and says whether it
// is the first that is known to part two of them.
func (o *order) part(at moment) bool {
	i := 1
	for i < len(o.bad) && o.bad[i] != 0 && at.before(o.bad[i]) {
		i++
	}
	if i == len(o.bad) || o.bad[i] == 0 {
		return false
	}
	bit := uint16(1) << (i - 1)
	parted := o.close&bit != 0
	o.close &^= bit
	return parted
}
