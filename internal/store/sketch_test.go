package store_test

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/store"
)

// durations draws from a microsecond to hours, spread over all magnitudes.
func durations() *rapid.Generator[[]time.Duration] {
	one := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(math.Exp(rapid.Float64Range(0, math.Log(2e10)).Draw(t, "ln µs"))) * time.Microsecond
	})
	return rapid.SliceOfN(one, 1, 300)
}

func sketchOf(all []time.Duration) store.Sketch {
	var s store.Sketch
	for _, d := range all {
		s.Add(d)
	}
	return s
}

func encoded(t rapid.TB, s store.Sketch) []byte {
	t.Helper()
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSketchQuantilesAreWithinTheError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := durations().Draw(t, "all")
		s := sketchOf(all)
		slices.Sort(all)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
		got := s.Quantile(q)
		if off := math.Abs(float64(got-want)) / float64(want); off > store.SketchError+1e-6 {
			t.Fatalf("quantile %g of %d values is %v, want %v: off by %.4f", q, len(all), got, want, off)
		}
	})
}

func TestMergedSketchesAreTheSketchOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := durations().Draw(t, "all")
		cut := rapid.IntRange(0, len(all)).Draw(t, "cut")
		merged := sketchOf(all[:cut])
		merged.Merge(sketchOf(all[cut:]))
		if !bytes.Equal(encoded(t, merged), encoded(t, sketchOf(all))) {
			t.Fatal("the merged sketch is not the sketch of the whole")
		}
	})
}

func TestSketchSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sketchOf(rapid.SliceOf(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(-1, math.MaxInt64).Draw(t, "d"))
		})).Draw(t, "any"))
		var read store.Sketch
		if err := read.UnmarshalBinary(encoded(t, s)); err != nil {
			t.Fatal(err)
		}
		if read.Count() != s.Count() || read.Quantile(0.5) != s.Quantile(0.5) || !bytes.Equal(encoded(t, read), encoded(t, s)) {
			t.Fatal("the sketch came back different")
		}
	})
}

func TestSketchOfAnHourIsSmall(t *testing.T) {
	var s store.Sketch
	for i := range 100_000 { // latencies around 1 s, most within a factor of 3
		s.Add(time.Duration(1e9 * math.Exp(0.6*math.Sin(float64(i))+0.3*math.Sin(float64(i)*1.7))))
	}
	if n := len(encoded(t, s)); n > 400 {
		t.Errorf("100,000 latencies take %d bytes, want at most 400", n)
	}
}

func TestAnEmptySketchHasNoValues(t *testing.T) {
	var s store.Sketch
	if len(encoded(t, s)) != 0 || s.Count() != 0 || s.Quantile(0.5) != 0 {
		t.Error("an empty sketch is not empty")
	}
}

func FuzzSketchUnmarshalBinary(f *testing.F) {
	whole := sketchOf([]time.Duration{time.Microsecond, time.Millisecond, time.Second, time.Second, time.Hour})
	f.Add(encoded(f, whole))
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Add([]byte{2, 1, 1})
	f.Add([]byte{1, 5, 1, 0, 1})                                 // a line twice
	f.Add([]byte{1, 5, 0})                                       // a line without values
	f.Add([]byte{1, 0xff, 0xff, 0x7f, 1})                        // a line out of reach
	f.Add(append([]byte{1, 3}, bytes.Repeat([]byte{255}, 9)...)) // a count that does not end
	f.Fuzz(func(t *testing.T, b []byte) {
		before := sketchOf([]time.Duration{time.Second})
		s := sketchOf([]time.Duration{time.Second})
		if err := s.UnmarshalBinary(b); err != nil {
			if !bytes.Equal(encoded(t, s), encoded(t, before)) {
				t.Fatal("a failed read changed the sketch")
			}
			return
		}
		var again store.Sketch
		if err := again.UnmarshalBinary(encoded(t, s)); err != nil || again.Count() != s.Count() {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		s.Merge(again)
		s.Quantile(0.99)
	})
}
