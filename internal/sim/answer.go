package sim

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"
)

// tokenLength is how many characters make a token here: about four in English
// text, by OpenAI's rule of thumb
// (https://help.openai.com/en/articles/4936856).
const tokenLength = 4

// perMessage is what each message costs beside its text, as in the chat
// formats of the real models.
const perMessage = 3

// finish says why an answer ended; each dialect has its own word for it.
type finish int

const (
	unfinished finish = iota
	finishStop
	finishSequence // a stop sequence
	finishLength
	finishFilter
)

// answer is what a provider says to a call.
type answer struct {
	id          string // random characters, 32 of them; dialects cut and prefix it
	made        time.Time
	model       string // as the provider names it in its answers
	tokens      []string
	finish      finish
	sequence    string // the stop sequence that ended it
	first, pace time.Duration
}

func (a answer) text() string { return strings.Join(a.tokens, "") }

// compose makes the answer to a call out of a reply.
func compose(reply string, c call, f Fault, ids *rand.Rand) answer {
	a := answer{id: random(ids, 32), made: time.Now().UTC(), model: dated(c.model), finish: finishStop}
	end := len(reply)
	for _, stop := range c.stop {
		if i := strings.Index(reply[:end], stop); i >= 0 && stop != "" {
			end, a.finish, a.sequence = i, finishSequence, stop
		}
	}
	a.tokens = tokens(reply[:end])
	if c.maxTokens > 0 && len(a.tokens) > c.maxTokens {
		a.tokens, a.finish, a.sequence = a.tokens[:c.maxTokens], finishLength, ""
	}
	switch f.Kind {
	case ContentFilter:
		if f.After > 0 {
			a.tokens, a.finish = a.tokens[:min(f.After, len(a.tokens))], finishFilter
		}
	case Cut, Stall, ErrorInStream, NoEnd:
		a.finish = unfinished
	}
	return a
}

// tokens cuts a text into tokens.
func tokens(text string) []string {
	var list []string
	for text != "" {
		end := 0
		for range tokenLength {
			_, size := utf8.DecodeRuneInString(text[end:])
			end += size
		}
		list = append(list, text[:end])
		text = text[end:]
	}
	return list
}

// count gives the number of tokens of a prompt's messages.
func count(messages ...string) int {
	n := 0
	for _, m := range messages {
		n += perMessage + (utf8.RuneCountInString(m)+tokenLength-1)/tokenLength
	}
	return n
}

// dated gives the name that a provider uses in its answers for an alias.
func dated(model string) string {
	switch model {
	case "gpt-4o":
		return "gpt-4o-2024-08-06"
	case "gpt-4o-mini":
		return "gpt-4o-mini-2024-07-18"
	case "claude-3-5-sonnet-latest":
		return "claude-3-5-sonnet-20241022"
	case "claude-haiku-4-5":
		return "claude-haiku-4-5-20251001"
	case "claude-sonnet-4-5":
		return "claude-sonnet-4-5-20250929"
	}
	return model
}

// random gives characters as they stand in the providers' ids.
func random(ids *rand.Rand, n int) string {
	const alphabet = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[ids.IntN(len(alphabet))]
	}
	return string(b)
}

// contentText reads a message's content in the shape that OpenAI and
// Anthropic share: a string, or parts of which those with text count. It says
// no for any other shape.
func contentText(raw json.RawMessage) (string, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var parts []struct{ Text string }
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	for _, p := range parts {
		text += p.Text
	}
	return text, true
}

// unknownField names a field of an object that is not among the known, the
// first by name, or "".
func unknownField(object map[string]json.RawMessage, known string) string {
	first := ""
	for name := range object {
		if !strings.Contains(" "+known+" ", " "+name+" ") && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// quote writes a value as JSON without escaping what only HTML needs escaped.
func quote(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only strings, numbers, lists and maps of them are written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// indent lays JSON out as OpenAI and Google send whole bodies.
func indent(compact string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(compact), "", "  "); err != nil {
		panic(err) // the templates of this package are JSON
	}
	b.WriteByte('\n')
	return b.String()
}
