package wire

import (
	"strings"

	"breakwater/internal/llm"
)

// anthropicBudget is what an effort means to models that know only budgets.
// The highest leaves room for an answer beneath DefaultAnthropicThinkingMaxTokens.
func anthropicBudget(effort string) int64 {
	switch effort {
	case "minimal":
		return minAnthropicBudget
	case "low":
		return 2048
	case "high":
		return 16384
	case "xhigh", "max":
		return DefaultAnthropicThinkingMaxTokens - DefaultAnthropicMaxTokens
	}
	return 8192 // medium, or not told
}

// minAnthropicBudget is the least budget that Anthropic accepts.
const minAnthropicBudget = 1024

// think writes how much the model shall think, and the limit of the answer,
// against which thinking counts.
func (e *anthropicEncoder) think() {
	t := e.req.Thought
	e.body.MaxTokens = e.model.maxTokens()
	switch {
	case t == nil:
	case t.Effort == "none" || t.Budget != nil && *t.Budget == 0:
		e.thinkNot()
	case !e.model.thinks():
		e.dropped("reasoning_effort", true)
	case e.model.adaptive() && (!e.model.budgeted() || t.Budget == nil || *t.Budget < 0 || t.Effort != ""):
		e.thinkAdaptive(t)
	default:
		e.thinkBudget(t)
	}
	if e.req.MaxTokens != nil {
		e.body.MaxTokens = *e.req.MaxTokens
	}
}

// thinkNot stops the model from thinking as far as that can be.
func (e *anthropicEncoder) thinkNot() {
	switch off := e.model.off(); {
	case !e.model.thinksUnasked():
	case off == "":
		e.outputConfig().Effort = "low"
		e.dropped("reasoning_effort", true)
	default:
		e.body.Thinking = &anthropicThinking{Type: off}
	}
}

// thinkAdaptive lets the model decide, guided by an effort. A budget becomes
// the effort that is nearest. A call can be demanded from a model that thinks
// unasked, but all others refuse that together with thinking.
func (e *anthropicEncoder) thinkAdaptive(t *llm.Thought) {
	asked := t.Effort
	if asked == "" && t.Budget != nil && *t.Budget > 0 {
		for _, asked = range []string{"low", "medium", "high"} {
			if *t.Budget <= anthropicBudget(asked) {
				break
			}
		}
	}
	level := asked
	if asked != "" {
		level = e.model.effort(asked)
		e.outputConfig().Effort = level
	}
	refused := e.forces() && !e.model.thinksUnasked()
	e.dropped("reasoning_effort", refused || level != t.Effort)
	if refused {
		return
	}
	e.body.Thinking = &anthropicThinking{Type: "adaptive"}
	if t.Show != nil {
		e.body.Thinking.Display = map[bool]string{true: "summarized", false: "omitted"}[*t.Show]
	}
	e.body.MaxTokens = DefaultAnthropicThinkingMaxTokens
}

// thinkBudget gives the model a budget, which must be less than the answer's
// limit: of a limit that is too low it gets half. It is left out where
// Anthropic refuses it: with a call that is demanded, with an answer that is
// begun, and amid a turn whose calls another provider made, since such a turn
// has no thinking to begin with. See
// https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11).
func (e *anthropicEncoder) thinkBudget(t *llm.Thought) {
	asked := anthropicBudget(t.Effort)
	if t.Budget != nil && *t.Budget > 0 {
		asked = *t.Budget
	}
	budget := max(asked, minAnthropicBudget)
	if limit := e.req.MaxTokens; limit != nil && budget >= *limit {
		budget = *limit / 2
	}
	if budget < minAnthropicBudget || e.forces() || e.begun() {
		e.dropped("reasoning_effort", true)
		return
	}
	e.dropped("reasoning_effort", budget != asked)
	e.body.Thinking = &anthropicThinking{Type: "enabled", Budget: budget}
	e.body.MaxTokens = budget + DefaultAnthropicMaxTokens
}

// forces says whether a call is demanded.
func (e *anthropicEncoder) forces() bool {
	choice := e.body.ToolChoice
	return choice != nil && (choice.Type == llm.ChooseAny || choice.Type == llm.ChooseTool)
}

// begun says whether the model is to go on with a turn that does not begin
// with its own thinking: the last assistant's, ahead of nothing but results.
func (e *anthropicEncoder) begun() bool {
	messages := e.body.Messages
	for i := len(messages) - 1; i >= 0; i-- {
		blocks := messages[i].Content
		if messages[i].Role == llm.Assistant {
			return !strings.HasSuffix(blocks[0].Type, "thinking")
		}
		for _, b := range blocks {
			if messages[i].Role == llm.User && b.Type != "tool_result" {
				return false
			}
		}
	}
	return false
}

// sample sets what the model takes of the sampling settings: none but the
// defaults since Claude 4.7 and while it thinks; temperature or top_p, never
// both, since 4.1; a temperature from 0 to 1,
// to which a higher one is cut. See
// https://platform.claude.com/docs/en/models/opus-5-5/migration-guide and
// https://platform.claude.com/docs/en/build-with-claude/extended-thinking
// (2026-11). Anthropic has no seed and no penalties.
func (e *anthropicEncoder) sample() {
	req := e.req
	if !e.model.sampled() || e.body.Thinking != nil {
		e.dropped("temperature", isSet(req.Temperature, 1))
		e.dropped("top_p", isSet(req.TopP, 1))
		e.dropped("top_k", req.TopK != nil)
	} else {
		e.body.Temperature, e.body.TopP, e.body.TopK = req.Temperature, req.TopP, req.TopK
		if req.Temperature != nil && *req.Temperature > 1 {
			one := 1.0
			e.body.Temperature = &one
			e.dropped("temperature", true)
		}
		if req.Temperature != nil && e.model.version > 400 {
			e.body.TopP = nil
			e.dropped("top_p", isSet(req.TopP, 1))
		}
	}
	e.dropped("frequency_penalty", isSet(req.FrequencyPenalty, 0))
	e.dropped("presence_penalty", isSet(req.PresencePenalty, 0))
	e.dropped("seed", req.Seed != nil)
	for _, s := range req.Stop {
		if strings.TrimSpace(s) == "" { // refused by Anthropic
			e.dropped("stop", true)
			continue
		}
		e.body.Stop = append(e.body.Stop, s)
	}
}
