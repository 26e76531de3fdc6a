package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/price"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

// ending is how a request may end for its caller.
type ending string

const (
	rescued ending = "rescued"       // the whole right answer
	clean   ending = "fails cleanly" // one clean error
	told    ending = "told"          // an end that a filter made, and that says so
)

// tableCase is a fault of one provider while the others are well.
type tableCase struct {
	name      string
	fault     sim.Fault
	providers []llm.Provider // that have it, one after the other; all where it is empty
	streamed  ending
	whole     ending // as streamed where it is empty
	class     []llm.FailureClass
	attempts  int // at the faulty provider in one request, at most
	status    int // of the error
	options   options
	header    map[string]string
	why       string // of what fails cleanly
	streams   bool   // it means something in streams alone
	lenient   bool   // the provider may have served after all, so that no attempt failed
}

// answerTokens is how long the answers of the table are.
const answerTokens = 24

// text gives an answer of that length which nobody else is given.
func text(unique int) string {
	const words = " the water behind a breakwater stays calm whatever the waves outside may do to it all day long"
	return (fmt.Sprintf("No. %04d:", unique) + words)[:answerTokens*4]
}

// twoThirds is where streams break.
const twoThirds = answerTokens * 2 / 3

// asked is one question of a case and all that can be seen of it from outside.
type asked struct {
	faulty llm.Provider
	q      question
	heard
	requests map[llm.Provider]int // that reached each provider meanwhile
	state    record.State         // of the faulty provider's breaker, afterwards
	failures int
}

// put asks and watches.
func (h *house) put(ctx context.Context, faulty llm.Provider, q question) asked {
	before := h.requests()
	a := asked{faulty: faulty, q: q, heard: h.ask(ctx, q), requests: h.requests()}
	for p, n := range before {
		a.requests[p] -= n
	}
	a.state, a.failures = h.breaker(faulty)
	return a
}

// shape is a way to ask.
type shape struct{ stream, translated bool }

func (s shape) String() string {
	words := [2][2]string{{"whole as it is", "whole translated"}, {"streamed as it is", "streamed translated"}}
	return words[index(s.stream)][index(s.translated)]
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func shapes() []shape { return []shape{{false, false}, {false, true}, {true, false}, {true, true}} }

// dialect gives the caller's dialect for a provider.
func (s shape) dialect(p llm.Provider) llm.Dialect {
	if s.translated {
		return foreign(p)
	}
	return native(p)
}

// aboutKeys says whether the fault keeps a key from being used, so that the
// provider that had it cannot help the next one.
func (c tableCase) aboutKeys() bool {
	return slices.Contains(c.class, llm.RateLimit) || slices.Contains(c.class, llm.Quota) || slices.Contains(c.class, llm.Auth)
}

// late says whether only a deadline ends the fault, so that the provider that has
// it is waited for not as long as the others.
func (c tableCase) late() bool {
	switch c.fault.Kind {
	case sim.Hang, sim.HangAfterHeaders, sim.Stall, sim.Drip:
		return true
	}
	return false
}

// run plays a case in one shape and tells the table what it saw.
func (c tableCase) run(t *testing.T, s shape, r *row) {
	providers := c.providers
	if len(providers) == 0 {
		providers = llm.Providers()
	}
	if !c.aboutKeys() && !c.late() {
		c.at(t, s, r, providers)
		return
	}
	for _, p := range providers {
		c.at(t, s, r, []llm.Provider{p})
	}
}

// at plays a case in one house, where the providers have the fault one after
// the other.
func (c tableCase) at(t *testing.T, s shape, r *row, providers []llm.Provider) {
	o := c.options
	if c.late() {
		o.late = providers
	}
	h := open(t, o)
	var all []asked
	for i, p := range providers {
		h.sims[p].Set(c.fault)
		all = append(all, h.put(t.Context(), p, question{
			dialect: s.dialect(p), model: string(p), text: text(i), stream: s.stream, header: c.header,
		}))
		h.sims[p].Set(sim.Fault{})
	}
	traces := h.close(t)
	if len(traces) != len(all) {
		t.Errorf("%d requests left %d traces", len(all), len(traces))
	}
	for _, a := range all {
		t.Run(string(a.faulty), func(t *testing.T) {
			tr, ok := traces[a.id]
			if !ok {
				t.Fatalf("no trace of %q: HTTP %d %s %s", a.id, a.status, a.wrong, a.body)
			}
			defer func() {
				if t.Failed() {
					t.Logf("heard: HTTP %d, %q, finish %q, error %q %q, %s\n%s", a.status, a.text, a.finish, a.code, a.failure, a.wrong, a.body)
					t.Logf("trace: %+v", tr)
				}
			}()
			got := c.check(t, a, tr)
			a.truth(t, tr)
			r.add(got, a, tr)
		})
	}
}

// check holds what the caller got and what the provider bore against what the
// case allows.
func (c tableCase) check(t *testing.T, a asked, tr record.Trace) ending {
	t.Helper()
	want, got := c.streamed, a.ending()
	if !a.q.stream && c.whole != "" {
		want = c.whole
	}
	if got != want && !(want == told && got == clean) {
		t.Errorf("the caller was %q, want %q", got, want)
	}
	if n := a.requests[a.faulty]; n > c.attempts || n == 0 {
		t.Errorf("%d requests to the faulty provider, want 1 to %d", n, c.attempts)
	}
	if got == clean && a.status >= 400 && c.status != 0 && a.status != c.status {
		t.Errorf("HTTP %d, want %d", a.status, c.status)
	}
	// What was an accident, or is soon over, does not cost the caller the model
	// that was asked for.
	if c.fault.Times == 1 && tr.Served.Provider != a.faulty {
		t.Errorf("served by %s, want %s, asked again", tr.Served, a.faulty)
	}
	seen := false
	for _, at := range tr.Attempts {
		if at.Target.Provider != a.faulty || at.Class == "" {
			continue
		}
		seen = true
		if want := c.classesOf(a.faulty); !slices.Contains(want, at.Class) {
			t.Errorf("an attempt failed as %s, want %s", at.Class, want)
		}
	}
	if !seen && !c.lenient && want != told {
		t.Errorf("the trace knows of no attempt that failed")
	}
	return got
}

// classesOf gives what a provider's attempts fail as. Ollama's own 503 says that
// its line is full.
func (c tableCase) classesOf(p llm.Provider) []llm.FailureClass {
	if p == llm.Local && c.fault.Kind == sim.Errors && c.fault.Status == 503 {
		return []llm.FailureClass{llm.RateLimit}
	}
	return c.class
}

// ending says how the request ended; "" for a way in which none may.
func (a asked) ending() ending {
	switch {
	case a.heard.whole(a.q.text):
		return rescued
	case a.heard.clean(a.q.text):
		return clean
	case a.heard.filtered(a.q.text):
		return told
	}
	return ""
}

// truth holds the trace against what was seen from outside.
func (a asked) truth(t *testing.T, tr record.Trace) {
	t.Helper()
	a.attemptsTrue(t, tr)
	a.outcomeTrue(t, tr)
	moneyTrue(t, tr)
	a.breakerTrue(t, tr)
}

// attemptsTrue: as many attempts as requests arrived, with the key that was used.
func (a asked) attemptsTrue(t *testing.T, tr record.Trace) {
	t.Helper()
	attempts := map[llm.Provider]int{}
	for _, at := range tr.Attempts {
		p := at.Target.Provider
		attempts[p]++
		if keyed := at.Key != ""; keyed != (secret(p) != "") {
			t.Errorf("the attempt at %s was with the key %q", p, at.Key)
		}
		if at.Class != "" && at.Class != llm.Cancelled && at.Took < 0 {
			t.Errorf("the attempt at %s took %v", p, at.Took)
		}
	}
	for _, p := range llm.Providers() {
		if attempts[p] != a.requests[p] {
			t.Errorf("the trace has %d attempts at %s, which got %d requests", attempts[p], p, a.requests[p])
		}
	}
	for _, c := range tr.Plan {
		tried := c.Verdict == record.VerdictServed || c.Verdict == record.VerdictTriedFailed || c.Verdict == record.VerdictNoSuchModel
		if asked := attempts[c.Target.Provider] > 0; asked && !tried && c.Verdict != record.VerdictRateLimited && c.Verdict != record.VerdictNoUsableKey || !asked && tried {
			t.Errorf("%s has the verdict %s and %d attempts", c.Target, c.Verdict, attempts[c.Target.Provider])
		}
	}
}

// outcomeTrue: the record ended as the caller saw it.
func (a asked) outcomeTrue(t *testing.T, tr record.Trace) {
	t.Helper()
	if tr.Door != a.q.dialect || tr.Stream != a.q.stream || tr.Asked != a.q.model || tr.Took <= 0 {
		t.Errorf("the trace is of a %s request for %q, streamed: %t, took %v", tr.Door, tr.Asked, tr.Stream, tr.Took)
	}
	end := a.ending()
	if served := tr.Outcome == record.Served; served != (end == rescued || end == told) {
		t.Errorf("the outcome is %s, and the caller's %q", tr.Outcome, end)
	}
	if end == clean && a.status != 200 && tr.Status != a.status {
		t.Errorf("the trace says HTTP %d and the caller got %d", tr.Status, a.status)
	}
	if tr.Outcome != record.Served {
		return
	}
	last := tr.Attempts[len(tr.Attempts)-1]
	if last.Class != "" || last.Target != tr.Served {
		t.Errorf("served by %s, and the last attempt is of %s and ended %q", tr.Served, last.Target, last.Class)
	}
	first := a.header.Get("X-Breakwater-Provider")
	if handed := tr.Attempts[0].TTFT > 0 && a.q.stream; !handed && first != string(tr.Served.Provider) {
		t.Errorf("the caller was told of %s, and %s served", first, tr.Served)
	}
	for _, c := range tr.Plan {
		if (c.Verdict == record.VerdictServed) != (c.Target == tr.Served) {
			t.Errorf("%s has the verdict %s, and %s served", c.Target, c.Verdict, tr.Served)
		}
	}
	if end == rescued && len(tr.Attempts) == 1 && tr.Usage.Output != answerTokens && a.text == a.q.text && len(a.text) == 4*answerTokens {
		t.Errorf("%d tokens are in the trace, want %d", tr.Usage.Output, answerTokens)
	}
}

// moneyTrue: every attempt costs what its usage does, and the request their sum.
func moneyTrue(t *testing.T, tr record.Trace) {
	t.Helper()
	var sum record.NanoUSD
	for _, at := range tr.Attempts {
		cost, _ := price.Default().Cost(at.Target, at.Usage)
		if at.Cost != cost {
			t.Errorf("%+v costs %s, and is in the trace with %s", at.Usage, cost, at.Cost)
		}
		sum += at.Cost
	}
	if sum != tr.Cost {
		t.Errorf("the attempts cost %s and the request %s", sum, tr.Cost)
	}
	if tr.Outcome == record.Served && tr.Served.Provider != llm.Local && tr.Cost == 0 {
		t.Errorf("%s served for nothing", tr.Served)
	}
}

// breakerTrue: however often it was asked in vain, a request counts as one
// failure at most, and as none where it says nothing of the provider or where
// that served in the end.
func (a asked) breakerTrue(t *testing.T, tr record.Trace) {
	t.Helper()
	want := 0
	for _, at := range tr.Attempts {
		if at.Target.Provider != a.faulty {
			continue
		}
		switch {
		case at.Class == "":
			want = 0
		case at.Class.CountsAgainstTarget():
			want = 1
		}
	}
	if a.failures != want || a.state != record.Closed {
		t.Errorf("the breaker is %s and counts %d failures, want %d", a.state, a.failures, want)
	}
}

// how says in words what saved a request.
func how(a asked, tr record.Trace) string {
	first, last := tr.Attempts[0], tr.Attempts[len(tr.Attempts)-1]
	switch {
	case len(tr.Attempts) == 1:
		return "it answered after all"
	case a.q.stream && first.TTFT > 0 && first.Class != "" && strings.Contains(tr.Reason, "went on"):
		return "the next candidate goes on from the text that was sent"
	case first.Target == last.Target && first.Key != last.Key:
		return "another key answers"
	case first.Target == last.Target:
		return "the same provider, asked again, answers"
	}
	return "the next candidate answers"
}
