package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// anthropic speaks the Messages API (https://docs.claude.com/en/api/messages).
type anthropic struct {
	requestID string // in the header, and repeated in error bodies
}

func (anthropic) chat(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/v1/messages"
}

func (d anthropic) header(h http.Header) {
	h.Set("Request-Id", d.requestID)
	reset := time.Now().UTC().Add(time.Minute).Format(time.RFC3339)
	for kind, limit := range map[string]string{
		"Requests": "4000", "Tokens": "480000", "Input-Tokens": "400000", "Output-Tokens": "80000",
	} {
		h.Set("Anthropic-Ratelimit-"+kind+"-Limit", limit)
		h.Set("Anthropic-Ratelimit-"+kind+"-Remaining", limit)
		h.Set("Anthropic-Ratelimit-"+kind+"-Reset", reset)
	}
}

func (d anthropic) error(status int, kind, message string) response {
	return response{
		status: status,
		header: contentType("application/json"),
		body: fmt.Sprintf(`{"type":"error","error":{"type":%s,"message":%s},"request_id":%s}`,
			quote(kind), quote(message), quote(d.requestID)),
	}
}

func (anthropic) key(r *http.Request) string { return r.Header.Get("X-Api-Key") }

func (d anthropic) denied(key string) response {
	if key == "" {
		return d.error(401, "authentication_error", "x-api-key header is required")
	}
	return d.error(401, "authentication_error", "invalid x-api-key")
}

func (d anthropic) free(r *http.Request, body []byte, models []string) response {
	entry := func(id string) string {
		return fmt.Sprintf(`{"type":"model","id":%s,"display_name":%s,"created_at":"2025-09-29T00:00:00Z"}`,
			quote(id), quote(strings.ReplaceAll(id, "-", " ")))
	}
	id, one := strings.CutPrefix(r.URL.Path, "/v1/models/")
	ok := response{status: 200, header: contentType("application/json")}
	switch {
	case r.Header.Get("Anthropic-Version") == "":
		return d.error(400, "invalid_request_error", "anthropic-version: header is required")
	case r.Method == http.MethodPost && r.URL.Path == "/v1/messages/count_tokens":
		return d.count(r, body, models)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/models":
		list, first, last := make([]string, len(models)), "null", "null"
		for i, m := range models {
			list[i] = entry(m)
		}
		if len(models) > 0 {
			first, last = quote(models[0]), quote(models[len(models)-1])
		}
		ok.body = fmt.Sprintf(`{"data":[%s],"has_more":false,"first_id":%s,"last_id":%s}`, strings.Join(list, ","), first, last)
	case r.Method == http.MethodGet && one && slices.Contains(models, id):
		ok.body = entry(id)
	case r.Method == http.MethodGet && one:
		return d.error(404, "not_found_error", "model: "+id)
	default:
		return d.error(404, "not_found_error", "Not found")
	}
	return ok
}

// anthropicNoPrefill is what models from 4.6 on say of a conversation that ends
// with their own words, by https://github.com/jobrunr/JavaClaw/issues/36 (2026-11).
const anthropicNoPrefill = "This model does not support assistant message prefill. The conversation must end with a user message."

func (d anthropic) refuse(f Fault, c call) response {
	const bad = "invalid_request_error"
	switch f.Kind {
	case RateLimited:
		res := d.error(429, "rate_limit_error", "This request would exceed your account's rate limit. Please try again later.")
		res.header.Set("X-Should-Retry", "true")
		res.header.Set("Anthropic-Ratelimit-Input-Tokens-Remaining", "0")
		if f.RetryAfter > 0 {
			withRetryAfter(res.header, f.RetryAfter)
		}
		return res
	case QuotaExhausted:
		return d.error(400, bad, "Your credit balance is too low to access the Anthropic API. "+
			"Please go to Plans & Billing to upgrade or purchase credits.")
	case Unauthorized:
		res := d.error(401, "authentication_error", "invalid x-api-key")
		res.header.Set("X-Should-Retry", "false")
		return res
	case NoSuchModel:
		return d.error(404, "not_found_error", "model: "+c.model)
	case ContextLength:
		return d.error(400, bad, fmt.Sprintf("prompt is too long: %d tokens > 200000 maximum", 200000+c.input))
	case BadRequest:
		return d.error(400, bad, "temperature: range: 0..1")
	case RefusePrefill:
		return d.error(400, bad, anthropicNoPrefill)
	case ContentFilter:
		return d.error(400, bad, "Output blocked by content filtering policy")
	}
	switch f.Status {
	case 500:
		return d.error(500, "api_error", "Internal server error")
	case 504:
		return d.error(504, "timeout_error", "Request timed out")
	case 529:
		res := d.error(529, "overloaded_error", "Overloaded")
		res.header.Set("X-Should-Retry", "true")
		return res
	}
	return d.error(f.Status, "api_error", http.StatusText(f.Status))
}
