package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"breakwater/internal/record"
)

// The bits of traces.flags and attempts.flags.
const (
	flagStream = 1 << iota
	flagSimulated
	flagLastHere // the last attempt is in the trace's row
	flagProbe
	flagCanary
	flagAttempts // there are rows in attempts
	flagOverflow // the whole trace is in trace_overflow
	flagHedge
	flagLastResort
	flagLooping
)

const (
	intoTraces = `INSERT INTO traces (id, late, took, ttft, outcome, target, plan, door, asked, caller, flags, status,
		input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost,
		start, ttft_lag, took_lag, upstream_status, upstream_id, key, queued) VALUES `
	intoAttempts = `INSERT INTO attempts (trace, n, target, class, status, start, ttft, took, flags,
		input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost,
		code, message, upstream_id, key) VALUES `
	oneTrace         = `(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	oneAttempt       = `(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	insertTrace      = intoTraces + oneTrace + ` ON CONFLICT DO NOTHING`
	insertAttempt    = intoAttempts + oneAttempt
	insertOverflow   = `INSERT INTO trace_overflow (trace, body) VALUES (?,?)`
	insertTransition = `INSERT INTO transitions (id, at, provider, endpoint, model, from_state, to_state, reason, request)
		VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`
	setWritten = `UPDATE journal SET written = ?`
	upsertHold = `INSERT INTO holds (id, provider, endpoint, model, source, reason, placed, expires, ended, ending)
		VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET provider = excluded.provider,
		endpoint = excluded.endpoint, model = excluded.model, source = excluded.source, reason = excluded.reason,
		placed = excluded.placed, expires = excluded.expires, ended = excluded.ended, ending = excluded.ending`
)

// rowsAtOnce is how many traces or attempts one statement inserts: most of what
// a row costs alone is the way into SQLite and back, once for each of its columns.
const rowsAtOnce = 16

// together gives the statement that inserts rowsAtOnce.
func together(into, one string) string { return into + one + strings.Repeat(`,`+one, rowsAtOnce-1) }

// micros gives a duration in microseconds, rounded up.
func micros(d time.Duration) int64 {
	us := int64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		us++
	}
	return us
}

func fromMicros(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// instant gives a time for a column that is NULL where the time is zero.
func instant(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

// write writes a batch and, where it came through the journal, how far the
// tables are now.
func (w *writer) write(ctx context.Context, batch []entry) error {
	err := w.insert(ctx, batch)
	if number := lastNumber(batch); err == nil && number > 0 {
		_, err = w.exec(ctx, setWritten, int64(number))
	}
	return err
}

// lastNumber gives the highest number of a batch in the journal, 0 where there
// is none.
func lastNumber(batch []entry) uint64 {
	for _, e := range slices.Backward(batch) {
		if e.number > 0 {
			return e.number
		}
	}
	return 0
}

// insert writes a batch with its rollups, in the transaction that is open.
func (w *writer) insert(ctx context.Context, batch []entry) error {
	counts := sums{targets: targetTally{}, keys: keyTally{}}
	var traces []*record.Trace
	for _, e := range batch {
		var err error
		switch {
		case e.trace != nil:
			traces = append(traces, e.trace)
		case e.transition != nil:
			t := e.transition
			_, err = w.exec(ctx, insertTransition, t.ID, t.At.UnixMicro(), t.Target.Provider, t.Target.Endpoint,
				t.Target.Model, t.From, t.To, t.Reason, t.Request)
		case e.hold != nil:
			h := e.hold
			_, err = w.exec(ctx, upsertHold, h.ID, h.Target.Provider, h.Target.Endpoint, h.Target.Model, h.Source,
				h.Reason, h.Placed.UnixMicro(), h.Expires.UnixMicro(), instant(h.Ended), h.Ending)
		case e.key != nil:
			err = w.insertKeyChange(ctx, e.key)
		}
		if err != nil {
			return err
		}
	}
	if err := w.insertTraces(ctx, traces, counts); err != nil {
		return err
	}
	if err := w.addRollups(ctx, Minute, counts.targets); err != nil {
		return err
	}
	return w.addKeyRollups(ctx, counts.keys)
}

// sums gather what a batch comes to, by minute.
type sums struct {
	targets targetTally
	keys    keyTally
}

// fitting gathers the ids of words: whether all found room, and the first error.
type fitting struct {
	overflow bool
	err      error
}

func (f *fitting) add(id int64, fits bool, err error) int64 {
	f.overflow = f.overflow || !fits
	if f.err == nil {
		f.err = err
	}
	return id
}

// insertTraces writes traces and counts them. One that is there already is left
// as it is.
func (w *writer) insertTraces(ctx context.Context, traces []*record.Trace, counts sums) error {
	for len(traces) > 0 {
		n := 1
		if len(traces) >= rowsAtOnce {
			n = rowsAtOnce
		}
		if err := w.insertSome(ctx, traces[:n], counts); err != nil {
			return err
		}
		traces = traces[n:]
	}
	return nil
}

// insertSome writes traces, and then what belongs to those that were not there.
func (w *writer) insertSome(ctx context.Context, traces []*record.Trace, counts sums) error {
	laid := make([]laidTrace, len(traces))
	columns := w.columns[:0]
	for i, t := range traces {
		var err error
		if laid[i], columns, err = w.lay(ctx, t, columns); err != nil {
			return err
		}
	}
	w.columns = columns
	added := false
	if len(traces) == rowsAtOnce {
		err := w.insertTogether(ctx, intoTraces, oneTrace, columns)
		if err != nil && !permanent(err) {
			return err
		}
		added = err == nil // otherwise one is there already, or does not fit
	}
	var attempts [][]any
	each := len(columns) / len(traces)
	for i := range laid {
		if !added {
			n, err := w.exec(ctx, insertTrace, columns[i*each:(i+1)*each]...)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
		}
		attempts = append(attempts, laid[i].attempts...)
		if err := w.insertWhole(ctx, &laid[i]); err != nil {
			return err
		}
		if err := w.count(ctx, laid[i].trace, counts); err != nil {
			return err
		}
	}
	return w.insertAttempts(ctx, attempts)
}

// insertAttempts writes attempts that are not in their trace's row.
func (w *writer) insertAttempts(ctx context.Context, rows [][]any) error {
	for ; len(rows) >= rowsAtOnce; rows = rows[rowsAtOnce:] {
		if err := w.insertTogether(ctx, intoAttempts, oneAttempt, slices.Concat(rows[:rowsAtOnce]...)); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if _, err := w.exec(ctx, insertAttempt, row...); err != nil {
			return err
		}
	}
	return nil
}

// insertTogether inserts rowsAtOnce, or none. It asks the driver itself:
// database/sql would check and copy each of the hundreds of columns once more,
// which is a sixth of the writer's work and half of its garbage.
func (w *writer) insertTogether(ctx context.Context, into, one string, columns []any) error {
	for i, c := range columns {
		if i == len(w.args) {
			w.args = append(w.args, driver.NamedValue{Ordinal: i + 1})
		}
		w.args[i].Value = c
	}
	return w.conn.Raw(func(conn any) error {
		if w.together[into] == nil {
			stmt, err := conn.(driver.ConnPrepareContext).PrepareContext(ctx, together(into, one))
			if err != nil {
				return err
			}
			w.together[into] = stmt
		}
		stmt := w.together[into].(driver.StmtQueryContext)
		rows, err := stmt.QueryContext(ctx, w.args[:len(columns)]) // runs it with the first step, in one call where Exec makes many
		if err != nil {
			return err
		}
		return rows.Close()
	})
}

// laidTrace is a trace whose columns are laid out, and what goes to other
// tables.
type laidTrace struct {
	trace    *record.Trace
	attempts [][]any
	overflow bool
}

// lay appends a trace's columns.
func (w *writer) lay(ctx context.Context, t *record.Trace, columns []any) (laidTrace, []any, error) {
	var words fitting
	outcome := words.add(w.name(ctx, kindOutcome, string(t.Outcome)))
	target := words.add(w.target(ctx, t.Served))
	plan := words.add(w.plan(ctx, t))
	door := words.add(w.name(ctx, kindDoor, string(t.Door)))
	asked := words.add(w.name(ctx, kindAsked, t.Asked))
	caller := words.add(w.name(ctx, kindCaller, t.Caller))
	attempts, last := t.Attempts, record.Attempt{}
	flags := flagIf(flagStream, t.Stream) | flagIf(flagSimulated, t.Simulated)
	var start, ttftLag, tookLag, key int64
	var upstreamStatus any // NULL: equal to the trace's
	if n := len(attempts); n > 0 && lastFits(t, attempts[n-1]) {
		attempts, last = attempts[:n-1], attempts[n-1]
		flags |= flagLastHere | attemptFlags(last)
		key = words.add(w.key(ctx, last.Target, last.Key))
		start = micros(last.Start)
		ttftLag = micros(t.TTFT) - start - micros(last.TTFT)
		tookLag = micros(t.Took) - start - micros(last.Took)
		if last.Status != t.Status {
			upstreamStatus = int64(last.Status)
		}
	}
	laid := laidTrace{trace: t, attempts: w.attemptRows(ctx, t.ID, attempts, &words), overflow: words.overflow}
	if words.overflow {
		flags |= flagOverflow
		laid.attempts = nil
	}
	flags |= flagIf(flagAttempts, len(laid.attempts) > 0)
	return laid, append(columns, int64(t.ID), t.Accepted.UnixMicro()-t.ID.Time().UnixMicro(), micros(t.Took),
		micros(t.TTFT), outcome, target, plan, door, asked, caller, int64(flags), int64(t.Status),
		t.Usage.Input, t.Usage.CacheRead, t.Usage.CacheWrite, t.Usage.Output, t.Usage.Reasoning, int64(t.Cost),
		start, ttftLag, tookLag, upstreamStatus, last.UpstreamID, key, micros(t.Queued)), words.err
}

// insertWhole writes a trace whole whose words found no room.
func (w *writer) insertWhole(ctx context.Context, laid *laidTrace) error {
	if !laid.overflow {
		return nil
	}
	body, err := json.Marshal(rounded(*laid.trace))
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, insertOverflow, laid.trace.ID, string(body))
	return err
}

// lastFits says whether the trace's row says all there is to say of its last
// attempt.
func lastFits(t *record.Trace, a record.Attempt) bool {
	return a.Class == "" && a.Target == t.Served && a.Usage == t.Usage && a.Cost == t.Cost &&
		a.Code == "" && a.Message == ""
}

// attemptRows gives the rows of attempts.
func (w *writer) attemptRows(ctx context.Context, trace record.ID, attempts []record.Attempt, words *fitting) [][]any {
	var rows [][]any
	for n, a := range attempts {
		target := words.add(w.target(ctx, a.Target))
		class := words.add(w.name(ctx, kindClass, string(a.Class)))
		key := words.add(w.key(ctx, a.Target, a.Key))
		rows = append(rows, []any{
			int64(trace), int64(n), target, class, int64(a.Status), micros(a.Start), micros(a.TTFT), micros(a.Took), int64(attemptFlags(a)),
			a.Usage.Input, a.Usage.CacheRead, a.Usage.CacheWrite, a.Usage.Output, a.Usage.Reasoning, int64(a.Cost),
			a.Code, a.Message, a.UpstreamID, key,
		})
	}
	return rows
}

func attemptFlags(a record.Attempt) int {
	return flagIf(flagProbe, a.Probe) | flagIf(flagCanary, a.Canary) |
		flagIf(flagHedge, a.Hedge) | flagIf(flagLastResort, a.LastResort) | flagIf(flagLooping, a.Looping)
}

// setFlags is attemptFlags' way back.
func setFlags(a *record.Attempt, flags int) {
	a.Probe, a.Canary = flags&flagProbe != 0, flags&flagCanary != 0
	a.Hedge, a.LastResort, a.Looping = flags&flagHedge != 0, flags&flagLastResort != 0, flags&flagLooping != 0
}

func flagIf(flag int, set bool) int {
	if set {
		return flag
	}
	return 0
}

// rounded gives a trace as a read will give it back.
func rounded(t record.Trace) record.Trace {
	t.Accepted = time.UnixMicro(t.Accepted.UnixMicro()).UTC()
	t.TTFT, t.Took, t.Queued = fromMicros(micros(t.TTFT)), fromMicros(micros(t.Took)), fromMicros(micros(t.Queued))
	var attempts []record.Attempt
	for _, a := range t.Attempts {
		a.Start, a.TTFT, a.Took = fromMicros(micros(a.Start)), fromMicros(micros(a.TTFT)), fromMicros(micros(a.Took))
		attempts = append(attempts, a)
	}
	t.Attempts = attempts
	if len(t.Plan) == 0 {
		t.Plan = nil
	}
	return t
}
