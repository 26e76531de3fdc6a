package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

const (
	// DefaultAnthropicMaxTokens is sent where a caller sets no limit, since
	// Anthropic demands one: the most that every Claude model since 3.5 accepts.
	DefaultAnthropicMaxTokens = 8192
	// DefaultAnthropicThinkingMaxTokens is sent in its place where the model
	// thinks, which counts against the limit: the most that every Claude model
	// which thinks accepts.
	DefaultAnthropicThinkingMaxTokens = 32000
)

type anthropicBody struct {
	Model        string                 `json:"model"`
	MaxTokens    int64                  `json:"max_tokens,omitempty"`
	System       any                    `json:"system,omitempty"` // a string or []anthropicBlock
	Messages     []anthropicMessage     `json:"messages"`
	Tools        []anthropicTool        `json:"tools,omitempty"`
	ToolChoice   *anthropicToolChoice   `json:"tool_choice,omitempty"`
	Thinking     *anthropicThinking     `json:"thinking,omitempty"`
	OutputConfig *anthropicOutputConfig `json:"output_config,omitempty"`
	Temperature  *float64               `json:"temperature,omitempty"`
	TopP         *float64               `json:"top_p,omitempty"`
	TopK         *int64                 `json:"top_k,omitempty"`
	Stop         []string               `json:"stop_sequences,omitempty"`
	Metadata     *anthropicMetadata     `json:"metadata,omitempty"`
	ServiceTier  string                 `json:"service_tier,omitempty"`
	Stream       bool                   `json:"stream,omitempty"`
}

type anthropicMetadata struct {
	UserID string `json:"user_id"`
}

type anthropicTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"input_schema"`
	Strict      bool            `json:"strict,omitempty"`
	Cache       *anthropicCache `json:"cache_control,omitempty"`
}

type anthropicToolChoice struct {
	Type  llm.ChoiceMode `json:"type"`
	Name  string         `json:"name,omitempty"`
	Alone bool           `json:"disable_parallel_tool_use,omitempty"`
}

type anthropicThinking struct {
	Type    string `json:"type"`
	Budget  int64  `json:"budget_tokens,omitempty"`
	Display string `json:"display,omitempty"`
}

type anthropicOutputConfig struct {
	Effort string           `json:"effort,omitempty"`
	Format *anthropicFormat `json:"format,omitempty"`
}

type anthropicFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

// encodeAnthropic writes the body of POST /v1/messages, see
// https://platform.claude.com/docs/en/api/messages/create (2026-11).
func encodeAnthropic(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.AnthropicMessages {
		return spliceAnthropic(model, req)
	}
	body, a, err := anthropicRequest(model, req)
	if err != nil {
		return Encoded{}, err
	}
	return encoded(body, a)
}

// EncodeAnthropicCount writes the body of POST /v1/messages/count_tokens that
// asks model what req would count, see
// https://platform.claude.com/docs/en/api/messages/count_tokens (2026-11).
func EncodeAnthropicCount(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.AnthropicMessages {
		return spliceAnthropic(model, req)
	}
	body, a, err := anthropicRequest(model, req)
	if err != nil {
		return Encoded{}, err
	}
	return encoded(anthropicBody{
		Model: body.Model, System: body.System, Messages: body.Messages, Tools: body.Tools,
		ToolChoice: body.ToolChoice, Thinking: body.Thinking, OutputConfig: body.OutputConfig,
	}, a)
}

// spliceAnthropic keeps the caller's body but for the model's name and what
// Breakwater itself has put into the conversation.
func spliceAnthropic(model string, req *llm.Request) (Encoded, error) {
	body, err := withoutSeals(req.Body)
	if err == nil && gjson.GetBytes(body, "model").String() != model {
		body, err = sjson.SetBytes(body, "model", model)
	}
	if err != nil {
		return Encoded{}, &RequestError{"model", "cannot be replaced in the body"}
	}
	if body, err = safeCallIDs(body); err != nil {
		return Encoded{}, &RequestError{"messages", "a call's id cannot be replaced in the body"}
	}
	if gjson.GetBytes(body, "thinking.type").String() != "enabled" || !begunElsewhere(body) {
		return Encoded{Body: body}, nil
	}
	// Another provider began this turn, without thinking of Claude's: Anthropic
	// refuses a thinking budget then.
	if body, err = sjson.DeleteBytes(body, "thinking"); err != nil {
		return Encoded{}, &RequestError{"thinking", "cannot be taken out of the body"}
	}
	return Encoded{Body: body, Adjusted: adjusted{"reasoning_effort"}}, nil
}

// safeCallIDs replaces ids that another provider made and Anthropic refuses,
// alike in calls and results.
func safeCallIDs(body []byte) ([]byte, error) {
	return editMessages(body, func(m gjson.Result) (message []byte, err error) {
		message = []byte(m.Raw)
		for i, b := range m.Get("content").Array() {
			field := map[string]string{"tool_use": "id", "tool_result": "tool_use_id"}[b.Get("type").String()]
			if id := b.Get(field).String(); err == nil && field != "" && id != "" && anthropicCallID(id) != id {
				message, err = sjson.SetBytes(message, fmt.Sprintf("content.%d.%s", i, field), anthropicCallID(id))
			}
		}
		return message, err
	})
}

// begunElsewhere says whether Claude is to go on with an assistant's turn that
// does not begin with thinking: the last one, ahead of nothing but results.
func begunElsewhere(body []byte) bool {
	messages := gjson.GetBytes(body, "messages").Array()
	for i := len(messages) - 1; i >= 0; i-- {
		content := messages[i].Get("content")
		if messages[i].Get("role").String() == string(llm.Assistant) {
			first := content.Get("0.type").String()
			return content.IsArray() && first != "" && !strings.HasSuffix(first, "thinking") && content.Get(`#(type=="tool_use")`).Exists()
		}
		for _, b := range content.Array() {
			if b.Get("type").String() != "tool_result" {
				return false
			}
		}
	}
	return false
}

func anthropicRequest(model string, req *llm.Request) (anthropicBody, adjusted, error) {
	if err := translatable(req, llm.AnthropicMessages); err != nil {
		return anthropicBody{}, nil, err
	}
	if lacking := lacksAnthropic(model, req); len(lacking) > 0 {
		return anthropicBody{}, nil, &RequestError{lacking[0], "cannot be carried to " + label(model)}
	}
	e := anthropicEncoder{model: claudeModel(model), req: req, body: anthropicBody{Model: model, Stream: req.Stream}}
	if err := e.conversation(); err != nil {
		return anthropicBody{}, nil, err
	}
	e.tools()
	e.think()
	e.sample()
	e.form()
	e.labels()
	return e.body, e.adjusted, nil
}

// anthropicEncoder writes a request that came in another dialect.
type anthropicEncoder struct {
	adjusted
	model claude
	req   *llm.Request
	body  anthropicBody

	system  []anthropicBlock
	later   []anthropicBlock // instructions that wait for the end of the user's turn
	laterAt int              // the message of the last of them
}

// anthropicName says whether a tool may be called so, and a call have such an
// id, see https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools (2026-11).
func anthropicName(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// lacksAnthropic names what a Claude model cannot do or be told. There is no
// JSON mode: output_config.format wants a schema without free keys, and a mere
// instruction would not hold what response_format promises.
func lacksAnthropic(model string, req *llm.Request) []string {
	if req.Dialect == llm.AnthropicMessages {
		return nil
	}
	lacking := append([]string(nil), req.Beyond...)
	lack := func(name string, lacks bool) {
		if lacks {
			lacking = append(lacking, name)
		}
	}
	c := claudeModel(model)
	lack("messages", !saysSomething(req))
	lack("n", req.N != nil && *req.N > 1)
	lack("logprobs", req.Logprobs != nil && *req.Logprobs || req.TopLogprobs != nil && *req.TopLogprobs > 0)
	lack("tools", c.version < 300 && len(req.Tools) > 0)
	for i, t := range req.Tools {
		lack(fmt.Sprintf("tools[%d].function.name", i), !anthropicName(t.Name))
	}
	if choice := req.ToolChoice; choice != nil && len(req.Tools) > 0 {
		lack("tool_choice", !c.forcible() && (choice.Mode == llm.ChooseAny || choice.Mode == llm.ChooseTool))
	}
	if f := req.Format; f != nil {
		ok := f.Kind == llm.FormatSchema && c.formed()
		if ok {
			_, _, ok = anthropicSchema(f.Schema)
		}
		lack("response_format", !ok)
	}
	return append(lacking, lacksAnthropicContent(c, req)...)
}

// lacksAnthropicContent names what of the messages a model cannot be told.
func lacksAnthropicContent(c claude, req *llm.Request) (lacking []string) {
	kinds := make(map[llm.PartKind]bool)
	prefill, named := false, true
	for _, m := range req.Messages {
		for _, p := range m.Parts {
			named = named && (p.Kind != llm.Call || anthropicName(p.Call.Name))
			check := []llm.Part{p}
			if p.Kind == llm.Result {
				check = p.Result.Parts
			}
			for _, p := range check {
				kinds[p.Kind] = kinds[p.Kind] || p.Media != nil && (m.Role != llm.User && m.Role != llm.ToolRole || !anthropicReads(c, p))
			}
		}
		if anthropicSays(m.Parts) {
			prefill = m.Role == llm.Assistant
		}
	}
	for _, kind := range []llm.PartKind{llm.Image, llm.Document, llm.Audio} {
		if kinds[kind] {
			lacking = append(lacking, "messages."+string(kind))
		}
	}
	if !named {
		lacking = append(lacking, "messages.tool_calls.function.name")
	}
	if prefill && (!c.prefillable() || req.Format != nil) {
		lacking = append(lacking, "messages.prefill")
	}
	return lacking
}

// anthropicSays says whether anything of a message but thinking would be sent.
func anthropicSays(parts []llm.Part) bool {
	for _, p := range parts {
		if p.Kind != llm.Thinking && (p.Media != nil || p.Call != nil || p.Result != nil || strings.TrimSpace(p.Text) != "") {
			return true
		}
	}
	return false
}

// anthropicReads says whether a model reads a medium, see
// https://platform.claude.com/docs/en/build-with-claude/vision and
// https://platform.claude.com/docs/en/build-with-claude/pdf-support (2026-11).
// Files that were uploaded to another provider are none of Anthropic's.
func anthropicReads(c claude, p llm.Part) bool {
	m := p.Media
	if m.FileID != "" {
		return false
	}
	switch p.Kind {
	case llm.Image:
		switch m.MIME {
		case "image/jpeg", "image/png", "image/gif", "image/webp":
			return c.version >= 300
		}
		return m.URL != "" && c.version >= 300
	case llm.Document:
		if _, plain := anthropicPlain(m); plain {
			return true
		}
		return (m.MIME == "application/pdf" || m.MIME == "" && m.URL != "") && c.version >= 305
	}
	return false
}

// tools writes the tools that may be called. Those beyond ToolChoice.Among are
// left out, which is the only way to say that. Where the conversation has
// calls, Anthropic demands tools: they are named then, and may not be called.
func (e *anthropicEncoder) tools() {
	choice := e.req.ToolChoice
	for i, t := range e.req.Tools {
		if choice != nil && choice.Among != nil && !slices.Contains(choice.Among, t.Name) {
			continue
		}
		e.body.Tools = append(e.body.Tools, e.tool(i, t))
	}
	if len(e.body.Tools) == 0 {
		e.formerTools()
		return
	}
	out := &anthropicToolChoice{Type: llm.ChooseAuto}
	if choice != nil {
		out.Type, out.Name = choice.Mode, choice.Name
	}
	out.Alone = e.req.Parallel != nil && !*e.req.Parallel && out.Type != llm.ChooseNone
	if choice != nil || out.Alone {
		e.body.ToolChoice = out
	}
}

func (e *anthropicEncoder) tool(i int, t llm.Tool) anthropicTool {
	out := anthropicTool{Name: t.Name, Description: t.Description, Schema: t.Schema, Cache: anthropicCacheMark(t.Cache)}
	path := fmt.Sprintf("tools[%d].", i)
	if t.Strict != nil && *t.Strict {
		cut, gave, ok := anthropicSchema(t.Schema)
		switch {
		case !ok || !e.model.formed():
			e.dropped(path+"strict", true)
		default:
			out.Strict, out.Schema = true, cut
			for _, keyword := range gave {
				e.dropped(path+"parameters: "+keyword, true)
			}
		}
	}
	schema := gjson.ParseBytes(out.Schema)
	if !schema.IsObject() {
		out.Schema = json.RawMessage(`{"type":"object","properties":{}}`)
		return out
	}
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} { // refused at the top
		if schema.Get(keyword).Exists() {
			if cut, err := sjson.DeleteBytes(out.Schema, keyword); err == nil {
				out.Schema = cut
				e.dropped(path+"parameters: "+keyword, true)
			}
		}
	}
	if schema.Get("type").String() != "object" {
		if cut, err := sjson.SetBytes(out.Schema, "type", "object"); err == nil {
			out.Schema = cut
		}
	}
	return out
}

// formerTools names the tools that the conversation has called.
func (e *anthropicEncoder) formerTools() {
	seen := make(map[string]bool)
	for _, m := range e.req.Messages {
		for _, p := range m.Parts {
			if p.Kind == llm.Call && !seen[p.Call.Name] {
				seen[p.Call.Name] = true
				e.body.Tools = append(e.body.Tools, anthropicTool{Name: p.Call.Name, Schema: json.RawMessage(`{"type":"object"}`)})
			}
		}
	}
	if len(e.body.Tools) > 0 {
		e.body.ToolChoice = &anthropicToolChoice{Type: llm.ChooseNone}
	}
}

// form writes the schema that the answer must have.
func (e *anthropicEncoder) form() {
	if e.req.Format == nil {
		return
	}
	schema, gave, _ := anthropicSchema(e.req.Format.Schema)
	e.outputConfig().Format = &anthropicFormat{Type: "json_schema", Schema: schema}
	for _, keyword := range gave {
		e.dropped("response_format: "+keyword, true)
	}
}

func (e *anthropicEncoder) outputConfig() *anthropicOutputConfig {
	if e.body.OutputConfig == nil {
		e.body.OutputConfig = &anthropicOutputConfig{}
	}
	return e.body.OutputConfig
}

// labels writes what changes nothing in the answer.
func (e *anthropicEncoder) labels() {
	if e.req.User != "" {
		e.body.Metadata = &anthropicMetadata{UserID: e.req.User}
	}
	e.dropped("metadata", len(e.req.Metadata) > 0)
	switch e.req.ServiceTier {
	case "", "auto":
	case "default", "standard_only":
		e.body.ServiceTier = "standard_only"
	default:
		e.dropped("service_tier", true)
	}
}
