package anomaly

import (
	"math"
	"math/rand/v2"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

var (
	gemini = llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
	claude = llm.Target{Provider: llm.Claude, Model: "claude-3-5-sonnet"}
	openai = llm.Target{Provider: llm.OpenAI, Model: "gpt-4o"}
	start  = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
)

// traffic makes samples as a target in everyday use gives them: Poisson
// arrivals, lognormal times with a daily swing, one outlier in a hundred.
type traffic struct {
	*rand.Rand
	source  *rand.PCG
	target  llm.Target
	now     time.Time
	rate    float64 // requests a minute
	errors  float64 // share that fails
	slow    float64 // factor on all times
	whole   bool    // answers are not streamed
	burst   float64 // mean failures in a row; 0 where they are independent
	failed  bool    // the one before
	callers []string
	tokens  bool // samples tell tokens and cost
}

func newTraffic(seed uint64, t llm.Target, rate float64) *traffic {
	source := rand.NewPCG(seed, 1)
	return &traffic{
		Rand: rand.New(source), source: source, target: t, now: start,
		rate: rate, errors: 0.01, slow: 1, callers: []string{"app", "batch", "chat"},
	}
}

// fork gives traffic and a detector that go on from where these are, so that what
// is usual is learned once for all that may follow.
func (g *traffic) fork(d *Detector) (*traffic, *Detector) {
	other, source := *g, *g.source
	other.source, other.Rand = &source, rand.New(&source)
	next := NewDetector(Config{})
	if err := next.Load(d.Save()); err != nil {
		panic(err)
	}
	return &other, next
}

func (g *traffic) next() Sample {
	g.now = g.now.Add(time.Duration(g.ExpFloat64() / g.rate * float64(time.Minute)))
	day := 2 * math.Pi * float64(g.now.Hour()*60+g.now.Minute()) / 1440
	load := g.slow * math.Exp(0.2*math.Sin(day))
	s := Sample{
		Target: g.target, At: g.now, Stream: !g.whole, Caller: g.callers[g.IntN(len(g.callers))],
		InputTokens: int64(math.Exp(6.5 + 1.2*g.NormFloat64())), OutputTokens: 2 + int64(math.Exp(4.8+g.NormFloat64())),
	}
	if g.tokens {
		s.Asked, s.Tokens = "auto", s.InputTokens+s.OutputTokens
		s.Cost = record.NanoUSD(300*s.InputTokens + 2500*s.OutputTokens)
	}
	share := g.errors
	if g.burst > 0 {
		again := 1 - 1/g.burst
		if share *= (1 - again) / (1 - share); g.failed {
			share = again
		}
	}
	if g.failed = g.Float64() < share; g.failed {
		s.Class, s.Took = llm.Server, 300*time.Millisecond
		s.At = g.now.Add(s.Took)
		return s
	}
	ttft := 0.5 * (1 + float64(s.InputTokens)/4000) * math.Exp(0.25*g.NormFloat64()) * load
	if g.Float64() < 0.01 {
		ttft *= 2 + 10*g.ExpFloat64()
	}
	each := 0.02 * math.Exp(0.15*g.NormFloat64()) * load
	s.TTFT = time.Duration(ttft * float64(time.Second))
	s.Took = s.TTFT + time.Duration(each*float64(s.OutputTokens-1)*float64(time.Second))
	if g.whole {
		s.TTFT = s.Took
	}
	s.At = g.now.Add(s.Took)
	return s
}

// feed gives a detector n samples and counts the findings.
func (g *traffic) feed(d *Detector, n int) (found []Finding) {
	for range n {
		found = append(found, d.Observe(g.next())...)
	}
	return found
}

// until gives how many samples a detector needed for the first finding that
// is wanted, or 0 when there was none within the limit.
func (g *traffic) until(d *Detector, limit int, wanted func(Finding) bool) int {
	for i := range limit {
		for _, f := range d.Observe(g.next()) {
			if wanted(f) {
				return i + 1
			}
		}
	}
	return 0
}
