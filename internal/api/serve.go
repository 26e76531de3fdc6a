package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/wire"
)

// writePatience bounds how long a caller may take to read one piece of a
// stream before it counts as gone.
const writePatience = 5 * time.Minute

// exchange is one request at one door.
type exchange struct {
	*Server
	c    *gin.Context
	door wire.Door
	call *router.Call
	talk *talk // of /v1/responses; else nil
}

// serve answers a request at a door. complete fills in what the door's dialect
// says outside the body, such as Gemini's model in the path; it may be nil.
func (s *Server) serve(c *gin.Context, door wire.Door, complete func(*llm.Request)) {
	s.answer(c, door, complete, nil)
}

// answer serves a request that may belong to a conversation.
func (s *Server) answer(c *gin.Context, door wire.Door, complete func(*llm.Request), t *talk) {
	x := exchange{s, c, door, s.Router.NewCall(&llm.Request{Dialect: door.Dialect}, s.caller(c).Name), t}
	in, e := s.receive(c)
	if e != nil {
		x.refuse(e)
		return
	}
	defer in.leave()
	if e := s.once(c, in, x.call.Accepted, func() bool { return x.run(in, complete) }); e != nil {
		x.refuse(e)
	}
}

// refuse answers a request that gets no plan.
func (x exchange) refuse(e *router.Error) { x.fail(x.Router.Refuse(x.call, e)) }

// run has a request routed and answers it. It says whether the answer is whole:
// not a stream that broke off.
func (x exchange) run(in *intake, complete func(*llm.Request)) (whole bool) {
	req, e := in.request(x.c.Request.Header, x.door.Decode, complete)
	if e != nil {
		x.refuse(e)
		return true
	}
	x.call.Request, x.call.Priority, x.call.Strategy = req, in.priority, in.strategy
	ctx, cancel, e := deadline(x.c.Request, x.call.Accepted)
	if e != nil {
		x.refuse(e)
		return true
	}
	defer cancel()
	taken, e := x.take(in.caller, req)
	if e != nil {
		x.refuse(e)
		return true
	}
	defer taken.settle(llm.Usage{}) // where it panics
	answer, err := x.Router.Do(ctx, x.call)
	if err != nil {
		taken.failed(err)
		x.fail(err)
		return true
	}
	defer func() {
		answer.Close()
		taken.settle(answer.Usage())
	}()
	h := x.c.Writer.Header()
	if answer.Dialect == x.door.Dialect {
		passOn(h, answer.Header)
	} else if adjusted := answer.Header.Get(HeaderAdjusted); adjusted != "" {
		h.Set(HeaderAdjusted, headerSafe(adjusted))
	}
	describe(h, answer.ID, string(answer.Target.Provider), answer.Target.Model, answer.Attempts, answer.Reason)
	whole = true
	if req.Stream {
		whole = x.stream(answer)
	} else {
		x.whole(answer)
	}
	if used := answer.Usage().Input; used > 0 && req.Embed == nil && !answer.HandedOver() {
		x.Tokens.Learn(answer.Target.Model, req, used)
	}
	return whole
}

// unread is the error of a request that cannot be read; nil for no error.
func unread(err error) *router.Error {
	var bad *wire.RequestError
	var refused *router.Error
	switch {
	case errors.As(err, &bad):
		return &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_request", Param: bad.Field, Message: bad.Error()}
	case errors.As(err, &refused):
		return refused
	case err != nil:
		return &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_request", Message: "the request cannot be read"}
	}
	return nil
}

// passable gives the caller's headers that a provider of the same dialect may
// see: all but credentials, cookies, those of one connection, and those that
// speak of this very request's body, sender or conditions.
func passable(from http.Header) http.Header {
	to := http.Header{}
	for name, values := range from {
		if !private(name) && !slices.ContainsFunc(from.Values("Connection"), func(list string) bool {
			return slices.ContainsFunc(strings.Split(list, ","), func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), name) })
		}) {
			to[name] = values
		}
	}
	return to
}

// private says whether a header is no provider's business.
func private(name string) bool {
	lower := strings.ToLower(name)
	switch lower {
	case "host", "origin", "referer", "te", "trailer", "upgrade", "expect", "via", "range", "connection", "keep-alive", "transfer-encoding",
		"accept", "accept-encoding", "user-agent", "http2-settings", "x-http-method-override", "forwarded", "cookie2":
		return true
	}
	for _, start := range []string{"content-", "if-", "proxy-", "sec-", "cf-", "x-breakwater-", "x-forwarded-", "x-amz-"} {
		if strings.HasPrefix(lower, start) {
			return true
		}
	}
	for _, word := range []string{"token", "secret", "key", "auth", "jwt", "cookie", "session", "password"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return strings.HasSuffix(lower, "-ip")
}

// passOn gives a caller of the same dialect the provider's own headers.
func passOn(to, from http.Header) {
	for name, values := range from {
		if name != "Vary" { // ours speaks of origins
			to[name] = values
		}
	}
}

func (x exchange) meta(answer *router.Answer) wire.Meta {
	return wire.Meta{
		RequestID: answer.ID.String(), Model: answer.Target.Model, Created: x.call.Accepted, Request: x.call.Request,
		Kept: x.talk != nil && x.talk.keeps(),
	}
}

// whole sends an answer in one piece.
func (x exchange) whole(answer *router.Answer) {
	whole, err := wire.Gather(answer)
	if err != nil {
		x.fail(answer.Broken(err))
		return
	}
	body := whole.Raw
	if answer.Dialect != x.door.Dialect || body == nil {
		body = x.door.Answer(x.meta(answer), whole)
	}
	if x.talk != nil { // before the caller can go on from it
		x.talk.answered(body)
	}
	control := http.NewResponseController(x.c.Writer)
	control.SetWriteDeadline(time.Now().Add(writePatience))
	defer control.SetWriteDeadline(time.Time{})
	h := x.c.Writer.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.c.Writer.WriteHeader(http.StatusOK)
	x.c.Writer.Write(body) // a caller that went away is in the trace already
	x.c.Writer.Flush()     // what is learned from the answer must not keep its caller waiting
}

// stream passes an answer on, event by event, and says whether it came to its end.
func (x exchange) stream(answer *router.Answer) (whole bool) {
	writer := x.door.Stream(x.meta(answer))
	h := x.c.Writer.Header()
	h.Set("Content-Type", writer.ContentType())
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	control := http.NewResponseController(x.c.Writer)
	defer control.SetWriteDeadline(time.Time{})
	var armed time.Time
	x.c.Writer.WriteHeader(http.StatusOK)
	same := answer.Dialect == x.door.Dialect
	keeper, _ := writer.(wire.Keeper)
	reframer, reframed := writer.(wire.Reframer)
	reframed = reframed && same && x.door.Reframed
	answer.Waiting = x.c.Writer.Flush
	follower, _ := writer.(wire.Follower)
	var buffer, last []byte
	for {
		chunk, err := answer.Next()
		buffer = buffer[:0]
		if h := answer.Handover(); h != nil {
			if same && follower == nil { // the writer has not seen what went through as it was
				writer.Chunk(nil, llm.Chunk{Thinking: h.Thinking})
				writer.Chunk(nil, llm.Chunk{Text: h.Text})
			}
			same, reframed = false, false
			buffer = comment(endEvent(buffer, last, writer.ContentType()), writer.ContentType(), h)
		}
		switch {
		case errors.Is(err, io.EOF):
			if !same || reframed {
				buffer = writer.End(buffer)
			}
		case err != nil:
			buffer = writer.Fail(endEvent(buffer, last, writer.ContentType()), problem(answer.Broken(err)))
		case reframed:
			buffer = reframer.Reframe(buffer, chunk.Raw)
		case same && !chunk.Hidden:
			buffer = append(buffer, chunk.Raw...)
			if follower != nil {
				follower.Passed(chunk.Raw)
			}
		case !same:
			buffer = writer.Chunk(buffer, chunk)
		}
		if keeper != nil && x.talk != nil && keeper.Response() != nil { // before the caller can go on from it
			x.talk.answered(keeper.Response())
			keeper = nil
		}
		if len(buffer) > 0 {
			if now := time.Now(); now.Sub(armed) > writePatience/10 { // to set it costs as much as to write
				armed = now
				control.SetWriteDeadline(now.Add(writePatience))
			}
			if _, failed := x.c.Writer.Write(buffer); failed != nil {
				return false // the caller went away; the deferred Close records it
			}
			last = append(last[:0], buffer[max(0, len(buffer)-4):]...)
		}
		if err != nil || !chunk.More {
			x.c.Writer.Flush()
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// comment tells of a handover, for those who read a stream by eye: the headers
// are gone. It is a line of the event that follows, since some clients take a
// comment that stands alone for an empty event.
func comment(dst []byte, contentType string, h *router.Handover) []byte {
	if !strings.HasPrefix(contentType, "text/event-stream") {
		return dst
	}
	return fmt.Appendf(dst, ": %s broke off, %s goes on\n", headerSafe(h.From.String()), headerSafe(h.To.String()))
}

// endEvent ends the last event, of whose bytes the upstream sent too few, so
// that what follows is one of its own.
func endEvent(dst, last []byte, contentType string) []byte {
	end := "\n"
	if strings.HasPrefix(contentType, "text/event-stream") {
		end = "\n\n"
	} else if !strings.Contains(contentType, "ndjson") {
		return dst
	}
	plain := bytes.ReplaceAll(last, []byte("\r"), nil)
	if len(last) == 0 || bytes.HasSuffix(plain, []byte(end)) {
		return dst
	}
	return append(dst, end...)
}

// fail answers a request that has no answer. A caller that went away is sent
// nothing.
func (x exchange) fail(err error) {
	var e *router.Error
	if !errors.As(err, &e) {
		e = &router.Error{Status: 500, Type: "server_error", Code: "internal_error", Message: "Breakwater failed to handle the request"}
		x.Log.Error("an error without a meaning", "error", err)
	}
	if callerGone(x.c.Request.Context(), e) {
		x.c.Abort()
		return
	}
	if x.talk != nil {
		x.talk.explain(e)
	}
	sendProblem(x.c, x.door, e)
}

func problem(e *router.Error) wire.Problem {
	p := wire.Problem{Status: e.Status, Type: e.Type, Code: e.Code, Param: e.Param, Message: e.Message}
	if e.Request != 0 {
		p.RequestID = e.Request.String()
	}
	return p
}

// sendProblem answers with an error in a door's shape.
func sendProblem(c *gin.Context, door wire.Door, e *router.Error) {
	h := c.Writer.Header()
	if e.Request != 0 {
		describe(h, e.Request, "", "", e.Attempts, "")
	}
	passOn(h, e.Header)
	if e.RetryAfter > 0 {
		seconds := int64((e.RetryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
		if h.Get("Retry-After-Ms") != "" { // SDKs believe it first
			h.Set("Retry-After-Ms", strconv.FormatInt(e.RetryAfter.Milliseconds(), 10))
		}
	}
	body := e.Body
	if body == nil || door.Reframed {
		body = door.Problem(problem(e))
	}
	c.Data(e.Status, "application/json; charset=utf-8", body)
}
