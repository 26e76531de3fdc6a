// Package redact takes secrets out of text before it is stored, logged, shown
// or sent. It is pure.
package redact

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

// minTail is how many characters must follow a key's prefix before it is
// taken for a key: fewer are words, such as "sk-learn".
const minTail = 8

// span is a half-open range of bytes that has to go.
type span struct{ from, to int }

// Secrets replaces the known secrets and everything that looks like one by
// Mark: provider and Slack keys (sk-..., AIza..., AQ...., xox?-..., xapp-...),
// Slack webhook paths, bearer and basic credentials, the values of key= and
// token= parameters, and the user part of URLs. A known secret is found in
// its URL-escaped form too.
func Secrets(text string, known ...string) string {
	spans := shaped(text)
	for _, secret := range known {
		spans = append(spans, occurrences(text, secret)...)
		if escaped := url.QueryEscape(secret); escaped != secret {
			spans = append(spans, occurrences(text, escaped)...)
		}
	}
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })

	var b strings.Builder
	done := 0 // everything before it is written or gone
	for _, s := range spans {
		if s.from >= done {
			b.WriteString(text[done:s.from])
			b.WriteString(Mark)
		}
		done = max(done, s.to)
	}
	b.WriteString(text[done:])
	return b.String()
}

// Short makes text one line of at most n bytes, with an ellipsis where
// something was cut off: valid UTF-8, white space collapsed, control and
// invisible formatting characters removed. Where not even the ellipsis fits it
// gives "".
func Short(text string, n int) string {
	const ellipsis = "…"
	if n < len(ellipsis) {
		return ""
	}
	var b strings.Builder
	space := false
	fits := 0 // the length up to which an ellipsis still fits behind
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		if b.Len() <= n-len(ellipsis) {
			fits = b.Len()
		}
		if b.Len() > n {
			return b.String()[:fits] + ellipsis
		}
	}
	return b.String()
}

// occurrences finds every place of secret in text, overlapping ones included.
func occurrences(text, secret string) []span {
	if secret == "" {
		return nil
	}
	var found []span
	for at := 0; ; {
		i := strings.Index(text[at:], secret)
		if i < 0 {
			return found
		}
		found = append(found, span{at + i, at + i + len(secret)})
		at += i + 1
	}
}

// shaped finds what looks like a secret.
func shaped(text string) []span {
	var found []span
	lower := asciiLower(text)
	for i := 0; i < len(text); i++ {
		if i > 0 && isWord(text[i-1]) {
			continue
		}
		if s, ok := secretAt(text, lower, i); ok {
			found = append(found, s)
			i = s.to - 1
		}
	}
	return append(found, userInfo(text)...)
}

// secretAt finds a secret that starts, or whose label starts, at i.
func secretAt(text, lower string, i int) (span, bool) {
	for _, prefix := range []string{"sk-", "AIza", "AQ.", "xapp-"} {
		if strings.HasPrefix(text[i:], prefix) {
			to := run(text, i+len(prefix), isKey)
			return span{i, to}, to-i-len(prefix) >= minTail
		}
	}
	if strings.HasPrefix(text[i:], "xox") && i+4 < len(text) && (text[i+4] == '-' || text[i+4] == '.') {
		return span{i, run(text, i+5, isKey)}, true
	}
	for _, label := range []string{"bearer ", "basic "} {
		if strings.HasPrefix(lower[i:], label) {
			from := run(text, i+len(label), func(c byte) bool { return c == ' ' })
			to := run(text, from, isValue)
			return span{from, to}, to-from >= minTail
		}
	}
	for _, label := range []string{"key=", "apikey=", "token=", "hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/"} {
		if strings.HasPrefix(lower[i:], label) {
			from := i + len(label)
			to := run(text, from, isValue)
			return span{from, to}, to > from
		}
	}
	return span{}, false
}

// userInfo finds the user part of URLs: what stands between "://" and "@".
func userInfo(text string) []span {
	var found []span
	for at := 0; ; {
		i := strings.Index(text[at:], "://")
		if i < 0 {
			return found
		}
		at += i + len("://")
		end := run(text, at, func(c byte) bool { return !strings.ContainsRune("/?# \t\r\n\"'<>", rune(c)) })
		if user := strings.LastIndexByte(text[at:end], '@'); user > 0 {
			found = append(found, span{at, at + user})
		}
	}
}

// run gives the first position from at on whose byte is not of the kind.
func run(text string, at int, is func(byte) bool) int {
	for at < len(text) && is(text[at]) {
		at++
	}
	return at
}

// asciiLower keeps every byte in its place, which strings.ToLower does not.
func asciiLower(text string) string {
	lower := []byte(text)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isKey also takes asterisks: providers echo keys half masked.
func isKey(c byte) bool { return isWord(c) || c == '-' || c == '_' || c == '.' || c == '*' }

func isValue(c byte) bool {
	return c > ' ' && c < utf8.RuneSelf && !strings.ContainsRune("&\"'`<>,;)]}\\", rune(c))
}
