package anomaly

import "time"

const (
	// orderKept is how many of a target's attempts are remembered: at 600 a minute,
	// those of the last 13 seconds.
	orderKept = 128
	// orderAnew is how much later than the last of its numbers an attempt of a lower
	// one must have begun for the counting to have begun anew.
	orderAnew = time.Second
)

// order knows how a target's attempts went, by their numbers. They end in another
// order than they begin: what fails does so at once and an answer takes seconds,
// so that by their ends a burst of failures would be many single ones, and a few
// failures all that there is.
type order struct {
	last  uint32 // the highest number that is known; 0 for none
	well  uint32 // the highest of those that went well
	began moment // when the last one did
	owed  int32  // attempts that are taken as good, and were not told of yet; below 0, too many were
	bad   [orderKept / 64]uint64
}

// place is where an attempt stands among the others, as far as is known.
type place struct {
	before  int  // whether the one before it went badly
	late    bool // one of a higher number is known already
	skipped int  // attempts before it that are under way, and are not yet taken as good
	parted  int  // bad ones that turn out not to have followed a bad one
	joined  int  // bad ones that turn out to have followed one
}

// moment is milliseconds, which repeat after seven weeks: it tells what came
// first of things that are at most half as far apart.
type moment uint32

func momentOf(at instant) moment { return moment(at / 1e6) }

// since is how much later it is than another moment.
func (m moment) since(other moment) time.Duration {
	return time.Duration(int32(m-other)) * time.Millisecond
}

// note takes an attempt and says where it stands. Without a number, 0, it comes
// after all that are known.
func (o *order) note(nth uint32, began instant, bad bool) place {
	at := momentOf(began)
	switch {
	case nth == 0:
		nth = o.last + 1
	case o.last == 0 || nth < o.last && at.since(o.began) > orderAnew:
		*o = order{last: nth - 1}
	}
	p := place{late: nth <= o.last}
	switch {
	case !p.late:
		o.advance(nth, at)
		p.skipped, o.owed = int(o.owed), 0
	case o.last-nth >= orderKept-1: // its neighbours are forgotten: failures that are so late come together
		return place{before: index(bad), late: true}
	}
	if bad {
		o.fail(nth, &p)
	} else {
		o.serve(nth, &p)
	}
	return p
}

// pass takes an attempt that tells nothing.
func (o *order) pass(nth uint32, began instant) {
	switch {
	case nth == 0 || o.last == 0:
	case nth > o.last:
		o.advance(nth, momentOf(began))
	default:
		o.owed--
	}
}

// fail takes one that went badly.
func (o *order) fail(nth uint32, p *place) {
	next, known := o.badAfter(nth)
	followed := known && o.followed(next)
	o.bad[nth%orderKept/64] |= 1 << (nth % 64)
	p.before = index(o.followed(nth))
	p.joined = index(known && !followed && o.followed(next))
}

// serve takes one that went well.
func (o *order) serve(nth uint32, p *place) {
	p.before = index(o.failed(nth - 1))
	if nth < o.well {
		return
	}
	for m, known := o.badAfter(max(o.well, o.oldest())); known && m < nth; {
		var next uint32
		if next, known = o.badAfter(m); known {
			p.parted += index(next != m+1)
		}
		m = next
	}
	o.well = nth
}

// takeBack forgets that an attempt went badly, and says where it stood; false where
// that is not known any more.
func (o *order) takeBack(nth uint32) (place, bool) {
	if nth == 0 || nth > o.last || nth <= o.oldest() || !o.failed(nth) {
		return place{}, false
	}
	next, known := o.badAfter(nth)
	known = known && o.followed(next)
	p := place{before: index(o.followed(nth))}
	o.bad[nth%orderKept/64] &^= 1 << (nth % 64)
	p.parted = index(known && !o.followed(next))
	return p, true
}

// followed says whether a bad one came after a bad one, as far as is known: what
// is under way between the two may yet fail as they did, until one that began
// later than the first of them has gone well.
func (o *order) followed(nth uint32) bool {
	for n := nth - 1; n > o.oldest(); n-- {
		if o.failed(n) {
			return n == nth-1 || o.well < n
		}
	}
	return false
}

// badAfter gives the next one that went badly after another.
func (o *order) badAfter(nth uint32) (next uint32, known bool) {
	for n := nth + 1; n <= o.last; n++ {
		if o.failed(n) {
			return n, true
		}
	}
	return 0, false
}

// oldest is the number before the first that is remembered.
func (o *order) oldest() uint32 { return o.last - min(o.last, orderKept) }

func (o *order) failed(nth uint32) bool { return o.bad[nth%orderKept/64]>>(nth%64)&1 == 1 }

// advance makes a number the highest one, with nothing known of those between.
func (o *order) advance(to uint32, began moment) {
	o.owed += int32(to - o.last - 1)
	for n := max(o.last, to-min(to, orderKept)) + 1; n <= to; n++ {
		o.bad[n%orderKept/64] &^= 1 << (n % 64)
	}
	o.last, o.began = to, began
}
