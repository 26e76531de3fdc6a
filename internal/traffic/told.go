package traffic

import (
	"math/bits"
	"net/http"
	"strconv"
	"time"
)

// How headers are read.
const (
	// MirrorAlways is up to which limit of requests what the provider has left is
	// followed from the first answer on: so little is used up by one burst, before
	// the next answer tells of it. A higher limit is followed from when half of it
	// is used, so that traffic far from its limits takes no lock.
	MirrorAlways = 1000

	// EvenFill is the shortest time in which what a provider allows is taken to
	// fill in evenly. The documented limits are those of a minute or more; what is
	// whole again sooner from nothing is counted in windows, and there is nothing
	// before the next one. It is a little under a minute because resets are rounded.
	EvenFill = 45 * time.Second

	// MaxReset is the longest reset that is believed. Limits of a day are the
	// longest that are documented.
	MaxReset = 25 * time.Hour
)

// told mirrors what the provider has left, as its headers tell. A reset is when
// all of it will be there again, not when the next request may go: "the time when
// the request rate limit will be fully replenished", with a capacity that is
// "continuously replenished up to your maximum limit"
// (https://platform.claude.com/docs/en/api/rate-limits, 2026-11); "the time until
// the rate limit resets to its initial state"
// (https://developers.openai.com/api/docs/guides/rate-limits, 2026-11), which with
// 10,000 a day and 9,999 left is 8.64s. That instant only ever moves to later, by
// each request that the provider lets in, so of several answers out of order the
// latest instant is the newest: a stale header opens nothing.
type told struct {
	requests bucket // each request is charged when it goes, before the next answer tells
	tokens   bucket // of what is scarcest; nothing is charged: providers count tokens in ways of their own, such as cached ones not at all
}

// uncounted gives how many of the tokens under way the provider may not have
// counted in what it last told. It is half the limit at most: most are counted
// when a request comes in, and a slow model must not stand still for long answers.
func (m *told) uncounted(pending int64) int64 { return min(pending, m.tokens.burst/2) }

// forget drops what is not scarce any more.
func (m *told) forget(t int64) {
	if m.tokens.full <= t {
		m.tokens = bucket{}
	}
	if m.requests.full <= t && m.requests.burst > MirrorAlways {
		m.requests = bucket{}
	}
}

// allowance is what a provider tells of one of its limits.
type allowance struct {
	limit int64 // 0 where it did not tell
	left  int64
	reset string // the header with the time until all of it is there again
}

// scarce says whether less than half is left.
func (a allowance) scarce() bool { return a.left <= a.limit/2 }

// Told tells of a provider's rate-limit headers, which bound what goes until they
// reset. The names are in Go's canonical form, as of a response. What makes no
// sense changes nothing.
//
// OpenAI's: x-ratelimit-{limit,remaining,reset}-{requests,tokens}, resets such as
// "17ms" and "6m0s" (https://developers.openai.com/api/docs/guides/rate-limits,
// 2026-11); limits of requests may be those of a day, which the reset shows. Azure
// sends seconds without a unit, and -1 for what it does not know. Anthropic's:
// anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset},
// resets as RFC 3339 (https://platform.claude.com/docs/en/api/rate-limits, 2026-11).
func (l *Limiter) Told(now time.Time, h http.Header) {
	if l == nil {
		return
	}
	requests, ok := read(h, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
	tokens, tok := read(h, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
	if !ok && !tok {
		requests, ok = read(h, "Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset")
		tokens, tok = scarcest(h)
	}
	if ok && (requests.scarce() || requests.limit <= MirrorAlways) {
		l.mirror(now, h, requests, &l.told.requests)
	}
	if tok && tokens.scarce() {
		l.mirror(now, h, tokens, &l.told.tokens)
	}
}

// scarcest gives the one of Anthropic's allowances of tokens of which the least
// share is left.
func scarcest(h http.Header) (least allowance, ok bool) {
	all, ok1 := read(h, "Anthropic-Ratelimit-Tokens-Limit", "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset")
	in, ok2 := read(h, "Anthropic-Ratelimit-Input-Tokens-Limit", "Anthropic-Ratelimit-Input-Tokens-Remaining", "Anthropic-Ratelimit-Input-Tokens-Reset")
	out, ok3 := read(h, "Anthropic-Ratelimit-Output-Tokens-Limit", "Anthropic-Ratelimit-Output-Tokens-Remaining", "Anthropic-Ratelimit-Output-Tokens-Reset")
	for _, a := range [...]struct {
		allowance
		ok bool
	}{{all, ok1}, {in, ok2}, {out, ok3}} {
		if a.ok && (!ok || float64(a.left)*float64(least.limit) < float64(least.left)*float64(a.limit)) {
			least, ok = a.allowance, true
		}
	}
	return least, ok
}

// read reads one allowance; one that makes no sense is none. Without a limit only
// that nothing is left means anything.
func read(h http.Header, limit, remaining, reset string) (a allowance, ok bool) {
	left, ok := number(h, remaining)
	if !ok {
		return allowance{}, false
	}
	most, known := number(h, limit)
	if known && (most == 0 || left > most) || !known && left > 0 {
		return allowance{}, false
	}
	return allowance{limit: most, left: left, reset: reset}, true
}

// number reads a header that is a whole number from 0 up to what no limit reaches.
func number(h http.Header, name string) (int64, bool) {
	v := h[name]
	if len(v) == 0 || len(v[0]) == 0 || len(v[0]) > 12 {
		return 0, false
	}
	n, err := strconv.ParseInt(v[0], 10, 64)
	return n, err == nil && n >= 0
}

// mirror takes over what the provider has left of one of its limits.
func (l *Limiter) mirror(now time.Time, h http.Header, a allowance, b *bucket) {
	reset, ok := until(now, h, a.reset)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, tokens := l.instant(now), b == &l.told.tokens
	under := l.under.Load()
	if tokens {
		under = l.pending.Load()
	}
	window := fills(reset, a)
	if window < EvenFill || tokens && window > MaxBlock { // a request of many tokens must not wait for a day
		if a.left == 0 || a.left < under {
			l.block(t, reset)
			l.bounded.Store(true)
		}
		return
	}
	fresh := b.n == 0
	b.set(a.limit, window, a.limit)
	b.full = max(b.full, t+int64(reset))
	if fresh && !tokens {
		ns, _ := b.span(under)
		b.full = max(b.full, t+ns)
	}
	b.bound(t)
	l.counts.Store(l.counts.Load() || tokens)
	l.bounded.Store(true)
}

// fills gives in what time the whole of an allowance fills in, given when what is
// used of it will have; 0 where that is not known. A reset of a few seconds is too
// coarse to tell by where it may be rounded to whole ones and little is used: it
// is of a minute then, like almost all.
func fills(reset time.Duration, a allowance) time.Duration {
	switch {
	case a.limit == 0:
		return 0
	case !a.scarce() && reset < 5*time.Second:
		return time.Minute
	case a.left == a.limit:
		return time.Minute
	}
	hi, lo := bits.Mul64(uint64(reset), uint64(a.limit))
	used := uint64(a.limit - a.left)
	if hi >= used {
		return MaxReset
	}
	window, _ := bits.Div64(hi, lo, used)
	return time.Duration(min(window, uint64(MaxReset)))
}

// until reads how long it is until a reset: a duration, seconds, or a time. A time
// is compared with the answer's own Date, so that clocks that differ do no harm.
func until(now time.Time, h http.Header, name string) (time.Duration, bool) {
	v := h[name]
	if len(v) == 0 {
		return 0, false
	}
	d, err := time.ParseDuration(v[0])
	if err != nil {
		if seconds, err2 := strconv.ParseUint(v[0], 10, 32); err2 == nil {
			d, err = time.Duration(seconds)*time.Second, nil
		}
	}
	if err != nil {
		var at time.Time
		if at, err = time.Parse(time.RFC3339, v[0]); err == nil {
			if date := h["Date"]; len(date) > 0 {
				if said, bad := http.ParseTime(date[0]); bad == nil {
					now = said
				}
			}
			d = at.Sub(now)
		}
	}
	return d, err == nil && d > 0 && d <= MaxReset
}
