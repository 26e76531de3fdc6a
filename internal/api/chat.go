package api

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/wire"
)

// writePatience bounds how long a caller may take to read one piece of a
// stream before it counts as gone.
const writePatience = 5 * time.Minute

// caller names whoever presents the key, for the record.
func (s *Server) caller() string {
	if s.Key == "" {
		return ""
	}
	return s.KeyName
}

// chat serves POST /v1/chat/completions.
func (s *Server) chat(c *gin.Context) {
	call := s.Router.NewCall(&llm.Request{Dialect: llm.OpenAIChat}, s.caller())
	req, e := s.decodeChat(c)
	if e != nil {
		sendError(c, s.Router.Refuse(call, e))
		return
	}
	call.Request = req
	answer, err := s.Router.Do(c.Request.Context(), call)
	if err != nil {
		s.sendFailure(c, err)
		return
	}
	defer answer.Close()
	h := c.Writer.Header()
	if answer.Dialect == llm.OpenAIChat {
		passOn(h, answer.Header)
	} else if adjusted := answer.Header.Get(HeaderAdjusted); adjusted != "" {
		h.Set(HeaderAdjusted, headerSafe(adjusted))
	}
	describe(h, answer.ID, string(answer.Target.Provider), answer.Target.Model, answer.Attempts, answer.Reason)
	if req.Stream {
		s.streamChat(c, answer, req, call.Accepted)
		return
	}
	whole, err := wire.Gather(answer)
	if err != nil {
		s.sendFailure(c, answer.Broken(err))
		return
	}
	body := whole.Raw
	if answer.Dialect != llm.OpenAIChat || body == nil {
		body = wire.OpenAIChatAnswer(answer.ID.String(), answer.Target.Model, call.Accepted, whole)
	}
	h.Set("Content-Type", "application/json")
	control := http.NewResponseController(c.Writer)
	control.SetWriteDeadline(time.Now().Add(writePatience))
	defer control.SetWriteDeadline(time.Time{})
	c.Writer.WriteHeader(http.StatusOK)
	c.Writer.Write(body) // a caller that went away is in the trace already
}

func (s *Server) decodeChat(c *gin.Context) (*llm.Request, *router.Error) {
	via, e := s.hops(c)
	if e != nil {
		return nil, e
	}
	body, e := s.readBody(c)
	if e != nil {
		return nil, e
	}
	req, err := wire.DecodeOpenAIChat(body)
	var bad *wire.RequestError
	if errors.As(err, &bad) {
		return nil, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_request", Param: bad.Field, Message: bad.Error()}
	}
	req.Via = via
	return req, nil
}

// passOn gives a caller of the same dialect the provider's own headers.
func passOn(to, from http.Header) {
	for name, values := range from {
		if name != "Vary" { // ours speaks of origins
			to[name] = values
		}
	}
}

// streamChat passes a stream on, event by event.
func (s *Server) streamChat(c *gin.Context, answer *router.Answer, req *llm.Request, created time.Time) {
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	control := http.NewResponseController(c.Writer)
	defer control.SetWriteDeadline(time.Time{})
	c.Writer.WriteHeader(http.StatusOK)
	stream := wire.NewOpenAIChatStream(answer.ID.String(), answer.Target.Model, created, req.IncludeUsage)
	same := answer.Dialect == llm.OpenAIChat
	var buffer []byte
	for {
		chunk, err := answer.Next()
		buffer = buffer[:0]
		switch {
		case errors.Is(err, io.EOF):
			if !same {
				buffer = stream.End(buffer)
			}
		case err != nil:
			buffer = openAIError(answer.Broken(err)).Event(buffer)
		case same && !chunk.Hidden:
			buffer = append(buffer, chunk.Raw...)
		case !same:
			buffer = stream.Chunk(buffer, chunk)
		}
		if len(buffer) > 0 {
			control.SetWriteDeadline(time.Now().Add(writePatience))
			if _, failed := c.Writer.Write(buffer); failed != nil {
				return // the caller went away; the deferred Close records it
			}
			c.Writer.Flush()
		}
		if err != nil {
			return
		}
	}
}

// models serves GET /v1/models in OpenAI's form.
func (s *Server) models(c *gin.Context) {
	type list struct {
		Object string        `json:"object"`
		Data   []openAIModel `json:"data"`
	}
	l := list{Object: "list", Data: []openAIModel{}}
	for _, m := range s.Router.Models() {
		l.Data = append(l.Data, modelOf(m))
	}
	sendJSON(c, http.StatusOK, l)
}

// model serves GET /v1/models/{id}; an id may contain slashes.
func (s *Server) model(c *gin.Context) {
	id := c.Param("id")[1:]
	for _, m := range s.Router.Models() {
		if m.ID == id {
			sendJSON(c, http.StatusOK, modelOf(m))
			return
		}
	}
	sendError(c, &router.Error{Status: http.StatusNotFound, Type: "invalid_request_error", Code: "model_not_found", Param: "model",
		Message: "no model " + strconv.Quote(id) + " is known here; GET /v1/models lists all"})
}

// openAIModel is a model object of OpenAI's.
type openAIModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // 0: not known
	OwnedBy string `json:"owned_by"`
}

func modelOf(m router.Model) openAIModel {
	owner := string(m.Provider)
	if owner == "" {
		owner = "breakwater"
	}
	return openAIModel{ID: m.ID, Object: "model", OwnedBy: owner}
}

func openAIError(e *router.Error) wire.OpenAIError {
	return wire.OpenAIError{Message: e.Message, Type: e.Type, Code: e.Code, Param: e.Param}
}

// sendError answers with an error in OpenAI's shape.
func sendError(c *gin.Context, e *router.Error) {
	h := c.Writer.Header()
	if e.Request != 0 {
		describe(h, e.Request, "", "", e.Attempts, "")
	}
	if e.RetryAfter > 0 {
		seconds := int64((e.RetryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	c.Data(e.Status, "application/json; charset=utf-8", openAIError(e).Body())
}

// sendFailure answers a request that has no answer. A caller that went away is sent nothing.
func (s *Server) sendFailure(c *gin.Context, err error) {
	var e *router.Error
	if !errors.As(err, &e) {
		e = &router.Error{Status: 500, Type: "server_error", Code: "internal_error", Message: "Breakwater failed to handle the request"}
		s.Log.Error("an error without a meaning", "error", err)
	}
	if callerGone(c.Request.Context(), e) {
		c.Abort()
		return
	}
	sendError(c, e)
}
