package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// text gives what a page says, with single spaces.
func text(t *testing.T, body string) string {
	t.Helper()
	var b strings.Builder
	var visit func(*html.Node)
	visit = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			visit(c)
		}
	}
	visit(parse(t, body))
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestAProvidersPageShowsKeysConnectionsLimitsAndWhoWaits(t *testing.T) {
	_, h := newServer(t, &fake{status: busy(), detail: geminiDetail()})
	page := text(t, get(t, h, "/providers/gemini").Body.String())
	for _, want := range []string{
		"Gemini is operational. 1 of 4 keys can be used now, 1 more after cooling down.",
		"main which ends in ···· x7Qf Usable 71% 41,204 12 limited 40,324,121 31,204,118 in, 9,120,003 out $31.33 3",
		"Cooling down until 12:00:30 UTC; HTTP 429 RESOURCE_EXHAUSTED: requests per minute",
		"batch which ends in ···· Kq2z at eu Out of quota until 23 Nov 08:00 UTC; HTTP 429",
		"old at eu Refused HTTP 401: API key expired",
		"default 3 14 212 58,012 99% 84 ms", "eu 0 0 0 no data none lately",
		"all of Gemini 43 of 60 set; the provider allows less now any number 3",
		"key main 40 as set 1,000,000 801,422 may go right now 3 of 8", "model gemini-2.5-pro 5 learned from the provider",
		"1,212 requests wait for a turn", "2 urgent, 1,210 batch", "94% of what it may hold",
		"Key team-b ····9f3c, for gemini-2.5-flash: cooling down; HTTP 429",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q; it says\n%s", want, page)
		}
	}
}

func TestAProvidersPageIsPlainWhereThereIsNothingToShow(t *testing.T) {
	for _, test := range []struct {
		path   string
		status Status
		detail Detail
		want   []string
	}{
		{"/providers/local", well(), localDetail(), []string{"Ollama is operational. It needs no key.", "None is set, and none was learned from Ollama.", "No request waits for its turn."}},
		{"/providers/openai", newcomer(), Detail{}, []string{"OpenAI is not set up.", "There are none while the provider is not in use."}},
		{"/providers/claude", keysLost(), Detail{Keys: []Key{{Name: "main", State: record.KeyRevoked}}}, []string{"Claude is down. No key is usable: its requests go to the next provider.", "Refused no data 0 0 $0 0"}},
		{"/providers/claude", keysLost(), Detail{Keys: []Key{{Name: "main"}}, Since: testNow.Add(-48 * time.Hour)}, []string{"There are figures from " + when(testNow.Add(-48*time.Hour), testNow) + " on; what came before is kept no longer."}},
	} {
		_, h := newServer(t, &fake{status: test.status, detail: test.detail})
		page := text(t, get(t, h, test.path).Body.String())
		for _, want := range test.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q; it says\n%s", test.path, want, page)
			}
		}
	}
}

func TestEveryPartOfAProvidersPageRendersAsInThePage(t *testing.T) {
	_, h := newServer(t, &fake{status: busy(), detail: geminiDetail()})
	page := get(t, h, "/providers/gemini?span=hour").Body.String()
	for _, part := range []providerPart{partState, partTraffic} {
		answer := get(t, h, "/providers/gemini?span=hour&part="+string(part)).Body.String()
		if i := strings.Index(answer, "<h"); i < 0 || !strings.Contains(page, answer[i:]) {
			t.Errorf("%s alone is not what it is in the page: %s", part, answer)
		}
	}
}

func TestThereIsNoPageOfWhatDoesNotExist(t *testing.T) {
	f := &fake{status: well()}
	_, h := newServer(t, f)
	for _, path := range []string{"/providers/mistral", "/providers/gemini?span=year", "/providers/gemini?part=budgets"} {
		if code := get(t, h, path).Code; code != http.StatusNotFound {
			t.Errorf("%s answers %d, want 404", path, code)
		}
	}
	f.set(Status{}, errTest)
	if w := get(t, h, "/providers/gemini"); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret-detail") {
		t.Errorf("a source that fails gives %d: %s", w.Code, w.Body)
	}
}

func TestTextOfKeysIsEscaped(t *testing.T) {
	const evil = `<script>alert("x")</script>`
	d := geminiDetail()
	d.Keys[2].Reason, d.Keys[1].Name, d.Pools[1].Endpoint, d.Limits[0].Of, d.Changes[0].Reason = evil, evil, evil, evil, evil
	_, h := newServer(t, &fake{status: busy(), detail: d})
	body := get(t, h, "/providers/gemini").Body.String()
	if strings.Contains(body, "<script>") || strings.Count(body, "&lt;script&gt;") != 5 {
		t.Error("a provider's text is not shown as text")
	}
}

func TestTheStatusPageSpeaksOfALineOnlyWhereThereIsOne(t *testing.T) {
	for _, test := range []struct {
		line Line
		want string
	}{
		{Line{}, ""},
		{Line{Waiting: map[traffic.Priority]int{traffic.Normal: 0}, Load: BusyFrom - 0.01}, ""},
		{Line{Waiting: map[traffic.Priority]int{traffic.Normal: 1}}, "1 request waits for a turn, because every way that they could go is at its limit: 1 normal."},
		{Line{Load: 1}, "Breakwater is at 100% of what it may hold at once: batch requests are turned away first."},
	} {
		if got := test.line.Words(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.line, got, test.want)
		}
		s := well()
		s.Line = test.line
		_, h := newServer(t, &fake{status: s})
		page := get(t, h, "/").Body.String()
		if strings.Contains(page, `<p class="line"`) != (test.want != "") {
			t.Errorf("%+v: the page shows a line: %t", test.line, test.want == "")
		}
	}
}

func TestARowSaysWhenNotAllKeysCanBeUsed(t *testing.T) {
	p := Provider{Name: llm.Gemini, Breaker: Breaker{State: record.Closed}, Keys: KeysOut{Usable: 1, All: 3}}
	if got := p.breakerNote(time.Now()); got != "breaker closed, 1 of 3 keys usable" {
		t.Errorf("got %q", got)
	}
	p.Keys = KeysOut{Usable: 0, All: 1}
	if got := p.reason(); got != "No key is usable: each is refused or out of quota" {
		t.Errorf("got %q", got)
	}
	p.Keys = KeysOut{Usable: 3, All: 3}
	if got := p.breakerNote(time.Now()) + p.reason(); got != "breaker closed" {
		t.Errorf("got %q", got)
	}
}

func TestAKeyThatCoolsDownIsNotCountedAsUsableNow(t *testing.T) {
	key := func(s record.KeyState) Key { return Key{State: s} }
	for want, keys := range map[string][]Key{
		"All 2 keys are usable.":                                          {key(record.KeyUsable), key(record.KeyUsable)},
		"0 of 2 keys can be used now, 1 more after cooling down.":         {key(record.KeyRevoked), key(record.KeyCooling)},
		"1 of 2 keys can be used now.":                                    {key(record.KeyRevoked), key(record.KeyUsable)},
		"Its one key is cooling down. A second would serve on meanwhile.": {key(record.KeyCooling)},
		"No key is usable: its requests go to the next provider.":         {key(record.KeyRevoked), key(record.KeyExhausted)},
	} {
		if got := (Detail{Provider: Provider{Name: llm.Gemini, State: Operational}, Keys: keys}).keysWords(); got != want {
			t.Errorf("%v: got %q, want %q", keys, got, want)
		}
	}
}
