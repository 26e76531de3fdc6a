package sim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// check gives the refusal of parameters that no model takes, or nil.
func (q openAIRequest) check() *response {
	limit, limitName := q.limit()
	switch {
	case q.Model == "":
		return openAIBad("", "", "you must provide a model parameter")
	case q.Messages == nil:
		return openAIBad("messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
	case len(q.Messages) == 0:
		return openAIBad("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, "+
			"but got an empty array instead.")
	case q.StreamOptions != nil && !q.Stream:
		return openAIBad("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	case limit != nil && *limit < 1:
		return openAIBad(limitName, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= 1, "+
			"but got %d instead.", limitName, *limit)
	case len(q.stops()) > openAIMaxStop:
		return openAIBad("stop", "array_above_max_length", "Invalid 'stop': array too long. Expected an array with maximum "+
			"length %d, but got an array with length %d instead.", openAIMaxStop, len(q.stops()))
	case q.Metadata != nil && !q.Store:
		return openAIBad("metadata", "", "The 'metadata' parameter is only allowed when 'store' is enabled.")
	}
	return nil
}

// checkModel gives the refusal of what the named model does not take.
func (q openAIRequest) checkModel() *response {
	unsupported := func(name string) *response {
		return openAIBad(name, "unsupported_parameter", "Unsupported parameter: '%s' is not supported with this model.", name)
	}
	reasons := openAIReasons(q.Model)
	switch {
	case embeds(q.Model):
		res := openAIError(403, "You are not allowed to sample from this model", "invalid_request_error", "", "")
		return &res
	case openAINeverReasons(q.Model) && q.ReasoningEffort != "":
		return openAIBad("", "", "Unrecognized request argument supplied: reasoning_effort")
	case reasons && q.MaxTokens != nil:
		return openAIBad("max_tokens", "unsupported_parameter", "Unsupported parameter: 'max_tokens' is not supported with this "+
			"model. Use 'max_completion_tokens' instead.")
	case reasons && q.Temperature != nil && *q.Temperature != 1:
		return openAIBad("temperature", "unsupported_value", "Unsupported value: 'temperature' does not support %g with this model. "+
			"Only the default (1) value is supported.", *q.Temperature)
	case reasons && q.TopP != nil && *q.TopP != 1:
		return unsupported("top_p")
	case reasons && len(q.stops()) > 0:
		return unsupported("stop")
	}
	return nil
}

func (q openAIRequest) checkSampling() *response {
	within := func(name string, v *float64, low, high float64) *response {
		switch {
		case v != nil && *v > high:
			return openAIBad(name, "decimal_above_max_value", "Invalid '%s': decimal above maximum value. "+
				"Expected a value <= %g, but got %g instead.", name, high, *v)
		case v != nil && *v < low:
			return openAIBad(name, "decimal_below_min_value", "Invalid '%s': decimal below minimum value. "+
				"Expected a value >= %g, but got %g instead.", name, low, *v)
		}
		return nil
	}
	if refusal := within("temperature", q.Temperature, 0, 2); refusal != nil {
		return refusal
	}
	if refusal := within("top_p", q.TopP, 0, 1); refusal != nil {
		return refusal
	}
	switch {
	case q.N != nil && (*q.N < 1 || *q.N > 128):
		return openAIBad("n", "integer_out_of_range", "Invalid 'n': integer out of range. Expected a value between 1 and 128, but got %d instead.", *q.N)
	case q.TopLogprobs != nil && !q.Logprobs:
		return openAIBad("top_logprobs", "", "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")
	case q.TopLogprobs != nil && *q.TopLogprobs > 20:
		return openAIBad("top_logprobs", "integer_above_max_value", "Invalid 'top_logprobs': integer above maximum value. "+
			"Expected a value <= 20, but got %d instead.", *q.TopLogprobs)
	}
	return nil
}

func (q openAIRequest) checkTools() *response {
	switch {
	case q.Tools != nil && len(q.Tools) == 0:
		return openAIBad("tools", "empty_array", "Invalid 'tools': empty array. Expected an array with minimum length 1, "+
			"but got an empty array instead.")
	case q.Tools == nil && q.ParallelToolCalls != nil:
		return openAIBad("parallel_tool_calls", "", "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed "+
			"when 'tools' are specified.")
	case q.Tools == nil && len(q.ToolChoice) > 0 && string(q.ToolChoice) != "null" && string(q.ToolChoice) != `"none"`:
		return openAIBad("tool_choice", "", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	for i, t := range q.Tools {
		at := fmt.Sprintf("tools[%d]", i)
		if t.Type != "function" && t.Type != "custom" {
			return openAIBad(at+".type", "invalid_value", "Invalid value: '%s'. Supported values are: 'function' and 'custom'.", t.Type)
		}
		if refusal := t.Function.check(at + ".function"); t.Type == "function" && refusal != nil {
			return refusal
		}
	}
	return nil
}

// check holds a function to the rules of its name and schema.
func (f openAIFunction) check(at string) *response {
	if refusal := openAIName(at+".name", f.Name); refusal != nil {
		return refusal
	}
	bad := func(problem string) *response {
		return openAIBad(at+".parameters", "invalid_function_parameters", "Invalid schema for function '%s': %s", f.Name, problem)
	}
	if len(f.Parameters) == 0 || string(f.Parameters) == "null" {
		return nil
	}
	if problem := openAIRoot(f.Parameters); problem != "" {
		return bad(problem)
	}
	if f.Strict {
		if problem := strictSchema(f.Parameters, nil); problem != "" {
			return bad(problem)
		}
	}
	return nil
}

func openAIName(at, name string) *response {
	switch {
	case name == "":
		return openAIBad(at, "missing_required_parameter", "Missing required parameter: '%s'.", at)
	case !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(name):
		return openAIBad(at, "invalid_value", "Invalid '%s': string does not match pattern. Expected a string that matches the pattern "+
			"'^[a-zA-Z0-9_-]+$'.", at)
	case len(name) > 64:
		return openAIBad(at, "string_above_max_length", "Invalid '%s': string too long. Expected a string with maximum length 64, but got "+
			"a string with length %d instead.", at, len(name))
	}
	return nil
}

// openAIChoice reads a tool choice of Chat Completions or of Responses.
func openAIChoice(raw json.RawMessage, tools []tool) (c choice, refusal *response) {
	type named struct {
		Type, Name string
		Function   struct{ Name string }
	}
	var word string
	var object struct {
		named
		Mode    string
		Tools   []named
		Allowed *struct {
			Mode  string
			Tools []named
		} `json:"allowed_tools"`
	}
	_ = json.Unmarshal(raw, &word) // one of the two, or absent
	_ = json.Unmarshal(raw, &object)
	nameOf := func(n named) string { return n.Name + n.Function.Name }
	switch {
	case word == "none":
		c.none = true
	case word == "required":
		c.any = true
	case word != "" && word != "auto":
		return c, openAIBad("tool_choice", "invalid_value", "Invalid value: '%s'. Supported values are: 'none', 'auto', and 'required'.", word)
	case object.Type == "function":
		c.any, c.names = true, []string{nameOf(object.named)}
	case object.Type == "allowed_tools":
		list, mode := object.Tools, object.Mode
		if object.Allowed != nil {
			list, mode = object.Allowed.Tools, object.Allowed.Mode
		}
		c.any = mode == "required"
		for _, n := range list {
			c.names = append(c.names, nameOf(n))
		}
	}
	for _, name := range c.names {
		if !slices.ContainsFunc(tools, func(t tool) bool { return t.name == name }) {
			return c, openAIBad("tool_choice", "", "Invalid value for 'tool_choice': no function named '%s' was specified in the 'tools' parameter.", name)
		}
	}
	return c, nil
}

func (q openAIRequest) checkFormat() *response {
	f := q.ResponseFormat
	if f == nil {
		return nil
	}
	switch f.Type {
	case "text":
		return nil
	case "json_object":
		if !slices.ContainsFunc(q.Messages, func(m openAIMessage) bool { return strings.Contains(strings.ToLower(string(m.Content)), "json") }) {
			return openAIBad("messages", "", "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.")
		}
		return nil
	case "json_schema":
		if f.JSONSchema == nil {
			return openAIBad("response_format.json_schema", "missing_required_parameter", "Missing required parameter: 'response_format.json_schema'.")
		}
		return f.JSONSchema.check("response_format.json_schema", "response_format")
	}
	return openAIBad("response_format.type", "invalid_value", "Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", f.Type)
}

func (n openAINamedSchema) check(at, param string) *response {
	if refusal := openAIName(at+".name", n.Name); refusal != nil {
		return refusal
	}
	problem := ""
	if len(n.Schema) == 0 {
		problem = `schema must be a JSON Schema of 'type: "object"', got 'type: "None"'.`
	} else if problem = openAIRoot(n.Schema); problem == "" && n.Strict {
		problem = strictSchema(n.Schema, nil)
	}
	if problem == "" {
		return nil
	}
	return openAIBad(param, "", "Invalid schema for response_format '%s': %s", n.Name, problem)
}

// checkTurns holds the calls and results of the history to their order.
func (q openAIRequest) checkTurns() *response {
	var open, answered []string // ids of the calls of the last assistant message
	unanswered := func(i int) *response {
		return openAIBad(fmt.Sprintf("messages.[%d].role", i), "", "An assistant message with 'tool_calls' must be followed by tool messages "+
			"responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: %s", strings.Join(open, ", "))
	}
	for i, m := range q.Messages {
		if !slices.Contains([]string{"system", "assistant", "user", "function", "tool", "developer"}, m.Role) {
			return openAIBad(fmt.Sprintf("messages[%d].role", i), "invalid_value", "Invalid value: '%s'. Supported values are: "+
				"'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", m.Role)
		}
		if m.Role == "tool" {
			place := slices.Index(open, m.ToolCallID)
			switch {
			case m.ToolCallID == "":
				at := fmt.Sprintf("messages[%d].tool_call_id", i)
				return openAIBad(at, "missing_required_parameter", "Missing required parameter: '%s'.", at)
			case place < 0 && len(open)+len(answered) == 0:
				return openAIBad(fmt.Sprintf("messages.[%d].role", i), "", "Invalid parameter: messages with role 'tool' must be a response "+
					"to a preceeding message with 'tool_calls'.")
			case place < 0:
				return openAIBad(fmt.Sprintf("messages.[%d].tool_call_id", i), "", "Invalid parameter: 'tool_call_id' of '%s' not found in "+
					"'tool_calls' of previous message.", m.ToolCallID)
			}
			answered, open = append(answered, m.ToolCallID), slices.Delete(open, place, place+1)
			continue
		}
		if len(open) > 0 {
			return unanswered(i)
		}
		answered = nil
		for j, t := range m.ToolCalls {
			if refusal := t.check(fmt.Sprintf("messages[%d].tool_calls[%d]", i, j)); refusal != nil {
				return refusal
			}
			open = append(open, t.ID)
		}
	}
	if len(open) > 0 {
		return unanswered(len(q.Messages))
	}
	return nil
}

// check holds one call of the history to its form.
func (t openAIToolCall) check(at string) *response {
	missing := func(name string) *response {
		return openAIBad(at+name, "missing_required_parameter", "Missing required parameter: '%s%s'.", at, name)
	}
	switch {
	case t.ID == "":
		return missing(".id")
	case len(t.ID) > 40:
		return openAIBad(at+".id", "string_above_max_length", "Invalid '%s.id': string too long. Expected a string with maximum length 40, "+
			"but got a string with length %d instead.", at, len(t.ID))
	case t.Type == "":
		return missing(".type")
	case t.Function.Arguments == nil:
		return missing(".function.arguments")
	}
	return openAIName(at+".function.name", t.Function.Name)
}
