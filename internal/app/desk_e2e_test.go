package app

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// operate sends a form as an operator's page does. Headers come on top.
func (h *testHouse) operate(t *testing.T, key, method, path string, values url.Values, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.URL()+path, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// An incident is handled from its opening to its write-up, over HTTP alone.
func TestAPersonHandlesAnIncident(t *testing.T) {
	const key = "the-operators-SECRET-key"
	h := startHouse(t, houseOptions{env: map[string]string{"BREAKWATER_OPERATOR_KEY": key, "BREAKWATER_API_KEY": "callers-key"}})
	ask := func(method, path string, values url.Values, header ...string) (int, string) {
		t.Helper()
		return h.operate(t, key, method, path, values, header...)
	}
	do := func(path string, values url.Values) {
		t.Helper()
		if status, body := ask("POST", path, values, "Accept", "application/json"); status != http.StatusOK || !gjson.Get(body, "ok").Bool() {
			t.Fatalf("%s: %d %s", path, status, body)
		}
	}
	h.alerts.Signal(alerts.Signal{
		At: time.Now().UTC(), Kind: alerts.Raised, Topic: record.TopicUsage, Name: "search", Severity: record.Warning,
		Title: "The caller search is unlike its past", Text: "4 times its usual tokens",
	})
	h.eventually(t, "the incident to be in the record", func() bool {
		status, _ := ask("GET", "/incidents/1", nil)
		return status == http.StatusOK
	})
	if status, _ := ask("POST", "/incidents/1/acknowledge", nil, "Authorization", "Bearer callers-key"); status != http.StatusUnauthorized {
		t.Errorf("a caller's key acts: %d", status)
	}
	do("/incidents/1/acknowledge", url.Values{"by": {"Ada"}})
	do("/incidents/1/update", url.Values{"by": {"Ada"}, "text": {"A new release asks twice.\nIt is being rolled back."}})
	do("/incidents/1/silence", url.Values{"by": {"Ada"}, "reason": {"The rollback takes a while"}})
	do("/silences", url.Values{"kind": {"maintenance"}, "provider": {"local"}, "reason": {"New driver"}, "by": {"Grace"}})
	do("/incidents/1/resolve", url.Values{"by": {"Ada"}, "text": {"Rolled back."}})
	if status, body := ask("POST", "/incidents/1/resolve", nil, "Accept", "application/json"); status != http.StatusConflict || gjson.Get(body, "error.code").String() != "incident_over" {
		t.Errorf("resolved twice: %d %s", status, body)
	}
	if _, body := ask("GET", "/incidents/1", nil); !strings.Contains(body, "No write-up") && !strings.Contains(body, "Nobody has written one yet.") {
		t.Errorf("no place for a write-up: %s", body)
	}
	do("/incidents/1/writeup", url.Values{"text": {"Why: a loop.\n\nNext time: a limit."}})
	_, page := ask("GET", "/incidents/1", nil)
	for _, want := range []string{"The caller search was unlike its past", "Acknowledged by Ada", "It is being rolled back.", "Rolled back.", "Next time: a limit.", "resolved since"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	in, err := h.store.Incident(t.Context(), 1)
	if err != nil || in.State != record.Resolved || in.AcknowledgedBy != "Ada" || in.WriteUp == "" {
		t.Errorf("the record has %+v, %v", in, err)
	}
	silences, err := h.store.Silences(t.Context(), time.Now())
	if err != nil || len(silences) != 2 || silences[1].Topic != record.TopicUsage || silences[1].Reason != "The rollback takes a while" {
		t.Fatalf("silences %+v, %v", silences, err)
	}
	if status, body := ask("GET", "/status.json", nil); status != http.StatusOK || gjson.Get(body, "scheduled_maintenances.0.components.0.id").String() != string(llm.Local) {
		t.Errorf("status.json: %d %s", status, body)
	}
	do("/silences/"+silences[0].ID.String()+"/end", url.Values{"by": {"Grace"}})
	if status, body := ask("POST", "/silences/"+silences[0].ID.String()+"/end", nil, "Accept", "application/json"); status != http.StatusConflict || gjson.Get(body, "error.code").String() != "silence_over" {
		t.Errorf("ended twice: %d %s", status, body)
	}
	if _, feed := ask("GET", "/feed.xml", nil); !strings.Contains(feed, "Resolved: The caller search was unlike its past") {
		t.Errorf("the feed says %s", feed)
	}
	if strings.Contains(h.log.String(), key) || !strings.Contains(h.log.String(), "action=acknowledge") {
		t.Errorf("the log has the key, or not who acted: %s", h.log.tail())
	}
}
