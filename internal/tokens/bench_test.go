package tokens_test

import (
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/tokens"
)

// agentRequest is about as large as what a coding agent sends: 90 KB.
func agentRequest() *llm.Request {
	text := strings.Repeat("Read the file before you change it, and say what you found (line 42): func main() { run(ctx) }.\n", 900)
	return &llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: text}}}}}
}

// BenchmarkLearn is what every answer costs after its caller has it.
func BenchmarkLearn(b *testing.B) {
	e, req := tokens.NewEstimator(tokens.DefaultModels), agentRequest()
	used := e.Estimate("claude-opus-5", req)
	for b.Loop() {
		e.Learn("claude-opus-5", req, used)
	}
}
