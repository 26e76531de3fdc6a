package sim

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limit is a rate limit that a provider enforces: a bucket for each key, which
// refills all the time, as Anthropic
// (https://platform.claude.com/docs/en/api/rate-limits) and OpenAI do: with
// 4,999 of 5,000 requests a minute left, the latter says that 12 ms make it
// whole (https://community.openai.com/t/1268905, 2026-11). What is over is
// answered with a 429.
type Limit struct {
	Requests int // a minute; 0 for no limit
	Tokens   int // a minute, of prompts and answers; 0 for no limit
	// Burst is how many requests may come at once, since a limit may be enforced
	// over less than a minute ("60 requests per minute may be enforced as 1 request
	// per second"). The headers do not tell of it. 0 for Requests.
	Burst int
}

// bucket is how the limit of one key stands.
type bucket struct {
	requests, tokens, burst float64 // left
	at                      time.Time
}

// meter is what a provider tells of a limit: what it is, what is left, and when
// all of it will be back.
type meter struct {
	limit                    Limit
	requests, tokens         int
	requestsBack, tokensBack time.Duration
}

// Throttled gives how many requests the limit refused.
func (p *Provider) Throttled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.throttled
}

// throttle takes a request out of its key's bucket and tells in the headers how
// that stands. It gives the refusal of one that is over the limit, or nil.
func (p *Provider) throttle(d dialect, h http.Header, key string, c call, output int) *response {
	if p.opts.Limit == (Limit{}) {
		return nil
	}
	m, wait := p.draws(key, float64(c.input+output))
	if wait == 0 {
		d.meter(h, m)
		return nil
	}
	res := d.refuse(Fault{Kind: RateLimited, RetryAfter: wait}, c)
	for name := range res.header {
		if strings.Contains(name, "-Ratelimit-") {
			res.header.Del(name)
		}
	}
	d.meter(h, m)
	return &res
}

// draws takes one request and its tokens from a key's bucket, or gives how long
// it takes until they are there.
func (p *Provider) draws(key string, tokens float64) (m meter, wait time.Duration) {
	l, now := p.opts.Limit, time.Now()
	most := float64(l.Burst)
	if l.Burst == 0 {
		most = float64(l.Requests)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[key]
	if b == nil {
		b = &bucket{float64(l.Requests), float64(l.Tokens), most, now}
		p.buckets[key] = b
	}
	minutes := now.Sub(b.at).Minutes()
	b.at = now
	b.requests = min(float64(l.Requests), b.requests+minutes*float64(l.Requests))
	b.burst = min(most, b.burst+minutes*float64(l.Requests))
	b.tokens = min(float64(l.Tokens), b.tokens+minutes*float64(l.Tokens))
	until := func(lack float64, perMinute int) time.Duration {
		if perMinute == 0 || lack <= 0 {
			return 0
		}
		return time.Duration(math.Ceil(lack / float64(perMinute) * float64(time.Minute)))
	}
	wait = max(until(1-min(b.requests, b.burst), l.Requests), until(tokens-b.tokens, l.Tokens))
	if wait == 0 {
		b.requests, b.tokens, b.burst = b.requests-1, b.tokens-tokens, b.burst-1
	} else {
		p.throttled++
	}
	return meter{
		limit: l, requests: int(max(b.requests, 0)), tokens: int(max(b.tokens, 0)),
		requestsBack: until(float64(l.Requests)-b.requests, l.Requests), tokensBack: until(float64(l.Tokens)-b.tokens, l.Tokens),
	}, wait
}

// meter: see https://developers.openai.com/api/docs/guides/rate-limits#rate-limits-in-headers (2026-11).
func (openAI) meter(h http.Header, m meter) {
	tell := func(what string, limit, left int, back time.Duration) {
		if limit > 0 {
			h.Set("X-Ratelimit-Limit-"+what, strconv.Itoa(limit))
			h.Set("X-Ratelimit-Remaining-"+what, strconv.Itoa(left))
			h.Set("X-Ratelimit-Reset-"+what, back.Round(time.Millisecond).String())
		}
	}
	tell("Requests", m.limit.Requests, m.requests, m.requestsBack)
	tell("Tokens", m.limit.Tokens, m.tokens, m.tokensBack)
}

// meter: see https://platform.claude.com/docs/en/api/rate-limits#response-headers (2026-11).
func (anthropic) meter(h http.Header, m meter) {
	tell := func(what string, limit, left int, back time.Duration) {
		if limit > 0 {
			h.Set("Anthropic-Ratelimit-"+what+"-Limit", strconv.Itoa(limit))
			h.Set("Anthropic-Ratelimit-"+what+"-Remaining", strconv.Itoa(left))
			h.Set("Anthropic-Ratelimit-"+what+"-Reset", time.Now().UTC().Add(back+time.Second-1).Truncate(time.Second).Format(time.RFC3339))
		}
	}
	tell("Requests", m.limit.Requests, m.requests, m.requestsBack)
	tell("Tokens", m.limit.Tokens, m.tokens, m.tokensBack)
}

// meter says nothing: Gemini tells of its limits in the 429 alone.
func (gemini) meter(http.Header, meter) {}

// meter says nothing: Ollama has no such headers.
func (ollama) meter(http.Header, meter) {}
