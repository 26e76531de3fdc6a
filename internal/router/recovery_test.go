package router

import (
	"context"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func continues(c *Config) { c.Recovery = RecoverContinue }

func TestAStreamThatBreaksOffIsContinuedBySomebodyElse(t *testing.T) {
	for name, broken := range map[string]act{"cut": {cutAt: 1}, "stalled": {cutAt: 1, stall: true}} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, continues)
			h.gemini.script = []act{broken}
			text, err := h.ask(t.Context(), chat("gemini", true))
			mustSay(t, text, err, "hello from claude") // who repeated "hello ", as it was asked to
			asked := h.claude.last.Messages
			if len(asked) != 3 || asked[1].Role != llm.Assistant || asked[1].Text() != "hello" || !strings.HasSuffix(asked[2].Text(), "hello ") {
				t.Errorf("%s: the second one was asked %+v", name, asked)
			}
			trace := h.log.last(t)
			if trace.Outcome != record.Served || trace.Served.Provider != llm.Claude || len(trace.Attempts) != 2 || trace.Attempts[0].Class == "" ||
				trace.Plan[0].Verdict != record.VerdictTriedFailed || trace.Plan[1].Verdict != record.VerdictServed ||
				!strings.Contains(trace.Reason, "stopped in the middle") {
				t.Errorf("%s: the trace says %+v", name, trace)
			}
			if b := h.breaker(trace.Plan[0].Target); b.snapshot().Failures != 1 {
				t.Errorf("%s: the breaker counted %d failures", name, b.snapshot().Failures)
			}
		})
	}
}

func TestAModelThatTakesTheBeginningOfItsAnswerIsGivenIt(t *testing.T) {
	h := newHouse(t, continues)
	h.gemini.script, h.claude.prefill = []act{{cutAt: 2}}, true
	limit := int64(100)
	req := chat("gemini", true)
	req.MaxTokens = &limit
	text, err := h.ask(t.Context(), req)
	mustSay(t, text, err, "hello from geminihello from claude") // a real one would go on
	asked := h.claude.last
	if len(asked.Messages) != 2 || asked.Messages[1].Text() != "hello from gemini" || *asked.MaxTokens != 96 {
		t.Errorf("it was asked %+v, at most %d tokens", asked.Messages, *asked.MaxTokens)
	}
	if *req.MaxTokens != 100 || len(req.Messages) != 1 {
		t.Error("the caller's own request was changed")
	}
}

func TestSeveralHandoversMakeOneAnswer(t *testing.T) {
	h := newHouse(t, continues)
	h.gemini.script, h.claude.script = []act{{cutAt: 1}}, []act{{cutAt: 2}}
	h.openai.script = []act{{fail: serverDown()}}
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from claudehello from local") // local repeats nothing of it
	if trace := h.log.last(t); len(trace.Attempts) != 4 || trace.Served.Provider != llm.Local || trace.Outcome != record.Served {
		t.Errorf("the trace says %+v", trace)
	}
}

func TestTheOnlyTargetGoesOnItself(t *testing.T) {
	h := newHouse(t, continues, func(c *Config) { c.Chain, c.Endpoints = []llm.Provider{llm.Gemini}, c.Endpoints[:1] })
	h.gemini.script = []act{{cutAt: 1}}
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from gemini")
}

func TestWhatTwoHalvesCannotMakeEndsWithAnError(t *testing.T) {
	two, yes := int64(2), true
	for name, change := range map[string]func(*house, *llm.Request){
		"two answers":        func(_ *house, r *llm.Request) { r.N = &two },
		"a form":             func(_ *house, r *llm.Request) { r.Format = &llm.Format{Kind: llm.FormatJSON} },
		"log probabilities":  func(_ *house, r *llm.Request) { r.Logprobs = &yes },
		"the policy":         func(h *house, _ *llm.Request) { h.onCut = RecoverError },
		"an end":             func(h *house, _ *llm.Request) { h.gemini.script[0].cutAt = 3 },
		"nobody else's work": func(_ *house, r *llm.Request) { r.Beyond = []string{"web_search"} },
	} {
		h := newHouse(t, continues)
		h.gemini.script = []act{{cutAt: 1}}
		req := chat("gemini", true)
		req.Dialect = llm.GeminiGenerate
		change(h, req)
		text, err := h.ask(t.Context(), req)
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.StreamCut || !strings.HasPrefix(text, "hello ") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		trace := h.log.last(t)
		if trace.Outcome != record.Failed || len(trace.Attempts) != 1 || h.claude.count() != 0 {
			t.Errorf("%s: %d attempts, %+v", name, len(trace.Attempts), trace)
		}
	}
}

func TestWhenNobodyCanGoOnTheStreamEndsWithTheFirstError(t *testing.T) {
	h := newHouse(t, continues)
	h.gemini.script = []act{{cutAt: 1}, {fail: serverDown()}}
	for _, f := range []*fake{h.claude, h.openai, h.local} {
		f.set(&act{fail: serverDown()})
	}
	_, err := h.ask(t.Context(), chat("gemini", true))
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.StreamCut {
		t.Errorf("got %v", err)
	}
	if trace := h.log.last(t); trace.Outcome != record.Failed || len(trace.Attempts) != 5 {
		t.Errorf("the trace says %+v", trace)
	}
}

func TestABufferedStreamBeginsAnew(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Recovery = RecoverBuffer })
	h.gemini.script = []act{{cutAt: 2}}
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from claude")
}

func TestTheSeamCutsWhatIsRepeated(t *testing.T) {
	for _, c := range []struct{ sent, goesOn, want string }{
		{"The harbour stays", "The harbour stays calm.", "The harbour stays calm."},
		{"The harbour stays", "stays calm.", "The harbour stays calm."},
		{"The harbour stays", " calm.", "The harbour stays calm."},
		{"The harbour stays ", "The harbour stays calm.", "The harbour stays calm."},
		{"The harbour stays\n", "stays calm.", "The harbour stays\ncalm."},
		{"The harb", "harbour stays", "The harbour stays"},
		{"I like the ban", "ana", "I like the banana"}, // "an" is no repetition
		{"The harbour stays", "Of course: \"The harbour stays calm.", "The harbour stays calm."},
		{"Das Café ", "Café öffnet", "Das Café öffnet"},
		{"The cat sat on the", " theatre steps.", "The cat sat on the theatre steps."},
		{"I have a", " apple.", "I have a apple."},
		{"潮が満ちてくる。", "潮が満ちてくる。船が出る。", "潮が満ちてくる。船が出る。"},
	} {
		_, s := instruction(&llm.Request{}, c.sent)
		got := c.sent
		for piece := range strings.SplitSeq(c.goesOn, "") {
			if joined, ok := s.join(llm.Chunk{Text: piece}); ok {
				got += joined.Text
			}
		}
		for rest, ok := s.rest(); ok; rest, ok = s.rest() {
			got += rest.Text
		}
		if got != c.want {
			t.Errorf("%q and %q gave %q, want %q", c.sent, c.goesOn, got, c.want)
		}
	}
}

// A model that repeats the end as it was asked to leaves no trace of it, cut
// anywhere and sent in any pieces.
func TestTheSeamIsInvisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-zäß]{1,9}[.,]?`), 2, 60).Draw(t, "words")
		text := strings.Join(words, " ")
		at := rapid.IntRange(1, len(text)-1).Draw(t, "cut")
		for text[at]&0xC0 == 0x80 {
			at--
		}
		if at == 0 {
			t.Skip("nothing was sent")
		}
		sent, left := text[:at], text[at:]
		_, s := instruction(&llm.Request{}, sent)
		if s.tail == "" {
			t.Skip("only white space was sent")
		}
		goesOn, got := s.tail+left, sent
		for goesOn != "" {
			n := rapid.IntRange(1, len(goesOn)).Draw(t, "piece")
			if joined, ok := s.join(llm.Chunk{Text: goesOn[:n]}); ok {
				got += joined.Text
			}
			goesOn = goesOn[n:]
		}
		if joined, ok := s.join(llm.Chunk{Finish: llm.FinishStop}); ok {
			got += joined.Text
		}
		for rest, ok := s.rest(); ok; rest, ok = s.rest() {
			got += rest.Text
		}
		if got != text {
			t.Fatalf("sent %q and the rest made %q, want %q", sent, got, text)
		}
	})
}

// A prompt that breaks every model it meets is paid for a few times, not until
// the breakers open, and takes no target from the others.
func TestHandoversHaveABound(t *testing.T) {
	h := newHouse(t, continues, func(c *Config) { c.Chain, c.Endpoints = []llm.Provider{llm.Gemini}, c.Endpoints[:1] })
	h.gemini.set(&act{cutAt: 1})
	for range 2 {
		if _, err := h.ask(t.Context(), chat("gemini", true)); err == nil {
			t.Error("an answer without an end was complete")
		}
	}
	if got := h.gemini.count(); got != 4 {
		t.Errorf("two requests were asked %d times, want twice each", got)
	}
	if changes := h.log.changes(); len(changes) != 0 || h.Breakers()[0].Failures != 2 {
		t.Errorf("two requests counted %d failures: %v", h.Breakers()[0].Failures, changes)
	}

	h = newHouse(t, continues)
	for _, f := range []*fake{h.gemini, h.claude, h.openai, h.local} {
		f.set(&act{cutAt: 1})
	}
	if _, err := h.ask(t.Context(), chat("gemini", true)); err == nil {
		t.Error("an answer without an end was complete")
	}
	if got := len(h.log.last(t).Attempts); got != 1+maxHandovers {
		t.Errorf("%d attempts, want %d", got, 1+maxHandovers)
	}
}

func TestAHandoverEndsWithItsCaller(t *testing.T) {
	for name, want := range map[string]struct {
		class   llm.FailureClass
		outcome record.Outcome
		status  int
	}{"gone": {llm.Cancelled, record.Abandoned, StatusAbandoned}, "out of time": {llm.Deadline, record.Failed, 504}} {
		bubble.Test(t, func(t *testing.T) {
			h := newHouse(t, continues)
			h.gemini.script = []act{{cutAt: 1}}
			h.claude.set(&act{silent: true})
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() {
				if want.class == llm.Deadline {
					cancel(&llm.Failure{Class: llm.Deadline})
				}
				cancel(nil)
			})
			began := time.Now()
			h.ask(ctx, chat("gemini", true))
			trace := h.log.last(t)
			if time.Since(began) != time.Second || trace.Outcome != want.outcome || trace.Status != want.status || len(trace.Attempts) != 2 || trace.Attempts[1].Class != want.class {
				t.Errorf("%s: after %v: %+v", name, time.Since(began), trace)
			}
			if h.openai.count() != 0 || len(h.log.changes()) != 0 {
				t.Errorf("%s: others were asked, or breakers moved", name)
			}
		})
	}
}

// What was sent must reach the caller before the wait for somebody else.
func TestTheCallerIsToldBeforeAHandoverIsWaitedFor(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, continues)
		h.gemini.script = []act{{cutAt: 1}}
		h.claude.script = []act{{wait: 50 * time.Second}}
		began := time.Now()
		answer, err := h.Do(t.Context(), h.NewCall(chat("gemini", true), ""))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		var told time.Duration = -1
		answer.Waiting = func() { told = time.Since(began) }
		for err == nil {
			_, err = answer.Next()
		}
		if told != 0 || time.Since(began) != 50*time.Second || !answer.HandedOver() {
			t.Errorf("told after %v, done after %v", told, time.Since(began))
		}
	})
}

func TestACallThatGoesOnKeepsItsSignature(t *testing.T) {
	s := &seam{tail: "words", repeats: true}
	call := llm.Chunk{Call: &llm.CallDelta{ID: "c", Name: "f", Args: "{}"}, Signature: "sig", SignedBy: llm.Gemini}
	if _, ok := s.join(llm.Chunk{Text: "words"}); ok {
		t.Error("the repetition was not held back")
	}
	if joined, ok := s.join(call); ok {
		t.Errorf("text %q came with nothing to say", joined.Text)
	}
	if joined, ok := s.rest(); !ok || joined.Call == nil || joined.Signature != "sig" {
		t.Errorf("the call came as %+v", joined)
	}
	if joined, ok := s.join(llm.Chunk{Thinking: "hm", Signature: "sig"}); ok && (joined.Thinking != "" || joined.Signature != "") {
		t.Errorf("another mind's reasoning came through: %+v", joined)
	}
}
