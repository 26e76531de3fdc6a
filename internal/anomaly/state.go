package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"breakwater/internal/llm"
)

// ErrState says that a saved state cannot be taken up; the Detector then knows
// nothing, as at a first start.
var ErrState = errors.New("the saved state of the detector cannot be read")

// stateVersion changes with what state.go walks through. A state of another
// version is not taken up: a detector learns what is usual within minutes, and
// what callers use within two days.
const stateVersion = 4

// stateLimit bounds what is read, far beyond what any Detector writes.
const stateLimit = 64 << 20

// Save gives all that the Detector knows, to be taken up by Load: about 800
// bytes a target, and 2 KB for each model that a caller uses.
func (d *Detector) Save() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &pen{buf: []byte{stateVersion}}
	n := len(d.series)
	w.count(&n)
	for t, sr := range d.series {
		w.target(&t)
		sr.walk(w)
	}
	d.usage.save(w)
	return sealed(w.buf)
}

// sealed adds the sum that tells damage.
func sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

// Load takes up what Save gave, in place of all that the Detector knows. What is
// damaged, or of another version, gives ErrState and changes nothing.
func (d *Detector) Load(state []byte) error {
	end := len(state) - 4
	switch {
	case end < 1 || len(state) > stateLimit:
		return fmt.Errorf("%w: %d bytes", ErrState, len(state))
	case state[0] != stateVersion:
		return fmt.Errorf("%w: it is of version %d, not %d", ErrState, state[0], stateVersion)
	case binary.LittleEndian.Uint32(state[end:]) != crc32.ChecksumIEEE(state[:end]):
		return fmt.Errorf("%w: it is damaged", ErrState)
	}
	r := &pen{buf: state[1:end], reads: true}
	fresh := NewDetector(d.cfg)
	n := 0
	for r.count(&n); n > 0 && !r.failed; n-- {
		var t llm.Target
		sr := &series{}
		r.target(&t)
		sr.walk(r)
		if len(fresh.series) < d.cfg.MaxSeries {
			fresh.series[t] = sr
		}
	}
	fresh.usage.load(r)
	if r.failed || len(r.buf) > 0 {
		return fmt.Errorf("%w: its parts do not fit together", ErrState)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.series, d.usage = fresh.series, fresh.usage
	return nil
}

// pen writes values one after another, or reads them in the same order, so that
// one walk through a value describes both.
type pen struct {
	buf    []byte
	reads  bool
	failed bool
}

// bits writes or reads a number of so many bytes.
func (p *pen) bits(v uint64, size int) uint64 {
	var b [8]byte
	if p.reads {
		if len(p.buf) < size {
			p.failed, p.buf = true, nil
			return 0
		}
		copy(b[:], p.buf[:size])
		p.buf = p.buf[size:]
		return binary.LittleEndian.Uint64(b[:])
	}
	binary.LittleEndian.PutUint64(b[:], v)
	p.buf = append(p.buf, b[:size]...)
	return v
}

func (p *pen) count(v *int) { *v = int(p.bits(uint64(*v), 4)) }

func (p *pen) floats(all ...*float64) {
	for _, v := range all {
		*v = math.Float64frombits(p.bits(math.Float64bits(*v), 8))
		p.failed = p.failed || math.IsNaN(*v) || math.IsInf(*v, 0)
	}
}

func (p *pen) singles(all ...*float32) {
	for _, v := range all {
		*v = math.Float32frombits(uint32(p.bits(uint64(math.Float32bits(*v)), 4)))
	}
}

func (p *pen) row(all []float32) {
	for i := range all {
		p.singles(&all[i])
	}
}

func (p *pen) ints(all ...*int32) {
	for _, v := range all {
		*v = int32(p.bits(uint64(uint32(*v)), 4))
	}
}

func (p *pen) instants(all ...*instant) {
	for _, v := range all {
		*v = instant(p.bits(uint64(*v), 8))
	}
}

func (p *pen) flags(all ...*bool) {
	for _, v := range all {
		*v = p.bits(uint64(index(*v)), 1) == 1
	}
}

func (p *pen) text(s *string) {
	n := len(*s)
	p.count(&n)
	switch {
	case !p.reads:
		p.buf = append(p.buf, *s...)
	case n > len(p.buf):
		p.failed, p.buf = true, nil
	default:
		*s = string(p.buf[:n])
		p.buf = p.buf[n:]
	}
}

func (p *pen) target(t *llm.Target) {
	name := string(t.Provider)
	p.text(&name)
	t.Provider = llm.Provider(name)
	p.text(&t.Endpoint)
	p.text(&t.Model)
}

func (sr *series) walk(p *pen) {
	p.instants(&sr.first, &sr.last)
	p.floats(&sr.arrived)
	for m := range sr.levels {
		sr.levels[m].walk(p)
	}
	sr.order.walk(p)
	for k, c := range []*chain{&sr.errors, &sr.slow, &sr.limited} {
		c.kind = kind(k)
		c.walk(p)
	}
}

func (o *order) walk(p *pen) {
	o.last, o.well = uint32(p.bits(uint64(o.last), 4)), uint32(p.bits(uint64(o.well), 4))
	o.began, o.owed = moment(p.bits(uint64(o.began), 4)), int32(p.bits(uint64(uint32(o.owed)), 4))
	for i := range o.bad {
		o.bad[i] = p.bits(o.bad[i], 8)
	}
}

func (l *level) walk(p *pen) {
	p.ints(&l.n, &l.run, &l.slowed.n)
	p.floats(&l.mean, &l.spread, &l.anchor, &l.size, &l.evidence, &l.excess)
	p.singles(&l.before.mean, &l.before.spread, &l.gap, &l.recent, &l.slowed.mean)
	p.instants(&l.last, &l.since)
	l.alarm.walk(p)
	l.witness = l.witness.walk(p)
}

func (c *chain) walk(p *pen) {
	p.singles(&c.learned.bad[0], &c.learned.bad[1], &c.learned.all[0], &c.learned.all[1], &c.evidence[partial], &c.evidence[hard])
	for i := range c.waiting {
		w := &c.waiting[i]
		for _, n := range []*uint32{&w.bad[0], &w.bad[1], &w.all[0], &w.all[1]} {
			*n = uint32(p.bits(uint64(*n), 4))
		}
	}
	p.instants(&c.turned, &c.since)
	p.flags(&c.failed)
	p.ints(&c.healthy, &c.run, &c.bad, &c.taught)
	p.singles(&c.recent, &c.excess)
	c.alarm.walk(p)
	c.witness = c.witness.walk(p)
	for h := range c.step {
		p.row(c.step[h][0][:])
		p.row(c.step[h][1][:])
	}
}

func (a *alarm) walk(p *pen) {
	p.flags(&a.found, &a.failover)
	p.instants(&a.since, &a.told)
}

// walk leaves prompts out: their hashes are one process's own. Whose was to
// blame before a restart is one of many after it.
func (w *witness) walk(p *pen) *witness {
	some := w != nil
	if p.flags(&some); !some {
		return nil
	}
	if p.reads {
		w = &witness{}
	}
	p.ints(&w.run, &w.bad)
	p.singles(&w.callers.all, &w.prompts.all)
	for i := range w.callers.accused {
		a := &w.callers.accused[i]
		a.who = uint32(p.bits(uint64(a.who), 4))
		p.singles(&a.others)
		a.bad = uint8(p.bits(uint64(a.bad), 1))
		p.flags(&a.spares)
	}
	return w
}

func (u *usage) save(p *pen) {
	p.instants(&u.ends, &u.seen)
	n := len(u.uses)
	p.count(&n)
	for key, one := range u.uses {
		key.walk(p)
		one.walk(p)
	}
	n = len(u.lengths)
	p.count(&n)
	for key, l := range u.lengths {
		p.text(&key.caller)
		p.target(&key.target)
		l.walk(p)
	}
}

func (u *usage) load(p *pen) {
	p.instants(&u.ends, &u.seen)
	n := 0
	for p.count(&n); n > 0 && !p.failed; n-- {
		var key useKey
		one := &use{}
		key.walk(p)
		one.walk(p)
		if len(u.uses) < DefaultMaxUses {
			u.uses[key] = one
		}
	}
	for p.count(&n); n > 0 && !p.failed; n-- {
		var key lengthKey
		l := &length{}
		p.text(&key.caller)
		p.target(&key.target)
		l.walk(p)
		if len(u.lengths) < DefaultMaxUses {
			u.lengths[key] = l
		}
	}
}

func (k *useKey) walk(p *pen) {
	p.text(&k.caller)
	p.text(&k.model)
}

func (u *use) walk(p *pen) {
	p.instants(&u.last)
	u.tokens.walk(p)
	u.cost.walk(p)
}

func (b *bins) walk(p *pen) {
	p.floats(&b.sum, &b.level, &b.base, &b.spread, &b.z, &b.now, &b.expected)
	p.ints(&b.spans, &b.quiet)
	b.flags = uint8(p.bits(uint64(b.flags), 1))
	p.row(b.waits[:])
	s := &b.season
	p.row(s.cells[:])
	p.ints(&s.hour, &s.n, &s.hours)
	p.floats(&s.sum, &s.products[0], &s.products[1], &s.products[2])
	p.row(b.tail.classes[:])
	p.floats(&b.tail.total)
}

func (l *length) walk(p *pen) {
	p.ints(&l.n, &l.run)
	p.instants(&l.first, &l.last, &l.since, &l.told)
	p.flags(&l.found)
	p.floats(&l.mean, &l.spread, &l.recent, &l.evidence, &l.excess)
}
