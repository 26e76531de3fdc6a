package alerts

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// metric is what docs/metrics.md, which is held to the code, says of one.
type metric struct {
	kind   string
	labels []string
}

// metricsPage gives the metrics and the text that names the values of labels.
func metricsPage(t *testing.T) (map[string]metric, string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(breakwater_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|").FindAllStringSubmatch(string(b), -1) {
		labels := strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		name := row[1]
		if row[2] == "histogram" {
			name, labels = name+"_bucket", append(labels, "le")
		}
		all[name] = metric{row[2], labels}
	}
	if len(all) < 20 {
		t.Fatalf("docs/metrics.md names %d metrics", len(all))
	}
	return all, string(b)
}

var (
	selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?(\[[^\]]*\])?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
)

// checkQuery holds the metrics, labels and values of a query against what there is.
func checkQuery(t *testing.T, where, query string, metrics map[string]metric, page string) {
	t.Helper()
	seen, labels := 0, map[string]bool{}
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		m, ok := metrics[s[1]]
		switch {
		case s[1] == "up":
			seen++
			continue
		case !strings.HasPrefix(s[1], "breakwater_"):
			continue
		case !ok:
			t.Errorf("%s: there is no metric %s", where, s[1])
			continue
		}
		seen++
		for _, l := range m.labels {
			labels[l] = true
		}
		for _, by := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(m.labels, by[1]) {
				t.Errorf("%s: %s has no label %s", where, s[1], by[1])
			}
			for value := range strings.SplitSeq(by[3], "|") {
				if !strings.Contains(page, "`"+value+"`") {
					t.Errorf("%s: docs/metrics.md knows no value %q of %s", where, value, by[1])
				}
			}
		}
		if rate := s[3] != ""; rate == (m.kind == "gauge") {
			t.Errorf("%s: %s is a %s, and used with range %q", where, s[1], m.kind, s[3])
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(query, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); !labels[l] {
				t.Errorf("%s: nothing in it has the label %s", where, l)
			}
		}
	}
	if seen == 0 {
		t.Errorf("%s names no metric", where)
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(query, pair[:1]) != strings.Count(query, pair[1:]) {
			t.Errorf("%s: %s do not match", where, pair)
		}
	}
}

func TestPrometheusRulesFitTheMetricsAndAreExplained(t *testing.T) {
	metrics, known := metricsPage(t)
	b, err := os.ReadFile("../../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	runbook, names := page(t), map[string]bool{}
	for _, r := range file.Groups[0].Rules {
		checkQuery(t, r.Alert, r.Expr, metrics, known)
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || names[r.Alert] {
			t.Errorf("%s: severity %q, or its name is there twice", r.Alert, r.Labels["severity"])
		}
		names[r.Alert] = true
		if got := slices.Sorted(maps.Keys(r.Annotations)); !slices.Equal(got, []string{"description", "runbook_url", "summary"}) {
			t.Errorf("%s has %q", r.Alert, got)
		}
		for name, text := range r.Annotations {
			if text == "" || strings.Count(text, "{{") != strings.Count(text, "}}") {
				t.Errorf("%s: %s is %q", r.Alert, name, text)
			}
		}
		if want := "docs/alerts.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		if !strings.Contains(runbook, "\n#### "+r.Alert+"\n") {
			t.Errorf("docs/alerts.md has no heading %s", r.Alert)
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^#### (Breakwater\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !names[heading[1]] {
			t.Errorf("docs/alerts.md explains %s, which is no rule", heading[1])
		}
	}
}

func TestTheDashboardFitsTheMetrics(t *testing.T) {
	metrics, known := metricsPage(t)
	b, err := os.ReadFile("../../deploy/grafana/breakwater.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID    string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []struct {
			ID          int
			Type, Title string
			Datasource  struct{ Type, UID string }
			GridPos     struct{ X, Y, W, H int }
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ RefID, Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	if board.Title != "Breakwater" || board.UID == "" || board.SchemaVersion == 0 || len(board.Templating.List) != 1 || board.Templating.List[0].Type != "datasource" {
		t.Errorf("%+v", board)
	}
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %d: %+v", p.ID, p)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" || at[0] >= 24 {
					t.Fatalf("%s lies over %q at %v", p.Title, taken[at], at)
				}
				taken[at] = p.Title
			}
		}
		for _, q := range p.Targets {
			checkQuery(t, p.Title, q.Expr, metrics, known)
			for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
				if !strings.Contains(q.Expr, label[1]) && !slices.Contains(metrics["breakwater_key_state"].labels, label[1]) {
					t.Errorf("%s: the legend names %s, which the query does not give", p.Title, label[1])
				}
			}
		}
	}
}
