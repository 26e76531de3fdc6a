package sim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const anthropicThinkingDocs = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"

// check gives the message of the refusal that a request deserves, or "". Since
// 2026 a beta lets instructions stand among the messages. A request to count
// its tokens needs no limit of them.
func (q anthropicRequest) check(tree map[string]any, beta, counted bool) string {
	switch {
	case q.Model == nil:
		return "model: Field required"
	case q.MaxTokens == nil && !counted:
		return "max_tokens: Field required"
	case q.MaxTokens != nil && *q.MaxTokens < 1:
		return "max_tokens: must be greater than or equal to 1"
	case tree["messages"] == nil:
		return "messages: Field required"
	case len(q.Messages) == 0:
		return "messages: at least one message is required"
	case q.Temperature != nil && (*q.Temperature < 0 || *q.Temperature > 1):
		return "temperature: range: 0..1"
	case q.TopP != nil && (*q.TopP < 0 || *q.TopP > 1):
		return "top_p: range: 0..1"
	}
	g, kind := anthropicGrammar(), "body"
	if counted {
		kind = "count"
	}
	if beta {
		g[kind] += " " + g["beta"]
	}
	if path := g.unknown(tree, kind); path != nil {
		return dotted(tree, path) + ": Extra inputs are not permitted"
	}
	for _, stop := range q.StopSequences {
		if strings.TrimSpace(stop) == "" {
			return "stop_sequences: each stop sequence must contain non-whitespace"
		}
	}
	for _, check := range []func() string{
		func() string { return q.checkMessages(beta) }, q.checkTurns, q.checkTools, q.checkThinking, q.checkFormat,
	} {
		if problem := check(); problem != "" {
			return problem
		}
	}
	return ""
}

// dotted writes a path as the API does: with the type of a block, and custom
// for a tool, between.
func dotted(tree any, path []any) string {
	var steps []string
	for i, step := range path {
		steps = append(steps, fmt.Sprint(step))
		switch at := tree.(type) {
		case map[string]any:
			name, _ := step.(string)
			tree = at[name]
			if next, ok := tree.(map[string]any); ok && i < len(path)-1 && next["type"] != nil {
				steps = append(steps, fmt.Sprint(next["type"]))
			}
		case []any:
			place, _ := step.(int)
			tree = at[place]
			next, _ := tree.(map[string]any)
			if kind, ok := next["type"].(string); ok {
				steps = append(steps, kind)
			} else if path[0] == "tools" {
				steps = append(steps, "custom")
			}
		}
	}
	return strings.Join(steps, ".")
}

// checkMessages holds each message to its shape.
func (q anthropicRequest) checkMessages(beta bool) string {
	for i, m := range q.Messages {
		blocks, ok := m.blocks()
		last := i == len(q.Messages)-1
		switch at := fmt.Sprintf("messages.%d", i); {
		case m.Role == "system" && !beta:
			return "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, " +
				"not \"system\" as an input message role."
		case m.Role != "user" && m.Role != "assistant" && m.Role != "system":
			return at + ".role: Input should be 'user' or 'assistant'"
		case len(m.Content) == 0:
			return at + ".content: Field required"
		case !ok:
			return at + ".content: Input should be a valid list"
		case (len(blocks) == 0 || m.Content[0] == '"' && blocks[0].Text == "") && !(last && m.Role == "assistant"):
			return at + ": all messages must have non-empty content except for the optional final assistant message"
		case last && m.Role == "assistant" && len(blocks) > 0 && strings.TrimRight(blocks[len(blocks)-1].Text, " \n\t") != blocks[len(blocks)-1].Text:
			return "messages: final assistant content cannot end with trailing whitespace"
		}
		for j, b := range blocks {
			if problem := b.check(m.Role, fmt.Sprintf("messages.%d.content.%d", i, j)); problem != "" && m.Content[0] == '[' {
				return problem
			}
		}
	}
	return ""
}

// check holds one block to the rules of its type.
func (b anthropicBlock) check(role, at string) string {
	id := regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	switch b.Type {
	case "text":
		switch {
		case b.Text == "":
			return "messages: text content blocks must be non-empty"
		case strings.TrimSpace(b.Text) == "":
			return "messages: text content blocks must contain non-whitespace text"
		}
	case "tool_use":
		var input map[string]any
		switch {
		case role != "assistant":
			return at + ": `tool_use` blocks can only be in `assistant` messages"
		case !id.MatchString(b.ID):
			return at + ".tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
		case b.Name == "":
			return at + ".tool_use.name: Field required"
		case b.Input == nil:
			return at + ".tool_use.input: Field required"
		case json.Unmarshal(b.Input, &input) != nil || input == nil:
			return at + ".tool_use.input: Input should be a valid dictionary"
		}
	case "tool_result":
		switch {
		case role != "user":
			return at + ": `tool_result` blocks can only be in `user` messages"
		case !id.MatchString(b.ToolUseID):
			return at + ".tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'"
		}
	case "thinking":
		switch {
		case role != "assistant":
			return at + ": `thinking` blocks can only be in `assistant` messages"
		case b.Signature == "":
			return at + ".thinking.signature: Field required"
		case !b.signedThought():
			return at + ": Invalid `signature` in `thinking` block"
		}
	case "redacted_thinking":
		return at + ": Invalid `data` in `redacted_thinking` block" // none was ever made here
	case "image", "document", "search_result", "server_tool_use", "web_search_tool_result":
	default:
		return fmt.Sprintf("%s: Input tag '%s' found using 'type' does not match any of the expected tags: 'bash_code_execution_tool_result', "+
			"'code_execution_tool_result', 'container_upload', 'document', 'image', 'redacted_thinking', 'search_result', 'server_tool_use', "+
			"'text', 'thinking', 'tool_result', 'tool_use', 'web_fetch_tool_result', 'web_search_tool_result'", at, b.Type)
	}
	return ""
}

// checkTurns holds calls and results to each other: each result stands in the
// turn after its call, before anything else there.
func (q anthropicRequest) checkTurns() string {
	var open []string // ids of the calls of the turn before
	for _, t := range q.turns() {
		text := false
		var answered, next []string
		for j, b := range t.blocks {
			switch b.Type {
			case "tool_use":
				next = append(next, b.ID)
			case "tool_result":
				switch {
				case slices.Contains(answered, b.ToolUseID):
					return fmt.Sprintf("messages.%d.content.%d: each tool_use must have a single result. Found multiple `tool_result` blocks with id: %s",
						t.at, j, b.ToolUseID)
				case !slices.Contains(open, b.ToolUseID):
					return fmt.Sprintf("messages.%d.content.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block "+
						"must have a corresponding `tool_use` block in the previous message.", t.at, j, b.ToolUseID)
				case text:
					return unansweredUse(t.at-1, open)
				}
				answered = append(answered, b.ToolUseID)
			default:
				text = true
			}
		}
		open = slices.DeleteFunc(open, func(id string) bool { return slices.Contains(answered, id) })
		if len(open) > 0 {
			return unansweredUse(t.at-1, open)
		}
		open = next
	}
	if len(open) > 0 {
		return unansweredUse(len(q.Messages)-1, open)
	}
	return ""
}

func unansweredUse(at int, ids []string) string {
	return fmt.Sprintf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s. Each `tool_use` block must have "+
		"a corresponding `tool_result` block in the next message.", at, strings.Join(ids, ", "))
}

// checkTools holds the tools and the choice among them to their rules.
func (q anthropicRequest) checkTools() string {
	var names []string
	for i, t := range q.Tools {
		var schema struct{ Type any }
		_ = json.Unmarshal(t.InputSchema, &schema) // no object has no type
		switch at := fmt.Sprintf("tools.%d.custom", i); {
		case slices.Contains(names, t.Name):
			return "tools: Tool names must be unique."
		case !t.custom():
		case !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`).MatchString(t.Name):
			return at + ".name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
		case t.InputSchema == nil:
			return at + ".input_schema: Field required"
		case schema.Type == nil:
			return at + ".input_schema.type: Field required"
		case schema.Type != "object":
			return at + ".input_schema.type: Input should be 'object'"
		case t.Strict:
			if problem := closedSchema(t.InputSchema); problem != "" {
				return fmt.Sprintf("tools.%d.custom: %s", i, problem)
			}
		}
		names = append(names, t.Name)
	}
	switch c := q.ToolChoice; {
	case c == nil:
	case !slices.Contains([]string{"auto", "any", "tool", "none"}, c.Type):
		return fmt.Sprintf("tool_choice: Input tag '%s' found using 'type' does not match any of the expected tags: 'any', 'auto', 'none', 'tool'", c.Type)
	case len(q.Tools) == 0 && c.Type != "none":
		return "tool_choice: tool_choice may only be specified while providing tools"
	case c.Type == "tool" && !slices.Contains(names, c.Name):
		return fmt.Sprintf("Tool '%s' not found in provided tools", c.Name)
	}
	return ""
}

// checkThinking holds extended thinking to its rules
// (https://docs.claude.com/en/docs/build-with-claude/extended-thinking, 2026-11).
func (q anthropicRequest) checkThinking() string {
	switch q.Thinking.Type {
	case "", "disabled":
		return ""
	case "adaptive", "enabled":
	default:
		return fmt.Sprintf("thinking: Input tag '%s' found using 'type' does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'", q.Thinking.Type)
	}
	enabled := q.Thinking.Type == "enabled"
	switch {
	case enabled && q.Thinking.Budget < 1024:
		return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
	case enabled && q.MaxTokens != nil && *q.MaxTokens <= q.Thinking.Budget:
		return "`max_tokens` must be greater than `thinking.budget_tokens`. " + anthropicThinkingDocs + "#max-tokens-and-context-window-size"
	case q.Temperature != nil && *q.Temperature != 1:
		return "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. " + anthropicThinkingDocs + "#important-considerations-when-using-extended-thinking"
	case q.TopK != nil:
		return "`top_k` must be unset when thinking is enabled or in adaptive mode. " + anthropicThinkingDocs + "#important-considerations-when-using-extended-thinking"
	case q.TopP != nil && *q.TopP < 0.95:
		return "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode. " + anthropicThinkingDocs +
			"#important-considerations-when-using-extended-thinking"
	case q.ToolChoice != nil && (q.ToolChoice.Type == "any" || q.ToolChoice.Type == "tool"):
		return "Thinking may not be enabled when tool_choice forces tool use."
	}
	turns := q.turns()
	if n := len(turns); enabled && n >= 2 && turns[n-1].role == "user" && turns[n-1].blocks[0].Type == "tool_result" {
		before := turns[n-2]
		if first := before.blocks[0].Type; first != "thinking" && first != "redacted_thinking" {
			return fmt.Sprintf("messages.%d.content.0.type: Expected `thinking` or `redacted_thinking`, but found `%s`. When `thinking` is enabled, "+
				"a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). "+
				"We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. %s",
				before.at, first, anthropicThinkingDocs)
		}
	}
	return ""
}

func (q anthropicRequest) checkFormat() string {
	f := q.format()
	if f == nil {
		return ""
	}
	at := "output_config.format"
	if f == q.OutputFormat {
		at = "output_format"
	}
	switch {
	case f.Type != "json_schema":
		return fmt.Sprintf("%s.type: Input should be 'json_schema'", at)
	case f.Schema == nil:
		return at + ".schema: Field required"
	}
	if problem := closedSchema(f.Schema); problem != "" {
		return at + ".schema: " + problem
	}
	return ""
}

// closedSchema gives the problem of a schema that structured outputs do not
// take (https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations, 2026-11).
func closedSchema(raw json.RawMessage) string {
	var s map[string]json.RawMessage
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	kind := schemaNode{Type: s["type"], Properties: s["properties"]}.kind()
	if kind == "object" && string(s["additionalProperties"]) != "false" {
		return "For 'object' type, 'additionalProperties' must be explicitly set to false"
	}
	var found []string
	for _, word := range map[string][]string{
		"integer": {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"},
		"number":  {"exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"},
		"string":  {"maxLength", "minLength"},
		"array":   {"maxItems", "uniqueItems"},
	}[kind] {
		if s[word] != nil {
			found = append(found, word)
		}
	}
	switch {
	case len(found) == 1:
		return fmt.Sprintf("For '%s' type, property '%s' is not supported", kind, found[0])
	case len(found) > 1:
		return fmt.Sprintf("For '%s' type, properties %s are not supported", kind, strings.Join(found, ", "))
	case kind == "array" && s["minItems"] != nil && string(s["minItems"]) != "0" && string(s["minItems"]) != "1":
		return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
	}
	var parts []json.RawMessage
	for _, word := range []string{"properties", "$defs", "definitions"} {
		for _, p := range inOrder(s[word]) {
			parts = append(parts, p.value)
		}
	}
	for _, word := range []string{"anyOf", "allOf", "oneOf"} {
		var list []json.RawMessage
		_ = json.Unmarshal(s[word], &list) // absent is empty
		parts = append(parts, list...)
	}
	for _, part := range append(parts, s["items"]) {
		if problem := closedSchema(part); problem != "" {
			return problem
		}
	}
	return ""
}
