package faults

import (
	"breakwater/internal/config"
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/app"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/store"
)

var (
	full   = flag.Bool("full", false, "run the faults at full length, not at a tenth of it")
	update = flag.Bool("update", false, "write docs/faults.md from what was seen")
	soak   = flag.Duration("soak", 3*time.Second, "how long the soak lasts")
)

// TestMain lets many cases run at once, whatever the number of cores: they wait
// more than they work. What a house leaves behind is found by its own label.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// scaled gives a time at full length as it is in this run.
func scaled(d time.Duration) time.Duration {
	if *full {
		return d
	}
	return d / 10
}

// seconds is scaled for what providers tell in whole seconds.
func seconds(d time.Duration) time.Duration { return max(scaled(d), time.Second).Round(time.Second) }

// The patience of the houses with a provider that is late, at full length.
const (
	connectPatience = 10 * time.Second
	firstPatience   = 10 * time.Second // to the first token
	silencePatience = 10 * time.Second
	answerPatience  = 15 * time.Second // of an answer in one piece
	recoveryTime    = 20 * time.Second // from an open breaker to its probe
)

// amplePatience is that with all others, which no machine is too slow for.
const amplePatience = time.Minute

// models are those that the providers have; all but the local one have a price.
func models() map[llm.Provider]string {
	return map[llm.Provider]string{
		llm.Gemini: "gemini-2.5-flash", llm.Claude: "claude-haiku-4-5", llm.OpenAI: "gpt-4o", llm.Local: "llama3",
	}
}

// secret gives the first key of a provider; "" where it needs none.
func secret(p llm.Provider) string {
	if p == llm.Local {
		return ""
	}
	return "sk-" + string(p) + "-main-0123456789"
}

// spare gives its second key, which only some houses have.
func spare(p llm.Provider) string { return strings.Replace(secret(p), "main", "spare", 1) }

// options says what is special of a house; the zero value is an ordinary one.
type options struct {
	chain     []llm.Provider          // all where it is empty
	models    map[llm.Provider]string // in place of models()
	spares    bool                    // every provider but the local one has a second key
	tls       []llm.Provider          // reached by https
	late      []llm.Provider          // who will be too late, and is waited for not as long as others
	alive     bool                    // who is late is never silent: only an answer in one piece takes too long
	threshold int                     // of the breakers; 3 where it is 0
	recovery  time.Duration           // of the breakers; recoveryTime, scaled, where it is 0
	patience  time.Duration           // with Retry-After; 1.5 s where it is 0
	retries   *int                    // 2 where it is nil
	limits    map[llm.Provider]string // such as "requests_per_minute: 60"
	more      string                  // YAML
	folder    string                  // of the record; a temporary one where it is ""
	sim       sim.Options             // pace and limits of the simulated providers
}

// house is a whole Breakwater between real HTTP callers and simulated
// providers, on a database of its own.
type house struct {
	*app.App
	sims   map[llm.Provider]*sim.Server
	client *http.Client
	log    *lockedBuffer
	db     string
	label  string
	models map[llm.Provider]string
	stop   func() // gracefully, once
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.b.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// open starts a house. All its goroutines carry its label, by which those that
// are left in the end are found while other houses stand.
func open(t testing.TB, o options) *house {
	t.Helper()
	if o.folder == "" {
		o.folder = t.TempDir()
	}
	h := &house{
		sims: map[llm.Provider]*sim.Server{}, log: &lockedBuffer{}, db: filepath.Join(o.folder, "faults.db"),
		label: fmt.Sprintf("%s %p", t.Name(), &o), models: o.models,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}},
	}
	if h.models == nil {
		h.models = models()
	}
	pprof.Do(t.Context(), pprof.Labels("house", h.label), func(context.Context) { h.start(t, o) })
	return h
}

func (h *house) start(t testing.TB, o options) {
	t.Helper()
	for _, p := range llm.Providers() {
		so := o.sim
		so.Models, so.Key, so.Seed = []string{h.models[p]}, secret(p), 1
		if o.spares && so.Key != "" {
			so.Keys = []string{spare(p)}
		}
		s, err := sim.Start(p, so)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		h.sims[p] = s
	}
	file := h.file(o)
	cfg, err := config.Load(config.Sources{
		LookupEnv: func(name string) (string, bool) {
			if name == "BREAKWATER_CONFIG" {
				return "faults.yaml", true
			}
			return "", false
		},
		ReadFile: func(string) ([]byte, error) { return []byte(file), nil },
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	h.App, err = app.New(t.Context(), cfg, app.Options{
		Log: slog.New(slog.NewTextHandler(h.log, nil)), ProbeInterval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx, context.Background()) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the house ended with %v", err)
		}
		h.client.CloseIdleConnections()
	})
	t.Cleanup(h.stop)
	h.eventually(t, "it serves", func() bool {
		resp, err := h.client.Get(h.URL() + "/healthz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	h.eventually(t, "every provider was looked at", func() bool {
		return !slices.ContainsFunc(llm.Providers(), func(p llm.Provider) bool { _, known := h.Router().Contact(p); return !known })
	})
}

// file writes the configuration.
func (h *house) file(o options) string {
	var f strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&f, format+"\n", args...) }
	chain := o.chain
	if len(chain) == 0 {
		chain = llm.Providers()
	}
	words := make([]string, len(chain))
	for i, p := range chain {
		words[i] = string(p)
	}
	if o.threshold == 0 {
		o.threshold = 3
	}
	if o.recovery == 0 {
		o.recovery = scaled(recoveryTime)
	}
	if o.patience == 0 {
		o.patience = 1500 * time.Millisecond
	}
	retries := 2
	if o.retries != nil {
		retries = *o.retries
	}
	line("listen: 127.0.0.1:0\ndb: %s\nchain: [%s]", h.db, strings.Join(words, ", "))
	line("breaker: {failure_threshold: %d, recovery_timeout: %s}", o.threshold, o.recovery)
	line("retries: {max: %d, backoff: %s, patience: %s}", retries, scaled(500*time.Millisecond), o.patience)
	line("anomaly: {enabled: false}\nproviders:") // its holds are another matter
	for _, p := range llm.Providers() {
		address := h.sims[p].BaseURL()
		if slices.Contains(o.tls, p) {
			address = strings.Replace(address, "http://", "https://", 1)
		}
		line("  %s:\n    default_model: %s", p, h.models[p])
		if limits := o.limits[p]; limits != "" {
			line("    limits: {%s}", limits)
		} else if p == llm.Gemini {
			line("    limits: {requests_per_minute: 0}") // it has one by default
		}
		connect, first, silence, answer := amplePatience, amplePatience, amplePatience, amplePatience
		if slices.Contains(o.late, p) {
			connect, first, silence, answer = scaled(connectPatience), scaled(firstPatience), scaled(silencePatience), scaled(answerPatience)
			if o.alive {
				first, silence = amplePatience, amplePatience
			}
		}
		line("    timeouts: {connect: %s, first_token: %s, silence: %s, answer: %s}", connect, first, silence, answer)
		line("    endpoints:\n      - base_url: %s", address)
		if key := secret(p); key != "" {
			line("        keys:\n          - {name: main, value: %s}", key)
			if o.spares {
				line("          - {name: spare, value: %s}", spare(p))
			}
		}
	}
	line("%s", o.more)
	return f.String()
}

// eventually waits for something that happens on other goroutines; how long only
// bounds a hang.
func (h *house) eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come true that %s; the end of the log:\n%s", what, h.log.tail())
		}
	}
}

// requests gives what each simulated provider was asked so far.
func (h *house) requests() map[llm.Provider]int {
	n := map[llm.Provider]int{}
	for p, s := range h.sims {
		n[p] = s.Requests() + s.Handshakes()
	}
	return n
}

// breaker gives how the breaker of a provider's model stands.
func (h *house) breaker(p llm.Provider) (state record.State, failures int) {
	state = record.Closed
	for _, b := range h.Router().Breakers() {
		if b.Target.Provider == p {
			state, failures = b.State, b.Failures
		}
	}
	return state, failures
}

// idle waits until no provider has a request under way: whatever became of the
// caller, nobody is left waiting upstream.
func (h *house) idle(t testing.TB) {
	t.Helper()
	h.eventually(t, "no provider has a request under way", func() bool {
		for _, s := range h.sims {
			if s.Open() > 0 {
				return false
			}
		}
		return true
	})
}

// close stops the house, sees that it leaves nothing behind, and gives its
// record.
func (h *house) close(t testing.TB) map[string]record.Trace {
	t.Helper()
	h.idle(t)
	h.stop()
	for p, s := range h.sims {
		h.eventually(t, fmt.Sprintf("no connection to %s is left", p), func() bool { return s.Connections() == 0 })
		s.Close()
	}
	h.eventually(t, "no goroutine is left", func() bool { return h.goroutines() == "" })
	st, err := store.Open(t.Context(), store.Options{Path: h.db})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	traces := map[string]record.Trace{}
	for before := record.ID(0); ; {
		some, err := st.Traces(t.Context(), store.TraceQuery{Before: before, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		for _, tr := range some {
			if _, twice := traces[tr.ID.String()]; twice {
				t.Errorf("trace %s is there twice", tr.ID)
			}
			traces[tr.ID.String()] = tr
			before = tr.ID
		}
		if len(some) == 0 {
			return traces
		}
	}
}

// goroutines gives the stacks of those that carry the house's label; "" for none.
func (h *house) goroutines() string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return err.Error()
	}
	var left []string
	for block := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(block, fmt.Sprintf("%q:%q", "house", h.label)) {
			left = append(left, block)
		}
	}
	return strings.Join(left, "\n\n")
}
