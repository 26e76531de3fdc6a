package sim

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ollama speaks the native API of an Ollama server
// (https://github.com/ollama/ollama/blob/main/docs/api.md).
type ollama struct{}

const (
	// OllamaVersion is the version that a simulated Ollama says it is.
	OllamaVersion = "0.34.3"

	ollamaJSON       = "application/json; charset=utf-8"
	ollamaLoadTime   = 38 * time.Millisecond
	ollamaModifiedAt = "2026-11-01T09:00:00.568120651Z"
)

func (ollama) chat(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/api/chat"
}

func (ollama) header(http.Header) {}

func ollamaError(status int, message string) response {
	return response{status: status, header: contentType(ollamaJSON), body: `{"error":` + quote(message) + `}`}
}

// authorize knows the key of a server behind a proxy, or in Ollama's cloud; a
// plain local server asks for none.
func (ollama) authorize(r *http.Request, key string) *response {
	if r.Header.Get("Authorization") == "Bearer "+key {
		return nil
	}
	res := ollamaError(401, "unauthorized")
	return &res
}

func (ollama) decode(_ *http.Request, body []byte) (call, *response) {
	var q struct {
		Model    string
		Messages []struct{ Role, Content string }
		Stream   *bool
		Options  struct {
			NumPredict int `json:"num_predict"`
			Stop       []string
		}
	}
	err := json.Unmarshal(body, &q)
	c := call{
		model:     q.Model,
		stream:    q.Stream == nil || *q.Stream,
		maxTokens: max(q.Options.NumPredict, 0), // -1 is no limit
		stop:      q.Options.Stop,
	}
	bad := func(status int, message string) (call, *response) {
		res := ollamaError(status, message)
		return c, &res
	}
	switch {
	case len(body) == 0:
		return bad(400, "missing request body")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return bad(400, "unexpected EOF")
	case err != nil:
		return bad(400, err.Error())
	case q.Model == "":
		return bad(400, "model is required")
	case len(q.Messages) == 0: // only loads the model
		res := response{status: 200, header: contentType(ollamaJSON), body: fmt.Sprintf(
			`{"model":%s,"created_at":%s,"message":{"role":"assistant","content":""},"done_reason":"load","done":true}`,
			quote(q.Model), quote(time.Now().UTC()))}
		return c, &res
	}
	var texts []string
	for _, m := range q.Messages {
		texts = append(texts, m.Content)
		if strings.EqualFold(m.Role, "user") {
			c.prompt = m.Content
		}
	}
	c.input = count(texts...)
	return c, nil
}

func (ollama) free(r *http.Request, body []byte, models []string) response {
	const details = `{"parent_model":"","format":"gguf","family":"llama","families":["llama"],` +
		`"parameter_size":"8.0B","quantization_level":"Q4_0","context_length":8192,"embedding_length":4096}`
	list := func(more string) string {
		entries := make([]string, len(models))
		for i, m := range models {
			name := quote(withTag(m))
			entries[i] = fmt.Sprintf(`{"name":%s,"model":%s,"size":4661224676,"digest":"%x","details":%s,%s}`,
				name, name, sha256.Sum256([]byte(name)), details, more)
		}
		return `{"models":[` + strings.Join(entries, ",") + `]}`
	}
	ok := response{status: 200, header: contentType(ollamaJSON)}
	switch r.Method + " " + r.URL.Path {
	case "GET /", "HEAD /":
		ok.header, ok.body = contentType("text/plain; charset=utf-8"), "Ollama is running"
	case "GET /api/version":
		ok.body = `{"version":"` + OllamaVersion + `"}`
	case "GET /api/tags":
		ok.body = list(`"modified_at":"` + ollamaModifiedAt + `","capabilities":["completion"]`)
	case "GET /api/ps":
		ok.body = list(`"expires_at":` + quote(time.Now().UTC().Add(5*time.Minute)) + `,"size_vram":4661224676,"context_length":8192`)
	case "POST /api/show":
		var q struct{ Model, Name string }
		_ = json.Unmarshal(body, &q) // an unreadable body names no model
		if q.Model == "" {
			q.Model = q.Name
		}
		if q.Model == "" || !knows(models, q.Model) {
			return ollamaError(404, "model '"+q.Model+"' not found")
		}
		ok.body = `{"details":` + details + `,"model_info":{"general.architecture":"llama","llama.context_length":8192},` +
			`"capabilities":["completion"],"modified_at":"` + ollamaModifiedAt + `"}`
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

// ollamaLine is one ChatResponse, made so many tokens after the first. The
// last one, with a finish, has the durations in nanoseconds.
func ollamaLine(c call, a answer, content string, finish finish, after int) string {
	last := `,"done":false}`
	if finish != unfinished {
		reason := "stop"
		if finish == finishLength {
			reason = "length"
		}
		eval := time.Duration(len(a.tokens)) * max(a.pace, time.Millisecond)
		load := min(ollamaLoadTime, a.first/2)
		prompt := max(a.first-load, time.Millisecond)
		last = fmt.Sprintf(`,"done_reason":%q,"done":true,"total_duration":%d,"load_duration":%d,"prompt_eval_count":%d,`+
			`"prompt_eval_duration":%d,"eval_count":%d,"eval_duration":%d}`,
			reason, load+prompt+eval, load, c.input, prompt, len(a.tokens), eval)
	}
	return fmt.Sprintf(`{"model":%s,"created_at":%s,"message":{"role":"assistant","content":%s}%s`,
		quote(c.model), quote(a.made.Add(a.first+time.Duration(after)*a.pace)), quote(content), last)
}

func (ollama) whole(c call, a answer) response {
	return response{
		status: 200,
		header: contentType(ollamaJSON),
		body:   ollamaLine(c, a, a.text(), a.finish, len(a.tokens)),
	}
}

func (ollama) stream(c call, a answer) frames {
	f := frames{
		contentType: "application/x-ndjson",
		failure:     func(int) string { return `{"error":"an error was encountered while running the model"}` + "\n" },
	}
	for i, token := range a.tokens {
		f.tokens = append(f.tokens, ollamaLine(c, a, token, unfinished, i)+"\n")
	}
	if a.finish != unfinished {
		f.tail = []string{ollamaLine(c, a, "", a.finish, len(a.tokens)) + "\n"}
	}
	return f
}
