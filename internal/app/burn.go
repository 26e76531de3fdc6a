package app

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/config"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// The rules for the error budget: what a long window uses of the whole budget,
// while a short one says that it goes on. They are those that Google's SRE workbook
// recommends (as told at
// https://velobot-wiki.pages.dev/article/software/slo-burn-rate-multi-window-alerting-playbook/,
// 2026-11); with the default window of 30 days the rates are 14.4, 6 and 1.
const (
	// BurnMinFailures is how many failures the long window must hold: at 100
	// requests an hour one failure is 1 %, and no reason to wake anybody.
	BurnMinFailures = 10
	// BurnMinRecent is how many of them must be in the short window.
	BurnMinRecent = 3
	// BurnCalm is for how long no rule may hold before the alert ends, so that
	// a rate around its limit is one alert.
	BurnCalm = 10 * time.Minute
	// BurnLook is how often the rules are looked at: the shortest window is ten
	// times as long.
	BurnLook = 30 * time.Second
	// burnMinutes is how far back the longest window reaches.
	burnMinutes = 3 * 24 * 60
)

// BurnRule is one pair of windows.
type BurnRule struct {
	Long, Short time.Duration
	Share       float64 // of the whole budget that Long may use
	Severity    record.Severity
}

// BurnRules lists the rules, the most urgent first.
func BurnRules() []BurnRule {
	return []BurnRule{
		{Long: time.Hour, Short: 5 * time.Minute, Share: 0.02, Severity: record.Critical},
		{Long: 6 * time.Hour, Short: 30 * time.Minute, Share: 0.05, Severity: record.Critical},
		{Long: 72 * time.Hour, Short: 6 * time.Hour, Share: 0.10, Severity: record.Warning},
	}
}

// rate is how many times faster than the window allows the budget is used.
func (r BurnRule) rate(window time.Duration) float64 {
	return r.Share * float64(window) / float64(r.Long)
}

// ends are the requests of a span that could have been served well, and those
// that were not.
type ends struct{ all, failed, slow uint32 }

func (e *ends) add(o ends) {
	e.all, e.failed, e.slow = e.all+o.all, e.failed+o.failed, e.slow+o.slow
}

// burn counts callers' requests by the minute and compares what fails with what
// the objectives allow. It takes 50 KB.
type burn struct {
	slo        config.SLO
	conditions *conditions

	mu      sync.Mutex
	minutes [burnMinutes]ends
	newest  int64     // minute since 1970 of the last that is counted
	held    time.Time // when a rule held last, of availability
	slowed  time.Time // of latency
}

func newBurn(slo config.SLO, c *conditions) *burn { return &burn{slo: slo, conditions: c} }

// fill takes up what the record holds. Of latency it is not known how many were
// slower than the objective.
func (b *burn) fill(ctx context.Context, s *store.Store, now time.Time) error {
	split := now.Truncate(time.Hour).Add(-6 * time.Hour)
	for _, part := range []struct {
		span     store.Span
		from, to time.Time
	}{{store.Hour, now.Add(-burnMinutes * time.Minute), split}, {store.Minute, split, now}} {
		rollups, err := s.Rollups(ctx, part.span, part.from, part.to)
		if err != nil {
			return fmt.Errorf("read the last days: %w", err)
		}
		for _, r := range rollups {
			if r.Callers && !r.Simulated {
				b.count(r.Start, ends{all: uint32(r.Served + r.Failed), failed: uint32(r.Failed)})
			}
		}
	}
	return nil
}

// note counts one request. One that was refused, or whose caller went away, could
// not have been served better.
func (b *burn) note(t *record.Trace) {
	e := ends{all: 1}
	switch t.Outcome {
	case record.Failed:
		e.failed = 1
	case record.Served:
		took := t.Took
		if t.Stream && t.TTFT > 0 {
			took = t.TTFT
		}
		if b.slo.Latency > 0 && took > b.slo.Latency {
			e.slow = 1
		}
	default:
		return
	}
	b.count(t.Ended(), e)
}

func (b *burn) count(at time.Time, e ends) {
	b.mu.Lock()
	defer b.mu.Unlock()
	minute := at.Unix() / 60
	b.turn(minute)
	if minute > b.newest-burnMinutes {
		b.minutes[minute%burnMinutes].add(e)
	}
}

// turn empties the minutes up to a new one.
func (b *burn) turn(minute int64) {
	for m := max(b.newest+1, minute-burnMinutes+1); m <= minute; m++ {
		b.minutes[m%burnMinutes] = ends{}
	}
	b.newest = max(b.newest, minute)
}

// sum adds up the minutes of a window that ends now.
func (b *burn) sum(minute int64, window time.Duration) ends {
	var sum ends
	for m := minute; m > minute-int64(window/time.Minute); m-- {
		sum.add(b.minutes[m%burnMinutes])
	}
	return sum
}

// look compares every rule with what was counted.
func (b *burn) look(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	minute := now.Unix() / 60
	b.turn(minute)
	b.objective(now, "availability", 1-b.slo.Availability, &b.held, func(e ends) uint32 { return e.failed }, "failed for their callers")
	if b.slo.Latency > 0 {
		b.objective(now, "latency", 1-b.slo.Share, &b.slowed, func(e ends) uint32 { return e.slow }, "took longer than "+b.slo.Latency.String())
	}
}

// objective raises the first rule of an objective that holds, and clears the
// alert when none did for a while.
func (b *burn) objective(now time.Time, name string, allowed float64, held *time.Time, bad func(ends) uint32, what string) {
	minute := now.Unix() / 60
	s := alerts.Signal{At: now, Topic: record.TopicErrorBudget, Name: name, Text: "The error budget is no longer used up faster than it allows."}
	for _, rule := range BurnRules() {
		limit := rule.rate(b.slo.Window) * allowed
		share := func(e ends) float64 { return float64(bad(e)) / math.Max(1, float64(e.all)) }
		short := b.sum(minute, rule.Short) // first, since it is a tenth of the work and mostly says no
		if bad(short) < BurnMinRecent || share(short) < limit {
			continue
		}
		long := b.sum(minute, rule.Long)
		if bad(long) < BurnMinFailures || share(long) < limit {
			continue
		}
		*held = now
		s.Severity, s.Title = rule.Severity, "The error budget for "+name+" is being used up"
		left := time.Duration(allowed / share(long) * float64(b.slo.Window)).Round(time.Minute)
		s.Text = fmt.Sprintf("%d of %d requests (%s) %s in the last %s, and %s in the last %s; the objective allows %s. At this rate the budget of %s lasts %s.",
			bad(long), long.all, percent(share(long)), what, span(rule.Long), percent(share(short)), span(rule.Short), percent(allowed), span(b.slo.Window), span(left))
		b.conditions.raise(s, 0, "")
		return
	}
	if now.Sub(*held) >= BurnCalm {
		b.conditions.clear(s)
	}
}

// percent writes a share in as few figures as tell it, and never as a power of ten.
func percent(share float64) string {
	decimals := 0
	switch {
	case share < 0.001:
		decimals = 3
	case share < 0.01:
		decimals = 2
	case share < 0.1:
		decimals = 1
	}
	number := strconv.FormatFloat(100*share, 'f', decimals, 64)
	if decimals > 0 {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " %"
}

// span writes a length of time in the largest unit that it is whole in.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return strconv.FormatFloat(math.Round(10*d.Hours()/24)/10, 'f', -1, 64) + " days"
	case d >= 2*time.Hour:
		return strconv.FormatFloat(math.Round(10*d.Hours())/10, 'f', -1, 64) + " hours"
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}

// Run looks at the rules until ctx ends.
func (b *burn) Run(ctx context.Context) error {
	return every(ctx, BurnLook, b.look)
}
