package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/replay"
	"breakwater/internal/router"
)

// HeaderIdempotencyKey names a request, so that it is made only once however
// often its caller sends it. The draft of the IETF
// (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header)
// and Stripe (https://docs.stripe.com/api/idempotent_requests) agree on 255
// characters at most and on an error for another body (2026-11). The Python SDKs
// of OpenAI and Anthropic send one only where their caller sets it, and then the
// same with each retry (2026-11); they retry 408, 409, 429 and 5xx.
const HeaderIdempotencyKey = "Idempotency-Key"

// maxIdempotencyKey bounds the header's value, in bytes.
const maxIdempotencyKey = 255

// once answers a request, by serve unless the same was sent before: then with
// that one's answer, as it comes or as it was. serve says whether its answer is
// whole, so that it may be kept. What a caller names with the header goes on
// when it hangs up. The error is one that the caller is yet to be told.
func (s *Server) once(c *gin.Context, in *intake, accepted time.Time, serve func() (whole bool)) *router.Error {
	key := c.GetHeader(HeaderIdempotencyKey)
	if key == "" || s.Replay.Keep <= 0 {
		serve()
		return nil
	}
	if len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return badHeader(HeaderIdempotencyKey, "it must be at most 255 printable characters")
	}
	id := replay.ID{Caller: in.caller.Name, Path: c.Request.URL.Path + "?alt=" + c.Query("alt"), Key: key}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Request.Context()))
	defer cancel()
	follower, run, err := s.runs.Join(id, sha256.Sum256(in.body), cancel)
	switch {
	case errors.Is(err, replay.ErrMismatch):
		return &router.Error{Status: http.StatusUnprocessableEntity, Type: "invalid_request_error", Code: "idempotency_mismatch", Param: HeaderIdempotencyKey,
			Message: "this Idempotency-Key was used for another request; each needs one of its own"}
	case err != nil:
		return &router.Error{Status: http.StatusConflict, Type: "invalid_request_error", Code: "idempotency_conflict", Param: HeaderIdempotencyKey,
			Message: "the request of this Idempotency-Key is being answered, and the answer is too large to be joined; ask again when it has ended"}
	case run == nil:
		return join(c, accepted, follower)
	}
	lead(ctx, c, follower, run, serve)
	return nil
}

// lead makes the answer of a run, whose caller is one of those who follow it.
func lead(ctx context.Context, c *gin.Context, follower *replay.Follower, run *replay.Run, serve func() bool) {
	caller, request := c.Writer, c.Request
	var following sync.WaitGroup
	following.Go(func() { follower.Copy(request.Context(), caller, func(http.Header) {}) })
	tee := &runWriter{ResponseWriter: caller, run: run, header: http.Header{}, status: http.StatusOK}
	c.Writer, c.Request = tee, request.WithContext(ctx)
	whole, returned := false, false
	defer func() {
		if returned {
			run.End(whole && keepable(tee.status))
		} else { // it panics
			run.Abort()
		}
		following.Wait()
		c.Writer, c.Request = caller, request
	}()
	whole = serve()
	returned = true
}

// keepable says whether an answer of this status is worth keeping: others may
// go better the next time.
func keepable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return false
	}
	return status < 500
}

// join gives a caller the answer of a run that another request has made or makes.
func join(c *gin.Context, accepted time.Time, follower *replay.Follower) *router.Error {
	ctx, cancel, e := deadline(c.Request, accepted)
	if e != nil {
		follower.Leave()
		return e
	}
	defer cancel()
	err := follower.Copy(ctx, c.Writer, func(h http.Header) { h.Set(HeaderReplayed, "true") })
	f, _ := llm.AsFailure(err)
	late := f != nil && f.Class == llm.Deadline
	switch {
	case errors.Is(err, replay.ErrAborted):
		return &router.Error{Status: 500, Type: "server_error", Code: "internal_error", Message: "the request of this Idempotency-Key ended without an answer"}
	case errors.Is(err, replay.ErrCut), late && c.Writer.Written():
		panic(http.ErrAbortHandler) // half an answer must not look whole
	case late:
		return &router.Error{Status: 504, Type: "server_error", Code: "deadline_exceeded", Message: "no answer began in the time that the caller gave; the request goes on, and may be joined again"}
	}
	return nil // a caller that went away needs no answer
}

// runWriter has a run take what is written for its caller. The caller's own
// header stays: it speaks of its origin.
type runWriter struct {
	gin.ResponseWriter // of the caller; nothing is written to it
	run                *replay.Run
	header             http.Header
	status, size       int
	sent               bool
}

func (w *runWriter) Header() http.Header { return w.header }

func (w *runWriter) WriteHeader(status int) {
	if !w.sent {
		w.status = status
	}
}

func (w *runWriter) WriteHeaderNow() {
	if !w.sent {
		w.sent = true
		w.run.Begin(w.status, w.header)
	}
}

func (w *runWriter) Write(p []byte) (int, error) {
	w.WriteHeaderNow()
	n, err := w.run.Write(p)
	w.size += n
	return n, err
}

func (w *runWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *runWriter) Flush() {
	w.WriteHeaderNow()
	w.run.Flush()
}

func (w *runWriter) Status() int   { return w.status }
func (w *runWriter) Size() int     { return w.size }
func (w *runWriter) Written() bool { return w.sent }
