package config

import (
	"breakwater/internal/alerts"
	"breakwater/internal/record"
)

// The types of a channel.
const (
	typeSlack     = "slack"
	typeEmail     = "email"
	typeWebhook   = "webhook"
	typePagerDuty = "pagerduty"
)

func channelTypes() []string { return []string{typeSlack, typeEmail, typeWebhook, typePagerDuty} }

// channelOptions names the options that only some types of a channel have.
func channelOptions() map[string][]string {
	return map[string][]string{
		"bot_token": {typeSlack}, "channel": {typeSlack}, "webhook_url": {typeSlack}, "api_url": {typeSlack, typePagerDuty},
		"server": {typeEmail}, "tls": {typeEmail}, "user": {typeEmail}, "password": {typeEmail}, "from": {typeEmail}, "to": {typeEmail},
		"url": {typeWebhook}, "secret": {typeWebhook}, "format": {typeWebhook},
		"routing_key": {typePagerDuty},
	}
}

// alertOptions gives the options of the channels that are told of incidents.
func alertOptions() []Option {
	const at = "alerts.channels[]."
	return []Option{
		{Path: at + "name", Kind: Text, Help: "The channel's name; by default its type. Unique."},
		{Path: at + "type", Kind: Text, Choices: channelTypes(), Default: typeSlack, Help: "What kind of channel it is: slack, email, webhook or pagerduty. The options below are for one type each, but for those from severities on."},
		{Path: at + "bot_token", Env: []string{"SLACK_BOT_TOKEN"}, Kind: Key, Help: "slack: the token (xoxb-…) of an app with the scope chat:write; needs channel."},
		{Path: at + "channel", Env: []string{"SLACK_CHANNEL"}, Kind: Text, Help: "slack: the channel's id, or its name in quotes: \"#alerts\"."},
		{Path: at + "webhook_url", Env: []string{"SLACK_WEBHOOK_URL"}, Kind: Key, Help: "slack: an incoming webhook, instead of bot_token and channel: messages cannot be updated then."},
		{Path: at + "api_url", Env: []string{"SLACK_API_URL"}, Kind: URL, Help: "slack: the Web API, for bot_token; by default " + DefaultSlackURL + ". pagerduty: where events go; by default " + alerts.DefaultPagerDutyURL + ", in the European service region https://events.eu.pagerduty.com."},
		{Path: at + "server", Kind: Text, Help: "email: the mail server, host or host:port; the port is by default 587, with tls 465, with none 25."},
		{Path: at + "tls", Kind: Text, Choices: texts([]alerts.MailTLS{alerts.MailStartTLS, alerts.MailOverTLS, alerts.MailPlain}), Default: string(alerts.MailStartTLS), Help: "email: starttls demands STARTTLS, tls encrypts from the first byte on, none sends in the clear, and a password only by a challenge that does not show it."},
		{Path: at + "user", Kind: Text, Help: "email: the user, where the server wants one; needs password."},
		{Path: at + "password", Kind: Key, Help: "email: the user's password."},
		{Path: at + "from", Kind: Text, Help: "email: the sender, an address or Name <address>."},
		{Path: at + "to", Kind: List, Help: "email: the recipients' addresses; each gets a mail of their own."},
		{Path: at + "url", Kind: Key, Help: "webhook: where messages are posted. It is a secret, since many services have a token in it."},
		{Path: at + "secret", Kind: Key, Help: "webhook: what messages are signed with (HMAC-SHA256, as in Standard Webhooks); text, or whsec_ and base64. Without it they are not signed."},
		{Path: at + "format", Kind: Text, Choices: texts([]alerts.Format{alerts.FormatBreakwater, alerts.FormatAlertmanager}), Default: string(alerts.FormatBreakwater), Help: "webhook: breakwater for everything about the incident, alertmanager for the payload of Alertmanager's webhook, version 4."},
		{Path: at + "routing_key", Kind: Key, Help: "pagerduty: the integration key of an integration of the type Events API v2."},
		{Path: at + "severities", Kind: List, Choices: texts(record.Severities()), Help: "Which incidents are told: critical, warning, info; by default all but info."},
		{Path: at + "topics", Kind: List, Choices: texts(record.Topics()), Help: "What kinds of incident are told; by default all."},
		{Path: at + "providers", Kind: List, Choices: words(), Help: "Of which providers incidents are told; by default of all. Those that are no provider's are told in any case."},
		{Path: at + "quiet.from", Kind: Text, Help: "When quiet hours begin, such as \"22:00\": what is not critical waits for their end and is told in one message then."},
		{Path: at + "quiet.to", Kind: Text, Help: "When they end, such as \"07:00\"."},
		{Path: at + "digest", Kind: Text, Help: "The time of day, such as \"09:00\", at which incidents of severity info are told, all in one message. Without it, and without info in severities, they are not told."},
		{Path: at + "time_zone", Kind: Text, Default: "UTC", Help: "The time zone of quiet and digest, such as Europe/Berlin."},
		{Path: at + "repeat", Kind: Duration, Zero: true, Default: DefaultRepeat, Help: "How often a critical incident is told again while it lasts and nobody acknowledges it; 0 for never."},
		{Path: at + "rate", Kind: Count, Default: DefaultRate, Help: "slack, email: how many messages a minute are sent; what comes beyond them is told in one message. 0 for any number."},
	}
}
