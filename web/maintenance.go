package web

import (
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// maintained puts planned maintenance beside the figures of each provider. What
// the Source gave is shared with other pages, so that it is copied.
func maintained(s Status) Status {
	if len(s.Maintenances) == 0 {
		return s
	}
	s.Providers = slices.Clone(s.Providers)
	for i := range s.Providers {
		p := &s.Providers[i]
		own := maintenancesOf(s.Maintenances, p.Name)
		p.Maintenance = standingLongest(own, s.Now)
		p.Days = slices.Clone(p.Days)
		for n := range p.Days {
			date := p.Days[n].Date
			p.Days[n].Maintenance = covered(own, date, date.AddDate(0, 0, 1), s.Now)
		}
	}
	return s
}

// standingLongest gives the window that stands and ends last; nil where none does.
func standingLongest(all []record.Silence, now time.Time) *record.Silence {
	var longest *record.Silence
	for i := range all {
		if standing(all[i], now) && (longest == nil || all[i].End().After(longest.End())) {
			longest = &all[i]
		}
	}
	return longest
}

// covered gives how much of the time from one instant to another, and until
// now, the windows cover together; windows may overlap.
func covered(windows []record.Silence, from, to, now time.Time) time.Duration {
	if to.After(now) {
		to = now
	}
	sorted := slices.SortedFunc(slices.Values(windows), func(a, b record.Silence) int { return a.From.Compare(b.From) })
	var sum time.Duration
	for _, w := range sorted {
		begin, end := w.From, w.End()
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		if end.After(begin) {
			sum += end.Sub(begin)
			from = end
		}
	}
	return sum
}

// maintenancesOf gives those that are about a provider.
func maintenancesOf(all []record.Silence, p llm.Provider) []record.Silence {
	var own []record.Silence
	for _, s := range all {
		if s.Provider == "" || s.Provider == p {
			own = append(own, s)
		}
	}
	return own
}
