package wire

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// anthropicStream writes an answer as the events of
// https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11).
// Each kind of content is a block, and one is open at a time. Finish reason and
// usage wait for the end, since providers tell them in any order.
type anthropicStream struct {
	meta  Meta
	begun bool
	index int    // of the block that is open, or comes next
	open  string // type of the block that is open; "" for none
	call  int    // the call that is open, or was last
	calls bool   // there was one
	args  argsScan
	later []llm.Chunk // calls that began before the open one was whole, joined

	signed  bool   // the open thinking has its signature
	after   string // data of a redacted_thinking block behind the open one
	blurred bool   // calls were told in pieces that no events can say

	refused                  bool
	finish                   llm.FinishReason
	detail, sequence, reason string
	usage                    *llm.Usage
	tier                     string
}

func (*anthropicStream) ContentType() string { return "text/event-stream; charset=utf-8" }

// Chunk appends what c tells the caller at once.
func (s *anthropicStream) Chunk(dst []byte, c llm.Chunk) []byte {
	if c.Choice != 0 || c.Hidden {
		return dst
	}
	if c.Usage != nil {
		s.usage = c.Usage
	}
	if c.ServiceTier != "" {
		s.tier = c.ServiceTier
	}
	if c.Finish != "" {
		s.finish, s.detail, s.sequence = c.Finish, c.FinishDetail, c.StopSequence
	}
	if len(s.later) > 0 && (c.Thinking != "" || c.Text != "" || c.Refusal != "" || c.Cite != nil || c.Signature != "" && c.Call == nil) {
		dst = s.drain(dst, true)
	}
	if c.Thinking != "" {
		if s.signed {
			dst = s.close(dst)
		}
		dst = s.delta(s.block(dst, "thinking"), "thinking_delta", "thinking", c.Thinking)
	}
	if c.Text != "" {
		dst = s.delta(s.block(dst, "text"), "text_delta", "text", c.Text)
	}
	switch {
	case c.Refusal == "":
	case c.FinishDetail == "refusal": // Anthropic's explanation
		s.reason = c.Refusal
	default:
		s.refused = true
		dst = s.delta(s.block(dst, "text"), "text_delta", "text", c.Refusal)
	}
	switch {
	case c.Call != nil:
		dst = s.drain(s.callDelta(dst, c), false)
	case c.Signature != "":
		dst = s.signature(dst, c)
	}
	if c.Cite != nil {
		dst = s.block(dst, "text")
		dst = s.event(dst, "content_block_delta")
		dst = append(dst, `,"delta":{"type":"citations_delta","citation":`...)
		dst = append(dst, marshal(anthropicCited(*c.Cite))...)
		dst = append(dst, "}}\n\n"...)
	}
	return dst
}

// Passed follows an event of Anthropic's own that is passed on as it is, so
// that what this writer may have to say behind it fits.
func (s *anthropicStream) Passed(event []byte) {
	if !bytes.Contains(event, []byte("content_block_st")) && !bytes.Contains(event, []byte("message_start")) &&
		!bytes.Contains(event, []byte("signature_delta")) { // so is nearly every event
		return
	}
	_, data, _ := bytes.Cut(event, []byte("data:"))
	e := gjson.ParseBytes(data)
	switch index := int(count(e.Get("index"))); e.Get("type").String() {
	case "message_start":
		s.begun = true
	case "content_block_start":
		s.index, s.open, s.signed = index, e.Get("content_block.type").String(), false
	case "content_block_delta":
		s.signed = e.Get("delta.type").String() == "signature_delta"
	case "content_block_stop":
		s.index, s.open, s.signed = index+1, "", false
	}
}

// signature writes what a provider attached to the chunk's part, see seal.
func (s *anthropicStream) signature(dst []byte, c llm.Chunk) []byte {
	switch {
	case c.Text != "":
		s.after = sealed(sealBlock, c.SignedBy, c.Signature)
		dst = s.close(dst)
	case c.Redacted:
		dst = s.close(dst)
		dst = s.redacted(dst, anthropicSealed(llm.Part{Signature: c.Signature, SignedBy: c.SignedBy, Redacted: true}).Data)
	default:
		if s.signed {
			dst = s.close(dst)
		}
		dst = s.block(dst, "thinking")
		s.signed = true
		dst = s.delta(dst, "signature_delta", "signature", anthropicSealed(llm.Part{Signature: c.Signature, SignedBy: c.SignedBy}).Signature)
	}
	return dst
}

// callDelta writes a piece of a call. Blocks cannot interleave: a call that
// begins before the open one is whole waits for it. Pieces of a call whose
// block is closed have no place: such an answer ends with an error.
func (s *anthropicStream) callDelta(dst []byte, c llm.Chunk) []byte {
	d := c.Call
	waits := slices.IndexFunc(s.later, func(c llm.Chunk) bool { return c.Call.Index == d.Index })
	switch {
	case s.open == "tool_use" && d.Index == s.call:
	case waits >= 0:
		w := &s.later[waits]
		w.Call.Args += d.Args
		if c.Signature != "" {
			w.Signature, w.SignedBy = c.Signature, c.SignedBy
		}
		return dst
	case s.calls && d.Index <= s.call:
		s.blurred = s.blurred || strings.TrimSpace(d.Args) != ""
		return dst
	case s.open == "tool_use" && !s.args.whole():
		c.Call = &llm.CallDelta{Index: d.Index, ID: d.ID, Name: d.Name, Args: d.Args}
		s.later = append(s.later, c)
		return dst
	default:
		dst = s.close(dst)
		s.call, s.calls, s.args = d.Index, true, argsScan{}
		dst = s.start(dst, "tool_use")
		dst = append(dst, `{"type":"tool_use","id":`...)
		dst = gjson.AppendJSONString(dst, d.ID)
		dst = append(dst, `,"name":`...)
		dst = gjson.AppendJSONString(dst, d.Name)
		dst = append(dst, `,"input":{}}`...)
		dst = append(dst, "}\n\n"...)
	}
	if c.Signature != "" {
		s.after = sealed(sealBlock, c.SignedBy, c.Signature)
	}
	if d.Args != "" {
		s.args.add(d.Args)
		dst = s.delta(dst, "input_json_delta", "partial_json", d.Args)
	}
	return dst
}

// drain writes the calls that wait, all or as long as the one before is whole.
func (s *anthropicStream) drain(dst []byte, all bool) []byte {
	for len(s.later) > 0 && (all || s.args.whole()) {
		c := s.later[0]
		s.later = s.later[1:]
		dst = s.callDelta(s.close(dst), c)
	}
	return dst
}

// event appends an event up to its index.
func (s *anthropicStream) event(dst []byte, name string) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: {\"type\":\""...)
	dst = append(dst, name...)
	dst = append(dst, `","index":`...)
	return strconv.AppendInt(dst, int64(s.index), 10)
}

// begin appends message_start, once.
func (s *anthropicStream) begin(dst []byte) []byte {
	if s.begun {
		return dst
	}
	s.begun = true
	dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	dst = append(dst, marshal(anthropicMessageBody{
		ID: anthropicMessageID(s.meta), Type: "message", Role: llm.Assistant, Model: s.meta.Model,
		Content: []anthropicBlock{}, Usage: anthropicUsageOf(s.usage, s.tier),
	})...)
	return append(dst, "}\n\n"...)
}

// start appends the start of a block, up to the block itself.
func (s *anthropicStream) start(dst []byte, kind string) []byte {
	dst = s.event(s.begin(dst), "content_block_start")
	s.open = kind
	return append(dst, `,"content_block":`...)
}

// block opens a block of text or thinking, if it is not open.
func (s *anthropicStream) block(dst []byte, kind string) []byte {
	if s.open == kind {
		return dst
	}
	dst = s.start(s.close(dst), kind)
	if kind == "text" {
		return append(dst, "{\"type\":\"text\",\"text\":\"\"}}\n\n"...)
	}
	return append(dst, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"...)
}

// delta appends a piece of the open block.
func (s *anthropicStream) delta(dst []byte, kind, field, value string) []byte {
	dst = s.event(dst, "content_block_delta")
	dst = append(dst, `,"delta":{"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","`...)
	dst = append(dst, field...)
	dst = append(dst, `":`...)
	dst = gjson.AppendJSONString(dst, value)
	return append(dst, "}}\n\n"...)
}

// close ends the open block. Thinking that nobody signed gets a seal, so that
// it is known when it comes back.
func (s *anthropicStream) close(dst []byte) []byte {
	if s.open == "" {
		return dst
	}
	if s.open == "thinking" && !s.signed {
		dst = s.delta(dst, "signature_delta", "signature", sealed(sealThinking, "", ""))
	}
	dst = s.stop(dst)
	if data := s.after; data != "" {
		dst = s.redacted(dst, data)
	}
	return dst
}

func (s *anthropicStream) stop(dst []byte) []byte {
	dst = append(s.event(dst, "content_block_stop"), "}\n\n"...)
	s.open, s.signed = "", false
	s.index++
	return dst
}

// redacted appends a whole block of encrypted thinking.
func (s *anthropicStream) redacted(dst []byte, data string) []byte {
	s.after = ""
	dst = s.start(dst, "redacted_thinking")
	dst = append(dst, marshal(anthropicBlock{Type: "redacted_thinking", Data: data})...)
	return s.stop(append(dst, "}\n\n"...))
}

// End appends the end of a complete answer.
func (s *anthropicStream) End(dst []byte) []byte {
	dst = s.drain(dst, true)
	if s.blurred {
		return s.Fail(dst, Problem{Status: 502, Message: "the provider's answer tells its tool calls in an order that cannot be carried"})
	}
	dst = s.close(s.begin(dst))
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"...)
	dst = append(dst, marshal(anthropicEndOf(s.finish, s.detail, s.sequence, s.reason, s.refused))...)
	dst = append(dst, `,"usage":`...)
	dst = append(dst, marshal(anthropicUsageOf(s.usage, ""))...)
	return append(dst, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

// Fail appends an error as the last event. No message_stop follows.
func (s *anthropicStream) Fail(dst []byte, p Problem) []byte {
	dst = append(dst, "event: error\ndata: "...)
	dst = append(dst, anthropicProblem(p)...)
	return append(dst, "\n\n"...)
}
