package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

// gemini speaks generateContent
// (https://ai.google.dev/api/generate-content).
type gemini struct{}

const (
	geminiFields = "cachedContent contents generationConfig labels model safetySettings serviceTier store systemInstruction " +
		"toolConfig tools"
	geminiConfigFields = "_responseJsonSchema audioTimestamp candidateCount enableEnhancedCivicAnswers frequencyPenalty " +
		"imageConfig logprobs maxOutputTokens mediaResolution presencePenalty responseJsonSchema responseLogprobs " +
		"responseMimeType responseModalities responseSchema routingConfig seed speechConfig stopSequences temperature " +
		"thinkingConfig topK topP"
	geminiJSON = "application/json; charset=UTF-8"
)

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
	return r.Method == http.MethodPost && (method == "generateContent" || method == "streamGenerateContent")
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

func (gemini) authorize(r *http.Request, key string) *response {
	sent := r.Header.Get("X-Goog-Api-Key")
	if sent == "" {
		sent = r.URL.Query().Get("key")
	}
	if sent == key {
		return nil
	}
	res := geminiBadKey()
	if sent == "" {
		res = geminiError(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without established "+
			"identity). Please use API Key or other form of API consumer identity to call this API.")
	}
	return &res
}

// geminiContent is one turn, or the system instruction.
type geminiContent struct {
	Role  string
	Parts []struct{ Text string }
}

func (m geminiContent) text() (all string) {
	for _, p := range m.Parts {
		all += p.Text
	}
	return all
}

func (gemini) decode(r *http.Request, body []byte) (call, *response) {
	var q struct {
		Contents          []geminiContent
		SystemInstruction geminiContent
		GenerationConfig  struct {
			MaxOutputTokens int
			StopSequences   []string
			Temperature     float64
		}
	}
	var c call
	model, method, _ := geminiPath(r.URL.Path)
	c.model = model
	c.stream = method == "streamGenerateContent"
	c.array = c.stream && r.URL.Query().Get("alt") != "sse"
	bad := func(message string, details ...string) (call, *response) {
		res := geminiError(400, "INVALID_ARGUMENT", message, details...).as(c)
		return c, &res
	}
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		return bad("Invalid JSON payload received. Unexpected token.\n" + string(body[:min(len(body), 40)]) + "\n^")
	}
	body = []byte(quote(camelCase(tree))) // the API takes fields in both spellings
	var fields, config map[string]json.RawMessage
	unreadable := json.Unmarshal(body, &fields)
	wrongType := json.Unmarshal(body, &q)
	_ = json.Unmarshal(fields["generationConfig"], &config) // not an object: wrongType says so
	unknown := func(name, at string) (call, *response) {
		text := fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", name, at)
		return bad(text, `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":`+quote(text)+`}]}`)
	}
	if unreadable != nil || wrongType != nil {
		return bad("Invalid value (payload), the request does not match GenerateContentRequest.")
	}
	if name := unknownField(fields, geminiFields); name != "" {
		return unknown(name, "")
	}
	if name := unknownField(config, geminiConfigFields); name != "" {
		return unknown(name, " at 'generation_config'")
	}
	if len(q.Contents) == 0 {
		return bad("* GenerateContentRequest.contents: contents is not specified\n")
	}
	if t := q.GenerationConfig.Temperature; t < 0 || t > 2 {
		return bad("* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n")
	}
	c.maxTokens, c.stop = q.GenerationConfig.MaxOutputTokens, q.GenerationConfig.StopSequences
	var texts []string
	if len(q.SystemInstruction.Parts) > 0 {
		texts = append(texts, q.SystemInstruction.text())
	}
	for i, m := range q.Contents {
		if !slices.Contains([]string{"", "user", "model", "function"}, m.Role) {
			return bad("Please use a valid role: user, model.")
		}
		if len(m.Parts) == 0 {
			return bad(fmt.Sprintf("* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty.\n", i))
		}
		texts = append(texts, m.text())
		if m.Role != "model" {
			c.prompt = m.text()
		}
	}
	c.input = count(texts...)
	return c, nil
}

// camelCase rewrites the names of all fields from snake_case, as Google's JSON
// mapping allows both.
func camelCase(tree any) any {
	switch t := tree.(type) {
	case map[string]any:
		renamed := make(map[string]any, len(t))
		for name, value := range t {
			head, tail := name[:min(1, len(name))], name[min(1, len(name)):]
			words := strings.Split(tail, "_")
			for i, w := range words[1:] {
				if w != "" {
					words[i+1] = string(unicode.ToUpper(rune(w[0]))) + w[1:]
				}
			}
			renamed[head+strings.Join(words, "")] = camelCase(value)
		}
		return renamed
	case []any:
		list := make([]any, len(t))
		for i, value := range t {
			list[i] = camelCase(value)
		}
		return list
	}
	return tree
}

func (gemini) free(r *http.Request, _ []byte, models []string) response {
	entry := func(id string) string {
		return fmt.Sprintf(`{"name":%s,"version":"001","displayName":%s,"description":"A simulated model.",`+
			`"inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent","countTokens"],`+
			`"temperature":1,"topP":0.95,"topK":64,"maxTemperature":2,"thinking":true}`, quote("models/"+id), quote(id))
	}
	model, method, ok := geminiPath(r.URL.Path)
	res := response{status: 200, header: contentType(geminiJSON)}
	switch {
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
		return geminiNoModel(model)
	}
	return res
}

func geminiNoModel(model string) response {
	return geminiError(404, "NOT_FOUND", "models/"+model+" is not found for API version v1beta, or is not supported for "+
		"generateContent. Call ModelService.ListModels to see the list of available models and their supported methods.")
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
		return geminiNoModel(c.model)
	case ContextLength:
		return geminiError(400, "INVALID_ARGUMENT", fmt.Sprintf(
			"The input token count (%d) exceeds the maximum number of tokens allowed (1048576).", 1048576+c.input))
	case BadRequest:
		return geminiError(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
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

// geminiChunk is one GenerateContentResponse: the text of one part, the finish
// reason if it is the last, and the tokens so far.
func geminiChunk(c call, a answer, text string, finish finish, output int) string {
	content, reason := `"content":{"role":"model"},`, ""
	if text != "" {
		content = `"content":{"parts":[{"text":` + quote(text) + `}],"role":"model"},`
	}
	switch finish {
	case finishStop, finishSequence:
		reason = `"finishReason":"STOP",`
	case finishLength:
		reason = `"finishReason":"MAX_TOKENS",`
	case finishFilter:
		reason = `"finishReason":"SAFETY",`
	}
	produced := ""
	if output > 0 {
		produced = fmt.Sprintf(`"candidatesTokenCount":%d,`, output)
	}
	return fmt.Sprintf(`{"candidates":[{%s%s"index":0}],"usageMetadata":{"promptTokenCount":%d,%s"totalTokenCount":%d,`+
		`"promptTokensDetails":[{"modality":"TEXT","tokenCount":%d}]},"modelVersion":%s,"responseId":%s}`,
		content, reason, c.input, produced, c.input+output, c.input, quote(a.model), quote(a.id[:min(23, len(a.id))]))
}

func (gemini) whole(c call, a answer) response {
	return response{
		status: 200,
		header: contentType(geminiJSON),
		body:   indent(geminiChunk(c, a, a.text(), a.finish, len(a.tokens))),
	}
}

// stream puts the finish reason into the last chunk with text, as the API does
// most of the time; an answer without text ends in a chunk without a part.
func (gemini) stream(c call, a answer) frames {
	frame := func(i int, chunk string) string {
		switch {
		case !c.array:
			return "data: " + chunk + "\r\n\r\n"
		case i == 0:
			return "[" + chunk
		}
		return "\n,\r\n" + chunk
	}
	f, end := frames{contentType: "text/event-stream"}, ""
	if c.array {
		f.contentType, end = geminiJSON, "\n]\n"
	}
	f.failure = func(sent int) string {
		return frame(sent, `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`) + end
	}
	chunks := a.tokens
	if len(chunks) == 0 && a.finish != unfinished {
		chunks = []string{""}
	}
	for i, text := range chunks {
		ends := unfinished
		if i == len(chunks)-1 {
			ends = a.finish
		}
		f.tokens = append(f.tokens, frame(i, geminiChunk(c, a, text, ends, min(i+1, len(a.tokens)))))
	}
	if a.finish != unfinished {
		f.tail = []string{end}
	}
	return f
}
