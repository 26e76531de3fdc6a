package app

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/store"
)

// javaScript is the programs of test/js: by program the doors that its clients
// are driven at, as "client door", each with the features that are impossible
// there.
func javaScript() map[string]map[string]string {
	const (
		apiOnly   = " models embeddings embeddings_batch"
		aiSDK     = "n models count"
		langChain = "models count"
	)
	return map[string]map[string]string{
		"openai": {
			"openai-js openai-chat":      "tool_error count",
			"openai-js openai-responses": "tool_error audio stop n" + apiOnly,
			"openai-js openai-completions": "system multi_turn tool parallel_tools streamed_tools tool_loop tool_error thinking " +
				"json_schema json_mode image document audio count" + apiOnly,
		},
		"anthropic": {"anthropic-js anthropic-messages": "audio n logprobs json_mode embeddings embeddings_batch"},
		"google":    {"google-js gemini-generate": "", "google-js-v1beta gemini-generate": ""},
		"ollama": {
			"ollama-js ollama-chat":     "tool_error document audio n count",
			"ollama-js ollama-generate": "multi_turn tool parallel_tools streamed_tools tool_loop tool_error document audio n count" + apiOnly,
		},
		"ai": {
			"ai-openai openai-chat":           aiSDK + " tool_error",
			"ai-openai openai-responses":      aiSDK + " tool_error audio stop embeddings embeddings_batch",
			"ai-anthropic anthropic-messages": aiSDK + " audio logprobs json_mode embeddings embeddings_batch",
			"ai-google gemini-generate":       aiSDK + " tool_error logprobs",
			"ai-ollama ollama-chat":           aiSDK + " tool_error stop length document audio logprobs",
		},
		"langchain": {
			"langchain-openai openai-chat":           langChain + " tool_error",
			"langchain-openai openai-responses":      langChain + " tool_error audio stop n logprobs embeddings embeddings_batch",
			"langchain-anthropic anthropic-messages": langChain + " tool_error audio n logprobs json_mode embeddings embeddings_batch",
			"langchain-google gemini-generate":       langChain + " n logprobs",
			"langchain-ollama ollama-chat":           langChain + " tool_error document audio n logprobs",
		},
	}
}

// javaScriptRoutes gives names to models for a client that takes them only as
// Google's are: without a slash, and one of a family that can see.
func javaScriptRoutes() string {
	var b strings.Builder
	for _, p := range llm.Providers() {
		hears, thinks := string(p), string(p)
		if p == llm.OpenAI {
			hears, thinks = "openai/gpt-audio", "openai/echo-openai"
		}
		for alias, target := range map[string]string{
			"gemini-2-": string(p), "gemini-2-hears-": hears, "gemini-2-thinks-": thinks, "embed-": string(p) + "/embed-" + string(p),
		} {
			fmt.Fprintf(&b, "  - {name: %[1]s, match: {models: [%[1]s]}, targets: [%[2]s]}\n", alias+string(p), target)
		}
	}
	return b.String()
}

// javaScriptClient gives a program of test/js, and a Node.js that runs it: the
// libraries' newest versions want 22.
func javaScriptClient(t *testing.T) (node string, program func(name string) string) {
	t.Helper()
	const modules = "../../test/js/node_modules/"
	if found, _ := filepath.Glob(modules + "openai/package.json"); found == nil {
		t.Skip("the JavaScript clients are not installed; run: npm ci --prefix test/js")
	}
	return nodeJS(t, 22), func(name string) string { return "../../test/js/" + name + ".mjs" }
}

// nodeJS gives a Node.js of a version at least: the one that npm brought, where
// its packages have it, or the machine's.
func nodeJS(t *testing.T, least int) string {
	t.Helper()
	found, _ := filepath.Glob("../../test/js/node_modules/node-linux-*/bin/node")
	for _, node := range append(found, "node") {
		out, err := exec.CommandContext(t.Context(), node, "-p", "process.execPath + ' ' + process.versions.node").Output()
		path, version, _ := strings.Cut(string(out), " ")
		major, _, _ := strings.Cut(version, ".")
		if n, _ := strconv.Atoi(major); err == nil && n >= least {
			return path
		}
	}
	t.Skipf("no Node.js %d is there", least)
	return ""
}

// Every feature of the JavaScript clients against each provider: it works, is
// refused in clear words, or the client cannot ask for it.
func TestTheJavaScriptClientsAreServedByEveryProvider(t *testing.T) {
	node, program := javaScriptClient(t)
	h := startClientHouse(t, houseOptions{file: javaScriptRoutes(), env: map[string]string{"BREAKWATER_RESPONSES_KEEP": "1m"}})
	t.Run("all features", func(t *testing.T) {
		for name, doors := range javaScript() {
			for _, p := range llm.Providers() {
				t.Run(name+" "+string(p), func(t *testing.T) {
					t.Parallel()
					lines := runClient(t, node, program(name), h.URL(), string(p))
					for door, skipped := range doors {
						holdsFeatures(t, p, door, strings.Fields(skipped), &lines)
					}
					for _, l := range lines {
						t.Errorf("unexpected: %+v", l)
					}
				})
			}
		}
	})
	for _, s := range h.sims {
		s.Set(sim.Fault{Kind: sim.RateLimited})
	}
	aborts := 0
	t.Run("rate limits", func(t *testing.T) {
		for name, doors := range javaScript() {
			for _, p := range llm.Providers() {
				aborts += len(doors)
				t.Run(name+" "+string(p), func(t *testing.T) {
					t.Parallel()
					if lines := runClient(t, node, program(name), h.URL(), string(p), "limited"); len(lines) != len(doors) {
						t.Errorf("%d doors told of a rate limit, want %d", len(lines), len(doors))
					}
				})
			}
		}
	})
	h.stop()
	abandoned, err := reopen(t, h.db).Traces(t.Context(), store.TraceQuery{Outcome: record.Abandoned, Limit: 1000})
	if err != nil || len(abandoned) != aborts {
		t.Errorf("%d requests are recorded as abandoned, want %d; %v", len(abandoned), aborts, err)
	}
}

// holdsFeatures takes the lines of a client at a door, and holds that they tell
// of each feature what is expected of the provider. Rate limits are looked at
// by themselves.
func holdsFeatures(t *testing.T, p llm.Provider, door string, skipped []string, lines *[]clientLine) {
	t.Helper()
	cannot := map[llm.Provider]string{
		llm.Claude: "n logprobs audio json_mode embeddings embeddings_batch",
		llm.Local:  "n document audio",
	}
	switch door + " " + string(p) { // what one library lacks with one provider
	case "langchain-google gemini-generate claude":
		skipped = append(skipped, "embeddings_batch")
	case "langchain-google gemini-generate gemini":
		skipped = append(skipped, "parallel_tools", "streamed_tools")
	}
	for _, feature := range strings.Fields("chat stream system multi_turn tool parallel_tools streamed_tools tool_loop tool_error thinking " +
		"json_schema json_mode image document audio stop length n logprobs usage error_400 error_401 error_404 abort models count embeddings embeddings_batch") {
		at := slices.IndexFunc(*lines, func(l clientLine) bool { return l.Client+" "+l.Door == door && l.Feature == feature })
		if at < 0 {
			t.Errorf("%s: %s was not told", door, feature)
			continue
		}
		l := (*lines)[at]
		*lines = slices.Delete(*lines, at, at+1)
		skip := slices.Contains(skipped, l.Feature)
		refuse := !skip && slices.Contains(strings.Fields(cannot[p]), l.Feature)
		if (l.Skip != "") != skip || (l.Refused != "") != refuse {
			t.Errorf("%s: %s: %+v; want it skipped: %t, refused: %t", door, l.Feature, l, skip, refuse)
		}
	}
}

// A real model calls a tool for every client, and answers from its result.
func TestAToolLoopOfEveryJavaScriptClientAgainstARealOllama(t *testing.T) {
	node, program := javaScriptClient(t)
	h := startClientHouse(t, houseOptions{file: javaScriptRoutes(), env: map[string]string{"OLLAMA_HOST": startOllama(t), "OLLAMA_MODEL": "tiny-a"}})
	for name, doors := range javaScript() {
		want := 0
		for _, skipped := range doors {
			if !slices.Contains(strings.Fields(skipped), "tool_loop") {
				want++
			}
		}
		if lines := runClient(t, node, program(name), h.URL(), string(llm.Local), "real"); len(lines) != want {
			t.Errorf("%s: %d tool loops, want %d", name, len(lines), want)
		}
	}
}
