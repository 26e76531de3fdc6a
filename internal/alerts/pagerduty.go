package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/redact"
)

// DefaultPagerDutyURL is where events go; accounts of the European service
// region use https://events.eu.pagerduty.com
// (https://support.pagerduty.com/main/docs/service-regions, 2026-11).
const DefaultPagerDutyURL = "https://events.pagerduty.com"

// maxPagerDutySummary is PagerDuty's own limit, in characters, taken as bytes:
// https://developer.pagerduty.com/docs/send-alert-event (2026-11).
const maxPagerDutySummary = 1024

// PagerDutyConfig says which service of PagerDuty's is told.
type PagerDutyConfig struct {
	Name       string // the channel's name in the configuration
	RoutingKey string // the integration key of an Events API v2 integration
	APIURL     string // default DefaultPagerDutyURL
	Client     *http.Client
}

// PagerDuty sends events of version 2 of the Events API
// (https://developer.pagerduty.com/docs/events-api-v2-overview, 2026-11): one
// alert for each incident, triggered, acknowledged and resolved with it.
type PagerDuty struct {
	cfg    PagerDutyConfig
	client *http.Client
}

// NewPagerDuty makes the channel. It does not call PagerDuty.
func NewPagerDuty(cfg PagerDutyConfig) *PagerDuty {
	if cfg.APIURL == "" {
		cfg.APIURL = DefaultPagerDutyURL
	}
	return &PagerDuty{cfg: cfg, client: newPoster(cfg.Client)}
}

// Name is the channel's name in the configuration.
func (p *PagerDuty) Name() string { return p.cfg.Name }

// Kind is "pagerduty".
func (p *PagerDuty) Kind() string { return "pagerduty" }

// Where is the host that takes the events.
func (p *PagerDuty) Where() string {
	u, err := url.Parse(p.cfg.APIURL)
	if err != nil {
		return ""
	}
	return u.Host
}

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"` // of a trigger
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp time.Time         `json:"timestamp"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

// Send sends one event; a test is an alert of severity info that is resolved
// at once, so that it stays with nobody. PagerDuty names no time to wait with a
// 429: the outbox's growing pauses are what it asks for.
func (p *PagerDuty) Send(ctx context.Context, m Message) (string, error) {
	actions := []string{action(m)}
	if m.Kind == record.NoticeTest {
		actions = append(actions, "resolve")
	}
	for _, action := range actions {
		event := p.event(m, action)
		body, err := json.Marshal(event)
		if err != nil {
			return "", fmt.Errorf("PagerDuty: %w", err)
		}
		if err := post(ctx, p.client, "PagerDuty", p.cfg.APIURL+"/v2/enqueue", nil, body, p.cfg.RoutingKey); err != nil {
			return "", err
		}
	}
	return dedupKey(m), nil
}

// dedupKey keeps all events of an incident together.
func dedupKey(m Message) string { return "breakwater-" + m.Incident.ID.String() }

// action gives what a notice means to PagerDuty. A change of an incident that
// somebody took on wakes nobody again.
func action(m Message) string {
	switch {
	case m.Kind == record.NoticeResolved:
		return "resolve"
	case m.Kind == record.NoticeChanged && !m.Incident.Acknowledged.IsZero():
		return "acknowledge"
	}
	return "trigger"
}

func (p *PagerDuty) event(m Message, action string) pagerDutyEvent {
	e := pagerDutyEvent{RoutingKey: p.cfg.RoutingKey, Action: action, DedupKey: dedupKey(m)}
	if action != "trigger" {
		return e
	}
	i, summary := m.Incident, m.summary()
	if m.Kind == record.NoticeChanged {
		summary = m.standing() // what changed is among the details
	}
	e.Client, e.ClientURL = "Breakwater", m.URL
	if page := m.page(); page != "" {
		e.Links = []pagerDutyLink{{Href: page, Text: "Open in Breakwater"}}
	}
	e.Payload = &pagerDutyPayload{
		Summary: redact.Short(summary, maxPagerDutySummary), Source: source(m), Severity: pagerDutySeverity(i.Severity),
		Timestamp: i.Began.UTC(), Component: component(i), Group: string(i.Subject), Class: string(i.Topic), Details: map[string]string{},
	}
	if m.Kind == record.NoticeTest {
		e.Payload.Class = string(m.Kind)
	}
	for _, l := range m.lines() {
		e.Payload.Details[l.label] = l.text
	}
	return e
}

// source is the host that people know Breakwater by.
func source(m Message) string {
	if u, err := url.Parse(m.URL); err == nil && u.Host != "" {
		return u.Host
	}
	return "breakwater"
}

// component is the part that is in trouble.
func component(i record.Incident) string {
	for _, part := range []string{i.Key, i.Model, i.Name, i.Endpoint} {
		if part != "" {
			return part
		}
	}
	return string(i.Subject)
}

// pagerDutySeverity maps the severities; PagerDuty's error, between critical
// and warning, is not used.
func pagerDutySeverity(s record.Severity) string {
	switch s {
	case record.Critical, record.Info:
		return string(s)
	}
	return "warning"
}
