package alerts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/record"
)

// Format says what a webhook's body looks like.
type Format string

// The formats.
const (
	FormatBreakwater   Format = "breakwater"
	FormatAlertmanager Format = "alertmanager" // that of Alertmanager's webhook, version 4
)

// secretPrefix marks a secret in base64, as Standard Webhooks has it.
const secretPrefix = "whsec_"

// WebhookConfig says where a webhook is.
type WebhookConfig struct {
	Name   string // the channel's name in the configuration
	URL    string // whole, a secret: many services put a token into it
	Secret string // that signs messages; "" for none. After "whsec_" it is read as base64
	Format Format // default FormatBreakwater
	Client *http.Client
}

// Webhook posts each notice as JSON. Signature and headers are those of
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// (2026-11), so that its libraries verify them.
type Webhook struct {
	cfg    WebhookConfig
	client *http.Client
	key    []byte
}

// NewWebhook makes the channel. It does not call anybody. Its error says that
// the secret is no base64.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	key, err := SigningKey(cfg.Secret)
	if err != nil {
		return nil, err
	}
	return &Webhook{cfg: cfg, client: newPoster(cfg.Client), key: key}, nil
}

// SigningKey gives the bytes that a webhook's secret stands for.
func SigningKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("what follows %s must be base64", secretPrefix)
	}
	return key, nil
}

// Name is the channel's name in the configuration.
func (w *Webhook) Name() string { return w.cfg.Name }

const webhookKind = "webhook"

// Kind is "webhook".
func (w *Webhook) Kind() string { return webhookKind }

// Where is the host alone.
func (w *Webhook) Where() string {
	u, err := url.Parse(w.cfg.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// Send posts the notice. Its ID is the same however often it is tried, so that
// a receiver can tell a repetition.
func (w *Webhook) Send(ctx context.Context, m Message) (string, error) {
	var content any = webhookBody(m)
	if w.cfg.Format == FormatAlertmanager {
		content = alertmanagerBody(m, w.cfg.Name)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("webhook: %w", err)
	}
	id, at := m.ID.String(), time.Now()
	header := http.Header{}
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	if len(w.key) > 0 {
		header.Set("Webhook-Signature", sign(w.key, id, at, body))
	}
	return id, post(ctx, w.client, "webhook", w.cfg.URL, header, body, w.cfg.Secret)
}

// sign gives the signature of a body.
func sign(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// webhookMessage is a notice as a webhook of Breakwater's own format has it.
type webhookMessage struct {
	Type      string      `json:"type"` // "incident.opened", one for each kind of notice; "test"
	Timestamp time.Time   `json:"timestamp"`
	Data      webhookData `json:"data"`
}

type webhookData struct {
	Summary  string           `json:"summary"`
	Change   string           `json:"change,omitempty"`
	URL      string           `json:"url,omitempty"`
	Advice   string           `json:"advice,omitempty"`
	Incident *webhookIncident `json:"incident,omitempty"` // none in a test
}

type webhookIncident struct {
	ID             string         `json:"id"`
	Number         int64          `json:"number"`
	Topic          string         `json:"topic"`
	Severity       string         `json:"severity"`
	State          string         `json:"state"`
	Title          string         `json:"title"`
	Provider       string         `json:"provider,omitempty"`
	Endpoint       string         `json:"endpoint,omitempty"`
	Key            string         `json:"key,omitempty"`
	Model          string         `json:"model,omitempty"`
	Name           string         `json:"name,omitempty"`
	Began          time.Time      `json:"began"`
	Opened         *time.Time     `json:"opened"`
	Mitigated      *time.Time     `json:"mitigated"`
	Ended          *time.Time     `json:"ended"`
	Reopened       int            `json:"reopened"`
	Acknowledged   *time.Time     `json:"acknowledged"`
	AcknowledgedBy string         `json:"acknowledged_by,omitempty"`
	Impact         *webhookImpact `json:"impact"` // null where it is not known
	Timeline       []webhookEvent `json:"timeline"`
}

type webhookImpact struct {
	ServedBy string `json:"served_by,omitempty"`
	Rerouted int64  `json:"rerouted"`
	Failed   int64  `json:"failed"`
	AddedMS  int64  `json:"added_ms"`
	ExtraUSD string `json:"extra_usd"` // exact, as a decimal
}

type webhookEvent struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Text string    `json:"text"`
	By   string    `json:"by,omitempty"`
}

func webhookBody(m Message) webhookMessage {
	i := m.Incident
	if m.Kind == record.NoticeTest {
		return webhookMessage{Type: "test", Timestamp: i.Began.UTC(), Data: webhookData{Summary: m.summary(), URL: m.page()}}
	}
	body := webhookMessage{Type: "incident." + string(m.Kind), Timestamp: m.ID.Time(), Data: webhookData{
		Summary: m.summary(), URL: m.page(), Advice: m.advice(),
		Incident: &webhookIncident{
			ID: i.ID.String(), Number: i.Number, Topic: string(i.Topic), Severity: string(i.Severity), State: string(i.State), Title: i.Title,
			Provider: string(i.Subject), Endpoint: i.Endpoint, Key: i.Key, Model: i.Model, Name: i.Name,
			Began: i.Began.UTC(), Opened: known(i.Opened), Mitigated: known(i.Mitigated), Ended: known(i.Ended), Reopened: i.Reopened,
			Acknowledged: known(i.Acknowledged), AcknowledgedBy: i.AcknowledgedBy, Timeline: []webhookEvent{},
		},
	}}
	if m.Kind == record.NoticeChanged {
		body.Data.Change = m.change()
	}
	if p := m.Impact; p != nil {
		body.Data.Incident.Impact = &webhookImpact{
			ServedBy: string(p.ServedBy), Rerouted: p.Rerouted, Failed: p.Failed, AddedMS: p.Added.Milliseconds(), ExtraUSD: p.Extra.String(),
		}
	}
	for _, e := range i.Timeline {
		body.Data.Incident.Timeline = append(body.Data.Incident.Timeline, webhookEvent{At: e.At.UTC(), Kind: e.Kind, Text: e.Text, By: e.By})
	}
	return body
}

// known gives an instant, or nil where it has not come.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
