package store

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// SketchError is how far a quantile of a Sketch may be from the true one, as a
// share of it: 1 % is finer than a person reads a latency and takes a few
// hundred bytes.
const SketchError = 0.01

const (
	// lnGamma is ln((1+SketchError)/(1-SketchError)), the width of a line on a
	// logarithmic scale.
	lnGamma = 0.0200006667066694768
	// maxLine holds the longest time.Duration.
	maxLine      = 1840
	sketchFormat = 1
)

var errSketch = errors.New("not an encoded sketch")

// Sketch is a histogram of durations on a logarithmic scale, of which each
// line is 2 % wider than the one before (the scale of DDSketch,
// https://arxiv.org/abs/1908.10693). Any two merge into exactly what a sketch
// of all their values would be. The zero value is empty and ready; a copy
// shares its lines with the original, so only one of them may go on growing.
type Sketch struct {
	first int      // the line that counts[0] stands for
	count []uint64 // values per line
	total uint64
}

// Add counts a duration. Anything below a microsecond counts as one.
func (s *Sketch) Add(d time.Duration) {
	line := 0
	if us := d.Microseconds(); us > 1 {
		line = int(math.Ceil(math.Log(float64(us)) / lnGamma))
	}
	s.add(line, 1)
}

func (s *Sketch) add(line int, n uint64) {
	switch {
	case len(s.count) == 0:
		s.first = line
		s.count = append(s.count, 0)
	case line < s.first:
		s.count = slices.Insert(s.count, 0, make([]uint64, s.first-line)...)
		s.first = line
	case line >= s.first+len(s.count):
		s.count = append(s.count, make([]uint64, line-s.first-len(s.count)+1)...)
	}
	s.count[line-s.first] += n
	s.total += n
}

// Merge adds all values of another sketch.
func (s *Sketch) Merge(o Sketch) {
	if len(o.count) == 0 {
		return
	}
	s.add(o.first, 0)
	s.add(o.first+len(o.count)-1, 0)
	for i, n := range o.count {
		s.count[o.first-s.first+i] += n
	}
	s.total += o.total
}

// Count gives the number of values.
func (s Sketch) Count() uint64 { return s.total }

// Quantile gives the value that a share q of all values, from 0 to 1, does not
// exceed, within SketchError. An empty sketch gives 0.
func (s Sketch) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(s.total)))
	var seen uint64
	for i, n := range s.count {
		seen += n
		if n > 0 && seen >= rank {
			us := math.Exp(float64(s.first+i)*lnGamma) * (1 - SketchError)
			return time.Duration(min(us*float64(time.Microsecond), math.MaxInt64/2))
		}
	}
	return 0
}

// MarshalBinary gives a format byte and, for each line that has values, the
// distance from the one before and the number of values, as varints. An empty
// sketch is no bytes.
func (s Sketch) MarshalBinary() ([]byte, error) {
	if s.total == 0 {
		return []byte{}, nil
	}
	b := make([]byte, 1, 1+3*len(s.count))
	b[0] = sketchFormat
	last := 0
	for i, n := range s.count {
		if n > 0 {
			b = binary.AppendUvarint(b, uint64(s.first+i-last))
			b = binary.AppendUvarint(b, n)
			last = s.first + i
		}
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary gave. On an error the sketch stays
// as it was.
func (s *Sketch) UnmarshalBinary(b []byte) error {
	var read Sketch
	if len(b) > 0 && b[0] != sketchFormat || len(b) == 1 {
		return errSketch
	}
	for line, b := uint64(0), b[min(1, len(b)):]; len(b) > 0; {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return errSketch
		}
		count, m := binary.Uvarint(b[n:])
		if m <= 0 || count == 0 || read.total+count < count || gap > maxLine-line || gap == 0 && read.total > 0 {
			return errSketch
		}
		line += gap
		read.add(int(line), count)
		b = b[n+m:]
	}
	*s = read
	return nil
}
