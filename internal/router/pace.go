package router

import (
	"time"

	"breakwater/internal/llm"
)

// pace is what is usual of one target: how soon and how fast it answers, and
// how busy it is. The zero value knows nothing. It may be used by many at once.
type pace struct{}

// begin counts a request under way; end takes it away again.
func (p *pace) begin() {}
func (p *pace) end()   {}

// busy gives the requests under way.
func (p *pace) busy() int64 { return 0 }

// served learns from an answer that came well: the time to the first content,
// the time from there to the end, and what it used. streamed says that it came in
// pieces, so that both times mean something.
func (p *pace) served(ttft, rest time.Duration, used llm.Usage, streamed bool) {}

// late gives how long the first content of a stream takes at most in 95 of
// 100 cases; false where too few answers were seen.
func (p *pace) late() (time.Duration, bool) { return 0, false }

// usualRate gives how many output tokens a second are usual in a stream; false
// where too few answers were seen.
func (p *pace) usualRate() (float64, bool) { return 0, false }

// expect gives the expected time for an answer of so many tokens to a request of
// so many; false where too few answers were seen.
func (p *pace) expect(input, output int64) (time.Duration, bool) { return 0, false }
