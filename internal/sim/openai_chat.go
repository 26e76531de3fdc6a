package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const openAIMaxStop = 4

// openAIGrammar is the body of a chat request
// (https://platform.openai.com/docs/api-reference/chat/create, 2026-11).
func openAIGrammar() grammar {
	return grammar{
		"body": "audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens " +
			"messages:message metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key " +
			"prompt_cache_options prompt_cache_retention reasoning_effort response_format:format safety_identifier seed service_tier " +
			"stop store stream stream_options:options temperature tool_choice tools:tool top_logprobs top_p user verbosity web_search_options",
		"message":            "role content:part name",
		"message/assistant":  "role content:part name refusal audio annotations tool_calls:call function_call",
		"message/tool":       "role content:part tool_call_id name",
		"part/text":          "type text prompt_cache_breakpoint",
		"part/image_url":     "type image_url:image prompt_cache_breakpoint",
		"part/input_audio":   "type input_audio:sound prompt_cache_breakpoint",
		"part/file":          "type file:file prompt_cache_breakpoint",
		"part/refusal":       "type refusal",
		"image":              "url detail",
		"sound":              "data format",
		"file":               "file_data file_id filename",
		"call/function":      "id type function:called index",
		"called":             "name arguments",
		"tool/function":      "type function:function",
		"function":           "name description parameters strict",
		"format/text":        "type",
		"format/json_object": "type",
		"format/json_schema": "type json_schema:named",
		"named":              "name description schema strict",
		"options":            "include_usage include_obfuscation",
	}
}

// openAIRequest is what is read of a chat request.
type openAIRequest struct {
	Model         string
	Messages      []openAIMessage
	Stream        bool
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	Temperature         *float64
	TopP                *float64 `json:"top_p"`
	Stop                json.RawMessage
	N                   *int
	Logprobs            bool
	TopLogprobs         *int            `json:"top_logprobs"`
	ReasoningEffort     string          `json:"reasoning_effort"`
	ResponseFormat      *openAIFormat   `json:"response_format"`
	Tools               []openAITool    `json:"tools"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	Metadata            map[string]string
	Store               bool
}

type openAIMessage struct {
	Role       string
	Content    json.RawMessage
	ToolCallID string           `json:"tool_call_id"`
	ToolCalls  []openAIToolCall `json:"tool_calls"`
}

type openAIToolCall struct {
	ID       string
	Type     string
	Function struct {
		Name      string
		Arguments *string
	}
}

type openAITool struct {
	Type     string
	Function openAIFunction
}

type openAIFunction struct {
	Name       string
	Parameters json.RawMessage
	Strict     bool
}

type openAIFormat struct {
	Type       string
	JSONSchema *openAINamedSchema `json:"json_schema"`
}

type openAINamedSchema struct {
	Name   string
	Schema json.RawMessage
	Strict bool
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

// openAIBody reads a body into a request and into a tree, and gives the
// refusal of what is no JSON or has a value of the wrong type.
func openAIBody(body []byte, q any) (tree map[string]any, refusal *response) {
	if err := json.Unmarshal(body, &tree); err != nil {
		return nil, openAIBad("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't "+
			"using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. "+
			"If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)")
	}
	err := json.Unmarshal(body, q)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		name := strings.ToLower(wrong.Field)
		return tree, openAIBad(name, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.",
			name, wrong.Type.Kind(), wrong.Value)
	}
	return tree, nil
}

func (d openAI) decode(r *http.Request, body []byte) (call, *response) {
	if r.URL.Path == "/v1/embeddings" {
		return decodeOpenAIEmbedding(body)
	}
	var q openAIRequest
	tree, refusal := openAIBody(body, &q)
	c := call{
		model: q.Model, stream: q.Stream, usage: q.StreamOptions != nil && q.StreamOptions.IncludeUsage, stop: q.stops(),
		single: q.ParallelToolCalls != nil && !*q.ParallelToolCalls, logprobs: q.Logprobs, thinks: !openAINeverReasons(q.Model),
	}
	if limit, _ := q.limit(); limit != nil {
		c.maxTokens = *limit
	}
	if q.N != nil {
		c.n = *q.N
	}
	if q.TopLogprobs != nil {
		c.likely = *q.TopLogprobs
	}
	if refusal != nil {
		return c, refusal
	}
	if path := openAIGrammar().unknown(tree, "body"); len(path) == 1 {
		return c, openAIBad("", "", "Unrecognized request argument supplied: %s", path[0])
	} else if path != nil {
		return c, openAIBad(bracketed(path), "unknown_parameter", "Unknown parameter: '%s'.", bracketed(path))
	}
	for _, check := range []func() *response{q.check, q.checkModel, q.checkSampling, q.checkTools, q.checkFormat, q.checkTurns} {
		if refusal := check(); refusal != nil {
			return c, refusal
		}
	}
	for _, t := range q.Tools {
		c.tools = append(c.tools, tool{t.Function.Name, t.Function.Parameters})
	}
	c.choice, refusal = openAIChoice(q.ToolChoice, c.tools)
	if f := q.ResponseFormat; f != nil && f.Type != "text" {
		c.form.json = true
		if f.JSONSchema != nil {
			c.form.schema = f.JSONSchema.Schema
		}
	}
	if refusal == nil {
		refusal = q.read(&c)
	}
	return c, refusal
}

// read puts the conversation into a call.
func (q openAIRequest) read(c *call) *response {
	var texts []string
	names := map[string]string{} // of the calls, by id
	for i, m := range q.Messages {
		at := fmt.Sprintf("messages[%d]", i)
		content, refusal := readOpenAIContent(m, at)
		if refusal != nil {
			return refusal
		}
		texts = append(texts, content.text)
		switch m.Role {
		case "user":
			c.hear(content.text, content.sees)
		case "assistant":
			c.results, c.begun, c.anew = nil, content.text, true
			for _, t := range m.ToolCalls {
				c.prompt, c.sees = "", nil // done with
				names[t.ID] = t.Function.Name
				texts = append(texts, t.Function.Name+*t.Function.Arguments)
			}
		case "tool":
			c.results = append(c.results, result{name: names[m.ToolCallID], text: content.text})
		}
	}
	for _, t := range c.tools {
		texts = append(texts, t.name+string(t.schema))
	}
	c.input = count(texts...)
	return nil
}

// openAIContent is the content of one message.
type openAIContent struct {
	text string
	sees []medium
}

func readOpenAIContent(m openAIMessage, at string) (got openAIContent, refusal *response) {
	var parts []struct {
		Type, Text, Refusal string
		ImageURL            struct{ URL string } `json:"image_url"`
		InputAudio          struct{ Data, Format string }
		Audio               struct{ Data, Format string } `json:"input_audio"`
		File                struct {
			FileData string `json:"file_data"`
			FileID   string `json:"file_id"`
		}
	}
	null := len(m.Content) == 0 || string(m.Content) == "null"
	if null && m.Role == "assistant" || json.Unmarshal(m.Content, &got.text) == nil && !null {
		return got, nil
	}
	if null || json.Unmarshal(m.Content, &parts) != nil {
		return got, openAIBad(strings.Replace(at, "[", ".[", 1)+".content", "", "Invalid value for 'content': expected a string, got null.")
	}
	var texts []string
	for j, p := range parts {
		at := fmt.Sprintf("%s.content[%d]", at, j)
		var seen medium
		ok := true
		switch p.Type {
		case "text":
			texts = append(texts, p.Text)
			continue
		case "refusal":
			continue
		case "image_url":
			if seen, ok = openAIImage(p.ImageURL.URL); !ok {
				return got, openAIBad(at+".image_url.url", "invalid_image_url", "Invalid base64 image_url.")
			}
		case "input_audio":
			if seen, ok = inline("audio/"+p.Audio.Format, p.Audio.Data); !ok || p.Audio.Format != "wav" && p.Audio.Format != "mp3" {
				return got, openAIBad(at+".input_audio", "invalid_value", "Invalid value: '%s'. Supported values are: 'wav' and 'mp3'.", p.Audio.Format)
			}
		case "file":
			if seen, ok = openAIFile(p.File.FileData, p.File.FileID); !ok {
				return got, openAIBad(at+".file.file_data", "invalid_value", "Invalid 'file_data'. Expected a base64-encoded data URL "+
					"with an application/pdf MIME type (e.g. 'data:application/pdf;base64,aGVsbG8K'), but got unsupported value instead.")
			}
		default:
			return got, openAIBad(at+".type", "invalid_value", "Invalid value: '%s'. Supported values are: 'text', 'image_url', "+
				"'input_audio', 'refusal', 'audio', and 'file'.", p.Type)
		}
		if m.Role != "user" {
			return got, openAIBad(at, "", "Image URLs are only allowed for messages with role 'user', but this message with role '%s' "+
				"contains an image URL.", m.Role)
		}
		got.sees = append(got.sees, seen)
	}
	got.text = strings.Join(texts, "\n")
	return got, nil
}

func openAIImage(url string) (medium, bool) {
	m, ok := at("image", url)
	return m, ok && (m.url != "" || slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, m.mime))
}

func openAIFile(data, id string) (medium, bool) {
	if id != "" {
		return medium{url: id}, true
	}
	m, ok := at("", data)
	return m, ok && m.url == ""
}
