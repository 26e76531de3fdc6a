package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
)

func TestTokensAreCountedByWhoWouldAnswer(t *testing.T) {
	h := startHouse(t, houseOptions{env: map[string]string{"OPENAI_RESPONSES": "true"}})
	asked := func(path, body string) (gjson.Result, bool) {
		t.Helper()
		resp, err := http.Post(h.URL()+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s %v", path, resp.StatusCode, b, err)
		}
		return gjson.ParseBytes(b), resp.Header.Get("X-Breakwater-Estimate") == "true"
	}
	for _, p := range llm.Providers() {
		anthropic, a := asked("/v1/messages/count_tokens", fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"What is a breakwater?"}]}`, p))
		gemini, g := asked(fmt.Sprintf("/v1beta/models/%s:countTokens", p), `{"contents":[{"role":"user","parts":[{"text":"What is a breakwater?"}]}]}`)
		responses, r := asked("/v1/responses/input_tokens", fmt.Sprintf(`{"model":"%s","input":"What is a breakwater?"}`, p))
		counts := p == llm.Gemini || p == llm.Claude
		if a == counts || g == counts || r == (counts || p == llm.OpenAI) {
			t.Errorf("%s: estimates %v, %v, %v", p, a, g, r)
		}
		n := anthropic.Get("input_tokens").Int()
		if n < 1 || gemini.Get("totalTokens").Int() < 1 || responses.Get("input_tokens").Int() < 1 {
			t.Errorf("%s: %s %s %s", p, anthropic, gemini, responses)
		}
		if counts && (gemini.Get("totalTokens").Int() != n || responses.Get("input_tokens").Int() != n) {
			t.Errorf("%s counts differently at each door: %s %s %s", p, anthropic, gemini, responses)
		}
	}
	for _, b := range h.Router().Breakers() {
		if b.State != "closed" || b.Failures != 0 {
			t.Errorf("counting moved the breaker of %s", b.Target)
		}
	}
	if strings.Contains(h.log.String(), "What is a breakwater") {
		t.Error("the log has the prompt")
	}
}
