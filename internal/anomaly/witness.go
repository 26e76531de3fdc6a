package anomaly

// witness remembers from whom the evidence of one excursion comes, and whether
// it is all about one prompt. Callers and prompts are known by hashes.
type witness struct {
	caller, prompt uint32 // of the request that went badly first
	bad            bool   // one went badly
	severalBad     bool   // another caller's did too
	othersWell     bool   // another caller's went well
	severalPrompts bool   // what went badly has several prompts, or unknown ones
	otherPrompts   bool   // another prompt went well
}

func (w *witness) note(from origin, bad bool) {
	switch {
	case bad && !w.bad:
		*w = witness{caller: from.caller, prompt: from.prompt, bad: true, severalPrompts: from.prompt == 0}
		return
	case !w.bad:
		return
	}
	if from.caller != w.caller {
		w.severalBad, w.othersWell = w.severalBad || bad, w.othersWell || !bad
	}
	switch {
	case from.prompt == 0:
		w.severalPrompts = w.severalPrompts || bad
	case from.prompt != w.prompt:
		w.severalPrompts, w.otherPrompts = w.severalPrompts || bad, w.otherPrompts || !bad
	}
}

// single says that the trouble is not the target's: all that went badly is one
// caller's or one prompt's, and others are served well.
func (w *witness) single() bool { return w.ofCaller() || w.ofPrompt() }

func (w *witness) ofCaller() bool { return w.bad && !w.severalBad && w.othersWell }
func (w *witness) ofPrompt() bool { return w.bad && !w.severalPrompts && w.otherPrompts }

// tells says so in words; "" where it is not so.
func (w *witness) tells(what string) string {
	switch {
	case w.ofCaller():
		return ", all " + what + " are one caller's"
	case w.ofPrompt():
		return ", all " + what + " are of one prompt"
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
