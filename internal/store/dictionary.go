package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// The sizes of the dictionaries. Callers choose some of the words, so each
// dictionary is bounded; a trace with a word beyond the bound is kept whole in
// a table of its own, where retention removes it, which a dictionary never is.
const (
	// MaxNames bounds each kind of name: far above the models and keys that
	// one installation has, and about 1 MB.
	MaxNames = 10_000
	// MaxTargets bounds the targets, and with them the rollup rows of a minute.
	// The targets beyond it are counted as one target without a model.
	MaxTargets = 1_000
	// MaxKeys bounds the providers' keys, rotated ones included, since a key
	// that has a new name has a new row. The usage of those beyond it is counted
	// as that of one key without a name.
	MaxKeys = 1_000
	// MaxPlans bounds the distinct plans, of about 600 bytes each: a dozen
	// targets with every mix of verdicts seen in practice stay far below.
	MaxPlans = 10_000
)

// bounds are the sizes of the dictionaries.
type bounds struct{ names, targets, keys, plans int64 }

// mostWords gives the sizes of the constants.
func mostWords() bounds { return bounds{MaxNames, MaxTargets, MaxKeys, MaxPlans} }

// kind is a kind of name.
type kind string

const (
	kindOutcome kind = "outcome"
	kindDoor    kind = "door"
	kindAsked   kind = "asked"
	kindCaller  kind = "caller"
	kindClass   kind = "class"
)

const (
	countNames  = `SELECT count(*) FROM names WHERE kind = ?`
	findName    = `SELECT id FROM names WHERE kind = ? AND name = ?`
	addName     = `INSERT INTO names (kind, name) VALUES (?, ?) RETURNING id`
	countTarget = `SELECT count(*) FROM targets`
	findTarget  = `SELECT id FROM targets WHERE provider = ? AND endpoint = ? AND model = ?`
	addTarget   = `INSERT INTO targets (provider, endpoint, model) VALUES (?, ?, ?) RETURNING id`
	countKeys   = `SELECT count(*) FROM keys`
	findKey     = `SELECT id FROM keys WHERE provider = ? AND endpoint = ? AND name = ?`
	addKey      = `INSERT INTO keys (provider, endpoint, name) VALUES (?, ?, ?) RETURNING id`
	countPlans  = `SELECT count(*) FROM plans`
	findPlan    = `SELECT id FROM plans WHERE body = ?`
	addPlan     = `INSERT INTO plans (body) VALUES (?) RETURNING id`
)

// dictionary remembers the ids of one dictionary table's words.
type dictionary[K comparable] struct {
	find, add string
	limit     int64
	size      int64 // rows in the table, this transaction's included
	ids       map[K]int64
	fresh     []K // added by the transaction that is under way
}

// openDictionary counts what the table holds already.
func openDictionary[K comparable](ctx context.Context, w *writer, find, add string, limit int64, count string, args ...any) (*dictionary[K], error) {
	d := &dictionary[K]{find: find, add: add, limit: limit, ids: map[K]int64{}}
	err := w.scan(ctx, count, args, &d.size)
	return d, err
}

// id gives a word's id and adds the word where it is new and there is room;
// otherwise the id is 0. Only then is row asked for the word's columns.
func (d *dictionary[K]) id(ctx context.Context, w *writer, key K, row func() ([]any, error)) (int64, error) {
	if id, ok := d.ids[key]; ok {
		return id, nil
	}
	args, err := row()
	if err != nil {
		return 0, err
	}
	var id int64
	err = w.scan(ctx, d.find, args, &id)
	if errors.Is(err, sql.ErrNoRows) {
		if d.size >= d.limit {
			return 0, nil
		}
		if err = w.scan(ctx, d.add, args, &id); err == nil {
			d.size++
			d.fresh = append(d.fresh, key)
		}
	}
	if err != nil {
		return 0, err
	}
	d.ids[key] = id
	return id, nil
}

// settle says how the transaction ended: after a rollback its words are gone.
func (d *dictionary[K]) settle(committed bool) {
	if !committed {
		for _, key := range d.fresh {
			delete(d.ids, key)
		}
		d.size -= int64(len(d.fresh))
	}
	d.fresh = d.fresh[:0]
}

// keyOf is a provider's key.
type keyOf struct {
	provider       llm.Provider
	endpoint, name string
}

// dictionaries are all that the writer needs.
type dictionaries struct {
	names   map[kind]*dictionary[string]
	targets *dictionary[llm.Target]
	keys    *dictionary[keyOf]
	plans   *dictionary[string]
	scratch []byte
}

func openDictionaries(ctx context.Context, w *writer, most bounds) (dictionaries, error) {
	d := dictionaries{names: map[kind]*dictionary[string]{}}
	var err error
	for _, k := range []kind{kindOutcome, kindDoor, kindAsked, kindCaller, kindClass} {
		if d.names[k], err = openDictionary[string](ctx, w, findName, addName, most.names, countNames, k); err != nil {
			return d, err
		}
	}
	if d.targets, err = openDictionary[llm.Target](ctx, w, findTarget, addTarget, most.targets, countTarget); err != nil {
		return d, err
	}
	if d.keys, err = openDictionary[keyOf](ctx, w, findKey, addKey, most.keys, countKeys); err != nil {
		return d, err
	}
	d.plans, err = openDictionary[string](ctx, w, findPlan, addPlan, most.plans, countPlans)
	return d, err
}

func (d *dictionaries) settle(committed bool) {
	for _, names := range d.names {
		names.settle(committed)
	}
	d.targets.settle(committed)
	d.keys.settle(committed)
	d.plans.settle(committed)
}

// name gives a name's id, and false where it found no room.
func (w *writer) name(ctx context.Context, k kind, name string) (id int64, fits bool, err error) {
	if name == "" {
		return 0, true, nil
	}
	id, err = w.words.names[k].id(ctx, w, name, func() ([]any, error) { return []any{k, name}, nil })
	return id, id != 0, err
}

// target gives a target's id, and false where it found no room.
func (w *writer) target(ctx context.Context, t llm.Target) (id int64, fits bool, err error) {
	if t == (llm.Target{}) {
		return 0, true, nil
	}
	id, err = w.words.targets.id(ctx, w, t, func() ([]any, error) {
		return []any{t.Provider, t.Endpoint, t.Model}, nil
	})
	return id, id != 0, err
}

// key gives the id of the key that a target was asked with, and false where it
// found no room.
func (w *writer) key(ctx context.Context, t llm.Target, name string) (id int64, fits bool, err error) {
	if name == "" {
		return 0, true, nil
	}
	id, err = w.keyID(ctx, keyOf{t.Provider, t.Endpoint, name})
	return id, id != 0, err
}

func (w *writer) keyID(ctx context.Context, k keyOf) (int64, error) {
	return w.words.keys.id(ctx, w, k, func() ([]any, error) { return []any{k.provider, k.endpoint, k.name}, nil })
}

// keySubject gives the id under which a key's rollups are kept: its own, or
// where that found no room the id of its provider's rest.
func (w *writer) keySubject(ctx context.Context, t llm.Target, name string) (int64, error) {
	id, fits, err := w.key(ctx, t, name)
	if fits || err != nil {
		return id, err
	}
	return rest(w.words.keys, func() (int64, error) {
		return w.keyID(ctx, keyOf{provider: t.Provider})
	})
}

// subject gives the id under which a target's rollups are kept: its own, or
// where that found no room the id of its provider's rest.
func (w *writer) subject(ctx context.Context, t llm.Target) (int64, error) {
	id, fits, err := w.target(ctx, t)
	if fits || err != nil {
		return id, err
	}
	return rest(w.words.targets, func() (int64, error) {
		id, _, err := w.target(ctx, llm.Target{Provider: t.Provider})
		return id, err
	})
}

// rest finds the row of what found no room, for which there always is some:
// there are only as many rests as providers.
func rest[K comparable](d *dictionary[K], find func() (int64, error)) (int64, error) {
	limit := d.limit
	d.limit = d.size + 1
	defer func() { d.limit = limit }()
	return find()
}

// planBody is the JSON of a row of plans.
type planBody struct {
	Preferred  llm.Provider       `json:"preferred,omitempty"`
	Strategy   string             `json:"strategy,omitempty"`
	Reason     string             `json:"reason,omitempty"`
	Candidates []record.Candidate `json:"candidates"`
}

// plan gives the id of a trace's plan, and false where it found no room.
func (w *writer) plan(ctx context.Context, t *record.Trace) (id int64, fits bool, err error) {
	if t.Preferred == "" && t.Strategy == "" && t.Reason == "" && len(t.Plan) == 0 {
		return 0, true, nil
	}
	// The key is cheaper to make than the JSON and as distinct.
	b := w.words.scratch[:0]
	b = appendWord(b, string(t.Preferred))
	b = appendWord(b, t.Strategy)
	b = appendWord(b, t.Reason)
	for _, c := range t.Plan {
		b = appendWord(b, string(c.Target.Provider))
		b = appendWord(b, c.Target.Endpoint)
		b = appendWord(b, c.Target.Model)
		b = appendWord(b, string(c.Verdict))
		b = appendWord(b, c.Detail)
	}
	w.words.scratch = b
	if id, ok := w.words.plans.ids[string(b)]; ok { // without a copy of the key
		return id, true, nil
	}
	id, err = w.words.plans.id(ctx, w, string(b), func() ([]any, error) {
		body, err := json.Marshal(planBody{t.Preferred, t.Strategy, t.Reason, t.Plan})
		return []any{string(body)}, err
	})
	return id, id != 0, err
}

func appendWord(b []byte, word string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(word))), word...)
}
