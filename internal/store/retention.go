package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"breakwater/internal/record"
)

// How long each kind of row is kept where nothing else is said.
const (
	// DefaultKeepTraces is as far back as one looks for a single request: the
	// month that the page shows and most bills cover.
	DefaultKeepTraces = 30 * 24 * time.Hour
	// DefaultKeepMinutes is as long as the raw rows, with which minutes are compared.
	DefaultKeepMinutes = 30 * 24 * time.Hour
	// DefaultKeepHours lets a month be compared with that of a year ago.
	DefaultKeepHours = 400 * 24 * time.Hour
	// DefaultKeepDays keeps days for ever: ten years of ten targets are 30 MB.
	DefaultKeepDays = 0
	// DefaultKeepChanges keeps transitions, holds and changes of keys as long as hours.
	DefaultKeepChanges = 400 * 24 * time.Hour
	// DefaultKeepIncidents keeps incidents for ever: they are few, and what is
	// learned from them is worth more than their room.
	DefaultKeepIncidents = 0
	// DefaultKeepBytes holds a month of 70 requests a second; a disk of which
	// nobody thinks has as much.
	DefaultKeepBytes = 20 << 30
)

// The least that is kept of the rollups, whatever is said: what the page and
// the budgets read, who take whole days, then hours, then minutes.
const (
	LeastMinutes = 2 * time.Hour       // the page's last hour
	LeastHours   = 2 * 24 * time.Hour  // today's
	LeastDays    = 92 * 24 * time.Hour // the page's 90 days
)

const (
	// RetainEvery is how often retention looks. What fell due since then is little.
	RetainEvery = time.Minute
	// RetainRows bounds the traces, or other rows, that one transaction removes:
	// a few milliseconds, in which the writer's queue grows by a few rows.
	RetainRows = 1000
	// RetainRest is how long retention rests after each transaction, as a
	// multiple of the time it took, so that the writer is its at most a fifth of the time.
	RetainRest = 4
	// FreeShare is the share of the file's pages, as 1 in so many, that may be free
	// before they are given back: new rows use free pages again, and moving pages costs.
	FreeShare = 20
	// vacuumPages bounds the pages that one transaction gives back, 1 MiB, and
	// is the least that giving back is worth.
	vacuumPages = 256
)

// Retention says how long rows are kept. A zero age keeps them for ever, zero
// Bytes keep any amount.
type Retention struct {
	Traces    time.Duration // with their attempts
	Minutes   time.Duration // rollups of minutes
	Hours     time.Duration
	Days      time.Duration
	Changes   time.Duration // transitions, holds, changes of keys
	Incidents time.Duration // since they ended, with their notices; silences as well
	// Bytes bounds what the rows take. Beyond it the oldest traces go, and when
	// there are none the oldest minutes, then hours, down to the least.
	Bytes int64
}

// Since says how far back the record is whole: what ended before was removed,
// wholly or in part. The zero time says that nothing was ever removed.
type Since struct{ Traces, Minutes, Hours, Days time.Time }

// of gives the instant of the rollups of a span.
func (s Since) of(span Span) time.Time {
	switch span {
	case Minute:
		return s.Minutes
	case Hour:
		return s.Hours
	}
	return s.Days
}

// Since says how far back the record is whole.
func (s *Store) Since(ctx context.Context) (Since, error) { return readSince(ctx, s.readers) }

// WholeFrom says from when on figures of a time, up to to, are whole: from from
// itself, or later where retention removed some of what was before.
func (s *Store) WholeFrom(ctx context.Context, from, to time.Time) (time.Time, error) {
	since, err := s.Since(ctx)
	if err != nil {
		return from, err
	}
	whole := from
	for _, p := range pieces(from, to) {
		if gone := since.of(p.span); gone.After(p.from) {
			whole = gone
			if gone.After(p.to) {
				whole = p.to
			}
		}
	}
	return whole, nil
}

func readSince(ctx context.Context, db querier) (Since, error) {
	type row struct {
		what  string
		since time.Time
	}
	rows, err := query(ctx, db, func(rows *sql.Rows, r *row) error { return rows.Scan(&r.what, scanTime{&r.since}) },
		`SELECT what, since FROM retained`)
	var since Since
	for _, r := range rows {
		switch r.what {
		case ofTraces:
			since.Traces = r.since
		case Minute.String():
			since.Minutes = r.since
		case Hour.String():
			since.Hours = r.since
		case Day.String():
			since.Days = r.since
		}
	}
	return since, err
}

// ofTraces is the traces' word in the table retained.
const ofTraces = "traces"

// Retain removes what is older than it is kept, or too much, until the context
// ends or Run has ended. It works in small transactions of the writer, with
// rests between them. What fails is counted in Stats and tried again.
func (s *Store) Retain(ctx context.Context, keep Retention) error {
	tick := time.NewTicker(RetainEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			err := s.retain(ctx, keep, now)
			if ctx.Err() != nil || errors.Is(err, ErrClosed) {
				return nil
			}
			s.retained(err)
		}
	}
}

// retained notes how a look of retention ended.
func (s *Store) retained(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.retentionError = ""
	if err != nil {
		s.health.retentionError = err.Error()
	}
}

func (s *Store) retain(ctx context.Context, keep Retention, now time.Time) error {
	due := func(age time.Duration) time.Time { return later(now.Add(-age)) }
	var parts []part
	if keep.Traces > 0 {
		parts = append(parts, oldTraces(record.At(due(keep.Traces))))
	}
	for _, r := range []struct {
		span       Span
		age, least time.Duration
	}{{Minute, keep.Minutes, LeastMinutes}, {Hour, keep.Hours, LeastHours}, {Day, keep.Days, LeastDays}} {
		if r.age > 0 {
			parts = append(parts, oldRollups(r.span, r.span.start(due(max(r.age, r.least)))))
		}
	}
	if keep.Changes > 0 {
		id := record.At(due(keep.Changes))
		parts = append(parts, oldRows(cutTransitions, id), oldRows(cutKeyChanges, id),
			oldRows(cutHolds, id, due(keep.Changes).UnixMicro()))
	}
	if keep.Incidents > 0 {
		ended := due(keep.Incidents).UnixMicro()
		parts = append(parts, oldRows(cutIncidents, ended), oldRows(cutSilences, ended))
	}
	if keep.Bytes > 0 {
		parts = append(parts, tooMuch(keep.Bytes, now))
	}
	for _, p := range append(parts, giveBack()) {
		if err := s.inParts(ctx, p); err != nil {
			return fmt.Errorf("retention: %w", err)
		}
	}
	return s.shortenLog(ctx)
}

// part is a piece of retention's work, small enough for one transaction. It
// gives the rows that it removed, and whether there is more to do.
type part func(context.Context, *writer) (removed int64, more bool, err error)

// inParts has the writer do a piece of work until there is no more of it.
func (s *Store) inParts(ctx context.Context, do part) error {
	for {
		began := time.Now()
		var removed int64
		var more bool
		err := s.call(ctx, func(ctx context.Context, w *writer) (err error) {
			removed, more, err = do(ctx, w)
			return err
		})
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.health.removed += uint64(removed)
		s.mu.Unlock()
		if !more {
			return nil
		}
		rest := time.NewTimer(RetainRest * time.Since(began))
		select {
		case <-ctx.Done():
			rest.Stop()
			return ctx.Err()
		case <-rest.C:
		}
	}
}

const (
	// idStep is what an ID rises by in a microsecond: record.At(Epoch + 1 µs).
	idStep = 1 << 10

	nthTrace = `SELECT id FROM traces WHERE id < ? ORDER BY id LIMIT 1 OFFSET ?`
	// endOfTraces is when the last of some traces and of their attempts ended.
	endOfTraces = `SELECT coalesce(max(ended), 0) FROM (
		SELECT max(id / ?2 + ?3 + late + took + max(0, -took_lag)) AS ended FROM traces WHERE id < ?1
		UNION ALL
		SELECT max(t.id / ?2 + ?3 + t.late + a.start + a.took) FROM attempts a JOIN traces t ON t.id = a.trace WHERE a.trace < ?1
		UNION ALL
		SELECT max(t.id / ?2 + ?3 + t.late + (json_extract(a.value, '$.Start') + json_extract(a.value, '$.Took')) / 1000)
			FROM trace_overflow o JOIN traces t ON t.id = o.trace, json_each(o.body, '$.Attempts') a WHERE o.trace < ?1)`
	cutTraces   = `DELETE FROM traces WHERE id < ?`
	cutAttempts = `DELETE FROM attempts WHERE trace < ?`
	cutOverflow = `DELETE FROM trace_overflow WHERE trace < ?`

	nthRollup     = `SELECT start FROM rollups WHERE span = ? AND start < ? ORDER BY start LIMIT 1 OFFSET ?`
	cutRollups    = `DELETE FROM rollups WHERE span = ? AND start < ?`
	cutKeyRollups = `DELETE FROM key_rollups WHERE span = ? AND start < ?`

	saveSince = `INSERT INTO retained (what, since) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET since = max(since, excluded.since)`

	cutTransitions = `DELETE FROM transitions WHERE id IN (SELECT id FROM transitions WHERE id < ? ORDER BY id LIMIT ?)`
	cutKeyChanges  = `DELETE FROM key_changes WHERE id IN (SELECT id FROM key_changes WHERE id < ? ORDER BY id LIMIT ?)`
	cutHolds       = `DELETE FROM holds WHERE id IN (SELECT id FROM holds WHERE id < ? AND expires < ? ORDER BY id LIMIT ?)`
	// The incident with the highest number stays, since the next one counts on from it.
	cutIncidents = `DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE ended < ?
		AND state NOT IN ` + lasting + ` AND number IS NOT (SELECT max(number) FROM incidents) ORDER BY id LIMIT ?)`
	cutSilences = `DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE until < ? ORDER BY id LIMIT ?)`

	pages = `SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size`
)

// nth finds where a part's work ends: at the row that the query finds, or at
// the end given, where there are fewer.
func (w *writer) nth(ctx context.Context, query string, end int64, args ...any) (bound int64, more bool, err error) {
	err = w.scan(ctx, query, append(args, end, RetainRows), &bound)
	if errors.Is(err, sql.ErrNoRows) {
		return end, false, nil
	}
	return bound, true, err
}

// removes runs statements that delete, and gives how many rows they did.
func (w *writer) removes(ctx context.Context, args []any, statements ...string) (int64, error) {
	var all int64
	for _, s := range statements {
		n, err := w.exec(ctx, s, args...)
		if err != nil {
			return all, err
		}
		all += n
	}
	return all, nil
}

// oldTraces removes the traces before an ID, the oldest first.
func oldTraces(before record.ID) part {
	return func(ctx context.Context, w *writer) (int64, bool, error) {
		bound, more, err := w.nth(ctx, nthTrace, int64(before))
		if err != nil {
			return 0, false, err
		}
		var ended int64
		if err := w.scan(ctx, endOfTraces, []any{bound, idStep, record.Epoch.UnixMicro()}, &ended); err != nil {
			return 0, false, err
		}
		removed, err := w.removes(ctx, []any{bound}, cutTraces, cutAttempts, cutOverflow)
		if err == nil && removed > 0 {
			_, err = w.exec(ctx, saveSince, ofTraces, ended+1)
		}
		return removed, more, err
	}
}

// oldRollups removes the rollups of a span that start before an instant.
func oldRollups(span Span, before time.Time) part {
	return func(ctx context.Context, w *writer) (int64, bool, error) {
		seconds := int64(time.Duration(span) / time.Second)
		bound, more, err := w.nth(ctx, nthRollup, before.Unix(), seconds)
		if err != nil {
			return 0, false, err
		}
		if more {
			bound += seconds // the row itself goes, too, so that there is always progress
		}
		removed, err := w.removes(ctx, []any{seconds, bound}, cutRollups, cutKeyRollups)
		if err == nil && removed > 0 {
			_, err = w.exec(ctx, saveSince, span.String(), time.Unix(bound, 0).UnixMicro())
		}
		return removed, more, err
	}
}

// oldRows removes what a statement finds, which is given how many at most.
func oldRows(statement string, args ...any) part {
	return func(ctx context.Context, w *writer) (int64, bool, error) {
		n, err := w.exec(ctx, statement, append(args[:len(args):len(args)], RetainRows)...)
		return n, n == RetainRows, err
	}
}

// tooMuch removes the oldest rows while all rows take more than a number of
// bytes, and there is something to remove.
func tooMuch(limit int64, now time.Time) part {
	return func(ctx context.Context, w *writer) (int64, bool, error) {
		var count, free, size int64
		if err := w.scan(ctx, pages, nil, &count, &free, &size); err != nil || (count-free)*size <= limit {
			return 0, false, err
		}
		for _, oldest := range []part{
			oldTraces(record.ID(math.MaxInt64)),
			oldRollups(Minute, Minute.start(now.Add(-LeastMinutes))),
			oldRollups(Hour, Hour.start(now.Add(-LeastHours))),
		} {
			removed, _, err := oldest(ctx, w)
			if err != nil || removed > 0 {
				return removed, true, err
			}
		}
		return 0, false, nil
	}
}

// giveBack shortens the file where many of its pages are free.
func giveBack() part {
	giving := false // until half of the share is free, so that it does not go on and off
	return func(ctx context.Context, w *writer) (int64, bool, error) {
		var count, free, size int64
		if err := w.scan(ctx, pages, nil, &count, &free, &size); err != nil {
			return 0, false, err
		}
		least := max(count/FreeShare, vacuumPages)
		if giving {
			least /= 2
		}
		if free <= least {
			return 0, false, nil
		}
		giving = true
		// Each step of this statement gives back one page, and a row for it.
		stmt, err := w.prepared(ctx, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, vacuumPages))
		if err != nil {
			return 0, false, err
		}
		rows, err := stmt.QueryContext(ctx)
		if err != nil {
			return 0, false, err
		}
		for rows.Next() {
		}
		return 0, true, errors.Join(rows.Err(), rows.Close())
	}
}

// logPatience is how long the writer may wait at most while the write-ahead
// log is shortened.
const logPatience = 100 * time.Millisecond

// shortenLog cuts the write-ahead log where readers that followed each other
// without a gap have kept the writer from beginning it anew. Where one reader
// still needs it, it stays as it is until the next look.
func (s *Store) shortenLog(ctx context.Context) error {
	if s.Stats().LogBytes <= walLimit {
		return nil
	}
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		return fmt.Errorf("shortening the write-ahead log: %w", err)
	}
	defer conn.Close()
	_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", logPatience.Milliseconds()))
	if err == nil {
		_, err = conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	_, back := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds()))
	if err = errors.Join(err, back); err != nil {
		return fmt.Errorf("shortening the write-ahead log: %w", err)
	}
	return nil
}
