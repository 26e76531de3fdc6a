package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// call is a request for an answer, as far as it matters here, in the words of
// no dialect.
type call struct {
	model     string
	stream    bool
	prompt    string   // the last message of the user
	begun     string   // what the model said after it
	earlier   string   // the message of the user before, where the model said something to it
	left      string   // which is this
	anew      bool     // OpenAI: after the model's own words a new answer begins
	sees      []medium // what stands beside the text there
	results   []result // of tools, since the model's last turn
	tools     []tool
	choice    choice
	single    bool // no parallel calls
	form      form
	n         int // answers; 0 is one
	logprobs  bool
	likely    int  // alternatives that go with them, for each token
	thinks    bool // reasoning is asked for, or comes anyway
	hides     bool // its text is not shown
	input     int  // tokens of the whole prompt
	maxTokens int  // 0 for no limit
	stop      []string
	usage     bool   // OpenAI: a closing usage chunk is wanted
	array     bool   // Gemini: a stream as a JSON array, not SSE
	method    string // Gemini: the last word of the path
	embed     *embedding
	request   json.RawMessage // Responses: what the answer repeats
	kept      []item          // Responses: the conversation, where it is stored
	sealed    bool            // Responses: reasoning is wanted encrypted
}

// hear notes a message of the user.
func (c *call) hear(text string, sees []medium) {
	c.earlier, c.left = "", ""
	if c.begun != "" {
		c.earlier, c.left = c.prompt, c.begun
	}
	c.prompt, c.sees, c.begun = text, sees, ""
}

// speak gives the reply to the prompt, or what is left of one that was begun.
func (c call) speak(reply func(string) string, prompt string) string {
	if c.begun != "" && !c.anew {
		return strings.TrimPrefix(reply(prompt), c.begun)
	}
	if _, words, ok := strings.Cut(prompt, ":\n"); ok && c.left != "" {
		words = strings.TrimRight(words, " \n\t")
		rest, began := strings.CutPrefix(reply(c.earlier), c.left)
		if began && strings.HasSuffix(c.left, words) {
			return words + rest
		}
	}
	return reply(prompt)
}

// medium is an image, a document or a sound: its type and data, or its address.
type medium struct {
	kind  string // image, audio, or "" for a document
	mime  string
	bytes int
	url   string
}

// inline makes a medium of base64 data, and says no where it is none.
func inline(mime, data string) (medium, bool) {
	raw, err := base64.StdEncoding.DecodeString(data)
	kind, _, _ := strings.Cut(mime, "/")
	return medium{kind: kind, mime: mime, bytes: len(raw)}, err == nil && len(raw) > 0
}

// at makes a medium of an address, which may be a data URL.
func at(kind, url string) (medium, bool) {
	head, data, ok := strings.Cut(url, ";base64,")
	if mime, isData := strings.CutPrefix(head, "data:"); ok && isData {
		return inline(mime, data)
	}
	return medium{kind: kind, url: url}, strings.Contains(url, "://")
}

func (m medium) sentence() string {
	verb, what := "read", "a document"
	switch m.kind {
	case "image":
		verb, what = "see", "an image"
	case "video":
		verb, what = "see", "a video"
	case "audio":
		verb, what = "hear", "a sound"
	}
	if m.url != "" {
		return fmt.Sprintf("I %s %s at %s.", verb, what, m.url)
	}
	return fmt.Sprintf("I %s %s, %d bytes.", verb, m.mime, m.bytes)
}

// result is what a tool gave.
type result struct {
	name   string
	text   string
	sees   []medium
	failed bool
}

func (r result) sentence() string {
	verb := "said"
	if r.failed {
		verb = "failed"
	}
	return fmt.Sprintf("The tool %s %s: %s", r.name, verb, r.content())
}

// content gives the text, JSON without spaces, and names what stands beside it.
func (r result) content() string {
	text := r.text
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) == nil {
		text = b.String()
	}
	for _, m := range r.sees {
		if m.url != "" {
			text += fmt.Sprintf(" [%s]", m.url)
		} else {
			text += fmt.Sprintf(" [%s, %d bytes]", m.mime, m.bytes)
		}
	}
	return strings.TrimSpace(text)
}

// tool is a function that may be called.
type tool struct {
	name   string
	schema json.RawMessage // of its arguments; may be absent
}

// choice says what may and must be called.
type choice struct {
	none, any bool
	names     []string // where not empty, only these
}

// form is the form that the answer's text must have.
type form struct {
	json   bool
	schema json.RawMessage // may be absent
}
