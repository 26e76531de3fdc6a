package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"

	"pgregory.net/rapid"
)

// keysNamed makes keys of these names, each with a secret of its own.
func keysNamed(names ...string) []Key {
	var keys []Key
	for _, name := range names {
		keys = append(keys, Key{Name: name, Secret: "secret-of-key-" + name + "-1234"})
	}
	return keys
}

// ringOf makes a client with these keys that is never sent anything.
func ringOf(t testing.TB, cfg Config) *Client {
	t.Helper()
	if cfg.Provider == "" {
		cfg.Provider = llm.OpenAI
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// unlearn forgets what limiters learned, so that only the ring is tried.
func unlearn(c *Client) {
	for _, k := range c.ring.keys {
		for _, m := range k.models {
			m.learned = nil
		}
	}
}

// admitted asks for leave and says whose key it got, or why it got none.
func admitted(c *Client, ask Ask) string {
	unlearn(c)
	l, busy := c.Admit(ask)
	if busy != nil {
		return fmt.Sprintf("%s, %s, %t", busy.Detail, busy.Wait, busy.NoKey)
	}
	l.Done(llm.Usage{}, &llm.Failure{Class: llm.Cancelled})
	return l.Key
}

// fail takes leave and ends it with a failure.
func fail(t *testing.T, c *Client, key, model string, f *llm.Failure) {
	t.Helper()
	unlearn(c)
	l, busy := c.Admit(Ask{Model: model, Key: key})
	if busy != nil || key != "" && l.Key != key {
		t.Fatalf("no leave for %s: %+v, %+v", key, l, busy)
	}
	l.Done(llm.Usage{}, f)
}

var (
	limited = &llm.Failure{Class: llm.RateLimit, Status: 429, RetryAfter: 20 * time.Second}
	spent   = &llm.Failure{Class: llm.Quota, Status: 429}
	refused = &llm.Failure{Class: llm.Auth, Status: 401, Message: "invalid x-api-key"}
)

func expect(t *testing.T, c *Client, model, want string) {
	t.Helper()
	if got := admitted(c, Ask{Model: model}); got != want {
		t.Errorf("%s: got %q, want %q", model, got, want)
	}
}

func TestNoHeaderTakesAKeyAwayForDays(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Keys: keysNamed("a")})
		fail(t, c, "a", "m", &llm.Failure{Class: llm.RateLimit, RetryAfter: 30 * 24 * time.Hour})
		expect(t, c, "m", keysCooling+", 1h0m0s, false")
		time.Sleep(traffic.MaxBlock)
		expect(t, c, "m", "a")
	})
}

func TestARateLimitedKeyCoolsDownForItsModelUntilTold(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Keys: keysNamed("a", "b")})
		fail(t, c, "a", "m", limited)
		expect(t, c, "m", "b")
		expect(t, c, "n", "a")
		fail(t, c, "b", "m", &llm.Failure{Class: llm.RateLimit, RetryAfter: 5 * time.Second})
		expect(t, c, "m", keysCooling+", 5s, false")
		time.Sleep(5 * time.Second)
		expect(t, c, "m", "b")
		time.Sleep(15 * time.Second)
		expect(t, c, "m", "a")
	})
}

func TestACoolingWithoutAWaitDoublesUntilASuccess(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Provider: llm.Local})
		for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			fail(t, c, "", "m", &llm.Failure{Class: llm.RateLimit})
			expect(t, c, "m", fmt.Sprintf("%s, %s, false", keysCooling, want*time.Second))
			time.Sleep(want * time.Second)
		}
		fail(t, c, "", "m", nil)
		fail(t, c, "", "m", &llm.Failure{Class: llm.RateLimit})
		expect(t, c, "m", keysCooling+", 2s, false")
		if uses := c.KeyUses(); uses != nil {
			t.Errorf("no key is used: %+v", uses)
		}
	})
}

func TestACoolingWithoutAWaitDoesNotDoubleWhereARequestWasTakenUpSince(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Provider: llm.Local})
		fail(t, c, "", "m", &llm.Failure{Class: llm.RateLimit})
		old, _ := c.Admit(Ask{Model: "other"})
		time.Sleep(2 * time.Second)
		answers, _ := c.Admit(Ask{Model: "m"})
		answers.Took() // and goes on for long
		time.Sleep(time.Second)
		fail(t, c, "", "m", &llm.Failure{Class: llm.RateLimit})
		expect(t, c, "m", keysCooling+", 2s, false")
		answers.Took() // says nothing of what came after
		old.Took()     // nor does another model
		time.Sleep(2 * time.Second)
		fail(t, c, "", "m", &llm.Failure{Class: llm.RateLimit})
		expect(t, c, "m", keysCooling+", 4s, false")
	})
}

func TestManyRefusedTogetherCoolDownOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Keys: keysNamed("a")})
		var leaves []*Leave
		for range 20 {
			l, _ := c.Admit(Ask{Model: "m"})
			leaves = append(leaves, l)
		}
		for _, l := range leaves {
			l.Done(llm.Usage{}, &llm.Failure{Class: llm.RateLimit})
		}
		expect(t, c, "m", keysCooling+", 2s, false")
		if u := c.KeyUses()[0]; u.Requests != 20 || u.Under != 0 || u.State != record.KeyCooling {
			t.Errorf("got %+v", u)
		}
	})
}

// One refusal must not make a trickle of what the operator configured, however
// few requests went before it.
func TestOneRefusalLeavesMostOfAConfiguredLimit(t *testing.T) {
	for name, cfg := range map[string]Config{
		"of the provider": {Keys: keysNamed("a"), Limit: traffic.NewLimiter(traffic.Limits{Requests: 1200, Burst: 8})},
		"of the model":    {Keys: keysNamed("a"), ModelLimits: map[string]traffic.Limits{"m": {Requests: 1200, Burst: 8}}},
		"of the key":      {Keys: []Key{{Name: "a", Secret: "sk-a-12345678-1234", Limits: traffic.Limits{Requests: 1200, Burst: 8}}}},
	} {
		bubble.Test(t, func(t *testing.T) {
			c := ringOf(t, cfg)
			var last *Leave
			went := func(d time.Duration) (n int) {
				for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					if l, _ := c.Admit(Ask{Model: "m"}); l != nil {
						last.Done(llm.Usage{Output: 1}, nil)
						last = l
						n++
					}
				}
				return n
			}
			if n := went(3 * time.Second); n < 60 || n > 70 {
				t.Errorf("%s: %d went in 3 s", name, n)
			}
			last.Done(llm.Usage{}, &llm.Failure{Class: llm.RateLimit, RetryAfter: time.Second})
			if n := went(11 * time.Second); n < 120 || n > 170 { // a second of wait, and then 14 a second
				t.Errorf("%s: %d went in the 11 s after a refusal", name, n)
			}
			last.Done(llm.Usage{}, nil)
		})
	}
}

func TestASpentQuotaIsOutUntilItResets(t *testing.T) {
	noon := time.Date(2026, 7, 1, 19, 0, 0, 0, time.UTC) // in Los Angeles
	midnight := time.Date(2026, 7, 2, 7, 0, 0, 0, time.UTC)
	winter := time.Date(2026, 12, 31, 20, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		now  time.Time
		f    llm.Failure
		want time.Time
	}{
		{"nobody knows", noon, llm.Failure{}, noon.Add(10 * time.Minute)},
		{"told as a wait", noon, llm.Failure{RetryAfter: time.Hour}, noon.Add(time.Hour)},
		{"a wait too short to be of the quota", noon, llm.Failure{RetryAfter: 20 * time.Second}, noon.Add(10 * time.Minute)},
		{"told as an instant", noon, llm.Failure{Resets: midnight.Add(time.Hour), RetryAfter: time.Hour}, midnight.Add(time.Hour)},
		{"an instant that is past", noon, llm.Failure{Resets: noon.Add(-time.Hour)}, noon.Add(10 * time.Minute)},
		{"of a day, in summer", noon, llm.Failure{Daily: true, RetryAfter: time.Second}, midnight},
		{"of a day, in winter", winter, llm.Failure{Daily: true}, time.Date(2027, 1, 1, 8, 0, 0, 0, time.UTC)},
		{"of a day, just after midnight", midnight, llm.Failure{Daily: true}, midnight.Add(24 * time.Hour)},
	} {
		if got := renewal(&c.f, c.now); !got.Equal(c.want) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAQuotaThatIsStillSpentIsToldOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var told []string
		c := ringOf(t, Config{Keys: keysNamed("a"), OnKey: func(k record.KeyChange) {
			told = append(told, fmt.Sprintf("%s %s %s>%s %q", k.Key, k.Last4, k.From, k.To, k.Model))
		}})
		fail(t, c, "a", "m", spent)
		expect(t, c, "n", keysSpent+", 10m0s, true")
		for range 3 {
			time.Sleep(QuotaCheck)
			fail(t, c, "a", "m", spent)
		}
		time.Sleep(QuotaCheck)
		fail(t, c, "a", "m", nil)
		ofModel := &llm.Failure{Class: llm.Quota, OfModel: true}
		fail(t, c, "a", "m", ofModel)
		expect(t, c, "n", "a")
		if want := []string{`a 1234 usable>exhausted ""`, `a 1234 exhausted>usable ""`, `a 1234 usable>exhausted "m"`}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestARefusedKeyIsOutForGood(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Keys: keysNamed("a", "b")})
		fail(t, c, "a", "m", refused)
		time.Sleep(24 * time.Hour)
		expect(t, c, "n", "b")
		ofModel := &llm.Failure{Class: llm.Auth, Status: 403, OfModel: true}
		fail(t, c, "b", "m", ofModel)
		expect(t, c, "m", keysRefused+", 10m0s, true")
		expect(t, c, "n", "b")
		fail(t, c, "b", "n", spent)
		expect(t, c, "n", keysOut+", 10m0s, true")
		uses := c.KeyUses()
		if a, b := uses[0], uses[1]; a.State != record.KeyRevoked || !a.Until.IsZero() || !strings.Contains(a.Reason, "invalid x-api-key") ||
			b.State != record.KeyExhausted || a.Last4 != "1234" || a.Name != "a" {
			t.Errorf("got %+v", uses)
		}
	})
}

func TestFailuresThatSayNothingOfTheKeyLeaveIt(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a")})
	for _, class := range llm.FailureClasses() {
		f := &llm.Failure{Class: class}
		switch class {
		case llm.Quota, llm.Auth:
			continue
		case llm.RateLimit:
			f.TooLarge = true
		}
		fail(t, c, "a", "m", f)
	}
	expect(t, c, "m", "a")
}

func TestAnOldResultSaysNothingOfNow(t *testing.T) {
	for name, f := range map[string]*llm.Failure{"429": limited, "quota": spent, "401": refused} {
		c := ringOf(t, Config{Keys: keysNamed("a")})
		old, _ := c.Admit(Ask{Model: "m"})
		fail(t, c, "a", "m", nil)
		old.Done(llm.Usage{}, f)
		if got := admitted(c, Ask{Model: "m"}); got != "a" {
			t.Errorf("%s before a success: %s", name, got)
		}
		old, _ = c.Admit(Ask{Model: "m"})
		fail(t, c, "a", "m", f)
		old.Done(llm.Usage{}, nil)
		if got := admitted(c, Ask{Model: "m"}); got == "a" {
			t.Errorf("a success that began before a %s ends it", name)
		}
	}
}

func TestAnEndIsCountedOnce(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a")})
	l, _ := c.Admit(Ask{Model: "m"})
	for range 3 {
		l.Done(llm.Usage{Input: 5, Output: 2}, nil)
	}
	var none *Leave
	none.Done(llm.Usage{}, refused)
	(&Leave{}).Done(llm.Usage{}, refused)
	if u := c.KeyUses()[0]; u.Under != 0 || u.Requests != 1 || u.Tokens != 7 || u.State != record.KeyUsable {
		t.Errorf("got %+v", u)
	}
}

func TestAKeyThatIsWishedForIsTakenWhereItCanBe(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a", "b")})
	for key, want := range map[string]string{"": "a", "b": "b", "gone": "a"} {
		if got := admitted(c, Ask{Model: "m", Key: key}); got != want {
			t.Errorf("%q: got %s", key, got)
		}
	}
	fail(t, c, "b", "m", limited)
	if got := admitted(c, Ask{Model: "m", Key: "b"}); got != "a" {
		t.Errorf("got %s", got)
	}
}

func TestWeightedKeysTakeTheirSharesEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 5).Draw(t, "weights")
		cfg := Config{Provider: llm.OpenAI, KeyOrder: Weighted}
		total := 0
		want := make(map[string]int)
		for i, w := range weights {
			name := fmt.Sprint("k", i)
			cfg.Keys = append(cfg.Keys, Key{Name: name, Secret: "secret-" + name, Weight: w})
			want[name] = max(w, 1)
			total += max(w, 1)
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for cycle := range 3 {
			got := make(map[string]int)
			for range total {
				got[admitted(c, Ask{Model: "m"})]++
			}
			if !maps.Equal(got, want) {
				t.Fatalf("cycle %d: got %v, want %v", cycle, got, want)
			}
		}
	})
}

func TestTheLeastUsedKeyIsTaken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Keys: keysNamed("a", "b", "c"), KeyOrder: LeastUsed})
		count := make(map[string]int)
		for range 30 {
			l, _ := c.Admit(Ask{Model: "m"})
			count[l.Key]++
		}
		if !maps.Equal(count, map[string]int{"a": 10, "b": 10, "c": 10}) {
			t.Errorf("under way: %v", count)
		}
		d := ringOf(t, Config{Keys: keysNamed("a", "b"), KeyOrder: LeastUsed})
		for range 5 {
			admitted(d, Ask{Model: "m", Key: "a"})
		}
		for range 5 {
			expect(t, d, "m", "b")
		}
		expect(t, d, "m", "a")
	})
}

func TestAKeyOfTheRingIsUsableWhenItIsGiven(t *testing.T) {
	// A plain second reading of what the failures say, per key and per model.
	rapid.Check(t, func(t *rapid.T) {
		synctestless := time.Hour // longer than the test takes
		order := rapid.SampledFrom([]KeyOrder{InOrder, Weighted, LeastUsed}).Draw(t, "order")
		c, err := New(Config{Provider: llm.OpenAI, Keys: keysNamed("a", "b", "c"), KeyOrder: order})
		if err != nil {
			t.Fatal(err)
		}
		out := make(map[string]bool) // "key" or "key model"
		models := []string{"m", "n"}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			model := rapid.SampledFrom(models).Draw(t, "model")
			wish := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "wish")
			l, busy := c.Admit(Ask{Model: model, Key: wish})
			free := slices.DeleteFunc([]string{"a", "b", "c"}, func(k string) bool { return out[k] || out[k+" "+model] })
			if busy != nil {
				if len(free) > 0 {
					t.Fatalf("%s could be used: %+v", free, busy)
				}
				continue
			}
			if !slices.Contains(free, l.Key) || wish != "" && slices.Contains(free, wish) && l.Key != wish {
				t.Fatalf("%s is given, free are %s, wished was %q", l.Key, free, wish)
			}
			switch rapid.IntRange(0, 5).Draw(t, "end") {
			case 0:
				l.Done(llm.Usage{}, &llm.Failure{Class: llm.RateLimit, RetryAfter: synctestless})
				out[l.Key+" "+model] = true
			case 1:
				l.Done(llm.Usage{}, &llm.Failure{Class: llm.Quota, RetryAfter: synctestless})
				out[l.Key] = true
			case 2:
				l.Done(llm.Usage{}, &llm.Failure{Class: llm.Auth, OfModel: true})
				out[l.Key+" "+model] = true
			default:
				l.Done(llm.Usage{}, nil)
			}
		}
	})
}

func TestModelsOfAKeyAreBounded(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a")})
	fail(t, c, "a", "kept", limited)
	for i := range 4 * MaxModelsPerKey {
		admitted(c, Ask{Model: fmt.Sprint(i)})
	}
	if n := len(c.ring.keys[0].models); n != MaxModelsPerKey {
		t.Errorf("%d models are kept", n)
	}
	if got := admitted(c, Ask{Model: "kept"}); got == "a" {
		t.Error("a cooling was forgotten")
	}
	var under []*Leave
	for i := range 2 * MaxModelsPerKey {
		l, _ := c.Admit(Ask{Model: fmt.Sprint("under", i)})
		under = append(under, l)
	}
	for _, l := range under {
		l.Done(llm.Usage{}, nil)
	}
	if n := len(c.ring.keys[0].models); n > MaxModelsPerKey {
		t.Errorf("%d models are kept", n)
	}
}

func TestTokensAreCountedOnlyWhereTheyMatter(t *testing.T) {
	for name, cfg := range map[string]Config{
		"nowhere":     {ModelLimits: map[string]traffic.Limits{"m": {Requests: 9}, "n": {Tokens: 1000}}},
		"model":       {ModelLimits: map[string]traffic.Limits{"m": {Tokens: 1000}}},
		"provider":    {Limit: traffic.NewLimiter(traffic.Limits{Tokens: 1000})},
		"another key": {Keys: []Key{{Name: "b", Secret: "b", Limits: traffic.Limits{Tokens: 1000}}}},
	} {
		cfg.Keys = append(keysNamed("a"), cfg.Keys...)
		counted := 0
		admitted(ringOf(t, cfg), Ask{Model: "m", Tokens: func() int64 { counted++; return 10 }})
		if counted > 1 || (counted == 1) != (name != "nowhere") {
			t.Errorf("%s: counted %d times", name, counted)
		}
	}
}

func TestLimitsHoldUnderConcurrency(t *testing.T) {
	probe := traffic.NewLimiter(traffic.Limits{Concurrent: 1})
	probe.Take(time.Now(), 0)
	if _, ok := probe.Take(time.Now(), 0); ok {
		t.Skip("the limiter lets everything through")
	}
	keys := keysNamed("a", "b")
	keys[0].Limits.Concurrent, keys[1].Limits.Concurrent = 3, 4
	c := ringOf(t, Config{Keys: keys, Limit: traffic.NewLimiter(traffic.Limits{Concurrent: 6}), ModelLimits: map[string]traffic.Limits{"m": {Concurrent: 5}}})
	var mu sync.Mutex
	under := make(map[string]int)
	count := func(by int, names ...string) {
		mu.Lock()
		defer mu.Unlock()
		for _, name := range names {
			under[name] += by
		}
		for name, most := range map[string]int{"a": 3, "b": 4, "all": 6, "m": 5} {
			if under[name] > most {
				t.Errorf("%d of %s at once, at most %d", under[name], name, most)
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 32 {
		model := []string{"m", "n"}[i%2]
		wg.Go(func() {
			for range 200 {
				l, busy := c.Admit(Ask{Model: model})
				if busy != nil {
					if busy.NoKey || busy.Detail == "" {
						t.Errorf("got %+v", busy)
					}
					continue
				}
				count(1, l.Key, model, "all")
				count(-1, l.Key, model, "all")
				l.Done(llm.Usage{}, nil)
			}
		})
	}
	wg.Wait()
	for range 5 {
		if _, busy := c.Admit(Ask{Model: "m"}); busy != nil {
			t.Fatalf("room was lost: %+v", busy)
		}
	}
}

func TestTheLimitOfAModelIsToldOnlyWhereTheModelIsAskedFor(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a"), ModelLimits: map[string]traffic.Limits{"here": {Concurrent: 5}, "elsewhere": {Concurrent: 5}}})
	if uses := c.ModelUses(); len(uses) != 0 {
		t.Errorf("before any request: got %v", uses)
	}
	l, _ := c.Admit(Ask{Model: "here"})
	if uses := c.ModelUses(); len(uses) != 1 || uses["here"].Under != 1 {
		t.Errorf("got %v", uses)
	}
	l.Done(llm.Usage{}, nil)
}

func TestLeaveThatIsReturnedWasNeverGiven(t *testing.T) {
	limit := traffic.NewLimiter(traffic.Limits{Requests: 60, Tokens: 6000, Burst: 1})
	c := ringOf(t, Config{Keys: keysNamed("a"), Limit: limit})
	ask := Ask{Model: "m", Tokens: func() int64 { return 900 }}
	before := limit.Use(time.Now())
	leave, _ := c.Admit(ask)
	leave.Return()
	leave.Return()
	leave.Done(llm.Usage{Input: 900}, nil)
	after := limit.Use(time.Now())
	if after.Under != 0 || after.RequestsLeft < before.RequestsLeft || after.TokensLeft < before.TokensLeft {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if u := c.KeyUses()[0]; u.Requests != 0 || u.Under != 0 || u.Tokens != 0 {
		t.Errorf("the key counts %+v", u)
	}
	if leave, busy := c.Admit(ask); busy != nil {
		t.Errorf("the place was not given back: %+v", busy)
	} else {
		leave.Done(llm.Usage{}, nil)
	}
}
