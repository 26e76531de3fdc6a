package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/record"
)

// wanted is a query in the words of the tables.
type wanted struct {
	query        Query
	from, before record.ID
	// below is where traces that are in columns begin, seen from before: between
	// the two the day's rollups have nothing of the target or key.
	below record.ID
	// source is the rows that are looked through, with three places: for the ID
	// below which, for that from which on, and for how many. hit is the condition
	// on one. Whatever of the query is in their text is a number.
	source, hit string
	unknown     [][2]string
}

// wanted looks up the words of a query.
func (s *Store) wanted(ctx context.Context, q Query) (wanted, error) {
	w := wanted{query: q, source: `FROM traces t WHERE t.id < ? AND t.id >= ? ORDER BY t.id DESC LIMIT ?`}
	var err error
	if w.from, w.before, err = q.bounds(); err != nil {
		return w, err
	}
	w.below = w.before
	outcome, all := "", []string{fmt.Sprintf("t.flags & %d = 0", flagOverflow)}
	for _, f := range []struct {
		kind         kind
		column, word string
	}{{kindOutcome, "outcome", string(q.Outcome)}, {kindCaller, "caller", q.Caller}, {kindAsked, "asked", q.Asked}} {
		if f.word == "" {
			continue
		}
		ids, err := s.ids(ctx, `SELECT id FROM names WHERE kind = ? AND name = ?`, f.kind, f.word)
		if err != nil {
			return w, err
		}
		all = append(all, w.among("t."+f.column, ids, f.column, f.word))
		if f.kind == kindOutcome {
			outcome = all[len(all)-1]
		}
	}
	attempt, err := s.attempt(ctx, &w, q)
	if err != nil {
		return w, err
	}
	all = append(all, attempt...)
	if q.Rerouted {
		passed, err := s.passed(ctx)
		if err != nil {
			return w, err
		}
		all = append(all, fmt.Sprintf(`(t.flags & %d AND (t.flags & %d OR (SELECT count(*) FROM attempts WHERE trace = t.id) > 1)
			OR t.target <> 0 AND t.plan IN (%s))`, flagAttempts, flagLastHere, numbers(passed)))
	}
	if q.Hedged {
		all = append(all, fmt.Sprintf(`(t.flags & %d OR t.flags & %d AND EXISTS (SELECT 1 FROM attempts WHERE trace = t.id AND flags & %[1]d))`, flagHedge, flagAttempts))
	}
	for _, f := range []struct {
		column string
		over   int64
		asked  bool
	}{
		{"took", micros(q.Took), q.Took > 0}, {"ttft", micros(q.TTFT), q.TTFT > 0},
		{"cost", int64(q.Cost), q.Cost > 0}, {"queued", 0, q.Queued},
	} {
		if f.asked {
			all = append(all, fmt.Sprintf("t.%s > %d", f.column, f.over))
		}
	}
	w.hit = strings.Join(all, " AND ")
	switch {
	case q.Outcome != "" && q.Outcome != record.Served:
		// An outcome never lacks its row in names: there are only a few.
		w.source = `FROM traces t INDEXED BY traces_not_served WHERE t.id < ? AND t.id >= ? AND t.outcome <> 1 AND ` + outcome + ` ORDER BY t.id DESC LIMIT ?`
	case q.Class != "":
		// What failed is in attempts, of which there are far fewer than traces.
		w.source = `FROM (SELECT DISTINCT trace FROM attempts WHERE trace < ? AND trace >= ? ORDER BY trace DESC LIMIT ?) a CROSS JOIN traces t ON t.id = a.trace`
	}
	return w, nil
}

// attempt gives the conditions that one and the same attempt must meet.
func (s *Store) attempt(ctx context.Context, w *wanted, q Query) ([]string, error) {
	var here, row []string // of the one in the trace's row; of one in attempts
	if q.Provider != "" || q.Endpoint != "" || q.Model != "" {
		ids, err := s.targetIDs(ctx, q)
		if err != nil {
			return nil, err
		}
		here = append(here, w.among("t.target", ids, "", ""))
		row = append(row, w.among("target", ids, "", ""))
		if len(ids) == 0 {
			w.unknown = append(w.unknown, strange(q)...)
		}
		if err := s.skip(ctx, w, "rollups", "subject", ids); err != nil {
			return nil, err
		}
	}
	if q.Key != "" {
		ids, err := s.ids(ctx, `SELECT id FROM keys WHERE name = ?`, q.Key)
		if err != nil {
			return nil, err
		}
		here = append(here, w.among("t.key", ids, "key", q.Key))
		row = append(row, w.among("key", ids, "", ""))
		if err := s.skip(ctx, w, "key_rollups", "key", ids); err != nil {
			return nil, err
		}
	}
	switch q.Class {
	case "":
	case AnyClass:
		here, row = []string{"0"}, append(row, "class <> 0")
	default:
		ids, err := s.ids(ctx, `SELECT id FROM names WHERE kind = ? AND name = ?`, kindClass, q.Class)
		if err != nil {
			return nil, err
		}
		here = []string{"0"} // it served
		row = append(row, w.among("class", ids, "class", string(q.Class)))
	}
	if len(row) == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("(t.flags & %d AND %s OR t.flags & %d AND EXISTS (SELECT 1 FROM attempts WHERE trace = t.id AND %s))",
		flagLastHere, strings.Join(here, " AND "), flagAttempts, strings.Join(row, " AND "))}, nil
}

// skipSlack is how far the day on which an attempt is counted, that of its end,
// may lie from the instant in its trace's ID: for requests over midnight, and
// for IDs that run ahead of a clock that was set back.
const skipSlack = 24 * time.Hour

// skip lowers below to the last day on which a target or key was used. It
// spares those who look for what is long gone all the traces since.
func (s *Store) skip(ctx context.Context, w *wanted, table, column string, ids []int64) error {
	days, err := s.ids(ctx, fmt.Sprintf(`SELECT start FROM %s WHERE span = 86400 AND start <= ? AND %s IN (%s) ORDER BY start DESC LIMIT 1`,
		table, column, numbers(ids)), w.below.Time().Add(skipSlack).Unix())
	switch {
	case err != nil:
		return err
	case len(days) == 0:
		w.below = 0
	default:
		w.below = min(w.below, record.At(time.Unix(days[0], 0).Add(24*time.Hour+skipSlack)))
	}
	return nil
}

func (s *Store) targetIDs(ctx context.Context, q Query) ([]int64, error) {
	return s.ids(ctx, `SELECT id FROM targets WHERE ?1 IN ('', provider) AND ?2 IN ('', endpoint) AND ?3 IN ('', model)`,
		q.Provider, q.Endpoint, q.Model)
}

// strange names the parts of a target that no target has together.
func strange(q Query) [][2]string {
	var all [][2]string
	for _, f := range [][2]string{{"provider", string(q.Provider)}, {"endpoint", q.Endpoint}, {"model", q.Model}} {
		if f[1] != "" {
			all = append(all, f)
		}
	}
	return all
}

// among is the condition that a column is one of some numbers. Where there is
// none, the field's word is noted as unknown.
func (w *wanted) among(column string, ids []int64, field, word string) string {
	if len(ids) == 0 && field != "" {
		w.unknown = append(w.unknown, [2]string{field, word})
	}
	if len(ids) == 1 {
		return column + " = " + strconv.FormatInt(ids[0], 10)
	}
	return column + " IN (" + numbers(ids) + ")"
}

func numbers(ids []int64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(words, ",")
}

func (s *Store) ids(ctx context.Context, text string, args ...any) ([]int64, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, id *int64) error { return rows.Scan(id) }, text, args...)
}

// passed gives the plans in which the first candidate was passed over. A plan
// never changes, so that each is read once.
func (s *Store) passed(ctx context.Context) ([]int64, error) {
	seen := &s.searches
	seen.mu.Lock()
	defer seen.mu.Unlock()
	type row struct {
		id   int64
		body []byte
	}
	rows, err := query(ctx, s.readers, func(rows *sql.Rows, r *row) error { return rows.Scan(&r.id, &r.body) },
		`SELECT id, body FROM plans WHERE id > ? ORDER BY id`, seen.plans)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		var body planBody
		if err := json.Unmarshal(r.body, &body); err != nil {
			return nil, fmt.Errorf("store: reading a plan: %w", err)
		}
		if record.PassedOver(body.Candidates) {
			seen.passed = append(seen.passed, r.id)
		}
		seen.plans = r.id
	}
	return slices.Clone(seen.passed), nil
}

// matches says whether a trace is what the query asks for, its times and IDs
// left aside: what the condition says of a row.
func (q Query) matches(t *record.Trace) bool {
	is := func(want, has string) bool { return want == "" || want == has }
	if !is(string(q.Outcome), string(t.Outcome)) || !is(q.Caller, t.Caller) || !is(q.Asked, t.Asked) ||
		q.Rerouted && !t.Rerouted() || q.Queued && t.Queued <= 0 || t.Cost <= q.Cost && q.Cost > 0 ||
		!longer(t.Took, q.Took) || !longer(t.TTFT, q.TTFT) {
		return false
	}
	ofAttempt := q.Provider != "" || q.Endpoint != "" || q.Model != "" || q.Key != "" || q.Class != ""
	same, hedged := !ofAttempt, !q.Hedged
	for _, a := range t.Attempts {
		hedged = hedged || a.Hedge
		same = same || is(string(q.Provider), string(a.Target.Provider)) && is(q.Endpoint, a.Target.Endpoint) &&
			is(q.Model, a.Target.Model) && is(q.Key, a.Key) && (is(string(q.Class), string(a.Class)) || q.Class == AnyClass && a.Class != "")
	}
	return same && hedged
}

func longer(took, than time.Duration) bool { return than <= 0 || micros(took) > micros(than) }
