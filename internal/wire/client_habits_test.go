package wire

import (
	"slices"
	"strings"
	"testing"
)

// Anthropic's tool runner and Claude Code begin a conversation that Anthropic
// keeps, and send all of it themselves when they are told so in these words.
func TestAThreadThatCannotBeCarriedIsRefusedInWordsThatClientsGoOnFrom(t *testing.T) {
	req, err := DecodeAnthropic([]byte(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"thread":{"type":"create"}}`))
	if err != nil || !slices.Equal(req.Beyond, []string{"thread"}) {
		t.Fatalf("beyond %v, %v", req.Beyond, err)
	}
	told := string(anthropicProblem(Problem{Status: 400, Code: "capability_missing", Param: "thread", Message: "nobody can carry thread"}))
	if !strings.Contains(told, `"details":{"error_code":"thread_unsupported_request"}`) {
		t.Error(told)
	}
	if told = string(anthropicProblem(Problem{Status: 400, Code: "capability_missing", Param: "container", Message: "no"})); strings.Contains(told, "details") {
		t.Error(told)
	}
}

// Ollama passes over what it does not know, and its clients count on that.
func TestAFieldThatOllamaDoesNotKnowIsSetAside(t *testing.T) {
	req, err := DecodeOllamaChat([]byte(`{"model":"m","messages":[{"role":"user","content":"Hi"}],"tool_choice":"auto","max_output_tokens":9}`))
	if err != nil || req.Beyond != nil || !slices.Equal(req.Aside, []string{"tool_choice", "max_output_tokens"}) {
		t.Errorf("aside %v, beyond %v, %v", req.Aside, req.Beyond, err)
	}
}

// The models that take a budget for thinking show it where nothing else is said.
func TestThinkingOfABudgetIsShown(t *testing.T) {
	for body, want := range map[string]bool{
		`{"type":"enabled","budget_tokens":1024}`: true, `{"type":"enabled","budget_tokens":1024,"display":"omitted"}`: false,
	} {
		req, err := DecodeAnthropic([]byte(`{"model":"m","max_tokens":2048,"messages":[{"role":"user","content":"Hi"}],"thinking":` + body + `}`))
		if err != nil || req.Thought == nil || req.Thought.Show == nil || *req.Thought.Show != want {
			t.Errorf("%s: %+v, %v", body, req.Thought, err)
		}
	}
}
