package sim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
)

func startSlack(t *testing.T, channels ...string) (*Slack, *slack.Client) {
	t.Helper()
	s, err := StartSlack(channels...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, slack.New("xoxb-test", slack.OptionAPIURL(s.APIURL()), slack.OptionHTTPClient(httpClient()))
}

func section(text string) slack.Block {
	return slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, text, false, false), nil, nil)
}

func header(text string) slack.Block {
	return slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, text, false, false))
}

func TestSlackPostsThreadsAndUpdates(t *testing.T) {
	s, client := startSlack(t, "#alerts", "general")
	ctx := t.Context()
	if who, err := client.AuthTestContext(ctx); err != nil || who.UserID == "" || who.Team == "" {
		t.Errorf("%v %+v", err, who)
	}
	id, first, err := client.PostMessageContext(ctx, "#alerts", slack.MsgOptionText("Gemini is down", false),
		slack.MsgOptionBlocks(header("Gemini is down"), section("3 failures in a row"), slack.NewDividerBlock()))
	if err != nil {
		t.Fatal(err)
	}
	again, second, err := client.PostMessageContext(ctx, "alerts", slack.MsgOptionText("more of it", false), slack.MsgOptionTS(first))
	if err != nil || again != id || second <= first {
		t.Errorf("%v: %s %s after %s %s", err, again, second, id, first)
	}
	if other, _, err := client.PostMessageContext(ctx, "general", slack.MsgOptionText("x", false)); err != nil || other == id {
		t.Errorf("%v %s", err, other)
	}
	channel, ts, text, err := client.UpdateMessageContext(ctx, id, first, slack.MsgOptionText("Gemini is back", false))
	if err != nil || channel != id || ts != first || text != "Gemini is back" {
		t.Errorf("%v %s %s %q", err, channel, ts, text)
	}
	got := s.Messages()
	if len(got) != 3 || got[0].Text != "Gemini is back" || !got[0].Edited || got[0].Blocks != nil || got[0].Name != "alerts" {
		t.Fatalf("%+v", got)
	}
	if h := got[0].History; len(h) != 1 || h[0].Text != "Gemini is down" || !strings.Contains(string(h[0].Blocks), "3 failures in a row") {
		t.Errorf("history %+v", h)
	}
	if got[1].ThreadTS != first || got[1].Edited {
		t.Errorf("%+v", got[1])
	}
}

func TestSlackRefusesInItsOwnWords(t *testing.T) {
	s, client := startSlack(t)
	id, ts, err := client.PostMessageContext(t.Context(), "alerts", slack.MsgOptionText("x", false))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ü", 40001)
	post := func(channel string, options ...slack.MsgOption) error {
		_, _, err := client.PostMessageContext(t.Context(), channel, options...)
		return err
	}
	update := func(channel, ts, text string) error {
		_, _, _, err := client.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText(text, false))
		return err
	}
	var many []slack.Block
	for range 51 {
		many = append(many, slack.NewDividerBlock())
	}
	stranger := slack.New("nonsense", slack.OptionAPIURL(s.APIURL()), slack.OptionHTTPClient(httpClient()))
	_, badToken := stranger.AuthTestContext(t.Context())
	nobody := slack.New("", slack.OptionAPIURL(s.APIURL()), slack.OptionHTTPClient(httpClient()))
	_, noToken := nobody.AuthTestContext(t.Context())
	for _, c := range []struct {
		err        error
		code, says string
	}{
		{badToken, "invalid_auth", ""},
		{noToken, "not_authed", ""},
		{post("nowhere", slack.MsgOptionText("x", false)), "channel_not_found", ""},
		{post("alerts"), "no_text", ""},
		{post("alerts", slack.MsgOptionText("", false), slack.MsgOptionBlocks()), "no_text", ""},
		{post("alerts", slack.MsgOptionText(long, false)), "msg_too_long", ""},
		{post("alerts", slack.MsgOptionText(long[:80000], false)), "", ""},
		{post("alerts", slack.MsgOptionBlocks(many...)), "invalid_blocks", "no more than 50 items allowed [json-pointer:/blocks]"},
		{post("alerts", slack.MsgOptionBlocks(section(long[:6002]))), "invalid_blocks",
			"must be less than 3001 characters [json-pointer:/blocks/0/text/text]"},
		{post("alerts", slack.MsgOptionBlocks(section(long[:6000]))), "", ""},
		{post("alerts", slack.MsgOptionBlocks(header(long[:302]))), "invalid_blocks", "must be less than 151 characters"},
		{post("alerts", slack.MsgOptionBlocks(section(""))), "invalid_blocks", "must be more than 0 characters"},
		{update("alerts", ts, "y"), "channel_not_found", ""}, // a name where only an id will do
		{update(id, "1.000001", "y"), "message_not_found", ""},
		{update(id, ts, long[:8002]), "msg_too_long", ""},
		{update(id, ts, ""), "no_text", ""},
		{update(id, ts, "y"), "", ""},
	} {
		if c.code == "" {
			if c.err != nil {
				t.Errorf("refused: %v", c.err)
			}
			continue
		}
		var refused slack.SlackErrorResponse
		if !errors.As(c.err, &refused) || refused.Err != c.code {
			t.Errorf("got %v, want %s", c.err, c.code)
			continue
		}
		if c.says != "" && !strings.Contains(strings.Join(refused.ResponseMetadata.Messages, "\n"), c.says) {
			t.Errorf("%s: got %q, want %q", c.code, refused.ResponseMetadata.Messages, c.says)
		}
	}
}

func TestSlackChecksBlocks(t *testing.T) {
	text := func(kind string, n int) string {
		return `{"type":"` + kind + `","text":"` + strings.Repeat("x", n) + `"}`
	}
	repeat := func(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	for _, c := range []struct{ blocks, says string }{
		{`[{"type":"divider"},{"type":"image","image_url":"https://x/y.png","alt_text":"y"}]`, ""},
		{`[{"type":"context","elements":[` + text("mrkdwn", 5) + `,{"type":"image","image_url":"u","alt_text":"a"}]}]`, ""},
		{`[{"type":"section","fields":[` + repeat(text("mrkdwn", 2000), 10) + `]}]`, ""},
		{`[{"type":"actions","elements":[{"type":"button","text":` + text("plain_text", 75) + `,"url":"https://x"}]}]`, ""},
		{`["x"]`, "must be a valid block"},
		{`[{}]`, "missing required field: type"},
		{`[{"type":"banner"}]`, "unsupported type: banner [json-pointer:/blocks/0/type]"},
		{`[{"type":"section"}]`, "missing required field: text"},
		{`[{"type":"section","text":"plain"}]`, "must be a text object"},
		{`[{"type":"section","fields":[` + repeat(text("mrkdwn", 1), 11) + `]}]`, "no more than 10 items allowed"},
		{`[{"type":"section","fields":[` + text("mrkdwn", 2001) + `]}]`, "less than 2001 characters [json-pointer:/blocks/0/fields/0/text]"},
		{`[{"type":"header","text":` + text("mrkdwn", 5) + `}]`, "must be a valid enum value [json-pointer:/blocks/0/text/type]"},
		{`[{"type":"context","elements":[]}]`, "must provide at least 1 items"},
		{`[{"type":"context","elements":[` + repeat(text("mrkdwn", 1), 11) + `]}]`, "no more than 10 items allowed"},
		{`[{"type":"context","elements":[{"type":"button"}]}]`, "unsupported type: button [json-pointer:/blocks/0/elements/0/type]"},
		{`[{"type":"context","elements":["x"]}]`, "must be a valid element"},
		{`[{"type":"actions","elements":[{"type":"button","text":` + text("plain_text", 76) + `}]}]`, "less than 76 characters"},
		{`[{"type":"image"}]`, "missing required field: alt_text"},
		{`[{"type":"divider","block_id":"` + strings.Repeat("x", 256) + `"}]`, "less than 256 characters [json-pointer:/blocks/0/block_id]"},
	} {
		var blocks []json.RawMessage
		if err := json.Unmarshal([]byte(c.blocks), &blocks); err != nil {
			t.Fatal(err)
		}
		wrong := strings.Join(checkBlocks(blocks), "; ")
		if c.says == "" && wrong != "" || !strings.Contains(wrong, c.says) {
			t.Errorf("%s: got %q, want %q", c.blocks[:min(len(c.blocks), 80)], wrong, c.says)
		}
	}
}

func TestSlackRateLimitsAndFails(t *testing.T) {
	s, client := startSlack(t)
	post := func() error {
		_, _, err := client.PostMessageContext(t.Context(), "alerts", slack.MsgOptionText("x", false))
		return err
	}
	s.RateLimit(1, 1500*time.Millisecond)
	s.Fail(1)
	var limited *slack.RateLimitedError
	if err := post(); !errors.As(err, &limited) || limited.RetryAfter != 2*time.Second {
		t.Errorf("%v", err)
	}
	var status slack.StatusCodeError
	if err := post(); !errors.As(err, &status) || status.Code != 500 {
		t.Errorf("%v", err)
	}
	if err := post(); err != nil || len(s.Messages()) != 1 || s.Requests() != 3 {
		t.Errorf("%v, %d messages, %d requests", err, len(s.Messages()), s.Requests())
	}
}

func TestSlackWebhook(t *testing.T) {
	s, client := startSlack(t)
	send := func(url string, m *slack.WebhookMessage) error {
		return slack.PostWebhookCustomHTTPContext(t.Context(), url, httpClient(), m)
	}
	blocks := slack.Blocks{BlockSet: []slack.Block{section("hello")}}
	if err := send(s.WebhookURL(), &slack.WebhookMessage{Text: "hello", Blocks: &blocks}); err != nil {
		t.Fatal(err)
	}
	got := s.Messages()
	if len(got) != 1 || !got[0].Webhook || got[0].Text != "hello" || got[0].Name != "alerts" || got[0].Blocks == nil {
		t.Fatalf("%+v", got)
	}
	_, _, _, err := client.UpdateMessageContext(t.Context(), got[0].Channel, got[0].TS, slack.MsgOptionText("x", false))
	if err == nil || err.Error() != "cant_update_message" {
		t.Errorf("%v", err)
	}
	s.RateLimit(1, time.Second)
	for _, c := range []struct {
		err    error
		status int
	}{
		{send(s.WebhookURL(), &slack.WebhookMessage{Text: "x"}), 429},
		{send(s.WebhookURL(), &slack.WebhookMessage{}), 400},
		{send(s.WebhookURL()+"x", &slack.WebhookMessage{Text: "x"}), 404},
	} {
		var limited *slack.RateLimitedError
		var status slack.StatusCodeError
		switch {
		case errors.As(c.err, &limited) && c.status == 429:
		case errors.As(c.err, &status) && c.status == status.Code:
		default:
			t.Errorf("got %v, want %d", c.err, c.status)
		}
	}
}

func TestSlackTakesJSONWithABearerToken(t *testing.T) {
	s, _ := startSlack(t)
	post := func(contentType, body string) got {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.APIURL()+"chat.postMessage", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Bearer xoxb-test")
		return do(t, req, 0)
	}
	const asJSON = "application/json; charset=utf-8"
	for _, c := range []struct{ contentType, body, says string }{
		{asJSON, `{"channel":"alerts","text":"hi","blocks":[{"type":"divider"}]}`, `"ok":true`},
		{asJSON, `{"channel":"alerts","text":"hi","blocks":"[{\"type\":\"divider\"}]"}`, `"ok":true`},
		{asJSON, `{"channel":`, `"error":"invalid_json"`},
		{asJSON, `{"channel":"alerts","blocks":"nonsense"}`, `"error":"invalid_blocks_format"`},
		{"text/csv", `a,b`, `"error":"invalid_post_type"`},
	} {
		if g := post(c.contentType, c.body); g.status != 200 || !strings.Contains(g.body, c.says) {
			t.Errorf("%s: %d %s", c.body, g.status, g.body)
		}
	}
	for _, m := range s.Messages() {
		if string(m.Blocks) != `[{"type":"divider"}]` {
			t.Errorf("blocks %s", m.Blocks)
		}
	}
}

func TestSlackWaits(t *testing.T) {
	s, client := startSlack(t)
	two := func(m []SlackMessage) bool { return len(m) == 2 }
	waited := make(chan error)
	go func() { waited <- s.Wait(t.Context(), two) }()
	for range 2 {
		if _, _, err := client.PostMessageContext(t.Context(), "alerts", slack.MsgOptionText("x", false)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, func([]SlackMessage) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
