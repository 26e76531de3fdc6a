package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestEveryTypeOfChannelIsUnderstood(t *testing.T) {
	c := mustLoad(t, wholeExample(t))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	nine := 9 * time.Hour
	want := []Channel{
		{
			Name: "ops", Type: "slack", BotToken: NewSecret("xoxb-1"), Channel: "#alerts", APIURL: DefaultSlackURL,
			Route: alerts.Route{Digest: &nine, Zone: berlin, Repeat: 4 * time.Hour, Rate: 10},
		},
		{
			Name: "management", Type: "slack", WebhookURL: NewSecret("https://hooks.example/T1"), APIURL: DefaultSlackURL,
			Route: alerts.Route{
				Topics: []record.Topic{record.TopicEverything, record.TopicErrorBudget, record.TopicBudget}, Zone: time.UTC, Repeat: 4 * time.Hour, Rate: 10,
			},
		},
		{
			Name: "mail", Type: "email",
			Mail: Mail{
				Host: "smtp.example.com", Port: 587, TLS: alerts.MailStartTLS, User: "breakwater", Password: NewSecret("mailpass"),
				From: "Breakwater <breakwater@example.com>", To: []string{"ops@example.com", "oncall@example.com"},
			},
			Route: alerts.Route{
				Severities: []record.Severity{record.Critical, record.Warning}, Quiet: alerts.Quiet{From: 22 * time.Hour, To: 7 * time.Hour},
				Zone: berlin, Repeat: 4 * time.Hour, Rate: 10,
			},
		},
		{
			Name: "pager", Type: "pagerduty", RoutingKey: NewSecret("pd"),
			Route: alerts.Route{
				Severities: []record.Severity{record.Critical}, Providers: []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI}, Zone: time.UTC, Rate: 10,
			},
		},
		{
			Name: "hook", Type: "webhook", URL: NewSecret("https://hooks.example/x?token=t"), Secret: NewSecret("whsec_c2VjcmV0"),
			Format: alerts.FormatBreakwater, Route: alerts.Route{Zone: time.UTC, Repeat: 4 * time.Hour, Rate: 10},
		},
	}
	for i := range want {
		if !reflect.DeepEqual(c.Channels[i], want[i]) {
			t.Errorf("got %+v\nwant %+v", c.Channels[i], want[i])
		}
	}
	if len(c.Channels) != len(want) {
		t.Errorf("%d channels", len(c.Channels))
	}
}

func TestDefaultsOfChannelsAreThoseOfTheRoomThatSends(t *testing.T) {
	c := mustLoad(t, setting{file: "alerts: {channels: [{webhook_url: http://x}]}"})
	if r := c.Channels[0].Route; r.Repeat != alerts.DefaultRepeat || r.Rate != alerts.DefaultRate {
		t.Errorf("%+v", r)
	}
	for way, port := range map[string]int{"starttls": 587, "tls": 465, "none": 25} {
		c := mustLoad(t, setting{file: "alerts: {channels: [{type: email, tls: " + way + ", server: mail, from: a@b.example, to: [c@b.example]}]}"})
		if m := c.Channels[0].Mail; m.Port != port || m.Host != "mail" {
			t.Errorf("%s: %+v", way, m)
		}
	}
}

func TestTheVariablesOfSlackLeaveAnotherFirstChannelAlone(t *testing.T) {
	c := mustLoad(t, setting{
		file: "alerts: {channels: [{type: pagerduty, routing_key: k}, {bot_token: {env: SLACK_BOT_TOKEN}, channel: ops}]}",
		env:  map[string]string{"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_API_URL": "http://slack.example"},
	})
	if c.Channels[0].BotToken.Set() || c.Channels[0].APIURL != "" || c.Channels[1].BotToken.Reveal() != "xoxb-1" {
		t.Errorf("%+v", c.Channels)
	}
}

func TestFaultsOfChannelsNameTheirField(t *testing.T) {
	const mail = "type: email, server: mail, from: a@b.example, to: [c@b.example]"
	for name, tt := range map[string]struct{ channel, want string }{
		"option of another type":   {"type: pagerduty, routing_key: k, server: mail", "channels[0].server: goes with type email"},
		"option of two others":     {mail + ", api_url: http://x", "channels[0].api_url: goes with type slack or pagerduty"},
		"e-mail without a server":  {"type: email, from: a@b.example, to: [c@b.example]", "channels[0].server: is needed"},
		"e-mail to a wrong port":   {strings.Replace(mail, "server: mail", `server: "mail:99999"`, 1), "channels[0].server: must be a host, or a host and a port"},
		"e-mail to a URL":          {strings.Replace(mail, "server: mail", "server: smtp://mail", 1), "channels[0].server: must be a host"},
		"e-mail without sender":    {"type: email, server: mail, to: [c@b.example]", "channels[0].from: is needed"},
		"e-mail from nobody":       {strings.Replace(mail, "a@b.example", "nobody", 1), "channels[0].from: must be an address"},
		"e-mail to nobody":         {"type: email, server: mail, from: a@b.example", "channels[0].to: is needed"},
		"e-mail to no address":     {strings.Replace(mail, "[c@b.example]", "[x@y.example, c]", 1), "channels[0].to[1]: must be an address"},
		"user without password":    {mail + ", user: u", "channels[0].password: is needed with user"},
		"password without user":    {mail + ", password: p", "channels[0].user: is needed with password"},
		"webhook without address":  {"type: webhook", "channels[0].url: is needed"},
		"webhook to no address":    {"type: webhook, url: hooks.example", "channels[0].url: must be a whole URL"},
		"secret that is no base64": {"type: webhook, url: http://x, secret: whsec_%", "channels[0].secret: what follows whsec_ must be base64"},
		"format unknown":           {"type: webhook, url: http://x, format: xml", "channels[0].format: must be breakwater or alertmanager"},
		"pager without key":        {"type: pagerduty", "channels[0].routing_key: is needed"},
		"severity unknown":         {mail + ", severities: [high]", "channels[0].severities[0]: must be critical, warning or info"},
		"topic unknown":            {mail + ", topics: [disk]", "channels[0].topics[0]: must be provider"},
		"provider unknown":         {mail + ", providers: [x]", "channels[0].providers[0]: must be gemini"},
		"half of quiet hours":      {mail + `, quiet: {from: "22:00"}`, "channels[0].quiet.to: is needed with quiet.from"},
		"other half":               {mail + `, quiet: {to: "22:00"}`, "channels[0].quiet.from: is needed with quiet.to"},
		"quiet all day":            {mail + `, quiet: {from: "22:00", to: "22:00"}`, "channels[0].quiet.to: must differ"},
		"no time of day":           {mail + `, digest: "25:00"`, `channels[0].digest: must be a time of day, in quotes: "22:00", not "25:00"`},
		"no time zone":             {mail + ", time_zone: Mars/Base", "channels[0].time_zone: must be a time zone"},
		"repeat of a month":        {mail + ", repeat: 800h", "channels[0].repeat: must be a time"},
		"rate of nonsense":         {mail + ", rate: -1", "channels[0].rate: must be a whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			mustFail(t, setting{file: "alerts: {channels: [{" + tt.channel + "}]}"}, tt.want)
		})
	}
}
