package anomaly

import "math"

// othersWell is the evidence, a logarithm of odds, from which the others count
// as served well though some of theirs went badly: more than four to one.
const othersWell = -1.5

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
	alone  bool    // none of the others' went badly
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
	first, bound := w.bad == 1, float32(threshold)
	w.callers.note(from.caller, bad, first, said, bound)
	if bad || from.prompt != 0 {
		w.prompts.note(from.prompt, bad, first, said, bound)
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
// is seen. Who is 0 is unknown, and never accused.
func (l *ledger) note(who uint32, bad, first bool, said, bound float32) {
	known := who == 0
	for i := range l.accused {
		a := &l.accused[i]
		switch a.who {
		case 0:
		case who:
			known = true
		default:
			a.others = min(max(a.others+said, -bound), bound)
			a.alone, a.spares = a.alone && !bad, a.spares || !bad
		}
	}
	if bad && !known {
		*l.least() = accused{who: who, others: l.all, alone: first}
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

// single says that one of them is to blame: all that went badly is its, and
// others are served well, or the others' goes badly no more than usual.
func (l *ledger) single() bool { return l.accused[0].blamed() || l.accused[1].blamed() }

func (a *accused) blamed() bool {
	return a.who != 0 && (a.alone && a.spares || a.others <= othersWell)
}

// single says that the trouble is not the target's, but one caller's or one
// prompt's.
func (w *witness) single() bool { return w != nil && (w.callers.single() || w.prompts.single()) }

// tells says so in words; "" where it is not so.
func (w *witness) tells(what string) string {
	switch {
	case w == nil:
	case w.callers.single():
		return ", beyond the usual all " + what + " are one caller's"
	case w.prompts.single():
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
