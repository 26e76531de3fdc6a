package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

func TestOpenAIDoorWritesAnswers(t *testing.T) {
	created := time.Unix(1_780_000_000, 0)
	usage := &llm.Usage{Input: 20, CacheRead: 8, Output: 7, Reasoning: 3}
	var out bytes.Buffer
	show := func(name string, b []byte) { fmt.Fprintf(&out, "--- %s\n%s\n", name, b) }

	show("whole", openAIAnswer(Meta{RequestID: "01ABC", Model: "claude-sonnet-4-5", Created: created}, Answer{Choices: []Choice{{Parts: []llm.Part{{Kind: llm.Text, Text: "Hi \"you\"\n<é>"}}, Finish: llm.FinishLength}}, Usage: usage}))
	show("whole, nothing told", openAIAnswer(Meta{RequestID: "01ABC", Model: "llama3", Created: created}, Answer{}))

	stream := func(include bool, chunks ...llm.Chunk) []byte {
		s := NewOpenAIChatStream("01ABC", "llama3", created, include)
		var b []byte
		for _, c := range chunks {
			b = s.Chunk(b, c)
		}
		return s.End(b)
	}
	show("stream", stream(false, llm.Chunk{ID: "x"}, llm.Chunk{Text: "Hi \"you\""}, llm.Chunk{}, llm.Chunk{Text: "\n<é>"}, llm.Chunk{Finish: llm.FinishStop, Usage: usage}))
	show("stream with usage", stream(true, llm.Chunk{Usage: &llm.Usage{Input: 1}}, llm.Chunk{Text: "Hi", Finish: llm.FinishContentFilter, Usage: usage}))
	show("stream with usage that nobody told", stream(true))
	answer, chunks := everything()
	m := Meta{RequestID: "01ABC", Model: "m", Created: created, Request: &llm.Request{Dialect: llm.OpenAIChat, IncludeUsage: true}}
	old := m
	old.Request = &llm.Request{Dialect: llm.OpenAIChat, Tools: []llm.Tool{{Name: "f"}}, Body: []byte(`{"functions":[]}`)}
	door := OpenAIChatDoor()
	written := func(w Writer) (b []byte) {
		for _, c := range chunks {
			b = w.Chunk(b, c)
		}
		return w.End(b)
	}
	show("everything", door.Answer(m, answer))
	show("everything in a stream", written(door.Stream(m)))
	show("everything, older form", door.Answer(old, answer))
	show("everything in a stream, older form", written(door.Stream(old)))
	show("everything, legacy completion", OpenAILegacyDoor().Answer(m, answer))
	show("everything in a stream, legacy completion", written(OpenAILegacyDoor().Stream(m)))
	show("failed", OpenAILegacyDoor().Stream(m).Fail(door.Stream(m).Fail(nil, Problem{Message: "cut", Type: "server_error"}), Problem{Code: "c", Param: "p"}))
	show("problem", door.Problem(Problem{Status: 400, Message: "no", Type: "t"}))
	show("error", OpenAIError{Message: "no \"such\" model", Type: "invalid_request_error", Param: "model", Code: "model_not_found"}.Body())
	show("error in a stream", OpenAIError{Message: "cut", Type: "server_error"}.Event(nil))
	golden(t, "openai_door.golden", out.Bytes())
}

// everything is an answer with all that an answer may have, and the chunks
// that say the same.
func everything() (Answer, []llm.Chunk) {
	probs := json.RawMessage(`{"content":[{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[{"token":"Hi","logprob":-0.5,"bytes":null}]}],"refusal":null}`)
	usage := &llm.Usage{Input: 20, CacheRead: 8, CacheWrite: 2, AudioIn: 1, Output: 7, Reasoning: 3, AudioOut: 1}
	cite := llm.Citation{URL: "https://x", Title: "X", Start: 1, End: 2}
	a := Answer{ServiceTier: "default", Usage: usage, Choices: []Choice{
		{Parts: []llm.Part{
			{Kind: llm.Thinking, Text: "Let me see.", Signature: "s1", SignedBy: llm.Claude},
			{Kind: llm.Thinking, Signature: "dark", SignedBy: llm.Claude, Redacted: true},
			{Kind: llm.Text, Text: "Hi there"},
			{Kind: llm.Call, Call: &llm.ToolCall{ID: "c1", Name: "f", Args: []byte(`{"a":"<b>"}`)}, Signature: "gem", SignedBy: llm.Gemini},
			{Kind: llm.Call, Call: &llm.ToolCall{ID: "c2", Name: "g", Args: []byte(`{}`)}},
		}, Citations: []llm.Citation{cite}, Logprobs: probs, Finish: llm.FinishToolCalls},
		{Parts: []llm.Part{{Kind: llm.Thinking, Text: "hm"}, {Kind: llm.Refusal, Text: "Never"}}, Finish: llm.FinishContentFilter},
		{Parts: []llm.Part{{Kind: llm.Text, Text: "signed", Signature: "gem2", SignedBy: llm.Gemini}}, Finish: llm.FinishLength},
	}}
	return a, []llm.Chunk{
		{ID: "x", ServiceTier: "default"}, {Thinking: "Let me "}, {Thinking: "see."}, {Signature: "s1", SignedBy: llm.Claude},
		{Choice: 1, Thinking: "hm"}, {Signature: "dark", SignedBy: llm.Claude, Redacted: true},
		{Text: "Hi"}, {Logprobs: probs}, {Text: " there"}, {Cite: &cite},
		{Call: &llm.CallDelta{ID: "c1", Name: "f"}, Signature: "gem", SignedBy: llm.Gemini}, {Choice: 1, Refusal: "Never"},
		{Call: &llm.CallDelta{Args: `{"a":`}}, {Call: &llm.CallDelta{Args: `"<b>"}`}}, {Call: &llm.CallDelta{Index: 1, ID: "c2", Name: "g"}},
		{Choice: 2, Text: "signed", Signature: "gem2", SignedBy: llm.Gemini}, {Choice: 2, Finish: llm.FinishLength},
		{Finish: llm.FinishToolCalls, Usage: usage}, {Choice: 1, Finish: llm.FinishContentFilter},
	}
}

// TestWhatTheOpenAIDoorWritesIsReadAgain holds that an answer survives being
// written and read, in one piece and in a stream, and, sent back, as a message.
func TestWhatTheOpenAIDoorWritesIsReadAgain(t *testing.T) {
	answer, chunks := everything()
	gathered, err := Gather(&listed{chunks: chunks})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := said(gathered), said(answer); got != want {
		t.Errorf("the chunks say\n%s\nnot\n%s", got, want)
	}
	survives(t, "everything", answer, chunks)
	body := OpenAIChatDoor().Answer(Meta{}, answer)
	for i, want := range answer.Choices {
		back := `{"model":"m","messages":[` + gjson.GetBytes(body, "choices."+strconv.Itoa(i)+".message").Raw + `]}`
		r, err := DecodeOpenAIChat([]byte(back))
		if err != nil || r.Beyond != nil || string(marshal(r.Messages[0].Parts)) != string(marshal(want.Parts)) {
			t.Errorf("sent back %s\n%v, %q\n got %s\nwant %s", back, err, r.Beyond, marshal(r.Messages[0].Parts), marshal(want.Parts))
		}
	}
}

// survives writes an answer with the door and reads it with the codec.
func survives(t *testing.T, name string, a Answer, chunks []llm.Chunk) {
	t.Helper()
	codec, _ := CodecFor(llm.OpenAIChat)
	req := &llm.Request{Dialect: llm.Plain, Stream: true, IncludeUsage: true}
	m := Meta{RequestID: "01ABC", Model: a.Model, Request: req}
	body := OpenAIChatDoor().Answer(m, a)
	whole, err := codec.Whole(body, req)
	if err != nil {
		t.Errorf("%s: whole: %v", name, err)
		return
	}
	got, _ := Gather(&listed{chunks: whole})
	if said(got) != said(a) {
		t.Errorf("%s: whole\n got %s\nwant %s", name, said(got), said(a))
	}
	if chunks == nil {
		chunks = whole
	}
	w := OpenAIChatDoor().Stream(m)
	var b []byte
	for _, c := range chunks {
		b = w.Chunk(b, c)
	}
	got, err = Gather(&recorder{Stream: codec.Stream(bytes.NewReader(w.End(b)), req)})
	if err != nil || said(got) != said(a) {
		t.Errorf("%s: stream: %v\n got %s\nwant %s", name, err, said(got), said(a))
	}
}

// said writes what a caller of OpenAI's dialect can be told of an answer.
func said(a Answer) string {
	a.ID, a.Raw, a.Opaque = "", nil, false
	a.Choices = slices.Clone(a.Choices)
	for i := range a.Choices {
		c := &a.Choices[i]
		c.Finish = finishOr(c.Finish)
		c.StopSequence, c.FinishDetail = "", ""
		c.Citations = slices.Clone(c.Citations)
		for j := range c.Citations {
			c.Citations[j].Text = ""
		}
		// Thinking, words and calls: the parts of each kind in their order.
		ordered := []llm.Part{}
		for _, kind := range []llm.PartKind{llm.Thinking, llm.Text, llm.Refusal, llm.Call} {
			for _, p := range c.Parts {
				if p.Kind != kind {
					continue
				}
				if kind == llm.Call { // whose arguments may be cut off
					p.Text, p.Call = string(p.Call.Args), &llm.ToolCall{ID: p.Call.ID, Name: p.Call.Name}
				}
				ordered = append(ordered, p)
			}
		}
		c.Parts = signedText(ordered)
	}
	return string(marshal(a))
}

// signedText gives Gemini's signature of nothing to the text beside it: in a
// message there is one place for both.
func signedText(parts []llm.Part) []llm.Part {
	p := parts[:0]
	signature := ""
	for _, part := range parts {
		if part.Kind == llm.Thinking && part.Text == "" && part.SignedBy == llm.Gemini {
			signature = part.Signature
			continue
		}
		p = append(p, part)
	}
	if signature != "" {
		p = signText(p, signature)
	}
	return p
}

// TestRecordedAnswersSurviveTheOpenAIDoor writes and reads each recorded
// answer, whoever gave it.
func TestRecordedAnswersSurviveTheOpenAIDoor(t *testing.T) {
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, llm.Plain, bytes.NewReader(x.body()))
		if err != nil {
			continue
		}
		a.Model = "m"
		if a.Usage != nil {
			a.Usage.CacheWrite1h = 0 // for which it has no word
		}
		survives(t, x.Name, a, nil)
	}
}

func TestOpenAIDoorIsReadByOpenAICodec(t *testing.T) {
	usage := llm.Usage{Input: 20, CacheRead: 8, Output: 7, Reasoning: 3}
	created := time.Unix(1_780_000_000, 0)
	codec, _ := CodecFor(llm.OpenAIChat)
	req := &llm.Request{Dialect: llm.OpenAIChat, Stream: true, IncludeUsage: true}
	s := NewOpenAIChatStream("01ABC", "m", created, true)
	body := s.End(s.Chunk(s.Chunk(nil, llm.Chunk{Text: "He"}), llm.Chunk{Text: "y", Finish: llm.FinishLength, Usage: &usage}))
	a, err := Gather(&recorder{Stream: codec.Stream(bytes.NewReader(body), req)})
	if err != nil || a.Text() != "Hey" || a.Finish() != llm.FinishLength || a.Usage == nil || *a.Usage != usage || a.ID != "chatcmpl-01ABC" || a.Model != "m" {
		t.Errorf("stream: got %+v, %v", a, err)
	}
	chunks, err := codec.Whole(openAIAnswer(Meta{RequestID: "01ABC", Model: "m", Created: created}, a), req)
	c, _ := Gather(&listed{chunks: chunks})
	if err != nil || c.Text() != "Hey" || c.Finish() != llm.FinishLength || c.Usage == nil || *c.Usage != usage {
		t.Errorf("whole: got %+v, %v", c, err)
	}
}

func TestAnEventOfTheOpenAIDoorAllocatesNothing(t *testing.T) {
	s := NewOpenAIChatStream("01ABC", "m", time.Unix(0, 0), false)
	b := make([]byte, 0, 4096)
	c := llm.Chunk{Text: "some words \"and\" more"}
	if n := testing.AllocsPerRun(100, func() { b = s.Chunk(b[:0], c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// repeat reads the text again and again.
func repeat(text string) io.Reader { return &repeated{text: text} }

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
