package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mattn/go-sqlite3"

	"breakwater/internal/record"
)

const (
	numberOf = `SELECT coalesce((SELECT number FROM incidents WHERE id = ?), 0)`
	// The numbers that were given are never given again.
	nextNumber     = `SELECT coalesce(max(number), 0) + 1 FROM incidents`
	upsertIncident = `INSERT INTO incidents (id, number, topic, severity, subject, endpoint, key, model, name, state, title, began,
			opened, mitigated, ended, reopened, acknowledged, acknowledged_by, silenced, served_by, rerouted, failed, added, extra, write_up)
		VALUES (?, nullif(?, 0), ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET
		number = excluded.number, topic = excluded.topic, severity = excluded.severity, subject = excluded.subject,
		endpoint = excluded.endpoint, key = excluded.key, model = excluded.model, name = excluded.name, state = excluded.state,
		title = excluded.title, began = excluded.began, opened = excluded.opened, mitigated = excluded.mitigated,
		ended = excluded.ended, reopened = excluded.reopened, acknowledged = excluded.acknowledged,
		acknowledged_by = excluded.acknowledged_by, silenced = excluded.silenced, served_by = excluded.served_by,
		rerouted = excluded.rerouted, failed = excluded.failed, added = excluded.added, extra = excluded.extra,
		write_up = excluded.write_up`
	upsertEvent = `INSERT INTO incident_events (incident, n, at, kind, text, by) VALUES (?,?,?,?,?,?)
		ON CONFLICT (incident, n) DO UPDATE SET at = excluded.at, kind = excluded.kind, text = excluded.text, by = excluded.by`
	cutEvents    = `DELETE FROM incident_events WHERE incident = ? AND n >= ?`
	upsertNotice = `INSERT INTO notices (id, incident, channel, kind, text, created, sent, attempts, next_try, receipt, error)
		VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET incident = excluded.incident,
		channel = excluded.channel, kind = excluded.kind, text = excluded.text, created = excluded.created, sent = excluded.sent,
		attempts = excluded.attempts, next_try = excluded.next_try, receipt = excluded.receipt, error = excluded.error`
)

// SaveIncident writes an incident, whole, and the notices that go with the
// change, all or nothing, and waits for the commit. Once people hear of the
// incident its Number is set. It gives ErrConflict when the incident is not over
// and neither is another one of the same topic, subject, endpoint, key, model and
// name, ErrClosed after Run has ended, or the context's error while the writer
// does not get to it.
func (s *Store) SaveIncident(ctx context.Context, in *record.Incident, notices []record.Notice) error {
	var number int64
	err := s.call(ctx, func(ctx context.Context, w *writer) error {
		if err := w.scan(ctx, numberOf, []any{in.ID}, &number); err != nil {
			return err
		}
		if number == 0 && in.State.Told() {
			if err := w.scan(ctx, nextNumber, nil, &number); err != nil {
				return err
			}
		}
		_, err := w.exec(ctx, upsertIncident, in.ID, number, in.Topic, in.Severity, in.Subject, in.Endpoint, in.Key, in.Model, in.Name,
			in.State, in.Title, in.Began.UnixMicro(), instant(in.Opened), instant(in.Mitigated), instant(in.Ended), in.Reopened,
			instant(in.Acknowledged), in.AcknowledgedBy, in.Silenced, in.Impact.ServedBy, in.Impact.Rerouted, in.Impact.Failed,
			micros(in.Impact.Added), int64(in.Impact.Extra), in.WriteUp)
		if err != nil {
			return conflict(err)
		}
		for n, e := range in.Timeline {
			if _, err := w.exec(ctx, upsertEvent, in.ID, n, e.At.UnixMicro(), e.Kind, e.Text, e.By); err != nil {
				return err
			}
		}
		if _, err := w.exec(ctx, cutEvents, in.ID, len(in.Timeline)); err != nil {
			return err
		}
		for _, n := range notices {
			if err := w.saveNotice(ctx, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: saving incident %s: %w", in.ID, err)
	}
	in.Number = number
	return nil
}

// conflict names the one constraint that a caller can run into.
func conflict(err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && e.ExtendedCode == sqlite3.ErrConstraintUnique {
		return ErrConflict
	}
	return err
}

// SaveNotice writes a notice and waits for the commit; the row of the same ID
// is replaced. Its incident must be in the record.
func (s *Store) SaveNotice(ctx context.Context, n record.Notice) error {
	err := s.call(ctx, func(ctx context.Context, w *writer) error { return w.saveNotice(ctx, n) })
	if err != nil {
		return fmt.Errorf("store: saving notice %s: %w", n.ID, err)
	}
	return nil
}

func (w *writer) saveNotice(ctx context.Context, n record.Notice) error {
	_, err := w.exec(ctx, upsertNotice, n.ID, n.Incident, n.Channel, n.Kind, n.Text, n.Created.UnixMicro(),
		instant(n.Sent), n.Attempts, instant(n.NextTry), n.Receipt, n.Error)
	return err
}

// lasting are the states of the incidents that are not over; the index
// incidents_one_live has the same list.
const lasting = `('pending', 'open', 'mitigated', 'recovering')`

// OpenIncidents gives the incidents that are not over, pending ones too, newest
// first.
func (s *Store) OpenIncidents(ctx context.Context) ([]record.Incident, error) {
	return s.incidents(ctx, `WHERE state IN `+lasting+` ORDER BY id DESC`)
}

// Incident gives the incident with a number, or ErrNotFound.
func (s *Store) Incident(ctx context.Context, number int64) (record.Incident, error) {
	found, err := s.incidents(ctx, `WHERE number = ?`, number)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return record.Incident{}, fmt.Errorf("store: incident %d: %w", number, err)
	}
	return found[0], nil
}

// Incidents gives the incidents that people were told of, those that have a
// number, and that lasted until an instant or longer; newest first.
func (s *Store) Incidents(ctx context.Context, since time.Time, limit int) ([]record.Incident, error) {
	return s.incidents(ctx, `WHERE number IS NOT NULL AND (ended IS NULL OR ended >= ?) ORDER BY id DESC LIMIT ?`,
		since.UnixMicro(), limited(limit))
}

func (s *Store) incidents(ctx context.Context, where string, args ...any) ([]record.Incident, error) {
	incidents, err := query(ctx, s.readers, func(rows *sql.Rows, in *record.Incident) error {
		return rows.Scan(&in.ID, &in.Number, &in.Topic, &in.Severity, &in.Subject, &in.Endpoint, &in.Key, &in.Model, &in.Name,
			&in.State, &in.Title, scanTime{&in.Began}, scanTime{&in.Opened}, scanTime{&in.Mitigated}, scanTime{&in.Ended}, &in.Reopened,
			scanTime{&in.Acknowledged}, &in.AcknowledgedBy, &in.Silenced, &in.Impact.ServedBy, &in.Impact.Rerouted, &in.Impact.Failed,
			scanDuration{&in.Impact.Added}, &in.Impact.Extra, &in.WriteUp)
	}, `SELECT id, coalesce(number, 0), topic, severity, subject, endpoint, key, model, name, state, title, began, opened, mitigated,
		ended, reopened, acknowledged, acknowledged_by, silenced, served_by, rerouted, failed, added, extra, write_up
		FROM incidents `+where, args...)
	if err != nil || len(incidents) == 0 {
		return nil, err
	}
	at := make(map[record.ID]*record.Incident, len(incidents))
	ids := make([]record.ID, len(incidents))
	for i := range incidents {
		ids[i] = incidents[i].ID
		at[ids[i]] = &incidents[i]
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	_, err = query(ctx, s.readers, func(rows *sql.Rows, e *record.Event) error {
		var incident record.ID
		err := rows.Scan(&incident, scanTime{&e.At}, &e.Kind, &e.Text, &e.By)
		if err == nil {
			at[incident].Timeline = append(at[incident].Timeline, *e)
		}
		return err
	}, `SELECT incident, at, kind, text, by FROM incident_events
		WHERE incident IN (SELECT value FROM json_each(?)) ORDER BY incident, n`, string(list))
	return incidents, err
}

const noticeColumns = `id, incident, channel, kind, text, created, sent, attempts, next_try, receipt, error`

// PendingNotices gives the notices that are due and not sent, oldest first. Of
// each incident's notices to one channel it gives only the oldest unsent one,
// so that the order holds whatever becomes of it: save it as sent, and ask
// again for the next.
func (s *Store) PendingNotices(ctx context.Context, now time.Time, limit int) ([]record.Notice, error) {
	return query(ctx, s.readers, scanNotice, `SELECT `+noticeColumns+` FROM notices n INDEXED BY notices_unsent
		WHERE sent IS NULL AND coalesce(next_try, 0) <= ? AND NOT EXISTS (SELECT 1 FROM notices o
			WHERE o.incident = n.incident AND o.channel = n.channel AND o.sent IS NULL AND o.id < n.id)
		ORDER BY id LIMIT ?`, now.UnixMicro(), limited(limit))
}

// Notices gives all notices of an incident, oldest first.
func (s *Store) Notices(ctx context.Context, incident record.ID) ([]record.Notice, error) {
	return query(ctx, s.readers, scanNotice, `SELECT `+noticeColumns+` FROM notices WHERE incident = ? ORDER BY id`, incident)
}

func scanNotice(rows *sql.Rows, n *record.Notice) error {
	return rows.Scan(&n.ID, &n.Incident, &n.Channel, &n.Kind, &n.Text, scanTime{&n.Created}, scanTime{&n.Sent},
		&n.Attempts, scanTime{&n.NextTry}, &n.Receipt, &n.Error)
}
