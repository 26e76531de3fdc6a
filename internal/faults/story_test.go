package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

// story is a case of its own kind.
type story struct {
	name string
	play func(t *testing.T, r *row)
}

func stories() []story {
	return []story{
		{"a stream is cut, and the fallback's model refuses prefill", refusesPrefill},
		{"a stream is cut, and a fallback refuses prefill unexpectedly", refusesPrefillUnexpectedly},
		{"a key is revoked, another works", aKey(sim.Fault{Kind: sim.Unauthorized}, llm.Auth)},
		{"a key is out of quota, another works", aKey(sim.Fault{Kind: sim.QuotaExhausted}, llm.Quota)},
		{"a key is rate-limited, another works", aKey(sim.Fault{Kind: sim.RateLimited, RetryAfter: time.Minute}, llm.RateLimit)},
		{"down for 60 s under steady traffic", downForAWhile},
		{"failed over in mid-stream: both legs are accounted", accounting},
		{"the breaker's probe hangs", wedgedProbe},
		{"the breaker's probe is cancelled by its caller", cancelledProbe},
		{"429 between failures, and to the probe", limitIsNoSuccess},
		{"every breaker is open", allOpen},
		{"a storm of callers who go away", storm},
		{"a stream far slower than usual", slowerThanUsual},
	}
}

// stream is a streamed question in a provider's own dialect.
func stream(p llm.Provider, text string) question {
	return question{dialect: native(p), model: string(p), text: text, stream: true}
}

// mustTrace gives the trace of a request after having held it against what was
// seen.
func (a asked) mustTrace(t *testing.T, traces map[string]record.Trace) record.Trace {
	t.Helper()
	tr, ok := traces[a.id]
	if !ok {
		t.Fatalf("no trace of %q: HTTP %d %s %s", a.id, a.status, a.wrong, a.body)
	}
	a.attemptsTrue(t, tr)
	a.outcomeTrue(t, tr)
	moneyTrue(t, tr)
	if t.Failed() {
		t.Logf("heard: HTTP %d, %q, finish %q, error %q, %s\n%s", a.status, a.text, a.finish, a.failure, a.wrong, a.body)
		t.Logf("trace: %+v", tr)
	}
	return tr
}

// mustBe fails the test unless the caller was served so.
func (a asked) mustBe(t *testing.T, want ending) {
	t.Helper()
	if got := a.ending(); got != want {
		t.Fatalf("the caller was %q, want %q: HTTP %d %s, %q, finish %q, error %q\n%s", got, want, a.status, a.wrong, a.text, a.finish, a.failure, a.body)
	}
}

func refusesPrefill(t *testing.T, r *row) {
	m := models()
	m[llm.Claude] = "claude-sonnet-5"
	h := open(t, options{chain: []llm.Provider{llm.Claude}, models: m})
	h.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Cut, After: twoThirds})
	a := h.put(t.Context(), llm.OpenAI, stream(llm.OpenAI, text(0)))
	tr := a.mustTrace(t, h.close(t))
	a.mustBe(t, rescued)
	if a.requests[llm.Claude] != 1 || a.requests[llm.OpenAI] != 1 {
		t.Errorf("requests: %v", a.requests)
	}
	r.story(rescued, how(a, tr)+", being asked in words", a.requests[llm.OpenAI], false)
}

func refusesPrefillUnexpectedly(t *testing.T, r *row) {
	h := open(t, options{chain: []llm.Provider{llm.Gemini, llm.Local}})
	h.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Cut, After: twoThirds})
	h.sims[llm.Gemini].Set(sim.Fault{Kind: sim.RefusePrefill})
	a := h.put(t.Context(), llm.OpenAI, stream(llm.OpenAI, text(0)))
	tr := a.mustTrace(t, h.close(t))
	a.mustBe(t, rescued)
	if a.requests[llm.OpenAI] != 1 || a.requests[llm.Gemini] > 2 {
		t.Errorf("requests: %v", a.requests)
	}
	r.story(rescued, how(a, tr), a.requests[llm.OpenAI], false)
}

// aKey: the other key of the provider answers at once, and the bad one is left
// alone from then on.
func aKey(fault sim.Fault, class llm.FailureClass) func(*testing.T, *row) {
	return func(t *testing.T, r *row) {
		h := open(t, options{spares: true})
		var all []asked
		most := 0
		for _, p := range []llm.Provider{llm.OpenAI, llm.Claude, llm.Gemini} {
			h.sims[p].SetKey(secret(p), fault)
			for i := range 4 {
				all = append(all, h.put(t.Context(), p, question{dialect: native(p), model: string(p), text: text(i), stream: i%2 == 0}))
			}
			if bad, good := h.sims[p].RequestsWith(secret(p)), h.sims[p].RequestsWith(spare(p)); bad != 1 || good != 4 {
				t.Errorf("%s got %d requests with the bad key and %d with the good one", p, bad, good)
			}
			most = max(most, h.sims[p].RequestsWith(secret(p)))
		}
		traces := h.close(t)
		for i, a := range all {
			a.mustBe(t, rescued)
			tr := a.mustTrace(t, traces)
			if a.failures != 0 || tr.Served.Provider != a.faulty {
				t.Errorf("served by %s, %d failures on the breaker", tr.Served, a.failures)
			}
			if i%4 == 0 && (len(tr.Attempts) != 2 || tr.Attempts[0].Key != "main" || tr.Attempts[0].Class != class || tr.Attempts[1].Key != "spare") {
				t.Errorf("attempts %+v", tr.Attempts)
			}
		}
		r.story(rescued, "another key answers, and the bad one is left alone", most, false)
	}
}

// downForAWhile: nobody notices, the dead provider is only probed, and it
// serves again soon after it is back.
func downForAWhile(t *testing.T, r *row) {
	down, recovery := scaled(60*time.Second), scaled(10*time.Second)
	h := open(t, options{recovery: recovery})
	p := llm.Gemini
	var all []asked
	send := func() asked {
		i := len(all)
		a := asked{faulty: p, q: question{dialect: dialects()[i%4], model: string(p), text: text(i), stream: i%2 == 0}}
		a.heard = h.ask(t.Context(), a.q)
		all = append(all, a)
		time.Sleep(scaled(200 * time.Millisecond))
		return a
	}
	for range 5 {
		send()
	}
	h.sims[p].Kill()
	began := time.Now()
	for time.Since(began) < down {
		send()
	}
	whileDown, took := len(all), time.Since(began)
	if err := h.sims[p].Revive(); err != nil {
		t.Fatal(err)
	}
	h.eventually(t, "it serves again", func() bool { return send().header.Get("X-Breakwater-Provider") == string(p) })
	send()
	traces := h.close(t)
	attempts := 0
	for i, a := range all {
		a.mustBe(t, rescued)
		tr, ok := traces[a.id]
		if !ok || tr.Outcome != record.Served || string(tr.Served.Provider) != a.header.Get("X-Breakwater-Provider") {
			t.Errorf("trace %+v", tr)
		}
		for _, at := range tr.Attempts {
			if i >= 5 && i < whileDown && at.Target.Provider == p {
				attempts++
			}
		}
	}
	// Three requests, each tried once more, open the breaker; then come the probes.
	if most := 6 + int(took/recovery) + 1; attempts > most {
		t.Errorf("%d attempts at the dead provider, want %d at most", attempts, most)
	}
	r.story(rescued, "the next candidate answers while the breaker is open, and the provider is asked again once a probe succeeds", 6+int(down/recovery)+1, true)
}

func accounting(t *testing.T, r *row) {
	h := open(t, options{})
	h.sims[llm.Claude].Set(sim.Fault{Kind: sim.Cut, After: twoThirds})
	a := h.put(t.Context(), llm.Claude, stream(llm.Claude, text(0)))
	tr := a.mustTrace(t, h.close(t))
	a.mustBe(t, rescued)
	if len(tr.Attempts) != 2 {
		t.Fatalf("attempts %+v", tr.Attempts)
	}
	first, second := tr.Attempts[0], tr.Attempts[1]
	if first.Usage.Input == 0 || first.Usage.Output == 0 || first.Cost == 0 || second.Usage.Output == 0 || second.Cost == 0 {
		t.Errorf("the legs are %+v for %s and %+v for %s", first.Usage, first.Cost, second.Usage, second.Cost)
	}
	if tr.Cost != first.Cost+second.Cost || tr.Usage.Output != first.Usage.Output+second.Usage.Output {
		t.Errorf("in all %+v for %s", tr.Usage, tr.Cost)
	}
	r.story(rescued, how(a, tr)+"; usage and cost of both are in the trace", a.requests[llm.Claude], false)
}

// broken opens a house whose Gemini has an open breaker.
func broken(t *testing.T, o options) *house {
	t.Helper()
	none := 0
	o.retries = &none
	h := open(t, o)
	h.sims[llm.Gemini].Set(sim.Fault{Kind: sim.Errors, Status: 500})
	for range max(o.threshold, 1) {
		h.put(t.Context(), llm.Gemini, stream(llm.Gemini, text(0))).mustBe(t, rescued)
	}
	if state, _ := h.breaker(llm.Gemini); state == record.Closed { // half-open, if this took long
		t.Fatalf("the breaker is %s", state)
	}
	return h
}

// halfOpen waits until a breaker admits its probe.
func (h *house) halfOpen(t *testing.T, p llm.Provider) {
	t.Helper()
	h.eventually(t, "the breaker is half-open", func() bool { state, _ := h.breaker(p); return state == record.HalfOpen })
}

// wedgedProbe: while a probe hangs, everybody else is served by others at
// once, and nobody else is sent there; afterwards it goes on as ever.
func wedgedProbe(t *testing.T, r *row) {
	p := llm.Gemini
	recovery := 4 * time.Second
	h := broken(t, options{threshold: 1, recovery: recovery, late: []llm.Provider{p}})
	h.halfOpen(t, p)
	h.sims[p].Set(sim.Fault{Kind: sim.Hang})
	before, began := h.sims[p].Requests(), time.Now()
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			q := stream(p, text(i))
			if a := (asked{q: q, heard: h.ask(t.Context(), q)}); a.ending() != rescued {
				t.Errorf("a caller beside the probe was %q: %s", a.ending(), a.body)
			}
		})
	}
	callers.Wait()
	probes := h.sims[p].Requests() - before
	if most := 1 + int(time.Since(began)/recovery); probes < 1 || probes > most { // another once the breaker may be half-open again
		t.Errorf("%d requests to the hanging provider, want the probe alone", probes)
	}
	h.sims[p].Set(sim.Fault{})
	h.eventually(t, "another probe is admitted, and served", func() bool {
		h.put(t.Context(), p, stream(p, text(21))).mustBe(t, rescued)
		state, _ := h.breaker(p)
		return state == record.Closed
	})
	h.close(t)
	r.story(rescued, "one caller is the probe and goes on to the next candidate after its timeout; the others never wait for it", 1, false)
}

// cancelledProbe: a probe whose caller goes away says nothing and wedges
// nothing.
func cancelledProbe(t *testing.T, r *row) {
	p := llm.Gemini
	h := broken(t, options{threshold: 1, recovery: scaled(5 * time.Second)})
	h.halfOpen(t, p)
	h.sims[p].Set(sim.Fault{Kind: sim.Hang})
	before := h.sims[p].Requests()
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		h.eventually(t, "the probe is under way", func() bool { return h.sims[p].Open() > 0 })
		leave()
	}()
	h.ask(ctx, stream(p, text(1)))
	h.idle(t)
	if state, _ := h.breaker(p); state == record.Closed {
		t.Errorf("a cancelled probe closed the breaker")
	}
	probes := h.sims[p].Requests() - before
	h.sims[p].Set(sim.Fault{})
	h.eventually(t, "another probe is admitted, and served", func() bool {
		h.put(t.Context(), p, stream(p, text(2))).mustBe(t, rescued)
		state, _ := h.breaker(p)
		return state == record.Closed
	})
	h.close(t)
	r.story(rescued, "the next request is the next probe", probes, false)
}

// limitIsNoSuccess: a 429 tells nothing of a provider's health, neither between
// two failures nor as the answer to a probe.
func limitIsNoSuccess(t *testing.T, r *row) {
	p, none := llm.OpenAI, 0
	recovery := scaled(15 * time.Second)
	h := open(t, options{retries: &none, patience: time.Millisecond, recovery: recovery})
	// After a 429 the provider is left alone for a while, and others serve.
	send := func(f sim.Fault) (state record.State, failures int) {
		h.sims[p].Set(f)
		h.eventually(t, "the provider is asked", func() bool {
			a := h.put(t.Context(), p, stream(p, text(0)))
			a.mustBe(t, rescued)
			if a.requests[p] > 1 {
				t.Errorf("%d requests", a.requests[p])
			}
			state, failures = a.state, a.failures
			return a.requests[p] > 0
		})
		return state, failures
	}
	failing, limited := sim.Fault{Kind: sim.Errors}, sim.Fault{Kind: sim.RateLimited, RetryAfter: time.Second}
	send(failing)
	send(failing)
	if state, failures := send(limited); state != record.Closed || failures != 2 {
		t.Errorf("after a 429 the breaker is %s with %d failures, want 2", state, failures)
	}
	if state, _ := send(failing); state == record.Closed { // half-open, if this took long
		t.Errorf("after the third failure the breaker is %s", state)
	}
	h.halfOpen(t, p)
	if state, _ := send(limited); state == record.Closed {
		t.Errorf("a 429 to the probe closed the breaker")
	}
	h.sims[p].Set(sim.Fault{})
	h.eventually(t, "it is well again", func() bool {
		h.put(t.Context(), p, stream(p, text(0))).mustBe(t, rescued)
		state, _ := h.breaker(p)
		return state == record.Closed
	})
	h.close(t)
	r.story(rescued, "the next candidate answers; the 429 is neither failure nor success for the breaker", 1, false)
}

// allOpen: the caller is told at once, and when to come back; nobody is asked.
func allOpen(t *testing.T, r *row) {
	none := 0
	h := open(t, options{chain: []llm.Provider{llm.Gemini, llm.Claude}, retries: &none, threshold: 1, recovery: time.Minute})
	for _, p := range []llm.Provider{llm.Gemini, llm.Claude} {
		h.sims[p].Set(sim.Fault{Kind: sim.Errors, Status: 503})
	}
	h.put(t.Context(), llm.Gemini, stream(llm.Gemini, text(0))).mustBe(t, clean)
	var all []asked
	for i, d := range dialects() {
		a := h.put(t.Context(), llm.Gemini, question{dialect: d, model: string(llm.Gemini), text: text(1), stream: i%2 == 0})
		a.mustBe(t, clean)
		if a.status != 503 || a.header.Get("Retry-After") == "" || a.requests[llm.Gemini]+a.requests[llm.Claude] != 0 {
			t.Errorf("HTTP %d, Retry-After %q, requests %v", a.status, a.header.Get("Retry-After"), a.requests)
		}
		all = append(all, a)
	}
	traces := h.close(t)
	for _, a := range all {
		tr := a.mustTrace(t, traces)
		for _, c := range tr.Plan {
			if c.Verdict != record.VerdictBreakerOpen {
				t.Errorf("%s has the verdict %s", c.Target, c.Verdict)
			}
		}
	}
	r.story(clean, "HTTP 503 at once, with the time of the next probe in `Retry-After`", 0, false)
}

// storm: callers who go away harm nobody: no breaker, no other caller, and
// nothing runs on for them.
func storm(t *testing.T, r *row) {
	const callers = 200
	p := llm.OpenAI
	h := open(t, options{sim: sim.Options{FirstToken: 100 * time.Millisecond, PerToken: 2 * time.Millisecond}})
	draw := rand.New(rand.NewPCG(1, 2))
	var all sync.WaitGroup
	for i := range callers {
		patience := time.Duration(draw.Int64N(int64(200 * time.Millisecond)))
		q := question{dialect: dialects()[i%4], model: string(p), text: text(i), stream: i%3 > 0}
		all.Go(func() {
			if i%10 == 0 { // who stays
				if a := (asked{q: q, heard: h.ask(t.Context(), q)}); a.ending() != rescued {
					t.Errorf("a caller who stayed was %q: HTTP %d %s %s", a.ending(), a.status, a.wrong, a.body)
				}
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			h.ask(ctx, q)
		})
	}
	all.Wait()
	h.idle(t)
	if state, failures := h.breaker(p); state != record.Closed || failures != 0 {
		t.Errorf("the breaker is %s with %d failures", state, failures)
	}
	n := h.requests()
	if n[p] > callers || n[llm.Gemini]+n[llm.Claude]+n[llm.Local] > 0 {
		t.Errorf("requests: %v", n)
	}
	traces := h.close(t)
	left := 0
	for _, tr := range traces {
		switch tr.Outcome {
		case record.Served:
		case record.Abandoned:
			left++
		default:
			t.Errorf("trace %+v", tr)
		}
	}
	if left == 0 || len(traces) > callers {
		t.Errorf("%d of %d traces are of callers who left", left, len(traces))
	}
	r.story(rescued, "those who stay are served; who leaves counts for nothing, and nobody else is asked for them", 1, false)
}

// slowerThanUsual: a stream that is alive but hardly so is cut, once it is
// known how fast this target is.
func slowerThanUsual(t *testing.T, r *row) {
	const tokens = 80
	p := llm.Claude
	long := fmt.Sprintf("%-*s.", tokens*4-1, "x")
	h := open(t, options{sim: sim.Options{PerToken: time.Millisecond}})
	var usual sync.WaitGroup
	for range 6 {
		usual.Go(func() {
			for range 10 {
				q := stream(p, text(0))
				if a := (asked{q: q, heard: h.ask(t.Context(), q)}); a.ending() != rescued {
					t.Errorf("a usual stream was %q", a.ending())
				}
			}
		})
	}
	usual.Wait()
	pace := 500 * time.Millisecond
	h.sims[p].Set(sim.Fault{Kind: sim.Drip, Pace: pace})
	a := h.put(t.Context(), p, stream(p, long))
	tr := a.mustTrace(t, h.close(t))
	a.mustBe(t, rescued)
	if len(tr.Attempts) != 2 || tr.Attempts[0].Class != llm.Timeout || tr.Attempts[0].Took >= tokens*pace {
		t.Errorf("attempts %+v", tr.Attempts)
	}
	r.story(rescued, how(a, tr), a.requests[p], false)
}
