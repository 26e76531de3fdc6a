package router

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Recovery says what becomes of a stream that breaks off after its caller has
// seen some of it.
type Recovery string

// The recoveries.
const (
	// RecoverContinue has the next candidate go on from the text that was sent.
	RecoverContinue Recovery = "continue"
	// RecoverBuffer holds a stream until it is whole, so that it can begin anew.
	RecoverBuffer Recovery = "buffer"
	// RecoverError ends the stream with an error.
	RecoverError Recovery = "error"
)

// maxContinued bounds the text, in bytes, that is kept to be gone on from.
const maxContinued = 1 << 20

// said is what the caller of a stream has seen of its answer, as far as
// another candidate can go on from it.
type said struct {
	text, thinking strings.Builder
	more           bool // something that cannot be continued: a call, a refusal, a second choice, an end
}

// note adds a chunk.
func (s *said) note(c llm.Chunk) {
	if s.more {
		return
	}
	s.text.WriteString(c.Text)
	s.thinking.WriteString(c.Thinking)
	s.more = c.Choice != 0 || c.Call != nil || c.Refusal != "" || c.Opaque || c.Cite != nil || c.Finish != "" || c.Logprobs != nil ||
		s.text.Len()+s.thinking.Len() > maxContinued
}

// Handover is the change of targets in the middle of an answer.
type Handover struct {
	From, To llm.Target
	// Thinking and Text are what the first one had sent.
	Thinking, Text string
}

// Handover gives the last change of targets, and forgets it; nil where there
// was none since the last call. Chunks after it have no meaning as bytes: they are
// those of another answer.
func (a *Answer) Handover() *Handover {
	h := a.handover
	a.handover = nil
	return h
}

// continuable says whether the answer to a request may be gone on with by
// somebody else, should it break off: one text in a stream, without a form
// that two halves would not have.
func (r *HybridRouter) continuable(req *llm.Request) bool {
	return r.onCut == RecoverContinue && req.Stream && req.Format == nil && (req.N == nil || *req.N <= 1) &&
		(req.Logprobs == nil || !*req.Logprobs)
}

// mendable says whether a failure in mid-answer is one that somebody else need
// not have.
func mendable(f *llm.Failure) bool {
	if cause, ok := llm.AsFailure(f.Err); ok {
		f = cause
	}
	switch f.Class {
	case llm.Cancelled, llm.Deadline, llm.ContentFilter, llm.BadRequest, llm.ContextLength:
		return false
	}
	return true
}

// goOn has another candidate, or as a last resort the same one, continue an
// answer that broke off. It says whether one does.
func (a *Answer) goOn(f *llm.Failure) bool {
	// The items of a Responses stream have ids, which another's would not fit.
	if a.said == nil || a.said.more || !mendable(f) || a.Dialect == llm.OpenAIResponses {
		return false
	}
	r, p, broken := a.router, a.plan, a.attempt
	r.end(broken, f)
	broken.settle(f)
	a.trace.Attempts = append(a.trace.Attempts, broken.Attempt)
	p.failed(a.served, f)
	a.settled = true
	order := make([]int, 0, len(p.candidates))
	for i := range p.candidates {
		if p.outcome[i].Verdict == record.VerdictNotNeeded {
			order = append(order, i)
		}
	}
	for _, i := range append(order, a.served) {
		next, rest := a.continueAt(i)
		if next == nil {
			continue
		}
		a.handover = &Handover{From: a.Target, To: next.target, Thinking: a.said.thinking.String(), Text: a.said.text.String()}
		a.seam = rest
		p.outcome[i].Verdict = record.VerdictServed
		a.trace.Reason = fmt.Sprintf("%s; %s stopped in the middle (%s), so %s went on", a.trace.Reason, broken.target.Provider.Title(), brief(f), next.target.Provider.Title())
		r.log.Info("handover in mid-answer", "request", a.ID.String(), "from", broken.target.String(), "to", next.target.String())
		a.before = a.before.Add(llm.Usage{Output: broken.Usage.Output, Reasoning: broken.Usage.Reasoning})
		a.attempt, a.served, a.Target, a.settled = next, i, next.target, false
		return true
	}
	return false
}

// continueAt has candidate i go on. It gives nil where it cannot.
func (a *Answer) continueAt(i int) (*attempt, *seam) {
	r, p := a.router, a.plan
	c := p.candidates[i]
	req, s := continuation(a.call.Request, a.said.text.String())
	if slices.Contains(c.lacks(req), "messages.prefill") {
		req, s = instruction(a.call.Request, a.said.text.String())
	}
	permit, canary := r.admit(p, i, req, false)
	if permit == nil {
		return nil, nil
	}
	call := *a.call
	call.Request = req
	next := newAttempt(c, permit, canary, &call)
	f := r.start(a.caller, next, *req)
	if f == nil {
		return next, s
	}
	next.settle(f)
	a.trace.Attempts = append(a.trace.Attempts, next.Attempt)
	p.failed(i, f)
	return nil, nil
}

// continuation asks a model that takes the beginning of its own answer.
func continuation(req *llm.Request, text string) (*llm.Request, *seam) {
	begun := strings.TrimRight(text, " \t\r\n") // Anthropic refuses white space at the end
	again := *req
	again.Dialect, again.Body, again.Header, again.IncludeUsage = llm.Plain, nil, nil, true
	again.Messages = slices.Clone(req.Messages)
	if begun != "" {
		again.Messages = append(again.Messages, textMessage(llm.Assistant, begun))
	}
	if req.MaxTokens != nil {
		const bytesPerToken = 4 // of English; a limit is no place for exactness
		left := max(1, *req.MaxTokens-int64(len(text)/bytesPerToken))
		again.MaxTokens = &left
	}
	return &again, &seam{tail: text[len(begun):]}
}

// anchor is how much of the text, in bytes, a model is asked to repeat, so that
// it is plain where it goes on.
const anchor = 80

// instruction asks a model that would begin a new answer.
func instruction(req *llm.Request, text string) (*llm.Request, *seam) {
	again, _ := continuation(req, text)
	tail := lastWords(text, anchor)
	if tail == "" {
		return again, &seam{}
	}
	again.Messages = append(again.Messages, textMessage(llm.User,
		"Your answer was cut off. Go on exactly where it stopped, in the same language and form, and say nothing about the interruption. "+
			"Begin by repeating its last words, which are:\n"+tail))
	return again, &seam{tail: tail, repeats: true}
}

// lastWords gives the end of a text, from the beginning of a word.
func lastWords(text string, most int) string {
	if len(text) <= most {
		return text
	}
	tail := text[len(text)-most:]
	if i := strings.IndexAny(tail, " \n\t"); i >= 0 {
		return tail[i+1:]
	}
	return strings.ToValidUTF8(tail, "")
}

// seam joins a continuation to what was sent: an overlap is cut out.
type seam struct {
	tail    string // of what was sent; what the continuation may begin with again
	repeats bool   // the continuation was asked to repeat the tail, and may repeat less
	held    strings.Builder
	joined  bool
	after   []llm.Chunk // what comes when the text that was held is out
}

// join gives what the caller is to see of a chunk; false where it is held back.
func (s *seam) join(c llm.Chunk) (llm.Chunk, bool) {
	c.Raw, c.Thinking, c.Signature, c.Redacted = nil, "", "", false // another mind's reasoning comes too late
	if s.joined {
		return c, true
	}
	s.held.WriteString(c.Text)
	if c.Text != "" && c.Finish == "" && s.held.Len() < 2*len(s.tail) {
		return llm.Chunk{}, false
	}
	if c.Text == "" && c.Finish == "" && c.Call == nil {
		return c, true // nothing that would have to wait for its turn
	}
	rest := s.cut()
	if c.Text == "" { // the end, or a call: the text goes first
		s.after = append(s.after, c)
		return llm.Chunk{Text: rest}, rest != ""
	}
	c.Text = rest
	return c, true
}

// cut ends the holding back and gives the text without the overlap.
func (s *seam) cut() string {
	s.joined = true
	text := s.held.String()
	if !s.repeats { // only white space was withheld from the model
		for len(s.tail) > 0 && strings.HasPrefix(text, s.tail[:1]) {
			s.tail, text = s.tail[1:], text[1:]
		}
		return text
	}
	trimmed := strings.TrimLeft(text, " \n\t\"«“…")
	if i := strings.Index(trimmed, s.tail); i >= 0 {
		return trimmed[i+len(s.tail):] // perhaps after a few words of its own
	}
	for from := range s.tail {
		if from > 0 && !strings.ContainsAny(s.tail[from-1:from], " \n\t") {
			continue // not the beginning of a word: a chance likeness
		}
		overlap := s.tail[from:]
		if rest, ok := strings.CutPrefix(trimmed, overlap); ok {
			return rest
		}
		if bare := strings.TrimRight(overlap, " \n\t"); bare != "" {
			if rest, ok := strings.CutPrefix(trimmed, bare); ok { // its white space differs
				return strings.TrimLeft(rest, " \n\t")
			}
		}
	}
	return text
}

// rest gives what the seam still holds back when the continuation has ended.
func (s *seam) rest() (llm.Chunk, bool) {
	if len(s.after) > 0 {
		c := s.after[0]
		s.after = s.after[1:]
		return c, true
	}
	if !s.joined {
		if text := s.cut(); text != "" {
			return llm.Chunk{Text: text}, true
		}
	}
	return llm.Chunk{}, false
}

// pull gives the next chunk of the answer, through the seam where there is one.
func (a *Answer) pull() (llm.Chunk, error) {
	for {
		if a.seam != nil && len(a.seam.after) > 0 {
			c, _ := a.seam.rest()
			return c, nil
		}
		c, err := a.attempt.next()
		if a.seam == nil {
			return c, err
		}
		if errors.Is(err, io.EOF) {
			if c, ok := a.seam.rest(); ok {
				return c, nil
			}
		}
		if err != nil {
			return c, err
		}
		if joined, ok := a.seam.join(c); ok {
			return joined, nil
		}
	}
}
