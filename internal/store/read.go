package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"breakwater/internal/record"
)

const (
	// DefaultLimit is the number of rows that a read gives where none was
	// named: a page that a person looks through.
	DefaultLimit = 100
	// MaxLimit bounds any read, so that none holds a snapshot for long.
	MaxLimit = 10_000
)

func limited(n int) int {
	if n <= 0 {
		return DefaultLimit
	}
	return min(n, MaxLimit)
}

// querier is a handle, or a single connection.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// query gives all rows of a query.
func query[T any](ctx context.Context, db querier, scan func(*sql.Rows, *T) error, text string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fails(db, err, text, args)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, fails(db, err, text, args)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fails(db, err, text, args)
	}
	return all, nil
}

// scanTime reads an instant; NULL is the zero time.
type scanTime struct{ into *time.Time }

// Scan implements sql.Scanner.
func (s scanTime) Scan(value any) error {
	switch us := value.(type) {
	case nil:
		*s.into = time.Time{}
	case int64:
		*s.into = time.UnixMicro(us).UTC()
	default:
		return fmt.Errorf("an instant cannot be a %T", value)
	}
	return nil
}

// scanDuration reads a column of microseconds.
type scanDuration struct{ into *time.Duration }

// Scan implements sql.Scanner.
func (s scanDuration) Scan(value any) error {
	us, ok := value.(int64)
	if !ok {
		return fmt.Errorf("a duration cannot be a %T", value)
	}
	*s.into = fromMicros(us)
	return nil
}

// LastID gives the highest ID in the record, 0 where it is empty: what
// record.NewIDs has to go on from.
func (s *Store) LastID(ctx context.Context) (record.ID, error) {
	ids, err := query(ctx, s.readers, func(rows *sql.Rows, id *record.ID) error { return rows.Scan(id) },
		`SELECT max(coalesce((SELECT max(id) FROM traces), 0), coalesce((SELECT max(id) FROM transitions), 0),
			coalesce((SELECT max(id) FROM holds), 0), coalesce((SELECT max(id) FROM incidents), 0),
			coalesce((SELECT max(id) FROM notices), 0), coalesce((SELECT max(id) FROM key_changes), 0),
			coalesce((SELECT max(id) FROM silences), 0))`)
	if err != nil {
		return 0, err
	}
	return max(ids[0], s.newest), nil
}

// TraceQuery says which traces are wanted.
type TraceQuery struct {
	Before  record.ID      // only older ones; 0 for the newest
	Outcome record.Outcome // only these; "" for all
	Limit   int            // 0 means DefaultLimit
}

// selectTraces reads whole traces; selectCounted leaves out their plans, which
// rollups do not count and which take the most time to read.
const (
	selectTraces  = tracesHead + `coalesce(p.body, '')` + tracesTail
	selectCounted = tracesHead + `''` + tracesTail
)

const tracesHead = `SELECT t.id, t.late, t.took, t.ttft, coalesce(outcome.name, ''), coalesce(door.name, ''),
	coalesce(asked.name, ''), coalesce(caller.name, ''), coalesce(target.provider, ''), coalesce(target.endpoint, ''),
	coalesce(target.model, ''), `

const tracesTail = `, t.flags, t.status, t.input_tokens, t.cache_read_tokens,
	t.cache_write_tokens, t.output_tokens, t.reasoning_tokens, t.cost, t.start, t.ttft_lag, t.took_lag,
	coalesce(t.upstream_status, t.status), t.upstream_id, coalesce(k.name, ''), t.queued, coalesce(overflow.body, '')
	FROM traces t
	LEFT JOIN names outcome ON outcome.id = t.outcome
	LEFT JOIN names door ON door.id = t.door
	LEFT JOIN names asked ON asked.id = t.asked
	LEFT JOIN names caller ON caller.id = t.caller
	LEFT JOIN targets target ON target.id = t.target
	LEFT JOIN keys k ON k.id = t.key
	LEFT JOIN plans p ON p.id = t.plan
	LEFT JOIN trace_overflow overflow ON overflow.trace = t.id `

// Traces gives traces, newest first. To go on, ask for those Before the last
// one's ID.
func (s *Store) Traces(ctx context.Context, q TraceQuery) ([]record.Trace, error) {
	before := q.Before
	if before == 0 {
		before = math.MaxInt64
	}
	where, args := `WHERE t.id < ?`, []any{before}
	if q.Outcome != "" {
		where += ` AND t.outcome = (SELECT id FROM names WHERE kind = 'outcome' AND name = ?)`
		args = append(args, q.Outcome)
		if q.Outcome != record.Served {
			where += ` AND t.outcome <> 1` // as the index of these is defined
		}
	}
	return readTraces(ctx, s.readers, selectTraces+where+` ORDER BY t.id DESC LIMIT ?`, append(args, limited(q.Limit))...)
}

// Trace gives one trace, or ErrNotFound.
func (s *Store) Trace(ctx context.Context, id record.ID) (record.Trace, error) {
	found, err := readTraces(ctx, s.readers, selectTraces+`WHERE t.id = ?`, id)
	if err != nil {
		return record.Trace{}, err
	}
	if len(found) == 0 {
		return record.Trace{}, fmt.Errorf("store: request %s: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// traceRow is a trace as its own row tells it.
type traceRow struct {
	trace record.Trace
	flags int
	last  record.Attempt // with flagLastHere
}

// readTraces gives what a query of the columns of selectTraces finds.
func readTraces(ctx context.Context, db querier, text string, args ...any) ([]record.Trace, error) {
	rows, err := query(ctx, db, scanTrace, text, args...)
	if err != nil {
		return nil, err
	}
	var ids []record.ID
	for _, r := range rows {
		if r.flags&flagAttempts != 0 {
			ids = append(ids, r.trace.ID)
		}
	}
	attempts, err := readAttempts(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	traces := make([]record.Trace, len(rows))
	for i, r := range rows {
		if r.flags&flagOverflow == 0 {
			r.trace.Attempts = attempts[r.trace.ID]
			if r.flags&flagLastHere != 0 {
				r.trace.Attempts = append(r.trace.Attempts, r.last)
			}
		}
		traces[i] = r.trace
	}
	return traces, nil
}

func scanTrace(rows *sql.Rows, r *traceRow) error {
	var late, start, ttftLag, tookLag int64
	var plan, overflow []byte
	t, a := &r.trace, &r.last
	err := rows.Scan(&t.ID, &late, scanDuration{&t.Took}, scanDuration{&t.TTFT}, &t.Outcome, &t.Door,
		&t.Asked, &t.Caller, &t.Served.Provider, &t.Served.Endpoint, &t.Served.Model, &plan, &r.flags, &t.Status,
		&t.Usage.Input, &t.Usage.CacheRead, &t.Usage.CacheWrite, &t.Usage.Output, &t.Usage.Reasoning, &t.Cost,
		&start, &ttftLag, &tookLag, &a.Status, &a.UpstreamID, &a.Key,
		scanDuration{&t.Queued}, &overflow)
	if err != nil {
		return err
	}
	if r.flags&flagOverflow != 0 {
		r.trace = record.Trace{}
		return json.Unmarshal(overflow, &r.trace)
	}
	t.Accepted = time.UnixMicro(t.ID.Time().UnixMicro() + late).UTC()
	t.Stream, t.Simulated = r.flags&flagStream != 0, r.flags&flagSimulated != 0
	if len(plan) > 0 {
		var body planBody
		if err := json.Unmarshal(plan, &body); err != nil {
			return err
		}
		t.Preferred, t.Strategy, t.Reason, t.Plan = body.Preferred, body.Strategy, body.Reason, body.Candidates
	}
	a.Target, a.Usage, a.Cost = t.Served, t.Usage, t.Cost
	a.Start = fromMicros(start)
	a.TTFT = t.TTFT - a.Start - fromMicros(ttftLag)
	a.Took = t.Took - a.Start - fromMicros(tookLag)
	setFlags(a, r.flags)
	return nil
}

// readAttempts gives the rows of attempts that some traces have.
func readAttempts(ctx context.Context, db querier, traces []record.ID) (map[record.ID][]record.Attempt, error) {
	if len(traces) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(traces)
	if err != nil {
		return nil, err
	}
	type row struct {
		trace   record.ID
		attempt record.Attempt
	}
	rows, err := query(ctx, db, func(rows *sql.Rows, r *row) error {
		var flags int
		a := &r.attempt
		err := rows.Scan(&r.trace, &a.Target.Provider, &a.Target.Endpoint, &a.Target.Model, &a.Class, &a.Status,
			scanDuration{&a.Start}, scanDuration{&a.TTFT}, scanDuration{&a.Took}, &flags, &a.Usage.Input,
			&a.Usage.CacheRead, &a.Usage.CacheWrite, &a.Usage.Output, &a.Usage.Reasoning, &a.Cost,
			&a.Code, &a.Message, &a.UpstreamID, &a.Key)
		setFlags(a, flags)
		return err
	}, `SELECT a.trace, coalesce(t.provider, ''), coalesce(t.endpoint, ''), coalesce(t.model, ''), coalesce(c.name, ''),
		a.status, a.start, a.ttft, a.took, a.flags, a.input_tokens, a.cache_read_tokens, a.cache_write_tokens,
		a.output_tokens, a.reasoning_tokens, a.cost, a.code, a.message, a.upstream_id, coalesce(k.name, '')
		FROM attempts a LEFT JOIN targets t ON t.id = a.target LEFT JOIN names c ON c.id = a.class
		LEFT JOIN keys k ON k.id = a.key
		WHERE a.trace IN (SELECT value FROM json_each(?)) ORDER BY a.trace, a.n`, string(list))
	if err != nil {
		return nil, err
	}
	attempts := map[record.ID][]record.Attempt{}
	for _, r := range rows {
		attempts[r.trace] = append(attempts[r.trace], r.attempt)
	}
	return attempts, nil
}

// Transitions gives the transitions since an instant, by their IDs, newest
// first.
func (s *Store) Transitions(ctx context.Context, since time.Time, limit int) ([]record.Transition, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, t *record.Transition) error {
		return rows.Scan(&t.ID, scanTime{&t.At}, &t.Target.Provider, &t.Target.Endpoint, &t.Target.Model,
			&t.From, &t.To, &t.Reason, &t.Request)
	}, `SELECT id, at, provider, endpoint, model, from_state, to_state, reason, request
		FROM transitions WHERE id >= ? ORDER BY id DESC LIMIT ?`, record.At(later(since)), limited(limit))
}

// later moves an instant before record.Epoch, such as the zero time, to it:
// no ID is older.
func later(t time.Time) time.Time {
	if t.Before(record.Epoch) {
		return record.Epoch
	}
	return t
}

// Holds gives the holds that stood at an instant, in the order they were placed.
func (s *Store) Holds(ctx context.Context, activeAt time.Time) ([]record.Hold, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, h *record.Hold) error {
		return rows.Scan(&h.ID, &h.Target.Provider, &h.Target.Endpoint, &h.Target.Model, &h.Source, &h.Reason,
			scanTime{&h.Placed}, scanTime{&h.Expires}, scanTime{&h.Ended}, &h.Ending)
	}, `SELECT id, provider, endpoint, model, source, reason, placed, expires, ended, ending FROM holds
		WHERE placed <= ?1 AND expires > ?1 AND (ended IS NULL OR ended > ?1) ORDER BY id`, activeAt.UnixMicro())
}
