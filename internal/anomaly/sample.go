package anomaly

import (
	"slices"

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
		Target: attempt.Target, At: t.Accepted.Add(attempt.Start + attempt.Took), Class: attempt.Class,
		TTFT: attempt.TTFT, Took: attempt.Took,
		InputTokens: u.Input - u.CacheRead, OutputTokens: u.Output, Tokens: u.Input + u.Output, Cost: attempt.Cost,
		Stream: firstTells || attempt.Target.Provider == llm.Local, Caller: t.Caller, Asked: t.Asked, Prompt: t.Prompt,
		Canary: attempt.Canary, Retry: again, Looping: attempt.Looping, Nth: attempt.Nth,
	}
}
