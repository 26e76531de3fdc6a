package web

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// fakeRequests is a Requests that a test fills, and that remembers what it was asked.
type fakeRequests struct {
	mu       sync.Mutex
	found    RequestsFound
	counts   RequestCounts
	requests map[record.ID]Request
	export   []string // its parts
	err      error
	asked    []RequestQuery
}

func (f *fakeRequests) ask(q RequestQuery) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, q)
	return f.err
}

func (f *fakeRequests) Search(_ context.Context, q RequestQuery) (RequestsFound, error) {
	return f.found, f.ask(q)
}

func (f *fakeRequests) Count(_ context.Context, q RequestQuery) (RequestCounts, error) {
	return f.counts, f.ask(q)
}

func (f *fakeRequests) Export(_ context.Context, q RequestQuery, form ExportForm, out io.Writer, flush func()) error {
	for _, part := range f.export {
		if _, err := io.WriteString(out, part); err != nil {
			return err
		}
		flush()
	}
	return f.ask(q)
}

func (f *fakeRequests) Request(_ context.Context, id record.ID) (Request, error) {
	found, ok := f.requests[id]
	if !ok && f.err == nil {
		return found, ErrNoRequest
	}
	return found, f.err
}

func serveRequests(t *testing.T, f *fakeRequests) http.Handler {
	t.Helper()
	s, err := New(Options{Source: &fake{status: well()}, Changes: &fake{}, Desk: &fakeDesk{}, Requests: f, Version: "0.1.0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return testNow }
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	s.Register(engine)
	return engine
}

var (
	geminiFlash = llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
	sonnet      = llm.Target{Provider: llm.Claude, Model: "claude-3-5-sonnet-20241022"}
	gpt         = llm.Target{Provider: llm.OpenAI, Endpoint: "eu", Model: "gpt-4o"}
)

// plainRequest was served by the first candidate.
func plainRequest(ago time.Duration) record.Trace {
	at := testNow.Add(-ago)
	usage := llm.Usage{Input: 786, Output: 418}
	return record.Trace{
		ID: record.At(at), Accepted: at, TTFT: 290 * time.Millisecond, Took: 2400 * time.Millisecond, Door: llm.OpenAIChat,
		Asked: "claude", Preferred: llm.Claude, Caller: "support-bot", Stream: true, Outcome: record.Served, Status: 200, Served: sonnet,
		Reason: "Claude was the first choice", Strategy: "failover", Usage: usage, Cost: usd / 370,
		Attempts: []record.Attempt{{
			Target: sonnet, Start: 90 * time.Microsecond, TTFT: 289 * time.Millisecond, Took: 2399 * time.Millisecond, Status: 200,
			UpstreamID: "req_011CSHoEeqs5C35K2UUqR7Fy", Usage: usage, Cost: usd / 370, Key: "main",
		}},
		Plan: []record.Candidate{{Target: sonnet, Verdict: record.VerdictServed}, {Target: geminiFlash, Verdict: record.VerdictNotNeeded}},
	}
}

// reroutedRequest was served by the third candidate: the first was skipped, the
// second failed and cost something.
func reroutedRequest(ago time.Duration) record.Trace {
	t := plainRequest(ago)
	t.Served, t.Queued, t.TTFT, t.Took = geminiFlash, 40*time.Millisecond, 612*time.Millisecond, 2730*time.Millisecond
	t.Reason = "Claude has an open breaker, OpenAI failed (server, HTTP 503), so Gemini served"
	served := t.Attempts[0]
	served.Target, served.Start, served.TTFT, served.Took = geminiFlash, 352*time.Millisecond, 260*time.Millisecond, 2378*time.Millisecond
	t.Attempts = []record.Attempt{{
		Target: gpt, Start: 44 * time.Millisecond, Took: 308 * time.Millisecond, Class: llm.Server, Status: 503, Code: "overloaded",
		Message: "The engine is currently overloaded, please try again later.", UpstreamID: "req_9", Key: "team-b",
		Usage: llm.Usage{Input: 786}, Cost: usd / 322,
	}, served}
	t.Cost += usd / 322
	t.Plan = []record.Candidate{
		{Target: sonnet, Verdict: record.VerdictBreakerOpen}, {Target: gpt, Verdict: record.VerdictTriedFailed, Detail: "server, HTTP 503"},
		{Target: geminiFlash, Verdict: record.VerdictServed}, {Target: llm.Target{Provider: llm.Local, Model: "llama3"}, Verdict: record.VerdictNotNeeded},
	}
	return t
}

// hedgedRequest was served by a hedge, while the other attempt was given up.
func hedgedRequest(ago time.Duration) record.Trace {
	t := reroutedRequest(ago)
	t.Reason = "Gemini answered sooner, so Gemini served"
	t.Queued = 0
	t.Attempts[0].Class, t.Attempts[0].Status, t.Attempts[0].Code, t.Attempts[0].Message = llm.Cancelled, 0, "", ""
	t.Attempts[0].Start, t.Attempts[0].Took = 80*time.Microsecond, 612*time.Millisecond
	t.Attempts[1].Hedge = true
	return t
}

// failedRequest got no answer.
func failedRequest(ago time.Duration) record.Trace {
	t := reroutedRequest(ago)
	t.Outcome, t.Status, t.Served, t.TTFT, t.Usage, t.Cost = record.Failed, 502, llm.Target{}, 0, llm.Usage{}, 0
	t.Reason, t.Stream, t.Queued = "all_providers_failed", false, 0
	last := &t.Attempts[1]
	*last = record.Attempt{Target: geminiFlash, Start: 352 * time.Millisecond, Took: 2378 * time.Millisecond, Class: llm.Timeout, Key: "main", LastResort: true}
	t.Attempts[0].Cost = 0
	t.Plan[2] = record.Candidate{Target: geminiFlash, Verdict: record.VerdictTriedFailed, Detail: "timeout"}
	return t
}

// refusedRequest got no plan.
func refusedRequest(ago time.Duration) record.Trace {
	at := testNow.Add(-ago)
	return record.Trace{
		ID: record.At(at), Accepted: at, Took: 300 * time.Microsecond, Door: llm.AnthropicMessages, Asked: "gpt-9-ultra-mega-preview-2026-11-22",
		Outcome: record.Refused, Status: 404, Reason: "model_not_found",
	}
}

func aroundClaude() []record.Incident {
	return []record.Incident{past(41, llm.Claude, "Claude was failing", 8*time.Minute, 20*time.Minute)}
}

// manyRequests is what a search found that was not done.
func manyRequests() *fakeRequests {
	f := &fakeRequests{requests: map[record.ID]Request{}}
	for i, make := range []func(time.Duration) record.Trace{plainRequest, reroutedRequest, plainRequest, hedgedRequest, plainRequest, failedRequest, refusedRequest, plainRequest} {
		trace := make(time.Duration(i*i)*17*time.Second + 1234*time.Millisecond)
		trace.Simulated = i == 7
		f.found.Traces = append(f.found.Traces, trace)
		request := Request{Trace: trace}
		if i == 5 {
			request.Incidents = aroundClaude()
		}
		if i > 0 {
			request.Newer = f.found.Traces[i-1].ID
		}
		f.requests[trace.ID] = request
	}
	old := plainRequest(26 * time.Hour)
	f.found.Traces, f.requests[old.ID] = append(f.found.Traces, old), Request{Trace: old}
	f.found.Next, f.found.Reached = old.ID, old.Accepted
	f.counts = RequestCounts{Of: CountedRequests, From: testNow.Truncate(time.Hour).Add(-24 * time.Hour), To: testNow, Step: 15 * time.Minute, Whole: true}
	for i := range 97 {
		if i > 30 && i < 36 {
			continue
		}
		bar := RequestCount{Start: f.counts.From.Add(time.Duration(i) * f.counts.Step), Number: int64(200 + 37*i%211)}
		if i < 20 {
			bar.Simulated = bar.Number
		}
		f.counts.Bars = append(f.counts.Bars, bar)
	}
	return f
}

// wellBuilt looks at what holds for every page, and gives its links.
func wellBuilt(t *testing.T, body string) (hrefs []string) {
	t.Helper()
	count, ids := map[string]int{}, map[string]bool{}
	walk(parse(t, body), func(n *html.Node) {
		count[n.Data]++
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("id %q is given twice", id)
			}
			ids[id] = true
		}
		switch {
		case n.Data == "script" || n.Data == "style" || attr(n, "style") != "":
			t.Errorf("there is a <%s>, or a style in one", n.Data)
		case n.Data == "th" && attr(n, "scope") == "":
			t.Error("a table header has no scope")
		case n.Data == "table" && (n.FirstChild == nil || n.FirstChild.Data != "caption"):
			t.Error("a table has no caption")
		case n.Data == "svg" && attr(n, "aria-hidden") == "" && attr(n, "aria-label") == "":
			t.Error("a chart says nothing to a screen reader")
		case n.Data == "a":
			hrefs = append(hrefs, attr(n, "href"))
		case (n.Data == "input" && attr(n, "type") == "text" || n.Data == "select") && !strings.Contains(body, `for="`+attr(n, "id")+`"`):
			t.Errorf("the field %s has no label", attr(n, "name"))
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has the inline handler %s", n.Data, a.Key)
			}
		}
	})
	if count["h1"] != 1 || count["title"] != 1 || count["main"] != 1 {
		t.Errorf("h1 %d, title %d, main %d", count["h1"], count["title"], count["main"])
	}
	for _, href := range hrefs {
		if strings.HasPrefix(href, "#") && !ids[href[1:]] {
			t.Errorf("link to %q leads nowhere", href)
		}
	}
	return hrefs
}

func TestPagesOfRequestsAreWellBuiltAndTheirLinksLead(t *testing.T) {
	f := manyRequests()
	f.export = []string{"{}\n"}
	h := serveRequests(t, f)
	paths := []string{"/requests", "/requests?outcome=failed&provider=gemini&took=2s&before=" + f.found.Next.String(), "/requests?took=fast", "/requests/nonsense"}
	for id := range f.requests {
		paths = append(paths, "/requests/"+id.String())
	}
	for _, path := range paths {
		w := get(t, h, path)
		for _, href := range wellBuilt(t, w.Body.String()) {
			to, err := url.Parse(href)
			if err != nil || href[0] == '#' || href == "/metrics" || strings.HasPrefix(href, "/incidents") || href == "/alerts" {
				continue // other rooms' pages
			}
			if code := get(t, h, to.String()).Code; code != http.StatusOK {
				t.Errorf("%s links to %q, which gives %d", path, href, code)
			}
		}
	}
}

func TestASearchAsksForWhatTheAddressSays(t *testing.T) {
	f := &fakeRequests{found: RequestsFound{Done: true}}
	h := serveRequests(t, f)
	before := record.At(testNow)
	address := "/requests?since=2h+ago&until=2026-11-22+11:30&outcome=failed&provider=claude&class=any&asked=claude&model=m&endpoint=eu&key=main" +
		"&caller=bot&took=2.5s&ttft=800ms&cost=0.05&id=01P9&rerouted=1&hedged=1&queued=true&before=" + before.String()
	body := get(t, h, address).Body.String()
	want := RequestQuery{
		Before: before, Since: testNow.Add(-2 * time.Hour), Until: time.Date(2026, time.November, 22, 11, 30, 0, 0, time.UTC), ID: "01p9",
		Outcome: record.Failed, Caller: "bot", Asked: "claude", Provider: llm.Claude, Endpoint: "eu", Model: "m", Key: "main", Class: AnyFailure,
		Rerouted: true, Hedged: true, Queued: true, Took: 2500 * time.Millisecond, TTFT: 800 * time.Millisecond, Cost: usd / 20,
	}
	if len(f.asked) != 2 || f.asked[0] != want || f.asked[1] != want {
		t.Errorf("asked for %+v, want twice %+v", f.asked, want)
	}
	for _, kept := range []string{
		`value="2h ago"`, `<option value="claude" selected>`, `value="2.5s"`, `<details id="more-filters" open>`,
		`<h1>Failed, rerouted, hedged, queued requests that failed at Claude, m, endpoint eu, key main of caller bot, for “claude”, slower than 2.5s, with a first token after 800ms, dearer than $0.05`,
	} {
		if !strings.Contains(body, kept) {
			t.Errorf("the page does not have %s", kept)
		}
	}
	if n := strings.Count(body, "checked"); n != 3 {
		t.Errorf("%d boxes are checked", n)
	}
}

func TestAFilterThatCannotBeReadIsNamedAndNothingIsSearched(t *testing.T) {
	f := &fakeRequests{}
	h := serveRequests(t, f)
	for query, says := range map[string]string{
		"since=yesterday": "From: “yesterday” is no time", "until=25:00": "Until: “25:00” is no time", "outcome=good": "Outcome: “good” is none of served",
		"provider=aws": "Provider: “aws” is none of", "class=bad": "Failure: “bad” is none of", "took=fast": "Slower than: “fast” is no length",
		"ttft=-1s": "First token after: “-1s” is no length", "took=NaNd": "Slower than: “NaNd”", "cost=free": "Dearer than: “free” is no amount",
		"cost=0.0000000001": "Dearer than: ", "id=uuu": "Id begins with: ", "rerouted=maybe": "rerouted: it is 1", "before=x": "before: ",
		"since=1h&until=2h": "Until: it must be later than From", "from=2h&since=1d": "There is no parameter “from”. Those that there are: since, until, caller, asked, model, ",
	} {
		for _, path := range []string{"/requests?", "/requests.csv?", "/requests.ndjson?"} {
			w := get(t, h, path+query)
			body := html.UnescapeString(w.Body.String())
			if w.Code != http.StatusBadRequest || !strings.Contains(body, says) {
				t.Errorf("%s%s: %d, does not say %q", path, query, w.Code, says)
			}
			name, value, _ := strings.Cut(query, "=")
			if path == "/requests?" && !strings.Contains(query, "&") && name != "rerouted" && name != "before" && name != "from" &&
				(!strings.Contains(body, `id="f-`+name+`-wrong"`) || name != "outcome" && name != "provider" && name != "class" && !strings.Contains(body, `value="`+value+`"`)) {
				t.Errorf("%s: the field has no error beside it, or lost what was written", query)
			}
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("searched for %+v", f.asked)
	}
}

func TestAFilterOfBytesThatAreNoTextIsShownAsText(t *testing.T) {
	for _, name := range []string{"caller", "provider", "since", "cost", "id"} {
		form := readRequestForm(url.Values{name: {"\xff<\xfe"}}, time.Now())
		if shown := form.Values.Get(name) + form.complaint(); !utf8.ValidString(shown) {
			t.Errorf("%s: %q", name, shown)
		}
	}
}

func TestAPartOfASearchSaysHowFarItCameAndGoesOnFromThere(t *testing.T) {
	f := manyRequests()
	h := serveRequests(t, f)
	body := get(t, h, "/requests?took=2s&before="+record.At(testNow).String()).Body.String()
	for _, want := range []string{"Searched back to 21 Nov 10:00:07 UTC", `href="/requests?before=` + f.found.Next.String() + `&amp;took=2s"`, `href="/requests.csv?took=2s"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	f.found = RequestsFound{Done: true, Unknown: [][2]string{{"caller", "<nobody>"}}}
	body = get(t, h, "/requests?caller=%3Cnobody%3E").Body.String()
	if !strings.Contains(body, "Nothing in the record has the caller “&lt;nobody&gt;”") || strings.Contains(body, "rel=\"next\"") {
		t.Error("the page does not say that nobody is called so")
	}
	f.found = RequestsFound{Done: true}
	if body = get(t, h, "/requests").Body.String(); !strings.Contains(body, "Nothing is recorded yet") {
		t.Error("an empty record's page says nothing of it")
	}
}

func TestOnlyFailedAndReroutedRequestsCarryAnIcon(t *testing.T) {
	f := manyRequests()
	h := serveRequests(t, f)
	icons := 0
	walk(parse(t, get(t, h, "/requests").Body.String()), func(n *html.Node) {
		if strings.HasPrefix(attr(n, "class"), "icon") {
			icons++
		}
	})
	if icons != 3 {
		t.Errorf("%d rows carry an icon, want those of two that were rerouted and one that failed", icons)
	}
}

func TestThePageOfARequestTellsItsWay(t *testing.T) {
	f := manyRequests()
	h := serveRequests(t, f)
	for i, want := range map[int][]string{
		0: {"<h1 class=\"rule level-operational\">Served by Claude, first choice.</h1>", "nothing wasted", "req_011CSHoEeqs5C35K2UUqR7Fy"},
		1: {
			"Served by Gemini, third choice.", "Skipped: breaker open", "Tried, failed", "Not needed", "of it $0.0031 for what did not serve", "team-b",
			"HTTP 503 overloaded: The engine is currently overloaded", "It waited 40 ms for its turn.", "What was tried before took 308 ms",
			`aria-label="Attempt 2, Gemini: from 352 ms to 2.7 s, first token at 612 ms"`, "Stream to the caller", "<td>44.000</td>",
		},
		3: {"Given up", "hedge: sent beside one that was late"},
		5: {"Failed: all providers failed.", "level-down", "Incident 41", "last resort: its breaker was open", "2 attempts in 2.7 s.", "The answer was HTTP 502."},
		6: {"Refused: model not found.", "There was no plan", "No provider was asked."},
		7: {"This request is simulated"},
	} {
		body := get(t, h, "/requests/"+f.found.Traces[i].ID.String()).Body.String()
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("request %d: the page does not have %q", i, text)
			}
		}
	}
}

func TestARequestThatIsNotThereIsA404ThatSaysWhatToDo(t *testing.T) {
	f := &fakeRequests{}
	h := serveRequests(t, f)
	for path, want := range map[string]string{
		"/requests/01P9ER24H1000": "/requests?id=01p9er", "/requests/01p9!!": "/requests?id=01p9", "/requests/%3Cscript%3E": "&lt;script&gt;",
		"/requests/01p9er24h1000.json": "no such request", "/requests/x.json": "no such request",
	} {
		w := get(t, h, path)
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "<script>") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	f.err = errTest
	for _, path := range []string{"/requests", "/requests/01p9er24h1000", "/requests/01p9er24h1000.json", "/requests.csv"} {
		w := get(t, h, path)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "secret-detail") {
			t.Errorf("%s with a record that cannot be read: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestARequestIsThereAsJSON(t *testing.T) {
	f := manyRequests()
	f.export = []string{`{"id":"x"}` + "\n"}
	h := serveRequests(t, f)
	id := f.found.Traces[0].ID.String()
	for _, w := range []interface{ Result() *http.Response }{
		get(t, h, "/requests/"+id+".json"), get(t, h, "/requests/"+id, "Accept", "application/json"),
	} {
		answer := w.Result()
		var got struct{ ID string }
		if err := json.NewDecoder(answer.Body).Decode(&got); err != nil || got.ID != "x" || answer.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%v %v", got, err)
		}
	}
	if f.asked[0].ID != id || f.asked[1].ID != id {
		t.Errorf("asked for %+v", f.asked)
	}
	if kind := get(t, h, "/requests/"+id, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8").Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		t.Errorf("a browser gets %s", kind)
	}
}

func TestADownloadIsAFileOfTheSameSearch(t *testing.T) {
	f := &fakeRequests{export: []string{"a\n", "b\n"}}
	h := serveRequests(t, f)
	for path, kind := range map[string]string{"/requests.csv": "text/csv; charset=utf-8; header=present", "/requests.ndjson": "application/x-ndjson; charset=utf-8"} {
		w := get(t, h, path+"?outcome=failed")
		if w.Body.String() != "a\nb\n" || w.Header().Get("Content-Type") != kind || !w.Flushed ||
			!strings.Contains(w.Header().Get("Content-Disposition"), `filename="requests-20261122-120007.`) {
			t.Errorf("%s: %q %v", path, w.Body, w.Header())
		}
	}
	if f.asked[0] != (RequestQuery{Outcome: record.Failed}) {
		t.Errorf("asked for %+v", f.asked[0])
	}
	f.err = errTest
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("a download that broke off looks whole")
		}
	}()
	get(t, h, "/requests.csv")
}

func TestTextOfRequestsIsEscaped(t *testing.T) {
	const evil = `<script>alert("x")</script>`
	trace := failedRequest(time.Second)
	trace.Asked, trace.Caller, trace.Strategy = evil, evil, evil
	trace.Attempts[0].Message, trace.Attempts[0].Code, trace.Attempts[0].UpstreamID, trace.Attempts[0].Key = evil, evil, evil, evil
	trace.Plan[0].Detail, trace.Plan[0].Target.Model = evil, evil
	f := &fakeRequests{found: RequestsFound{Traces: []record.Trace{trace}}, requests: map[record.ID]Request{trace.ID: {Trace: trace}}}
	h := serveRequests(t, f)
	for path, times := range map[string]int{"/requests?asked=" + url.QueryEscape(evil): 5, "/requests/" + trace.ID.String(): 8} {
		body := get(t, h, path).Body.String()
		if n := strings.Count(body, "&lt;script&gt;"); strings.Contains(body, "<script") || n < times {
			t.Errorf("%s: shown escaped %d times, want at least %d", path, n, times)
		}
	}
}

func TestOnlyThePageWithAFormMaySendOne(t *testing.T) {
	f := manyRequests()
	h := serveRequests(t, f)
	for path, want := range map[string]string{"/requests": "form-action 'self'", "/requests/" + f.found.Next.String(): "form-action 'none'", "/requests.csv": "form-action 'none'"} {
		if policy := get(t, h, path).Header().Get("Content-Security-Policy"); !strings.Contains(policy, want) || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: %s", path, policy)
		}
	}
}

func TestAHistogramStaysWithinItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := RequestCounts{From: testNow, Step: time.Minute}
		c.To = c.From.Add(time.Duration(rapid.Int64Range(1, int64(200*time.Minute)).Draw(t, "length")))
		var sum int64
		for at := c.From; at.Before(c.To); at = at.Add(c.Step) {
			if n := rapid.Int64Range(0, 5).Draw(t, "number"); n > 0 {
				c.Bars = append(c.Bars, RequestCount{Start: at, Number: n})
				sum += n
			}
		}
		d := drawCounts(c)
		if d.Sum != sum || strings.Contains(d.Bars, "-") && strings.Contains(d.Bars, "M-") {
			t.Errorf("%+v of %d", d, sum)
		}
		if (d.Bars == "") != (sum == 0) || strings.Contains(d.Bars, "NaN") || strings.Contains(d.Bars, "Inf") {
			t.Errorf("%q", d.Bars)
		}
	})
}

// TestScreenshotsOfRequests draws the pages of requests, for eyes, as
// TestScreenshots does.
func TestScreenshotsOfRequests(t *testing.T) {
	folder := os.Getenv("BREAKWATER_SHOTS")
	if folder == "" {
		t.Skip("BREAKWATER_SHOTS names no folder for screenshots")
	}
	browser := startBrowser(t)
	many := manyRequests()
	request := func(i int) string { return "/requests/" + many.found.Traces[i].ID.String() }
	for name, page := range map[string]struct {
		of   *fakeRequests
		path string
	}{
		"requests": {many, "/requests"}, "requests-wrong": {many, "/requests?took=fast&since=yesterday&provider=claude&from=2h"},
		"requests-none": {&fakeRequests{found: RequestsFound{Done: true, Unknown: [][2]string{{"caller", "nobody"}}}}, "/requests?caller=nobody"},
		"requests-new":  {&fakeRequests{found: RequestsFound{Done: true}}, "/requests"},
		"request-first": {many, request(0)}, "request-third": {many, request(1)}, "request-hedged": {many, request(3)},
		"request-failed": {many, request(5)}, "request-refused": {many, request(6)}, "request-missing": {many, "/requests/01p9er24h1000"},
	} {
		server := httptest.NewServer(serveRequests(t, page.of))
		t.Cleanup(server.Close)
		for _, look := range []struct {
			name   string
			width  int64
			scheme string
			before string
		}{
			{"light", 1280, "light", ""}, {"dark", 1280, "dark", ""}, {"phone", 360, "light", ""},
			{"open", 1280, "light", `document.querySelectorAll('details').forEach(d => d.open = true)`}, {"tablet", 768, "dark", ""},
		} {
			b := openTab(t, browser)
			b.scheme(look.scheme)
			if look.before == "" {
				b.withoutScript()
			}
			b.do(chromedp.EmulateViewport(look.width, 900), chromedp.Navigate(server.URL+page.path))
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
		}
	}
}
