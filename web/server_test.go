package web

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"breakwater/internal/record"
)

var states = map[string]func() Status{
	"well": well, "degraded": degraded, "held": held, "down": down, "newcomer": newcomer, "simulated": simulated,
	"busy": busy, "keys lost": keysLost,
}

// walk calls visit for every element.
func walk(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func parse(t *testing.T, body string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestPageIsWellBuiltInEveryState(t *testing.T) {
	type look struct {
		path   string
		status Status
		detail Detail
	}
	looks := map[string]look{
		"gemini": {"/providers/gemini", busy(), geminiDetail()}, "no keys left": {"/providers/claude", keysLost(), Detail{}},
		"no keys needed": {"/providers/local", well(), localDetail()}, "not set up": {"/providers/openai?span=hour", newcomer(), Detail{}},
	}
	for name, status := range states {
		looks[name] = look{"/", status(), Detail{}}
	}
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			_, h := newServer(t, &fake{status: look.status, detail: look.detail})
			w := get(t, h, look.path)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d", w.Code)
			}
			count, ids := map[string]int{}, map[string]bool{}
			var hrefs, roles []string
			walk(parse(t, w.Body.String()), func(n *html.Node) {
				count[n.Data]++
				if id := attr(n, "id"); id != "" {
					if ids[id] {
						t.Errorf("id %q is given twice", id)
					}
					ids[id] = true
				}
				if attr(n, "style") != "" || n.Data == "style" {
					t.Errorf("<%s> has an inline style", n.Data)
				}
				if n.Data == "script" && (attr(n, "src") == "" || n.FirstChild != nil) {
					t.Error("there is an inline script")
				}
				for _, a := range n.Attr {
					if strings.HasPrefix(a.Key, "on") {
						t.Errorf("<%s> has the inline handler %s", n.Data, a.Key)
					}
				}
				if n.Data == "th" && attr(n, "scope") == "" {
					t.Error("a table header has no scope")
				}
				if n.Data == "table" && (n.FirstChild == nil || n.FirstChild.Data != "caption") {
					t.Error("a table has no caption")
				}
				if n.Data == "a" {
					hrefs = append(hrefs, attr(n, "href"))
				}
				if attr(n, "role") == "status" {
					roles = append(roles, attr(n, "id"))
				}
				if n.Data == "svg" && attr(n, "aria-hidden") == "" && attr(n, "aria-label") == "" {
					t.Error("a chart says nothing to a screen reader")
				}
			})
			if count["h1"] != 1 || count["title"] == 0 || count["main"] != 1 {
				t.Errorf("h1 %d, main %d", count["h1"], count["main"])
			}
			if len(roles) != 1 || roles[0] != "verdict" {
				t.Errorf("role=status on %v, want the verdict alone", roles)
			}
			for _, href := range hrefs {
				switch {
				case strings.HasPrefix(href, "#") && ids[href[1:]]:
				case href == "/", href == "/status.json", href == "/metrics", href == "/requests", href == "/incidents", href == "/alerts":
				case strings.HasPrefix(href, "/#incident-"): // on the status page, for two weeks
				case strings.HasPrefix(href, "/providers/") && get(t, h, strings.TrimSuffix(href, "#keys")).Code == http.StatusOK:
				default:
					t.Errorf("link to %q leads nowhere", href)
				}
			}
		})
	}
}

func TestTextOfOthersIsEscaped(t *testing.T) {
	s := degraded()
	const evil = `<script>alert("x")</script>`
	s.Providers[0].Model = evil
	s.Providers[1].Breaker.Reason = evil
	s.Incidents[2].Title = evil
	s.Incidents[2].Timeline[0].Text = evil
	s.Incidents[2].Timeline[0].Kind = evil
	s.Budgets[0].Name = evil
	_, h := newServer(t, &fake{status: s})
	body := get(t, h, "/").Body.String()
	if strings.Contains(body, "<script>") {
		t.Error("a provider's text runs as a script")
	}
	if n := strings.Count(body, "&lt;script&gt;"); n < 6 {
		t.Errorf("escaped text is shown %d times, want at least 6", n)
	}
}

func TestNothingMissingIsShownAsZero(t *testing.T) {
	_, h := newServer(t, &fake{status: newcomer()})
	body := get(t, h, "/").Body.String()
	for _, wrong := range []string{"0 ms", "0.0%", "0%<", "NaN", "Inf"} {
		if strings.Contains(body, wrong) {
			t.Errorf("a newcomer's page says %q", wrong)
		}
	}
	for _, right := range []string{noData, "GEMINI_API_KEY", "curl http://127.0.0.1:8080/v1/chat/completions", "No incidents in the last 14 days."} {
		if !strings.Contains(body, right) {
			t.Errorf("a newcomer's page does not say %q", right)
		}
	}
}

func TestPendingAndDroppedIncidentsAreNotShown(t *testing.T) {
	s := well()
	s.Incidents = []record.Incident{{ID: 1, State: record.Pending, Title: "pending-one", Began: testNow}, {ID: 2, State: record.Dropped, Title: "dropped-one", Began: testNow}}
	_, h := newServer(t, &fake{status: s})
	if body := get(t, h, "/").Body.String(); strings.Contains(body, "pending-one") || strings.Contains(body, "dropped-one") {
		t.Error("an unconfirmed incident is on the page")
	}
}

func TestEveryPartRendersAsInThePage(t *testing.T) {
	_, h := newServer(t, &fake{status: degraded()})
	whole := get(t, h, "/").Body.String()
	for _, part := range Parts() {
		w := get(t, h, "/?part="+string(part))
		body := w.Body.String()
		if part == PartVerdict {
			if !strings.Contains(body, "<title>Claude is degraded – Breakwater</title>") || !strings.Contains(body, "icon-degraded.svg") {
				t.Errorf("the verdict brings no title and icon: %s", body)
			}
			body = body[strings.Index(body, "<h1"):]
		}
		if w.Code != http.StatusOK || body == "" || !strings.Contains(whole, body) {
			t.Errorf("part %s (%d) differs from the page", part, w.Code)
		}
	}
	if w := get(t, h, "/?part=nonsense"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown part gives %d", w.Code)
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	f := &fake{status: well()}
	_, h := newServer(t, f)
	for _, path := range []string{"/", "/?part=now", "/status.json", "/static/live.js", "/static/none"} {
		header := get(t, h, path).Header()
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %q", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, header)
		}
	}
}

func TestASourceThatFailsGivesAPlainPageWithoutItsError(t *testing.T) {
	f := &fake{err: errTest}
	_, h := newServer(t, f)
	for _, path := range []string{"/", "/?part=now", "/status.json"} {
		w := get(t, h, path)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: status %d, headers %v", path, w.Code, w.Header())
		}
		if body := w.Body.String(); strings.Contains(body, "secret-detail") || !strings.Contains(body, "cannot be read") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestStatusJSONHasTheShapeOfStatuspage(t *testing.T) {
	f := &fake{status: degraded()}
	_, h := newServer(t, f)
	var got struct {
		Page       struct{ ID, Name, URL, Time_Zone, Updated_At string }
		Status     struct{ Indicator, Description string }
		Components []struct{ ID, Name, Status string }
		Incidents  []struct {
			Name, Status, Impact, Shortlink string
			Incident_Updates                []struct{ Body string }
		}
		Scheduled_Maintenances *[]any
	}
	read := func() {
		t.Helper()
		got.Components, got.Incidents = nil, nil
		w := get(t, h, "/status.json")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d: %v", w.Code, err)
		}
	}
	read()
	if got.Page.URL != "http://127.0.0.1:8080/" || got.Page.Updated_At != "2026-11-22T12:00:07Z" || got.Scheduled_Maintenances == nil {
		t.Errorf("page %+v", got.Page)
	}
	if got.Status.Indicator != "minor" || got.Status.Description != "Claude is degraded. Its traffic is going to Gemini" {
		t.Errorf("status %+v", got.Status)
	}
	if len(got.Components) != 4 || got.Components[1].Status != "degraded_performance" || got.Components[0].Status != "operational" {
		t.Errorf("components %+v", got.Components)
	}
	if len(got.Incidents) != 1 || len(got.Incidents[0].Incident_Updates) != 3 || !strings.HasPrefix(got.Incidents[0].Incident_Updates[0].Body, "Breaker half-open") {
		t.Errorf("incidents %+v", got.Incidents)
	}
	f.set(down(), nil)
	if read(); got.Status.Indicator != "critical" || got.Components[0].Status != "major_outage" {
		t.Errorf("all down: %+v %+v", got.Status, got.Components)
	}
	byOperator := held()
	byOperator.Providers[2].Hold.Source = record.ByOperator
	f.set(byOperator, nil)
	if read(); got.Components[2].Status != "under_maintenance" {
		t.Errorf("held by an operator: %+v", got.Components)
	}
	f.set(held(), nil)
	if read(); got.Components[2].Status != "partial_outage" {
		t.Errorf("held by the detector: %+v", got.Components)
	}
	f.set(newcomer(), nil)
	if read(); got.Status.Indicator != "none" || len(got.Components) != 1 {
		t.Errorf("newcomer: %+v %+v", got.Status, got.Components)
	}
}

var versioned = regexp.MustCompile(`/static/[\w.-]+\?v=[0-9a-f]+`)

func TestWholePageStaysWithinItsBudget(t *testing.T) {
	_, h := newServer(t, &fake{status: degraded()})
	w := get(t, h, "/", "Accept-Encoding", "gzip, br")
	total := w.Body.Len()
	page, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(page)
	if err != nil {
		t.Fatal(err)
	}
	files := versioned.FindAllString(string(body), -1)
	if len(files) != 5 {
		t.Errorf("the page asks for %v", files)
	}
	for _, path := range files {
		w := get(t, h, path, "Accept-Encoding", "gzip")
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		total += w.Body.Len()
	}
	t.Logf("%d bytes over the wire, the page alone %d plain", total, len(body))
	if total > 100_000 {
		t.Errorf("the page weighs %d bytes, more than 100 KB", total)
	}
}

func TestStaticFilesAreCachedOnlyByTheirHash(t *testing.T) {
	s, h := newServer(t, &fake{})
	w := get(t, h, "/static/live.js?v=old")
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-cache" || !strings.Contains(w.Header().Get("Content-Type"), "javascript") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := get(t, h, s.assets.url("live.js"), "If-None-Match", w.Header().Get("ETag")); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("a known file gives %d", w.Code)
	}
	for _, path := range []string{"/static/README.md", "/static/../server.go", "/static/"} {
		if w := get(t, h, path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

func TestGzipIsSentOnlyToThoseWhoTakeIt(t *testing.T) {
	for offer, want := range map[string]bool{"gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "br": false, "": false, "gzip;q=0.0": false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", offer)
		if got := acceptsGzip(r); got != want {
			t.Errorf("%q: %v", offer, got)
		}
	}
}

func TestCurlLineIsSafeToCopy(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "x;rm -rf $HOME"
	if got := baseURL(r); got != "http://localhost" {
		t.Errorf("a strange Host becomes %q", got)
	}
	if line := curl(page{BaseURL: "http://h", NeedKey: true}); !strings.Contains(line, `"Authorization: Bearer $BREAKWATER_API_KEY"`) {
		t.Errorf("no key in %s", line)
	}
}

func TestGeneratedCodeIsCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator")
	}
	folder := t.TempDir()
	sources, err := filepath.Glob("*.templ")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no templates: %v", err)
	}
	for _, name := range sources {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command("go", "tool", "-modfile=../tools/go.mod", "templ", "generate", "-path", folder)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("templ generate: %v\n%s", err, out)
	}
	for _, name := range sources {
		generated := strings.TrimSuffix(name, ".templ") + "_templ.go"
		want, err := os.ReadFile(filepath.Join(folder, generated))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(generated); err != nil || string(got) != string(want) {
			t.Errorf("%s is not current: run go generate ./web (%v)", generated, err)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	s, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	status := degraded()
	for b.Loop() {
		p := page{Status: status, Verdict: Judge(status), Assets: s.assets}
		if err := document(p).Render(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
