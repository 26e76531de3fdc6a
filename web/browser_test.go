package web

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// startBrowser starts Debian's Chromium, with a profile of its own.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on the PATH: the page is not tested in a browser (Debian: apt-get install chromium)")
	}
	profile, err := os.MkdirTemp("", "breakwater-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	ctx, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		cancelBrowser()
		cancelAllocator()
		// Chromium's children may still write for a moment after it has stopped.
		for range 50 {
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return ctx
}

// tab is one page in the browser.
type tab struct {
	*testing.T
	ctx context.Context
	// complaints gives the errors and warnings that the page wrote to its
	// console so far; it may be asked once, at the end.
	complaints func() []string
}

func openTab(t *testing.T, browser context.Context) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	ctx, cancelTime := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(func() { cancelTime(); cancel() })
	consoleCtx, stop := context.WithCancel(ctx)
	messages := chromedp.Console(consoleCtx)
	return tab{T: t, ctx: ctx, complaints: func() []string {
		time.AfterFunc(200*time.Millisecond, stop)
		var all []string
		for m, err := range messages {
			if err != nil {
				break
			}
			if m.IsException() || m.Type == "error" || m.Type == "warning" {
				all = append(all, m.String())
			}
		}
		return all
	}}
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

func eval[T any](b tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true in the page; how long only bounds a
// hang.
func (b tab) until(expression string) {
	b.Helper()
	for start := time.Now(); time.Since(start) < 5*time.Minute; time.Sleep(20 * time.Millisecond) {
		if eval[bool](b, expression) {
			return
		}
	}
	b.Fatalf("never true: %s\nthe page says: %s", expression, eval[string](b, `document.body.innerText`))
}

func (b tab) scheme(name string) {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		b.Fatal(err)
	}
}

func (b tab) withoutScript() {
	b.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	if err != nil {
		b.Fatal(err)
	}
}

func serve(t *testing.T, f *fake) string {
	t.Helper()
	s, handler := newServer(t, f)
	server := httptest.NewServer(handler)
	t.Cleanup(func() { s.Close(); server.Close() })
	return server.URL
}

// TestScreenshots draws the page in every state, for eyes. It runs only when
// BREAKWATER_SHOTS names a folder to write to.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("BREAKWATER_SHOTS")
	if folder == "" {
		t.Skip("BREAKWATER_SHOTS names no folder for screenshots")
	}
	browser := startBrowser(t)
	details := map[string]Detail{"gemini": geminiDetail(), "local": localDetail(), "openai": {}}
	unfold := `document.querySelectorAll('details').forEach(d => d.open = true)`
	for name, status := range map[string]Status{
		"well": well(), "degraded": degraded(), "held": held(), "down": down(), "newcomer": newcomer(), "simulated": simulated(),
		"busy": busy(), "keyslost": keysLost(), "gemini": busy(), "local": well(), "openai": newcomer(),
	} {
		url := serve(t, &fake{status: status, detail: details[name]})
		if _, own := details[name]; own {
			url += "/providers/" + name
		}
		for _, look := range []struct {
			name   string
			width  int64
			scheme string
			script bool
			before string
		}{
			{"light", 1280, "light", true, ""}, {"dark", 1280, "dark", true, ""}, {"nojs", 1280, "light", false, ""},
			{"tablet", 768, "light", true, ""}, {"phone", 360, "light", true, ""}, {"tiny", 320, "dark", true, ""},
			{"open", 1280, "light", true, unfold}, {"phoneopen", 360, "dark", true, unfold},
		} {
			t.Run(name+"-"+look.name, func(t *testing.T) {
				b := openTab(t, browser)
				b.scheme(look.scheme)
				if !look.script {
					b.withoutScript()
				}
				b.do(chromedp.EmulateViewport(look.width, 900), chromedp.Navigate(url))
				if look.before != "" {
					eval[any](b, look.before)
				}
				png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, name+"-"+look.name+".png"), png, 0o644); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
