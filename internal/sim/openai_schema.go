package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// openAIRoot gives the problem with a schema that is not one of an object.
func openAIRoot(schema json.RawMessage) string {
	var s struct{ Type any }
	if json.Unmarshal(schema, &s) != nil {
		return "schema must be an object."
	}
	if s.Type != "object" {
		kind := "None"
		if name, ok := s.Type.(string); ok {
			kind = name
		}
		return fmt.Sprintf(`schema must be a JSON Schema of 'type: "object"', got 'type: "%s"'.`, kind)
	}
	return ""
}

// strictSchema gives the problem of a schema that strict mode does not take:
// every object is closed and demands all its properties, and some keywords are
// not permitted
// (https://platform.openai.com/docs/guides/structured-outputs#supported-schemas, 2026-11).
func strictSchema(raw json.RawMessage, context []string) string {
	var s map[string]json.RawMessage
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	in := func(problem string, args ...any) string {
		quoted := make([]string, len(context))
		for i, step := range context {
			quoted[i] = "'" + step + "'"
		}
		list := strings.Join(quoted, ", ")
		if len(quoted) == 1 {
			list += ","
		}
		return fmt.Sprintf("In context=(%s), ", list) + fmt.Sprintf(problem, args...)
	}
	for _, word := range []string{"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas",
		"patternProperties", "propertyNames", "unevaluatedProperties", "contains", "uniqueItems"} {
		if s[word] != nil {
			return in("'%s' is not permitted.", word)
		}
	}
	properties := inOrder(s["properties"])
	if (schemaNode{Type: s["type"], Properties: s["properties"]}).kind() == "object" {
		if string(s["additionalProperties"]) != "false" {
			return in("'additionalProperties' is required to be supplied and to be false.")
		}
		var required []string
		_ = json.Unmarshal(s["required"], &required) // absent is empty
		for _, p := range properties {
			if !slices.Contains(required, p.name) {
				return in("'required' is required to be supplied and to be an array including every key in properties. Missing '%s'.", p.name)
			}
		}
		for _, name := range required {
			if !slices.ContainsFunc(properties, func(p field) bool { return p.name == name }) {
				return in("'required' is required to be supplied and to be an array including every key in properties. Extra required key '%s' supplied.", name)
			}
		}
	}
	within := func(raw json.RawMessage, steps ...string) string {
		return strictSchema(raw, append(slices.Clone(context), steps...))
	}
	for _, p := range properties {
		if problem := within(p.value, "properties", p.name); problem != "" {
			return problem
		}
	}
	for _, word := range []string{"$defs", "definitions"} {
		for _, d := range inOrder(s[word]) {
			if problem := within(d.value, word, d.name); problem != "" {
				return problem
			}
		}
	}
	if s["items"] != nil {
		if problem := within(s["items"], "items"); problem != "" {
			return problem
		}
	}
	var list []json.RawMessage
	_ = json.Unmarshal(s["anyOf"], &list) // absent is empty
	for i, one := range list {
		if problem := within(one, "anyOf", fmt.Sprint(i)); problem != "" {
			return problem
		}
	}
	return ""
}
