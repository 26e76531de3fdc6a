package wire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Gemini takes schemas in two forms: as JSON schema, of which it follows a
// subset, and in its own subset of OpenAPI 3.0, see
// https://ai.google.dev/api/generate-content#generationconfig and
// https://ai.google.dev/api/caching#Schema (2026-11). Models since 2.5 take both.

// fromOpenAPI turns a schema of Gemini's own form to JSON schema.
func fromOpenAPI(v gjson.Result) []byte {
	var fields []schemaField
	nullable := false
	v.ForEach(func(key, v gjson.Result) bool {
		switch name := camelCase(key.String()); name {
		case "nullable":
			nullable = v.Bool()
		case "propertyOrdering": // the order of properties says the same
		case "type":
			if t := openAPIType(v); t != "" {
				fields = append(fields, schemaField{name, marshal(t)})
			}
		case "format":
			if v.String() != "enum" {
				fields = append(fields, schemaField{name, []byte(v.Raw)})
			}
		case "items":
			fields = append(fields, schemaField{name, fromOpenAPI(v)})
		case "anyOf":
			var list [][]byte
			v.ForEach(func(_, v gjson.Result) bool {
				list = append(list, fromOpenAPI(v))
				return true
			})
			fields = append(fields, schemaField{name, rawList(list)})
		case "properties":
			var properties []schemaField
			v.ForEach(func(key, v gjson.Result) bool {
				properties = append(properties, schemaField{key.String(), fromOpenAPI(v)})
				return true
			})
			fields = append(fields, schemaField{name, rawObject(properties)})
		case "example":
			fields = append(fields, schemaField{"examples", rawList([][]byte{[]byte(v.Raw)})})
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			fields = append(fields, schemaField{name, []byte(geminiNumber(v).Raw)}) // int64 is a string in JSON
		default:
			fields = append(fields, schemaField{name, []byte(v.Raw)})
		}
		return true
	})
	if nullable {
		fields = nullableSchema(fields)
	}
	return rawObject(fields)
}

// openAPIType gives JSON schema's word for a type; "" for none.
func openAPIType(v gjson.Result) string {
	types := []string{"", "string", "number", "integer", "boolean", "array", "object", "null"}
	if v.Type == gjson.Number {
		if i := int(v.Num); 0 < i && i < len(types) {
			return types[i]
		}
		return ""
	}
	if t := strings.ToLower(v.String()); slices.Contains(types, t) {
		return t
	}
	return ""
}

// nullableSchema lets a schema be null too.
func nullableSchema(fields []schemaField) []schemaField {
	for i, f := range fields {
		switch f.name {
		case "type":
			fields[i].raw = rawList([][]byte{f.raw, []byte(`"null"`)})
		case "enum":
			list := rawElements(gjson.ParseBytes(f.raw))
			fields[i].raw = rawList(append(list, []byte("null")))
		}
	}
	return fields
}

// schemaField is a field of an object that keeps its place.
type schemaField struct {
	name string
	raw  []byte
}

func schemaFields(v gjson.Result) []schemaField {
	var fields []schemaField
	v.ForEach(func(key, v gjson.Result) bool {
		fields = append(fields, schemaField{key.String(), []byte(v.Raw)})
		return true
	})
	return fields
}

func rawElements(v gjson.Result) [][]byte {
	var list [][]byte
	v.ForEach(func(_, v gjson.Result) bool {
		list = append(list, []byte(v.Raw))
		return true
	})
	return list
}

func rawObject(fields []schemaField) []byte {
	b := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(b, f.name)
		b = append(b, ':')
		b = append(b, f.raw...)
	}
	return append(b, '}')
}

func rawList(list [][]byte) []byte {
	b := []byte{'['}
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// Bounds of a reduced schema: references that are inlined may multiply and
// contain themselves. What Google takes is far smaller.
const (
	maxGeminiRefs  = 1 << 20 // bytes that are inlined
	maxGeminiDepth = 64
)

// geminiSchema reduces a JSON schema to what Gemini follows and names the
// keywords that had to give. openAPI asks for the older form. Mere notes, such
// as $comment and default, are left out unnamed.
func geminiSchema(schema []byte, openAPI bool) (reduced []byte, lost []string) {
	if !validJSON(schema) {
		return []byte("{}"), []string{"invalid"}
	}
	r := geminiReducer{root: gjson.ParseBytes(schema), openAPI: openAPI}
	reduced = r.schema(r.root)
	return reduced, r.lost
}

type geminiReducer struct {
	root    gjson.Result
	openAPI bool
	within  []string // the references that are being inlined
	size    int      // of what they pointed to so far
	depth   int
	lost    []string
}

func (r *geminiReducer) lose(keyword string) {
	if !slices.Contains(r.lost, keyword) {
		r.lost = append(r.lost, label(keyword))
	}
}

// schema reduces a schema.
func (r *geminiReducer) schema(v gjson.Result) []byte {
	if !v.IsObject() { // true and false
		if v.Type == gjson.False {
			r.lose("false")
		}
		return []byte("{}")
	}
	if r.depth == maxGeminiDepth {
		r.lose("depth")
		return []byte("{}")
	}
	r.depth++
	defer func() { r.depth-- }()
	in := r.merged(schemaFields(v))
	if r.openAPI {
		if ref := keywordOf(in, "$ref"); ref != nil {
			return r.inlined(gjson.ParseBytes(ref).String(), in)
		}
		return r.older(in)
	}
	var out []schemaField
	for _, f := range in {
		out = r.keyword(out, f)
	}
	if ref := keywordOf(out, "$ref"); ref != nil && len(out) > 1 && keywordOf(out, "anyOf") == nil {
		// nothing but $-keywords may stand beside a reference
		for i := range out {
			if out[i].name == "$ref" {
				out[i] = schemaField{"anyOf", rawList([][]byte{rawObject([]schemaField{out[i]})})}
			}
		}
	}
	return rawObject(out)
}

func keywordOf(fields []schemaField, name string) []byte {
	for _, f := range fields {
		if f.name == name {
			return f.raw
		}
	}
	return nil
}

// keyword appends one keyword of JSON schema.
func (r *geminiReducer) keyword(out []schemaField, f schemaField) []schemaField {
	v := gjson.ParseBytes(f.raw)
	switch f.name {
	case "$id", "$anchor", "type", "format", "title", "description", "enum",
		"minItems", "maxItems", "minimum", "maximum", "required", "propertyOrdering":
		return append(out, f)
	case "$ref":
		if name, ok := strings.CutPrefix(v.String(), "#/definitions/"); ok {
			f.raw = marshal("#/$defs/" + name)
		}
		return append(out, f)
	case "$defs", "definitions":
		return append(out, schemaField{"$defs", r.each(v)})
	case "properties":
		return append(out, schemaField{f.name, r.each(v)})
	case "items":
		if v.IsArray() { // JSON schema's older word for a tuple
			return append(out, schemaField{"prefixItems", r.list(v)})
		}
		return append(out, schemaField{f.name, r.schema(v)})
	case "prefixItems", "anyOf", "oneOf":
		return append(out, schemaField{f.name, r.list(v)})
	case "additionalProperties":
		if v.IsBool() {
			return append(out, f)
		}
		return append(out, schemaField{f.name, r.schema(v)})
	case "const":
		if v.Type == gjson.String || v.Type == gjson.Number {
			return append(out, schemaField{"enum", rawList([][]byte{f.raw})})
		}
	}
	if !isSchemaNote(f.name) {
		r.lose(f.name)
	}
	return out
}

// isSchemaNote says whether a keyword restricts nothing.
func isSchemaNote(keyword string) bool {
	switch keyword {
	case "$schema", "$comment", "$vocabulary", "default", "example", "examples", "deprecated", "readOnly", "writeOnly":
		return true
	}
	return strings.HasPrefix(keyword, "x-")
}

// each reduces the schemas of an object of schemas.
func (r *geminiReducer) each(v gjson.Result) []byte {
	var out []schemaField
	v.ForEach(func(key, v gjson.Result) bool {
		out = append(out, schemaField{key.String(), r.schema(v)})
		return true
	})
	return rawObject(out)
}

func (r *geminiReducer) list(v gjson.Result) []byte {
	var out [][]byte
	v.ForEach(func(_, v gjson.Result) bool {
		out = append(out, r.schema(v))
		return true
	})
	return rawList(out)
}

// merged puts the schemas of an allOf into the schema itself, as far as they
// do not contradict it.
func (r *geminiReducer) merged(in []schemaField) []schemaField {
	all := keywordOf(in, "allOf")
	if all == nil {
		return in
	}
	out := slices.DeleteFunc(slices.Clone(in), func(f schemaField) bool { return f.name == "allOf" })
	parts := gjson.ParseBytes(all).Array()
	for _, part := range parts {
		ref := part.Get("$ref")
		if ref.Exists() && len(parts) == 1 && keywordOf(out, "$ref") == nil {
			out = append(out, schemaField{"$ref", []byte(ref.Raw)})
			continue
		}
		if ref.Exists() {
			part = r.resolve(ref.String())
		}
		if part.Get("allOf").Exists() || part.Get("$ref").Exists() || !part.IsObject() {
			r.lose("allOf")
			continue
		}
		for _, f := range schemaFields(part) {
			out = r.joined(out, f)
		}
	}
	return out
}

// joined adds a field of an allOf's schema.
func (r *geminiReducer) joined(out []schemaField, f schemaField) []schemaField {
	for i := range out {
		if out[i].name != f.name {
			continue
		}
		has := gjson.ParseBytes(out[i].raw)
		switch {
		case f.name == "properties":
			properties := schemaFields(has)
			for _, p := range schemaFields(gjson.ParseBytes(f.raw)) {
				properties = r.joined(properties, p)
			}
			out[i].raw = rawObject(properties)
		case f.name == "required":
			out[i].raw = rawList(append(rawElements(has), rawElements(gjson.ParseBytes(f.raw))...))
		case string(out[i].raw) != string(f.raw) && !isSchemaNote(f.name) && f.name != "title" && f.name != "description":
			r.lose("allOf")
		}
		return out
	}
	return append(out, f)
}

// resolve finds what a reference within the schema points to.
func (r *geminiReducer) resolve(ref string) gjson.Result {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return gjson.Result{}
	}
	at := r.root
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if name == "" {
			continue
		}
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		next := gjson.Result{}
		at.ForEach(func(key, v gjson.Result) bool {
			if key.String() == name {
				next = v
			}
			return !next.Exists()
		})
		if at.IsArray() {
			if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(at.Array()) {
				next = at.Array()[i]
			}
		}
		at = next
	}
	if r.size += len(at.Raw); r.size > maxGeminiRefs {
		return gjson.Result{}
	}
	return at
}
