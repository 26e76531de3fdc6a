package anomaly

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawn makes samples with trouble and pauses in them.
func (g *traffic) drawn(t *rapid.T, n int) (samples []Sample) {
	for range n {
		switch rapid.IntRange(0, 400).Draw(t, "event") {
		case 0:
			g.errors = rapid.SampledFrom([]float64{0.01, 0.3, 1}).Draw(t, "errors")
		case 1:
			g.slow = rapid.SampledFrom([]float64{1, 2, 5}).Draw(t, "slow")
		case 2:
			g.now = g.now.Add(time.Duration(rapid.IntRange(1, 120).Draw(t, "pause")) * time.Minute)
		}
		samples = append(samples, g.next())
	}
	return samples
}

func TestWhatIsFoundDoesNotDependOnARestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newTraffic(rapid.Uint64().Draw(t, "seed"), gemini, float64(rapid.IntRange(1, 200).Draw(t, "rate")))
		g.tokens = true
		through, before := NewDetector(Config{}), NewDetector(Config{})
		for _, s := range g.drawn(t, rapid.IntRange(0, 600).Draw(t, "before")) {
			through.Observe(s)
			before.Observe(s)
		}
		after := NewDetector(Config{})
		if err := after.Load(before.Save()); err != nil {
			t.Fatal(err)
		}
		for i, s := range g.drawn(t, 300) {
			want, got := through.Observe(s), after.Observe(s)
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Fatalf("sample %d: %v after a restart, %v without", i, got, want)
			}
		}
		if want, got := through.Scores(), after.Scores(); !reflect.DeepEqual(want, got) {
			t.Fatalf("scores %+v after a restart, %+v without", got, want)
		}
	})
}

func TestADamagedStateIsRefusedAndChangesNothing(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(1, gemini, 60)
	g.tokens = true
	g.feed(d, 300)
	state := d.Save()
	before := fmt.Sprint(d.Scores())
	rapid.Check(t, func(t *rapid.T) {
		bad := append([]byte(nil), state...)
		if rapid.Bool().Draw(t, "cut") {
			bad = bad[:rapid.IntRange(0, len(bad)-1).Draw(t, "length")]
		} else {
			bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		}
		if err := d.Load(bad); !errors.Is(err, ErrState) {
			t.Fatalf("got %v", err)
		}
	})
	if got := fmt.Sprint(d.Scores()); got != before {
		t.Errorf("scores %s, want those of before", got)
	}
}

func TestAStateThatOnlyLooksWholeIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := append([]byte{stateVersion}, rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "body")...)
		d := NewDetector(Config{})
		if err := d.Load(sealed(body)); err != nil && !errors.Is(err, ErrState) {
			t.Fatalf("got %v", err)
		}
	})
}

// A server that counts what its cache had beside its input, not as part of it,
// tells of more tokens from the cache than of input.
func TestMoreFromTheCacheThanThereWasLeavesTheStateReadable(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(51, gemini, 60)
	for range 100 {
		s := g.next()
		s.InputTokens = -1 << 20
		d.Observe(s)
	}
	if err := NewDetector(Config{}).Load(d.Save()); err != nil {
		t.Error(err)
	}
}
