package router

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestAFailureGoesOnToTheNextCandidateAndIsTold(t *testing.T) {
	for class, failure := range map[llm.FailureClass]*llm.Failure{
		llm.Network: {Class: llm.Network}, llm.Server: serverDown(), llm.RateLimit: {Class: llm.RateLimit, Status: 429},
		llm.Quota: {Class: llm.Quota, Status: 429}, llm.Auth: {Class: llm.Auth, Status: 401}, llm.Garbage: {Class: llm.Garbage, Status: 200},
		llm.NoSuchModel: {Class: llm.NoSuchModel, Status: 404},
	} {
		h := newHouse(t)
		h.gemini.script = []act{{fail: failure}}
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		trace := h.log.last(t)
		if trace.Outcome != record.Served || trace.Served.Provider != llm.Claude || len(trace.Attempts) != 2 || trace.Attempts[0].Class != class {
			t.Errorf("%s: the trace says %s by %s after %d attempts, first %s", class, trace.Outcome, trace.Served, len(trace.Attempts), trace.Attempts[0].Class)
		}
		want := []record.Verdict{record.VerdictTriedFailed, record.VerdictServed, record.VerdictNotNeeded, record.VerdictNotNeeded}
		if class == llm.NoSuchModel {
			want[0] = record.VerdictNoSuchModel
		}
		var got []record.Verdict
		for _, c := range trace.Plan {
			got = append(got, c.Verdict)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: verdicts %v, want %v", class, got, want)
		}
		if trace.Usage.Output != 5 || trace.Cost != 15 {
			t.Errorf("%s: usage %v and cost %d, want what claude counted", class, trace.Usage, trace.Cost)
		}
	}
}

func TestARequestAtFaultGoesBackToItsCallerWithTheReason(t *testing.T) {
	for _, failure := range []*llm.Failure{
		{Class: llm.BadRequest, Status: 422, Code: "invalid_temperature", Message: "temperature is too high"},
		{Class: llm.ContentFilter, Status: 400, Message: "blocked"},
		{Class: llm.ContextLength, Status: 413, Message: "too long"},
	} {
		h := newHouse(t)
		h.openai.script = []act{{fail: failure}}
		_, err := h.ask(t.Context(), chat("gpt-4o", false))
		var e *Error
		if !errors.As(err, &e) || e.Status != failure.Status || e.Attempts != 1 {
			t.Errorf("%s: got %v", failure.Class, err)
		}
		trace := h.log.last(t)
		if trace.Outcome != record.Refused || h.gemini.count()+h.claude.count()+h.local.count() != 0 {
			t.Errorf("%s: outcome %s, and others were asked", failure.Class, trace.Outcome)
		}
		if trace.Attempts[0].Message != "" {
			t.Errorf("%s: a message that may quote the prompt was recorded: %q", failure.Class, trace.Attempts[0].Message)
		}
	}
}

func TestSilenceBeforeTheFirstContentFailsOver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.gemini.script = []act{{silent: true}}
		began := time.Now()
		text, err := h.ask(t.Context(), chat("gemini", true))
		mustSay(t, text, err, "hello from claude")
		if took := time.Since(began); took != 60*time.Second {
			t.Errorf("it took %v, want the 60 s to the first token", took)
		}
		if class := h.log.last(t).Attempts[0].Class; class != llm.Timeout {
			t.Errorf("class %s, want timeout", class)
		}
	})
}

func TestPreambleWithoutContentIsHeldBackAndBounded(t *testing.T) {
	h := newHouse(t)
	h.gemini.dialect = llm.OpenAIChat // the caller's, who gets the preamble too
	h.gemini.script = []act{{preface: 3}, {preface: 10_000}}
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from gemini")
	text, err = h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from claude")
	if class := h.log.last(t).Attempts[0].Class; class != llm.Garbage {
		t.Errorf("an endless preamble is %s, want garbage", class)
	}
}

func TestAModelThatThinksIsNotSilent(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.claude.script = []act{{preface: 500, think: time.Second}, {preface: 100, think: 10 * time.Second}}
		text, err := h.ask(t.Context(), chat("claude", true))
		mustSay(t, text, err, "hello from claude")
		text, err = h.ask(t.Context(), chat("claude", true)) // thinks past the bound of 600 s
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestAStreamCutAfterContentIsAnErrorNotAnEnd(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		for _, a := range []act{{cutAt: 1}, {cutAt: 2, stall: true}} {
			h := newHouse(t)
			h.gemini.script = []act{a}
			text, err := h.ask(t.Context(), chat("gemini", true))
			f, ok := llm.AsFailure(err)
			if !ok || text == "" {
				t.Fatalf("got %q, %v; want some text and a failure", text, err)
			}
			want := llm.StreamCut
			if a.stall {
				want = llm.Timeout
			}
			trace := h.log.last(t)
			if f.Class != want || trace.Outcome != record.Failed || trace.Attempts[0].Class != want || h.claude.count() != 0 {
				t.Errorf("class %s, outcome %s, %d calls of claude", f.Class, trace.Outcome, h.claude.count())
			}
		}
	})
}

func TestAnAnswerInOnePieceFailsOverEvenWhenCutHalfWay(t *testing.T) {
	h := newHouse(t)
	h.local.script = []act{{cutAt: 2}}
	text, err := h.ask(t.Context(), chat("local", false))
	mustSay(t, text, err, "hello from gemini")
	if trace := h.log.last(t); trace.Attempts[0].Class != llm.Network || trace.Outcome != record.Served {
		t.Errorf("attempt %s, outcome %s", trace.Attempts[0].Class, trace.Outcome)
	}
}

func TestASlowReaderIsNotTheTargetsFault(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		answer, err := h.Do(t.Context(), h.NewCall(chat("gemini", true), ""))
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err = answer.Next(); err != nil {
				break
			}
			time.Sleep(10 * time.Minute)
		}
		if h.log.last(t).Outcome != record.Served {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestACallerThatGoesAwayIsNobodysFailure(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			h.gemini.script = []act{{silent: true}}
			go func() { time.Sleep(time.Second); cancel() }()
			_, err := h.ask(ctx, chat("gemini", true))
			var e *Error
			if !errors.As(err, &e) || e.Status != StatusAbandoned {
				t.Fatalf("got %v", err)
			}
		}
		trace := h.log.last(t)
		if trace.Outcome != record.Abandoned || h.claude.count() != 0 || len(h.log.changes()) != 0 {
			t.Errorf("outcome %s, claude asked %d times, transitions %v", trace.Outcome, h.claude.count(), h.log.changes())
		}
		// And in the middle of an answer.
		answer, err := h.Do(t.Context(), h.NewCall(chat("gemini", true), ""))
		if err != nil {
			t.Fatal(err)
		}
		answer.Close()
		answer.Close()
		if got := h.log.last(t).Outcome; got != record.Abandoned {
			t.Errorf("closed early: %s", got)
		}
	})
}

func TestEveryRequestEndsInExactlyOneTrace(t *testing.T) {
	h := newHouse(t)
	h.gemini.script = []act{{}, {fail: serverDown()}, {cutAt: 1}, {fail: &llm.Failure{Class: llm.BadRequest, Status: 400}}}
	for range 4 {
		h.ask(t.Context(), chat("gemini", true))
	}
	h.ask(t.Context(), chat("no-such-thing", true))
	h.Refuse(h.NewCall(&llm.Request{}, ""), &Error{Status: 400})
	if len(h.log.traces) != 6 {
		t.Errorf("6 requests left %d traces", len(h.log.traces))
	}
}

func TestWhatATargetCannotCarryGoesWhereItCan(t *testing.T) {
	h := newHouse(t)
	req := chat("gemini", false)
	req.Beyond = []string{"tools", "messages[1].tool_calls", "messages[2].tool_call_id"}
	text, err := h.ask(t.Context(), req)
	mustSay(t, text, err, "hello from openai")
	plan := h.log.last(t).Plan
	if plan[0].Verdict != record.VerdictCapabilityMissing || plan[0].Detail != "cannot carry tools, messages" {
		t.Errorf("gemini's verdict is %+v", plan[0])
	}
	h = newHouse(t, func(c *Config) { c.Endpoints[2].Unusable = record.VerdictNoUsableKey })
	_, err = h.ask(t.Context(), req)
	var e *Error
	if !errors.As(err, &e) || e.Status != 400 || e.Param != "tools" || e.Code != "capability_missing" {
		t.Errorf("with nobody able to carry it: %#v", err)
	}
}

func TestAPromptThatIsTooLongGoesToALargerModelOnly(t *testing.T) {
	tooLong := &llm.Failure{Class: llm.ContextLength, Status: 400, Code: "context_length_exceeded", Message: "too many tokens"}
	sizes := map[llm.Provider]int64{llm.Gemini: 100, llm.Claude: 100, llm.OpenAI: 200}
	known := func(c *Config) { c.Context = func(t llm.Target) int64 { return sizes[t.Provider] } }
	h := newHouse(t, known)
	h.gemini.script = []act{{fail: tooLong}}
	text, err := h.ask(t.Context(), chat("gemini", true))
	mustSay(t, text, err, "hello from openai")
	if plan := h.log.last(t).Plan; plan[1].Verdict != record.VerdictContextTooLong || h.claude.count() != 0 || len(h.log.changes()) != 0 {
		t.Errorf("the plan says %+v", plan)
	}
	for name, c := range map[string]struct {
		asked string
		fail  []*fake
		calls int
	}{
		"it is too long for all":  {"gemini", []*fake{h.gemini, h.openai}, 2},
		"nobody is larger":        {"openai", []*fake{h.openai}, 1},
		"its own size is unknown": {"local", []*fake{h.local}, 1},
	} {
		before := h.gemini.count() + h.claude.count() + h.openai.count() + h.local.count()
		for _, f := range c.fail {
			f.script = []act{{fail: tooLong}}
		}
		_, err := h.ask(t.Context(), chat(c.asked, true))
		if e, ok := err.(*Error); !ok || e.Status != 400 || e.Code != "context_length_exceeded" {
			t.Errorf("%s: %v", name, err)
		}
		if got := h.gemini.count() + h.claude.count() + h.openai.count() + h.local.count() - before; got != c.calls {
			t.Errorf("%s: %d calls, want %d", name, got, c.calls)
		}
	}
	h.gemini.script, h.openai.script = []act{{fail: tooLong}}, []act{{fail: serverDown()}}
	if _, err := h.ask(t.Context(), chat("gemini", true)); err == nil || err.(*Error).Status != 502 {
		t.Errorf("the larger one is down: %v", err)
	}
}

func TestSilenceIsMeasuredAnewForEachPiece(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.Recovery = RecoverError })
		h.gemini.script = []act{{endless: true, slowly: 20 * time.Second, cutAt: 10, stall: true}}
		answer, err := h.Do(t.Context(), h.NewCall(chat("gemini", true), "tester"))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		for i := range 10 {
			if _, err := answer.Next(); err != nil {
				t.Fatalf("piece %d: %v", i, err)
			}
			if i == 5 { // the caller's own silence is not the target's
				time.Sleep(10 * time.Minute)
			}
		}
		time.Sleep(45 * time.Second)
		began := time.Now()
		_, err = answer.Next()
		if f, _ := llm.AsFailure(err); f == nil || f.Class != llm.Timeout || f.Message != "nothing for 30s in mid-answer" {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %v, want the 30 s of silence", took)
		}
	})
}
