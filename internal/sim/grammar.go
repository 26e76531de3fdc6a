package sim

import (
	"fmt"
	"slices"
	"strings"
)

// grammar names the fields that each kind of object may have, and the kind of
// object that stands there: "text parts:Part". Where an object says what it is
// by a type or a role, "Part/image" goes before "Part". A kind without an
// entry may hold anything.
type grammar map[string]string

// unknown gives the path to the first field, by name, that the grammar does
// not know; nil where there is none. Steps are names of fields and places in
// lists.
func (g grammar) unknown(tree any, kind string) []any {
	if list, ok := tree.([]any); ok {
		for i, item := range list {
			if path := g.unknown(item, kind); path != nil {
				return append([]any{i}, path...)
			}
		}
		return nil
	}
	object, ok := tree.(map[string]any)
	fields := g.fields(kind, object)
	if !ok || fields == nil {
		return nil
	}
	for _, name := range sortedNames(object) {
		child, known := fields[name]
		if !known {
			return []any{name}
		}
		if path := g.unknown(object[name], child); path != nil {
			return append([]any{name}, path...)
		}
	}
	return nil
}

// fields gives the fields of one kind of object with the kinds that they hold.
func (g grammar) fields(kind string, object map[string]any) map[string]string {
	line, ok := g[kind]
	for _, by := range []string{"type", "role"} {
		if says, isText := object[by].(string); isText {
			if own, has := g[kind+"/"+says]; has {
				line, ok = own, true
			}
		}
	}
	if !ok {
		return nil
	}
	fields := map[string]string{}
	for _, entry := range strings.Fields(line) {
		name, child, _ := strings.Cut(entry, ":")
		fields[name] = child
	}
	return fields
}

func sortedNames(object map[string]any) []string {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// bracketed writes a path as OpenAI does: messages[0].content.
func bracketed(path []any) string {
	var b strings.Builder
	for _, step := range path {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, step)
		}
	}
	return b.String()
}
