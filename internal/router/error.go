package router

import (
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// StatusAbandoned is recorded, never sent, for a caller that went away; the
// number is nginx's.
const StatusAbandoned = 499

// Error is what a caller is told when there is no answer. Type and Code are
// in the words of the OpenAI API.
type Error struct {
	Status     int
	Type       string
	Code       string
	Message    string
	Param      string        // the field at fault, where there is one
	RetryAfter time.Duration // 0 where waiting does not help
	Request    record.ID
	Attempts   int
	// Header holds what one provider told the caller in their common dialect:
	// rate limits, waits and request ids; see llm.Failure.
	Header http.Header
	// Body is the refusal of a provider in the caller's own dialect, as it came.
	Body []byte
}

func (e *Error) Error() string { return e.Message }

// outcome gives how the request ended for its caller.
func (e *Error) outcome() record.Outcome {
	switch {
	case e.Status == StatusAbandoned:
		return record.Abandoned
	case e.Status >= 400 && e.Status < 500 && e.Status != 429, e.Status == 508,
		e.Code == "caller_rate_limited": // other 429s are not the caller's doing
		return record.Refused
	}
	return record.Failed
}

// abandoned is the error of a caller that went away.
func abandoned() *Error {
	return &Error{Status: StatusAbandoned, Type: "server_error", Code: "request_cancelled",
		Message: "the caller went away before the answer was complete"}
}

// late is the error of a caller whose own time was up.
func late(p *plan) *Error {
	return &Error{Status: 504, Type: "server_error", Code: "deadline_exceeded",
		Message: "no answer began in the time that the caller gave: " + p.words()}
}

// refusal passes on a provider's refusal of the request itself.
func refusal(target llm.Target, f *llm.Failure) *Error {
	e := &Error{Status: 400, Type: "invalid_request_error", Code: f.Code,
		Message: fmt.Sprintf("%s refused the request: %s", target.Provider.Title(), f.Message),
		Header:  f.Header, Body: f.Body}
	if f.Status >= 400 && f.Status < 500 {
		e.Status = f.Status
	}
	switch f.Class {
	case llm.ContextLength:
		e.Code = "context_length_exceeded"
	case llm.ContentFilter:
		e.Code = "content_filter"
	}
	if e.Code == "" {
		e.Code = string(f.Class)
	}
	return e
}

// clip shortens a caller's own word before it is repeated or stored.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
