package app

import (
	"fmt"
	"time"

	"breakwater/internal/llm"
)

// usualWeight is the part of a new answer in what is usual of a target: about
// the last hundred.
const usualWeight = 0.02

// moved is what keeping attempts away from a target would have come to.
type moved struct {
	kept    int           // attempts that would have gone elsewhere
	failed  int           // of them, as it was; answers that go in circles, too
	rescued int           // of these, attempts of requests that failed for their callers
	waited  time.Duration // for those that failed
	saved   float64       // dollars that those that failed cost
	slower  time.Duration // that those which went well would have taken longer elsewhere; less than 0 where it is faster
	dearer  float64       // dollars that they would have cost more there; less than 0 where it is cheaper
}

// keep counts an attempt that would have gone elsewhere.
func (e *moved) keep(m moment, usual elsewhere) {
	e.kept++
	if m.Looping || m.Class.CountsAgainstTarget() {
		e.failed++
		e.waited += m.Took
		e.saved += m.Cost.Dollars()
		if m.lost {
			e.rescued++
		}
		return
	}
	if m.Class != "" {
		return
	}
	if other, ok := usual.than(m.Target, m.At, func(llm.Target) bool { return false }); ok {
		e.slower += time.Duration(other.took*float64(time.Second)) - m.Took
		e.dearer += other.price*float64(m.Tokens) - m.Cost.Dollars()
	}
}

func (e *moved) add(o moved) {
	e.kept, e.failed, e.rescued = e.kept+o.kept, e.failed+o.failed, e.rescued+o.rescued
	e.waited, e.saved, e.slower, e.dearer = e.waited+o.waited, e.saved+o.saved, e.slower+o.slower, e.dearer+o.dearer
}

// elsewhere is what each target's answers usually take and cost.
type elsewhere map[llm.Target]*answers

type answers struct {
	last  time.Time
	n     int
	took  float64 // seconds, a mean
	price float64 // dollars a token, a mean
}

// learn takes an answer.
func (e elsewhere) learn(m moment) {
	if m.Looping || m.Class != "" {
		return
	}
	a := e[m.Target]
	if a == nil {
		a = &answers{}
		e[m.Target] = a
	}
	a.n++
	a.last = m.At
	g := max(usualWeight, 1/float64(a.n))
	a.took += g * (m.Took.Seconds() - a.took)
	if m.Tokens > 0 {
		a.price += g * (m.Cost.Dollars()/float64(m.Tokens) - a.price)
	}
}

// than gives the busiest other target that answered lately; false where none did.
func (e elsewhere) than(target llm.Target, now time.Time, not func(llm.Target) bool) (answers, bool) {
	var best answers
	var name string
	for t, a := range e {
		if t == target || not(t) || now.Sub(a.last) > knownToWork {
			continue
		}
		if a.n > best.n || a.n == best.n && t.String() < name {
			best, name = *a, t.String()
		}
	}
	return best, best.n > 0
}

// breakerSignal is what is said to have found what a breaker finds.
const breakerSignal = "breaker"

// circuits are breakers over recorded attempts. They stand in for the router's,
// which know no clock but the present: so many failed requests in a row open one,
// and after its time the next attempt is its probe.
type circuits struct {
	threshold int
	recovery  time.Duration
	all       map[llm.Target]*circuit
}

type circuit struct {
	failures int
	request  int64 // that failed last: its retries are no further failures
	open     *found
	until    time.Time
}

// see takes one attempt, and gives what is found when a breaker opens by it.
func (c *circuits) see(m moment, usual elsewhere) *found {
	b := c.all[m.Target]
	if b == nil {
		b = &circuit{}
		c.all[m.Target] = b
	}
	failed := m.Class.CountsAgainstTarget()
	switch {
	case b.open != nil && m.At.Before(b.until):
		b.open.effect.keep(m, usual)
	case m.Class != "" && !failed:
	case b.open != nil && failed:
		b.until = m.At.Add(c.recovery)
	case b.open != nil:
		b.open.ended = m.At
		*b = circuit{}
	case !failed:
		b.failures = 0
	case b.failures == 0 || b.request != int64(m.request):
		b.failures++
		b.request = int64(m.request)
		if b.failures >= c.threshold {
			b.open = &found{at: m.At, target: m.Target, held: true, signal: breakerSignal, text: fmt.Sprintf("%d failures in a row, last: %s", b.failures, m.Class.Words())}
			b.until = m.At.Add(c.recovery)
			return b.open
		}
	}
	return nil
}
