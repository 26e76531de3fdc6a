package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"breakwater/internal/record"
)

// recountRows is how many traces are counted at once: what they come to is
// small beside them, and stays in memory until then.
const recountRows = 5000

// Drift says how many rollups of a span are not what the raw rows come to.
type Drift struct {
	Span  Span
	Keys  bool // of keys; otherwise of targets and callers
	Since time.Time
	Rows  int64     // that differ, are missing, or are too many
	First time.Time // the earliest of them; zero where there is none
}

// rollupTables lists the tables that can be worked out from the raw rows.
func rollupTables() []string { return []string{"rollups", "key_rollups"} }

// recount works the rollups out from the raw rows, into temporary tables that
// stand in the place of the real ones on this connection, and compares them.
// It must be called within a transaction, so that it sees all at one instant.
// Figures that a demo seeded have no raw rows behind them and are left out.
func recount(ctx context.Context, w *writer, progress func(traces int64, at time.Time)) ([]Drift, error) {
	since, err := readSince(ctx, w.conn)
	if err != nil {
		return nil, err
	}
	if err := w.shadow(ctx); err != nil {
		return nil, err
	}
	var last record.ID
	var done int64
	for {
		traces, err := readTraces(ctx, w.conn, selectCounted+`WHERE t.id > ? ORDER BY t.id LIMIT ?`, last, recountRows)
		if err != nil {
			return nil, err
		}
		if len(traces) == 0 {
			break
		}
		counts := sums{targets: targetTally{}, keys: keyTally{}}
		for i := range traces {
			if traces[i].Simulated {
				continue
			}
			if err := w.count(ctx, &traces[i], counts); err != nil {
				return nil, err
			}
		}
		if err := w.addRollups(ctx, Minute, counts.targets); err != nil {
			return nil, err
		}
		if err := w.addKeyRollups(ctx, counts.keys); err != nil {
			return nil, err
		}
		last = traces[len(traces)-1].ID
		done += int64(len(traces))
		progress(done, last.Time())
	}
	var drifts []Drift
	for _, span := range []Span{Minute, Hour, Day} {
		for _, table := range rollupTables() {
			d := Drift{Span: span, Keys: table == "key_rollups", Since: firstWhole(since, span)}
			if err := w.compare(ctx, table, &d); err != nil {
				return nil, err
			}
			drifts = append(drifts, d)
		}
	}
	return drifts, nil
}

// firstWhole gives the start of the first rollup of a span of which nothing was
// removed, neither itself nor a raw row that counts in it.
func firstWhole(since Since, span Span) time.Time {
	from := since.Traces
	if s := since.of(span); s.After(from) {
		from = s
	}
	if from.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return span.start(from.Add(time.Duration(span) - time.Microsecond))
}

// shadow makes the temporary tables, whose names hide the real ones.
func (w *writer) shadow(ctx context.Context) error {
	for _, table := range rollupTables() {
		var schema string
		err := w.conn.QueryRowContext(ctx, `SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?`, table).Scan(&schema)
		if err != nil {
			return err
		}
		temporary := strings.Replace(schema, "CREATE TABLE", "CREATE TEMP TABLE", 1)
		if _, err := w.conn.ExecContext(ctx, temporary); err != nil {
			return err
		}
	}
	return nil
}

// within gives a condition for the rollups that are compared.
const within = ` WHERE span = ? AND start >= ? AND simulated = 0`

// compare counts the rows of a table that differ from its shadow.
func (w *writer) compare(ctx context.Context, table string, d *Drift) error {
	subject := "subject"
	if d.Keys {
		subject = "key"
	}
	rows := func(a, b string) string {
		return fmt.Sprintf(`SELECT span, start, %[1]s FROM (SELECT * FROM %[2]s.%[4]s%[5]s EXCEPT SELECT * FROM %[3]s.%[4]s%[5]s)`,
			subject, a, b, table, within)
	}
	pair := []any{int64(time.Duration(d.Span) / time.Second), d.Since.Unix()}
	var args []any
	for range 4 {
		args = append(args, pair...)
	}
	var first sql.NullInt64
	err := w.conn.QueryRowContext(ctx, `SELECT count(*), min(start) FROM (`+rows("main", "temp")+` UNION `+rows("temp", "main")+`)`, args...).
		Scan(&d.Rows, &first)
	if first.Valid {
		d.First = time.Unix(first.Int64, 0).UTC()
	}
	return err
}

// Rebuild works the rollups out from the raw rows, and puts what it found in
// the place of those that are there, in one transaction, as far back as raw
// rows are whole. It gives how many rows were not as they should be. It must
// be called before Run, or instead; ended early it has changed nothing. While
// the journal holds rows that Open could not write it gives ErrWaiting.
func (s *Store) Rebuild(ctx context.Context, progress func(traces int64, at time.Time)) ([]Drift, error) {
	if !s.running.CompareAndSwap(false, true) {
		return nil, errors.New("store: Rebuild was called beside Run")
	}
	defer s.running.Store(false)
	if n := len(s.writer.pending); n > 0 {
		return nil, fmt.Errorf("store: %w: %d of them: %s", ErrWaiting, n, s.Stats().LastError)
	}
	var drifts []Drift
	err := s.writer.transact(ctx, func(_ context.Context, w *writer) (err error) {
		if drifts, err = recount(ctx, w, progress); err != nil {
			return err
		}
		for _, d := range drifts {
			if err := w.replace(ctx, d); err != nil {
				return err
			}
		}
		for _, table := range rollupTables() {
			if _, err := w.conn.ExecContext(ctx, `DROP TABLE temp.`+table); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("store: rebuilding the rollups: %w", err)
	}
	return drifts, nil
}

// replace puts the shadow's rows in the place of a table's.
func (w *writer) replace(ctx context.Context, d Drift) error {
	if d.Rows == 0 {
		return nil
	}
	table := rollupTables()[0]
	if d.Keys {
		table = rollupTables()[1]
	}
	for _, statement := range []string{
		`DELETE FROM main.` + table + within,
		`INSERT INTO main.` + table + ` SELECT * FROM temp.` + table + within,
	} {
		_, err := w.conn.ExecContext(ctx, statement, int64(time.Duration(d.Span)/time.Second), d.Since.Unix())
		if err != nil {
			return err
		}
	}
	return nil
}
