package app

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/store"
)

// secretKey is the providers' key in the tests. It must turn up nowhere.
const secretKey = "sk-test-0123456789abcdefSECRET"

// logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tail gives the last lines.
func (l *logBuffer) tail() string {
	lines := strings.Split(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// testHouse is a whole Breakwater between real HTTP clients and simulated
// providers, with a fake Slack.
type testHouse struct {
	*App
	sims  map[llm.Provider]*sim.Server
	slack *sim.Slack
	log   *logBuffer
	db    string
	stop  func() // stops gracefully, once
}

type houseOptions struct {
	env  map[string]string
	file string
	keep string        // path of the database, to start on one that exists
	pace time.Duration // the simulated providers' time to the first token
	word time.Duration // and between two tokens
	// between gives an address in front of a simulated provider, for a test
	// that looks at what goes over the wire; nil for none.
	between func(p llm.Provider, s *sim.Server) string
	app     Options
}

// startHouse starts a Breakwater whose four providers are simulated. env and
// file come on top.
func startHouse(t *testing.T, o houseOptions) *testHouse {
	t.Helper()
	h := &testHouse{sims: map[llm.Provider]*sim.Server{}, log: &logBuffer{}, db: o.keep}
	if h.db == "" {
		h.db = filepath.Join(t.TempDir(), "test.db")
	}
	for _, p := range llm.Providers() {
		so := sim.Options{Models: []string{demoModel(p), "echo-" + string(p)}, Seed: 1, FirstToken: o.pace, PerToken: o.word}
		switch p {
		case llm.OpenAI:
			so.Models = append(so.Models, "embed-openai", "gpt-audio", "o3")
		case llm.Gemini, llm.Local:
			so.Models = append(so.Models, "embed-"+string(p))
		}
		if p != llm.Local {
			so.Key = secretKey
		}
		s, err := sim.Start(p, so)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		h.sims[p] = s
	}
	var err error
	if h.slack, err = sim.StartSlack("#ops"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.slack.Close)
	between := o.between
	if between == nil {
		between = func(_ llm.Provider, s *sim.Server) string { return s.BaseURL() }
	}
	env := map[string]string{
		"BREAKWATER_DB": h.db, "BREAKWATER_LISTEN": "127.0.0.1:0",
		"GEMINI_API_KEY": secretKey, "ANTHROPIC_API_KEY": secretKey, "OPENAI_API_KEY": secretKey,
		"GEMINI_BASE_URL": between(llm.Gemini, h.sims[llm.Gemini]), "ANTHROPIC_BASE_URL": between(llm.Claude, h.sims[llm.Claude]),
		"OPENAI_BASE_URL": between(llm.OpenAI, h.sims[llm.OpenAI]), "OLLAMA_HOST": between(llm.Local, h.sims[llm.Local]),
		"SLACK_BOT_TOKEN": "xoxb-test-SECRET-token", "SLACK_CHANNEL": "#ops", "SLACK_API_URL": h.slack.APIURL(),
		"CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "1", "GEMINI_REQUESTS_PER_MINUTE": "0",
	}
	if o.file != "" {
		env["BREAKWATER_CONFIG"] = "test.yaml"
	}
	maps.Copy(env, o.env)
	cfg, err := config.Load(config.Sources{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(name string) ([]byte, error) {
			if name != "test.yaml" {
				return os.ReadFile(name)
			}
			return []byte(o.file), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	o.app.Log = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.app.ProbeInterval == 0 {
		o.app.ProbeInterval = time.Hour // one look at the start
	}
	if o.app.WellFor == 0 {
		o.app.WellFor = time.Millisecond // real time passes here
	}
	if h.App, err = New(t.Context(), cfg, o.app); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, context.Background()) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the house ended with %v", err)
		}
	})
	t.Cleanup(h.stop)
	h.eventually(t, "it serves", func() bool { return get(t, h.URL()+"/healthz") == "ok\n" })
	return h
}

// client is an ordinary OpenAI client.
func (h *testHouse) client() openai.Client {
	return openai.NewClient(option.WithBaseURL(h.URL()+"/v1"), option.WithAPIKey("any"), option.WithMaxRetries(0))
}

func question(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage("What is a breakwater?")},
	}
}

// chat completes one chat and says who served.
func (h *testHouse) chat(t *testing.T, model string) (text, provider string) {
	t.Helper()
	return h.complete(t, question(model))
}

func (h *testHouse) complete(t *testing.T, params openai.ChatCompletionNewParams) (text, provider string) {
	t.Helper()
	client := h.client()
	var response *http.Response
	answer, err := client.Chat.Completions.New(t.Context(), params, option.WithResponseInto(&response))
	if err != nil {
		t.Fatalf("%s: %v", params.Model, err)
	}
	return answer.Choices[0].Message.Content, response.Header.Get("X-Breakwater-Provider")
}

// stream completes one stream.
func (h *testHouse) stream(t *testing.T, model string) (text, finish string, usage int64) {
	t.Helper()
	client := h.client()
	params := question(model)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	s := client.Chat.Completions.NewStreaming(t.Context(), params)
	defer s.Close()
	for s.Next() {
		chunk := s.Current()
		usage += chunk.Usage.CompletionTokens
		for _, c := range chunk.Choices {
			text += c.Delta.Content
			finish += c.FinishReason
		}
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s: %v", model, err)
	}
	return text, finish, usage
}

// hang is after how long what does not come about never will, however slow the
// machine is.
const hang = 5 * time.Minute

// eventually waits for something that happens on other goroutines.
func (h *testHouse) eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(hang)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come true that %s; the end of the log:\n%s", what, h.log.tail())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// reopen reads the database of a house that has stopped.
func reopen(t *testing.T, path string) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func traces(t *testing.T, st *store.Store) []record.Trace {
	t.Helper()
	all, err := st.Traces(t.Context(), store.TraceQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// files reads a database's files whole.
func files(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	names, err := filepath.Glob(path + "*")
	segments, _ := filepath.Glob(path + ".journal/*") // the same pattern, so the same error
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, segments...) {
		if name == path+".journal" {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
