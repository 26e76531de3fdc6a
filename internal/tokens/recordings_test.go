package tokens_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/tokens"
	"breakwater/internal/wire"
)

// recording is a request and the input tokens that its provider reported.
type recording struct {
	name, provider, model string
	req                   *llm.Request
	actual                int64
}

// recordings reads those whose text is whole: nothing taken out, no image
// replaced, no tool of the provider's own that adds words.
func recordings(t testing.TB) (all []recording) {
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "wire", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded exchanges in %s: set BREAKWATER_TESTDATA to the folder that has them", filepath.Join(dir, "wire"))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var x struct {
			Name, Provider, Model, Fidelity string
			Tags                            []string
			Request                         struct {
				Path string
				Body json.RawMessage
			}
			Response struct {
				Status int
				Raw    *string
				Body   json.RawMessage
				Lines  []string
			}
		}
		if err := json.Unmarshal(b, &x); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if x.Fidelity == "constructed" || x.Response.Status != 200 || bytes.Contains(x.Request.Body, []byte("REDACTED")) ||
			slices.Contains(x.Tags, "image_replaced") || slices.Contains(x.Tags, "server_tools") {
			continue
		}
		d, ok := dialectOf(x.Provider, x.Request.Path)
		if !ok {
			continue
		}
		req, err := decode(d, x.Request.Body)
		if err != nil || len(req.Beyond) > 0 {
			continue
		}
		codec, _ := wire.CodecFor(d)
		body := []byte(x.Response.Body)
		if x.Response.Raw != nil {
			body = []byte(*x.Response.Raw)
		}
		asked := &llm.Request{Dialect: llm.Plain, Stream: x.Response.Lines != nil}
		var a wire.Answer
		if x.Response.Lines != nil {
			a, _ = wire.Gather(open{codec.Stream(strings.NewReader(strings.Join(x.Response.Lines, "\n")), asked)})
		} else if chunks, err := codec.Whole(body, asked); err == nil {
			for _, c := range chunks {
				if c.Usage != nil {
					a.Usage = c.Usage
				}
			}
		}
		if a.Usage != nil && a.Usage.Input > 0 {
			all = append(all, recording{x.Name, x.Provider, x.Model, req, a.Usage.Input})
		}
	}
	return all
}

type open struct{ *wire.Stream }

func (open) Close() error { return nil }

func dialectOf(provider, path string) (llm.Dialect, bool) {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return llm.OpenAIChat, true
	case provider == "anthropic" && strings.HasSuffix(path, "/messages"):
		return llm.AnthropicMessages, true
	case strings.HasSuffix(path, "enerateContent"):
		return llm.GeminiGenerate, true
	case strings.HasSuffix(path, "/api/chat"):
		return llm.OllamaChat, true
	}
	return "", false
}

func decode(d llm.Dialect, body []byte) (*llm.Request, error) {
	switch d {
	case llm.AnthropicMessages:
		return wire.DecodeAnthropic(body)
	case llm.GeminiGenerate:
		return wire.DecodeGemini(body)
	case llm.OllamaChat:
		return wire.DecodeOllamaChat(body)
	}
	return wire.DecodeOpenAIChat(body)
}

// TestEstimatesAreNearRecordedUsage estimates each request before the
// estimator learns of it, in the order of the files: what a fresh server sees.
func TestEstimatesAreNearRecordedUsage(t *testing.T) {
	all := recordings(t)
	cold := tokens.NewEstimator(tokens.DefaultModels)
	learning := tokens.NewEstimator(tokens.DefaultModels)
	type sums struct{ n, cold, learnt, quarter float64 }
	by := map[string]*sums{}
	add := func(name string, cold, learnt, quarter float64) {
		if by[name] == nil {
			by[name] = &sums{}
		}
		s := by[name]
		s.n, s.cold, s.learnt, s.quarter = s.n+1, s.cold+cold, s.learnt+learnt, s.quarter+quarter
	}
	for _, r := range all {
		off := func(estimate int64) float64 {
			return 100 * math.Abs(float64(estimate-r.actual)) / float64(r.actual)
		}
		c, l := cold.Estimate(r.model, r.req), learning.Estimate(r.model, r.req)
		learning.Learn(r.model, r.req, r.actual)
		quarter := int64(len(r.req.Body) / 4)
		kinds := []string{"all", r.provider}
		switch {
		case media(r.req):
			kinds = append(kinds, "media")
		case len(r.req.Tools) > 0:
			kinds = append(kinds, "tools")
		default:
			kinds = append(kinds, "text")
		}
		for _, k := range kinds {
			add(k, off(c), off(l), off(quarter))
		}
		t.Logf("%-70s actual %5d cold %5d learnt %5d", r.name, r.actual, c, l)
	}
	for _, k := range []string{"all", "text", "tools", "media", "openai", "anthropic", "gemini", "ollama"} {
		s := by[k]
		if s == nil {
			continue
		}
		t.Logf("%-10s %3.0f requests: mean absolute error cold %5.1f %%, learning %5.1f %%, body/4 %5.1f %%", k, s.n, s.cold/s.n, s.learnt/s.n, s.quarter/s.n)
	}
	// The constants were chosen on these recordings, which are short: the bounds
	// hold what was reached and promise nothing for other requests.
	if s := by["text"]; s.learnt/s.n > 18 {
		t.Errorf("text is off by %.1f %%", s.learnt/s.n)
	}
	if s := by["tools"]; s.learnt/s.n > 18 {
		t.Errorf("tools are off by %.1f %%", s.learnt/s.n)
	}
}

func media(req *llm.Request) bool {
	var has func(parts []llm.Part) bool
	has = func(parts []llm.Part) bool {
		return slices.ContainsFunc(parts, func(p llm.Part) bool { return p.Media != nil || p.Result != nil && has(p.Result.Parts) })
	}
	return slices.ContainsFunc(req.Messages, func(m llm.Message) bool { return has(m.Parts) })
}
