package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/tokens"
	"breakwater/internal/wire"
)

// overHTTP is an API over clients of the given upstreams, in the order of the chain.
func overHTTP(t testing.TB, handlers map[llm.Provider]http.HandlerFunc) *door {
	t.Helper()
	d := &door{recorder: &recorder{}}
	c := router.Config{
		Recorder: d.recorder, Observer: d.recorder, IDs: record.NewIDs(0, 0), Log: slog.New(slog.DiscardHandler),
		Price: func(llm.Target, llm.Usage) (record.NanoUSD, bool) { return 0, true },
	}
	for _, p := range llm.Providers() {
		if handlers[p] == nil {
			continue
		}
		up := httptest.NewServer(handlers[p])
		t.Cleanup(up.Close)
		address := up.URL
		if p == llm.OpenAI {
			address += "/v1"
		}
		client, err := provider.New(provider.Config{Provider: p, BaseURL: address, Keys: []provider.Key{{Name: "k", Secret: "sk-of-breakwater"}}, Responses: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		c.Chain = append(c.Chain, p)
		c.Endpoints = append(c.Endpoints, router.Endpoint{Provider: p, Upstream: client, DefaultModel: "m-" + string(p),
			Timeouts: router.Timeouts{FirstToken: time.Minute, Silence: time.Minute, Answer: time.Minute}})
	}
	r, err := router.New(c)
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := New(Options{
		Router: r, Hop: "this-one", Hosts: Hosts{Listen: "127.0.0.1"}, Metrics: http.NotFoundHandler(), Tokens: tokens.NewEstimator(tokens.DefaultModels),
		Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler),
	}).Engine()
	d.Server = httptest.NewServer(engine)
	t.Cleanup(d.Close)
	return d
}

func answering(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestTheTargetCountsInItsCallersShape(t *testing.T) {
	d := overHTTP(t, map[llm.Provider]http.HandlerFunc{
		llm.Gemini: answering(200, `{ "totalTokens": 31, "promptTokensDetails": [{"modality":"TEXT","tokenCount":31}] }`, "X-Gemini-Service-Tier", "t"),
		llm.Claude: answering(200, `{ "input_tokens": 12 }`, "Request-Id", "req_1"),
		llm.OpenAI: answering(200, `{"object":"response.input_tokens", "input_tokens":7}`, "X-Request-Id", "req_2"),
		llm.Local:  answering(404, `{}`),
	})
	anthropic := `{"model":"%s","messages":[{"role":"user","content":"Hello there"}]}`
	gemini := `{"contents":[{"parts":[{"text":"Hello there"}]}]}`
	responses := `{"model":"%s","input":"Hello there"}`
	const paths = "/v1/messages/count_tokens"
	for _, c := range []struct {
		path, body, target string
		want               string // "" for an estimate
		header             string // the provider's own, for a caller of the same dialect
	}{
		{paths, anthropic, "claude", `{ "input_tokens": 12 }`, "Request-Id"},
		{paths, anthropic, "gemini", `{"input_tokens":31}`, ""},
		{paths, anthropic, "openai", "", ""},
		{paths, anthropic, "local", "", ""},
		{"/v1beta/models/%s:countTokens", gemini, "gemini", `{ "totalTokens": 31, "promptTokensDetails": [{"modality":"TEXT","tokenCount":31}] }`, "X-Gemini-Service-Tier"},
		{"/v1/models/%s:countTokens", gemini, "claude", `{"totalTokens":12}`, ""},
		{"/v1beta/models/%s:countTokens", gemini, "local", "", ""},
		{"/v1/responses/input_tokens", responses, "openai", `{"object":"response.input_tokens", "input_tokens":7}`, "X-Request-Id"},
		{"/v1/responses/input_tokens", responses, "claude", `{"object":"response.input_tokens","input_tokens":12}`, ""},
		{"/v1/responses/input_tokens", responses, "local", "", ""},
	} {
		path, body := c.path, c.body
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, c.target)
		} else {
			body = fmt.Sprintf(body, c.target)
		}
		status, got, h := d.send(t, "POST", path, body)
		name := path + " " + c.target
		if status != 200 || !strings.HasPrefix(h.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %s", name, status, got)
		}
		if estimate := c.want == ""; (h.Get(HeaderEstimate) == "true") != estimate || !estimate && got != c.want {
			t.Errorf("%s: got %s, estimate %q", name, got, h.Get(HeaderEstimate))
		}
		if c.want == "" {
			tokens := gjson.Get(got, "input_tokens").Int() + gjson.Get(got, "totalTokens").Int()
			if tokens < 2 || tokens > 40 {
				t.Errorf("%s: estimated %s", name, got)
			}
		} else if h.Get(HeaderProvider) != c.target || h.Get(HeaderModel) != "m-"+c.target {
			t.Errorf("%s: %v", name, h)
		}
		for _, own := range []string{"Request-Id", "X-Request-Id", "X-Gemini-Service-Tier"} {
			if (h.Get(own) != "") != (own == c.header) {
				t.Errorf("%s: %s is %q", name, own, h.Get(own))
			}
		}
	}
	if len(d.recorder.traces) != 0 {
		t.Errorf("%d counts were recorded as requests", len(d.recorder.traces))
	}
}

func TestACountThatFailsIsEstimated(t *testing.T) {
	asked := &atomic.Int32{}
	d := overHTTP(t, map[llm.Provider]http.HandlerFunc{llm.Claude: func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Error(w, "busy", http.StatusServiceUnavailable)
	}})
	for range 5 { // more often than a breaker would take
		status, got, h := d.send(t, "POST", "/v1/messages/count_tokens", `{"model":"claude","messages":[{"role":"user","content":"Hello"}]}`)
		if status != 200 || h.Get(HeaderEstimate) != "true" || h.Get(HeaderProvider) != "" {
			t.Errorf("%d %s %v", status, got, h)
		}
	}
	if asked.Load() != 5 {
		t.Errorf("asked %d times", asked.Load())
	}
	status, got, _ := d.send(t, "POST", "/v1/messages/count_tokens", `{"model":"claude","messages":[{"role":"user","content":"Hello"}]}`, provider.HopHeader, "this-one")
	if status != http.StatusLoopDetected {
		t.Errorf("a loop of counts: %d %s", status, got)
	}
	status, got, _ = d.send(t, "POST", "/v1/responses/input_tokens", `{"model":"claude","input":5}`)
	if status != 400 || gjson.Get(got, "error.param").String() != "input" {
		t.Errorf("a request that is none: %d %s", status, got)
	}
}

func TestAProvidersLimitsReachACallerOfItsDialect(t *testing.T) {
	d := overHTTP(t, map[llm.Provider]http.HandlerFunc{llm.OpenAI: answering(429,
		`{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`,
		"X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "1.5s", "Retry-After-Ms", "1500", "X-Request-Id", "req_1", "Openai-Organization", "org-ours", "Set-Cookie", "a=b")})
	status, _, h := d.send(t, "POST", "/v1/chat/completions", `{"model":"openai","messages":[{"role":"user","content":"hi"}]}`)
	if status != 429 || h.Get("X-Ratelimit-Remaining-Requests") != "0" || h.Get("X-Ratelimit-Reset-Requests") != "1.5s" || h.Get("X-Request-Id") != "req_1" ||
		h.Get("Retry-After") != "2" || h.Get("Retry-After-Ms") != "1500" || h.Get("Openai-Organization") != "" || h.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", status, h)
	}
	status, _, h = d.send(t, "POST", "/v1/messages", `{"model":"openai","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
	if status != 429 || h.Get("Retry-After") != "2" || h.Get("X-Ratelimit-Remaining-Requests") != "" || h.Get("Retry-After-Ms") != "" {
		t.Errorf("another dialect: %d %v", status, h)
	}
}

func TestAForeignOrganizationIsToldToItsCaller(t *testing.T) {
	d := overHTTP(t, map[llm.Provider]http.HandlerFunc{
		llm.OpenAI: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("OpenAI-Organization") == "org-foreign" && r.Header.Get("Authorization") == "Bearer sk-of-breakwater" {
				answering(401, `{"error":{"message":"OpenAI-Organization header should match organization for API key","type":"invalid_request_error","param":null,"code":"mismatched_organization"}}`)(w, r)
				return
			}
			answering(200, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)(w, r)
		},
		llm.Local: answering(500, `{}`), // the next in the chain is not asked
	})
	const body = `{"model":"openai","messages":[{"role":"user","content":"hi"}]}`
	status, got, h := d.send(t, "POST", "/v1/chat/completions", body, "OpenAI-Organization", "org-foreign")
	if status != 401 || gjson.Get(got, "error.code").String() != "mismatched_organization" || !strings.Contains(got, "OpenAI-Organization") || h.Get(HeaderAttempts) != "1" {
		t.Errorf("%d %s", status, got)
	}
	if status, got, _ = d.send(t, "POST", "/v1/chat/completions", body, "OpenAI-Organization", "org-ours", "OpenAI-Project", "proj_1"); status != 200 {
		t.Errorf("%d %s", status, got)
	}
}

func TestModelsAreToldWithWhatTheirProvidersTell(t *testing.T) {
	d := newDoor(t, nil)
	released := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	d.router.Pinged(llm.Local, "", provider.Status{Models: []string{"rich:8b", "other"}, Details: map[string]provider.Detail{
		"rich:8b": {Local: &wire.OllamaModel{Name: "rich:8b", Size: 5, Digest: "abc", Format: "gguf", Family: "llama",
			ParameterSize: "8.0B", Quantization: "Q4_0", ContextLength: 8192, Capabilities: []string{"completion", "tools"}}},
		"other": {Title: "The Other", Created: released, MaxInput: 200000, MaxOutput: 64000},
	}}, nil)
	for _, c := range []struct{ path, header, query, want string }{
		{"/api/tags", "", `models.#(name=="rich:8b")`, `{"name":"rich:8b","model":"rich:8b","modified_at":"0001-01-01T00:00:00Z","size":5,"digest":"abc","details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"8.0B","quantization_level":"Q4_0","context_length":8192},"capabilities":["completion","tools"]}`},
		{"/v1/models", "Anthropic-Version", `data.#(id=="other")`, `{"type":"model","id":"other","display_name":"The Other","created_at":"2026-03-01T00:00:00Z","max_input_tokens":200000,"max_tokens":64000}`},
		{"/v1/models", "Anthropic-Version", `data.#(id=="auto")`, `{"type":"model","id":"auto","display_name":"auto","created_at":"1970-01-01T00:00:00Z"}`},
		{"/v1beta/models", "", `models.#(name=="models/other")`, `{"name":"models/other","displayName":"The Other","inputTokenLimit":200000,"outputTokenLimit":64000,"supportedGenerationMethods":["generateContent","countTokens"]}`},
		{"/v1/models", "", `data.#(id=="other")`, `{"id":"other","object":"model","created":1772323200,"owned_by":"local"}`},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{c.header, "2023-06-01"}
		}
		status, got, _ := d.send(t, "GET", c.path, "", headers...)
		if status != 200 || gjson.Get(got, c.query).Raw != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.path, gjson.Get(got, c.query).Raw, c.want)
		}
	}
	_, got, _ := d.send(t, "POST", "/api/show", `{"model":"rich:8b"}`)
	if gjson.Get(got, "capabilities").Raw != `["completion","tools"]` || gjson.Get(got, `model_info.llama\.context_length`).Int() != 8192 {
		t.Errorf("show: %s", got)
	}
}

func TestACountForAModelThatNobodyHasIsAnError(t *testing.T) {
	d := newDoor(t, nil)
	for path, body := range map[string]string{
		"/v1/messages/count_tokens":          `{"model":"nobodys","messages":[{"role":"user","content":"hi"}]}`,
		"/v1beta/models/nobodys:countTokens": `{"contents":[{"parts":[{"text":"hi"}]}]}`,
		"/v1/responses/input_tokens":         `{"model":"nobodys","input":"hi"}`,
	} {
		if status, got, h := d.send(t, "POST", path, body); status != 404 || h.Get(HeaderEstimate) != "" {
			t.Errorf("%s: HTTP %d %s", path, status, got)
		}
	}
}
