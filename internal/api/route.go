package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
)

// plainBody is the body of POST /v1/route.
type plainBody struct {
	Prompt         *string `json:"prompt"`
	SystemPrompt   string  `json:"system_prompt"`
	PreferredModel string  `json:"preferred_model"`
}

// plainAnswer is the answer of POST /v1/route.
type plainAnswer struct {
	Text      string       `json:"text"`
	Provider  llm.Provider `json:"provider"`
	Model     string       `json:"model"`
	RequestID string       `json:"request_id"`
	Attempts  int          `json:"attempts"`
	Reason    string       `json:"reason"`
	Usage     plainUsage   `json:"usage"`
	CostUSD   *json.Number `json:"cost_usd"` // null where the model's price is unknown
}

// plainUsage counts tokens as llm.Usage does.
type plainUsage struct {
	Input     int64 `json:"input_tokens"`
	CacheRead int64 `json:"cached_input_tokens"`
	Output    int64 `json:"output_tokens"`
	Reasoning int64 `json:"reasoning_tokens"`
}

// route serves POST /v1/route.
func (s *Server) route(c *gin.Context) {
	x := exchange{s, c, doorOf(llm.OpenAIChat), s.Router.NewCall(&llm.Request{Dialect: llm.Plain}, s.caller(c).Name), nil}
	in, e := s.receive(c)
	if e != nil {
		x.refuse(e)
		return
	}
	defer in.leave()
	if e := s.once(c, in, x.call.Accepted, func() bool { x.plain(in); return true }); e != nil {
		x.refuse(e)
	}
}

// plain has a plain call routed and answers it.
func (x exchange) plain(in *intake) {
	req, e := in.plain()
	if req != nil {
		x.call.Request = req
	}
	if e != nil {
		x.refuse(e)
		return
	}
	x.call.Priority, x.call.Strategy = in.priority, in.strategy
	ctx, cancel, e := deadline(x.c.Request, x.call.Accepted)
	if e != nil {
		x.refuse(e)
		return
	}
	defer cancel()
	taken, e := x.take(in.caller, req)
	if e != nil {
		x.refuse(e)
		return
	}
	defer taken.settle(llm.Usage{}) // where it panics
	routed, err := x.Router.Route(ctx, x.call)
	if err != nil {
		taken.failed(err)
		x.fail(err)
		return
	}
	taken.settle(routed.Usage)
	answer := plainAnswer{
		Text: routed.Text, Provider: routed.Target.Provider, Model: routed.Target.Model,
		RequestID: routed.Request.String(), Attempts: routed.Attempts, Reason: routed.Reason,
		Usage: plainUsage{routed.Usage.Input, routed.Usage.CacheRead, routed.Usage.Output, routed.Usage.Reasoning},
	}
	if routed.Priced {
		cost := json.Number(routed.Cost.String())
		answer.CostUSD = &cost
	}
	describe(x.c.Writer.Header(), routed.Request, string(answer.Provider), answer.Model, routed.Attempts, routed.Reason)
	sendJSON(x.c, http.StatusOK, answer)
}

// plain reads the body of a plain call. The request is nil where the body told none.
func (in *intake) plain() (*llm.Request, *router.Error) {
	var body plainBody
	decoder := json.NewDecoder(bytes.NewReader(in.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return nil, badJSON(err)
	}
	if decoder.More() {
		return nil, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_json", Message: "the body holds more than one JSON value"}
	}
	if body.Prompt == nil {
		return nil, &router.Error{Status: 400, Type: "invalid_request_error", Code: "missing_required_parameter", Param: "prompt",
			Message: `prompt is missing; send {"prompt": "...", "system_prompt": "...", "preferred_model": "gemini"}`}
	}
	req, err := router.PlainRequest(*body.Prompt, body.SystemPrompt, body.PreferredModel)
	req.Via = in.via
	var e *router.Error
	errors.As(err, &e)
	return req, e
}

// badJSON explains why a body is not what it should be.
func badJSON(err error) *router.Error {
	e := &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_json"}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		e.Message = `the body is empty; send {"prompt": "...", "system_prompt": "...", "preferred_model": "gemini"}`
	case errors.As(err, &syntax):
		e.Message = fmt.Sprintf("the body is not JSON: %s at byte %d", syntax.Error(), syntax.Offset)
	case errors.As(err, &kind):
		e.Code, e.Param = "invalid_type", kind.Field
		e.Message = fmt.Sprintf("%s must be a %s, not a %s", kind.Field, kind.Type, kind.Value)
		if kind.Field == "" {
			e.Message = "the body must be a JSON object, not a " + kind.Value
		}
	default:
		e.Message = "the body cannot be read: " + strings.TrimPrefix(err.Error(), "json: ")
	}
	return e
}
