package app

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"breakwater/internal/api"
	"breakwater/web"
)

// pages lists the pages of the documentation, from the root of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(all) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	if _, err := os.Stat("../../README.md"); err == nil {
		all = append(all, "../../README.md")
	}
	return all
}

// withoutCode takes code blocks out of a page: what stands there is no link
// and no heading.
func withoutCode(page string) string {
	return regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(page, "")
}

// anchors gives the fragments that a page's headings make, as GitHub does.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.+)$`).FindAllStringSubmatch(withoutCode(page), -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])] = true
	}
	return all
}

func TestLinksBetweenThePagesLead(t *testing.T) {
	for _, name := range pages(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(withoutCode(string(text)), -1) {
			link := m[1]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			path, fragment, _ := strings.Cut(link, "#")
			target := filepath.Join(filepath.Dir(name), path)
			if path == "" {
				target = name
			}
			there, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s links to %s, which does not exist", filepath.Base(name), link)
			} else if fragment != "" && !anchors(string(there))[fragment] {
				t.Errorf("%s links to %s, which has no such heading", filepath.Base(name), link)
			}
		}
	}
}

func TestThePageOfTheAPINamesTheRoutesOfTheWholeServer(t *testing.T) {
	text, err := os.ReadFile("../../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	engine, guarded := api.New(api.Options{Metrics: http.NotFoundHandler()}).Engine()
	status, err := web.New(web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	status.Register(guarded)
	known := map[string]bool{}
	for _, r := range engine.Routes() {
		known[r.Method+" "+r.Path] = true
		if !strings.Contains(string(text), "`"+r.Method+" "+r.Path+"`") {
			t.Errorf("docs/http-api.md does not name the route %s %s", r.Method, r.Path)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\|").FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("docs/http-api.md names the route %s, which does not exist", m[1])
		}
	}
}
