package wire

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// A body is mostly text: a prompt of 100 KB is one string in some brackets. What
// is here steps over strings eight and more bytes at a time, where gjson goes
// byte by byte and does so again on every level.

// maxDepth bounds how deep JSON may be nested. Tool schemas reach some dozens;
// the parsers beneath recurse, and a stack that overflows cannot be recovered.
const maxDepth = 512

// checked says what is wrong with some bytes that should be one JSON value.
type checked int

const (
	validValue checked = iota
	notJSON
	tooDeep // nested deeper than maxDepth
)

// validJSON says whether b is one JSON value that may be parsed safely.
func validJSON(b []byte) bool { return checkJSON(b) == validValue }

// checkJSON goes over b once.
func checkJSON(b []byte) checked {
	var open [maxDepth]byte // the brackets that are open, innermost last
	depth := 0
	for i := 0; ; {
		i = blank(b, i)
		// A value begins here, or an empty list or object ends.
		switch {
		case i == len(b):
			return notJSON
		case b[i] == '{' || b[i] == '[':
			if depth == maxDepth {
				return tooDeep
			}
			open[depth] = b[i]
			depth++
			if i = blank(b, i+1); i == len(b) {
				return notJSON
			}
			if b[i] == open[depth-1]+2 { // '}' and ']' stand two behind '{' and '['
				depth--
				break
			}
			if open[depth-1] == '{' {
				if i = afterName(b, i); i < 0 {
					return notJSON
				}
			}
			continue
		default:
			if i = afterScalar(b, i) - 1; i < 0 {
				return notJSON
			}
		}
		// The value's last byte is at i: close what it ends.
		for i = blank(b, i+1); depth > 0 && i < len(b) && b[i] == open[depth-1]+2; i = blank(b, i+1) {
			depth--
		}
		switch {
		case depth == 0 && i == len(b):
			return validValue
		case depth == 0 || i == len(b) || b[i] != ',':
			return notJSON
		}
		i++
		if open[depth-1] == '{' {
			if i = afterName(b, blank(b, i)); i < 0 {
				return notJSON
			}
		}
	}
}

// blank steps over white space.
func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// afterName gives where the value of the field begins whose name is at i; -1
// where there is no name.
func afterName(b []byte, i int) int {
	if i == len(b) || b[i] != '"' {
		return -1
	}
	if i = afterString(b, i+1); i < 0 {
		return -1
	}
	if i = blank(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

// afterScalar gives the end of the string, number or word at i; -1 where there is none.
func afterScalar(b []byte, i int) int {
	switch c := b[i]; {
	case c == '"':
		return afterString(b, i+1)
	case c == '-' || c >= '0' && c <= '9':
		return afterNumber(b, i)
	}
	for _, word := range [...]string{"null", "true", "false"} {
		if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

// afterNumber gives the end of the number at i; -1 where it is none.
func afterNumber(b []byte, i int) int {
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// afterString gives the end of the string whose content begins at i; -1 where
// it has none or holds what no string may.
func afterString(b []byte, i int) int {
	for {
		i = plainEnd(b, i)
		switch {
		case i == len(b) || b[i] < ' ':
			return -1
		case b[i] == '"':
			return i + 1
		}
		if i++; i == len(b) { // a backslash
			return -1
		}
		switch b[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			if len(b)-i < 5 || !isHex(b[i+1]) || !isHex(b[i+2]) || !isHex(b[i+3]) || !isHex(b[i+4]) {
				return -1
			}
			i += 5
		default:
			return -1
		}
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// plainEnd gives where, from i on, the first byte stands that is a quote, a
// backslash or a control character; len(b) where there is none. It looks at eight
// bytes at once, as in https://graphics.stanford.edu/~seander/bithacks.html
// (ZeroInWord and HasLessInWord): a false alarm is possible only behind a
// true one in the same eight bytes.
func plainEnd(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quotes, slashes := w^ones*'"', w^ones*'\\'
		if ((w-ones*' ')&^w|(quotes-ones)&^quotes|(slashes-ones)&^slashes)&highs != 0 {
			break
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// anyName says whether a field at any depth of b, which is valid JSON, has a
// name of some kind.
func anyName(b []byte, is func(name []byte) bool) bool {
	for i := 0; i < len(b); {
		if b[i] != '"' {
			i++
			continue
		}
		end := afterString(b, i+1)
		if end < 0 {
			return false
		}
		if next := blank(b, end); next < len(b) && b[next] == ':' && is(b[i+1:end-1]) {
			return true
		}
		i = end
	}
	return false
}

// each calls f for each field of an object or element of a list until it says
// false, as gjson's own ForEach does, with a name for a field and "" for an
// element. What v is of must have been found valid.
func each(v gjson.Result, f func(name string, v gjson.Result) bool) {
	if v.Type != gjson.JSON {
		return
	}
	s := v.Raw
	for i := 1; i < len(s); i++ { // s[0] is the bracket
		switch s[i] {
		case ' ', '\n', '\t', '\r', ',':
			continue
		case '}', ']':
			return
		}
		name := ""
		if s[0] == '{' {
			end := stringEnd(s, i)
			name = gjson.Parse(s[i:end]).Str
			for i = end; s[i] <= ' ' || s[i] == ':'; i++ {
			}
		}
		end := valueEnd(s, i)
		value := gjson.Result{Type: gjson.JSON, Raw: s[i:end]}
		if s[i] == '"' {
			value = stringValue(s[i:end])
		} else if s[i] != '{' && s[i] != '[' {
			value = gjson.Parse(s[i:end])
		}
		value.Index = v.Index + i
		if !f(name, value) {
			return
		}
		i = end - 1
	}
}

// fieldOf gives an object's first field of that name; one that does not exist
// where there is none.
func fieldOf(o gjson.Result, name string) (found gjson.Result) {
	each(o, func(n string, v gjson.Result) bool {
		if n == name {
			found = v
		}
		return n != name
	})
	return found
}

// stringValue parses a string of which the end is known.
func stringValue(raw string) gjson.Result {
	if strings.IndexByte(raw, '\\') >= 0 {
		return gjson.Parse(raw)
	}
	return gjson.Result{Type: gjson.String, Raw: raw, Str: raw[1 : len(raw)-1]}
}

// valueEnd gives the end of the value at i.
func valueEnd(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = stringEnd(s, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth > 0 {
				continue
			}
			for i < len(s) && s[i] > ' ' && s[i] != ',' && s[i] != '}' && s[i] != ']' {
				i++
			}
			return i
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}

// stringEnd gives the end of the string at i.
func stringEnd(s string, i int) int {
	for from := i + 1; ; {
		at := strings.IndexByte(s[from:], '"')
		if at < 0 {
			return len(s)
		}
		from += at + 1
		slashes := 0
		for s[from-2-slashes] == '\\' { // the string's first quote ends them
			slashes++
		}
		if slashes%2 == 0 {
			return from
		}
	}
}

// elementPath gives the path of a list's element.
func elementPath(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
