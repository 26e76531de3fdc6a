// Package traffic says how much may go somewhere now, and who waits: limiters
// that throttle before a provider does, a fair queue for requests that found
// every way limited, and a gate that keeps memory bounded under overload. It
// does no I/O.
package traffic

import (
	"fmt"
	"slices"
	"strings"
)

// Priority says who goes first when not all can. The zero value is Normal.
type Priority int

// The priorities.
const (
	Batch  Priority = -1 // nobody waits for the answer
	Normal Priority = 0
	Urgent Priority = 1 // somebody waits in front of a screen
)

// Priorities lists all priorities, the most urgent first.
func Priorities() []Priority { return []Priority{Urgent, Normal, Batch} }

func (p Priority) String() string {
	switch {
	case p >= Urgent:
		return "urgent"
	case p <= Batch:
		return "batch"
	}
	return "normal"
}

// ParsePriority reads a priority's word; "" is Normal.
func ParsePriority(word string) (Priority, error) {
	if word == "" {
		return Normal, nil
	}
	all := Priorities()
	i := slices.IndexFunc(all, func(p Priority) bool { return p.String() == word })
	if i < 0 {
		var words []string
		for _, p := range all {
			words = append(words, p.String())
		}
		return Normal, fmt.Errorf("%q is no priority; it is one of %s", word, strings.Join(words, ", "))
	}
	return all[i], nil
}
