package faultsim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// limit is what can be had at best at a request a minute, where each is a canary,
// by a rule that looks at canaries alone and calls a target well that is still ill
// once in an hour at most. As long as one bad canary outweighs all good ones before
// it, the rule that does so soonest asks for so many good ones in a row.
type limit struct {
	bad  float64
	row  int
	back []float64 // minutes
}

// runs gives how often so many good canaries in a row come among n of which a share
// goes badly, and how likely a row of each length is under way at the end.
func runs(bad float64, row, n int) (times float64, under []float64) {
	under = make([]float64, row)
	under[0] = 1
	for range n {
		next := make([]float64, row)
		for length, p := range under {
			next[0] += p * bad
			next[(length+1)%row] += p * (1 - bad)
			if length+1 == row {
				times += p * (1 - bad)
			}
		}
		under = next
	}
	return times, under
}

// limitOf gives the limit where a share of the requests goes badly for an hour.
func limitOf(s *shape, bad float64) limit {
	l := limit{bad: bad, row: 1}
	times, under := runs(bad, l.row, 60)
	for times > 1 {
		l.row++
		times, under = runs(bad, l.row, 60)
	}
	at := []float64{0} // of each request, in minutes
	rate := 1 + 0.375*math.Sin(2*math.Pi*2/24)
	for _, gap := range s.gaps {
		at = append(at, at[len(at)-1]+gap/rate)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		left, p := l.row, rng.Float64()
		for length := 0; length < l.row-1 && p >= under[length]; length++ {
			p -= under[length]
			left--
		}
		end := rng.Float64() * at[len(at)-1-l.row]
		l.back = append(l.back, at[sort.SearchFloat64s(at, end)+left-1]-end)
	}
	return l
}

// limitRows writes the limits of the shares that the faults have.
func limitRows(s *shape) []string {
	var rows []string
	for _, bad := range []float64{1, 0.8, 0.5, 0.25, 0.2} {
		l := limitOf(s, bad)
		within := quantile(l.back, 0.5) <= 5 && quantile(l.back, 0.95) <= 10
		rows = append(rows, fmt.Sprintf("| %s | %d | %s | %s |\n", percent(bad), l.row, pair(l.back, 1), map[bool]string{true: "yes", false: "**no**"}[within]))
	}
	return rows
}

func TestRunsOfGoodCanariesAreCountedExactly(t *testing.T) {
	for _, c := range []struct {
		row, n int
		want   float64
	}{{2, 2, 0.25}, {2, 3, 0.375}, {2, 4, 0.5625}, {3, 3, 0.125}, {1, 60, 30}} {
		if got, _ := runs(0.5, c.row, c.n); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%d in a row among %d of which half go badly: %v times, want %v", c.row, c.n, got, c.want)
		}
	}
}

func TestThePageHasTheLimits(t *testing.T) {
	s := loadShape()
	if s.source == azure {
		pageHas(t, limitRows(s)...)
	}
	if l := limitOf(s, 1); l.row != 1 || quantile(l.back, 0.5) > time.Minute.Minutes() {
		t.Errorf("after a total outage the first good canary tells: %d in a row, %.1f minutes", l.row, quantile(l.back, 0.5))
	}
}
