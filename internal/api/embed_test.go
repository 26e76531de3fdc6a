package api

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/price"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/sim"
	"breakwater/internal/tokens"
)

// embedHouse is an API before one server that is OpenAI, Gemini and Ollama.
type embedHouse struct {
	*httptest.Server
	recorder *recorder
	tokens   *tokens.Estimator
	status   int                            // of every answer
	answers  map[string]string              // by the path that is called
	asked    map[string]string              // the last body, by path
	headers  map[string]map[string][]string // of the last call, by path
}

func newEmbedHouse(t *testing.T) *embedHouse {
	t.Helper()
	h := &embedHouse{recorder: &recorder{}, tokens: tokens.NewEstimator(10), status: 200, asked: map[string]string{}, headers: map[string]map[string][]string{}}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.asked[r.URL.Path], h.headers[r.URL.Path] = string(body), r.Header
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ratelimit-Remaining-Requests", "7")
		w.WriteHeader(h.status)
		io.WriteString(w, h.answers[r.URL.Path])
	}))
	t.Cleanup(upstream.Close)
	h.start(t, func(llm.Provider) string { return upstream.URL })
	return h
}

// start opens the API before upstreams at these addresses.
func (h *embedHouse) start(t *testing.T, base func(llm.Provider) string) {
	t.Helper()
	c := router.Config{
		Recorder: h.recorder, Observer: h.recorder, IDs: record.NewIDs(0, 0), Log: slog.New(slog.DiscardHandler), Price: price.Default().Cost,
	}
	for _, p := range llm.Providers() {
		client, err := provider.New(provider.Config{Provider: p, BaseURL: base(p), Keys: []provider.Key{{Name: "k", Secret: "secret"}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		c.Endpoints = append(c.Endpoints, router.Endpoint{Provider: p, Upstream: client, DefaultModel: "chat-" + string(p),
			Timeouts: router.Timeouts{FirstToken: time.Minute, Silence: time.Minute, Answer: time.Minute}})
	}
	r, err := router.New(c)
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := New(Options{
		Router: r, Hop: "h", Hosts: Hosts{Listen: "127.0.0.1"}, Metrics: http.NotFoundHandler(),
		Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler), Tokens: h.tokens,
	}).Engine()
	h.Server = httptest.NewServer(engine)
	t.Cleanup(h.Close)
}

func (h *embedHouse) post(t *testing.T, path, body string) (int, string, http.Header) {
	t.Helper()
	return sendTo(t, h.URL+path, "POST", body, "OpenAI-Organization", "org")
}

// embedUpstreams are where each provider is asked and what it answers: the
// vectors 0.5, -0.25 and 1, 2 of two texts.
func embedUpstreams() map[string]string {
	const gemini = `{"embeddings":[{"values":[0.5,-0.25]},{"values":[1,2]}],"usageMetadata":{"promptTokenCount":7}}`
	return map[string]string{
		"/embeddings": `{"object":"list", "data":[{"object":"embedding","index":0,"embedding":[0.5,-0.25]},{"object":"embedding","index":1,"embedding":[1,2]}], "usage":{"prompt_tokens":7,"total_tokens":7}}`,
		"/v1beta/models/gemini-embedding-001:batchEmbedContents": gemini,
		"/v1beta/models/gemini-embedding-001:embedContent":       `{"embedding":{"values":[0.5,-0.25]},"usageMetadata":{"promptTokenCount":7}}`,
		"/api/embed":      `{"model":"nomic","embeddings":[[0.5,-0.25],[1,2]],"total_duration":5,"load_duration":1,"prompt_eval_count":7}`,
		"/api/embeddings": `{"embedding":[0.5,-0.25]}`,
	}
}

func TestEveryDoorGetsEmbeddingsFromEveryProvider(t *testing.T) {
	h := newEmbedHouse(t)
	h.answers = embedUpstreams()
	const list, packed = `[[0.5,-0.25],[1,2]]`, `["AAAAPwAAgL4=","AACAPwAAAEA="]`
	doors := []struct {
		path, body, vectors, want, usage string // MODEL in path and body
	}{
		{"/v1/embeddings", `{"model":"MODEL","input":["a","b"]}`, "data.#.embedding", list, "usage.total_tokens"},
		{"/v1/embeddings", `{"model":"MODEL","input":["a","b"],"encoding_format":"base64"}`, "data.#.embedding", packed, "usage.prompt_tokens"},
		{"/api/embed", `{"model":"MODEL","input":["a","b"]}`, "embeddings", list, "prompt_eval_count"},
		{"/v1beta/models/MODEL:batchEmbedContents", `{"requests":[{"model":"models/MODEL","content":{"parts":[{"text":"a"}]}},{"model":"models/MODEL","content":{"parts":[{"text":"b"}]}}]}`,
			"embeddings.#.values", list, "usageMetadata.promptTokenCount"},
		{"/v1/models/MODEL:batchEmbedContents", `{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}`,
			"embeddings.#.values", list, "usageMetadata.promptTokenCount"},
	}
	for model, asked := range map[string]string{
		"openai/text-embedding-3-small": "/embeddings", "gemini-embedding-001": "/v1beta/models/gemini-embedding-001:batchEmbedContents", "local/nomic": "/api/embed",
	} {
		for _, d := range doors {
			status, body, header := h.post(t, strings.ReplaceAll(d.path, "MODEL", model), strings.ReplaceAll(d.body, "MODEL", model))
			want := d.want
			if model == "openai/text-embedding-3-small" && d.path == "/v1/embeddings" {
				if d.want == list && body != h.answers["/embeddings"] || // this server packs nothing, so Breakwater does
					header.Get("X-Ratelimit-Remaining-Requests") != "7" || h.headers["/embeddings"]["Openai-Organization"] == nil {
					t.Errorf("OpenAI's own answer became %s, %v", body, header)
				}
			}
			if status != 200 || gjson.Get(body, d.vectors).Raw != want && strings.ReplaceAll(gjson.Get(body, d.vectors).String(), " ", "") != want || gjson.Get(body, d.usage).Int() != 7 {
				t.Errorf("%s at %s: HTTP %d %s", model, d.path, status, body)
			}
			if header.Get(HeaderAttempts) != "1" || header.Get("Content-Type") != "application/json" {
				t.Errorf("%s at %s: %v", model, d.path, header)
			}
			trace := h.recorder.traces[len(h.recorder.traces)-1]
			if trace.Usage.Input != 7 || !trace.Door.Embeds() || trace.Stream || len(trace.Plan) != 1 {
				t.Errorf("%s at %s: the trace is %+v", model, d.path, trace)
			}
			if cost := map[string]record.NanoUSD{"openai": 140, "gemini": 1050, "local": 0}; trace.Cost != cost[string(trace.Served.Provider)] {
				t.Errorf("%s: cost %d", model, trace.Cost)
			}
			if !strings.Contains(h.asked[asked], `"a"`) || strings.Contains(h.asked[asked], "openai/") || strings.Contains(h.asked[asked], "local/") {
				t.Errorf("%s at %s was asked %s", model, d.path, h.asked[asked])
			}
		}
	}
}

func TestSimulatedProvidersGiveTheSameVectorsAtEveryDoor(t *testing.T) {
	h := &embedHouse{recorder: &recorder{}, tokens: tokens.NewEstimator(10)}
	h.start(t, func(p llm.Provider) string {
		s, err := sim.Start(p, sim.Options{Models: []string{"embed-" + string(p)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s.BaseURL()
	})
	for _, p := range []llm.Provider{llm.OpenAI, llm.Gemini, llm.Local} {
		model := string(p) + "/embed-" + string(p)
		for _, d := range []struct{ path, body, vectors string }{
			{"/v1/embeddings", `{"model":"MODEL","input":["calm","storm"],"dimensions":4}`, "data.#.embedding"},
			{"/v1/embeddings", `{"model":"MODEL","input":["calm","storm"],"dimensions":4,"encoding_format":"base64"}`, "data.#.embedding"},
			{"/api/embed", `{"model":"MODEL","input":["calm","storm"],"dimensions":4}`, "embeddings"},
			{"/v1beta/models/MODEL:batchEmbedContents", `{"requests":[{"model":"models/MODEL","content":{"parts":[{"text":"calm"}]},"outputDimensionality":4},
				{"model":"models/MODEL","content":{"parts":[{"text":"storm"}]},"outputDimensionality":4}]}`, "embeddings.#.values"},
		} {
			status, body, _ := h.post(t, strings.ReplaceAll(d.path, "MODEL", model), strings.ReplaceAll(d.body, "MODEL", model))
			got := gjson.Get(body, d.vectors).Array()
			if status != 200 || len(got) != 2 {
				t.Errorf("%s at %s: HTTP %d %s", model, d.path, status, body)
				continue
			}
			for i, text := range []string{"calm", "storm"} {
				if !sameVector(got[i], sim.Vector(text, 4)) {
					t.Errorf("%s at %s: %q became %s", model, d.path, text, got[i])
				}
			}
		}
	}
}

// sameVector says whether a vector of an answer, packed or as a list, has these numbers.
func sameVector(got gjson.Result, want []float64) bool {
	if got.IsArray() {
		return slices.EqualFunc(got.Array(), want, func(n gjson.Result, f float64) bool { return float32(n.Num) == float32(f) })
	}
	var b []byte
	for _, f := range want {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(f)))
	}
	return got.Str == base64.StdEncoding.EncodeToString(b)
}

func TestOneTextAtATimeIsEmbeddedToo(t *testing.T) {
	h := newEmbedHouse(t)
	h.answers = embedUpstreams()
	for _, path := range []string{"/embeddings", "/v1beta/models/gemini-embedding-001:batchEmbedContents", "/api/embed"} {
		one := strings.NewReplacer(`,{"object":"embedding","index":1,"embedding":[1,2]}`, "", `,{"values":[1,2]}`, "", `,[1,2]`, "")
		h.answers[path] = one.Replace(h.answers[path])
	}
	for _, model := range []string{"openai/text-embedding-3-small", "gemini-embedding-001", "local/nomic"} {
		for _, d := range []struct{ path, body, vector string }{
			{"/v1/embeddings", `{"model":"MODEL","input":"a"}`, "data.0.embedding"},
			{"/api/embed", `{"model":"MODEL","input":"a"}`, "embeddings.0"},
			{"/api/embeddings", `{"model":"MODEL","prompt":"a"}`, "embedding"},
			{"/v1beta/models/MODEL:embedContent", `{"content":{"parts":[{"text":"a"}]}}`, "embedding.values"},
		} {
			status, body, _ := h.post(t, strings.ReplaceAll(d.path, "MODEL", model), strings.ReplaceAll(d.body, "MODEL", model))
			if status != 200 || gjson.Get(body, d.vector).Raw != "[0.5,-0.25]" {
				t.Errorf("%s at %s: HTTP %d %s", model, d.path, status, body)
			}
		}
	}
}

func TestAnEmbeddingThatNobodyMayServeIsExplained(t *testing.T) {
	h := newEmbedHouse(t)
	h.answers = embedUpstreams()
	for _, c := range []struct {
		path, body string
		status     int
		message    string
	}{
		{"/v1/embeddings", `{"model":"auto","input":"a"}`, 400, "openai/text-embedding-3-small"},
		{"/v1/embeddings", `{"model":"openai","input":"a"}`, 400, "openai/text-embedding-3-small"},
		{"/v1/embeddings", `{"model":"claude/claude-sonnet-5","input":"a"}`, 400, "cannot carry embeddings"},
		{"/v1/embeddings", `{"model":"gemini-embedding-001","input":[1,2]}`, 400, "cannot carry input.tokens"},
		{"/v1/embeddings", `{"model":"nobody","input":"a"}`, 404, "no provider here serves"},
		{"/v1/embeddings", `{"model":"openai/x"}`, 400, "input: is required"},
		{"/api/embed", `{"model":"local","input":"a"}`, 400, "openai/text-embedding-3-small"},
		{"/v1beta/models/gemini:embedContent", `{"content":{"parts":[{"text":"a"}]}}`, 400, "openai/text-embedding-3-small"},
	} {
		status, body, _ := h.post(t, c.path, c.body)
		message := gjson.Get(body, "error.message").String() + gjson.Get(body, "error").String()
		if status != c.status || !strings.Contains(message, c.message) {
			t.Errorf("%s: HTTP %d %s", c.body, status, body)
		}
	}
	if len(h.asked) != 0 {
		t.Errorf("somebody was asked: %v", h.asked)
	}
}

func TestAnEmbeddingsErrorIsTheProvidersOwn(t *testing.T) {
	h := newEmbedHouse(t)
	const openAI, gemini, ollama = "/embeddings", "/v1beta/models/gemini-embedding-001:batchEmbedContents", "/api/embed"
	for _, c := range []struct {
		model, asked, answer string
		status, want         int
		code                 string
	}{
		{"openai/nonexistent", openAI, `{"error":{"code":"model_not_found","message":"The model does not exist"}}`, 404, 404, "model_not_found"},
		{"openai/gpt-4o", openAI, `{"error":{"message":"You are not allowed to generate embeddings from this model","type":"invalid_request_error","param":null,"code":null}}`, 403, 403, ""},
		{"gemini-embedding-001", gemini, `{"error":{"code":404,"message":"models/gemini-embedding-001 is not found for API version v1beta","status":"NOT_FOUND"}}`, 404, 404, "model_not_found"},
		{"local/tiny", ollama, `{"error":"the input length exceeds the context length"}`, 400, 400, "context_length_exceeded"},
		{"openai/text-embedding-3-small", openAI, `oops`, 503, 502, "all_providers_failed"},
		{"openai/text-embedding-3-small", openAI, `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, 429, 429, "all_providers_rate_limited"}, // from here on its key rests
	} {
		h.status, h.answers, h.asked = c.status, map[string]string{c.asked: c.answer}, map[string]string{}
		status, body, _ := h.post(t, "/v1/embeddings", fmt.Sprintf(`{"model":%q,"input":"a"}`, c.model))
		if status != c.want || gjson.Get(body, "error.code").String() != c.code || len(h.asked) != 1 {
			t.Errorf("%s: HTTP %d %s, asked %v", c.model, status, body, h.asked)
		}
	}
}

func TestWhatWasEmbeddedTeachesNothingOfChat(t *testing.T) {
	h := newEmbedHouse(t)
	h.answers = embedUpstreams()
	question := &llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: strings.Repeat("calm sea ", 500)}}}}}
	before := h.tokens.Estimate("text-embedding-3-small", question)
	long := strings.Repeat("a long text ", 200)
	for range 20 {
		if status, body, _ := h.post(t, "/v1/embeddings", fmt.Sprintf(`{"model":"openai/text-embedding-3-small","input":[%q,"b"]}`, long)); status != 200 {
			t.Fatal(body)
		}
	}
	if after := h.tokens.Estimate("text-embedding-3-small", question); after != before {
		t.Errorf("the estimate went from %d to %d", before, after)
	}
}

func TestRecordedEmbeddingsPassUnchanged(t *testing.T) {
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "wire", "*", "*embeddings_*.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded embeddings in %s: set BREAKWATER_TESTDATA to the folder that has them", filepath.Join(dir, "wire"))
	}
	h := newEmbedHouse(t)
	passed := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			recording
			Request struct {
				Path string
				Body json.RawMessage
			}
		}
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		asked := map[string]string{"/v1/embeddings": "/embeddings", "/api/embed": "/api/embed"}[r.Request.Path]
		if asked == "" || r.Response.Status != 200 {
			continue
		}
		h.answers = map[string]string{asked: string(r.body())}
		ask := string(r.Request.Body)
		if asked == "/api/embed" {
			ask = strings.Replace(ask, `"nomic-embed-text"`, `"local/nomic-embed-text"`, 1)
		}
		status, got, _ := h.post(t, r.Request.Path, ask)
		if status != 200 || got != string(r.body()) || !equalJSON(h.asked[asked], string(r.Request.Body)) {
			t.Errorf("%s: HTTP %d", r.Name, status)
		}
		passed++
	}
	if passed != 6 {
		t.Errorf("%d recordings, want 6", passed)
	}
}

func equalJSON(a, b string) bool { return gjson.Get(a, "@ugly").Raw == gjson.Get(b, "@ugly").Raw }
