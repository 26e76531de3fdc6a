package traffic

import (
	"net/http"
	"time"
)

// Limits bound what may go through in a minute and at once. What is 0 is not
// bounded.
type Limits struct {
	Requests   int64 // a minute
	Tokens     int64 // a minute, input and output
	Burst      int64 // requests that may go at once after a pause; 0 for a default that suits Requests
	Concurrent int64 // under way at once
}

// Limiter keeps within Limits, and learns tighter ones from what a provider
// tells. It may be used by many at once. A nil Limiter limits nothing.
type Limiter struct {
	limits Limits
}

// NewLimiter makes a limiter; one without limits still learns.
func NewLimiter(limits Limits) *Limiter { return &Limiter{limits: limits} }

// Take takes room for one request of about so many tokens. Where there is none
// it says how long until there may be; 0 means when another one ends.
func (l *Limiter) Take(now time.Time, tokens int64) (wait time.Duration, ok bool) { return 0, true }

// CountsTokens says whether Take wants to know the request's tokens: a limit on
// them is configured, or a provider has told that few are left.
func (l *Limiter) CountsTokens() bool { return l != nil && l.limits.Tokens > 0 }

// Undo gives back what Take took, as if it had never been: the request was not sent.
func (l *Limiter) Undo(now time.Time, tokens int64) {}

// Done ends a request that took about so many tokens and used so many in fact.
func (l *Limiter) Done(now time.Time, taken, used int64) {}

// Refused tells of a 429: the rate was too high. What is allowed shrinks, and
// grows again slowly. Nothing goes before wait has passed; 0 where the provider
// did not say.
func (l *Limiter) Refused(now time.Time, wait time.Duration) {}

// Told tells of a provider's rate-limit headers (OpenAI's x-ratelimit-*,
// Anthropic's anthropic-ratelimit-*), which bound what goes until they reset.
func (l *Limiter) Told(now time.Time, h http.Header) {}

// Use is how a limiter stands, for people.
type Use struct {
	Limits               // as configured
	Allowed      float64 // requests a minute that are let through now, as learned; 0 where not bounded
	Under        int64   // requests under way
	RequestsLeft float64 // before the limit; meaningless where Requests and Allowed are 0
	TokensLeft   float64
}

// Use gives how the limiter stands.
func (l *Limiter) Use(now time.Time) Use { return Use{} }
