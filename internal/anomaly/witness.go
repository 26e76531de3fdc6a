package anomaly

import (
	"math"
	"time"
)

// othersWell is the evidence, a logarithm of odds, from which the others count
// as served well though some of theirs went badly: more than four to one.
const othersWell = -1.5

// oneFails is how many failures of others are everyday life while one caller's or
// one prompt's are looked at.
const oneFails = 1

// servedLately is for how long an answer to another caller says that a target serves
// others: the breaker's rule has the same.
const servedLately = time.Minute

// served are the two callers that a target answered last, so that one of them is
// another than whose requests fail.
type served [2]answered

type answered struct {
	caller uint32
	at     moment
}

// note takes an answer.
func (s *served) note(caller uint32, at instant) {
	if s[0].caller != caller {
		s[1] = s[0]
	}
	s[0] = answered{caller, momentOf(at)}
}

// others says that another than a caller was answered lately.
func (s *served) others(than uint32, now instant) bool {
	if s == nil {
		return false
	}
	for _, a := range s {
		if a != (answered{}) && a.caller != than && momentOf(now).since(a.at).Abs() <= servedLately {
			return true
		}
	}
	return false
}

// witness remembers from whom the evidence of one excursion comes, and whether
// it is about one prompt. Callers and prompts are known by hashes. There is none
// before the first bad request, so that a healthy target takes little memory.
type witness struct {
	run, bad int32 // requests and bad ones, from the first bad one on
	callers  ledger
	prompts  ledger
}

// ledger holds the two that are likeliest to blame: what goes badly by nobody's
// fault may come first or between, and must not hide who is.
type ledger struct {
	accused [2]accused
	all     float32 // evidence of a trouble in everybody's requests
}

// accused is a caller or a prompt of which a request went badly.
type accused struct {
	who    uint32  // 0 for none
	others float32 // evidence of a trouble in the requests of all others
	bad    uint8   // requests of the others that went badly
	spares bool    // one of the others' went well
}

// shares are the parts of bad requests, as usual and in a trouble.
type shares struct{ usual, trouble float64 }

// note takes a request and gives the witness that saw it.
func (w *witness) note(from origin, bad bool, s shares, threshold float64) *witness {
	switch {
	case w == nil && !bad:
		return nil
	case w == nil:
		w = &witness{}
	}
	w.run++
	w.bad += int32(index(bad))
	said := s.says(bad, float64(w.bad)/float64(w.run))
	before, bound := uint8(min(w.bad-int32(index(bad)), math.MaxUint8)), float32(threshold)
	w.callers.note(from.caller, bad, before, said, bound)
	if bad || from.prompt != 0 {
		w.prompts.note(from.prompt, bad, before, said, bound)
	}
	return w
}

// says gives the logarithm of how much likelier an outcome is in a trouble like
// this excursion, of which a share went badly, than as usual.
func (s shares) says(bad bool, share float64) float32 {
	now := min(max(share, 2*s.usual), s.trouble)
	if bad {
		return float32(math.Log(now / s.usual))
	}
	return float32(math.Log((1 - now) / (1 - s.usual)))
}

// note counts a request for or against the others of each accused. Evidence is
// bounded by what a finding needs, so that a trouble of theirs that comes later
// is seen. Who is 0 is unknown, and never accused; before counts what went badly
// until then.
func (l *ledger) note(who uint32, bad bool, before uint8, said, bound float32) {
	known := who == 0
	for i := range l.accused {
		a := &l.accused[i]
		switch a.who {
		case 0:
		case who:
			known = true
		default:
			a.others = min(max(a.others+said, -bound), bound)
			a.bad, a.spares = max(a.bad, a.bad+uint8(index(bad))), a.spares || !bad
		}
	}
	if bad && !known {
		*l.least() = accused{who: who, others: l.all, bad: before}
	}
	l.all = min(max(l.all+said, -bound), bound)
}

// least gives the place of who is the least to blame: the others fare worst.
func (l *ledger) least() *accused {
	a, b := &l.accused[0], &l.accused[1]
	if a.who == 0 || b.who != 0 && a.others > b.others {
		return a
	}
	return b
}

// single says that one of them is to blame: all but so few of what went badly is
// its and others are served well, or the others' goes badly no more than usual. Before
// anything is known of the others since, it counts that they were served lately: what
// goes badly is known sooner than what goes well.
func (l *ledger) single(but uint8, lately *served, now instant) bool {
	for _, a := range l.accused {
		if a.who != 0 && (a.bad <= but && (a.spares || lately.others(a.who, now)) || a.others <= othersWell) {
			return true
		}
	}
	return false
}

// single says that the trouble is not the target's, but one caller's or one
// prompt's. Who was served lately need not be known.
func (w *witness) single(but uint8, lately *served, now instant) bool {
	return w != nil && (w.callers.single(but, lately, now) || w.prompts.single(but, nil, now))
}

// tells says so in words; "" where it is not so.
func (w *witness) tells(what string, but uint8, lately *served, now instant) string {
	switch {
	case w == nil:
	case w.callers.single(but, lately, now):
		return ", beyond the usual all " + what + " are one caller's"
	case w.prompts.single(but, nil, now):
		return ", beyond the usual all " + what + " are of one prompt"
	}
	return ""
}

// origin is where a request comes from.
type origin struct{ caller, prompt uint32 }

func originOf(s Sample) origin {
	return origin{caller: hash(s.Caller), prompt: uint32(s.Prompt) ^ uint32(s.Prompt>>32)}
}

// hash is FNV-1a, which is quick for a name and the same after a restart.
func hash(name string) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return h
}
