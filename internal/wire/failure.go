package wire

import (
	"net/http"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/redact"

	"github.com/tidwall/gjson"
)

// MaxMessage bounds a failure's message, in bytes: a provider's reason fits,
// a page of HTML or an echoed prompt does not.
const MaxMessage = 500

// newFailure makes a failure of a provider's own words. Without words it takes
// those of the HTTP status, so that no HTML and no stray text is ever quoted.
func newFailure(class llm.FailureClass, status int, code, message string) *llm.Failure {
	if message == "" {
		message = http.StatusText(status)
	}
	return &llm.Failure{
		Class:   class,
		Status:  status,
		Code:    label(code),
		Message: redact.Short(redact.Secrets(message), MaxMessage),
	}
}

// classOf is what an HTTP status means where the body says nothing better.
// Status 0, an error object within an answer, is the provider's trouble.
func classOf(status int) llm.FailureClass {
	switch {
	case status == 0 || status >= 500:
		return llm.Server
	case status == http.StatusPaymentRequired:
		return llm.Quota
	case status == http.StatusTooManyRequests:
		return llm.RateLimit
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return llm.Auth
	case status == http.StatusRequestTimeout:
		return llm.Timeout
	case status >= 400:
		return llm.BadRequest
	}
	return llm.Garbage // a redirect is never followed, with a key in hand
}

// says whether a message, in lower case, has any of the phrases.
func says(message string, phrases ...string) bool {
	for _, p := range phrases {
		if strings.Contains(message, p) {
			return true
		}
	}
	return false
}

// outOfMoney and tooLong are phrases that several providers share, since many
// upstreams repeat OpenAI's words.
func outOfMoney(message string) bool {
	return says(message, "exceeded your current quota", "insufficient_quota", "credit balance", "billing", "out of credit", "spend limit", "spending limit", "spend cap")
}

func tooLong(message string) bool {
	return says(message, "maximum context length", "context length", "context window", "prompt is too long", "prompt too long", "context limit")
}

// openAIFailure reads {"error": {"message", "type", "param", "code"}}, see
// https://platform.openai.com/docs/guides/error-codes (2026-11).
func openAIFailure(status int, body []byte) *llm.Failure {
	o, _ := object(body)
	e := o.Get("error")
	if e.Type == gjson.String { // OpenAI-compatible servers
		return openAIClass(status, "", e.String())
	}
	code := e.Get("code").String()
	if code == "" {
		code = e.Get("type").String()
	}
	return openAIClass(status, code, e.Get("message").String())
}

func openAIClass(status int, code, message string) *llm.Failure {
	class := classOf(status)
	m := strings.ToLower(message)
	switch {
	case code == "insufficient_quota", code == "billing_hard_limit_reached", code == "billing_not_active",
		status < 500 && outOfMoney(m):
		class = llm.Quota
	case code == "rate_limit_exceeded":
		class = llm.RateLimit
	case code == "invalid_api_key":
		class = llm.Auth
	case code == "context_length_exceeded", (status == 400 || status == 413 || status == 0) && tooLong(m):
		class = llm.ContextLength
	case code == "content_filter", code == "content_policy_violation", code == "invalid_prompt":
		class = llm.ContentFilter
	case code == "model_not_found", code == "DeploymentNotFound",
		status == http.StatusNotFound && says(m, "model") && says(m, "does not exist", "not found"):
		class = llm.NoSuchModel
	case status == 0 && code == "invalid_request_error",
		status == http.StatusForbidden && says(m, "not allowed to generate embeddings"): // of a chat model
		class = llm.BadRequest
	}
	return newFailure(class, status, code, message)
}

// anthropicFailure reads {"type": "error", "error": {"type", "message"}}, see
// https://platform.claude.com/docs/en/api/errors (2026-11).
func anthropicFailure(status int, body []byte) *llm.Failure {
	o, _ := object(body)
	code, message := o.Get("error.type").String(), o.Get("error.message").String()
	class := classOf(status)
	switch code {
	case "authentication_error", "permission_error":
		class = llm.Auth
	case "billing_error":
		class = llm.Quota
	case "rate_limit_error":
		class = llm.RateLimit
	case "timeout_error", "overloaded_error", "api_error":
		class = llm.Server
	case "not_found_error", "invalid_request_error":
		class = llm.BadRequest
	case "request_too_large":
		class = llm.ContextLength
	}
	m := strings.ToLower(message)
	switch {
	case class == llm.Server:
	case outOfMoney(m), says(m, "api usage limits"):
		class = llm.Quota
	case class == llm.BadRequest && tooLong(m):
		class = llm.ContextLength
	case class == llm.BadRequest && says(m, "content filtering policy"):
		class = llm.ContentFilter
	case code == "not_found_error" && strings.HasPrefix(m, "model:"):
		class = llm.NoSuchModel
	}
	f := newFailure(class, status, code, message)
	f.RequestID = label(o.Get("request_id").String())
	return f
}

// geminiFailure reads {"error": {"code", "message", "status", "details"}},
// alone or in an array, see
// https://ai.google.dev/gemini-api/docs/troubleshooting (2026-11).
func geminiFailure(status int, body []byte) *llm.Failure {
	var o gjson.Result
	if validJSON(body) {
		o = gjson.ParseBytes(body)
		if o.IsArray() {
			o = o.Get("0")
		}
	}
	e := o.Get("error")
	meant := status
	if meant == 0 {
		meant = int(e.Get("code").Int())
	}
	m := strings.ToLower(e.Get("message").String())
	class := classOf(meant)
	details := geminiDetails(e.Get("details"))
	switch {
	case meant >= 500:
	case details.reason == "API_KEY_INVALID", says(m, "api key not valid", "api key expired"):
		class = llm.Auth // a 400
	case meant == http.StatusTooManyRequests:
		class = geminiLimit(m, details)
	case details.reason == "BILLING_DISABLED", outOfMoney(m):
		class = llm.Quota
	case says(m, "user location is not supported"):
		class = llm.Auth
	case meant == 400 && (tooLong(m) || says(m, "exceeds the maximum number of tokens")):
		class = llm.ContextLength
	case meant == http.StatusNotFound && says(m, "models/") && says(m, "not found"):
		class = llm.NoSuchModel
	}
	f := newFailure(class, status, e.Get("status").String(), e.Get("message").String())
	f.RetryAfter = details.retry
	return f
}

// geminiDetail is what an error's details tell.
type geminiDetail struct {
	reason            string        // google.rpc.ErrorInfo
	perDay, perMinute bool          // google.rpc.QuotaFailure: the limit that was hit
	retry             time.Duration // google.rpc.RetryInfo
}

func geminiDetails(details gjson.Result) geminiDetail {
	var d geminiDetail
	details.ForEach(func(_, v gjson.Result) bool {
		switch kind := v.Get("@type").String(); {
		case strings.HasSuffix(kind, "ErrorInfo"):
			d.reason = v.Get("reason").String()
		case strings.HasSuffix(kind, "QuotaFailure"):
			v.Get("violations").ForEach(func(_, v gjson.Result) bool {
				id := v.Get("quotaId").String()
				d.perDay = d.perDay || strings.Contains(id, "PerDay")
				d.perMinute = d.perMinute || strings.Contains(id, "PerMinute")
				return true
			})
		case strings.HasSuffix(kind, "RetryInfo"):
			if wait, err := time.ParseDuration(v.Get("retryDelay").String()); err == nil && wait > 0 {
				d.retry = wait
			}
		}
		return true
	})
	return d
}

// geminiLimit tells a rate limit from a spent quota. Google words both as "you
// exceeded your current quota": the details tell which limit it was.
func geminiLimit(message string, d geminiDetail) llm.FailureClass {
	switch {
	case d.perDay, says(message, "limit: 0,", "limit: 0\n", "spend", "credits are depleted", "prepayment"):
		return llm.Quota
	case d.perMinute, d.retry > 0:
		return llm.RateLimit
	case outOfMoney(message):
		return llm.Quota
	}
	return llm.RateLimit
}

// ollamaFailure reads {"error": "..."}, see
// https://github.com/ollama/ollama/blob/main/docs/api.md (2026-11). Its
// OpenAI-compatible side wraps the same words in an object.
func ollamaFailure(status int, body []byte) *llm.Failure {
	o, _ := object(body)
	e := o.Get("error")
	message := e.String()
	if e.IsObject() {
		message = e.Get("message").String()
	}
	class := classOf(status)
	m := strings.ToLower(message)
	switch {
	case status >= 500:
	case outOfMoney(m), says(m, "usage limit"): // Ollama's cloud models
		class = llm.Quota
	case tooLong(m):
		class = llm.ContextLength
	case (status == http.StatusNotFound || status == 0) && says(m, "model") && says(m, "not found"):
		class = llm.NoSuchModel
	}
	return newFailure(class, status, "", message)
}
