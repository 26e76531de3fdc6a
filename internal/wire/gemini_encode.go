package wire

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

type geminiBlob struct {
	MIME string `json:"mimeType"`
	Data string `json:"data"`
}

type geminiFile struct {
	MIME string `json:"mimeType,omitempty"`
	URI  string `json:"fileUri"`
}

type geminiCall struct {
	ID   string          `json:"id,omitempty"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

type geminiResult struct {
	ID       string          `json:"id,omitempty"`
	Name     string          `json:"name"`
	Response json.RawMessage `json:"response"`
	Parts    []geminiPart    `json:"parts,omitempty"`
}

type geminiPart struct {
	Text      *string       `json:"text,omitempty"`
	Thought   bool          `json:"thought,omitempty"`
	Call      *geminiCall   `json:"functionCall,omitempty"`
	Result    *geminiResult `json:"functionResponse,omitempty"`
	Inline    *geminiBlob   `json:"inlineData,omitempty"`
	File      *geminiFile   `json:"fileData,omitempty"`
	Signature string        `json:"thoughtSignature,omitempty"`
}

type geminiContent struct {
	Parts []geminiPart `json:"parts,omitempty"`
	Role  string       `json:"role,omitempty"`
}

type geminiFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
	JSONSchema  json.RawMessage `json:"parametersJsonSchema,omitempty"`
}

type geminiTool struct {
	Functions []geminiFunction `json:"functionDeclarations"`
}

type geminiToolConfig struct {
	Calling struct {
		Mode    string   `json:"mode"`
		Allowed []string `json:"allowedFunctionNames,omitempty"`
	} `json:"functionCallingConfig"`
}

type geminiThinking struct {
	Budget *int64 `json:"thinkingBudget,omitempty"`
	Level  string `json:"thinkingLevel,omitempty"`
	Show   bool   `json:"includeThoughts,omitempty"`
}

type geminiConfig struct {
	Temperature      *float64        `json:"temperature,omitempty"`
	TopP             *float64        `json:"topP,omitempty"`
	TopK             *int64          `json:"topK,omitempty"`
	Candidates       *int64          `json:"candidateCount,omitempty"`
	MaxOutputTokens  *int64          `json:"maxOutputTokens,omitempty"`
	StopSequences    []string        `json:"stopSequences,omitempty"`
	Seed             *int64          `json:"seed,omitempty"`
	FrequencyPenalty *float64        `json:"frequencyPenalty,omitempty"`
	PresencePenalty  *float64        `json:"presencePenalty,omitempty"`
	ResponseLogprobs bool            `json:"responseLogprobs,omitempty"`
	Logprobs         *int64          `json:"logprobs,omitempty"`
	MIME             string          `json:"responseMimeType,omitempty"`
	Schema           json.RawMessage `json:"responseSchema,omitempty"`
	JSONSchema       json.RawMessage `json:"responseJsonSchema,omitempty"`
	Thinking         *geminiThinking `json:"thinkingConfig,omitempty"`
}

type geminiBody struct {
	System     *geminiContent    `json:"systemInstruction,omitempty"`
	Contents   []geminiContent   `json:"contents"`
	Tools      []geminiTool      `json:"tools,omitempty"`
	ToolConfig *geminiToolConfig `json:"toolConfig,omitempty"`
	Tier       string            `json:"serviceTier,omitempty"`
	Config     geminiConfig      `json:"generationConfig,omitzero"`
}

// encodeGemini writes the body of generateContent and streamGenerateContent,
// see https://ai.google.dev/api/generate-content (2026-11). The model and
// whether to stream stand in the path, not in the body.
func encodeGemini(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.GeminiGenerate {
		return spliceGemini(model, req)
	}
	if err := translatable(req, llm.GeminiGenerate); err != nil {
		return Encoded{}, err
	}
	if lacks := lacksGemini(model, req); len(lacks) > 0 {
		return Encoded{}, &RequestError{lacks[0], "cannot be asked of " + label(model)}
	}
	e := geminiEncoder{version: geminiVersion(model), pro: strings.Contains(model, "pro"), lite: strings.Contains(model, "lite"), names: callNames(req.Messages)}
	e.adjusted.names(req.Messages)
	e.conversation(req.Messages)
	body := geminiBody{System: e.system, Contents: e.contents}
	if len(body.Contents) == 0 {
		return Encoded{}, &RequestError{"messages", "Gemini needs a message that is not empty"}
	}
	e.tools(req, &body)
	body.Config = e.sampling(req)
	e.format(req.Format, &body.Config)
	body.Config.Thinking = e.thinking(req.Thought)
	e.labels(req, &body)
	return encoded(body, e.adjusted)
}

// geminiEncoder writes one request.
type geminiEncoder struct {
	version   int
	pro, lite bool
	names     map[string]string // of tools, by the ids of their calls
	system    *geminiContent
	contents  []geminiContent
	media     []geminiPart // of tool results, for models that take none within them
	adjusted  adjusted
}

// note adds a name to what was adjusted, once.
func (e *geminiEncoder) note(name string) {
	if !slices.Contains(e.adjusted, name) {
		e.adjusted = append(e.adjusted, name)
	}
}

// conversation writes the messages. Instructions from anywhere go to
// systemInstruction, in order: those that stood later are named. Instructions
// alone, which OpenAI answers and Gemini refuses, become the user's turn.
func (e *geminiEncoder) conversation(messages []llm.Message) {
	var instructions []geminiPart
	for i, m := range messages {
		if m.Role == llm.System || m.Role == llm.Developer {
			if strings.TrimSpace(m.Text()) != "" && len(e.contents) > 0 {
				e.note(fmt.Sprintf("messages[%d].role", i))
			}
			for _, p := range m.Parts {
				if p.Kind == llm.Text && strings.TrimSpace(p.Text) != "" {
					instructions = append(instructions, geminiPart{Text: &p.Text})
				}
			}
			e.cached(m.Parts)
			continue
		}
		role, parts := e.message(m)
		if role != "user" || m.Role != llm.ToolRole {
			e.flush()
		}
		e.turn(role, parts)
	}
	e.flush()
	switch {
	case len(instructions) == 0:
	case len(e.contents) == 0:
		e.turn("user", instructions)
	case e.version == 0 && e.contents[0].Role == "user": // Gemma knows no system instruction
		e.contents[0].Parts = append(instructions, e.contents[0].Parts...)
	default:
		e.system = &geminiContent{Parts: instructions}
	}
}

// turn adds parts to the last content of the same role, or begins one.
func (e *geminiEncoder) turn(role string, parts []geminiPart) {
	if len(parts) == 0 {
		return
	}
	if last := len(e.contents) - 1; last >= 0 && e.contents[last].Role == role {
		e.contents[last].Parts = append(e.contents[last].Parts, parts...)
		return
	}
	e.contents = append(e.contents, geminiContent{Role: role, Parts: parts})
}

// flush adds the media of tool results behind all results of their turn.
func (e *geminiEncoder) flush() {
	e.turn("user", e.media)
	e.media = nil
}

func (e *geminiEncoder) cached(parts []llm.Part) {
	for _, p := range parts {
		if p.Cache != "" { // Gemini caches by itself
			e.note("cache_control")
		}
	}
}

// message writes the parts of a message. Gemini 3 demands a signature on the
// first call of a turn.
func (e *geminiEncoder) message(m llm.Message) (role string, parts []geminiPart) {
	role = "user"
	if m.Role == llm.Assistant {
		role = "model"
	}
	e.cached(m.Parts)
	called := false
	if last := len(e.contents) - 1; last >= 0 && e.contents[last].Role == role {
		called = slices.ContainsFunc(e.contents[last].Parts, func(p geminiPart) bool { return p.Call != nil })
	}
	for _, p := range m.Parts {
		switch p.Kind {
		case llm.Text, llm.Refusal:
			if p.Text != "" {
				parts = append(parts, geminiPart{Text: &p.Text, Signature: ownSignature(p)})
			}
		case llm.Thinking:
			if signature := ownSignature(p); signature != "" {
				parts = append(parts, geminiPart{Text: &p.Text, Thought: p.Text != "", Signature: signature})
			}
		case llm.Call:
			call := geminiPart{Call: &geminiCall{ID: p.Call.ID, Name: p.Call.Name, Args: callInput(p.Call)}, Signature: ownSignature(p)}
			if call.Signature == "" && !called && e.version >= geminiLevels {
				call.Signature = geminiSkip
			}
			called = true
			parts = append(parts, call)
		case llm.Result:
			parts = append(parts, geminiPart{Result: e.result(p.Result)})
		default:
			parts = append(parts, e.file(p))
		}
	}
	return role, parts
}

// ownSignature gives a part's signature where Gemini made it.
func ownSignature(p llm.Part) string {
	if p.SignedBy != llm.Gemini {
		return ""
	}
	return p.Signature
}

// result writes a functionResponse, see
// https://ai.google.dev/api/caching#FunctionResponse (2026-11): an object that
// the tool gave stands for itself, all else under output or error.
func (e *geminiEncoder) result(r *llm.ToolResult) *geminiResult {
	out := &geminiResult{ID: r.CallID, Name: r.Name}
	if out.Name == "" {
		out.Name = e.names[r.CallID]
	}
	var texts []string
	media := 0
	for _, p := range r.Parts {
		e.cached([]llm.Part{p})
		if p.Kind == llm.Text {
			texts = append(texts, p.Text)
			continue
		}
		file := e.file(p)
		if media++; e.version >= geminiLevels && file.Inline != nil && slices.Contains(geminiResultMedia(), file.Inline.MIME) {
			out.Parts = append(out.Parts, file)
		} else {
			e.media = append(e.media, file)
		}
	}
	said := strings.Join(texts, "\n")
	whole, isObject := object([]byte(said))
	switch {
	case r.Error:
		out.Response = marshal(map[string]string{"error": said})
	case len(texts) == 0 && media > 0:
		out.Response = []byte("{}")
	case isObject && !whole.Get("output").Exists() && !whole.Get("error").Exists():
		out.Response = []byte(said)
	case isObject:
		out.Response = marshal(map[string]json.RawMessage{"output": []byte(said)})
	default:
		out.Response = marshal(map[string]string{"output": said})
	}
	return out
}

// geminiResultMedia lists what a tool result may contain since Gemini 3, see
// https://ai.google.dev/gemini-api/docs/function-calling#multimodal (2026-11).
func geminiResultMedia() []string {
	return []string{"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}
}

// file writes an image, a document or a recording.
func (e *geminiEncoder) file(p llm.Part) geminiPart {
	m := p.Media
	if m.Name != "" {
		e.note("messages.file.filename")
	}
	if m.Detail == "low" || m.Detail == "high" {
		e.note("messages.image_url.detail")
	}
	switch {
	case m.URL != "":
		return geminiPart{File: &geminiFile{MIME: geminiMIME(p), URI: m.URL}}
	case m.Data == "" && m.Text != "":
		return geminiPart{Inline: &geminiBlob{MIME: "text/plain", Data: base64.StdEncoding.EncodeToString([]byte(m.Text))}}
	}
	return geminiPart{Inline: &geminiBlob{MIME: geminiMIME(p), Data: m.Data}}
}

// geminiMIME gives a file's type, or, where nothing tells it, the usual one.
func geminiMIME(p llm.Part) string {
	mime := p.Media.MIME
	if mime == "" {
		mime = mimeOf(p.Media.URL)
	}
	switch {
	case mime == "image/jpg":
		return "image/jpeg"
	case mime != "":
		return mime
	case p.Kind == llm.Image:
		return "image/jpeg"
	case p.Kind == llm.Document:
		return "application/pdf"
	}
	return "audio/wav"
}

// tools writes the tools and what the model does with them. Since strict
// tools are promised to fit their schemas, Gemini is asked to validate them.
func (e *geminiEncoder) tools(req *llm.Request, body *geminiBody) {
	strict := false
	var functions []geminiFunction
	for i, t := range req.Tools {
		f := geminiFunction{Name: t.Name, Description: t.Description}
		strict = strict || t.Strict != nil && *t.Strict
		if t.Cache != "" {
			e.note("cache_control")
		}
		if len(t.Schema) > 0 {
			schema, lost := geminiSchema(t.Schema, e.version < geminiJSONSchema)
			switch {
			case e.version >= geminiJSONSchema:
				f.JSONSchema = schema
			case gjson.GetBytes(schema, "properties").Exists():
				f.Parameters = schema
			}
			if len(lost) > 0 {
				e.note(fmt.Sprintf("tools[%d].parameters: %s", i, strings.Join(lost, " ")))
			}
		}
		functions = append(functions, f)
	}
	if len(functions) == 0 {
		return
	}
	body.Tools = []geminiTool{{functions}}
	choice := llm.ToolChoice{Mode: llm.ChooseAuto}
	if req.ToolChoice != nil {
		choice = *req.ToolChoice
	}
	c := new(geminiToolConfig)
	c.Calling.Allowed = choice.Among
	switch choice.Mode {
	case llm.ChooseNone:
		c.Calling.Mode, c.Calling.Allowed = "NONE", nil
	case llm.ChooseAny:
		c.Calling.Mode = "ANY"
	case llm.ChooseTool:
		c.Calling.Mode, c.Calling.Allowed = "ANY", []string{choice.Name}
	default:
		switch {
		case (strict || choice.Among != nil) && e.version >= geminiJSONSchema:
			c.Calling.Mode = "VALIDATED"
		case req.ToolChoice == nil:
			return
		default:
			c.Calling.Mode, c.Calling.Allowed = "AUTO", nil
		}
	}
	body.ToolConfig = c
}
