package provider

import (
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// Ask is what leave to send is asked for.
type Ask struct {
	Model string
	// Key is the name of the key whose account may hold the conversation's prompt
	// cache: it is taken where it can be. "" for none.
	Key string
	// Tokens gives about how many tokens the request will take, in and out. It is
	// called only where a limit on tokens is in force.
	Tokens func() int64
}

// Leave is leave to send one request: a usable key, and room within every
// limit. It is ended exactly once, with Done or Return; the zero value does nothing.
type Leave struct {
	Key string // the key's name; "" where the provider needs none

	ring   *keyRing
	key    *key
	model  *keyModel
	turn   uint64 // the ring's count when it was given
	tokens int64  // taken
	taken  room
	ended  bool
}

// Done ends the leave with what the attempt used and how it failed, nil for one
// that did not. It frees the room and, where the failure speaks of the key, has
// the key cool down or taken out.
func (l *Leave) Done(used llm.Usage, f *llm.Failure) {
	l.end(func(now time.Time) {
		spent := used.Input + used.Output
		l.key.tokens += spent
		if spent == 0 && mayHaveUsed(f) {
			spent = l.tokens
		}
		l.taken.done(now, l.tokens, spent)
		l.ring.learn(l, now, f)
	})
}

// Took tells that the provider has taken the request up: it had room for it.
func (l *Leave) Took() {
	if l == nil || l.ring == nil {
		return
	}
	l.ring.mu.Lock()
	defer l.ring.mu.Unlock()
	l.model.took(l.turn)
}

// Return ends a leave that nothing was sent with, as if it had never been given.
func (l *Leave) Return() {
	l.end(func(now time.Time) {
		l.key.requests--
		l.taken.undo(now, l.tokens, roomy)
	})
}

// end ends the leave, once. account is called with the ring locked.
func (l *Leave) end(account func(now time.Time)) {
	if l == nil || l.ring == nil {
		return
	}
	now := time.Now()
	l.ring.mu.Lock()
	defer l.ring.unlock()
	if l.ended {
		return
	}
	l.ended = true
	l.key.under--
	l.model.under--
	account(now)
}

// mayHaveUsed says whether a provider has worked on a request that ended so:
// then it counts tokens that it did not tell of.
func mayHaveUsed(f *llm.Failure) bool {
	if f == nil {
		return true
	}
	switch f.Class {
	case llm.Timeout, llm.Garbage, llm.StreamCut, llm.Cancelled, llm.Deadline:
		return true
	}
	return false
}

// Busy says why there is no leave now.
type Busy struct {
	Wait time.Duration // until there may be; 0 where something else has to end first
	// NoKey says that no key will be usable before somebody does something, or
	// before a quota resets: waiting in line is of no use.
	NoKey  bool
	Detail string // in a few fixed words: "every key is cooling down"
}

// The details of Busy.
const (
	noKeys          = "no key is configured"
	keysCooling     = "every key is cooling down after a rate limit"
	keysRefused     = "the provider takes none of the keys"
	keysSpent       = "every key is out of quota"
	keysOut         = "every key is refused or out of quota"
	providerLimited = "the limit of the provider is reached"
	modelLimited    = "the limit of the model is reached"
	keysLimited     = "the limits of the keys are reached"
)

// Admit asks for leave to send one request. One of the results is nil.
func (c *Client) Admit(ask Ask) (*Leave, *Busy) {
	var tokens int64
	if ask.Tokens != nil && c.ring.countsTokens(ask.Model) {
		tokens = ask.Tokens()
	}
	return c.ring.admit(time.Now(), ask, tokens)
}

// room is what one request takes a place in, the widest first; nil where there
// is no limit.
type room [4]*traffic.Limiter

// Whose limit stands where in a room.
const (
	ofProvider = iota
	ofModel
	ofKey
	learned // of a key's model, from what the provider tells
	roomy   // beyond the last: none is full
)

// take takes a place in all limits or in none, and says which one is full.
func (m *room) take(now time.Time, tokens int64) (wait time.Duration, full int) {
	for i, l := range m {
		if wait, ok := l.Take(now, tokens); !ok {
			m.undo(now, tokens, i)
			return wait, i
		}
	}
	return 0, roomy
}

// undo gives back what was taken in the first n limits.
func (m *room) undo(now time.Time, tokens int64, n int) {
	for _, l := range m[:n] {
		l.Undo(now, tokens)
	}
}

func (m *room) done(now time.Time, taken, used int64) {
	for _, l := range m {
		l.Done(now, taken, used)
	}
}

// admit looks for a key that can be used and has room. A key that is gone from
// the configuration is a spare: it is asked where no other can be used, not
// where others are merely at their limits.
func (r *keyRing) admit(now time.Time, ask Ask, tokens int64) (*Leave, *Busy) {
	r.mu.Lock()
	defer r.unlock()
	r.turn++
	var out outKeys
	keys := r.keys
	if !r.mark(keys, ask.Model, now, &out) {
		keys = r.spares
		if !r.mark(keys, ask.Model, now, &out) {
			return nil, out.busy(now)
		}
	}
	var soonest time.Duration
	k, wished := r.wished(keys, ask.Key), true
	if k == nil {
		k, wished = r.next(keys, now), false
	}
	for ; k != nil; k, wished = r.next(keys, now), false {
		m := k.modelOf(ask.Model, r.turn)
		taken := room{r.limit, r.models[ask.Model], k.limiter, m.learned}
		wait, full := taken.take(now, tokens)
		switch full {
		case roomy:
			if !wished && r.order == Weighted {
				r.turned(keys, k)
			}
			k.under++
			m.under++
			k.requests++
			k.recent.add(now)
			return &Leave{Key: k.name, ring: r, key: k, model: m, turn: r.turn, tokens: tokens, taken: taken}, nil
		case ofProvider:
			return nil, &Busy{Wait: wait, Detail: providerLimited}
		case ofModel:
			return nil, &Busy{Wait: wait, Detail: modelLimited}
		}
		k.fits = 0
		soonest = sooner(soonest, wait)
	}
	return nil, &Busy{Wait: sooner(soonest, out.wait(now)), Detail: keysLimited}
}

// sooner gives the shorter of two waits, of which 0 is one that nobody knows.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// mark notes which keys can be used for the model in this turn, and why the
// others cannot. It says whether there are any.
func (r *keyRing) mark(keys []*key, model string, now time.Time, out *outKeys) bool {
	found := false
	for _, k := range keys {
		if k.spareUntil.IsZero() || now.Before(k.spareUntil) {
			if s := r.outOf(k, model, now); s != nil {
				out.add(s)
				continue
			}
			k.fits, found = r.turn, true
		}
	}
	return found
}

// wished gives the key of that name where it can be used.
func (r *keyRing) wished(keys []*key, name string) *key {
	if name == "" {
		return nil
	}
	for _, k := range keys {
		if k.name == name && k.fits == r.turn {
			return k
		}
	}
	return nil
}

// next gives the key whose turn it is among those that fit; nil for none.
func (r *keyRing) next(keys []*key, now time.Time) *key {
	var best *key
	for _, k := range keys {
		switch {
		case k.fits != r.turn:
		case best == nil, r.order == Weighted && k.owed+k.weight > best.owed+best.weight, r.order == LeastUsed && k.lessUsed(best, now):
			best = k
		}
	}
	return best
}

// turned gives each key that fits its share of the turn, and takes the whole
// from the one whose turn it was: smooth weighted round robin, as in
// https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1,
// which spreads the turns of a key evenly.
func (r *keyRing) turned(keys []*key, taken *key) {
	for _, k := range keys {
		if k.fits == r.turn {
			k.owed += k.weight
			taken.owed -= k.weight
		}
	}
}

// outKeys counts why keys cannot be used, and when one can be.
type outKeys struct {
	cooling, spent, refused int
	soonest                 time.Time
}

func (o *outKeys) add(s *standing) {
	switch s.state {
	case record.KeyCooling:
		o.cooling++
	case record.KeyExhausted:
		o.spent++
	default:
		o.refused++
	}
	if !s.until.IsZero() && (o.soonest.IsZero() || s.until.Before(o.soonest)) {
		o.soonest = s.until
	}
}

// wait gives how long until one of the keys may be usable again; 0 where nobody knows.
func (o *outKeys) wait(now time.Time) time.Duration {
	if o.soonest.IsZero() {
		return 0
	}
	return o.soonest.Sub(now)
}

// busy is told where no key can be used.
func (o *outKeys) busy(now time.Time) *Busy {
	b := &Busy{Wait: o.wait(now), NoKey: o.cooling == 0}
	switch {
	case o.cooling > 0:
		b.Detail = keysCooling
	case o.spent > 0 && o.refused > 0:
		b.Detail = keysOut
	case o.spent > 0:
		b.Detail = keysSpent
	case o.refused > 0:
		b.Detail = keysRefused
	default:
		b.Detail = noKeys
	}
	return b
}
