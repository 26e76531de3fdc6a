package wire

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// ResponsesState is what a request asks of the conversations that the service
// keeps. A codec keeps none: who does, adds what came before with
// ExpandResponses, and who does not, refuses.
type ResponsesState struct {
	PreviousID string          // the answer that the request goes on from; "" for none
	Store      bool            // the answer may be gone on from; true unless the caller says otherwise
	Items      json.RawMessage // the request's own input, as a list of items
}

// responsesDecode is the Decode of a door that keeps no conversations.
func responsesDecode(body []byte) (*llm.Request, error) {
	req, state, err := DecodeResponses(body)
	if err != nil {
		return nil, err
	}
	if state.PreviousID != "" {
		return nil, &RequestError{"previous_response_id", "conversations are not kept here: send all items in input, with store set to false"}
	}
	return req, nil
}

// ExpandResponses gives body with its input preceded by the items of earlier,
// a list, and with every item_reference replaced by the item that find knows.
// The error is a *RequestError.
func ExpandResponses(body []byte, earlier json.RawMessage, find func(id string) (json.RawMessage, bool)) ([]byte, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, err
	}
	in := o.Get("input")
	if in.Type != gjson.String && !in.IsArray() {
		return nil, wrongType("input", in, "a string or a list of items")
	}
	items := []json.RawMessage{}
	add := func(list gjson.Result) (failed *RequestError) {
		for i, v := range list.Array() {
			if !isReference(v) {
				items = append(items, json.RawMessage(v.Raw))
				continue
			}
			item, ok := find(v.Get("id").String())
			if !ok {
				return unknownReference(fmt.Sprintf("input[%d]", i))
			}
			items = append(items, item)
		}
		return nil
	}
	for _, list := range [...]gjson.Result{gjson.ParseBytes(earlier), gjson.ParseBytes(responsesItems(in))} {
		if err := add(list); err != nil {
			return nil, err
		}
	}
	whole, setErr := sjson.SetRawBytes(body, "input", marshal(items))
	if setErr != nil {
		return nil, &RequestError{"input", "cannot be extended in the body"}
	}
	return whole, nil
}

// isReference says whether an item only names another one. Its type may be
// left out.
func isReference(v gjson.Result) bool {
	kind := v.Get("type")
	return kind.String() == "item_reference" ||
		(!kind.Exists() || kind.Type == gjson.Null) && !v.Get("role").Exists() && v.Get("id").Exists()
}

func unknownReference(path string) *RequestError {
	return &RequestError{path, "item_reference: the item that it names is not kept here: send the item itself"}
}

// responsesItems gives an input as a list of items, or what it is where it
// can be none.
func responsesItems(input gjson.Result) json.RawMessage {
	if input.Type != gjson.String {
		return json.RawMessage(input.Raw)
	}
	return json.RawMessage(`[{"type":"message","role":"user","content":` + input.Raw + `}]`)
}

// DecodeResponses reads the body of POST /v1/responses, see
// https://developers.openai.com/api/reference/resources/responses/methods/create
// (2026-11). The error is a *RequestError. previous_response_id is only
// reported, in the state.
//
// What an llm.Request cannot say is named in Beyond: tools that are no
// functions ("tools[0].web_search") and their items ("input[3].custom_tool_call"),
// moderation and the like. Verbosity, truncation and reasoning.context are
// named in Aside. What changes nothing in the answer is not named: nulls,
// defaults, cache keys, and what concerns only tools that are in Beyond.
func DecodeResponses(body []byte) (*llm.Request, ResponsesState, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, ResponsesState{}, err
	}
	d := responsesDecoder{req: &llm.Request{Dialect: llm.OpenAIResponses, Body: body}, state: ResponsesState{Store: true}}
	if err := d.instructions(o.Get("instructions")); err != nil {
		return nil, ResponsesState{}, err
	}
	if err := eachField(o, "", d.field); err != nil {
		return nil, ResponsesState{}, err
	}
	switch {
	case d.req.Model == "":
		return nil, ResponsesState{}, &RequestError{"model", "is required: the name of a model or provider"}
	case d.state.Items == nil || len(d.req.Messages) == 0 && len(d.req.Beyond) == 0:
		return nil, ResponsesState{}, &RequestError{"input", "is required: a string or a list with at least one item"}
	}
	if d.req.User == "" {
		d.req.User = d.safetyID
	}
	if d.wantLogprobs {
		d.req.Logprobs, d.req.TopLogprobs = &d.wantLogprobs, d.topLogprobs
	}
	return d.req, d.state, nil
}

// responsesDecoder fills a request from the fields of a body.
type responsesDecoder struct {
	req          *llm.Request
	state        ResponsesState
	safetyID     string
	topLogprobs  *int64
	wantLogprobs bool
	turn         bool                     // the last message is the assistant's and goes on
	spoke        bool                     // the last item is a message of the assistant's
	seals        map[string]responsesSeal // of calls, by call id
}

// beyond notes a field that the request cannot say.
func (d *responsesDecoder) beyond(path, name string) {
	if name = path + label(name); !slices.Contains(d.req.Beyond, name) {
		d.req.Beyond = append(d.req.Beyond, name)
	}
}

// instructions come before all input, wherever they stand in the body.
func (d *responsesDecoder) instructions(v gjson.Result) *RequestError {
	if v.Type == gjson.Null || v.Type == gjson.String && v.Str == "" {
		return nil
	}
	said, err := text("instructions", v)
	if err != nil {
		return err
	}
	d.req.Messages = append(d.req.Messages, llm.Message{Role: llm.System, Parts: []llm.Part{{Kind: llm.Text, Text: said}}})
	return nil
}

func (d *responsesDecoder) field(name string, v gjson.Result) (err *RequestError) {
	if v.Type == gjson.Null {
		return nil
	}
	r := d.req
	switch name {
	case "model":
		r.Model, err = text(name, v)
	case "instructions": // taken before
	case "input":
		err = d.input(v)
	case "tools":
		err = d.tools(v)
	case "tool_choice":
		err = d.toolChoice(v)
	case "parallel_tool_calls":
		r.Parallel, err = optional(boolean(name, v))
	case "text":
		err = d.text(v)
	case "reasoning":
		err = d.reasoning(v)
	case "max_output_tokens":
		r.MaxTokens, err = integer(name, v, 1, math.MaxInt64)
	case "temperature":
		r.Temperature, err = number(name, v, 0, 2)
	case "top_p":
		r.TopP, err = number(name, v, 0, 1)
	case "top_logprobs":
		d.topLogprobs, err = integer(name, v, 0, math.MaxInt64)
	case "include":
		err = d.include(v)
	case "metadata":
		r.Metadata, err = labels(name, v)
	case "user":
		r.User, err = text(name, v)
	case "safety_identifier":
		d.safetyID, err = text(name, v)
	case "service_tier":
		r.ServiceTier, err = text(name, v)
	case "stream":
		r.Stream, err = boolean(name, v)
	case "store":
		d.state.Store, err = boolean(name, v)
	case "previous_response_id":
		d.state.PreviousID, err = text(name, v)
	default:
		err = d.other(name, v)
	}
	return err
}

// other takes the fields that no other dialect shares.
func (d *responsesDecoder) other(name string, v gjson.Result) *RequestError {
	harmless := emptyList(v)
	switch name {
	case "background":
		set, err := boolean(name, v)
		if err != nil {
			return err
		}
		if set {
			return &RequestError{name, "answers are not made in the background here: leave it out and wait, or stream"}
		}
		harmless = true
	case "conversation":
		return &RequestError{name, "conversations are not kept here: send all items in input"}
	case "prompt":
		return &RequestError{name, "prompt templates are kept by OpenAI alone: send instructions and input"}
	case "truncation": // what does not fit is refused by the target instead
		if v.String() != "disabled" {
			d.req.Aside = append(d.req.Aside, name)
		}
		harmless = true
	case "prompt_cache_options":
		harmless = !v.Get("prewarm").Bool()
	case "stream_options": // only padding against eavesdroppers, which says nothing
		harmless = true
	case "max_tool_calls": // of built-in tools, which are themselves beyond
		_, err := integer(name, v, 0, math.MaxInt64)
		if err != nil {
			return err
		}
		harmless = true
	case "prompt_cache_key", "prompt_cache_retention", "client_metadata":
		harmless = true
	}
	if !harmless {
		d.beyond("", name)
	}
	return nil
}

// text takes the form and the length that the answer shall have.
func (d *responsesDecoder) text(v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType("text", v, "an object")
	}
	return eachField(v, "text.", func(name string, v gjson.Result) *RequestError {
		switch {
		case v.Type == gjson.Null:
		case name == "format":
			return d.format(v)
		case name == "verbosity":
			if v.String() != "medium" { // the default
				d.req.Aside = append(d.req.Aside, "text.verbosity")
			}
		default:
			d.beyond("text.", name)
		}
		return nil
	})
}

func (d *responsesDecoder) format(v gjson.Result) (err *RequestError) {
	const path = "text.format."
	if !v.IsObject() {
		return wrongType("text.format", v, "an object")
	}
	switch v.Get("type").String() {
	case "text":
		return nil
	case "json_object":
		d.req.Format = &llm.Format{Kind: llm.FormatJSON}
		return nil
	case "json_schema":
	default:
		return &RequestError{path + "type", "must be text, json_object or json_schema"}
	}
	f := &llm.Format{Kind: llm.FormatSchema}
	err = eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type", v.Type == gjson.Null:
		case name == "name":
			f.Name, err = text(path+name, v)
		case name == "description":
			f.Description, err = text(path+name, v)
		case name == "strict":
			f.Strict, err = optional(boolean(path+name, v))
		case name == "schema":
			f.Schema, err = schema(path+name, v)
		default:
			d.beyond(path, name)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case f.Name == "":
		return &RequestError{path + "name", "is required"}
	case f.Schema == nil:
		return &RequestError{path + "schema", "is required: a JSON schema"}
	}
	d.req.Format = f
	return nil
}

// reasoning takes how much to reason and whether to show it.
func (d *responsesDecoder) reasoning(v gjson.Result) *RequestError {
	const path = "reasoning."
	if !v.IsObject() {
		return wrongType("reasoning", v, "an object")
	}
	var t llm.Thought
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null:
		case name == "context": // which earlier reasoning the model sees again: here all that is sent
			if v.String() != "auto" {
				d.req.Aside = append(d.req.Aside, path+name)
			}
		case name == "effort":
			if t.Effort, err = text(path+name, v); err != nil {
				return err
			}
			if !slices.Contains(efforts, t.Effort) {
				return &RequestError{path + name, "must be one of " + strings.Join(efforts, ", ")}
			}
		case name == "summary", name == "generate_summary":
			_, err = text(path+name, v)
			shown := v.String() != "none"
			t.Show = &shown
		default:
			d.beyond(path, name)
		}
		return err
	})
	if t != (llm.Thought{}) {
		d.req.Thought = &t
	}
	return err
}

// include takes what the answer shall hold beside its content. Encrypted
// reasoning is always there, and of tools that cannot be used there is nothing.
func (d *responsesDecoder) include(v gjson.Result) *RequestError {
	if !v.IsArray() {
		return wrongType("include", v, "a list")
	}
	for i, what := range v.Array() {
		switch what.String() {
		case "message.output_text.logprobs":
			d.wantLogprobs = true
		case "reasoning.encrypted_content", "message.input_image.image_url", "file_search_call.results", "web_search_call.results",
			"web_search_call.action.sources", "computer_call_output.output.image_url", "code_interpreter_call.outputs":
		default:
			d.beyond(fmt.Sprintf("include[%d].", i), what.String())
		}
	}
	return nil
}

// tools takes functions; of the others it notes the type.
func (d *responsesDecoder) tools(v gjson.Result) *RequestError {
	if !v.IsArray() {
		return wrongType("tools", v, "a list")
	}
	for i, tool := range v.Array() {
		path := fmt.Sprintf("tools[%d].", i)
		kind := tool.Get("type")
		switch {
		case !tool.IsObject():
			return wrongType(fmt.Sprintf("tools[%d]", i), tool, "an object")
		case kind.Type != gjson.String || kind.Str == "":
			return &RequestError{path + "type", "is required: a string such as \"function\""}
		case kind.Str != "function":
			d.beyond(path, kind.Str)
			continue
		}
		if err := d.tool(path, tool); err != nil {
			return err
		}
	}
	return nil
}

func (d *responsesDecoder) tool(path string, v gjson.Result) *RequestError {
	var t llm.Tool
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type", v.Type == gjson.Null, v.Type == gjson.False && name != "strict":
		case name == "name":
			t.Name, err = text(path+name, v)
		case name == "description":
			t.Description, err = text(path+name, v)
		case name == "parameters":
			t.Schema, err = schema(path+name, v)
		case name == "strict":
			t.Strict, err = optional(boolean(path+name, v))
		case name == "allowed_callers" && v.Raw == `["direct"]`: // which is what a call always is here
		default:
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

func (d *responsesDecoder) toolChoice(v gjson.Result) *RequestError {
	const path = "tool_choice."
	if v.Type == gjson.String {
		mode, ok := responsesChoice(v.Str)
		if !ok {
			return &RequestError{"tool_choice", "must be none, auto or required, or an object"}
		}
		d.req.ToolChoice = &llm.ToolChoice{Mode: mode}
		return nil
	}
	if !v.IsObject() {
		return wrongType("tool_choice", v, "a string or an object")
	}
	switch kind := v.Get("type").String(); kind {
	case "":
		return &RequestError{path + "type", "is required"}
	case "function":
		name, err := text(path+"name", v.Get("name"))
		d.req.ToolChoice = &llm.ToolChoice{Mode: llm.ChooseTool, Name: name}
		return err
	case "allowed_tools":
		mode, ok := responsesChoice(v.Get("mode").String())
		if !ok || mode == llm.ChooseNone {
			return &RequestError{path + "mode", "must be auto or required"}
		}
		choice := &llm.ToolChoice{Mode: mode}
		for i, tool := range v.Get("tools").Array() {
			if kind := tool.Get("type").String(); kind != "function" {
				d.beyond(fmt.Sprintf("tool_choice.tools[%d].", i), kind)
				continue
			}
			choice.Among = append(choice.Among, tool.Get("name").String())
		}
		if choice.Among == nil {
			return &RequestError{path + "tools", "must name at least one function"}
		}
		d.req.ToolChoice = choice
	default:
		d.beyond(path, kind)
	}
	return nil
}

func responsesChoice(word string) (llm.ChoiceMode, bool) {
	switch word {
	case "none":
		return llm.ChooseNone, true
	case "auto":
		return llm.ChooseAuto, true
	case "required":
		return llm.ChooseAny, true
	}
	return "", false
}

// schema reads a JSON schema.
func schema(field string, v gjson.Result) (json.RawMessage, *RequestError) {
	if !v.IsObject() {
		return nil, wrongType(field, v, "an object")
	}
	return json.RawMessage(v.Raw), nil
}
