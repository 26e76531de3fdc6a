// Package record says what happened, as values: the trace of every request,
// every transition of a breaker, every hold, incident and notice. It does no
// I/O; the store keeps these values and every page is a view of them.
package record

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
)

// NanoUSD is an amount of money in billionths of a US dollar.
type NanoUSD int64

// Dollars gives the amount in US dollars, for showing and for metrics only.
func (n NanoUSD) Dollars() float64 { return float64(n) / 1e9 }

// String gives the amount in US dollars as an exact decimal: "0.0025".
func (n NanoUSD) String() string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	s := fmt.Sprintf("%s%d.%09d", sign, n/1e9, n%1e9)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// Outcome says how a request ended for its caller.
type Outcome string

// The outcomes.
const (
	Served    Outcome = "served"    // the caller got a complete answer
	Failed    Outcome = "failed"    // no candidate could answer, or the answer was cut
	Refused   Outcome = "refused"   // the request itself was at fault: bad input, unknown model, a provider's 4xx, its caller's own limits
	Abandoned Outcome = "abandoned" // the caller went away first
)

// Outcomes lists all outcomes.
func Outcomes() []Outcome { return []Outcome{Served, Failed, Refused, Abandoned} }

// Verdict says what became of one candidate.
type Verdict string

// The verdicts.
const (
	VerdictServed            Verdict = "served"
	VerdictTriedFailed       Verdict = "tried_failed"
	VerdictNotNeeded         Verdict = "not_needed"
	VerdictBreakerOpen       Verdict = "breaker_open"
	VerdictBreakerProbing    Verdict = "breaker_probing"
	VerdictHeldByAnomaly     Verdict = "held_by_anomaly"
	VerdictHeldByOperator    Verdict = "held_by_operator"
	VerdictCapabilityMissing Verdict = "capability_missing"
	VerdictContextTooLong    Verdict = "context_too_long"
	VerdictNoSuchModel       Verdict = "no_such_model"
	VerdictNoUsableKey       Verdict = "no_usable_key"
	VerdictProviderDisabled  Verdict = "provider_disabled"
	VerdictRateLimited       Verdict = "rate_limited" // by a limit of ours, or a key that cools down
)

// Candidate is one target that a request might have gone to, and why it did
// or did not.
type Candidate struct {
	Target  llm.Target `json:"target"`
	Verdict Verdict    `json:"verdict"`
	// Detail is a short fixed phrase without figures or times, so that equal
	// plans are equal text and the store keeps each only once.
	Detail string `json:"detail,omitempty"`
}

// Attempt is one call of an upstream.
type Attempt struct {
	Target llm.Target
	Start  time.Duration    // since the request was accepted
	TTFT   time.Duration    // since Start, to the first content; 0 where none came
	Took   time.Duration    // since Start, to the end
	Class  llm.FailureClass // "" for the attempt that served
	Status int              // the upstream's HTTP status; 0 where none came
	Code   string           // the provider's own code of the failure
	// Message is the provider's own words, redacted; empty where they might
	// quote the prompt (llm.FailureClass.TellsOnlyOfTarget).
	Message    string
	UpstreamID string // the upstream's own id of the request
	Usage      llm.Usage
	Cost       NanoUSD
	Probe      bool   // a half-open breaker's probe
	Canary     bool   // sent to a held target to see whether it is well again
	Hedge      bool   // sent beside another attempt that was late
	LastResort bool   // sent to a target whose breaker was open, since nobody else could answer or had room
	Looping    bool   // its answer goes in circles: it ends with the same few words again and again
	Key        string // the name of the provider's key; "" where it needs none
	// Nth is the attempt's number among those that this process sent its target; 0
	// where the target had failed the request before. It is for the detector alone,
	// and not stored.
	Nth  uint32 `store:"-"`
	Told bool   `store:"-"` // it was told of when it failed, before the request ended
}

// Trace is one client request, whole. Every request ends in exactly one.
type Trace struct {
	ID        ID
	Accepted  time.Time
	TTFT      time.Duration // to the first content for the caller; 0 where none came
	Took      time.Duration // to the end
	Door      llm.Dialect
	Asked     string       // the model as the caller wrote it
	Preferred llm.Provider // the provider tried first; "" where the request got no plan
	Caller    string       // the name of the caller's key; "" where none is demanded
	Stream    bool
	Outcome   Outcome
	Status    int        // HTTP status to the caller
	Served    llm.Target // zero where no target served
	Reason    string     // why this route, in words
	Attempts  []Attempt  // in the order in which they began
	Plan      []Candidate
	Usage     llm.Usage
	Cost      NanoUSD       // of all attempts
	Simulated bool          // seeded by the demo, not real traffic
	Strategy  string        // that ordered the candidates, such as "failover"
	Queued    time.Duration // waited for its turn because every candidate was limited
	// Prompt is the same for requests that ask the same, within this process; 0
	// where it is not known. It is for the detector alone, and not stored.
	Prompt uint64 `store:"-"`
}

// Ended gives the instant at which the request ended.
func (t *Trace) Ended() time.Time { return t.Accepted.Add(t.Took) }

// AttemptEnded is when attempt i did.
func (t *Trace) AttemptEnded(i int) time.Time {
	return t.Accepted.Add(t.Attempts[i].Start + t.Attempts[i].Took)
}

// FailedElsewhere says whether another provider than one failed the request so that
// the request may be to blame. What a last resort fails is its target's doing.
func (t *Trace) FailedElsewhere(but llm.Provider) bool {
	return slices.ContainsFunc(t.Attempts, func(a Attempt) bool { return a.Target.Provider != but && !a.LastResort && a.Class.MayBeOfRequest() })
}

// State is a breaker's state.
type State string

// The states of a breaker.
const (
	Closed   State = "closed"
	HalfOpen State = "half-open"
	Open     State = "open"
)

// States lists all states.
func States() []State { return []State{Closed, HalfOpen, Open} }

// Transition is one change of one breaker.
type Transition struct {
	ID      ID
	At      time.Time
	Target  llm.Target
	From    State
	To      State
	Reason  string // why, in words: "3 failures in a row, last: server error, HTTP 503"
	Request ID     // the request that brought it about; 0 where time did
}

// HoldSource says who placed a hold.
type HoldSource string

// Who may place a hold.
const (
	ByAnomaly  HoldSource = "anomaly"
	ByOperator HoldSource = "operator"
)

// Hold keeps traffic away from one target without touching its breaker.
type Hold struct {
	ID     ID
	Target llm.Target
	Source HoldSource
	Reason string // in words, with the figures
	// Share is the percentage of the target's requests that go there all the same
	// while its traffic comes back; 0 while only canaries do. It is not stored.
	Share   int `store:"-"`
	Placed  time.Time
	Expires time.Time
	Ended   time.Time // zero while it stands
	Ending  string    // why it ended; "" while it stands
}

// KeyState is how a provider's key stands.
type KeyState string

// The states of a key.
const (
	KeyUsable    KeyState = "usable"
	KeyCooling   KeyState = "cooling"   // rate-limited, for some of its models or all
	KeyExhausted KeyState = "exhausted" // out of quota or credit until it resets
	KeyRevoked   KeyState = "revoked"   // the provider does not take it
)

// KeyStates lists all states.
func KeyStates() []KeyState { return []KeyState{KeyUsable, KeyCooling, KeyExhausted, KeyRevoked} }

// Works says whether a key that stands so can be used now or within minutes.
func (s KeyState) Works() bool { return s == KeyUsable || s == KeyCooling }

// KeyLabel writes a key for people, without its secret: "main ····x7Qf". last4
// is "" where the secret is too short to show any of it.
func KeyLabel(name, last4 string) string {
	if last4 == "" {
		return name
	}
	return name + " ····" + last4
}

// KeyNamed writes a key within a sentence: "key main ····x7Qf". One without a name
// of its own is called "key 1" already.
func KeyNamed(name, last4 string) string {
	if strings.HasPrefix(name, "key ") {
		return KeyLabel(name, last4)
	}
	return "key " + KeyLabel(name, last4)
}

// KeyChange is one change of one key. It never holds the secret.
type KeyChange struct {
	ID       ID
	At       time.Time
	Provider llm.Provider
	Endpoint string
	Key      string // its name
	Last4    string // the last four characters of the secret; "" of a short one
	From, To KeyState
	Model    string    // where it is about one model only; "" for all
	Until    time.Time // when it is tried again; zero where nobody knows
	Reason   string    // in words, redacted
	Request  ID        // the request that brought it about; 0 where none did
}
