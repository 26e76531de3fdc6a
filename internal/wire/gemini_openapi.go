package wire

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// inlined gives the schema that a reference points to, with what stands beside
// the reference. A schema that contains itself ends as an object of any kind.
func (r *geminiReducer) inlined(ref string, beside []schemaField) []byte {
	target := r.resolve(ref)
	if !target.IsObject() || slices.Contains(r.within, ref) {
		r.lose("$ref")
		return []byte(`{"type":"OBJECT"}`)
	}
	r.within = append(r.within, ref)
	defer func() { r.within = r.within[:len(r.within)-1] }()
	fields := schemaFields(target)
	for _, f := range beside {
		if f.name == "$ref" {
			continue
		}
		fields = slices.DeleteFunc(fields, func(g schemaField) bool { return g.name == f.name })
		fields = append(fields, f)
	}
	return r.schema(gjson.ParseBytes(rawObject(fields)))
}

// older writes a schema in Gemini's subset of OpenAPI 3.0.
func (r *geminiReducer) older(in []schemaField) []byte {
	var out []schemaField
	types, nullable := schemaTypes(in)
	kind := ""
	switch len(types) {
	case 0:
	case 1:
		kind = types[0]
		out = append(out, schemaField{"type", marshal(strings.ToUpper(kind))})
	default:
		var any [][]byte
		for _, t := range types {
			any = append(any, marshal(map[string]string{"type": strings.ToUpper(t)}))
		}
		out = append(out, schemaField{"anyOf", rawList(any)})
	}
	for _, f := range in {
		out, nullable = r.olderKeyword(out, f, kind, nullable)
	}
	if nullable && len(out) > 0 { // what is free to be anything may be null already
		out = append(out, schemaField{"nullable", []byte("true")})
	}
	return rawObject(out)
}

// schemaTypes reads the types that a schema allows, or implies by its keywords.
func schemaTypes(in []schemaField) (types []string, nullable bool) {
	v := gjson.ParseBytes(keywordOf(in, "type"))
	list := v.Array()
	for _, t := range list {
		if t.String() == "null" {
			nullable = true
		} else {
			types = append(types, t.String())
		}
	}
	switch {
	case len(list) > 0:
	case keywordOf(in, "properties") != nil:
		types = []string{"object"}
	case keywordOf(in, "items") != nil:
		types = []string{"array"}
	case keywordOf(in, "enum") != nil, gjson.ParseBytes(keywordOf(in, "const")).Type == gjson.String:
		types = []string{"string"}
	}
	return types, nullable
}

// olderKeyword appends one keyword of JSON schema in OpenAPI's words.
func (r *geminiReducer) olderKeyword(out []schemaField, f schemaField, kind string, nullable bool) ([]schemaField, bool) {
	v := gjson.ParseBytes(f.raw)
	switch f.name {
	case "type", "$defs", "definitions", "$id", "$anchor":
		return out, nullable
	case "title", "description", "required", "minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength",
		"pattern", "minProperties", "maxProperties", "propertyOrdering":
		return append(out, f), nullable
	case "format":
		switch v.String() {
		case "date-time", "enum", "float", "double", "int32", "int64": // others are refused by models before 2.5
			return append(out, f), nullable
		}
	case "properties":
		if v.Raw == "{}" { // refused
			return out, nullable
		}
		return append(out, schemaField{f.name, r.each(v)}), nullable
	case "items":
		if v.IsObject() {
			return append(out, schemaField{f.name, r.schema(v)}), nullable
		}
	case "enum", "const":
		list := [][]byte{f.raw}
		if f.name == "enum" {
			list = rawElements(v)
		}
		words := slices.DeleteFunc(slices.Clone(list), func(e []byte) bool { return e[0] != '"' })
		null := slices.ContainsFunc(list, func(e []byte) bool { return string(e) == "null" })
		if kind == "string" && len(words) > 0 && keywordOf(out, "enum") == nil {
			return append(out, schemaField{"enum", rawList(words)}), nullable || null
		}
	case "anyOf", "oneOf":
		if keywordOf(out, "anyOf") == nil {
			var list [][]byte
			for _, e := range v.Array() {
				if e.Get("type").String() == "null" {
					nullable = true
				} else {
					list = append(list, r.schema(e))
				}
			}
			if len(list) == 1 && len(out) == 0 {
				return schemaFields(gjson.ParseBytes(list[0])), nullable
			}
			return append(out, schemaField{"anyOf", rawList(list)}), nullable
		}
	}
	if !isSchemaNote(f.name) {
		r.lose(f.name)
	}
	return out, nullable
}
