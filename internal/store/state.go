package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// MaxState bounds one state, so that none blocks the writer for long: a detector
// of a thousand targets needs a tenth.
const MaxState = 16 << 20

const upsertState = `INSERT INTO state (name, at, body) VALUES (?,?,?)
	ON CONFLICT (name) DO UPDATE SET at = excluded.at, body = excluded.body`

// SaveState keeps what a part of Breakwater knows, in place of what it kept
// under the same name, and waits for the commit.
func (s *Store) SaveState(ctx context.Context, name string, body []byte) error {
	if len(body) > MaxState {
		return fmt.Errorf("store: saving the state of %s: %d bytes are more than %d", name, len(body), MaxState)
	}
	err := s.call(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, upsertState, name, time.Now().UnixMicro(), body)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: saving the state of %s: %w", name, err)
	}
	return nil
}

// State gives what SaveState kept last under a name, and when; ErrNotFound where
// it kept nothing.
func (s *Store) State(ctx context.Context, name string) (body []byte, at time.Time, err error) {
	type row struct {
		at   time.Time
		body []byte
	}
	rows, err := query(ctx, s.readers, func(rows *sql.Rows, r *row) error {
		return rows.Scan(scanTime{&r.at}, &r.body)
	}, `SELECT at, body FROM state WHERE name = ?`, name)
	switch {
	case err != nil:
		return nil, time.Time{}, err
	case len(rows) == 0:
		return nil, time.Time{}, fmt.Errorf("store: the state of %s: %w", name, ErrNotFound)
	}
	return rows[0].body, rows[0].at, nil
}
