package web

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// serveDesk serves a desk on a loopback address, so that the browser may act.
func serveDesk(t *testing.T, f *fake, d *fakeDesk, o Options) string {
	t.Helper()
	s, handler := newDesk(t, f, d, o)
	server := httptest.NewServer(handler)
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
		{"incident", "/incidents/42", busyDesk(), Options{}},
		{"incident-over", "/incidents/39", busyDesk(), Options{OperatorKey: "k"}},
		{"incident-key", "/incidents/43", busyDesk(), Options{PublicURL: "https://breakwater.example.com"}},
		{"alerts", "/alerts", busyDesk(), Options{}},
		{"alerts-none", "/alerts", &fakeDesk{}, Options{OperatorKey: "k"}},
		{"operator", "/operator", &fakeDesk{}, Options{OperatorKey: "k"}},
		{"maintenance", "/", busyDesk(), Options{}},
	} {
		status := degraded()
		if look.name == "maintenance" {
			status = maintainedStatus()
		}
		url := serveDesk(t, &fake{status: status}, look.desk, look.options) + look.path
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
