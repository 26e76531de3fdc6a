package sim

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ollama speaks the native API of an Ollama server
// (https://github.com/ollama/ollama/blob/main/docs/api.md).
type ollama struct {
	generate bool // /api/generate: a prompt, not messages
}

const (
	// OllamaVersion is the version that a simulated Ollama says it is.
	OllamaVersion = "0.34.3"

	ollamaJSON       = "application/json; charset=utf-8"
	ollamaLoadTime   = 38 * time.Millisecond
	ollamaModifiedAt = "2026-11-01T09:00:00.568120651Z"
)

func (ollama) chat(r *http.Request) bool {
	switch r.URL.Path {
	case "/api/chat", "/api/generate", "/api/embed", "/api/embeddings":
		return r.Method == http.MethodPost
	}
	return false
}

func (ollama) header(http.Header) {}

func ollamaError(status int, message string) response {
	return response{status: status, header: contentType(ollamaJSON), body: `{"error":` + quote(message) + `}`}
}

// key is that of a server behind a proxy, or in Ollama's cloud; a plain local
// server asks for none.
func (ollama) key(r *http.Request) string { return bearer(r) }

func (ollama) denied(string) response { return ollamaError(401, "unauthorized") }

// ollamaCapabilities gives what a model can do.
func ollamaCapabilities(model string) []string {
	switch {
	case embeds(model):
		return []string{"embedding"}
	case strings.Contains(model, "text-only"):
		return []string{"completion"}
	}
	return []string{"completion", "tools", "vision", "thinking"}
}

func ollamaCan(model, capability string) bool {
	return slices.Contains(ollamaCapabilities(model), capability)
}

const ollamaDetails = `{"parent_model":"","format":"gguf","family":"llama","families":["llama"],` +
	`"parameter_size":"8.0B","quantization_level":"Q4_0","context_length":8192,"embedding_length":4096}`

func ollamaList(models []string, more func(model string) string) string {
	entries := make([]string, len(models))
	for i, m := range models {
		name := quote(withTag(m))
		entries[i] = fmt.Sprintf(`{"name":%s,"model":%s,"size":4661224676,"digest":"%x","details":%s,%s}`,
			name, name, sha256.Sum256([]byte(name)), ollamaDetails, more(m))
	}
	return `{"models":[` + strings.Join(entries, ",") + `]}`
}

func (ollama) free(r *http.Request, body []byte, models []string) response {
	ok := response{status: 200, header: contentType(ollamaJSON)}
	switch r.Method + " " + r.URL.Path {
	case "GET /", "HEAD /":
		ok.header, ok.body = contentType("text/plain; charset=utf-8"), "Ollama is running"
	case "GET /api/version":
		ok.body = `{"version":"` + OllamaVersion + `"}`
	case "GET /api/tags":
		ok.body = ollamaList(models, func(m string) string {
			return `"modified_at":"` + ollamaModifiedAt + `","capabilities":` + quote(ollamaCapabilities(m))
		})
	case "GET /api/ps":
		until := quote(time.Now().UTC().Add(5 * time.Minute))
		ok.body = ollamaList(models, func(string) string {
			return `"expires_at":` + until + `,"size_vram":4661224676,"context_length":8192`
		})
	case "POST /api/show":
		var q struct{ Model, Name string }
		_ = json.Unmarshal(body, &q) // an unreadable body names no model
		if q.Model == "" {
			q.Model = q.Name
		}
		if q.Model == "" || !knows(models, q.Model) {
			return ollamaError(404, "model '"+q.Model+"' not found")
		}
		ok.body = `{"details":` + ollamaDetails + `,"model_info":{"general.architecture":"llama","llama.context_length":8192},` +
			`"capabilities":` + quote(ollamaCapabilities(q.Model)) + `,"modified_at":"` + ollamaModifiedAt + `"}`
	default:
		return response{status: 404, header: contentType("text/plain"), body: "404 page not found"}
	}
	return ok
}

// withTag gives a model's full name.
func withTag(model string) string {
	if strings.Contains(model, ":") {
		return model
	}
	return model + ":latest"
}

func (ollama) refuse(f Fault, c call) response {
	switch f.Kind {
	case RateLimited: // from Ollama's cloud; a local server has no limit but its queue
		res := ollamaError(429, "too many concurrent requests")
		if f.RetryAfter > 0 {
			withRetryAfter(res.header, f.RetryAfter)
		}
		return res
	case QuotaExhausted: // from Ollama's cloud
		return ollamaError(429, "you've reached your hourly usage limit, please upgrade to continue")
	case Unauthorized:
		return ollamaError(401, "unauthorized")
	case NoSuchModel:
		return ollamaError(404, "model '"+c.model+"' not found")
	case ContextLength:
		return ollamaError(400, "the input length exceeds the context length")
	case BadRequest:
		return ollamaError(400, "registry.ollama.ai/library/"+withTag(c.model)+" does not support tools")
	}
	switch f.Status {
	case 500:
		return ollamaError(500, "llama runner process has terminated: exit status 2")
	case 503:
		return ollamaError(503, "server busy, please try again.  maximum pending requests exceeded")
	}
	return ollamaError(f.Status, http.StatusText(f.Status))
}
