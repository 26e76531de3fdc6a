package wire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Vertex AI streams the arguments of calls as values at paths, see
// https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rpc/google.cloud.aiplatform.v1#partialarg
// (2026-11). Since later ones may fill earlier lists and objects, they are
// gathered until the call is whole.

// Bounds of streamed arguments.
const (
	maxArgsPath   = 64   // names and indices of one path
	maxArgsFields = 4096 // of one object or list
)

// geminiOpenArgs is a call whose arguments are arriving.
type geminiOpenArgs struct {
	index int
	args  argsNode
	last  *argsNode // the string that goes on
}

// argsNode is a value: a scalar, an object or a list.
type argsNode struct {
	raw    string // JSON of a number, true, false or null
	text   *strings.Builder
	list   bool
	names  []string
	fields []*argsNode
}

// add takes a list of partialArgs.
func (g *geminiOpenArgs) add(v gjson.Result) {
	v.ForEach(func(_, arg gjson.Result) bool {
		at := g.args.at(argsPath(arg.Get("jsonPath").String()))
		if at == nil {
			return true
		}
		if said := arg.Get("stringValue"); said.Exists() {
			if at.text == nil || g.last != at {
				*at = argsNode{text: new(strings.Builder)}
			}
			at.text.WriteString(said.String())
		} else {
			*at = argsNode{raw: "null"}
			for _, name := range [...]string{"numberValue", "boolValue"} {
				if value := arg.Get(name); value.Exists() {
					at.raw = value.Raw
				}
			}
		}
		g.last = nil
		if arg.Get("willContinue").Bool() {
			g.last = at
		}
		return true
	})
}

// argsPath parts a path such as $.a['b'][0] into its names and indices; an
// index begins with "[".
func argsPath(path string) []string {
	path = strings.TrimPrefix(path, "$")
	var steps []string
	for path != "" && len(steps) <= maxArgsPath {
		switch {
		case path[0] == '.':
			end := strings.IndexAny(path[1:], ".[")
			if end < 0 {
				end = len(path) - 1
			}
			steps = append(steps, path[1:1+end])
			path = path[1+end:]
		case path[0] == '[' && len(path) > 1 && (path[1] == '\'' || path[1] == '"'):
			end := strings.Index(path[2:], path[1:2]+"]")
			if end < 0 {
				return nil
			}
			steps = append(steps, path[2:2+end])
			path = path[2+end+2:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return nil
			}
			steps = append(steps, path[:end])
			path = path[end+1:]
		default:
			return nil
		}
	}
	return steps
}

// at finds the value at a path or makes room for it; nil where the path says
// nothing that can be.
func (n *argsNode) at(path []string) *argsNode {
	if len(path) == 0 || len(path) > maxArgsPath {
		return nil
	}
	for _, step := range path {
		digits, index := strings.CutPrefix(step, "[")
		i := -1
		if index {
			var err error
			if i, err = strconv.Atoi(digits); err != nil || i < 0 || i > len(n.fields) {
				return nil // lists fill from the front
			}
			n.list = len(n.fields) == 0 || n.list
		} else if i = slices.Index(n.names, step); i < 0 {
			i = len(n.fields)
		}
		if index != n.list || i >= maxArgsFields {
			return nil
		}
		n.raw, n.text = "", nil
		if i == len(n.fields) {
			n.names = append(n.names, step)
			n.fields = append(n.fields, new(argsNode))
		}
		n = n.fields[i]
	}
	return n
}

// json appends the value as JSON; one that nothing was told of is an empty object.
func (n *argsNode) json(dst []byte) []byte {
	switch {
	case n.text != nil:
		return gjson.AppendJSONString(dst, n.text.String())
	case n.raw != "":
		return append(dst, n.raw...)
	}
	open, end := byte('{'), byte('}')
	if n.list {
		open, end = '[', ']'
	}
	dst = append(dst, open)
	for i, f := range n.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !n.list {
			dst = append(gjson.AppendJSONString(dst, n.names[i]), ':')
		}
		dst = f.json(dst)
	}
	return append(dst, end)
}
