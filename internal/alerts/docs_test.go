package alerts

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// words gives the values of the constants of a type in a package's sources.
func words(t *testing.T, folder, name string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == name {
				for _, value := range v.Values {
					if l, ok := value.(*ast.BasicLit); ok {
						all = append(all, strings.Trim(l.Value, `"`))
					}
				}
			}
			return true
		})
	}
	if len(all) < 2 {
		t.Fatalf("%s has the values %q", name, all)
	}
	return all
}

func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestThePageOfAlertsExplainsEveryWord(t *testing.T) {
	text := page(t)
	for kind, where := range map[string]struct{ folder, mark string }{
		"SignalKind":    {".", "| `%` |"},
		"IncidentState": {"../record", "| `%` |"},
		"NoticeKind":    {"../record", "the notice `%`"},
	} {
		for _, word := range words(t, where.folder, kind) {
			if !strings.Contains(text, strings.Replace(where.mark, "%", word, 1)) {
				t.Errorf("docs/alerts.md does not explain the %s %s", kind, word)
			}
		}
	}
}

// The page shows messages in Markdown; their words are those of the golden files.
func TestThePageOfAlertsQuotesRealMessages(t *testing.T) {
	text := strings.NewReplacer("\n> ", "\n", "<br>", "", "**", "*").Replace(page(t))
	for _, name := range []string{"opened", "resolved", "key-refused"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var message struct {
			Blocks []struct {
				Type string
				Text struct{ Text string }
			}
		}
		if err := json.Unmarshal(raw, &message); err != nil {
			t.Fatal(err)
		}
		for _, b := range message.Blocks {
			if b.Text.Text != "" && !strings.Contains(text, b.Text.Text) {
				t.Errorf("docs/alerts.md does not quote %s as it is: %q", name, b.Text.Text)
			}
		}
	}
}
