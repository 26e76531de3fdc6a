package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"breakwater/internal/provider"
)

// page gives a page of the documentation.
func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sources gives the parsed files of a package, without its tests.
func sources(t *testing.T, folder string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no sources in %s: %v", folder, err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// isCode says whether an expression is a field or a variable for a code.
func isCode(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Code" || e.Name == "code"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Code"
	}
	return false
}

// codes gives the codes of errors that a package's sources write out: as a
// field of a literal, in an assignment, or as the argument of a function whose
// parameter is named so.
func codes(files []*ast.File) map[string]bool {
	found := map[string]bool{}
	note := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil && s != "" {
				found[s] = true
			}
		}
	}
	position := map[string]int{} // of the parameter, by the function's name
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				at := 0
				for _, field := range fn.Type.Params.List {
					for _, name := range field.Names {
						if name.Name == "code" {
							position[fn.Name.Name] = at
						}
						at++
					}
				}
			}
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if isCode(n.Key) {
					note(n.Value)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if isCode(left) && len(n.Rhs) == len(n.Lhs) {
						note(n.Rhs[i])
					}
				}
			case *ast.CallExpr:
				name := ""
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					name = fun.Name
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				}
				if at, ok := position[name]; ok && at < len(n.Args) {
					note(n.Args[at])
				}
			}
			return true
		})
	}
	return found
}

func TestThePageOfTheAPINamesEveryCode(t *testing.T) {
	text := page(t, "http-api.md")
	all := codes(slices.Concat(sources(t, "."), sources(t, "../router"), sources(t, "../../web")))
	for _, must := range []string{"foreign_host", "method_not_allowed", "all_breakers_open", "body_too_slow", "stream_cut", "incident_over"} {
		if !all[must] {
			t.Errorf("%s was not found in the sources: this test no longer sees how codes are written", must)
		}
	}
	for code := range all {
		if !strings.Contains(text, "| `"+code+"` |") {
			t.Errorf("docs/http-api.md does not explain the code %s", code)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (?:mostly )?[45][0-9]{2}").FindAllStringSubmatch(text, -1) {
		if !all[row[1]] {
			t.Errorf("docs/http-api.md explains the code %s, which does not exist", row[1])
		}
	}
}

func TestThePageOfTheAPINamesEveryHeader(t *testing.T) {
	text := page(t, "http-api.md")
	known := map[string]bool{provider.HopHeader: true, HeaderAdjusted: true}
	for _, reserved := range []string{"X-Breakwater-Residency", "X-Breakwater-Privacy"} {
		known[reserved] = true
	}
	for _, f := range sources(t, ".") {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Header") && len(v.Values) == 1 {
				if l, ok := v.Values[0].(*ast.BasicLit); ok {
					known[strings.Trim(l.Value, `"`)] = true
				}
			}
			return true
		})
	}
	for _, must := range []string{HeaderRequestID, HeaderProvider, HeaderModel, HeaderAttempts, HeaderReason} {
		if !known[must] {
			t.Errorf("%s was not found in the sources", must)
		}
	}
	for name := range known {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/http-api.md does not name the header %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`X-Breakwater-[A-Za-z-]+`).FindAllString(text, -1) {
		if !known[http.CanonicalHeaderKey(name)] {
			t.Errorf("docs/http-api.md names the header %s, which does not exist", name)
		}
	}
}

func TestThePageOfTheAPINamesEveryRoute(t *testing.T) {
	text := page(t, "http-api.md")
	engine, _ := New(Options{Metrics: http.NotFoundHandler()}).Engine()
	for _, r := range engine.Routes() {
		if !strings.Contains(text, "| `"+r.Method+" "+r.Path+"` |") {
			t.Errorf("docs/http-api.md does not name the route %s %s", r.Method, r.Path)
		}
	}
}
