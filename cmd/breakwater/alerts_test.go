package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/internal/sim"
)

func TestAlertsTestTellsWhatCameOfIt(t *testing.T) {
	slack, err := sim.StartSlack("ops")
	if err != nil {
		t.Fatal(err)
	}
	defer slack.Close()
	const token = "xoxb-1234567890-test-only"
	file := filepath.Join(t.TempDir(), "breakwater.yaml")
	text := `alerts: {channels: [
		{name: ops, bot_token: ` + token + `, channel: ops, api_url: "` + slack.APIURL() + `", quiet: {from: "00:00", to: "23:59"}},
		{name: lost, bot_token: ` + token + `, channel: nowhere, api_url: "` + slack.APIURL() + `"}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args      []string
		code      int
		out, errs string
	}{
		"one":               {[]string{"ops", "--config", file}, 0, "the message arrived", ""},
		"all":               {[]string{"--config", file}, 1, "channel_not_found", "a message did not arrive"},
		"none of that name": {[]string{"nobody", "--config", file}, 2, "", "no channel of the configuration is called nobody"},
		"no channel":        {nil, 2, "", "no channel is configured"},
		"two names":         {[]string{"ops", "lost"}, 2, "", "accepts at most 1 arg"},
	} {
		code, out, errs := runProgram(t, nil, append([]string{"alerts", "test"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) || strings.Contains(out+errs, token) {
			t.Errorf("%s: exit %d, %s%s", name, code, out, errs)
		}
	}
	if n := len(slack.Messages()); n != 2 {
		t.Errorf("%d messages, want one of each run that reaches the channel", n)
	}
	slack.RateLimit(1, time.Second)
	if code, out, errs := runProgram(t, nil, "alerts", "test", "ops", "--config", file); code != 1 || !strings.Contains(out, "rate limit") {
		t.Errorf("limited: exit %d, %s%s", code, out, errs)
	}
}
