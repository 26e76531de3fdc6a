//go:build integration

package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"breakwater/internal/config"
	"breakwater/internal/llm"
)

// The real APIs, with keys from the environment. Each provider that is set up
// answers one chat and one stream of a few words; it costs a fraction of a cent.
func TestTheRealProvidersAnswer(t *testing.T) {
	cfg, err := config.Load(config.Sources{LookupEnv: func(name string) (string, bool) {
		switch name {
		case "BREAKWATER_DB":
			return filepath.Join(t.TempDir(), "integration.db"), true
		case "BREAKWATER_LISTEN":
			return "127.0.0.1:0", true
		case "BREAKWATER_API_KEY", "BREAKWATER_CONFIG", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL":
			return "", false
		}
		return os.LookupEnv(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx, context.Background()) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	h := &testHouse{App: a, log: &logBuffer{}}
	h.eventually(t, "it serves", func() bool { return get(t, h.URL()+"/healthz") == "ok\n" })
	for _, p := range llm.Providers() {
		t.Run(string(p), func(t *testing.T) {
			if !cfg.Provider(p).Usable() {
				t.Skipf("not set up: %s", cfg.Provider(p).Endpoints[0].Missing)
			}
			if p == llm.Local && !a.Router().IsLocalAvailable(t.Context()) {
				t.Skip("no Ollama server answers at OLLAMA_HOST")
			}
			began := time.Now()
			text, provider := h.chat(t, string(p))
			if text == "" || provider != string(p) {
				t.Errorf("%s said %q", provider, text)
			}
			text, finish, usage := h.stream(t, string(p))
			if text == "" || finish == "" || usage == 0 {
				t.Errorf("streamed %q, finish %q, %d tokens", text, finish, usage)
			}
			t.Logf("a chat and a stream in %v", time.Since(began))
		})
	}
}
