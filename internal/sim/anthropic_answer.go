package sim

import (
	"fmt"
	"strings"

	"breakwater/internal/llm"
)

// anthropicFinish gives the values of stop_reason and stop_sequence.
func anthropicFinish(a answer) (reason, sequence string) {
	switch a.finish {
	case finishStop:
		return `"end_turn"`, "null"
	case finishSequence:
		return `"stop_sequence"`, quote(a.sequence)
	case finishLength:
		return `"max_tokens"`, "null"
	case finishFilter:
		return `"refusal"`, "null"
	case finishCalls:
		return `"tool_use"`, "null"
	}
	return "null", "null"
}

// anthropicMessageOf is a message with the given content, ends and output tokens.
func anthropicMessageOf(c call, a answer, content, reason, sequence string, output int) string {
	return fmt.Sprintf(`{"model":%s,"id":%s,"type":"message","role":"assistant","content":[%s],`+
		`"stop_reason":%s,"stop_sequence":%s,"stop_details":null,"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,`+
		`"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},`+
		`"output_tokens":%d%s,"service_tier":"standard","inference_geo":"not_available"}}`,
		quote(a.model), quote("msg_01"+a.id[:min(22, len(a.id))]), content, reason, sequence, c.input, output, anthropicThoughts(a, output))
}

// anthropicThoughts gives the part of the output tokens that was thought; a
// stream does not know it at its start.
func anthropicThoughts(a answer, output int) string {
	if len(a.thinking) == 0 || output < len(a.thinking) {
		return ""
	}
	return fmt.Sprintf(`,"output_tokens_details":{"thinking_tokens":%d}`, len(a.thinking))
}

func anthropicUse(s spoken, input string) string {
	return fmt.Sprintf(`{"type":"tool_use","id":%q,"name":%s,"input":%s,"caller":{"type":"direct"}}`, "toolu_01"+s.id[:22], quote(s.name), input)
}

func (anthropic) whole(c call, a answer) response {
	var content []string
	if len(a.thinking) > 0 {
		shown := a.thought()
		if c.hides {
			shown = ""
		}
		content = append(content, fmt.Sprintf(`{"type":"thinking","thinking":%s,"signature":%q}`, quote(shown), sign(llm.Claude, a.thought())))
	}
	if len(a.tokens) > 0 {
		content = append(content, fmt.Sprintf(`{"type":"text","text":%s}`, quote(a.text())))
	}
	for _, s := range a.calls {
		if !s.cut {
			content = append(content, anthropicUse(s, s.args))
		}
	}
	reason, sequence := anthropicFinish(a)
	return response{
		status: 200,
		header: contentType("application/json"),
		body:   anthropicMessageOf(c, a, strings.Join(content, ","), reason, sequence, a.output()),
	}
}

// anthropicStream builds the events of a stream: blocks, one after the other.
type anthropicStream struct {
	frames
	index int // of the block that is open, -1 before the first
}

func anthropicEvent(event, rest string) string {
	return fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\"%s}\n\n", event, event, rest)
}

// open begins a block, and ends the one before. The first is followed by a ping.
func (s *anthropicStream) open(block string) {
	s.close()
	s.index++
	s.along(anthropicEvent("content_block_start", fmt.Sprintf(`,"index":%d,"content_block":%s`, s.index, block)))
	if s.index == 0 {
		s.along(anthropicEvent("ping", ""))
	}
}

func (s *anthropicStream) close() {
	if s.index >= 0 {
		s.along(s.closing())
	}
}

func (s *anthropicStream) closing() string {
	return anthropicEvent("content_block_stop", fmt.Sprintf(`,"index":%d`, s.index))
}

func (s *anthropicStream) delta(kind, field, value string) string {
	return anthropicEvent("content_block_delta", fmt.Sprintf(`,"index":%d,"delta":{"type":"%s","%s":%s}`, s.index, kind, field, quote(value)))
}

func (d anthropic) stream(c call, a answer) frames {
	s := anthropicStream{index: -1, frames: frames{
		contentType: "text/event-stream; charset=utf-8",
		head:        []string{anthropicEvent("message_start", `,"message":`+anthropicMessageOf(c, a, "", "null", "null", 1))},
		failure: func(int) string {
			return anthropicEvent("error", `,"error":{"details":null,"type":"overloaded_error","message":"Overloaded"},"request_id":`+quote(d.requestID))
		},
	}}
	if len(a.thinking) > 0 {
		s.open(`{"type":"thinking","thinking":"","signature":""}`)
		for _, token := range a.thinking {
			if c.hides {
				break
			}
			s.token(s.delta("thinking_delta", "thinking", token))
		}
		s.along(s.delta("signature_delta", "signature", sign(llm.Claude, a.thought())))
	}
	if len(a.tokens) > 0 || len(a.thinking)+len(a.calls) == 0 {
		s.open(`{"type":"text","text":""}`)
		for _, token := range a.tokens {
			s.token(s.delta("text_delta", "text", token))
		}
	}
	for _, call := range a.calls {
		s.open(anthropicUse(call, "{}"))
		s.along(s.delta("input_json_delta", "partial_json", ""))
		for _, piece := range call.pieces {
			if call.args == "{}" {
				piece = "" // a call without arguments streams none
			}
			s.token(s.delta("input_json_delta", "partial_json", piece))
		}
	}
	if a.finish == unfinished {
		return s.frames
	}
	reason, sequence := anthropicFinish(a)
	s.tail = []string{
		s.closing(),
		anthropicEvent("message_delta", fmt.Sprintf(`,"delta":{"stop_reason":%s,"stop_sequence":%s,"stop_details":null},`+
			`"usage":{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":%d%s}`,
			reason, sequence, c.input, a.output(), anthropicThoughts(a, a.output()))),
		anthropicEvent("message_stop", ""),
	}
	return s.frames
}
