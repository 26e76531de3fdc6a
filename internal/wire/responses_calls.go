package wire

import (
	"cmp"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Calls in an answer that is written: of functions, and of what the caller's
// own tools were made functions of.

// callJSON appends the rest of a call's item, behind its id.
func (i *responsesItem) callJSON(b []byte, status string) []byte {
	b = append(b, `,"status":"`+status+`","call_id":`...)
	b = gjson.AppendJSONString(b, i.call.ID)
	if kind := i.tool.client.kind; kind != "" {
		b = append(b, `,"`+i.tool.client.field+`":`...)
		b = append(b, i.tool.client.told(i.words)...)
		if kind == "shell" {
			b = append(b, `,"environment":{"type":"local"}`...)
		}
		return append(b, '}')
	}
	b = append(b, `,"name":`...)
	b = gjson.AppendJSONString(b, i.name())
	if i.tool.namespace != "" {
		b = append(b, `,"namespace":`...)
		b = gjson.AppendJSONString(b, i.tool.namespace)
	}
	if i.tool.custom {
		b = append(b, `,"input":`...)
		b = gjson.AppendJSONString(b, string(i.said))
	} else {
		b = append(b, `,"arguments":`...)
		b = gjson.AppendJSONString(b, string(i.words))
	}
	return append(b, '}')
}

// name is what the caller calls the tool.
func (i *responsesItem) name() string { return cmp.Or(i.tool.name, i.call.Name) }

// call appends a piece of a call. Its first piece opens it.
func (s *responsesStream) call(c llm.Chunk) {
	var i *responsesItem
	for _, other := range s.calls {
		if other.call.Index == c.Call.Index {
			i = other
		}
	}
	if c.Signature != "" {
		id := c.Call.ID
		if i != nil {
			id = i.call.ID
		}
		seal := responsesSeal{By: c.SignedBy, Of: llm.Call, CallID: id, Signature: c.Signature}
		if o := s.open; o != nil && o.kind == "reasoning" && o.seal == "" { // some clients keep one reasoning item of a turn
			o.seal = seal.String()
		} else {
			s.sealed(seal)
		}
	}
	if i == nil && c.Call.ID == "" && c.Call.Name == "" && strings.TrimSpace(c.Call.Args) == "" {
		return // padding behind a call that was whole
	}
	if i == nil {
		s.pause()
		i = s.called(*c.Call)
	}
	if c.Call.Args == "" {
		return
	}
	i.words = append(i.words, c.Call.Args...)
	switch {
	case i.tool.client.kind != "":
	case i.tool.custom:
		s.input(i, i.input.next(i.words))
	default:
		s.delta("response.function_call_arguments.delta", i.head, "", c.Call.Args, "")
	}
}

// called opens a call as the item that the caller's tool has. One that is told
// in one piece is announced when it is whole.
func (s *responsesStream) called(call llm.CallDelta) *responsesItem {
	tool := s.tools[call.Name]
	kind, prefix := "function_call", "fc_"
	switch {
	case tool.client.kind != "":
		kind, prefix = tool.client.kind+"_call", tool.client.prefix
	case tool.custom:
		kind, prefix = "custom_tool_call", "ctc_"
	}
	i := s.item(kind, prefix)
	i.call, i.tool = call, tool
	s.calls = append(s.calls, i)
	if tool.client.kind == "" {
		s.added(i)
	}
	return i
}

// input appends words of a custom tool's input.
func (s *responsesStream) input(i *responsesItem, words string) {
	if words != "" {
		i.said = append(i.said, words...)
		s.delta("response.custom_tool_call_input.delta", i.head, "", words, "")
	}
}

// callDone closes a call.
func (s *responsesStream) callDone(i *responsesItem, status string) {
	switch {
	case i.tool.client.kind != "":
		s.added(i)
		s.done(i, status)
		return
	case i.tool.custom && !i.input.began && string(i.words) != "{}":
		s.input(i, wholeInput(i.words))
	}
	switch {
	case s.silent:
	case i.tool.custom:
		s.event("response.custom_tool_call_input.done")
		s.add(i.head, `,"input":`)
		s.dst = gjson.AppendJSONString(s.dst, string(i.said))
		s.add(endOfEvent)
	default:
		s.event("response.function_call_arguments.done")
		s.add(i.head, `,"name":`)
		s.dst = gjson.AppendJSONString(s.dst, i.name())
		s.add(`,"arguments":`)
		s.dst = gjson.AppendJSONString(s.dst, string(i.words))
		s.add(endOfEvent)
	}
	s.done(i, status)
}
