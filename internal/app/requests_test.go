package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/web"
)

// recorded makes a store with two requests of an hour ago, of which Claude
// failed the first, and with incidents of Claude around it, of Claude later,
// and of OpenAI.
func recorded(t *testing.T) (*store.Store, []record.Trace) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		st.Close()
	})
	at := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	claude, gemini := llm.Target{Provider: llm.Claude, Model: "sonnet"}, llm.Target{Provider: llm.Gemini, Model: "flash"}
	first := record.Trace{
		ID: record.At(at), Accepted: at, Took: time.Second, Outcome: record.Served, Status: 200, Served: gemini, Asked: "claude",
		Reason: "Claude failed (server error), so Gemini served",
		Attempts: []record.Attempt{
			{Target: claude, Class: llm.Server, Status: 503, Took: 100 * time.Millisecond, Key: "main"},
			{Target: gemini, Start: 100 * time.Millisecond, Took: 900 * time.Millisecond, Status: 200},
		},
		Plan: []record.Candidate{{Target: claude, Verdict: record.VerdictTriedFailed}, {Target: gemini, Verdict: record.VerdictServed}},
	}
	second := first
	second.ID, second.Accepted = record.At(at.Add(time.Second)), at.Add(time.Second)
	second.Attempts, second.Plan = first.Attempts[1:], []record.Candidate{{Target: gemini, Verdict: record.VerdictServed}}
	traces := []record.Trace{first, second}
	for i := range traces {
		given := traces[i]
		st.Record(&given)
	}
	for i, in := range []record.Incident{
		{Subject: llm.Claude, Began: at.Add(-time.Minute), Ended: at.Add(time.Minute)},
		{Subject: llm.Claude, Began: at.Add(2 * time.Minute), Ended: at.Add(time.Hour)},
		{Subject: llm.OpenAI, Began: at.Add(-time.Minute)},
	} {
		in.ID, in.State, in.Opened, in.Title = record.At(in.Began)+record.ID(i), record.Ongoing, in.Began, "trouble"
		ended := in.Ended
		in.Ended = time.Time{}
		if err := st.SaveIncident(t.Context(), &in, nil); err != nil {
			t.Fatal(err)
		}
		if in.Ended = ended; !ended.IsZero() {
			in.State = record.Resolved
			if err := st.SaveIncident(t.Context(), &in, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := st.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return st, traces
}

func TestARequestComesWithWhatWasAroundIt(t *testing.T) {
	st, traces := recorded(t)
	got, err := requests{st}.Request(t.Context(), traces[0].ID)
	if err != nil || got.Older != 0 || got.Newer != traces[1].ID || len(got.Incidents) != 1 || got.Incidents[0].Subject != llm.Claude {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = (requests{st}).Request(t.Context(), traces[1].ID); err != nil || got.Older != traces[0].ID || len(got.Incidents) != 0 {
		t.Errorf("the second: %+v, %v", got, err)
	}
	if _, err = (requests{st}).Request(t.Context(), 1); !errors.Is(err, web.ErrNoRequest) {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestThePagesOfRequestsShowTheRecord(t *testing.T) {
	st, traces := recorded(t)
	page, err := web.New(web.Options{Requests: requests{st}})
	if err != nil {
		t.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	page.Register(engine)
	get := func(path string) string {
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	first, second := traces[0].ID.String(), traces[1].ID.String()
	for path, want := range map[string][2]bool{
		"/requests": {true, true}, "/requests?class=any&provider=claude": {true, false}, "/requests?rerouted=1": {true, false},
		"/requests?since=30m": {}, "/requests.csv": {true, true}, "/requests.ndjson?until=" + traces[1].Accepted.Format(time.RFC3339): {true, false},
		"/requests?id=" + second: {false, true}, "/requests?model=sonnet&before=" + second: {true, false},
	} {
		body := strings.ReplaceAll(get(path), `value="`+second, "")
		body = strings.ReplaceAll(body, "id="+second, "")
		body = strings.ReplaceAll(body, "with "+second, "")
		if got := [2]bool{strings.Contains(body, first), strings.Contains(body, second)}; got != want {
			t.Errorf("%s shows %v, want %v", path, got, want)
		}
	}
	var line struct {
		ID       string
		Attempts []struct{ Class string }
	}
	if err := json.Unmarshal([]byte(get("/requests/"+first+".json")), &line); err != nil || line.ID != first || line.Attempts[0].Class != "server" {
		t.Errorf("%+v, %v", line, err)
	}
	if body := get("/requests/" + first); !strings.Contains(body, "Served by Gemini, second choice.") {
		t.Error(body)
	}
}
