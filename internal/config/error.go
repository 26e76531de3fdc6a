package config

import "fmt"

// Error is one fault of the configuration. No Error shows a secret.
type Error struct {
	Field   string // as in the file: providers.openai.endpoints[0].base_url
	Source  Source // where the faulty value stands
	Message string // what is wrong and what would be right
}

// Error gives source, field and message in one line.
func (e *Error) Error() string {
	if e.Source.Origin == FromDefault {
		return fmt.Sprintf("%s: %s", e.Field, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Source, e.Field, e.Message)
}

// Origin says what kind of place a value came from.
type Origin string

// The origins, weakest first.
const (
	FromDefault Origin = "default"
	FromFile    Origin = "file"
	FromEnv     Origin = "environment"
	FromFlag    Origin = "flag"
)

// Source says where a value came from.
type Source struct {
	Origin Origin
	Name   string // the file's path, the variable's or the flag's name; "" for a default
	Line   int    // in the file; 0 elsewhere
}

// String gives "breakwater.yaml:12", "OPENAI_API_KEY", "--listen" or "default".
func (s Source) String() string {
	switch s.Origin {
	case FromFile:
		return fmt.Sprintf("%s:%d", s.Name, s.Line)
	case FromEnv:
		return s.Name
	case FromFlag:
		return "--" + s.Name
	}
	return string(FromDefault)
}
