package faultsim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"breakwater/internal/llm"
)

// kind is what a provider does wrong.
type kind int

const (
	serverError kind = iota
	refused          // no connection
	slow             // by ttft and tpot
	limited          // 429
	hang             // accepted, no byte
	headersOnly      // headers, then silence
	cut              // breaks off, or goes silent, after some tokens
	garbage          // a 200 with HTML or broken JSON
	looping          // a 200 whose text goes round in circles
	emptyAnswer      // a 200 without content
	bloat            // a 200 with three to ten times the tokens
	poison           // one caller's prompt fails wherever it goes
	surge            // an overload: callers come again and again
	ownEgress        // nobody can be reached: the fault is on this side
	noFault
)

// endless is how many tokens an answer has that would not end by itself: a
// caller's limit, as large as the largest answers of the trace.
const endless = 1000

// fault is one trouble of one or more providers.
type fault struct {
	name       string
	kind       kind
	on         []llm.Provider
	from, to   time.Duration // since the start
	share      float64       // of the requests
	ttft, tpot float64       // factors, for slow
	model      string        // of this model alone; "" for all
	caller     string        // of this caller alone; "" for all
	half       time.Duration // bad for so long, then well for so long; 0 for bad all the time
	ramp       time.Duration // the factors grow to their full size so slowly
}

func (f *fault) active(at time.Duration) bool { return f.from <= at && at < f.to }

// whole says that nothing is left of a provider.
func (f *fault) whole() bool { return f.share >= 1 && f.model == "" && f.caller == "" && f.half == 0 }

// matters says whether an incident of this size ought to be found by a
// detector: a quarter of the requests, or twice as slow.
func (f *fault) matters() bool {
	switch f.kind {
	case slow:
		return f.share >= 1 && max(f.ttft, f.tpot) >= 2
	case poison, bloat, noFault, ownEgress:
		return false
	}
	return f.share >= 0.25
}

func (f *fault) hits(at time.Duration, caller, model string, rng *rand.Rand) bool {
	if !f.active(at) || f.caller != "" && f.caller != caller || f.model != "" && f.model != model {
		return false
	}
	if f.half > 0 && int((at-f.from)/f.half)%2 == 1 {
		return false
	}
	return rng.Float64() < f.share
}

// slower gives which share of the factors a slow ramp has come to.
func (f *fault) slower(at time.Duration) float64 {
	if f.ramp == 0 || at-f.from >= f.ramp {
		return 1
	}
	full := max(f.ttft, f.tpot)
	return (1 + (full-1)*float64(at-f.from)/float64(f.ramp)) / full
}

// change does to one answer what the fault does.
func (f *fault) change(o *outcome, rng *rand.Rand) {
	switch f.kind {
	case serverError, poison, surge:
		o.failure, o.wait = down(llm.Server, 500), soon(rng)
	case refused, ownEgress:
		o.failure, o.wait = down(llm.Network, 0), 50*time.Millisecond
	case limited:
		o.failure, o.wait = down(llm.RateLimit, 429), 100*time.Millisecond
		switch p := rng.Float64(); {
		case p < 0.02:
			o.failure.RetryAfter = 3 * time.Hour
		case p < 0.8:
			o.failure.RetryAfter = seconds(1 + 59*rng.Float64())
		}
	case hang, headersOnly:
		o.hangs = true
	case cut:
		o.breaksAt, o.stalls = 1+rng.IntN(200), rng.IntN(3) == 0
		if o.breaksAt >= o.output {
			o.breaksAt = 0
		}
	case garbage:
		o.failure, o.wait = &llm.Failure{Class: llm.Garbage, Status: 200, Message: "simulated"}, soon(rng)
	case looping:
		o.worthless, o.output = true, max(o.output, endless)
	case emptyAnswer:
		o.empty = true
	case bloat:
		o.output = int(float64(o.output) * (3 + 7*rng.Float64()))
	}
}

// share is how many of a provider's incidents are of a kind.
type share struct {
	weight float64
	faults []fault
}

// kinds lists what incidents are, by how often each was seen.
func kinds() []share {
	return []share{
		{0.48, []fault{errorsOf(0.05), errorsOf(0.10), errorsOf(0.25), errorsOf(0.50), errorsOf(0.80)}},
		{0.17, []fault{{name: "hard down, refused", kind: refused, share: 1}, {name: "hard down, 503", kind: serverError, share: 1}}},
		{0.17, slownesses()},
		{0.06, []fault{{name: "429, 30 %", kind: limited, share: 0.3}, {name: "429, 60 %", kind: limited, share: 0.6}, {name: "429, 90 %", kind: limited, share: 0.9}}},
		{0.04, []fault{{name: "hang, 20 %", kind: hang, share: 0.2}, {name: "hang, 50 %", kind: hang, share: 0.5}, {name: "hang, 100 %", kind: hang, share: 1},
			{name: "headers, then silence, 100 %", kind: headersOnly, share: 1}}},
		{0.03, []fault{{name: "cut mid-stream, 10 %", kind: cut, share: 0.1}, {name: "cut mid-stream, 30 %", kind: cut, share: 0.3}}},
		{0.02, []fault{{name: "garbage 200", kind: garbage, share: 1}, {name: "looping text", kind: looping, share: 1}}},
		{0.015, []fault{{name: "empty 200, 10 %", kind: emptyAnswer, share: 0.1}, {name: "empty 200, 50 %", kind: emptyAnswer, share: 0.5}}},
		{0.015, []fault{{name: "token bloat", kind: bloat, share: 1}}},
	}
}

func errorsOf(p float64) fault {
	return fault{name: "5xx, " + percent(p), kind: serverError, share: p}
}

func slownesses() []fault {
	var all []fault
	for _, x := range []float64{2, 3, 5, 8} {
		by := "slow x" + number(x)
		all = append(all,
			fault{name: by, kind: slow, share: 1, ttft: x, tpot: x},
			fault{name: by + ", first token", kind: slow, share: 1, ttft: x, tpot: 1},
			fault{name: by + ", per token", kind: slow, share: 1, ttft: 1, tpot: x},
			fault{name: by + ", 20 % of requests", kind: slow, share: 0.2, ttft: x, tpot: x})
	}
	return all
}

// incidents draws the troubles of one provider over some days: gaps of 5.5 days
// on average, nearly all on weekdays and most from 13 to 21 UTC, lasting 65
// minutes in the median; blips of 5 to 45 s come twice a day.
func incidents(p llm.Provider, span time.Duration, rng *rand.Rand) []fault {
	var all []fault
	for at := time.Duration(0); ; {
		at += seconds(5.5 * 86400 * rng.ExpFloat64())
		if at >= span {
			break
		}
		f := drawn(rng)
		f.on, f.from = []llm.Provider{p}, workday(at, rng)
		lasts := 65 * math.Exp(1.15*rng.NormFloat64())
		f.to = f.from + seconds(60*min(max(lasts, 3), 720))
		all = append(all, f)
	}
	for at := time.Duration(0); ; {
		at += seconds(43200 * rng.ExpFloat64())
		if at >= span {
			break
		}
		all = append(all, fault{name: blip, kind: refused, share: 1, on: []llm.Provider{p}, from: at, to: at + seconds(5+40*rng.Float64())})
	}
	sortByStart(all)
	return all
}

const blip = "blip"

func drawn(rng *rand.Rand) fault {
	p := rng.Float64()
	for _, k := range kinds() {
		if p -= k.weight; p < 0 {
			return k.faults[rng.IntN(len(k.faults))]
		}
	}
	return errorsOf(0.25)
}

// workday moves a beginning to where most of them are. The clock of a bubble
// begins on a Saturday.
func workday(at time.Duration, rng *rand.Rand) time.Duration {
	const day = 24 * time.Hour
	d := at / day
	if d%7 < 2 && rng.Float64() > 0.2 {
		d += 2
	}
	hour := seconds(3600 * (13 + 8*rng.Float64()))
	if rng.Float64() > 0.61 {
		if hour = seconds(3600 * 16 * rng.Float64()); hour >= 13*time.Hour {
			hour += 8 * time.Hour
		}
	}
	return d*day + hour
}

func sortByStart(all []fault) {
	slices.SortFunc(all, func(a, b fault) int { return cmp.Compare(a.from, b.from) })
}
