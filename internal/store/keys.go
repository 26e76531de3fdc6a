package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// KeyRollup is what came to one key of a provider's within one span. Attempts
// count by the instant at which each ended, as in a Rollup; those that were
// sent without a key are in none.
type KeyRollup struct {
	Start     time.Time
	Provider  llm.Provider
	Endpoint  string
	Key       string // its name; "" for the keys beyond MaxKeys
	Simulated bool   // seeded by the demo

	Requests  int64
	Throttled int64 // of them, those that failed by a rate limit or quota
	Input     int64 // tokens
	Output    int64 // tokens
	Cost      record.NanoUSD
}

// Add counts everything of another rollup in as well; what it is of stays.
func (r *KeyRollup) Add(o KeyRollup) {
	r.Simulated = r.Simulated || o.Simulated
	r.Requests += o.Requests
	r.Throttled += o.Throttled
	r.Input += o.Input
	r.Output += o.Output
	r.Cost += o.Cost
}

// count counts an attempt that was sent with the key.
func (r *KeyRollup) count(a record.Attempt) {
	r.Requests++
	if a.Class == llm.RateLimit || a.Class == llm.Quota {
		r.Throttled++
	}
	r.Input += a.Usage.Input
	r.Output += a.Usage.Output
	r.Cost += a.Cost
}

const (
	upsertKeyRollup = `INSERT INTO key_rollups (span, start, key, simulated, requests, throttled, input_tokens, output_tokens, cost)
		VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
		throttled = throttled + excluded.throttled, input_tokens = input_tokens + excluded.input_tokens,
		output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost`
	insertKeyChange = `INSERT INTO key_changes (id, at, provider, endpoint, name, last4, from_state, to_state, model, until, reason, request)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`
)

// addKeyRollups adds the minutes of a batch to the rows of every span.
func (w *writer) addKeyRollups(ctx context.Context, counts keyTally) error {
	return counts.each(Minute, func(span Span, key rollupKey, r *KeyRollup) error {
		_, err := w.exec(ctx, upsertKeyRollup, int64(time.Duration(span)/time.Second), key.start, key.subject,
			flagIf(1, key.simulated), r.Requests, r.Throttled, r.Input, r.Output, r.Cost)
		return err
	})
}

func (w *writer) insertKeyChange(ctx context.Context, k *record.KeyChange) error {
	_, err := w.exec(ctx, insertKeyChange, k.ID, k.At.UnixMicro(), k.Provider, k.Endpoint, k.Key, k.Last4,
		k.From, k.To, k.Model, instant(k.Until), k.Reason, k.Request)
	return err
}

// KeyUsage gives what came to each of a provider's keys in the minutes from
// from to to, simulated traffic included, by endpoint and name. Start is from.
func (s *Store) KeyUsage(ctx context.Context, p llm.Provider, from, to time.Time) ([]KeyRollup, error) {
	sum := map[keyOf]*KeyRollup{}
	for _, piece := range pieces(from, to) {
		rows, err := query(ctx, s.readers, func(rows *sql.Rows, r *KeyRollup) error {
			return rows.Scan(&r.Endpoint, &r.Key, &r.Simulated, &r.Requests, &r.Throttled, &r.Input, &r.Output, &r.Cost)
		}, `SELECT endpoint, name, max(simulated), sum(requests), sum(throttled), sum(input_tokens), sum(output_tokens), sum(cost)
			FROM key_rollups JOIN keys ON keys.id = key
			WHERE span = ? AND start >= ? AND start < ? AND provider = ? GROUP BY key`,
			int64(time.Duration(piece.span)/time.Second), piece.from.Unix(), piece.to.Unix(), p)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			key := keyOf{p, r.Endpoint, r.Key}
			if sum[key] == nil {
				sum[key] = &KeyRollup{Start: from, Provider: p, Endpoint: r.Endpoint, Key: r.Key}
			}
			sum[key].Add(r)
		}
	}
	all := make([]KeyRollup, 0, len(sum))
	for _, r := range sum {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b KeyRollup) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Key, b.Key))
	})
	return all, nil
}

// KeyChanges gives the changes of a provider's keys, or of all where p is "",
// since an instant, by their IDs, newest first.
func (s *Store) KeyChanges(ctx context.Context, p llm.Provider, since time.Time, limit int) ([]record.KeyChange, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, k *record.KeyChange) error {
		return rows.Scan(&k.ID, scanTime{&k.At}, &k.Provider, &k.Endpoint, &k.Key, &k.Last4, &k.From, &k.To, &k.Model,
			scanTime{&k.Until}, &k.Reason, &k.Request)
	}, `SELECT id, at, provider, endpoint, name, last4, from_state, to_state, model, until, reason, request
		FROM key_changes WHERE id >= ? AND ? IN ('', provider) ORDER BY id DESC LIMIT ?`, record.At(later(since)), p, limited(limit))
}
