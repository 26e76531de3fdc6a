package router

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// never is a chance that explores nothing.
func never() float64 { return 0.999 }

// two adds a second endpoint of OpenAI and a route over targets of three
// providers, one of them with two models.
func two(c *Config) {
	c.Endpoints[2].Name = "us"
	c.Endpoints = append(c.Endpoints, c.Endpoints[2])
	c.Endpoints[4].Name = "eu"
	c.Routes = []Route{{
		Name: "support", Models: []string{"support", "help"},
		Targets: []string{"openai/gpt-4o", "claude/claude-opus-4-5", "claude/claude-haiku-4-5", "local"},
		Weights: []int{3, 2},
	}}
}

func ordered(t testing.TB, h *house, call *Call) []string {
	t.Helper()
	p, e := h.plan(call)
	if e != nil {
		t.Fatal(e)
	}
	return names(p)
}

func names(p *plan) []string {
	var all []string
	for _, c := range p.candidates {
		all = append(all, c.target.String())
	}
	return all
}

func mustOrder(t *testing.T, got []string, want string) {
	t.Helper()
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

// quick has a target answer in one piece, always in the same time.
func (h *house) quick(target string, took time.Duration) {
	for range 2 * evidence {
		h.at(target).pace.served(took, 0, llm.Usage{Input: 10, Output: 100}, false)
	}
}

func (h *house) at(target string) *breaker {
	p, model, _ := strings.Cut(target, "/")
	name, endpoint, _ := strings.Cut(p, "@")
	return h.breaker(llm.Target{Provider: llm.Provider(name), Endpoint: endpoint, Model: model})
}

func TestTheCallersStrategyBeatsTheRoutesAndThatTheRouters(t *testing.T) {
	h := newHouse(t, two, func(c *Config) {
		c.Strategy = Cost
		c.Routes[0].Strategy = LeastBusy
	})
	for _, c := range []struct {
		model      string
		wish, want Strategy
	}{
		{"support", RoundRobin, RoundRobin}, {"support", "", LeastBusy}, {"auto", "", Cost}, {"auto", Latency, Latency},
	} {
		p, _ := h.plan(&Call{Request: chat(c.model, true), Strategy: c.wish})
		if p.strategy != c.want {
			t.Errorf("%s with %q: %s, want %s", c.model, c.wish, p.strategy, c.want)
		}
	}
	if p, _ := newHouse(t).plan(&Call{Request: chat("auto", true)}); p.strategy != Failover {
		t.Errorf("the default is %s", p.strategy)
	}
}

func TestTheTraceTellsTheStrategy(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Strategy = Cost })
	h.ask(t.Context(), chat("auto", true))
	if got := h.log.last(t); got.Strategy != "cost" || got.Preferred != llm.Gemini {
		t.Errorf("strategy %q, preferred %q", got.Strategy, got.Preferred)
	}
}

func TestFailoverAndQualityKeepTheOrderOfTheConfiguration(t *testing.T) {
	h := newHouse(t, two)
	h.quick("local/llama3", time.Millisecond)
	for _, s := range []Strategy{Failover, Quality} {
		mustOrder(t, ordered(t, h, &Call{Request: chat("support", true), Strategy: s}),
			"openai@us/gpt-4o openai@eu/gpt-4o claude/claude-opus-4-5 claude/claude-haiku-4-5 local/llama3")
	}
}

func TestOnlyEqualsArePutInOrder(t *testing.T) {
	h := newHouse(t, two)
	h.chance = never
	h.quick("local/llama3", time.Millisecond)
	h.quick("openai@eu/gpt-4.1", 20*time.Millisecond)
	h.quick("openai@us/gpt-4.1", 30*time.Millisecond)
	h.quick("claude/claude-sonnet-4-5", 10*time.Millisecond)
	for model, want := range map[string]string{
		"gpt-4.1":       "openai@eu/gpt-4.1 openai@us/gpt-4.1 local/llama3 claude/claude-sonnet-4-5 gemini/gemini-2.5-flash",
		"openai/o4":     "openai@us/o4 openai@eu/o4 local/llama3 claude/claude-sonnet-4-5 gemini/gemini-2.5-flash",
		"gemini":        "gemini/gemini-2.5-flash local/llama3 claude/claude-sonnet-4-5 openai@us/gpt-4o openai@eu/gpt-4o",
		"auto":          "local/llama3 claude/claude-sonnet-4-5 gemini/gemini-2.5-flash openai@us/gpt-4o openai@eu/gpt-4o",
		"claude-opus-5": "claude/claude-opus-5 local/llama3 gemini/gemini-2.5-flash openai@us/gpt-4o openai@eu/gpt-4o",
	} {
		mustOrder(t, ordered(t, h, &Call{Request: chat(model, true), Strategy: Latency}), want)
	}
}

func TestTheFastestForThisRequestGoesFirst(t *testing.T) {
	h := newHouse(t, func(c *Config) {
		c.Estimate = func(_ llm.Target, req *llm.Request) int64 { return int64(len(req.Messages[0].Text())) }
	})
	h.chance = never
	for i := range 100 { // Claude is soon there, but takes longer over each input token
		input := int64(100 + i%10*1000)
		h.at("claude/claude-sonnet-4-5").pace.served(100*time.Millisecond+time.Duration(input)*time.Millisecond, time.Second, llm.Usage{Input: input, Output: 100}, true)
		h.at("openai/gpt-4o").pace.served(time.Second+time.Duration(input)*time.Microsecond, time.Second, llm.Usage{Input: input, Output: 100}, true)
	}
	small, large := chat("auto", true), chat("auto", true)
	large.Messages[0] = textMessage(llm.User, strings.Repeat("x", 5000))
	mustOrder(t, ordered(t, h, &Call{Request: small, Strategy: Latency}), "claude/claude-sonnet-4-5 openai/gpt-4o gemini/gemini-2.5-flash local/llama3")
	mustOrder(t, ordered(t, h, &Call{Request: large, Strategy: Latency}), "openai/gpt-4o claude/claude-sonnet-4-5 gemini/gemini-2.5-flash local/llama3")
}

func TestAFewTokensAreAskedOfTheOneThatBeginsFirst(t *testing.T) {
	h := newHouse(t)
	h.chance = never
	for range 50 { // Gemini begins first, OpenAI writes faster
		h.at("gemini/gemini-2.5-flash").pace.served(100*time.Millisecond, 20*time.Second, llm.Usage{Input: 10, Output: 1000}, true)
		h.at("openai/gpt-4o").pace.served(time.Second, 5*time.Second, llm.Usage{Input: 10, Output: 1000}, true)
	}
	few, call := int64(10), &Call{Request: chat("auto", true), Strategy: Latency}
	if got := ordered(t, h, call); got[0] != "openai/gpt-4o" {
		t.Errorf("an answer of the usual length is asked of %s", got[0])
	}
	call.Request.MaxTokens = &few
	if got := ordered(t, h, call); got[0] != "gemini/gemini-2.5-flash" {
		t.Errorf("ten tokens are asked of %s", got[0])
	}
}

func TestReasoningIsNotWaitedForTwice(t *testing.T) {
	h := newHouse(t)
	h.chance = never
	for range 50 { // 3 s in all, and 4 s
		h.at("openai/gpt-4o").pace.served(2*time.Second, time.Second, llm.Usage{Input: 10, Output: 1100, Reasoning: 1000}, true)
		h.at("gemini/gemini-2.5-flash").pace.served(3*time.Second, time.Second, llm.Usage{Input: 10, Output: 100}, true)
	}
	if got := ordered(t, h, &Call{Request: chat("auto", true), Strategy: Latency}); got[0] != "openai/gpt-4o" {
		t.Errorf("first %s", got[0])
	}
}

func TestALongPromptIsLookedThroughOnceForAProvider(t *testing.T) {
	looks := map[llm.Provider]int{}
	h := newHouse(t, two, func(c *Config) {
		c.Estimate = func(target llm.Target, _ *llm.Request) int64 { looks[target.Provider]++; return 1000 }
	})
	for _, c := range []struct {
		model    string
		strategy Strategy
		want     map[llm.Provider]int
	}{
		{"support", Cost, map[llm.Provider]int{llm.OpenAI: 1, llm.Claude: 1, llm.Local: 1}},
		{"openai", Cost, map[llm.Provider]int{llm.OpenAI: 1}}, // the rest of the chain goes by that
		{"gemini", Cost, map[llm.Provider]int{llm.Claude: 1}}, // nobody to compare it with
		{"support", Failover, map[llm.Provider]int{}},
		{"support", LeastBusy, map[llm.Provider]int{}},
	} {
		clear(looks)
		h.plan(&Call{Request: chat(c.model, true), Strategy: c.strategy})
		if !maps.Equal(looks, c.want) {
			t.Errorf("%s by %s: looked for %v, want %v", c.model, c.strategy, looks, c.want)
		}
	}
}

func TestANameMeansWhatWasLearntLast(t *testing.T) {
	h := newHouse(t)
	call := &Call{Request: chat("gpt-oss:20b", true)}
	if got := ordered(t, h, call); got[0] != "openai/gpt-oss:20b" {
		t.Errorf("at first it is %s", got[0])
	}
	h.Pinged(llm.Local, "", provider.Status{Models: []string{"gpt-oss:20b"}}, nil)
	if got := ordered(t, h, call); got[0] != "local/gpt-oss:20b" {
		t.Errorf("although the local server has it, it is %s", got[0])
	}
}

func TestFailuresMakeATargetLookSlower(t *testing.T) {
	h := newHouse(t)
	h.chance = never
	h.quick("gemini/gemini-2.5-flash", 100*time.Millisecond)
	h.quick("openai/gpt-4o", 150*time.Millisecond)
	call := &Call{Request: chat("auto", true), Strategy: Latency}
	if got := ordered(t, h, call); got[0] != "gemini/gemini-2.5-flash" {
		t.Fatalf("first %s", got[0])
	}
	permit, _ := h.at("gemini/gemini-2.5-flash").allow(time.Minute)
	permit.fail(serverDown(), 1)
	if got := ordered(t, h, call); got[0] != "openai/gpt-4o" {
		t.Errorf("after a failure of gemini, first %s", got[0])
	}
}

func TestOthersAreExploredNowAndThen(t *testing.T) {
	h := newHouse(t)
	for i, target := range []string{"gemini/gemini-2.5-flash", "claude/claude-sonnet-4-5", "openai/gpt-4o"} {
		h.quick(target, time.Duration(i+1)*time.Second)
	}
	call := &Call{Request: chat("auto", true), Strategy: Latency}
	firsts := map[string]int{}
	for i := range 1000 { // every chance, once
		h.chance = func() float64 { return float64(i) / 1000 }
		p, _ := h.plan(call)
		firsts[names(p)[0]]++
		if explored := names(p)[0] != "gemini/gemini-2.5-flash"; explored != (p.reason(0) != "Gemini was expected to be fastest") {
			t.Errorf("%s went first, it says because %s", names(p)[0], p.reason(0))
		}
	}
	// 2 % over the three others, and 8 % more for the one that is not known.
	want := map[string]int{"gemini/gemini-2.5-flash": 900, "claude/claude-sonnet-4-5": 7, "openai/gpt-4o": 7, "local/llama3": 86}
	if !maps.Equal(firsts, want) {
		t.Errorf("first were %v, want %v", firsts, want)
	}
	h.quick("local/llama3", 4*time.Second)
	h.chance = func() float64 { return exploreShare }
	if got := ordered(t, h, call); got[0] != "gemini/gemini-2.5-flash" {
		t.Errorf("where all are known, %s is learnt", got[0])
	}
}

func TestNobodyWithAnOpenBreakerIsExplored(t *testing.T) {
	h := newHouse(t)
	h.quick("gemini/gemini-2.5-flash", time.Second)
	for range 3 {
		for _, target := range []string{"claude/claude-sonnet-4-5", "local/llama3"} {
			permit, _ := h.at(target).allow(time.Minute)
			permit.fail(serverDown(), 1)
		}
	}
	for _, chance := range []float64{0, exploreShare * 0.99, exploreShare, exploreShare + learnShare*0.99} {
		h.chance = func() float64 { return chance }
		if got := ordered(t, h, &Call{Request: chat("auto", true), Strategy: Latency}); got[0] != "openai/gpt-4o" {
			t.Errorf("at %v, %s is explored", chance, got[0])
		}
	}
}

func TestTheCheapestGoesFirst(t *testing.T) {
	most := int64(100)
	h := newHouse(t, func(c *Config) {
		c.Estimate = func(llm.Target, *llm.Request) int64 { return 1000 }
		c.Price = func(target llm.Target, u llm.Usage) (record.NanoUSD, bool) {
			switch target.Provider {
			case llm.Claude: // dear answers
				return record.NanoUSD(u.Input + 50*u.Output), true
			case llm.OpenAI: // dear prompts
				return record.NanoUSD(10*(u.Input-u.CacheRead) + u.Output), true
			case llm.Local:
				return 0, true
			}
			return 0, false
		}
		c.Routes = []Route{{Name: "cheap", Models: []string{"cheap"}, Targets: []string{"gemini", "claude", "openai"}, Strategy: Cost}}
	})
	call := &Call{Request: chat("auto", true), Strategy: Cost}
	mustOrder(t, ordered(t, h, call), "local/llama3 openai/gpt-4o claude/claude-sonnet-4-5 gemini/gemini-2.5-flash")
	call.Request.MaxTokens = &most
	mustOrder(t, ordered(t, h, call), "local/llama3 claude/claude-sonnet-4-5 openai/gpt-4o gemini/gemini-2.5-flash")
	call.Request.MaxTokens = nil
	for range evidence { // Claude turns out to be brief
		h.at("claude/claude-sonnet-4-5").pace.served(time.Second, 0, llm.Usage{Output: 20}, false)
	}
	p, _ := h.plan(&Call{Request: chat("cheap", true)})
	mustOrder(t, names(p), "claude/claude-sonnet-4-5 openai/gpt-4o gemini/gemini-2.5-flash")
	if got := p.reason(0); got != "Claude was cheapest" {
		t.Errorf("it says %q", got)
	}
}

func TestTheLeastBusyGoesFirst(t *testing.T) {
	h := newHouse(t)
	for target, n := range map[string]int{"gemini/gemini-2.5-flash": 3, "claude/claude-sonnet-4-5": 1, "openai/gpt-4o": 1, "local/llama3": 2} {
		for range n {
			h.at(target).pace.begin()
		}
	}
	call := &Call{Request: chat("auto", true), Strategy: LeastBusy}
	p, _ := h.plan(call)
	mustOrder(t, names(p), "claude/claude-sonnet-4-5 openai/gpt-4o local/llama3 gemini/gemini-2.5-flash")
	if got := p.reason(0); got != "Claude was the least busy" {
		t.Errorf("it says %q", got)
	}
	permit, _ := h.at("claude/claude-sonnet-4-5").allow(time.Minute)
	permit.fail(serverDown(), 1)
	if got := ordered(t, h, call); got[0] != "openai/gpt-4o" {
		t.Errorf("claude, which fails at once, looks idle: first %s", got[0])
	}
}

func TestWhoCannotBeUsedComesLast(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Endpoints[0].Unusable = record.VerdictNoUsableKey })
	h.chance = never
	for _, s := range []Strategy{Latency, Cost, RoundRobin, LeastBusy} {
		if got := ordered(t, h, &Call{Request: chat("auto", true), Strategy: s}); got[3] != "gemini/gemini-2.5-flash" {
			t.Errorf("%s: %v", s, got)
		}
	}
}

func TestTurnsAreSmoothAndExact(t *testing.T) {
	h := newHouse(t, two)
	h.chance = never
	// 3 over OpenAI's two endpoints, 2, 1 and 1: in halves 3, 3, 4, 2 and 2.
	var turns []string
	for range 14 {
		turns = append(turns, ordered(t, h, &Call{Request: chat("support", true), Strategy: RoundRobin})[0])
	}
	count := map[string]int{}
	for i, target := range turns {
		count[target]++
		if i > 0 && target == turns[i-1] {
			t.Errorf("%s has two turns in a row: %v", target, turns)
		}
	}
	if want := map[string]int{"openai@us/gpt-4o": 3, "openai@eu/gpt-4o": 3, "claude/claude-opus-4-5": 4, "claude/claude-haiku-4-5": 2, "local/llama3": 2}; !maps.Equal(count, want) {
		t.Errorf("turns %v, want %v", count, want)
	}
}

func TestWhoCannotBeUsedHasNoTurn(t *testing.T) {
	h := newHouse(t, two, func(c *Config) {
		c.Endpoints[0].Unusable, c.Endpoints[2].Unusable = record.VerdictNoUsableKey, record.VerdictProviderDisabled
	})
	count := map[string]int{}
	for range 30 {
		p, _ := h.plan(&Call{Request: chat("auto", true), Strategy: RoundRobin})
		count[names(p)[0]]++
		if !strings.HasSuffix(p.reason(0), " had its turn") {
			t.Errorf("it says %q", p.reason(0))
		}
	}
	if want := map[string]int{"claude/claude-sonnet-4-5": 10, "openai@eu/gpt-4o": 10, "local/llama3": 10}; !maps.Equal(count, want) {
		t.Errorf("turns %v, want %v", count, want)
	}
}

func TestTheTurnsOfATargetThatIsDownAreShared(t *testing.T) {
	h := newHouse(t)
	seconds := map[string]int{}
	for range 4000 {
		got := ordered(t, h, &Call{Request: chat("auto", true), Strategy: RoundRobin})
		if got[0] == "gemini/gemini-2.5-flash" {
			seconds[got[1]]++
		}
	}
	for target, n := range seconds {
		if n < 250 || n > 420 { // a third of 1,000, give or take six deviations
			t.Errorf("%s takes over %d of 1000 turns", target, n)
		}
	}
}

func TestLearningOfModelsBeginsNoTurnsAnew(t *testing.T) {
	h := newHouse(t)
	count := map[string]int{}
	for i := range 40 {
		h.Pinged(llm.Local, "", provider.Status{Models: []string{fmt.Sprint("model-", i)}}, nil)
		count[ordered(t, h, &Call{Request: chat("auto", true), Strategy: RoundRobin})[0]]++
	}
	for target, n := range count {
		if n != 10 {
			t.Errorf("%s had %d of 40 turns", target, n)
		}
	}
}

func TestACountTakesNobodysTurn(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Strategy = RoundRobin })
	for range 3 {
		h.Count(t.Context(), chat("auto", true))
	}
	if got := ordered(t, h, &Call{Request: chat("auto", true)}); got[0] != "gemini/gemini-2.5-flash" {
		t.Errorf("after three counts it is the turn of %s", got[0])
	}
}

func TestVectorsOfDifferentModelsAreNoEquals(t *testing.T) {
	h := newHouse(t, two, func(c *Config) {
		c.Routes = []Route{{Name: "search", Models: []string{"search"}, Targets: []string{"openai/text-embedding-3-small", "local/nomic-embed-text"}, Strategy: RoundRobin}}
	})
	firsts := map[string]int{}
	for range 10 {
		got := ordered(t, h, &Call{Request: embed("search")})
		firsts[got[0]]++
		if got[2] != "local/nomic-embed-text" {
			t.Fatalf("in order %v", got)
		}
	}
	if firsts["openai@us/text-embedding-3-small"] != 5 || firsts["openai@eu/text-embedding-3-small"] != 5 {
		t.Errorf("first were %v", firsts)
	}
}

// Whatever the weights, each has exactly its share over a cycle, also where many
// ask at once, and never more than one turn more than it is due.
func TestSharesAreExactOverACycle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 6).Draw(t, "weights")
		total := 0
		for _, w := range weights {
			total += w
		}
		var turns rotation
		if total == 0 {
			if got := turns.next(weights); got != -1 {
				t.Fatalf("without weight it is the turn of %d", got)
			}
			return
		}
		had := make([]int, len(weights))
		for n := 1; n <= total; n++ {
			had[turns.next(weights)]++
			for i, w := range weights {
				if due := float64(n*w) / float64(total); float64(had[i]) > due+1 || float64(had[i]) < due-float64(len(weights)) {
					t.Fatalf("after %d turns %d had %d, due %.1f", n, i, had[i], due)
				}
			}
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range total {
					i := turns.next(weights)
					mu.Lock()
					had[i]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for i, w := range weights {
			if had[i] != 5*w {
				t.Fatalf("after 5 cycles %v, weights %v", had, weights)
			}
		}
	})
}

// anyHouse draws a router with some endpoints, routes, failures and paces.
func anyHouse(rt *rapid.T, t *testing.T) *house {
	h := newHouse(t, func(c *Config) {
		for i := range c.Endpoints {
			for n := range rapid.IntRange(0, 2).Draw(rt, "more endpoints") {
				more := c.Endpoints[i]
				more.Name = fmt.Sprint("more", n)
				c.Endpoints = append(c.Endpoints, more)
			}
		}
		for i := range c.Endpoints {
			if rapid.IntRange(0, 4).Draw(rt, "unusable") == 0 {
				c.Endpoints[i].Unusable = record.VerdictNoUsableKey
			}
		}
		c.Routes = []Route{{
			Name: "route", Models: []string{"route"},
			Targets: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"gemini", "claude", "claude/claude-opus-4-5", "openai/o4", "local"}), 1, 5, rapid.ID[string]).Draw(rt, "targets"),
			Weights: rapid.SliceOfN(rapid.IntRange(0, 5), 0, 5).Draw(rt, "weights"),
		}}
		c.Affinity = true
		c.Price = func(target llm.Target, u llm.Usage) (record.NanoUSD, bool) {
			return record.NanoUSD(len(target.Model)*int(u.Input) - int(u.CacheRead)), target.Provider != llm.Gemini
		}
	})
	h.chance = func() float64 { return rapid.Float64Range(0, 0.999).Draw(rt, "chance") }
	return h
}

func TestAPlanIsAlwaysAPermutationOfTheSameCandidates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := anyHouse(rt, t)
		for range rapid.IntRange(1, 5).Draw(rt, "requests") {
			req := chat(rapid.SampledFrom([]string{"auto", "route", "openai", "gpt-4.1", "claude/claude-opus-4-5", "local"}).Draw(rt, "model"), true)
			if rapid.Bool().Draw(rt, "long") {
				req.Messages[0] = textMessage(llm.User, strings.Repeat("x", 8000))
			}
			call := &Call{Request: req, Strategy: rapid.SampledFrom(Strategies()).Draw(rt, "strategy")}
			plain, _ := h.plan(&Call{Request: chat(req.Model, true), Strategy: Failover})
			p, e := h.plan(call)
			if e != nil {
				rt.Fatal(e)
			}
			got, want := names(p), names(plain)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				rt.Fatalf("%s: %v is no permutation of %v", call.Strategy, got, want)
			}
			l, _ := h.layout(req)
			for _, g := range l.groups { // and each group of equals keeps its place
				a, b := names(&plan{candidates: p.candidates[g.from:g.to]}), names(&plan{candidates: l.candidates[g.from:g.to]})
				slices.Sort(a)
				slices.Sort(b)
				if !slices.Equal(a, b) {
					rt.Fatalf("%s: %v stand where %v are equals", call.Strategy, a, b)
				}
			}
			for i, c := range p.candidates {
				if p.outcome[i].Target != c.target {
					rt.Fatalf("the outcome %d is of %s, the candidate %s", i, p.outcome[i].Target, c.target)
				}
			}
			at := p.candidates[rapid.IntRange(0, len(p.candidates)-1).Draw(rt, "served")].target
			h.quick(at.String(), time.Duration(rapid.IntRange(1, 1000).Draw(rt, "ms"))*time.Millisecond)
			h.sessions.served(call, at, "key", llm.Usage{Input: 2000, CacheRead: 1500, Output: 10}, time.Now())
		}
	})
}

func TestNamesThatCallersMakeUpAreNotRememberedForEver(t *testing.T) {
	h := newHouse(t)
	for i := range 3 * maxLayouts {
		h.plan(&Call{Request: chat(fmt.Sprint("openai/made-up-", i), true)})
	}
	if n := len(*h.layouts.byName.Load()); n > maxLayouts {
		t.Errorf("%d names are remembered", n)
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, s := range Strategies() {
		for _, model := range []string{"auto", "support", "gpt-4.1-mini"} {
			b.Run(string(s)+"/"+model, func(b *testing.B) {
				h := newHouse(b, two, func(c *Config) { c.Affinity = true })
				for _, name := range []string{"gemini/gemini-2.5-flash", "claude/claude-sonnet-4-5", "openai@us/gpt-4o", "openai@eu/gpt-4o", "local/llama3"} {
					h.quick(name, time.Second)
				}
				call := &Call{Request: chat(model, true), Strategy: s}
				b.ReportAllocs()
				for b.Loop() {
					if _, e := h.plan(call); e != nil {
						b.Fatal(e)
					}
				}
			})
		}
	}
}
