package sim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// isGemini3 says whether a model belongs to the generation that demands its
// signatures back and names its calls.
func isGemini3(model string) bool { return strings.HasPrefix(model, "gemini-3") }

// checkContents holds each turn to its shape.
func (q geminiRequest) checkContents() *response {
	if len(q.Contents) == 0 {
		return geminiBad("* GenerateContentRequest.contents: contents is not specified\n")
	}
	for i, m := range q.Contents {
		if m.Role != "" && m.Role != "user" && m.Role != "model" {
			return geminiBad("Please use a valid role: user, model.")
		}
		if len(m.Parts) == 0 {
			return geminiBad("* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty.\n", i)
		}
		for j, p := range m.Parts {
			at := fmt.Sprintf("contents[%d].parts[%d]", i, j)
			if refusal := p.check(at); refusal != nil {
				return refusal
			}
		}
	}
	return nil
}

// check holds a part to one thing, and its signature to who made it.
func (p geminiPart) check(at string) *response {
	set := 0
	for _, has := range []bool{p.Text != nil, p.InlineData != nil, p.FileData != nil, p.FunctionCall != nil, p.FunctionResponse != nil,
		p.ExecutableCode != nil, p.CodeExecutionResult != nil, p.ToolCall != nil, p.ToolResponse != nil} {
		if has {
			set++
		}
	}
	switch {
	case set == 0:
		return geminiBad("* GenerateContentRequest.%s.data: required oneof field 'data' must have one initialized field\n", at)
	case set > 1:
		return geminiBad("Invalid value at '%s' (oneof), oneof field 'data' is already set.", at)
	case p.FunctionCall != nil && p.FunctionCall.Name == "":
		return geminiBad("* GenerateContentRequest.%s.function_call.name: [FIELD_INVALID] Name cannot be empty.\n", at)
	case p.FunctionResponse != nil && p.FunctionResponse.Name == "":
		return geminiBad("* GenerateContentRequest.%s.function_response.name: [FIELD_INVALID] Name cannot be empty.\n", at)
	case p.InlineData != nil && p.InlineData.MimeType == "":
		return geminiBad("* GenerateContentRequest.%s.inline_data.mime_type: the mime type must be set.\n", at)
	case p.ThoughtSignature != "" && !genuine(llm.Gemini, p.ThoughtSignature) && !p.waived():
		return geminiBad("Corrupted thought signature.")
	}
	return nil
}

// waived says whether the signature is one of the two words that skip its
// check, for calls that another model made
// (https://ai.google.dev/gemini-api/docs/thought-signatures#faqs, 2026-11).
func (p geminiPart) waived() bool {
	return p.ThoughtSignature == "skip_thought_signature_validator" || p.ThoughtSignature == "context_engineering_is_the_way_to_go"
}

// checkTurns holds calls and responses to their order.
func (q geminiRequest) checkTurns() *response {
	for i, m := range q.Contents {
		before := geminiContent{}
		if i > 0 {
			before = q.Contents[i-1]
		}
		switch {
		case m.calls() > 0 && (i == 0 || before.Role == "model"):
			return geminiBad("Please ensure that function call turn comes immediately after a user turn or after a function response turn.")
		case m.responses() > 0 && before.calls() == 0:
			return geminiBad("Please ensure that function response turn comes immediately after a function call turn.")
		case before.calls() > 0 && m.responses() != before.calls():
			return geminiBad("Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.")
		}
	}
	return nil
}

// checkSignatures demands, of the third generation, a signature on the first
// call of each step of the current turn
// (https://ai.google.dev/gemini-api/docs/thought-signatures, 2026-11).
func (q geminiRequest) checkSignatures(model string) *response {
	if !isGemini3(model) {
		return nil
	}
	turn := 0
	for i, m := range q.Contents {
		if m.Role != "model" && m.responses() == 0 {
			turn = i
		}
	}
	for i, m := range q.Contents[turn:] {
		at := slices.IndexFunc(m.Parts, func(p geminiPart) bool { return p.FunctionCall != nil })
		if at >= 0 && m.Parts[at].ThoughtSignature == "" {
			return geminiBad("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, "+
				"and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:%s` , position %d. "+
				"Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details.", m.Parts[at].FunctionCall.Name, turn+i+1)
		}
	}
	return nil
}

func (q geminiRequest) checkConfig() *response {
	g := q.GenerationConfig
	at := "* GenerateContentRequest.generation_config."
	switch {
	case g.Temperature < 0 || g.Temperature > 2:
		return geminiBad("%stemperature: temperature must be in the range [0.0, 2.0].\n", at)
	case g.CandidateCount < 0 || g.CandidateCount > 8:
		return geminiBad("%scandidate_count: candidate_count must be in the range [1, 8].\n", at)
	case len(g.StopSequences) > 5:
		return geminiBad("%sstop_sequences: at most 5 stop sequences are allowed.\n", at)
	case g.ResponseSchema != nil && g.ResponseJSONSchema != nil:
		return geminiBad("%sresponse_json_schema: only one of response_schema and response_json_schema may be set.\n", at)
	case g.schema() != nil && g.ResponseMimeType != "application/json" && g.ResponseMimeType != "text/x.enum":
		return geminiBad("%sresponse_schema: response_mime_type must be set to application/json when a schema is set.\n", at)
	case !slices.Contains([]string{"", "text/plain", "application/json", "text/x.enum"}, g.ResponseMimeType):
		return geminiBad("%sresponse_mime_type: allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`.\n", at)
	case g.Logprobs != nil && !g.ResponseLogprobs:
		return geminiBad("%slogprobs: logprobs may only be set when response_logprobs is true.\n", at)
	case g.Logprobs != nil && (*g.Logprobs < 0 || *g.Logprobs > 20):
		return geminiBad("%slogprobs: logprobs must be in the range [0, 20].\n", at)
	case g.ThinkingConfig.ThinkingBudget != nil && g.ThinkingConfig.ThinkingLevel != "":
		return geminiBad("You can only set only one of thinking budget and thinking level.")
	}
	return geminiSchema(g.ResponseSchema, at+"response_schema")
}

// checkModel gives the refusal of what the named model does not do.
func (q geminiRequest) checkModel(model string) *response {
	functions := slices.ContainsFunc(q.Tools, func(t struct{ FunctionDeclarations []geminiFunction }) bool { return len(t.FunctionDeclarations) > 0 })
	switch {
	case isOneOf(model, "gemini-1", "gemini-2") && functions && q.GenerationConfig.ResponseMimeType == "application/json":
		return geminiBad("Function calling with a response mime type: 'application/json' is unsupported")
	case isOneOf(model, "gemini-1", "gemini-2") && q.GenerationConfig.ThinkingConfig.ThinkingLevel != "":
		return geminiBad("Thinking level is not supported for this model.")
	}
	return nil
}

func (q geminiRequest) checkTools() *response {
	var names []string
	for i, t := range q.Tools {
		for j, f := range t.FunctionDeclarations {
			at := fmt.Sprintf("* GenerateContentRequest.tools[%d].function_declarations[%d].", i, j)
			switch {
			case !regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$`).MatchString(f.Name):
				return geminiBad("%sname: [FIELD_INVALID] Invalid function name. Must start with a letter or an underscore. Must be alphanumeric "+
					"(a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.\n", at)
			case slices.Contains(names, f.Name):
				return geminiBad("Duplicate function declaration found: %s", f.Name)
			case f.Parameters != nil && f.ParametersJSONSchema != nil:
				return geminiBad("%sparameters_json_schema: only one of parameters and parameters_json_schema may be set.\n", at)
			}
			if refusal := geminiSchema(f.Parameters, at+"parameters"); refusal != nil {
				return refusal
			}
			names = append(names, f.Name)
		}
	}
	c := q.ToolConfig.FunctionCallingConfig
	at := "* GenerateContentRequest.tool_config.function_calling_config."
	switch {
	case !slices.Contains([]string{"", "AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"}, c.Mode):
		return geminiBad("Invalid value at 'tool_config.function_calling_config.mode' "+
			"(type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), %s", quote(c.Mode))
	case len(c.AllowedFunctionNames) > 0 && c.Mode != "ANY" && c.Mode != "VALIDATED":
		return geminiBad("%sallowed_function_names: allowed_function_names should only be set when function calling mode is ANY.\n", at)
	case (c.Mode == "ANY" || c.Mode == "VALIDATED") && len(names) == 0:
		return geminiBad("Function calling config is set without function_declarations.")
	}
	for _, name := range c.AllowedFunctionNames {
		if !slices.Contains(names, name) {
			return geminiBad("%sallowed_function_names: unknown function name %q.\n", at, name)
		}
	}
	return nil
}

// geminiSchema holds a schema to the rules beyond its fields.
func geminiSchema(raw json.RawMessage, at string) *response {
	if raw == nil {
		return nil
	}
	var s struct {
		schemaNode
		Format   string
		Required []string
	}
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	kind := s.kind()
	properties := inOrder(s.Properties)
	switch {
	case len(s.Enum) > 0 && kind != "string" && kind != "":
		return geminiBad("%s.enum: only allowed for STRING type\n", at)
	case kind == "array" && s.Items == nil:
		return geminiBad("%s.items: missing field.\n", at)
	case kind == "string" && s.Format != "" && s.Format != "enum" && s.Format != "date-time":
		return geminiBad("%s.format: only 'enum' and 'date-time' are supported for STRING type\n", at)
	case len(properties) > 0 && kind != "object":
		return geminiBad("%s.properties: only allowed for OBJECT type\n", at)
	}
	for i, name := range s.Required {
		if !slices.ContainsFunc(properties, func(p field) bool { return p.name == name }) {
			return geminiBad("%s.required[%d]: property is not defined\n", at, i)
		}
	}
	for _, p := range properties {
		if refusal := geminiSchema(p.value, fmt.Sprintf("%s.properties[%s]", at, p.name)); refusal != nil {
			return refusal
		}
	}
	for i, one := range s.AnyOf {
		if refusal := geminiSchema(one, fmt.Sprintf("%s.any_of[%d]", at, i)); refusal != nil {
			return refusal
		}
	}
	return geminiSchema(s.Items, at+".items")
}
