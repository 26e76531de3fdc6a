package wire

import (
	"slices"
	"strconv"
	"strings"

	"breakwater/internal/llm"
)

// What is known of OpenAI's own models by their names. Of the models of
// compatible servers nothing is known: they are asked for everything.

// openAIModel is a model of OpenAI's own; the zero value is another's.
type openAIModel struct {
	name    string
	version int  // of a GPT: 100 times the first number plus the second, 501 for gpt-5.1
	series  bool // o1 and its followers
}

// openAIModelOf tells by the name whether a model is OpenAI's own.
func openAIModelOf(name string) openAIModel {
	name = strings.TrimPrefix(name, "ft:")
	if i := strings.LastIndexByte(name, '/'); i >= 0 { // as aggregators write it
		name = name[i+1:]
	}
	m := openAIModel{name: name}
	rest, isGPT := strings.CutPrefix(strings.TrimPrefix(name, "chat"), "gpt-")
	switch {
	case isGPT:
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		major, err := strconv.Atoi(digits)
		if err != nil || major > 1000 {
			return m
		}
		m.version = 100 * major
		if minor, ok := strings.CutPrefix(rest[len(digits):], "."); ok {
			digits = minor[:len(minor)-len(strings.TrimLeft(minor, "0123456789"))]
			if n, err := strconv.Atoi(digits); err == nil {
				m.version += min(n, 99)
			}
		}
	case len(name) > 1 && name[0] == 'o' && '0' < name[1] && name[1] <= '9':
		m.series = true
	}
	return m
}

// own says whether the model is OpenAI's own.
func (m openAIModel) own() bool { return m.version > 0 || m.series }

// reasons says whether the model is a reasoning model (o1 and later, gpt-5 and
// later but for gpt-5-chat): they want max_completion_tokens and developer
// messages, and refuse other sampling than the default, see
// https://developers.openai.com/api/docs/guides/reasoning (2026-11).
func (m openAIModel) reasons() bool {
	return m.series || m.version >= 500 && !strings.HasPrefix(m.name, "gpt-5-chat")
}

// samples says whether the model takes sampling settings and gives log
// probabilities. From gpt-5.1 on a reasoning model does, as long as it is told
// not to reason, see
// https://developers.openai.com/api/docs/guides/latest-model (2026-11).
func (m openAIModel) samples(effort string) bool {
	return !m.reasons() || effort == "none" && m.version > 500
}

// stops says whether the model takes stop sequences: o3, o4-mini and gpt-5 to
// gpt-5.2 are known to refuse them, see
// https://developers.openai.com/api/reference/resources/chat,
// https://github.com/huggingface/smolagents/pull/1868 and
// https://github.com/huggingface/smolagents/issues/1893 (2026-11).
func (m openAIModel) stops() bool {
	return !m.reasons() || m.version > 502 || strings.HasPrefix(m.name, "o1")
}

// sees says whether the model takes images and files.
func (m openAIModel) sees() bool {
	switch {
	case strings.HasPrefix(m.name, "gpt-3.5"), strings.HasPrefix(m.name, "gpt-35"),
		strings.HasPrefix(m.name, "o1-mini"), strings.HasPrefix(m.name, "o1-preview"), strings.HasPrefix(m.name, "o3-mini"),
		m.name == "gpt-4", strings.HasPrefix(m.name, "gpt-4-0"), strings.HasPrefix(m.name, "gpt-4-32k"):
		return false
	}
	return !m.hears()
}

// hears says whether the model takes audio, and no images: gpt-audio and
// gpt-4o-audio-preview, see
// https://developers.openai.com/api/docs/guides/audio (2026-11).
func (m openAIModel) hears() bool { return strings.Contains(m.name, "-audio") }

// maxOutput is the highest limit of an answer that the model takes; 0 where
// none is known. The figures are those of
// https://developers.openai.com/api/docs/models (2026-11).
func (m openAIModel) maxOutput() int64 {
	has := func(start string) bool { return strings.HasPrefix(m.name, start) }
	switch {
	case has("gpt-4o-2024-05-13"), has("gpt-4-turbo"), has("gpt-4-0125"), has("gpt-4-1106"), has("gpt-3.5"):
		return 4096
	case has("gpt-4o"), has("chatgpt-4o"), m.version > 500 && m.version < 600 && strings.HasSuffix(m.name, "chat-latest"):
		return 16384
	case m.version == 401:
		return 32768
	case has("gpt-4-"), m.name == "gpt-4":
		return 8192
	}
	return 0
}

// efforts are the words for how much a model shall reason, in ascending order.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

// effort gives the word of reasoning_effort nearest to the wish that the model
// knows; "" asks for the model's default, which is also all that a model can
// do that does not reason. tools says that the request has tools: from gpt-5.2
// on chat completions refuse to combine them with reasoning, and from gpt-5.6
// on they must be told not to reason, see
// https://github.com/openai/openai-openapi/issues/541 and
// https://community.openai.com/t/gpt-5-6-chat-completion-reasoning-effort-bug-behavior-change/1386454 (2026-11).
func (m openAIModel) effort(t *llm.Thought, tools bool) string {
	if tools && m.version >= 506 {
		return "none"
	}
	wish := effortOf(t)
	if m.own() && !m.reasons() || tools && m.version >= 502 && wish != "none" {
		return ""
	}
	known := efforts
	switch {
	case m.series:
		known = []string{"low", "medium", "high"}
	case m.version == 500:
		known = []string{"minimal", "low", "medium", "high"}
	case m.version == 501:
		known = []string{"none", "low", "medium", "high"}
	case m.own() && m.version < 600:
		known = []string{"none", "low", "medium", "high", "xhigh"}
	}
	return nearestEffort(wish, known)
}

// effortOf puts a wish in a word. Budgets become words at the limits at which
// Google's own OpenAI compatibility turns words into budgets, see
// https://ai.google.dev/gemini-api/docs/openai (2026-11).
func effortOf(t *llm.Thought) string {
	switch {
	case t == nil:
		return ""
	case t.Effort != "" || t.Budget == nil || *t.Budget < 0:
		return t.Effort
	case *t.Budget == 0:
		return "none"
	case *t.Budget <= 1024:
		return "low"
	case *t.Budget <= 8192:
		return "medium"
	}
	return "high"
}

// nearestEffort gives the known word nearest to the wish, the lesser of two.
func nearestEffort(wish string, known []string) string {
	at := slices.Index(efforts, wish)
	if at < 0 {
		return ""
	}
	best, distance := "", len(efforts)
	for _, word := range known {
		d := slices.Index(efforts, word) - at
		if d = max(d, -d); d < distance {
			best, distance = word, d
		}
	}
	return best
}
