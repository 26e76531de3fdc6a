package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a secret shows of itself.
const Redacted = "[redacted]"

// Secret is text that no log, error, page or dump may show: every way of
// printing it gives Redacted, or nothing where it is unset. The zero value is
// unset.
type Secret struct {
	text *string // a pointer, since fmt prints unexported fields without asking their methods
}

// NewSecret wraps a secret; "" is unset.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal gives the secret itself, for the one place that sends or compares it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Set says whether there is a secret.
func (s Secret) Set() bool { return s.text != nil }

// String gives Redacted, or "" where unset.
func (s Secret) String() string {
	if s.Set() {
		return Redacted
	}
	return ""
}

// Format prints the same as String whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue gives the same as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText gives the same as String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON gives the same as String.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
