package wire

import (
	"strings"

	"breakwater/internal/llm"
)

// maxOutput gives the most output tokens that a model of a provider takes as a
// limit; 0 where none is known. A caller who writes for one provider's models
// asks others for more than they have: command-line clients ask for 32,000,
// which gpt-4o refuses. The figures are those of
// https://developers.openai.com/api/docs/models,
// https://platform.claude.com/docs/en/about-claude/models/overview and
// https://ai.google.dev/gemini-api/docs/models (2026-11); models to come have more.
func maxOutput(d llm.Dialect, model string) int64 {
	switch d {
	case llm.OpenAIChat:
		return openAIMaxOutput(model)
	case llm.AnthropicMessages:
		return claudeMaxOutput(claudeModel(model))
	case llm.GeminiGenerate:
		if strings.HasPrefix(model, "gemini-2.0") || strings.HasPrefix(model, "gemini-1") {
			return 8192
		}
	}
	return 0
}

func openAIMaxOutput(model string) int64 {
	has := func(start string) bool { return strings.HasPrefix(model, start) }
	switch {
	case has("gpt-4o-2024-05-13"), has("gpt-4-turbo"), has("gpt-4-0125"), has("gpt-4-1106"), has("gpt-3.5"):
		return 4096
	case has("gpt-4o"), has("chatgpt-4o"), has("gpt-5") && strings.HasSuffix(model, "chat-latest") && !has("gpt-5-"):
		return 16384
	case has("gpt-4.1"):
		return 32768
	case has("gpt-4-"), model == "gpt-4":
		return 8192
	}
	return 0
}

func claudeMaxOutput(c claude) int64 {
	switch {
	case c.version < 305:
		return 4096
	case c.version < 307:
		return 8192
	case c.family == "opus" && c.version < 405:
		return 32000
	case c.version < 406:
		return 64000
	}
	return 0
}

// limited gives req with no higher limit of tokens than the model of another
// dialect takes, and whether that changed it.
func limited(d llm.Dialect, model string, req *llm.Request) (*llm.Request, bool) {
	most := maxOutput(d, model)
	if req.Dialect == d || most == 0 || req.MaxTokens == nil || *req.MaxTokens <= most {
		return req, false
	}
	less := *req
	less.MaxTokens = &most
	return &less, true
}
