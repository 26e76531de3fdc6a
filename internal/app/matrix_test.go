package app

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

var update = flag.Bool("update", false, "write the table of docs/compatibility.md anew")

// features is what came of each feature: by door, feature and provider.
type features map[string]map[string]map[llm.Provider]clientLine

// featureNames lists the features in the order of the table, with the words
// that stand there.
func featureNames() [][2]string {
	return [][2]string{
		{"chat", "a whole answer"}, {"stream", "a stream"}, {"system", "system message"}, {"multi_turn", "several turns"},
		{"tool", "a tool call"}, {"forced_tool", "a tool call that is demanded"}, {"parallel_tools", "parallel calls"}, {"streamed_tools", "streamed calls"},
		{"tool_loop", "a conversation with tool results"}, {"tool_error", "a tool result that is an error"}, {"tool_image", "a tool result with an image"},
		{"thinking", "thinking, also through tool calls"},
		{"handover", "the same, by way of each other provider and back"}, {"json_schema", "JSON of a schema"}, {"json_mode", "some JSON object"},
		{"image", "image as base64"}, {"image_url", "image by address"}, {"document", "PDF document"}, {"audio", "audio"},
		{"stop", "stop sequence"}, {"length", "limit of tokens"}, {"n", "several answers"}, {"logprobs", "log probabilities"}, {"usage", "usage, whole and streamed"},
		{"error_400", "error 400"}, {"error_401", "error 401"}, {"error_404", "error 404"}, {"error_429", "error 429"}, {"abort", "leaving a stream half way"},
		{"models", "models"}, {"count", "counting tokens"}, {"embeddings", "embedding of a text"}, {"embeddings_batch", "embeddings of several"},
	}
}

// add notes what a client program printed. Two lines for one cell are a fault.
func (f features) add(t *testing.T, p llm.Provider, lines []clientLine) {
	t.Helper()
	for _, l := range lines {
		if f[l.Door] == nil {
			f[l.Door] = map[string]map[llm.Provider]clientLine{}
		}
		if f[l.Door][l.Feature] == nil {
			f[l.Door][l.Feature] = map[llm.Provider]clientLine{}
		}
		if _, twice := f[l.Door][l.Feature][p]; twice {
			t.Errorf("%s at %s was told twice for %s", l.Feature, l.Door, p)
		}
		f[l.Door][l.Feature][p] = l
	}
}

// doors lists the doors in the order of docs/compatibility.md.
func (features) doors() []string {
	var names []string
	for _, d := range []llm.Dialect{
		llm.OpenAIChat, llm.OpenAIResponses, llm.OpenAILegacy, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat, llm.OllamaGenerate,
	} {
		names = append(names, string(d))
	}
	return names
}

// check holds that every cell was tried, and that docs/compatibility.md has
// the table of them.
func (f features) check(t *testing.T) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(f)); len(got) != len(f.doors()) {
		t.Errorf("doors %v, want %v", got, f.doors())
	}
	var b strings.Builder
	for _, door := range f.doors() {
		if got := len(f[door]); got != len(featureNames()) {
			t.Errorf("%s: %d features were told, want %d", door, got, len(featureNames()))
		}
		f.write(t, &b, door)
	}
	const file, begin, end = "../../docs/compatibility.md", "<!-- client features -->\n", "<!-- end -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(page), begin)
	now, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no place for the tables", file)
	}
	switch {
	case t.Failed(): // a table of half the truth is worth nothing
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case now != b.String():
		t.Errorf("docs/compatibility.md is not what came; run: go test ./internal/app -run GoSDKs -update\n%s", b.String())
	}
}

// write appends the table of one door, with notes beneath it.
func (f features) write(t *testing.T, b *strings.Builder, door string) {
	t.Helper()
	var notes []string
	note := func(text string) int {
		if i := slices.Index(notes, text); i >= 0 {
			return i + 1
		}
		notes = append(notes, text)
		return len(notes)
	}
	fmt.Fprintf(b, "### `%s`\n\n| feature |", door)
	for _, p := range llm.Providers() {
		fmt.Fprintf(b, " %s |", p.Title())
	}
	b.WriteString("\n|---|---|---|---|---|\n")
	for _, name := range featureNames() {
		fmt.Fprintf(b, "| %s |", name[1])
		for _, p := range llm.Providers() {
			l, tried := f[door][name[0]][p]
			switch {
			case !tried:
				t.Errorf("%s at %s was not tried for %s", name[0], door, p)
			case l.Skip != "":
				fmt.Fprintf(b, " impossible (%d) |", note("Impossible: "+l.Skip+"."))
			case l.Refused != "":
				fmt.Fprintf(b, " refused (%d) |", note("Refused: “"+l.Refused+"”."))
			case l.OK:
				b.WriteString(" passed |")
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for i, text := range notes {
		fmt.Fprintf(b, "%d. %s\n", i+1, text)
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
}
