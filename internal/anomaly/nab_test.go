package anomaly

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// nabSeries is one series of the Numenta Anomaly Benchmark, scored.
type nabSeries struct {
	category, name string
	scores         []float64
	windows        [][2]int // of rows, both ends within, in order
}

// nabProfile says what a detection in a window earns, and what one outside and
// a missed window cost.
type nabProfile struct {
	name       string
	tp, fp, fn float64
}

var (
	nabStandard = nabProfile{"standard", 1, 0.11, 1}
	nabLowFP    = nabProfile{"reward_low_FP_rate", 1, 0.22, 1}
	nabLowFN    = nabProfile{"reward_low_FN_rate", 1, 0.11, 2}
)

// sigmoid is the worth of a detection: 1 far before a window's right end, 0 at
// it, -1 far behind it.
func sigmoid(y float64) float64 {
	if y > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*y)) - 1
}

// points gives what the detections of one series earn, without what is missed,
// and how many windows have one.
func (s nabSeries) points(threshold float64, p nabProfile) (points float64, found int) {
	probation := min(len(s.scores)*15/100, 750)
	next, detected := 0, false // the first window that does not end before the row
	for row, score := range s.scores {
		if score < threshold || row < probation {
			continue
		}
		for next < len(s.windows) && s.windows[next][1] < row {
			next, detected = next+1, false
		}
		switch {
		case next < len(s.windows) && s.windows[next][0] <= row:
			if detected {
				continue
			}
			detected = true
			found++
			left, right := s.windows[next][0], s.windows[next][1]
			points += p.tp * sigmoid(float64(row-right-1)/float64(right-left+1)) / sigmoid(-1)
		case next > 0:
			left, right := s.windows[next-1][0], s.windows[next-1][1]
			points += p.fp * sigmoid(float64(row-right)/float64(right-left))
		default:
			points -= p.fp
		}
	}
	return points, found
}

// nabScore is the benchmark's score of all series at one threshold: 0 for a
// detector that says nothing, 100 for a perfect one.
func nabScore(all []nabSeries, threshold float64, p nabProfile) float64 {
	raw, windows := 0.0, 0
	for _, s := range all {
		points, found := s.points(threshold, p)
		raw += points - p.fn*float64(len(s.windows)-found)
		windows += len(s.windows)
	}
	null, perfect := -p.fn*float64(windows), p.tp*float64(windows)
	return 100 * (raw - null) / (perfect - null)
}

// nabBest tries all thresholds that could matter.
func nabBest(all []nabSeries, p nabProfile) (threshold, score float64) {
	score = math.Inf(-1)
	for i := range 1000 {
		at := float64(i+1) / 1000
		if s := nabScore(all, at, p); s > score {
			threshold, score = at, s
		}
	}
	return threshold, score
}

// loadNAB scores the benchmark's series, or skips the test where they are not.
func loadNAB(t *testing.T) []nabSeries {
	t.Helper()
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	root := filepath.Join(dir, "data", "nab")
	text, err := os.ReadFile(filepath.Join(root, "labels", "combined_windows.json"))
	if err != nil {
		t.Skipf("no benchmark in %s: set BREAKWATER_TESTDATA to the folder that has data/nab", root)
	}
	var labels map[string][][2]string
	if err := json.Unmarshal(text, &labels); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "data", "*", "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("labels without series in %s", root)
	}
	all := make([]nabSeries, len(files))
	for i, path := range files {
		category, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
		all[i] = nabSeries{category: category, name: name}
		if err := all[i].read(path, labels[category+"/"+name]); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return all
}

func (s *nabSeries) read(path string, labels [][2]string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	var detector Tail
	var times []time.Time
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			return err
		}
		value, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return err
		}
		times = append(times, at)
		s.scores = append(s.scores, detector.Add(value))
	}
	for _, label := range labels {
		var window [2]int
		for end, text := range label {
			at, err := time.Parse("2006-01-02 15:04:05.000000", text)
			if err != nil {
				return err
			}
			row, exact := slices.BinarySearchFunc(times, at, time.Time.Compare)
			if end == 1 && !exact {
				row--
			}
			window[end] = row
		}
		s.windows = append(s.windows, window)
	}
	return nil
}

// logNAB tells what each series and category earns at the shipped threshold.
func logNAB(t *testing.T, all []nabSeries) {
	t.Helper()
	categories := map[string][]nabSeries{}
	for _, s := range all {
		points, found := s.points(TailThreshold, nabStandard)
		t.Logf("%-60s %d of %d windows, %+.2f points", s.category+"/"+s.name, found, len(s.windows), points)
		categories[s.category] = append(categories[s.category], s)
	}
	for _, category := range slices.Sorted(maps.Keys(categories)) {
		windows, found, points := 0, 0, 0.0
		for _, s := range categories[category] {
			p, n := s.points(TailThreshold, nabStandard)
			windows, found, points = windows+len(s.windows), found+n, points+p
		}
		score := "none: it has no windows"
		if windows > 0 {
			score = fmt.Sprintf("%.1f", nabScore(categories[category], TailThreshold, nabStandard))
		}
		t.Logf("%-24s %d series, %2d of %2d windows, %+.2f points, score %s", category, len(categories[category]), found, windows, points, score)
	}
}

func TestTailOnTheNumentaBenchmark(t *testing.T) {
	all := loadNAB(t)
	t.Logf("%-20s %8s %12s %8s", "profile", "at best", "threshold", "at 0.5")
	for _, want := range []struct {
		profile nabProfile
		floor   float64 // a little below what is reached at the shipped threshold
	}{{nabStandard, 58}, {nabLowFP, 50}, {nabLowFN, 63}} {
		threshold, best := nabBest(all, want.profile)
		shipped := nabScore(all, TailThreshold, want.profile)
		t.Logf("%-20s %8.1f %12.3f %8.1f", want.profile.name, best, threshold, shipped)
		if shipped < want.floor {
			t.Errorf("%s: got %.1f at the shipped threshold, want at least %.0f", want.profile.name, shipped, want.floor)
		}
		if best-shipped > 2 {
			t.Errorf("%s: got %.1f at the shipped threshold, %.1f at the best: the shipped one is wrong", want.profile.name, shipped, best)
		}
	}
	logNAB(t, all)
}

func TestBenchmarkScoresByItsRules(t *testing.T) {
	// 100 rows, of which 15 are probation; one window of ten rows.
	series := func(detections ...int) []nabSeries {
		s := nabSeries{scores: make([]float64, 100), windows: [][2]int{{40, 49}}}
		for _, row := range detections {
			s.scores[row] = 1
		}
		return []nabSeries{s}
	}
	outside := 100 * 0.11 / 2 // what a detection far from any window costs of the score
	for _, c := range []struct {
		name       string
		detections []int
		want       float64
	}{
		{"nothing found", nil, 0},
		{"at the left end", []int{40}, 100},
		{"the earliest counts, once", []int{40, 44, 49}, 100},
		{"at the right end", []int{49}, 50 + 50*sigmoid(-0.1)/sigmoid(-1)},
		{"before any window", []int{20}, -outside},
		{"probation does not count", []int{0, 14}, 0},
		{"the row after the window", []int{50}, outside * sigmoid(1.0/9)},
		{"far behind the window", []int{90}, -outside},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := nabScore(series(c.detections...), 0.5, nabStandard); math.Abs(got-c.want) > 1e-9 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got, want := nabScore(series(20), 0.5, nabLowFN), -100*0.11/3; math.Abs(got-want) > 1e-9 {
		t.Errorf("low FN: got %v, want %v", got, want)
	}
	if got := fmt.Sprintf("%.3f", sigmoid(-1)); got != "0.987" {
		t.Errorf("got a left end of %s", got)
	}
}
