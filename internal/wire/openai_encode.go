package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// openAIBody is the body of POST /chat/completions, see
// https://developers.openai.com/api/reference/resources/chat (2026-11).
type openAIBody struct {
	Model               string               `json:"model"`
	Messages            []openAIMessage      `json:"messages"`
	MaxTokens           *int64               `json:"max_tokens,omitempty"`
	MaxCompletionTokens *int64               `json:"max_completion_tokens,omitempty"`
	Temperature         *float64             `json:"temperature,omitempty"`
	TopP                *float64             `json:"top_p,omitempty"`
	FrequencyPenalty    *float64             `json:"frequency_penalty,omitempty"`
	PresencePenalty     *float64             `json:"presence_penalty,omitempty"`
	Seed                *int64               `json:"seed,omitempty"`
	Stop                []string             `json:"stop,omitempty"`
	N                   *int64               `json:"n,omitempty"`
	Logprobs            *bool                `json:"logprobs,omitempty"`
	TopLogprobs         *int64               `json:"top_logprobs,omitempty"`
	ReasoningEffort     string               `json:"reasoning_effort,omitempty"`
	Tools               []openAITool         `json:"tools,omitempty"`
	ToolChoice          any                  `json:"tool_choice,omitempty"`
	ParallelToolCalls   *bool                `json:"parallel_tool_calls,omitempty"`
	ResponseFormat      any                  `json:"response_format,omitempty"`
	ServiceTier         string               `json:"service_tier,omitempty"`
	User                string               `json:"user,omitempty"`
	Stream              bool                 `json:"stream,omitempty"`
	StreamOptions       *openAIStreamOptions `json:"stream_options,omitempty"`
}

type openAIStreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type openAITool struct {
	Type     string         `json:"type"`
	Function openAIFunction `json:"function"`
}

type openAIFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	Strict      *bool           `json:"strict,omitempty"`
}

// encodeOpenAI writes the body of POST /chat/completions.
func encodeOpenAI(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.OpenAIChat {
		return spliceOpenAI(model, req)
	}
	if lacking := lacksOpenAI(model, req); lacking != nil {
		return Encoded{}, &RequestError{lacking[0], fmt.Sprintf("cannot be carried from %s to %s, model %s", req.Dialect, llm.OpenAIChat, label(model))}
	}
	m := openAIModelOf(model)
	var a adjusted
	body := openAIBody{
		Model: model, Messages: openAIMessages(m, req.Messages, &a),
		Seed: req.Seed, Stop: req.Stop, User: req.User, Stream: req.Stream,
		ServiceTier: openAITier(req, &a),
	}
	if req.N != nil && *req.N > 1 {
		body.N = req.N
	}
	body.ReasoningEffort = m.effort(req.Thought, len(req.Tools) > 0)
	a.dropped("reasoning_effort", body.ReasoningEffort != "" && req.Thought == nil ||
		req.Thought != nil && (req.Thought.Effort != body.ReasoningEffort || req.Thought.Budget != nil))
	a.dropped("reasoning.summary", req.Thought != nil && req.Thought.Show != nil && *req.Thought.Show)
	if m.reasons() {
		body.MaxCompletionTokens = req.MaxTokens
	} else {
		body.MaxTokens = req.MaxTokens
	}
	if m.samples(body.ReasoningEffort) {
		body.Temperature, body.TopP = req.Temperature, req.TopP
	} else {
		a.dropped("temperature", isSet(req.Temperature, 1))
		a.dropped("top_p", isSet(req.TopP, 1))
	}
	if m.reasons() {
		a.dropped("frequency_penalty", isSet(req.FrequencyPenalty, 0))
		a.dropped("presence_penalty", isSet(req.PresencePenalty, 0))
	} else {
		body.FrequencyPenalty, body.PresencePenalty = req.FrequencyPenalty, req.PresencePenalty
	}
	if req.Logprobs != nil && *req.Logprobs {
		body.Logprobs, body.TopLogprobs = req.Logprobs, req.TopLogprobs
	}
	a.dropped("messages.prefill", begins(req) && req.Dialect != llm.OpenAIResponses) // it begins a new answer
	a.dropped("top_k", req.TopK != nil)
	a.dropped("metadata", len(req.Metadata) > 0) // OpenAI takes it only for what it stores
	if req.Stream {
		body.StreamOptions = &openAIStreamOptions{IncludeUsage: true}
	}
	if len(req.Tools) > 0 {
		openAITools(m, req, &body, &a)
	}
	body.ResponseFormat = openAIFormat(req.Format, &a)
	return encoded(body, a)
}

// encoded marshals a body.
func encoded(body any, a adjusted) (Encoded, error) {
	b, err := json.Marshal(body)
	if err != nil { // NaN and infinity, which no door lets in
		return Encoded{}, &RequestError{Message: "the request cannot be written as JSON"}
	}
	return Encoded{Body: b, Adjusted: a}, nil
}

// openAITier gives the service tier in OpenAI's words: Anthropic says
// standard_only and Gemini standard for what OpenAI calls default.
func openAITier(req *llm.Request, a *adjusted) string {
	switch req.ServiceTier {
	case "", "auto":
		return ""
	case "standard", "standard_only", "default":
		return "default"
	case "flex", "priority", "scale", "fast":
		return req.ServiceTier
	}
	a.dropped("service_tier", true)
	return ""
}

// openAITools writes the tools and what goes with them.
func openAITools(m openAIModel, req *llm.Request, body *openAIBody, a *adjusted) {
	cached := false
	for i, t := range req.Tools {
		f := openAIFunction{Name: t.Name, Description: t.Description, Parameters: objectSchema(t.Schema), Strict: t.Strict}
		if t.Strict != nil && *t.Strict {
			if schema, ok := strictSchema(f.Parameters); ok {
				f.Parameters = schema
			} else {
				f.Strict = nil
				a.dropped(fmt.Sprintf("tools[%d].function.strict", i), true)
			}
		}
		cached = cached || t.Cache != ""
		body.Tools = append(body.Tools, openAITool{"function", f})
	}
	a.dropped("tools.cache_control", cached)
	if req.Parallel != nil && m.series { // these call one tool at a time and refuse to be told
		a.dropped("parallel_tool_calls", *req.Parallel)
	} else {
		body.ParallelToolCalls = req.Parallel
	}
	c := req.ToolChoice
	if c == nil {
		return
	}
	type named struct {
		Name string `json:"name"`
	}
	type choice struct {
		Type     string `json:"type"`
		Function named  `json:"function"`
	}
	mode := map[llm.ChoiceMode]string{llm.ChooseAuto: "auto", llm.ChooseNone: "none", llm.ChooseAny: "required"}[c.Mode]
	switch {
	case c.Mode == llm.ChooseTool:
		body.ToolChoice = choice{"function", named{c.Name}}
	case len(c.Among) > 0 && c.Mode != llm.ChooseNone:
		var allowed struct {
			Type    string `json:"type"`
			Allowed struct {
				Mode  string   `json:"mode"`
				Tools []choice `json:"tools"`
			} `json:"allowed_tools"`
		}
		allowed.Type, allowed.Allowed.Mode = "allowed_tools", mode
		for _, name := range c.Among {
			allowed.Allowed.Tools = append(allowed.Allowed.Tools, choice{"function", named{name}})
		}
		body.ToolChoice = allowed
	default:
		body.ToolChoice = mode
	}
}

// openAIFormat writes response_format. What other dialects guarantee without a
// word, OpenAI guarantees only where strict is set and the schema fits it.
func openAIFormat(f *llm.Format, a *adjusted) any {
	type kind struct {
		Type string `json:"type"`
	}
	switch {
	case f == nil:
		return nil
	case f.Kind == llm.FormatJSON || f.Schema == nil:
		return kind{"json_object"}
	}
	var format struct {
		kind
		Schema struct {
			Name        string          `json:"name"`
			Description string          `json:"description,omitempty"`
			Schema      json.RawMessage `json:"schema"`
			Strict      *bool           `json:"strict,omitempty"`
		} `json:"json_schema"`
	}
	format.Type = "json_schema"
	s := &format.Schema
	s.Name, s.Description, s.Schema, s.Strict = nameFor(f.Name, "answer"), f.Description, f.Schema, f.Strict
	if f.Strict == nil || *f.Strict {
		schema, ok := strictSchema(f.Schema)
		if ok {
			s.Schema = schema
		}
		s.Strict = &ok
		a.dropped("response_format.json_schema.strict", !ok)
	}
	return format
}

// nameFor gives a name in the letters that OpenAI allows for schemas and
// speakers, at most 64.
func nameFor(name, otherwise string) string {
	fit := strings.Map(func(r rune) rune {
		if r < 128 && (r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z') {
			return r
		}
		return '_'
	}, name)
	if fit == "" {
		fit = otherwise
	}
	return fit[:min(len(fit), maxLabel)]
}

// lacksOpenAI names what a request asks for that the model cannot do or be
// told in chat completions. A caller of the same dialect who names a model is
// believed, but for media that OpenAI's own models are known not to take.
func lacksOpenAI(model string, req *llm.Request) []string {
	m := openAIModelOf(model)
	same := req.Dialect == llm.OpenAIChat
	var lacks []string
	lack := func(name string, lacking bool) {
		if lacking && !slices.Contains(lacks, name) {
			lacks = append(lacks, name)
		}
	}
	for _, message := range req.Messages {
		for _, p := range message.Parts {
			lack(lacksMedia(m, req.Dialect, message.Role, p))
			if p.Kind == llm.Result {
				for _, p := range p.Result.Parts {
					lack(lacksMedia(m, req.Dialect, llm.User, p))
				}
			}
		}
	}
	if same {
		return lacks
	}
	lacks = append(lacks, req.Beyond...)
	effort := m.effort(req.Thought, len(req.Tools) > 0)
	lack("messages.prefill", req.Dialect == llm.Plain && begins(req)) // it would begin a new answer
	lack("n", req.N != nil && *req.N > maxChoices)
	lack("logprobs", req.Logprobs != nil && *req.Logprobs && !m.samples(effort))
	lack("stop", len(req.Stop) > 0 && !m.stops() || len(req.Stop) > 4)
	for i, t := range req.Tools {
		lack(fmt.Sprintf("tools[%d].function.name", i), t.Name != nameFor(t.Name, ""))
	}
	return lacks
}

// lacksMedia says whether the model cannot take a part, and what it is.
func lacksMedia(m openAIModel, from llm.Dialect, role llm.Role, p llm.Part) (name string, lacking bool) {
	if p.Media == nil {
		return "", false
	}
	media, same := *p.Media, from == llm.OpenAIChat
	wrongPlace := !same && role != llm.User
	switch p.Kind {
	case llm.Image:
		known := media.Data == "" && isWeb(media.URL) || media.Data != "" &&
			slices.Contains([]string{"", "image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif"}, media.MIME)
		return "messages.image", m.own() && !m.sees() || wrongPlace || !same && !known
	case llm.Document:
		_, isText := plainDocument(p.Media)
		known := isText || media.MIME == "application/pdf" && media.Data != "" || media.FileID != "" && from == llm.OpenAIResponses
		return "messages.document", m.own() && !m.sees() && !isText || wrongPlace || !same && !known
	case llm.Audio:
		return "messages.audio", m.own() && !m.hears() || wrongPlace || !same && (media.Data == "" || audioFormat(media.MIME) == "")
	}
	return "", false
}

func isWeb(url string) bool {
	return strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://")
}

// audioFormat gives the word of input_audio for a type; "" where it has none.
func audioFormat(mimeType string) string {
	switch mimeType {
	case "audio/wav", "audio/x-wav", "audio/wave":
		return "wav"
	case "audio/mp3", "audio/mpeg":
		return "mp3"
	}
	return ""
}

// plainDocument gives the text of a document that is text.
func plainDocument(m *llm.Media) (string, bool) {
	if m.Text != "" {
		return m.Text, true
	}
	if !strings.HasPrefix(m.MIME, "text/") {
		return "", false
	}
	b, err := base64.StdEncoding.DecodeString(m.Data)
	return string(b), err == nil
}

// spliceOpenAI keeps the caller's body but for the model's name and, so that
// every stream's tokens are counted, stream_options.include_usage. OpenAI's
// own models are also spared what other providers want back in messages: they
// refuse a field that they do not know.
func spliceOpenAI(model string, req *llm.Request) (Encoded, error) {
	body := []byte(req.Body)
	var err error
	if gjson.GetBytes(body, "model").String() != model {
		if body, err = sjson.SetBytes(body, "model", model); err != nil {
			return Encoded{}, &RequestError{"model", "cannot be replaced in the body"}
		}
	}
	if req.Stream && !req.IncludeUsage {
		path, value := "stream_options.include_usage", `true`
		if !gjson.GetBytes(body, "stream_options").IsObject() {
			path, value = "stream_options", `{"include_usage":true}`
		}
		if body, err = sjson.SetRawBytes(body, path, []byte(value)); err != nil {
			return Encoded{}, &RequestError{"stream_options", "cannot be extended in the body"}
		}
	}
	if openAIModelOf(model).own() {
		if body, err = forget(body); err != nil {
			return Encoded{}, &RequestError{"messages", "cannot be changed in the body"}
		}
	}
	return Encoded{Body: body}, nil
}

// forget takes what other providers attached out of the messages of a body.
func forget(body []byte) ([]byte, error) {
	fields := []string{"thinking_blocks", "reasoning_content", "extra_content"}
	if !anyName(body, func(name []byte) bool { return slices.Contains(fields, string(name)) }) {
		return body, nil
	}
	return editMessages(body, func(m gjson.Result) (message []byte, err error) {
		message = []byte(m.Raw)
		for _, field := range fields {
			if err == nil && m.Get(field).Exists() {
				message, err = sjson.DeleteBytes(message, field)
			}
		}
		for i, call := range m.Get("tool_calls").Array() {
			if err == nil && call.Get("extra_content").Exists() {
				message, err = sjson.DeleteBytes(message, fmt.Sprintf("tool_calls.%d.extra_content", i))
			}
		}
		return message, err
	})
}
