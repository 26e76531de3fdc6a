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
	// Backwards by id within the channel, the last two end at the first row that fits.
	outboxOf = `SELECT (SELECT count(*) FROM notices INDEXED BY notices_unsent WHERE sent IS NULL AND channel = ?1),
		(SELECT min(created) FROM notices INDEXED BY notices_unsent WHERE ` + overdue + ` AND channel = ?1),
		(SELECT sent FROM notices INDEXED BY notices_by_channel WHERE sent IS NOT NULL AND error = '' AND channel = ?1 ORDER BY id DESC LIMIT 1),
		coalesce((SELECT error FROM notices INDEXED BY notices_by_channel WHERE attempts > 0 AND channel = ?1 ORDER BY id DESC LIMIT 1), '')`
	// overdue are the messages that should have been sent: what is held back for
	// quiet hours or a digest waits on purpose until its first try.
	overdue        = `sent IS NULL AND (attempts > 0 OR coalesce(next_try, 0) <= ?2)`
	waitingNotices = `SELECT channel, count(*), min(CASE WHEN attempts > 0 OR coalesce(next_try, 0) <= ? THEN created END)
		FROM notices INDEXED BY notices_unsent WHERE sent IS NULL GROUP BY channel`
	closeNotices = `UPDATE notices SET sent = ?, error = ? WHERE sent IS NULL AND channel NOT IN (SELECT value FROM json_each(?))`
)

// DueNotices is PendingNotices of one channel: those of others, which may be
// many and stuck, take no room.
func (s *Store) DueNotices(ctx context.Context, channel string, until time.Time, limit int) ([]record.Notice, error) {
	return query(ctx, s.readers, scanNotice, dueNotices, channel, until.UnixMicro(), limited(limit))
}

// Outbox tells how a channel's messages stand at an instant.
func (s *Store) Outbox(ctx context.Context, channel string, now time.Time) (Outbox, error) {
	found, err := query(ctx, s.readers, func(rows *sql.Rows, o *Outbox) error {
		return rows.Scan(&o.Waiting, scanTime{&o.Oldest}, scanTime{&o.LastSent}, &o.Error)
	}, outboxOf, channel, now.UnixMicro())
	if err != nil {
		return Outbox{}, err
	}
	return found[0], nil
}

// Waiting tells how many messages of each channel are not sent, and how old
// they are; a channel for which none waits is left out.
func (s *Store) Waiting(ctx context.Context, now time.Time) (map[string]Outbox, error) {
	all := map[string]Outbox{}
	_, err := query(ctx, s.readers, func(rows *sql.Rows, name *string) error {
		var o Outbox
		err := rows.Scan(name, &o.Waiting, scanTime{&o.Oldest})
		all[*name] = o
		return err
	}, waitingNotices, now.UnixMicro())
	return all, err
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
