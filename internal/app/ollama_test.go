package app

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

// startOllama starts a real Ollama with the models tiny-a and tiny-b, from an
// ollama on the PATH or from the kit, and gives its address.
func startOllama(t *testing.T) string {
	t.Helper()
	data := os.Getenv("BREAKWATER_TESTDATA")
	if data == "" {
		data = "../../../shared"
	}
	start := filepath.Join(data, "ollama-kit", "start-ollama")
	if _, err := os.Stat(start); err != nil {
		t.Skipf("no Ollama kit in %s; set BREAKWATER_TESTDATA to the folder that holds ollama-kit", data)
	}
	cmd := exec.Command(start, "--port", "0", "--dir", t.TempDir())
	if path, err := exec.LookPath("ollama"); err == nil {
		cmd.Env = append(os.Environ(), "OLLAMA_KIT_BINARY="+path)
	}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("start-ollama: %v\n%s", err, problems.String())
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	t.Cleanup(func() {
		if out, err := exec.Command(filepath.Join(data, "ollama-kit", "stop-ollama"), values["pid"]).CombinedOutput(); err != nil {
			t.Errorf("stop-ollama: %v\n%s", err, out)
		}
	})
	return values["url"]
}

// What tiny-a says at temperature 0, by the kit's description, is fixed; at
// the server's usual temperature it says something of the sea.
func TestARealOllamaAnswersAndTakesOverFromThreeFailingClouds(t *testing.T) {
	url := startOllama(t)
	h := startHouse(t, houseOptions{env: map[string]string{"OLLAMA_HOST": url, "OLLAMA_MODEL": "tiny-a"}})

	text, provider := h.chat(t, "local")
	if text == "" || provider != "local" {
		t.Errorf("%s said %q", provider, text)
	}
	text, finish, usage := h.stream(t, "local")
	if text == "" || finish != "stop" || usage == 0 {
		t.Errorf("streamed %q, finish %q, %d tokens", text, finish, usage)
	}
	long := question("local/tiny-b") // which hardly ever ends by itself
	long.MaxTokens = openai.Int(8)
	if text, provider = h.complete(t, long); text == "" || provider != "local" {
		t.Errorf("tiny-b: %s said %q", provider, text)
	}
	h.eventually(t, "its models are discovered", func() bool { return strings.Contains(get(t, h.URL()+"/v1/models"), `"tiny-b:latest"`) })

	for p, kind := range map[llm.Provider]sim.FaultKind{llm.Gemini: sim.Errors, llm.Claude: sim.RateLimited, llm.OpenAI: sim.Garbage} {
		h.sims[p].Set(sim.Fault{Kind: kind})
	}
	for range 2 {
		if text, provider = h.chat(t, "auto"); text == "" || provider != "local" {
			t.Errorf("with the clouds failing, %s said %q", provider, text)
		}
		if text, finish, _ = h.stream(t, "gpt-4o"); text == "" || finish != "stop" {
			t.Errorf("with the clouds failing, streamed %q, finish %q", text, finish)
		}
	}
	h.stop()
	for _, tr := range traces(t, reopen(t, h.db)) {
		if tr.Outcome != record.Served || tr.Served.Provider != llm.Local || tr.Usage.Output == 0 || tr.Cost != 0 {
			t.Errorf("trace %+v", tr)
		}
	}
}

func TestALocalServerThatIsNotThereIsToldPlainly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	h := startHouse(t, houseOptions{env: map[string]string{
		"OLLAMA_HOST": gone, "GEMINI_API_KEY": "", "ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "",
	}})
	h.eventually(t, "the health tells", func() bool {
		return strings.Contains(get(t, h.URL()+"/v1/health"), `"status":"down"`)
	})
	if got := get(t, h.URL()+"/readyz"); !strings.Contains(got, "no provider is available") {
		t.Errorf("/readyz says %q", got)
	}
	if got := get(t, h.URL()+"/v1/health"); !strings.Contains(got, "set GEMINI_API_KEY") {
		t.Errorf("the health does not say what is missing: %s", got)
	}
}
