package wire

import (
	"math"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

type geminiPart struct {
	Text string `json:"text"`
}

type geminiContent struct {
	Role  string       `json:"role,omitempty"`
	Parts []geminiPart `json:"parts"`
}

type geminiConfig struct {
	Temperature      *float64 `json:"temperature,omitempty"`
	TopP             *float64 `json:"topP,omitempty"`
	TopK             *int64   `json:"topK,omitempty"`
	MaxOutputTokens  *int64   `json:"maxOutputTokens,omitempty"`
	StopSequences    []string `json:"stopSequences,omitempty"`
	Seed             *int64   `json:"seed,omitempty"`
	FrequencyPenalty *float64 `json:"frequencyPenalty,omitempty"`
	PresencePenalty  *float64 `json:"presencePenalty,omitempty"`
}

// encodeGemini writes the body of generateContent and streamGenerateContent,
// see https://ai.google.dev/api/generate-content (2026-11). The model and
// whether to stream stand in the path, not in the body.
func encodeGemini(_ string, req *llm.Request) (Encoded, error) {
	if err := translatable(req, llm.GeminiGenerate); err != nil {
		return Encoded{}, err
	}
	config := geminiConfig{
		Temperature: req.Temperature, TopP: req.TopP, TopK: req.TopK,
		MaxOutputTokens: req.MaxTokens, StopSequences: req.Stop, Seed: req.Seed,
	}
	if isSet(req.FrequencyPenalty, 0) { // some models refuse even a penalty of 0
		config.FrequencyPenalty = req.FrequencyPenalty
	}
	if isSet(req.PresencePenalty, 0) {
		config.PresencePenalty = req.PresencePenalty
	}
	var a adjusted
	a.names(req.Messages)
	if req.Seed != nil && (*req.Seed < math.MinInt32 || *req.Seed > math.MaxInt32) {
		config.Seed = nil
		a.dropped("seed", true)
	}
	a.dropped("user", req.User != "")

	system, turns := conversation(req.Messages)
	if len(turns) == 0 {
		return Encoded{}, &RequestError{"messages", "Gemini needs a message that is not empty"}
	}
	body := struct {
		System   *geminiContent  `json:"systemInstruction,omitempty"`
		Contents []geminiContent `json:"contents"`
		Config   geminiConfig    `json:"generationConfig,omitzero"`
	}{Config: config}
	if system != "" {
		body.System = &geminiContent{Parts: []geminiPart{{system}}}
	}
	for _, m := range turns {
		role := "user"
		if m.Role == llm.Assistant {
			role = "model"
		}
		content := geminiContent{Role: role}
		for _, p := range m.Parts {
			if p.Text != "" {
				content.Parts = append(content.Parts, geminiPart{p.Text})
			}
		}
		body.Contents = append(body.Contents, content)
	}
	return encoded(body, a)
}

// geminiFinish reads a finishReason, see
// https://ai.google.dev/api/generate-content#FinishReason (2026-11). MODEL_ARMOR
// is Vertex AI's.
func geminiFinish(v gjson.Result) llm.FinishReason {
	switch v.String() {
	case "", "FINISH_REASON_UNSPECIFIED":
		return ""
	case "MAX_TOKENS":
		return llm.FinishLength
	case "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return llm.FinishContentFilter
	}
	return llm.FinishStop
}

// geminiUsage reads usageMetadata; nil where there is none. Thoughts come on
// top of the candidates' tokens, the results of tools that Google ran on top
// of the prompt's.
func geminiUsage(v gjson.Result) *llm.Usage {
	if !v.IsObject() {
		return nil
	}
	thoughts := count(v.Get("thoughtsTokenCount"))
	return &llm.Usage{
		Input:     count(v.Get("promptTokenCount")) + count(v.Get("toolUsePromptTokenCount")),
		CacheRead: count(v.Get("cachedContentTokenCount")),
		Output:    count(v.Get("candidatesTokenCount")) + thoughts,
		Reasoning: thoughts,
	}
}

// geminiResponse reads one GenerateContentResponse: a whole answer or an event
// of one.
type geminiResponse struct {
	own    bool // for a caller of Gemini's dialect, to whom thoughts are content
	called bool // a function was called: the answer finishes with STOP all the same
}

func (g *geminiResponse) read(data []byte) (c llm.Chunk, f *llm.Failure) {
	o, ok := object(data)
	switch {
	case !ok:
		return c, garbage("the answer is not a JSON object", nil)
	case o.Get("error").IsObject():
		return c, geminiFailure(0, data)
	}
	c.ID, c.Model = o.Get("responseId").String(), o.Get("modelVersion").String()
	c.Usage = geminiUsage(o.Get("usageMetadata"))
	candidates := o.Get("candidates").Array()
	if reason := o.Get("promptFeedback.blockReason").String(); reason != "" && len(candidates) == 0 {
		return c, newFailure(llm.ContentFilter, 0, reason, "the prompt was blocked: "+reason)
	}
	for _, candidate := range candidates {
		if candidate.Get("index").Int() != 0 {
			c.Opaque = true // only the first of several answers is read
			continue
		}
		for _, part := range candidate.Get("content.parts").Array() {
			g.part(&c, part)
		}
		c.Finish = geminiFinish(candidate.Get("finishReason"))
	}
	if g.called && c.Finish == llm.FinishStop {
		c.Finish = llm.FinishToolCalls
	}
	return c, nil
}

func (g *geminiResponse) part(c *llm.Chunk, part gjson.Result) {
	text := part.Get("text")
	switch {
	case part.Get("thought").Bool():
		c.Opaque = c.Opaque || g.own
	case text.Exists():
		c.Text += text.String()
	case part.Get("functionCall").Exists():
		g.called = true
		c.Opaque = true
	default: // inlineData, executableCode, codeExecutionResult and others; or a signature alone
		part.ForEach(func(key, _ gjson.Result) bool {
			c.Opaque = c.Opaque || g.own || key.Str != "thoughtSignature"
			return true
		})
	}
}

// wholeGemini reads the answer of generateContent.
func wholeGemini(body []byte, req *llm.Request) (llm.Chunk, error) {
	g := geminiResponse{own: req.Dialect == llm.GeminiGenerate}
	c, f := g.read(body)
	switch {
	case f != nil:
		return llm.Chunk{}, f
	case !c.HasContent():
		return llm.Chunk{}, garbage("the answer is empty", nil)
	}
	c.Raw = body
	return c, nil
}

// geminiEvents reads the events of streamGenerateContent. There is no closing
// event: the answer is complete when the stream ends after a finishReason.
func geminiEvents(req *llm.Request) decoder {
	g := geminiResponse{own: req.Dialect == llm.GeminiGenerate}
	return func(e Event) (llm.Chunk, progress, *llm.Failure) {
		c, f := g.read(e.Data)
		if c.Finish != "" {
			return c, mayEnd, f
		}
		return c, more, f
	}
}
