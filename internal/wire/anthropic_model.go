package wire

import (
	"slices"
	"strconv"
	"strings"
)

// claude is what a model's id tells of its abilities. The tables are
// https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting,
// https://platform.claude.com/docs/en/build-with-claude/effort and the migration
// guides beneath https://platform.claude.com/docs/en/models (2026-11). A model
// that is not known yet is taken for one like the newest of its family.
type claude struct {
	family  string // "opus", "sonnet", "haiku", "fable", "mythos"; "" where the id names none
	version int    // such as 405
}

func claudeModel(model string) claude {
	c := claude{version: claudeVersion(model)}
	for _, family := range []string{"opus", "sonnet", "haiku", "fable", "mythos"} {
		if strings.Contains(model, family) {
			c.family = family
		}
	}
	return c
}

// claudeVersion reads a version such as 405 out of ids such as
// claude-sonnet-4-5-20250929 and claude-3-5-sonnet-latest. An id without one
// is of a model to come.
func claudeVersion(model string) int {
	version, parts := 0, 0
	for word := range strings.FieldsFuncSeq(model, func(r rune) bool { return r == '-' || r == '.' || r == '@' }) {
		n, err := strconv.Atoi(word)
		if err != nil && parts == 0 {
			continue
		}
		if err != nil || n >= 100 || parts == 2 { // the family or the date
			break
		}
		version = version*100 + n
		parts++
	}
	switch parts {
	case 0:
		return 9900
	case 1:
		return version * 100
	}
	return version
}

// thinks says whether the model can think before it answers.
func (c claude) thinks() bool { return c.version >= 307 }

// budgeted says whether it takes a budget for its thinking, and adaptive
// whether it decides for itself. Between the two, 4.6 takes either.
func (c claude) budgeted() bool { return c.thinks() && c.version <= 406 }
func (c claude) adaptive() bool { return c.version >= 406 }

// thinksUnasked says whether it thinks unless it is told not to.
func (c claude) thinksUnasked() bool { return c.version >= 500 }

// off is the thinking type that stops it from thinking; "" where nothing does.
// Most models so stopped take no more effort than "high".
func (c claude) off() string {
	switch {
	case !c.thinksUnasked(), c.family == "haiku", c.version < 505 && (c.family == "opus" || c.family == "sonnet"):
		return "disabled"
	case c.family == "sonnet":
		return "between_tools"
	}
	return ""
}

// efforts lists the levels that output_config.effort may have, from the
// lowest; nil where the model takes none.
func (c claude) efforts() []string {
	switch {
	case c.version == 405 && c.family == "opus":
		return []string{"low", "medium", "high"}
	case c.version == 406, c.version == 9900:
		return []string{"low", "medium", "high", "max"}
	case c.version > 406:
		return []string{"low", "medium", "high", "xhigh", "max"}
	}
	return nil
}

// effort gives the level nearest to what was asked, and not above it where
// there is one; "" where the model takes none.
func (c claude) effort(asked string) string {
	scale := []string{"minimal", "low", "medium", "high", "xhigh", "max"}
	best := ""
	for _, level := range c.efforts() {
		if best == "" || slices.Index(scale, level) <= slices.Index(scale, asked) {
			best = level
		}
	}
	return best
}

// forcible says whether tool_choice may demand a call: not of Opus 5.5 and
// Fable 5.1, see
// https://platform.claude.com/docs/en/models/opus-5-5/whats-new-opus-5-5#forced-tool-use-is-not-supported
// (2026-11). An id that names neither family nor version is believed.
func (c claude) forcible() bool {
	switch c.family {
	case "fable", "mythos":
		return c.version < 501 || c.version == 9900
	case "haiku":
		return true
	case "":
		return c.version < 505 || c.version == 9900
	}
	return c.version < 505
}

// prefillable says whether it goes on with an assistant's message that it is given.
func (c claude) prefillable() bool { return c.version < 406 }

// sampled says whether it takes another sampling than the default.
func (c claude) sampled() bool { return c.version < 407 }

// formed says whether it takes output_config.format and strict tools.
func (c claude) formed() bool { return c.version >= 405 }

// instructed says whether it takes instructions in the midst of a conversation,
// see https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages (2026-11).
func (c claude) instructed() bool {
	switch c.family {
	case "opus":
		return c.version >= 408
	case "sonnet":
		return c.version >= 505
	case "fable", "mythos":
		return c.version >= 500 && c.version != 9900
	}
	return false
}

// maxOutput is the highest limit of an answer that it takes; 0 where none is
// known. The figures are those of
// https://platform.claude.com/docs/en/about-claude/models/overview (2026-11).
func (c claude) maxOutput() int64 {
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

// maxTokens is the limit of an answer to a caller who sets none.
func (c claude) maxTokens() int64 {
	limit := int64(DefaultAnthropicMaxTokens)
	if c.thinksUnasked() {
		limit = DefaultAnthropicThinkingMaxTokens
	}
	if most := c.maxOutput(); most > 0 {
		limit = min(limit, most)
	}
	return limit
}
