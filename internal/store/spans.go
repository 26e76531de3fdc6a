package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// HoldLooksBack is how long before a time a hold may have been placed that
// HoldsBetween still finds: the detector's last two hours at most.
const HoldLooksBack = 7 * 24 * time.Hour

// RollupsOf gives the rollups of one provider's targets, as Rollups does.
func (s *Store) RollupsOf(ctx context.Context, span Span, p llm.Provider, from, to time.Time) ([]Rollup, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, r *Rollup) error {
		var start int64
		err := rows.Scan(append([]any{&start, &r.Simulated, &r.Target.Provider, &r.Target.Endpoint, &r.Target.Model}, r.columns()...)...)
		r.Start = time.Unix(start, 0).UTC()
		return err
	}, `SELECT start, simulated, provider, endpoint, model, `+rollupColumns+`
		FROM rollups CROSS JOIN targets ON targets.id = subject
		WHERE span = ? AND start >= ? AND start < ? AND provider = ? ORDER BY start, subject, simulated`,
		int64(time.Duration(span)/time.Second), from.Unix(), to.Unix(), p)
}

// TransitionsOf gives the latest transitions of one provider's breakers since an
// instant, by their IDs, oldest first.
func (s *Store) TransitionsOf(ctx context.Context, p llm.Provider, since time.Time, limit int) ([]record.Transition, error) {
	all, err := query(ctx, s.readers, func(rows *sql.Rows, t *record.Transition) error {
		return rows.Scan(&t.ID, scanTime{&t.At}, &t.Target.Provider, &t.Target.Endpoint, &t.Target.Model, &t.From, &t.To, &t.Reason, &t.Request)
	}, `SELECT id, at, provider, endpoint, model, from_state, to_state, reason, request
		FROM transitions WHERE id >= ? AND provider = ? ORDER BY id DESC LIMIT ?`, record.At(later(since)), p, limited(limit))
	slices.Reverse(all)
	return all, err
}

// HoldsBetween gives the latest holds on one provider's targets that stood at
// some instant from from to to and were placed no longer than HoldLooksBack
// before, in the order they were placed.
func (s *Store) HoldsBetween(ctx context.Context, p llm.Provider, from, to time.Time, limit int) ([]record.Hold, error) {
	all, err := query(ctx, s.readers, func(rows *sql.Rows, h *record.Hold) error {
		return rows.Scan(&h.ID, &h.Target.Provider, &h.Target.Endpoint, &h.Target.Model, &h.Source, &h.Reason,
			scanTime{&h.Placed}, scanTime{&h.Expires}, scanTime{&h.Ended}, &h.Ending)
	}, `SELECT id, provider, endpoint, model, source, reason, placed, expires, ended, ending FROM holds
		WHERE id >= ?1 AND provider = ?2 AND placed < ?3 AND expires > ?4 AND (ended IS NULL OR ended > ?4)
		ORDER BY id DESC LIMIT ?5`,
		record.At(later(from.Add(-HoldLooksBack))), p, to.UnixMicro(), from.UnixMicro(), limited(limit))
	slices.Reverse(all)
	return all, err
}
