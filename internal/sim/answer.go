package sim

import (
	"bytes"
	"cmp"
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
	finishCalls // it ends in calls of tools
)

// answer is what a provider says to a call.
type answer struct {
	id          string // random characters, 32 of them; dialects cut and prefix it
	made        time.Time
	model       string // as the provider names it in its answers
	thinking    []string
	tokens      []string // of the text
	calls       []spoken
	vectors     [][]float64 // all there is, where they were asked for
	finish      finish
	sequence    string // the stop sequence that ended it
	first, pace time.Duration
}

func (a answer) text() string    { return strings.Join(a.tokens, "") }
func (a answer) thought() string { return strings.Join(a.thinking, "") }

// spent gives the number of tokens of the answer without its thinking.
func (a answer) spent() int {
	n := len(a.tokens)
	for _, s := range a.calls {
		n += len(s.pieces)
	}
	return n
}

// output gives the number of tokens of the whole answer.
func (a answer) output() int { return len(a.thinking) + a.spent() }

// spoken is one call of a tool on its way: with its id, and cut to the limit.
type spoken struct {
	invocation
	id     string   // random characters, 24 of them; dialects prefix and cut it
	pieces []string // of the arguments
	cut    bool     // the limit left them unfinished
}

// compose makes the answer to a call out of a plan: cut to tokens, to the stop
// sequences and to the limit.
func compose(p plan, c call, f Fault, ids *rand.Rand) answer {
	if f.Kind == Looping && p.vectors == nil {
		c.maxTokens = cmp.Or(c.maxTokens, DefaultLoop)
		p.text, p.calls = strings.Repeat(circle, 1+c.maxTokens*tokenLength/len(circle)), nil
	}
	a := answer{id: random(ids, 32), made: time.Now().UTC(), model: dated(c.model), finish: finishStop, vectors: p.vectors}
	end := len(p.text)
	for _, stop := range c.stop {
		if i := strings.Index(p.text[:end], stop); i >= 0 && stop != "" {
			end, a.finish, a.sequence = i, finishSequence, stop
		}
	}
	if a.finish == finishStop && len(p.calls) > 0 {
		a.finish = finishCalls
	}
	limit, reason := c.maxTokens, finishLength
	if f.Kind == ContentFilter && f.After > 0 && (limit == 0 || f.After < limit) {
		limit, reason = f.After, finishFilter
	}
	a.say(p, end, limit, reason, ids)
	switch f.Kind {
	case ContentFilter:
		if f.After > 0 {
			a.finish = finishFilter
		}
	case Cut, Short, ErrorInStream:
		a.finish = unfinished
	case NoEnd:
		if c.stream {
			a.finish = unfinished
		}
	case Stall:
		if f.For == 0 {
			a.finish = unfinished
		}
	}
	return a
}

// say cuts a plan into tokens, as many as the limit allows: 0 is no limit.
func (a *answer) say(p plan, end, limit int, reason finish, ids *rand.Rand) {
	left := limit
	take := func(list []string) (taken []string, cut bool) {
		if limit == 0 || len(list) <= left {
			left -= len(list)
			return list, false
		}
		taken, left = list[:left], 0
		a.finish, a.sequence = reason, ""
		return taken, true
	}
	cut := false
	if a.thinking, cut = take(pieces(p.thinking)); cut {
		return
	}
	if a.tokens, cut = take(pieces(p.text[:end])); cut || a.finish == finishSequence {
		return
	}
	for _, i := range p.calls {
		s := spoken{invocation: i, id: random(ids, 24)}
		if s.pieces, s.cut = take(pieces(i.args)); len(s.pieces) > 0 {
			s.args = strings.Join(s.pieces, "")
			a.calls = append(a.calls, s)
		}
		if s.cut {
			return
		}
	}
}

// pieces cuts a text into tokens.
func pieces(text string) []string {
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
