package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSecretsArePrintedNowhere(t *testing.T) {
	const secret = "sk-very-secret-text"
	c := mustLoad(t, setting{env: map[string]string{"OPENAI_API_KEY": secret, "BREAKWATER_API_KEY": secret, "SLACK_WEBHOOK_URL": "https://hooks.example/" + secret}})
	inside := struct{ s Secret }{NewSecret(secret)}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+verb+verb+verb, c, *c, c.APIKey, inside)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("m", "config", c, "value", *c, "secret", c.APIKey)
	}
	if err := json.NewEncoder(&b).Encode(c); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), secret) || strings.Contains(b.String(), fmt.Sprintf("%x", secret)) {
		t.Errorf("a secret is in:\n%s", b.String())
	}
	if !strings.Contains(b.String(), Redacted) || (Secret{}).String() != "" || c.APIKey.Reveal() != secret {
		t.Error("a secret that is set must say so, and reveal itself to who asks")
	}
}

// TestNoErrorShowsASecret puts secrets in their places, in and around faults.
func TestNoErrorShowsASecret(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`(sk-|xoxb-|AIza|\*|&|!|\$|@|%|\{|"|')?[A-Za-z0-9_-]{24,60}[ "':#]?x?`).Draw(rt, "secret")
		place := rapid.SampledFrom([]string{
			"api_key: %s\nlisten: x\n", "api_key: {env: %s}\n", "api_key: {value: %s, env: A}\n", "api_key:\n  - %s\n", "api_key:%s\n",
			"api_key: {%s}\n", "%s\n", "%s: x\n", "- %s", "listen: %s\n", "instance: %s", "chain: [%s]", "aliases: {%s", "alerts: {channels: [{bot_token: %s}]}",
			"alerts:\n  channels:\n    - webhook_url: https://%s@x\n      bot_token: a\n", "providers:\n  openai:\n    endpoints:\n      - keys:\n        - %s\n        - value:%s\n",
			"providers:\n  openai:\n    endpoints:\n      - keys:\n        - name: a\n          value:%s\n        - name: a\n",
			"providers: {openai: {endpoints: [{base_url: 'https://u:%s@x/v1'}, {base_url: 'https://x/v1?key=%s'}]}}", "budgets: [{usd: %s}]",
			"providers: {openai: {endpoints: [{keys: [{value: a, env: B, valeu: %s}]}]}}",
		}).Draw(rt, "place")
		env := map[string]string{"A": secret, "BREAKWATER_INSTANCE": "x"}
		for _, name := range rapid.SliceOf(rapid.SampledFrom([]string{
			"OPENAI_API_KEY", "BREAKWATER_API_KEY", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL", "OPENAI_BASE_URL", "OLLAMA_HOST", "BREAKWATER_PUBLIC_URL", "SLACK_API_URL",
		})).Draw(rt, "env") {
			env[name] = secret + rapid.SampledFrom([]string{"", " x", "\x00", "@host", "://"}).Draw(rt, "tail")
		}
		_, err := load(t, setting{file: strings.ReplaceAll(place, "%s", secret), env: env})
		if err == nil {
			rt.Fatal("a faulty instance number was accepted")
		}
		if core := strings.Trim(secret, "*&!$@%{\"': #x"); strings.Contains(err.Error(), core) {
			rt.Fatalf("a secret is in:\n%v", err)
		}
	})
}
