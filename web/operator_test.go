package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const testKey = "a-long-random-text"

// post sends a form from this machine.
func post(t *testing.T, h http.Handler, path string, values url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(values.Encode()))
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:40000"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
		case "From":
			r.RemoteAddr = header[i+1]
		default:
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// signedIn gives the Cookie header of a new session.
func signedIn(t *testing.T, h http.Handler, name string) string {
	t.Helper()
	w := post(t, h, "/operator", url.Values{"key": {testKey}, "by": {name}, "next": {"/incidents/42"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/incidents/42" {
		t.Fatalf("sign in: %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	c := w.Result().Cookies()[0]
	return c.Name + "=" + c.Value
}

func TestWithoutAKeyOnlyThisMachineMayAct(t *testing.T) {
	for name, o := range map[string]struct {
		options Options
		header  []string
		want    int
	}{
		"this machine":            {Options{}, nil, http.StatusSeeOther},
		"by its name":             {Options{}, []string{"Host", "localhost:8080"}, http.StatusSeeOther},
		"over IPv6":               {Options{}, []string{"Host", "[::1]:8080", "From", "[::1]:40000"}, http.StatusSeeOther},
		"another machine":         {Options{}, []string{"From", "192.0.2.7:40000"}, http.StatusForbidden},
		"another name":            {Options{}, []string{"Host", "breakwater.example.com"}, http.StatusForbidden},
		"through a proxy":         {Options{}, []string{"X-Forwarded-For", "192.0.2.7"}, http.StatusForbidden},
		"through another":         {Options{}, []string{"Forwarded", "for=192.0.2.7"}, http.StatusForbidden},
		"through a quiet one":     {Options{}, []string{"X-Real-Ip", "192.0.2.7"}, http.StatusForbidden},
		"published":               {Options{PublicURL: "https://breakwater.example.com"}, nil, http.StatusForbidden},
		"published on loopback":   {Options{PublicURL: "http://localhost:8080"}, nil, http.StatusSeeOther},
		"a key makes it unneeded": {Options{OperatorKey: testKey}, nil, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			d := busyDesk()
			_, h := newDesk(t, &fake{}, d, o.options)
			w := post(t, h, "/incidents/43/acknowledge", nil, o.header...)
			if w.Code != o.want {
				t.Errorf("status %d, want %d", w.Code, o.want)
			}
			if acted := len(d.done()) == 1; acted != (o.want == http.StatusSeeOther) {
				t.Errorf("the desk did %v", d.done())
			}
		})
	}
}

func TestAPersonWhoSignedInMayActUntilTheSessionEnds(t *testing.T) {
	d := busyDesk()
	s, h := newDesk(t, &fake{}, d, Options{OperatorKey: testKey})
	cookie := signedIn(t, h, "Ada")
	remote := []string{"From", "192.0.2.7:40000", "Host", "breakwater.example.com", "Cookie", cookie, "X-Forwarded-For", "192.0.2.8"}
	if w := post(t, h, "/incidents/43/acknowledge", nil, remote...); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/incidents/43#acknowledge" {
		t.Fatalf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	if got := d.done(); len(got) != 1 || got[0] != "acknowledge by Ada" {
		t.Errorf("the desk did %v", got)
	}
	if body := get(t, h, "/incidents/42", "Cookie", cookie).Body.String(); !strings.Contains(body, `value="Ada"`) || strings.Contains(body, "Sign in</a>") {
		t.Error("the page of who signed in has no forms with the name")
	}
	s.now = func() time.Time { return testNow.Add(SessionFor) }
	w := post(t, h, "/incidents/43/update", url.Values{"text": {"Half of a long thought"}}, remote...)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "Half of a long thought") || !strings.Contains(w.Body.String(), "sign in first") {
		t.Errorf("an ended session: %d, what was typed is lost or nothing says what to do", w.Code)
	}
	if len(d.done()) != 1 {
		t.Errorf("the desk did %v", d.done())
	}
}

func TestTheSessionsCookieIsNarrow(t *testing.T) {
	for name, o := range map[string]struct {
		options Options
		secure  bool
	}{
		"plain":      {Options{OperatorKey: testKey}, false},
		"public TLS": {Options{OperatorKey: testKey, PublicURL: "https://breakwater.example.com"}, true},
	} {
		_, h := newDesk(t, &fake{}, busyDesk(), o.options)
		c := post(t, h, "/operator", url.Values{"key": {testKey}}).Result().Cookies()[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != o.secure || c.MaxAge != int(SessionFor/time.Second) || c.Path != "/" {
			t.Errorf("%s: %s", name, c)
		}
		if strings.Contains(c.Value, testKey) {
			t.Errorf("%s: the cookie holds the key", name)
		}
		gone := post(t, h, "/operator/leave", nil, "Cookie", c.Name+"="+c.Value).Result().Cookies()[0]
		if gone.Name != c.Name || gone.MaxAge >= 0 || gone.Value != "" {
			t.Errorf("%s: signing out sets %s", name, gone)
		}
	}
}

func TestNoOtherCookieIsASession(t *testing.T) {
	o, err := newOperators(testKey, "")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := newOperators("another key", "")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/operator", nil)
	good := o.begin(r, "Ada", testNow).Value
	if name, ok := o.session(good, testNow); !ok || name != "Ada" {
		t.Fatalf("the session is not known: %q", name)
	}
	if _, ok := o.session(foreign.begin(r, "Ada", testNow).Value, testNow); ok {
		t.Error("a session of another key is one")
	}
	rapid.Check(t, func(t *rapid.T) {
		value := []byte(good)
		at := rapid.IntRange(0, len(value)-1).Draw(t, "at")
		was := value[at]
		value[at] = byte(rapid.IntRange(33, 126).Draw(t, "byte"))
		if value[at] == was {
			t.Skip("unchanged")
		}
		// The last character of base 64 holds bits that are not read.
		name, ok := o.session(string(value), testNow)
		if ok && (name != "Ada" || at != len(value)-1) {
			t.Errorf("%s is a session of %q", value, name)
		}
	})
}

func TestAScriptActsWithTheKeyAndReadsJSON(t *testing.T) {
	d := busyDesk()
	_, h := newDesk(t, &fake{}, d, Options{OperatorKey: testKey})
	header := []string{"From", "192.0.2.7:40000", "Host", "breakwater.example.com", "Accept", "application/json", "Authorization", "Bearer " + testKey}
	w := post(t, h, "/incidents/42/update", url.Values{"text": {"Rolled back."}, "by": {"deploy"}}, header...)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"ok":true`) || !strings.Contains(w.Body.String(), `"incident":42`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := d.done(); len(got) != 1 || got[0] != "comment by deploy: Rolled back." {
		t.Errorf("the desk did %v", got)
	}
	for name, c := range map[string]struct {
		path   string
		values url.Values
		status int
		code   string
	}{
		"no text":       {"/incidents/42/update", nil, http.StatusBadRequest, "invalid_value"},
		"no incident":   {"/incidents/7/acknowledge", nil, http.StatusNotFound, "not_found"},
		"no number":     {"/incidents/x/acknowledge", nil, http.StatusNotFound, "not_found"},
		"it is over":    {"/incidents/39/resolve", nil, http.StatusConflict, "incident_over"},
		"no silence":    {"/silences/0000000000000/end", nil, http.StatusNotFound, "not_found"},
		"no channel":    {"/alerts/test", url.Values{"channel": {"pager"}}, http.StatusNotFound, "not_found"},
		"an end before": {"/silences", url.Values{"reason": {"x"}, "until": {"2026-11-01T00:00"}}, http.StatusBadRequest, "invalid_value"},
	} {
		w := post(t, h, c.path, c.values, header...)
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+c.code+`"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestWrongKeysAreLimitedByAddress(t *testing.T) {
	d := busyDesk()
	s, h := newDesk(t, &fake{}, d, Options{OperatorKey: testKey})
	try := func(key, from string) int {
		return post(t, h, "/incidents/43/acknowledge", nil, "Authorization", "Bearer "+key, "From", from+":40000", "Accept", "application/json").Code
	}
	for i := range MaxAttempts {
		if got := try("wrong "+strconv.Itoa(i), "192.0.2.7"); got != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, got)
		}
	}
	if got := try(testKey, "192.0.2.7"); got != http.StatusTooManyRequests {
		t.Errorf("the right key after %d wrong ones: %d", MaxAttempts, got)
	}
	if w := post(t, h, "/operator", url.Values{"key": {testKey}}, "From", "192.0.2.7:40001"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the sign-in has a limit of its own: %d", w.Code)
	}
	if got := try(testKey, "192.0.2.8"); got != http.StatusOK {
		t.Errorf("another address: %d", got)
	}
	s.now = func() time.Time { return testNow.Add(AttemptsFor) }
	if got := try(testKey, "192.0.2.7"); got != http.StatusOK {
		t.Errorf("after the wait: %d", got)
	}
}

func TestTheAddressesThatAreRememberedAreBounded(t *testing.T) {
	o, err := newOperators(testKey, "")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/operator", nil)
	for i := range 3 * mostAddresses {
		r.RemoteAddr = "10.0." + strconv.Itoa(i/256) + "." + strconv.Itoa(i%256) + ":1"
		o.present(r, "wrong", testNow)
	}
	if len(o.attempts) > mostAddresses+1 {
		t.Errorf("%d addresses are remembered", len(o.attempts))
	}
	r.RemoteAddr = "203.0.113.9:1"
	if got := o.present(r, testKey, testNow); got != accessWait {
		t.Errorf("a new address in a flood of them gives %v", got)
	}
	if got := o.present(r, testKey, testNow.Add(AttemptsFor)); got != accessGranted {
		t.Errorf("after the flood: %v", got)
	}
	for i := range 2 * MaxAttempts {
		r.RemoteAddr = "[2001:db8::" + strconv.Itoa(i+1) + "]:1"
		o.present(r, "wrong", testNow.Add(AttemptsFor))
	}
	if got := o.present(r, testKey, testNow.Add(AttemptsFor)); got != accessWait {
		t.Errorf("a network of IPv6 addresses has as many attempts as addresses")
	}
}

func TestFormsOfForeignPagesAreRefused(t *testing.T) {
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		d := busyDesk()
		_, h := newDesk(t, &fake{}, d, Options{})
		for _, path := range []string{"/incidents/43/acknowledge", "/silences", "/alerts/test", "/operator", "/operator/leave"} {
			w := post(t, h, path, url.Values{"channel": {"slack"}, "reason": {"x"}}, header...)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s with %v: %d", path, header, w.Code)
			}
		}
		if len(d.done())+len(d.placed) != 0 {
			t.Errorf("with %v the desk did %v", header, d.done())
		}
	}
}

func TestTheSignInLeadsNowhereElse(t *testing.T) {
	_, h := newDesk(t, &fake{}, busyDesk(), Options{OperatorKey: testKey})
	for next, want := range map[string]string{
		"/incidents/42": "/incidents/42", "/alerts": "/alerts", "//evil.example": "/alerts", "https://evil.example": "/alerts",
		"/incidents/42\r\nSet-Cookie: a=b": "/alerts", `/\evil.example`: "/alerts", "": "/alerts", "/incidents": "/incidents",
	} {
		w := post(t, h, "/operator", url.Values{"key": {testKey}, "next": {next}})
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%q leads to %q", next, got)
		}
	}
	cookie := signedIn(t, h, "")
	if w := get(t, h, "/operator?next=/incidents/42", "Cookie", cookie); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/incidents/42" {
		t.Errorf("who is signed in stays at the sign-in: %d", w.Code)
	}
}

func TestAPageSaysOnceHowToAct(t *testing.T) {
	for options, says := range map[Options]string{{OperatorKey: testKey}: "to act here", {}: "Nothing can be done from here yet"} {
		_, h := newDesk(t, &fake{}, busyDesk(), options)
		for _, path := range []string{"/incidents/42", "/alerts"} {
			if n := strings.Count(get(t, h, path).Body.String(), says); n != 1 {
				t.Errorf("%s with a key %q says %d times %q", path, options.OperatorKey, n, says)
			}
		}
	}
}

func TestNoSecretIsShownOrLogged(t *testing.T) {
	var log strings.Builder
	d := busyDesk()
	_, h := newDesk(t, &fake{}, d, Options{OperatorKey: testKey, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wrong := post(t, h, "/operator", url.Values{"key": {"almost-" + testKey}, "by": {"Ada"}})
	if wrong.Code != http.StatusUnauthorized || strings.Contains(wrong.Body.String(), testKey) || !strings.Contains(wrong.Body.String(), `value="Ada"`) {
		t.Errorf("a wrong key: %d, it is shown again or the name is not", wrong.Code)
	}
	cookie := signedIn(t, h, "Ada")
	post(t, h, "/incidents/43/acknowledge", nil, "Cookie", cookie)
	post(t, h, "/incidents/43/acknowledge", nil, "Authorization", "Bearer "+testKey+"x")
	text := log.String()
	for _, want := range []string{"an operator signed in", "action=acknowledge", "by=Ada", "operator_key_wrong"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, testKey) || strings.Contains(text, strings.TrimPrefix(cookie, sessionCookie+"=")) {
		t.Errorf("the log has a secret:\n%s", text)
	}
}
