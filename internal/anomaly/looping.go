package anomaly

import (
	"fmt"
	"math"

	"breakwater/internal/llm"
)

// judged gives the sample as the tests see it: an answer that goes in circles is
// no better than one that cannot be read, whoever ended it. Nor is it a long one.
func (s Sample) judged() Sample {
	if s.Looping && !s.Class.CountsAgainstTarget() {
		s.Class = llm.Garbage
	}
	return s
}

// loopers stands for more than one of those whose answers go in circles.
const loopers = math.MaxUint32

// circle counts an answer that goes in circles, and remembers whose they are:
// callers, or prompts where callers have no names.
func (c *chain) circle(from origin) {
	c.looping = min(c.looping+1, math.MaxUint16-1)
	who := from.caller
	if who == hash("") && from.prompt != 0 {
		who = from.prompt
	}
	switch c.looper {
	case 0:
		c.looper = who
	case who:
	default:
		c.looper = loopers
	}
}

// askedFor says that the failures may be what somebody asked for: half of them
// and more are answers that go in circles, and these are all one caller's, who may
// want to have something said a thousand times.
func (c *chain) askedFor() bool {
	return c.looping > 0 && 2*int32(c.looping) >= c.bad && c.looper != loopers
}

// circles says in words how many of the failures were answers in circles.
func (c *chain) circles(in input) string {
	switch {
	case c.looping == 0:
		return ""
	case c.askedFor() && !c.witness.single(oneFails, in.served, in.at):
		return fmt.Sprintf(", %d of them because answers go in circles, all for one who may have asked for that", c.looping)
	}
	return fmt.Sprintf(", %d of them because answers go in circles", c.looping)
}
