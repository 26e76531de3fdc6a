package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"breakwater/internal/record"
)

// Outbox is how the messages of one channel stand.
type Outbox struct {
	Waiting  int       // that are not sent
	Oldest   time.Time // when the oldest was made that should have been sent by now; zero where there is none
	LastSent time.Time // zero where none ever was
	Error    string    // of the last one that was tried, "" where it went well
}

const (
	dueNotices = `SELECT ` + noticeColumns + ` FROM notices n INDEXED BY notices_unsent
		WHERE sent IS NULL AND channel = ? AND coalesce(next_try, 0) <= ? AND NOT EXISTS (SELECT 1 FROM notices o
			WHERE o.incident = n.incident AND o.channel = n.channel AND o.sent IS NULL AND o.id < n.id)
		ORDER BY id LIMIT ?`
	// Backwards by id within the channel, the last two end at the first row that
	// fits. What is held back for quiet hours or a digest waits on purpose until its
	// first try, and should not have been sent before.
	outboxes = `SELECT (SELECT count(*) FROM notices INDEXED BY notices_unsent WHERE sent IS NULL AND channel = c.value),
		(SELECT min(created) FROM notices INDEXED BY notices_unsent
			WHERE sent IS NULL AND (attempts > 0 OR coalesce(next_try, 0) <= ?2) AND channel = c.value),
		(SELECT sent FROM notices INDEXED BY notices_by_channel WHERE sent IS NOT NULL AND error = '' AND channel = c.value ORDER BY id DESC LIMIT 1),
		coalesce((SELECT error FROM notices INDEXED BY notices_by_channel WHERE attempts > 0 AND channel = c.value ORDER BY id DESC LIMIT 1), '')
		FROM json_each(?1) c ORDER BY c.key`
	closeNotices = `UPDATE notices SET sent = ?, error = ? WHERE sent IS NULL AND channel NOT IN (SELECT value FROM json_each(?))`
)

// DueNotices is PendingNotices of one channel: those of others, which may be
// many and stuck, take no room.
func (s *Store) DueNotices(ctx context.Context, channel string, until time.Time, limit int) ([]record.Notice, error) {
	return query(ctx, s.readers, scanNotice, dueNotices, channel, until.UnixMicro(), limited(limit))
}

// Outboxes tells how the messages of each of these channels stand at an instant.
func (s *Store) Outboxes(ctx context.Context, channels []string, now time.Time) ([]Outbox, error) {
	list, err := json.Marshal(append([]string{}, channels...))
	if err != nil {
		return nil, err
	}
	return query(ctx, s.readers, func(rows *sql.Rows, o *Outbox) error {
		return rows.Scan(&o.Waiting, scanTime{&o.Oldest}, scanTime{&o.LastSent}, &o.Error)
	}, outboxes, string(list), now.UnixMicro())
}

// IncidentsByID gives the incidents with these IDs, those that nobody was told
// of too, newest first; one that is not in the record is left out.
func (s *Store) IncidentsByID(ctx context.Context, ids []record.ID) ([]record.Incident, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	return s.incidents(ctx, `WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id DESC`, string(list))
}

// CloseNotices gives up, with the reason, what was not sent to channels other
// than these, and tells how many messages that were. They count as sent with an
// error, so that they are not sent years later when a channel of that name returns.
func (s *Store) CloseNotices(ctx context.Context, channels []string, now time.Time, reason string) (int64, error) {
	list, err := json.Marshal(append([]string{}, channels...))
	if err != nil {
		return 0, err
	}
	var n int64
	err = s.call(ctx, func(ctx context.Context, w *writer) error {
		var err error
		n, err = w.exec(ctx, closeNotices, now.UnixMicro(), reason, string(list))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: closing notices: %w", err)
	}
	return n, nil
}
