package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

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

// sinceIncidents reads those that lasted until an instant or longer: their IDs
// from two ends of the index by end, so that all those of before cost nothing.
const sinceIncidents = `WHERE id IN (SELECT id FROM incidents INDEXED BY incidents_by_end WHERE number IS NOT NULL AND ended IS NULL
	UNION ALL SELECT id FROM incidents INDEXED BY incidents_by_end WHERE number IS NOT NULL AND ended >= ?) ORDER BY id DESC LIMIT ?`

// Incidents gives the incidents that people were told of, those that have a
// number, and that lasted until an instant or longer; newest first.
func (s *Store) Incidents(ctx context.Context, since time.Time, limit int) ([]record.Incident, error) {
	return s.incidents(ctx, sinceIncidents, since.UnixMicro(), limited(limit))
}

// IncidentQuery says which incidents that people were told of to find; the zero
// value asks for all.
type IncidentQuery struct {
	Topic    record.Topic
	Provider llm.Provider
	Severity record.Severity
	State    record.IncidentState
	Lasting  bool  // only those that are not over
	Before   int64 // only those that began before the one of this number; 0 for all
	Limit    int   // default DefaultLimit
}

// listIncidents finds a page of the list in an index that has all that is
// asked for, in the order of the list: however few fit, no row of the table is
// read in vain.
const listIncidents = `SELECT id FROM incidents INDEXED BY incidents_listed WHERE number IS NOT NULL`

// where gives the condition of a query, and its arguments.
func (q IncidentQuery) where() (string, []any) {
	where, args := listIncidents, []any(nil)
	add := func(asked bool, condition string, of ...any) {
		if asked {
			where, args = where+" AND "+condition, append(args, of...)
		}
	}
	add(q.Before > 0, `id < (SELECT id FROM incidents WHERE number = ?)`, q.Before)
	add(q.Topic != "", `topic = ?`, q.Topic)
	add(q.Provider != "", `subject = ?`, q.Provider)
	add(q.Severity != "", `severity = ?`, q.Severity)
	add(q.State != "", `state = ?`, q.State)
	add(q.Lasting, `state IN `+lasting)
	return `WHERE id IN (` + where + ` ORDER BY id DESC LIMIT ?) ORDER BY id DESC`, append(args, limited(q.Limit))
}

// FindIncidents gives the incidents that a query asks for, newest first. One of
// them is where the next page goes on: its number as Before.
func (s *Store) FindIncidents(ctx context.Context, q IncidentQuery) ([]record.Incident, error) {
	where, args := q.where()
	return s.incidents(ctx, where, args...)
}

const incidentColumns = `id, coalesce(number, 0), topic, severity, subject, endpoint, key, model, name, state, title, began, opened,
	mitigated, ended, reopened, acknowledged, acknowledged_by, silenced, served_by, rerouted, failed, added, extra, write_up`

func (s *Store) incidents(ctx context.Context, where string, args ...any) ([]record.Incident, error) {
	incidents, err := query(ctx, s.readers, func(rows *sql.Rows, in *record.Incident) error {
		return rows.Scan(&in.ID, &in.Number, &in.Topic, &in.Severity, &in.Subject, &in.Endpoint, &in.Key, &in.Model, &in.Name,
			&in.State, &in.Title, scanTime{&in.Began}, scanTime{&in.Opened}, scanTime{&in.Mitigated}, scanTime{&in.Ended}, &in.Reopened,
			scanTime{&in.Acknowledged}, &in.AcknowledgedBy, &in.Silenced, &in.Impact.ServedBy, &in.Impact.Rerouted, &in.Impact.Failed,
			scanDuration{&in.Impact.Added}, &in.Impact.Extra, &in.WriteUp)
	}, `SELECT `+incidentColumns+` FROM incidents `+where, args...)
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
