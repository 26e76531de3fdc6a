package app

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

func TestTheJavaScriptSDKCompletesAChatAndAStream(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on the PATH")
	}
	if _, err := os.Stat("../../test/js/node_modules/openai"); err != nil {
		t.Skip("the SDK is not installed; run: npm ci --prefix test/js")
	}
	h := startHouse(t, houseOptions{})
	for _, p := range llm.Providers() {
		cmd := exec.CommandContext(t.Context(), node, "openai.mjs", h.URL()+"/v1", string(p))
		cmd.Dir = "../../test/js"
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", p, err, err.(*exec.ExitError).Stderr)
		}
		var got struct {
			Text, Provider, Streamed, Finish, ChatFinish string
			Usage, ChatUsage                             map[string]any
			Models                                       []string
			Error                                        struct {
				Name, Code string
				Status     int
			}
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v\n%s", p, err, out)
		}
		want := sim.Speech(p)("")
		if got.Text != want || got.Streamed != want || got.Finish != "stop" || got.ChatFinish != "stop" || got.Provider != string(p) {
			t.Errorf("%s: %+v", p, got)
		}
		if got.Usage["total_tokens"] == nil || got.ChatUsage["total_tokens"] == nil || !slices.Contains(got.Models, "auto") {
			t.Errorf("%s: usage %v and %v, models %v", p, got.Usage, got.ChatUsage, got.Models)
		}
		if got.Error.Name != "NotFoundError" || got.Error.Status != 404 || got.Error.Code != "model_not_found" {
			t.Errorf("%s: an unknown model gave %+v", p, got.Error)
		}
	}
}

// Every door, with its own SDK, answers the same whoever serves.
func TestTheJavaScriptSDKsAreServedAtTheirDoors(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on the PATH")
	}
	if _, err := os.Stat("../../test/js/node_modules/@anthropic-ai/sdk"); err != nil {
		t.Skip("the SDKs are not installed; run: npm ci --prefix test/js")
	}
	h := startHouse(t, houseOptions{})
	stops := map[string][2]string{
		"anthropic": {"end_turn", "NotFoundError 404"}, "gemini v1": {"STOP", "ApiError 404"}, "gemini v1beta": {"STOP", "ApiError 404"},
		"ollama": {"stop", "ResponseError 404"}, "responses": {"completed", "NotFoundError 404"},
	}
	for _, p := range llm.Providers() {
		cmd := exec.CommandContext(t.Context(), node, "doors.mjs", h.URL(), string(p))
		cmd.Dir = "../../test/js"
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", p, err, err.(*exec.ExitError).Stderr)
		}
		var got map[string]struct {
			Text, Stop, Streamed, StreamStop, Generated, Error string
			Tokens, StreamTokens, Count                        int
			Models                                             []string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v\n%s", p, err, out)
		}
		want := sim.Speech(p)("")
		for door, stop := range stops {
			g := got[door]
			if g.Text != want || g.Streamed != want || g.Stop != stop[0] || g.StreamStop != stop[0] || g.Tokens == 0 || g.StreamTokens == 0 {
				t.Errorf("%s at the door %s: %+v", p, door, g)
			}
			if g.Generated != "" && g.Generated != want {
				t.Errorf("%s at the door %s generated %q", p, door, g.Generated)
			}
			if g.Error != stop[1] {
				t.Errorf("%s at the door %s: an unknown model gave %s", p, door, g.Error)
			}
			if g.Models != nil && !slices.Contains(g.Models, "auto") {
				t.Errorf("%s at the door %s lists %v", p, door, g.Models)
			}
		}
	}
}

// A real model calls a tool at every door, and answers from its result.
func TestAToolLoopAtEveryDoorAgainstARealOllama(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on the PATH")
	}
	if _, err := os.Stat("../../test/js/node_modules/@anthropic-ai/sdk"); err != nil {
		t.Skip("the SDKs are not installed; run: npm ci --prefix test/js")
	}
	h := startHouse(t, houseOptions{env: map[string]string{"OLLAMA_HOST": startOllama(t), "OLLAMA_MODEL": "tiny-a"}})
	cmd := exec.CommandContext(t.Context(), node, "tools.mjs", h.URL(), "local")
	cmd.Dir = "../../test/js"
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	var got map[string]struct{ Call, Words string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, door := range []string{"openai", "openaiStream", "responses", "anthropic", "gemini", "ollama"} {
		if g := got[door]; g.Call != "get_weather Oslo" || g.Words == "" {
			t.Errorf("%s: %+v", door, g)
		}
	}
}
