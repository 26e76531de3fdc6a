package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/store"
	"breakwater/web"
)

// grain is how finely a span is drawn and written down.
type grain struct {
	read        store.Span    // of the rollups
	step, table time.Duration // of a point, and of a row of the table
}

func grainOf(s web.Span) grain {
	switch s {
	case web.LastHour:
		return grain{store.Minute, time.Minute, 5 * time.Minute}
	case web.LastMonth:
		return grain{store.Hour, 6 * time.Hour, 24 * time.Hour}
	}
	return grain{store.Minute, 10 * time.Minute, time.Hour}
}

// courses remembers what was drawn of one look at health, so that a page that
// renews itself costs nothing in between.
type courses struct {
	mu   sync.Mutex
	at   time.Time
	last map[courseKey]web.Course
}

type courseKey struct {
	provider llm.Provider
	span     web.Span
}

// course gives what a provider's page draws of a span.
func (s *status) course(ctx context.Context, p llm.Provider, span web.Span, h *health) (web.Course, error) {
	c := &s.courses
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.Equal(h.At) {
		c.at, c.last = h.At, make(map[courseKey]web.Course)
	}
	key := courseKey{p, span}
	if drawn, ok := c.last[key]; ok {
		return drawn, nil
	}
	drawn, err := s.readCourse(ctx, p, span, h)
	if err == nil {
		c.last[key] = drawn
	}
	return drawn, err
}

func (s *status) readCourse(ctx context.Context, p llm.Provider, span web.Span, h *health) (web.Course, error) {
	g := grainOf(span)
	to := h.At
	from := to.Truncate(g.table).Add(g.table - span.Length())
	rollups, err := s.store.RollupsOf(ctx, g.read, p, from, to.Add(time.Second))
	if err != nil {
		return web.Course{}, fmt.Errorf("read the course of a span: %w", err)
	}
	past := h.pasts.providers[p]
	c := web.Course{
		From: from, To: to, Step: g.step, Usual: web.Bands{P50: past.p50, P95: past.band, P99: past.p99, TTFT: past.ttft},
		Points: moments(rollups, from, to, g.step), Rows: moments(rollups, from, to, g.table),
	}
	for _, m := range moments(rollups, from, to, span.Length()+g.table) {
		c.Sum = m
	}
	for _, stretch := range h.courses[p] {
		if stretch.To.After(from) {
			if stretch.From.Before(from) {
				stretch.From = from
			}
			c.Stretches = append(c.Stretches, web.Stretch(stretch))
		}
	}
	for i := range c.Rows {
		row := &c.Rows[i]
		row.In = monitor.TimeIn(h.courses[p], row.At, row.At.Add(g.table))
	}
	for _, in := range h.incidents {
		if began, until := in.Trouble(p, to); until.After(began) && until.After(from) {
			c.Marks = append(c.Marks, in)
		}
	}
	return c, nil
}

// moments joins rollups of several targets into steps from an instant on, the last
// of which has begun; a step without any has no figures.
func moments(rollups []store.Rollup, from, to time.Time, step time.Duration) []web.Moment {
	sums := make([]store.Rollup, int(to.Sub(from)/step)+1)
	for _, r := range rollups {
		if i := int(r.Start.Sub(from) / step); i >= 0 && i < len(sums) {
			sums[i].Add(r)
		}
	}
	all := make([]web.Moment, len(sums))
	for i, sum := range sums {
		m := web.Moment{
			At: from.Add(time.Duration(i) * step), Served: sum.Served, Failed: sum.Failed, Throttled: sum.Throttled,
			Other: sum.Other, Cancelled: sum.Cancelled, Cost: sum.Cost,
		}
		if sum.Latency.Count() > 0 {
			m.P50, m.P95, m.P99 = web.Known(sum.Latency.Quantile(0.5)), web.Known(sum.Latency.Quantile(0.95)), web.Known(sum.Latency.Quantile(0.99))
		}
		if sum.TTFT.Count() > 0 {
			m.TTFT = web.Known(sum.TTFT.Quantile(0.95))
		}
		all[i] = m
	}
	return all
}

// measures gives what the detector compares of a provider, what is nearest to a
// finding first.
func measures(scores []anomaly.Score, p llm.Provider) []web.Measure {
	var all []web.Measure
	for _, sc := range scores {
		if sc.Target.Provider != p {
			continue
		}
		m := web.Measure{
			Endpoint: sc.Target.Endpoint, Model: sc.Target.Model, Name: sc.Measure, Share: sc.Signal == anomaly.Errors, Seconds: sc.Signal == anomaly.Latency,
			Now: sc.Now, Usual: sc.Usual, Z: sc.Z, Samples: int64(sc.Samples),
		}
		if sc.Threshold > 0 {
			m.Evidence = max(0, sc.Evidence/sc.Threshold)
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b web.Measure) int {
		switch {
		case a.Evidence > b.Evidence:
			return -1
		case a.Evidence < b.Evidence:
			return 1
		}
		return 0
	})
	return all
}

// looks gives the probes of a provider.
func looks(all []monitor.Look, p llm.Provider) []web.Look {
	var own []web.Look
	for _, l := range all {
		if l.Provider == p {
			own = append(own, web.Look{Endpoint: l.Endpoint, Paid: l.Paid, At: l.At, Took: l.Took, Error: l.Error, Next: l.Next})
		}
	}
	return own
}
