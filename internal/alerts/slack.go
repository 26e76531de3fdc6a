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
// in place at every change, with a short reply in its thread. Through a webhook
// each change is a message of its own.
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

// Kind is "slack".
func (s *Slack) Kind() string { return "slack" }

// Where is the channel as it is configured; a webhook has its own built in.
func (s *Slack) Where() string {
	if s.cfg.WebhookURL != "" {
		return "incoming webhook"
	}
	return s.cfg.Channel
}

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
		return "webhook", s.hook(ctx, m.summary(), blocks(m))
	}
	channel, ts, known := strings.Cut(m.Receipt, "/")
	if known && m.Kind != record.NoticeOpened {
		now := m
		if m.Kind == record.NoticeChanged || m.Kind == record.NoticeReminder {
			now.Kind = record.NoticeOpened // what the message says of the incident is no change
		}
		_, _, _, err := s.api.UpdateMessageContext(ctx, channel, ts, content(now.summary(), blocks(now)))
		if err == nil {
			return m.Receipt, s.reply(ctx, channel, ts, m)
		}
		if !gone(err) {
			return "", err
		}
	}
	channel, ts, err := s.api.PostMessageContext(ctx, s.cfg.Channel, content(m.summary(), blocks(m)))
	return channel + "/" + ts, err
}

// reply says in the thread what changed. What somebody should see who does not
// follow the thread is shown in the channel too
// (https://docs.slack.dev/reference/methods/chat.postMessage, 2026-11).
func (s *Slack) reply(ctx context.Context, channel, ts string, m Message) error {
	text := m.summary()
	if m.Kind == record.NoticeChanged {
		text = m.change() // the thread says of what
	}
	options := []slack.MsgOption{slack.MsgOptionTS(ts), slack.MsgOptionText(escapeShort(text), false), slack.MsgOptionDisableLinkUnfurl()}
	if m.Kind == record.NoticeReopened || m.Kind == record.NoticeReminder {
		options = append(options, slack.MsgOptionBroadcast())
	}
	_, _, err := s.api.PostMessageContext(ctx, channel, options...)
	return err
}

// SendDigest brings the messages of the incidents up to date, which notifies
// nobody, and posts one that sums them up.
func (s *Slack) SendDigest(ctx context.Context, d Digest) error {
	if s.cfg.WebhookURL != "" {
		return s.wrap(s.hook(ctx, d.headline(), digestBlocks(d)))
	}
	for _, m := range d.Of {
		channel, ts, known := strings.Cut(m.Receipt, "/")
		if !known {
			continue
		}
		_, _, _, err := s.api.UpdateMessageContext(ctx, channel, ts, content(m.summary(), blocks(m)))
		if err != nil && !gone(err) {
			return s.explain(err)
		}
	}
	_, _, err := s.api.PostMessageContext(ctx, s.cfg.Channel, content(d.headline(), digestBlocks(d)))
	return s.wrap(err)
}

func (s *Slack) hook(ctx context.Context, text string, all []slack.Block) error {
	return slack.PostWebhookCustomHTTPContext(ctx, s.cfg.WebhookURL, s.cfg.Client,
		&slack.WebhookMessage{Text: escapeShort(text), Blocks: &slack.Blocks{BlockSet: all}})
}

func content(text string, all []slack.Block) slack.MsgOption {
	return slack.MsgOptionCompose(slack.MsgOptionText(escapeShort(text), false), slack.MsgOptionBlocks(all...), slack.MsgOptionDisableLinkUnfurl())
}

func (s *Slack) wrap(err error) error {
	if err == nil {
		return nil
	}
	return s.explain(err)
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
	text := "Slack: " + strings.TrimPrefix(redact.Secrets(plain(err), s.cfg.Token, s.cfg.WebhookURL), "slack ") + toMend(err)
	if limited, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		return &RetryError{After: limited.RetryAfter, Err: errors.New(text)}
	}
	if refuses(err) {
		return &RefusedError{errors.New(text)}
	}
	return errors.New(text)
}

// refuses says that Slack will not take messages until a person changes the
// configuration or the channel
// (https://docs.slack.dev/reference/methods/chat.postMessage#errors and
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors, 2026-11).
func refuses(err error) bool {
	codes := []string{
		"account_inactive", "channel_not_found", "invalid_auth", "is_archived", "missing_scope", "no_permission", "not_authed",
		"not_in_channel", "restricted_action", "token_expired", "token_revoked",
	}
	if r, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return slices.Contains(codes, r.Err)
	}
	status, ok := errors.AsType[slack.StatusCodeError](err)
	return ok && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone}, status.Code)
}

// toMend says what a person does about the errors that come with setting a bot up
// (https://docs.slack.dev/reference/methods/chat.postMessage#errors, 2026-11).
func toMend(err error) string {
	r, _ := errors.AsType[slack.SlackErrorResponse](err)
	switch r.Err {
	case "not_in_channel":
		return ": invite the bot to the channel"
	case "channel_not_found":
		return ": there is no such channel, or it is private and the bot is not in it"
	case "missing_scope":
		return ": the bot needs the scope chat:write"
	case "account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked":
		return ": the token is not, or no longer, valid"
	}
	return ""
}

// plain leaves out the address that net/http puts into its errors: a
// webhook's address is its secret.
func plain(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.Timeout() {
			return "no answer in time"
		}
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
	return append(all, foot(m))
}

// foot is the last line, with a link to the incident's page.
func foot(m Message) slack.Block {
	text := escape(m.foot())
	if page := m.page(); page != "" {
		text += " · " + link(page, "Open in Breakwater")
	}
	return slack.NewContextBlock("", mrkdwn(text))
}

// maxInDigest is how many incidents a digest names: Slack takes 50 blocks.
const maxInDigest = 40

// digestBlocks lays several incidents out, a line for each.
func digestBlocks(d Digest) []slack.Block {
	all := []slack.Block{slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, redact.Short(d.headline(), maxHeader), false, false))}
	for n, m := range d.Of {
		if n == maxInDigest {
			all = append(all, slack.NewContextBlock("", mrkdwn(fmt.Sprintf("and %d more", len(d.Of)-n))))
			break
		}
		number := escape(m.foot())
		if page := m.page(); page != "" {
			number = link(page, number)
		}
		all = append(all, slack.NewSectionBlock(mrkdwn(escapeLines(m.summary())+"\n"+number), nil, nil))
	}
	return all
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

// maxShort keeps a text without blocks within chat.update's 4,000 characters.
const maxShort = 1200

// escapeShort escapes what is shown in notifications and threads.
func escapeShort(text string) string { return escape(redact.Short(text, maxShort)) }

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
