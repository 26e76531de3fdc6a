package provider

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"breakwater/internal/llm"
)

func TestPingListsModelsAsCallersWriteThem(t *testing.T) {
	pages := map[string]string{
		"/v1/models":                               `{"object":"list","data":[{"id":"gpt-4o"},{"id":"o3"}]}`,
		"/v1/models?limit=1000":                    `{"data":[{"id":"claude-a"}],"has_more":true,"last_id":"claude-a"}`,
		"/v1/models?after_id=claude-a&limit=1000":  `{"data":[{"id":"claude-b"}],"has_more":false,"last_id":"claude-b"}`,
		"/v1beta/models?pageSize=1000":             `{"models":[{"name":"models/gemini-a","supportedGenerationMethods":["generateContent"]},{"name":"models/embed","supportedGenerationMethods":["embedContent"]},{"name":"models/film","supportedGenerationMethods":["predictLongRunning"]}],"nextPageToken":"t"}`,
		"/v1beta/models?pageSize=1000&pageToken=t": `{"models":[{"name":"models/gemini-b"}]}`,
		"/api/version":                             `{"version":"0.34.3"}`,
		"/api/tags":                                `{"models":[{"name":"llama3:latest","model":"llama3:latest"}]}`,
		"/api/show":                                `{"capabilities":["completion"]}`,
	}
	for p, want := range map[llm.Provider]Status{
		llm.OpenAI: {Models: []string{"gpt-4o", "o3"}},
		llm.Claude: {Models: []string{"claude-a", "claude-b"}},
		llm.Gemini: {Models: []string{"gemini-a", "embed", "gemini-b"}},
		llm.Local:  {Version: "0.34.3", Models: []string{"llama3:latest"}},
	} {
		c := upstream(t, p, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.URL.Path != "/api/show" || r.Header.Get(HopHeader) != "bw1" {
				t.Errorf("%s: %s %v", p, r.Method, r.Header)
			}
			page, ok := pages[r.RequestURI]
			if !ok {
				t.Errorf("%s asks for %s", p, r.RequestURI)
			}
			io.WriteString(w, page)
		})
		got, err := c.Ping(t.Context())
		if err != nil || got.Version != want.Version || !slices.Equal(got.Models, want.Models) {
			t.Errorf("%s: got %+v, %v, want %+v", p, got, err, want)
		}
	}
}

func TestPingFailsLikeSend(t *testing.T) {
	for _, p := range llm.Providers() {
		status, body := http.StatusServiceUnavailable, `{"error":{"message":"busy","type":"overloaded_error"}}`
		c := upstream(t, p, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
		_, err := c.Ping(t.Context())
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Server || f.Status != status || f.RetryAfter != 7*time.Second {
			t.Errorf("%s: %v", p, err)
		}
		status = http.StatusUnauthorized
		_, err = c.Ping(t.Context())
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Server && f.Class != llm.Auth || f.Status != status {
			t.Errorf("%s: %v", p, err)
		}
		status = http.StatusOK
		for _, body = range []string{"<html>", `{"data":"x","models":"x","version":5}`} {
			_, err = c.Ping(t.Context())
			if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Garbage {
				t.Errorf("%s: %q %v", p, body, err)
			}
		}
	}
}

func TestPingOfNothingIsANetworkFailure(t *testing.T) {
	for _, p := range llm.Providers() {
		_, err := client(t, p, "http://127.0.0.1:1").Ping(t.Context())
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Network {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestRetryAfterIsReadInEveryForm(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "5", 5 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond},
		{"Retry-After", "Sun, 01 Nov 2026 12:01:00 GMT", time.Minute},
		{"Retry-After", "Sun, 01 Nov 2026 11:00:00 GMT", 0},
		{"Retry-After", "1e300", 30 * 24 * time.Hour},
		{"Retry-After", "NaN", 0},
		{"Retry-After", "-1", 0},
		{"Retry-After", "soon", 0},
		{"Retry-After-Ms", "18642", 18642 * time.Millisecond},
	} {
		if got := retryAfter(http.Header{c.name: {c.value}}, now); got != c.want {
			t.Errorf("%s: %s: got %v, want %v", c.name, c.value, got, c.want)
		}
	}
	both := http.Header{"Retry-After": {"19"}, "Retry-After-Ms": {"18642"}}
	if got := retryAfter(both, now); got != 18642*time.Millisecond {
		t.Errorf("both: got %v", got)
	}
}
