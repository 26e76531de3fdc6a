package store

import (
	"context"
	"errors"
	"fmt"

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
