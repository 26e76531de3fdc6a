package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"breakwater/internal/llm"
)

// anthropicGrammar is the body of a request, or of one to count its tokens.
// Some fields exist for those who name a beta only
// (https://docs.claude.com/en/api/messages and .../messages-count-tokens, 2026-11).
func anthropicGrammar() grammar {
	return grammar{
		"body": "cache_control container diagnostics inference_geo max_tokens messages:message metadata:metadata model " +
			"output_config:output service_tier speed stop_sequences stream system:block temperature thinking:thinking " +
			"tool_choice:choice tools:tool top_k top_p",
		"count":                   "cache_control messages:message model output_config:output speed system:block thinking:thinking tool_choice:choice tools:tool",
		"beta":                    "compaction context_management fallback_credit_token fallbacks mcp_servers output_format",
		"message":                 "role content:block",
		"metadata":                "user_id",
		"output":                  "effort format:format task_budget",
		"format/json_schema":      "type schema",
		"thinking/enabled":        "type budget_tokens display",
		"thinking/adaptive":       "type display",
		"thinking/disabled":       "type",
		"choice/auto":             "type disable_parallel_tool_use",
		"choice/any":              "type disable_parallel_tool_use",
		"choice/tool":             "type name disable_parallel_tool_use",
		"choice/none":             "type",
		"tool":                    "name description input_schema type cache_control strict eager_input_streaming defer_loading allowed_callers input_examples",
		"block/text":              "type text cache_control citations",
		"block/image":             "type source:source cache_control transformations",
		"block/document":          "type source:source title context citations cache_control",
		"block/search_result":     "type source title content citations cache_control",
		"block/thinking":          "type thinking signature",
		"block/redacted_thinking": "type data",
		"block/tool_use":          "type id name input cache_control caller toolset_name",
		"block/tool_result":       "type tool_use_id content:block is_error cache_control toolset_name",
		"block/tool_reference":    "type tool_name cache_control",
		"source/base64":           "type media_type data",
		"source/text":             "type media_type data",
		"source/url":              "type url",
		"source/file":             "type file_id",
		"source/content":          "type content:block",
	}
}

// anthropicRequest is what is read of a request.
type anthropicRequest struct {
	Model         *string
	MaxTokens     *int `json:"max_tokens"`
	Messages      []anthropicMessage
	System        json.RawMessage
	Stream        bool
	StopSequences []string `json:"stop_sequences"`
	Temperature   *float64
	TopP          *float64 `json:"top_p"`
	TopK          *int     `json:"top_k"`
	Tools         []anthropicTool
	ToolChoice    *struct {
		Type, Name string
		Single     bool `json:"disable_parallel_tool_use"`
	} `json:"tool_choice"`
	Thinking struct {
		Type, Display string
		Budget        int `json:"budget_tokens"`
	}
	OutputConfig struct{ Format *anthropicFormat } `json:"output_config"`
	OutputFormat *anthropicFormat                  `json:"output_format"` // its name in the beta
}

type anthropicFormat struct {
	Type   string
	Schema json.RawMessage
}

type anthropicTool struct {
	Type        string
	Name        string
	InputSchema json.RawMessage `json:"input_schema"`
	Strict      bool
}

// custom says whether a tool is the caller's own, not one of the provider.
func (t anthropicTool) custom() bool { return t.Type == "" || t.Type == "custom" }

type anthropicMessage struct {
	Role    string
	Content json.RawMessage
}

// blocks gives the content as blocks; a text is one. It says no for any other
// shape.
func (m anthropicMessage) blocks() (list []anthropicBlock, ok bool) {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return []anthropicBlock{{Type: "text", Text: text}}, true
	}
	return list, json.Unmarshal(m.Content, &list) == nil
}

type anthropicBlock struct {
	Type, Text          string
	Thinking, Signature string
	ID, Name            string
	Input               json.RawMessage
	ToolUseID           string `json:"tool_use_id"`
	ToolName            string `json:"tool_name"` // of a tool_reference
	Content             json.RawMessage
	IsError             bool `json:"is_error"`
	Source              struct {
		Type, Data, URL string
		MediaType       string `json:"media_type"`
		FileID          string `json:"file_id"`
	}
}

func (d anthropic) decode(r *http.Request, body []byte) (call, *response) {
	c, problem := decodeAnthropic(r, body)
	if problem == "" && c.begun != "" && !anthropicGoesOn(c.model) {
		problem = anthropicNoPrefill
	}
	if problem == "" {
		return c, nil
	}
	res := d.error(400, "invalid_request_error", problem)
	return c, &res
}

// anthropicGoesOn says whether a model takes the beginning of its own answer:
// those from 4.6 on do not, by
// https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-6#prefill-removal
// (2026-11). Names are like claude-sonnet-4-6, and the old ones like claude-3-5-sonnet.
func anthropicGoesOn(model string) bool {
	words := append(strings.Split(model, "-"), "", "", "")
	if _, err := strconv.Atoi(words[1]); err == nil {
		return true
	}
	major, _ := strconv.Atoi(words[2])
	minor, _ := strconv.Atoi(words[3])
	return major < 4 || major == 4 && (minor < 6 || minor > 99) // the latter is a date
}

// decodeAnthropic reads a request, or one to count its tokens, and gives the
// message of the refusal that it deserves, or "".
func decodeAnthropic(r *http.Request, body []byte) (c call, problem string) {
	var q anthropicRequest
	var tree map[string]any
	unreadable := json.Unmarshal(body, &tree)
	var wrong *json.UnmarshalTypeError
	errors.As(json.Unmarshal(body, &q), &wrong)
	c = call{stream: q.Stream, stop: q.StopSequences, thinks: q.thinks(), hides: q.Thinking.Display == "omitted"}
	if q.Model != nil {
		c.model = *q.Model
	}
	if q.MaxTokens != nil {
		c.maxTokens = *q.MaxTokens
	}
	switch {
	case r.Header.Get("Anthropic-Version") == "":
		return c, "anthropic-version: header is required"
	case unreadable != nil:
		return c, "The request body is not valid JSON: " + unreadable.Error()
	case wrong != nil:
		return c, fmt.Sprintf("%s: Input should be a valid %s", strings.ToLower(wrong.Field), wrong.Type.Kind())
	}
	counted := strings.HasSuffix(r.URL.Path, "/count_tokens")
	if problem = q.check(tree, r.Header.Get("Anthropic-Beta") != "", counted); problem != "" {
		return c, problem
	}
	for _, t := range q.Tools {
		if t.custom() {
			c.tools = append(c.tools, tool{t.Name, t.InputSchema})
		}
	}
	if q.ToolChoice != nil {
		c.single = q.ToolChoice.Single
		c.choice = choice{none: q.ToolChoice.Type == "none", any: q.ToolChoice.Type == "any" || q.ToolChoice.Type == "tool"}
		if q.ToolChoice.Type == "tool" {
			c.choice.names = []string{q.ToolChoice.Name}
		}
	}
	if f := q.format(); f != nil {
		c.form = form{json: true, schema: f.Schema}
	}
	return c, q.read(&c)
}

func (q anthropicRequest) thinks() bool {
	return q.Thinking.Type == "enabled" || q.Thinking.Type == "adaptive"
}

func (q anthropicRequest) format() *anthropicFormat {
	if q.OutputConfig.Format != nil {
		return q.OutputConfig.Format
	}
	return q.OutputFormat
}

// turns gives the messages with neighbours of the same role put together, as
// the API reads them, and where each turn begins among the messages.
func (q anthropicRequest) turns() (turns []anthropicTurn) {
	for i, m := range q.Messages {
		blocks, _ := m.blocks() // the shape is checked by then
		if n := len(turns); n > 0 && turns[n-1].role == m.Role {
			turns[n-1].blocks = append(turns[n-1].blocks, blocks...)
			continue
		}
		turns = append(turns, anthropicTurn{m.Role, i, slices.Clone(blocks)})
	}
	return turns
}

type anthropicTurn struct {
	role   string
	at     int
	blocks []anthropicBlock
}

// read puts the conversation into a call.
func (q anthropicRequest) read(c *call) (problem string) {
	system, _ := anthropicMessage{Content: q.System}.blocks()
	texts := []string{}
	for _, b := range system {
		texts = append(texts, b.Text)
	}
	names := map[string]string{} // of the calls, by id
	for _, t := range q.turns() {
		if t.role == "user" {
			c.hear("", nil)
		} else if t.role == "assistant" {
			c.results = nil
		}
		var said []string
		for i, b := range t.blocks {
			switch b.Type {
			case "text":
				said = append(said, b.Text)
			case "tool_use":
				names[b.ID] = b.Name
				texts = append(texts, b.Name+string(b.Input))
			case "tool_result":
				r := result{name: names[b.ToolUseID], failed: b.IsError}
				inner, _ := anthropicMessage{Content: b.Content}.blocks() // absent is empty
				for _, p := range inner {
					switch p.Type {
					case "text":
						r.text += p.Text
						continue
					case "tool_reference":
						if !slices.ContainsFunc(q.Tools, func(t anthropicTool) bool { return t.Name == p.ToolName }) {
							return fmt.Sprintf("Tool reference '%s' not found in available tools", p.ToolName)
						}
						r.text += "[" + p.ToolName + "]"
						continue
					}
					seen, wrong := p.medium(fmt.Sprintf("messages.%d.content.%d.tool_result.content", t.at, i))
					if wrong != "" {
						return wrong
					}
					r.sees = append(r.sees, seen)
				}
				c.results = append(c.results, r)
				texts = append(texts, r.text)
			case "image", "document":
				seen, wrong := b.medium(fmt.Sprintf("messages.%d.content.%d", t.at, i))
				if wrong != "" {
					return wrong
				}
				c.sees = append(c.sees, seen)
			}
		}
		texts = append(texts, strings.Join(said, "\n"))
		switch t.role {
		case "user":
			c.prompt = strings.Join(said, "\n")
		case "assistant":
			c.begun = strings.Join(said, "\n")
		}
	}
	for _, t := range q.Tools {
		texts = append(texts, t.Name+string(t.InputSchema))
	}
	c.input = count(texts...)
	return ""
}

// medium reads an image or a document.
func (b anthropicBlock) medium(at string) (m medium, problem string) {
	kind := ""
	if b.Type == "image" {
		kind = "image"
	}
	ok := true
	switch b.Source.Type {
	case "base64":
		m, ok = inline(b.Source.MediaType, b.Source.Data)
		types := []string{"application/pdf"}
		if kind == "image" {
			types = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
		}
		if !slices.Contains(types, b.Source.MediaType) {
			return m, fmt.Sprintf("%s.%s.source.base64.media_type: Input should be '%s'", at, b.Type, strings.Join(types, "', '"))
		}
	case "url":
		m, ok = medium{kind: kind, url: b.Source.URL}, strings.HasPrefix(b.Source.URL, "http")
		if !ok {
			return m, fmt.Sprintf("%s.%s.source.url.url: Only HTTPS URLs are supported.", at, b.Type)
		}
	case "text":
		m = medium{mime: "text/plain", bytes: len(b.Source.Data)}
	case "file":
		m = medium{kind: kind, url: b.Source.FileID}
	default:
		return m, fmt.Sprintf("%s.%s.source: Input tag '%s' found using 'type' does not match any of the expected tags: 'base64', 'url', 'file', 'text'",
			at, b.Type, b.Source.Type)
	}
	if !ok {
		return m, fmt.Sprintf("%s.%s.source.base64.data: Invalid base64 data", at, b.Type)
	}
	return m, ""
}

// count answers a request to count tokens
// (https://docs.claude.com/en/api/messages-count-tokens, 2026-11).
func (d anthropic) count(r *http.Request, body []byte, models []string) response {
	c, problem := decodeAnthropic(r, body)
	switch {
	case problem != "":
		return d.error(400, "invalid_request_error", problem)
	case !knows(models, c.model):
		return d.refuse(Fault{Kind: NoSuchModel}, c)
	}
	return response{status: 200, header: contentType("application/json"), body: fmt.Sprintf(`{"input_tokens":%d}`, c.input)}
}

// signedThought says whether a block of thinking is as this provider made it,
// its text hidden or not.
func (b anthropicBlock) signedThought() bool {
	return b.Signature == sign(llm.Claude, b.Thinking) || b.Thinking == "" && genuine(llm.Claude, b.Signature)
}
