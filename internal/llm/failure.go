package llm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// FailureClass says what a failed attempt means for the routing engine: who
// may be asked next and whether the breaker counts it.
type FailureClass string

// The classes of failure.
const (
	Network       FailureClass = "network"        // refused, reset, TLS or DNS trouble before any byte
	Timeout       FailureClass = "timeout"        // connect, headers, first token, or silence
	Server        FailureClass = "server"         // 5xx, overloaded included
	RateLimit     FailureClass = "rate_limit"     // 429
	Quota         FailureClass = "quota"          // out of quota, credit or billing
	Auth          FailureClass = "auth"           // 401, 403
	ContextLength FailureClass = "context_length" // the prompt does not fit the model
	BadRequest    FailureClass = "bad_request"    // another 4xx
	ContentFilter FailureClass = "content_filter" // refused by the provider's policy
	NoSuchModel   FailureClass = "no_such_model"  // the target's model does not exist there
	Garbage       FailureClass = "garbage"        // a 200 with a broken or empty body
	StreamCut     FailureClass = "stream_cut"     // the answer stopped after content had reached the caller
	Cancelled     FailureClass = "cancelled"      // the caller went away
	Deadline      FailureClass = "deadline"       // the time that the caller gave was up
)

// FailureClasses lists all classes.
func FailureClasses() []FailureClass {
	return []FailureClass{
		Network, Timeout, Server, RateLimit, Quota, Auth, ContextLength,
		BadRequest, ContentFilter, NoSuchModel, Garbage, StreamCut, Cancelled, Deadline,
	}
}

// Words says what the class is, as a person would.
func (c FailureClass) Words() string {
	switch c {
	case Network:
		return "network trouble"
	case Server:
		return "server error"
	case Quota:
		return "out of quota"
	case Auth:
		return "key refused"
	case ContextLength:
		return "prompt too long"
	case Garbage:
		return "broken answer"
	case StreamCut:
		return "answer cut off"
	case Cancelled:
		return "given up"
	case Deadline:
		return "time was up"
	}
	return strings.ReplaceAll(string(c), "_", " ")
}

// CountsAgainstTarget says whether the failure is evidence that the target is
// unwell: only such failures move a breaker.
func (c FailureClass) CountsAgainstTarget() bool {
	switch c {
	case Network, Timeout, Server, Garbage, StreamCut:
		return true
	}
	return false
}

// MayBeOfRequest says whether a request may bring such a failure about wherever it
// goes. That there was no connection is no request's fault.
func (c FailureClass) MayBeOfRequest() bool { return c.CountsAgainstTarget() && c != Network }

// TryNext says whether another candidate may be asked after such a failure.
// After content has reached the caller none may, whatever the class.
func (c FailureClass) TryNext() bool {
	switch c {
	case BadRequest, ContentFilter, ContextLength, StreamCut, Cancelled, Deadline:
		return false
	}
	return true
}

// TellsOnlyOfTarget says whether the provider's message speaks of the
// provider itself. Messages of the other classes may quote the prompt, so
// they go to the caller and are never stored or logged.
func (c FailureClass) TellsOnlyOfTarget() bool {
	switch c {
	case BadRequest, ContentFilter, ContextLength, Cancelled, Deadline:
		return false
	}
	return true
}

// Failure is a failed attempt, as its provider told it. All text in it is
// already free of secrets.
type Failure struct {
	Class      FailureClass
	Status     int           // the upstream's HTTP status; 0 where there was none
	Code       string        // the provider's own code or type, such as "overloaded_error"
	Message    string        // the provider's own words, shortened
	RetryAfter time.Duration // how long the provider asks to wait; 0 where it does not say
	RequestID  string        // the upstream's own id of the request
	// OfModel says that a quota or a refusal is of this model with this key, and
	// tells nothing of the key's other models.
	OfModel bool
	// TooLarge says that the request alone is over a rate limit: no wait helps
	// it, and others may go.
	TooLarge bool
	Daily    bool      // the quota that is spent is one of a day
	Resets   time.Time // when it is there again, where the provider tells; zero otherwise
	// Header holds the upstream's rate limits, waits and request ids. It is set
	// where the upstream was asked in the caller's own dialect, which alone knows them.
	Header http.Header
	// Body is the upstream's own, where it refused the request itself and was
	// asked in the caller's own dialect: its SDK may read more in it than these words.
	Body []byte
	Err  error // the cause, where there is one beneath
}

// Error gives class, status, code and message in one line.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(string(f.Class))
	if f.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", f.Status)
	}
	if f.Code != "" {
		b.WriteString(" " + f.Code)
	}
	if f.Message != "" {
		b.WriteString(": " + f.Message)
	}
	return b.String()
}

// In gives the same failure in another class, with the first as its cause.
func (f *Failure) In(class FailureClass) *Failure {
	g := *f
	g.Class, g.Err = class, f
	return &g
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// AsFailure finds the Failure in an error's chain.
func AsFailure(err error) (*Failure, bool) {
	var f *Failure
	ok := errors.As(err, &f)
	return f, ok
}
