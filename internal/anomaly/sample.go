package anomaly

import (
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// SampleOf gives attempt i of a request as the detector sees it.
func SampleOf(t *record.Trace, i int) Sample {
	attempt := t.Attempts[i]
	again := slices.ContainsFunc(t.Attempts[:i], func(before record.Attempt) bool {
		return before.Target == attempt.Target && before.Class.CountsAgainstTarget()
	})
	// All of an embedding comes at once, and what it takes depends on its input
	// alone, as a first token does.
	firstTells := t.Stream || t.Door.Embeds()
	u := attempt.Usage
	return Sample{
		Target: attempt.Target, At: t.AttemptEnded(i), Class: attempt.Class,
		TTFT: attempt.TTFT, Took: attempt.Took,
		InputTokens: u.Input - u.CacheRead, OutputTokens: u.Output, Tokens: u.Input + u.Output, Cost: attempt.Cost,
		Stream: firstTells || attempt.Target.Provider == llm.Local, Caller: t.Caller, Asked: t.Asked, Prompt: t.Prompt,
		Canary: attempt.Canary, Retry: again, Everywhere: failsEverywhere(t, i), Looping: attempt.Looping,
		Nth: attempt.Nth,
	}
}

// began is when an attempt did.
func (s Sample) began() time.Time { return s.At.Add(-s.Took) }

// failsEverywhere says that attempt i failed as one of another provider did, and that
// nobody served the request. It may be to blame, and such requests come to a target
// that is not asked first as nearly all that it gets, however well it is.
func failsEverywhere(t *record.Trace, i int) bool {
	return failsElsewhere(t, i) && !slices.ContainsFunc(t.Attempts, func(a record.Attempt) bool { return a.Class == "" })
}

// failsElsewhere says that attempt i failed as one of another provider did.
func failsElsewhere(t *record.Trace, i int) bool {
	return t.Attempts[i].Class.MayBeOfRequest() && t.FailedElsewhere(t.Attempts[i].Target.Provider)
}
