package app

import (
	"context"
	"fmt"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/web"
)

const (
	// PaceLook is how often budgets are looked at: money is spent by the minute.
	PaceLook = time.Minute
	// PaceHalf is the part of a budget from which its pace is told: where half is
	// spent, what is spent until the end can be told from what was.
	PaceHalf = 0.5
	// PaceMost is the part from which a budget whose pace is too fast is a warning:
	// there is a day's work left to do something.
	PaceMost = 0.8
	// PaceMargin is by how much the pace must be too fast, so that a budget that
	// lasts to its last day is none.
	PaceMargin = 1.05
)

// budgetPace compares what is spent with the budgets.
type budgetPace struct {
	budgets    []budget
	spend      func(ctx context.Context, from, to time.Time) (map[llm.Provider]record.NanoUSD, error)
	conditions *conditions
}

// run looks at the budgets until ctx ends.
func (p *budgetPace) run(ctx context.Context) error {
	return every(ctx, PaceLook, func(now time.Time) {
		// What cannot be read now can be in a minute; the store itself tells that it is unwell.
		_ = p.look(ctx, now.UTC())
	})
}

func (p *budgetPace) look(ctx context.Context, now time.Time) error {
	for _, b := range p.budgets {
		from, to := periodOf(b.period, now)
		spent, err := p.spend(ctx, from, now.Add(time.Minute))
		if err != nil {
			return fmt.Errorf("read what was spent: %w", err)
		}
		used := spending{b.period: spent}.of(b.provider, b.period)
		s := alerts.Signal{At: now, Topic: record.TopicBudget, Name: b.name}
		if b.judge(&s, used, from, to) {
			p.conditions.raise(s, 0, "")
		} else {
			s.Text = "The budget lasts again, or a new period has begun."
			p.conditions.clear(s)
		}
	}
	return nil
}

// periodOf gives the beginning and the end of the period that an instant is in.
func periodOf(period web.Period, now time.Time) (from, to time.Time) {
	if period == web.PerDay {
		from = now.Truncate(24 * time.Hour)
		return from, from.AddDate(0, 0, 1)
	}
	from = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	return from, from.AddDate(0, 1, 0)
}

// judge says whether there is something to tell of a budget, and what.
func (b budget) judge(s *alerts.Signal, used record.NanoUSD, from, to time.Time) bool {
	share := float64(used) / float64(b.amount)
	passed := s.At.Sub(from)
	atEnd := share * float64(to.Sub(from)) / max(float64(passed), 1)
	tooFast := atEnd > PaceMargin
	switch {
	case share >= 1:
		s.Severity, s.Title = record.Warning, "The budget "+b.name+" is spent"
	case share >= PaceMost && tooFast:
		s.Severity, s.Title = record.Warning, fmt.Sprintf("The budget %s is spent to %.0f %%", b.name, 100*PaceMost)
	case share >= PaceHalf && tooFast:
		s.Severity, s.Title = record.Info, "The budget "+b.name+" will not last"
	default:
		return false
	}
	s.Text = fmt.Sprintf("$%.2f of $%.2f are spent (%.0f %%) after %.0f %% of the %s; at this pace it will be $%.2f.",
		used.Dollars(), b.amount.Dollars(), 100*share, 100*float64(passed)/float64(to.Sub(from)), b.period, atEnd*b.amount.Dollars())
	if share < 1 {
		s.Text += " It is spent by " + from.Add(time.Duration(float64(passed)/share)).Format("2 January 15:04") + " UTC."
	}
	return true
}
