package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/wire"
)

// HeaderEstimate marks a count of tokens that is an estimate of ours.
const HeaderEstimate = "X-Breakwater-Estimate"

// countAnthropic serves POST /v1/messages/count_tokens.
func (s *Server) countAnthropic(c *gin.Context) {
	s.count(c, wire.DecodeAnthropicCount, "", wire.AnthropicCount)
}

// countGemini serves POST /v1beta/models/{model}:countTokens.
func (s *Server) countGemini(c *gin.Context, model string) {
	s.count(c, wire.DecodeGeminiCount, model, wire.GeminiCount)
}

// count answers with an estimate, and says so.
func (s *Server) count(c *gin.Context, decode func([]byte) (*llm.Request, error), model string, write func(int64) []byte) {
	body, e := s.readBody(c)
	if e != nil {
		sendError(c, e)
		return
	}
	req, err := decode(body)
	var bad *wire.RequestError
	if errors.As(err, &bad) {
		sendError(c, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_request", Param: bad.Field, Message: bad.Error()})
		return
	}
	if model == "" {
		model = req.Model
	}
	c.Header(HeaderEstimate, "true")
	c.Data(http.StatusOK, "application/json", write(s.Tokens.Estimate(model, req)))
}
