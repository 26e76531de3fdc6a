package wire

import (
	"slices"

	"breakwater/internal/llm"
)

// OllamaIncapable names, as Codec.Lacks does, what req asks for and a local
// model of these capabilities cannot do: Ollama itself would refuse it. Without
// capabilities nothing is known, and nothing lacking. Any model embeds.
func OllamaIncapable(capabilities []string, req *llm.Request) []string {
	if len(capabilities) == 0 || req.Embed != nil {
		return nil
	}
	var lacks []string
	needs := func(capability, field string, asked bool) {
		if asked && !slices.Contains(capabilities, capability) {
			lacks = append(lacks, field)
		}
	}
	needs("completion", "messages", true)
	needs("tools", "tools", len(ollamaTools(req)) > 0)
	needs("vision", "messages.image", slices.ContainsFunc(req.Messages, func(m llm.Message) bool { return hasImage(m.Parts) }))
	needs("thinking", "think", speaksOllama(req) && asksToThink(req.Thought))
	return lacks
}

// WithoutThinking gives req as a local model of these capabilities can be
// asked: how much to reason only tunes an answer, so that a caller of another
// dialect gets one of a model that cannot. It says whether anything was left out.
func WithoutThinking(capabilities []string, req *llm.Request) (*llm.Request, bool) {
	if len(capabilities) == 0 || slices.Contains(capabilities, "thinking") || speaksOllama(req) || !asksToThink(req.Thought) {
		return req, false
	}
	less := *req
	less.Thought = nil
	return &less, true
}

func speaksOllama(req *llm.Request) bool {
	return req.Dialect == llm.OllamaChat || req.Dialect == llm.OllamaGenerate
}

func hasImage(parts []llm.Part) bool {
	return slices.ContainsFunc(parts, func(p llm.Part) bool {
		return p.Kind == llm.Image || p.Kind == llm.Result && hasImage(p.Result.Parts)
	})
}

// asksToThink says whether Ollama is told to think, and so refuses a model that
// cannot, see ollamaEncoder.think.
func asksToThink(t *llm.Thought) bool {
	return t != nil && !t.Adaptive && t.Effort != "none" && (t.Budget == nil || *t.Budget != 0) && (t.Effort != "" || t.Budget != nil)
}
