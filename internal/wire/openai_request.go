package wire

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DecodeOpenAIChat reads the body of POST /v1/chat/completions, see
// https://developers.openai.com/api/reference/resources/chat (2026-11). The
// error is a *RequestError.
//
// Whatever an llm.Request cannot say is named in Beyond, but for what changes
// nothing in the answer: nulls, empty lists, values that are the default, and
// labels for OpenAI's own book-keeping (prompt cache settings). What only tunes
// the answer, or its speed, is named in Aside. The older words are read as the
// newer ones that replaced them: max_tokens, user, functions, function_call.
// What many compatible servers share is understood too: top_k, and in messages
// what this package's doors write there (see openai_parts.go).
func DecodeOpenAIChat(body []byte) (*llm.Request, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, err
	}
	d := chatDecoder{req: &llm.Request{Dialect: llm.OpenAIChat, Body: body}}
	if err := eachField(o, "", d.field); err != nil {
		return nil, err
	}
	switch {
	case d.req.Model == "":
		return nil, &RequestError{"model", "is required: the name of a model or provider"}
	case !d.messages:
		return nil, &RequestError{"messages", "is required: a list with at least one message"}
	}
	if d.maxCompletion != nil {
		d.req.MaxTokens = d.maxCompletion
	}
	if d.safety != "" {
		d.req.User = d.safety
	}
	if err := d.choose(); err != nil {
		return nil, err
	}
	return d.req, nil
}

// chatDecoder fills a request from the fields of a body.
type chatDecoder struct {
	req           *llm.Request
	messages      bool // there are some
	maxCompletion *int64
	safety        string // safety_identifier, which replaces user
	choice        string // the field that has the tool choice

	called map[string]string // the tool's name, by the id of a call so far
	latest map[string]string // the id of the last call so far, by the tool's name
}

// beyond notes a field that the request cannot say. Since no field may be given
// twice, none is noted twice.
func (d *chatDecoder) beyond(path, name string) {
	d.req.Beyond = append(d.req.Beyond, path+label(name))
}

func (d *chatDecoder) field(name string, v gjson.Result) (err *RequestError) {
	if v.Type == gjson.Null {
		return nil
	}
	r := d.req
	switch name {
	case "model":
		r.Model, err = text(name, v)
	case "messages":
		err = d.conversation(v)
	case "max_tokens":
		r.MaxTokens, err = integer(name, v, 1, math.MaxInt64)
	case "max_completion_tokens":
		d.maxCompletion, err = integer(name, v, 1, math.MaxInt64)
	case "n":
		r.N, err = integer(name, v, 1, maxChoices)
	case "logprobs":
		r.Logprobs, err = optional(boolean(name, v))
	case "top_logprobs":
		r.TopLogprobs, err = integer(name, v, 0, 20)
	case "stream":
		r.Stream, err = boolean(name, v)
	case "stream_options":
		err = d.streamOptions(v)
	case "tools":
		err = d.tools(v)
	case "functions":
		err = d.functions(v)
	case "tool_choice", "function_call":
		err = d.toolChoice(name, v)
	case "parallel_tool_calls":
		r.Parallel, err = optional(boolean(name, v))
	case "response_format":
		err = d.format(v)
	case "reasoning_effort":
		err = d.effort(name, v)
	case "metadata":
		r.Metadata, err = labels(name, v)
	case "safety_identifier":
		d.safety, err = text(name, v)
	case "service_tier":
		r.ServiceTier, err = text(name, v)
		if r.ServiceTier == "auto" { // the default
			r.ServiceTier = ""
		}
	default:
		if known, err := samplingField(r, name, v); known {
			return err
		}
		return d.other(name, v)
	}
	return err
}

// samplingField takes the settings that chat and legacy completions share.
func samplingField(r *llm.Request, name string, v gjson.Result) (known bool, err *RequestError) {
	switch name {
	case "temperature":
		r.Temperature, err = number(name, v, 0, 2)
	case "top_p":
		r.TopP, err = number(name, v, 0, 1)
	case "top_k":
		r.TopK, err = integer(name, v, 0, math.MaxInt64)
	case "frequency_penalty":
		r.FrequencyPenalty, err = number(name, v, -2, 2)
	case "presence_penalty":
		r.PresencePenalty, err = number(name, v, -2, 2)
	case "seed":
		r.Seed, err = integer(name, v, math.MinInt64, math.MaxInt64)
	case "stop":
		r.Stop, err = stops(v)
	case "user":
		r.User, err = text(name, v)
	default:
		return false, nil
	}
	return true, err
}

// optional points to a value that was given.
func optional[T any](v T, err *RequestError) (*T, *RequestError) {
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// other takes the fields that no other dialect shares.
func (d *chatDecoder) other(name string, v gjson.Result) *RequestError {
	harmless := emptyList(v)
	switch name {
	case "store":
		set, err := boolean(name, v)
		if err != nil {
			return err
		}
		harmless = !set
	case "modalities":
		harmless = harmless || v.Get("#").Int() == 1 && v.Get("0").String() == "text"
	case "verbosity":
		if v.String() != "medium" {
			d.req.Aside = append(d.req.Aside, name)
		}
		harmless = true
	case "prediction", "enable_thinking", "min_p", "repetition_penalty":
		d.req.Aside = append(d.req.Aside, name)
		harmless = true
	case "logit_bias":
		harmless = v.IsObject() && v.Get("@keys.#").Int() == 0
	case "prompt_cache_key":
		d.req.CacheKey, harmless = v.String(), true
	case "prompt_cache_retention", "prompt_cache_options":
		harmless = true
	}
	if !harmless {
		d.beyond("", name)
	}
	return nil
}

func (d *chatDecoder) streamOptions(v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType("stream_options", v, "an object")
	}
	const path = "stream_options."
	return eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null:
		case name == "include_usage":
			d.req.IncludeUsage, err = boolean(path+name, v)
		case name == "include_obfuscation": // padding against eavesdroppers, which says nothing
		default:
			d.beyond(path, name)
		}
		return err
	})
}

// effort takes reasoning_effort; a word that is not known goes to a target
// that may know it.
func (d *chatDecoder) effort(name string, v gjson.Result) *RequestError {
	word, err := text(name, v)
	if err != nil {
		return err
	}
	if !slices.Contains(efforts, word) {
		d.beyond("", name)
		return nil
	}
	d.req.Thought = &llm.Thought{Effort: word}
	return nil
}

// labels takes a string for each of an object's names.
func labels(path string, v gjson.Result) (all map[string]string, failed *RequestError) {
	if !v.IsObject() {
		return nil, wrongType(path, v, "an object")
	}
	failed = eachField(v, path+".", func(name string, v gjson.Result) *RequestError {
		value, err := text(path+"."+label(name), v)
		if all == nil {
			all = make(map[string]string)
		}
		all[name] = value
		return err
	})
	return all, failed
}

// tools takes function tools. Of other kinds, such as custom tools, only
// OpenAI knows what they are.
func (d *chatDecoder) tools(v gjson.Result) *RequestError {
	return eachElement(v, "tools", func(path string, v gjson.Result) *RequestError {
		if !v.IsObject() {
			return wrongType(path, v, "an object")
		}
		if kind := v.Get("type"); kind.Type != gjson.Null && kind.String() != "function" {
			d.beyond(path+".", kind.String())
			return nil
		}
		var cache string
		if err := eachField(v, path+".", func(name string, v gjson.Result) *RequestError {
			switch {
			case name == "type", name == "function", v.Type == gjson.Null:
			case name == "cache_control":
				cache = d.cacheControl(path+".", name, v)
			default:
				d.beyond(path+".", name)
			}
			return nil
		}); err != nil {
			return err
		}
		return d.tool(path+".function", v.Get("function"), cache)
	})
}

// functions takes the older form of tools.
func (d *chatDecoder) functions(v gjson.Result) *RequestError {
	return eachElement(v, "functions", func(path string, v gjson.Result) *RequestError { return d.tool(path, v, "") })
}

func (d *chatDecoder) tool(path string, v gjson.Result, cache string) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	tool := llm.Tool{Cache: cache}
	err := eachField(v, path+".", func(name string, v gjson.Result) *RequestError {
		known, err := toolField(&tool, "parameters", name, path+"."+name, v)
		if !known {
			d.beyond(path+".", name)
		}
		return err
	})
	if err == nil && tool.Name == "" {
		err = &RequestError{path + ".name", "is required"}
	}
	d.req.Tools = append(d.req.Tools, tool)
	return err
}

// toolChoice takes tool_choice and its older form function_call.
func (d *chatDecoder) toolChoice(field string, v gjson.Result) *RequestError {
	if d.choice != "" {
		return &RequestError{field, "cannot be given beside " + d.choice}
	}
	d.choice = field
	if v.Type == gjson.String {
		modes := map[string]llm.ChoiceMode{"auto": llm.ChooseAuto, "none": llm.ChooseNone, "required": llm.ChooseAny}
		mode, known := modes[v.String()]
		if !known {
			return &RequestError{field, fmt.Sprintf("%q is none of auto, none, required", label(v.String()))}
		}
		d.req.ToolChoice = &llm.ToolChoice{Mode: mode}
		return nil
	}
	if !v.IsObject() {
		return wrongType(field, v, "a string or an object")
	}
	name, kind := v.Get("function.name"), v.Get("type").String()
	if field == "function_call" {
		name, kind = v.Get("name"), "function"
	}
	switch {
	case kind == "allowed_tools":
		return d.allowedTools(v.Get("allowed_tools"))
	case kind != "function":
		d.beyond(field+".", kind)
	case name.Type != gjson.String || name.String() == "":
		return &RequestError{field, "names no function"}
	default:
		d.req.ToolChoice = &llm.ToolChoice{Mode: llm.ChooseTool, Name: name.String()}
	}
	return nil
}

func (d *chatDecoder) allowedTools(v gjson.Result) *RequestError {
	const path = "tool_choice.allowed_tools"
	choice := &llm.ToolChoice{}
	switch mode := v.Get("mode").String(); mode {
	case "auto":
		choice.Mode = llm.ChooseAuto
	case "required":
		choice.Mode = llm.ChooseAny
	default:
		return &RequestError{path + ".mode", fmt.Sprintf("%q is none of auto, required", label(mode))}
	}
	for i, tool := range v.Get("tools").Array() {
		name := tool.Get("function.name").String()
		if tool.Get("type").String() != "function" || name == "" {
			d.beyond(fmt.Sprintf("%s.tools[%d].", path, i), tool.Get("type").String())
			return nil
		}
		choice.Among = append(choice.Among, name)
	}
	if choice.Among == nil {
		return &RequestError{path + ".tools", "is required: a list with at least one tool"}
	}
	d.req.ToolChoice = choice
	return nil
}

// choose checks the tool choice against the tools. Without tools a choice
// among them says nothing, unless it demands one. Tools that the request
// cannot say count: they are only a same-dialect target's concern.
func (d *chatDecoder) choose() *RequestError {
	r := d.req
	unsaid := slices.ContainsFunc(r.Beyond, func(path string) bool { return strings.HasPrefix(path, "tools[") })
	if c := r.ToolChoice; c != nil && !unsaid {
		named := c.Among
		if c.Mode == llm.ChooseTool {
			named = []string{c.Name}
		}
		switch {
		case len(r.Tools) == 0 && (c.Mode == llm.ChooseAny || named != nil):
			return &RequestError{d.choice, "demands a tool, but there are none"}
		case len(r.Tools) == 0:
			r.ToolChoice = nil
		}
		for _, name := range named {
			if !slices.ContainsFunc(r.Tools, func(t llm.Tool) bool { return t.Name == name }) {
				return &RequestError{d.choice, fmt.Sprintf("names %q, which is none of the tools", label(name))}
			}
		}
	}
	if len(r.Tools) == 0 {
		r.Parallel = nil
	}
	return nil
}

func (d *chatDecoder) format(v gjson.Result) *RequestError {
	const path = "response_format"
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	switch kind := v.Get("type").String(); kind {
	case "text":
	case "json_object":
		d.req.Format = &llm.Format{Kind: llm.FormatJSON}
	case "json_schema":
		return d.schemaFormat(path+".json_schema", v.Get("json_schema"))
	case "":
		return &RequestError{path + ".type", "is required: text, json_object or json_schema"}
	default:
		d.beyond(path+".", kind)
	}
	return nil
}

func (d *chatDecoder) schemaFormat(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	f := &llm.Format{Kind: llm.FormatSchema}
	err := eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch at := path + "." + name; {
		case v.Type == gjson.Null:
		case name == "name":
			f.Name, err = text(at, v)
		case name == "description":
			f.Description, err = text(at, v)
		case name == "strict":
			f.Strict, err = optional(boolean(at, v))
		case name == "schema":
			if !v.IsObject() {
				return wrongType(at, v, "an object, a JSON schema")
			}
			f.Schema = []byte(v.Raw)
		default:
			d.beyond(path+".", name)
		}
		return err
	})
	if f.Schema == nil { // what then counts, only OpenAI knows
		d.beyond("", path)
		return err
	}
	d.req.Format = f
	return err
}
