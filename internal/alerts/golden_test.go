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
		ID: 1, Number: 12, Subject: llm.Gemini, State: record.Ongoing, Title: "Gemini is failing",
		Began: noon, Opened: noon.Add(time.Minute),
		Timeline: []record.Event{
			{At: noon, Kind: "breaker", Text: "gemini/gemini-2.5-flash: 3 failures in a row, last: server (HTTP 503)"},
			{At: noon.Add(time.Minute), Kind: "breaker", Text: "gemini/gemini-2.5-flash: the probe failed: server (HTTP 503)"},
			{At: noon.Add(time.Minute), Kind: "opened", Text: "Incident opened."},
		},
	}
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
	local := record.Incident{Number: 3, Subject: llm.Local, Title: "Ollama is slow", Began: noon, Timeline: []record.Event{
		{At: noon, Kind: "anomaly", Text: "local/llama3: time to first token 6.9 s, usually 2.0 s (z = 4.2 over 12 requests)"},
	}}
	for name, m := range map[string]Message{
		"opened": {
			Kind: record.NoticeOpened, Incident: geminiDown(), Next: noon.Add(2 * time.Minute), URL: "https://breakwater.example/?a=1&b=2",
			Impact: &Impact{ServedBy: llm.Claude, Rerouted: 1204},
		},
		"opened-callers-fail": {Kind: record.NoticeOpened, Incident: geminiDown(), Impact: &Impact{Failed: 1}},
		"opened-slow":         {Kind: record.NoticeOpened, Incident: local},
		"opened-hostile":      {Kind: record.NoticeOpened, Incident: hostile()},
		"resolved": {
			Kind: record.NoticeResolved, Incident: resolvedAfter(8*time.Minute + 20*time.Second), URL: "https://breakwater.example",
			Impact: &Impact{ServedBy: llm.Claude, Rerouted: 1204, Failed: 2},
		},
		"resolved-without-figures": {Kind: record.NoticeResolved, Incident: resolvedAfter(3*time.Hour + 5*time.Minute)},
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
