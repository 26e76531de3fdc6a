package faultsim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"breakwater/internal/llm"
)

// scenario is one run: so many requests, and what happens to the providers.
type scenario struct {
	shape  *shape
	perMin float64
	span   time.Duration
	back   background
	faults []fault // in the order of their beginnings
	seed   uint64
	quota  float64  // of the second provider, as a share of all requests; 0 for enough
	models []string // that callers ask for; nil for "auto"
}

// The capacities of the first provider and of the local one, as multiples of all
// requests.
const (
	capacity      = 3.0
	localCapacity = 0.3 * capacity
)

// backgrounds lists what goes wrong by nobody's fault.
func backgrounds() []background {
	return []background{{"0.3 %, independent", 0.003, 1}, {"1 %, bursts of 2", 0.01, 2}, {"2 %, bursts of 3", 0.02, 3}}
}

func (sc *scenario) stubs() []*stub {
	var all []*stub
	for _, t := range targets {
		s := newStub(t.Provider, sc.back, sc.seed)
		s.nominal = sc.perMin
		for _, f := range sc.faults {
			for _, p := range f.on {
				if p == t.Provider {
					s.faults = append(s.faults, f)
				}
			}
		}
		switch {
		case t.Provider == llm.Local:
			s.perMin = max(localCapacity*sc.perMin, 10)
		case t.Provider == llm.OpenAI && sc.quota > 0:
			s.perMin = sc.quota * sc.perMin
		}
		all = append(all, s)
	}
	return all
}

func (sc *scenario) source() *source {
	from := newSource(sc.shape, sc.perMin, sc.seed)
	if sc.models != nil {
		from.models = sc.models
	}
	for _, f := range sc.faults {
		if f.kind == surge {
			from.surges = append(from.surges, f)
		}
	}
	return from
}

// single is a run with one fault: well for a while, ill as long, well again.
func single(s *shape, f fault, perMin float64, back background, part time.Duration, seed uint64) *scenario {
	during := part + f.ramp
	sc := &scenario{shape: s, perMin: perMin, span: 2*part + during, back: back, seed: seed}
	if f.on == nil {
		f.on = []llm.Provider{llm.Claude}
	}
	f.from, f.to = part, part+during
	sc.faults = []fault{f}
	switch f.name {
	case secondDownToo:
		other := fault{name: "hard down beside", kind: refused, share: 1, on: []llm.Provider{llm.OpenAI}, from: f.from + during/3, to: f.from + 2*during/3}
		sc.faults = append(sc.faults, other)
	case halfQuota:
		sc.quota = 0.5
	case modelOnly:
		sc.models = []string{targets[0].Model, otherModel}
	}
	return sc
}

// The names of those faults that need more than a provider's misbehaviour.
const (
	secondDownToo = "hard down, B down in the middle of it"
	halfQuota     = "hard down, B at 50 % of the traffic"
	modelOnly     = "one model of two down"
)

// singles lists the faults for single runs.
func singles() []fault {
	var all []fault
	for _, k := range kinds() {
		all = append(all, k.faults...)
	}
	return append(all,
		fault{name: "slow ramp x1 to x4 in 2 h", kind: slow, share: 1, ttft: 4, tpot: 4, ramp: 2 * time.Hour},
		fault{name: "flapping, 60 s bad, 60 s well", kind: refused, share: 1, half: time.Minute},
		fault{name: "overload: 50 % errors, three times the requests", kind: surge, share: 0.5},
		fault{name: modelOnly, kind: refused, share: 1, model: otherModel},
		fault{name: secondDownToo, kind: refused, share: 1},
		fault{name: halfQuota, kind: refused, share: 1},
		fault{name: "poison prompt of a tenant of 5 %", kind: poison, share: 1, caller: "fourth", on: everywhere()},
		fault{name: "poison prompt of a tenant of 25 %", kind: poison, share: 1, caller: "second", on: everywhere()},
		fault{name: "no network on this side", kind: ownEgress, share: 1, on: everywhere()},
	)
}

func everywhere() []llm.Provider {
	var all []llm.Provider
	for _, t := range targets {
		all = append(all, t.Provider)
	}
	return all
}

// history is many days of random incidents of all providers, and every month
// one on this side.
func history(s *shape, perMin float64, days int, seed uint64) *scenario {
	sc := &scenario{shape: s, perMin: perMin, span: time.Duration(days) * 24 * time.Hour, back: backgrounds()[0], seed: seed}
	rng := rand.New(rand.NewPCG(seed, 99))
	for _, p := range everywhere() {
		sc.faults = append(sc.faults, incidents(p, sc.span, rng)...)
	}
	for at := seconds(30 * 86400 * rng.ExpFloat64()); at < sc.span; at += seconds(30 * 86400 * rng.ExpFloat64()) {
		sc.faults = append(sc.faults, fault{
			name: "no network on this side", kind: ownEgress, share: 1, on: everywhere(), from: at, to: at + seconds(120+480*rng.Float64()),
		})
	}
	sortByStart(sc.faults)
	return sc
}

// spent is the processor time of this process so far.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func percent(p float64) string { return fmt.Sprintf("%.4g %%", 100*p) }

func number(x float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") }
