package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"breakwater/internal/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a Reply that repeats the prompt.
func echo(prompt string) string { return prompt }

// ask is a chat request in a provider's own format.
type ask struct {
	prompt  string
	model   string
	stream  bool
	max     int
	stop    []string
	key     string
	usage   bool // OpenAI: include_usage
	array   bool // Gemini: a JSON array instead of SSE
	rawBody string
	timeout time.Duration
}

var defaultModels = map[llm.Provider]string{
	llm.OpenAI: "gpt-4o", llm.Claude: "claude-haiku-4-5", llm.Gemini: "gemini-2.5-flash", llm.Local: "llama3",
}

// request builds the HTTP request, with the headers that the provider wants.
func (a ask) request(t *testing.T, kind llm.Provider, root string) *http.Request {
	t.Helper()
	if a.model == "" {
		a.model = defaultModels[kind]
	}
	if a.prompt == "" {
		a.prompt = "Hello there"
	}
	message := map[string]any{"role": "user", "content": a.prompt}
	body := map[string]any{"model": a.model, "messages": []any{message}, "stream": a.stream}
	path := ""
	switch kind {
	case llm.OpenAI:
		path = "/v1/chat/completions"
		if a.max > 0 {
			body["max_tokens"] = a.max
		}
		if a.stop != nil {
			body["stop"] = a.stop
		}
		if a.usage {
			body["stream_options"] = map[string]any{"include_usage": true}
		}
	case llm.Claude:
		path = "/v1/messages"
		body["max_tokens"] = max(a.max, 1)
		if a.max == 0 {
			body["max_tokens"] = 1024
		}
		if a.stop != nil {
			body["stop_sequences"] = a.stop
		}
	case llm.Gemini:
		path = "/v1beta/models/" + a.model + ":generateContent"
		if a.stream {
			path = "/v1beta/models/" + a.model + ":streamGenerateContent"
			if !a.array {
				path += "?alt=sse"
			}
		}
		config := map[string]any{"temperature": 0.5}
		if a.max > 0 {
			config["maxOutputTokens"] = a.max
		}
		if a.stop != nil {
			config["stop_sequences"] = a.stop // the other spelling
		}
		body = map[string]any{
			"contents":         []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": a.prompt}}}},
			"generationConfig": config,
		}
	case llm.Local:
		path = "/api/chat"
		options := map[string]any{}
		if a.max > 0 {
			options["num_predict"] = a.max
		}
		if a.stop != nil {
			options["stop"] = a.stop
		}
		body["options"] = options
	}
	raw := a.rawBody
	if raw == "" {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, root+path, strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	switch kind {
	case llm.OpenAI, llm.Local:
		if a.key != "" {
			req.Header.Set("Authorization", "Bearer "+a.key)
		}
	case llm.Claude:
		req.Header.Set("Anthropic-Version", "2023-06-01")
		if a.key != "" {
			req.Header.Set("X-Api-Key", a.key)
		}
	case llm.Gemini:
		if a.key != "" {
			req.Header.Set("X-Goog-Api-Key", a.key)
		}
	}
	return req
}

// got is what came back of a request.
type got struct {
	status int
	header http.Header
	body   string
	err    error // of connecting, or of reading the body
}

// send sends a request to a server and reads the whole answer.
func (a ask) send(t *testing.T, s *Server) got {
	t.Helper()
	return do(t, a.request(t, s.kind, s.URL()), a.timeout)
}

// sendUntil reads an answer until there is enough of it, then kills the server
// and reads the rest.
func (a ask) sendUntil(t *testing.T, s *Server, enough func(got) bool) got {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(a.request(t, s.kind, s.URL()))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	g := got{status: res.StatusCode, header: res.Header}
	for piece := make([]byte, 4096); !enough(g); {
		n, err := res.Body.Read(piece)
		g.body += string(piece[:n])
		if err != nil {
			t.Fatalf("ended with %v after %s", err, g.body)
		}
	}
	s.Kill()
	rest, err := io.ReadAll(res.Body)
	g.body, g.err = g.body+string(rest), err
	return g
}

func do(t *testing.T, req *http.Request, timeout time.Duration) got {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout}
	res, err := client.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return got{status: res.StatusCode, header: res.Header, body: string(body), err: err}
}

func get(t *testing.T, url string, header ...string) got {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return do(t, req, 0)
}

func start(t *testing.T, kind llm.Provider, opts Options) *Server {
	t.Helper()
	s, err := Start(kind, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// objects reads all JSON objects of a body: of one, of a JSON array, of SSE
// data lines or of NDJSON. What is not JSON is left out.
func objects(body string) []map[string]any {
	var list []map[string]any
	if json.Unmarshal([]byte(body), &list) == nil {
		return list
	}
	var one map[string]any
	if json.Unmarshal([]byte(body), &one) == nil {
		return []map[string]any{one}
	}
	for line := range strings.Lines(body) {
		var o map[string]any
		if json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &o) == nil {
			list = append(list, o)
		}
	}
	return list
}

// dig follows a path of fields and places through decoded JSON; nil where it ends.
func dig(v any, path ...any) any {
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			l, _ := v.([]any)
			if key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

// textOf gives the text and the finish reason of a stream or a whole answer.
func textOf(kind llm.Provider, body string) (text, finish string) {
	pick := func(v any) string { s, _ := v.(string); return s }
	for _, o := range objects(body) {
		switch kind {
		case llm.OpenAI:
			text += pick(dig(o, "choices", 0, "delta", "content")) + pick(dig(o, "choices", 0, "message", "content"))
			finish += pick(dig(o, "choices", 0, "finish_reason"))
		case llm.Claude:
			text += pick(dig(o, "delta", "text")) + pick(dig(o, "content", 0, "text"))
			finish += pick(dig(o, "delta", "stop_reason")) + pick(dig(o, "stop_reason"))
		case llm.Gemini:
			text += pick(dig(o, "candidates", 0, "content", "parts", 0, "text"))
			finish += pick(dig(o, "candidates", 0, "finishReason"))
		case llm.Local:
			text += pick(dig(o, "message", "content"))
			finish += pick(dig(o, "done_reason"))
		}
	}
	return text, finish
}

// usageOf gives the last told numbers of tokens, in and out.
func usageOf(kind llm.Provider, body string) (in, out float64) {
	paths := map[llm.Provider][2][]any{
		llm.OpenAI: {{"usage", "prompt_tokens"}, {"usage", "completion_tokens"}},
		llm.Claude: {{"usage", "input_tokens"}, {"usage", "output_tokens"}},
		llm.Gemini: {{"usageMetadata", "promptTokenCount"}, {"usageMetadata", "candidatesTokenCount"}},
		llm.Local:  {{"prompt_eval_count"}, {"eval_count"}},
	}[kind]
	for _, o := range objects(body) {
		if n, ok := dig(o, paths[0]...).(float64); ok {
			in = n
		}
		if n, ok := dig(o, paths[1]...).(float64); ok {
			out = n
		}
	}
	return in, out
}

// testdata gives a folder of the test data, or skips the test.
func testdata(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("BREAKWATER_TESTDATA")
	if root == "" {
		root = "../../../shared"
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no test data: %v (BREAKWATER_TESTDATA names its folder)", err)
	}
	return dir
}
