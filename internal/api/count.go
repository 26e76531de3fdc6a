package api

import (
	"cmp"
	"net/http"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/wire"
)

// HeaderEstimate marks a count of tokens that is an estimate of ours.
const HeaderEstimate = "X-Breakwater-Estimate"

// counting is how a dialect asks for a count of tokens.
type counting struct {
	dialect llm.Dialect
	decode  func(body []byte) (*llm.Request, error)
	write   func(tokens int64) []byte
}

// countAnthropic serves POST /v1/messages/count_tokens.
func (s *Server) countAnthropic(c *gin.Context) {
	s.count(c, counting{llm.AnthropicMessages, wire.DecodeAnthropicCount, wire.AnthropicCount}, "")
}

// countGemini serves POST /v1beta/models/{model}:countTokens.
func (s *Server) countGemini(c *gin.Context, model string) {
	s.count(c, counting{llm.GeminiGenerate, wire.DecodeGeminiCount, wire.GeminiCount}, model)
}

// countResponses serves POST /v1/responses/input_tokens.
func (s *Server) countResponses(c *gin.Context) {
	t := &talk{kept: s.talks, caller: s.caller(c).Name} // a conversation that is kept counts with what came before
	s.count(c, counting{llm.OpenAIResponses, t.decode, wire.ResponsesCount}, "")
}

// count answers with what the provider counts that the request would go to
// first, else with an estimate, and says so. model is the path's; "" where the
// body names it.
func (s *Server) count(c *gin.Context, how counting, model string) {
	in, e := s.receive(c)
	if e != nil {
		sendError(c, e)
		return
	}
	defer in.leave()
	req, e := in.request(c.Request.Header, how.decode, func(r *llm.Request) { r.Model = cmp.Or(model, r.Model) })
	if e != nil {
		sendError(c, e)
		return
	}
	target, count, e := s.Router.Count(c.Request.Context(), req)
	if e != nil {
		sendError(c, e)
		return
	}
	h := c.Writer.Header()
	if count == nil {
		if target.Model == "" {
			target.Model = req.Model
		}
		h.Set(HeaderEstimate, "true")
		c.Data(http.StatusOK, jsonType, how.write(s.Tokens.Estimate(target.Model, req)))
		return
	}
	body := how.write(count.Tokens)
	if count.Dialect == how.dialect {
		passOn(h, count.Header)
		body = count.Raw
	}
	h.Set(HeaderProvider, string(target.Provider))
	h.Set(HeaderModel, headerSafe(target.Model))
	h.Set("Content-Type", "application/json")
	c.Data(http.StatusOK, "application/json", body)
}
