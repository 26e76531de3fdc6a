package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/router"
)

// HeaderTimeout is a caller's own limit: milliseconds from the request's
// arrival to the end of its answer. Retries and failover keep within it.
const HeaderTimeout = "X-Breakwater-Timeout"

// maxTimeout bounds HeaderTimeout; what is longer is a mistake in the unit.
const maxTimeout = 24 * time.Hour

// deadline gives the context of a request that began at accepted, bounded as
// its caller wishes.
func deadline(r *http.Request, accepted time.Time) (context.Context, context.CancelFunc, *router.Error) {
	text := r.Header.Get(HeaderTimeout)
	if text == "" {
		return r.Context(), func() {}, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 1 || ms > maxTimeout.Milliseconds() {
		return nil, nil, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: HeaderTimeout,
			Message: HeaderTimeout + " is a whole number of milliseconds, 1 to " + strconv.FormatInt(maxTimeout.Milliseconds(), 10)}
	}
	at := accepted.Add(time.Duration(ms) * time.Millisecond)
	ctx, cancel := context.WithDeadlineCause(r.Context(), at, &llm.Failure{Class: llm.Deadline, Message: "the caller gave " + text + " ms"})
	return ctx, cancel, nil
}
