package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

// posted sends a body as it is and gives the answer's.
func posted(t *testing.T, url, body string) string {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d, %v: %.300s", url, res.StatusCode, err, answer)
	}
	return string(answer)
}

func TestAnswersInCirclesAreMarkedAtEveryDoorAndReachTheirCallers(t *testing.T) {
	h := startHouse(t, houseOptions{})
	for _, p := range llm.Providers() {
		h.chat(t, string(p))
		h.sims[p].Set(sim.Fault{Kind: sim.Looping})
	}
	const message = `"messages":[{"role":"user","content":"hello"}]`
	n := 0
	for _, p := range llm.Providers() { // each translated, and as its own dialect
		for _, stream := range []string{"false", "true"} {
			verb := map[string]string{"false": "generateContent", "true": "streamGenerateContent?alt=sse"}[stream]
			for path, body := range map[string]string{
				"/v1/chat/completions": fmt.Sprintf(`{"model":%q,"stream":%s,%s}`, p, stream, message),
				"/v1/responses":        fmt.Sprintf(`{"model":%q,"stream":%s,"input":"hello"}`, p, stream),
				"/v1/messages":         fmt.Sprintf(`{"model":%q,"stream":%s,"max_tokens":2048,%s}`, p, stream, message),
				"/api/chat":            fmt.Sprintf(`{"model":%q,"stream":%s,%s}`, p, stream, message),
				"/v1beta/models/" + string(p) + ":" + verb: `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`,
			} {
				n++
				answer := posted(t, h.URL()+path, body)
				if stream == "false" && strings.Count(answer, "and so it goes on") < 100 || stream == "true" && len(answer) < 8192 {
					t.Errorf("%s of %s, stream %s: %.300s", path, p, stream, answer)
				}
			}
		}
	}
	var looping, others int
	var last string
	h.eventually(t, "all is recorded", func() bool {
		looping, others = 0, 0
		for line := range strings.Lines(get(t, h.URL()+"/requests.ndjson")) {
			var r struct {
				ID       string
				Outcome  string
				Attempts []struct{ Looping bool }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Attempts) != 1 || r.Outcome != "served" {
				t.Fatalf("%s: %v", line, err)
			}
			if r.Attempts[0].Looping {
				looping, last = looping+1, r.ID
			} else {
				others++
			}
		}
		return looping+others == n+len(llm.Providers())
	})
	if looping != n {
		t.Errorf("%d of %d answers are marked", looping, n)
	}
	if page := get(t, h.URL()+"/requests/"+last); !strings.Contains(page, "the answer goes in circles") {
		t.Error("the request's page does not say it")
	}
	for _, p := range llm.Providers() {
		want := fmt.Sprintf("breakwater_looping_answers_total{provider=%q} %d\n", p, n/len(llm.Providers()))
		if !strings.Contains(get(t, h.URL()+"/metrics"), want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
}

func TestTheDetectorHoldsAProviderWhoseAnswersGoInCircles(t *testing.T) {
	h := startHouse(t, houseOptions{file: "anomaly: {hold: 2s, canary: 50ms, min_samples: 20}\n"})
	for range 30 {
		h.chat(t, "openai")
		h.chat(t, "claude")
	}
	h.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Looping})
	n := 0
	h.eventually(t, "traffic leaves OpenAI", func() bool {
		ask := question("openai")
		ask.Messages = append(ask.Messages, openai.UserMessage(fmt.Sprintf("%d: what is a breakwater?", n))) // nobody's one prompt
		n++
		_, p := h.complete(t, ask)
		return p != "openai"
	})
	if n > 40 {
		t.Errorf("after %d answers", n)
	}
	h.eventually(t, "Slack is told why", func() bool {
		for _, m := range h.slack.Messages() {
			if strings.Contains(string(m.Blocks), "answers go in circles") {
				return true
			}
		}
		return false
	})
}

func TestBacktestCountsAnAnswerInCirclesAmongWhatAHoldSpares(t *testing.T) {
	usual, effect := elsewhere{}, moved{}
	m := moment{Sample: anomaly.Sample{Target: llm.Target{Provider: llm.OpenAI, Model: "gpt"}, Took: time.Minute, Looping: true}}
	usual.learn(m)
	effect.keep(m, usual)
	if len(usual) != 0 || effect.kept != 1 || effect.failed != 1 || effect.waited != time.Minute {
		t.Errorf("usual %v, effect %+v; want one that failed, and nothing learned", usual, effect)
	}
}
