package wire

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

func (d *geminiDecoder) conversation(path string, v gjson.Result) *RequestError {
	return geminiList(path, v, func(path string, v gjson.Result) *RequestError {
		d.contents = true
		if v.Type == gjson.String {
			return wrongType(path, v, "an object")
		}
		return d.content(path, v)
	})
}

// content takes one turn. A user's turn with results of tools becomes several
// messages, since the shared words keep those apart.
func (d *geminiDecoder) content(path string, v gjson.Result) *RequestError {
	role := llm.User
	parts := gjson.Result{}
	err := geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
		switch name {
		case "role":
			switch v.String() {
			case "model":
				role = llm.Assistant
			case "user", "function", "":
			default:
				return &RequestError{path, fmt.Sprintf("%q is neither user nor model", label(v.String()))}
			}
		case "parts":
			parts = v
		default:
			d.beyond(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	turn := geminiTurn{d: d, role: role}
	if parts.Exists() {
		err = geminiList(path+".parts", parts, turn.part)
	}
	if len(turn.messages) == 0 {
		turn.messages = []llm.Message{{Role: role}}
	}
	for i, m := range turn.messages { // only the model calls, whatever role its caller forgot to give
		if m.Role == llm.User && slices.ContainsFunc(m.Parts, func(p llm.Part) bool { return p.Kind == llm.Call }) {
			turn.messages[i].Role = llm.Assistant
		}
	}
	d.req.Messages = append(d.req.Messages, turn.messages...)
	return err
}

// geminiTurn collects the messages of one content.
type geminiTurn struct {
	d        *geminiDecoder
	role     llm.Role
	messages []llm.Message
}

// add puts a part into the last message of its role.
func (t *geminiTurn) add(p llm.Part) {
	role := t.role
	if p.Kind == llm.Result {
		role = llm.ToolRole
	}
	if last := len(t.messages) - 1; last < 0 || t.messages[last].Role != role {
		t.messages = append(t.messages, llm.Message{Role: role})
	}
	m := &t.messages[len(t.messages)-1]
	if last := len(m.Parts) - 1; p.Kind == llm.Thinking && last >= 0 && m.Parts[last].Kind == llm.Thinking && m.Parts[last].Signature == "" {
		p.Text = m.Parts[last].Text + p.Text // a stream's pieces
		m.Parts[last] = p
		return
	}
	m.Parts = append(m.Parts, p)
}

// geminiPartMarks is what a part of a content says beside its data.
type geminiPartMarks struct {
	thought   bool
	signature string
	detail    string
}

func (t *geminiTurn) part(at string, v gjson.Result) *RequestError {
	if v.Type == gjson.String {
		return wrongType(at, v, "an object")
	}
	var p llm.Part
	var marks geminiPartMarks
	beyond := false
	err := geminiFields(at+".", v, func(name, at string, v gjson.Result) (err *RequestError) {
		switch name {
		case "thought":
			marks.thought, err = boolean(at, v)
		case "thoughtSignature":
			marks.signature, err = text(at, v)
		case "mediaResolution":
			level := v
			if v.IsObject() {
				level = v.Get("level")
			}
			marks.detail = geminiResolution(level.String())
		case "partMetadata": // the caller's own notes
		case "text":
			p.Kind = llm.Text
			p.Text, err = text(at, v)
		case "inlineData", "fileData":
			p, beyond, err = t.media(at, v)
		case "functionCall":
			p, err = t.call(at, v)
		case "functionResponse":
			p, err = t.result(at, v)
		default: // executableCode, codeExecutionResult, toolCall, toolResponse, videoMetadata
			beyond = true
			t.d.beyond(at)
		}
		if p.Media != nil && beyond {
			p = llm.Part{}
		}
		return err
	})
	if err == nil && !beyond {
		t.signed(p, marks)
	}
	return err
}

// signed adds a part with its signature. What another provider had signed is
// unpacked before it; values that stand for no signature are none.
func (t *geminiTurn) signed(p llm.Part, marks geminiPartMarks) {
	if p.Media != nil {
		p.Media.Detail = marks.detail
	}
	if marks.thought && p.Kind != llm.Call {
		p.Kind = llm.Thinking
	}
	if foreign, ok := geminiUnseal(marks.signature); ok {
		t.restore(foreign)
		marks.signature = ""
		if p.Text == "" && (p.Kind == llm.Thinking || p.Kind == llm.Text || p.Kind == "") {
			return
		}
	}
	if marks.signature != "" && !geminiSkips(marks.signature) {
		p.Signature, p.SignedBy = marks.signature, llm.Gemini
	}
	switch {
	case p.Kind == "" && p.Signature == "":
	case p.Kind == "", p.Kind == llm.Text && p.Text == "" && p.Signature != "":
		p.Kind = llm.Thinking // a signature alone
		t.add(p)
	default:
		t.add(p)
	}
}

// restore adds another provider's thinking in place of what of it was shown.
func (t *geminiTurn) restore(foreign []llm.Part) {
	if last := len(t.messages) - 1; last >= 0 {
		m := &t.messages[last]
		for n := len(m.Parts); n > 0 && m.Parts[n-1].Kind == llm.Thinking && m.Parts[n-1].Signature == ""; n = len(m.Parts) {
			m.Parts = m.Parts[:n-1]
		}
	}
	for _, p := range foreign {
		t.add(p)
	}
}

// media takes inlineData or fileData. beyond says that it is named as such:
// files that were uploaded to Google, videos, and what a model made.
func (t *geminiTurn) media(at string, v gjson.Result) (p llm.Part, beyond bool, err *RequestError) {
	m := new(llm.Media)
	err = geminiFields(at+".", v, func(name, at string, v gjson.Result) (err *RequestError) {
		switch name {
		case "mimeType":
			m.MIME, err = text(at, v)
		case "data":
			m.Data, err = text(at, v)
			if m.Data = standardBase64(m.Data); err == nil && !isBase64(m.Data) {
				t.d.beyond(at)
			}
		case "fileUri":
			m.URL, err = text(at, v)
		case "displayName":
			m.Name, err = text(at, v)
		}
		return err
	})
	if err != nil {
		return p, false, err
	}
	if m.Data == "" && m.URL == "" {
		return p, false, &RequestError{at, "has neither data nor a fileUri"}
	}
	kind := mediaKind(m)
	if kind == "" || t.role == llm.Assistant || ofGoogle(m.URL) {
		t.d.beyond(at)
		return llm.Part{Media: m}, true, nil
	}
	return llm.Part{Kind: kind, Media: m}, false, nil
}

// mediaKind says what a file is by its type, or by the end of its address; ""
// for videos and what is not known.
func mediaKind(m *llm.Media) llm.PartKind {
	mime := m.MIME
	if mime == "" {
		mime = mimeOf(m.URL)
	}
	switch family, _, _ := strings.Cut(mime, "/"); {
	case family == "image":
		return llm.Image
	case family == "audio":
		return llm.Audio
	case family == "text", mime == "application/pdf", mime == "application/json":
		return llm.Document
	}
	return ""
}

// mimeOf guesses a type by the end of an address; "" where it tells nothing.
func mimeOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".webp":
		return "image/webp"
	case ".gif":
		return "image/gif"
	case ".bmp":
		return "image/bmp"
	case ".pdf":
		return "application/pdf"
	case ".txt", ".md":
		return "text/plain"
	case ".html", ".htm":
		return "text/html"
	case ".csv":
		return "text/csv"
	case ".json":
		return "application/json"
	case ".mp3":
		return "audio/mpeg"
	case ".wav":
		return "audio/wav"
	}
	return ""
}

// ofGoogle says whether an address is one that only Google can read: a file
// uploaded to it, an object of its storage, or a video of YouTube.
func ofGoogle(address string) bool {
	if address == "" {
		return false
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return true
	}
	switch u.Hostname() {
	case "generativelanguage.googleapis.com", "www.youtube.com", "youtube.com", "youtu.be":
		return true
	}
	return false
}

// call takes a functionCall. One without an id gets one that stays the same
// when the conversation grows.
func (t *geminiTurn) call(at string, v gjson.Result) (llm.Part, *RequestError) {
	c := &llm.ToolCall{Args: []byte("{}")}
	err := geminiFields(at+".", v, func(name, at string, v gjson.Result) (err *RequestError) {
		switch name {
		case "id":
			c.ID, err = text(at, v)
		case "name":
			c.Name, err = text(at, v)
		case "args":
			if !v.IsObject() {
				return wrongType(at, v, "an object")
			}
			c.Args = []byte(compact(v.Raw))
		default:
			t.d.beyond(at)
		}
		return err
	})
	switch {
	case err != nil:
		return llm.Part{}, err
	case c.Name == "":
		return llm.Part{}, &RequestError{at + ".name", "is required"}
	case c.ID == "":
		c.ID = madeUpCallID("history", len(t.d.calls))
	}
	t.d.calls = append(t.d.calls, &geminiOpenCall{call: c})
	return llm.Part{Kind: llm.Call, Call: c}, nil
}

// result takes a functionResponse, see
// https://ai.google.dev/api/caching#FunctionResponse (2026-11): the key output
// holds what the function gave, error what went wrong; without either the
// whole object is the output.
func (t *geminiTurn) result(at string, v gjson.Result) (llm.Part, *RequestError) {
	r := &llm.ToolResult{}
	var response gjson.Result
	var media []llm.Part
	err := geminiFields(at+".", v, func(name, at string, v gjson.Result) (err *RequestError) {
		switch name {
		case "id":
			r.CallID, err = text(at, v)
		case "name":
			r.Name, err = text(at, v)
		case "response":
			response = v
			if !v.IsObject() {
				err = wrongType(at, v, "an object")
			}
		case "parts":
			err = geminiList(at, v, func(at string, v gjson.Result) *RequestError {
				return geminiFields(at+".", v, func(name, at string, v gjson.Result) *RequestError {
					p, beyond, err := t.media(at, v)
					if err == nil && !beyond {
						media = append(media, p)
					}
					return err
				})
			})
		case "willContinue":
			if v.Bool() {
				t.d.beyond(at)
			}
		case "scheduling": // of the Live API
		default:
			t.d.beyond(at)
		}
		return err
	})
	if err != nil {
		return llm.Part{}, err
	}
	if r.Name == "" {
		return llm.Part{}, &RequestError{at + ".name", "is required"}
	}
	r.Parts, r.Error = geminiOutput(response, len(media) > 0)
	r.Parts = append(r.Parts, media...)
	t.d.match(r)
	return llm.Part{Kind: llm.Result, Result: r}, nil
}

// geminiOutput reads the response of a functionResponse.
func geminiOutput(response gjson.Result, media bool) (parts []llm.Part, failed bool) {
	said := response
	only := ""
	n := 0
	response.ForEach(func(key, _ gjson.Result) bool {
		only = key.String()
		n++
		return true
	})
	switch {
	case n == 0 && media:
		return nil, false
	case n == 0:
		return []llm.Part{{Kind: llm.Text, Text: "{}"}}, false
	case n == 1 && (only == "output" || only == "error"):
		response.ForEach(func(_, v gjson.Result) bool {
			said = v
			return true
		})
		failed = only == "error"
	}
	out := compact(said.Raw)
	if said.Type == gjson.String {
		out = said.String()
	}
	return []llm.Part{{Kind: llm.Text, Text: out}}, failed
}

// match finds the call that a result belongs to: by its id, else the first
// open one of its name.
func (d *geminiDecoder) match(r *llm.ToolResult) {
	var found *geminiOpenCall
	for _, c := range d.calls {
		if r.CallID != "" && c.call.ID == r.CallID {
			found = c
			break
		}
		if found == nil && !c.answered && c.call.Name == r.Name {
			found = c
		}
	}
	switch {
	case found != nil:
		found.answered = true
		r.CallID = found.call.ID
	case r.CallID == "":
		r.CallID = madeUpCallID("result", len(d.req.Messages))
	}
}

// GeminiCount writes the answer of countTokens.
func GeminiCount(tokens int64) []byte {
	return marshal(struct {
		Total int64 `json:"totalTokens"`
	}{tokens})
}
