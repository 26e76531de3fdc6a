package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the tests' traffic happens.
var noon = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)

var (
	gemini = llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-pro"}
	claude = llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}
)

// breakers are breakers as they stand.
type breakers struct {
	mu  sync.Mutex
	all []router.BreakerState
}

func (b *breakers) Breakers() []router.BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all
}

func (b *breakers) set(all []router.BreakerState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
}

// post is a Monitor on a store and a registry of its own.
type post struct {
	*Monitor
	t        *testing.T
	store    *store.Store
	registry *prometheus.Registry
	breakers breakers
	ids      *record.IDs
	ends     []func() error // newest last
}

// atNoon runs f at noon, on a clock of its own. The database is on a real disk.
func atNoon(t *testing.T, f func(t *testing.T, p *post)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		p := newPost(t, path)
		defer p.end()
		f(t, p)
	})
}

// newPost opens a store whose writer runs, and makes a Monitor that does not yet.
func newPost(t *testing.T, path string) *post {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	p := &post{t: t, store: s, registry: prometheus.NewRegistry(), ids: record.NewIDs(0, 0)}
	p.ends = append(p.ends, s.Close)
	p.start(s.Run)
	p.Monitor = New(Config{
		Store: s, Registry: p.registry, Version: "v1", Log: slog.New(slog.DiscardHandler),
		Providers: []llm.Provider{llm.Gemini, llm.Claude},
	})
	return p
}

// start runs a worker until the post ends.
func (p *post) start(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	p.ends = append(p.ends, func() error { cancel(); return <-ended })
	return cancel
}

// watch runs the Monitor.
func (p *post) watch() (stop func()) {
	stop = p.start(func(ctx context.Context) error { return p.Run(ctx, &p.breakers) })
	synctest.Wait()
	return stop
}

func (p *post) end() {
	for _, end := range slices.Backward(p.ends) {
		if err := end(); err != nil {
			p.t.Error(err)
		}
	}
}

// flush waits until the store has all that it was given.
func (p *post) flush() {
	p.t.Helper()
	if err := p.store.Flush(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

// figures gives every series of the registry, by name and labels. A histogram
// is its count.
func (p *post) figures() map[string]float64 {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := strings.TrimPrefix(f.GetName(), "breakwater_") + "{" + strings.Join(labels, ",") + "}"
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// want compares some series; one that is absent counts as -1.
func (p *post) want(want map[string]float64) {
	p.t.Helper()
	got := p.figures()
	for name, value := range want {
		figure, ok := got[name]
		if !ok {
			figure = -1
		}
		if diff := figure - value; diff < -1e-9 || diff > 1e-9 {
			p.t.Errorf("%s is %v, want %v", name, figure, value)
		}
	}
}

// served makes a trace of a request that a target has just answered.
func (p *post) served(target llm.Target, took time.Duration) *record.Trace {
	usage := llm.Usage{Input: 100, CacheRead: 40, CacheWrite: 10, Output: 30, Reasoning: 20}
	at := time.Now().Add(-took)
	return &record.Trace{
		ID: p.ids.Next(at), Accepted: at, TTFT: took / 2, Took: took, Door: llm.OpenAIChat, Asked: "auto",
		Preferred: target.Provider, Outcome: record.Served, Status: 200, Served: target, Reason: "first choice",
		Attempts: []record.Attempt{{Target: target, TTFT: took / 2, Took: took, Status: 200, Usage: usage, Cost: 2_500_000}},
		Plan:     []record.Candidate{{Target: target, Verdict: record.VerdictServed}}, Usage: usage, Cost: 2_500_000,
	}
}

// failed makes a trace of a request whose one attempt has just failed.
func (p *post) failed(target llm.Target, class llm.FailureClass, outcome record.Outcome) *record.Trace {
	t := p.served(target, 100*time.Millisecond)
	t.TTFT, t.Outcome, t.Status, t.Served, t.Usage, t.Cost = 0, outcome, 502, llm.Target{}, llm.Usage{}, 0
	t.Attempts = []record.Attempt{{Target: target, Took: t.Took, Class: class, Status: 503, Message: "overloaded"}}
	return t
}

// failedOver makes a trace of a request that the first target failed and the second served.
func (p *post) failedOver(first, second llm.Target) *record.Trace {
	t := p.served(second, time.Second)
	t.Attempts = append(p.failed(first, llm.Server, record.Failed).Attempts, t.Attempts...)
	t.Attempts[1].Start = 100 * time.Millisecond
	t.Attempts[1].Took -= 100 * time.Millisecond
	return t
}

func TestATraceReachesStoreMetricsWindowsAndListeners(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var heard [2][]*record.Trace
		for i := range heard {
			p.Listen(func(e Event) { heard[i] = append(heard[i], e.Trace) })
		}
		p.watch()
		trace := p.failedOver(gemini, claude)
		p.Trace(trace)
		synctest.Wait()
		for i := range heard {
			if !slices.Equal(heard[i], []*record.Trace{trace}) {
				t.Errorf("listener %d heard %v", i, heard[i])
			}
		}
		p.flush()
		if got, err := p.store.Trace(t.Context(), trace.ID); err != nil || len(got.Attempts) != 2 {
			t.Errorf("the store has %+v, %v", got, err)
		}
		p.want(map[string]float64{
			"requests_total{door=openai-chat,outcome=served}": 1, "request_duration_seconds{outcome=served}": 1,
			"request_ttft_seconds{}": 1, "attempts_total{provider=gemini,result=server}": 1,
			"attempts_total{provider=claude,result=served}": 1, "attempt_duration_seconds{provider=claude}": 1,
			"attempt_duration_seconds{provider=gemini}": -1, "attempt_ttft_seconds{provider=claude}": 1,
			"tokens_total{kind=input,provider=claude}": 100, "tokens_total{kind=cache_read,provider=claude}": 40,
			"tokens_total{kind=cache_write,provider=claude}": 10, "tokens_total{kind=output,provider=claude}": 30,
			"tokens_total{kind=reasoning,provider=claude}": 20, "cost_usd_total{provider=claude}": 0.0025,
			"store_written_total{}": 1, "store_dropped_total{}": 0, "store_queue_length{}": 0, "events_dropped_total{}": 0,
		})
		if m := p.LastOfCallers(1); len(m) != 1 || m[0].Served != 1 || m[0].Latency.Count() != 1 {
			t.Errorf("the callers' minute is %+v", m)
		}
		if m := p.Last(llm.Gemini, 2); len(m) != 1 || m[0].Failed != 1 || m[0].Served != 0 {
			t.Errorf("Gemini's minute is %+v", m)
		}
		if m := p.Last(llm.Claude, 1); len(m) != 1 || m[0].Failed != 0 || m[0].Served != 1 {
			t.Errorf("Claude's minute is %+v", m)
		}
	})
}

func TestTransitionsAndHoldsReachStoreMetricsAndListenersInOrder(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var heard []string
		p.Listen(func(e Event) {
			switch {
			case e.Transition != nil:
				heard = append(heard, string(e.Transition.To))
			case e.Hold != nil:
				heard = append(heard, "hold "+e.Hold.Reason)
			case e.Failed != nil:
				heard = append(heard, "failed at "+e.Failed.Attempts[0].Target.String())
			}
		})
		p.watch()
		now := time.Now()
		p.Failed(&record.Trace{ID: p.ids.Next(now), Attempts: []record.Attempt{{Target: gemini, Class: llm.Server}}})
		p.Transition(record.Transition{ID: p.ids.Next(now), At: now, Target: gemini, From: record.Closed, To: record.Open})
		p.Hold(record.Hold{ID: p.ids.Next(now), Target: claude, Source: record.ByAnomaly, Reason: "slow", Placed: now, Expires: now.Add(time.Minute)})
		p.Transition(record.Transition{ID: p.ids.Next(now), At: now, Target: gemini, From: record.Open, To: record.HalfOpen})
		synctest.Wait()
		if want := []string{"failed at " + gemini.String(), "open", "hold slow", "half-open"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
		p.flush()
		if all, err := p.store.Transitions(t.Context(), noon, 0); err != nil || len(all) != 2 {
			t.Errorf("the store has %d transitions, %v", len(all), err)
		}
		if all, err := p.store.Holds(t.Context(), now.Add(time.Second)); err != nil || len(all) != 1 {
			t.Errorf("the store has %d holds, %v", len(all), err)
		}
		p.want(map[string]float64{
			"breaker_transitions_total{from=closed,provider=gemini,to=open}":    1,
			"breaker_transitions_total{from=open,provider=gemini,to=half-open}": 1,
			"holds{provider=claude}": 1,
		})
	})
}

// Nobody takes an event here: a call that waited for room would never return.
func TestNothingBlocksWhenTheEventQueueIsFull(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		for range EventQueue {
			p.Hold(record.Hold{Target: gemini})
		}
		p.want(map[string]float64{"events_dropped_total{}": 0})
		trace := p.served(gemini, time.Second)
		p.Trace(trace)
		p.Transition(record.Transition{Target: gemini})
		p.Hold(record.Hold{Target: gemini})
		p.flush()
		p.want(map[string]float64{"events_dropped_total{}": 3, "requests_total{door=openai-chat,outcome=served}": 1})
		if _, err := p.store.Trace(t.Context(), trace.ID); err != nil {
			t.Errorf("a trace whose event was dropped is not in the record: %v", err)
		}
		if m := p.Last(llm.Gemini, 1); len(m) != 1 || m[0].Served != 1 {
			t.Errorf("a trace whose event was dropped is not in the window: %+v", m)
		}
	})
}

func TestRunHandsOnWhatIsQueuedWhenItEnds(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		heard := 0
		p.Listen(func(Event) { heard++ })
		for range 100 {
			p.Trace(p.served(gemini, time.Second))
		}
		p.Transition(record.Transition{ID: p.ids.Next(noon), At: noon, Target: gemini, From: record.Closed, To: record.Open})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Run(ctx, &p.breakers); err != nil {
			t.Fatal(err)
		}
		if heard != 101 {
			t.Errorf("%d of 101 events were heard", heard)
		}
		p.flush()
		if all, err := p.store.Transitions(t.Context(), noon, 0); err != nil || len(all) != 1 {
			t.Errorf("the store has %d transitions, %v", len(all), err)
		}
	})
}

func TestTheBreakerGaugeShowsOnlyTheWorstStateAndItsTime(t *testing.T) {
	mini := llm.Target{Provider: llm.Gemini, Model: "mini"}
	atNoon(t, func(t *testing.T, p *post) {
		p.watch()
		for _, c := range []struct {
			breakers []router.BreakerState
			want     record.State
		}{
			{nil, record.Closed},
			{[]router.BreakerState{{Target: gemini, State: record.Closed}, {Target: mini, State: record.HalfOpen}}, record.HalfOpen},
			{[]router.BreakerState{{Target: gemini, State: record.Open}, {Target: mini, State: record.HalfOpen}}, record.Open},
			{[]router.BreakerState{{Target: gemini, State: record.HalfOpen}, {Target: mini, State: record.Open}}, record.Open},
			{[]router.BreakerState{{Target: gemini, State: record.Closed}, {Target: mini, State: record.Closed}}, record.Closed},
		} {
			p.breakers.set(c.breakers)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			want := map[string]float64{"breaker_state{provider=claude,state=closed}": 1}
			for _, s := range record.States() {
				name := fmt.Sprintf("breaker_state{provider=gemini,state=%s}", s)
				if want[name] = 0; s == c.want {
					want[name] = 1
				}
			}
			p.want(want)
		}
		p.want(map[string]float64{
			"breaker_state_seconds_total{provider=gemini,state=closed}":    20,
			"breaker_state_seconds_total{provider=gemini,state=half-open}": 10,
			"breaker_state_seconds_total{provider=gemini,state=open}":      20,
			"breaker_state_seconds_total{provider=claude,state=closed}":    50,
			"breaker_state{provider=openai,state=closed}":                  -1, // not in use
		})
	})
}

func TestHoldsAreCountedOnceHoweverOftenTheyAreExtendedOrEnded(t *testing.T) {
	mini := llm.Target{Provider: llm.Gemini, Model: "mini"}
	atNoon(t, func(t *testing.T, p *post) {
		p.watch()
		for i, c := range []struct {
			target llm.Target
			ended  bool
			want   float64
		}{
			{gemini, true, -1}, // an end without a beginning: it was placed before a restart
			{gemini, false, 1},
			{gemini, false, 1}, // extended
			{mini, false, 2},
			{gemini, true, 1},
			{gemini, true, 1},
			{mini, true, 0},
			{mini, false, 1},
		} {
			h := record.Hold{ID: p.ids.Next(time.Now()), Target: c.target, Placed: time.Now(), Expires: time.Now().Add(time.Minute)}
			if c.ended {
				h.Ended = time.Now()
			}
			p.Hold(h)
			synctest.Wait()
			got, ok := p.figures()["holds{provider=gemini}"]
			if !ok {
				got = -1
			}
			if got != c.want {
				t.Errorf("step %d: %v holds, want %v", i, got, c.want)
			}
		}
	})
}

func TestRecentFiguresOfAProvider(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		if f := p.Recent(llm.Gemini); f != (router.Figures{}) {
			t.Errorf("without traffic: %+v", f)
		}
		for _, took := range []time.Duration{time.Second, 2 * time.Second, 9 * time.Second} {
			p.Trace(p.served(gemini, took))
		}
		p.Trace(p.failed(gemini, llm.Timeout, record.Failed))
		f := p.Recent(llm.Gemini)
		if f.Latency < 1980*time.Millisecond || f.Latency > 2020*time.Millisecond {
			t.Errorf("the median is %v", f.Latency)
		}
		if f.Attempts != 4 || f.ErrorRate != 0.25 || f.LastError != "timeout, HTTP 503: overloaded" {
			t.Errorf("got %+v", f)
		}
		for _, class := range []llm.FailureClass{llm.Cancelled, llm.RateLimit} {
			p.Trace(p.failed(gemini, class, record.Abandoned))
			f = p.Recent(llm.Gemini)
			want := "timeout, HTTP 503: overloaded"
			if class == llm.RateLimit {
				want = "rate limit, HTTP 503: overloaded"
			}
			if f.Attempts != 4 || f.ErrorRate != 0.25 || f.LastError != want {
				t.Errorf("after %s: %+v", class, f)
			}
		}
		p.Trace(p.served(gemini, time.Second))
		if f = p.Recent(llm.Gemini); f.LastError != "" || f.ErrorRate != 0.2 {
			t.Errorf("after a success: %+v", f)
		}
		time.Sleep(RecentMinutes * time.Minute)
		if f = p.Recent(llm.Gemini); f != (router.Figures{}) {
			t.Errorf("after %d minutes: %+v", RecentMinutes, f)
		}
	})
}

func TestEveryOutcomeCountsForCallersAsWhatItIs(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.Trace(p.served(gemini, time.Second))
		p.Trace(p.failedOver(gemini, claude))
		p.Trace(p.failed(gemini, llm.Network, record.Failed))
		p.Trace(p.failed(gemini, llm.BadRequest, record.Refused))
		p.Trace(p.failed(gemini, llm.Cancelled, record.Abandoned))
		m := p.LastOfCallers(1)
		if len(m) != 1 || m[0].Served != 2 || m[0].Failed != 1 || m[0].Other != 2 {
			t.Errorf("the callers' minute is %+v", m)
		}
		p.want(map[string]float64{
			"requests_total{door=openai-chat,outcome=served}": 2, "requests_total{door=openai-chat,outcome=failed}": 1,
			"requests_total{door=openai-chat,outcome=refused}": 1, "requests_total{door=openai-chat,outcome=abandoned}": 1,
		})
	})
}

func TestRestoreFillsTheLastHourAndLeavesSimulatedMinutesOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	bubble.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		p := newPost(t, path)
		p.Trace(p.served(gemini, time.Second))
		time.Sleep(30 * time.Minute)
		p.Trace(p.failedOver(gemini, claude))
		p.Trace(p.failed(gemini, llm.RateLimit, record.Failed))
		simulated := p.served(gemini, time.Second)
		simulated.Simulated = true
		p.Trace(simulated)
		p.end()

		for _, c := range []struct {
			after  time.Duration
			gemini Minute // what its minutes come to
			served int64  // by Claude
		}{
			{time.Minute, Minute{Served: 1, Failed: 1, Other: 1}, 1},
			{30 * time.Minute, Minute{Failed: 1, Other: 1}, 1}, // the first minute is an hour old
			{time.Hour, Minute{}, 0},
		} {
			time.Sleep(c.after)
			p := newPost(t, path)
			if err := p.Restore(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			got := Sum(p.Last(llm.Gemini, Minutes))
			if got.Served != c.gemini.Served || got.Failed != c.gemini.Failed || got.Other != c.gemini.Other || int64(got.Latency.Count()) != got.Served {
				t.Errorf("%v later Gemini's hour is %+v, want %+v", c.after, got, c.gemini)
			}
			if got := Sum(p.Last(llm.Claude, Minutes)); got.Served != c.served {
				t.Errorf("%v later Claude's hour is %+v", c.after, got)
			}
			if got := Sum(p.LastOfCallers(Minutes)); got.Served != c.gemini.Served+c.served || got.Failed != c.served {
				t.Errorf("%v later the callers' hour is %+v", c.after, got)
			}
			p.end()
		}
	})
}

func TestRestoreTellsThatTheStoreCannotBeRead(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Restore(ctx, time.Now()); err == nil {
			t.Error("no error")
		}
	})
}

func TestManyGoroutinesMayRecordAndLookAtOnce(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.watch()
		trace := p.failedOver(gemini, claude)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					p.Trace(trace)
					p.Recent(llm.Claude)
					p.LastOfCallers(Minutes)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if f := p.Recent(llm.Claude); f.Attempts != 400 || f.ErrorRate != 0 {
			t.Errorf("got %+v", f)
		}
		p.want(map[string]float64{"requests_total{door=openai-chat,outcome=served}": 400, "events_dropped_total{}": 0})
	})
}

func TestModelsCallersAndMessagesMakeNoSeries(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.watch()
		play := func(i int) {
			target := llm.Target{Provider: llm.Gemini, Endpoint: fmt.Sprint("endpoint-", i), Model: fmt.Sprint("model-", i)}
			trace := p.failedOver(target, llm.Target{Provider: llm.Claude, Model: target.Model})
			trace.Asked, trace.Caller, trace.Reason = target.Model, fmt.Sprint("caller-", i), fmt.Sprint("reason-", i)
			trace.Attempts[0].Message, trace.Attempts[0].Code = fmt.Sprint("message-", i), fmt.Sprint("code-", i)
			p.Trace(trace)
			p.Transition(record.Transition{ID: p.ids.Next(noon), At: noon, Target: target, From: record.Closed, To: record.Open, Reason: trace.Reason})
			p.Hold(record.Hold{ID: p.ids.Next(noon), Target: target, Reason: trace.Reason})
			p.Unpriced(llm.Gemini)
			synctest.Wait()
		}
		play(0)
		before := len(p.figures())
		for i := range 300 {
			play(i)
		}
		after := p.figures()
		if len(after) != before {
			t.Errorf("there were %d series and are %d", before, len(after))
		}
		p.want(map[string]float64{"unpriced_attempts_total{provider=gemini}": 301, "holds{provider=gemini}": 300})
	})
}
