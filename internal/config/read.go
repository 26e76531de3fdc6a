package config

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/price"
	"breakwater/internal/record"
)

// The readers below give an option's value in its own type. A value that
// will not do is noted as a fault, and its zero given.

// shown quotes a value for an error. Only a short one is shown: keys that
// were put in the wrong place are long.
func shown(text string) string {
	if len(text) > 20 {
		return ""
	}
	return ", not " + strconv.Quote(text)
}

func (v *values) text(path string) string {
	l := v.get(path)
	if o := v.options[pattern(path)]; len(o.Choices) > 0 && l.text != "" && !slices.Contains(o.Choices, l.text) {
		v.fail(path, "must be %s%s", oneOf(o.Choices), shown(l.text))
		return ""
	}
	return l.text
}

// name is text without spaces, such as a model's name.
func (v *values) name(path string) string {
	text, err := parseName(v.text(path))
	if err != nil {
		v.fail(path, "%s", err)
	}
	return text
}

func isName(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == '\uFFFD' })
}

func parseName(text string) (string, error) {
	if !isName(text) {
		return "", errors.New("must not contain spaces or control characters")
	}
	return text, nil
}

// list gives the items that parse takes, and notes the others and those that
// come twice as faults.
func (v *values) list(path string, parse func(string) (string, error)) []string {
	var list []string
	choices := v.options[pattern(path)].Choices
	for i, l := range v.get(path).items {
		at := item(path, i)
		v.places[at] = l.source
		text, err := parse(l.text)
		switch {
		case len(choices) > 0 && !slices.Contains(choices, l.text):
			v.fail(at, "must be %s%s", oneOf(choices), shown(l.text))
		case err != nil:
			v.fail(at, "%s", err)
		case slices.Contains(list, text):
			v.fail(at, "is in the list twice")
		default:
			list = append(list, text)
		}
	}
	return list
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0] + " in this version"
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (v *values) on(path string) bool {
	switch text := v.get(path).text; text {
	case "true", "1":
		return true
	case "false", "0":
		return false
	default:
		v.fail(path, "must be true or false%s", shown(text))
		return false
	}
}

func (v *values) count(path string, least, most int) int {
	text := v.get(path).text
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		v.fail(path, "must be a whole number from %d to %d%s", least, most, shown(text))
		return 0
	}
	return n
}

// longest bounds every duration: nothing here waits for more than a week.
const longest = 7 * 24 * time.Hour

// duration gives a time, 0 where the option may be 0 or has no value at all.
func (v *values) duration(path string) time.Duration {
	text, o := v.get(path).text, v.options[pattern(path)]
	if text == "" && o.Default == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if strings.Trim(text, "0123456789.") == "" {
		d, err = time.ParseDuration(text + "s")
	}
	least := "over zero"
	if o.Zero {
		least = "of zero or more"
	}
	if err != nil || d < 0 || d == 0 && !o.Zero || d > longest {
		v.fail(path, "must be a time %s and up to a week, in seconds or such as 1m30s%s", least, shown(text))
		return 0
	}
	return d
}

// largest bounds every size: a body is held in memory.
const largest = 1 << 30

func (v *values) size(path string) int64 {
	text := v.get(path).text
	n, ok := parseBytes(text, largest)
	if !ok || n == 0 {
		v.fail(path, "must be a size up to 1GiB, in bytes or such as 32MiB%s", shown(text))
		return 0
	}
	return n
}

// parseBytes reads an amount of bytes up to most, with or without a unit.
func parseBytes(text string, most int64) (int64, bool) {
	digits, shift := text, 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40} {
		if d, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = strings.TrimSpace(d), bits
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > most>>shift {
		return 0, false
	}
	return n << shift, true
}

const (
	// leastKept is the least that may be kept on disk: less than this would
	// hold hardly a minute of a busy Breakwater.
	leastKept = 16 << 20
	// largestKept is more than SQLite is at ease with.
	largestKept = 16 << 40
)

// amount gives bytes on disk; 0 means any amount.
func (v *values) amount(path string) int64 {
	text := v.get(path).text
	n, ok := parseBytes(text, largestKept)
	if !ok || n != 0 && n < leastKept {
		v.fail(path, "must be 0 or from 16MiB to 16TiB, in bytes or such as 20GiB%s", shown(text))
		return 0
	}
	return n
}

const (
	// longestAge is as good as for ever.
	longestAge = 100 * 366 * day
	day        = 24 * time.Hour
)

// age gives how long something is kept, which is least or more; 0 means for ever.
func (v *values) age(path string, least time.Duration) time.Duration {
	text := v.get(path).text
	if text == "0" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if n, ok := strings.CutSuffix(text, "d"); ok {
		var days int
		if days, err = strconv.Atoi(n); err == nil {
			d = time.Duration(min(max(days, 0), int(longestAge/day)+1)) * day
		}
	}
	if err != nil || d < least || d > longestAge {
		v.fail(path, "must be 0, or an age of %g hours to a century such as 30d or 36h%s", least.Hours(), shown(text))
		return 0
	}
	return d
}

// percent gives a share; all or nothing is no objective.
func (v *values) percent(path string) float64 {
	text := v.get(path).text
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(text, "%")), 64)
	if err != nil || !(n > 0 && n < 100) {
		v.fail(path, "must be a percentage over 0 and under 100%s", shown(text))
		return 0
	}
	return n / 100
}

func (v *values) usd(path string) record.NanoUSD {
	text := v.get(path).text
	if text == "" {
		v.require(path, "is needed: an amount of US dollars")
		return 0
	}
	n, err := price.ParseUSD(text)
	if err != nil {
		v.fail(path, "%s%s", err, shown(text))
	} else if n == 0 {
		v.fail(path, "must be more than zero")
	}
	return n
}

// cause gives an error of the file system without the path, which the reader
// of the message has already.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return "no such file or no permission"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
