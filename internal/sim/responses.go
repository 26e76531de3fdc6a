package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// responses speaks OpenAI's Responses API
// (https://platform.openai.com/docs/api-reference/responses, 2026-11).
type responses struct {
	openAI
	memory *memory
}

func (responses) chat(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/v1/responses"
}

// responsesMinOutput is the least limit of output tokens that is taken.
const responsesMinOutput = 16

func responsesGrammar() grammar {
	return grammar{
		"body": "access_programs background client_metadata context_management conversation include input:item instructions max_output_tokens " +
			"max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options " +
			"prompt_cache_retention reasoning:reasoning safety_identifier service_tier store stream stream_options:options temperature " +
			"text:text tool_choice tools:tool top_logprobs top_p truncation user",
		"count": "conversation input:item instructions model parallel_tool_calls personality previous_response_id reasoning:reasoning " +
			"text:text tool_choice tools:tool truncation",
		"item":                      "type role content:part id status phase",
		"item/function_call":        "type id call_id name arguments status namespace caller async",
		"item/function_call_output": "type id call_id name namespace output:part status caller",
		"item/reasoning":            "type id summary content encrypted_content status",
		"item/item_reference":       "type id",
		"part/input_text":           "type text prompt_cache_breakpoint",
		"part/output_text":          "type text annotations logprobs",
		"part/refusal":              "type refusal",
		"part/input_image":          "type image_url file_id detail prompt_cache_breakpoint",
		"part/input_file":           "type file_data file_id file_url filename detail prompt_cache_breakpoint",
		"reasoning":                 "effort summary generate_summary mode context",
		"options":                   "include_obfuscation",
		"text":                      "format:format verbosity",
		"format/text":               "type",
		"format/json_object":        "type",
		"format/json_schema":        "type name schema strict description",
		"tool/function":             "type name parameters strict description defer_loading output_schema async allowed_callers",
	}
}

// responsesRequest is what is read of a request.
type responsesRequest struct {
	Model              string
	Input              json.RawMessage
	Instructions       string
	Stream             bool
	Store              *bool
	PreviousResponseID string `json:"previous_response_id"`
	Include            []string
	MaxOutputTokens    *int  `json:"max_output_tokens"`
	ParallelToolCalls  *bool `json:"parallel_tool_calls"`
	Temperature        *float64
	TopP               *float64        `json:"top_p"`
	TopLogprobs        int             `json:"top_logprobs"`
	ToolChoice         json.RawMessage `json:"tool_choice"`
	Tools              []responsesTool
	Reasoning          struct{ Effort, Summary string }
	Text               struct{ Format *responsesFormat }
}

type responsesTool struct {
	Type string
	openAIFunction
}

type responsesFormat struct {
	Type string
	openAINamedSchema
}

// item is one of the things that a conversation is made of.
type item struct {
	Type             string
	Role             string
	ID               string
	Content          json.RawMessage
	CallID           string `json:"call_id"`
	Name             string
	Arguments        *string
	Output           json.RawMessage
	EncryptedContent string `json:"encrypted_content"`
}

// kind gives the type of an item; a message may leave it out.
func (i item) kind() string {
	if i.Type == "" {
		return "message"
	}
	return i.Type
}

func (d responses) decode(_ *http.Request, body []byte) (call, *response) {
	c, refusal := d.read(body, "body")
	if refusal == nil && c.model == "" {
		refusal = openAIBad("model", "missing_required_parameter", "Missing required parameter: 'model'.")
	}
	return c, refusal
}

// read reads a request, or one to count its tokens: kind names its grammar.
func (d responses) read(body []byte, kind string) (call, *response) {
	var q responsesRequest
	tree, refusal := openAIBody(body, &q)
	c := call{
		model: q.Model, stream: q.Stream, single: q.ParallelToolCalls != nil && !*q.ParallelToolCalls,
		logprobs: slices.Contains(q.Include, "message.output_text.logprobs"), likely: q.TopLogprobs,
		thinks: !openAINeverReasons(q.Model), hides: q.Reasoning.Summary == "", request: body,
		sealed: slices.Contains(q.Include, "reasoning.encrypted_content"),
	}
	if refusal != nil {
		return c, refusal
	}
	if path := responsesGrammar().unknown(tree, kind); path != nil {
		return c, openAIBad(bracketed(path), "unknown_parameter", "Unknown parameter: '%s'.", bracketed(path))
	}
	for _, check := range []func() *response{q.check, q.checkTools, q.checkFormat} {
		if refusal := check(); refusal != nil {
			return c, refusal
		}
	}
	if q.MaxOutputTokens != nil {
		c.maxTokens = *q.MaxOutputTokens
	}
	for _, t := range q.Tools {
		if t.Type == "function" {
			c.tools = append(c.tools, tool{t.Name, t.Parameters})
		}
	}
	if f := q.Text.Format; f != nil && f.Type != "text" {
		c.form = form{json: true, schema: f.Schema}
	}
	if c.choice, refusal = openAIChoice(q.ToolChoice, c.tools); refusal != nil {
		return c, refusal
	}
	items, refusal := d.items(q, &c)
	if refusal == nil {
		refusal = d.checkItems(items)
	}
	if refusal == nil {
		refusal = converseItems(q.Instructions, items, &c)
	}
	return c, refusal
}

// check gives the refusal of parameters that the API would not take, or nil.
func (q responsesRequest) check() *response {
	sampling := openAIRequest{Temperature: q.Temperature, TopP: q.TopP}
	never, reasons := openAINeverReasons(q.Model), openAIReasons(q.Model)
	unsupported := func(name string) *response {
		return openAIBad(name, "unsupported_parameter", "Unsupported parameter: '%s' is not supported with this model.", name)
	}
	switch {
	case embeds(q.Model):
		res := openAIError(403, "You are not allowed to sample from this model", "invalid_request_error", "", "")
		return &res
	case q.MaxOutputTokens != nil && *q.MaxOutputTokens < responsesMinOutput:
		return openAIBad("max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens': integer below minimum value. "+
			"Expected a value >= %d, but got %d instead.", responsesMinOutput, *q.MaxOutputTokens)
	case never && q.Reasoning.Effort != "":
		return unsupported("reasoning.effort")
	case never && q.Reasoning.Summary != "":
		return unsupported("reasoning.summary")
	case never && slices.Contains(q.Include, "reasoning.encrypted_content"):
		return openAIBad("include", "", "Encrypted content is not supported with this model.")
	case reasons && q.Temperature != nil && *q.Temperature != 1:
		return unsupported("temperature")
	case reasons && q.TopP != nil && *q.TopP != 1:
		return unsupported("top_p")
	case len(q.Input) == 0 && q.PreviousResponseID == "":
		return openAIBad("input", "missing_required_parameter", "Missing required parameter: 'input'.")
	}
	return sampling.checkSampling()
}

func (q responsesRequest) checkTools() *response {
	known := []string{"function", "custom", "web_search", "web_search_preview", "file_search", "code_interpreter", "mcp", "image_generation",
		"local_shell", "shell", "apply_patch", "computer", "computer_use_preview", "namespace", "tool_search"}
	for i, t := range q.Tools {
		at := fmt.Sprintf("tools[%d]", i)
		if !slices.Contains(known, t.Type) {
			return openAIBad(at+".type", "invalid_value", "Invalid value: '%s'. Supported values are: '%s'.", t.Type, strings.Join(known, "', '"))
		}
		if t.Type != "function" {
			continue
		}
		if refusal := t.check(at); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (q responsesRequest) checkFormat() *response {
	f := q.Text.Format
	switch {
	case f == nil, f.Type == "text":
		return nil
	case f.Type == "json_object":
		if !strings.Contains(strings.ToLower(string(q.Input)), "json") {
			return openAIBad("input", "", "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.")
		}
		return nil
	case f.Type == "json_schema":
		return f.openAINamedSchema.check("text.format", "text.format.schema")
	}
	return openAIBad("text.format.type", "invalid_value", "Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", f.Type)
}

// items gives the conversation: what went before, and the input.
func (d responses) items(q responsesRequest, c *call) (items []item, refusal *response) {
	if q.PreviousResponseID != "" {
		before, ok := d.memory.conversation(q.PreviousResponseID)
		if !ok {
			return nil, openAIBad("previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", q.PreviousResponseID)
		}
		items = before
	}
	var text string
	var input []item
	switch {
	case len(q.Input) == 0:
	case json.Unmarshal(q.Input, &text) == nil:
		input = []item{{Role: "user", Content: q.Input}}
	case json.Unmarshal(q.Input, &input) != nil:
		return nil, openAIBad("input", "invalid_type", "Invalid type for 'input': expected one of an array of objects or string, but got an object instead.")
	}
	items = append(items, input...)
	if q.Store == nil || *q.Store {
		c.kept = items
	}
	return items, nil
}

// checkItems holds items to their form, and calls and outputs to each other.
func (d responses) checkItems(items []item) *response {
	called, answered := []string{}, map[string]bool{}
	for i, it := range items {
		at := fmt.Sprintf("input[%d]", i)
		switch it.kind() {
		case "message":
			if !slices.Contains([]string{"assistant", "system", "developer", "user"}, it.Role) {
				return openAIBad(at, "invalid_value", "Invalid value: '%s'. Supported values are: 'assistant', 'system', 'developer', and 'user'.", it.Role)
			}
		case "function_call":
			switch {
			case it.CallID == "":
				return openAIBad(at+".call_id", "missing_required_parameter", "Missing required parameter: '%s.call_id'.", at)
			case len(it.CallID) > 64:
				return openAIBad(at+".call_id", "string_above_max_length", "Invalid '%s.call_id': string too long. Expected a string with maximum "+
					"length 64, but got a string with length %d instead.", at, len(it.CallID))
			case it.Arguments == nil:
				return openAIBad(at+".arguments", "missing_required_parameter", "Missing required parameter: '%s.arguments'.", at)
			case it.ID != "" && !strings.HasPrefix(it.ID, "fc"):
				return openAIBad(at+".id", "invalid_value", "Invalid '%s.id': '%s'. Expected an ID that begins with 'fc'.", at, it.ID)
			}
			called = append(called, it.CallID)
		case "function_call_output":
			if !slices.Contains(called, it.CallID) {
				return openAIBad("input", "", "No tool call found for function call output with call_id %s.", it.CallID)
			}
			answered[it.CallID] = true
		case "reasoning":
			if refusal := d.checkReasoning(items, i); refusal != nil {
				return refusal
			}
		case "item_reference":
			if !d.memory.knows(it.ID) {
				return noItem(it.ID)
			}
		}
	}
	for _, id := range called {
		if !answered[id] {
			return openAIBad("input", "", "No tool output found for function call %s.", id)
		}
	}
	return nil
}

func noItem(id string) *response {
	res := openAIError(404, "Item with id '"+id+"' not found. Items are not persisted when `store` is set to false. Try again with `store` set to "+
		"true, or remove this item from your input.", "invalid_request_error", "input", "")
	return &res
}

// checkReasoning demands of a reasoning item that it was made here, and that
// what it led to follows.
func (d responses) checkReasoning(items []item, i int) *response {
	it := items[i]
	switch e := it.EncryptedContent; {
	case e != "" && !genuine(llm.OpenAI, e):
		return openAIBad("", "invalid_encrypted_content", "The encrypted content %s...%s could not be verified. Reason: Encrypted content could not "+
			"be decrypted or parsed.", e[:min(4, len(e))], e[max(0, len(e)-4):])
	case e == "" && !d.memory.knows(it.ID):
		return noItem(it.ID)
	case i == len(items)-1 || items[i+1].Role == "user" || items[i+1].Type == "function_call_output":
		return openAIBad("input", "", "Item '%s' of type 'reasoning' was provided without its required following item.", it.ID)
	}
	return nil
}

// converseItems puts the conversation into a call.
func converseItems(instructions string, items []item, c *call) *response {
	texts := []string{}
	if instructions != "" {
		texts = append(texts, instructions)
	}
	names := map[string]string{} // of the calls, by id
	for i, it := range items {
		at := fmt.Sprintf("input[%d]", i)
		switch it.kind() {
		case "message":
			text, sees, refusal := readParts(it.Content, at+".content", it.Role)
			if refusal != nil {
				return refusal
			}
			texts = append(texts, text)
			switch it.Role {
			case "user":
				c.hear(text, sees)
			case "assistant":
				c.results, c.begun, c.anew = nil, text, true
			}
		case "function_call":
			names[it.CallID] = it.Name
			texts = append(texts, it.Name+*it.Arguments)
			c.prompt, c.sees, c.results = "", nil, nil // done with: outputs come after all calls of a turn
		case "function_call_output":
			text, sees, refusal := readParts(it.Output, at+".output", "user")
			if refusal != nil {
				return refusal
			}
			texts = append(texts, text)
			c.results = append(c.results, result{name: names[it.CallID], text: text, sees: sees})
		}
	}
	for _, t := range c.tools {
		texts = append(texts, t.name+string(t.schema))
	}
	c.input = count(texts...)
	return nil
}

// readParts reads a content: a text, or parts.
func readParts(raw json.RawMessage, at, role string) (text string, sees []medium, refusal *response) {
	var parts []struct {
		Type, Text string
		ImageURL   string `json:"image_url"`
		FileID     string `json:"file_id"`
		FileURL    string `json:"file_url"`
		FileData   string `json:"file_data"`
	}
	if json.Unmarshal(raw, &text) == nil {
		return text, nil, nil
	}
	if json.Unmarshal(raw, &parts) != nil {
		return "", nil, openAIBad(at, "invalid_type", "Invalid type for '%s': expected one of an array of objects or string.", at)
	}
	var texts []string
	for i, p := range parts {
		here := fmt.Sprintf("%s[%d]", at, i)
		var seen medium
		ok := true
		switch {
		case p.Type == "output_text" && role == "assistant", p.Type == "input_text" && role != "assistant":
			texts = append(texts, p.Text)
			continue
		case p.Type == "refusal" && role == "assistant":
			continue
		case p.Type == "input_image" && role != "assistant":
			if seen, ok = openAIImage(p.ImageURL); p.FileID != "" {
				seen, ok = medium{kind: "image", url: p.FileID}, true
			}
			if !ok {
				return "", nil, openAIBad(here+".image_url", "invalid_value", "Invalid '%s.image_url'. Expected a valid URL, but got a value with an invalid format.", here)
			}
		case p.Type == "input_file" && role != "assistant":
			if seen, ok = openAIFile(p.FileData, p.FileID); p.FileURL != "" {
				seen, ok = medium{url: p.FileURL}, true
			}
			if !ok {
				return "", nil, openAIBad(here+".file_data", "invalid_value", "Invalid '%s.file_data'. Expected a base64-encoded data URL.", here)
			}
		default:
			list := "'input_text', 'input_image', and 'input_file'"
			if role == "assistant" {
				list = "'output_text' and 'refusal'"
			}
			return "", nil, openAIBad(here, "invalid_value", "Invalid value: '%s'. Supported values are: %s.", p.Type, list)
		}
		sees = append(sees, seen)
	}
	return strings.Join(texts, "\n"), sees, nil
}
