package provider

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// ollamaServer has a few models; shows counts what was asked of each.
type ollamaServer struct {
	mu     sync.Mutex
	shows  map[string]int
	digest string
	broken bool
}

func (s *ollamaServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/api/version":
		io.WriteString(w, `{"version":"0.34.3"}`)
	case "/api/tags":
		fmt.Fprintf(w, `{"models":[{"name":"plain:latest","size":5,"digest":"%s","details":{"family":"llama","format":"gguf"}},
			{"name":"rich:8b","digest":"r"},{"name":"embed:1","digest":"e"},{"name":"old:1","digest":"o"}]}`, s.digest)
	case "/api/ps":
		io.WriteString(w, `{"models":[{"name":"rich:8b","size":9,"size_vram":8,"context_length":4096,"details":{"family":"llama"},"expires_at":"2026-11-22T12:00:00Z"}]}`)
	case "/api/show":
		body, _ := io.ReadAll(r.Body)
		model := gjson.GetBytes(body, "model").String()
		s.shows[model]++
		capabilities := map[string]string{"plain:latest": `["completion"]`, "rich:8b": `["completion","tools","vision","thinking"]`, "embed:1": `["embedding"]`, "old:1": `null`}[model]
		if s.broken {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"capabilities":%s,"model_info":{"general.architecture":"llama","llama.context_length":8192,"llama.embedding_length":4096}}`, capabilities)
	}
}

func TestALocalModelIsNotAskedForWhatItLacks(t *testing.T) {
	s := &ollamaServer{shows: map[string]int{}, digest: "1"}
	c := client(t, llm.Local, serverOf(t, s.serve))
	tools := hello(false)
	tools.Tools = []llm.Tool{{Name: "f"}}
	unused := hello(false)
	unused.Tools, unused.ToolChoice = tools.Tools, &llm.ToolChoice{Mode: llm.ChooseNone}
	image := hello(false)
	image.Messages[0].Parts = append(image.Messages[0].Parts, llm.Part{Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "AA=="}})
	thinking := hello(false)
	thinking.Thought = &llm.Thought{Effort: "high"}
	adaptive := hello(false)
	adaptive.Thought = &llm.Thought{Adaptive: true}
	native := *tools
	native.Dialect = llm.OllamaChat
	vectors := &llm.Request{Dialect: llm.OllamaEmbed, Embed: &llm.Embed{}}
	check := func(when string, want map[string][]string) {
		t.Helper()
		for model, want := range want {
			var got []string
			for _, req := range []*llm.Request{hello(false), tools, unused, image, thinking, adaptive, &native, vectors} {
				got = append(got, fmt.Sprint(c.Lacks(model, req)))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s:\n got %v\nwant %v", when, model, got, want)
			}
		}
	}
	nothing := []string{"[]", "[]", "[]", "[]", "[]", "[]", "[]", "[]"}
	check("before the first ping", map[string][]string{"plain": nothing, "plain:latest": nothing, "embed:1": nothing})
	for range 2 {
		if _, err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check("then", map[string][]string{
		"plain":    {"[]", "[tools]", "[]", "[messages.image]", "[]", "[]", "[tools]", "[]"},
		"rich:8b":  nothing,
		"embed:1":  {"[messages]", "[messages tools]", "[messages]", "[messages messages.image]", "[messages]", "[messages]", "[messages tools]", "[]"},
		"old:1":    nothing, // whose server does not tell
		"unknown":  nothing,
		"rich:70b": nothing,
	})
	for model, n := range s.shows {
		if n != 1 {
			t.Errorf("%s was looked at %d times", model, n)
		}
	}
}

func TestAPulledModelIsLookedAtAgain(t *testing.T) {
	s := &ollamaServer{shows: map[string]int{}, digest: "1"}
	c := client(t, llm.Local, serverOf(t, s.serve))
	ping := func() Status {
		t.Helper()
		status, err := c.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	ping()
	s.digest = "2"
	s.broken = true
	if got := ping().Details["plain:latest"].Local; got.Digest != "2" || got.Capabilities != nil {
		t.Errorf("what is known of an older pull is told of the new one: %+v", got)
	}
	s.broken = false
	got := ping().Details["plain:latest"].Local
	if s.shows["plain:latest"] != 3 || s.shows["rich:8b"] != 1 {
		t.Errorf("looked at: %v", s.shows)
	}
	if got.Size != 5 || got.Family != "llama" || got.Format != "gguf" || got.ContextLength != 8192 || got.EmbeddingLength != 4096 || !slices.Equal(got.Capabilities, []string{"completion"}) {
		t.Errorf("got %+v", got)
	}
	loaded, err := c.Loaded(t.Context())
	if err != nil || len(loaded) != 1 || loaded[0].Name != "rich:8b" || loaded[0].SizeVRAM != 8 || loaded[0].ContextLength != 4096 || loaded[0].ExpiresAt.IsZero() {
		t.Errorf("loaded: %+v, %v", loaded, err)
	}
}

func TestLookingAtModelsHoldsNoPingUp(t *testing.T) {
	release := make(chan struct{})
	s := &ollamaServer{shows: map[string]int{}, digest: "1"}
	c := client(t, llm.Local, serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/show" {
			<-release
			return
		}
		s.serve(w, r)
	}))
	t.Cleanup(func() { close(release) })
	began := time.Now()
	status, err := c.Ping(t.Context())
	if took := time.Since(began); err != nil || len(status.Models) != 4 || took > 3*showPatience {
		t.Errorf("%v, %v after %v", status, err, took)
	}
}

func TestCapabilitiesMayBeAskedWhileTheyAreLearned(t *testing.T) {
	s := &ollamaServer{shows: map[string]int{}, digest: "1"}
	c := client(t, llm.Local, serverOf(t, s.serve))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { c.Ping(t.Context()) })
		wg.Go(func() { c.Lacks("plain", hello(false)) })
	}
	wg.Wait()
}
