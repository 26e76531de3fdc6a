package alerts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

const token = "xoxb-1234567890-test-only"

func fakeSlack(t *testing.T) *sim.Slack {
	t.Helper()
	s, err := sim.StartSlack("ops")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// bot makes a channel whose connections end with the test.
func bot(t *testing.T, cfg SlackConfig) *Slack {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.Name, cfg.Client = "slack", &http.Client{Transport: transport}
	if cfg.WebhookURL == "" && cfg.Token == "" {
		cfg.Token, cfg.Channel = token, "#ops"
	}
	return NewSlack(cfg)
}

var (
	openedMessage   = Message{Kind: record.NoticeOpened, Incident: geminiDown()}
	resolvedMessage = Message{Kind: record.NoticeResolved, Incident: resolvedAfter(8 * time.Minute)}
)

// openedAndResolved tells a channel of an incident and of its end, and gives the
// receipt of the first.
func openedAndResolved(t *testing.T, c Channel) string {
	t.Helper()
	receipt, err := c.Send(t.Context(), openedMessage)
	if err != nil {
		t.Fatal(err)
	}
	m := resolvedMessage
	m.Receipt = receipt
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return receipt
}

func TestSlackUpdatesItsMessageInPlaceAndRepliesInTheThread(t *testing.T) {
	fake := fakeSlack(t)
	s := bot(t, SlackConfig{APIURL: fake.APIURL()})
	receipt := openedAndResolved(t, s)
	got := fake.Messages()
	if len(got) != 2 || !got[0].Edited || got[1].ThreadTS != got[0].TS || receipt != got[0].Channel+"/"+got[0].TS {
		t.Fatalf("receipt %s, messages %+v", receipt, got)
	}
	for _, text := range []string{got[0].Text, got[1].Text} {
		if !strings.HasPrefix(text, "Resolved: Gemini was failing for 8 min.") {
			t.Errorf("text %q", text)
		}
	}
}

func TestSlackPostsAnewWhereTheOriginalIsGone(t *testing.T) {
	fake := fakeSlack(t)
	s := bot(t, SlackConfig{APIURL: fake.APIURL()})
	for _, receipt := range []string{"C0SIM00001/1.000001", "", "C0GONE/1.000001"} {
		m := resolvedMessage
		m.Receipt = receipt
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Fatalf("receipt %q: %v", receipt, err)
		}
	}
	for _, m := range fake.Messages() {
		if m.ThreadTS != "" || m.Edited || m.Blocks == nil {
			t.Errorf("%+v", m)
		}
	}
	if n := len(fake.Messages()); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

func TestAWebhookGetsTwoPlainMessages(t *testing.T) {
	fake := fakeSlack(t)
	s := bot(t, SlackConfig{WebhookURL: fake.WebhookURL()})
	openedAndResolved(t, s)
	got := fake.Messages()
	if len(got) != 2 || got[0].Edited || !got[1].Webhook || got[1].ThreadTS != "" {
		t.Errorf("%+v", got)
	}
}

func TestSlackTakesWhateverAProviderSays(t *testing.T) {
	fake := fakeSlack(t)
	s := bot(t, SlackConfig{APIURL: fake.APIURL()})
	for _, m := range []Message{
		{Kind: record.NoticeOpened, Incident: hostile()},
		{Kind: record.NoticeOpened, Incident: record.Incident{Subject: llm.Local, Title: strings.Repeat("Ü&", 500)}},
	} {
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
}

func TestRetryAfterReachesTheOutbox(t *testing.T) {
	fake := fakeSlack(t)
	for _, cfg := range []SlackConfig{{APIURL: fake.APIURL()}, {WebhookURL: fake.WebhookURL()}} {
		fake.RateLimit(1, 7*time.Second)
		_, err := bot(t, cfg).Send(t.Context(), openedMessage)
		wish, ok := errors.AsType[*RetryError](err)
		if !ok || wish.After != 7*time.Second {
			t.Errorf("%v", err)
		}
	}
}

func TestNoErrorShowsASecret(t *testing.T) {
	fake := fakeSlack(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	const secret = "AbCdEfGh123"
	for name, cfg := range map[string]SlackConfig{
		"refused bot":     {APIURL: gone.URL + "/api/?token=" + token, Token: token, Channel: "ops"},
		"refused webhook": {WebhookURL: gone.URL + "/services/" + secret},
		"bad webhook":     {WebhookURL: "http://[::1/services/" + secret},
		"unknown webhook": {WebhookURL: fake.URL() + "/services/" + secret},
		"bad token":       {APIURL: fake.APIURL(), Token: "xoxc-" + secret, Channel: "ops"},
		"unknown channel": {APIURL: fake.APIURL(), Token: token, Channel: "nowhere"},
	} {
		_, err := bot(t, cfg).Send(t.Context(), openedMessage)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if text := err.Error(); strings.Contains(text, secret) || strings.Contains(text, token) || !strings.HasPrefix(text, "Slack: ") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestAWholeIncidentReachesSlackThroughItsTroubles(t *testing.T) {
	fake := fakeSlack(t)
	path := filepath.Join(t.TempDir(), "test.db")
	cfg := Config{Channels: []Channel{bot(t, SlackConfig{APIURL: fake.APIURL()})}, Retry: time.Millisecond, Poll: 10 * time.Millisecond, WellFor: time.Millisecond}
	h := move(t, path, cfg)
	fake.Fail(2)
	now := func(k SignalKind) Signal {
		return Signal{At: time.Now(), Provider: llm.Gemini, Target: gemini, Kind: k, Text: fmt.Sprint("why ", k)}
	}
	h.Signal(now(BreakerOpened))
	h.Signal(now(CallerFailed))
	wait := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := fake.Wait(ctx, func(m []sim.SlackMessage) bool { return len(m) >= n }); err != nil {
			t.Fatalf("%v, messages: %+v", err, fake.Messages())
		}
	}
	wait(1)
	h.stop()
	asked := fake.Requests()
	h = move(t, path, cfg)
	defer func() { h.stop() }()
	fake.RateLimit(1, time.Second)
	h.Signal(now(BreakerClosed))
	wait(2)
	got := fake.Messages()
	if len(got) != 2 || !got[0].Edited || len(got[0].History) != 1 || got[1].ThreadTS != got[0].TS {
		t.Errorf("messages %+v", got)
	}
	if n := fake.Requests() - asked; n != 3 { // refused, updated, replied
		t.Errorf("%d requests after the restart, want 3", n)
	}
}

func TestEachChangeUpdatesTheMessageAndIsAReply(t *testing.T) {
	fake := fakeSlack(t)
	s := bot(t, SlackConfig{APIURL: fake.APIURL()})
	receipt, err := s.Send(t.Context(), openedMessage)
	if err != nil {
		t.Fatal(err)
	}
	m := openedMessage
	m.Receipt = receipt
	for n, tt := range []struct {
		kind        record.NoticeKind
		text        string
		state       record.IncidentState
		shown, said string
	}{
		{record.NoticeChanged, "Callers are served by <Claude>.", record.Mitigated, "Gemini has been failing", "Callers are served by &lt;Claude&gt;."},
		{record.NoticeReminder, "", record.Mitigated, "Gemini has been failing", "Still: Gemini has been failing"},
		{record.NoticeResolved, "", record.Resolved, "Resolved: Gemini was failing", "Resolved: Gemini was failing"},
		{record.NoticeReopened, "", record.Ongoing, "Back again: Gemini is failing", "Back again: Gemini is failing"},
	} {
		m.Kind, m.Text, m.Incident.State = tt.kind, tt.text, tt.state
		m.Incident.Ended = noon.Add(time.Hour)
		if got, err := s.Send(t.Context(), m); err != nil || got != receipt {
			t.Fatalf("%s: %s %v", tt.kind, got, err)
		}
		got := fake.Messages()
		if len(got) != n+2 || got[n+1].ThreadTS != got[0].TS {
			t.Fatalf("%s: %+v", tt.kind, got)
		}
		if !strings.HasPrefix(got[0].Text, tt.shown) || !strings.HasPrefix(got[n+1].Text, tt.said) {
			t.Errorf("%s: shows %q, says %q", tt.kind, got[0].Text, got[n+1].Text)
		}
	}
}

func TestSlackShowsADigestAndBringsMessagesUpToDate(t *testing.T) {
	fake := fakeSlack(t)
	s := bot(t, SlackConfig{APIURL: fake.APIURL()})
	receipt, err := s.Send(t.Context(), openedMessage)
	if err != nil {
		t.Fatal(err)
	}
	over := resolvedMessage
	over.Receipt = receipt
	d := Digest{Of: []Message{over}, URL: "https://breakwater.example", Storm: true}
	for range maxInDigest + 20 {
		d.Of = append(d.Of, Message{Kind: record.NoticeOpened, Incident: hostile(), URL: d.URL})
	}
	if err := s.SendDigest(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	got := fake.Messages()
	if len(got) != 2 || !got[0].Edited || got[1].ThreadTS != "" || got[1].Text != "61 incidents at once, 60 of them not over" {
		t.Errorf("%+v", got)
	}
	if err := bot(t, SlackConfig{WebhookURL: fake.WebhookURL()}).SendDigest(t.Context(), d); err != nil {
		t.Error(err)
	}
}

func TestSlackSaysWhenOnlyAPersonCanHelp(t *testing.T) {
	fake := fakeSlack(t)
	for name, tt := range map[string]struct {
		cfg     SlackConfig
		refused bool
	}{
		"wrong token":          {SlackConfig{APIURL: fake.APIURL(), Token: "xoxc-1", Channel: "ops"}, true},
		"unknown channel":      {SlackConfig{APIURL: fake.APIURL(), Token: token, Channel: "nowhere"}, true},
		"webhook that is gone": {SlackConfig{WebhookURL: fake.URL() + "/services/T1/B1/gone"}, true},
		"nobody there":         {SlackConfig{APIURL: "http://127.0.0.1:1/api/", Token: token, Channel: "ops"}, false},
	} {
		_, err := bot(t, tt.cfg).Send(t.Context(), openedMessage)
		if _, refused := errors.AsType[*RefusedError](err); err == nil || refused != tt.refused {
			t.Errorf("%s: refused %v: %v", name, refused, err)
		}
	}
}

func TestSlacksErrorsSayWhatToDo(t *testing.T) {
	c := NewSlack(SlackConfig{Token: "xoxb-secret"})
	for _, e := range []struct {
		err  error
		want string
	}{
		{slack.SlackErrorResponse{Err: "not_in_channel"}, "Slack: not_in_channel: invite the bot to the channel"},
		{slack.SlackErrorResponse{Err: "token_revoked"}, "Slack: token_revoked: the token is not, or no longer, valid"},
		{slack.StatusCodeError{Code: 500, Status: "500 Internal Server Error"}, "Slack: server error: 500 Internal Server Error"},
		{&url.Error{Err: context.DeadlineExceeded, URL: "https://hooks.slack.example/secret"}, "Slack: no answer in time"},
	} {
		if got := c.explain(e.err).Error(); got != e.want {
			t.Errorf("%q, want %q", got, e.want)
		}
	}
}
