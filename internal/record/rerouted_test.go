package record_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestACandidateThatCouldNeverServeIsNotPassedOver(t *testing.T) {
	for _, test := range []struct {
		first  record.Verdict
		detail string
		want   bool
	}{
		{record.VerdictServed, "", false}, {record.VerdictBreakerOpen, "", true}, {record.VerdictHeldByAnomaly, "", true},
		{record.VerdictRateLimited, "", true}, {record.VerdictTriedFailed, "server", true}, {record.VerdictProviderDisabled, "", false},
		{record.VerdictCapabilityMissing, "cannot carry tools", false}, {record.VerdictContextTooLong, "", false},
		{record.VerdictNoUsableKey, "set GEMINI_API_KEY", false}, {record.VerdictNoUsableKey, "every key is out of quota", true},
	} {
		trace := record.Trace{
			Served: llm.Target{Provider: llm.Claude}, Attempts: []record.Attempt{{}},
			Plan: []record.Candidate{{Verdict: test.first, Detail: test.detail}, {Verdict: record.VerdictServed}},
		}
		if got := trace.Rerouted(); got != test.want {
			t.Errorf("%s, %q: %v", test.first, test.detail, got)
		}
		trace.Attempts = append(trace.Attempts, record.Attempt{})
		if !trace.Rerouted() {
			t.Errorf("%s: two attempts are no other way", test.first)
		}
	}
}

func TestIDsOfABeginningLieBetweenItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := record.ID(rapid.Int64Min(0).Draw(t, "id"))
		other := record.ID(rapid.Int64Min(0).Draw(t, "other"))
		start := id.String()[:rapid.IntRange(0, 13).Draw(t, "length")]
		low, high, err := record.Prefixed(start)
		if err != nil || id < low || id > high {
			t.Errorf("%q: %v to %v, %v", start, low, high, err)
		}
		if inside := other >= low && other <= high; inside != strings.HasPrefix(other.String(), start) {
			t.Errorf("%v is inside %q: %v", other, start, inside)
		}
	})
	for _, wrong := range []string{"u", "8", "0123456789abcd", "A"} {
		if _, _, err := record.Prefixed(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
