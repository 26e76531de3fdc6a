package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// What the doors that read JSON share: each function takes the field's path
// for its error, which is for the caller.

// requestObject parses a body that must be one JSON object. The texts in it share
// the body's memory, so that a long prompt is not held twice: nobody may change
// the body from now on.
func requestObject(body []byte) (gjson.Result, *RequestError) {
	switch {
	case len(body) == 0:
		return gjson.Result{}, &RequestError{"", "the body is empty, not a JSON object"}
	case !utf8.Valid(body):
		return gjson.Result{}, &RequestError{"", "the body is not valid UTF-8"}
	}
	switch checkJSON(body) {
	case tooDeep:
		return gjson.Result{}, &RequestError{"", fmt.Sprintf("the body is nested deeper than %d levels", maxDepth)}
	case notJSON:
		return gjson.Result{}, syntaxError(body)
	}
	o := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
	if !o.IsObject() {
		return gjson.Result{}, &RequestError{"", "the body is " + kind(o) + ", not a JSON object"}
	}
	return o, nil
}

// syntaxError says where JSON breaks.
func syntaxError(body []byte) *RequestError {
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(body, new(json.RawMessage)), &syntax) {
		return &RequestError{"", "the body is not valid JSON"}
	}
	before := body[:min(int(syntax.Offset), len(body))]
	line := 1 + strings.Count(string(before), "\n")
	column := len(before) - 1 - strings.LastIndexByte(string(before), '\n')
	return &RequestError{"", fmt.Sprintf("the body is not valid JSON: %v (line %d, column %d)", syntax, line, column)}
}

// eachField calls f for each field of an object. A field that is given twice
// is refused: which one counts would depend on who reads it.
func eachField(o gjson.Result, path string, f func(name string, v gjson.Result) *RequestError) (failed *RequestError) {
	var seen names
	each(o, func(name string, v gjson.Result) bool {
		if !seen.add(name) {
			failed = &RequestError{path + label(name), "is given twice"}
			return false
		}
		failed = f(name, v)
		return failed == nil
	})
	return failed
}

// names is a set of names. Most objects have few fields, which need no map.
type names struct {
	few  [12]string
	n    int
	many map[string]bool
}

// add says whether the name is new.
func (s *names) add(name string) bool {
	if s.many[name] || slices.Contains(s.few[:s.n], name) {
		return false
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = make(map[string]bool)
	}
	s.many[name] = true
	return true
}

// eachElement calls f with the path of each element of a list.
func eachElement(v gjson.Result, path string, f func(path string, v gjson.Result) *RequestError) (failed *RequestError) {
	if !v.IsArray() {
		return wrongType(path, v, "a list")
	}
	i := 0
	each(v, func(_ string, v gjson.Result) bool {
		failed = f(elementPath(path, i), v)
		i++
		return failed == nil
	})
	return failed
}

// toolField takes what all dialects but Gemini's say alike of a tool; schema is
// the name under which they say what its arguments are.
func toolField(t *llm.Tool, schema, name, at string, v gjson.Result) (known bool, err *RequestError) {
	switch {
	case v.Type == gjson.Null:
	case name == "name":
		t.Name, err = text(at, v)
	case name == "description":
		t.Description, err = text(at, v)
	case name == "strict":
		t.Strict, err = optional(boolean(at, v))
	case name == schema:
		if !v.IsObject() {
			return true, wrongType(at, v, "an object, a JSON schema")
		}
		t.Schema = []byte(v.Raw)
	default:
		return false, nil
	}
	return true, err
}

// stops takes a string or a list of them.
func stops(path string, v gjson.Result) (stop []string, failed *RequestError) {
	if v.Type == gjson.String {
		return []string{v.String()}, nil
	}
	if !v.IsArray() {
		return nil, wrongType(path, v, "a string or a list of strings")
	}
	failed = eachElement(v, path, func(path string, v gjson.Result) *RequestError {
		word, err := text(path, v)
		stop = append(stop, word)
		return err
	})
	return stop, failed
}

func text(field string, v gjson.Result) (string, *RequestError) {
	if v.Type != gjson.String {
		return "", wrongType(field, v, "a string")
	}
	return v.String(), nil
}

func boolean(field string, v gjson.Result) (bool, *RequestError) {
	if !v.IsBool() {
		return false, wrongType(field, v, "true or false")
	}
	return v.Bool(), nil
}

func number(field string, v gjson.Result, low, high float64) (*float64, *RequestError) {
	if v.Type != gjson.Number {
		return nil, wrongType(field, v, "a number")
	}
	if v.Num < low || v.Num > high || math.IsInf(v.Num, 0) {
		return nil, &RequestError{field, fmt.Sprintf("must be between %g and %g", low, high)}
	}
	return &v.Num, nil
}

// integer also takes whole numbers in other clothes, such as 100.0 and 1e3.
func integer(field string, v gjson.Result, low, high int64) (*int64, *RequestError) {
	if v.Type != gjson.Number {
		return nil, wrongType(field, v, "a whole number")
	}
	i, err := strconv.ParseInt(v.Raw, 10, 64)
	if err != nil {
		if v.Num != math.Trunc(v.Num) || math.Abs(v.Num) >= 1<<53 {
			return nil, &RequestError{field, "must be a whole number of a usual size"}
		}
		i = int64(v.Num)
	}
	switch {
	case i >= low && i <= high:
	case high == math.MaxInt64:
		return nil, &RequestError{field, fmt.Sprintf("must be at least %d", low)}
	default:
		return nil, &RequestError{field, fmt.Sprintf("must be between %d and %d", low, high)}
	}
	return &i, nil
}

func emptyList(v gjson.Result) bool { return v.IsArray() && v.Get("#").Int() == 0 }

func wrongType(field string, v gjson.Result, want string) *RequestError {
	return &RequestError{field, "must be " + want + ", not " + kind(v)}
}

// kind names a JSON value's type in words.
func kind(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "a list"
	case v.IsBool():
		return "a boolean"
	case v.Type == gjson.String:
		return "a string"
	case v.Type == gjson.Number:
		return "a number"
	}
	return "null"
}
