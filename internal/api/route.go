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

func (s *Server) route(c *gin.Context) {
	call := s.Router.NewCall(&llm.Request{Dialect: llm.Plain}, s.caller())
	req, e := s.decodePlain(c)
	if req != nil {
		call.Request = req
	}
	if e != nil {
		sendError(c, s.Router.Refuse(call, e))
		return
	}
	ctx, cancel, e := deadline(c.Request, call.Accepted)
	if e != nil {
		sendError(c, s.Router.Refuse(call, e))
		return
	}
	defer cancel()
	routed, err := s.Router.Route(ctx, call)
	if err != nil {
		exchange{s, c, doorOf(llm.OpenAIChat), call, nil}.fail(err)
		return
	}
	answer := plainAnswer{
		Text: routed.Text, Provider: routed.Target.Provider, Model: routed.Target.Model,
		RequestID: routed.Request.String(), Attempts: routed.Attempts, Reason: routed.Reason,
		Usage: plainUsage{routed.Usage.Input, routed.Usage.CacheRead, routed.Usage.Output, routed.Usage.Reasoning},
	}
	if routed.Priced {
		cost := json.Number(routed.Cost.String())
		answer.CostUSD = &cost
	}
	describe(c.Writer.Header(), routed.Request, string(answer.Provider), answer.Model, routed.Attempts, routed.Reason)
	sendJSON(c, http.StatusOK, answer)
}

// decodePlain reads the body of a plain call. The request is nil where the
// body told none.
func (s *Server) decodePlain(c *gin.Context) (*llm.Request, *router.Error) {
	via, e := s.hops(c)
	if e != nil {
		return nil, e
	}
	raw, e := s.readBody(c)
	if e != nil {
		return nil, e
	}
	var body plainBody
	decoder := json.NewDecoder(bytes.NewReader(raw))
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
	req.Via = via
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
