package router

import (
	"bytes"

	"breakwater/internal/llm"
)

// A model that is ill may say the same few words for ever, in an answer whose
// form is right. It is known by the end of what it said: text that people write,
// code and tables repeat words, but hardly ever the same bytes so often.
const (
	// endingKept is how much of an answer's end is looked at, in bytes.
	endingKept = 4096
	// endingSpare is what comes before the end is moved to the front: the more, the
	// seldomer.
	endingSpare = 1024
	// loopLeast is for how long an answer must repeat itself, in bytes, about 500
	// tokens: rows of dashes and zeros are shorter.
	loopLeast = 2048
	// loopTimes is how often at least.
	loopTimes = 8
	// loopLongest is the longest piece that can come so often in what is kept: a
	// paragraph.
	loopLongest = endingKept / loopTimes
)

// ending is the end of what an answer says, while it comes. It is kept nowhere
// else.
type ending struct {
	n    int
	last [endingKept + endingSpare]byte
}

// add appends text, and forgets what is too long ago.
func (e *ending) add(text string) {
	if len(text) > endingKept {
		text = text[len(text)-endingKept:]
	}
	if e.n+len(text) > len(e.last) {
		keep := endingKept - len(text)
		copy(e.last[:], e.last[e.n-keep:e.n])
		e.n = keep
	}
	e.n += copy(e.last[e.n:], text)
}

// loops says whether the end goes in circles: it is one piece of at most
// loopLongest bytes again and again.
func (e *ending) loops() bool {
	said := e.last[max(0, e.n-endingKept):e.n]
	for piece := 1; piece <= loopLongest; piece++ {
		span := max(loopLeast, loopTimes*piece)
		if span > len(said) {
			return false
		}
		end := said[len(said)-span:]
		if end[span-1] == end[span-1-piece] && bytes.Equal(end[piece:], end[:span-piece]) {
			return true
		}
	}
	return false
}

// hears notes what a chunk says, reasoning and arguments of calls too. Of several
// answers the first is looked at.
func (a *attempt) hears(c *llm.Chunk) {
	if c.Choice != 0 || c.Text == "" && c.Thinking == "" && c.Call == nil {
		return
	}
	if a.ending == nil {
		a.ending = a.endings.Get().(*ending)
		a.ending.n = 0
	}
	if c.Thinking != "" {
		a.ending.add(c.Thinking)
	}
	if c.Text != "" {
		a.ending.add(c.Text)
	}
	if c.Call != nil {
		a.ending.add(c.Call.Args)
	}
}
