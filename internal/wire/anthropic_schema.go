package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

// anthropicSchema cuts a JSON schema to the subset of output_config.format and
// of strict tools, see
// https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
// (2026-11). What had to give is listed by keyword. ok is false where the
// schema's meaning would be lost: recursion, a reference to elsewhere, an
// object with free keys.
func anthropicSchema(schema json.RawMessage) (cut json.RawMessage, gave []string, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(schema))
	decoder.UseNumber()
	var root map[string]any
	if decoder.Decode(&root) != nil {
		return nil, nil, false
	}
	s := schemaCutter{root: root, gave: make(map[string]bool), met: make(map[string]bool)}
	s.object(root)
	if s.lost {
		return nil, nil, false
	}
	for keyword := range s.gave {
		gave = append(gave, keyword)
	}
	sort.Strings(gave)
	if len(gave) == 0 {
		return schema, nil, true
	}
	return marshal(root), gave, true
}

type schemaCutter struct {
	root map[string]any
	gave map[string]bool // keywords
	met  map[string]bool // references: true while what they lead to is looked at
	lost bool
}

// anthropicFormatKnown says whether a string's format is understood.
func anthropicFormatKnown(v any) bool {
	switch v {
	case "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid":
		return true
	}
	return false
}

// anthropicPatternHard says whether a pattern has what those of the subset cannot have:
// look-around, back-references and word boundaries.
func anthropicPatternHard(v any) bool {
	p, _ := v.(string)
	for _, hard := range []string{"(?=", "(?!", "(?<", `\b`, `\B`, `\1`, `\2`, `\3`, `\4`, `\5`, `\6`, `\7`, `\8`, `\9`} {
		if strings.Contains(p, hard) {
			return true
		}
	}
	return false
}

// object cuts one schema.
func (s *schemaCutter) object(o map[string]any) {
	for keyword, v := range o {
		switch keyword {
		case "type", "title", "description", "const", "default", "required", "$defs", "definitions", "items", "properties", "anyOf", "allOf", "additionalProperties":
		case "$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly":
			delete(o, keyword) // says nothing of what is valid
			s.gave[keyword] = true
		case "$ref":
			s.reference(v)
		case "enum":
			values, _ := v.([]any)
			if slices.ContainsFunc(values, func(v any) bool { _, object := v.(map[string]any); _, list := v.([]any); return object || list }) {
				s.drop(o, keyword)
			}
		case "format":
			if !anthropicFormatKnown(v) {
				s.drop(o, keyword)
			}
		case "pattern":
			if anthropicPatternHard(v) {
				s.drop(o, keyword)
			}
		case "minItems":
			if n, _ := v.(json.Number); n != "0" && n != "1" {
				s.drop(o, keyword)
			}
		case "oneOf":
			if _, both := o["anyOf"]; !both {
				o["anyOf"] = v
			}
			s.drop(o, keyword)
		default: // minimum, maxLength, uniqueItems, patternProperties, if, not, ...
			s.drop(o, keyword)
		}
	}
	s.closed(o)
	s.beneath(o)
}

func (s *schemaCutter) drop(o map[string]any, keyword string) {
	delete(o, keyword)
	s.gave[keyword] = true
}

// closed makes an object one without other keys, as the subset demands.
func (s *schemaCutter) closed(o map[string]any) {
	properties, _ := o["properties"].(map[string]any)
	free, given := o["additionalProperties"]
	types, _ := o["type"].([]any)
	isObject := properties != nil || given || o["type"] == "object" || slices.Contains(types, any("object"))
	switch {
	case !isObject || free == false:
	case len(properties) == 0:
		s.lost = s.lost || o["$ref"] == nil && o["anyOf"] == nil && o["allOf"] == nil
	default:
		o["additionalProperties"] = false
		s.gave["additionalProperties"] = true
	}
}

// beneath cuts the schemas within a schema.
func (s *schemaCutter) beneath(o map[string]any) {
	each := func(v any) {
		if o, ok := v.(map[string]any); ok {
			s.object(o)
		}
	}
	each(o["items"])
	for _, keyword := range []string{"properties", "$defs", "definitions"} {
		schemas, _ := o[keyword].(map[string]any)
		for _, v := range schemas {
			each(v)
		}
	}
	for _, keyword := range []string{"anyOf", "allOf"} {
		schemas, _ := o[keyword].([]any)
		for _, v := range schemas {
			each(v)
		}
	}
}

// reference follows a reference to see whether it comes back to itself.
func (s *schemaCutter) reference(v any) {
	path, _ := v.(string)
	if looking, met := s.met[path]; met {
		s.lost = s.lost || looking
		return
	}
	target, ok := s.at(path)
	if !ok {
		s.lost = true
		return
	}
	s.met[path] = true
	s.follow(target)
	s.met[path] = false
}

// at finds what a reference within the schema means.
func (s *schemaCutter) at(path string) (any, bool) {
	steps, local := strings.CutPrefix(path, "#/")
	if !local {
		return nil, false
	}
	var v any = s.root
	for step := range strings.SplitSeq(steps, "/") {
		o, _ := v.(map[string]any)
		if v = o[step]; v == nil {
			return nil, false
		}
	}
	return v, true
}

// follow looks for references beneath a schema that another refers to. It
// leaves the cutting to whoever meets the schema in its own place.
func (s *schemaCutter) follow(v any) {
	switch v := v.(type) {
	case map[string]any:
		for keyword, inner := range v {
			if path, ok := inner.(string); ok && keyword == "$ref" {
				s.reference(path)
			} else {
				s.follow(inner)
			}
		}
	case []any:
		for _, inner := range v {
			s.follow(inner)
		}
	}
}
