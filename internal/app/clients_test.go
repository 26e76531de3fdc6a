package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/store"
)

// callersKey is what Breakwater asks client programs for. No provider may see it.
const callersKey = "breakwater-key-of-the-clients"

// startClientHouse starts a house for client programs. It asks for a key, and
// the word of each provider is a route to it alone, so that what one provider
// cannot do is refused and not done by the next.
func startClientHouse(t *testing.T, o houseOptions) *testHouse {
	t.Helper()
	var routes strings.Builder
	routes.WriteString("routes:\n")
	for _, p := range llm.Providers() {
		fmt.Fprintf(&routes, "  - {name: only-%s, match: {models: [%s]}, targets: [%s]}\n", p, p, p)
	}
	env := map[string]string{"BREAKWATER_API_KEY": callersKey, "OPENAI_RESPONSES": "true"}
	maps.Copy(env, o.env)
	o.env, o.file = env, "queue: {size: 0}\n"+routes.String()+o.file // a limit is told at once
	o.word = time.Millisecond                                        // so that a stream can be left half way
	o.app.Version = "1.0.0"                                          // which Ollama's clients ask for
	return startHouse(t, o)
}

// clientLine is a line that a client program prints: what came of one feature
// at one door.
type clientLine struct {
	Client, Door, Feature string
	OK                    bool
	Detail                string // what came instead
	Refused               string // the words of the refusal that had to come
	Skip                  string // why the dialect cannot ask for it
}

// runClient runs a client program against a provider, and gives its lines.
func runClient(t *testing.T, program, url string, args ...string) []clientLine {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append([]string{url}, args...)...)
	cmd.Env = append(os.Environ(), "BREAKWATER_API_KEY="+callersKey)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, problems.String())
	}
	var lines []clientLine
	for line := range bytes.Lines(out) {
		var l clientLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !l.OK && l.Skip == "" {
			t.Errorf("%s at %s, %v: %s: %s", l.Client, l.Door, args, l.Feature, l.Detail)
		}
		lines = append(lines, l)
	}
	return lines
}

// goClients builds the program of the official Go SDKs, a module of its own.
func goClients(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sdk")
	out, err := exec.Command("go", "build", "-C", "../../test/sdk", "-o", program, ".").CombinedOutput()
	switch {
	case err == nil:
		return program
	case regexp.MustCompile(`dial tcp|no such host|connection refused|i/o timeout|Forbidden|module lookup disabled`).Match(out):
		t.Skipf("the modules of test/sdk cannot be had:\n%s", out)
	default:
		t.Fatalf("test/sdk: %v\n%s", err, out)
	}
	return ""
}

// relay hands requests on and notes them.
type relay struct {
	mu   sync.Mutex
	list []relayed
}

type relayed struct {
	path    string
	header  http.Header
	body    []byte
	status  int  // of the answer
	dropped bool // the client went away before the end of the answer
}

// start listens in front of a server and gives the address.
func (r *relay) start(t *testing.T, to func() string) string {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		Rewrite: func(p *httputil.ProxyRequest) {
			u, err := url.Parse(to())
			if err != nil {
				t.Error(err)
				return
			}
			p.SetURL(u)
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		noted := &noting{ResponseWriter: w}
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.list = append(r.list, relayed{req.URL.Path, req.Header.Clone(), body, noted.status, req.Context().Err() != nil})
		}()
		proxy.ServeHTTP(noted, req)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// noting notes an answer's status.
type noting struct {
	http.ResponseWriter
	status int
}

func (n *noting) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

func (n *noting) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// all gives the requests whose answers have ended.
func (r *relay) all() []relayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// has says whether a request is as wanted.
func (r *relay) has(wanted func(relayed) bool) bool { return slices.ContainsFunc(r.all(), wanted) }

// Every feature of every door that the official Go SDKs know, against each
// provider: it works, is refused in clear words, or the dialect cannot ask for
// it. What came is the table of docs/compatibility.md.
func TestTheOfficialGoSDKsAreServedAtEveryDoorByEveryProvider(t *testing.T) {
	program := goClients(t)
	behind := map[llm.Provider]*relay{}
	h := startClientHouse(t, houseOptions{between: func(p llm.Provider, s *sim.Server) string {
		r := &relay{}
		behind[p] = r
		return r.start(t, s.BaseURL)
	}})
	table := features{}
	for _, p := range llm.Providers() {
		front := &relay{}
		lines := runClient(t, program, front.start(t, h.URL), string(p))
		table.add(t, p, lines)
		for _, door := range table.doors() {
			heardAt(t, p, door, lines, behind[p])
			h.eventually(t, fmt.Sprintf("%s is told when a caller at %s goes away", p, door), func() bool {
				return behind[p].has(func(r relayed) bool { return r.dropped && bytes.Contains(r.body, []byte("abort at "+door)) })
			})
		}
		unchanged(t, p, front, behind[p])
	}
	for _, s := range h.sims {
		s.Set(sim.Fault{Kind: sim.RateLimited})
	}
	for _, p := range llm.Providers() {
		table.add(t, p, runClient(t, program, h.URL(), string(p), "limited"))
	}
	table.check(t)

	h.stop()
	abandoned, err := reopen(t, h.db).Traces(t.Context(), store.TraceQuery{Outcome: record.Abandoned, Limit: 1000})
	if want := len(table.doors()) * len(llm.Providers()); err != nil || len(abandoned) != want {
		t.Errorf("%d requests are recorded as abandoned, want %d; %v", len(abandoned), want, err)
	}
	for p, r := range behind {
		if r.has(func(r relayed) bool { return strings.Contains(fmt.Sprint(r.header, string(r.body)), callersKey) }) {
			t.Errorf("%s was told the callers' key", p)
		}
	}
}

// Servers that speak OpenAI's API mostly have no /v1/responses.
func TestResponsesAreTranslatedForServersThatHaveOnlyChat(t *testing.T) {
	h := startClientHouse(t, houseOptions{env: map[string]string{"OPENAI_RESPONSES": "false"}})
	runClient(t, goClients(t), h.URL(), "openai")
}

// heardAt holds that what the provider does not answer to reached it all the
// same: the system's words, the assistant's of an earlier turn, and the image
// of a tool's result.
func heardAt(t *testing.T, p llm.Provider, door string, lines []clientLine, r *relay) {
	t.Helper()
	for feature, words := range map[string]string{
		"system": "You are the harbour master at " + door + ".", "multi_turn": "The first answer at " + door + ".",
	} {
		asked := slices.ContainsFunc(lines, func(l clientLine) bool { return l.Door == door && l.Feature == feature && l.Skip == "" })
		if asked && !r.has(func(r relayed) bool { return bytes.Contains(r.body, []byte(words)) }) {
			t.Errorf("%s was not told %q", p, words)
		}
	}
	pictured := slices.ContainsFunc(lines, func(l clientLine) bool {
		return l.Door == door && l.Feature == "tool_image" && l.OK && l.Refused == ""
	})
	if pictured && !r.has(func(r relayed) bool {
		return bytes.Contains(r.body, []byte("seen_at")) && bytes.Contains(r.body, []byte(door)) && bytes.Contains(r.body, []byte("iVBORw0KGgo"))
	}) {
		t.Errorf("%s was not shown the image of a tool's result at %s", p, door)
	}
}

// unchanged holds that a provider got requests in its own dialect as the
// callers sent them, byte for byte but for the model's name, with their headers.
func unchanged(t *testing.T, p llm.Provider, front, behind *relay) {
	t.Helper()
	own := map[llm.Provider]struct {
		paths         []string
		header, value string
	}{
		llm.OpenAI: {[]string{"/v1/chat/completions", "/v1/responses", "/v1/responses/input_tokens", "/v1/embeddings"}, "Openai-Organization", "org-harbour"},
		llm.Claude: {[]string{"/v1/messages", "/v1/messages/count_tokens"}, "Anthropic-Beta", "harbour-2026-11-01"},
		llm.Gemini: {[]string{":generateContent", ":streamGenerateContent", ":countTokens", ":batchEmbedContents"}, "", ""},
		llm.Local:  {[]string{"/api/chat", "/api/embed", "/api/embeddings"}, "", ""}, // generate is asked as chat
	}[p]
	got := map[string]bool{}
	for _, r := range behind.all() {
		got[string(r.body)] = true
	}
	names := strings.NewReplacer(`"model":"`+string(p)+`"`, `"model":"`+demoModel(p)+`"`,
		`"model":"`+string(p)+`/`, `"model":"`, `"model":"models/`+string(p)+`/`, `"model":"models/`)
	for _, path := range own.paths {
		came := 0
		for _, r := range front.all() {
			// Two things differ: a stream is asked for its usage, and what one provider signed no other is told.
			blind := path == "/v1/chat/completions" && bytes.Contains(r.body, []byte(`"stream":true`)) && !bytes.Contains(r.body, []byte("include_usage"))
			shared := bytes.Contains(r.body, []byte("think We take turns."))
			if !strings.HasSuffix(r.path, path) || r.status != 200 || blind || shared {
				continue
			}
			if body := names.Replace(string(r.body)); !got[body] {
				t.Errorf("%s did not get what a caller sent to %s in its own dialect: %.500s", p, r.path, body)
			}
			came++
		}
		if came < 2 {
			t.Errorf("%s was asked %d times at %s in its own dialect", p, came, path)
		}
	}
	if own.header != "" && !behind.has(func(r relayed) bool { return strings.Contains(r.header.Get(own.header), own.value) }) {
		t.Errorf("%s did not get the header %s", p, own.header)
	}
}
