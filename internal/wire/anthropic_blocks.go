package wire

import (
	"fmt"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// The messages of a caller in Anthropic's dialect and their content blocks.

func (d *anthropicDecoder) conversation(v gjson.Result) *RequestError {
	return eachElement(v, "messages", func(path string, v gjson.Result) *RequestError {
		d.messages = true
		return d.message(path, v)
	})
}

// message takes one message. Each tool result in a user's becomes a message of
// its own.
func (d *anthropicDecoder) message(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	role := v.Get("role").String()
	switch role {
	case "user", "assistant", "system": // system: see mid-conversation-system-messages in build-with-claude
	case "":
		return &RequestError{path + ".role", "is required"}
	default:
		return &RequestError{path + ".role", fmt.Sprintf("%q is none of user, assistant, system", label(role))}
	}
	if c := v.Get("content"); !c.Exists() || c.Type == gjson.Null {
		return &RequestError{path + ".content", "is required: a string or a list of content blocks"}
	}
	var parts []llm.Part
	err := eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "role", v.Type == gjson.Null, emptyList(v) && name != "content":
		case name == "content":
			parts, err = d.content(path+".content", role, v)
		case name == "output_config": // another effort from here on
			d.aside(path+".", name)
		default: // clear_at
			d.beyond(path+".", name)
		}
		return err
	})
	if err != nil {
		return err
	}
	add := func(role llm.Role, parts []llm.Part) {
		d.req.Messages = append(d.req.Messages, llm.Message{Role: role, Parts: parts})
	}
	from := 0
	for i, p := range parts {
		if p.Kind != llm.Result {
			continue
		}
		if i > from {
			add(llm.Role(role), parts[from:i:i])
		}
		add(llm.ToolRole, parts[i:i+1:i+1])
		from = i + 1
	}
	if from < len(parts) || len(parts) == 0 {
		add(llm.Role(role), parts[from:])
	}
	return nil
}

func (d *anthropicDecoder) content(path, role string, v gjson.Result) (parts []llm.Part, failed *RequestError) {
	if v.Type == gjson.String {
		return []llm.Part{{Kind: llm.Text, Text: v.String()}}, nil
	}
	if !v.IsArray() {
		return nil, wrongType(path, v, "a string or a list of content blocks")
	}
	failed = eachElement(v, path, func(at string, b gjson.Result) (err *RequestError) {
		kind := b.Get("type")
		switch {
		case !b.IsObject():
			return wrongType(at, b, "an object")
		case kind.Type != gjson.String || kind.Str == "":
			return &RequestError{at + ".type", `is required: a string such as "text"`}
		}
		parts, err = d.block(parts, at+".", kind.Str, role, b)
		return err
	})
	return parts, failed
}

// block takes a content block, see
// https://platform.claude.com/docs/en/api/messages/create (2026-11).
func (d *anthropicDecoder) block(parts []llm.Part, path, kind, role string, b gjson.Result) ([]llm.Part, *RequestError) {
	p := llm.Part{Kind: llm.PartKind(kind)}
	var err *RequestError
	switch {
	case kind == "text":
		if p.Text, err = d.need(path, "text", b); err == nil {
			d.told(path, b, "text", "citations") // those of a former answer say where its text came from
		}
	case (kind == "image" || kind == "document") && role != "assistant":
		if context := b.Get("context").String(); context != "" {
			parts = append(parts, llm.Part{Kind: llm.Text, Text: context})
		}
		if b.Get("citations.enabled").Bool() {
			d.beyond(path, "citations")
		}
		d.told(path, b, "source", "title", "context", "citations")
		p.Media, err = d.media(path+"source.", kind, b)
		if p.Media == nil {
			return parts, err
		}
	case kind == "tool_use" && role == "assistant":
		p.Kind = llm.Call
		p.Call, err = d.call(path, b)
	case kind == "tool_result" && role == "user":
		p.Kind = llm.Result
		p.Result, err = d.result(path, b)
	case kind == "thinking" && role == "assistant":
		p.Text = b.Get("thinking").String()
		p.Signature, p.SignedBy, _ = unseal(b.Get("signature").String())
		d.told(path, b, "thinking", "signature")
	case kind == "redacted_thinking" && role == "assistant":
		return d.redacted(parts, path, b)
	case kind == "tool_reference" && role == "tool":
		// What a client's own tool search found, such as Claude Code's. The tool
		// stands among the tools, where other targets see it at once, see
		// https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool (2026-11).
		name, err := d.need(path, "tool_name", b)
		d.aside(path, kind)
		return append(parts, llm.Part{Kind: llm.Text, Text: "The tool " + name + " can be called."}), err
	case kind == "tool_use", kind == "tool_result":
		return parts, &RequestError{path + "type", fmt.Sprintf("%q cannot be in a message of the %s", kind, role)}
	default: // server_tool_use and its results, search_result, container_upload, compaction, ...
		d.beyond(path, kind)
		return parts, nil
	}
	if err != nil {
		return parts, err
	}
	p.Cache, err = d.cacheControl(path, b.Get("cache_control"))
	return append(parts, p), err
}

// need reads a string that must be there.
func (d *anthropicDecoder) need(path, name string, b gjson.Result) (string, *RequestError) {
	v := b.Get(name)
	if !v.Exists() {
		return "", &RequestError{path + name, "is required"}
	}
	return text(path+name, v)
}

// needName is need for what must not be empty either.
func (d *anthropicDecoder) needName(path, name string, b gjson.Result) (string, *RequestError) {
	s, err := d.need(path, name, b)
	if err == nil && s == "" {
		err = &RequestError{path + name, "must not be empty"}
	}
	return s, err
}

// told notes whatever a block has beside these fields and those of every block.
func (d *anthropicDecoder) told(path string, b gjson.Result, fields ...string) {
	b.ForEach(func(key, v gjson.Result) bool {
		name := key.String()
		for _, known := range fields {
			if name == known {
				return true
			}
		}
		if name != "type" && name != "cache_control" && v.Type != gjson.Null && !emptyList(v) {
			d.beyond(path, name)
		}
		return true
	})
}

// media reads the source of an image or a document; nil where it is one that
// media cannot say.
func (d *anthropicDecoder) media(path, kind string, b gjson.Result) (*llm.Media, *RequestError) {
	source := b.Get("source")
	if !source.IsObject() {
		return nil, wrongType(strings.TrimSuffix(path, "."), source, "an object")
	}
	m := &llm.Media{Name: b.Get("title").String()}
	var err *RequestError
	switch source.Get("type").String() {
	case "base64":
		if m.MIME, err = d.need(path, "media_type", source); err == nil {
			m.Data, err = d.need(path, "data", source)
		}
		if err == nil && !isBase64(m.Data) {
			d.beyond(path, "data")
		}
	case "url":
		m.URL, err = d.need(path, "url", source)
	case "file":
		m.FileID, err = d.need(path, "file_id", source)
	case "text":
		m.MIME = "text/plain"
		m.Text, err = d.need(path, "data", source)
	case "content":
		m.MIME = "text/plain"
		content := source.Get("content")
		m.Text = content.String()
		if content.IsArray() {
			var lines []string
			content.ForEach(func(_, v gjson.Result) bool {
				if v.Get("type").String() != "text" {
					m = nil
					return false
				}
				lines = append(lines, v.Get("text").String())
				return true
			})
			if m == nil {
				d.beyond(path, "content")
				return nil, nil
			}
			m.Text = strings.Join(lines, "\n")
		}
	default:
		d.beyond(path, "type")
		return nil, nil
	}
	if kind == "document" && m.MIME == "" {
		m.MIME = "application/pdf" // all that Anthropic reads from a URL
	}
	return m, err
}

func (d *anthropicDecoder) call(path string, b gjson.Result) (*llm.ToolCall, *RequestError) {
	id, err := d.needName(path, "id", b)
	if err != nil {
		return nil, err
	}
	name, err := d.needName(path, "name", b)
	if err != nil {
		return nil, err
	}
	args := b.Get("input")
	if !args.IsObject() {
		return nil, wrongType(path+"input", args, "an object")
	}
	if caller := b.Get("caller.type").String(); caller != "" && caller != "direct" {
		d.beyond(path, "caller")
	}
	d.told(path, b, "id", "name", "input", "caller")
	d.names[id] = name
	return &llm.ToolCall{ID: id, Name: name, Args: []byte(args.Raw)}, nil
}

func (d *anthropicDecoder) result(path string, b gjson.Result) (r *llm.ToolResult, err *RequestError) {
	r = &llm.ToolResult{}
	if r.CallID, err = d.needName(path, "tool_use_id", b); err != nil {
		return nil, err
	}
	r.Name = d.names[r.CallID]
	if failed := b.Get("is_error"); failed.Exists() && failed.Type != gjson.Null {
		if r.Error, err = boolean(path+"is_error", failed); err != nil {
			return nil, err
		}
	}
	if content := b.Get("content"); content.Exists() && content.Type != gjson.Null {
		if r.Parts, err = d.content(path+"content", "tool", content); err != nil {
			return nil, err
		}
	}
	d.told(path, b, "tool_use_id", "is_error", "content")
	return r, nil
}

// redacted takes encrypted thinking, and what seal made look like it.
func (d *anthropicDecoder) redacted(parts []llm.Part, path string, b gjson.Result) ([]llm.Part, *RequestError) {
	data, err := d.need(path, "data", b)
	if err != nil {
		return parts, err
	}
	signature, by, ours := unseal(data)
	if !ours {
		return append(parts, llm.Part{Kind: llm.Thinking, Signature: signature, SignedBy: by, Redacted: true}), nil
	}
	if strings.HasPrefix(data, sealRedacted) {
		return append(parts, llm.Part{Kind: llm.Thinking, Signature: signature, SignedBy: by, Redacted: true}), nil
	}
	if last := len(parts) - 1; last >= 0 && parts[last].Signature == "" {
		parts[last].Signature, parts[last].SignedBy = signature, by
	}
	return parts, nil
}
