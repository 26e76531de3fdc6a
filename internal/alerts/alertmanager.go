package alerts

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"breakwater/internal/record"
)

// alertmanagerMessage is the payload of Alertmanager's webhook, version 4:
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config and
// https://github.com/prometheus/alertmanager/blob/main/template/template.go (2026-11).
type alertmanagerMessage struct {
	Version           string              `json:"version"`
	GroupKey          string              `json:"groupKey"`
	TruncatedAlerts   int                 `json:"truncatedAlerts"`
	Status            string              `json:"status"`
	Receiver          string              `json:"receiver"`
	GroupLabels       map[string]string   `json:"groupLabels"`
	CommonLabels      map[string]string   `json:"commonLabels"`
	CommonAnnotations map[string]string   `json:"commonAnnotations"`
	ExternalURL       string              `json:"externalURL"`
	Alerts            []alertmanagerAlert `json:"alerts"`
}

type alertmanagerAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // the zero time while it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// alertmanagerBody gives a notice as a group of one alert. Its labels do not
// change while the incident lasts, but for severity.
func alertmanagerBody(m Message, receiver string) alertmanagerMessage {
	i := m.Incident
	alert := alertmanagerAlert{
		Status: "firing", Labels: alertLabels(m), Annotations: map[string]string{"summary": m.headline(), "description": description(m)},
		StartsAt: i.Began.UTC(), GeneratorURL: m.page(), Fingerprint: fmt.Sprintf("%016x", uint64(i.ID)),
	}
	if page := m.page(); page != "" && !ownMachine(m.URL) {
		alert.Annotations["runbook_url"] = page
	}
	if m.Kind == record.NoticeResolved {
		alert.Status, alert.EndsAt = "resolved", i.Ended.UTC()
	}
	group := map[string]string{"alertname": alert.Labels["alertname"], "incident": i.ID.String()}
	return alertmanagerMessage{
		Version: "4", GroupKey: fmt.Sprintf(`{}:{alertname=%q, incident=%q}`, group["alertname"], group["incident"]),
		Status: alert.Status, Receiver: receiver, GroupLabels: group, CommonLabels: alert.Labels, CommonAnnotations: alert.Annotations,
		ExternalURL: m.URL, Alerts: []alertmanagerAlert{alert},
	}
}

// ownMachine says whether an address is that of Breakwater's own machine alone, as
// where nobody set public_url: no runbook for who reads the alert elsewhere.
func ownMachine(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

func alertLabels(m Message) map[string]string {
	i := m.Incident
	name := ""
	for word := range strings.FieldsFuncSeq(string(i.Topic), func(r rune) bool { return r == '_' }) {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	if m.Kind == record.NoticeTest { // which has no topic
		name = "Test"
	}
	labels := map[string]string{"alertname": "Breakwater" + name, "incident": i.ID.String()}
	for label, value := range map[string]string{
		"severity": string(i.Severity), "topic": string(i.Topic), "provider": string(i.Subject), "endpoint": i.Endpoint,
		"key": i.Key, "model": i.Model, "name": i.Name,
	} {
		if value != "" {
			labels[label] = value
		}
	}
	return labels
}

// description gives the lines of a message as one text.
func description(m Message) string {
	var b strings.Builder
	for _, l := range m.lines() {
		b.WriteString(l.label + ": " + l.text + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
