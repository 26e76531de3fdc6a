package wire

import (
	"fmt"
	"math"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DecodeAnthropic reads the body of POST /v1/messages, see
// https://platform.claude.com/docs/en/api/messages/create (2026-11). The error
// is a *RequestError.
//
// Whatever an llm.Request cannot say is named in Beyond, or in Aside where it
// only tunes the answer, but for what changes nothing in another provider's:
// nulls, empty lists, defaults, how Anthropic keeps its own caches and blocks. A cache_control of the
// whole request marks its last part, as Anthropic reads it.
func DecodeAnthropic(body []byte) (*llm.Request, error) {
	d, err := decodeAnthropic(body)
	if err != nil {
		return nil, err
	}
	if d.maxTokens == nil {
		return nil, &RequestError{"max_tokens", "is required: the most tokens that the answer may have"}
	}
	if *d.maxTokens > 0 {
		d.req.MaxTokens = d.maxTokens
	} else { // nothing but to fill Anthropic's cache
		d.beyond("", "max_tokens")
	}
	return d.req, nil
}

// DecodeAnthropicCount reads the body of POST /v1/messages/count_tokens, that
// of a message without its limits and sampling, see
// https://platform.claude.com/docs/en/api/messages/count_tokens (2026-11). The
// error is a *RequestError.
func DecodeAnthropicCount(body []byte) (*llm.Request, error) {
	d, err := decodeAnthropic(body)
	if err != nil {
		return nil, err
	}
	d.req.MaxTokens = d.maxTokens
	return d.req, nil
}

func decodeAnthropic(body []byte) (*anthropicDecoder, error) {
	o, failed := requestObject(body)
	if failed != nil {
		return nil, failed
	}
	d := &anthropicDecoder{req: &llm.Request{Dialect: llm.AnthropicMessages, Body: body}, names: make(map[string]string)}
	if failed := eachField(o, "", d.field); failed != nil {
		return nil, failed
	}
	switch {
	case d.req.Model == "":
		return nil, &RequestError{"model", "is required: the name of a model or provider"}
	case !d.messages:
		return nil, &RequestError{"messages", "is required: a list with at least one message"}
	}
	if d.system != nil {
		d.req.Messages = append([]llm.Message{*d.system}, d.req.Messages...)
	}
	d.think()
	d.cacheLast()
	return d, nil
}

// anthropicDecoder fills a request from the fields of a body.
type anthropicDecoder struct {
	req       *llm.Request
	system    *llm.Message
	messages  bool // there are some
	maxTokens *int64
	names     map[string]string // of tools, by the call's id
	cache     string            // of the whole request

	thinking *llm.Thought
	effort   string
}

// beyond notes a field that the request cannot say. Since no field may be given
// twice, none is noted twice.
func (d *anthropicDecoder) beyond(path, name string) {
	d.req.Beyond = append(d.req.Beyond, path+label(name))
}

// aside notes a field that the request cannot say and that only tunes the answer.
func (d *anthropicDecoder) aside(path, name string) {
	d.req.Aside = append(d.req.Aside, path+label(name))
}

func (d *anthropicDecoder) field(name string, v gjson.Result) (err *RequestError) {
	if v.Type == gjson.Null {
		return nil
	}
	r := d.req
	switch name {
	case "model":
		r.Model, err = text(name, v)
	case "messages":
		err = d.conversation(v)
	case "system":
		var parts []llm.Part
		if parts, err = d.content("system", "system", v); len(parts) > 0 {
			d.system = &llm.Message{Role: llm.System, Parts: parts}
		}
	case "max_tokens":
		d.maxTokens, err = integer(name, v, 0, math.MaxInt64)
	case "temperature":
		r.Temperature, err = number(name, v, 0, 1)
	case "top_p":
		r.TopP, err = number(name, v, 0, 1)
	case "top_k":
		r.TopK, err = integer(name, v, 0, math.MaxInt64)
	case "stop_sequences":
		if !v.IsArray() {
			return wrongType(name, v, "a list of strings")
		}
		r.Stop, err = stops(name, v)
	case "stream":
		r.Stream, err = boolean(name, v)
		r.IncludeUsage = r.Stream // its streams always tell
	case "service_tier":
		r.ServiceTier, err = text(name, v)
	case "metadata":
		err = d.metadata(v)
	case "cache_control":
		d.cache, err = d.cacheControl("", v)
	default:
		err = d.settings(name, v)
	}
	return err
}

// settings takes the fields about tools, thinking and form.
func (d *anthropicDecoder) settings(name string, v gjson.Result) (err *RequestError) {
	switch name {
	case "tools":
		err = eachElement(v, name, d.tool)
	case "tool_choice":
		err = d.toolChoice(v)
	case "thinking":
		err = d.thought(v)
	case "output_config":
		err = d.outputConfig(v)
	case "output_format": // its older name
		err = d.format(name, v)
	case "context_management":
		d.contextManagement(v)
	case "diagnostics": // of Anthropic's cache
	case "speed":
		if v.String() != "standard" {
			d.aside("", name)
		}
	default: // container, mcp_servers, inference_geo and others
		if !emptyList(v) {
			d.beyond("", name)
		}
	}
	return err
}

func (d *anthropicDecoder) metadata(v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType("metadata", v, "an object")
	}
	return eachField(v, "metadata.", func(name string, v gjson.Result) (err *RequestError) {
		if name == "user_id" && v.Type != gjson.Null {
			d.req.User, err = text("metadata.user_id", v)
		}
		return err // other labels are for Anthropic's own book-keeping
	})
}

// contextManagement does without what only clears old thinking and results, as
// clients such as Claude Code ask. A summary is another matter, see
// https://platform.claude.com/docs/en/build-with-claude/context-editing (2026-11).
func (d *anthropicDecoder) contextManagement(v gjson.Result) {
	clears := v.IsObject()
	v.ForEach(func(key, edits gjson.Result) bool {
		clears = clears && key.Str == "edits" && edits.IsArray()
		edits.ForEach(func(_, edit gjson.Result) bool {
			clears = clears && strings.HasPrefix(edit.Get("type").String(), "clear_")
			return clears
		})
		return clears
	})
	if clears {
		d.aside("", "context_management")
	} else {
		d.beyond("", "context_management")
	}
}

// cacheControl reads a mark of the prompt cache, see
// https://platform.claude.com/docs/en/build-with-claude/prompt-caching (2026-11).
func (d *anthropicDecoder) cacheControl(path string, v gjson.Result) (ttl string, failed *RequestError) {
	path += "cache_control"
	if v.Type == gjson.Null {
		return "", nil
	}
	if !v.IsObject() {
		return "", wrongType(path, v, "an object")
	}
	switch ttl = v.Get("ttl").String(); ttl {
	case "":
		return "5m", nil
	case "5m", "1h":
		return ttl, nil
	}
	return "", &RequestError{path + ".ttl", `must be "5m" or "1h"`}
}

// cacheLast puts the whole request's cache mark where Anthropic puts it.
func (d *anthropicDecoder) cacheLast() {
	if d.cache == "" {
		return
	}
	for i := len(d.req.Messages) - 1; i >= 0; i-- {
		if parts := d.req.Messages[i].Parts; len(parts) > 0 {
			parts[len(parts)-1].Cache = d.cache
			return
		}
	}
}

// thought reads the thinking configuration, see
// https://platform.claude.com/docs/en/build-with-claude/thinking (2026-11).
// between_tools is the off switch of models that have no other.
func (d *anthropicDecoder) thought(v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType("thinking", v, "an object")
	}
	t := &llm.Thought{}
	d.thinking = t
	known := true
	switch v.Get("type").String() {
	case "enabled": // which only models know that show their thinking unless told otherwise
		if !v.Get("budget_tokens").Exists() {
			return &RequestError{"thinking.budget_tokens", "is required"}
		}
		t.Show = new(true)
	case "adaptive":
		t.Adaptive = true
	case "disabled", "between_tools":
		t.Effort = "none"
	case "":
		return &RequestError{"thinking.type", "is required"}
	default:
		known = false
		d.beyond("thinking.", "type")
	}
	return eachField(v, "thinking.", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null, name == "type", !known:
		case name == "budget_tokens":
			t.Budget, err = integer("thinking.budget_tokens", v, 1024, math.MaxInt64)
		case name == "display":
			show := v.String() != "omitted"
			t.Show = &show
		case name == "block_binding": // how Anthropic checks its own blocks
		default:
			d.beyond("thinking.", name)
		}
		return err
	})
}

// outputConfig reads effort and form, see
// https://platform.claude.com/docs/en/build-with-claude/effort and
// https://platform.claude.com/docs/en/build-with-claude/structured-outputs (2026-11).
func (d *anthropicDecoder) outputConfig(v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType("output_config", v, "an object")
	}
	return eachField(v, "output_config.", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null:
		case name == "effort":
			d.effort, err = text("output_config.effort", v)
			switch d.effort {
			case "", "low", "medium", "high", "xhigh", "max":
			default:
				err = &RequestError{"output_config.effort", fmt.Sprintf("%q is none of low, medium, high, xhigh, max", label(d.effort))}
			}
		case name == "format":
			err = d.format("output_config.format", v)
		case name == "task_budget":
			d.aside("output_config.", name)
		default:
			d.beyond("output_config.", name)
		}
		return err
	})
}

func (d *anthropicDecoder) format(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	schema := v.Get("schema")
	switch {
	case v.Get("type").String() != "json_schema":
		d.beyond("", path+".type")
		return nil
	case !schema.IsObject():
		return wrongType(path+".schema", schema, "an object")
	}
	d.req.Format = &llm.Format{
		Kind: llm.FormatSchema, Name: v.Get("name").String(), Description: v.Get("description").String(), Schema: []byte(schema.Raw),
	}
	return nil
}

// think joins what was said of thinking and of effort, in whatever order.
func (d *anthropicDecoder) think() {
	t := d.thinking
	if d.effort != "" {
		if t == nil {
			t = &llm.Thought{}
		}
		if t.Effort == "" {
			t.Effort = d.effort
		}
	}
	d.req.Thought = t
}

// tool takes a caller's own tool. Those that Anthropic runs or has trained its
// models on, such as web_search_20250305, are only named, see
// https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-reference (2026-11).
func (d *anthropicDecoder) tool(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	path += "."
	if kind := v.Get("type").String(); kind != "" && kind != "custom" {
		d.beyond(path, kind)
		return nil
	}
	var t llm.Tool
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		if known, err := toolField(&t, "input_schema", name, path+name, v); known {
			return err
		}
		switch {
		case name == "type":
		case name == "cache_control":
			t.Cache, err = d.cacheControl(path, v)
		case name == "eager_input_streaming", v.Type == gjson.False, emptyList(v), v.Raw == `["direct"]`:
		case name == "defer_loading", name == "input_examples":
			d.aside(path, name)
		default: // allowed_callers
			d.beyond(path, name)
		}
		return err
	})
	if err == nil && t.Name == "" {
		err = &RequestError{path + "name", "is required"}
	}
	d.req.Tools = append(d.req.Tools, t)
	return err
}

func (d *anthropicDecoder) toolChoice(v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType("tool_choice", v, "an object")
	}
	choice := &llm.ToolChoice{Mode: llm.ChoiceMode(v.Get("type").String())}
	switch choice.Mode {
	case llm.ChooseAuto, llm.ChooseAny, llm.ChooseNone:
	case llm.ChooseTool:
		if choice.Name = v.Get("name").String(); choice.Name == "" {
			return &RequestError{"tool_choice.name", "is required"}
		}
	default:
		return &RequestError{"tool_choice.type", fmt.Sprintf("%q is none of auto, any, tool, none", label(string(choice.Mode)))}
	}
	d.req.ToolChoice = choice
	if alone := v.Get("disable_parallel_tool_use"); alone.Exists() && alone.Type != gjson.Null {
		only, err := boolean("tool_choice.disable_parallel_tool_use", alone)
		if err != nil {
			return err
		}
		if only {
			d.req.Parallel = new(bool)
		}
	}
	return nil
}
