package faultsim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/bubble"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/price"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/traffic"
)

// The targets, in the order of the chain.
var targets = []llm.Target{
	{Provider: llm.Claude, Model: config.DefaultClaudeModel},
	{Provider: llm.OpenAI, Model: config.DefaultOpenAIModel},
	{Provider: llm.Local, Model: config.DefaultLocalModel},
}

// otherModel is a second model of the first provider.
const otherModel = "claude-haiku-4-5"

// priced is the day whose prices count: a bubble's own time is long before.
var priced = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// house is the real router and the real detector before simulated providers.
// It lives in a bubble of virtual time.
type house struct {
	*tally
	start    time.Time
	stubs    []*stub
	router   *router.HybridRouter
	watcher  *anomaly.Watcher
	requests sync.WaitGroup
}

func newHouse(t testing.TB, sc *scenario) *house {
	h := &house{tally: newTally(sc), start: time.Now(), stubs: sc.stubs()}
	prices := price.Default()
	c := router.Config{
		Chain: []llm.Provider{llm.Claude, llm.OpenAI, llm.Local},
		Retries: router.Retries{
			Max: router.DefaultRetries, Backoff: router.DefaultBackoff, Patience: router.DefaultPatience,
		},
		Recovery: router.RecoverContinue, LastResort: router.LastResort(config.DefaultLastResort), Recorder: h, Observer: h, IDs: record.NewIDs(1, 0), Log: slog.New(slog.DiscardHandler),
		Queue:    traffic.NewQueue(traffic.QueueLimits{Size: 1000, Wait: 30 * time.Second, Aging: 5 * time.Second}),
		Estimate: func(_ llm.Target, req *llm.Request) int64 { return *req.Seed }, // which says it, see ask
		Price:    func(t llm.Target, u llm.Usage) (record.NanoUSD, bool) { return prices.CostAt(t, u, priced) },
	}
	for i, s := range h.stubs {
		keys := []provider.Key{{Name: "main", Secret: "sk-simulated"}}
		if s.name == llm.Local {
			keys = nil
		}
		ring, err := provider.New(provider.Config{Provider: s.name, Keys: keys, OnKey: func(k record.KeyChange) { h.keyChanged(k) }})
		if err != nil {
			t.Fatal(err)
		}
		c.Endpoints = append(c.Endpoints, router.Endpoint{
			Provider: s.name, Upstream: &upstream{house: h, stub: s, ring: ring}, DefaultModel: targets[i].Model,
			Timeouts: router.Timeouts{FirstToken: patience, Silence: patience, Answer: 10 * time.Minute, SlowShare: 0.1},
		})
	}
	c.Endpoints[0].Models = []string{otherModel}
	var err error
	if h.router, err = router.New(c); err != nil {
		t.Fatal(err)
	}
	h.watcher = anomaly.NewWatcher(anomaly.WatcherConfig{}, h.router, record.NewIDs(2, 0).Next, h.detected)
	return h
}

func (h *house) now() time.Duration { return time.Since(h.start) }

// breakwater runs a scenario through the real thing.
func breakwater(t *testing.T, sc *scenario) *tally {
	var h *house
	cpu := spent()
	bubble.Test(t, func(t *testing.T) {
		h = newHouse(t, sc)
		ctx, stop := context.WithCancel(t.Context())
		var workers sync.WaitGroup
		workers.Go(func() { h.watcher.Run(ctx) })
		workers.Go(func() { h.probe(ctx) })
		from := sc.source()
		for {
			r := from.request()
			if r.at >= sc.span {
				break
			}
			time.Sleep(r.at - h.now())
			h.arrived(r.at)
			h.requests.Go(func() { h.ask(ctx, &r) })
		}
		h.requests.Wait()
		stop()
		workers.Wait()
	})
	h.cpu = spent() - cpu
	return h.close()
}

// probe pings the providers as the monitor does.
func (h *house) probe(ctx context.Context) {
	for {
		for _, s := range h.stubs {
			var err error
			if s.dead(h.now()) {
				err = down(llm.Network, 0)
			}
			h.router.Pinged(s.name, "", provider.Status{}, err)
		}
		select {
		case <-time.After(monitor.DefaultProbeInterval):
		case <-ctx.Done():
			return
		}
	}
}

// requestKey finds the simulated request in a context, for the stubs.
type requestKey struct{}

// ask is a caller who reads a streamed answer to its end.
func (h *house) ask(ctx context.Context, r *request) {
	ctx = context.WithValue(ctx, requestKey{}, r)
	input := int64(r.input)
	req := &llm.Request{Dialect: llm.Plain, Model: r.model, Stream: true, Seed: &input, Messages: []llm.Message{
		{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: "hello"}}},
	}}
	var got result
	answer, err := h.router.Do(ctx, h.router.NewCall(req, r.caller))
	if err == nil {
		got.first = h.now() - r.at
		for err == nil {
			_, err = answer.Next()
		}
		got.whole = errors.Is(err, io.EOF)
		got.from = answer.Target.Provider
		got.each = (h.now() - r.at - got.first) / time.Duration(max(1, answer.Usage().Output-1))
		answer.Close()
	}
	h.ended(r, got)
}

// Trace hands the attempts of a request to the detector, as the program does.
func (h *house) Trace(t *record.Trace) {
	h.paid(t.Cost, len(t.Attempts))
	h.watcher.Ended(t)
}

// Failed hands an attempt that failed to the detector, as the program does.
func (h *house) Failed(t *record.Trace) {
	h.watcher.Failed(t)
}

// Transition takes note of a breaker that opens or closes.
func (h *house) Transition(t record.Transition) {
	switch {
	case t.To == record.Open:
		h.left(h.now(), t.Target, byBreaker)
		h.requests.Go(func() { h.watcher.Broke(t.Target, t.At) }) // as in the program, not in the breaker's own call
	case t.To == record.Closed:
		h.returned(h.now(), t.Target, byBreaker)
	}
}

// Hold is heard of through the detector.
func (h *house) Hold(record.Hold) {}

// Recent knows nothing: no page is looked at.
func (h *house) Recent(llm.Provider) router.Figures { return router.Figures{} }

func (h *house) keyChanged(k record.KeyChange) {
	target := llm.Target{Provider: k.Provider, Model: k.Model}
	if k.To == record.KeyUsable {
		h.returned(h.now(), target, byKey)
	} else {
		h.left(h.now(), target, byKey)
	}
}

func (h *house) detected(e anomaly.Event) {
	switch e.Kind {
	case anomaly.HoldPlaced:
		h.left(h.now(), e.Target, byHold)
	case anomaly.HoldEnded:
		h.returned(h.now(), e.Target, byHold)
	}
}

// upstream plays a stub's outcomes in virtual time, behind a real ring of keys.
type upstream struct {
	house *house
	stub  *stub
	ring  *provider.Client
}

func (u *upstream) Admit(ask provider.Ask) (*provider.Leave, *provider.Busy) {
	return u.ring.Admit(ask)
}
func (u *upstream) Lacks(string, *llm.Request) []string           { return nil }
func (u *upstream) Streams(*llm.Request) bool                     { return true }
func (u *upstream) Ping(context.Context) (provider.Status, error) { return provider.Status{}, nil }

func (u *upstream) Send(ctx context.Context, leave *provider.Leave, target llm.Target, _ *llm.Request) (*llm.Reply, error) {
	r := ctx.Value(requestKey{}).(*request)
	o := u.stub.answer(u.house.now(), r, target.Model)
	r.worthless, r.outlier = o.worthless, r.outlier || o.outlier
	if o.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := pause(ctx, o.wait); err != nil {
		return nil, err
	}
	if o.failure != nil {
		return nil, o.failure
	}
	leave.Took()
	return &llm.Reply{Stream: &answer{ctx: ctx, outcome: o, input: r.input}, Dialect: llm.OpenAIChat}, nil
}

// answer is a stream: a first token at once, then some every two seconds, since
// a piece for each token would only cost time here.
type answer struct {
	outcome
	ctx   context.Context
	input int
	sent  int
	over  bool
}

const (
	word    = "word" // a token
	between = 2 * time.Second
)

// prose is text that does not repeat itself.
var prose = func() string {
	text, rng := make([]byte, 1<<16), rand.New(rand.NewPCG(1, 1))
	for i := range text {
		text[i] = byte('a' + rng.IntN(26))
	}
	return string(text)
}()

// says gives so many tokens.
func (a *answer) says(n int) string {
	if a.worthless {
		return strings.Repeat(word, n)
	}
	n = min(n*len(word), len(prose))
	from := a.sent * len(word) % (len(prose) - n + 1)
	return prose[from : from+n]
}

func (a *answer) Next() (llm.Chunk, error) {
	if a.over || a.empty {
		return llm.Chunk{}, io.EOF
	}
	if a.sent == 0 {
		a.sent = 1
		return llm.Chunk{Text: a.says(1)}, nil
	}
	until := a.output
	if a.breaksAt > 0 {
		until = a.breaksAt
	}
	n := min(until-a.sent, max(1, int(between/max(1, a.each))))
	if err := pause(a.ctx, time.Duration(n)*a.each); err != nil {
		return llm.Chunk{}, err
	}
	text := a.says(n)
	if a.sent += n; a.sent < until {
		return llm.Chunk{Text: text}, nil
	}
	if a.breaksAt > 0 {
		if a.stalls {
			<-a.ctx.Done()
			return llm.Chunk{}, a.ctx.Err()
		}
		return llm.Chunk{}, down(llm.StreamCut, 0)
	}
	a.over = true
	return llm.Chunk{Text: text, Finish: llm.FinishStop, Usage: &llm.Usage{Input: int64(a.input), Output: int64(a.output)}}, nil
}

func (a *answer) Close() error { return nil }

// pause waits, unless the attempt is over before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
