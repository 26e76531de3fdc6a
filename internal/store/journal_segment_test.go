package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

// fillFields gives every field of a value, and of what is in it, a value of its own
// that is not zero.
func fillFields(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(noon.Add(time.Duration(*n) * time.Microsecond)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("store") != "-" { // what is not stored
				fillFields(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillFields(v.Index(0), n)
		fillFields(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprint("word ", *n))
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(int64(*n))
	}
}

func TestEveryFieldComesBackFromTheJournal(t *testing.T) {
	for _, one := range []any{&record.Trace{}, &record.Transition{}, &record.Hold{}, &record.KeyChange{}} {
		for _, filled := range []bool{false, true} {
			if n := 0; filled {
				fillFields(reflect.ValueOf(one).Elem(), &n)
			}
			got, _, replay := store.Unpack(store.Pack(one))
			if len(got) != 1 || !reflect.DeepEqual(got[0], one) {
				t.Errorf("got  %+v, %+v\nwant %+v", got, replay, one)
			}
		}
	}
}

func TestASegmentOfTheFirstVersionIsRead(t *testing.T) {
	// A failure means that what is packed has changed: then segmentMagic must
	// change too, or what an upgrade finds in a journal is misread.
	const path = "testdata/journal1.segment"
	all := []any{served(1, noon), failedOver(2, noon), &record.Transition{ID: 3, At: noon, Target: gemini, From: record.Closed, To: record.Open, Reason: "3 failures in a row"}}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := append([]byte("brkwjnl1"), store.Pack(all...)...); !bytes.Equal(golden, want) {
		t.Errorf("%s is not what is written today", path)
	}
}

// journaled gives n traces as a segment has them, and where each ends.
func journaled(n int) (packed []byte, ends []int) {
	var all []any
	for i := range n {
		trace := served(record.ID(i+1), noon)
		if i%3 == 1 {
			trace = failedOver(record.ID(i+1), noon)
		}
		all = append(all, trace)
		ends = append(ends, len(store.Pack(all...)))
	}
	return store.Pack(all...), ends
}

func TestATornEndCostsOnlyTheEntryThatWasTorn(t *testing.T) {
	whole, ends := journaled(5)
	for cut := range whole {
		_, numbers, replay := store.Unpack(whole[:cut])
		complete, rest := 0, cut
		for _, end := range ends {
			if end <= cut {
				complete, rest = complete+1, cut-end
			}
		}
		if len(numbers) != complete || replay.Missing != 0 || replay.Skipped != int64(rest) {
			t.Fatalf("cut after %d bytes: entries %v, %+v; want %d, and %d bytes skipped", cut, numbers, replay, complete, rest)
		}
	}
}

func TestDamageCostsOnlyWhatItTouchesAndIsCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 8
		b, ends := journaled(n)
		from := rapid.IntRange(0, len(b)-1).Draw(t, "from")
		upto := min(len(b), from+rapid.IntRange(1, 700).Draw(t, "bytes"))
		zero := rapid.Bool().Draw(t, "zeroed") // as a page that a power cut left unwritten
		for i := from; i < upto; i++ {
			if b[i]++; zero {
				b[i] = 0
			}
		}
		want, start := []uint64(nil), 0
		for i, end := range ends {
			if upto <= start || end <= from {
				want = append(want, uint64(i+1))
			}
			start = end
		}
		_, numbers, replay := store.Unpack(b)
		for _, number := range want {
			if !slices.Contains(numbers, number) {
				t.Fatalf("bytes %d to %d damaged: got %v, want %v at least", from, upto, numbers, want)
			}
		}
		// Only what is before an entry that was found can be known to be missing.
		if last := numbers[len(numbers)-1:]; len(last) == 1 && replay.Missing != last[0]-uint64(len(numbers)) {
			t.Fatalf("entries %v: %d missing", numbers, replay.Missing)
		}
		if len(numbers) < n && replay.Skipped == 0 {
			t.Fatalf("entries %v of %d, and no byte skipped", numbers, n)
		}
	})
}

func FuzzSegment(f *testing.F) {
	whole, ends := journaled(3)
	f.Add(whole)
	f.Add(whole[:ends[1]+7])
	f.Add(append(bytes.Clone(whole[:ends[0]-3]), whole[ends[0]:]...))
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, numbers, replay := store.Unpack(b)
		if !slices.IsSorted(numbers) || len(slices.Compact(numbers)) != len(all) {
			t.Errorf("numbers %v do not rise", numbers)
		}
		if len(all) > len(b)/17 || replay.Skipped > int64(len(b)) {
			t.Errorf("%d entries and %d bytes skipped of %d", len(all), replay.Skipped, len(b))
		}
		// Whatever stands before an entry, the entry is found.
		if got, _, _ := store.Unpack(append(bytes.Clone(b[:min(len(b), 64)]), whole[ends[1]:]...)); len(got) == 0 {
			t.Error("the entry behind it is not found")
		}
	})
}

// segments lists the journal's files.
func segments(t rapid.TB, path string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path+".journal", "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
