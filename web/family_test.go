package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"
	"golang.org/x/net/html"
)

// everyPage gives the address of each kind of page, well and otherwise.
func everyPage() []string {
	request := manyRequests().found.Traces[0].ID.String()
	return []string{
		"/", "/providers/gemini", "/providers/nobody", "/requests", "/requests?took=fast", "/requests/" + request, "/requests/nonsense", "/incidents",
		"/incidents?topic=model", "/incidents?topic=nonsense", "/incidents/42", "/incidents/9999", "/alerts", "/operator",
	}
}

// house serves all pages at once.
func house(t *testing.T, f *fake, d *fakeDesk, o Options) http.Handler {
	t.Helper()
	o.Requests = manyRequests()
	_, h := newDesk(t, f, d, o)
	return h
}

// textOf gives the text of an element, in one line.
func textOf(n *html.Node) string {
	var b strings.Builder
	for n := range n.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestAllPagesAreOfOneFamily(t *testing.T) {
	pages := map[string]http.Handler{
		"reading": house(t, &fake{status: degraded(), detail: geminiDetail()}, busyDesk(), Options{OperatorKey: "k"}),
		"acting":  house(t, &fake{status: degraded(), detail: geminiDetail()}, busyDesk(), Options{}),
		"unread":  house(t, &fake{err: http.ErrAbortHandler}, &fakeDesk{err: http.ErrAbortHandler}, Options{}),
	}
	for name, h := range pages {
		for _, path := range everyPage() {
			t.Run(name+" "+path, func(t *testing.T) {
				w := get(t, h, path)
				var title string
				var links []string
				level, labels := 0, map[string]bool{}
				root := parse(t, w.Body.String())
				walk(root, func(n *html.Node) {
					labels[attr(n, "for")] = true
					if n.Data == "title" && n.Parent.Data == "head" {
						title = textOf(n)
					}
				})
				walk(root, func(n *html.Node) {
					switch n.Data {
					case "h1", "h2", "h3", "h4":
						at := int(n.Data[1] - '0')
						if at > level+1 || textOf(n) == "" {
							t.Errorf("<%s> %q follows a heading of level %d", n.Data, textOf(n), level)
						}
						level = at
					case "table":
						if !slices.ContainsFunc(slices.Collect(n.ChildNodes()), func(c *html.Node) bool { return c.Data == "caption" && textOf(c) != "" }) {
							t.Errorf("a table has no caption: %s", textOf(n))
						}
					case "nav":
						if attr(n, "aria-label") == "" {
							t.Error("a navigation has no name")
						}
					case "input", "select", "textarea":
						if kind := attr(n, "type"); kind != "hidden" && kind != "radio" && kind != "checkbox" && !labels[attr(n, "id")] {
							t.Errorf("the field %q has no label", attr(n, "name"))
						}
					case "a":
						if textOf(n) == "" {
							t.Errorf("the link to %s has no words", attr(n, "href"))
						}
						if p := n.Parent.Parent.Parent; n.Parent.Data == "li" && p.Data == "footer" {
							links = append(links, attr(n, "href"))
						}
					}
				})
				if !strings.HasSuffix(title, " – Breakwater") || len(title) > 120 {
					t.Errorf("title %q", title)
				}
				for _, l := range commonLinks() {
					if !slices.Contains(links, l[0]) {
						t.Errorf("the foot does not lead to %s, but to %q", l[0], links)
					}
				}
			})
		}
	}
}

// The narrowest screen that WCAG asks for (1.4.10, Reflow): nothing but tables
// and code in a frame of their own may need to be scrolled sideways.
func TestNoPageIsWiderThanANarrowScreenInABrowser(t *testing.T) {
	browser := startBrowser(t)
	server := httptest.NewServer(house(t, &fake{status: busy(), detail: geminiDetail()}, busyDesk(), Options{}))
	t.Cleanup(server.Close)
	b := openTab(t, browser)
	b.withoutScript() // the stream of one page would hold up the next
	for _, path := range everyPage() {
		b.do(chromedp.EmulateViewport(320, 900), chromedp.Navigate(server.URL+path))
		eval[any](b, `document.querySelectorAll('details').forEach(d => d.open = true)`)
		wide := eval[string](b, `document.documentElement.scrollWidth <= 320 ? '' : Array.from(document.querySelectorAll('body *'))
			.filter(e => e.getBoundingClientRect().right > 320 && !e.closest('.scroll, pre, thead')).map(e => e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.trim().slice(0, 40)).join('; ')`)
		if wide != "" {
			t.Errorf("%s is wider than the screen: %s", path, wide)
		}
	}
}

func TestAFormsAddressLeadsToThePageOfTheForm(t *testing.T) {
	h := house(t, &fake{status: well()}, busyDesk(), Options{})
	for path, want := range map[string]string{
		"/incidents/42/update": "/incidents/42#update", "/incidents/42/silence": "/incidents/42#silence", "/alerts/test": "/alerts",
		"/silences": "/alerts#silence", "/silences/01p89yc219g00/end": "/alerts", "/operator/leave": "/operator",
	} {
		if w := get(t, h, path); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%s: %d to %q, want %s", path, w.Code, w.Header().Get("Location"), want)
		}
	}
	for _, path := range []string{"/incidents/42/nonsense", "/incidents/x/update"} {
		if w := get(t, h, path); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "There is no such incident") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestABrowserGetsAPageWhereNothingIs(t *testing.T) {
	s, _ := newDesk(t, &fake{status: well()}, busyDesk(), Options{})
	engine := gin.New()
	engine.NoRoute(s.Nowhere)
	w := get(t, engine, "/nonsense")
	// It stands in front of the guard: not even the version is told.
	if body := w.Body.String(); w.Code != http.StatusNotFound || !strings.Contains(body, "There is no page at this address.") || strings.Contains(body, "0.1.0") {
		t.Errorf("%d %s", w.Code, body)
	}
}
