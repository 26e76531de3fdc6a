package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/wire"
)

// doorOf gives a dialect's door; the dialects asked for all have one.
func doorOf(d llm.Dialect) wire.Door {
	door, ok := wire.DoorFor(d)
	if !ok {
		panic("no door for " + string(d))
	}
	return door
}

// registerDoors opens every door.
func (s *Server) registerDoors(g *gin.RouterGroup) {
	for path, d := range map[string]llm.Dialect{
		"/v1/chat/completions": llm.OpenAIChat,
		"/v1/completions":      llm.OpenAILegacy,
		"/v1/messages":         llm.AnthropicMessages,
		"/api/chat":            llm.OllamaChat,
		"/api/generate":        llm.OllamaGenerate,
		"/v1/embeddings":       llm.OpenAIEmbeddings,
		"/api/embed":           llm.OllamaEmbed,
		"/api/embeddings":      llm.OllamaEmbeddings,
	} {
		door := doorOf(d)
		g.POST(path, func(c *gin.Context) { s.serve(c, door, nil) })
	}
	s.registerResponses(g)
	g.POST("/v1/messages/count_tokens", s.countAnthropic)
	g.POST("/v1/responses/input_tokens", s.countResponses)
	for _, version := range []string{"/v1", "/v1beta"} {
		g.POST(version+"/models/*call", s.gemini)
	}
}

// gemini serves POST /v1beta/models/{model}:{method}, and the same under /v1.
func (s *Server) gemini(c *gin.Context) {
	call := strings.TrimPrefix(c.Param("call"), "/")
	at := strings.LastIndexByte(call, ':')
	if at < 0 {
		s.unknownPath(c, http.StatusNotFound, "not_found", "there is no method at")
		return
	}
	model, method := strings.TrimPrefix(call[:at], "models/"), call[at+1:]
	name := func(stream bool) func(*llm.Request) {
		return func(r *llm.Request) { r.Model, r.Stream = model, stream }
	}
	switch method {
	case "generateContent":
		s.serve(c, doorOf(llm.GeminiGenerate), name(false))
	case "streamGenerateContent":
		door := doorOf(llm.GeminiGenerate)
		if c.Query("alt") != "sse" {
			door = wire.GeminiArrayDoor()
		}
		s.serve(c, door, name(true))
	case "embedContent":
		s.serve(c, doorOf(llm.GeminiEmbed), name(false))
	case "batchEmbedContents":
		s.serve(c, doorOf(llm.GeminiBatchEmbed), name(false))
	case "countTokens":
		s.countGemini(c, model)
	default:
		s.unknownPath(c, http.StatusNotFound, "not_found", "this Breakwater does not serve the method at")
	}
}

// doorAt gives the door whose errors a path's callers understand.
func doorAt(r *http.Request) wire.Door {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/v1/messages"), path == "/v1/models" && r.Header.Get("Anthropic-Version") != "":
		return doorOf(llm.AnthropicMessages)
	case strings.HasPrefix(path, "/v1beta/"), strings.HasPrefix(path, "/v1/models/") && strings.Contains(path, ":") && r.Method == http.MethodPost,
		path == "/v1/models" && asksAsGemini(r):
		return doorOf(llm.GeminiGenerate)
	case strings.HasPrefix(path, "/api/"):
		return doorOf(llm.OllamaChat)
	}
	return doorOf(llm.OpenAIChat)
}

// asksAsGemini says whether a request carries its key as Google's SDKs do.
func asksAsGemini(r *http.Request) bool {
	return r.Header.Get("X-Goog-Api-Key") != "" || r.URL.Query().Get("key") != ""
}

// sendError answers with an error in the shape that the path's callers know.
func sendError(c *gin.Context, e *router.Error) { sendProblem(c, doorAt(c.Request), e) }
