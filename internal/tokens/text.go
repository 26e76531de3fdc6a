package tokens

import (
	"unicode"
	"unicode/utf8"
)

// The weights are thousandths of a token, chosen on recorded requests of ten
// models so that OpenAI's vocabulary of 200,000 entries has a ratio near one.
const (
	perWord      = 1000 // a word of up to longWord letters, with the space before it
	longWord     = 7
	perLetter    = 130 // each letter beyond
	perNumber    = 1000
	perPunct     = 900 // a lone mark; also the first of several
	perNextPunct = 400 // each mark directly behind another: many pairs are one token
	perBlank     = 900 // a line break, or several blanks in a row
	perCJK       = 800 // Chinese, Japanese, Korean: a token is about a character, never four
	perForeign   = 380 // a letter of another script than Latin
	perAccent    = 500 // a Latin letter beyond ASCII, within a word
	perSymbol    = 2000
)

// text counts the tokens of a text in thousandths. digits says how many digits
// of a number the model's vocabulary takes at once.
func text(s string, digits int) int64 {
	var n int64
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isLetter(c) || c >= 0xc3 && c <= 0xc9: // ASCII, or the beginning of an accented Latin letter
			var w int64
			w, i = word(s, i)
			n += w
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			n += beyond(r)
			i += size
		case isDigit(c):
			start := i
			for i < len(s) && isDigit(s[i]) {
				i++
			}
			n += int64((i-start+digits-1)/digits) * perNumber
		case c <= ' ':
			start, broken := i, false
			for i < len(s) && s[i] <= ' ' {
				broken = broken || s[i] == '\n'
				i++
			}
			if broken || i-start > 1 {
				n += perBlank
			}
		default:
			start := i
			for i < len(s) && isPunct(s[i]) {
				i++
			}
			if c == '\'' && i-start == 1 && start > 0 && isLetter(s[start-1]) && i < len(s) && isLetter(s[i]) {
				continue // as in "it's": the mark goes with the letters
			}
			n += perPunct + int64(i-start-1)*perNextPunct
		}
	}
	return n
}

// word counts one word, which ends where capitals begin anew, as in camelCase.
func word(s string, i int) (n int64, end int) {
	letters := 0
	lower := false
	for i < len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= 'A' && c <= 'Z':
			if lower {
				return n + wordOf(letters), i
			}
		case c >= 0xc3 && c <= 0xc9:
			_, size := utf8.DecodeRuneInString(s[i:])
			n += perAccent
			letters++
			i += size
			continue
		default:
			return n + wordOf(letters), i
		}
		letters++
		i++
	}
	return n + wordOf(letters), i
}

func wordOf(letters int) int64 { return perWord + int64(max(0, letters-longWord))*perLetter }

// beyond counts a character that is neither ASCII nor accented Latin.
func beyond(r rune) int64 {
	switch {
	case isCJK(r):
		return perCJK
	case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsDigit(r):
		return perForeign
	case unicode.IsSpace(r):
		return 0
	case unicode.IsPunct(r):
		return perPunct
	}
	return perSymbol
}

// isCJK says whether a character is Chinese, Japanese or Korean, their
// punctuation and full-width forms included.
func isCJK(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x11ff, r >= 0x2e80 && r <= 0x9fff, r >= 0xac00 && r <= 0xd7ff,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe4f, r >= 0xff00 && r <= 0xffef, r >= 0x20000 && r <= 0x3ffff:
		return true
	}
	return false
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isPunct(c byte) bool {
	return c > ' ' && c < utf8.RuneSelf && !isLetter(c) && !isDigit(c)
}
