package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// gemini speaks generateContent
// (https://ai.google.dev/api/generate-content).
type gemini struct{}

const geminiJSON = "application/json; charset=UTF-8"

// geminiPath takes a path such as /v1beta/models/gemini-2.5-flash:generateContent
// apart. The method is empty for a model by itself, both for the list.
func geminiPath(path string) (model, method string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v1beta/models")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/v1/models")
	}
	if !ok || rest != "" && rest[0] != '/' {
		return "", "", false
	}
	model, method, _ = strings.Cut(strings.TrimPrefix(rest, "/"), ":")
	return model, method, true
}

func (gemini) chat(r *http.Request) bool {
	_, method, _ := geminiPath(r.URL.Path)
	switch method {
	case "generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents":
		return r.Method == http.MethodPost
	}
	return false
}

func (gemini) header(h http.Header) {
	h.Set("Server", "scaffolding on HTTPServer2")
	h.Set("Server-Timing", "gfet4t7; dur=412")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Origin, X-Origin, Referer")
}

// geminiError gives an error body; details are whole JSON objects.
func geminiError(code int, status, message string, details ...string) response {
	more := ""
	if len(details) > 0 {
		more = `,"details":[` + strings.Join(details, ",") + `]`
	}
	return response{
		status: code,
		header: contentType(geminiJSON),
		body:   indent(fmt.Sprintf(`{"error":{"code":%d,"message":%s,"status":%q%s}}`, code, quote(message), status, more)),
	}
}

func geminiBadKey() response {
	const message = "API key not valid. Please pass a valid API key."
	return geminiError(400, "INVALID_ARGUMENT", message,
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com",`+
			`"metadata":{"service":"generativelanguage.googleapis.com"}}`,
		`{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US","message":"`+message+`"}`)
}

func (gemini) key(r *http.Request) string {
	if key := r.Header.Get("X-Goog-Api-Key"); key != "" {
		return key
	}
	return r.URL.Query().Get("key")
}

func (gemini) denied(key string) response {
	if key != "" {
		return geminiBadKey()
	}
	return geminiError(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without established "+
		"identity). Please use API Key or other form of API consumer identity to call this API.")
}

func (d gemini) free(r *http.Request, body []byte, models []string) response {
	entry := func(id string) string {
		methods := `"generateContent","countTokens"`
		if embeds(id) {
			methods = `"embedContent","batchEmbedContents","countTokens"`
		}
		return fmt.Sprintf(`{"name":%s,"version":"001","displayName":%s,"description":"A simulated model.",`+
			`"inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":[%s],`+
			`"temperature":1,"topP":0.95,"topK":64,"maxTemperature":2,"thinking":true}`, quote("models/"+id), quote(id), methods)
	}
	model, method, ok := geminiPath(r.URL.Path)
	res := response{status: 200, header: contentType(geminiJSON)}
	switch {
	case ok && method == "countTokens" && r.Method == http.MethodPost:
		return d.count(model, body, models)
	case !ok || method != "" || r.Method != http.MethodGet:
		return response{status: 404, header: contentType("text/html; charset=UTF-8"), body: "<!DOCTYPE html>\n" +
			"<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n<p><b>404.</b> <ins>That’s an error.</ins>\n</html>\n"}
	case model == "":
		list := make([]string, len(models))
		for i, m := range models {
			list[i] = entry(m)
		}
		res.body = indent(`{"models":[` + strings.Join(list, ",") + `]}`)
	case slices.Contains(models, model):
		res.body = indent(entry(model))
	default:
		return geminiNoModel(model, "")
	}
	return res
}

// geminiNoModel is the refusal of a model that does not exist, or does not do
// what was asked: by the method's name, generateContent where it is empty.
func geminiNoModel(model, method string) response {
	if method == "" || method == "streamGenerateContent" {
		method = "generateContent"
	}
	return geminiError(404, "NOT_FOUND", "models/"+model+" is not found for API version v1beta, or is not supported for "+
		method+". Call ModelService.ListModels to see the list of available models and their supported methods.")
}

// as puts an error into a JSON array where the call expects one.
func (res response) as(c call) response {
	if c.array && res.status != http.StatusOK {
		res.body = "[" + strings.TrimSuffix(res.body, "\n") + "\n]"
	}
	return res
}

func (gemini) refuse(f Fault, c call) response { return geminiRefusal(f, c).as(c) }

func geminiRefusal(f Fault, c call) response {
	const exceeded = "You exceeded your current quota, please check your plan and billing details. For more information on this " +
		"error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
	quota := func(id string) string {
		return `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{` +
			`"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"` + id +
			`","quotaDimensions":{"location":"global","model":` + quote(c.model) + `},"quotaValue":"250"}]}`
	}
	const help = `{"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"Learn more about Gemini API quotas",` +
		`"url":"https://ai.google.dev/gemini-api/docs/rate-limits"}]}`
	switch f.Kind {
	case RateLimited:
		details := []string{quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), help}
		message := exceeded
		if f.RetryAfter > 0 {
			wait := inSeconds(f.RetryAfter)
			message += "\nPlease retry in " + wait + "."
			details = append(details, `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`+wait+`"}`)
		}
		return geminiError(429, "RESOURCE_EXHAUSTED", message, details...)
	case QuotaExhausted:
		return geminiError(429, "RESOURCE_EXHAUSTED", exceeded, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), help)
	case Unauthorized:
		return geminiBadKey()
	case NoSuchModel:
		return geminiNoModel(c.model, c.method)
	case ContextLength:
		return geminiError(400, "INVALID_ARGUMENT", fmt.Sprintf(
			"The input token count (%d) exceeds the maximum number of tokens allowed (1048576).", 1048576+c.input))
	case BadRequest:
		return geminiError(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
	case RefusePrefill: // by https://github.com/songquanpeng/one-api/issues/836 (2026-11)
		return geminiError(400, "INVALID_ARGUMENT", "Please ensure that multiturn requests ends with a user role or a function response.")
	case ContentFilter:
		blocked := fmt.Sprintf(`{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},`+
			`"usageMetadata":{"promptTokenCount":%d,"totalTokenCount":%d},"modelVersion":%s,"responseId":"w1peaMz6INOvnvgPgYfPiQY"}`,
			c.input, c.input, quote(c.model))
		switch {
		case c.array:
			return response{status: 200, header: contentType(geminiJSON), body: "[" + blocked + "\n]\n"}
		case c.stream:
			return response{status: 200, header: contentType("text/event-stream"), body: "data: " + blocked + "\r\n\r\n"}
		}
		return response{status: 200, header: contentType(geminiJSON), body: indent(blocked)}
	}
	switch f.Status {
	case 500:
		return geminiError(500, "INTERNAL", "An internal error has occurred. Please retry or report in "+
			"https://developers.generativeai.google/guide/troubleshooting")
	case 503:
		return geminiError(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
	case 504:
		return geminiError(504, "DEADLINE_EXCEEDED", "The request timed out. Please try again.")
	}
	return geminiError(f.Status, "UNKNOWN", http.StatusText(f.Status))
}
