package wire

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// The versions that Gemini's abilities came with.
const (
	// geminiJSONSchema takes JSON schemas, addresses of files, thinking
	// budgets and the mode VALIDATED.
	geminiJSONSchema = 205
	// geminiLevels takes thinking levels, media in tool results and tools
	// together with a response format, and wants signatures on calls.
	geminiLevels = 300
	// geminiNewest is assumed where the name tells none, as gemini-flash-latest.
	geminiNewest = 9900
)

// geminiVersion reads a version such as 205 out of ids such as
// models/gemini-2.5-flash; 0 for Gemma before its version 4, Google's open
// model without tools, response formats and instructions.
func geminiVersion(model string) int {
	model = strings.TrimPrefix(model, "models/")
	if strings.HasPrefix(model, "gemma-3") || strings.HasPrefix(model, "gemma-2") {
		return 0
	}
	var major, minor int
	if n, _ := fmt.Sscanf(model, "gemini-%d.%d", &major, &minor); n == 0 {
		return geminiNewest
	}
	return min(max(major, 0), 98)*100 + min(max(minor, 0), 99)
}

// geminiMaxOutput is the highest limit of an answer that a model of a version
// takes; 0 where none is known. The figures are those of
// https://ai.google.dev/gemini-api/docs/models (2026-11).
func geminiMaxOutput(version int) int64 {
	if version > 0 && version <= 200 {
		return 8192
	}
	return 0
}

// geminiGoesOn says whether the model goes on with the beginning of its own
// answer: the newest refuse it, by
// https://github.com/LibreChat-AI/agents/pull/323 (2026-07).
func geminiGoesOn(model string, version int) bool {
	return version < 306 && !strings.Contains(model, "gemini-3.5-flash-lite")
}

// lacksGemini names what this model cannot be asked.
func lacksGemini(model string, req *llm.Request) []string {
	if req.Dialect == llm.GeminiGenerate {
		return nil
	}
	lacks := slices.Clone(req.Beyond)
	lack := func(name string, missing bool) {
		if missing && !slices.Contains(lacks, name) {
			lacks = append(lacks, name)
		}
	}
	lack("messages", !saysSomething(req))
	version := geminiVersion(model)
	speaks := strings.Contains(model, "-tts") || strings.Contains(model, "-image")
	lack("tools", len(req.Tools) > 0 && (version == 0 || speaks))
	lack("response_format", req.Format != nil && (version == 0 || len(req.Tools) > 0 && version < geminiLevels))
	lack("tool_choice", req.ToolChoice != nil && req.ToolChoice.Mode == llm.ChooseAuto && req.ToolChoice.Among != nil && version < geminiJSONSchema)
	lack("messages.prefill", begins(req) && !geminiGoesOn(model, version))
	lack("n", req.N != nil && *req.N > 8)
	lack("stop", len(req.Stop) > 5)
	lack("top_logprobs", req.TopLogprobs != nil && *req.TopLogprobs > 20)
	names := callNames(req.Messages)
	for _, m := range req.Messages {
		for _, p := range m.Parts {
			lack(lacksGeminiPart(version, p))
			if p.Kind != llm.Result {
				continue
			}
			lack("messages.tool_call_id", p.Result.Name == "" && names[p.Result.CallID] == "")
			for _, p := range p.Result.Parts {
				lack(lacksGeminiPart(version, p))
			}
		}
	}
	return lacks
}

// lacksGeminiPart names a part's kind where Gemini cannot read it: files of
// another provider, types that it does not know, and addresses that it does
// not fetch, see https://ai.google.dev/gemini-api/docs/file-input-methods,
// https://ai.google.dev/gemini-api/docs/image-understanding,
// https://ai.google.dev/gemini-api/docs/document-processing and
// https://ai.google.dev/gemini-api/docs/audio (2026-11).
func lacksGeminiPart(version int, p llm.Part) (name string, lacking bool) {
	m := p.Media
	if m == nil {
		return "", false
	}
	mime := geminiMIME(p)
	family, _, _ := strings.Cut(mime, "/")
	var inline, fetched bool
	switch p.Kind {
	case llm.Image:
		fetched = slices.Contains([]string{"image/bmp", "image/jpeg", "image/png", "image/webp"}, mime)
		inline = mime != "image/bmp" && fetched || mime == "image/heic" || mime == "image/heif"
	case llm.Document:
		fetched = family == "text" || mime == "application/pdf" || mime == "application/json"
		inline = fetched
	case llm.Audio:
		inline = family == "audio"
	}
	if m.URL != "" {
		return "messages." + string(p.Kind), !fetched || version < geminiJSONSchema || !strings.HasPrefix(m.URL, "https://")
	}
	return "messages." + string(p.Kind), m.Data == "" && m.Text == "" || m.Data != "" && !inline
}

// sampling writes the sampling settings.
func (e *geminiEncoder) sampling(req *llm.Request) geminiConfig {
	c := geminiConfig{Temperature: req.Temperature, TopP: req.TopP, TopK: req.TopK, MaxOutputTokens: req.MaxTokens}
	for _, s := range req.Stop {
		if s != "" {
			c.StopSequences = append(c.StopSequences, s)
		}
	}
	if req.Seed != nil && *req.Seed == int64(int32(*req.Seed)) {
		c.Seed = req.Seed
	} else if req.Seed != nil {
		e.note("seed")
	}
	if req.MaxTokens != nil && *req.MaxTokens > math.MaxInt32 { // more than any model writes
		c.MaxOutputTokens = nil
		e.note("max_tokens")
	}
	if isSet(req.FrequencyPenalty, 0) { // some models refuse even a penalty of 0
		c.FrequencyPenalty = req.FrequencyPenalty
	}
	if isSet(req.PresencePenalty, 0) {
		c.PresencePenalty = req.PresencePenalty
	}
	if req.N != nil && *req.N > 1 {
		c.Candidates = req.N
	}
	if req.Logprobs != nil && *req.Logprobs {
		c.ResponseLogprobs, c.Logprobs = true, req.TopLogprobs
	}
	return c
}

// format writes the form that the answer must have.
func (e *geminiEncoder) format(f *llm.Format, c *geminiConfig) {
	if f == nil {
		return
	}
	c.MIME = "application/json"
	if f.Kind != llm.FormatSchema || len(f.Schema) == 0 {
		return
	}
	schema, lost := geminiSchema(f.Schema, e.version < geminiJSONSchema)
	if e.version < geminiJSONSchema {
		c.Schema = schema
	} else {
		c.JSONSchema = schema
	}
	if len(lost) > 0 {
		e.note("response_format: " + strings.Join(lost, " "))
	}
	if f.Description != "" {
		e.note("response_format.json_schema.description")
	}
}

// labels notes what Gemini has no place for, and writes the service tier,
// see https://ai.google.dev/gemini-api/docs/flex-inference (2026-11).
func (e *geminiEncoder) labels(req *llm.Request, body *geminiBody) {
	e.adjusted.dropped("user", req.User != "")
	e.adjusted.dropped("metadata", len(req.Metadata) > 0)
	switch req.ServiceTier {
	case "", "auto", "default", "standard", "standard_only":
	case "flex", "priority":
		body.Tier = req.ServiceTier
	default:
		e.note("service_tier")
	}
}

// thinking writes how much the model shall think: a level since Gemini 3, a
// budget for 2.5, nothing before. Efforts become what Google itself makes of
// them, see https://ai.google.dev/gemini-api/docs/openai#thinking and
// https://ai.google.dev/gemini-api/docs/thinking (2026-11). Where the model
// cannot do as asked it gets the nearest, and that is noted.
func (e *geminiEncoder) thinking(t *llm.Thought) *geminiThinking {
	if t == nil {
		return nil
	}
	out := geminiThinking{Show: t.Show != nil && *t.Show}
	switch {
	case e.version < geminiJSONSchema:
		if t.Effort != "" && t.Effort != "none" || t.Budget != nil && *t.Budget != 0 || t.Adaptive {
			e.note("reasoning_effort")
		}
		return nil
	case e.version < geminiLevels:
		out.Budget = e.budget(t)
	default:
		out.Level = e.level(t)
	}
	if out == (geminiThinking{}) {
		return nil
	}
	return &out
}

// level gives a thinking level; "" for the model's own choice.
func (e *geminiEncoder) level(t *llm.Thought) string {
	effort := t.Effort
	if effort == "" && t.Budget != nil && *t.Budget >= 0 {
		e.note("reasoning_effort")
		switch b := *t.Budget; {
		case b == 0:
			effort = "none"
		case b <= 1024:
			effort = "low"
		case b <= 8192:
			effort = "medium"
		default:
			effort = "high"
		}
	}
	level := effort
	switch {
	case effort == "none", effort == "minimal" && e.pro:
		level = "minimal" // it cannot be switched off
		if e.pro {
			level = "low"
		}
	case effort == "medium" && e.pro && e.version == geminiLevels: // Gemini 3 Pro knows only low and high
		level = "high"
	case effort == "xhigh", effort == "max":
		level = "high"
	}
	if level != effort {
		e.note("reasoning_effort")
	}
	return strings.ToUpper(level)
}

// budget gives a thinking budget within what the model takes; nil for its own choice.
func (e *geminiEncoder) budget(t *llm.Thought) *int64 {
	least, most := int64(0), int64(24576)
	switch {
	case e.pro:
		least, most = 128, 32768 // it cannot be switched off
	case e.lite:
		least = 512
	}
	var b int64
	switch {
	case t.Budget != nil:
		b = *t.Budget
	case t.Effort == "none":
	case t.Effort == "minimal", t.Effort == "low":
		b = 1024
	case t.Effort == "medium":
		b = 8192
	case t.Effort == "high":
		b = 24576
	case t.Effort != "": // xhigh, max
		b = 32768
	case t.Adaptive:
		b = -1
	default:
		return nil
	}
	if b < 0 || b == 0 && !e.pro {
		return &b
	}
	if within := min(max(b, least), most); within != b {
		e.note("reasoning_effort")
		b = within
	}
	return &b
}
