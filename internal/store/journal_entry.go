package store

import (
	"encoding/binary"
	"errors"
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

// errPacked says that bytes are not an entry, though their checksum is right.
var errPacked = errors.New("not an entry of the journal")

// packer writes values to bytes or reads them back. Each kind of entry says its
// fields once, for both ways, so that they cannot differ. Whoever changes what
// is packed changes segmentMagic, unless it is one more of the bools.
type packer struct {
	b       []byte
	reading bool
	bad     bool // the bytes ended early, or say what cannot be
}

// text packs a string of any type.
func (p *packer) text(s *string) {
	if !p.reading {
		if n := len(*s); n < 0x80 { // nearly always, and then it is this byte
			p.b = append(append(p.b, byte(n)), *s...)
		} else {
			p.b = append(binary.AppendUvarint(p.b, uint64(n)), *s...)
		}
		return
	}
	n := p.length()
	*s = string(p.b[:n])
	p.b = p.b[n:]
}

// int packs an integer of any type.
func (p *packer) int(i *int64) {
	if !p.reading {
		p.b = binary.AppendVarint(p.b, *i)
		return
	}
	v, n := binary.Varint(p.b)
	if n <= 0 {
		p.fail()
		return
	}
	*i, p.b = v, p.b[n:]
}

// small packs an int.
func (p *packer) small(i *int) {
	v := int64(*i)
	p.int(&v)
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
	p.b = binary.AppendUvarint(p.b, uint64(n))
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
	p.int(&us)
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

func (p *packer) target(t *llm.Target) {
	p.text((*string)(&t.Provider))
	p.text(&t.Endpoint)
	p.text(&t.Model)
}

func (p *packer) usage(u *llm.Usage) {
	p.int(&u.Input)
	p.int(&u.CacheRead)
	p.int(&u.CacheWrite)
	p.int(&u.CacheWrite1h)
	p.int(&u.Output)
	p.int(&u.Reasoning)
	p.int(&u.AudioIn)
	p.int(&u.AudioOut)
}

func (p *packer) trace(t *record.Trace) {
	p.int((*int64)(&t.ID))
	p.time(&t.Accepted)
	p.int((*int64)(&t.TTFT))
	p.int((*int64)(&t.Took))
	p.text((*string)(&t.Door))
	p.text(&t.Asked)
	p.text((*string)(&t.Preferred))
	p.text(&t.Caller)
	p.text((*string)(&t.Outcome))
	p.small(&t.Status)
	p.target(&t.Served)
	p.text(&t.Reason)
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
		p.candidate(&t.Plan[i])
	}
	p.usage(&t.Usage)
	p.int((*int64)(&t.Cost))
	p.text(&t.Strategy)
	p.int((*int64)(&t.Queued))
	p.bools(&t.Stream, &t.Simulated)
}

func (p *packer) attempt(a *record.Attempt) {
	p.target(&a.Target)
	p.int((*int64)(&a.Start))
	p.int((*int64)(&a.TTFT))
	p.int((*int64)(&a.Took))
	p.text((*string)(&a.Class))
	p.small(&a.Status)
	p.text(&a.Code)
	p.text(&a.Message)
	p.text(&a.UpstreamID)
	p.usage(&a.Usage)
	p.int((*int64)(&a.Cost))
	p.text(&a.Key)
	p.bools(&a.Probe, &a.Canary, &a.Hedge, &a.LastResort, &a.Looping) // those that an older version did not know are false
}

func (p *packer) candidate(c *record.Candidate) {
	p.target(&c.Target)
	p.text((*string)(&c.Verdict))
	p.text(&c.Detail)
}

func (p *packer) transition(t *record.Transition) {
	p.int((*int64)(&t.ID))
	p.time(&t.At)
	p.target(&t.Target)
	p.text((*string)(&t.From))
	p.text((*string)(&t.To))
	p.text(&t.Reason)
	p.int((*int64)(&t.Request))
}

func (p *packer) hold(h *record.Hold) {
	p.int((*int64)(&h.ID))
	p.target(&h.Target)
	p.text((*string)(&h.Source))
	p.text(&h.Reason)
	p.time(&h.Placed)
	p.time(&h.Expires)
	p.time(&h.Ended)
	p.text(&h.Ending)
}

func (p *packer) key(k *record.KeyChange) {
	p.int((*int64)(&k.ID))
	p.time(&k.At)
	p.text((*string)(&k.Provider))
	p.text(&k.Endpoint)
	p.text(&k.Key)
	p.text(&k.Last4)
	p.text((*string)(&k.From))
	p.text((*string)(&k.To))
	p.text(&k.Model)
	p.time(&k.Until)
	p.text(&k.Reason)
	p.int((*int64)(&k.Request))
}

// appendEntry appends an entry's packed form.
func appendEntry(dst []byte, e entry) []byte {
	p := packer{b: dst}
	switch {
	case e.trace != nil:
		p.b = append(p.b, packedTrace)
		p.trace(e.trace)
	case e.transition != nil:
		p.b = append(p.b, packedTransition)
		p.transition(e.transition)
	case e.hold != nil:
		p.b = append(p.b, packedHold)
		p.hold(e.hold)
	case e.key != nil:
		p.b = append(p.b, packedKey)
		p.key(e.key)
	}
	return p.b
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
