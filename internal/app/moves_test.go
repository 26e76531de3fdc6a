package app

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// TestEachLookKnowsTheMovesThatOneFromTheBeginningFinds has holds that end, are
// made longer or stay between two looks, and some that the database gets late.
func TestEachLookKnowsTheMovesThatOneFromTheBeginningFinds(t *testing.T) {
	h, noon := kept(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var n record.ID
	id := func(at time.Time) record.ID { n++; return record.At(at) + n }
	of := llm.Target{Provider: llm.Gemini, Model: "m"}
	var standing []record.Hold
	var last moves
	for look := range 60 {
		now := noon.Add(time.Duration(look) * 37 * time.Hour)
		for range rnd.IntN(5) {
			at := now.Add(-time.Duration(rnd.IntN(60)) * time.Hour)
			h.store.RecordTransition(record.Transition{ID: id(at), At: at, Target: of, From: record.Closed, To: record.Open})
			standing = append(standing, record.Hold{ID: id(at), Target: of, Placed: at, Expires: at.Add(time.Duration(rnd.IntN(100)) * time.Hour)})
		}
		for i := range standing {
			switch hold := &standing[i]; {
			case !hold.Ended.IsZero() || hold.Expires.Before(now.Add(-time.Hour)):
				continue
			case rnd.IntN(3) == 0:
				hold.Ended = now
			case rnd.IntN(3) == 0:
				hold.Expires = now.Add(time.Hour)
			}
			h.store.RecordHold(standing[i])
		}
		if err := h.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		next, err := h.readMoves(t.Context(), llm.Gemini, last, now)
		if err != nil {
			t.Fatal(err)
		}
		want, err := h.readMoves(t.Context(), llm.Gemini, moves{}, now)
		if err != nil {
			t.Fatal(err)
		}
		if len(want.transitions) < min(look, 10) || !reflect.DeepEqual(next, want) {
			t.Fatalf("look %d: %d transitions and %d holds, from the beginning %d and %d", look, len(next.transitions), len(next.holds), len(want.transitions), len(want.holds))
		}
		last = next
	}
}
