package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Messages of OpenAI's chat dialect. Beside what OpenAI documents, they may
// carry what the provider of an earlier answer wants back and for which OpenAI
// has no words:
//   - reasoning_content (or reasoning, as Ollama and others say), the text of
//     the reasoning, see https://api-docs.deepseek.com/guides/thinking_mode (2026-11);
//   - thinking_blocks, Claude's own blocks with their signatures, as in
//     https://docs.litellm.ai/docs/reasoning_content (2026-11);
//   - extra_content.google.thought_signature on tool calls, and on the message
//     for its text, as in Gemini's own OpenAI compatibility, see
//     https://ai.google.dev/gemini-api/docs/thought-signatures (2026-11);
//   - cache_control of a part or tool, in Anthropic's words.

// googleSignature reads an extra_content; "" where it has no signature.
func googleSignature(extra gjson.Result) string {
	return extra.Get("google.thought_signature").String()
}

func (d *chatDecoder) conversation(v gjson.Result) *RequestError {
	return eachElement(v, "messages", func(path string, v gjson.Result) *RequestError {
		d.messages = true
		return d.message(path, len(d.req.Messages), v)
	})
}

func (d *chatDecoder) message(path string, i int, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	m := llm.Message{}
	var err *RequestError
	switch role := fieldOf(v, "role").String(); role {
	case "system", "developer", "user":
		m.Role = llm.Role(role)
		err = d.plainMessage(path, v, &m)
	case "assistant":
		m.Role = llm.Assistant
		err = d.assistant(path, i, v, &m)
	case "tool", "function":
		m.Role = llm.ToolRole
		err = d.toolResult(path, role, v, &m)
	case "":
		return &RequestError{path + ".role", "is required"}
	default:
		return &RequestError{path + ".role", fmt.Sprintf("%q is none of system, developer, user, assistant, tool", label(role))}
	}
	d.req.Messages = append(d.req.Messages, m)
	return err
}

func (d *chatDecoder) plainMessage(path string, v gjson.Result, m *llm.Message) *RequestError {
	if fieldOf(v, "content").Type == gjson.Null {
		return &RequestError{path + ".content", "is required: a string or a list of parts"}
	}
	return eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "role", v.Type == gjson.Null:
		case name == "content":
			m.Parts, err = d.content(path+".content", v)
		case name == "name":
			m.Name, err = text(path+".name", v)
		case emptyList(v): // such as what a client adds to every message
		default:
			d.beyond(path+".", name)
		}
		return err
	})
}

// assistant takes an earlier answer, in the order of its making: reasoning,
// words, calls.
func (d *chatDecoder) assistant(path string, i int, v gjson.Result, m *llm.Message) *RequestError {
	var thinking, said, calls []llm.Part
	var refusal, signature string
	var blocks bool
	err := eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		at := path + "." + name
		switch {
		case name == "role", v.Type == gjson.Null, name == "annotations", emptyList(v):
		case name == "content":
			said, err = d.content(at, v)
		case name == "refusal":
			refusal, err = text(at, v)
		case name == "name":
			m.Name, err = text(at, v)
		case name == "tool_calls":
			calls, err = d.toolCalls(at, v)
		case name == "function_call":
			calls, err = d.functionCall(at, i, v)
		case name == "thinking_blocks":
			blocks = true
			thinking, err = thinkingBlocks(at, v)
		case name == "reasoning_content", name == "reasoning":
			var words string
			if words, err = text(at, v); !blocks && len(thinking) == 0 && words != "" {
				thinking = []llm.Part{{Kind: llm.Thinking, Text: words}}
			}
		case name == "extra_content":
			signature = googleSignature(v)
		default:
			d.beyond(path+".", name)
		}
		return err
	})
	if signature != "" {
		said = signText(said, signature)
	}
	m.Parts = append(thinking, said...)
	if refusal != "" {
		m.Parts = append(m.Parts, llm.Part{Kind: llm.Refusal, Text: refusal})
	}
	m.Parts = append(m.Parts, calls...)
	for _, p := range calls {
		if d.called == nil {
			d.called, d.latest = map[string]string{}, map[string]string{}
		}
		d.called[p.Call.ID], d.latest[p.Call.Name] = p.Call.Name, p.Call.ID
	}
	return err
}

// signText gives the last text Gemini's signature.
func signText(parts []llm.Part, signature string) []llm.Part {
	last := len(parts) - 1
	for last >= 0 && parts[last].Kind != llm.Text {
		last--
	}
	if last < 0 {
		parts = append(parts, llm.Part{Kind: llm.Text})
		last = len(parts) - 1
	}
	parts[last].Signature, parts[last].SignedBy = signature, llm.Gemini
	return parts
}

// thinkingBlocks reads Claude's blocks.
func thinkingBlocks(path string, v gjson.Result) (parts []llm.Part, failed *RequestError) {
	if !v.IsArray() {
		return nil, wrongType(path, v, "a list")
	}
	for i, block := range v.Array() {
		p, ok := thinkingBlock(block)
		if !ok {
			return nil, &RequestError{fmt.Sprintf("%s[%d].type", path, i), "must be thinking or redacted_thinking"}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func thinkingBlock(v gjson.Result) (llm.Part, bool) {
	p := llm.Part{Kind: llm.Thinking}
	switch v.Get("type").String() {
	case "thinking":
		p.Text, p.Signature = v.Get("thinking").String(), v.Get("signature").String()
	case "redacted_thinking":
		p.Signature, p.Redacted = v.Get("data").String(), true
	default:
		return p, false
	}
	if p.Signature != "" {
		p.SignedBy = llm.Claude
	}
	return p, true
}

// toolCalls takes calls of functions. A call of a custom tool is only named.
func (d *chatDecoder) toolCalls(path string, v gjson.Result) (parts []llm.Part, failed *RequestError) {
	failed = eachElement(v, path, func(at string, v gjson.Result) *RequestError {
		if !v.IsObject() {
			return wrongType(at, v, "an object")
		}
		if kind := v.Get("type"); kind.Type != gjson.Null && kind.String() != "function" {
			d.beyond(at+".", kind.String())
			return nil
		}
		p := llm.Part{Kind: llm.Call, Call: &llm.ToolCall{}}
		err := eachField(v, at+".", func(name string, v gjson.Result) (err *RequestError) {
			switch {
			case v.Type == gjson.Null, name == "type", name == "index": // Ollama writes an index
			case name == "id":
				p.Call.ID, err = text(at+".id", v)
			case name == "function":
				err = d.function(at+".function", v, p.Call)
			case name == "extra_content":
				if s := googleSignature(v); s != "" {
					p.Signature, p.SignedBy = s, llm.Gemini
				}
			default:
				d.beyond(at+".", name)
			}
			return err
		})
		parts = append(parts, p)
		switch {
		case err != nil:
			return err
		case p.Call.ID == "":
			return &RequestError{at + ".id", "is required"}
		case p.Call.Name == "":
			return &RequestError{at + ".function.name", "is required"}
		}
		return nil
	})
	return parts, failed
}

// function takes a call's function. Arguments that are no JSON object, such as
// those of an answer that ended too soon, are carried as callArguments says.
func (d *chatDecoder) function(path string, v gjson.Result, call *llm.ToolCall) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	call.Args = json.RawMessage("{}")
	return eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null:
		case name == "name":
			call.Name, err = text(path+".name", v)
		case name == "arguments":
			var args string
			args, err = text(path+".arguments", v)
			var whole bool
			if call.Args, whole = callArguments(args); !whole {
				d.req.Aside = append(d.req.Aside, path+".arguments")
			}
		default:
			d.beyond(path+".", name)
		}
		return err
	})
}

// functionCall takes the older form of a call, which has no id: the message's
// place makes one.
func (d *chatDecoder) functionCall(path string, i int, v gjson.Result) ([]llm.Part, *RequestError) {
	call := &llm.ToolCall{ID: madeUpCallID("function_call", i)}
	err := d.function(path, v, call)
	if err == nil && call.Name == "" {
		err = &RequestError{path + ".name", "is required"}
	}
	return []llm.Part{{Kind: llm.Call, Call: call}}, err
}

// toolResult takes what a tool gave. The older form names the function: it
// answers the last call of that name.
func (d *chatDecoder) toolResult(path, role string, v gjson.Result, m *llm.Message) *RequestError {
	result := &llm.ToolResult{}
	err := eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch at := path + "." + name; {
		case name == "role", v.Type == gjson.Null:
		case name == "content":
			result.Parts, err = d.content(at, v)
		case name == "tool_call_id" && role == "tool":
			result.CallID, err = text(at, v)
		case name == "name":
			result.Name, err = text(at, v)
		case emptyList(v):
		default:
			d.beyond(path+".", name)
		}
		return err
	})
	m.Parts = []llm.Part{{Kind: llm.Result, Result: result}}
	if name, ok := d.called[result.CallID]; ok {
		result.Name = name
	}
	if role == "function" {
		result.CallID = d.latest[result.Name]
	}
	switch {
	case err != nil:
	case role == "tool" && result.CallID == "":
		err = &RequestError{path + ".tool_call_id", "is required"}
	case role == "function" && result.Name == "":
		err = &RequestError{path + ".name", "is required"}
	case role == "function" && result.CallID == "":
		err = &RequestError{path + ".name", fmt.Sprintf("%q was not called before", label(result.Name))}
	}
	return err
}

func (d *chatDecoder) content(path string, v gjson.Result) (parts []llm.Part, failed *RequestError) {
	if v.Type == gjson.String {
		return []llm.Part{{Kind: llm.Text, Text: v.String()}}, nil
	}
	if !v.IsArray() {
		return nil, wrongType(path, v, "a string or a list of parts")
	}
	failed = eachElement(v, path, func(at string, v gjson.Result) *RequestError {
		p, known, err := d.part(at, v)
		if known {
			parts = append(parts, p)
		}
		return err
	})
	return parts, failed
}

// part takes one part of a content. One of a type that no other dialect shares
// is only named.
func (d *chatDecoder) part(at string, v gjson.Result) (p llm.Part, known bool, failed *RequestError) {
	if !v.IsObject() {
		return p, false, wrongType(at, v, "an object")
	}
	kind := v.Get("type").String()
	inner := v.Get(kind)
	known = true
	switch kind {
	case "text", "refusal":
		p.Kind = map[string]llm.PartKind{"text": llm.Text, "refusal": llm.Refusal}[kind]
		if !inner.Exists() {
			return p, false, &RequestError{at + "." + kind, "is required"}
		}
		p.Text, failed = text(at+"."+kind, inner)
	case "image_url":
		p.Kind = llm.Image
		p.Media, known, failed = d.image(at+".image_url", inner)
	case "input_audio":
		p.Kind = llm.Audio
		if p.Media, failed = inputAudio(at+".input_audio", inner); failed == nil && (p.Media.Data == "" || !isBase64(p.Media.Data)) {
			d.beyond(at+".input_audio.", "data")
		}
	case "file":
		p.Kind = llm.Document
		p.Media, known, failed = d.file(at+".file", inner)
	case "":
		return p, false, &RequestError{at + ".type", "is required: a string such as \"text\""}
	default:
		d.beyond(at+".", kind)
		return p, false, nil
	}
	if failed != nil {
		return p, false, failed
	}
	failed = eachField(v, at+".", func(name string, v gjson.Result) *RequestError {
		switch {
		case name == "type", name == kind, v.Type == gjson.Null, emptyList(v):
		case name == "cache_control", name == "prompt_cache_breakpoint":
			p.Cache = d.cacheControl(at+".", name, v)
		default:
			d.beyond(at+".", name)
		}
		return nil
	})
	return p, known, failed
}

// cacheControl takes the mark of a cached prefix in Anthropic's words,
// {"type":"ephemeral","ttl":"1h"}, see
// https://platform.claude.com/docs/en/build-with-claude/prompt-caching, and in
// OpenAI's, {"mode":"explicit","ttl":"30m"}, see
// https://developers.openai.com/api/docs/guides/prompt-caching (2026-11).
// OpenAI's lifetimes are nearest to an hour.
func (d *chatDecoder) cacheControl(path, name string, v gjson.Result) string {
	ttl := v.Get("ttl").String()
	switch {
	case !v.IsObject() || v.Get("type").String() != "ephemeral" && v.Get("mode").String() != "explicit":
		d.beyond(path, name)
		return ""
	case ttl == "" || ttl == "5m":
		return "5m"
	}
	return "1h"
}

// image takes an image_url, also the bare string of some clients.
func (d *chatDecoder) image(at string, v gjson.Result) (m *llm.Media, known bool, failed *RequestError) {
	m = &llm.Media{}
	address := v
	if v.IsObject() {
		address = v.Get("url")
		m.Detail = v.Get("detail").String()
		at += ".url"
	}
	s, failed := text(at, address)
	if failed == nil && s == "" {
		failed = &RequestError{at, "is empty"}
	}
	if !strings.HasPrefix(s, "data:") {
		m.URL = s
		return m, true, failed
	}
	m.MIME, m.Data, known = dataURL(s)
	if !known || m.Data == "" || !isBase64(m.Data) {
		d.beyond("", at)
	}
	return m, known, failed
}

// dataURL takes a data: URL apart and gives its data as base64; see RFC 2397.
func dataURL(s string) (mimeType, data string, ok bool) {
	head, data, ok := strings.Cut(strings.TrimPrefix(s, "data:"), ",")
	head, isBase64 := strings.CutSuffix(head, ";base64")
	mimeType, _, _ = strings.Cut(head, ";")
	if !isBase64 {
		plain, err := url.PathUnescape(data)
		if err != nil {
			return "", "", false
		}
		data = base64.StdEncoding.EncodeToString([]byte(plain))
	}
	return mimeType, data, ok
}

// isBase64 says whether s is base64 in the usual alphabet, padded, which is what
// all dialects share. What is not may still mean something to its own provider.
func isBase64(s string) bool {
	if len(s)%4 != 0 || strings.ContainsAny(s, "\r\n") { // line ends may stand anywhere
		_, err := base64.StdEncoding.DecodeString(s)
		return err == nil
	}
	s = strings.TrimSuffix(strings.TrimSuffix(s, "="), "=")
	const digits, letters = 0x03ff8800 << 32, 0x07fffffe07fffffe // + / 0-9 and A-Z a-z, a bit for each character
	known := [4]uint64{digits, letters}
	valid := uint64(1)
	for i := range len(s) { // without branches: the data are random
		valid &= known[s[i]>>6] >> (s[i] & 63)
	}
	return valid == 1
}

// inputAudio takes a recording. Its types, wav and mp3, are those that Gemini
// names too.
func inputAudio(at string, v gjson.Result) (*llm.Media, *RequestError) {
	data, err := text(at+".data", v.Get("data"))
	if err != nil {
		return nil, err
	}
	format, err := text(at+".format", v.Get("format"))
	if err != nil {
		return nil, err
	}
	return &llm.Media{MIME: "audio/" + format, Data: data}, nil
}

// file takes a file: its data, with or without the head of a data: URL, or the
// id of one that was uploaded.
func (d *chatDecoder) file(at string, v gjson.Result) (m *llm.Media, known bool, failed *RequestError) {
	if !v.IsObject() {
		return nil, false, wrongType(at, v, "an object")
	}
	m = &llm.Media{}
	var data string
	known = true
	failed = eachField(v, at+".", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null:
		case name == "file_data":
			data, err = text(at+".file_data", v)
		case name == "file_id":
			m.FileID, err = text(at+".file_id", v)
		case name == "filename":
			m.Name, err = text(at+".filename", v)
		default:
			d.beyond(at+".", name)
		}
		return err
	})
	switch {
	case failed != nil:
	case data == "" && m.FileID == "":
		failed = &RequestError{at, "has neither file_data nor file_id"}
	case strings.HasPrefix(data, "data:"):
		if m.MIME, m.Data, known = dataURL(data); !known {
			d.beyond(at+".", "file_data")
		}
	case strings.HasPrefix(data, "https://"):
		m.URL = data
	default:
		m.Data = data
	}
	if m.Data != "" && m.MIME == "" {
		m.MIME = fileType(m.Name)
	}
	if failed == nil && known && (m.Data == "" && m.FileID == "" && m.URL == "" || !isBase64(m.Data)) {
		d.beyond(at+".", "file_data")
	}
	return m, known, failed
}

// fileType tells a file's type by its name's end: a PDF, which file parts were
// made for, unless it says otherwise.
func fileType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".txt", ".md":
		return "text/plain"
	case ".csv":
		return "text/csv"
	case ".html":
		return "text/html"
	case ".json":
		return "application/json"
	}
	return "application/pdf"
}
