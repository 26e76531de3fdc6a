package wire

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/tidwall/gjson"
)

// ollamaSchema writes a tool's parameters for Ollama, which shows the model of
// each property only what api.ToolProperty has and refuses boolean schemas, see
// https://github.com/ollama/ollama/blob/main/api/types.go (v0.34, 2026-11).
// What else can be said in these words is: references are resolved, oneOf
// becomes anyOf, const an enum. The rest stays in place, for servers that may
// read it, and its keywords are named in lost. By resolving references it grows
// by about room bytes at most.
func ollamaSchema(schema json.RawMessage, room int) (parameters json.RawMessage, lost []string) {
	root := gjson.ParseBytes(schema)
	if !root.IsObject() {
		return json.RawMessage(`{"type":"object","properties":{}}`), nil
	}
	s := ollamaSchemaWriter{defs: definitions(root), most: len(schema) + room}
	b := s.object(nil, root, 0)
	if !root.Get("properties").Exists() {
		b = append(b[:len(b)-1], `,"properties":{}}`...)
		if len(root.Map()) == 0 {
			b = []byte(`{"type":"object","properties":{}}`)
		}
	}
	slices.Sort(s.lost)
	return b, slices.Compact(s.lost)
}

type ollamaSchemaWriter struct {
	defs map[string]gjson.Result // by the references to them
	most int                     // bytes, after which no reference is resolved
	lost []string
}

// maxRefs bounds how deep references are resolved: schemas may refer to
// themselves. maxGrowth bounds by how many bytes all schemas of a request grow.
const (
	maxRefs   = 8
	maxGrowth = 1 << 18
)

// property writes the schema of a property.
func (s *ollamaSchemaWriter) property(dst []byte, v gjson.Result, refs int) []byte {
	switch {
	case v.IsObject():
		return s.object(dst, v, refs)
	case v.Type == gjson.False:
		s.lost = append(s.lost, "false")
		return append(dst, "{}"...)
	case v.Type == gjson.True:
		return append(dst, "{}"...)
	}
	return append(dst, v.Raw...)
}

// object writes an object's keywords, then those of what it refers to.
func (s *ollamaSchemaWriter) object(dst []byte, v gjson.Result, refs int) []byte {
	fields := v.Map()
	dst = append(dst, '{')
	dst = s.keywords(dst, v, fields, refs)
	for ref := fields["$ref"]; ref.Exists(); refs++ {
		target, ok := s.defs[ref.String()]
		if !ok || refs >= maxRefs || len(dst) >= s.most {
			s.lost = append(s.lost, "$ref")
			break
		}
		missing := target.Map()
		ref = missing["$ref"]
		for name := range fields {
			delete(missing, name)
		}
		dst = s.keywords(dst, target, missing, refs+1)
		maps.Copy(fields, missing)
	}
	return append(dst, '}')
}

// definitions finds what references within the schema mean.
func definitions(root gjson.Result) map[string]gjson.Result {
	defs := make(map[string]gjson.Result)
	for _, place := range [...]string{"$defs", "definitions"} {
		root.Get(place).ForEach(func(name, v gjson.Result) bool {
			if v.IsObject() {
				defs["#/"+place+"/"+name.String()] = v
			}
			return true
		})
	}
	return defs
}

// keywords writes those of v's fields that are wanted, in order.
func (s *ollamaSchemaWriter) keywords(dst []byte, v gjson.Result, wanted map[string]gjson.Result, refs int) []byte {
	v.ForEach(func(key, v gjson.Result) bool {
		name := key.String()
		if _, ok := wanted[name]; !ok || name == "$ref" {
			return true
		}
		write := func(as string, value func([]byte) []byte) {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = gjson.AppendJSONString(dst, as)
			dst = value(append(dst, ':'))
		}
		raw := func(b []byte) []byte { return append(b, v.Raw...) }
		switch {
		case name == "properties", name == "anyOf":
			write(name, func(b []byte) []byte { return s.each(b, v, refs) })
		case name == "oneOf" && !wanted["anyOf"].Exists():
			write("anyOf", func(b []byte) []byte { return s.each(b, v, refs) })
		case name == "const" && !wanted["enum"].Exists():
			write("enum", func(b []byte) []byte { return append(append(append(b, '['), v.Raw...), ']') })
		default:
			if !ollamaShows(name) && !(name == "additionalProperties" && v.Type == gjson.False) {
				s.lost = append(s.lost, label(name))
			}
			write(name, raw)
		}
		return true
	})
	return dst
}

// each writes an object or a list of schemas.
func (s *ollamaSchemaWriter) each(dst []byte, v gjson.Result, refs int) []byte {
	open, end := byte('{'), byte('}')
	switch {
	case v.IsArray():
		open, end = '[', ']'
	case !v.IsObject():
		return append(dst, v.Raw...)
	}
	dst = append(dst, open)
	v.ForEach(func(key, v gjson.Result) bool {
		if dst[len(dst)-1] != open {
			dst = append(dst, ',')
		}
		if open == '{' {
			dst = append(gjson.AppendJSONString(dst, key.String()), ':')
		}
		dst = s.property(dst, v, refs)
		return true
	})
	return append(dst, end)
}

// ollamaShows says whether a keyword is one that the model is shown, or one
// that says nothing of the value.
func ollamaShows(keyword string) bool {
	switch keyword {
	case "type", "items", "description", "enum", "required", "$defs", "definitions", "$schema", "$id", "$comment", "title":
		return true
	}
	return false
}
