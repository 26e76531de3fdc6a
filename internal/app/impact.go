package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// impactFor is how long the effects of trouble on callers are remembered; an
// incident that lasts longer is told with what its last day did.
const impactFor = 24 * time.Hour

// effect is what the trouble of one provider did to callers in one minute.
type effect struct {
	minute   time.Time
	rerouted map[llm.Provider]int64
	failed   int64
}

// impacts counts what each provider's trouble does to callers.
type impacts struct {
	since   time.Time      // what was before is not known
	inUse   []llm.Provider // the others have no key and miss every request
	mu      sync.Mutex
	effects map[llm.Provider][]effect // in order of time
}

func newImpacts(inUse []llm.Provider) *impacts {
	return &impacts{since: time.Now(), inUse: inUse, effects: make(map[llm.Provider][]effect)}
}

// note counts a request that a provider should have served and did not.
func (im *impacts) note(t *record.Trace) {
	if t.Outcome != record.Served && t.Outcome != record.Failed {
		return
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	for _, p := range missed(t) {
		if !slices.Contains(im.inUse, p) {
			continue
		}
		e := im.at(p, t.Ended())
		if t.Outcome == record.Failed {
			e.failed++
		} else {
			e.rerouted[t.Served.Provider]++
		}
	}
}

// missed lists the providers that stood before the one that served, and could
// not because of trouble of their own.
func missed(t *record.Trace) []llm.Provider {
	var all []llm.Provider
	for _, c := range t.Plan {
		switch c.Verdict {
		case record.VerdictTriedFailed, record.VerdictBreakerOpen, record.VerdictBreakerProbing, record.VerdictHeldByAnomaly,
			record.VerdictNoUsableKey, record.VerdictNoSuchModel:
			all = append(all, c.Target.Provider)
		case record.VerdictServed:
			return all
		}
	}
	return all
}

func (im *impacts) at(p llm.Provider, end time.Time) *effect {
	minute := end.Truncate(time.Minute)
	list := im.effects[p]
	for len(list) > 0 && minute.Sub(list[0].minute) > impactFor {
		list = list[1:]
	}
	if len(list) == 0 || list[len(list)-1].minute.Before(minute) {
		list = append(list, effect{minute: minute, rerouted: make(map[llm.Provider]int64)})
	}
	im.effects[p] = list
	return &list[len(list)-1]
}

// between sums up what a provider's trouble did from one instant to another,
// to the minute. It fails for trouble that is older than this process.
func (im *impacts) between(_ context.Context, p llm.Provider, from, to time.Time) (record.Impact, error) {
	if from.Before(im.since) {
		return record.Impact{}, errors.New("it began before the start")
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	var sum record.Impact
	by := make(map[llm.Provider]int64)
	for _, e := range im.effects[p] {
		if e.minute.Before(from.Truncate(time.Minute)) || e.minute.After(to) {
			continue
		}
		sum.Failed += e.failed
		for server, n := range e.rerouted {
			sum.Rerouted += n
			by[server] += n
		}
	}
	for _, server := range llm.Providers() {
		if by[server] > by[sum.ServedBy] {
			sum.ServedBy = server
		}
	}
	return sum, nil
}
