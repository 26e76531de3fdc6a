package wire

import (
	"encoding/json"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// objectSchema says of a tool's schema what others leave unsaid and OpenAI
// demands: that it is of an object, and which properties that has.
func objectSchema(schema json.RawMessage) json.RawMessage {
	o := gjson.ParseBytes(schema)
	if !o.IsObject() {
		return nil
	}
	for _, said := range [...]struct{ name, value string }{{"type", `"object"`}, {"properties", `{}`}} {
		if o.Get(said.name).Exists() {
			continue
		}
		if b, err := sjson.SetRawBytes(schema, said.name, []byte(said.value)); err == nil {
			schema = b
		}
	}
	return schema
}

// strictSchema gives a schema as OpenAI's strict mode takes it: every object
// is closed, which an object that says nothing of other properties becomes,
// and requires all its properties. false says that the schema cannot be so
// without changing what it allows, see
// https://developers.openai.com/api/docs/guides/structured-outputs#supported-schemas (2026-11).
func strictSchema(schema json.RawMessage) (json.RawMessage, bool) {
	root := gjson.ParseBytes(schema)
	if root.Get("type").String() != "object" || root.Get("anyOf").Exists() {
		return nil, false
	}
	return appendStrict(nil, root)
}

// appendStrict appends a schema, closed.
func appendStrict(dst []byte, v gjson.Result) ([]byte, bool) {
	if !v.IsObject() {
		return dst, false
	}
	fits, closed := true, false
	required := map[string]bool{}
	for _, name := range v.Get("required").Array() {
		required[name.String()] = true
	}
	dst = append(dst, '{')
	v.ForEach(func(key, v gjson.Result) bool {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(dst, key.Raw...), ':')
		switch key.String() {
		case "allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties", "default":
			fits = false
		case "additionalProperties":
			closed = true
			fits = v.Type == gjson.False
			dst = append(dst, v.Raw...)
		case "properties", "$defs", "definitions":
			if key.String() == "properties" {
				v.ForEach(func(name, _ gjson.Result) bool {
					fits = fits && required[name.String()]
					return fits
				})
			}
			dst, fits = appendEach(dst, v, fits)
		case "items":
			dst, fits = appendStrict(dst, v)
		case "anyOf":
			dst, fits = appendEach(dst, v, fits)
		default:
			dst = append(dst, v.Raw...)
		}
		return fits
	})
	if isObject := v.Get("properties").Exists() || v.Get("type").String() == "object" || v.Get(`type.#(=="object")`).Exists(); isObject && !closed {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(dst, `"additionalProperties":false`...)
	}
	return append(dst, '}'), fits
}

// appendEach appends the schemas in a list or an object.
func appendEach(dst []byte, v gjson.Result, fits bool) ([]byte, bool) {
	open, end := byte('{'), byte('}')
	if v.IsArray() {
		open, end = '[', ']'
	}
	dst = append(dst, open)
	v.ForEach(func(key, v gjson.Result) bool {
		if dst[len(dst)-1] != open {
			dst = append(dst, ',')
		}
		if open == '{' {
			dst = append(append(dst, key.Raw...), ':')
		}
		var ok bool
		dst, ok = appendStrict(dst, v)
		fits = fits && ok
		return fits
	})
	return append(dst, end), fits
}
