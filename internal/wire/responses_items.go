package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Items of a conversation, see
// https://developers.openai.com/api/reference/resources/responses (2026-11).
// What the assistant said, thought and called in one go are several items here
// and one message elsewhere.

func (d *responsesDecoder) input(v gjson.Result) *RequestError {
	d.state.Items = responsesItems(v)
	if v.Type == gjson.String {
		d.req.Messages = append(d.req.Messages, llm.Message{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: v.String()}}})
		return nil
	}
	if !v.IsArray() {
		return wrongType("input", v, "a string or a list of items")
	}
	for i, item := range v.Array() {
		if err := d.item(fmt.Sprintf("input[%d]", i), item); err != nil {
			return err
		}
	}
	return nil
}

// join gives results the names of their tools, and calls their signatures.
func (d *responsesDecoder) join() {
	names := callNames(d.req.Messages)
	for _, m := range d.req.Messages {
		for i := range m.Parts {
			p := &m.Parts[i]
			switch p.Kind {
			case llm.Result:
				if p.Result.Name == "" {
					p.Result.Name = names[p.Result.CallID]
				}
			case llm.Call:
				if s, ok := d.seals[p.Call.ID]; ok {
					p.Signature, p.SignedBy = s.Signature, s.By
				}
			}
		}
	}
}

func (d *responsesDecoder) item(path string, v gjson.Result) *RequestError {
	kind := v.Get("type").String()
	call, isCall := clientToolOf(kind, "_call")
	output, isOutput := clientToolOf(kind, "_call_output")
	switch {
	case !v.IsObject():
		return wrongType(path, v, "an object")
	case isReference(v):
		id := v.Get("id").String()
		d.state.References = append(d.state.References, id)
		if !IsOwnID(id) {
			d.beyond(path+".", "item_reference")
		}
		return nil
	case kind == "message", kind == "" && v.Get("role").Exists():
		return d.message(path+".", v)
	case kind == "":
		return &RequestError{path + ".type", "is required: a string such as \"message\""}
	case kind == "function_call", kind == "custom_tool_call":
		return d.call(path+".", v)
	case kind == "function_call_output", kind == "custom_tool_call_output":
		return d.output(path+".", v)
	case isCall:
		return d.clientCall(path+".", call, v)
	case isOutput:
		return d.clientOutput(path+".", output, v)
	case kind == "reasoning":
		return d.thinking(path+".", v)
	case kind == "additional_tools", kind == "tool_search_output":
		return d.tools(path+".tools", v.Get("tools"), "")
	case hostedItem(kind): // what the assistant said after it stays
		d.aside(path + ": " + kind)
	default:
		d.beyond(path+".", kind)
	}
	return nil
}

// assistant gives the message of the assistant's turn that goes on, or begins one.
func (d *responsesDecoder) assistant() *llm.Message {
	if !d.turn {
		d.req.Messages = append(d.req.Messages, llm.Message{Role: llm.Assistant})
		d.turn, d.spoke = true, false
	}
	return &d.req.Messages[len(d.req.Messages)-1]
}

// message takes a message item. Who sends an answer's item back adds its id,
// status and phase, which say nothing to a model of another dialect.
func (d *responsesDecoder) message(path string, v gjson.Result) *RequestError {
	var role llm.Role
	switch word := v.Get("role").String(); word {
	case "system", "developer", "user", "assistant":
		role = llm.Role(word)
	case "":
		return &RequestError{path + "role", "is required"}
	default:
		return &RequestError{path + "role", fmt.Sprintf("%q is none of system, developer, user, assistant", label(word))}
	}
	var parts []llm.Part
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type", name == "role", name == "id", name == "status", name == "phase", v.Type == gjson.Null:
		case name == "content":
			parts, err = d.content(path+name, v)
		default:
			d.beyond(path, name)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case role != llm.Assistant:
		if parts == nil && !v.Get("content").IsArray() {
			return &RequestError{path + "content", "is required: a string or a list of parts"}
		}
		d.req.Messages = append(d.req.Messages, llm.Message{Role: role, Parts: parts})
		d.turn = false
		return nil
	case d.spoke:
		d.turn = false // two messages in a row stay two
	}
	m := d.assistant()
	m.Parts = append(m.Parts, parts...)
	d.spoke = true
	return nil
}

// content takes a string or a list of parts, of a message or of a call's output.
func (d *responsesDecoder) content(path string, v gjson.Result) ([]llm.Part, *RequestError) {
	if v.Type == gjson.String {
		return []llm.Part{{Kind: llm.Text, Text: v.String()}}, nil
	}
	if !v.IsArray() {
		return nil, wrongType(path, v, "a string or a list of parts")
	}
	var parts []llm.Part
	for i, p := range v.Array() {
		at := fmt.Sprintf("%s[%d]", path, i)
		kind := p.Get("type")
		switch {
		case !p.IsObject():
			return nil, wrongType(at, p, "an object")
		case kind.Type != gjson.String || kind.Str == "":
			return nil, &RequestError{at + ".type", "is required: a string such as \"input_text\""}
		}
		part, err := d.part(at+".", kind.Str, p)
		if err != nil {
			return nil, err
		}
		if part.Kind != "" {
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// part takes one part of a content; one of a kind that is only named has no Kind.
func (d *responsesDecoder) part(path, kind string, v gjson.Result) (p llm.Part, err *RequestError) {
	switch kind {
	case "input_text", "output_text", "text", "summary_text":
		p.Kind = llm.Text
		p.Text, err = text(path+"text", v.Get("text"))
	case "refusal":
		p.Kind = llm.Refusal
		p.Text, err = text(path+"refusal", v.Get("refusal"))
	case "input_image":
		p.Kind = llm.Image
		p.Media, err = d.image(path, v)
	case "input_file":
		p.Kind = llm.Document
		p.Media, err = d.file(path, v)
	default:
		d.beyond(path, kind)
		return llm.Part{}, nil
	}
	if mark := v.Get("prompt_cache_breakpoint"); mark.IsObject() {
		p.Cache = "5m"
		if mark.Get("ttl").Exists() { // 30m or 12h
			p.Cache = "1h"
		}
	}
	return p, err
}

// image reads the fields of an input_image.
func (d *responsesDecoder) image(path string, v gjson.Result) (*llm.Media, *RequestError) {
	m := &llm.Media{Detail: v.Get("detail").String(), FileID: v.Get("file_id").String()}
	if address := v.Get("image_url"); address.Type != gjson.Null {
		said, err := text(path+"image_url", address)
		if err != nil {
			return nil, err
		}
		if m.URL = said; strings.HasPrefix(said, "data:") {
			var ok bool
			m.URL = ""
			if m.MIME, m.Data, ok = dataURL(said); !ok {
				return nil, &RequestError{path + "image_url", "is a broken data URL"}
			}
		}
	}
	if !isBase64(m.Data) {
		d.beyond(path, "image_url")
	}
	if m.FileID == "" && m.URL == "" && m.Data == "" {
		return nil, &RequestError{path + "image_url", "is required: an address or a data URL; or a file_id"}
	}
	return m, nil
}

// file reads the fields of an input_file. file_data is a data URL;
// bare base64 is understood too.
func (d *responsesDecoder) file(path string, v gjson.Result) (*llm.Media, *RequestError) {
	m := &llm.Media{
		Name: v.Get("filename").String(), Detail: v.Get("detail").String(),
		FileID: v.Get("file_id").String(), URL: v.Get("file_url").String(),
	}
	if data := v.Get("file_data"); data.Type != gjson.Null {
		said, err := text(path+"file_data", data)
		if err != nil {
			return nil, err
		}
		m.Data = said
		if strings.HasPrefix(said, "data:") {
			var ok bool
			if m.MIME, m.Data, ok = dataURL(said); !ok {
				return nil, &RequestError{path + "file_data", "is a broken data URL"}
			}
		}
		if m.MIME == "" {
			m.MIME = "application/pdf" // what the field was made for
		}
	}
	if !isBase64(m.Data) {
		d.beyond(path, "file_data")
	}
	if m.FileID == "" && m.URL == "" && m.Data == "" {
		return nil, &RequestError{path + "file_data", "is required; or a file_url or a file_id"}
	}
	return m, nil
}

// call takes a call of a function or of a custom tool: its call_id is what
// results name, its id only the item's own.
func (d *responsesDecoder) call(path string, v gjson.Result) *RequestError {
	c := &llm.ToolCall{Args: json.RawMessage("{}")}
	namespace := ""
	custom := v.Get("type").String() == "custom_tool_call"
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type", name == "id", name == "status", v.Type == gjson.Null, v.Type == gjson.False:
		case name == "call_id":
			c.ID, err = text(path+name, v)
		case name == "name":
			c.Name, err = text(path+name, v)
		case name == "namespace":
			namespace, err = text(path+name, v)
		case name == "input" && custom:
			var input string
			if input, err = text(path+name, v); err == nil {
				c.Args = json.RawMessage(`{"input":` + string(gjson.AppendJSONString(nil, input)) + `}`)
			}
		case name == "arguments" && !custom:
			var args string
			args, err = text(path+name, v)
			var whole bool
			if c.Args, whole = callArguments(args); !whole {
				d.req.Aside = append(d.req.Aside, path+name)
			}
		case name == "caller" && v.Get("type").String() == "direct":
		default:
			d.beyond(path, name)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case c.ID == "":
		return &RequestError{path + "call_id", "is required"}
	case c.Name == "":
		return &RequestError{path + "name", "is required"}
	}
	c.Name = flatName(namespace, c.Name)
	d.called(c)
	return nil
}

// called adds a call to the assistant's turn.
func (d *responsesDecoder) called(c *llm.ToolCall) {
	m := d.assistant()
	m.Parts = append(m.Parts, llm.Part{Kind: llm.Call, Call: c})
	d.spoke = false
}

// gave adds what a tool gave.
func (d *responsesDecoder) gave(r *llm.ToolResult) {
	d.req.Messages = append(d.req.Messages, llm.Message{Role: llm.ToolRole, Parts: []llm.Part{{Kind: llm.Result, Result: r}}})
	d.turn = false
}

// output takes what a function or a custom tool gave.
func (d *responsesDecoder) output(path string, v gjson.Result) *RequestError {
	r := &llm.ToolResult{}
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type", name == "id", name == "status", v.Type == gjson.Null:
		case name == "call_id":
			r.CallID, err = text(path+name, v)
		case name == "name":
			r.Name, err = text(path+name, v)
		case name == "output":
			r.Parts, err = d.content(path+name, v)
		case name == "caller" && v.Get("type").String() == "direct":
		default:
			d.beyond(path, name)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case r.CallID == "":
		return &RequestError{path + "call_id", "is required"}
	case !v.Get("output").Exists():
		return &RequestError{path + "output", "is required: a string or a list of parts"}
	}
	d.gave(r)
	return nil
}

// thinking takes a reasoning item: words of its content or else its summary,
// and what a provider wants back.
func (d *responsesDecoder) thinking(path string, v gjson.Result) *RequestError {
	for _, name := range [...]string{"summary", "content"} {
		if list := v.Get(name); list.Exists() && list.Type != gjson.Null && !list.IsArray() {
			return wrongType(path+name, list, "a list")
		}
	}
	said := v.Get("content.#.text").Array()
	if len(said) == 0 {
		said = v.Get("summary.#.text").Array()
	}
	words := make([]string, len(said))
	for i, s := range said {
		words[i] = s.String()
	}
	p := llm.Part{Kind: llm.Thinking, Text: strings.Join(words, "\n\n")}
	sealed := v.Get("encrypted_content").String()
	m := d.assistant()
	d.spoke = false
	s, ours := openSeal(sealed)
	switch {
	case !ours: // OpenAI's own, which only the model that wrote it can read
		if sealed != "" {
			p.Signature, p.SignedBy, p.Redacted = sealed, llm.OpenAI, p.Text == ""
		}
	case s.Of == llm.Call:
		if d.seals == nil {
			d.seals = make(map[string]responsesSeal)
		}
		d.seals[s.CallID] = s
	case s.Of == llm.Text:
		if last := len(m.Parts) - 1; last >= 0 && m.Parts[last].Kind == llm.Text && s.Words == wordsOf(m.Parts[last].Text) {
			m.Parts[last].Signature, m.Parts[last].SignedBy = s.Signature, s.By
		}
	case s.Words == wordsOf(p.Text): // changed words would not fit their signature
		p.Signature, p.SignedBy, p.Redacted = s.Signature, s.By, s.Redacted
	}
	if p.Text != "" || p.Signature != "" {
		m.Parts = append(m.Parts, p)
	}
	return nil
}

// responsesSeal is what stands in a reasoning item's encrypted_content for a signature
// of a provider that is not OpenAI. It is not encrypted: it says no more than
// the provider's own dialect tells its callers.
type responsesSeal struct {
	By        llm.Provider `json:"by"`
	Of        llm.PartKind `json:"of"`              // Thinking, Text or Call
	CallID    string       `json:"call,omitempty"`  // of Call
	Words     string       `json:"words,omitempty"` // of Thinking and Text: what tells whether the words are still the same
	Signature string       `json:"sig"`
	Redacted  bool         `json:"redacted,omitempty"`
}

// sealPrefix tells a seal from OpenAI's encrypted content.
const sealPrefix = "bwk1_"

// String writes the seal as an opaque string.
func (s responsesSeal) String() string {
	return sealPrefix + base64.RawURLEncoding.EncodeToString(marshal(s))
}

// openSeal reads a seal; false for what never was one. A broken seal is empty
// but for words that fit none.
func openSeal(text string) (s responsesSeal, ok bool) {
	text, ok = strings.CutPrefix(text, sealPrefix)
	if !ok {
		return responsesSeal{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(b, &s) != nil || s.Signature == "" {
		return responsesSeal{Words: "broken"}, true
	}
	return s, true
}

// wordsOf is a short fingerprint of words.
func wordsOf(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
