package app

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
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
	"breakwater/internal/sim"
)

// tide is what stands in the file that the clients are asked for.
const tide = "the tide is out"

// commandLine is a command-line client: how it is run once, without a
// terminal, and what becomes of its requests.
type commandLine struct {
	name     string // as docs/compatibility.md has it
	program  string // below test/cli/node_modules; a pattern
	script   bool   // it needs Node.js to run
	args     func(prompt string) []string
	env      func(url, model string) []string
	settings map[string]string // files in its home; URL and MODEL stand for what they say
	model    string            // what it asks for; the provider's name where empty
	path     string            // where it asks, the model left out
	call     string            // of its shell, with the line that prints the file
	more     string            // further calls for the loop with tools, each in a line
	said     []string          // what they give
	// adjusted is what X-Breakwater-Adjusted names but for keywords of tools'
	// schemas, with every index left out.
	adjusted map[llm.Provider][]string
}

func TestClaudeCodeWorksWithEveryProvider(t *testing.T) {
	commandLine{
		name:    "Claude Code",
		program: "@anthropic-ai/claude-code-*/claude",
		args: func(prompt string) []string {
			return []string{"-p", prompt, "--allowed-tools", "Bash"}
		},
		env: func(url, model string) []string {
			return []string{
				"ANTHROPIC_BASE_URL=" + url, "ANTHROPIC_AUTH_TOKEN=any", "ANTHROPIC_MODEL=" + model, "ANTHROPIC_DEFAULT_HAIKU_MODEL=" + model,
				"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "DISABLE_TELEMETRY=1",
			}
		},
		path: "/v1/messages", call: `Bash {"command": "cat tide.txt"}`,
		// It does not send all its tools but searches them, and sends what it found.
		more: `call ToolSearch {"query": "select:WebFetch", "max_results": 1}`,
		said: []string{"The tool ToolSearch said:"},
		adjusted: map[llm.Provider][]string{
			llm.Gemini: {"cache_control", "context_management", "messages.content.content.tool_reference", "messages.role", "tools.defer_loading", "user"},
			llm.OpenAI: {"context_management", "max_tokens", "messages.content.content.tool_reference", "messages.prompt_cache_breakpoint", "reasoning_effort", "tools.defer_loading"},
			llm.Local:  {"cache_control", "context_management", "messages.content.content.tool_reference", "reasoning_effort", "tools.defer_loading", "user"},
		},
	}.drive(t, houseOptions{}, llm.Providers()...)
}

func TestGeminiCLIWorksWithEveryProvider(t *testing.T) {
	commandLine{
		name:    "Gemini CLI",
		program: "@google/gemini-cli/bundle/gemini.js", script: true,
		args: func(prompt string) []string {
			return []string{"-p", prompt, "--approval-mode", "yolo", "--skip-trust"}
		},
		env: func(url, model string) []string {
			return []string{"GOOGLE_GEMINI_BASE_URL=" + url, "GEMINI_API_KEY=any", "GEMINI_MODEL=" + model, "GEMINI_CLI_NO_RELAUNCH=true", "NO_BROWSER=true"}
		},
		settings: map[string]string{".gemini/settings.json": `{
			"general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
			"privacy": {"usageStatisticsEnabled": false},
			"security": {"auth": {"selectedType": "gemini-api-key"}}}`},
		path: "/v1beta/models/:streamGenerateContent", call: `run_shell_command {"command": "cat tide.txt"}`,
		adjusted: map[llm.Provider][]string{
			llm.Claude: {"top_k", "top_p"},
			llm.OpenAI: {"reasoning.summary", "top_k"},
		},
	}.drive(t, houseOptions{}, llm.Providers()...)
}

func TestQwenCodeWorksWithEveryProvider(t *testing.T) {
	commandLine{
		name:    "Qwen Code",
		program: "@qwen-code/qwen-code/cli.js", script: true,
		args: func(prompt string) []string { return []string{"-p", prompt, "--approval-mode", "yolo"} },
		env: func(url, model string) []string {
			return []string{"OPENAI_BASE_URL=" + url + "/v1", "OPENAI_API_KEY=any", "OPENAI_MODEL=" + model}
		},
		settings: map[string]string{".qwen/settings.json": `{
			"general": {"enableAutoUpdate": false},
			"memory": {"enableManagedAutoMemory": false},
			"privacy": {"usageStatisticsEnabled": false},
			"security": {"auth": {"selectedType": "openai"}}}`},
		// It may take the end of its shell for the end of what that says, on a busy
		// machine before it has read it.
		path: "/v1/chat/completions", call: `run_shell_command {"command": "cat tide.txt && sleep 2"}`,
	}.drive(t, houseOptions{}, llm.Providers()...)
}

func TestCodexWorksWithEveryProvider(t *testing.T) {
	c := codex()
	c.name = "Codex"
	c.more = `call multi_agent_v1__close_agent {"target": "nobody"}` // a tool of a namespace
	c.said = []string{"The tool multi_agent_v1__close_agent"}
	c.adjusted = map[llm.Provider][]string{
		llm.Gemini: {"tools: web_search"}, llm.Claude: {"tools: web_search"}, llm.OpenAI: {"reasoning.summary", "tools: web_search"},
		llm.Local: {"tools: web_search"},
	}
	c.drive(t, houseOptions{}, llm.Providers()...)
}

// Where OpenAI has /v1/responses, nothing is translated.
func TestCodexIsPassedOnToOpenAI(t *testing.T) {
	codex().drive(t, houseOptions{env: map[string]string{"OPENAI_RESPONSES": "true", "OPENAI_MODEL": "echo-openai"}}, llm.OpenAI)
}

// With a model that it knows, Codex offers a tool that runs programs, which call
// its other tools. OpenAI has no such model here, so that another serves.
func TestCodexRunsProgramsThatOtherProvidersWrite(t *testing.T) {
	c := codex()
	c.model = "gpt-6.1-sol"
	c.call = `functions__exec {"input": "const r = await tools.exec_command({cmd: 'cat tide.txt'}); text(r.output)"}`
	c.adjusted = map[llm.Provider][]string{llm.Gemini: {"input.tools.tools.format", "reasoning.context", "text.verbosity"}}
	c.drive(t, houseOptions{env: map[string]string{"OPENAI_MODEL": c.model}}, llm.Gemini)
}

// codex speaks the Responses API alone.
func codex() commandLine {
	return commandLine{
		program: "@openai/codex-*/vendor/*/bin/codex",
		args: func(prompt string) []string {
			return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt}
		},
		env: func(string, string) []string { return []string{"BREAKWATER_API_KEY=any"} },
		settings: map[string]string{".codex/config.toml": `
			model = "MODEL"
			model_provider = "breakwater"
			check_for_update_on_startup = false
			[analytics]
			enabled = false
			[features]
			apps = false
			plugins = false
			[model_providers.breakwater]
			name = "Breakwater"
			base_url = "URL/v1"
			wire_api = "responses"
			env_key = "BREAKWATER_API_KEY"
			request_max_retries = 0
			stream_max_retries = 0`},
		path: "/v1/responses", call: `exec_command {"cmd": "cat tide.txt"}`,
	}
}

// drive has each provider answer the client, and call its shell and answer
// from what that gave.
func (c commandLine) drive(t *testing.T, o houseOptions, providers ...llm.Provider) {
	c.documented(t)
	program := c.installed(t)
	h := startHouse(t, o)
	for _, p := range providers {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			door := startWatched(t, h.URL())
			model := cmp.Or(c.model, string(p))
			if out := c.run(t, program, door, model, "What is a breakwater?"); !strings.Contains(out, sim.Speech(p)("")) {
				t.Errorf("it said:\n%s", out)
			}
			// The file's words reach the answer only through the client's shell.
			out := c.run(t, program, door, model, "Look.\nthink The file is near.\necho I shall look.\ncall "+c.call+"\n"+c.more)
			shell, _, _ := strings.Cut(c.call, " ")
			for _, want := range append([]string{"The tool " + shell + " said:", tide}, c.said...) {
				if !strings.Contains(out, want) {
					t.Errorf("it did not say %q but\n%s", want, out)
				}
			}
			requests, adjusted := door.seen()
			if want := fmt.Sprintf("POST %s 200 %s", c.path, p); len(requests) < 3 || slices.ContainsFunc(requests, func(r string) bool { return r != want }) {
				t.Errorf("requests: %q, want %q", requests, want)
			}
			if !slices.Equal(adjusted, c.adjusted[p]) {
				t.Errorf("adjusted: %q, want %q", adjusted, c.adjusted[p])
			}
		})
	}
}

// documented holds the client's row in docs/compatibility.md to what the test
// expects.
func (c commandLine) documented(t *testing.T) {
	t.Helper()
	if c.name == "" {
		return
	}
	row := "| " + c.name + " |"
	for _, p := range llm.Providers() {
		names := "nothing"
		if len(c.adjusted[p]) > 0 {
			names = "`" + strings.Join(c.adjusted[p], "`, `") + "`"
		}
		row += " " + names + " |"
	}
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), row+"\n") {
		t.Errorf("docs/compatibility.md has no row\n%s", row)
	}
}

// installed gives the program to run, or skips the test.
func (c commandLine) installed(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../../test/cli/node_modules/" + c.program)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("the client is not installed; run: npm ci --prefix test/cli --ignore-scripts")
	}
	program, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if !c.script {
		return []string{program}
	}
	return []string{nodeJS(t, 20), program}
}

// run runs the client once in a home of its own, in a folder with tide.txt,
// and gives what it printed.
func (c commandLine) run(t *testing.T, program []string, door *watched, model, prompt string) string {
	t.Helper()
	home := t.TempDir()
	files := map[string]string{"work/tide.txt": tide + "\n"}
	for name, text := range c.settings {
		files[name] = strings.NewReplacer("URL", door.url, "MODEL", model).Replace(text)
	}
	for name, text := range files {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, program[0], append(program[1:], c.args(prompt)...)...)
	cmd.Dir = filepath.Join(home, "work")
	cmd.WaitDelay = time.Second
	// Compiling a client takes longer than its work.
	compiled, err := filepath.Abs("../../test/cli/node_modules/.cache/compiled")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(c.env(door.url, model), "NODE_COMPILE_CACHE="+compiled,
		"HOME="+home, "TMPDIR="+home, "PATH="+os.Getenv("PATH"), "NO_COLOR=1",
		// Nothing but Breakwater is to be reached.
		"HTTP_PROXY="+door.url, "HTTPS_PROXY="+door.url, "http_proxy="+door.url, "https_proxy="+door.url, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// watched stands before a house and notes what is asked and what was adjusted.
// It is the clients' proxy too, and has nothing for who asks others.
type watched struct {
	url string

	mu       sync.Mutex
	requests []string // method, path without the model, status, provider
	adjusted []string
}

func startWatched(t *testing.T, house string) *watched {
	t.Helper()
	target, err := url.Parse(house)
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{}
	// Its own, since each test server that closes has the shared one close connections.
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	toHouse := &httputil.ReverseProxy{
		Transport:      transport,
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval:  -1, // at once
		ModifyResponse: func(r *http.Response) error { w.note(r.Request, r.StatusCode, r.Header); return nil },
	}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect && !r.URL.IsAbs() {
			toHouse.ServeHTTP(rw, r)
			return
		}
		w.note(r, http.StatusForbidden, nil)
		http.Error(rw, "there is no network", http.StatusForbidden)
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

func (w *watched) note(r *http.Request, status int, answer http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := regexp.MustCompile(`/models/[^:]*`).ReplaceAllString(r.URL.Path, "/models/")
	if r.Method == http.MethodConnect {
		path = r.Host
	}
	w.requests = append(w.requests, fmt.Sprintf("%s %s %d %s", r.Method, path, status, answer.Get("X-Breakwater-Provider")))
	w.adjusted = append(w.adjusted, strings.Split(answer.Get("X-Breakwater-Adjusted"), ", ")...)
}

// seen gives the requests, and what was adjusted in any: each name once, with
// no index, and nothing of the keywords of tools' schemas.
func (w *watched) seen() (requests, adjusted []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	index := regexp.MustCompile(`\[\d+\]`)
	for _, name := range w.adjusted {
		if name = index.ReplaceAllString(name, ""); name != "" && !strings.HasPrefix(name, "tools.parameters: ") {
			adjusted = append(adjusted, name)
		}
	}
	slices.Sort(adjusted)
	return w.requests, slices.Compact(adjusted)
}
