package wire

import (
	"net/http"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// told is what a failure is held to.
type told struct {
	class    llm.FailureClass
	code     string
	wait     time.Duration
	ofModel  bool
	tooLarge bool
	daily    bool
	resets   time.Time
}

// failureCase is an error body, and what it means.
type failureCase struct {
	name   string
	status int
	body   string
	want   told
}

func checkFailures(t *testing.T, failure func(int, []byte) *llm.Failure, cases []failureCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := failure(c.status, []byte(c.body))
			if got := (told{f.Class, f.Code, f.RetryAfter, f.OfModel, f.TooLarge, f.Daily, f.Resets}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if f.Status != c.status || f.Message == "" && http.StatusText(c.status) != "" {
				t.Errorf("status %d, message %q", f.Status, f.Message)
			}
		})
	}
}

// openAIError is a body as the API writes it.
func openAIError(kind, code, message string) string {
	return `{"error":{"message":"` + message + `","type":"` + kind + `","param":null,"code":"` + code + `"}}`
}

func TestWhatOpenAIsErrorsMean(t *testing.T) {
	const plan = "You exceeded your current quota, please check your plan and billing details."
	checkFailures(t, openAIFailure, []failureCase{
		{"no credit", 429, openAIError("insufficient_quota", "insufficient_quota", plan), told{class: llm.Quota, code: "insufficient_quota"}},
		{"no prepaid credit", 429, openAIError("insufficient_quota", "credit_balance_exhausted", "No credits."), told{class: llm.Quota, code: "credit_balance_exhausted"}},
		{"the project's limit", 429, openAIError("insufficient_quota", "project_spend_limit_exceeded", plan), told{class: llm.Quota, code: "project_spend_limit_exceeded"}},
		{"the organization's limit", 429, openAIError("x", "organization_spend_limit_exceeded", "x"), told{class: llm.Quota, code: "organization_spend_limit_exceeded"}},
		{"a later code of quota", 429, openAIError("insufficient_quota", "team_limit_exceeded", "x"), told{class: llm.Quota, code: "team_limit_exceeded"}},
		{"billing limit", 400, openAIError("invalid_request_error", "billing_hard_limit_reached", "Billing hard limit has been reached"), told{class: llm.Quota, code: "billing_hard_limit_reached"}},
		{"billing not active", 429, openAIError("billing_not_active", "billing_not_active", "Your account is not active, please check your billing details on our website."), told{class: llm.Quota, code: "billing_not_active"}},
		{"requests a minute", 429, openAIError("requests", "rate_limit_exceeded", "Rate limit reached for gpt-4o on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s."), told{class: llm.RateLimit, code: "rate_limit_exceeded"}},
		{"a rate limit that offers a plan", 429, openAIError("requests", "rate_limit_exceeded", "Rate limit reached. Please add a payment method: https://platform.openai.com/account/billing"), told{class: llm.RateLimit, code: "rate_limit_exceeded"}},
		{"a quota told as a rate limit", 429, openAIError("x", "rate_limit_exceeded", plan), told{class: llm.Quota, code: "rate_limit_exceeded"}},
		{"too much for a minute", 429, openAIError("tokens", "rate_limit_exceeded", "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 61337. The input or output tokens must be reduced in order to run successfully."), told{class: llm.RateLimit, code: "rate_limit_exceeded", tooLarge: true}},
		{"slow down, 429", 429, openAIError("rate_limit_error", "slow_down", "Slow down"), told{class: llm.RateLimit, code: "slow_down"}},
		{"slow down, 503", 503, openAIError("service_unavailable_error", "slow_down", "Slow down"), told{class: llm.Server, code: "slow_down"}},
		{"overloaded, 503", 503, openAIError("service_unavailable_error", "server_is_overloaded", "x"), told{class: llm.Server, code: "server_is_overloaded"}},
		{"overloaded, 429", 429, openAIError("requests", "engine", "The engine is currently overloaded, please try again later"), told{class: llm.Server, code: "engine"}},
		{"server error", 500, openAIError("server_error", "", "The server had an error"), told{class: llm.Server, code: "server_error"}},
		{"server error in a stream", 0, openAIError("server_error", "", "The server had an error"), told{class: llm.Server, code: "server_error"}},
		{"key", 401, openAIError("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-inval****-key."), told{class: llm.Auth, code: "invalid_api_key"}},
		{"account", 401, openAIError("invalid_request_error", "account_deactivated", "The account has been deactivated."), told{class: llm.Auth, code: "account_deactivated"}},
		{"account, 403", 403, openAIError("invalid_request_error", "account_deactivated", "x"), told{class: llm.Auth, code: "account_deactivated"}},
		{"scope of the key", 401, openAIError("invalid_request_error", "", "You have insufficient permissions for this operation. Missing scopes: model.request."), told{class: llm.Auth, code: "invalid_request_error", ofModel: true}},
		{"country", 403, openAIError("request_forbidden", "unsupported_country_region_territory", "Country, region, or territory not supported"), told{class: llm.Auth, code: "unsupported_country_region_territory", ofModel: true}},
		{"model of another project", 403, openAIError("invalid_request_error", "model_not_found", "Project `proj_1` does not have access to model `gpt-4o-mini`"), told{class: llm.Auth, code: "model_not_found", ofModel: true}},
		{"a firewall on the way", 403, "<html>Forbidden</html>", told{class: llm.Auth, ofModel: true}},
		{"model", 404, openAIError("invalid_request_error", "model_not_found", "The model `x` does not exist or you do not have access to it."), told{class: llm.NoSuchModel, code: "model_not_found"}},
		{"context", 400, openAIError("invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8192 tokens."), told{class: llm.ContextLength, code: "context_length_exceeded"}},
		{"policy", 400, openAIError("invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system."), told{class: llm.ContentFilter, code: "content_policy_violation"}},
		{"Azure's filter", 400, openAIError("x", "content_filter", "The response was filtered"), told{class: llm.ContentFilter, code: "content_filter"}},
		{"a caller's own words", 400, `{"error":{"message":"Invalid 'tools[0].name': 'you exceeded your current quota, billing'","type":"invalid_request_error","code":"invalid_value"}}`, told{class: llm.BadRequest, code: "invalid_value"}},
		{"vLLM", 400, `{"object":"error","message":"This model's maximum context length is 10 tokens.","type":"BadRequestError","code":400}`, told{class: llm.ContextLength, code: "400"}},
	})
}

func anthropicError(kind, message string) string {
	return `{"type":"error","error":{"type":"` + kind + `","message":"` + message + `"},"request_id":"req_1"}`
}

func TestWhatAnthropicsErrorsMean(t *testing.T) {
	december := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	checkFailures(t, anthropicFailure, []failureCase{
		{"overloaded", 529, anthropicError("overloaded_error", "Overloaded"), told{class: llm.Server, code: "overloaded_error"}},
		{"overloaded without words", 529, "", told{class: llm.Server}},
		{"overloaded in a stream", 0, anthropicError("overloaded_error", "Overloaded"), told{class: llm.Server, code: "overloaded_error"}},
		{"internal", 500, anthropicError("api_error", "Internal server error"), told{class: llm.Server, code: "api_error"}},
		{"timeout", 504, anthropicError("timeout_error", "Request timeout"), told{class: llm.Server, code: "timeout_error"}},
		{"rate", 429, anthropicError("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."), told{class: llm.RateLimit, code: "rate_limit_error"}},
		{"long context not in the plan", 429, anthropicError("rate_limit_error", "Usage credits are required for long context requests."), told{class: llm.RateLimit, code: "rate_limit_error", tooLarge: true}},
		{"the tier's month", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"Limit.","details":{"error_code":"enforced_spend_limit_reached"}}}`, told{class: llm.Quota, code: "rate_limit_error"}},
		{"billing", 402, anthropicError("billing_error", "x"), told{class: llm.Quota, code: "billing_error"}},
		{"no credit", 400, anthropicError("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), told{class: llm.Quota, code: "invalid_request_error"}},
		{"own spend limit", 400, anthropicError("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."), told{class: llm.Quota, code: "invalid_request_error", resets: december}},
		{"workspace's spend limit", 400, anthropicError("invalid_request_error", "You have reached your specified workspace API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."), told{class: llm.Quota, code: "invalid_request_error", resets: december}},
		{"a caller's own words", 400, anthropicError("invalid_request_error", "tools.0.name: 'billing' is reserved"), told{class: llm.BadRequest, code: "invalid_request_error"}},
		{"key", 401, anthropicError("authentication_error", "invalid x-api-key"), told{class: llm.Auth, code: "authentication_error"}},
		{"organization", 400, anthropicError("invalid_request_error", "This organization has been disabled."), told{class: llm.Auth, code: "invalid_request_error"}},
		{"a browser's request", 401, anthropicError("authentication_error", "CORS requests are not allowed for this Organization because of its settings."), told{class: llm.BadRequest, code: "authentication_error"}},
		{"resource", 403, anthropicError("permission_error", "Your API key does not have permission to use the specified resource."), told{class: llm.Auth, code: "permission_error", ofModel: true}},
		{"disabled key", 403, anthropicError("permission_error", "This API key has been disabled."), told{class: llm.Auth, code: "permission_error"}},
		{"resource, in a stream", 0, anthropicError("permission_error", "x"), told{class: llm.Auth, code: "permission_error", ofModel: true}},
		{"key, in a stream", 0, anthropicError("authentication_error", "x"), told{class: llm.Auth, code: "authentication_error"}},
		{"model", 404, anthropicError("not_found_error", "model: claude-x"), told{class: llm.NoSuchModel, code: "not_found_error"}},
		{"path", 404, anthropicError("not_found_error", "Not found"), told{class: llm.BadRequest, code: "not_found_error"}},
		{"bytes", 413, anthropicError("request_too_large", "Request exceeds the maximum size"), told{class: llm.ContextLength, code: "request_too_large"}},
		{"tokens", 400, anthropicError("invalid_request_error", "prompt is too long: 205000 tokens > 200000 maximum"), told{class: llm.ContextLength, code: "invalid_request_error"}},
		{"filter", 400, anthropicError("invalid_request_error", "Output blocked by content filtering policy"), told{class: llm.ContentFilter, code: "invalid_request_error"}},
	})
}

func geminiError(code, status, message, details string) string {
	return `{"error":{"code":` + code + `,"message":"` + message + `","status":"` + status + `","details":[` + details + `]}}`
}

// geminiQuota and the like are the details of an error.
func geminiQuota(id, value string) string {
	return `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"` + id + `","quotaValue":"` + value + `"}]}`
}

func geminiRetry(delay string) string {
	return `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + delay + `"}`
}

func geminiReason(reason string) string {
	return `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"` + reason + `","domain":"googleapis.com"}`
}

func TestWhatGeminisErrorsMean(t *testing.T) {
	const plan = "You exceeded your current quota, please check your plan and billing details."
	const spent, denied, invalid = "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "INVALID_ARGUMENT"
	minute, day := geminiQuota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "5"), geminiQuota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")
	checkFailures(t, geminiFailure, []failureCase{
		{"a minute's requests", 429, geminiError("429", spent, plan, minute+","+geminiRetry("34.4s")), told{class: llm.RateLimit, code: spent, wait: 34400 * time.Millisecond}},
		{"a day's requests", 429, geminiError("429", spent, plan, day+","+geminiRetry("35640s")), told{class: llm.Quota, code: spent, wait: 9*time.Hour + 54*time.Minute, ofModel: true, daily: true}},
		{"a day's and a minute's", 429, geminiError("429", spent, plan, minute+","+day+","+geminiRetry("20s")), told{class: llm.Quota, code: spent, wait: 20 * time.Second, ofModel: true, daily: true}},
		{"no free tier, in words", 429, geminiError("429", spent, plan+`\n* Quota exceeded for metric: x/generate_content_free_tier_requests, limit: 0, model: gemini-3-pro\nPlease retry in 20.5s.`, ""), told{class: llm.Quota, code: spent, wait: 20500 * time.Millisecond, ofModel: true}},
		{"no free tier, in details", 429, geminiError("429", spent, plan, geminiQuota("GenerateContentInputTokensPerModelPerMinute-FreeTier", "0")), told{class: llm.Quota, code: spent, ofModel: true}},
		{"a wait in words only", 429, geminiError("429", spent, `Quota exceeded for metric: x, limit: 4000000\nPlease retry in 1m7.5s.`, ""), told{class: llm.RateLimit, code: spent, wait: 67500 * time.Millisecond}},
		{"no credit", 429, geminiError("429", spent, "Your prepayment credits are depleted.", ""), told{class: llm.Quota, code: spent}},
		{"spend limit", 429, geminiError("429", spent, "Your project exceeded its monthly spending cap.", ""), told{class: llm.Quota, code: spent}},
		{"nothing more said", 429, geminiError("429", spent, "Resource has been exhausted (e.g. check quota).", ""), told{class: llm.RateLimit, code: spent}},
		{"no capacity", 429, geminiError("429", spent, "No capacity available for model on the server", geminiReason("MODEL_CAPACITY_EXHAUSTED")), told{class: llm.Server, code: spent}},
		{"unavailable", 503, geminiError("503", "UNAVAILABLE", "The model is overloaded. Please try again later.", ""), told{class: llm.Server, code: "UNAVAILABLE"}},
		{"deadline", 504, geminiError("504", "DEADLINE_EXCEEDED", "x", ""), told{class: llm.Server, code: "DEADLINE_EXCEEDED"}},
		{"in a stream", 0, "[" + geminiError("503", "UNAVAILABLE", "x", "") + "]", told{class: llm.Server, code: "UNAVAILABLE"}},
		{"key", 400, geminiError("400", invalid, "API key not valid. Please pass a valid API key.", geminiReason("API_KEY_INVALID")), told{class: llm.Auth, code: invalid}},
		{"expired key", 400, geminiError("400", invalid, "API key expired. Please renew the API key.", ""), told{class: llm.Auth, code: invalid}},
		{"leaked key", 403, geminiError("403", denied, "Your API key was reported as leaked. Please use another API key.", ""), told{class: llm.Auth, code: denied}},
		{"suspended consumer", 403, geminiError("403", denied, "Permission denied: Consumer has been stopped.", geminiReason("CONSUMER_SUSPENDED")), told{class: llm.Auth, code: denied}},
		{"key for other APIs", 403, geminiError("403", denied, "Requests to this API are blocked.", geminiReason("API_KEY_SERVICE_BLOCKED")), told{class: llm.Auth, code: denied}},
		{"API not enabled", 403, geminiError("403", denied, "Gemini API has not been used in project 1 before or it is disabled.", geminiReason("SERVICE_DISABLED")), told{class: llm.Auth, code: denied}},
		{"no key", 403, geminiError("403", denied, "Method doesn't allow unregistered callers (callers without established identity).", ""), told{class: llm.Auth, code: denied}},
		{"model", 403, geminiError("403", denied, "The caller does not have permission", ""), told{class: llm.Auth, code: denied, ofModel: true}},
		{"billing", 403, geminiError("403", denied, "x", geminiReason("BILLING_DISABLED")), told{class: llm.Quota, code: denied}},
		{"no free tier in the country", 400, geminiError("400", "FAILED_PRECONDITION", "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.", ""), told{class: llm.Quota, code: "FAILED_PRECONDITION"}},
		{"country", 400, geminiError("400", "FAILED_PRECONDITION", "User location is not supported for the API use.", ""), told{class: llm.Auth, code: "FAILED_PRECONDITION", ofModel: true}},
		{"a file that is not ready", 400, geminiError("400", "FAILED_PRECONDITION", "The File is not in an ACTIVE state.", ""), told{class: llm.BadRequest, code: "FAILED_PRECONDITION"}},
		{"context", 400, geminiError("400", invalid, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", ""), told{class: llm.ContextLength, code: invalid}},
		{"request", 400, geminiError("400", invalid, "Please use a valid role: user, model.", ""), told{class: llm.BadRequest, code: invalid}},
		{"model that does not exist", 404, geminiError("404", "NOT_FOUND", "models/x is not found for API version v1beta", ""), told{class: llm.NoSuchModel, code: "NOT_FOUND"}},
	})
}

func TestWhatOllamasErrorsMean(t *testing.T) {
	says := func(message string) string { return `{"error":"` + message + `"}` }
	checkFailures(t, ollamaFailure, []failureCase{
		{"model", 404, says("model 'x' not found"), told{class: llm.NoSuchModel}},
		{"path", 404, "404 page not found", told{class: llm.BadRequest}},
		{"busy", 503, says("server busy, please try again.  maximum pending requests exceeded"), told{class: llm.RateLimit}},
		{"memory", 500, says("model requires more system memory (5.3 GiB) than is available (3.3 GiB)"), told{class: llm.Server}},
		{"the cloud is out of reach", 502, says("upstream"), told{class: llm.Server}},
		{"in a stream", 0, says("an error was encountered while running the model"), told{class: llm.Server}},
		{"context", 400, says("the input length exceeds the context length"), told{class: llm.ContextLength}},
		{"tools", 400, says("registry.ollama.ai/library/tiny:latest does not support tools"), told{class: llm.BadRequest}},
		{"thinking", 400, says("\\\"tiny\\\" does not support thinking"), told{class: llm.BadRequest}},
		{"a cloud model", 401, `{"error":"unauthorized","signin_url":"https://ollama.com/connect"}`, told{class: llm.Auth, ofModel: true}},
		{"a cloud model that is not paid", 403, says("this model requires a subscription, upgrade for access"), told{class: llm.Auth, ofModel: true}},
		{"the hour's usage", 429, says("you've reached your hourly usage limit, please wait or upgrade to continue"), told{class: llm.Quota, ofModel: true}},
		{"the session's usage", 429, says("you (x) have reached your session usage limit, upgrade for higher limits"), told{class: llm.Quota, ofModel: true}},
		{"too many at once", 429, says("too many concurrent requests"), told{class: llm.RateLimit}},
	})
}
