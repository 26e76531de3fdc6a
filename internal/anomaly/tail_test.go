package anomaly

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// scoresOf gives the scores of a series.
func scoresOf(values []float64) []float64 {
	var detector Tail
	scores := make([]float64, len(values))
	for i, x := range values {
		scores[i] = detector.Add(x)
	}
	return scores
}

// alerts gives the rows that deserve one.
func alerts(scores []float64) []int {
	var rows []int
	for row, score := range scores {
		if score >= TailThreshold {
			rows = append(rows, row)
		}
	}
	return rows
}

// noise is a series of normally distributed values about 100.
func noise(rows int) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, rows)
	for i := range values {
		values[i] = 100 + r.NormFloat64()
	}
	return values
}

func TestTailFindsASpikeAndAChangedLevel(t *testing.T) {
	quiet := noise(4000)
	before := alerts(scoresOf(quiet))
	spike := slices.Clone(quiet)
	spike[3000] = 130
	if got := alerts(scoresOf(spike)); !slices.Contains(got, 3000) {
		t.Errorf("got alerts at %v, want the spike in row 3000", got)
	}
	level := slices.Clone(quiet)
	for i := 3000; i < len(level); i++ { // a ramp, no step of which is remarkable
		level[i] += min(0.1*float64(i-3000), 4)
	}
	within := func(row int) bool { return row >= 3000 && row < 3050 }
	if got := alerts(scoresOf(level)); !slices.ContainsFunc(got, within) || slices.ContainsFunc(before, within) {
		t.Errorf("got alerts at %v, before the ramp at %v, want one in rows 3000 to 3050", got, before)
	}
}

func TestTailThresholdMeansTheSameWhateverTheSpread(t *testing.T) {
	for name, next := range map[string]func(*rand.Rand) float64{
		"normal":       (*rand.Rand).NormFloat64,
		"exponential":  (*rand.Rand).ExpFloat64,
		"lognormal":    func(r *rand.Rand) float64 { return math.Exp(r.NormFloat64()) },
		"heavy-tailed": func(r *rand.Rand) float64 { return r.NormFloat64() / math.Sqrt(r.ExpFloat64()) },
		"small counts": func(r *rand.Rand) float64 { return math.Floor(3 * r.ExpFloat64()) },
	} {
		seen, told := 0, 0
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 9))
			values := make([]float64, 20_000)
			for i := range values {
				values[i] = next(r)
			}
			const learned = 1000
			seen += len(values) - learned
			told += len(alerts(scoresOf(values)[learned:]))
		}
		if rate := 1000 * float64(told) / float64(seen); rate < 0.3 || rate > 1.8 {
			t.Errorf("%s: got %.2f alerts in 1000 rows of nothing but chance, want about one", name, rate)
		}
	}
}

func TestTailIsSilentWhereNothingNewHappens(t *testing.T) {
	constant, periodic := make([]float64, 3000), make([]float64, 3000)
	for i := range periodic {
		constant[i] = 0.1
		periodic[i] = 1e6 + math.Sin(2*math.Pi*float64(i%288)/288)
	}
	for name, values := range map[string][]float64{"constant": constant, "periodic": periodic} {
		// The first period is all new.
		if got := alerts(scoresOf(values)[288:]); len(got) > 0 {
			t.Errorf("%s: got alerts at %v rows after the first period", name, got)
		}
	}
	constant[2000] = 0.2
	if got := alerts(scoresOf(constant)); !slices.Equal(got, []int{2000}) {
		t.Errorf("got alerts at %v, want the one row that differs", got)
	}
}

func TestTailTellsAnIncidentOnce(t *testing.T) {
	values := noise(4000)
	for row := 3000; row < 3000+quietRows; row += 10 {
		values[row] += 50 + float64(row-3000)
	}
	values[3001+quietRows] += 1e4
	within := slices.DeleteFunc(alerts(scoresOf(values)), func(row int) bool { return row < 3000 || row > 3001+quietRows })
	if want := []int{3000, 3001 + quietRows}; !slices.Equal(within, want) {
		t.Errorf("got alerts at %v, want %v", within, want)
	}
}

func TestTailNeitherScoresNorLearnsWhatIsNoNumber(t *testing.T) {
	values := noise(3000)
	values[2000] = 200
	var plain, disturbed Tail
	for row, x := range values {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
			if got := disturbed.Add(bad); got != 0 {
				t.Fatalf("row %d: got %v for %v", row, got, bad)
			}
		}
		if got, want := disturbed.Add(x), plain.Add(x); got != want {
			t.Fatalf("row %d: got %v, want %v", row, got, want)
		}
	}
}

func TestTailScoresAreAlwaysWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few values, so that there are ties, gaps and extremes.
		few := rapid.SliceOfN(rapid.Float64(), 1, 6).Draw(t, "values")
		picks := rapid.SliceOfN(rapid.IntRange(0, len(few)-1), tailMin+1, 400).Draw(t, "picks")
		var detector Tail
		for row, pick := range picks {
			if score := detector.Add(few[pick]); !(score >= 0 && score <= 1) {
				t.Fatalf("row %d: got %v", row, score)
			}
		}
	})
}

func TestTailDoesNotDependOnTheUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), tailMin, 400).Draw(t, "values")
		factor := math.Ldexp(1, rapid.IntRange(-30, 30).Draw(t, "power of two"))
		scaled := make([]float64, len(values))
		for i, x := range values {
			scaled[i] = x * factor
		}
		got, want := scoresOf(scaled), scoresOf(values)
		for row := range want {
			if math.Abs(got[row]-want[row]) > 1e-9 {
				t.Fatalf("row %d: got %v times %v, want %v", row, got[row], factor, want[row])
			}
		}
	})
}

func TestTailKeepsTheLastResidualsInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var kept tail
	var all []float64
	for range 2*tailRows + 100 {
		residual := math.Floor(100 * r.ExpFloat64()) // with ties
		all = append(all, residual)
		kept.add(residual)
		if len(all)%997 != 0 && len(all) != tailRows+1 {
			continue
		}
		want := slices.Sorted(slices.Values(all[max(0, len(all)-tailRows):]))
		if !slices.Equal(kept.sorted, want) {
			t.Fatalf("after %d residuals: the sorted ones are not the last %d", len(all), len(want))
		}
	}
	const most = 200_000 // of the two, so that a Tail has 0.4 MB
	if bytes := 8 * (cap(kept.ring) + cap(kept.sorted)); bytes > most {
		t.Errorf("got %d bytes of state, want at most %d", bytes, most)
	}
}

func BenchmarkTail(b *testing.B) {
	values := noise(2 * tailRows)
	var detector Tail
	for _, x := range values {
		detector.Add(x)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		detector.Add(values[i%len(values)])
	}
}
