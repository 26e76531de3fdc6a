package record

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsRiseStrictlyWhateverTheClockDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := NewIDs(rapid.IntRange(0, MaxInstance).Draw(t, "instance"), 0)
		var last ID
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			at := Epoch.Add(time.Duration(rapid.Int64Range(0, int64(100*365*24*time.Hour)).Draw(t, "clock")))
			id := ids.Next(at)
			if id <= last {
				t.Fatalf("%d came after %d", id, last)
			}
			last = id
		}
	})
}

func TestIDsGoOnAfterTheHighestStoredOne(t *testing.T) {
	now := Epoch.Add(time.Hour)
	before := NewIDs(1, 0).Next(now.Add(time.Minute)) // the clock is set back a minute, then a restart
	if id := NewIDs(1, before).Next(now); id <= before {
		t.Errorf("got %s, want more than %s", id, before)
	}
}

func TestInstancesNeverMakeTheSameID(t *testing.T) {
	now := Epoch.Add(time.Hour)
	a, b := NewIDs(1, 0), NewIDs(2, 0)
	seen := map[ID]bool{}
	for range 1000 {
		for _, id := range []ID{a.Next(now), b.Next(now)} {
			if seen[id] {
				t.Fatalf("%s twice", id)
			}
			seen[id] = true
		}
	}
}

func TestIDPublicFormSortsAndComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := ID(rapid.Int64Min(0).Draw(t, "a"))
		b := ID(rapid.Int64Min(0).Draw(t, "b"))
		if (a < b) != (a.String() < b.String()) {
			t.Errorf("%d and %d sort differently from %s and %s", a, b, a, b)
		}
		back, err := ParseID(a.String())
		if err != nil || back != a {
			t.Errorf("%s came back as %d, %v", a, back, err)
		}
	})
}

func TestIDTellsItsTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 20, 0, 0, 123000, time.UTC)
	if got := NewIDs(MaxInstance, 0).Next(now).Time(); !got.Equal(now) {
		t.Errorf("got %v, want %v", got, now)
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "0000000000000", "7zzzzzzzzzzzz", "8000000000000", "ilou000000000", "zzzzzzzzzzzzzz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && (id < 0 || id.String() != s) {
			t.Errorf("%q gave %d, which is %s", s, id, id)
		}
	})
}

func TestMoneyIsShownExactly(t *testing.T) {
	for n, want := range map[NanoUSD]string{0: "0", 1: "0.000000001", 2_500_000: "0.0025", 12_000_000_000: "12", -1_500_000_000: "-1.5"} {
		if got := n.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(n), got, want)
		}
	}
}
