package anomaly

import (
	"fmt"

	"breakwater/internal/llm"
)

// judged gives the sample as the tests of its target see it: an answer that goes
// in circles is no better than one that cannot be read, whoever ended it.
func (s Sample) judged() Sample {
	if s.Looping && !s.Class.CountsAgainstTarget() {
		s.Class = llm.Garbage
	}
	return s
}

// circles says in words how many of the failures were answers in circles.
func (c *chain) circles() string {
	switch {
	case c.looping == 0:
		return ""
	case c.askedFor() && !c.witness.single():
		return fmt.Sprintf(", %d of them because answers go in circles, which may be what one caller asks for", c.looping)
	}
	return fmt.Sprintf(", %d of them because answers go in circles", c.looping)
}

// askedFor says that the failures may be what was asked for: most are answers in
// circles, and all are one caller's, who may want to have something said a
// thousand times. Where callers have no names it goes by prompts.
func (c *chain) askedFor() bool {
	w := c.witness
	if w == nil || 2*int32(c.looping) <= c.bad || w.callers.several() {
		return false
	}
	return w.callers.accused[0].who != hash("") || !w.prompts.several()
}

// several says that requests of more than one of them went badly.
func (l *ledger) several() bool { return l.accused[0].who != 0 && l.accused[1].who != 0 }
