package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// geminiRequest is what is read of a request, in the spelling of JSON.
type geminiRequest struct {
	Contents          []geminiContent
	SystemInstruction geminiContent
	GenerationConfig  geminiConfig
	Tools             []struct{ FunctionDeclarations []geminiFunction }
	ToolConfig        struct {
		FunctionCallingConfig struct {
			Mode                 string
			AllowedFunctionNames []string
		}
	}
}

type geminiConfig struct {
	MaxOutputTokens    int
	StopSequences      []string
	Temperature        float64
	CandidateCount     int
	ResponseMimeType   string
	ResponseSchema     json.RawMessage
	ResponseJSONSchema json.RawMessage `json:"responseJsonSchema"`
	ResponseLogprobs   bool
	Logprobs           *int
	ThinkingConfig     struct {
		IncludeThoughts bool
		ThinkingBudget  *int
		ThinkingLevel   string
	}
}

// schema gives that of the answer; nil where there is none.
func (g geminiConfig) schema() json.RawMessage {
	if g.ResponseSchema != nil {
		return g.ResponseSchema
	}
	return g.ResponseJSONSchema
}

type geminiFunction struct {
	Name                 string
	Parameters           json.RawMessage
	ParametersJSONSchema json.RawMessage `json:"parametersJsonSchema"`
}

func (f geminiFunction) schema() json.RawMessage {
	if f.Parameters != nil {
		return f.Parameters
	}
	return f.ParametersJSONSchema
}

// geminiContent is one turn, or the system instruction.
type geminiContent struct {
	Role  string
	Parts []geminiPart
}

type geminiPart struct {
	Text             *string
	Thought          bool
	ThoughtSignature string
	InlineData       *geminiBlob
	FileData         *geminiFile
	FunctionCall     *struct {
		ID, Name string
		Args     json.RawMessage
	}
	FunctionResponse *geminiFunctionResponse

	ExecutableCode, CodeExecutionResult, ToolCall, ToolResponse json.RawMessage
}

type geminiBlob struct{ MimeType, Data string }

type geminiFile struct {
	MimeType string
	FileURI  string `json:"fileUri"`
}

type geminiFunctionResponse struct {
	ID, Name string
	Response map[string]json.RawMessage
	Parts    []struct {
		InlineData *geminiBlob
		FileData   *geminiFile
	}
}

// said gives the text of a turn, thoughts left out.
func (m geminiContent) said() string {
	var texts []string
	for _, p := range m.Parts {
		if p.Text != nil && !p.Thought {
			texts = append(texts, *p.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func (m geminiContent) calls() (n int) {
	for _, p := range m.Parts {
		if p.FunctionCall != nil {
			n++
		}
	}
	return n
}

func (m geminiContent) responses() (n int) {
	for _, p := range m.Parts {
		if p.FunctionResponse != nil {
			n++
		}
	}
	return n
}

func (d gemini) decode(r *http.Request, body []byte) (call, *response) {
	var c call
	c.model, c.method, _ = geminiPath(r.URL.Path)
	c.stream = c.method == "streamGenerateContent"
	c.array = c.stream && r.URL.Query().Get("alt") != "sse"
	refusal := d.read(body, &c)
	if refusal != nil {
		res := refusal.as(c)
		refusal = &res
	}
	return c, refusal
}

func geminiBad(format string, args ...any) *response {
	res := geminiError(400, "INVALID_ARGUMENT", fmt.Sprintf(format, args...))
	return &res
}

// geminiBody reads a body of some kind in the spelling of JSON.
func geminiBody(body []byte, kind string, q any) *response {
	var tree json.RawMessage
	if err := json.Unmarshal(body, &tree); err != nil {
		return geminiBad("Invalid JSON payload received. Unexpected token.\n%s\n^", body[:min(len(body), 40)])
	}
	if tree[0] != '{' {
		return geminiBad("Invalid JSON payload received. A value does not match the type of its field.")
	}
	renamed, problem := geminiTree(tree, kind, "")
	if problem != "" {
		res := geminiError(400, "INVALID_ARGUMENT", problem,
			`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":`+quote(problem)+`}]}`)
		return &res
	}
	err := json.Unmarshal([]byte(renamed), q)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return geminiBad("Invalid JSON payload received. A value does not match the type of its field: %s", wrong.Field)
	}
	return nil
}

// read reads a request of any method into a call.
func (gemini) read(body []byte, c *call) *response {
	switch c.method {
	case "embedContent", "batchEmbedContents":
		return readGeminiEmbedding(body, c)
	}
	if embeds(c.model) {
		res := geminiNoModel(c.model, c.method)
		return &res
	}
	var q geminiRequest
	if refusal := geminiBody(body, "generate", &q); refusal != nil {
		return refusal
	}
	g := q.GenerationConfig
	c.maxTokens, c.stop, c.n = g.MaxOutputTokens, g.StopSequences, g.CandidateCount
	c.logprobs = g.ResponseLogprobs
	if g.Logprobs != nil {
		c.likely = *g.Logprobs
	}
	c.thinks = g.ThinkingConfig.ThinkingBudget == nil || *g.ThinkingConfig.ThinkingBudget != 0
	c.hides = !g.ThinkingConfig.IncludeThoughts
	if g.ResponseMimeType == "application/json" {
		c.form = form{json: true, schema: g.schema()}
	}
	for _, t := range q.Tools {
		for _, f := range t.FunctionDeclarations {
			c.tools = append(c.tools, tool{f.Name, f.schema()})
		}
	}
	calling := q.ToolConfig.FunctionCallingConfig
	c.choice = choice{none: calling.Mode == "NONE", any: calling.Mode == "ANY", names: calling.AllowedFunctionNames}
	for _, check := range []func() *response{q.checkContents, q.checkTurns, q.checkConfig, q.checkTools} {
		if refusal := check(); refusal != nil {
			return refusal
		}
	}
	if refusal := q.checkSignatures(c.model); refusal != nil {
		return refusal
	}
	if refusal := q.checkModel(c.model); refusal != nil {
		return refusal
	}
	return q.converse(c)
}

// converse puts the conversation into a call.
func (q geminiRequest) converse(c *call) *response {
	texts := []string{q.SystemInstruction.said()}
	for i, m := range q.Contents {
		texts = append(texts, m.said())
		if m.Role == "model" {
			c.results, c.begun = nil, m.said()
			if m.calls() > 0 {
				c.prompt, c.sees = "", nil // done with
			}
			continue
		}
		var sees []medium
		for j, p := range m.Parts {
			seen, ok := geminiMedium(p.InlineData, p.FileData)
			switch {
			case !ok:
				return geminiBad("Invalid value at 'contents[%d].parts[%d].inline_data.data' (TYPE_BYTES), Base64 decoding failed for %s", i, j, quote(p.InlineData.Data))
			case p.InlineData != nil || p.FileData != nil:
				sees = append(sees, seen)
			case p.FunctionResponse != nil:
				r, ok := p.FunctionResponse.result()
				if !ok {
					return geminiBad("Invalid value at 'contents[%d].parts[%d].function_response.parts' (TYPE_BYTES), Base64 decoding failed", i, j)
				}
				c.results = append(c.results, r)
				texts = append(texts, r.text)
			}
		}
		if m.responses() == 0 || m.said() != "" {
			c.hear(m.said(), sees)
		}
	}
	for _, t := range c.tools {
		texts = append(texts, t.name+string(t.schema))
	}
	if texts[0] == "" {
		texts = texts[1:]
	}
	c.input = count(texts...)
	return nil
}

func geminiMedium(blob *geminiBlob, file *geminiFile) (m medium, ok bool) {
	switch {
	case blob != nil:
		return inline(blob.MimeType, strings.NewReplacer("-", "+", "_", "/").Replace(blob.Data))
	case file != nil:
		kind, _, _ := strings.Cut(file.MimeType, "/")
		return medium{kind: kind, url: file.FileURI}, true
	}
	return m, true
}

// result reads what a function gave: under output or error, as the
// documentation says, under result, as the SDKs do, or the whole of it
// (https://ai.google.dev/api/caching#FunctionResponse, 2026-11).
func (f geminiFunctionResponse) result() (result, bool) {
	r := result{name: f.Name, text: quote(f.Response)}
	for _, key := range []string{"output", "error", "result"} {
		if value, ok := f.Response[key]; ok {
			r.text, r.failed = string(value), key == "error"
			_ = json.Unmarshal(value, &r.text) // a text is said without its quotes
			break
		}
	}
	for _, p := range f.Parts {
		m, ok := geminiMedium(p.InlineData, p.FileData)
		if !ok {
			return r, false
		}
		r.sees = append(r.sees, m)
	}
	return r, true
}

// count answers a request to count tokens (https://ai.google.dev/api/tokens, 2026-11).
func (gemini) count(model string, body []byte, models []string) response {
	var q struct {
		Contents               []geminiContent
		GenerateContentRequest *geminiRequest
	}
	if refusal := geminiBody(body, "count", &q); refusal != nil {
		return *refusal
	}
	all := geminiRequest{Contents: q.Contents}
	if q.GenerateContentRequest != nil {
		if q.Contents != nil {
			return *geminiBad("Only one of contents and generate_content_request may be set.")
		}
		all = *q.GenerateContentRequest
	}
	if !knows(models, model) {
		return geminiNoModel(model, "countTokens")
	}
	var c call
	for _, t := range all.Tools {
		for _, f := range t.FunctionDeclarations {
			c.tools = append(c.tools, tool{f.Name, f.schema()})
		}
	}
	if refusal := all.checkContents(); refusal != nil {
		return *refusal
	}
	if refusal := all.converse(&c); refusal != nil {
		return *refusal
	}
	return response{status: 200, header: contentType(geminiJSON), body: indent(fmt.Sprintf(
		`{"totalTokens":%d,"promptTokensDetails":[{"modality":"TEXT","tokenCount":%d}]}`, c.input, c.input))}
}
