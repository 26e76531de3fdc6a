package app

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/store"
	"breakwater/web"
)

const (
	// statusFor is how long one look at the figures serves every page: short
	// beside the second in which the page tells of a change.
	statusFor = 500 * time.Millisecond
	// pageDays is how many daily bars a provider has.
	pageDays = 90
	// pageIncidents is how far back the page lists incidents.
	pageIncidents = 14 * 24 * time.Hour
	// mostIncidents bounds the incidents that are read for 90 days of bars.
	mostIncidents = 2000
	// leastSpan is the shortest time after a start that a rate is made of.
	leastSpan = 10 * time.Second
	// troubled is the share of failed attempts from which a provider with
	// troubledFrom attempts or more is called degraded.
	troubled     = 0.10
	troubledFrom = 10
)

// status is the page's Source: it brings together what the monitor, the
// router, the store and the configuration know.
type status struct {
	router    *router.HybridRouter
	monitor   *monitor.Monitor
	store     *store.Store
	flow      *flow
	healths   *healths
	courses   courses
	prober    *monitor.Prober
	scores    func() []anomaly.Score
	order     []llm.Provider // the chain, then those outside it
	budgets   []budget
	models    map[llm.Provider]string
	missing   map[llm.Provider]string // what would set a provider up; absent for one that is
	started   time.Time
	simulated time.Time

	old  atomic.Bool // the next page must look anew
	mu   sync.Mutex
	last web.Status
	read time.Time
}

// budget is a budget of the configuration.
type budget struct {
	name     string
	provider llm.Provider // "" for all
	period   web.Period
	amount   record.NanoUSD
}

// Status gives the page's figures, at most statusFor old.
func (s *status) Status(ctx context.Context) (web.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	if now.Sub(s.read) < statusFor && !s.old.Load() {
		return s.last, nil
	}
	s.old.Store(false)
	st, err := s.look(ctx, now)
	if err != nil {
		return web.Status{}, err
	}
	s.last, s.read = st, now
	return st, nil
}

// stale has the next page look anew. It never waits.
func (s *status) stale() { s.old.Store(true) }

func (s *status) look(ctx context.Context, now time.Time) (web.Status, error) {
	st := web.Status{Now: now, Started: s.started, SimulatedUntil: s.simulated, Dropped: int64(s.store.Stats().Dropped)}
	if stats := s.store.Stats(); stats.Failing {
		st.Waiting = int64(stats.Queued)
	}
	h, err := s.healths.latest(ctx, now)
	if err != nil {
		return st, err
	}
	for _, in := range h.incidents {
		if in.State.Lasts() || in.State == record.Resolved && now.Sub(in.Began) < pageIncidents {
			st.Incidents = append(st.Incidents, in)
		}
	}
	st.Maintenances = h.planned
	days, err := s.days(ctx, now, h.down)
	if err != nil {
		return st, err
	}
	spent, err := s.spent(ctx, now)
	if err != nil {
		return st, err
	}
	st.Numbers = s.numbers(spent, h.pasts.callers)
	st.Budgets = s.budgetsOf(spent)
	st.Providers = s.providers(days, &h)
	st.Line = s.flow.line()
	return st, nil
}

// days gives each provider's daily bars.
func (s *status) days(ctx context.Context, now time.Time, down map[llm.Provider][]monitor.Span) (map[llm.Provider][]web.Day, error) {
	today := now.Truncate(24 * time.Hour)
	first := today.AddDate(0, 0, 1-pageDays)
	rollups, err := s.store.Rollups(ctx, store.Day, first, today.AddDate(0, 0, 1))
	if err != nil {
		return nil, fmt.Errorf("read the days: %w", err)
	}
	days := make(map[llm.Provider][]web.Day)
	for _, p := range llm.Providers() {
		for i := range pageDays {
			days[p] = append(days[p], web.Day{Date: first.AddDate(0, 0, i)})
		}
	}
	for _, r := range rollups {
		if bars := days[r.Target.Provider]; !r.Callers && bars != nil {
			day := &bars[int(r.Start.Sub(first)/(24*time.Hour))]
			day.Served += r.Served
			day.Failed += r.Failed
		}
	}
	for p, bars := range days {
		for i := range bars {
			bars[i].Incident = monitor.Within(down[p], bars[i].Date, bars[i].Date.AddDate(0, 0, 1))
		}
	}
	return days, nil
}

// spending is what was spent since the day and the month began.
type spending map[web.Period]map[llm.Provider]record.NanoUSD

func (s *status) spent(ctx context.Context, now time.Time) (spending, error) {
	starts := map[web.Period]time.Time{
		web.PerDay:   now.Truncate(24 * time.Hour),
		web.PerMonth: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC),
	}
	all := make(spending)
	for period, start := range starts {
		spent, err := s.store.Spend(ctx, start, now.Add(time.Minute))
		if err != nil {
			return nil, fmt.Errorf("read what was spent: %w", err)
		}
		all[period] = spent
	}
	return all, nil
}

// of gives what one provider, or all of them, spent in a period.
func (s spending) of(p llm.Provider, period web.Period) record.NanoUSD {
	if p != "" {
		return s[period][p]
	}
	var sum record.NanoUSD
	for _, n := range s[period] {
		sum += n
	}
	return sum
}

func (s *status) numbers(spent spending, past usual) web.Numbers {
	minutes := s.monitor.LastOfCallers(monitor.RecentMinutes)
	sum := monitor.Sum(minutes)
	n := web.Numbers{
		Served: sum.Served, Failed: sum.Failed,
		UsualSucceeded: past.succeeded, UsualP95: past.p95, UsualPerMinute: past.perMinute,
		SpentToday: spent.of("", web.PerDay),
	}
	if sum.Served > 0 {
		n.P95 = web.Known(sum.Latency.Quantile(0.95))
	}
	if total := sum.Served + sum.Failed + sum.Other; total > 0 {
		span := min(time.Since(s.started), monitor.RecentMinutes*time.Minute)
		n.PerMinute = web.Known(float64(total) / max(span, leastSpan).Minutes())
	}
	for _, b := range s.budgets {
		if b.provider == "" && b.period == web.PerDay {
			n.DailyCap = b.amount
		}
	}
	return n
}

// budgetsOf gives the configured budgets, or, where there are none, what was
// spent this month.
func (s *status) budgetsOf(spent spending) []web.Budget {
	var budgets []web.Budget
	for _, b := range s.budgets {
		budgets = append(budgets, web.Budget{Name: b.name, Period: b.period, Cap: b.amount, Spent: spent.of(b.provider, b.period)})
	}
	if len(budgets) == 0 {
		budgets = append(budgets, web.Budget{Name: "All providers", Period: web.PerMonth, Spent: spent.of("", web.PerMonth)})
	}
	return budgets
}

func (s *status) providers(days map[llm.Provider][]web.Day, h *health) []web.Provider {
	recent := make(map[llm.Provider]monitor.Minute)
	var served int64
	for _, p := range llm.Providers() {
		recent[p] = monitor.Sum(s.monitor.Last(p, monitor.RecentMinutes))
		served += recent[p].Served
	}
	var rows []web.Provider
	for _, p := range s.order {
		past := h.pasts.providers[p]
		row := web.Provider{
			Name: p, Model: s.models[p], Missing: s.missing[p],
			Breaker: s.breaker(p), Hold: s.hold(p), Keys: s.flow.keysOut(p),
			UsualP95: past.p95, Usual: past.band, Days: days[p], Uptimes: h.uptimes(p),
		}
		sum := recent[p]
		if served > 0 {
			row.Share = web.Known(float64(sum.Served) / float64(served))
		}
		if sum.Served > 0 {
			row.P95 = web.Known(sum.Latency.Quantile(0.95))
		}
		if n := sum.Served + sum.Failed; n > 0 {
			row.Errors = web.Known(float64(sum.Failed) / float64(n))
		}
		for _, m := range s.monitor.Last(p, monitor.Minutes) {
			if m.Served > 0 {
				row.Hour = append(row.Hour, web.Point{At: m.Start, P95: m.Latency.Quantile(0.95)})
			}
		}
		row.State = s.state(row, sum, h.incidents)
		rows = append(rows, row)
	}
	return rows
}

// state says in one word how a provider is.
func (s *status) state(row web.Provider, recent monitor.Minute, incidents []record.Incident) web.State {
	trouble, known := s.router.Contact(row.Name)
	_, off := s.missing[row.Name]
	attempts := recent.Served + recent.Failed
	switch {
	case off:
		return web.Off
	case row.Breaker.State == record.Open, row.Keys.All > 0 && row.Keys.Usable == 0:
		return web.Down
	case row.Hold != nil:
		return web.Held
	case row.Breaker.State == record.HalfOpen, row.Keys.AllCooling():
		return web.Degraded
	case trouble != "":
		return web.Down
	case attempts >= troubledFrom && float64(recent.Failed) >= troubled*float64(attempts):
		return web.Degraded
	}
	for _, in := range incidents {
		if in.Subject == row.Name && in.State.Lasts() && in.Whole() {
			return web.Degraded
		}
	}
	if !known && attempts == 0 {
		return web.Unknown
	}
	return web.Operational
}

// breaker gives the worst of a provider's breakers.
func (s *status) breaker(p llm.Provider) web.Breaker {
	worst := web.Breaker{State: record.Closed, Threshold: s.router.FailureThreshold()}
	rank := map[record.State]int{record.Closed: 0, record.HalfOpen: 1, record.Open: 2}
	for _, b := range s.router.Breakers() {
		if b.Target.Provider != p || rank[b.State] < rank[worst.State] ||
			rank[b.State] == rank[worst.State] && b.Failures < worst.Failures {
			continue
		}
		worst.State, worst.Failures, worst.NextProbe, worst.Reason = b.State, b.Failures, b.NextProbe, b.Reason
	}
	return worst
}

// hold gives the hold on a provider's targets that lasts longest.
func (s *status) hold(p llm.Provider) *record.Hold {
	var longest *record.Hold
	for _, h := range s.router.Holds() {
		if h.Target.Provider == p && (longest == nil || h.Expires.After(longest.Expires)) {
			longest = &h
		}
	}
	return longest
}
