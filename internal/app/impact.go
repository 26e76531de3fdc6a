package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

const (
	// impactFor is how long the effects of trouble on callers are remembered; an
	// incident that lasts longer is told with what its last day did, or with what
	// was counted before, where that is more.
	impactFor = 24 * time.Hour
	// impactTraces bounds the requests of before the start that are read again
	// for trouble that is older: a second of reading, and an outage of over an
	// hour at five requests a second.
	impactTraces = 20_000
)

// effect is what trouble did to callers in one minute.
type effect struct {
	minute   time.Time
	rerouted map[llm.Provider]int64 // by who served instead
	failed   int64
	added    time.Duration // of all that were rerouted
	extra    record.NanoUSD
}

// impacts counts what each provider's trouble does to callers, and under ""
// what that of all of them does.
type impacts struct {
	since time.Time      // what was before is in the record alone
	inUse []llm.Provider // the others have no key and miss every request
	// traces reads the record, newest first; nil where there is none.
	traces func(context.Context, store.TraceQuery) ([]record.Trace, error)

	mu      sync.Mutex
	effects map[llm.Provider][]effect // in order of time

	reading sync.Mutex // guards what follows
	past    map[llm.Provider][]effect
	from    time.Time // how far back past reaches
	before  record.ID // the next to read are older
	left    int       // traces that may still be read
}

func newImpacts(inUse []llm.Provider, traces func(context.Context, store.TraceQuery) ([]record.Trace, error)) *impacts {
	now := time.Now()
	return &impacts{
		since: now, inUse: inUse, traces: traces, effects: make(map[llm.Provider][]effect),
		past: make(map[llm.Provider][]effect), from: now, before: record.At(now), left: impactTraces,
	}
}

// note counts a request that a provider should have served and did not.
func (im *impacts) note(t *record.Trace) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.count(t, func(p llm.Provider, at time.Time) *effect { return minuteOf(im.effects, p, at) })
}

// count adds a request to the minutes of those that missed it.
func (im *impacts) count(t *record.Trace, minute func(llm.Provider, time.Time) *effect) {
	if t.Outcome != record.Served && t.Outcome != record.Failed {
		return
	}
	by := slices.DeleteFunc(missed(t), func(p llm.Provider) bool { return !slices.Contains(im.inUse, p) })
	if len(by) == 0 {
		return
	}
	for _, p := range append(by, "") {
		e := minute(p, t.Ended())
		e.extra += extra(t, p)
		if t.Outcome == record.Failed {
			e.failed++
			continue
		}
		e.rerouted[t.Served.Provider]++
		e.added += added(t)
	}
}

// missed lists the providers that stood before the one that served, and could
// not because of trouble of their own, each once.
func missed(t *record.Trace) []llm.Provider {
	var all []llm.Provider
	for _, c := range t.Plan {
		switch c.Verdict {
		case record.VerdictTriedFailed, record.VerdictBreakerOpen, record.VerdictBreakerProbing, record.VerdictHeldByAnomaly,
			record.VerdictNoUsableKey, record.VerdictNoSuchModel:
			if !slices.Contains(all, c.Target.Provider) {
				all = append(all, c.Target.Provider)
			}
		case record.VerdictServed:
			return all
		}
	}
	return all
}

// added gives how long a rerouted request spent on what was tried before the
// attempt that served.
func added(t *record.Trace) time.Duration {
	for _, a := range t.Attempts {
		if a.Class == "" {
			return a.Start - t.Attempts[0].Start
		}
	}
	return 0
}

// extra gives what attempts at a provider, or at all for "", cost that did not
// serve.
func extra(t *record.Trace, p llm.Provider) record.NanoUSD {
	var sum record.NanoUSD
	for _, a := range t.Attempts {
		if a.Class != "" && (p == "" || a.Target.Provider == p) {
			sum += a.Cost
		}
	}
	return sum
}

// minuteOf gives the effects of a minute, the last one or a new one.
func minuteOf(effects map[llm.Provider][]effect, p llm.Provider, end time.Time) *effect {
	minute := end.Truncate(time.Minute)
	list := effects[p]
	for len(list) > 0 && minute.Sub(list[0].minute) > impactFor {
		list = list[1:]
	}
	if len(list) == 0 || list[len(list)-1].minute.Before(minute) {
		list = append(list, effect{minute: minute, rerouted: make(map[llm.Provider]int64)})
	}
	effects[p] = list
	return &list[len(list)-1]
}

// between sums up what a provider's trouble, or that of all for "", did from
// one instant to another, to the minute. What was before this process it reads
// from the record, once and no more than impactTraces.
func (im *impacts) between(ctx context.Context, p llm.Provider, from, to time.Time) (record.Impact, error) {
	var total sum
	if from.Before(im.since) && im.traces != nil {
		im.reading.Lock()
		err := im.readBack(ctx, from)
		total.add(im.past[p], from, to)
		im.reading.Unlock()
		if err != nil {
			return record.Impact{}, err
		}
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	total.add(im.effects[p], from, to)
	return total.impact(), nil
}

// readBack counts the requests of the record that ended before this process
// began, back to an instant.
func (im *impacts) readBack(ctx context.Context, from time.Time) error {
	if oldest := im.since.Add(-impactFor); from.Before(oldest) {
		from = oldest
	}
	for im.from.After(from) && im.left > 0 {
		traces, err := im.traces(ctx, store.TraceQuery{Before: im.before, Limit: min(im.left, store.MaxLimit)})
		if err != nil {
			return err
		}
		if len(traces) == 0 {
			im.left = 0
			return nil
		}
		for i := range traces {
			im.count(&traces[i], im.pastMinute)
		}
		last := traces[len(traces)-1]
		im.from, im.before, im.left = last.Accepted, last.ID, im.left-len(traces)
	}
	return nil
}

// pastMinute gives the effects of a minute before this process. They are read
// newest first, and not in the order in which they ended.
func (im *impacts) pastMinute(p llm.Provider, end time.Time) *effect {
	minute := end.Truncate(time.Minute)
	at, found := slices.BinarySearchFunc(im.past[p], minute, func(e effect, m time.Time) int { return e.minute.Compare(m) })
	if !found {
		im.past[p] = slices.Insert(im.past[p], at, effect{minute: minute, rerouted: make(map[llm.Provider]int64)})
	}
	return &im.past[p][at]
}

// sum is what effects come to.
type sum struct {
	effect
	by map[llm.Provider]int64
}

func (s *sum) add(effects []effect, from, to time.Time) {
	for _, e := range effects {
		if e.minute.Before(from.Truncate(time.Minute)) || e.minute.After(to) {
			continue
		}
		s.failed += e.failed
		s.added += e.added
		s.extra += e.extra
		for server, n := range e.rerouted {
			if s.by == nil {
				s.by = make(map[llm.Provider]int64)
			}
			s.by[server] += n
		}
	}
}

func (s *sum) impact() record.Impact {
	i := record.Impact{Failed: s.failed, Extra: s.extra}
	for _, server := range llm.Providers() {
		i.Rerouted += s.by[server]
		if s.by[server] > s.by[i.ServedBy] {
			i.ServedBy = server
		}
	}
	if i.Rerouted > 0 {
		i.Added = s.added / time.Duration(i.Rerouted)
	}
	return i
}
