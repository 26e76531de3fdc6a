package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape says what may stand at one place of the file.
type shape struct {
	option *Option           // a value
	fields map[string]*shape // a mapping with these keys; "*" stands for any
	item   *shape            // a list
}

// shapeOf makes the file's shape from the table of options.
func shapeOf(options []Option) *shape {
	root := &shape{}
	for _, o := range options {
		if o.Path == configPath {
			continue
		}
		at := root
		for _, key := range strings.Split(o.Path, ".") {
			name, isList := strings.CutSuffix(key, "[]")
			at = at.field(name)
			if isList {
				if at.item == nil {
					at.item = &shape{}
				}
				at = at.item
			}
		}
		at.option = &o
		if o.Kind == Key {
			for _, way := range ways() {
				at.field(way).option = &Option{Kind: Text}
			}
		}
	}
	return root
}

func (s *shape) field(name string) *shape {
	if s.fields == nil {
		s.fields = map[string]*shape{}
	}
	if s.fields[name] == nil {
		s.fields[name] = &shape{}
	}
	return s.fields[name]
}

// file reads a YAML file into the values and notes every fault in it.
type file struct {
	*values
	name string
}

func (f file) at(n *yaml.Node) Source {
	return Source{Origin: FromFile, Name: f.name, Line: n.Line}
}

// wrong notes a fault at a node. The text of a node is never quoted: it may
// be a secret in the wrong place.
func (f file) wrong(n *yaml.Node, path, message string) {
	if path == "" {
		path = configPath // the file as a whole
	}
	f.broken[path] = true
	f.errs = append(f.errs, &Error{Field: path, Source: f.at(n), Message: message})
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// parse reads the file's text.
func (f file) parse(text []byte) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return // empty, or comments alone
	}
	if err != nil {
		f.syntax(err)
		return
	}
	f.walk(doc.Content[0], "", shapeOf(f.order))
	switch err := d.Decode(&doc); {
	case err == nil:
		f.wrong(&doc, configPath, "there must be only one YAML document; this one is not read")
	case !errors.Is(err, io.EOF):
		f.syntax(err)
	}
}

// syntax notes what the YAML parser said, without the text that it quotes.
func (f file) syntax(err error) {
	s := Source{Origin: FromFile, Name: f.name, Line: 1}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		s.Line, _ = strconv.Atoi(m[1])
	}
	message := err.Error()
	if i := strings.LastIndex(message, ": "); i >= 0 {
		message = message[i+2:]
	}
	if strings.ContainsAny(message, "'\"`") || strings.Contains(message, "anchor") {
		message = "a tag or an anchor that YAML cannot read"
	}
	f.errs = append(f.errs, &Error{Field: configPath, Source: s, Message: "not valid YAML here or just before: " + message})
}

// walk takes a node into the values.
func (f file) walk(n *yaml.Node, path string, s *shape) {
	if path != "" {
		f.places[path] = f.at(n)
	}
	switch {
	case n.Kind == yaml.AliasNode:
		f.wrong(n, path, "anchors are not supported: write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		f.wrong(n, path, "tags (!) are not supported")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		// Written without a value is not written.
	case s.option != nil && s.option.Kind == List:
		f.list(n, path)
	case s.item != nil:
		if n.Kind != yaml.SequenceNode {
			f.wrong(n, path, "must be a list")
			return
		}
		f.lengths[path] = len(n.Content)
		for i, child := range n.Content {
			f.walk(child, item(path, i), s.item)
		}
	case n.Kind == yaml.ScalarNode && s.option != nil:
		if s.option.Kind == Key {
			path += ".value"
		}
		f.scalar(n, path)
	case s.fields != nil:
		if n.Kind != yaml.MappingNode {
			f.wrong(n, path, "must be a mapping with "+keysOf(s))
			return
		}
		f.mapping(n, path, s)
	default:
		f.wrong(n, path, "must be a single value")
	}
}

func (f file) scalar(n *yaml.Node, path string) {
	if text := strings.TrimSpace(n.Value); text != "" {
		f.set[path] = leaf{text: text, source: f.at(n)}
	}
}

func (f file) list(n *yaml.Node, path string) {
	if n.Kind != yaml.SequenceNode {
		f.wrong(n, path, "must be a list")
		return
	}
	l := leaf{source: f.at(n)}
	for i, child := range n.Content {
		text := strings.TrimSpace(child.Value)
		if child.Kind != yaml.ScalarNode || child.Style&yaml.TaggedStyle != 0 || text == "" {
			f.wrong(child, item(path, i), "must be a single value")
			continue
		}
		l.items = append(l.items, leaf{text: text, source: f.at(child)})
	}
	if len(l.items) > 0 {
		f.set[path] = l
	}
}

func (f file) mapping(n *yaml.Node, path string, s *shape) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 {
			f.wrong(key, path, "a key here must be plain text")
			continue
		}
		next, ok := s.fields[key.Value]
		if !ok {
			next, ok = s.fields["*"]
		}
		if !ok {
			f.unknown(key, path, s)
			continue
		}
		at := join(path, key.Value)
		if line, twice := lines[key.Value]; twice {
			f.wrong(key, at, "is written twice; first in line "+strconv.Itoa(line))
			continue
		}
		lines[key.Value] = key.Line
		f.walk(value, at, next)
	}
}

var plainKey = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)

// unknown notes a key that has no meaning. It is shown only where it looks
// like a key: a slip of the colon may have made it of a secret.
func (f file) unknown(key *yaml.Node, path string, s *shape) {
	message := "unknown key; there are " + keysOf(s)
	near := nearest(key.Value, s)
	if near != "" {
		message = "unknown key; did you mean " + near + "?"
	}
	at := path
	if near != "" || plainKey.MatchString(key.Value) {
		at = join(path, key.Value)
	}
	f.wrong(key, at, message)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// keysOf lists the keys of a mapping.
func keysOf(s *shape) string {
	if s.fields["*"] != nil {
		return "names of your choice"
	}
	return strings.Join(sortedKeys(s.fields), ", ")
}

// nearest finds the key that was probably meant: the one that differs in the
// fewest letters, and in a third of them at most.
func nearest(word string, s *shape) string {
	best, least := "", len(word)/3+1
	for _, key := range sortedKeys(s.fields) {
		if d := distance(strings.ToLower(word), key); d < least {
			best, least = key, d
		}
	}
	return best
}

// distance counts the letters to change, add or take away, after Levenshtein.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
