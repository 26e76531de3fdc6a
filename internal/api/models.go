package api

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/wire"
)

// registerModels opens the lists of models of every dialect.
func (s *Server) registerModels(g *gin.RouterGroup) {
	g.GET("/v1/models", s.models)
	g.GET("/v1/models/*id", s.model)
	g.GET("/v1beta/models", func(c *gin.Context) { s.geminiModels(c) })
	g.GET("/v1beta/models/*id", s.model)
	g.GET("/api/tags", func(c *gin.Context) { c.Data(http.StatusOK, jsonType, wire.OllamaTags(s.ollamaModels())) })
	g.GET("/api/version", func(c *gin.Context) { c.Data(http.StatusOK, jsonType, wire.OllamaVersion(s.Version)) })
	g.GET("/api/ps", func(c *gin.Context) {
		c.Data(http.StatusOK, jsonType, wire.OllamaPs(s.Router.Loaded(c.Request.Context())))
	})
	g.POST("/api/show", s.show)
}

const jsonType = "application/json; charset=utf-8"

// models serves GET /v1/models, which three dialects share: a caller with
// anthropic-version gets Anthropic's form, one with a key as Google's SDKs send
// it Gemini's, everybody else OpenAI's.
func (s *Server) models(c *gin.Context) {
	switch {
	case c.GetHeader("Anthropic-Version") != "":
		s.anthropicModels(c)
	case asksAsGemini(c.Request):
		s.geminiModels(c)
	default:
		l := openAIModels{Object: "list", Data: []openAIModel{}}
		for _, m := range s.Router.Models() {
			l.Data = append(l.Data, modelOf(m))
		}
		sendJSON(c, http.StatusOK, l)
	}
}

// model serves one model of a list; an id may contain slashes.
func (s *Server) model(c *gin.Context) {
	id := strings.TrimPrefix(c.Param("id"), "/")
	for _, m := range s.Router.Models() {
		switch {
		case m.ID != id:
		case c.GetHeader("Anthropic-Version") != "":
			sendJSON(c, http.StatusOK, anthropicModelOf(m))
			return
		case asksAsGemini(c.Request) || strings.HasPrefix(c.Request.URL.Path, "/v1beta/"):
			sendJSON(c, http.StatusOK, geminiModelOf(m))
			return
		default:
			sendJSON(c, http.StatusOK, modelOf(m))
			return
		}
	}
	sendError(c, unknownModel(id))
}

func unknownModel(id string) *router.Error {
	return &router.Error{Status: http.StatusNotFound, Type: "invalid_request_error", Code: "model_not_found", Param: "model",
		Message: "no model " + strconv.Quote(id) + " is known here; GET /v1/models lists all"}
}

// anthropicModel is a model of https://platform.claude.com/docs/en/api/models-list (2026-11).
type anthropicModel struct {
	Type        string    `json:"type"`
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name"`
	CreatedAt   time.Time `json:"created_at"` // 1970: not known
	MaxInput    int64     `json:"max_input_tokens,omitempty"`
	MaxOutput   int64     `json:"max_tokens,omitempty"`
}

func anthropicModelOf(m router.Model) anthropicModel {
	created := m.Detail.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	return anthropicModel{
		Type: "model", ID: m.ID, DisplayName: cmp.Or(m.Detail.Title, m.ID), CreatedAt: created.UTC(),
		MaxInput: m.Detail.MaxInput, MaxOutput: m.Detail.MaxOutput,
	}
}

// anthropicModels gives the whole list as one page.
func (s *Server) anthropicModels(c *gin.Context) {
	l := struct {
		Data    []anthropicModel `json:"data"`
		HasMore bool             `json:"has_more"`
		First   *string          `json:"first_id"`
		Last    *string          `json:"last_id"`
	}{Data: []anthropicModel{}}
	for _, m := range s.Router.Models() {
		l.Data = append(l.Data, anthropicModelOf(m))
	}
	if n := len(l.Data); n > 0 {
		l.First, l.Last = &l.Data[0].ID, &l.Data[n-1].ID
	}
	sendJSON(c, http.StatusOK, l)
}

// geminiModel is a model of https://ai.google.dev/api/models (2026-11).
type geminiModel struct {
	Name        string   `json:"name"`
	DisplayName string   `json:"displayName"`
	MaxInput    int64    `json:"inputTokenLimit,omitempty"`
	MaxOutput   int64    `json:"outputTokenLimit,omitempty"`
	Methods     []string `json:"supportedGenerationMethods"`
}

func geminiModelOf(m router.Model) geminiModel {
	methods := []string{"generateContent", "countTokens"}
	if embeds(m) {
		methods = []string{"embedContent"}
	}
	return geminiModel{Name: "models/" + m.ID, DisplayName: cmp.Or(m.Detail.Title, m.ID), MaxInput: m.Detail.MaxInput, MaxOutput: m.Detail.MaxOutput, Methods: methods}
}

func (s *Server) geminiModels(c *gin.Context) {
	l := struct {
		Models []geminiModel `json:"models"`
	}{Models: []geminiModel{}}
	for _, m := range s.Router.Models() {
		l.Models = append(l.Models, geminiModelOf(m))
	}
	sendJSON(c, http.StatusOK, l)
}

// ollamaModels gives all models as Ollama would tell of its own.
func (s *Server) ollamaModels() []wire.OllamaModel {
	var all []wire.OllamaModel
	for _, m := range s.Router.Models() {
		all = append(all, ollamaModelOf(m))
	}
	return all
}

// embeds says whether a model only embeds, as all of the providers' names tell.
func embeds(m router.Model) bool { return strings.Contains(m.ID, "embed") }

// ollamaModelOf gives a local model as its server tells of it, and any other
// with what Ollama's words have for it.
func ollamaModelOf(m router.Model) wire.OllamaModel {
	if m.Detail.Local != nil {
		o := *m.Detail.Local
		o.Name = m.ID
		return o
	}
	o := wire.OllamaModel{Name: m.ID, ModifiedAt: m.Detail.Created, ContextLength: m.Detail.MaxInput}
	switch { // clients do not offer tools to a model that tells of none
	case m.Provider == llm.Local:
	case embeds(m):
		o.Capabilities = []string{"embedding"}
	default:
		o.Capabilities = []string{"completion", "tools", "vision"}
	}
	return o
}

// show serves POST /api/show.
func (s *Server) show(c *gin.Context) {
	in, e := s.receive(c)
	if e != nil {
		sendError(c, e)
		return
	}
	defer in.leave()
	name := cmp.Or(gjson.GetBytes(in.body, "model").String(), gjson.GetBytes(in.body, "name").String())
	for _, m := range s.Router.Models() {
		if m.ID == name || m.ID == name+":latest" {
			c.Data(http.StatusOK, jsonType, wire.OllamaShow(ollamaModelOf(m)))
			return
		}
	}
	sendError(c, unknownModel(name))
}

type openAIModels struct {
	Object string        `json:"object"`
	Data   []openAIModel `json:"data"`
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
	created := int64(0)
	if !m.Detail.Created.IsZero() {
		created = m.Detail.Created.Unix()
	}
	return openAIModel{ID: m.ID, Object: "model", Created: created, OwnedBy: owner}
}
