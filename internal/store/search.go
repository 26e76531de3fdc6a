package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

const (
	// SearchTime bounds how long a search scans: a third of the 50 ms in which a
	// page is to be there with all else on it, and some 150,000 traces that are in memory.
	SearchTime = 15 * time.Millisecond
	// searchRows is how many rows a search looks at first, between two looks at
	// the clock; later as many as take about searchStep.
	searchRows = 512
	mostRows   = 16_384
	searchStep = 3 * time.Millisecond
)

// AnyClass asks for an attempt that failed, however it did.
const AnyClass llm.FailureClass = "any"

// searches is what searches remember.
type searches struct {
	mu     sync.Mutex
	plans  int64   // up to which they were read
	passed []int64 // of them, those in which the first candidate was passed over

	hasty bool // tests have no time: two rows are looked at, three exported
}

// budget gives how long a search may scan, and how many rows it looks at at once.
func (s *searches) budget(most time.Duration) (time.Duration, int) {
	if s.hasty {
		return 0, 2
	}
	return most, mostRows
}

// most gives how many traces an export may have.
func (s *searches) most() int {
	if s.hasty {
		return 3
	}
	return MostFound
}

// Query says which traces are searched for. What is empty, zero or false asks
// for nothing.
type Query struct {
	Before       record.ID // only older ones; 0 for the newest
	Since, Until time.Time // accepted from Since on and before Until, by the instant in the ID
	ID           string    // what the ID begins with
	Outcome      record.Outcome
	Caller       string
	Asked        string // the model as the caller wrote it

	// One and the same attempt must be all of these.
	Provider llm.Provider
	Endpoint string
	Model    string
	Key      string           // the name of the provider's key
	Class    llm.FailureClass // how it failed; AnyClass for all ways

	Rerouted   bool           // Trace.Rerouted
	Hedged     bool           // an attempt was sent beside one that was late
	Queued     bool           // waited for its turn
	Took, TTFT time.Duration  // took longer than this
	Cost       record.NanoUSD // cost more than this

	Limit int // of the traces that are given; 0 means DefaultLimit
}

// Found is what a search found in its time.
type Found struct {
	Traces []record.Trace // newest first
	// Next is where to go on: the Before of the next search.
	Next record.ID
	// Reached is how far back it searched: all matches since then, and before
	// Query.Before, are in Traces.
	Reached time.Time
	// Done says that there is nothing older to be found. Next is 0 then.
	Done bool
	// Unknown are the words of the query that no trace has, each as the field's
	// name and the word: a slip of the pen, most likely.
	Unknown [][2]string
}

// Search gives the traces that a query asks for, newest first, as many as it
// finds within SearchTime. Where it is not Done it is gone on with from Next.
func (s *Store) Search(ctx context.Context, q Query) (Found, error) {
	w, err := s.wanted(ctx, q)
	if err != nil {
		return Found{}, err
	}
	limit := limited(q.Limit)
	hits, err := s.scan(ctx, w, limit+1, SearchTime)
	if err != nil {
		return Found{}, err
	}
	f := Found{Done: hits.done, Next: hits.lowest, Unknown: w.unknown}
	if len(hits.ids) > limit {
		f.Done, hits.ids = false, hits.ids[:limit]
		f.Next = hits.ids[limit-1]
	}
	f.Reached = f.Next.Time()
	if f.Done {
		f.Next, f.Reached = 0, w.from.Time()
	}
	if len(hits.ids) == 0 {
		return f, nil
	}
	list, err := json.Marshal(hits.ids)
	if err != nil {
		return f, err
	}
	f.Traces, err = readTraces(ctx, s.readers, selectTraces+`WHERE t.id IN (SELECT value FROM json_each(?)) ORDER BY t.id DESC`, string(list))
	return f, err
}

// Beside gives the IDs of the traces before and after one; 0 where there is none.
func (s *Store) Beside(ctx context.Context, id record.ID) (older, newer record.ID, err error) {
	_, err = query(ctx, s.readers, func(rows *sql.Rows, _ *struct{}) error { return rows.Scan(&older, &newer) },
		`SELECT coalesce((SELECT max(id) FROM traces WHERE id < ?1), 0), coalesce((SELECT min(id) FROM traces WHERE id > ?1), 0)`, id)
	return older, newer, err
}

// hits are the IDs that a scan found, newest first.
type hits struct {
	ids       []record.ID
	simulated map[record.ID]bool
	lowest    record.ID // everything from here on was looked at
	done      bool      // and there is nothing below
}

// scan looks for traces, newest first, until it has found enough of them or
// its time is up. It looks at some in any case, so that searches get on.
func (s *Store) scan(ctx context.Context, w wanted, enough int, most time.Duration) (hits, error) {
	budget, step := s.searches.budget(most)
	end := time.Now().Add(budget)
	rows, err := s.scanRows(ctx, w, enough, step, end)
	if err != nil {
		return rows, err
	}
	whole, err := s.scanOverflow(ctx, w, enough, step, end)
	if err != nil || len(whole.ids) == 0 && whole.done {
		return rows, err
	}
	both := hits{
		ids: append(rows.ids, whole.ids...), lowest: max(rows.lowest, whole.lowest),
		done: rows.done && whole.done, simulated: rows.simulated,
	}
	maps.Copy(both.simulated, whole.simulated)
	slices.SortFunc(both.ids, newestFirst)
	// Only as far down as both were looked through.
	both.ids = slices.DeleteFunc(both.ids, func(id record.ID) bool { return id < both.lowest })
	return both, nil
}

// scanRows looks through the traces that are in columns.
func (s *Store) scanRows(ctx context.Context, w wanted, enough, most int, end time.Time) (hits, error) {
	h := hits{lowest: w.from, simulated: map[record.ID]bool{}}
	if len(w.unknown) > 0 || w.from >= w.below {
		h.done = true
		return h, nil
	}
	text := `SELECT count(*), coalesce(min(id), 0), coalesce(group_concat(id) FILTER (WHERE hit), ''),
		coalesce(group_concat(id) FILTER (WHERE hit AND simulated), '')
		FROM (SELECT t.id AS id, ` + w.hit + ` AS hit, t.flags & ` + strconv.Itoa(flagSimulated) + ` AS simulated ` + w.source + `)`
	before := w.below
	for n := min(searchRows, most); ; {
		began := time.Now()
		var seen int
		var found, simulated string
		if _, err := query(ctx, s.readers, func(rows *sql.Rows, _ *struct{}) error {
			return rows.Scan(&seen, &h.lowest, &found, &simulated)
		}, text, before, w.from, n); err != nil {
			return h, err
		}
		ids, err := numbered(found)
		if err != nil {
			return h, err
		}
		h.ids = append(h.ids, ids...)
		if ids, err = numbered(simulated); err != nil {
			return h, err
		}
		for _, id := range ids {
			h.simulated[id] = true
		}
		now := time.Now()
		if h.done = seen < n; h.done {
			h.lowest = w.from
		}
		if h.done || len(h.ids) >= enough || !now.Before(end) {
			return h, nil
		}
		before = h.lowest
		switch took := now.Sub(began); {
		case took < searchStep/2:
			n = min(2*n, most)
		case took > searchStep:
			n = max(n/2, 1)
		}
	}
}

// scanOverflow looks through the traces that are kept whole, of which there are
// none but where callers have used thousands of words.
func (s *Store) scanOverflow(ctx context.Context, w wanted, enough, most int, end time.Time) (hits, error) {
	h := hits{lowest: w.from, simulated: map[record.ID]bool{}}
	before := w.before
	for n := min(searchRows, most); ; {
		seen, err := query(ctx, s.readers, func(rows *sql.Rows, t *record.Trace) error {
			var body []byte
			if err := rows.Scan(&body); err != nil {
				return err
			}
			return json.Unmarshal(body, t)
		}, `SELECT body FROM trace_overflow WHERE trace < ? AND trace >= ? ORDER BY trace DESC LIMIT ?`, before, w.from, n)
		if err != nil {
			return h, err
		}
		for i := range seen {
			t := &seen[i]
			if w.query.matches(t) {
				h.ids = append(h.ids, t.ID)
				h.simulated[t.ID] = t.Simulated
			}
			h.lowest, before = t.ID, t.ID
		}
		if h.done = len(seen) < n; h.done {
			h.lowest = w.from
		}
		if h.done || len(h.ids) >= enough || !time.Now().Before(end) {
			return h, nil
		}
	}
}

// numbered reads the IDs of a group_concat, in falling order.
func numbered(text string) ([]record.ID, error) {
	if text == "" {
		return nil, nil
	}
	ids := make([]record.ID, 0, strings.Count(text, ",")+1)
	for word := range strings.SplitSeq(text, ",") {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		ids = append(ids, record.ID(id))
	}
	slices.SortFunc(ids, newestFirst)
	return ids, nil
}

func newestFirst(a, b record.ID) int { return cmp.Compare(b, a) }

// bounds gives the IDs that the query is about: from the first on, before the
// second.
func (q Query) bounds() (from, before record.ID, err error) {
	before = math.MaxInt64
	if q.Before > 0 {
		before = q.Before
	}
	if !q.Until.IsZero() {
		before = min(before, record.At(later(q.Until)))
	}
	from = record.At(later(q.Since))
	if q.ID != "" {
		low, high, err := record.Prefixed(q.ID)
		if err != nil {
			return 0, 0, err
		}
		from = max(from, low)
		if high < math.MaxInt64 {
			before = min(before, high+1)
		}
	}
	return from, before, nil
}
