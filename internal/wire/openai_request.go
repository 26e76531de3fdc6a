package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DecodeOpenAIChat reads the body of POST /v1/chat/completions, see
// https://platform.openai.com/docs/api-reference/chat/create (2026-11). The
// error is a *RequestError.
//
// Whatever an llm.Request cannot say is named in Beyond, but for what changes
// nothing in the answer: nulls, empty lists, values that are the default, and
// labels for OpenAI's own book-keeping (metadata without store, prompt cache
// keys, safety identifiers). top_k, which OpenAI does not know and many
// compatible servers do, is understood. max_completion_tokens wins over
// max_tokens, its older name.
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
	return d.req, nil
}

// requestObject parses a body that must be one JSON object.
func requestObject(body []byte) (gjson.Result, *RequestError) {
	switch {
	case len(body) == 0:
		return gjson.Result{}, &RequestError{"", "the body is empty, not a JSON object"}
	case !utf8.Valid(body):
		return gjson.Result{}, &RequestError{"", "the body is not valid UTF-8"}
	case depth(body) > maxDepth:
		return gjson.Result{}, &RequestError{"", fmt.Sprintf("the body is nested deeper than %d levels", maxDepth)}
	case !gjson.ValidBytes(body):
		return gjson.Result{}, syntaxError(body)
	}
	o := gjson.ParseBytes(body)
	if !o.IsObject() {
		return gjson.Result{}, &RequestError{"", "the body is " + kind(o) + ", not a JSON object"}
	}
	return o, nil
}

// syntaxError says where JSON breaks.
func syntaxError(body []byte) *RequestError {
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(body, new(json.RawMessage)), &syntax) {
		return &RequestError{"", "the body is not valid JSON"}
	}
	before := body[:min(int(syntax.Offset), len(body))]
	line := 1 + strings.Count(string(before), "\n")
	column := len(before) - 1 - strings.LastIndexByte(string(before), '\n')
	return &RequestError{"", fmt.Sprintf("the body is not valid JSON: %v (line %d, column %d)", syntax, line, column)}
}

// eachField calls f for each field of an object. A field that is given twice
// is refused: which one counts would depend on who reads it.
func eachField(o gjson.Result, path string, f func(name string, v gjson.Result) *RequestError) (failed *RequestError) {
	seen := make(map[string]bool, 8)
	o.ForEach(func(key, v gjson.Result) bool {
		name := key.String()
		if seen[name] {
			failed = &RequestError{path + label(name), "is given twice"}
			return false
		}
		seen[name] = true
		failed = f(name, v)
		return failed == nil
	})
	return failed
}

// chatDecoder fills a request from the fields of a body.
type chatDecoder struct {
	req           *llm.Request
	messages      bool // there are some
	maxCompletion *int64
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
	case "stream":
		r.Stream, err = boolean(name, v)
	case "stream_options":
		err = d.streamOptions(v)
	default:
		err = d.other(name, v)
	}
	return err
}

// other takes the fields that no other dialect shares.
func (d *chatDecoder) other(name string, v gjson.Result) *RequestError {
	harmless := emptyList(v)
	switch name {
	case "n":
		n, err := integer(name, v, 1, math.MaxInt64)
		if err != nil {
			return err
		}
		harmless = *n == 1
	case "response_format":
		if !v.IsObject() {
			return wrongType(name, v, "an object")
		}
		harmless = v.Get("type").String() == "text"
	case "store", "logprobs":
		set, err := boolean(name, v)
		if err != nil {
			return err
		}
		harmless = !set
	case "top_logprobs":
		harmless = v.Num == 0
	case "tools", "functions":
		if !v.IsArray() {
			return wrongType(name, v, "a list")
		}
	case "tool_choice", "function_call":
		harmless = v.String() == "none" || v.String() == "auto" // without tools neither says anything
	case "modalities":
		harmless = harmless || v.Get("#").Int() == 1 && v.Get("0").String() == "text"
	case "service_tier":
		harmless = v.String() == "auto" || v.String() == "default"
	case "logit_bias":
		harmless = v.Raw == "{}"
	case "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier":
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

func (d *chatDecoder) conversation(v gjson.Result) (failed *RequestError) {
	if !v.IsArray() {
		return wrongType("messages", v, "a list")
	}
	i := 0
	v.ForEach(func(_, m gjson.Result) bool {
		failed = d.message(fmt.Sprintf("messages[%d]", i), m)
		i++
		return failed == nil
	})
	d.messages = i > 0
	return failed
}

// message takes one message. One whose role no other dialect shares, such as
// a tool's result, is only named.
func (d *chatDecoder) message(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	var m llm.Message
	known := true
	switch role := v.Get("role"); role.String() {
	case "system", "developer", "user", "assistant":
		m.Role = llm.Role(role.String())
	case "tool", "function":
		known = false
		d.beyond(path+".", "role")
	case "":
		return &RequestError{path + ".role", "is required"}
	default:
		return &RequestError{path + ".role", fmt.Sprintf("%q is none of system, developer, user, assistant, tool", label(role.String()))}
	}
	content := v.Get("content")
	if known && m.Role != llm.Assistant && (!content.Exists() || content.Type == gjson.Null) {
		return &RequestError{path + ".content", "is required: a string or a list of parts"}
	}
	err := eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "role", v.Type == gjson.Null:
		case name == "content":
			m.Parts, err = d.content(path+".content", v)
		case name == "name":
			m.Name, err = text(path+".name", v)
		case emptyList(v): // such as tool_calls and annotations that a client sends back
		default:
			d.beyond(path+".", name)
		}
		return err
	})
	if known {
		d.req.Messages = append(d.req.Messages, m)
	}
	return err
}

func (d *chatDecoder) content(path string, v gjson.Result) (parts []llm.Part, failed *RequestError) {
	if v.Type == gjson.String {
		return []llm.Part{{Kind: llm.Text, Text: v.String()}}, nil
	}
	if !v.IsArray() {
		return nil, wrongType(path, v, "a string or a list of parts")
	}
	i := 0
	v.ForEach(func(_, p gjson.Result) bool {
		at := fmt.Sprintf("%s[%d]", path, i)
		i++
		kind := p.Get("type")
		switch {
		case !p.IsObject():
			failed = wrongType(at, p, "an object")
		case kind.Type != gjson.String || kind.String() == "":
			failed = &RequestError{at + ".type", "is required: a string such as \"text\""}
		case kind.String() == "text":
			var said string
			said, failed = d.textPart(at, p)
			parts = append(parts, llm.Part{Kind: llm.Text, Text: said})
		default:
			d.beyond(at+".", kind.String())
		}
		return failed == nil
	})
	return parts, failed
}

func (d *chatDecoder) textPart(path string, p gjson.Result) (said string, failed *RequestError) {
	if !p.Get("text").Exists() {
		return "", &RequestError{path + ".text", "is required"}
	}
	failed = eachField(p, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type":
		case name == "text":
			said, err = text(path+".text", v)
		case v.Type == gjson.Null, emptyList(v):
		default:
			d.beyond(path+".", name)
		}
		return err
	})
	return said, failed
}

func stops(v gjson.Result) (stop []string, failed *RequestError) {
	if v.Type == gjson.String {
		return []string{v.String()}, nil
	}
	if !v.IsArray() {
		return nil, wrongType("stop", v, "a string or a list of strings")
	}
	v.ForEach(func(_, s gjson.Result) bool {
		if s.Type != gjson.String {
			failed = wrongType(fmt.Sprintf("stop[%d]", len(stop)), s, "a string")
			return false
		}
		stop = append(stop, s.String())
		return true
	})
	return stop, failed
}

func text(field string, v gjson.Result) (string, *RequestError) {
	if v.Type != gjson.String {
		return "", wrongType(field, v, "a string")
	}
	return v.String(), nil
}

func boolean(field string, v gjson.Result) (bool, *RequestError) {
	if !v.IsBool() {
		return false, wrongType(field, v, "true or false")
	}
	return v.Bool(), nil
}

func number(field string, v gjson.Result, low, high float64) (*float64, *RequestError) {
	if v.Type != gjson.Number {
		return nil, wrongType(field, v, "a number")
	}
	if v.Num < low || v.Num > high || math.IsInf(v.Num, 0) {
		return nil, &RequestError{field, fmt.Sprintf("must be between %g and %g", low, high)}
	}
	return &v.Num, nil
}

// integer also takes whole numbers in other clothes, such as 100.0 and 1e3.
func integer(field string, v gjson.Result, low, high int64) (*int64, *RequestError) {
	if v.Type != gjson.Number {
		return nil, wrongType(field, v, "a whole number")
	}
	i, err := strconv.ParseInt(v.Raw, 10, 64)
	if err != nil {
		if v.Num != math.Trunc(v.Num) || math.Abs(v.Num) >= 1<<53 {
			return nil, &RequestError{field, "must be a whole number of a usual size"}
		}
		i = int64(v.Num)
	}
	if i < low || i > high {
		return nil, &RequestError{field, fmt.Sprintf("must be at least %d", low)}
	}
	return &i, nil
}

func emptyList(v gjson.Result) bool { return v.IsArray() && v.Get("#").Int() == 0 }

func wrongType(field string, v gjson.Result, want string) *RequestError {
	return &RequestError{field, "must be " + want + ", not " + kind(v)}
}

// kind names a JSON value's type in words.
func kind(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "a list"
	case v.IsBool():
		return "a boolean"
	case v.Type == gjson.String:
		return "a string"
	case v.Type == gjson.Number:
		return "a number"
	}
	return "null"
}
