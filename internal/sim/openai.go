package sim

import (
	"encoding/json"
	"errors"
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

const (
	openAIFields = "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens " +
		"messages metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key " +
		"prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier " +
		"stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options"
	openAIFingerprint = "fp_ea40d5097a"
	openAIMaxStop     = 4
)

func (openAI) chat(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/v1/chat/completions"
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

func (openAI) authorize(r *http.Request, key string) *response {
	sent, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if sent == key {
		return nil
	}
	res := openAIBadKey(sent)
	if !ok {
		res = openAIError(401, "You didn't provide an API key. You need to provide your API key in an Authorization header "+
			"using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "+
			"https://platform.openai.com/account/api-keys.", "invalid_request_error", "", "")
	}
	return &res
}

// openAIRequest is what is read of a request.
type openAIRequest struct {
	Model    string
	Messages []struct {
		Role    string
		Content json.RawMessage
	}
	Stream        bool
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	Temperature         float64
	Stop                json.RawMessage
}

// limit gives the limit of output tokens and the name that it came under.
func (q openAIRequest) limit() (*int, string) {
	if q.MaxTokens != nil {
		return q.MaxTokens, "max_tokens"
	}
	return q.MaxCompletionTokens, "max_completion_tokens"
}

// stops gives the stop sequences: one string, or a list.
func (q openAIRequest) stops() (list []string) {
	var one string
	if json.Unmarshal(q.Stop, &one) == nil && one != "" {
		return []string{one}
	}
	_ = json.Unmarshal(q.Stop, &list) // another shape stops nothing
	return list
}

func openAIBad(param, code, format string, args ...any) *response {
	res := openAIError(400, fmt.Sprintf(format, args...), "invalid_request_error", param, code)
	return &res
}

func (openAI) decode(_ *http.Request, body []byte) (call, *response) {
	var q openAIRequest
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return call{}, openAIBad("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't "+
			"using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. "+
			"If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)")
	}
	err := json.Unmarshal(body, &q)
	c := call{model: q.Model, stream: q.Stream, usage: q.StreamOptions != nil && q.StreamOptions.IncludeUsage, stop: q.stops()}
	if limit, _ := q.limit(); limit != nil {
		c.maxTokens = *limit
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		field := strings.ToLower(wrong.Field)
		return c, openAIBad(field, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.",
			field, wrong.Type.Kind(), wrong.Value)
	}
	if name := unknownField(fields, openAIFields); name != "" {
		return c, openAIBad("", "", "Unrecognized request argument supplied: %s", name)
	}
	if refusal := q.check(); refusal != nil {
		return c, refusal
	}
	var texts []string
	for i, m := range q.Messages {
		if !slices.Contains([]string{"system", "assistant", "user", "function", "tool", "developer"}, m.Role) {
			return c, openAIBad(fmt.Sprintf("messages[%d].role", i), "invalid_value", "Invalid value: '%s'. Supported values are: "+
				"'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", m.Role)
		}
		text, ok := contentText(m.Content)
		if m.Role != "assistant" && (!ok || string(m.Content) == "null") {
			return c, openAIBad(fmt.Sprintf("messages.[%d].content", i), "", "Invalid value for 'content': expected a string, got null.")
		}
		texts = append(texts, text)
		if m.Role == "user" {
			c.prompt = text
		}
	}
	c.input = count(texts...)
	return c, nil
}

// check gives the refusal of parameters that the API would not take, or nil.
func (q openAIRequest) check() *response {
	limit, limitName := q.limit()
	switch {
	case q.Model == "":
		return openAIBad("", "", "you must provide a model parameter")
	case q.Messages == nil:
		return openAIBad("messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
	case len(q.Messages) == 0:
		return openAIBad("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, "+
			"but got an empty array instead.")
	case q.StreamOptions != nil && !q.Stream:
		return openAIBad("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	case q.MaxTokens != nil && openAIReasons(q.Model):
		return openAIBad("max_tokens", "unsupported_parameter", "Unsupported parameter: 'max_tokens' is not supported with this "+
			"model. Use 'max_completion_tokens' instead.")
	case limit != nil && *limit < 1:
		return openAIBad(limitName, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= 1, "+
			"but got %d instead.", limitName, *limit)
	case q.Temperature > 2:
		return openAIBad("temperature", "decimal_above_max_value", "Invalid 'temperature': decimal above maximum value. "+
			"Expected a value <= 2, but got %g instead.", q.Temperature)
	case q.Temperature < 0:
		return openAIBad("temperature", "decimal_below_min_value", "Invalid 'temperature': decimal below minimum value. "+
			"Expected a value >= 0, but got %g instead.", q.Temperature)
	case len(q.stops()) > openAIMaxStop:
		return openAIBad("stop", "array_above_max_length", "Invalid 'stop': array too long. Expected an array with maximum "+
			"length %d, but got an array with length %d instead.", openAIMaxStop, len(q.stops()))
	}
	return nil
}

// openAIReasons says whether a model is one that takes max_completion_tokens only.
func openAIReasons(model string) bool {
	return slices.ContainsFunc([]string{"o1", "o3", "o4", "gpt-5"}, func(p string) bool { return strings.HasPrefix(model, p) })
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

func openAIFinish(f finish) string {
	switch f {
	case finishStop, finishSequence:
		return `"stop"`
	case finishLength:
		return `"length"`
	case finishFilter:
		return `"content_filter"`
	}
	return "null"
}

func openAIUsage(c call, a answer) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,`+
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},`+
		`"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`,
		c.input, len(a.tokens), c.input+len(a.tokens))
}

func openAIID(a answer) string { return "chatcmpl-" + a.id[:min(29, len(a.id))] }

func (openAI) whole(c call, a answer) response {
	return response{status: 200, header: contentType("application/json"), body: indent(fmt.Sprintf(
		`{"id":%s,"object":"chat.completion","created":%d,"model":%s,`+
			`"choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":%s}],`+
			`"usage":%s,"service_tier":"default","system_fingerprint":%q}`,
		quote(openAIID(a)), a.made.Unix(), quote(a.model), quote(a.text()), openAIFinish(a.finish), openAIUsage(c, a), openAIFingerprint))}
}

func (openAI) stream(c call, a answer) frames {
	frame := func(choices, usage string) string {
		if !c.usage {
			usage = ""
		} else {
			usage = `,"usage":` + usage
		}
		return fmt.Sprintf(`data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":"default",`+
			`"system_fingerprint":%q,"choices":[%s]%s,"obfuscation":"%0*d"}`+"\n\n",
			quote(openAIID(a)), a.made.Unix(), quote(a.model), openAIFingerprint, choices, usage, 1+len(choices)%11, 0)
	}
	choice := func(delta, finish string) string {
		return fmt.Sprintf(`{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}`, delta, finish)
	}
	f := frames{
		contentType: "text/event-stream; charset=utf-8",
		head:        []string{frame(choice(`{"role":"assistant","content":"","refusal":null}`, "null"), "null")},
		failure: func(int) string {
			return `data: {"error": {"message": "` + openAIServerError + `", "type": "server_error", "param": null, "code": null}}` + "\n\n"
		},
	}
	for _, token := range a.tokens {
		f.tokens = append(f.tokens, frame(choice(`{"content":`+quote(token)+`}`, "null"), "null"))
	}
	if a.finish == unfinished {
		return f
	}
	f.tail = []string{frame(choice("{}", openAIFinish(a.finish)), "null")}
	if c.usage {
		f.tail = append(f.tail, frame("", openAIUsage(c, a)))
	}
	f.tail = append(f.tail, "data: [DONE]\n\n")
	return f
}
