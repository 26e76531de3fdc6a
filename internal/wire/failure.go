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
// upstreams repeat OpenAI's words. Where a request itself is refused, its own
// words may be quoted, and a caller's "billing" is nobody's quota.
func outOfMoney(status int, message string) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		message = beforeQuotes(message)
	}
	return says(message, "exceeded your current quota", "insufficient_quota", "credit balance", "billing", "out of credit", "spend limit", "spending limit", "spend cap")
}

// beforeQuotes gives a message up to where it begins to quote.
func beforeQuotes(message string) string {
	for i, c := range []byte(message) {
		quote := c == '"' || c == '`' || c == '\'' && (i == 0 || message[i-1] == ' ' || message[i-1] == '(')
		if quote || c == ':' {
			return message[:i]
		}
	}
	return message
}

func tooLong(message string) bool {
	return says(message, "maximum context length", "context length", "context window", "prompt is too long", "prompt too long", "context limit")
}

// refusal fills in whether a key that is refused is bad as a whole. A 401 says
// so; a 403 and the like only where words or code do, since most are of one
// model, or of a place or a firewall on the way, for which another key would do
// no better.
func refusal(f *llm.Failure, message string) {
	bad := says(message, "invalid api key", "api key is invalid", "incorrect api key", "api key not valid", "key has been disabled", "key is disabled",
		"revoked", "expired", "leaked", "suspended", "deactivated", "has been disabled", "denied access") ||
		f.Code == "invalid_api_key" || f.Code == "account_deactivated" || f.Code == "authentication_error"
	f.OfModel = f.Class == llm.Auth && f.Status != http.StatusUnauthorized && !bad
}

// openAIFailure reads {"error": {"message", "type", "param", "code"}}, see
// https://developers.openai.com/api/docs/guides/error-codes (2026-11).
func openAIFailure(status int, body []byte) *llm.Failure {
	o, _ := object(body)
	e := o.Get("error")
	switch {
	case e.Type == gjson.String: // OpenAI-compatible servers
		return openAIClass(status, "", e.String())
	case !e.IsObject() && o.Get("object").String() == "error": // others of them, such as vLLM
		e = o
	}
	code := e.Get("code").String()
	if code == "" {
		code = e.Get("type").String()
	}
	f := openAIClass(status, code, e.Get("message").String())
	if e.Get("type").String() == "insufficient_quota" { // whatever the code, see https://help.openai.com/en/articles/6614457 (2026-11)
		f.Class = llm.Quota
	}
	return f
}

func openAIClass(status int, code, message string) *llm.Failure {
	class := classOf(status)
	m := strings.ToLower(message)
	// What is asked for at once may be over a limit of a minute, see
	// https://github.com/continuedev/continue/issues/10602 (2026-11).
	tooLarge := code == "rate_limit_exceeded" && strings.HasPrefix(m, "request too large for")
	switch {
	case (code == "rate_limit_exceeded" || code == "slow_down") && status < 500 && !says(m, "exceeded your current quota"):
		class = llm.RateLimit // whose words may offer a paid plan
	case code == "server_is_overloaded", status == http.StatusTooManyRequests && says(m, "currently overloaded"):
		class = llm.Server
	case openAIQuota(code), status < 500 && outOfMoney(status, m):
		class = llm.Quota
	case code == "invalid_api_key", code == "account_deactivated":
		class = llm.Auth
	case code == "context_length_exceeded", (status == 400 || status == 413 || status == 0) && tooLong(m):
		class = llm.ContextLength
	case code == "content_filter", code == "content_policy_violation", code == "invalid_prompt":
		class = llm.ContentFilter
	case status == http.StatusForbidden && says(m, "not allowed to generate embeddings"): // of a chat model
		class = llm.BadRequest
	case status == http.StatusForbidden && code == "model_not_found": // that this project may not use; another's key may
	case code == "model_not_found", code == "DeploymentNotFound",
		status == http.StatusNotFound && says(m, "model") && says(m, "does not exist", "not found"):
		class = llm.NoSuchModel
	case status == 0 && code == "invalid_request_error":
		class = llm.BadRequest
	}
	f := newFailure(class, status, code, message)
	f.TooLarge = tooLarge
	refusal(f, m)
	if class == llm.Auth && says(m, "missing scopes", "insufficient permissions") { // a 401, of one endpoint
		f.OfModel = true
	}
	return f
}

// openAIQuota says whether a code speaks of credit or a limit of the month.
// None of them passes by itself soon, see
// https://help.openai.com/en/articles/6614457 and
// https://github.com/lifan0127/ai-research-assistant/issues/174 (2026-11).
func openAIQuota(code string) bool {
	switch code {
	case "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credit_balance_exhausted",
		"organization_usage_limit_exceeded", "organization_spend_limit_exceeded", "project_spend_limit_exceeded":
		return true
	}
	return false
}

// anthropicFailure reads {"type": "error", "error": {"type", "message"}}, see
// https://platform.claude.com/docs/en/api/errors (2026-11).
func anthropicFailure(status int, body []byte) *llm.Failure {
	o, _ := object(body)
	code, message := o.Get("error.type").String(), o.Get("error.message").String()
	class := anthropicClass(status, code)
	m := strings.ToLower(message)
	switch {
	case class == llm.Server:
	case o.Get("error.details.error_code").String() == "enforced_spend_limit_reached", // a rate_limit_error, of the tier's month
		outOfMoney(status, m), says(m, "api usage limits"):
		class = llm.Quota
	case class == llm.Auth && strings.HasPrefix(m, "cors requests are not allowed"): // a browser's header, passed on
		class = llm.BadRequest
	case class == llm.BadRequest && says(m, "organization has been disabled"):
		class = llm.Auth
	case class == llm.BadRequest && tooLong(m):
		class = llm.ContextLength
	case class == llm.BadRequest && says(m, "content filtering policy"):
		class = llm.ContentFilter
	case code == "not_found_error" && strings.HasPrefix(m, "model:"):
		class = llm.NoSuchModel
	}
	f := newFailure(class, status, code, message)
	f.RequestID = label(o.Get("request_id").String())
	// "Usage credits are required for long context requests", see
	// https://github.com/anthropics/claude-code/issues/64982 (2026-11).
	f.TooLarge = class == llm.RateLimit && says(m, "required for long context requests")
	if class == llm.Quota {
		f.Resets = regained(message)
	}
	refusal(f, m)
	return f
}

// anthropicClass is what the type of an error means.
func anthropicClass(status int, code string) llm.FailureClass {
	switch code {
	case "authentication_error", "permission_error":
		return llm.Auth
	case "billing_error":
		return llm.Quota
	case "rate_limit_error":
		return llm.RateLimit
	case "timeout_error", "overloaded_error", "api_error":
		return llm.Server
	case "not_found_error", "invalid_request_error":
		return llm.BadRequest
	case "request_too_large":
		return llm.ContextLength
	}
	return classOf(status)
}

// regained reads when a spend limit lets go, of "You will regain access on
// 2026-12-01 at 00:00 UTC.", see
// https://github.com/anthropics/claude-code/issues/38035 (2026-11).
func regained(message string) time.Time {
	_, when, _ := strings.Cut(message, "regain access on ")
	when, _, _ = strings.Cut(when, " UTC")
	at, err := time.Parse("2006-01-02 at 15:04", when)
	if err != nil {
		return time.Time{}
	}
	return at
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
	ofModel := false
	switch {
	case meant >= 500:
	case details.ofKey(), says(m, "api key not valid", "api key expired"):
		class = llm.Auth // a 400 or a 403
	case meant == http.StatusTooManyRequests:
		class, ofModel = geminiLimit(m, details)
	case details.reason == "BILLING_DISABLED", outOfMoney(meant, m):
		class = llm.Quota
	case says(m, "user location is not supported"):
		class, ofModel = llm.Auth, true
	case meant == 400 && (tooLong(m) || says(m, "exceeds the maximum number of tokens")):
		class = llm.ContextLength
	case meant == http.StatusNotFound && says(m, "models/") && says(m, "not found"):
		class = llm.NoSuchModel
	}
	f := newFailure(class, status, e.Get("status").String(), e.Get("message").String())
	f.RetryAfter = details.retry
	if _, wait, found := strings.Cut(m, "please retry in "); found && f.RetryAfter == 0 {
		wait, _, _ = strings.Cut(wait, "s.")
		f.RetryAfter = max(0, duration(strings.TrimSuffix(wait, "s")+"s"))
	}
	refusal(f, m)
	f.OfModel = ofModel || f.OfModel && !details.ofKey() && !says(m, "unregistered callers")
	f.Daily = class == llm.Quota && details.perDay
	return f
}

// geminiDetail is what an error's details tell.
type geminiDetail struct {
	reason            string        // google.rpc.ErrorInfo
	perDay, perMinute bool          // google.rpc.QuotaFailure: the limit that was hit
	none              bool          // a limit of 0
	retry             time.Duration // google.rpc.RetryInfo
}

// ofKey says whether the reason speaks of the key or of its project, see
// https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto
// and https://github.com/continuedev/continue/issues/12781 (2026-11).
func (d geminiDetail) ofKey() bool {
	return strings.HasPrefix(d.reason, "API_KEY_") || strings.HasPrefix(d.reason, "CONSUMER_") || d.reason == "SERVICE_DISABLED"
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
				d.none = d.none || v.Get("quotaValue").String() == "0"
				return true
			})
		case strings.HasSuffix(kind, "RetryInfo"):
			d.retry = max(0, duration(v.Get("retryDelay").String()))
		}
		return true
	})
	return d
}

// duration reads a time such as "34.4s"; 0 for none.
func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

// geminiLimit tells a rate limit from a spent quota. Google words both as "you
// exceeded your current quota": the details tell which limit it was. Those of a
// day are of one model, as is a limit of 0, which a free tier has for models
// that are not free; a lack of money is of the project, see
// https://ai.google.dev/gemini-api/docs/rate-limits (2026-11).
func geminiLimit(message string, d geminiDetail) (class llm.FailureClass, ofModel bool) {
	switch {
	case says(message, "no capacity available"), d.reason == "MODEL_CAPACITY_EXHAUSTED":
		return llm.Server, false
	case says(message, "spend", "credits are depleted", "prepayment"):
		return llm.Quota, false
	case d.perDay, d.none, says(message, "limit: 0,", "limit: 0\n"):
		return llm.Quota, true
	case d.perMinute, d.retry > 0:
		return llm.RateLimit, false
	case outOfMoney(http.StatusTooManyRequests, message):
		return llm.Quota, false
	}
	return llm.RateLimit, false
}

// ollamaFailure reads {"error": "..."}, see
// https://docs.ollama.com/api/errors (2026-11). Its OpenAI-compatible side wraps
// the same words in an object. What it refuses is one of its cloud's models:
// those of the server itself need no key and have no quota.
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
	case status == http.StatusServiceUnavailable && says(m, "maximum pending requests"):
		class = llm.RateLimit // its line is full, and what it has is served: https://github.com/ollama/ollama/pull/4144 (2026-11)
	case status >= 500:
	case outOfMoney(status, m), says(m, "usage limit"):
		class = llm.Quota
	case tooLong(m):
		class = llm.ContextLength
	case (status == http.StatusNotFound || status == 0) && says(m, "model") && says(m, "not found"):
		class = llm.NoSuchModel
	}
	f := newFailure(class, status, "", message)
	f.OfModel = class == llm.Auth || class == llm.Quota
	return f
}
