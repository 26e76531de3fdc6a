package web

import (
	"fmt"
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestInABrowser(t *testing.T) {
	browser := startBrowser(t)

	t.Run("a change arrives without a reload", func(t *testing.T) {
		f := &fake{status: well()}
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serve(t, f)))
		eval[any](b, `window.sameDocument = true`)
		b.until(`document.querySelector('#live-text').textContent.startsWith('Live, updated')`)
		b.do(chromedp.Click("#summary-claude"))
		f.set(degraded(), nil, Parts()...)
		b.until(`document.querySelector('h1').textContent === 'Claude is degraded. Its traffic is going to Gemini.'`)
		b.until(`document.title === 'Claude is degraded – Breakwater'`)
		b.until(`document.querySelector('link[rel=icon]').href.includes('icon-degraded.svg')`)
		b.until(`document.querySelector('#providers').innerText.includes('breaker half-open')`)
		b.until(`document.querySelector('#incidents').innerText.includes('Incident 42')`)
		if !eval[bool](b, `window.sameDocument && document.querySelectorAll('link[rel=icon]').length === 1`) {
			t.Error("the page was loaded again, or has two icons")
		}
		if !eval[bool](b, `document.querySelector('#table-claude').open`) {
			t.Error("an unfolded table folds up at an update")
		}
		if got := eval[string](b, `document.activeElement.id`); got != "summary-claude" {
			t.Errorf("the focus is on %q after an update", got)
		}
		if all := b.complaints(); len(all) != 0 {
			t.Errorf("the console says: %s", strings.Join(all, "\n"))
		}
	})

	t.Run("a provider's page renews itself", func(t *testing.T) {
		f := &fake{status: well(), detail: geminiDetail()}
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serve(t, f) + "/providers/gemini?span=hour"))
		eval[any](b, `window.sameDocument = true`)
		b.until(`document.querySelector('#live-text').textContent.startsWith('Live, updated')`)
		f.set(down(), nil, PartProviders)
		b.until(`document.querySelector('h1').textContent === 'Gemini is down.'`)
		b.until(`document.title === 'Gemini: Down – Breakwater'`)
		f.set(busy(), nil, PartProviders)
		b.until(`document.querySelector('#traffic').innerText.includes('1,212 requests wait')`)
		if !eval[bool](b, `window.sameDocument && document.querySelector('.spans b').textContent === 'last hour'`) {
			t.Error("the page was loaded again, or shows another span")
		}
		if all := b.complaints(); len(all) != 0 {
			t.Errorf("the console says: %s", strings.Join(all, "\n"))
		}
	})

	t.Run("a pause holds and ends with the latest", func(t *testing.T) {
		f := &fake{status: well()}
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serve(t, f)), chromedp.Click("#live-toggle"))
		b.until(`document.querySelector('#live-text').textContent.startsWith('Paused at')`)
		eval[any](b, `window.held = 0; document.body.addEventListener('htmx:beforeRequest', () => window.held++)`)
		f.set(down(), nil, Parts()...)
		b.until(`window.held >= 5`)
		if got := eval[string](b, `document.querySelector('h1').textContent`); got != "All providers are operational." {
			t.Errorf("a paused page says %q", got)
		}
		b.do(chromedp.Click("#live-toggle"))
		b.until(`document.querySelector('h1').textContent === 'No provider is answering. Requests are failing.'`)
	})

	t.Run("a page that cannot renew itself says so", func(t *testing.T) {
		f := &fake{status: well()}
		s, handler := newServer(t, f)
		server := httptest.NewServer(handler)
		b := openTab(t, browser)
		b.do(chromedp.Navigate(server.URL))
		b.until(`document.querySelector('#live-text').textContent.startsWith('Live')`)
		f.set(Status{}, errTest, PartNow)
		b.until(`document.querySelector('#live-text').textContent.startsWith('Stale since')`)
		f.set(well(), nil, PartNow)
		b.until(`document.querySelector('#live-text').textContent.startsWith('Live')`)
		s.Close()
		server.Close()
		b.until(`document.querySelector('#live-text').textContent.startsWith('Stale since')`)
		if got := eval[string](b, `document.querySelector('h1').textContent`); got != "All providers are operational." {
			t.Errorf("a stale page says %q", got)
		}
	})

	t.Run("every state fits a narrow screen", func(t *testing.T) {
		b := openTab(t, browser)
		for name, status := range states {
			url := serve(t, &fake{status: status()})
			for _, width := range []int64{320, 360, 768, 1280} {
				b.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(url))
				eval[any](b, `document.querySelectorAll('details').forEach(d => d.open = true)`)
				if wide := eval[float64](b, `document.documentElement.scrollWidth`); wide > float64(width) {
					t.Errorf("%s at %d px is %.0f px wide", name, width, wide)
				}
			}
		}
		if all := b.complaints(); len(all) != 0 {
			t.Errorf("the console says: %s", strings.Join(all, "\n"))
		}
	})

	t.Run("the keyboard reaches everything and shows where it is", func(t *testing.T) {
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serve(t, &fake{status: degraded()})))
		b.until(`!document.querySelector('#live-toggle').hidden`)
		want := eval[float64](b, `document.querySelectorAll('a, button, summary').length`)
		seen := map[string]bool{}
		for range int(want) {
			b.do(chromedp.KeyEvent(kb.Tab))
			outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle + ' ' + getComputedStyle(document.activeElement).outlineWidth`)
			who := eval[string](b, `document.activeElement.outerHTML.slice(0, 120)`)
			if outline != "solid 2px" {
				t.Errorf("focus on %s is drawn as %q", who, outline)
			}
			seen[who] = true
		}
		if len(seen) != int(want) {
			t.Errorf("the keyboard reaches %d of %.0f elements", len(seen), want)
		}
	})

	t.Run("colours have the contrast of the palette", func(t *testing.T) {
		b := openTab(t, browser)
		b.do(chromedp.Navigate(serve(t, &fake{status: degraded()})))
		// The ratios that the palette was chosen for, less their rounding.
		for scheme, least := range map[string]map[string]float64{
			"light": {"ink": 17.75, "muted": 6.35, "line": 3.15, "ok": 3.35, "warn": 5.25, "bad": 9.35, "maintenance": 5.75},
			"dark":  {"ink": 15.55, "muted": 7.95, "line": 3.95, "ok": 4.45, "warn": 7.35, "bad": 10.65, "maintenance": 8.55},
		} {
			b.scheme(scheme)
			variable := func(name string) string {
				return eval[string](b, fmt.Sprintf(`getComputedStyle(document.documentElement).getPropertyValue('--%s')`, name))
			}
			ground := variable("ground")
			for name, want := range least {
				if got := contrast(t, variable(name), ground); got < want {
					t.Errorf("%s %s: contrast %.1f, want %.1f", scheme, name, got, want)
				}
			}
		}
	})

	t.Run("without JavaScript the page is whole", func(t *testing.T) {
		b := openTab(t, browser)
		b.withoutScript()
		b.do(chromedp.Navigate(serve(t, &fake{status: degraded()})))
		text, err := chromedp.Run(b.ctx, chromedp.Text("body"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Claude is degraded.", "breaker half-open", "Incident 42", "$41.80", "Updated 12:00:07 UTC"} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
		if strings.Contains(text, "Pause live") {
			t.Error("a button that does nothing is shown")
		}
	})
}

// contrast is WCAG 2's ratio of two colours written as #rrggbb.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	light := func(colour string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(colour), "#"), 16, 32)
		if err != nil {
			t.Fatalf("colour %q: %v", colour, err)
		}
		part := func(v uint64) float64 {
			c := float64(v&255) / 255
			if c <= 0.04045 {
				return c / 12.92
			}
			return math.Pow((c+0.055)/1.055, 2.4)
		}
		return 0.2126*part(n>>16) + 0.7152*part(n>>8) + 0.0722*part(n)
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
