package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/traffic"
)

// Headers of requests, beside HeaderTimeout.
const (
	HeaderPriority = "X-Breakwater-Priority" // urgent, normal or batch: who goes first when not all can
	HeaderStrategy = "X-Breakwater-Strategy" // how candidates are ordered, see router.Strategies
)

// intake is a request as it came.
type intake struct {
	caller   *caller
	priority traffic.Priority
	strategy router.Strategy
	via      []string // the Breakwaters that it came through
	body     []byte
	gate     []func() // to leave
}

// leave gives back what the gate counted for the request.
func (in *intake) leave() {
	for _, leave := range in.gate {
		leave()
	}
}

// receive takes a request in: what its headers wish, its place at the gate, its
// body. Unless it is refused the caller leaves, once.
func (s *Server) receive(c *gin.Context) (*intake, *router.Error) {
	in := &intake{caller: s.caller(c)}
	var err error
	if in.priority, err = in.caller.priority(clip(c.GetHeader(HeaderPriority))); err != nil {
		return nil, badHeader(HeaderPriority, err.Error())
	}
	if in.strategy, err = router.ParseStrategy(clip(c.GetHeader(HeaderStrategy))); err != nil {
		return nil, badHeader(HeaderStrategy, err.Error())
	}
	var e *router.Error
	if in.via, e = s.hops(c); e != nil {
		return nil, e
	}
	if in.body, e = s.readBody(c, in); e != nil {
		in.leave()
		return nil, e
	}
	return in, nil
}

// badHeader refuses the value of a header of ours.
func badHeader(name, message string) *router.Error {
	return &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: name, Message: name + ": " + message}
}

// enter lets a request in whose body has about so many bytes, or has the gate
// count so many more for one that is in.
func (s *Server) enter(in *intake, bytes int64) *router.Error {
	if s.Gate == nil {
		return nil
	}
	var leave func()
	var wait time.Duration
	var ok bool
	if len(in.gate) == 0 {
		leave, wait, ok = s.Gate.Enter(time.Now(), in.priority, bytes)
	} else {
		leave, wait, ok = s.Gate.Grow(in.priority, bytes)
	}
	if ok {
		in.gate = append(in.gate, leave)
		return nil
	}
	return &router.Error{Status: http.StatusServiceUnavailable, Type: "server_error", Code: "overloaded", RetryAfter: max(wait, time.Second),
		Message: "this Breakwater has as much under way as it may; requests of priority " + in.priority.String() + " have to wait"}
}

// readBody reads a request's body whole, once the gate has room for it. No length
// is believed beyond believedLength before as much has come: who promises much and
// sends nothing takes room from nobody. A body of unknown length then counts as the
// largest.
func (s *Server) readBody(c *gin.Context, in *intake) ([]byte, *router.Error) {
	length := c.Request.ContentLength
	if length > s.BodyLimit {
		return nil, s.tooLarge()
	}
	most := length
	if length < 0 {
		most = s.BodyLimit
	}
	counted := min(believedLength, most)
	if e := s.enter(in, counted); e != nil {
		return nil, e
	}
	control := http.NewResponseController(c.Writer)
	control.SetReadDeadline(time.Now().Add(bodyPatience)) // not every writer can; then the body has no deadline
	defer control.SetReadDeadline(time.Time{})
	var body bytes.Buffer
	body.Grow(int(min(max(length, 0), believedLength)) + bytes.MinRead)
	from := http.MaxBytesReader(c.Writer, c.Request.Body, s.BodyLimit)
	var err error
	if counted < most {
		if _, err = io.CopyN(&body, from, counted); err == nil { // there may be more
			if e := s.enter(in, most-counted); e != nil {
				return nil, e
			}
			body.Grow(int(max(length-counted, 0)) + bytes.MinRead)
		}
	}
	if err == nil {
		_, err = body.ReadFrom(from)
	}
	e := &router.Error{Status: 400, Type: "invalid_request_error", Code: "incomplete_body"}
	var large *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return body.Bytes(), nil
	case errors.As(err, &large):
		return nil, s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Status, e.Code = http.StatusRequestTimeout, "body_too_slow"
		e.Message = "the body was not complete after " + bodyPatience.String()
	default:
		e.Message = "the body ended before it was complete"
	}
	return nil, e
}

func (s *Server) tooLarge() *router.Error {
	return &router.Error{Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error", Code: "body_too_large",
		Message: "the body is larger than " + strconv.FormatInt(s.BodyLimit, 10) + " bytes; raise limits.body_bytes to take it"}
}

// request decodes the body. complete fills in what is not in it; it may be nil.
func (in *intake) request(header http.Header, decode func([]byte) (*llm.Request, error), complete func(*llm.Request)) (*llm.Request, *router.Error) {
	req, err := decode(in.body)
	if e := unread(err); e != nil {
		return nil, e
	}
	req.Via, req.Header = in.via, passable(header)
	if complete != nil {
		complete(req)
	}
	return req, nil
}
