package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// What an entry of the journal is, its first byte.
const (
	packedTrace = 1 + iota
	packedTransition
	packedHold
	packedKey
)

// entryRoom is the room that an entry is begun with: few need more.
const entryRoom = 1 << 10

// errPacked says that bytes are not an entry, though their checksum is right.
var errPacked = errors.New("not an entry of the journal")

// packer writes values to bytes or reads them back. Each kind of entry says its
// fields once, for both ways, so that they cannot differ. Whoever changes what
// is packed changes segmentMagic, unless it is one more of the bools.
//
// A request waits while its trace is packed, so values of one type that follow
// each other are packed by one call, and the short ones, as nearly all are,
// without another. Reading and what is rare are apart: after the system call of
// the request before, code comes back to the processor line by line, so that
// little of it is worth more than calls saved.
type packer struct {
	b       []byte // what is left to read; or what is written, and room for more
	n       int    // how much of it is written
	reading bool
	bad     bool // the bytes ended early, or say what cannot be
}

// texts packs strings of any type.
func (p *packer) texts(all ...*string) {
	if p.reading {
		p.readTexts(all)
		return
	}
	b, at := p.b, p.n
	for _, s := range all {
		n := len(*s)
		if n >= 0x80 || n >= len(b)-at {
			p.n = at
			p.long(*s)
			b, at = p.b, p.n
			continue
		}
		b[at] = byte(n)
		at++
		if n > 0 {
			at += copy(b[at:], *s)
		}
	}
	p.n = at
}

// long packs a string whose length takes more than a byte, or that there is no
// room for yet.
func (p *packer) long(s string) {
	p.grow(binary.MaxVarintLen64 + len(s))
	p.n += binary.PutUvarint(p.b[p.n:], uint64(len(s)))
	p.n += copy(p.b[p.n:], s)
}

func (p *packer) readTexts(all []*string) {
	for _, s := range all {
		n := p.length()
		*s = string(p.b[:n])
		p.b = p.b[n:]
	}
}

// ints packs integers.
func (p *packer) ints(all ...*int64) {
	if p.reading {
		p.readInts(all)
		return
	}
	if len(p.b)-p.n < len(all)*binary.MaxVarintLen64 {
		p.grow(len(all) * binary.MaxVarintLen64)
	}
	b, at := p.b, p.n
	for _, i := range all {
		v := uint64(*i<<1) ^ uint64(*i>>63) // as binary.PutVarint does
		for v >= 0x80 {
			b[at] = byte(v) | 0x80
			at++
			v >>= 7
		}
		b[at] = byte(v)
		at++
	}
	p.n = at
}

func (p *packer) readInts(all []*int64) {
	for _, i := range all {
		v, n := binary.Varint(p.b)
		if n <= 0 {
			p.fail()
			return
		}
		*i, p.b = v, p.b[n:]
	}
}

// grow makes room for more bytes behind what is written.
func (p *packer) grow(more int) {
	p.b = slices.Grow(p.b[:p.n], more)
	p.b = p.b[:cap(p.b)]
}

// small packs an int.
func (p *packer) small(i *int) {
	v := int64(*i)
	p.ints(&v)
	if p.reading { // what is written may be read elsewhere at the same time
		*i = int(v)
	}
}

// size packs how many items of a list there are; there is none that takes no
// byte.
func (p *packer) size(n int) int {
	if p.reading {
		return p.length()
	}
	p.grow(binary.MaxVarintLen64)
	p.n += binary.PutUvarint(p.b[p.n:], uint64(n))
	return n
}

// length reads a length that the rest has room for.
func (p *packer) length() int {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > uint64(len(p.b)-n) {
		p.fail()
		return 0
	}
	p.b = p.b[n:]
	return int(v)
}

func (p *packer) fail() { p.bad, p.b = true, nil }

// time packs an instant, cut to the microsecond as all of the record is.
func (p *packer) time(t *time.Time) {
	us := t.UnixMicro()
	p.ints(&us)
	if p.reading {
		*t = time.UnixMicro(us).UTC()
	}
}

// bools packs up to eight.
func (p *packer) bools(all ...*bool) {
	var bits int
	for i, b := range all {
		bits |= flagIf(1<<i, *b)
	}
	p.small(&bits)
	if p.reading {
		for i, b := range all {
			*b = bits&(1<<i) != 0
		}
	}
}

// spent packs what a request or an attempt used and what it cost.
func (p *packer) spent(u *llm.Usage, cost *record.NanoUSD) {
	p.ints(&u.Input, &u.CacheRead, &u.CacheWrite, &u.CacheWrite1h, &u.Output, &u.Reasoning, &u.AudioIn, &u.AudioOut, (*int64)(cost))
}

func (p *packer) trace(t *record.Trace) {
	p.ints((*int64)(&t.ID))
	p.time(&t.Accepted)
	p.ints((*int64)(&t.TTFT), (*int64)(&t.Took))
	p.texts((*string)(&t.Door), &t.Asked, (*string)(&t.Preferred), &t.Caller, (*string)(&t.Outcome))
	p.small(&t.Status)
	p.texts((*string)(&t.Served.Provider), &t.Served.Endpoint, &t.Served.Model, &t.Reason)
	if n := p.size(len(t.Attempts)); p.reading && n > 0 {
		t.Attempts = make([]record.Attempt, n)
	}
	for i := range t.Attempts {
		p.attempt(&t.Attempts[i])
	}
	if n := p.size(len(t.Plan)); p.reading && n > 0 {
		t.Plan = make([]record.Candidate, n)
	}
	for i := range t.Plan {
		c := &t.Plan[i]
		p.texts((*string)(&c.Target.Provider), &c.Target.Endpoint, &c.Target.Model, (*string)(&c.Verdict), &c.Detail)
	}
	p.spent(&t.Usage, &t.Cost)
	p.texts(&t.Strategy)
	p.ints((*int64)(&t.Queued))
	p.bools(&t.Stream, &t.Simulated)
}

func (p *packer) attempt(a *record.Attempt) {
	p.texts((*string)(&a.Target.Provider), &a.Target.Endpoint, &a.Target.Model)
	p.ints((*int64)(&a.Start), (*int64)(&a.TTFT), (*int64)(&a.Took))
	p.texts((*string)(&a.Class))
	p.small(&a.Status)
	p.texts(&a.Code, &a.Message, &a.UpstreamID)
	p.spent(&a.Usage, &a.Cost)
	p.texts(&a.Key)
	p.bools(&a.Probe, &a.Canary, &a.Hedge, &a.LastResort, &a.Looping) // those that an older version did not know are false
}

func (p *packer) transition(t *record.Transition) {
	p.ints((*int64)(&t.ID))
	p.time(&t.At)
	p.texts((*string)(&t.Target.Provider), &t.Target.Endpoint, &t.Target.Model, (*string)(&t.From), (*string)(&t.To), &t.Reason)
	p.ints((*int64)(&t.Request))
}

func (p *packer) hold(h *record.Hold) {
	p.ints((*int64)(&h.ID))
	p.texts((*string)(&h.Target.Provider), &h.Target.Endpoint, &h.Target.Model, (*string)(&h.Source), &h.Reason)
	p.time(&h.Placed)
	p.time(&h.Expires)
	p.time(&h.Ended)
	p.texts(&h.Ending)
}

func (p *packer) key(k *record.KeyChange) {
	p.ints((*int64)(&k.ID))
	p.time(&k.At)
	p.texts((*string)(&k.Provider), &k.Endpoint, &k.Key, &k.Last4, (*string)(&k.From), (*string)(&k.To), &k.Model)
	p.time(&k.Until)
	p.texts(&k.Reason)
	p.ints((*int64)(&k.Request))
}

// appendEntry appends an entry's packed form.
func appendEntry(dst []byte, e *entry) []byte {
	p := packer{b: dst, n: len(dst)}
	p.grow(entryRoom)
	switch {
	case e.trace != nil:
		p.kind(packedTrace)
		p.trace(e.trace)
	case e.transition != nil:
		p.kind(packedTransition)
		p.transition(e.transition)
	case e.hold != nil:
		p.kind(packedHold)
		p.hold(e.hold)
	case e.key != nil:
		p.kind(packedKey)
		p.key(e.key)
	}
	return p.b[:p.n]
}

// kind writes what an entry is.
func (p *packer) kind(k byte) {
	p.b[p.n] = k
	p.n++
}

// unpackEntry reads what appendEntry wrote, all of it.
func unpackEntry(b []byte) (entry, error) {
	if len(b) == 0 {
		return entry{}, errPacked
	}
	p := packer{b: b[1:], reading: true}
	var e entry
	switch b[0] {
	case packedTrace:
		e.trace = &record.Trace{}
		p.trace(e.trace)
	case packedTransition:
		e.transition = &record.Transition{}
		p.transition(e.transition)
	case packedHold:
		e.hold = &record.Hold{}
		p.hold(e.hold)
	case packedKey:
		e.key = &record.KeyChange{}
		p.key(e.key)
	default:
		return entry{}, errPacked
	}
	if p.bad || len(p.b) > 0 {
		return entry{}, errPacked
	}
	return e, nil
}
