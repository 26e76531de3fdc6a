package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// responsesStream writes an answer as the events of
// https://developers.openai.com/api/reference/resources/responses/streaming-events
// (2026-11). Each names its type twice, in event: and in its data; the stream
// ends with response.completed, .incomplete or .failed and no [DONE].
//
// Thinking is a reasoning item's summary. What Claude and Gemini sign is a seal
// in the encrypted_content of a reasoning item: of the thinking itself, or in
// one without words for a text before it or a call.
type responsesStream struct {
	echo   responsesEcho
	tools  map[string]answerTool // those that are no plain functions
	final  json.RawMessage       // the response object at the end of a complete answer
	id     string                // of the request, for the items' ids
	silent bool                  // only the items are wanted
	begun  bool
	seq    int64
	items  []json.RawMessage // by output index; nil while an item is open
	open   *responsesItem    // the reasoning or message that goes on
	calls  []*responsesItem  // open calls
	read   int               // characters of text so far
	finish llm.FinishReason
	usage  *llm.Usage
	tier   string
	dst    []byte // what Chunk, End and Fail append to
}

// responsesItem is an item that is still being written.
type responsesItem struct {
	kind  string // reasoning, message, function_call or the item of another tool
	index int
	id    string
	head  string // of its deltas, behind the sequence number

	part   llm.PartKind // of a message: Text or Refusal, while a part is open
	parts  []byte       // of a message: the finished ones
	count  int          // of them
	words  []byte       // of the open part, the summary or the arguments
	start  int          // characters of text before the open part
	cites  []byte
	nCites int
	probs  []byte

	call  llm.CallDelta // its Index, ID and Name
	tool  answerTool    // that is called
	input inputReader   // of a custom tool
	said  []byte        // its input
	seal  string
}

func newResponsesStream(m Meta, silent bool) *responsesStream {
	s := &responsesStream{echo: newResponsesEcho(m), id: ownMark + m.RequestID, silent: silent}
	if m.Request != nil && len(m.Request.Tools) > 0 {
		s.tools = answerTools(gjson.ParseBytes(m.Request.Body))
	}
	return s
}

// ContentType gives text/event-stream.
func (s *responsesStream) ContentType() string { return "text/event-stream" }

// Chunk appends what c tells the caller at once. Finish reason and usage wait
// for End. Only the first of several answers can be told.
func (s *responsesStream) Chunk(dst []byte, c llm.Chunk) []byte {
	if c.Usage != nil {
		s.usage = c.Usage
	}
	if c.ServiceTier != "" {
		s.tier = c.ServiceTier
	}
	if c.Choice != 0 {
		return dst
	}
	if c.Finish != "" {
		s.finish = c.Finish
	}
	s.dst = dst
	if c.Thinking != "" {
		s.think(c.Thinking)
	}
	if c.Text != "" {
		s.say(llm.Text, c.Text, c.Logprobs)
	}
	if entries := probsOf(c.Logprobs); entries != "" && c.Text == "" { // told behind its text
		if i := s.open; i != nil && i.part == llm.Text {
			i.logged(entries)
		}
	}
	if c.Refusal != "" {
		s.say(llm.Refusal, c.Refusal, nil)
	}
	if c.Cite != nil {
		s.cite(*c.Cite)
	}
	switch {
	case c.Call != nil:
		s.call(c)
	case c.Signature == "":
	case c.Text != "":
		s.signText(c)
	default:
		s.signThinking(c)
	}
	return s.take()
}

// End appends the end of a complete answer.
func (s *responsesStream) End(dst []byte) []byte {
	s.dst = dst
	s.begin()
	s.close()
	s.last("response."+s.status(), s.status(), "")
	return s.take()
}

// Response gives the response object of a complete answer, also of one that
// passed through; nil before its end is written.
func (s *responsesStream) Response() json.RawMessage { return s.final }

// Passed reads an event of OpenAI's own stream that is passed on as it is.
func (s *responsesStream) Passed(event []byte) {
	at := bytes.Index(event, []byte("data:"))
	if at < 0 {
		return
	}
	s.seq++
	for _, name := range [...]string{"response.completed", "response.incomplete"} {
		if bytes.Contains(event[:min(len(event), at+64)], []byte(`"`+name+`"`)) || bytes.HasPrefix(event, []byte("event: "+name)) {
			if o := gjson.GetBytes(event[at+len("data:"):], "response"); o.IsObject() {
				s.final = json.RawMessage(o.Raw)
			}
		}
	}
}

// Fail appends response.failed. What was said until then is in its output. A
// stream that only passed through ends with an error event instead.
func (s *responsesStream) Fail(dst []byte, p Problem) []byte {
	s.dst = dst
	if !s.begun && s.seq > 0 {
		s.event("error")
		s.add(`,"code":`, string(marshal(cmp.Or(p.Code, p.Type, "server_error"))), `,"message":`, string(marshal(p.Message)), `,"param":null`, endOfEvent)
		return s.take()
	}
	s.begin()
	s.finish = llm.FinishLength // what is open stays incomplete
	s.close()
	s.last("response.failed", "failed", string(marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{cmp.Or(p.Code, p.Type, "server_error"), p.Message})))
	return s.take()
}

// take gives the buffer back to the caller.
func (s *responsesStream) take() []byte {
	dst := s.dst
	s.dst = nil
	return dst
}

// event appends the beginning of an event, up to its own fields.
func (s *responsesStream) event(name string) {
	b := append(s.dst, "event: "...)
	b = append(b, name...)
	b = append(b, "\ndata: {\"type\":\""...)
	b = append(b, name...)
	b = append(b, `","sequence_number":`...)
	s.dst = strconv.AppendInt(b, s.seq, 10)
	s.seq++
}

// add appends pieces of an event.
func (s *responsesStream) add(pieces ...string) {
	for _, p := range pieces {
		s.dst = append(s.dst, p...)
	}
}

const endOfEvent = "}\n\n"

func (s *responsesStream) last(name, status, failure string) {
	s.event(name)
	s.add(`,"response":`)
	from := len(s.dst)
	s.dst = s.response(s.dst, status, failure)
	if status == "completed" || status == "incomplete" {
		s.final = append(json.RawMessage(nil), s.dst[from:]...)
	}
	s.add(endOfEvent)
}

// begin appends the two events that open a stream, once.
func (s *responsesStream) begin() {
	if s.begun || s.silent {
		return
	}
	s.begun = true
	s.last("response.created", "in_progress", "")
	s.last("response.in_progress", "in_progress", "")
}

// item opens an item.
func (s *responsesStream) item(kind, prefix string) *responsesItem {
	s.begin()
	i := &responsesItem{kind: kind, index: len(s.items)}
	s.items = append(s.items, nil)
	i.id = prefix + s.id + "_" + strconv.Itoa(i.index)
	b := append([]byte(nil), `,"item_id":`...)
	b = gjson.AppendJSONString(b, i.id)
	b = append(b, `,"output_index":`...)
	i.head = string(strconv.AppendInt(b, int64(i.index), 10))
	return i
}

// added appends the event that opens an item.
func (s *responsesStream) added(i *responsesItem) {
	if s.silent {
		return
	}
	s.event("response.output_item.added")
	s.add(`,"output_index":`, strconv.Itoa(i.index), `,"item":`)
	s.dst = i.json(s.dst, "in_progress")
	s.add(endOfEvent)
}

// done closes an item.
func (s *responsesStream) done(i *responsesItem, status string) {
	s.items[i.index] = i.json(nil, status)
	if s.silent {
		return
	}
	s.event("response.output_item.done")
	s.add(`,"output_index":`, strconv.Itoa(i.index), `,"item":`, string(s.items[i.index]), endOfEvent)
}

// json appends the item as it is now.
func (i *responsesItem) json(b []byte, status string) []byte {
	b = append(b, `{"type":"`+i.kind+`","id":`...)
	b = gjson.AppendJSONString(b, i.id)
	switch i.kind {
	case "reasoning":
		b = append(b, `,"summary":[`...)
		if status != "in_progress" && len(i.words) > 0 {
			b = appendWords(b, "summary_text", "text", i.words)
			b = append(b, '}')
		}
		b = append(b, ']')
		if i.seal != "" {
			b = append(b, `,"encrypted_content":"`+i.seal+`"`...)
		}
		return append(b, '}') // its status is told by no one: clients that send items back would have to drop it
	case "message":
		b = append(b, `,"status":"`+status+`","role":"assistant","content":[`...)
		b = append(b, i.parts...)
		return append(b, `]}`...)
	}
	return i.callJSON(b, status)
}

// appendWords appends a part with words, but for its closing brace.
func appendWords(b []byte, kind, field string, words []byte) []byte {
	b = append(b, `{"type":"`+kind+`","`+field+`":`...)
	return gjson.AppendJSONString(b, string(words))
}

// think appends reasoning as one part of a summary.
func (s *responsesStream) think(words string) {
	i := s.open
	if i == nil || i.kind != "reasoning" {
		s.pause()
		i = s.item("reasoning", "rs_")
		s.open = i
		s.added(i)
		if !s.silent {
			s.event("response.reasoning_summary_part.added")
			s.add(i.head, `,"summary_index":0,"part":{"type":"summary_text","text":""}`, endOfEvent)
		}
	}
	i.words = append(i.words, words...)
	s.delta("response.reasoning_summary_text.delta", i.head, `,"summary_index":0`, words, "")
}

// delta appends words of an open item.
func (s *responsesStream) delta(name, head, where, words, probs string) {
	if s.silent {
		return
	}
	s.event(name)
	s.add(head, where, `,"delta":`)
	s.dst = gjson.AppendJSONString(s.dst, words)
	if probs != "" {
		s.add(`,"logprobs":`, probs)
	}
	s.add(endOfEvent)
}

// say appends words of a message, as text or as refusal.
func (s *responsesStream) say(kind llm.PartKind, words string, logs json.RawMessage) {
	i := s.message(kind)
	i.words = append(i.words, words...)
	if kind == llm.Refusal {
		s.delta("response.refusal.delta", i.head, i.where(), words, "")
		return
	}
	s.read += utf8.RuneCountInString(words)
	probs := "[]"
	if entries := probsOf(logs); entries != "" {
		i.logged(entries)
		probs = "[" + entries + "]"
	}
	s.delta("response.output_text.delta", i.head, i.where(), words, probs)
}

// probsOf gives the entries of a text's log probabilities, without brackets.
func probsOf(logs json.RawMessage) string {
	if logs == nil {
		return ""
	}
	list := gjson.GetBytes(logs, "content")
	if !list.IsArray() {
		return ""
	}
	return strings.TrimSpace(oneLine(list.Raw[1 : len(list.Raw)-1]))
}

func (i *responsesItem) logged(entries string) {
	if len(i.probs) > 0 {
		i.probs = append(i.probs, ',')
	}
	i.probs = append(i.probs, entries...)
}

// message gives the open message, with an open part of this kind.
func (s *responsesStream) message(kind llm.PartKind) *responsesItem {
	i := s.open
	if i == nil || i.kind != "message" {
		s.pause()
		i = s.item("message", "msg_")
		s.open = i
		s.added(i)
	}
	if i.part == kind {
		return i
	}
	s.partDone(i)
	i.part, i.start = kind, s.read
	if !s.silent {
		s.event("response.content_part.added")
		s.add(i.head, i.where(), `,"part":`)
		s.dst = i.partJSON(s.dst)
		s.add(endOfEvent)
	}
	return i
}

// where names the open part of a message.
func (i *responsesItem) where() string {
	if i.count == 0 {
		return `,"content_index":0`
	}
	return `,"content_index":` + strconv.Itoa(i.count)
}

// partJSON appends the open part of a message as it is now.
func (i *responsesItem) partJSON(b []byte) []byte {
	if i.part == llm.Refusal {
		return append(appendWords(b, "refusal", "refusal", i.words), '}')
	}
	b = appendWords(b, "output_text", "text", i.words)
	b = append(b, `,"annotations":[`...)
	b = append(b, i.cites...)
	b = append(b, `],"logprobs":[`...)
	b = append(b, i.probs...)
	return append(b, `]}`...)
}

// partDone closes the open part of a message.
func (s *responsesStream) partDone(i *responsesItem) {
	if i.part == "" {
		return
	}
	if !s.silent {
		if i.part == llm.Refusal {
			s.event("response.refusal.done")
			s.add(i.head, i.where(), `,"refusal":`)
			s.dst = gjson.AppendJSONString(s.dst, string(i.words))
		} else {
			s.event("response.output_text.done")
			s.add(i.head, i.where(), `,"text":`)
			s.dst = gjson.AppendJSONString(s.dst, string(i.words))
			s.add(`,"logprobs":[`, string(i.probs), `]`)
		}
		s.add(endOfEvent)
		s.event("response.content_part.done")
		s.add(i.head, i.where(), `,"part":`)
		s.dst = i.partJSON(s.dst)
		s.add(endOfEvent)
	}
	if i.count > 0 {
		i.parts = append(i.parts, ',')
	}
	i.parts = i.partJSON(i.parts)
	i.count++
	i.part, i.words, i.cites, i.probs, i.nCites = "", nil, nil, nil, 0
}

// cite appends an annotation of the open text. Its place in that text is
// counted from there, in characters.
func (s *responsesStream) cite(c llm.Citation) {
	i := s.message(llm.Text)
	mark := marshal(struct {
		Type  string `json:"type"`
		Start int    `json:"start_index"`
		End   int    `json:"end_index"`
		URL   string `json:"url"`
		Title string `json:"title"`
	}{"url_citation", max(0, c.Start-i.start), max(0, c.End-i.start), c.URL, c.Title})
	if !s.silent {
		s.event("response.output_text.annotation.added")
		s.add(i.head, i.where(), `,"annotation_index":`, strconv.Itoa(i.nCites), `,"annotation":`, string(mark), endOfEvent)
	}
	if i.nCites > 0 {
		i.cites = append(i.cites, ',')
	}
	i.cites = append(i.cites, mark...)
	i.nCites++
}

// signThinking seals the open reasoning, or one without words.
func (s *responsesStream) signThinking(c llm.Chunk) {
	i := s.open
	if i == nil || i.kind != "reasoning" || c.Redacted {
		s.sealed(responsesSeal{By: c.SignedBy, Of: llm.Thinking, Signature: c.Signature, Redacted: c.Redacted})
		return
	}
	i.seal = responsesSeal{By: c.SignedBy, Of: llm.Thinking, Words: wordsOf(string(i.words)), Signature: c.Signature}.String()
	s.pause()
}

// signText ends the open text and seals it in an item of its own.
func (s *responsesStream) signText(c llm.Chunk) {
	words := ""
	if i := s.open; i != nil && i.part == llm.Text {
		words = wordsOf(string(i.words))
	}
	s.sealed(responsesSeal{By: c.SignedBy, Of: llm.Text, Words: words, Signature: c.Signature})
}

// sealed appends a reasoning item that only holds a seal.
func (s *responsesStream) sealed(of responsesSeal) {
	s.pause()
	i := s.item("reasoning", "rs_")
	i.seal = of.String()
	s.added(i)
	s.done(i, "completed")
}

// pause closes what is open before something else begins, but for calls whose
// arguments are not whole yet: pieces of several calls may come in any order.
func (s *responsesStream) pause() {
	s.openDone("completed")
	unfinished := s.calls[:0]
	for _, i := range s.calls {
		if gjson.ValidBytes(i.words) {
			s.callDone(i, "completed")
		} else {
			unfinished = append(unfinished, i)
		}
	}
	s.calls = unfinished
}

// close closes all that is open. In an answer that was cut off it is incomplete.
func (s *responsesStream) close() {
	status := s.status()
	s.openDone(status)
	for _, i := range s.calls {
		if len(i.words) == 0 && status == "completed" {
			i.words = []byte("{}")
			if i.kind == "function_call" {
				s.delta("response.function_call_arguments.delta", i.head, "", "{}", "")
			}
		}
		s.callDone(i, status)
	}
	s.calls = nil
}

// openDone closes the reasoning or message that goes on.
func (s *responsesStream) openDone(status string) {
	i := s.open
	if i == nil {
		return
	}
	s.open = nil
	if i.kind == "message" {
		s.partDone(i)
	} else if !s.silent {
		s.event("response.reasoning_summary_text.done")
		s.add(i.head, `,"summary_index":0,"text":`)
		s.dst = gjson.AppendJSONString(s.dst, string(i.words))
		s.add(endOfEvent)
		s.event("response.reasoning_summary_part.done")
		s.add(i.head, `,"summary_index":0,"part":`)
		s.dst = appendWords(s.dst, "summary_text", "text", i.words)
		s.add("}", endOfEvent)
	}
	s.done(i, status)
}
