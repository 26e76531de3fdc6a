package app

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

func TestAnOpenAIClientReachesEveryProvider(t *testing.T) {
	h := startHouse(t, houseOptions{})
	for _, p := range llm.Providers() {
		want := sim.Speech(p)("")
		text, provider := h.chat(t, string(p))
		if text != want || provider != string(p) {
			t.Errorf("%s: %s said %q", p, provider, text)
		}
		text, finish, usage := h.stream(t, string(p))
		if text != want || finish != "stop" || usage == 0 {
			t.Errorf("%s streamed %q, finish %q, %d tokens", p, text, finish, usage)
		}
	}
	h.stop()
	all := traces(t, reopen(t, h.db))
	if len(all) != 8 {
		t.Fatalf("8 requests left %d traces", len(all))
	}
	for _, tr := range all {
		if tr.Outcome != record.Served || tr.Usage.Output == 0 || tr.Usage.Input == 0 || tr.Took == 0 {
			t.Errorf("trace %+v", tr)
		}
		if free := tr.Served.Provider == llm.Local; free != (tr.Cost == 0) {
			t.Errorf("%s cost %s", tr.Served, tr.Cost)
		}
	}
}

func TestAProviderThatDiesCostsNoCallerAnything(t *testing.T) {
	h := startHouse(t, houseOptions{env: map[string]string{"CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "3"}})
	h.chat(t, "gemini")
	h.sims[llm.Gemini].Kill()
	for range 5 {
		if _, provider := h.chat(t, "gemini"); provider != "claude" {
			t.Errorf("served by %s, want claude", provider)
		}
	}
	looks := 0 // each takes 10 ms and more
	h.eventually(t, "the metrics show the open breaker", func() bool {
		looks++
		return strings.Contains(get(t, h.URL()+"/metrics"), `breakwater_breaker_state{provider="gemini",state="open"} 1`)
	})
	h.eventually(t, "the page shows it", func() bool {
		looks++
		page := get(t, h.URL()+"/")
		return strings.Contains(page, "Gemini") && strings.Contains(page, "breaker open")
	})
	if looks > 100 {
		t.Errorf("metrics and page were looked at %d times, want it shown within 2 s, which are 100 looks on a fast machine", looks)
	}
	// The first probe fails, which confirms the incident.
	h.eventually(t, "Slack is told", func() bool {
		h.chat(t, "gemini")
		m := h.slack.Messages()
		return len(m) > 0 && strings.Contains(m[0].Text, "Gemini has been failing")
	})
	if err := h.sims[llm.Gemini].Revive(); err != nil {
		t.Fatal(err)
	}
	h.eventually(t, "Gemini serves again", func() bool { _, p := h.chat(t, "gemini"); return p == "gemini" })
	h.eventually(t, "Slack is told of the end", func() bool {
		m := h.slack.Messages()
		return strings.HasPrefix(m[0].Text, "Resolved") && len(m) > 1 && m[1].ThreadTS == m[0].TS
	})
	h.stop()
	st := reopen(t, h.db)
	transitions, err := st.Transitions(t.Context(), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, tr := range transitions {
		seen = append(seen, string(tr.From)+">"+string(tr.To))
	}
	for _, want := range []string{"closed>open", "open>half-open", "half-open>open", "half-open>closed"} {
		if !strings.Contains(strings.Join(seen, " "), want) {
			t.Errorf("the store lacks %s: %v", want, seen)
		}
	}
	incidents, err := st.Incidents(t.Context(), time.Time{}, 10)
	if err != nil || len(incidents) != 1 || incidents[0].State != record.Resolved || incidents[0].Number != 1 {
		t.Errorf("incidents %+v, %v", incidents, err)
	}
	if log := h.log.String(); !strings.Contains(log, "msg=failover") || !strings.Contains(log, "from=gemini/") || !strings.Contains(log, "to=claude/") {
		t.Error("the log does not tell of the failover")
	}
	for _, tr := range traces(t, st) {
		if tr.Outcome != record.Served {
			t.Errorf("a caller was failed: %+v", tr)
		}
	}
}

func TestTheDetectorHoldsASlowProviderAndTellsSlack(t *testing.T) {
	h := startHouse(t, houseOptions{
		pace: 20 * time.Millisecond,
		file: "anomaly: {hold: 2s, canary: 50ms, min_samples: 20}\n",
	})
	for range 30 {
		h.stream(t, "openai")
		h.stream(t, "claude")
	}
	// Slow is two seconds, which stand out also where the usual answers wait
	// longer for a processor than for their provider; so that they are many
	// all the same, they come at once.
	h.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Slow, Factor: 100})
	h.eventually(t, "traffic leaves OpenAI", func() bool {
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				resp, err := http.Post(h.URL()+"/v1/chat/completions", "application/json",
					strings.NewReader(`{"model":"openai","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("HTTP %d, %v", resp.StatusCode, err)
				}
			})
		}
		_, p := h.chat(t, "openai")
		callers.Wait()
		return p != "openai"
	})
	h.eventually(t, "Slack is told", func() bool {
		m := h.slack.Messages()
		return len(m) > 0 && strings.Contains(m[0].Text, "OpenAI has been slow")
	})
}

func TestGracefulStopCutsNoAcceptedRequest(t *testing.T) {
	slow, err := sim.Start(llm.OpenAI, sim.Options{PerToken: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	h := startHouse(t, houseOptions{env: map[string]string{"OPENAI_BASE_URL": slow.BaseURL()}})
	resp, err := http.Post(h.URL()+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"openai","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	go h.stop()
	var last string
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if last != "data: [DONE]" {
		t.Errorf("the stream ended with %q, %v", last, lines.Err())
	}
	h.stop()
	if all := traces(t, reopen(t, h.db)); len(all) != 1 || all[0].Outcome != record.Served {
		t.Errorf("traces %+v", all)
	}
}

func TestARestartTakesUpWhereItLeftOff(t *testing.T) {
	h := startHouse(t, houseOptions{})
	h.chat(t, "gemini")
	h.stop()
	st := reopen(t, h.db)
	before := traces(t, st)
	st.Close()
	again := startHouse(t, houseOptions{keep: h.db})
	again.chat(t, "gemini")
	again.stop()
	after := traces(t, reopen(t, h.db))
	if len(after) != len(before)+1 || after[0].ID <= before[0].ID {
		t.Errorf("%d traces became %d", len(before), len(after))
	}
}

// Whatever goes wrong, the providers' keys and Slack's token turn up nowhere.
func TestSecretsTurnUpNowhere(t *testing.T) {
	h := startHouse(t, houseOptions{env: map[string]string{"BREAKWATER_API_KEY": "caller-key-SECRET-0001"}})
	h.slack.Fail(2)
	ask := func(key string) string {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", h.URL()+"/v1/chat/completions",
			strings.NewReader(`{"model":"gemini","messages":[{"role":"user","content":"the-PROMPT-itself"}]}`))
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		return b.String()
	}
	var seen strings.Builder
	for _, kind := range []sim.FaultKind{sim.Unauthorized, sim.Errors, sim.Garbage, sim.Refuse, sim.BadRequest, sim.ContentFilter, sim.QuotaExhausted} {
		for _, s := range h.sims {
			s.Set(sim.Fault{Kind: kind})
		}
		for range 4 {
			seen.WriteString(ask("caller-key-SECRET-0001"))
		}
		seen.WriteString(ask("wrong-key-SECRET-0002"))
	}
	for _, path := range []string{"/", "/metrics", "/status.json", "/v1/health"} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", h.URL()+path, nil)
		req.SetBasicAuth("me", "caller-key-SECRET-0001")
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %v, %v", path, resp, err)
		}
		var b bytes.Buffer
		b.ReadFrom(resp.Body)
		resp.Body.Close()
		seen.WriteString(b.String())
	}
	seen.WriteString(files(t, h.db)) // while the journal is there
	h.stop()
	for _, m := range h.slack.Messages() {
		seen.WriteString(m.Text + string(m.Blocks))
	}
	everything := seen.String() + h.log.String() + files(t, h.db)
	for _, secret := range []string{"SECRET", "the-PROMPT-itself"} {
		if at := strings.Index(everything, secret); at >= 0 {
			t.Errorf("%s turned up: …%q…", secret, everything[max(0, at-100):min(len(everything), at+100)])
		}
	}
}

func TestThePlainCallOverHTTP(t *testing.T) {
	h := startHouse(t, houseOptions{})
	resp, err := http.Post(h.URL()+"/v1/route", "application/json",
		strings.NewReader(`{"prompt":"What is a breakwater?","system_prompt":"Be brief.","preferred_model":"claude"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Text, Provider, Model, Reason string
		RequestID                     string `json:"request_id"`
		Attempts                      int
		Usage                         map[string]int
		CostUSD                       float64 `json:"cost_usd"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Text != sim.Speech(llm.Claude)("") || got.Provider != "claude" || got.Attempts != 1 || got.CostUSD <= 0 ||
		got.Usage["output_tokens"] == 0 || got.RequestID != resp.Header.Get("X-Breakwater-Request-Id") || got.Reason == "" {
		t.Errorf("got %+v", got)
	}
	if text, err := h.Router().RouteRequest(context.Background(), "What is a breakwater?", "", "local"); err != nil || text != sim.Speech(llm.Local)("") {
		t.Errorf("RouteRequest gave %q, %v", text, err)
	}
	var local struct {
		Available bool
		Version   string
		Models    []string
	}
	if err := json.Unmarshal([]byte(get(t, h.URL()+"/v1/local")), &local); err != nil || !local.Available || local.Version == "" || len(local.Models) == 0 {
		t.Errorf("GET /v1/local: %+v, %v", local, err)
	}
}

func TestATotalOutageIsToldAtOnceAndAsOneIncident(t *testing.T) {
	h := startHouse(t, houseOptions{env: map[string]string{"CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "300"}})
	for _, s := range h.sims {
		s.Set(sim.Fault{Kind: sim.Errors, Status: 500}) // a 503 of Ollama's says that its line is full
	}
	client := h.client()
	h.eventually(t, "Slack is told that no provider is left", func() bool {
		client.Chat.Completions.New(t.Context(), question("auto"))
		return slices.ContainsFunc(h.slack.Messages(), func(m sim.SlackMessage) bool { return strings.HasPrefix(m.Text, "Every provider has been failing") })
	})
	for _, in := range h.alerts.Open() {
		if in.Topic != record.TopicEverything || in.Severity != record.Critical || len(in.Parts()) != 4 {
			t.Errorf("incident %+v, want one critical one of all four", in)
		}
	}
	if page := get(t, h.URL()+"/"); !strings.Contains(page, "Requests are failing") {
		t.Error("the page does not say that requests are failing")
	}
}

func TestARecordThatCannotBeWrittenIsSaidAndServingGoesOn(t *testing.T) {
	h := startHouse(t, houseOptions{})
	h.chat(t, "openai")
	db, err := sql.Open("sqlite3", "file:"+h.db+"?_txlock=immediate&_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	locked, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	asked := 1
	h.eventually(t, "page, metrics and log say so", func() bool {
		h.chat(t, "openai")
		asked++
		return strings.Contains(get(t, h.URL()+"/"), "the record cannot be written") &&
			strings.Contains(get(t, h.URL()+"/metrics"), "breakwater_store_failing 1") &&
			strings.Contains(h.log.String(), "the record cannot be written")
	})
	if err := locked.Rollback(); err != nil {
		t.Fatal(err)
	}
	h.eventually(t, "it is written again", func() bool { return strings.Contains(h.log.String(), "the record is written again") })
	h.stop()
	if all := traces(t, reopen(t, h.db)); len(all) != asked {
		t.Errorf("%d of %d requests are in the record", len(all), asked)
	}
}

func TestAnIncidentOfAProviderThatIsGoneEndsAtTheStart(t *testing.T) {
	h := startHouse(t, houseOptions{})
	h.sims[llm.Gemini].Kill()
	h.eventually(t, "an incident opens", func() bool { h.chat(t, "gemini"); return len(h.slack.Messages()) > 0 })
	h.stop()
	again := startHouse(t, houseOptions{keep: h.db, env: map[string]string{"GEMINI_API_KEY": ""}})
	again.stop()
	in, err := reopen(t, h.db).Incidents(t.Context(), time.Time{}, 10)
	if err != nil || len(in) != 1 || in[0].State != record.Resolved {
		t.Errorf("incidents %+v, %v", in, err)
	}
}

func TestAStopDuringTheStartIsNoError(t *testing.T) {
	cfg, err := config.Load(config.Sources{LookupEnv: func(name string) (string, bool) {
		v, ok := map[string]string{"BREAKWATER_DB": filepath.Join(t.TempDir(), "start.db"), "BREAKWATER_LISTEN": "127.0.0.1:0"}[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := a.Run(stopped, context.Background()); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
