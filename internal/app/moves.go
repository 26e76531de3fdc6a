package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// mostChanges bounds the transitions and the holds that are kept of 90 days of a
// provider: 20 a day are many.
const mostChanges = 2000

// movesAnew is how far back moves are read again that were read before: a hold
// ends long after it was placed, and what the database could not be given for a
// while comes late.
const movesAnew = 24 * time.Hour

// moves are how a provider's breakers and holds changed in the last 90 days, as
// far back as mostChanges reach. They change little from look to look, and all of
// them take longer to read than a page may.
type moves struct {
	transitions []record.Transition
	holds       []record.Hold
	at          time.Time // when they were read
}

// readMoves brings the moves of a provider up to now.
func (h *healths) readMoves(ctx context.Context, p llm.Provider, m moves, now time.Time) (moves, error) {
	from := longest().From(now)
	anew := from
	if again := m.at.Add(-movesAnew); again.After(from) && !m.at.After(now) {
		anew = again
	} else {
		m = moves{}
	}
	transitions, err := h.store.TransitionsOf(ctx, p, anew, mostChanges)
	if err != nil {
		return moves{}, fmt.Errorf("read the transitions: %w", err)
	}
	holds, err := h.store.HoldsBetween(ctx, p, anew, now, mostChanges)
	if err != nil {
		return moves{}, fmt.Errorf("read the holds: %w", err)
	}
	return moves{
		transitions: renew(m.transitions, transitions, func(t record.Transition) record.ID { return t.ID }, func(t record.Transition) bool { return t.ID < record.At(from) }),
		holds: renew(m.holds, holds, func(h record.Hold) record.ID { return h.ID }, func(h record.Hold) bool {
			return !h.Expires.After(from) || !h.Ended.IsZero() && !h.Ended.After(from)
		}),
		at: now,
	}, nil
}

// renew puts what was read in the place of what is kept of it, without what is
// over, both in the order of their IDs.
func renew[T any](kept, read []T, id func(T) record.ID, over func(T) bool) []T {
	order := func(a, b T) int { return cmp.Compare(id(a), id(b)) }
	all := slices.Clone(read)
	for _, k := range kept {
		if _, again := slices.BinarySearchFunc(read, k, order); !again && !over(k) {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, order)
	return all[max(len(all)-mostChanges, 0):]
}
