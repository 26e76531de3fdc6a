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

// ownMark stands behind the kind in every id that Breakwater gives in this
// dialect: resp_bwk_…, msg_bwk_….
const ownMark = "bwk_"

// IsOwnID says whether an answer or an item was made here, so that OpenAI does
// not know it.
func IsOwnID(id string) bool {
	_, rest, _ := strings.Cut(id, "_")
	return strings.HasPrefix(rest, ownMark)
}

// ResponsesState is what a request asks of the conversations that the service
// keeps. A codec keeps none: who does, adds what came before with
// ExpandResponses, and who does not, refuses ids of Breakwater's own.
type ResponsesState struct {
	PreviousID string          // the answer that the request goes on from; "" for none
	References []string        // ids of items that the input only names
	Store      bool            // the answer may be gone on from; true unless the caller says otherwise
	Items      json.RawMessage // the request's own input, as a list of items
}

// responsesDecode is the Decode of a door that keeps no conversations.
func responsesDecode(body []byte) (*llm.Request, error) {
	req, state, err := DecodeResponses(body)
	if err != nil {
		return nil, err
	}
	if IsOwnID(state.PreviousID) {
		return nil, &RequestError{"previous_response_id", "conversations are not kept here: send all items in input"}
	}
	for _, id := range state.References {
		if IsOwnID(id) {
			return nil, &RequestError{"input", "an item_reference names an item that is not kept here: send the item itself"}
		}
	}
	return req, nil
}

// maxExpanded bounds a body with all that it refers to, in bytes: an item may be
// referred to often.
const maxExpanded = 64 << 20

// ExpandResponses gives body with its input preceded by the items of earlier,
// a list, and with every item_reference replaced by the item that find knows.
// With earlier, the body no longer names the answer that it goes on from. The
// error is a *RequestError.
func ExpandResponses(body []byte, earlier json.RawMessage, find func(id string) (json.RawMessage, bool)) ([]byte, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, err
	}
	in := o.Get("input")
	if in.Type != gjson.String && in.Type != gjson.Null && !in.IsArray() {
		return nil, wrongType("input", in, "a string or a list of items")
	}
	items, size := []json.RawMessage{}, 0
	for _, list := range [...]gjson.Result{gjson.ParseBytes(earlier), gjson.ParseBytes(responsesItems(in))} {
		for _, v := range list.Array() {
			item := json.RawMessage(v.Raw)
			if isReference(v) {
				if found, ok := find(v.Get("id").String()); ok {
					item = found
				}
			}
			if size += len(item); size > maxExpanded {
				return nil, &RequestError{"input", "is too long with the items that it refers to"}
			}
			items = append(items, item)
		}
	}
	whole, setErr := sjson.SetRawBytes(body, "input", marshal(items))
	if setErr == nil && earlier != nil {
		whole, setErr = sjson.DeleteBytes(whole, "previous_response_id")
	}
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

// responsesItems gives an input as a list of items, or what it is where it
// can be none.
func responsesItems(input gjson.Result) json.RawMessage {
	switch input.Type {
	case gjson.Null:
		return json.RawMessage("[]")
	case gjson.String:
		return json.RawMessage(`[{"type":"message","role":"user","content":` + input.Raw + `}]`)
	}
	return json.RawMessage(input.Raw)
}

// DecodeResponses reads the body of POST /v1/responses, see
// https://developers.openai.com/api/reference/resources/responses/methods/create
// (2026-11). The error is a *RequestError.
//
// What an llm.Request cannot say is named in Beyond: what OpenAI keeps
// ("previous_response_id", "prompt"), moderation and the like. Tools that OpenAI
// runs, of which the model need not use any, are named in Aside ("tools[0]: web_search"), as are
// verbosity, truncation and reasoning.context. What changes nothing in the
// answer is not named: nulls, defaults, cache keys, and what concerns only tools
// that fell away. An id of Breakwater's own is only reported, in the state.
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
	if d.state.Items == nil {
		d.state.Items = json.RawMessage("[]")
	}
	d.join()
	if err := d.toolChoice(o.Get("tool_choice")); err != nil {
		return nil, ResponsesState{}, err
	}
	switch {
	case d.req.Model == "":
		return nil, ResponsesState{}, &RequestError{"model", "is required: the name of a model or provider"}
	case len(d.req.Messages) == 0 && len(d.req.Beyond) == 0 && d.state.PreviousID == "" && len(d.state.References) == 0:
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
	fallen       bool                     // a tool fell away
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
		err = d.tools(name, v, "")
	case "tool_choice": // taken when the tools are known
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
		if d.state.PreviousID, err = text(name, v); d.state.PreviousID != "" && !IsOwnID(d.state.PreviousID) {
			d.beyond("", name)
		}
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
		harmless = !set
	case "truncation": // what does not fit is refused by the target instead
		if v.String() != "disabled" {
			d.req.Aside = append(d.req.Aside, name)
		}
		harmless = true
	case "prompt_cache_options":
		harmless = !v.Get("prewarm").Bool()
	case "stream_options": // only padding against eavesdroppers, which says nothing
		harmless = true
	case "max_tool_calls": // of built-in tools, which fall away
		_, err := integer(name, v, 0, math.MaxInt64)
		if err != nil {
			return err
		}
		harmless = true
	case "prompt_cache_key":
		d.req.CacheKey, harmless = v.String(), true
	case "prompt_cache_retention", "client_metadata":
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
			if !slices.Contains(efforts, t.Effort) { // a new one, perhaps
				t.Effort = ""
				d.beyond(path, name)
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
