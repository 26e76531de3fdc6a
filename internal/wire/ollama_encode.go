package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// This path speaks to Ollama with structs of its own: the client of package
// github.com/ollama/ollama/api takes a buffer of 8 MB for every streaming call
// (v0.34).

// ollamaBody is the body of POST /api/chat, see https://docs.ollama.com/api/chat
// and https://github.com/ollama/ollama/blob/main/docs/openapi.yaml (2026-11).
type ollamaBody struct {
	Model       string                     `json:"model"`
	Messages    []ollamaMessage            `json:"messages"`
	Stream      bool                       `json:"stream"`
	Options     map[string]json.RawMessage `json:"options,omitempty"`
	Tools       []ollamaTool               `json:"tools,omitempty"`
	Format      json.RawMessage            `json:"format,omitempty"`
	Think       any                        `json:"think,omitempty"` // a switch or a level
	Logprobs    bool                       `json:"logprobs,omitempty"`
	TopLogprobs *int64                     `json:"top_logprobs,omitempty"`
	KeepAlive   json.RawMessage            `json:"keep_alive,omitempty"`
	Truncate    json.RawMessage            `json:"truncate,omitempty"`
	Shift       json.RawMessage            `json:"shift,omitempty"`
}

// ollamaMessage is a message, of a request and of an answer. Ids of calls are
// known since v0.12; older servers go by the tool's name.
type ollamaMessage struct {
	Role       llm.Role     `json:"role"`
	Content    string       `json:"content"`
	Thinking   string       `json:"thinking,omitempty"`
	Images     []string     `json:"images,omitempty"`
	ToolCalls  []ollamaCall `json:"tool_calls,omitempty"`
	ToolName   string       `json:"tool_name,omitempty"`
	ToolCallID string       `json:"tool_call_id,omitempty"`
}

type ollamaCall struct {
	ID       string `json:"id,omitempty"`
	Function struct {
		Index     int             `json:"index"`
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

type ollamaTool struct {
	Type     string         `json:"type"`
	Function ollamaFunction `json:"function"`
}

type ollamaFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters"`
}

// ollamaLacks names what Ollama cannot do or be told. It takes images as
// base64 only and documents that are text, gives one answer, and cannot be made
// to call tools.
func ollamaLacks(_ string, req *llm.Request) []string {
	if req.Dialect == llm.OllamaChat {
		return nil
	}
	var lacks []string
	add := func(name string, lacking bool) {
		if lacking && !slices.Contains(lacks, name) {
			lacks = append(lacks, name)
		}
	}
	for _, field := range req.Beyond {
		add(field, req.Dialect != llm.OllamaGenerate || field != ollamaLoads)
	}
	for _, m := range req.Messages {
		ollamaLacksParts(m.Parts, add)
	}
	choice := req.ToolChoice
	add("tool_choice", choice != nil && (choice.Mode == llm.ChooseAny || choice.Mode == llm.ChooseTool))
	add("n", req.N != nil && *req.N > 1)
	add("top_logprobs", req.TopLogprobs != nil && *req.TopLogprobs > ollamaMaxTop)
	return lacks
}

func ollamaLacksParts(parts []llm.Part, add func(string, bool)) {
	for _, p := range parts {
		switch p.Kind {
		case llm.Image:
			add("messages.image", p.Media.Data == "")
		case llm.Document:
			_, isText := plainDocument(p.Media)
			add("messages.document", !isText)
		case llm.Audio:
			add("messages.audio", true)
		case llm.Result:
			ollamaLacksParts(p.Result.Parts, add)
		}
	}
}

// encodeOllama writes the body of POST /api/chat. For callers of other dialects
// it always asks for a stream: a local model may think for minutes, and only a
// stream tells thinking from hanging. A caller of Ollama's own gets what the
// body says.
func encodeOllama(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.OllamaChat {
		return spliceOllama(model, req)
	}
	if lacks := ollamaLacks(model, req); len(lacks) > 0 {
		return Encoded{}, &RequestError{lacks[0], fmt.Sprintf("cannot be carried from %s to %s", req.Dialect, llm.OllamaChat)}
	}
	e := ollamaEncoder{names: callNames(req.Messages), room: maxGrowth}
	e.body = ollamaBody{Model: model, Messages: []ollamaMessage{}, Stream: true, TopLogprobs: req.TopLogprobs}
	e.body.Logprobs = req.Logprobs != nil && *req.Logprobs
	e.options(req)
	for _, m := range req.Messages {
		e.message(m)
	}
	for i, t := range ollamaTools(req) {
		e.tool(i, t)
	}
	e.format(req.Format)
	e.think(req.Thought)
	e.note("user", req.User != "")
	e.note("metadata", len(req.Metadata) > 0)
	e.note("service_tier", req.ServiceTier != "")
	return encoded(e.body, e.adjusted)
}

// spliceOllama keeps the caller's body but for the model's name.
func spliceOllama(model string, req *llm.Request) (Encoded, error) {
	body := []byte(req.Body)
	if gjson.GetBytes(body, "model").String() == model {
		return Encoded{Body: body}, nil
	}
	body, err := sjson.SetBytes(body, "model", model)
	if err != nil {
		return Encoded{}, &RequestError{"model", "cannot be replaced in the body"}
	}
	return Encoded{Body: body}, nil
}

// ollamaEncoder fills a body from a request.
type ollamaEncoder struct {
	body     ollamaBody
	names    map[string]string // of tools, by the ids of calls
	room     int               // by which tool schemas may still grow
	adjusted adjusted
}

// note notes a name once.
func (e *ollamaEncoder) note(name string, set bool) {
	e.adjusted.dropped(name, set && !slices.Contains(e.adjusted, name))
}

// options writes the settings. A request of /api/generate has more of them,
// which the shared words cannot say, in the same shape.
func (e *ollamaEncoder) options(req *llm.Request) {
	options := make(map[string]json.RawMessage)
	if req.Dialect == llm.OllamaGenerate {
		o := gjson.ParseBytes(req.Body)
		o.Get("options").ForEach(func(name, v gjson.Result) bool {
			options[name.String()] = json.RawMessage(v.Raw)
			return true
		})
		raw := func(name string) json.RawMessage { return json.RawMessage(o.Get(name).Raw) }
		e.body.KeepAlive, e.body.Truncate, e.body.Shift = raw("keep_alive"), raw("truncate"), raw("shift")
	}
	setOption(options, "temperature", req.Temperature)
	setOption(options, "top_p", req.TopP)
	setOption(options, "top_k", req.TopK)
	setOption(options, "num_predict", req.MaxTokens)
	setOption(options, "seed", req.Seed)
	setOption(options, "frequency_penalty", req.FrequencyPenalty)
	setOption(options, "presence_penalty", req.PresencePenalty)
	if len(req.Stop) > 0 {
		options["stop"] = marshal(req.Stop)
	}
	e.body.Options = options
}

func setOption[T int64 | float64](options map[string]json.RawMessage, name string, v *T) {
	if v != nil {
		options[name] = json.RawMessage(fmt.Sprint(*v)) // what is no number fails when the body is written
	}
}

// message writes a message: as several, where it holds several results, or
// images with text between them, since Ollama shows a message's images to the
// model before its text.
func (e *ollamaEncoder) message(m llm.Message) {
	e.note("messages.name", m.Name != "")
	role := m.Role
	if role == llm.Developer {
		role = llm.System
	}
	said := ollamaMessage{Role: role}
	interleaved := textBetweenImages(m.Parts)
	results := false
	flush := func() {
		e.body.Messages = append(e.body.Messages, said)
		said = ollamaMessage{Role: role}
	}
	for _, p := range m.Parts {
		e.note("cache_control", p.Cache != "")
		switch p.Kind {
		case llm.Result:
			results = true
			e.body.Messages = append(e.body.Messages, e.result(p.Result))
			continue
		case llm.Image:
			if interleaved && said.Content != "" {
				flush()
			}
		}
		e.part(&said, p)
	}
	if said.Content != "" || said.Images != nil || said.ToolCalls != nil || said.Thinking != "" || !results {
		flush()
	}
}

// part adds a part to the message it belongs to.
func (e *ollamaEncoder) part(said *ollamaMessage, p llm.Part) {
	switch p.Kind {
	case llm.Text:
		// Blocks of a prompt are texts of their own; an answer's are pieces of one.
		if said.Role != llm.Assistant && said.Role != llm.ToolRole && said.Content != "" && !strings.HasSuffix(said.Content, "\n") {
			said.Content += "\n"
		}
		said.Content += p.Text
	case llm.Document:
		text, _ := plainDocument(p.Media)
		said.Content += "\n" + text + "\n"
	case llm.Refusal: // Ollama knows no other words than content
		said.Content += p.Text
		e.note("messages.refusal", true)
	case llm.Image:
		said.Images = append(said.Images, p.Media.Data)
		e.note("messages.image_url.detail", p.Media.Detail != "" && p.Media.Detail != "auto")
	case llm.Thinking:
		if p.Redacted || p.SignedBy != "" && p.SignedBy != llm.Local {
			e.note("messages.thinking", true) // it is for its own provider only
			return
		}
		said.Thinking += p.Text
	case llm.Call:
		c := ollamaCall{ID: p.Call.ID}
		c.Function.Index, c.Function.Name, c.Function.Arguments = len(said.ToolCalls), p.Call.Name, callInput(p.Call)
		said.ToolCalls = append(said.ToolCalls, c)
	}
}

// result writes a tool's result. That it is an error only its words can say.
func (e *ollamaEncoder) result(r *llm.ToolResult) ollamaMessage {
	said := ollamaMessage{Role: llm.ToolRole, ToolName: r.Name, ToolCallID: r.CallID}
	if said.ToolName == "" {
		said.ToolName = e.names[r.CallID]
	}
	if r.Error {
		said.Content = "Error: "
	}
	for _, p := range r.Parts {
		e.note("cache_control", p.Cache != "")
		e.part(&said, p)
	}
	return said
}

// textBetweenImages says whether text parts images.
func textBetweenImages(parts []llm.Part) bool {
	image, text := false, false
	for _, p := range parts {
		switch p.Kind {
		case llm.Image:
			if image && text {
				return true
			}
			image, text = true, false
		case llm.Text:
			text = text || p.Text != ""
		}
	}
	return false
}

// ollamaTools are the tools that the model may call. Without any of them it
// calls none.
func ollamaTools(req *llm.Request) []llm.Tool {
	choice := req.ToolChoice
	switch {
	case choice == nil:
		return req.Tools
	case choice.Mode == llm.ChooseNone:
		return nil
	case choice.Among == nil:
		return req.Tools
	}
	var among []llm.Tool
	for _, t := range req.Tools {
		if slices.Contains(choice.Among, t.Name) {
			among = append(among, t)
		}
	}
	return among
}

func (e *ollamaEncoder) tool(i int, t llm.Tool) {
	e.note("cache_control", t.Cache != "")
	e.note("tools.strict", t.Strict != nil && *t.Strict)
	parameters, lost := ollamaSchema(t.Schema, e.room)
	e.room -= min(e.room, max(0, len(parameters)-len(t.Schema)))
	if len(lost) > 0 {
		e.note(fmt.Sprintf("tools[%d].parameters: %s", i, strings.Join(lost, " ")), true)
	}
	e.body.Tools = append(e.body.Tools, ollamaTool{"function", ollamaFunction{t.Name, t.Description, parameters}})
}

// format asks for "json" or a schema, see
// https://docs.ollama.com/capabilities/structured-outputs (2026-11). Ollama
// holds to a schema strictly, and has no use for its name.
func (e *ollamaEncoder) format(f *llm.Format) {
	switch {
	case f == nil:
	case f.Kind == llm.FormatJSON || len(f.Schema) == 0:
		e.body.Format = json.RawMessage(`"json"`)
	default:
		e.body.Format = f.Schema
		e.note("response_format.json_schema.description", f.Description != "")
	}
}

// think says how much to reason, see
// https://docs.ollama.com/capabilities/thinking (2026-11): a switch, or one of
// low, medium, high and max. Nothing is said where the model is to decide:
// models that can think do so by default, and others refuse to be asked.
func (e *ollamaEncoder) think(t *llm.Thought) {
	switch {
	case t == nil:
	case t.Effort == "none", t.Budget != nil && *t.Budget == 0:
		e.body.Think = false
	case t.Adaptive:
		e.note("reasoning_effort", t.Effort != "")
	case t.Effort == "minimal":
		e.body.Think = "low"
		e.note("reasoning_effort", true)
	case t.Effort == "xhigh":
		e.body.Think = "max"
		e.note("reasoning_effort", true)
	case t.Effort != "":
		e.body.Think = t.Effort
	case t.Budget != nil:
		e.body.Think = true
		e.note("reasoning_effort", *t.Budget > 0)
	}
}
