package store

import (
	"context"
	"encoding/json"
	"slices"
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
)

const (
	insertTrace = `INSERT INTO traces (id, late, took, ttft, outcome, target, plan, door, asked, caller, flags, status,
		input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost,
		start, ttft_lag, took_lag, upstream_status, upstream_id, key, queued)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`
	insertAttempt = `INSERT INTO attempts (trace, n, target, class, status, start, ttft, took, flags,
		input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost,
		code, message, upstream_id, key) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	insertOverflow   = `INSERT INTO trace_overflow (trace, body) VALUES (?,?)`
	insertTransition = `INSERT INTO transitions (id, at, provider, endpoint, model, from_state, to_state, reason, request)
		VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`
	setWritten = `UPDATE journal SET written = ?`
	upsertHold = `INSERT INTO holds (id, provider, endpoint, model, source, reason, placed, expires, ended, ending)
		VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET provider = excluded.provider,
		endpoint = excluded.endpoint, model = excluded.model, source = excluded.source, reason = excluded.reason,
		placed = excluded.placed, expires = excluded.expires, ended = excluded.ended, ending = excluded.ending`
)

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
	for _, e := range batch {
		var err error
		switch {
		case e.trace != nil:
			err = w.insertTrace(ctx, e.trace, counts)
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

// insertTrace writes a trace and counts it. One that is there already is left
// as it is.
func (w *writer) insertTrace(ctx context.Context, t *record.Trace, counts sums) error {
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
	var upstreamStatus *int
	if n := len(attempts); n > 0 && lastFits(t, attempts[n-1]) {
		attempts, last = attempts[:n-1], attempts[n-1]
		flags |= flagLastHere | attemptFlags(last)
		key = words.add(w.key(ctx, last.Target, last.Key))
		start = micros(last.Start)
		ttftLag = micros(t.TTFT) - start - micros(last.TTFT)
		tookLag = micros(t.Took) - start - micros(last.Took)
		if last.Status != t.Status {
			upstreamStatus = &last.Status
		}
	}
	rows := w.attemptRows(ctx, t.ID, attempts, &words)
	if words.err != nil {
		return words.err
	}
	if words.overflow {
		flags |= flagOverflow
		rows = nil
	}
	flags |= flagIf(flagAttempts, len(rows) > 0)
	added, err := w.exec(ctx, insertTrace, t.ID, t.Accepted.UnixMicro()-t.ID.Time().UnixMicro(), micros(t.Took),
		micros(t.TTFT), outcome, target, plan, door, asked, caller, flags, t.Status,
		t.Usage.Input, t.Usage.CacheRead, t.Usage.CacheWrite, t.Usage.Output, t.Usage.Reasoning, t.Cost,
		start, ttftLag, tookLag, upstreamStatus, last.UpstreamID, key, micros(t.Queued))
	if err != nil || added == 0 {
		return err
	}
	for _, row := range rows {
		if _, err := w.exec(ctx, insertAttempt, row...); err != nil {
			return err
		}
	}
	if words.overflow {
		body, err := json.Marshal(rounded(*t))
		if err != nil {
			return err
		}
		if _, err := w.exec(ctx, insertOverflow, t.ID, string(body)); err != nil {
			return err
		}
	}
	return w.count(ctx, t, counts)
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
			trace, n, target, class, a.Status, micros(a.Start), micros(a.TTFT), micros(a.Took), attemptFlags(a),
			a.Usage.Input, a.Usage.CacheRead, a.Usage.CacheWrite, a.Usage.Output, a.Usage.Reasoning, a.Cost,
			a.Code, a.Message, a.UpstreamID, key,
		})
	}
	return rows
}

func attemptFlags(a record.Attempt) int {
	return flagIf(flagProbe, a.Probe) | flagIf(flagCanary, a.Canary) |
		flagIf(flagHedge, a.Hedge) | flagIf(flagLastResort, a.LastResort)
}

// setFlags is attemptFlags' way back.
func setFlags(a *record.Attempt, flags int) {
	a.Probe, a.Canary = flags&flagProbe != 0, flags&flagCanary != 0
	a.Hedge, a.LastResort = flags&flagHedge != 0, flags&flagLastResort != 0
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
