package config

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// leaf is one value as it was written.
type leaf struct {
	text   string
	items  []leaf // of a List
	source Source
}

// values holds what flags, environment and file say, by concrete path, with
// the strongest source's word where several speak; and every fault found.
type values struct {
	options map[string]Option // by pattern
	order   []Option
	set     map[string]leaf
	lengths map[string]int    // of each list
	places  map[string]Source // where each part of the file stands
	broken  map[string]bool   // paths whose fault is told already
	getenv  func(string) string
	read    func(path string) ([]byte, error)
	run     func(ctx context.Context, words []string) ([]byte, error)
	found   map[string]found // secrets that were looked up
	errs    []error
}

func newValues(getenv func(string) string, read func(string) ([]byte, error), run func(context.Context, []string) ([]byte, error)) *values {
	v := &values{
		options: map[string]Option{}, order: Options(),
		set: map[string]leaf{}, lengths: map[string]int{}, places: map[string]Source{}, broken: map[string]bool{},
		getenv: getenv, read: read, run: run, found: map[string]found{},
	}
	for _, o := range v.order {
		v.options[o.Path] = o
	}
	return v
}

// fail notes a fault of a path's value.
func (v *values) fail(path, format string, args ...any) {
	v.broken[path] = true
	v.errs = append(v.errs, &Error{Field: path, Source: v.source(path), Message: fmt.Sprintf(format, args...)})
}

// require notes that an option must have a value, and why, unless it has a
// faulty one.
func (v *values) require(path, why string) {
	if !v.broken[path] && len(v.get(path).items) == 0 {
		v.fail(path, "%s", why)
	}
}

// source says where a path's value stands, or else the part of the file that
// it belongs to.
func (v *values) source(path string) Source {
	for at := path; at != ""; at = parent(at) {
		if s, ok := v.own(at); ok {
			return s
		}
		if s, ok := v.places[at]; ok {
			return s
		}
	}
	return Source{Origin: FromDefault}
}

// own says where the value of a path itself stands.
func (v *values) own(path string) (Source, bool) {
	if l, ok := v.set[path]; ok {
		return l.source, true
	}
	for _, way := range ways() {
		if l, ok := v.set[path+"."+way]; ok {
			return l.source, true
		}
	}
	return Source{Origin: FromDefault}, false
}

// parent gives the path without its last key or index.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// pattern gives the path of the option that a concrete path belongs to.
func pattern(path string) string {
	if strings.HasPrefix(path, "aliases.") {
		return "aliases.*"
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString("[]")
		_, path, _ = strings.Cut(rest, "]")
	}
}

// item gives the path of one item of a list.
func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// put lets flags and environment speak: after the file, and over it.
func (v *values) put(o Option, text string, source Source) {
	path := strings.ReplaceAll(o.Path, "[]", "[0]")
	for at := path; at != ""; at = parent(at) {
		if list, ok := strings.CutSuffix(at, "[0]"); ok {
			v.lengths[list] = max(v.lengths[list], 1)
		}
	}
	l := leaf{text: text, source: source}
	switch o.Kind {
	case Key:
		for _, way := range ways() {
			delete(v.set, path+"."+way)
		}
		path += ".value"
	case List:
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				l.items = append(l.items, leaf{text: part, source: source})
			}
		}
	}
	v.set[path] = l
}

// get gives an option's value, be it its own, its fallback's or the default.
func (v *values) get(path string) leaf {
	if l, ok := v.set[path]; ok {
		return l
	}
	o, ok := v.options[pattern(path)]
	if !ok {
		panic("no such option: " + path)
	}
	if o.Fallback != "" {
		return v.get(o.Fallback)
	}
	l := leaf{text: o.Default, source: Source{Origin: FromDefault}}
	if o.Kind == List && o.Default != "" {
		for part := range strings.SplitSeq(o.Default, ",") {
			l.items = append(l.items, leaf{text: part, source: l.source})
		}
	}
	return l
}

// Value is one effective value, for people.
type Value struct {
	Path   string
	Text   string // "set" or "unset" for a secret; "" where there is no value
	Source Source
	Option Option
}

// effective lists every option's value in the order of the reference, each
// item of a list by itself.
func (v *values) effective() []Value {
	var all []Value
	for _, o := range v.order {
		for _, path := range v.expand(o) {
			value := Value{Path: path, Option: o}
			switch o.Kind {
			case Key:
				value.Text = "unset"
				value.Source, _ = v.own(path)
				if s, _ := v.lookUp(path); s.Set() {
					value.Text = "set"
				}
			case List:
				l := v.get(path)
				var texts []string
				for _, item := range l.items {
					texts = append(texts, item.text)
				}
				value.Text, value.Source = strings.Join(texts, ", "), l.source
			default:
				l := v.get(path)
				value.Text, value.Source = l.text, l.source
			}
			all = append(all, value)
		}
	}
	return all
}

// expand gives the concrete paths of an option. Where a list is empty, the
// item that a variable would set stands for it.
func (v *values) expand(o Option) []string {
	if name, ok := strings.CutSuffix(o.Path, "*"); ok {
		return v.below(name)
	}
	paths := []string{""}
	for i, part := range strings.Split(o.Path, "[]") {
		var next []string
		for _, path := range paths {
			if i == 0 {
				next = append(next, part)
				continue
			}
			n := v.lengths[path]
			if len(o.Env) > 0 {
				n = max(n, 1)
			}
			for j := range n {
				next = append(next, item(path, j)+part)
			}
		}
		paths = next
	}
	return paths
}

// below lists, in order, the paths that were set below a mapping of any keys.
func (v *values) below(prefix string) []string {
	var paths []string
	for path := range v.set {
		if strings.HasPrefix(path, prefix) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
