package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/a-h/templ"
	"github.com/gin-gonic/gin"
)

// maxForm bounds the body of a form: the longest write-up in characters of
// three bytes, each written as %XX.
const maxForm = 9*MaxWriteUp + 16<<10

// inputTime is how an input of type datetime-local writes an instant.
const inputTime = "2006-01-02T15:04"

// form is one form of a page: what was typed into it, and what is wrong with
// that. The zero value is a fresh one.
type form struct {
	name    string // which of the page's forms it is
	values  url.Values
	fields  []string // those at fault; none where the form as a whole is
	problem string   // what is wrong and what to do; "" where nothing is
}

// value gives what was typed into a field of the form of that name, or what it
// begins with.
func (f form) value(name, field, initial string) string {
	if f.name == name && f.values.Has(field) {
		return f.values.Get(field)
	}
	return initial
}

// failed says whether the form of that name was sent in vain.
func (f form) failed(name string) bool { return f.name == name && f.problem != "" }

// wrong says whether a field of that form is at fault.
func (f form) wrong(name, field string) bool {
	return f.failed(name) && slices.Contains(f.fields, field)
}

// fail notes the first fault of each field, so that all are told at once.
func (f *form) fail(field, format string, args ...any) {
	if slices.Contains(f.fields, field) {
		return
	}
	f.fields = append(f.fields, field)
	f.problem = strings.TrimPrefix(f.problem+" "+fmt.Sprintf(format, args...), " ")
}

// text reads a text. label is what the page calls it. Line breaks are kept
// where there may be several lines.
func (f *form) text(field, label string, longest int, lines, needed bool) string {
	text := clean(f.values.Get(field), lines)
	if n := utf8.RuneCountInString(text); n > longest {
		f.fail(field, "%s has %s characters; there is room for %s.", label, thousands(int64(n)), thousands(int64(longest)))
	}
	if text == "" && needed {
		f.fail(field, "%s is missing.", label)
	}
	return text
}

// clean trims a text and takes control characters out of it: they could hide
// something in a log or a message, and say nothing to people.
func clean(text string, lines bool) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' && lines:
			return r
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text))
}

// instant reads an instant in UTC, as a browser or a script writes it.
func (f *form) instant(field, label string, initial time.Time) time.Time {
	text := strings.TrimSpace(f.values.Get(field))
	if text == "" {
		return initial
	}
	for _, layout := range []string{inputTime, inputTime + ":05", time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	f.fail(field, "%s is not an instant. Write it as %s, in UTC.", label, initial.UTC().Format(inputTime))
	return initial
}

// choice reads one of several words; "" is one of them where it may be left open.
func choice[T ~string](f *form, field, label string, words []T) T {
	got := T(f.values.Get(field))
	for _, w := range words {
		if got == w {
			return got
		}
	}
	if got != "" {
		f.fail(field, "%s cannot be “%s”.", label, shorten(string(got)))
	}
	return ""
}

// shorten keeps a word that is not one of ours from filling a page.
func shorten(text string) string { return shortenTo(text, 40) }

// shortenTo cuts a text to a number of characters, in one line.
func shortenTo(text string, most int) string {
	text = clean(text, false)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// readForm reads the form that a request brings.
func readForm(c *gin.Context, name string) (form, error) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		return form{name: name}, err
	}
	return form{name: name, values: c.Request.PostForm}, nil
}

// faulty marks a field at fault, and names what says why.
func faulty(f form, name, field string) templ.Attributes {
	if !f.wrong(name, field) {
		return nil
	}
	return templ.Attributes{"aria-invalid": "true", "aria-describedby": name + "-problem"}
}

// optionsOf gives words to choose from, and what the page calls them.
func optionsOf[T ~string](words []T, name func(T) string) [][2]string {
	all := make([][2]string, len(words))
	for i, w := range words {
		all[i] = [2]string{string(w), name(w)}
	}
	return all
}

// itself is the name of a word that is called as it is written.
func itself[T ~string](word T) string { return string(word) }
