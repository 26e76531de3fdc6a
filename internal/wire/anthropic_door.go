package wire

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"
)

// AnthropicDoor is the door of POST /v1/messages, see
// https://platform.claude.com/docs/en/api/messages/create (2026-11).
func AnthropicDoor() Door {
	return Door{
		Dialect: llm.AnthropicMessages, Decode: DecodeAnthropic, Answer: anthropicAnswer, Problem: anthropicProblem,
		Stream: func(m Meta) Writer { return &anthropicStream{meta: m} },
	}
}

// AnthropicCount writes the answer to a count_tokens request.
func AnthropicCount(tokens int64) []byte {
	return marshal(struct {
		Input int64 `json:"input_tokens"`
	}{tokens})
}

// anthropicUsageBody is the usage of an answer. Its input leaves out what the
// cache held.
type anthropicUsageBody struct {
	Input   int64                   `json:"input_tokens"`
	Written int64                   `json:"cache_creation_input_tokens"`
	Kept    *anthropicKept          `json:"cache_creation,omitempty"`
	Read    int64                   `json:"cache_read_input_tokens"`
	Output  int64                   `json:"output_tokens"`
	Details *anthropicOutputDetails `json:"output_tokens_details,omitempty"`
	Tier    string                  `json:"service_tier,omitempty"`
}

// anthropicKept parts what was written to the cache by its lifetime.
type anthropicKept struct {
	Minutes int64 `json:"ephemeral_5m_input_tokens"`
	Hour    int64 `json:"ephemeral_1h_input_tokens"`
}

type anthropicOutputDetails struct {
	Thinking int64 `json:"thinking_tokens"`
}

// anthropicUsageOf writes a usage; zeros where the upstream told none, since
// clients want one.
func anthropicUsageOf(u *llm.Usage, tier string) anthropicUsageBody {
	var b anthropicUsageBody
	switch tier {
	case "standard", "priority", "batch": // other words are another provider's
		b.Tier = tier
	}
	if u != nil {
		b.Input, b.Written, b.Read, b.Output = max(0, u.Input-u.CacheRead-u.CacheWrite), u.CacheWrite, u.CacheRead, u.Output
		if u.CacheWrite > 0 {
			b.Kept = &anthropicKept{u.CacheWrite - u.CacheWrite1h, u.CacheWrite1h}
		}
		if u.Reasoning > 0 {
			b.Details = &anthropicOutputDetails{u.Reasoning}
		}
	}
	return b
}

type anthropicMessageBody struct {
	ID      string           `json:"id"`
	Type    string           `json:"type"`
	Role    llm.Role         `json:"role"`
	Model   string           `json:"model"`
	Content []anthropicBlock `json:"content"`
	anthropicEnd
	Usage anthropicUsageBody `json:"usage"`
}

// anthropicEnd says why an answer ended.
type anthropicEnd struct {
	Reason   *string           `json:"stop_reason"`
	Sequence *string           `json:"stop_sequence"`
	Details  *anthropicRefusal `json:"stop_details,omitempty"`
}

type anthropicRefusal struct {
	Type        string  `json:"type"`
	Category    *string `json:"category"`
	Explanation *string `json:"explanation"`
}

// anthropicEndOf gives the stop reason, in Anthropic's own words where it was
// Anthropic that told it. A refusal in the model's words is part of the
// content: explained is what another than the model says of it.
func anthropicEndOf(finish llm.FinishReason, detail, sequence, explained string, refused bool) anthropicEnd {
	reason := "end_turn"
	switch {
	case detail == "pause_turn" || detail == "model_context_window_exceeded":
		reason = detail
	case finish == llm.FinishContentFilter, refused:
		reason = "refusal"
	case finish == llm.FinishLength:
		reason = "max_tokens"
	case finish == llm.FinishToolCalls:
		reason = "tool_use"
	case sequence != "":
		reason = "stop_sequence"
	}
	end := anthropicEnd{Reason: &reason}
	if sequence != "" {
		end.Sequence = &sequence
	}
	if reason == "refusal" {
		end.Details = &anthropicRefusal{Type: "refusal"}
		if explained != "" {
			end.Details.Explanation = &explained
		}
	}
	return end
}

func anthropicMessageID(m Meta) string { return "msg_" + m.RequestID }

// anthropicAnswer writes a whole answer. There is room for one choice.
func anthropicAnswer(m Meta, a Answer) []byte {
	var c Choice
	if len(a.Choices) > 0 {
		c = a.Choices[0]
	}
	body := anthropicMessageBody{
		ID: anthropicMessageID(m), Type: "message", Role: llm.Assistant, Model: m.Model,
		Content: []anthropicBlock{}, Usage: anthropicUsageOf(a.Usage, a.ServiceTier),
	}
	cited := citer{cites: c.Citations}
	for _, p := range c.Parts {
		if p.Kind == llm.Text {
			cited.length += utf8.RuneCountInString(p.Text)
		}
	}
	explained, refused := "", false
	for _, p := range c.Parts {
		switch p.Kind {
		case llm.Text:
			body.Content = cited.text(body.Content, p.Text)
		case llm.Refusal:
			if c.FinishDetail == "refusal" {
				explained = p.Text
			} else {
				refused = true
				body.Content = append(body.Content, anthropicText(p.Text))
			}
		case llm.Call:
			body.Content = append(body.Content, anthropicBlock{Type: "tool_use", ID: p.Call.ID, Name: p.Call.Name, Input: callInput(p.Call)})
		case llm.Thinking:
			body.Content = append(body.Content, anthropicSealed(p))
		}
		if p.Signature != "" && p.Kind != llm.Thinking {
			body.Content = append(body.Content, anthropicBlock{Type: "redacted_thinking", Data: sealed(sealBlock, p.SignedBy, p.Signature)})
		}
	}
	body.anthropicEnd = anthropicEndOf(c.Finish, c.FinishDetail, c.StopSequence, explained, refused)
	return marshal(body)
}

// anthropicSealed writes thinking for a caller: what is not Anthropic's own is sealed.
func anthropicSealed(p llm.Part) anthropicBlock {
	if p.SignedBy != llm.Claude || p.Signature == "" {
		kind := sealThinking
		if p.Redacted {
			kind = sealRedacted
		}
		p.Signature = sealed(kind, p.SignedBy, p.Signature)
	}
	return anthropicThought(p)
}

// anthropicCitation is a citation of a source on the web, the only kind with
// an address. It is sealed by its index.
type anthropicCitation struct {
	Type  string  `json:"type"`
	URL   string  `json:"url"`
	Title *string `json:"title"`
	Index string  `json:"encrypted_index"`
	Text  string  `json:"cited_text"`
}

func anthropicCited(c llm.Citation) anthropicCitation {
	out := anthropicCitation{Type: "web_search_result_location", URL: c.URL, Index: sealCitation, Text: c.Text}
	if c.Title != "" {
		out.Title = &c.Title
	}
	return out
}

// citer cuts the text of an answer into blocks so that each citation has the
// text that it supports to itself. A citation that tells no text goes with the last.
type citer struct {
	cites  []llm.Citation
	at     int // where the next text begins, in characters
	length int // of all texts
}

func (c *citer) text(blocks []anthropicBlock, text string) []anthropicBlock {
	from, to := c.at, c.at+utf8.RuneCountInString(text)
	c.at = to
	cuts := []int{to}
	for _, cite := range c.cites {
		for _, cut := range []int{cite.Start, cite.End} {
			if from < cut && cut < to {
				cuts = append(cuts, cut)
			}
		}
	}
	slices.Sort(cuts)
	for _, cut := range slices.Compact(cuts) {
		piece := text
		if n := cut - from; cut < to {
			end := 0
			for range n {
				_, size := utf8.DecodeRuneInString(text[end:])
				end += size
			}
			piece = text[:end]
		}
		b := anthropicText(piece)
		for _, cite := range c.cites {
			end := cite.End
			if end <= cite.Start || end > c.length {
				end = c.length
			}
			if from < end && end <= cut {
				b.Citations = append(b.Citations, anthropicCited(cite))
			}
		}
		blocks = append(blocks, b)
		text, from = text[len(piece):], cut
	}
	return blocks
}

// anthropicProblem writes an error, see
// https://platform.claude.com/docs/en/api/errors (2026-11). Where a
// conversation that Anthropic keeps cannot be carried on, its code makes the
// SDK's tool runner and Claude Code send the whole conversation instead, see
// https://platform.claude.com/docs/en/build-with-claude/message-threads (2026-11).
func anthropicProblem(p Problem) []byte {
	type details struct {
		Code string `json:"error_code"`
	}
	type inner struct {
		Type    string   `json:"type"`
		Message string   `json:"message"`
		Details *details `json:"details,omitempty"`
	}
	problem := inner{Type: anthropicErrorType(p.Status), Message: p.Message}
	if p.Param != "" && !strings.Contains(p.Message, p.Param) {
		problem.Message = p.Param + ": " + p.Message
	}
	if p.Code == "capability_missing" && p.Param == "thread" {
		problem.Details = &details{"thread_unsupported_request"}
	}
	return marshal(struct {
		Type      string `json:"type"`
		Error     inner  `json:"error"`
		RequestID string `json:"request_id,omitempty"`
	}{"error", problem, p.RequestID})
}

// anthropicErrorType is the type that Anthropic gives errors of an HTTP status.
func anthropicErrorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "timeout_error"
	case http.StatusServiceUnavailable, 529:
		return "overloaded_error"
	}
	if 400 <= status && status < 500 {
		return "invalid_request_error"
	}
	return "api_error"
}
