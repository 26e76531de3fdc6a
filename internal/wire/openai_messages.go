package wire

import (
	"strings"

	"breakwater/internal/llm"
)

// openAIMessage is a message of a request.
type openAIMessage struct {
	Role       llm.Role     `json:"role"`
	Content    any          `json:"content"` // a string, a list of parts, or null
	Refusal    string       `json:"refusal,omitempty"`
	Name       string       `json:"name,omitempty"`
	ToolCalls  []openAICall `json:"tool_calls,omitempty"`
	ToolCallID string       `json:"tool_call_id,omitempty"`
}

// openAICall is a call of a function, in a request or an answer.
type openAICall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function openAICalled `json:"function"`
	Extra    *extraGoogle `json:"extra_content,omitempty"`
}

type openAICalled struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type openAIPart struct {
	Type       string            `json:"type"`
	Text       *string           `json:"text,omitempty"`
	ImageURL   *openAIImage      `json:"image_url,omitempty"`
	InputAudio *openAIAudio      `json:"input_audio,omitempty"`
	File       *openAIFile       `json:"file,omitempty"`
	Breakpoint *openAIBreakpoint `json:"prompt_cache_breakpoint,omitempty"`
}

type openAIImage struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

type openAIAudio struct {
	Data   string `json:"data"`
	Format string `json:"format"`
}

type openAIFile struct {
	FileID   string `json:"file_id,omitempty"`
	Filename string `json:"filename,omitempty"`
	FileData string `json:"file_data,omitempty"`
}

type openAIBreakpoint struct {
	Mode string `json:"mode"`
}

// maxOpenAICallID bounds a call's id: OpenAI refuses longer ones. Within it
// are the ids of all providers known today.
const maxOpenAICallID = 40

func openAICallID(id string) string {
	if len(id) > maxOpenAICallID {
		return madeUpCallID(id, 0)
	}
	return id
}

// openAIMessages writes a conversation. Thinking is left out: OpenAI wants
// none back in chat completions. Tool messages can only hold text, so that the
// images and files of results follow in a message of the user's, once the
// results of a turn are complete.
func openAIMessages(m openAIModel, messages []llm.Message, a *adjusted) []openAIMessage {
	w := openAIWriter{model: m}
	for _, m := range messages {
		if m.Role != llm.ToolRole {
			w.flush()
		}
		w.message(m)
	}
	w.flush()
	a.dropped("messages.name", w.renamed)
	a.dropped("messages.prompt_cache_breakpoint", w.uncached)
	if w.out == nil {
		w.out = []openAIMessage{}
	}
	return w.out
}

type openAIWriter struct {
	model    openAIModel
	out      []openAIMessage
	media    []openAIPart // of results, to be sent
	renamed  bool
	uncached bool
}

// flush sends the media of results.
func (w *openAIWriter) flush() {
	if len(w.media) > 0 {
		w.out = append(w.out, openAIMessage{Role: llm.User, Content: w.media})
		w.media = nil
	}
}

func (w *openAIWriter) message(m llm.Message) {
	out := openAIMessage{Role: m.Role}
	switch {
	case m.Role != llm.System && m.Role != llm.Developer:
	case w.model.reasons():
		out.Role = llm.Developer
	default:
		out.Role = llm.System
	}
	if m.Name != "" && m.Role != llm.ToolRole {
		out.Name = nameFor(m.Name, "")
		w.renamed = w.renamed || out.Name != m.Name
	}
	var parts []openAIPart
	results := false
	for _, p := range m.Parts {
		switch p.Kind {
		case llm.Call:
			args := string(p.Call.Args)
			if args == "" {
				args = "{}"
			}
			out.ToolCalls = append(out.ToolCalls, openAICall{ID: openAICallID(p.Call.ID), Type: "function", Function: openAICalled{p.Call.Name, args}})
		case llm.Result:
			results = true
			w.result(p)
		case llm.Refusal:
			out.Refusal += p.Text
		case llm.Thinking:
		default:
			parts = append(parts, w.part(p))
		}
	}
	if results && len(parts) == 0 {
		return
	}
	if out.Role == llm.ToolRole { // words beside results, which no dialect is known to say
		out.Role = llm.User
	}
	out.Content = openAIContent(parts)
	if len(parts) == 0 && (len(out.ToolCalls) > 0 || out.Refusal != "") {
		out.Content = nil
	}
	w.out = append(w.out, out)
}

// openAIContent gives a lone text as a string, which every server understands.
func openAIContent(parts []openAIPart) any {
	switch {
	case len(parts) == 0:
		return ""
	case len(parts) == 1 && parts[0].Text != nil && parts[0].Breakpoint == nil:
		return *parts[0].Text
	}
	return parts
}

// result sends what a tool gave. OpenAI has no word for a tool's failure: the
// text says it.
func (w *openAIWriter) result(p llm.Part) {
	id := openAICallID(p.Result.CallID)
	var texts, media []openAIPart
	for _, inner := range p.Result.Parts {
		if q := w.part(inner); q.Text != nil {
			texts = append(texts, q)
		} else {
			media = append(media, q)
		}
	}
	if p.Result.Error {
		failed := "Error: "
		if len(texts) > 0 {
			failed += *texts[0].Text
			texts = texts[1:]
		}
		texts = append([]openAIPart{{Type: "text", Text: &failed}}, texts...)
	}
	if len(media) > 0 {
		told := "The result of the tool call " + id + ":"
		w.media = append(append(w.media, openAIPart{Type: "text", Text: &told}), media...)
		if len(texts) == 0 {
			told := "The result follows in the next message of the user."
			texts = []openAIPart{{Type: "text", Text: &told}}
		}
	}
	if w.marked(p.Cache) && len(texts) > 0 {
		texts[len(texts)-1].Breakpoint = &openAIBreakpoint{"explicit"}
	}
	w.out = append(w.out, openAIMessage{Role: llm.ToolRole, Content: openAIContent(texts), ToolCallID: id})
}

// marked says whether a mark of the prompt cache can be passed on: models
// before gpt-5.6 cache as they see fit, see
// https://developers.openai.com/api/docs/guides/prompt-caching (2026-11).
func (w *openAIWriter) marked(cache string) bool {
	if cache != "" && w.model.version < 506 {
		w.uncached = true
		return false
	}
	return cache != ""
}

func (w *openAIWriter) part(p llm.Part) openAIPart {
	var out openAIPart
	switch p.Kind {
	case llm.Image:
		out = openAIPart{Type: "image_url", ImageURL: &openAIImage{URL: p.Media.URL, Detail: p.Media.Detail}}
		if p.Media.Data != "" {
			kind := p.Media.MIME
			if kind == "" {
				kind = "image/png" // OpenAI looks into the data itself
			}
			out.ImageURL.URL = "data:" + kind + ";base64," + p.Media.Data
		}
	case llm.Audio:
		out = openAIPart{Type: "input_audio", InputAudio: &openAIAudio{p.Media.Data, audioFormat(p.Media.MIME)}}
	case llm.Document:
		out = openAIDocument(p.Media)
	default:
		out = openAIPart{Type: "text", Text: &p.Text}
	}
	if w.marked(p.Cache) {
		out.Breakpoint = &openAIBreakpoint{"explicit"}
	}
	return out
}

// openAIDocument writes a document: text as text, a PDF as a file, and what was
// uploaded to OpenAI by its id.
func openAIDocument(m *llm.Media) openAIPart {
	if text, ok := plainDocument(m); ok {
		if m.Name != "" {
			text = strings.TrimSpace(m.Name) + ":\n\n" + text
		}
		return openAIPart{Type: "text", Text: &text}
	}
	if m.FileID != "" {
		return openAIPart{Type: "file", File: &openAIFile{FileID: m.FileID}}
	}
	name := m.Name
	if name == "" {
		name = "document.pdf"
	}
	return openAIPart{Type: "file", File: &openAIFile{Filename: name, FileData: "data:" + m.MIME + ";base64," + m.Data}}
}
