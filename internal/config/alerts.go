package config

import (
	"errors"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // quiet hours in a container without a time zone database

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// channels reads who is told of incidents.
func (v *values) channels(c *Config) {
	for i := range v.lengths["alerts.channels"] {
		at := item("alerts.channels", i)
		ch := Channel{Name: v.name(at + ".name"), Type: v.text(at + ".type"), Route: v.route(at)}
		if ch.Name == "" {
			ch.Name = ch.Type
		}
		v.misplaced(at, ch.Type)
		switch ch.Type {
		case typeSlack:
			v.slack(at, &ch)
		case typeEmail:
			ch.Mail = v.mail(at)
		case typeWebhook:
			v.webhook(at, &ch)
		case typePagerDuty:
			v.pagerDuty(at, &ch)
		}
		if slices.ContainsFunc(c.Channels, func(o Channel) bool { return o.Name == ch.Name }) {
			v.fail(at+".name", "another channel has this name")
		}
		c.Channels = append(c.Channels, ch)
	}
}

// misplaced notes what the file says of a channel that its type does not have.
// The variables are for a first channel that is Slack's, and mean no other.
func (v *values) misplaced(at, kind string) {
	options := channelOptions()
	for _, name := range slices.Sorted(maps.Keys(options)) {
		source, set := v.own(at + "." + name)
		if kind != "" && set && source.Origin == FromFile && !slices.Contains(options[name], kind) {
			v.fail(at+"."+name, "goes with type %s", strings.Join(options[name], " or "))
		}
	}
}

func (v *values) slack(at string, ch *Channel) {
	ch.BotToken, ch.Channel, ch.WebhookURL, ch.APIURL = v.key(at+".bot_token"), v.name(at+".channel"), v.key(at+".webhook_url"), DefaultSlackURL
	if u := v.url(at+".api_url", parseBaseURL); u != nil {
		ch.APIURL = u.String() + "/"
	}
	if ch.WebhookURL.Set() {
		if _, err := parseBaseURL(ch.WebhookURL.Reveal()); err != nil {
			v.fail(at+".webhook_url", "%s", err)
		}
	}
	switch token, hook := ch.BotToken.Set() || v.broken[at+".bot_token"], ch.WebhookURL.Set() || v.broken[at+".webhook_url"]; {
	case token && hook:
		v.fail(at, "must have either bot_token and channel, or webhook_url")
	case !token && !hook:
		v.fail(at, "needs bot_token and channel, or webhook_url")
	case token && ch.Channel == "":
		v.require(at+".channel", `is needed with bot_token, in quotes: "#alerts"`)
	case hook && ch.Channel != "":
		v.fail(at+".channel", "goes with bot_token; a webhook has its channel built in")
	}
}

func (v *values) mail(at string) Mail {
	m := Mail{TLS: alerts.MailTLS(v.text(at + ".tls")), User: v.text(at + ".user"), Password: v.key(at + ".password"), From: v.text(at + ".from")}
	m.Host, m.Port = v.mailServer(at+".server", m.TLS)
	if m.From == "" {
		v.require(at+".from", "is needed: the sender's address")
	} else if _, err := mail.ParseAddress(m.From); err != nil {
		v.fail(at+".from", "must be an address such as breakwater@example.com, or Name <address>")
	}
	m.To = v.list(at+".to", func(text string) (string, error) {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return "", errors.New("must be an address such as ops@example.com")
		}
		return a.Address, nil
	})
	if len(m.To) == 0 && len(v.get(at+".to").items) == 0 {
		v.require(at+".to", "is needed: at least one recipient")
	}
	switch password := m.Password.Set() || v.broken[at+".password"]; {
	case m.User != "" && !password:
		v.require(at+".password", "is needed with user")
	case m.User == "" && password:
		v.require(at+".user", "is needed with password")
	}
	return m
}

// mailServer reads host and port.
func (v *values) mailServer(path string, way alerts.MailTLS) (string, int) {
	text := v.text(path)
	if text == "" {
		v.require(path, "is needed: the mail server, such as smtp.example.com")
		return "", 0
	}
	host, port := text, map[alerts.MailTLS]int{alerts.MailStartTLS: 587, alerts.MailOverTLS: 465, alerts.MailPlain: 25}[way]
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, 0
		if n, err := strconv.ParseUint(p, 10, 16); err == nil {
			port = int(n)
		}
	}
	host = strings.Trim(host, "[]")
	if host == "" || port == 0 || !isName(host) || strings.ContainsAny(host, "/@") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		v.fail(path, "must be a host, or a host and a port from 1 to 65535, such as smtp.example.com:587")
	}
	return host, port
}

func (v *values) webhook(at string, ch *Channel) {
	ch.URL, ch.Secret, ch.Format = v.key(at+".url"), v.key(at+".secret"), alerts.Format(v.text(at+".format"))
	switch u, err := url.Parse(ch.URL.Reveal()); {
	case !ch.URL.Set():
		v.require(at+".url", "is needed: where messages are posted")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.fail(at+".url", "must be a whole URL that begins with http:// or https://")
	}
	if _, err := alerts.SigningKey(ch.Secret.Reveal()); err != nil {
		v.fail(at+".secret", "%s", err)
	}
}

func (v *values) pagerDuty(at string, ch *Channel) {
	if ch.RoutingKey = v.key(at + ".routing_key"); !ch.RoutingKey.Set() {
		v.require(at+".routing_key", "is needed: the integration key of an integration of the type Events API v2")
	}
	if source, _ := v.own(at + ".api_url"); source.Origin == FromEnv {
		return // the variable is Slack's
	}
	if u := v.url(at+".api_url", parseBaseURL); u != nil {
		ch.APIURL = u.String()
	}
}

// route reads what a channel is told, and when.
func (v *values) route(at string) alerts.Route {
	same := func(text string) (string, error) { return text, nil }
	r := alerts.Route{
		Severities: typed[record.Severity](v.list(at+".severities", same)),
		Topics:     typed[record.Topic](v.list(at+".topics", same)),
		Providers:  typed[llm.Provider](v.list(at+".providers", same)),
		Digest:     v.ofDay(at + ".digest"),
		Repeat:     v.duration(at + ".repeat"),
		Rate:       v.count(at+".rate", 0, 1000),
	}
	var err error
	if r.Zone, err = time.LoadLocation(v.text(at + ".time_zone")); err != nil || v.text(at+".time_zone") == "Local" {
		v.fail(at+".time_zone", "must be a time zone such as Europe/Berlin or UTC")
	}
	from, to := v.ofDay(at+".quiet.from"), v.ofDay(at+".quiet.to")
	switch {
	case from != nil && to != nil && *from == *to:
		v.fail(at+".quiet.to", "must differ from quiet.from")
	case from != nil && to != nil:
		r.Quiet = alerts.Quiet{From: *from, To: *to}
	case from != nil:
		v.require(at+".quiet.to", "is needed with quiet.from")
	case to != nil:
		v.require(at+".quiet.from", "is needed with quiet.to")
	}
	return r
}

// ofDay reads a time of day as time since midnight; nil where there is none.
func (v *values) ofDay(path string) *time.Duration {
	text := v.text(path)
	if text == "" {
		return nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		v.fail(path, `must be a time of day, in quotes: "22:00"%s`, shown(text))
		return nil
	}
	d := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	return &d
}

// typed gives words as those of a type.
func typed[T ~string](words []string) []T {
	var all []T
	for _, w := range words {
		all = append(all, T(w))
	}
	return all
}
