package alerts

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// receiver takes POSTs and answers them as it is told to.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(w http.ResponseWriter)
	headers []http.Header
	bodies  [][]byte
	paths   []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers, r.bodies, r.paths = append(r.headers, req.Header), append(r.bodies, body), append(r.paths, req.URL.String())
		if r.answer != nil {
			r.answer(w)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(r.Close)
	return r
}

// ownClient makes a client whose connections end with the test.
func ownClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: DefaultSendTimeout}
}

func hook(t *testing.T, cfg WebhookConfig) *Webhook {
	t.Helper()
	cfg.Name, cfg.Client = "hook", ownClient(t)
	w, err := NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestARunbookIsLinkedByAWholeAddressOrNotAtAll(t *testing.T) {
	for at, want := range map[string]string{
		"https://breakwater.example": "https://breakwater.example/incidents/12", "https://breakwater.example/": "https://breakwater.example/incidents/12",
		"": "", "http://localhost:8080": "", "http://127.0.0.1:8080": "", "http://[::1]:8080": "",
	} {
		m := fullMessage(record.NoticeOpened)
		m.URL = at
		if got := alertmanagerBody(m, "ops").Alerts[0].Annotations["runbook_url"]; got != want {
			t.Errorf("at %q: %q, want %q", at, got, want)
		}
	}
}

// fullMessage has everything that a message can have.
func fullMessage(kind record.NoticeKind) Message {
	i := geminiDown()
	i.Topic, i.Severity, i.State = record.TopicProvider, record.Critical, record.Mitigated
	i.Mitigated, i.Reopened, i.Acknowledged, i.AcknowledgedBy = noon.Add(2*time.Minute), 1, noon.Add(3*time.Minute), "Anna"
	if kind == record.NoticeResolved {
		i.State, i.Ended = record.Resolved, noon.Add(8*time.Minute)
	}
	text := ""
	if kind == record.NoticeChanged {
		text = "Callers are served by Claude."
	}
	return Message{
		ID: record.At(noon), Kind: kind, Text: text, Incident: i, URL: "https://breakwater.example",
		Impact: &record.Impact{ServedBy: llm.Claude, Rerouted: 1204, Failed: 2, Added: 820 * time.Millisecond, Extra: 420_000_000},
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s:\n%s", file, got)
	}
}

func indented(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func TestWebhookBodies(t *testing.T) {
	for name, tt := range map[string]struct {
		format Format
		m      Message
	}{
		"webhook-changed.json":       {FormatBreakwater, fullMessage(record.NoticeChanged)},
		"webhook-resolved.json":      {FormatBreakwater, fullMessage(record.NoticeResolved)},
		"webhook-test.json":          {FormatBreakwater, Message{Kind: record.NoticeTest, Incident: record.Incident{Title: "Test of Breakwater's channel hook", Began: noon}}},
		"alertmanager-opened.json":   {FormatAlertmanager, fullMessage(record.NoticeOpened)},
		"alertmanager-resolved.json": {FormatAlertmanager, fullMessage(record.NoticeResolved)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t)
			if _, err := hook(t, WebhookConfig{URL: r.URL, Format: tt.format}).Send(t.Context(), tt.m); err != nil {
				t.Fatal(err)
			}
			golden(t, name, indented(t, r.bodies[0]))
		})
	}
}

// The check is that of docs/alerts.md, written as a receiver would.
func TestAWebhookIsSignedAsStandardWebhooksSays(t *testing.T) {
	for secret, key := range map[string]string{"plain secret": "plain secret", "whsec_c2VjcmV0": "secret"} {
		r := newReceiver(t)
		w := hook(t, WebhookConfig{URL: r.URL + "/x?token=t", Secret: secret})
		m := fullMessage(record.NoticeOpened)
		for range 2 { // the second is a repetition
			if _, err := w.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		h := r.headers[0]
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "."))
		mac.Write(r.bodies[0])
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); h.Get("Webhook-Signature") != want {
			t.Errorf("signature %q, want %q", h.Get("Webhook-Signature"), want)
		}
		if id := h.Get("Webhook-Id"); id != m.ID.String() || r.headers[1].Get("Webhook-Id") != id {
			t.Errorf("ids %q and %q", id, r.headers[1].Get("Webhook-Id"))
		}
		if r.paths[0] != "/x?token=t" || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v", r.paths[0], h)
		}
	}
	// The example of the specification.
	body := `{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z"}`
	if a, b := sign([]byte("k"), "msg_1", time.Unix(1674087231, 0), []byte(body)), sign([]byte("k"), "msg_1", time.Unix(1674087232, 0), []byte(body)); a == b {
		t.Error("the time is not signed")
	}
	if _, err := NewWebhook(WebhookConfig{Secret: "whsec_%"}); err == nil {
		t.Error("a secret that is no base64 is taken")
	}
}

func TestAnswersOfAReceiverSayWhenToComeBack(t *testing.T) {
	const path = "/hooks/Secret-Path-123"
	r := newReceiver(t)
	for name, tt := range map[string]struct {
		status  int
		header  string
		after   time.Duration
		refused bool
	}{
		"busy":                    {429, "7", 7 * time.Second, false},
		"busy without a word":     {429, "", 0, false},
		"busy for a year":         {503, "31536000", longestRetryAfter, false},
		"broken":                  {500, "7", 0, false},
		"timed out":               {408, "", 0, false},
		"not allowed":             {401, "", 0, true},
		"gone":                    {410, "", 0, true},
		"moved":                   {307, "", 0, true},
		"not understood":          {400, "", 0, true},
		"busy with words instead": {429, "soon", 0, false},
	} {
		r.mu.Lock()
		r.answer = func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", tt.header)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, "no: "+r.URL+path+" with signing-secret")
		}
		r.mu.Unlock()
		for _, c := range []Channel{
			hook(t, WebhookConfig{URL: r.URL + path, Secret: "signing-secret"}),
			NewPagerDuty(PagerDutyConfig{Name: "pd", APIURL: r.URL + path, RoutingKey: "signing-secret", Client: ownClient(t)}),
		} {
			_, err := c.Send(t.Context(), openedMessage)
			after := time.Duration(0)
			if wish, ok := errors.AsType[*RetryError](err); ok {
				after = wish.After
			}
			_, refused := errors.AsType[*RefusedError](err)
			if err == nil || after != tt.after || refused != tt.refused {
				t.Errorf("%s, %s: after %v, refused %v: %v", c.Kind(), name, after, refused, err)
			} else if strings.Contains(err.Error(), "signing-secret") || c.Kind() == "webhook" && strings.Contains(err.Error(), "Secret-Path") {
				t.Errorf("%s, %s: %v", c.Kind(), name, err)
			}
		}
	}
	if slices.Contains(r.paths, "/elsewhere") {
		t.Error("a redirect was followed")
	}
}

func TestRetryAfterMayBeADate(t *testing.T) {
	if got := retryAfter(noon.Add(time.Minute).Format(http.TimeFormat), noon); got != time.Minute {
		t.Errorf("%v", got)
	}
	if got := retryAfter(noon.Add(-time.Minute).Format(http.TimeFormat), noon); got != 0 {
		t.Errorf("%v", got)
	}
}

func TestNobodyAtTheAddressIsAnErrorWithoutTheAddress(t *testing.T) {
	_, err := hook(t, WebhookConfig{URL: "http://127.0.0.1:1/hooks/Secret-Path-123"}).Send(t.Context(), openedMessage)
	if err == nil || strings.Contains(err.Error(), "Secret-Path") || !strings.HasPrefix(err.Error(), "webhook: ") {
		t.Errorf("%v", err)
	}
	if where := hook(t, WebhookConfig{URL: "https://hooks.example/Secret-Path-123"}).Where(); where != "hooks.example" {
		t.Error(where)
	}
}
