package router

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// act is what a fake upstream does with one request.
type act struct {
	fail    *llm.Failure  // instead of an answer
	silent  bool          // never answers; ends with the context
	wait    time.Duration // before the first content
	cutAt   int           // breaks off after so many chunks; 0 for never
	stall   bool          // goes silent instead of ending
	panics  bool
	deaf    bool          // does not hear that it was cancelled
	panicAt int           // panics after so many chunks; 0 for never
	slowly  time.Duration // before each chunk after the first
	endless bool          // says "word " for ever
	says    []llm.Chunk   // in place of its two chunks of text
	pauseAt int           // waits 20 s before that chunk
	preface int           // chunks without content before the answer
	think   time.Duration // between two of those
	told    int64         // input tokens that the first of those tells
}

// fake is an upstream that does as its script says, then answers well.
type fake struct {
	dialect llm.Dialect
	prefill bool // goes on with the beginning of its own answer
	mu      sync.Mutex
	name    string
	script  []act
	always  *act // instead of the script
	calls   int
	models  []string
	last    llm.Request
	ring    *provider.Client // gives leave; nil for leave always
	streams []*fakeStream
}

// withKeys has a fake ask a real ring of keys for leave.
func (f *fake) withKeys(t testing.TB, c provider.Config) {
	t.Helper()
	c.Provider = llm.OpenAI
	if c.Keys == nil {
		c.Keys = []provider.Key{{Name: "first", Secret: "sk-first-secret"}, {Name: "second", Secret: "sk-second-secret"}}
	}
	var err error
	if f.ring, err = provider.New(c); err != nil {
		t.Fatal(err)
	}
}

// under gives the leaves that are out.
func (f *fake) under() int64 {
	var n int64
	for _, k := range f.ring.KeyUses() {
		n += k.Under
	}
	return n
}

func (f *fake) next(req *llm.Request) act {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.last = *req
	if f.always != nil {
		return *f.always
	}
	if len(f.script) == 0 {
		return act{}
	}
	a := f.script[0]
	f.script = f.script[1:]
	return a
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fake) set(a *act) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.always = a
}

func (f *fake) Admit(ask provider.Ask) (*provider.Leave, *provider.Busy) {
	if f.ring != nil {
		return f.ring.Admit(ask)
	}
	return &provider.Leave{}, nil
}

func (f *fake) Send(ctx context.Context, _ *provider.Leave, target llm.Target, req *llm.Request) (*llm.Reply, error) {
	a := f.next(req)
	if a.deaf {
		time.Sleep(a.wait)
		return &llm.Reply{Stream: f.stream(context.WithoutCancel(ctx), a), Dialect: f.dialect}, nil
	}
	if a.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(a.wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.panics {
		panic("the upstream's code is broken")
	}
	if a.fail != nil {
		return nil, a.fail
	}
	return &llm.Reply{Stream: f.stream(ctx, a), Dialect: f.dialect, RequestID: "up-" + f.name}, nil
}

func (f *fake) stream(ctx context.Context, a act) *fakeStream {
	s := &fakeStream{ctx: ctx, act: a, name: f.name, closed: &atomic.Bool{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams = append(f.streams, s)
	return s
}

// open gives how many answers were not closed.
func (f *fake) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.streams {
		if !s.closed.Load() {
			n++
		}
	}
	return n
}

func (f *fake) Lacks(_ string, req *llm.Request) []string {
	if req.Dialect == f.dialect {
		return nil
	}
	if n := len(req.Messages); n > 0 && req.Messages[n-1].Role == llm.Assistant && !f.prefill {
		return append(req.Beyond, "messages.prefill")
	}
	return req.Beyond
}

func (f *fake) Streams(req *llm.Request) bool { return req.Stream || f.dialect == llm.OllamaChat }

func (f *fake) Ping(context.Context) (provider.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.always != nil && f.always.fail != nil {
		return provider.Status{}, f.always.fail
	}
	return provider.Status{Version: "1.2.3", Models: f.models}, nil
}

// fakeStream gives "hello from NAME" in two chunks, then the finish with usage.
type fakeStream struct {
	ctx  context.Context
	act  act
	name string
	at   int

	closed *atomic.Bool
}

func (s *fakeStream) Next() (llm.Chunk, error) {
	if s.act.preface > 0 {
		s.act.preface--
		if s.act.told == 0 {
			select {
			case <-time.After(s.act.think):
			case <-s.ctx.Done():
			}
		}
		if s.ctx.Err() != nil {
			return llm.Chunk{}, s.ctx.Err()
		}
		if told := s.act.told; told > 0 {
			s.act.told = 0
			return llm.Chunk{Usage: &llm.Usage{Input: told}}, nil
		}
		return llm.Chunk{ID: "a1"}, nil
	}
	if s.act.cutAt > 0 && s.at == s.act.cutAt {
		if s.act.stall {
			<-s.ctx.Done()
			return llm.Chunk{}, s.ctx.Err()
		}
		return llm.Chunk{}, &llm.Failure{Class: llm.StreamCut, Message: "the connection broke"}
	}
	if s.act.panicAt > 0 && s.at == s.act.panicAt {
		panic("the upstream's code is broken")
	}
	if s.at > 0 && s.act.slowly > 0 {
		wait := s.act.slowly
		if s.at == s.act.pauseAt {
			wait = 20 * time.Second
		}
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return llm.Chunk{}, s.ctx.Err()
		}
	}
	if s.ctx.Err() != nil {
		return llm.Chunk{}, s.ctx.Err()
	}
	s.at++
	if s.act.endless {
		return llm.Chunk{Text: "word "}, nil
	}
	if len(s.act.says) > 0 {
		c := s.act.says[0]
		s.act.says, s.at = s.act.says[1:], 2
		return c, nil
	}
	switch s.at {
	case 1:
		return llm.Chunk{Text: "hello "}, nil
	case 2:
		return llm.Chunk{Text: "from " + s.name}, nil
	case 3:
		return llm.Chunk{Finish: llm.FinishStop, Usage: &llm.Usage{Input: 10, Output: 5}}, nil
	}
	return llm.Chunk{}, io.EOF
}

func (s *fakeStream) Close() error {
	s.closed.Store(true)
	return nil
}

// log records what the router records.
type log struct {
	mu          sync.Mutex
	traces      []*record.Trace
	failed      []*record.Trace
	transitions []record.Transition
	holds       []record.Hold
	recent      Figures
}

func (l *log) Trace(t *record.Trace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traces = append(l.traces, t)
}
func (l *log) Failed(t *record.Trace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, t)
}

// told gives the requests of which a failure was told at once.
func (l *log) told() []*record.Trace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failed)
}
func (l *log) Transition(t record.Transition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.transitions = append(l.transitions, t)
}
func (l *log) Hold(h record.Hold)          { l.mu.Lock(); defer l.mu.Unlock(); l.holds = append(l.holds, h) }
func (l *log) Recent(llm.Provider) Figures { return l.recent }

func (l *log) last(t *testing.T) *record.Trace {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.traces) == 0 {
		t.Fatal("no trace was recorded")
	}
	return l.traces[len(l.traces)-1]
}

// changes gives the transitions as "from>to".
func (l *log) changes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, t := range l.transitions {
		out = append(out, string(t.From)+">"+string(t.To))
	}
	return out
}

// house is a router over four fake upstreams.
type house struct {
	*HybridRouter
	log                           *log
	gemini, claude, openai, local *fake
}

func newHouse(t testing.TB, change ...func(*Config)) *house {
	t.Helper()
	h := &house{log: &log{}, gemini: &fake{name: "gemini", dialect: llm.GeminiGenerate}, claude: &fake{name: "claude", dialect: llm.AnthropicMessages},
		openai: &fake{name: "openai", dialect: llm.OpenAIChat}, local: &fake{name: "local", dialect: llm.OllamaChat, models: []string{"llama3", "org/tiny:1b"}}}
	timeouts := Timeouts{FirstToken: 60 * time.Second, Silence: 30 * time.Second, Answer: 600 * time.Second}
	c := Config{
		Endpoints: []Endpoint{
			{Provider: llm.Gemini, Upstream: h.gemini, DefaultModel: "gemini-2.5-flash", Timeouts: timeouts},
			{Provider: llm.Claude, Upstream: h.claude, DefaultModel: "claude-sonnet-4-5", Timeouts: timeouts},
			{Provider: llm.OpenAI, Upstream: h.openai, DefaultModel: "gpt-4o", Timeouts: timeouts},
			{Provider: llm.Local, Upstream: h.local, DefaultModel: "llama3", Timeouts: timeouts},
		},
		Recorder: h.log, Observer: h.log, IDs: record.NewIDs(1, 0), Log: slog.New(slog.DiscardHandler),
		Price: func(_ llm.Target, u llm.Usage) (record.NanoUSD, bool) {
			return record.NanoUSD(u.Input + u.Output), true
		},
	}
	for _, f := range change {
		f(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h.HybridRouter = r
	return h
}

func chat(model string, stream bool) *llm.Request {
	return &llm.Request{Dialect: llm.OpenAIChat, Model: model, Stream: stream, Messages: []llm.Message{textMessage(llm.User, "hi")}}
}

// ask sends one request and reads its answer to the end.
func (h *house) ask(ctx context.Context, req *llm.Request) (string, error) {
	answer, err := h.Do(ctx, h.NewCall(req, "tester"))
	if err != nil {
		return "", err
	}
	defer answer.Close()
	var text string
	for {
		chunk, err := answer.Next()
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, err
		}
		text += chunk.Text
	}
}

// breakerOf gives the breaker of a provider's default model.
func (h *house) breakerOf(p llm.Provider) *breaker {
	return h.breaker(h.endpoints[p][0].target(""))
}

// failures gives how many the breaker of a provider's default model has counted.
func (h *house) failures(p llm.Provider) int {
	return h.breakerOf(p).snapshot().Failures
}

func mustSay(t *testing.T, got string, err error, want string) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func serverDown() *llm.Failure {
	return &llm.Failure{Class: llm.Server, Status: 503, Message: "overloaded"}
}
