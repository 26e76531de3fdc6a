package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// openAI speaks Chat Completions
// (https://platform.openai.com/docs/api-reference/chat).
type openAI struct {
	requestID string
}

const openAIFingerprint = "fp_ea40d5097a"

func (openAI) chat(r *http.Request) bool {
	return r.Method == http.MethodPost && (r.URL.Path == "/v1/chat/completions" || r.URL.Path == "/v1/embeddings")
}

func (d openAI) header(h http.Header) {
	h.Set("X-Request-Id", d.requestID)
	h.Set("Openai-Version", "2020-10-01")
	h.Set("Openai-Processing-Ms", "412")
	h.Set("X-Ratelimit-Limit-Requests", "10000")
	h.Set("X-Ratelimit-Limit-Tokens", "30000000")
	h.Set("X-Ratelimit-Remaining-Requests", "9999")
	h.Set("X-Ratelimit-Remaining-Tokens", "29999521")
	h.Set("X-Ratelimit-Reset-Requests", "6ms")
	h.Set("X-Ratelimit-Reset-Tokens", "0s")
}

func (openAI) key(r *http.Request) string { return bearer(r) }

func (openAI) denied(key string) response {
	if key != "" {
		return openAIBadKey(key)
	}
	return openAIError(401, "You didn't provide an API key. You need to provide your API key in an Authorization header "+
		"using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "+
		"https://platform.openai.com/account/api-keys.", "invalid_request_error", "", "")
}

// bearer gives the key of an Authorization header.
func bearer(r *http.Request) string {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return key
}

func openAIBad(param, code, format string, args ...any) *response {
	res := openAIError(400, fmt.Sprintf(format, args...), "invalid_request_error", param, code)
	return &res
}

// openAIReasons says whether a model is one that reasons: it takes
// max_completion_tokens only, and no sampling parameters
// (https://platform.openai.com/docs/guides/reasoning, 2026-11).
func openAIReasons(model string) bool { return isOneOf(model, "o1", "o3", "o4", "gpt-5") }

// openAINeverReasons says whether a model is one that refuses reasoning_effort.
// A model by another name may be either.
func openAINeverReasons(model string) bool { return isOneOf(model, "gpt-3.5", "gpt-4") }

func isOneOf(model string, families ...string) bool {
	return slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(model, f) })
}

func (openAI) free(r *http.Request, _ []byte, models []string) response {
	entry := func(id string) string {
		return fmt.Sprintf(`{"id":%s,"object":"model","created":1715367049,"owned_by":"system"}`, quote(id))
	}
	id, one := strings.CutPrefix(r.URL.Path, "/v1/models/")
	body := ""
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/v1/models":
		list := make([]string, len(models))
		for i, m := range models {
			list[i] = entry(m)
		}
		body = `{"object":"list","data":[` + strings.Join(list, ",") + `]}`
	case r.Method == http.MethodGet && one && slices.Contains(models, id):
		body = entry(id)
	case r.Method == http.MethodGet && one:
		return openAINoModel(id)
	default:
		return openAIError(404, fmt.Sprintf("Invalid URL (%s %s)", r.Method, r.URL.Path), "invalid_request_error", "", "")
	}
	return response{status: 200, header: contentType("application/json"), body: indent(body)}
}

// openAIError gives an error body; an empty param or code is null.
func openAIError(status int, message, kind, param, code string) response {
	orNull := func(s string) string {
		if s == "" {
			return "null"
		}
		return quote(s)
	}
	return response{
		status: status,
		header: contentType("application/json"),
		body: indent(fmt.Sprintf(`{"error":{"message":%s,"type":%s,"param":%s,"code":%s}}`,
			quote(message), quote(kind), orNull(param), orNull(code))),
	}
}

func openAINoModel(model string) response {
	return openAIError(404, fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
		"invalid_request_error", "", "model_not_found")
}

func openAIBadKey(key string) response {
	masked := strings.Repeat("*", len(key))
	if len(key) > 12 {
		masked = key[:8] + strings.Repeat("*", len(key)-12) + key[len(key)-4:]
	}
	return openAIError(401, "Incorrect API key provided: "+masked+
		". You can find your API key at https://platform.openai.com/account/api-keys.",
		"invalid_request_error", "", "invalid_api_key")
}

func (openAI) refuse(f Fault, c call) response {
	const bad = "invalid_request_error"
	switch f.Kind {
	case RateLimited:
		message := "Rate limit reached for " + c.model + " in organization org-simulated on tokens per min (TPM): " +
			"Limit 30000, Used 14567, Requested 24754."
		if f.RetryAfter < 0 {
			return openAIError(429, message, "tokens", "", "rate_limit_exceeded")
		}
		wait := inSeconds(f.RetryAfter)
		res := openAIError(429, message+" Please try again in "+wait+".", "tokens", "", "rate_limit_exceeded")
		withRetryAfter(res.header, f.RetryAfter).Set("Retry-After-Ms", strconv.FormatInt(f.RetryAfter.Milliseconds(), 10))
		res.header.Set("X-Ratelimit-Remaining-Tokens", "0")
		res.header.Set("X-Ratelimit-Reset-Tokens", wait)
		return res
	case QuotaExhausted:
		return openAIError(429, "You exceeded your current quota, please check your plan and billing details. For more "+
			"information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
			"insufficient_quota", "", "insufficient_quota")
	case Unauthorized:
		return openAIBadKey("sk-simulated-key")
	case NoSuchModel:
		return openAINoModel(c.model)
	case ContextLength:
		return openAIError(400, fmt.Sprintf("This model's maximum context length is 128000 tokens. However, your messages "+
			"resulted in %d tokens. Please reduce the length of the messages.", 128000+c.input), bad, "messages", "context_length_exceeded")
	case BadRequest:
		return openAIError(400, "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
			bad, "messages[0].role", "unsupported_value")
	case ContentFilter:
		return openAIError(400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try "+
			"again with a different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting",
			bad, "", "invalid_prompt")
	}
	switch f.Status {
	case 500:
		return openAIError(500, openAIServerError, "server_error", "", "")
	case 503:
		return openAIError(503, "The engine is currently overloaded, please try again later", "server_error", "", "service_unavailable")
	}
	return openAIError(f.Status, http.StatusText(f.Status), "server_error", "", "")
}

const openAIServerError = "The server had an error while processing your request. Sorry about that!"
