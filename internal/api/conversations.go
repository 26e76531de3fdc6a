package api

import (
	"container/list"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// Keep says what is kept of the conversations of /v1/responses, in memory alone.
type Keep struct {
	For   time.Duration // after the last use; 0 keeps nothing
	Bytes int64         // at most; what was not used for the longest time goes first
}

// conversations keeps answers and what they answer, each for the caller that
// asked. An answer holds its whole conversation, whose turns it shares with the
// answers before it.
type conversations struct {
	Keep
	mu      sync.Mutex
	answers map[keptID]*keptAnswer
	items   map[keptID]keptItem
	order   list.List // of *keptAnswer, the last used first
	size    int64
	sweep   *time.Timer // runs while anything is kept
}

// keptID is the id of an answer or an item of one caller's.
type keptID struct{ caller, id string }

// keptItem is an item and the turn that has it.
type keptItem struct {
	turn *turn
	raw  json.RawMessage
}

type keptAnswer struct {
	keptID
	turns []*turn // its own is the last
	used  time.Time
	place *list.Element
}

// turn is one request's own input, and its answer.
type turn struct {
	caller   string
	input    []json.RawMessage
	response json.RawMessage
	named    map[string]json.RawMessage // its items, by id
	holders  int                        // answers that have it
}

func newConversations(k Keep) *conversations {
	return &conversations{Keep: k, answers: map[keptID]*keptAnswer{}, items: map[keptID]keptItem{}}
}

// output gives the items of the answer.
func (t *turn) output() []json.RawMessage { return rawItems(gjson.GetBytes(t.response, "output")) }

// cost is about what a turn takes of the memory.
func (t *turn) cost() int64 {
	n := int64(len(t.response)) + 512
	for _, item := range t.input {
		n += int64(len(item)) + 64
	}
	for id := range t.named {
		n += 2*int64(len(id)) + 128
	}
	return n
}

// cost is about what an answer takes beside its turns.
func (a *keptAnswer) cost() int64 { return 512 + 8*int64(len(a.turns)) }

func rawItems(v gjson.Result) []json.RawMessage {
	var items []json.RawMessage
	for _, item := range v.Array() {
		items = append(items, json.RawMessage(item.Raw))
	}
	return items
}

// turns gives the conversation up to an answer.
func (k *conversations) turns(caller, id string) ([]*turn, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	a := k.answers[keptID{caller, id}]
	if a == nil {
		return nil, false
	}
	a.used = time.Now()
	k.order.MoveToFront(a.place)
	return a.turns, true
}

// item gives an item of any conversation of a caller's.
func (k *conversations) item(caller, id string) (json.RawMessage, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	item, ok := k.items[keptID{caller, id}]
	return item.raw, ok
}

// add keeps an answer that goes on from earlier turns.
func (k *conversations) add(caller string, earlier []*turn, input []json.RawMessage, response json.RawMessage) {
	id := gjson.GetBytes(response, "id").String()
	if k.For <= 0 || id == "" {
		return
	}
	t := &turn{caller: caller, response: slices.Clone(response), named: map[string]json.RawMessage{}}
	for i, item := range input {
		t.input = append(t.input, named(item, id, i))
	}
	for _, item := range slices.Concat(t.input, t.output()) {
		if id := gjson.GetBytes(item, "id").String(); id != "" {
			t.named[id] = item
		}
	}
	a := &keptAnswer{keptID: keptID{caller, id}, turns: append(slices.Clip(earlier), t), used: time.Now()}
	if t.cost()+a.cost() > k.Bytes {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	k.drop(k.answers[a.keptID])
	k.answers[a.keptID] = a
	a.place = k.order.PushFront(a)
	k.size += a.cost()
	for _, t := range a.turns {
		k.hold(t)
	}
	for k.size > k.Bytes && k.order.Len() > 0 {
		k.drop(k.order.Back().Value.(*keptAnswer))
	}
	if k.sweep == nil && k.order.Len() > 0 {
		k.sweep = time.AfterFunc(k.For, k.sweepUp)
	}
}

// named gives an item an id, by which it can be told apart and referred to.
func named(item json.RawMessage, answer string, i int) json.RawMessage {
	if gjson.GetBytes(item, "id").String() != "" {
		return slices.Clone(item)
	}
	kind := "item"
	switch gjson.GetBytes(item, "type").String() {
	case "message", "":
		kind = "msg"
	case "function_call", "function_call_output":
		kind = "fc"
	case "reasoning":
		kind = "rs"
	}
	_, rest, _ := strings.Cut(answer, "_")
	with, err := sjson.SetBytes(slices.Clone(item), "id", fmt.Sprintf("%s_bwk_%s_in%d", kind, strings.TrimPrefix(rest, "bwk_"), i))
	if err != nil {
		return slices.Clone(item)
	}
	return with
}

// hold counts an answer that has a turn. The first makes its items known.
func (k *conversations) hold(t *turn) {
	if t.holders++; t.holders == 1 {
		k.size += t.cost()
		for id, item := range t.named {
			k.items[keptID{t.caller, id}] = keptItem{t, item}
		}
	}
}

// drop forgets an answer, and those of its turns that no other answer has.
func (k *conversations) drop(a *keptAnswer) {
	if a == nil {
		return
	}
	delete(k.answers, a.keptID)
	k.order.Remove(a.place)
	k.size -= a.cost()
	for _, t := range a.turns {
		if t.holders--; t.holders > 0 {
			continue
		}
		k.size -= t.cost()
		for id := range t.named {
			if key := (keptID{t.caller, id}); k.items[key].turn == t {
				delete(k.items, key)
			}
		}
	}
}

// remove forgets an answer at its caller's wish, and says whether it was there.
func (k *conversations) remove(caller, id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	a := k.answers[keptID{caller, id}]
	k.drop(a)
	return a != nil
}

// expire drops what has not been used for too long.
func (k *conversations) expire() {
	for back := k.order.Back(); back != nil; back = k.order.Back() {
		a := back.Value.(*keptAnswer)
		if time.Since(a.used) < k.For {
			return
		}
		k.drop(a)
	}
}

// sweepUp expires without being asked, so that nothing stays longer than it may.
func (k *conversations) sweepUp() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	k.sweep = nil
	if back := k.order.Back(); back != nil {
		k.sweep = time.AfterFunc(k.For-time.Since(back.Value.(*keptAnswer).used), k.sweepUp)
	}
}
