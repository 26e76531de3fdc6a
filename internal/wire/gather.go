package wire

import (
	"encoding/json"
	"errors"
	"io"

	"breakwater/internal/llm"
)

// DefaultMaxAnswer bounds an answer that is gathered, in bytes. The longest
// answers of today's models are about half a MB: a longer one is endless.
const DefaultMaxAnswer = 32 << 20

// Answer is a whole answer.
type Answer struct {
	ID          string
	Model       string // as the upstream names it
	Choices     []Choice
	Vectors     []llm.Vector // of an embedding request, by index
	Usage       *llm.Usage   // nil where the upstream told none
	ServiceTier string
	Opaque      bool // it has content that only Raw can say
	// Raw is the upstream's whole body where the answer came in one piece,
	// and nil where it was streamed.
	Raw []byte
}

// Choice is one of the answers that were asked for.
type Choice struct {
	Parts        []llm.Part // in order: Thinking, Text, Refusal and Call
	Citations    []llm.Citation
	Logprobs     json.RawMessage // in OpenAI's shape; nil where there are none
	Finish       llm.FinishReason
	StopSequence string
	FinishDetail string
}

// Text gives the text of the first choice.
func (a Answer) Text() string {
	if len(a.Choices) == 0 {
		return ""
	}
	return llm.Message{Parts: a.Choices[0].Parts}.Text()
}

// Finish says why the first choice ended.
func (a Answer) Finish() llm.FinishReason {
	if len(a.Choices) == 0 {
		return ""
	}
	return a.Choices[0].Finish
}

// Gather reads a stream to its end. With an error, which is the stream's, it
// gives what had arrived until then. It does not close the stream.
func Gather(s llm.Stream) (Answer, error) {
	var g gatherer
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			return g.answer(), nil
		}
		if err != nil {
			return g.answer(), err
		}
		if g.size += weight(&c); g.size > DefaultMaxAnswer {
			return g.answer(), garbage("the answer is endless", nil)
		}
		g.add(c)
	}
}

// weight is about the memory that a chunk takes in a gathered answer, in bytes.
func weight(c *llm.Chunk) int {
	n := len(c.Text) + len(c.Thinking) + len(c.Refusal) + len(c.Signature) + len(c.Logprobs)
	if c.Call != nil {
		n += len(c.Call.ID) + len(c.Call.Name) + len(c.Call.Args)
		if c.Call.ID != "" || c.Call.Name != "" {
			n += partWeight
		}
	}
	if c.Cite != nil {
		n += len(c.Cite.URL) + len(c.Cite.Title) + len(c.Cite.Text) + partWeight
	}
	return n
}

// partWeight is the memory that a call or a citation takes beside its words.
const partWeight = 512

// gatherer joins chunks to an answer.
type gatherer struct {
	a       Answer
	n, raws int
	size    int
	calls   []map[int]int // by choice: where in its parts the call of an index is
	args    []map[int][]byte
	probs   []logprobs
}

// logprobs are token log probabilities in OpenAI's shape.
type logprobs struct {
	Content []json.RawMessage `json:"content"`
	Refusal []json.RawMessage `json:"refusal"`
}

// answer gives what has come so far.
func (g *gatherer) answer() Answer {
	for i := range g.a.Choices {
		for index, at := range g.calls[i] {
			args := g.args[i][index]
			if len(args) == 0 {
				args = []byte("{}")
			}
			g.a.Choices[i].Parts[at].Call.Args = args
		}
		if p := g.probs[i]; p.Content != nil || p.Refusal != nil {
			g.a.Choices[i].Logprobs = marshal(p)
		}
	}
	if g.raws != 1 || g.n == 0 {
		g.a.Raw = nil
	}
	return g.a
}

func (g *gatherer) add(c llm.Chunk) {
	if c.Raw != nil {
		g.raws++
		g.a.Raw = c.Raw
	}
	g.n++
	if c.ID != "" {
		g.a.ID = c.ID
	}
	if c.Model != "" {
		g.a.Model = c.Model
	}
	if c.Usage != nil {
		g.a.Usage = c.Usage
	}
	if c.ServiceTier != "" {
		g.a.ServiceTier = c.ServiceTier
	}
	g.a.Opaque = g.a.Opaque || c.Opaque
	if c.Vector != nil {
		g.a.Vectors = append(g.a.Vectors, *c.Vector)
		return
	}
	if c.Choice < 0 || c.Choice >= maxChoices {
		return
	}
	for len(g.a.Choices) <= c.Choice {
		g.a.Choices = append(g.a.Choices, Choice{})
		g.calls = append(g.calls, nil)
		g.args = append(g.args, nil)
		g.probs = append(g.probs, logprobs{})
	}
	choice := &g.a.Choices[c.Choice]
	g.text(choice, c)
	if c.Call != nil {
		g.call(choice, c)
	}
	if c.Cite != nil {
		choice.Citations = append(choice.Citations, *c.Cite)
	}
	if c.Logprobs != nil {
		var more logprobs
		if json.Unmarshal(c.Logprobs, &more) == nil {
			p := &g.probs[c.Choice]
			p.Content = append(p.Content, more.Content...)
			p.Refusal = append(p.Refusal, more.Refusal...)
		}
	}
	if c.Finish != "" {
		choice.Finish, choice.StopSequence, choice.FinishDetail = c.Finish, c.StopSequence, c.FinishDetail
	}
}

// text adds the chunk's words, and its signature, to the last part where that
// is of the same kind, and otherwise to a new one.
func (g *gatherer) text(choice *Choice, c llm.Chunk) {
	for _, piece := range [...]llm.Part{
		{Kind: llm.Thinking, Text: c.Thinking}, {Kind: llm.Text, Text: c.Text}, {Kind: llm.Refusal, Text: c.Refusal},
	} {
		if piece.Text == "" {
			continue
		}
		last := len(choice.Parts) - 1
		if last < 0 || choice.Parts[last].Kind != piece.Kind || choice.Parts[last].Signature != "" {
			choice.Parts = append(choice.Parts, llm.Part{Kind: piece.Kind})
			last++
		}
		choice.Parts[last].Text += piece.Text
	}
	if c.Signature == "" || c.Call != nil {
		return
	}
	last := len(choice.Parts) - 1
	kind := llm.Thinking
	if c.Text != "" {
		kind = llm.Text
	}
	if c.Redacted || last < 0 || choice.Parts[last].Signature != "" || choice.Parts[last].Kind != kind {
		choice.Parts = append(choice.Parts, llm.Part{Kind: kind})
		last++
	}
	p := &choice.Parts[last]
	p.Signature, p.SignedBy, p.Redacted = c.Signature, c.SignedBy, c.Redacted
}

// call adds a piece of a call to the call of its index.
func (g *gatherer) call(choice *Choice, c llm.Chunk) {
	d := c.Call
	at, ok := g.calls[c.Choice][d.Index]
	if g.calls[c.Choice] == nil { // most answers have none
		g.calls[c.Choice], g.args[c.Choice] = map[int]int{}, map[int][]byte{}
	}
	if !ok {
		at = len(choice.Parts)
		g.calls[c.Choice][d.Index] = at
		choice.Parts = append(choice.Parts, llm.Part{Kind: llm.Call, Call: &llm.ToolCall{}})
	}
	p := &choice.Parts[at]
	if d.ID != "" {
		p.Call.ID = d.ID
	}
	if d.Name != "" {
		p.Call.Name = d.Name
	}
	if c.Signature != "" {
		p.Signature, p.SignedBy = c.Signature, c.SignedBy
	}
	g.args[c.Choice][d.Index] = append(g.args[c.Choice][d.Index], d.Args...)
}

// maxChoices bounds the answers to one request; OpenAI allows 128.
const maxChoices = 128
