package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// smallest gives the smallest instance of a JSON schema, or of Google's subset
// of it, as JSON without spaces: all properties in the schema's order, one item
// in a list, the first of an enumeration, "text", 1, 1.5 and true.
func smallest(schema json.RawMessage) string {
	if len(schema) == 0 {
		return "{}"
	}
	return (&instance{root: schema}).of(schema, 0)
}

// instance knows the schema that references point into.
type instance struct {
	root json.RawMessage
	made int // values so far
}

const (
	// maxInstanceDepth ends schemas that contain themselves.
	maxInstanceDepth = 8
	// maxInstance bounds the values of an instance: a few bytes of a schema can
	// demand lists of a billion, or lists of lists.
	maxInstance = 10_000
)

type schemaNode struct {
	Ref                 string `json:"$ref"`
	Type                json.RawMessage
	Const               json.RawMessage
	Enum                []json.RawMessage
	Properties          json.RawMessage
	Items               json.RawMessage
	AnyOf, OneOf, AllOf []json.RawMessage
	MinItems            json.Number
	Minimum, Maximum    *float64
}

func (in *instance) of(raw json.RawMessage, depth int) string {
	var s schemaNode
	in.made++
	if json.Unmarshal(raw, &s) != nil || depth > maxInstanceDepth || in.made > maxInstance {
		return "null" // true, false, or a schema without end
	}
	switch {
	case s.Ref != "":
		return in.of(in.resolve(s.Ref), depth+1)
	case s.Const != nil:
		return compacted(s.Const)
	case len(s.Enum) > 0:
		return compacted(s.Enum[0])
	}
	for _, list := range [][]json.RawMessage{s.AnyOf, s.OneOf, s.AllOf} {
		if len(list) > 0 {
			return in.of(list[0], depth+1)
		}
	}
	switch s.kind() {
	case "string":
		return `"text"`
	case "integer":
		return s.number(1)
	case "number":
		return s.number(1.5)
	case "boolean":
		return "true"
	case "array":
		return in.list(s, depth)
	case "object":
		return in.object(s, depth)
	}
	return "null"
}

// kind gives the type in lower case: the first that is not null.
func (s schemaNode) kind() string {
	var one string
	var several []string
	_ = json.Unmarshal(s.Type, &one) // a list, or absent
	_ = json.Unmarshal(s.Type, &several)
	for _, name := range several {
		if one == "" || one == "null" {
			one = name
		}
	}
	if one == "" && s.Properties != nil {
		one = "object"
	}
	return strings.ToLower(one)
}

func (s schemaNode) number(n float64) string {
	if s.Minimum != nil && n < *s.Minimum {
		n = *s.Minimum
	}
	if s.Maximum != nil && n > *s.Maximum {
		n = *s.Maximum
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func (in *instance) list(s schemaNode, depth int) string {
	if s.Items == nil || depth >= maxInstanceDepth-1 {
		return "[]"
	}
	n, _ := strconv.Atoi(s.MinItems.String()) // absent is none
	var items []string
	for range min(max(n, 1), maxInstance) {
		items = append(items, in.of(s.Items, depth+1))
		if in.made > maxInstance {
			break
		}
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (in *instance) object(s schemaNode, depth int) string {
	var fields []string
	for _, f := range inOrder(s.Properties) {
		fields = append(fields, quote(f.name)+":"+in.of(f.value, depth+1))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// resolve follows a reference within the schema; null where it leads nowhere.
func (in *instance) resolve(ref string) json.RawMessage {
	at := in.root
	path, ok := strings.CutPrefix(ref, "#")
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(at, &fields) != nil {
			ok = false
			break
		}
		at = fields[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	if !ok || at == nil {
		return json.RawMessage("null")
	}
	return at
}

// field is one member of a JSON object.
type field struct {
	name  string
	value json.RawMessage
}

// inOrder gives the members of an object in the order in which they stand;
// none for anything else.
func inOrder(object json.RawMessage) (list []field) {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return list
		}
		f := field{name: fmt.Sprint(name)}
		if d.Decode(&f.value) != nil {
			return list
		}
		list = append(list, f)
	}
	return list
}

func compacted(raw json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		panic(err) // it came out of a decoder
	}
	return b.String()
}
