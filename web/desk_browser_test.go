package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// serveDesk serves a desk on a loopback address, so that the browser may act,
// behind a guard like that of internal/api: who comes from a page of another
// origin, or hides from which one, is refused.
func serveDesk(t *testing.T, f *fake, d *fakeDesk, o Options) string {
	t.Helper()
	s, handler := newDesk(t, f, d, o)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
			http.Error(w, "a page of the origin "+origin, http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.Close(); server.Close() })
	return server.URL
}

// TestDeskScreenshots draws the pages of incidents and alerts, for eyes. It
// runs only when BREAKWATER_SHOTS names a folder to write to.
func TestDeskScreenshots(t *testing.T) {
	folder := os.Getenv("BREAKWATER_SHOTS")
	if folder == "" {
		t.Skip("BREAKWATER_SHOTS names no folder for screenshots")
	}
	browser := startBrowser(t)
	const unfold = `document.querySelectorAll('details').forEach(d => d.open = true)`
	for _, look := range []struct {
		name, path string
		desk       *fakeDesk
		options    Options
	}{
		{"incidents", "/incidents", busyDesk(), Options{}},
		{"incidents-none", "/incidents", &fakeDesk{}, Options{}},
		{"incidents-nomatch", "/incidents?topic=model", busyDesk(), Options{}},
		{"incidents-wrong", "/incidents?topic=weather&from=2h", busyDesk(), Options{}},
		{"incident", "/incidents/42", busyDesk(), Options{}},
		{"incident-over", "/incidents/39", busyDesk(), Options{OperatorKey: "k"}},
		{"incident-key", "/incidents/43", busyDesk(), Options{PublicURL: "https://breakwater.example.com"}},
		{"incident-new", "/incidents/43", busyDesk(), Options{}},
		{"alerts", "/alerts", busyDesk(), Options{}},
		{"alerts-reading", "/alerts", busyDesk(), Options{OperatorKey: "k"}},
		{"alerts-none", "/alerts", &fakeDesk{}, Options{OperatorKey: "k"}},
		{"operator", "/operator", &fakeDesk{}, Options{OperatorKey: "k"}},
		{"maintenance", "/", busyDesk(), Options{}},
		{"incident-missing", "/incidents/9999", busyDesk(), Options{}},
		{"unreadable", "/", busyDesk(), Options{}},
	} {
		f := &fake{status: degraded()}
		switch look.name {
		case "maintenance":
			f.status = maintainedStatus()
		case "unreadable":
			f.err = errors.New("the disk is gone")
		}
		url := serveDesk(t, f, look.desk, look.options) + look.path
		for _, view := range []struct {
			name   string
			width  int64
			scheme string
			script bool
			before string
		}{
			{"light", 1280, "light", true, ""}, {"dark", 1280, "dark", true, ""}, {"nojs", 1280, "light", false, ""},
			{"phone", 360, "light", true, ""}, {"open", 1280, "light", true, unfold}, {"phoneopen", 360, "dark", true, unfold},
		} {
			t.Run(look.name+"-"+view.name, func(t *testing.T) {
				b := openTab(t, browser)
				b.scheme(view.scheme)
				if !view.script {
					b.withoutScript()
				}
				b.do(chromedp.EmulateViewport(view.width, 900), chromedp.Navigate(url))
				if view.before != "" {
					eval[any](b, view.before)
				}
				png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, look.name+"-"+view.name+".png"), png, 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestDeskInABrowser(t *testing.T) {
	browser := startBrowser(t)

	t.Run("what is being typed outlives an update", func(t *testing.T) {
		f, d := &fake{status: well()}, busyDesk()
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serveDesk(t, f, d, Options{}) + "/incidents/42"))
		b.until(`document.querySelector('#live-text').textContent.startsWith('Live, updated')`)
		b.do(chromedp.Click("#summary-update"), chromedp.SendKeys("#update-text", "I am looking at"))
		if err := d.Comment(t.Context(), 42, "Grace", "Anthropic has mended it."); err != nil {
			t.Fatal(err)
		}
		f.set(well(), nil, PartIncidents)
		b.until(`document.querySelector('#story').innerText.includes('Anthropic has mended it.')`)
		if got := eval[string](b, `document.querySelector('#update-text').value + '|' + document.activeElement.id`); got != "I am looking at|update-text" {
			t.Errorf("what was typed, and the focus: %s", got)
		}
		b.do(chromedp.Click("#update button"))
		b.until(`location.hash === '#update' && !!document.body && document.body.innerText.includes('I am looking at')`)
		if all := b.complaints(); len(all) != 0 {
			t.Errorf("the console says: %s", strings.Join(all, "\n"))
		}
	})

	t.Run("everything can be done without JavaScript", func(t *testing.T) {
		d := busyDesk()
		b := openTab(t, browser)
		b.withoutScript()
		b.do(chromedp.Navigate(serveDesk(t, &fake{status: well()}, d, Options{OperatorKey: testKey})+"/operator?next=/incidents/43"),
			chromedp.SendKeys("#sign_in-by", "Ada"), chromedp.SendKeys("#sign_in-key", testKey), chromedp.Click("form.alone button"),
			chromedp.WaitVisible("#acknowledge button"), chromedp.Click("#acknowledge button"),
			chromedp.WaitNotPresent("#summary-acknowledge"), chromedp.WaitVisible("#summary-resolve"), chromedp.Click("#summary-resolve"),
			chromedp.WaitVisible("#resolve-text"), chromedp.SendKeys("#resolve-text", "A new key is in place."), chromedp.Click("#resolve button"),
			chromedp.WaitNotPresent("#summary-resolve"))
		if got := strings.Join(d.done(), "|"); got != "acknowledge by Ada|resolve by Ada: A new key is in place." {
			t.Errorf("the desk did %s", got)
		}
	})

	t.Run("filters are sent and kept", func(t *testing.T) {
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serveDesk(t, &fake{status: well()}, busyDesk(), Options{}) + "/incidents"))
		eval[any](b, `document.querySelector('#f-topic').value = 'key'`)
		b.do(chromedp.Click(".filters button"))
		b.until(`location.search.includes('topic=key') && !!document.querySelector('.incidents') && document.querySelectorAll('.incidents > li').length === 1`)
		if got := eval[string](b, `document.querySelector('#f-topic').value`); got != "key" {
			t.Errorf("the filter shows %q", got)
		}
		if all := b.complaints(); len(all) != 0 {
			t.Errorf("the console says: %s", strings.Join(all, "\n"))
		}
	})

	t.Run("every page fits a narrow screen, and the keyboard reaches all of it", func(t *testing.T) {
		b := openTab(t, browser)
		url := serveDesk(t, &fake{status: maintainedStatus()}, busyDesk(), Options{})
		for _, path := range []string{"/incidents", "/incidents/42", "/incidents/43", "/alerts", "/operator", "/"} {
			for _, width := range []int64{320, 360, 768, 1280} {
				b.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(url+path))
				eval[any](b, `document.querySelectorAll('details').forEach(d => d.open = true)`)
				if wide := eval[float64](b, `document.documentElement.scrollWidth`); wide > float64(width) {
					t.Errorf("%s at %d px is %.0f px wide", path, width, wide)
				}
			}
		}
		b.do(chromedp.Navigate(url + "/alerts"))
		b.until(`!document.querySelector('#live-toggle').hidden`)
		b.do(chromedp.Click("#live-toggle"))
		b.until(`document.querySelectorAll('.htmx-request').length === 0`)
		eval[any](b, `document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); window.reached = new Set()`)
		want := eval[float64](b, `Array.from(document.querySelectorAll('a, button, summary')).filter(e => e.checkVisibility()).length`)
		for range int(want) {
			b.do(chromedp.KeyEvent(kb.Tab))
			if outline := eval[string](b, `window.reached.add(document.activeElement) && getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
				t.Errorf("focus on %s is drawn as %q", eval[string](b, `document.activeElement.outerHTML.slice(0, 120)`), outline)
			}
		}
		if got := eval[float64](b, `window.reached.size`); got != want {
			t.Errorf("the keyboard reaches %.0f of %.0f elements", got, want)
		}
		if all := b.complaints(); len(all) != 0 {
			t.Errorf("the console says: %s", strings.Join(all, "\n"))
		}
	})
}
