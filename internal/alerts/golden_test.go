package alerts

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	noon   = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)
	gemini = llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
	claude = llm.Target{Provider: llm.Claude, Model: "claude-3-5-sonnet"}
)

func geminiDown() record.Incident {
	return record.Incident{
		ID: 1, Number: 12, Topic: record.TopicProvider, Subject: llm.Gemini, State: record.Ongoing, Title: "Gemini is failing",
		Began: noon, Opened: noon.Add(time.Minute),
		Timeline: []record.Event{
			{At: noon, Kind: "breaker", Text: "gemini/gemini-2.5-flash: 3 failures in a row, last: server error, HTTP 503"},
			{At: noon.Add(time.Minute), Kind: "breaker", Text: "gemini/gemini-2.5-flash: the probe failed: server error, HTTP 503"},
			{At: noon.Add(time.Minute), Kind: "opened", Text: "Incident opened."},
		},
	}
}

// lostKey is the incident of a key, as its signal makes it.
func lostKey(state record.KeyState, said, serving string) record.Incident {
	s, _ := started(keyLost(state, said, serving))
	s.Number = 13
	return s.Incident
}

func keyLost(state record.KeyState, said, serving string) Signal {
	return Signal{
		At: noon, Provider: llm.Gemini, Target: llm.Target{Provider: llm.Gemini}, Kind: KeyLost, Key: "main", Last4: "x7Qf",
		State: state, Text: said, Serving: serving,
	}
}

func foundKey() record.Incident {
	s, _ := started(keyLost(record.KeyRevoked, "HTTP 401: API key expired.", "Gemini's key spare ····9f3c serves on."),
		Signal{At: noon.Add(25 * time.Minute), Provider: llm.Gemini, Kind: Removed, Target: llm.Target{Provider: llm.Gemini}, Key: "main", Last4: "x7Qf"})
	s.Number = 13
	return s.Incident
}

func missingModel() record.Incident {
	s, _ := started(Signal{
		At: noon, Provider: llm.OpenAI, Target: llm.Target{Provider: llm.OpenAI, Endpoint: "eu", Model: "gpt-4-32k"}, Kind: ModelMissing,
		Text:    "HTTP 404 model_not_found: The model gpt-4-32k has been deprecated.",
		Serving: "Requests for it go to the next candidate; those that have none fail.",
	})
	s.Number = 14
	return s.Incident
}

func hostile() record.Incident {
	i := geminiDown()
	i.Timeline[0].Text = "gemini/x: <!channel> @here & <https://evil.example|click> https://evil.example/a\x00b\u202e ```*bold*```"
	i.Timeline[1].Text = strings.Repeat("<&>", 2000)
	return i
}

func resolvedAfter(d time.Duration) record.Incident {
	i := geminiDown()
	i.State, i.Ended = record.Resolved, noon.Add(d)
	return i
}

func TestSlackMessages(t *testing.T) {
	local := record.Incident{Number: 3, Topic: record.TopicProvider, Subject: llm.Local, Title: "Ollama is slow", Began: noon, Timeline: []record.Event{
		{At: noon, Kind: "anomaly", Text: "local/llama3: time to first token 6.9 s, usually 2.0 s (z = 4.2 over 12 requests)"},
	}}
	for name, m := range map[string]Message{
		"opened": {
			Kind: record.NoticeOpened, Incident: geminiDown(), Next: noon.Add(2 * time.Minute), URL: "https://breakwater.example",
			Impact: &record.Impact{ServedBy: llm.Claude, Rerouted: 1204},
		},
		"opened-callers-fail": {Kind: record.NoticeOpened, Incident: geminiDown(), Impact: &record.Impact{Failed: 1}},
		"opened-slow":         {Kind: record.NoticeOpened, Incident: local},
		"opened-hostile":      {Kind: record.NoticeOpened, Incident: hostile()},
		"resolved": {
			Kind: record.NoticeResolved, Incident: resolvedAfter(8*time.Minute + 20*time.Second), URL: "https://breakwater.example",
			Impact: &record.Impact{ServedBy: llm.Claude, Rerouted: 1204, Failed: 2},
		},
		"resolved-without-figures": {Kind: record.NoticeResolved, Incident: resolvedAfter(3*time.Hour + 5*time.Minute)},
		"key-refused": {
			Kind: record.NoticeOpened, Incident: lostKey(record.KeyRevoked, "auth (HTTP 400) INVALID_ARGUMENT: API key not valid. Please pass a valid API key.",
				"Gemini's key spare ····9f3c serves on."), URL: "https://breakwater.example", Impact: &record.Impact{},
		},
		"key-out-of-quota": {
			Kind: record.NoticeOpened, Next: noon.Add(20 * time.Hour), Impact: &record.Impact{ServedBy: llm.Claude, Rerouted: 7},
			Incident: lostKey(record.KeyExhausted, "HTTP 429 RESOURCE_EXHAUSTED: You exceeded your current quota.",
				"It was Gemini's last key: requests go to the next provider of the chain, Claude."),
		},
		"key-resolved":  {Kind: record.NoticeResolved, Incident: foundKey(), Impact: &record.Impact{}},
		"model-missing": {Kind: record.NoticeOpened, Incident: missingModel()},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(map[string]any{"text": escape(m.summary()), "blocks": slack.Blocks{BlockSet: blocks(m)}}); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("differs from %s:\n%s", file, got.String())
			}
		})
	}
}

func TestNothingOfAProviderBecomesAMentionOrALink(t *testing.T) {
	for _, b := range blocks(Message{Kind: record.NoticeOpened, Incident: hostile()}) {
		raw, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var shown any
		if err := json.Unmarshal(raw, &shown); err != nil {
			t.Fatal(err)
		}
		text := flat(shown)
		for _, bad := range []string{"<!", "<h", "@here", "@channel", "https://evil", "\x00", "\u202e"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q in %s", bad, text)
			}
		}
	}
}

// flat joins all strings of a JSON value.
func flat(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(flat(e))
		}
		return b.String()
	case map[string]any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(flat(e))
		}
		return b.String()
	}
	return ""
}
