package record

import (
	"strings"

	"breakwater/internal/llm"
)

// Rerouted says whether the request took another way than the first one:
// because more than one attempt was made, or because a candidate that stood
// before the one that served was passed over.
func (t *Trace) Rerouted() bool {
	return len(t.Attempts) > 1 || t.Served != (llm.Target{}) && PassedOver(t.Plan)
}

// PassedOver says of a served request's plan whether the first candidate that
// was set up and could carry the request is not the one that served.
func PassedOver(plan []Candidate) bool {
	for _, c := range plan {
		if !c.never() {
			return c.Verdict != VerdictServed
		}
	}
	return false
}

// never says whether the candidate could not have served this request whatever
// its health: such a one changes nothing for the caller.
func (c Candidate) never() bool {
	switch c.Verdict {
	case VerdictProviderDisabled, VerdictCapabilityMissing, VerdictContextTooLong, VerdictNoSuchModel:
		return true
	case VerdictNoUsableKey:
		return strings.HasPrefix(c.Detail, "set ") // the setting that is missing; keys that are lost are told otherwise
	}
	return false
}
