package sim

import (
	"encoding/json"
	"errors"
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

const anthropicFields = "cache_control container context_management inference_geo max_tokens mcp_servers messages metadata model " +
	"output_config output_format service_tier speed stop_sequences stream system temperature thinking tool_choice tools top_k top_p"

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

func (d anthropic) authorize(r *http.Request, key string) *response {
	sent := r.Header.Get("X-Api-Key")
	if sent == key {
		return nil
	}
	res := d.error(401, "authentication_error", "invalid x-api-key")
	if sent == "" {
		res = d.error(401, "authentication_error", "x-api-key header is required")
	}
	return &res
}

// anthropicRequest is what is read of a request.
type anthropicRequest struct {
	Model     *string
	MaxTokens *int `json:"max_tokens"`
	Messages  []struct {
		Role    string
		Content json.RawMessage
	}
	System        json.RawMessage
	Stream        bool
	StopSequences []string `json:"stop_sequences"`
	Temperature   float64
}

func (d anthropic) decode(r *http.Request, body []byte) (call, *response) {
	var q anthropicRequest
	var fields map[string]json.RawMessage
	unreadable := json.Unmarshal(body, &fields)
	var wrong *json.UnmarshalTypeError
	errors.As(json.Unmarshal(body, &q), &wrong)
	c := call{stream: q.Stream, stop: q.StopSequences}
	if q.Model != nil {
		c.model = *q.Model
	}
	if q.MaxTokens != nil {
		c.maxTokens = *q.MaxTokens
	}
	problem := ""
	switch {
	case r.Header.Get("Anthropic-Version") == "":
		problem = "anthropic-version: header is required"
	case unreadable != nil:
		problem = "The request body is not valid JSON: " + unreadable.Error()
	case wrong != nil:
		problem = fmt.Sprintf("%s: Input should be a valid %s", strings.ToLower(wrong.Field), wrong.Type.Kind())
	default:
		problem = q.check(fields, r.Header.Get("Anthropic-Beta") != "")
	}
	if problem != "" {
		res := d.error(400, "invalid_request_error", problem)
		return c, &res
	}
	var texts []string
	if system, _ := contentText(q.System); system != "" {
		texts = append(texts, system)
	}
	for _, m := range q.Messages {
		text, _ := contentText(m.Content)
		texts = append(texts, text)
		if m.Role == "user" {
			c.prompt = text
		}
	}
	c.input = count(texts...)
	return c, nil
}

// check gives the message of the refusal that a request deserves, or "".
// Since 2026 a beta lets instructions stand among the messages.
func (q anthropicRequest) check(fields map[string]json.RawMessage, beta bool) string {
	switch name := unknownField(fields, anthropicFields); {
	case q.Model == nil:
		return "model: Field required"
	case q.MaxTokens == nil:
		return "max_tokens: Field required"
	case *q.MaxTokens < 1:
		return "max_tokens: must be greater than or equal to 1"
	case fields["messages"] == nil:
		return "messages: Field required"
	case len(q.Messages) == 0:
		return "messages: at least one message is required"
	case q.Temperature < 0 || q.Temperature > 1:
		return "temperature: range: 0..1"
	case name != "":
		return name + ": Extra inputs are not permitted"
	}
	for i, m := range q.Messages {
		text, ok := contentText(m.Content)
		switch at := fmt.Sprintf("messages.%d", i); {
		case m.Role == "system" && !beta:
			return "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, " +
				"not \"system\" as an input message role."
		case m.Role != "user" && m.Role != "assistant" && m.Role != "system":
			return at + ".role: Input should be 'user' or 'assistant'"
		case len(m.Content) == 0:
			return at + ".content: Field required"
		case !ok:
			return at + ".content: Input should be a valid list"
		case text == "" && m.Content[0] == '"' && i < len(q.Messages)-1:
			return at + ": all messages must have non-empty content except for the optional final assistant message"
		}
	}
	return ""
}

func (d anthropic) free(r *http.Request, _ []byte, models []string) response {
	entry := func(id string) string {
		return fmt.Sprintf(`{"type":"model","id":%s,"display_name":%s,"created_at":"2025-09-29T00:00:00Z"}`,
			quote(id), quote(strings.ReplaceAll(id, "-", " ")))
	}
	id, one := strings.CutPrefix(r.URL.Path, "/v1/models/")
	ok := response{status: 200, header: contentType("application/json")}
	switch {
	case r.Header.Get("Anthropic-Version") == "":
		return d.error(400, "invalid_request_error", "anthropic-version: header is required")
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

// anthropicFinish gives the values of stop_reason and stop_sequence.
func anthropicFinish(a answer) (reason, sequence string) {
	switch a.finish {
	case finishStop:
		return `"end_turn"`, "null"
	case finishSequence:
		return `"stop_sequence"`, quote(a.sequence)
	case finishLength:
		return `"max_tokens"`, "null"
	case finishFilter:
		return `"refusal"`, "null"
	}
	return "null", "null"
}

// anthropicMessage is a message with the given content, ends and output tokens.
func anthropicMessage(c call, a answer, content, reason, sequence string, output int) string {
	return fmt.Sprintf(`{"model":%s,"id":%s,"type":"message","role":"assistant","content":[%s],`+
		`"stop_reason":%s,"stop_sequence":%s,"stop_details":null,"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,`+
		`"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},`+
		`"output_tokens":%d,"service_tier":"standard","inference_geo":"not_available"}}`,
		quote(a.model), quote("msg_01"+a.id[:min(22, len(a.id))]), content, reason, sequence, c.input, output)
}

func (anthropic) whole(c call, a answer) response {
	content := ""
	if len(a.tokens) > 0 {
		content = fmt.Sprintf(`{"type":"text","text":%s}`, quote(a.text()))
	}
	reason, sequence := anthropicFinish(a)
	return response{
		status: 200,
		header: contentType("application/json"),
		body:   anthropicMessage(c, a, content, reason, sequence, len(a.tokens)),
	}
}

func (d anthropic) stream(c call, a answer) frames {
	frame := func(event, rest string) string {
		return fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\"%s}\n\n", event, event, rest)
	}
	f := frames{
		contentType: "text/event-stream; charset=utf-8",
		head: []string{
			frame("message_start", `,"message":`+anthropicMessage(c, a, "", "null", "null", 1)),
			frame("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
			frame("ping", ""),
		},
		failure: func(int) string {
			return frame("error", `,"error":{"details":null,"type":"overloaded_error","message":"Overloaded"},"request_id":`+quote(d.requestID))
		},
	}
	for _, token := range a.tokens {
		f.tokens = append(f.tokens, frame("content_block_delta",
			`,"index":0,"delta":{"type":"text_delta","text":`+quote(token)+`}`))
	}
	if a.finish == unfinished {
		return f
	}
	reason, sequence := anthropicFinish(a)
	f.tail = []string{
		frame("content_block_stop", `,"index":0`),
		frame("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%s,"stop_sequence":%s,"stop_details":null},`+
			`"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d}`,
			reason, sequence, c.input, len(a.tokens))),
		frame("message_stop", ""),
	}
	return f
}
