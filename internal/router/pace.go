package router

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/internal/llm"
)

const (
	// evidence is how many answers must be seen before anything is said of a
	// target: from 20 on the second slowest means something.
	evidence = 20
	// few answers tell their mean to within a factor, which is worth knowing of a
	// target that has hardly answered for an hour.
	few = 5
	// memory bounds the answers that count. At so many all of them are halved, so
	// that a busy target's change shows after a few hundred answers, not an hour.
	memory = 256
	// paceHalfLife is after how long an answer counts half, so that those of an
	// hour ago count a quarter, and a quiet target is at last tried anew.
	paceHalfLife = 30 * time.Minute
	// outlier bounds what one answer can say, as a factor of what was expected: one
	// that hung for minutes shall not make its target look slow for an hour.
	outlier = 4
	// fewTokens is the least that tells how fast a target writes: the pieces of a
	// shorter answer come together.
	fewTokens = 8
	// maxTokens and maxPace bound what is believed, far beyond any answer, so that
	// sums of squares stay exact enough.
	maxTokens = 10_000_000
	maxPace   = time.Hour
)

// pace is what is usual of one target: how soon and how fast it answers, and
// how busy it is. The zero value knows nothing. It may be used by many at once:
// its lock is the target's own, and is held for well under a microsecond.
type pace struct {
	under atomic.Int64 // requests under way

	mu     sync.Mutex
	aged   time.Time // until when everything below has faded
	first  line      // of streams: seconds to the first content, on input tokens that no cache had
	whole  line      // of answers in one piece: seconds in all, on output tokens
	writes rate      // of streams, after the first content
	sizes  sizes
	times  histogram // of streams: times to the first content
}

// begin counts a request under way; end takes it away again.
func (p *pace) begin() { p.under.Add(1) }
func (p *pace) end()   { p.under.Add(-1) }

// busy gives the requests under way.
func (p *pace) busy() int64 { return p.under.Load() }

// served learns from an answer that came well: the time to the first content,
// the time from there to the end, and what it used. streamed says that it came in
// pieces, so that both times mean something.
func (p *pace) served(ttft, rest time.Duration, used llm.Usage, streamed bool) {
	first, later := believable(ttft), believable(rest)
	shown := countable(used.Output - used.Reasoning)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	if used.Output > 0 {
		p.sizes.add(countable(used.Output), shown)
	}
	if !streamed {
		p.whole.add(shown, first+later)
		return
	}
	p.times.add(ttft)
	p.first.add(countable(used.Input-used.CacheRead), first)
	if shown >= fewTokens && later > 0 {
		p.writes.add(shown, later)
	}
}

// late gives how long the first content of a stream takes at most in 95 of
// 100 cases, or up to an eighth more; false where too few answers were seen.
func (p *pace) late() (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	return p.times.quantile(0.95)
}

// usualRate gives how many output tokens a second are usual in a stream; false
// where too few answers were seen.
func (p *pace) usualRate() (float64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	if p.writes.answers < evidence {
		return 0, false
	}
	return 1 / p.writes.perToken(), true
}

// expect gives the expected time for an answer of so many tokens to a request of
// so many; false where too few answers were seen. Where most answers came in one
// piece, the request's size is not told apart from what it cost to answer.
func (p *pace) expect(input, output int64) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	var seconds float64
	switch {
	case max(p.first.n, p.whole.n) < evidence:
		return 0, false
	case p.whole.n > p.first.n:
		seconds = p.whole.at(countable(output))
	default:
		seconds = p.first.at(countable(input)) + p.writes.perToken()*countable(output)
	}
	const most = float64(math.MaxInt64/int64(time.Second)) / 2
	return time.Duration(min(seconds, most) * float64(time.Second)), true
}

// usualOutput gives the output tokens of an answer, on average: those that are
// paid for, and those among them that come after the first content, reasoning
// left out; false where too few answers were seen.
func (p *pace) usualOutput() (paid, shown int64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	if p.sizes.answers < evidence {
		return 0, 0, false
	}
	return int64(p.sizes.paid / p.sizes.answers), int64(p.sizes.shown / p.sizes.answers), true
}

// standsFor learns from the time to the first content of a stream anew, in the place
// of others that were not waited for.
func (p *pace) standsFor(ttft time.Duration, others int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range others {
		p.times.add(ttft)
	}
}

// unusual gives the time after which the first content of a stream, for a request of
// so many tokens, or the end of an answer in one piece is out of the ordinary; false
// where hardly any was seen. Where one in twenty takes longer that is not.
func (p *pace) unusual(input int64, streamed bool) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	seconds := p.first.at(countable(input))
	most, n := time.Duration(0), p.first.n
	if streamed {
		most, _ = p.times.quantile(0.95)
	} else if n = p.whole.n; n > 0 {
		seconds = p.whole.y / n
	}
	return max(most, time.Duration(outlier*seconds*float64(time.Second))), n >= few
}

// extreme gives the time after which the first content of a stream is so late that
// another hundred answers would hardly show the like; false where too few were seen.
func (p *pace) extreme(input int64) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.age(time.Now())
	most, known := p.times.quantile(0.99)
	return 2 * max(most, time.Duration(outlier*p.first.at(countable(input))*float64(time.Second))), known
}

// age lets what was learned fade. It does so once a second at most, which is
// much shorter than the half-life and keeps the histogram off the usual path.
func (p *pace) age(now time.Time) {
	if p.aged.IsZero() {
		p.aged = now
	}
	passed := now.Sub(p.aged)
	if passed < time.Second {
		return
	}
	p.aged = now
	by := math.Exp2(-passed.Seconds() / paceHalfLife.Seconds())
	p.first.fade(by)
	p.whole.fade(by)
	p.writes.fade(by)
	p.sizes.fade(by)
	p.times.fade(by)
}

func believable(d time.Duration) float64 { return min(max(d, 0), maxPace).Seconds() }
func countable(tokens int64) float64     { return float64(min(max(tokens, 0), maxTokens)) }

// line is a straight line through fading points (tokens, seconds) by least
// squares. It never falls and is never below zero: more tokens take no less time.
type line struct{ n, x, y, xx, xy float64 }

// flat is the spread of tokens, in squared tokens, at which half of the slope
// that the points show is believed: noise between requests of nearly the same
// size shall not say what one of a hundred times that size takes.
const flat = 100 * 100

func (l *line) add(x, y float64) {
	if l.n >= evidence {
		usual := max(l.at(x), 0.001)
		y = min(max(y, usual/outlier), usual*outlier)
	}
	if l.n >= memory {
		l.fade(0.5)
	}
	l.n++
	l.x += x
	l.y += y
	l.xx += x * x
	l.xy += x * y
}

func (l *line) fade(by float64) { l.n, l.x, l.y, l.xx, l.xy = l.n*by, l.x*by, l.y*by, l.xx*by, l.xy*by }

// at gives the line's height; 0 where there are no points.
func (l *line) at(x float64) float64 {
	if l.n == 0 {
		return 0
	}
	meanX, meanY := l.x/l.n, l.y/l.n
	spread := max(l.xx/l.n-meanX*meanX, 0)
	slope := max((l.xy/l.n-meanX*meanY)/(spread+flat), 0)
	base := meanY - slope*meanX
	if base < 0 { // then the best that starts at zero
		base, slope = 0, l.xy/l.xx
	}
	return base + slope*x
}

// rate is how long an output token takes, over fading answers.
type rate struct{ answers, tokens, seconds float64 }

func (r *rate) add(tokens, seconds float64) {
	each := seconds / tokens
	if r.answers >= evidence {
		usual := r.perToken()
		each = min(max(each, usual/outlier), usual*outlier)
	}
	if r.answers >= memory {
		r.fade(0.5)
	}
	weight := min(tokens, 1000) // one endless answer is still one
	r.answers++
	r.tokens += weight
	r.seconds += weight * each
}

// perToken gives seconds; 0 where nothing was seen.
func (r *rate) perToken() float64 {
	if r.tokens == 0 {
		return 0
	}
	return r.seconds / r.tokens
}

func (r *rate) fade(by float64) {
	r.answers, r.tokens, r.seconds = r.answers*by, r.tokens*by, r.seconds*by
	if r.answers < 0.001 { // before the roundings of tiny numbers tell more than the answers did
		*r = rate{}
	}
}

// sizes sums the output tokens of fading answers.
type sizes struct{ answers, paid, shown float64 }

func (s *sizes) add(paid, shown float64) {
	if s.answers >= memory {
		s.fade(0.5)
	}
	s.answers++
	s.paid += paid
	s.shown += shown
}

func (s *sizes) fade(by float64) { s.answers, s.paid, s.shown = s.answers*by, s.paid*by, s.shown*by }

const (
	// grain is the width of the finest bucket. Times beyond the last bucket, about
	// nine minutes, count as that.
	grain   = 128 * time.Microsecond
	buckets = 160
)

// histogram counts fading times in buckets that are an eighth to a sixteenth
// of their time wide, below a millisecond one grain. So a quantile is never too low,
// and at most an eighth or a grain too high.
type histogram struct {
	count [buckets]float32
	total float32
}

func (h *histogram) add(d time.Duration) {
	if h.total >= memory {
		h.fade(0.5)
	}
	h.count[bucketOf(d)]++
	h.total++
}

// fade sums anew, so that roundings do not add up.
func (h *histogram) fade(by float64) {
	h.total = 0
	for i := range h.count {
		h.count[i] *= float32(by)
		h.total += h.count[i]
	}
}

// quantile gives the upper end of the bucket in which a share of all times is
// reached; false where there are too few.
func (h *histogram) quantile(share float32) (time.Duration, bool) {
	if h.total < evidence {
		return 0, false
	}
	above := h.total * (1 - share)
	for i := buckets - 1; i >= 0; i-- {
		if above -= h.count[i]; above < 0 {
			return bucketEnd(i), true
		}
	}
	return bucketEnd(0), true
}

// bucketOf numbers the buckets: eight of one grain, then eight to each doubling.
func bucketOf(d time.Duration) int {
	grains := uint64(max(d, 0) / grain)
	if grains < 8 {
		return int(grains)
	}
	doublings := bits.Len64(grains) - 4
	return min((doublings+1)*8+int(grains>>doublings)&7, buckets-1)
}

// bucketEnd gives the least time that is beyond a bucket.
func bucketEnd(i int) time.Duration {
	if i < 8 {
		return time.Duration(i+1) * grain
	}
	return time.Duration(8+i%8+1) << (i/8 - 1) * grain
}
