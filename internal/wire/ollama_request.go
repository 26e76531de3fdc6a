package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DecodeOllamaChat reads the body of POST /api/chat, see
// https://docs.ollama.com/api/chat and
// https://github.com/ollama/ollama/blob/main/docs/api.md (2026-11). The error
// is a *RequestError. It streams unless the body says otherwise.
//
// What says how a local server works and nothing of the answer is neither
// carried nor named: keep_alive, truncate, shift, and the options for memory,
// context size and threads. Options that tune sampling in ways that llm.Request
// does not know, such as min_p, and fields that Ollama does not know are named
// in Aside. A request without messages only loads the model: that is Beyond any
// other provider. Roles of single models' templates, such as granite's
// "control", are Beyond too.
func DecodeOllamaChat(body []byte) (*llm.Request, error) {
	d := newOllamaDecoder(llm.OllamaChat, body)
	if err := d.decode(body, d.chatField); err != nil {
		return nil, err
	}
	if len(d.req.Messages) == 0 && len(d.req.Beyond) == 0 {
		d.beyond("messages")
	}
	return d.req, nil
}

// ollamaDecoder fills a request from the fields of a body.
type ollamaDecoder struct {
	req   *llm.Request
	calls []openCall // of the messages so far
}

// openCall is a call that may wait for its result.
type openCall struct {
	id, name string
	answered bool
}

func newOllamaDecoder(d llm.Dialect, body []byte) *ollamaDecoder {
	// Ollama tells the usage at every answer's end, asked or not.
	return &ollamaDecoder{req: &llm.Request{Dialect: d, Body: body, Stream: true, IncludeUsage: true}}
}

func (d *ollamaDecoder) decode(body []byte, field func(string, gjson.Result) *RequestError) error {
	o, err := requestObject(body)
	if err != nil {
		return err
	}
	if err := eachField(o, "", func(name string, v gjson.Result) *RequestError {
		if v.Type == gjson.Null {
			return nil
		}
		return field(name, v)
	}); err != nil {
		return err
	}
	if d.req.Logprobs == nil {
		d.req.TopLogprobs = nil // it says nothing alone
	}
	if d.req.Model == "" {
		return &RequestError{"model", "is required: the name of a model or provider"}
	}
	return nil
}

// beyond notes a field that the request cannot say.
func (d *ollamaDecoder) beyond(field string) { d.req.Beyond = append(d.req.Beyond, field) }

func (d *ollamaDecoder) chatField(name string, v gjson.Result) *RequestError {
	switch name {
	case "messages":
		return eachElement(v, "messages", d.message)
	case "tools":
		return eachElement(v, "tools", d.tool)
	}
	return d.sharedField(name, v)
}

// sharedField takes the fields that /api/chat and /api/generate share.
func (d *ollamaDecoder) sharedField(name string, v gjson.Result) (err *RequestError) {
	r := d.req
	switch name {
	case "model":
		r.Model, err = text(name, v)
	case "stream":
		r.Stream, err = boolean(name, v)
	case "format":
		r.Format, err = ollamaFormat(v)
	case "options":
		if !v.IsObject() {
			return wrongType(name, v, "an object")
		}
		err = eachField(v, "options.", d.option)
	case "think":
		err = d.think(v)
	case "logprobs":
		var set bool
		if set, err = boolean(name, v); set {
			r.Logprobs = &set
		}
	case "top_logprobs":
		if r.TopLogprobs, err = integer(name, v, 0, math.MaxInt64); err == nil && *r.TopLogprobs > ollamaMaxTop {
			err = &RequestError{name, fmt.Sprintf("must be at most %d", ollamaMaxTop)}
		}
	case "keep_alive", "truncate", "shift":
	case "suffix", "template", "context", "raw":
		if v.Type != gjson.False && v.Raw != `""` && !emptyList(v) {
			d.beyond(name)
		}
	default: // Ollama passes over what it does not know, such as the tool_choice that some clients send
		r.Aside = append(r.Aside, label(name))
	}
	return err
}

// ollamaMaxTop is the most top_logprobs that Ollama takes.
const ollamaMaxTop = 20

// ollamaFormat reads "json" or a schema, see
// https://docs.ollama.com/capabilities/structured-outputs (2026-11).
func ollamaFormat(v gjson.Result) (*llm.Format, *RequestError) {
	switch {
	case v.Raw == `""`:
		return nil, nil
	case v.IsObject():
		return &llm.Format{Kind: llm.FormatSchema, Schema: []byte(v.Raw)}, nil
	case v.Type == gjson.String && v.Str == "json":
		return &llm.Format{Kind: llm.FormatJSON}, nil
	}
	return nil, &RequestError{"format", `must be "json" or a JSON schema`}
}

// think reads a switch or a level, see
// https://docs.ollama.com/capabilities/thinking (2026-11). A level is the
// model's own word; one that no other provider knows is Beyond.
func (d *ollamaDecoder) think(v gjson.Result) *RequestError {
	switch {
	case v.Type == gjson.True:
		d.req.Thought = &llm.Thought{Budget: new(int64(-1)), Show: new(true)}
	case v.Type == gjson.False:
		d.req.Thought = &llm.Thought{Effort: "none"}
	case v.Type != gjson.String:
		return wrongType("think", v, "true, false or a level")
	default:
		switch v.Str {
		case "":
		case "none", "minimal", "low", "medium", "high", "xhigh", "max":
			d.req.Thought = &llm.Thought{Effort: v.Str, Show: new(v.Str != "none")}
		default:
			d.beyond("think")
		}
	}
	return nil
}

// option takes one of the options, see
// https://docs.ollama.com/modelfile#valid-parameters-and-values (2026-11).
// Values that turn a setting off are as good as none.
func (d *ollamaDecoder) option(name string, v gjson.Result) (err *RequestError) {
	if v.Type == gjson.Null {
		return nil
	}
	r, path := d.req, "options."+label(name)
	aside := false
	switch name {
	case "num_predict": // -1 is no limit, and so is 0
		r.MaxTokens, err = positive(path, v)
	case "top_k": // 0 is no limit
		r.TopK, err = positive(path, v)
	case "seed": // -1 is any
		if r.Seed, err = integer(path, v, math.MinInt64, math.MaxInt64); err == nil && *r.Seed == -1 {
			r.Seed = nil
		}
	case "temperature":
		r.Temperature, err = number(path, v, 0, math.MaxFloat64)
	case "top_p":
		r.TopP, err = number(path, v, 0, 1)
	case "frequency_penalty":
		r.FrequencyPenalty, err = number(path, v, -math.MaxFloat64, math.MaxFloat64)
	case "presence_penalty":
		r.PresencePenalty, err = number(path, v, -math.MaxFloat64, math.MaxFloat64)
	case "stop":
		r.Stop, err = stops(path, v)
		r.Stop = slices.DeleteFunc(r.Stop, func(s string) bool { return s == "" })
	case "min_p", "mirostat":
		aside = v.Num != 0
	case "repeat_penalty", "typical_p", "tfs_z":
		aside = v.Num != 1
	case "repeat_last_n", "penalize_newline", "mirostat_eta", "mirostat_tau": // tell how the above work
	case "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "num_keep",
		"draft_num_predict", "low_vram", "f16_kv", "numa", "vocab_only", "logits_all", "embedding_only":
	default:
		aside = true
	}
	if aside {
		r.Aside = append(r.Aside, path)
	}
	return err
}

// positive reads a limit; none where it is zero or less.
func positive(field string, v gjson.Result) (*int64, *RequestError) {
	i, err := integer(field, v, math.MinInt64, math.MaxInt64)
	if err != nil || *i <= 0 {
		return nil, err
	}
	return i, nil
}

// tool takes a tool's definition, see
// https://docs.ollama.com/capabilities/tool-calling (2026-11).
func (d *ollamaDecoder) tool(path string, v gjson.Result) *RequestError {
	f := v.Get("function")
	switch {
	case !v.IsObject():
		return wrongType(path, v, "an object")
	case !f.IsObject():
		return &RequestError{path + ".function", "is required: an object"}
	}
	var t llm.Tool
	err := eachField(f, path+".function.", func(name string, v gjson.Result) *RequestError {
		at := path + ".function." + label(name)
		known, err := toolField(&t, "parameters", name, at, v)
		if !known {
			d.beyond(at)
		}
		return err
	})
	if err == nil && t.Name == "" {
		err = &RequestError{path + ".function.name", "is required"}
	}
	d.req.Tools = append(d.req.Tools, t)
	return err
}

// ollamaSaid is what a message holds.
type ollamaSaid struct {
	content, thinking *string
	images, calls     []llm.Part
	tool, call        string // of a result: which tool's, and which call's
}

// message takes one message.
func (d *ollamaDecoder) message(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	role := llm.Role(strings.ToLower(v.Get("role").String()))
	known := true
	switch role {
	case "":
		return &RequestError{path + ".role", "is required"}
	case llm.System, llm.Developer, llm.User, llm.Assistant, llm.ToolRole:
	default:
		known = false
		d.beyond(path + ".role")
	}
	var said ollamaSaid
	m := llm.Message{Role: role}
	if err := eachField(v, path+".", func(name string, v gjson.Result) (err *RequestError) {
		at := path + "." + label(name)
		switch {
		case name == "role", v.Type == gjson.Null:
		case name == "content":
			said.content, err = textPointer(at, v)
		case name == "thinking":
			said.thinking, err = textPointer(at, v)
		case name == "images":
			said.images, err = ollamaImages(at, v)
		case name == "tool_calls":
			said.calls, err = d.toolCalls(at, v)
		case name == "tool_name", name == "name" && role == llm.ToolRole: // its older name
			said.tool, err = text(at, v)
		case name == "tool_call_id":
			said.call, err = text(at, v)
		case name == "name":
			m.Name, err = text(at, v)
		default:
			d.beyond(at)
		}
		return err
	}); err != nil || !known {
		return err
	}
	d.compose(&m, said, path)
	d.req.Messages = append(d.req.Messages, m)
	return nil
}

// compose orders what a message holds as Ollama shows it to the model:
// thinking, images, text, calls.
func (d *ollamaDecoder) compose(m *llm.Message, said ollamaSaid, path string) {
	if said.thinking != nil && *said.thinking != "" {
		if m.Role == llm.Assistant {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.Thinking, Text: *said.thinking})
		} else {
			d.beyond(path + ".thinking")
		}
	}
	m.Parts = append(m.Parts, said.images...)
	if said.content != nil && (*said.content != "" || len(m.Parts)+len(said.calls) == 0) {
		m.Parts = append(m.Parts, llm.Part{Kind: llm.Text, Text: *said.content})
	}
	switch {
	case m.Role == llm.ToolRole:
		id, name := d.answer(said, path)
		m.Parts = []llm.Part{{Kind: llm.Result, Result: &llm.ToolResult{CallID: id, Name: name, Parts: m.Parts}}}
	case len(said.calls) > 0 && m.Role != llm.Assistant:
		d.beyond(path + ".tool_calls")
	default:
		m.Parts = append(m.Parts, said.calls...)
	}
}

// answer finds the call that a result answers: by its id, else the first one
// without a result, of the tool's name where that is told. A result of no call
// is Beyond: other providers refuse it.
func (d *ollamaDecoder) answer(said ollamaSaid, path string) (id, name string) {
	for i, c := range d.calls {
		if said.call == c.id || said.call == "" && !c.answered && (said.tool == "" || said.tool == c.name) {
			d.calls[i].answered = true
			return c.id, c.name
		}
	}
	d.beyond(path + ".tool_call_id")
	if said.call == "" {
		said.call = madeUpCallID(path, 0)
	}
	return said.call, said.tool
}

// toolCalls reads calls that the assistant made. Older servers and clients
// give them no ids: theirs are made up of their place in the conversation, so
// that they stay the same in each of its turns.
func (d *ollamaDecoder) toolCalls(path string, v gjson.Result) (calls []llm.Part, failed *RequestError) {
	failed = eachElement(v, path, func(path string, v gjson.Result) *RequestError {
		f := v.Get("function")
		c := &llm.ToolCall{ID: v.Get("id").String(), Name: f.Get("name").String(), Args: []byte("{}")}
		switch args := f.Get("arguments"); {
		case c.Name == "":
			return &RequestError{path + ".function.name", "is required"}
		case args.IsObject():
			c.Args = []byte(args.Raw)
		case args.Exists() && args.Type != gjson.Null:
			return wrongType(path+".function.arguments", args, "an object")
		}
		if c.ID == "" {
			c.ID = madeUpCallID(path, 0)
		}
		d.calls = append(d.calls, openCall{id: c.ID, name: c.Name})
		calls = append(calls, llm.Part{Kind: llm.Call, Call: c})
		return nil
	})
	return calls, failed
}

// ollamaImages reads a list of images, each in base64 without any prefix.
func ollamaImages(path string, v gjson.Result) (images []llm.Part, failed *RequestError) {
	failed = eachElement(v, path, func(path string, v gjson.Result) *RequestError {
		if v.Type != gjson.String {
			return wrongType(path, v, "a string of base64")
		}
		image, err := base64.StdEncoding.DecodeString(v.Str)
		if err != nil || len(image) == 0 {
			return &RequestError{path, "is not an image in base64; addresses and data: URLs are not understood"}
		}
		images = append(images, llm.Part{Kind: llm.Image, Media: &llm.Media{MIME: http.DetectContentType(image), Data: v.Str}})
		return nil
	})
	return images, failed
}

func textPointer(field string, v gjson.Result) (*string, *RequestError) {
	s, err := text(field, v)
	return &s, err
}
