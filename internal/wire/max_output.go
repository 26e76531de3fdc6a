package wire

import "breakwater/internal/llm"

// maxOutput gives the most output tokens that a model of a provider takes as a
// limit; 0 where none is known. A caller who writes for one provider's models
// asks others for more than they have: command-line clients ask for 32,000,
// which gpt-4o refuses. Models to come have more.
func maxOutput(d llm.Dialect, model string) int64 {
	switch d {
	case llm.OpenAIChat:
		return openAIModelOf(model).maxOutput()
	case llm.AnthropicMessages:
		return claudeModel(model).maxOutput()
	case llm.GeminiGenerate:
		return geminiMaxOutput(geminiVersion(model))
	}
	return 0
}

// limited gives req with no higher limit of tokens than the model of another
// dialect takes, and whether that changed it.
func limited(d llm.Dialect, model string, req *llm.Request) (*llm.Request, bool) {
	if req.Dialect == d || req.MaxTokens == nil {
		return req, false
	}
	most := maxOutput(d, model)
	if most == 0 || *req.MaxTokens <= most {
		return req, false
	}
	less := *req
	less.MaxTokens = &most
	return &less, true
}
