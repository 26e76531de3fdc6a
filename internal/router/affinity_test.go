package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func affine(c *Config) { c.Affinity = true }

// conversation gives the nth turn of a conversation over a long text.
func conversation(model, about string, turn int) *Call {
	req := chat(model, true)
	req.Messages = []llm.Message{
		textMessage(llm.System, strings.Repeat("Answer in the style of a lighthouse keeper. ", 100)),
		textMessage(llm.User, about),
	}
	for i := range turn {
		req.Messages = append(req.Messages, textMessage(llm.Assistant, fmt.Sprint("answer ", i)), textMessage(llm.User, fmt.Sprint("question ", i)))
	}
	req.Tools = []llm.Tool{{Name: "tide", Description: "tells the tide", Schema: []byte(`{"type":"object"}`)}}
	return &Call{Request: req, Caller: "tester"}
}

var (
	claude = llm.Target{Provider: llm.Claude, Model: "claude-sonnet-4-5"}
	openai = llm.Target{Provider: llm.OpenAI, Model: "gpt-4o"}
	read   = llm.Usage{Input: 2000, CacheRead: 1500, Output: 10}
)

func TestAConversationReturnsToWhereItsPromptIsCached(t *testing.T) {
	h := newHouse(t, affine)
	h.chance = never
	for _, s := range []Strategy{Latency, RoundRobin, LeastBusy} {
		about := "ships, by " + string(s)
		h.sessions.served(conversation("auto", about, 0), claude, "team", read, time.Now())
		for turn := 1; turn < 5; turn++ {
			call := conversation("auto", about, turn)
			call.Strategy = s
			p, _ := h.plan(call)
			if c := p.candidates[0]; c.target != claude || c.key != "team" {
				t.Errorf("%s: turn %d goes to %s with key %q", s, turn, c.target, c.key)
			}
			if got := p.reason(0); got != "Claude has the conversation's prompt in its cache" {
				t.Errorf("%s: it says %q", s, got)
			}
			for _, c := range p.candidates[1:] {
				if c.key != "" {
					t.Errorf("%s is to be asked with key %q", c.target, c.key)
				}
			}
		}
	}
}

func TestConversationsAreToldApart(t *testing.T) {
	h := newHouse(t, affine)
	h.sessions.served(conversation("auto", "ships", 0), claude, "", read, time.Now())
	same := conversation("auto", "ships", 3)
	other := map[string]*Call{}
	for _, what := range []string{"caller", "model", "first message", "instructions", "tools", "image"} {
		other[what] = conversation("auto", "ships", 3)
	}
	other["caller"].Caller = "somebody else"
	other["model"].Request.Model = "claude"
	other["first message"].Request.Messages[1] = textMessage(llm.User, "boats")
	other["instructions"].Request.Messages[0].Parts[0].Text += "Be brief."
	other["tools"].Request.Tools = nil
	other["image"].Request.Messages[1].Parts = append(other["image"].Request.Messages[1].Parts, llm.Part{Kind: llm.Image, Media: &llm.Media{URL: "https://example.com/ship.png"}})
	if _, found := h.sessions.hint(same); !found {
		t.Error("a later turn is not found")
	}
	for what, call := range other {
		if _, found := h.sessions.hint(call); found {
			t.Errorf("another %s is taken for the same conversation", what)
		}
	}
	// The same conversation through another door, with the body that came.
	same.Request.Dialect, same.Request.Body = llm.AnthropicMessages, []byte(strings.Repeat(" ", 5000))
	if _, found := h.sessions.hint(same); !found {
		t.Error("through another door it is not found")
	}
}

func TestTheCallersOwnCacheKeySaysWhatBelongsTogether(t *testing.T) {
	h := newHouse(t, affine)
	first, compacted, other := conversation("auto", "ships", 0), conversation("auto", "in short: ships", 0), conversation("auto", "ships", 0)
	first.Request.CacheKey, compacted.Request.CacheKey, other.Request.CacheKey = "thread-1", "thread-1", "thread-2"
	h.sessions.served(first, openai, "", read, time.Now())
	if _, found := h.sessions.hint(compacted); !found {
		t.Error("the same key does not find its place")
	}
	if _, found := h.sessions.hint(other); found {
		t.Error("another key does")
	}
}

func TestFailoverMovesAConversationOnlyBetweenEndpointsOfOneModel(t *testing.T) {
	h := newHouse(t, two, affine)
	plain := "openai@us/gpt-4o openai@eu/gpt-4o claude/claude-opus-4-5 claude/claude-haiku-4-5 local/llama3"
	for target, want := range map[llm.Target]string{
		{Provider: llm.OpenAI, Endpoint: "eu", Model: "gpt-4o"}: "openai@eu/gpt-4o openai@us/gpt-4o claude/claude-opus-4-5 claude/claude-haiku-4-5 local/llama3",
		{Provider: llm.OpenAI, Endpoint: "us", Model: "gpt-4o"}: plain,
		{Provider: llm.Claude, Model: "claude-haiku-4-5"}:       plain,
	} {
		call := conversation("support", target.String(), 0)
		h.sessions.served(call, target, "spare", read, time.Now())
		p, _ := h.plan(call)
		mustOrder(t, names(p), want)
		for _, c := range p.candidates {
			if (c.key == "spare") != (c.target == target) {
				t.Errorf("cached at %s, and %s is to be asked with key %q", target, c.target, c.key)
			}
		}
	}
	l, _ := h.layout(conversation("support", "", 0).Request)
	for _, c := range l.candidates {
		if c.key != "" {
			t.Errorf("what all plans share has got the key %q", c.key)
		}
	}
}

func TestCostCountsWhatIsCachedAtTheCachesPrice(t *testing.T) {
	h := newHouse(t, affine, func(c *Config) {
		c.Chain = []llm.Provider{llm.OpenAI, llm.Claude}
		c.Estimate = func(llm.Target, *llm.Request) int64 { return 2000 }
		c.Price = func(target llm.Target, u llm.Usage) (record.NanoUSD, bool) {
			rate := map[llm.Provider]int64{llm.Claude: 30, llm.OpenAI: 10}[target.Provider]
			return record.NanoUSD(rate*(u.Input-u.CacheRead) + rate*u.CacheRead/10), true
		}
	})
	h.sessions.served(conversation("auto", "mostly cached", 0), claude, "", llm.Usage{Input: 2000, CacheRead: 1900}, time.Now())
	h.sessions.served(conversation("auto", "hardly cached", 0), claude, "", llm.Usage{Input: 2000, CacheRead: 500}, time.Now())
	for about, want := range map[string]llm.Target{"mostly cached": claude, "hardly cached": openai, "not cached": openai} {
		call := conversation("auto", about, 1)
		call.Strategy = Cost
		if p, _ := h.plan(call); p.candidates[0].target != want {
			t.Errorf("%s: goes to %s, want %s", about, p.candidates[0].target, want)
		}
	}
}

func TestACachedConversationTakesNobodysTurn(t *testing.T) {
	h := newHouse(t, affine)
	cached := conversation("auto", "ships", 1)
	cached.Strategy = RoundRobin
	h.sessions.served(cached, openai, "", read, time.Now())
	count := map[string]int{}
	for range 40 {
		h.plan(cached)
		count[ordered(t, h, &Call{Request: chat("auto", true), Strategy: RoundRobin})[0]]++
	}
	for target, n := range count {
		if n != 10 {
			t.Errorf("%s had %d of 40 turns", target, n)
		}
	}
}

func TestACacheLivesAsLongAsItsProviderKeepsIt(t *testing.T) {
	for _, c := range []struct {
		provider llm.Provider
		used     llm.Usage
		want     time.Duration
		tokens   int64
	}{
		{llm.Claude, llm.Usage{Input: 9000, CacheWrite: 8000}, 5 * time.Minute, 8000},
		{llm.Claude, llm.Usage{Input: 9000, CacheRead: 5000, CacheWrite: 3000, CacheWrite1h: 3000}, time.Hour, 8000},
		{llm.Claude, llm.Usage{Input: 100_000}, 0, 0}, // nothing was marked
		{llm.OpenAI, llm.Usage{Input: 1024}, time.Hour, 1024},
		{llm.OpenAI, llm.Usage{Input: 9000, CacheWrite: 8000}, 30 * time.Minute, 8000},
		{llm.OpenAI, llm.Usage{Input: 1000}, 0, 0},
		{llm.Gemini, llm.Usage{Input: 2048}, time.Hour, 2048},
		{llm.Gemini, llm.Usage{Input: 2000}, 0, 0},
		{llm.Local, llm.Usage{Input: 2000}, 5 * time.Minute, 2000},
		{llm.Local, llm.Usage{Input: 500}, 0, 0},
	} {
		if got, tokens := cacheLifetime(c.provider, c.used); got != c.want || tokens != c.tokens {
			t.Errorf("%s, %+v: %s and %d tokens, want %s and %d", c.provider, c.used, got, tokens, c.want, c.tokens)
		}
	}
}

func TestACacheIsRefreshedByUseAndThenForgotten(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, affine)
		short, long := conversation("auto", "ships", 0), conversation("auto", "lighthouses", 0)
		found := func(call *Call) bool { _, ok := h.sessions.hint(call); return ok }
		h.sessions.served(short, claude, "", llm.Usage{Input: 2000, CacheWrite: 1500}, time.Now())
		h.sessions.served(long, claude, "", llm.Usage{Input: 2000, CacheWrite: 1500, CacheWrite1h: 1500}, time.Now())
		for range 3 {
			time.Sleep(4 * time.Minute)
			if !found(short) {
				t.Fatal("forgotten although it was used 4 minutes ago")
			}
			h.sessions.served(short, claude, "", read, time.Now())
			h.sessions.served(long, claude, "", read, time.Now())
		}
		time.Sleep(5 * time.Minute)
		if found(short) {
			t.Error("still known 5 minutes after its last use")
		}
		time.Sleep(54 * time.Minute)
		if !found(long) {
			t.Error("what was written for an hour is forgotten after 59 minutes")
		}
		time.Sleep(time.Minute)
		if found(long) {
			t.Error("what was written for an hour is known for longer")
		}
	})
}

func TestAConversationMovesWithTheTargetThatServed(t *testing.T) {
	h := newHouse(t, affine)
	call := conversation("auto", "ships", 0)
	h.sessions.served(call, claude, "team", read, time.Now())
	h.sessions.served(call, llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}, "", llm.Usage{Input: 100}, time.Now()) // left nothing in a cache
	if got, _ := h.sessions.hint(call); got.target != claude || got.key != "team" {
		t.Errorf("it is at %s, key %q", got.target, got.key)
	}
	h.sessions.served(call, openai, "spare", read, time.Now())
	if got, _ := h.sessions.hint(call); got.target != openai || got.key != "spare" {
		t.Errorf("it is at %s, key %q", got.target, got.key)
	}
}

func TestAnHourBelongsToTheKeyThatWroteIt(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, affine)
		call := conversation("auto", "ships", 0)
		h.sessions.served(call, claude, "team", llm.Usage{Input: 2000, CacheWrite: 1500, CacheWrite1h: 1500}, time.Now())
		h.sessions.served(call, claude, "spare", llm.Usage{Input: 2000, CacheWrite: 1500}, time.Now())
		time.Sleep(6 * time.Minute)
		if _, found := h.sessions.hint(call); found {
			t.Error("what another key wrote for 5 minutes is known for an hour")
		}
	})
}

func TestAConversationDoesNotWaitForWhatCannotBeUsed(t *testing.T) {
	h := newHouse(t, affine, func(c *Config) { c.Endpoints[1].Unusable = record.VerdictNoUsableKey })
	call := conversation("auto", "ships", 0)
	h.sessions.served(call, claude, "", read, time.Now())
	for _, s := range Strategies() {
		call.Strategy = s
		if got := ordered(t, h, call); got[0] == claude.String() {
			t.Errorf("%s: goes to %s", s, got[0])
		}
	}
}

func TestNothingIsRememberedOfShortRequestsEmbeddingsOrWithoutAffinity(t *testing.T) {
	h := newHouse(t, affine)
	vectors := embed("text-embedding-3-small")
	vectors.Body = []byte(strings.Repeat("x", 10_000))
	for _, call := range []*Call{{Request: chat("auto", true)}, {Request: vectors}} {
		h.sessions.served(call, openai, "", read, time.Now())
		if got, found := h.sessions.hint(call); found {
			t.Errorf("%s is at %s", call.Request.Model, got.target)
		}
	}
	off, call := newHouse(t), conversation("auto", "ships", 0)
	off.sessions.served(call, openai, "", read, time.Now())
	if got, found := off.sessions.hint(call); found {
		t.Errorf("without affinity it is at %s", got.target)
	}
}

func TestTheMemoryOfConversationsIsBounded(t *testing.T) {
	if size := unsafe.Sizeof(sessions{}); size > 2_000_000 {
		t.Errorf("it takes %d bytes", size)
	}
	s := newSessions()
	const all = 2 * sessionSets * sessionWays
	began := time.Now()
	for i := range all {
		call := conversation("auto", fmt.Sprint("ship ", i), 0)
		s.served(call, claude, "", read, began.Add(time.Duration(i)*time.Millisecond))
		if _, ok := s.hint(call); !ok {
			t.Fatalf("conversation %d found no place", i)
		}
	}
	var known [4]int // of each quarter, the oldest first
	for i := range all {
		if _, ok := s.hint(conversation("auto", fmt.Sprint("ship ", i), 0)); ok {
			known[4*i/all]++
		}
	}
	// Sets fill unevenly, so a few of the oldest are left and a few of the newest gone.
	const quarter = all / 4
	if known[0] > quarter/4 || known[3] < quarter*95/100 {
		t.Errorf("of quarters of %d there are known %v", quarter, known)
	}
}

func TestConversationsMayBeServedAtOnce(t *testing.T) {
	h := newHouse(t, affine)
	var all sync.WaitGroup
	for n := range 8 {
		target := llm.Target{Provider: llm.OpenAI, Model: fmt.Sprint("gpt-", n)}
		all.Go(func() {
			for turn := range 200 {
				call := conversation("auto", fmt.Sprint("ship ", n), turn%10)
				h.sessions.served(call, target, "", read, time.Now())
				if got, found := h.sessions.hint(call); !found || got.target != target {
					t.Errorf("conversation %d is at %s, %v", n, got.target, found)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkAffinity(b *testing.B) {
	h := newHouse(b, affine)
	short, long := &Call{Request: chat("auto", true)}, conversation("auto", strings.Repeat("What of the 100 KB? ", 5000), 10)
	h.sessions.served(long, claude, "", read, time.Now())
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"hint of a short request", func() { h.sessions.hint(short) }},
		{"hint of a long conversation", func() { h.sessions.hint(long) }},
		{"served a long conversation", func() { h.sessions.served(long, claude, "", read, time.Now()) }},
		{"plan of a long conversation", func() { h.plan(long) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.run()
			}
		})
	}
}
