package router

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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

// maxHandovers bounds how often one answer changes hands: each time is paid for.
const maxHandovers = 3

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
	s.more = c.Choice != 0 || c.Call != nil || c.Refusal != "" || c.Opaque && c.Thinking == "" || c.Cite != nil || c.Finish != "" || c.Logprobs != nil ||
		s.text.Len()+s.thinking.Len() > maxContinued
}

// Handover is the change of targets in the middle of an answer.
type Handover struct {
	From, To llm.Target
	// Thinking and Text are what the first one had sent.
	Thinking, Text string
}

// relay is how an answer changes hands.
type relay struct {
	said     *said // nil where the answer cannot be continued
	seam     *seam // nil before a handover
	before   llm.Usage
	handover *Handover
	times    int // how often it changed hands
	again    map[int]bool
	counted  map[llm.Target]bool // whose failure was counted
}

// Handover gives the last change of targets, and forgets it; nil where there
// was none since the last call. Chunks after it have no meaning as bytes: they are
// those of another answer.
func (a *Answer) Handover() *Handover {
	h := a.relay.handover
	a.relay.handover = nil
	return h
}

// HandedOver says whether somebody else went on with the answer.
func (a *Answer) HandedOver() bool { return a.relay.times > 0 }

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
// answer that broke off. It gives the failure that the answer ends with, or nil
// where it goes on.
func (a *Answer) goOn(f *llm.Failure) *llm.Failure {
	l := &a.relay
	// The items of a Responses stream have ids, which another's would not fit.
	if l.said == nil || l.said.more || !mendable(f) || a.Dialect == llm.OpenAIResponses || l.times == maxHandovers {
		return f
	}
	if a.Waiting != nil {
		a.Waiting()
	}
	w, broken := a.walk, a.attempt
	a.broke(f)
	for _, i := range a.successors(f) {
		next, rest, failed := a.continueAt(i)
		if failed != nil && (failed.Class == llm.Cancelled || failed.Class == llm.Deadline) {
			return failed
		}
		if next == nil {
			continue
		}
		l.times++
		l.handover = &Handover{From: a.Target, To: next.target, Thinking: l.said.thinking.String(), Text: l.said.text.String()}
		l.seam = rest
		w.plan.outcome[i].Verdict, w.plan.outcome[i].Detail = record.VerdictServed, ""
		w.trace.Reason = fmt.Sprintf("%s; %s stopped in the middle (%s), so %s went on", w.trace.Reason, broken.target.Provider.Title(), brief(f), next.target.Provider.Title())
		w.r.log.Info("handover in mid-answer", "request", a.ID.String(), "from", broken.target.String(), "to", next.target.String())
		l.before = l.before.Add(llm.Usage{Output: broken.Usage.Output, Reasoning: broken.Usage.Reasoning})
		a.attempt, a.served, a.Target, a.over = next, i, next.target, false
		if l.times == maxHandovers { // slow is better than broken off
			next.slow.floor = 0
		}
		return nil
	}
	return f
}

// successors lists the candidates that may go on: those that were not asked
// yet, and then the one that broke off, if it never did before. One that fell
// silent would only be silent again.
func (a *Answer) successors(f *llm.Failure) []int {
	var order []int
	for i, out := range a.walk.plan.outcome {
		if i != a.served && changeable(out.Verdict) {
			order = append(order, i)
		}
	}
	if a.relay.again[a.served] || f.Class == llm.Timeout {
		return order
	}
	if a.relay.again == nil {
		a.relay.again = make(map[int]bool)
	}
	a.relay.again[a.served] = true
	return append(order, a.served)
}

// tell settles an attempt at this answer that failed, and writes it down. One
// request counts at most one failure of a target: a prompt that breaks a model
// must not take it from everybody.
func (a *Answer) tell(broken *attempt, i int, f *llm.Failure) {
	w, l := a.walk, &a.relay
	if l.counted[broken.target] {
		broken.permit.neutral()
	} else {
		if l.counted == nil {
			l.counted = make(map[llm.Target]bool)
		}
		l.counted[broken.target] = true
		broken.settle(f)
	}
	w.trace.Attempts = append(w.trace.Attempts, broken.Attempt)
	w.plan.failed(i, f)
}

// continueAt has candidate i go on. It gives nil where it cannot, and the
// failure where it was asked.
func (a *Answer) continueAt(i int) (*attempt, *seam, *llm.Failure) {
	w := a.walk
	said := a.relay.said.text.String()
	req, s := continuation(w.call.Request, said)
	if slices.Contains(w.plan.candidates[i].lacks(req), "messages.prefill") {
		req, s = instruction(w.call.Request, said)
	}
	call := *w.call
	call.Request = req
	leg := &walk{r: w.r, call: &call, plan: w.plan, trace: w.trace}
	leg.estimate = leg.needs
	out := &w.plan.outcome[i]
	was := *out
	out.Verdict = record.VerdictNotNeeded          // this is another request, to be judged anew
	g, ok := leg.admit(i, time.Now(), true, false) // who has half an answer need not stand in line
	if !ok {
		w.r.queue.Wake() // for whoever was kept out meanwhile
		if i == a.served {
			*out = was
		}
		return nil, nil, nil
	}
	next := leg.attempt(g, i == a.served)
	f := w.r.start(a.ctx, next, *req, w.others(i))
	if f == nil {
		return next, s, nil
	}
	a.tell(next, i, f)
	return nil, nil, f
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
	tail := strings.ToValidUTF8(text[len(text)-most:], "")
	if i := strings.IndexAny(strings.TrimRight(tail, " \n\t"), " \n\t"); i >= 0 {
		return tail[i+1:]
	}
	return tail
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
	c.More = false                                 // what follows may be held back
	c.Raw, c.Thinking, c.Redacted = nil, "", false // another mind's reasoning comes too late
	if c.Call == nil {
		c.Signature = ""
	}
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
	newWord := strings.TrimLeft(text, " \n\t") != text // so the end of what was sent is no beginning of it
	if i := strings.Index(trimmed, s.tail); i >= 0 {
		return trimmed[i+len(s.tail):] // perhaps after a few words of its own
	}
	for from := range s.tail {
		if from > 0 && !strings.ContainsAny(s.tail[from-1:from], " \n\t") {
			continue // not the beginning of a word: a chance likeness
		}
		overlap := strings.TrimRight(s.tail[from:], " \n\t")
		rest, ok := strings.CutPrefix(trimmed, overlap)
		if !ok || overlap == "" || newWord && goesOnWord(rest) {
			continue
		}
		if len(overlap) < len(s.tail[from:]) { // its white space may differ
			rest = strings.TrimLeft(rest, " \n\t")
		}
		return rest
	}
	return text
}

// goesOnWord says whether a text begins within a word.
func goesOnWord(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsLetter(r) || unicode.IsDigit(r)
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
		if a.relay.seam != nil && len(a.relay.seam.after) > 0 {
			c, _ := a.relay.seam.rest()
			return c, nil
		}
		c, err := a.attempt.next()
		if a.relay.seam == nil {
			return c, err
		}
		if errors.Is(err, io.EOF) {
			if c, ok := a.relay.seam.rest(); ok {
				return c, nil
			}
		}
		if err != nil {
			return c, err
		}
		if joined, ok := a.relay.seam.join(c); ok {
			return joined, nil
		}
	}
}
