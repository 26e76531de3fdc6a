package llm

import (
	"errors"
	"fmt"
	"testing"
)

func TestOnlyTheProvidersOwnTroubleCountsAgainstIt(t *testing.T) {
	counts := map[FailureClass]bool{Network: true, Timeout: true, Server: true, Garbage: true, StreamCut: true}
	for _, c := range FailureClasses() {
		if got := c.CountsAgainstTarget(); got != counts[c] {
			t.Errorf("%s: got %v", c, got)
		}
		if c.CountsAgainstTarget() && !c.TellsOnlyOfTarget() {
			t.Errorf("%s is the target's trouble, yet its message is kept back", c)
		}
	}
}

func TestARequestAtFaultGoesToNobodyElse(t *testing.T) {
	for _, c := range []FailureClass{BadRequest, ContentFilter, ContextLength, StreamCut, Cancelled, Deadline} {
		if c.TryNext() {
			t.Errorf("%s would be tried again elsewhere", c)
		}
	}
	for _, c := range []FailureClass{Network, Timeout, Server, RateLimit, Quota, Auth, NoSuchModel, Garbage} {
		if !c.TryNext() {
			t.Errorf("%s would not fail over", c)
		}
	}
}

func TestTargetIsWrittenAsCallersWriteIt(t *testing.T) {
	for want, target := range map[string]Target{
		"openai/gpt-4o":           {Provider: OpenAI, Model: "gpt-4o"},
		"local@attic/org/tiny:1b": {Provider: Local, Endpoint: "attic", Model: "org/tiny:1b"},
	} {
		if got := target.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFailureSaysWhatHappenedAndKeepsItsCause(t *testing.T) {
	cause := errors.New("reset")
	f := &Failure{Class: Server, Status: 529, Code: "overloaded_error", Message: "Overloaded", Err: cause}
	if got, want := f.Error(), "server (HTTP 529) overloaded_error: Overloaded"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	found, ok := AsFailure(fmt.Errorf("attempt: %w", f))
	if !ok || found != f || !errors.Is(found, cause) {
		t.Error("the failure or its cause got lost")
	}
	if cut := f.In(StreamCut); cut.Class != StreamCut || cut.Status != 529 || f.Class != Server {
		t.Errorf("In gave %v and left %v", cut, f)
	}
}
