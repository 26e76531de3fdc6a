package monitor

import (
	"context"
	"fmt"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// Window is a time up to now that health is told of. It is made of whole
// minutes, hours or days, the present one included.
type Window struct {
	Name  string // as a label: "5m"
	Words string // as people read it: "5 minutes"
	span  store.Span
	count int
}

// Windows lists all windows, the shortest first.
func Windows() []Window {
	return []Window{
		{"5m", "5 minutes", store.Minute, 5}, {"1h", "1 hour", store.Minute, 60},
		{"24h", "24 hours", store.Hour, 24}, {"7d", "7 days", store.Hour, 7 * 24},
		{"30d", "30 days", store.Day, 30}, {"90d", "90 days", store.Day, 90},
	}
}

// From gives the window's first instant.
func (w Window) From(now time.Time) time.Time {
	d := time.Duration(w.span)
	return now.UTC().Truncate(d).Add(-time.Duration(w.count-1) * d)
}

// SlowerThan is how many times a provider's usual p95 an answer may take before
// it counts as slow in the health score: what a person who waits notices.
const SlowerThan = 2

// Health is how a provider, or Breakwater for its callers, did in one window.
type Health struct {
	Window
	Sum   store.Rollup // of all its targets
	First time.Time    // the minute, hour or day in which there was something first; zero without data

	// Of providers alone:
	In       map[record.State]time.Duration // time in each state; see Modes
	Downtime time.Duration                  // in which an incident of the provider lasted, without planned maintenance
}

// Availability gives the share of the attempts that were answered, of those that
// were answered or failed by the provider's fault; false without any. Of callers
// it is that of their requests.
func (h Health) Availability() (float64, bool) {
	return portion(h.Sum.Served, h.Sum.Served+h.Sum.Failed)
}

// Errors gives the share of all attempts that did not get a whole answer, for
// whatever reason but that the caller went away; false without any.
func (h Health) Errors() (float64, bool) {
	wrong := h.Sum.Failed + h.Sum.Throttled + h.Sum.Other
	return portion(wrong, h.Sum.Served+wrong)
}

// Score gives the health score, from 0 to 100: each answer counts 1, or a half
// where it took longer than slow, and each failure by the provider's fault 0.
// With a slow of 0, which is where nothing is usual yet, it is the availability.
func (h Health) Score(slow time.Duration) (float64, bool) {
	available, known := h.Availability()
	if slow > 0 {
		available *= (1 + inTime(h.Sum.Latency, slow)) / 2
	}
	return 100 * available, known
}

// inTime gives the share of a sketch's values that are no longer than limit.
func inTime(s store.Sketch, limit time.Duration) float64 {
	if s.Count() == 0 || s.Quantile(1) <= limit {
		return 1
	}
	low, high := 0.0, 1.0 // the quantile at low is within, that at high is not
	for range 30 {
		if middle := (low + high) / 2; s.Quantile(middle) <= limit {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func portion(part, whole int64) (float64, bool) {
	if whole <= 0 {
		return 0, false
	}
	return float64(part) / float64(whole), true
}

// add counts a rollup in.
func (h *Health) add(r store.Rollup) {
	if h.First.IsZero() || r.Start.Before(h.First) {
		h.First = r.Start
	}
	h.Sum.Add(r)
}

// Healths is how everybody did, by window as in Windows.
type Healths struct {
	At        time.Time
	Callers   []Health
	Providers map[llm.Provider][]Health
}

// ReadHealths works out how everybody did up to now. It reads rollups alone: an
// hour of minutes, a week of hours and 90 days.
func ReadHealths(ctx context.Context, st *store.Store, now time.Time) (Healths, error) {
	all := Healths{At: now.UTC(), Callers: windowed(), Providers: map[llm.Provider][]Health{}}
	for _, p := range llm.Providers() {
		all.Providers[p] = windowed()
	}
	for _, longest := range []int{1, 3, 5} {
		span := all.Callers[longest].span
		from := all.Callers[longest].From(now)
		rollups, err := st.Rollups(ctx, span, from, now.Add(time.Second))
		if err != nil {
			return all, fmt.Errorf("read the health by the %s: %w", span, err)
		}
		for _, r := range rollups {
			of := all.Callers
			if !r.Callers {
				of = all.Providers[r.Target.Provider]
			}
			if of == nil {
				continue
			}
			of[longest].add(r)
			if !r.Start.Before(of[longest-1].From(now)) {
				of[longest-1].add(r)
			}
		}
	}
	return all, nil
}

func windowed() []Health {
	var all []Health
	for _, w := range Windows() {
		all = append(all, Health{Window: w})
	}
	return all
}
