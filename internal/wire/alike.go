package wire

import (
	"bytes"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// alike knows an event of a stream that tells nothing but a piece of text. Of
// nearly all other events the bytes are the same but for the text, so that they
// need not be parsed.
type alike struct {
	chunk llm.Chunk // of the event, without its text
	// What stands before the text, behind it, and behind the padding that OpenAI
	// adds; before is nil where no event is known, end where there is no padding.
	before, after, end []byte
}

// learn takes an event whose chunk tells nothing but text, which is this string of it.
func (a *alike) learn(data []byte, text gjson.Result, c llm.Chunk) {
	*a = alike{}
	from, to := text.Index+1, text.Index+len(text.Raw)-1
	if text.Type != gjson.String || text.Str == "" || to-from != len(text.Str) { // it has escapes
		return
	}
	data = bytes.Clone(data) // so as not to hold on to a block of the reader's
	a.chunk, a.before, a.after = c, data[:from], data[to:]
	a.chunk.Text, a.chunk.Raw = "", nil
	const padding = `"obfuscation":"`
	if at := bytes.Index(a.after, []byte(padding)); at >= 0 {
		at += len(padding)
		a.after, a.end = a.after[:at], a.after[plainEnd(a.after, at):]
	}
}

// read appends the chunk of an event that is like the one that is known.
func (a *alike) read(dst []llm.Chunk, data []byte) ([]llm.Chunk, bool) {
	if a.before == nil || !bytes.HasPrefix(data, a.before) {
		return dst, false
	}
	text := data[len(a.before):]
	text = text[:plainEnd(text, 0)]
	rest := data[len(a.before)+len(text):]
	if len(text) == 0 || !bytes.HasPrefix(rest, a.after) {
		return dst, false
	}
	rest = rest[len(a.after):]
	if a.end != nil {
		rest = rest[plainEnd(rest, 0):]
	}
	if !bytes.Equal(rest, a.end) {
		return dst, false
	}
	dst = append(dst, a.chunk)
	dst[len(dst)-1].Text = string(text)
	return dst, true
}
