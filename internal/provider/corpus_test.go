package provider

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// exchange is one recording; the corpus' INDEX.md tells the format.
type exchange struct {
	Name     string
	Provider string
	Request  struct{ Method, Path string }
	Response struct {
		Status  int
		Headers map[string]string
		Stream  string
		Raw     *string
		Body    json.RawMessage
		Lines   []string
	}
}

func (x exchange) body() string {
	switch r := x.Response; {
	case r.Lines != nil:
		return strings.Join(r.Lines, "\n")
	case r.Raw != nil:
		return *r.Raw
	default:
		return string(r.Body)
	}
}

// provider is whose upstream the exchange can stand for; "" for none.
func (x exchange) provider() llm.Provider {
	path, _, _ := strings.Cut(x.Request.Path, "?")
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return llm.OpenAI
	case path == "/v1/messages":
		return llm.Claude
	case strings.Contains(path, "enerateContent"):
		return llm.Gemini
	case path == "/api/chat":
		return llm.Local
	}
	return ""
}

// corpus reads the recordings, or skips the test where there are none.
func corpus(t *testing.T) []exchange {
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "wire", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recorded exchanges in %s: set BREAKWATER_TESTDATA to the folder that has them", filepath.Join(dir, "wire"))
	}
	all := make([]exchange, len(files))
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return all
}
