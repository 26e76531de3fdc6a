package alerts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"breakwater/internal/record"
	"breakwater/internal/redact"
)

// Slack's limits, from https://docs.slack.dev/reference/block-kit/blocks
// (November 2026), less room for the labels.
const (
	maxHeader  = 150
	maxSection = 2900
)

// SlackConfig says where a Slack channel is: Token and Channel for a bot, or
// WebhookURL.
type SlackConfig struct {
	Name       string // the channel's name in the configuration
	Token      string // of a bot with chat:write, "xoxb-..."
	Channel    string // "C0123456789" or "#ops"
	WebhookURL string // an incoming webhook, which is a secret; messages cannot be updated through it
	APIURL     string // default Slack's own
	Client     *http.Client
}

// Slack tells a Slack channel: one message for an incident, which is updated
// when it is over, with a short reply in its thread. Through a webhook it
// posts two messages.
type Slack struct {
	cfg SlackConfig
	api *slack.Client
}

// NewSlack makes the channel. It does not call Slack.
func NewSlack(cfg SlackConfig) *Slack {
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: DefaultSendTimeout}
	}
	options := []slack.Option{slack.OptionHTTPClient(cfg.Client)}
	if cfg.APIURL != "" {
		options = append(options, slack.OptionAPIURL(strings.TrimSuffix(cfg.APIURL, "/")+"/"))
	}
	return &Slack{cfg: cfg, api: slack.New(cfg.Token, options...)}
}

// Name is the channel's name in the configuration.
func (s *Slack) Name() string { return s.cfg.Name }

// Send posts the message, or updates the one that the receipt names. The
// receipt is "channel id/ts"; that of a webhook is "webhook".
func (s *Slack) Send(ctx context.Context, m Message) (string, error) {
	receipt, err := s.send(ctx, m)
	if err != nil {
		return "", s.explain(err)
	}
	return receipt, nil
}

func (s *Slack) send(ctx context.Context, m Message) (string, error) {
	if s.cfg.WebhookURL != "" {
		return "webhook", slack.PostWebhookCustomHTTPContext(ctx, s.cfg.WebhookURL, s.cfg.Client,
			&slack.WebhookMessage{Text: escape(m.summary()), Blocks: &slack.Blocks{BlockSet: blocks(m)}})
	}
	content := slack.MsgOptionCompose(
		slack.MsgOptionText(escape(m.summary()), false),
		slack.MsgOptionBlocks(blocks(m)...),
		slack.MsgOptionDisableLinkUnfurl(),
	)
	channel, ts, known := strings.Cut(m.Receipt, "/")
	if m.Kind == record.NoticeResolved && known {
		_, _, _, err := s.api.UpdateMessageContext(ctx, channel, ts, content)
		if err == nil {
			_, _, err = s.api.PostMessageContext(ctx, channel, slack.MsgOptionTS(ts),
				slack.MsgOptionText(escape(m.summary()), false), slack.MsgOptionDisableLinkUnfurl())
			return m.Receipt, err
		}
		if !gone(err) {
			return "", err
		}
	}
	channel, ts, err := s.api.PostMessageContext(ctx, s.cfg.Channel, content)
	return channel + "/" + ts, err
}

// gone says that the message to update is no longer there, or may no longer
// be changed: https://docs.slack.dev/reference/methods/chat.update
func gone(err error) bool {
	r, ok := errors.AsType[slack.SlackErrorResponse](err)
	return ok && slices.Contains([]string{"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"}, r.Err)
}

// explain takes secrets and addresses out of an error and keeps what the
// outbox needs to know.
func (s *Slack) explain(err error) error {
	text := "Slack: " + redact.Secrets(plain(err), s.cfg.Token, s.cfg.WebhookURL)
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		return &RetryError{After: limited.RetryAfter, Err: errors.New(text)}
	}
	return errors.New(text)
}

// plain leaves out the address that net/http puts into its errors: a
// webhook's address is its secret.
func plain(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error()
	}
	return err.Error()
}

// blocks lays a message out.
func blocks(m Message) []slack.Block {
	title := redact.Short(m.headline(), maxHeader)
	all := []slack.Block{slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, title, false, false))}
	for _, l := range m.lines() {
		all = append(all, slack.NewSectionBlock(mrkdwn("*"+l.label+"*\n"+escapeLines(l.text)), nil, nil))
	}
	foot := fmt.Sprintf("Incident %d", m.Incident.Number)
	if m.URL != "" {
		foot += " · " + link(m.URL, "Open Breakwater")
	}
	return append(all, slack.NewContextBlock("", mrkdwn(foot)))
}

// mrkdwn makes a text in which Slack turns nothing into links or mentions by
// itself.
func mrkdwn(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, text, false, true)
}

// escapeLines escapes each line, cut so that they fit a section together.
func escapeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		room := maxSection / len(lines)
		lines[i] = escape(redact.Short(l, room))
		for n := room; len(lines[i]) > room; n -= n / 8 {
			lines[i] = escape(redact.Short(l, n))
		}
	}
	return strings.Join(lines, "\n")
}

// escape makes text say what it says and nothing else in Slack: its three
// control characters are escaped
// (https://docs.slack.dev/messaging/formatting-message-text), and what looks
// like a mention or an address is broken with a zero-width space.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b", "://", ":\u200b//").Replace(text)
}

// link makes a link of an address from the configuration.
func link(address, words string) string {
	return "<" + strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C").Replace(address) + "|" + words + ">"
}
