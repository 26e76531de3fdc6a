package store

import (
	"context"
	"database/sql"
	"encoding"
	"errors"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Span is the length of time that a rollup covers. A day is a day of UTC.
type Span time.Duration

// The spans.
const (
	Minute = Span(time.Minute)
	Hour   = Span(time.Hour)
	Day    = Span(24 * time.Hour)
)

// String gives the span's word, which the record uses, too.
func (s Span) String() string {
	switch s {
	case Minute:
		return "minute"
	case Hour:
		return "hour"
	}
	return "day"
}

// start gives the beginning of the span that an instant is in.
func (s Span) start(t time.Time) time.Time { return t.UTC().Truncate(time.Duration(s)) }

// Rollup is what came to one target, or to all callers, within one span.
//
// A target's rollup counts attempts by the instant at which each ended, so a
// request that failed over counts for each target that it tried. The callers'
// rollup counts requests by the instant at which each ended: the same request
// is served there.
type Rollup struct {
	Start     time.Time
	Target    llm.Target // zero for the callers; without a model for the targets beyond MaxTargets
	Callers   bool
	Simulated bool // seeded by the demo; never mixed with real figures in one row

	Served    int64
	Failed    int64 // a target's: failures that count against it; the callers': requests without an answer
	Throttled int64 // rate limit or quota; none for the callers
	Other     int64 // failures that say nothing of the target's health; the callers': refused requests
	Cancelled int64 // the caller went away, or its own time was up

	Usage   llm.Usage
	Cost    record.NanoUSD
	Latency Sketch // to the end, of what was served
	TTFT    Sketch // to the first content, of what was served
}

// Add counts everything of another rollup in as well; Start, Target and
// Callers stay as they are.
func (r *Rollup) Add(o Rollup) {
	r.Simulated = r.Simulated || o.Simulated
	r.Served += o.Served
	r.Failed += o.Failed
	r.Throttled += o.Throttled
	r.Other += o.Other
	r.Cancelled += o.Cancelled
	r.Usage = r.Usage.Add(o.Usage)
	r.Cost += o.Cost
	r.Latency.Merge(o.Latency)
	r.TTFT.Merge(o.TTFT)
}

// serve counts one served request or attempt.
func (r *Rollup) serve(took, ttft time.Duration) {
	r.Served++
	r.Latency.Add(took)
	if ttft > 0 {
		r.TTFT.Add(ttft)
	}
}

// countAttempt counts an attempt of the rollup's target.
func (r *Rollup) countAttempt(a record.Attempt) {
	switch {
	case a.Class == "":
		r.serve(fromMicros(micros(a.Took)), fromMicros(micros(a.TTFT)))
	case a.Class.CountsAgainstTarget():
		r.Failed++
	case a.Class == llm.RateLimit || a.Class == llm.Quota:
		r.Throttled++
	case a.Class == llm.Cancelled || a.Class == llm.Deadline:
		r.Cancelled++
	default:
		r.Other++
	}
	r.Usage = r.Usage.Add(a.Usage)
	r.Cost += a.Cost
}

// countRequest counts a request in the callers' rollup.
func (r *Rollup) countRequest(t *record.Trace) {
	switch t.Outcome {
	case record.Served:
		r.serve(fromMicros(micros(t.Took)), fromMicros(micros(t.TTFT)))
	case record.Failed:
		r.Failed++
	case record.Abandoned:
		r.Cancelled++
	default:
		r.Other++
	}
	r.Usage = r.Usage.Add(t.Usage)
	r.Cost += t.Cost
}

// rollupKey finds a rollup of one span. Subject 0 is the callers.
type rollupKey struct {
	start     int64 // seconds since 1970
	subject   int64
	simulated bool
}

// tally gathers the rollups of one span in memory: what came to each target,
// or to each key.
type tally[R any, P interface {
	*R
	Add(R)
}] map[rollupKey]P

// The tallies that are kept. The subject of a key's rollupKey is the key.
type (
	targetTally = tally[Rollup, *Rollup]
	keyTally    = tally[KeyRollup, *KeyRollup]
)

func (t tally[R, P]) at(key rollupKey) P {
	r := t[key]
	if r == nil {
		r = new(R)
		t[key] = r
	}
	return r
}

// into gives the tally of a longer span.
func (t tally[R, P]) into(span Span) tally[R, P] {
	longer := tally[R, P]{}
	for key, r := range t {
		key.start = span.start(time.Unix(key.start, 0)).Unix()
		longer.at(key).Add(*r)
	}
	return longer
}

// each calls add for every rollup of the tally's span and of every longer one.
func (t tally[R, P]) each(span Span, add func(Span, rollupKey, P) error) error {
	for _, s := range []Span{Minute, Hour, Day} {
		if s < span {
			continue
		}
		if s > span {
			t = t.into(s)
		}
		for key, r := range t {
			if err := add(s, key, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// count adds a trace to the rollups of the minutes in which it and its
// attempts ended.
func (w *writer) count(ctx context.Context, t *record.Trace, minutes sums) error {
	key := func(after time.Duration, subject int64) rollupKey {
		ended := time.UnixMicro(t.Accepted.UnixMicro()).Add(after)
		return rollupKey{Minute.start(ended).Unix(), subject, t.Simulated}
	}
	minutes.targets.at(key(fromMicros(micros(t.Took)), 0)).countRequest(t)
	for _, a := range t.Attempts {
		subject, err := w.subject(ctx, a.Target)
		if err != nil {
			return err
		}
		at := key(fromMicros(micros(a.Start)+micros(a.Took)), subject)
		minutes.targets.at(at).countAttempt(a)
		if a.Key == "" {
			continue
		}
		if at.subject, err = w.keySubject(ctx, a.Target, a.Key); err != nil {
			return err
		}
		minutes.keys.at(at).count(a)
	}
	return nil
}

const (
	rollupColumns = `served, failed, throttled, other, cancelled,
		input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, took, ttft`
	selectRollup = `SELECT ` + rollupColumns + ` FROM rollups WHERE span = ? AND start = ? AND subject = ? AND simulated = ?`
	upsertRollup = `INSERT OR REPLACE INTO rollups (span, start, subject, simulated, ` + rollupColumns + `)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
)

// addRollups merges a tally into the rows of its span and of every longer one.
func (w *writer) addRollups(ctx context.Context, span Span, counts targetTally) error {
	return counts.each(span, func(span Span, key rollupKey, r *Rollup) error {
		return w.mergeRollup(ctx, span, key, *r)
	})
}

func (w *writer) mergeRollup(ctx context.Context, span Span, key rollupKey, more Rollup) error {
	args := []any{int64(time.Duration(span) / time.Second), key.start, key.subject, flagIf(1, key.simulated)}
	var r Rollup
	err := w.scan(ctx, selectRollup, args, r.columns()...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	r.Add(more)
	took, err := r.Latency.MarshalBinary()
	if err != nil {
		return err
	}
	ttft, err := r.TTFT.MarshalBinary()
	if err != nil {
		return err
	}
	_, err = w.exec(ctx, upsertRollup, append(args, r.Served, r.Failed, r.Throttled, r.Other, r.Cancelled,
		r.Usage.Input, r.Usage.CacheRead, r.Usage.CacheWrite, r.Usage.Output, r.Usage.Reasoning, r.Cost, took, ttft)...)
	return err
}

// columns gives where to scan rollupColumns into.
func (r *Rollup) columns() []any {
	return []any{
		&r.Served, &r.Failed, &r.Throttled, &r.Other, &r.Cancelled,
		&r.Usage.Input, &r.Usage.CacheRead, &r.Usage.CacheWrite, &r.Usage.Output, &r.Usage.Reasoning,
		&r.Cost, scanBinary{&r.Latency}, scanBinary{&r.TTFT},
	}
}

// scanBinary reads a blob column through its UnmarshalBinary.
type scanBinary struct{ into encoding.BinaryUnmarshaler }

// Scan implements sql.Scanner.
func (s scanBinary) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok {
		return errors.New("a sketch column without a blob")
	}
	return s.into.UnmarshalBinary(b)
}

// SeedRollups adds rollups of a span, and what they come to in every longer
// span, to what is there: history without the traces behind it. It gives
// ErrClosed or the context's error as SaveIncident does.
func (s *Store) SeedRollups(ctx context.Context, span Span, rollups []Rollup) error {
	return s.call(ctx, func(ctx context.Context, w *writer) error {
		counts := targetTally{}
		for _, r := range rollups {
			key := rollupKey{start: span.start(r.Start).Unix(), simulated: r.Simulated}
			if !r.Callers {
				var err error
				if key.subject, err = w.subject(ctx, r.Target); err != nil {
					return err
				}
			}
			counts.at(key).Add(r)
		}
		return w.addRollups(ctx, span, counts)
	})
}

// Rollups gives the rollups of a span that start at from or later and before
// to, by start, the callers' before the targets'. There is none where nothing
// happened, and there are two where both real and simulated traffic did; they
// may be joined with Add.
func (s *Store) Rollups(ctx context.Context, span Span, from, to time.Time) ([]Rollup, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, r *Rollup) error {
		var start, subject int64
		err := rows.Scan(append([]any{&start, &subject, &r.Simulated, &r.Target.Provider, &r.Target.Endpoint, &r.Target.Model},
			r.columns()...)...)
		r.Start, r.Callers = time.Unix(start, 0).UTC(), subject == 0
		return err
	}, `SELECT start, subject, simulated, coalesce(provider, ''), coalesce(endpoint, ''), coalesce(model, ''), `+rollupColumns+`
		FROM rollups LEFT JOIN targets ON targets.id = subject
		WHERE span = ? AND start >= ? AND start < ? ORDER BY start, subject, simulated`,
		int64(time.Duration(span)/time.Second), from.Unix(), to.Unix())
}

// Spend gives what each provider's attempts cost in the minutes from from to
// to, simulated ones included. Whole days and hours are read as such, so that
// a month costs no more than a few hundred rows.
func (s *Store) Spend(ctx context.Context, from, to time.Time) (map[llm.Provider]record.NanoUSD, error) {
	type share struct {
		provider llm.Provider
		cost     record.NanoUSD
	}
	spend := map[llm.Provider]record.NanoUSD{}
	for _, p := range pieces(from, to) {
		shares, err := query(ctx, s.readers, func(rows *sql.Rows, sh *share) error {
			return rows.Scan(&sh.provider, &sh.cost)
		}, `SELECT provider, sum(cost) FROM rollups JOIN targets ON targets.id = subject
			WHERE span = ? AND start >= ? AND start < ? GROUP BY provider`,
			int64(time.Duration(p.span)/time.Second), p.from.Unix(), p.to.Unix())
		if err != nil {
			return nil, err
		}
		for _, sh := range shares {
			spend[sh.provider] += sh.cost
		}
	}
	return spend, nil
}

// piece is a run of whole spans.
type piece struct {
	span     Span
	from, to time.Time
}

// pieces cuts the minutes that a time touches into the longest spans.
func pieces(from, to time.Time) []piece {
	var cut []piece
	at, end := Minute.start(from), Minute.start(to.Add(time.Duration(Minute)-1))
	for _, p := range []struct{ span, next Span }{{Minute, Hour}, {Hour, Day}, {Day, Day}, {Hour, Hour}, {Minute, Minute}} {
		// Up to the next longer span, or as far as this one goes.
		until := p.span.start(end)
		if p.next > p.span {
			if edge := p.next.start(at.Add(time.Duration(p.next) - 1)); edge.Before(until) {
				until = edge
			}
		}
		if at.Before(until) {
			cut = append(cut, piece{p.span, at, until})
			at = until
		}
	}
	return cut
}
