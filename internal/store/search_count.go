package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"breakwater/internal/record"
)

const (
	// CountTime bounds how long Count scans: what is left of a page's 50 ms
	// beside the search itself and the reading of what it found.
	CountTime = 10 * time.Millisecond
	// CountSince is how far back Count looks where the query names no Since.
	CountSince = 24 * time.Hour
	// mostBars is how many spans Count cuts a time into, at most: more are
	// thinner than a pixel of a phone.
	mostBars = 200
)

// Counted says what a count is of.
type Counted string

// What a count may be of.
const (
	CountedRequests Counted = "requests" // of callers by their ends, from rollups
	CountedAttempts Counted = "attempts" // of a target or key by their ends, from rollups
	CountedScanned  Counted = "scanned"  // requests that match by their beginnings, as far back as a scan came
)

// Counts is how many matches a query has over time.
type Counts struct {
	Of       Counted
	From, To time.Time // what was counted; From lies at the beginning of a bar
	Step     time.Duration
	Bars     []Count // in order; where none was, there is none
	Whole    bool    // From is as far back as was asked for
}

// Count is one bar.
type Count struct {
	Start     time.Time
	Number    int64
	Simulated int64 // of them, seeded by the demo
}

// Count counts the matches of a query from its Since, or the last CountSince,
// to its Until, or now; Before and Limit are left aside. It takes rollups where
// they know the answer, and otherwise scans for CountTime.
func (s *Store) Count(ctx context.Context, q Query, now time.Time) (Counts, error) {
	q.Before, q.Limit = 0, 0
	if q.Until.IsZero() || q.Until.After(now) {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-CountSince)
	}
	q.Since, q.Until = later(q.Since).UTC(), later(q.Until).UTC()
	if rows, ok, err := s.rolledUp(ctx, q); ok || err != nil {
		if err != nil {
			return Counts{}, err
		}
		return s.countRollups(ctx, q, rows)
	}
	w, err := s.wanted(ctx, q)
	if err != nil {
		return Counts{}, err
	}
	found, err := s.scan(ctx, w, int(^uint(0)>>1), CountTime)
	if err != nil {
		return Counts{}, err
	}
	c := Counts{Of: CountedScanned, From: q.Since, To: q.Until, Whole: found.done}
	if !c.Whole {
		c.From = found.lowest.Time()
	}
	c.Step = stepOf(c.To.Sub(c.From), time.Second)
	c.From = c.From.Truncate(c.Step)
	for i := len(found.ids) - 1; i >= 0; i-- {
		id, simulated := found.ids[i], int64(0)
		if found.simulated[id] {
			simulated = 1
		}
		c.add(id.Time().Truncate(c.Step), 1, simulated)
	}
	return c, nil
}

// add counts into the last bar, or begins another.
func (c *Counts) add(start time.Time, number, simulated int64) {
	if n := len(c.Bars); n == 0 || !c.Bars[n-1].Start.Equal(start) {
		c.Bars = append(c.Bars, Count{Start: start})
	}
	last := &c.Bars[len(c.Bars)-1]
	last.Number += number
	last.Simulated += simulated
}

// stepOf gives the shortest step, but none below the least, that cuts a length
// into no more than mostBars.
func stepOf(length, least time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
		time.Hour, 6 * time.Hour, day,
	} {
		if step >= least && length <= mostBars*step {
			return step
		}
	}
	return day * max(1, (length+mostBars*day-1)/(mostBars*day))
}

// rollupRows says which rollups know how many matches a query has.
type rollupRows struct {
	of                     Counted
	table, number, subject string
}

// rolledUp gives the rollups that count what the query asks for, if any do.
func (s *Store) rolledUp(ctx context.Context, q Query) (rollupRows, bool, error) {
	plain := q
	plain.Since, plain.Until = time.Time{}, time.Time{}
	const every = "served + failed + throttled + other + cancelled"
	switch {
	case plain == Query{}:
		return rollupRows{CountedRequests, "rollups", every, "subject = 0"}, true, nil
	case plain == Query{Outcome: q.Outcome}:
		number := map[record.Outcome]string{
			record.Served: "served", record.Failed: "failed", record.Refused: "other", record.Abandoned: "cancelled",
		}[q.Outcome]
		return rollupRows{CountedRequests, "rollups", number, "subject = 0"}, number != "", nil
	case plain == Query{Provider: q.Provider, Endpoint: q.Endpoint, Model: q.Model}:
		ids, err := s.targetIDs(ctx, q)
		return rollupRows{CountedAttempts, "rollups", every, "subject IN (" + numbers(ids) + ")"}, true, err
	case plain == Query{Provider: q.Provider, Endpoint: q.Endpoint, Key: q.Key}:
		ids, err := s.ids(ctx, `SELECT id FROM keys WHERE name = ?3 AND ?1 IN ('', provider) AND ?2 IN ('', endpoint)`, q.Provider, q.Endpoint, q.Key)
		return rollupRows{CountedAttempts, "key_rollups", "requests", "key IN (" + numbers(ids) + ")"}, true, err
	}
	return rollupRows{}, false, nil
}

// countRollups adds up rollups of the longest span that shows enough.
func (s *Store) countRollups(ctx context.Context, q Query, rows rollupRows) (Counts, error) {
	c := Counts{Of: rows.of, Whole: true, To: q.Until, Step: stepOf(q.Until.Sub(q.Since), time.Minute)}
	c.From = q.Since.Truncate(c.Step)
	span := Day
	switch {
	case c.Step < time.Duration(Hour):
		span = Minute
	case c.Step < time.Duration(Day):
		span = Hour
	}
	type row struct{ start, number, simulated int64 }
	found, err := query(ctx, s.readers, func(rows *sql.Rows, r *row) error { return rows.Scan(&r.start, &r.number, &r.simulated) },
		fmt.Sprintf(`SELECT start, sum(%s), coalesce(sum(%[1]s) FILTER (WHERE simulated = 1), 0) FROM %s
			WHERE span = ? AND start >= ? AND start < ? AND %s GROUP BY start ORDER BY start`,
			rows.number, rows.table, rows.subject),
		int64(time.Duration(span)/time.Second), c.From.Unix(), q.Until.Unix())
	for _, r := range found {
		if r.number > 0 {
			c.add(time.Unix(r.start, 0).UTC().Truncate(c.Step), r.number, r.simulated)
		}
	}
	return c, err
}
