package price

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

var november = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

func TestCostOfKnownModels(t *testing.T) {
	table := Default()
	before := time.Date(2026, time.August, 31, 23, 59, 59, 0, time.UTC)
	usage := llm.Usage{Input: 1000, Output: 500}
	for _, tt := range []struct {
		provider llm.Provider
		model    string
		usage    llm.Usage
		when     time.Time
		want     record.NanoUSD
	}{
		{llm.OpenAI, "gpt-4o", usage, november, 7_500_000},            // $2.50 and $10
		{llm.OpenAI, "gpt-4o-2024-08-06", usage, november, 7_500_000}, // $2.50 and $10
		{llm.OpenAI, "gpt-4o-2024-05-13", usage, november, 12_500_000},
		{llm.OpenAI, "gpt-4o-mini", usage, november, 450_000},
		{llm.OpenAI, "gpt-4o", llm.Usage{Input: 1000, CacheRead: 600, Output: 500, Reasoning: 100}, november, 6_750_000},
		{llm.Claude, "claude-3-5-sonnet-20240620", usage, november, 10_500_000}, // $3 and $15
		{llm.Claude, "claude-3-5-sonnet-20241022", usage, november, 10_500_000},
		{llm.Claude, "claude-3-5-sonnet-latest", usage, november, 10_500_000},
		{llm.Claude, "claude-3-5-sonnet-latest", llm.Usage{Input: 1000, CacheRead: 500, CacheWrite: 400}, november, 1_950_000},
		{llm.Claude, "claude-opus-5", llm.Usage{Input: 1000, CacheRead: 500, CacheWrite: 400, CacheWrite1h: 300}, november, 4_375_000}, // 0.5 + 0.25 + 0.625 + 3
		{llm.Claude, "claude-opus-5", llm.Usage{Input: 1000, CacheWrite: 400, CacheWrite1h: 900}, november, 7_000_000},                 // no more than was written
		{llm.Claude, "claude-sonnet-4-5", llm.Usage{Input: 200_001, CacheWrite: 100_000, CacheWrite1h: 100_000}, november, 1_800_006_000},
		{llm.OpenAI, "gpt-4o", llm.Usage{Input: 1000, CacheWrite: 400, CacheWrite1h: 400}, november, 2_500_000},
		{llm.Claude, "claude-sonnet-5", usage, before, 7_000_000}, // introductory: $2 and $10
		{llm.Claude, "claude-sonnet-5", usage, before.Add(time.Second), 10_500_000},
		{llm.Gemini, "gemini-2.5-pro", llm.Usage{Input: 200_000}, november, 250_000_000},
		{llm.Gemini, "gemini-2.5-pro", llm.Usage{Input: 200_001, Output: 1}, november, 500_017_500}, // all at the tier's price
		{llm.Gemini, "gemini-3.6-flash", usage, november, 5_250_000},
		{llm.OpenAI, "text-embedding-3-small", llm.Usage{Input: 1000}, november, 20_000}, // $0.02
		{llm.Gemini, "gemini-embedding-001", llm.Usage{Input: 1000}, november, 150_000},  // $0.15
		{llm.Local, "whatever:7b", usage, november, 0},
	} {
		target := llm.Target{Provider: tt.provider, Endpoint: "eu", Model: tt.model}
		got, ok := table.CostAt(target, tt.usage, tt.when)
		if !ok || got != tt.want || !table.Known(target) {
			t.Errorf("%s %+v: got %d, %v, want %d", target, tt.usage, got, ok, tt.want)
		}
	}
}

func TestUnknownModelHasNoPrice(t *testing.T) {
	table := Default()
	for _, target := range []llm.Target{
		{Provider: llm.OpenAI, Model: "gpt-4o-2099-01-01"}, // a known model's name is its prefix
		{Provider: llm.OpenAI, Model: "gpt-"},
		{Provider: llm.OpenAI, Model: "claude-sonnet-5"},
		{Provider: llm.Gemini, Model: ""},
		{Provider: "", Model: "gpt-4o"},
	} {
		if got, ok := table.Cost(target, llm.Usage{Input: 1}); ok || got != 0 || table.Known(target) {
			t.Errorf("%s: got %d, %v, want unknown", target, got, ok)
		}
	}
}

func TestDefaultTableIsWhole(t *testing.T) {
	table := Default()
	if table.Date().Format(time.DateOnly) != date {
		t.Errorf("date %s", table.Date())
	}
	for p, least := range map[llm.Provider]int{llm.Gemini: 15, llm.Claude: 25, llm.OpenAI: 60} {
		models := table.Models(p)
		if len(models) < least {
			t.Errorf("%s: %d models, want at least %d", p, len(models), least)
		}
		for _, m := range models {
			if again, ok := table.Lookup(p, m.ID); !ok || again.ID != m.ID || m.Context < 1000 {
				t.Errorf("%s: lookup %v, context %d", m.ID, ok, m.Context)
			}
			for _, tier := range m.Tiers {
				if r := tier.Rates; r.Input <= 0 || r.CacheRead <= 0 || r.CacheRead > r.Input || r.CacheWrite < r.Input || r.Output < r.Input && r.Output != 0 { // 0: of embeddings
					t.Errorf("%s: implausible rates %+v", m.ID, r)
				}
			}
		}
	}
}

func TestCostRoundsHalfUpAndStopsAtTheLargestAmount(t *testing.T) {
	table, err := Parse(strings.NewReader(header+"\nopenai,m,1000,,0,0.0005,,,0.000499999\n"), date)
	if err != nil {
		t.Fatal(err)
	}
	target := llm.Target{Provider: llm.OpenAI, Model: "m"}
	for _, tt := range []struct {
		usage llm.Usage
		want  record.NanoUSD
	}{
		{llm.Usage{Input: 1}, 1}, // half a nano-dollar
		{llm.Usage{Output: 1}, 0},
		{llm.Usage{Input: -5, Output: -5, CacheRead: -1}, 0},
		{llm.Usage{Input: 2, CacheRead: 9, CacheWrite: 9}, 1}, // cached tokens beyond the input are not billed
	} {
		if got, _ := table.CostAt(target, tt.usage, november); got != tt.want {
			t.Errorf("%+v: got %d, want %d", tt.usage, got, tt.want)
		}
	}
	dear := llm.Target{Provider: llm.OpenAI, Model: "o1-pro"}
	got, _ := Default().CostAt(dear, llm.Usage{Input: math.MaxInt64, Output: math.MaxInt64}, november)
	if got != math.MaxInt64 {
		t.Errorf("got %d, want the largest amount", got)
	}
}

func TestCostIsExactMonotoneAndAdditive(t *testing.T) {
	table := Default()
	var all []Model
	for _, p := range []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI} {
		all = append(all, table.Models(p)...)
	}
	usages := rapid.Custom(func(t *rapid.T) llm.Usage {
		count := rapid.Int64Range(0, 2_000_000)
		u := llm.Usage{Input: count.Draw(t, "input"), Output: count.Draw(t, "output")}
		u.CacheRead = rapid.Int64Range(0, u.Input).Draw(t, "read")
		u.CacheWrite = rapid.Int64Range(0, u.Input-u.CacheRead).Draw(t, "write")
		u.CacheWrite1h = rapid.Int64Range(0, u.CacheWrite).Draw(t, "write for an hour")
		return u
	})
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(all).Draw(t, "model")
		target := llm.Target{Provider: m.Provider, Model: m.ID}
		cost := func(u llm.Usage) int64 {
			n, ok := table.CostAt(target, u, november)
			if !ok {
				t.Fatalf("%s has no price", target)
			}
			return int64(n)
		}
		a, b := usages.Draw(t, "a"), usages.Draw(t, "b")

		r := m.at(a.Input, november)
		exact := new(big.Int)
		for _, part := range [][2]int64{
			{a.Input - a.CacheRead - a.CacheWrite, r.Input}, {a.CacheRead, r.CacheRead}, {a.CacheWrite - a.CacheWrite1h, r.CacheWrite},
			{a.CacheWrite1h, r.CacheWrite1h}, {a.Output, r.Output},
		} {
			exact.Add(exact, new(big.Int).Mul(big.NewInt(part[0]), big.NewInt(part[1])))
		}
		exact.Add(exact, big.NewInt(500_000)).Quo(exact, big.NewInt(1_000_000))
		if exact.Int64() != cost(a) {
			t.Fatalf("got %d, want %d", cost(a), exact)
		}

		more := a
		more.Input += b.Input
		more.Output += b.Output
		if cost(more) < cost(a) {
			t.Fatalf("more tokens cost less: %d < %d", cost(more), cost(a))
		}
		if both := a.Add(b); m.at(both.Input, november) == r && m.at(b.Input, november) == r {
			if d := cost(a) + cost(b) - cost(both); d < -1 || d > 1 {
				t.Fatalf("two costs differ from the cost of both by %d", d)
			}
		}
	})
}

func TestParseNamesEveryFaultyLine(t *testing.T) {
	_, err := Parse(strings.NewReader(header+`
openai,a,1000,,0,1,,,x
local,b,1000,,0,1,,,1
openai,c,1000,,0,1,,,1
openai,c,1000,,0,1,,,1
openai,d,1000,2026-13-01,0,1,,,1
openai,e,1000,,200000,1,,,1
openai,f,big,,0,1,,,1
openai,g,1000,,far,1,,,1
`), date)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"line 2", "line 3", "line 5", "line 6", "e: no price", "line 8", "line 9"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	for _, text := range []string{"", "a,b\n1,2\n", header + "\nopenai\n"} {
		if _, err := Parse(strings.NewReader(text), date); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	if _, err := Parse(strings.NewReader(header), "today"); err == nil {
		t.Error("a date that is none: no error")
	}
}

func TestParseUSD(t *testing.T) {
	for s, want := range map[string]record.NanoUSD{
		"0": 0, "12": 12_000_000_000, "0.000000001": 1, "3.75": 3_750_000_000, "9223372036.854775807": math.MaxInt64,
	} {
		if got, err := ParseUSD(s); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "1,000", "0x1", "1_0", "$5", " 1", "0.0000000001", "9223372036.854775808", "٣"} {
		if got, err := ParseUSD(s); err == nil {
			t.Errorf("%q: got %d, want an error", s, got)
		}
	}
}

func FuzzParseUSD(f *testing.F) {
	for _, s := range []string{"1", "0.5", "12.345678901", "99999999999", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseUSD(s)
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok || exact.Mul(exact, big.NewRat(1_000_000_000, 1)).Cmp(new(big.Rat).SetInt64(int64(n))) != 0 {
			t.Errorf("%q: got %d", s, n)
		}
	})
}
