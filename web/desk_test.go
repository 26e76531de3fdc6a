package web

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// here asks for a page from this machine, which may act.
func here(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:40000"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// words gives the text of a page as it is read, in one line.
func words(t *testing.T, body string) string {
	t.Helper()
	var b strings.Builder
	var visit func(*html.Node)
	visit = func(n *html.Node) {
		if n.Type == html.TextNode && n.Parent.Data != "title" {
			b.WriteString(n.Data + " ")
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			visit(c)
		}
	}
	visit(parse(t, body))
	return strings.Join(strings.Fields(b.String()), " ")
}

func TestDeskPagesAreWellBuilt(t *testing.T) {
	for _, look := range []struct {
		path string
		desk *fakeDesk
	}{
		{"/incidents", busyDesk()}, {"/incidents", &fakeDesk{}}, {"/incidents?topic=key&state=lasting", busyDesk()},
		{"/incidents/42", busyDesk()}, {"/incidents/43", busyDesk()}, {"/incidents/39", busyDesk()},
		{"/alerts", busyDesk()}, {"/alerts", &fakeDesk{}}, {"/operator", busyDesk()},
	} {
		for name, ask := range map[string]func(*testing.T, http.Handler, string, ...string) *httptest.ResponseRecorder{"acting": here, "reading": get} {
			t.Run(look.path+" "+name, func(t *testing.T) {
				_, h := newDesk(t, &fake{status: well()}, look.desk, Options{})
				w := ask(t, h, look.path)
				if w.Code != http.StatusOK {
					t.Fatalf("status %d", w.Code)
				}
				ids, labels, count := map[string]bool{}, map[string]bool{}, map[string]int{}
				var inputs []string
				walk(parse(t, w.Body.String()), func(n *html.Node) {
					count[n.Data]++
					if id := attr(n, "id"); id != "" {
						if ids[id] {
							t.Errorf("id %q is given twice", id)
						}
						ids[id] = true
					}
					labels[attr(n, "for")] = true
					switch {
					case attr(n, "style") != "" || n.Data == "style" || n.Data == "script" && attr(n, "src") == "":
						t.Errorf("<%s> is inline style or script", n.Data)
					case n.Data == "th" && attr(n, "scope") == "":
						t.Error("a table header has no scope")
					case n.Data == "select", n.Data == "textarea", n.Data == "input" && attr(n, "type") != "hidden" && attr(n, "type") != "radio":
						inputs = append(inputs, attr(n, "id"))
					case n.Data == "form" && attr(n, "method") == "post" && name == "reading":
						t.Errorf("a form for somebody who may not act: %s", attr(n, "action"))
					case n.Data == "a" && (strings.HasPrefix(attr(n, "href"), "/requests") || attr(n, "href") == "/metrics"):
					case n.Data == "a" && strings.HasPrefix(attr(n, "href"), "/"):
						if got := get(t, h, attr(n, "href")).Code; got != http.StatusOK {
							t.Errorf("link to %q gives %d", attr(n, "href"), got)
						}
					}
				})
				for _, id := range inputs {
					if id == "" || !labels[id] {
						t.Errorf("the input %q has no label", id)
					}
				}
				if count["h1"] != 1 || count["main"] != 1 {
					t.Errorf("h1 %d, main %d", count["h1"], count["main"])
				}
				policy := w.Header().Get("Content-Security-Policy")
				if count["form"] > 0 && !strings.Contains(policy, "form-action 'self'") || strings.Contains(policy, "unsafe") {
					t.Errorf("policy %q", policy)
				}
			})
		}
	}
}

func TestTheListTellsEachIncidentInALine(t *testing.T) {
	_, h := newDesk(t, &fake{}, busyDesk(), Options{})
	text := words(t, get(t, h, "/incidents").Body.String())
	for _, want := range []string{
		"Two incidents are not over.", "Claude is failing Incident 42 no request failed, 1,204 served elsewhere, 312 ms slower, $4.20 extra, 8 min Mitigated acknowledged reopened once Warning provider",
		"Gemini's key main ····x7Qf is refused Incident 43 37 requests failed, 0 served elsewhere, 2 h Open silenced Critical key",
		"Yesterday 11:00 Gemini, Claude and OpenAI were failing Incident 39", "reopened 3 times", "allows Incident 38 3 h Resolved Info budget", "Thursday, 19 November",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the list does not say %q:\n%s", want, text)
		}
	}
	_, h = newDesk(t, &fake{}, &fakeDesk{}, Options{})
	if text := words(t, get(t, h, "/incidents").Body.String()); !strings.Contains(text, "There has been no incident.") {
		t.Errorf("an empty list says %s", text)
	}
}

func TestTheListIsFilteredAndPaged(t *testing.T) {
	d := &fakeDesk{}
	for n := int64(120); n > 0; n-- {
		in := past(n, llm.Gemini, "Gemini is failing", time.Duration(130-n)*time.Hour, time.Minute)
		if n%2 == 0 {
			in.Topic, in.Subject = record.TopicKey, llm.Claude
		}
		d.incidents = append(d.incidents, in)
	}
	_, h := newDesk(t, &fake{}, d, Options{})
	seen := 0
	for path := "/incidents?provider=claude&topic=key"; path != ""; {
		w := get(t, h, path)
		path = ""
		walk(parse(t, w.Body.String()), func(n *html.Node) {
			switch {
			case n.Data == "a" && strings.HasPrefix(attr(n, "href"), "/incidents/"):
				seen++
			case n.Data == "a" && attr(n, "rel") == "next":
				path = attr(n, "href")
			case n.Data == "option" && (attr(n, "value") == "claude" || attr(n, "value") == "key"):
				chosen := false
				for _, a := range n.Attr {
					chosen = chosen || a.Key == "selected"
				}
				if !chosen {
					t.Errorf("the filter %s is lost", attr(n, "value"))
				}
			}
		})
	}
	if seen != 60 {
		t.Errorf("the pages list %d incidents, not 60", seen)
	}
	for query, says := range map[string]string{
		"topic=weather": "The topic cannot be “weather”.", "before=x": "An incident’s number cannot be “x”.", "part=none": "The page has no such part.",
		"state=pending": "The state cannot be “pending”.", "from=2h": "There is no parameter “from”. Those that there are: state, topic, provider, severity and before.",
		"severity=bad&provider=aws": "The provider cannot be “aws”. The severity cannot be “bad”.",
	} {
		w := get(t, h, "/incidents?"+query)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d, does not say %q", query, w.Code, says)
		}
	}
}

func TestAnIncidentIsASentenceItsFiguresAndItsStory(t *testing.T) {
	_, h := newDesk(t, &fake{}, busyDesk(), Options{})
	for path, wants := range map[string][]string{
		"/incidents/42": {
			"Claude is failing. No caller failed so far: the traffic is going to Gemini.", "Incident 42 has been mitigated since 11:52 UTC", "Acknowledged by Ada at 11:56. Reopened once.",
			"Requests failed 0", "Served elsewhere 1,204 most by Gemini", "Added latency 312 ms", "Extra cost $4.20", "How long 8 min so far", "Found after 1 min", "Mitigated after 1 min",
			"Ada Update Anthropic’s status page", "Acknowledged. Ada took it on.", "confirmed at 11:53:13, after 3 attempts receipt 1763812340.000200",
			"421 4.7.0 Try again later. failed 4 times, next try at 12:00:23",
		},
		"/incidents/39": {
			"Gemini, Claude and OpenAI were failing for 21 minutes. 1,812 requests failed, 220 were served elsewhere.", "resolved since 21 Nov 11:21 UTC",
			"Mitigated after never", "A second uplink by the end of the month.",
		},
		"/incidents/43": {"Nobody has acknowledged it.", "Silenced: nobody was told when it opened.", "Mitigated after not yet"},
		"/incidents/41": {"OpenAI was slow for 8 minutes. No caller failed: Gemini took the traffic."},
		"/incidents/38": {"The budget of search was spent faster than it allows. It lasted 3 hours and is over."},
	} {
		text := words(t, get(t, h, path).Body.String())
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", path, want, text)
			}
		}
	}
	body := get(t, h, "/incidents/42").Body.String()
	if want := `href="/requests?provider=claude&amp;since=2026-11-22T11%3A51%3A47Z&amp;until=2026-11-22T12%3A00%3A08Z"`; !strings.Contains(body, want) {
		t.Errorf("no link to the requests: %s", want)
	}
	for _, path := range []string{"/incidents/7", "/incidents/x", "/incidents/-1", "/incidents/42?part=none"} {
		if got := get(t, h, path).Code; got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestPartsOfTheDesksPagesAreWhatThePageHolds(t *testing.T) {
	_, h := newDesk(t, &fake{}, busyDesk(), Options{})
	for path, parts := range map[string][]string{
		"/incidents": {"verdict", "list"}, "/incidents/42": {"verdict", "story", "notices"}, "/alerts": {"verdict", "channels", "silences"},
	} {
		whole := here(t, h, path).Body.String()
		for _, part := range parts {
			w := here(t, h, path+"?part="+part)
			inner := w.Body.String()
			if i := strings.Index(inner, "<h1"); part == "verdict" && i > 0 {
				inner = inner[i:]
			}
			if w.Code != http.StatusOK || !strings.Contains(whole, inner) || len(inner) < 20 {
				t.Errorf("%s: the part %s is not what the page holds", path, part)
			}
			if strings.Contains(inner, "<textarea") {
				t.Errorf("%s: the part %s holds what somebody types into", path, part)
			}
		}
	}
}

func TestWhatWasTypedIsKeptBesideWhatIsWrong(t *testing.T) {
	d := busyDesk()
	_, h := newDesk(t, &fake{}, d, Options{})
	long := strings.Repeat("ä", MaxUpdate+1)
	for _, c := range []struct {
		path   string
		values url.Values
		status int
		wants  []string
	}{
		{"/incidents/42/update", url.Values{"text": {" \n "}, "by": {"Ada"}}, 400, []string{"The update is missing.", `value="Ada"`, `aria-describedby="update-problem"`}},
		{"/incidents/42/update", url.Values{"text": {long}}, 400, []string{"1,001 characters; there is room for 1,000", long}},
		{"/incidents/39/resolve", url.Values{"text": {"all is well"}}, 409, []string{"The incident is over", "all is well"}},
		{"/incidents/42/silence", url.Values{"until": {"2026-11-22T13:00"}}, 400, []string{"The reason is missing.", `value="2026-11-22T13:00"`}},
		{"/incidents/42/writeup", url.Values{"text": {strings.Repeat("x", MaxWriteUp+1)}}, 400, []string{"there is room for 16,000"}},
		{"/silences", url.Values{"reason": {"Move"}, "until": {"soon"}}, 400, []string{"The end is not an instant. Write it as 2026-11-22T13:00, in UTC.", `value="Move"`}},
		{"/silences", url.Values{"reason": {"Move"}, "from": {"2026-11-22T14:00"}, "until": {"2026-11-22T13:00"}}, 400, []string{"is not after the beginning"}},
		{"/silences", url.Values{"reason": {"Move"}, "from": {"2026-11-21T14:00"}, "until": {"2026-11-22T11:00"}}, 400, []string{"The end is past: it is 12:00 UTC now."}},
		{"/silences", url.Values{"reason": {"Move"}, "until": {"2027-11-22T11:00"}}, 400, []string{"longer than 90 days"}},
		{"/silences", url.Values{"reason": {"Move"}, "provider": {"weather"}}, 400, []string{"The provider cannot be “weather”."}},
		{"/silences", url.Values{"kind": {"maintenance"}, "from": {"2026-11-22T14:00"}, "until": {"2026-11-22T13:00"}, "by": {strings.Repeat("n", MaxName+1)}}, 400,
			[]string{"The name has 61 characters; there is room for 60. The reason is missing. The end, 13:00 UTC, is not after the beginning, 14:00 UTC.", `id="silence-reason" maxlength="200" name="reason"`}},
		{"/silences", url.Values{"reason": {"Move"}, "from": {"then"}, "until": {"2026-11-22T11:00"}}, 400, []string{"The beginning is not an instant. Write it as 2026-11-22T12:00, in UTC."}},
		{"/silences/" + record.ID(11).String() + "/end", url.Values{"by": {strings.Repeat("n", MaxName+1)}}, 400, []string{"The name has 61 characters"}},
		{"/incidents/43/acknowledge", url.Values{"by": {strings.Repeat("n", MaxName+1)}}, 400, []string{"The name has 61 characters"}},
		{"/incidents/42/update", url.Values{"text": {"x"}, "by": {strings.Repeat("n", MaxName+1)}}, 400, []string{"The name has 61 characters"}},
	} {
		w := post(t, h, c.path, c.values)
		if w.Code != c.status {
			t.Errorf("%s %.60v: %d", c.path, c.values, w.Code)
		}
		for _, want := range c.wants {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s %.60v: the page does not say %.60q", c.path, c.values, want)
			}
		}
	}
	if len(d.done())+len(d.placed) != 0 {
		t.Errorf("the desk did %v", d.done())
	}
	if w := post(t, h, "/incidents/42/update", url.Values{"text": {strings.Repeat("x", 2*maxForm)}}); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of %d bytes: %d", 2*maxForm, w.Code)
	}
}

func TestActionsReachTheDeskAsTheyWereMeant(t *testing.T) {
	d := busyDesk()
	_, h := newDesk(t, &fake{}, d, Options{})
	for _, c := range []struct {
		path, location string
		values         url.Values
	}{
		{"/incidents/43/acknowledge", "/incidents/43#acknowledge", url.Values{"by": {" Ada\t Lovelace "}}},
		{"/incidents/42/update", "/incidents/42#update", url.Values{"text": {"One\r\ntwo\x1b[31m\u202e"}, "by": {"Ada"}}},
		{"/incidents/42/writeup", "/incidents/42#writeup", url.Values{"text": {"Why:\r\n\r\nno fuel"}}},
		{"/incidents/42/resolve", "/incidents/42#resolve", nil},
		{"/incidents/43/silence", "/incidents/43#silence", url.Values{"reason": {"New key comes at noon"}}},
		{"/silences", "/alerts#silences", url.Values{"kind": {"maintenance"}, "provider": {"local"}, "reason": {"Driver"}, "from": {"2026-11-23T08:00"}, "until": {"2026-11-23T09:30:00Z"}, "by": {"Grace"}}},
		{"/silences/" + record.ID(11).String() + "/end", "/alerts#silences", nil},
		{"/alerts/test", "/alerts#channels", url.Values{"channel": {"slack"}}},
	} {
		w := post(t, h, c.path, c.values)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != c.location {
			t.Errorf("%s: %d to %q", c.path, w.Code, w.Header().Get("Location"))
		}
	}
	want := "acknowledge by Ada  Lovelace|comment by Ada: One\ntwo[31m|write-up: Why:\n\nno fuel|resolve by operator: |end silence by operator|test slack"
	if got := strings.Join(d.done(), "|"); got != want {
		t.Errorf("the desk did\n%q, want\n%q", got, want)
	}
	first, second := d.placed[0], d.placed[1]
	if first.Provider != llm.Gemini || first.Topic != record.TopicKey || first.Maintenance || !first.From.Equal(testNow) || !first.Until.Equal(testNow.Add(DefaultSilence)) {
		t.Errorf("the silence of an incident's subject is %+v", first)
	}
	if !second.Maintenance || second.Provider != llm.Local || second.Topic != "" || second.By != "Grace" || second.Until.Sub(second.From) != 90*time.Minute {
		t.Errorf("the maintenance is %+v", second)
	}
}

func TestAChannelThatTellsNobodyIsMarked(t *testing.T) {
	d := busyDesk()
	_, h := newDesk(t, &fake{}, d, Options{})
	text := words(t, here(t, h, "/alerts").Body.String())
	for _, want := range []string{
		"Slack is told of incidents; on-call and archive are not. Ollama is under maintenance until 12:40 UTC.", "2 messages wait to be sent.", "2 since 11:40",
		"on-call E-mail oncall@example.com Tells nobody: the last message failed", "archive Webhook hooks.example.com Tells nobody: nothing is sent to it",
		"3 signals found no room since the start", "Planned OpenAI, only throttling silenced", "by Ada, ended by Grace",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	_, h = newDesk(t, &fake{}, &fakeDesk{}, Options{})
	if text := words(t, get(t, h, "/alerts").Body.String()); !strings.Contains(text, "Nobody is told of incidents.") || !strings.Contains(text, "No signal was lost") {
		t.Errorf("without channels the page says %s", text)
	}
}

func TestWhatCameOfATestIsShown(t *testing.T) {
	d := busyDesk()
	_, h := newDesk(t, &fake{}, d, Options{})
	post(t, h, "/alerts/test", url.Values{"channel": {"slack"}, "by": {"Ada"}})
	if text := words(t, here(t, h, "/alerts").Body.String()); !strings.Contains(text, "Confirmed at 12:00:07, sent by Ada.") {
		t.Errorf("the page does not say that it was confirmed: %s", text)
	}
	d.testErr = errors.New("slack: not_in_channel: invite the bot")
	w := post(t, h, "/alerts/test", url.Values{"channel": {"slack"}})
	if w.Code != http.StatusBadGateway || !strings.Contains(words(t, w.Body.String()), "Failed at 12:00:07: slack: not_in_channel: invite the bot.") {
		t.Errorf("%d: %s", w.Code, words(t, w.Body.String()))
	}
	w = post(t, h, "/alerts/test", url.Values{"channel": {"slack"}}, "Accept", "application/json")
	if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), `"code":"channel_failed"`) || !strings.Contains(w.Body.String(), "not_in_channel") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestTextOfPeopleIsEscaped(t *testing.T) {
	const evil = `<script>alert("x")</script>`
	d := busyDesk()
	in := &d.incidents[0]
	in.Title, in.AcknowledgedBy, in.WriteUp = evil, evil, evil
	in.Timeline = append(in.Timeline, record.Event{At: testNow, Kind: evil, By: evil, Text: evil})
	d.notices[1].Text, d.notices[0].Receipt, d.notices[2].Error, d.notices[0].Channel = evil, evil, evil, evil
	d.alerts.Channels[0] = Channel{Name: evil, Kind: evil, Where: evil, Sends: evil, Error: evil}
	d.alerts.Silences[0].Reason, d.alerts.Silences[0].By = evil, evil
	_, h := newDesk(t, &fake{status: well()}, d, Options{})
	for _, path := range []string{"/incidents", "/incidents/42", "/alerts", "/feed.xml"} {
		if body := here(t, h, path).Body.String(); strings.Contains(body, "<script>") || !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("%s passes text on as it is", path)
		}
	}
	if body := post(t, h, "/incidents/42/update", url.Values{"text": {evil}, "by": {strings.Repeat("<", 70)}}).Body.String(); strings.Contains(body, "<script>") {
		t.Error("what was typed comes back as it is")
	}
}

func TestADeskThatCannotReadGivesAPlainPage(t *testing.T) {
	_, h := newDesk(t, &fake{status: well()}, &fakeDesk{err: errTest}, Options{})
	for _, path := range []string{"/incidents", "/incidents/42", "/alerts", "/feed.xml"} {
		w := here(t, h, path)
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret-detail") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w := post(t, h, "/silences", url.Values{"reason": {"x"}}, "Accept", "application/json")
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret-detail") || !strings.Contains(w.Body.String(), "not_possible_now") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheFeedHasAnEntryForEachIncident(t *testing.T) {
	_, h := newDesk(t, &fake{}, busyDesk(), Options{PublicURL: "https://breakwater.example.com/"})
	w := get(t, h, "/feed.xml")
	var feed atomFeed
	if err := xml.Unmarshal(w.Body.Bytes(), &feed); err != nil || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/atom+xml") {
		t.Fatalf("%v, %s", err, w.Header())
	}
	if feed.Updated != "2026-11-22T11:57:07Z" || len(feed.Entries) != 5 {
		t.Fatalf("updated %s, %d entries", feed.Updated, len(feed.Entries))
	}
	first := feed.Entries[0]
	if first.Title != "Mitigated: Claude is failing" || first.Link.Href != "https://breakwater.example.com/incidents/42" || first.Updated != feed.Updated || first.Published != "2026-11-22T11:51:47Z" {
		t.Errorf("first entry %+v", first)
	}
	if !strings.Contains(first.Content.Text, "22 Nov 11:57 UTC Ada: Anthropic") && !strings.Contains(first.Content.Text, "Ada: Anthropic’s status page") {
		t.Errorf("its text is %s", first.Content.Text)
	}
	ids := map[string]bool{}
	for _, e := range feed.Entries {
		if ids[e.ID] {
			t.Errorf("the id %s is given twice", e.ID)
		}
		ids[e.ID] = true
	}
}

func TestABadgeTellsStateAndQuarter(t *testing.T) {
	for path, c := range map[string]struct {
		status Status
		want   string
	}{
		"/badge/claude.svg": {degraded(), "Claude: degraded, 99.75% in 90 days"},
		"/badge/openai.svg": {newcomer(), "OpenAI: not set up, no data"},
		"/badge/local.svg":  {maintainedStatus(), "Ollama: maintenance, 99.93% in 90 days"},
	} {
		_, h := newServer(t, &fake{status: c.status})
		w := get(t, h, path)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.want) || !strings.HasPrefix(w.Header().Get("Content-Type"), "image/svg+xml") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if err := xml.Unmarshal(w.Body.Bytes(), new(struct{})); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	_, h := newServer(t, &fake{status: well()})
	for _, path := range []string{"/badge/gemini", "/badge/weather.svg", "/badge/.svg"} {
		if got := get(t, h, path).Code; got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
}

func TestMaintenanceIsShownInsteadOfTrouble(t *testing.T) {
	f := &fake{status: maintainedStatus()}
	_, h := newServer(t, f)
	body := get(t, h, "/").Body.String()
	text := words(t, body)
	for _, want := range []string{"Ollama is under maintenance. Its traffic is going to Gemini.", "Maintenance breaker open", "Under maintenance until 12:40 on 22 November UTC: New driver for the GPU.", "maintenance for 3 hours"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if got := strings.Count(body, `<path class="maintenance"`); got != 2 {
		t.Errorf("%d bars are maintenance, not 2", got)
	}
	if d := (Day{Served: 90, Failed: 10, Maintenance: time.Hour, Incident: time.Minute}); d.severity() != dayBad {
		t.Error("an incident beside maintenance is no downtime")
	}
	var got struct {
		Status                 struct{ Indicator string }
		Components             []struct{ ID, Status string }
		Scheduled_Maintenances []struct {
			Name, Status, Impact, Scheduled_For, Scheduled_Until string
			Incident_Updates                                     []struct{ Body string }
			Components                                           []struct{ ID string }
		}
	}
	if err := json.Unmarshal(get(t, h, "/status.json").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	all := got.Scheduled_Maintenances
	if len(all) != 2 || all[0].Status != "in_progress" || all[1].Status != "scheduled" || all[1].Scheduled_For != "2026-11-23T08:00:07Z" ||
		all[0].Name != "Maintenance of Ollama" || len(all[0].Components) != 1 || all[0].Components[0].ID != "local" || len(all[0].Incident_Updates) != 1 {
		t.Errorf("scheduled maintenances %+v", all)
	}
	if got.Components[3].Status != "under_maintenance" || got.Status.Indicator != "maintenance" {
		t.Errorf("components %+v", got.Components)
	}
}

func TestAnOpenIncidentIsCountedHoweverManyBeganAfterIt(t *testing.T) {
	d := &fakeDesk{}
	for n := incidentsOnPage + 10; n > 0; n-- {
		in := record.Incident{ID: record.ID(n), Number: int64(n), Topic: record.TopicProvider, Subject: llm.Gemini, State: record.Resolved, Title: "Gemini is failing", Began: testNow.Add(time.Duration(n-100) * time.Minute)}
		in.Ended = in.Began.Add(time.Minute)
		if n == 1 {
			in.State, in.Ended = record.Ongoing, time.Time{}
		}
		d.incidents = append(d.incidents, in)
	}
	_, h := newDesk(t, &fake{status: well()}, d, Options{})
	body := get(t, h, "/incidents").Body.String()
	if text := words(t, body); !strings.Contains(text, "One incident is not over: Gemini is failing.") ||
		!strings.Contains(body, `href="/incidents?state=lasting"`) {
		t.Errorf("the page says %q", text)
	}
	older := get(t, h, "/incidents?before=12").Body.String()
	if resolved := get(t, h, "/incidents?state=resolved").Body.String(); strings.Contains(resolved, "level-operational") || strings.Contains(older, "level-operational") {
		t.Error("a part of the list says that all is well")
	}
}

// The fields that https://www.mongodb.com/docs/api/doc/cloud-status/operation/operation-getstatussummary
// says are always there (2026-11).
func TestTheSummaryHasEveryFieldThatReadersCountOn(t *testing.T) {
	_, h := newServer(t, &fake{status: maintainedStatus()})
	var all map[string]any
	if err := json.Unmarshal(get(t, h, "/status.json").Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	of := func(list string) map[string]any { return all[list].([]any)[0].(map[string]any) }
	maintenance := of("scheduled_maintenances")
	for name, c := range map[string]struct {
		object map[string]any
		fields string
	}{
		"page":        {all["page"].(map[string]any), "id name url updated_at"},
		"status":      {all["status"].(map[string]any), "indicator description"},
		"component":   {of("components"), "id name status created_at updated_at position description showcase start_date group_id page_id group only_show_if_degraded"},
		"maintenance": {maintenance, "id name status created_at updated_at monitoring_at resolved_at impact shortlink started_at page_id incident_updates components scheduled_for scheduled_until"},
		"update":      {maintenance["incident_updates"].([]any)[0].(map[string]any), "id status body incident_id created_at updated_at display_at affected_components"},
	} {
		for field := range strings.FieldsSeq(c.fields) {
			if _, there := c.object[field]; !there {
				t.Errorf("the %s has no %s", name, field)
			}
		}
	}
}

func TestStatesOfIncidentsInStatuspagesWords(t *testing.T) {
	for want, in := range map[string]record.Incident{
		"investigating": {State: record.Ongoing}, "identified": {State: record.Mitigated}, "monitoring": {State: record.Recovering}, "resolved": {State: record.Resolved},
	} {
		if got := incidentStatus(in); got != want {
			t.Errorf("%s is %q", in.State, got)
		}
	}
	if got := incidentStatus(record.Incident{State: record.Ongoing, Acknowledged: testNow}); got != "identified" {
		t.Errorf("acknowledged is %q", got)
	}
}

func TestWindowsThatOverlapCountOnce(t *testing.T) {
	at := func(h int) time.Time { return testNow.Add(time.Duration(h) * time.Hour) }
	windows := []record.Silence{{From: at(5), Until: at(7)}, {From: at(0), Until: at(4)}, {From: at(1), Until: at(2)}, {From: at(3), Until: at(9), Ended: at(6)}}
	for _, c := range []struct{ from, to, now, want int }{{-1, 20, 20, 7}, {1, 2, 20, 1}, {6, 8, 20, 1}, {0, 20, 3, 3}, {8, 20, 20, 0}} {
		if got := covered(windows, at(c.from), at(c.to), at(c.now)); got != time.Duration(c.want)*time.Hour {
			t.Errorf("%d to %d by %d: %s, want %d h", c.from, c.to, c.now, got, c.want)
		}
	}
}

func TestEveryTopicHasARule(t *testing.T) {
	have := map[record.Topic]bool{}
	for _, r := range rules() {
		have[r.Topic] = true
	}
	for _, topic := range record.Topics() {
		if !have[topic] {
			t.Errorf("nothing says when an incident about %s opens", topic)
		}
	}
}

// A browser that is told no-referrer says "Origin: null" of a form to its own
// site, and the guard against foreign pages refuses that.
func TestPagesWithFormsLetTheBrowserSayWhereAFormCameFrom(t *testing.T) {
	_, h := newDesk(t, &fake{status: well()}, busyDesk(), Options{OperatorKey: testKey})
	pages := map[string]*httptest.ResponseRecorder{
		"a form that is shown again": post(t, h, "/operator", url.Values{"key": {"wrong"}}),
	}
	for _, path := range []string{"/incidents", "/incidents/42", "/alerts", "/operator"} {
		pages[path] = get(t, h, path)
	}
	for name, w := range pages {
		if got := w.Header().Get("Referrer-Policy"); got != "same-origin" {
			t.Errorf("%s: Referrer-Policy %q", name, got)
		}
	}
}

func TestAnIncidentOfAnErrorBudgetDoesNotSayThatNobodyFailed(t *testing.T) {
	began := testNow.Add(-time.Hour)
	for _, state := range []record.IncidentState{record.Ongoing, record.Resolved} {
		in := record.Incident{Number: 7, Title: "The error budget for availability is being used up", Topic: record.TopicErrorBudget, State: state, Began: began}
		if state == record.Resolved {
			in.Ended = testNow
		}
		d := &fakeDesk{}
		d.incidents = []record.Incident{in}
		_, h := newDesk(t, &fake{status: well()}, d, Options{})
		for _, path := range []string{"/incidents", "/incidents/7"} {
			text := words(t, here(t, h, path).Body.String())
			for _, lie := range []string{"no request failed", "No caller noticed", "Requests failed 0"} {
				if strings.Contains(text, lie) {
					t.Errorf("%s of one that is %s says %q", path, state, lie)
				}
			}
			if !strings.Contains(text, "The error budget for availability") {
				t.Errorf("%s of one that is %s does not show it", path, state)
			}
		}
	}
}
