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
