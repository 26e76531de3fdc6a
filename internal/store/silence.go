package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"breakwater/internal/record"
)

const upsertSilence = `INSERT INTO silences (id, maintenance, provider, topic, reason, by, begins, until, ended, ended_by)
	VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET maintenance = excluded.maintenance, provider = excluded.provider,
	topic = excluded.topic, reason = excluded.reason, by = excluded.by, begins = excluded.begins, until = excluded.until,
	ended = excluded.ended, ended_by = excluded.ended_by`

// SaveSilence writes a silence or a maintenance window and waits for the
// commit; the row of the same ID is replaced.
func (s *Store) SaveSilence(ctx context.Context, q record.Silence) error {
	err := s.call(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, upsertSilence, q.ID, q.Maintenance, q.Provider, q.Topic, q.Reason, q.By, q.From.UnixMicro(),
			q.Until.UnixMicro(), instant(q.Ended), q.EndedBy)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: saving silence %s: %w", q.ID, err)
	}
	return nil
}

// Silences gives the silences and maintenance windows that held after an
// instant, or are yet to begin, newest first.
func (s *Store) Silences(ctx context.Context, since time.Time) ([]record.Silence, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, q *record.Silence) error {
		return rows.Scan(&q.ID, &q.Maintenance, &q.Provider, &q.Topic, &q.Reason, &q.By, scanTime{&q.From}, scanTime{&q.Until},
			scanTime{&q.Ended}, &q.EndedBy)
	}, `SELECT id, maintenance, provider, topic, reason, by, begins, until, ended, ended_by FROM silences
		WHERE coalesce(ended, until) > ? ORDER BY id DESC`, since.UnixMicro())
}
