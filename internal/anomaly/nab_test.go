package anomaly

import (
	"encoding/csv"
	"encoding/json"
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
	name    string
	scores  []float64
	windows [][2]int // of rows, both ends within
}

type nabCosts struct {
	Name       string
	TP, FP, FN float64
}

func nabProfiles() []nabCosts {
	return []nabCosts{{"standard", 1, 0.11, 1}, {"low FP", 1, 0.22, 1}, {"low FN", 1, 0.11, 2}}
}

// score gives the benchmark's score of all series at one threshold.
func nabScore(all []nabSeries, threshold float64, c nabCosts) float64 {
	sigmoid := func(y float64) float64 {
		if y > 3 {
			return -1
		}
		return 2/(1+math.Exp(5*y)) - 1
	}
	raw, windows := 0.0, 0
	for _, s := range all {
		probation := min(len(s.scores)*15/100, 750)
		found := make([]bool, len(s.windows))
		windows += len(s.windows)
		for row := probation; row < len(s.scores); row++ {
			if s.scores[row] < threshold {
				continue
			}
			inside, before := -1, -1
			for i, w := range s.windows {
				if row >= w[0] && row <= w[1] {
					inside = i
				}
				if w[1] < row {
					before = i
				}
			}
			switch {
			case inside >= 0:
				if !found[inside] {
					found[inside] = true
					w := s.windows[inside]
					y := float64(row-w[1]) / float64(w[1]-w[0]+1)
					raw += c.TP * sigmoid(y) / sigmoid(-1)
				}
			case before >= 0:
				w := s.windows[before]
				raw += c.FP * sigmoid(float64(row-w[1])/float64(w[1]-w[0]))
			default:
				raw -= c.FP
			}
		}
		for _, f := range found {
			if !f {
				raw -= c.FN
			}
		}
	}
	null, perfect := -c.FN*float64(windows), c.TP*float64(windows)
	return 100 * (raw - null) / (perfect - null)
}

func nabBest(all []nabSeries, c nabCosts) (threshold, score float64) {
	score = math.Inf(-1)
	for i := range 199 {
		th := 0.005 * float64(i+1)
		if s := nabScore(all, th, c); s > score {
			threshold, score = th, s
		}
	}
	return threshold, score
}

func loadNAB(t testing.TB, root string) []nabSeries {
	text, err := os.ReadFile(filepath.Join(root, "labels/combined_windows.json"))
	if err != nil {
		t.Skipf("the benchmark's data is not here: %v", err)
	}
	var labels map[string][][2]string
	if err := json.Unmarshal(text, &labels); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(root, "data/*/*.csv"))
	slices.Sort(files)
	var all []nabSeries
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(filepath.Join(root, "data"), path)
		s := nabSeries{name: name}
		var detector Tail
		var times []time.Time
		for _, row := range rows[1:] {
			x, _ := strconv.ParseFloat(row[1], 64)
			at, err := time.Parse(time.DateTime, row[0])
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, at)
			s.scores = append(s.scores, detector.Add(x))
		}
		for _, w := range labels[name] {
			from, _ := time.Parse("2006-01-02 15:04:05.000000", w[0])
			to, _ := time.Parse("2006-01-02 15:04:05.000000", w[1])
			first, _ := slices.BinarySearchFunc(times, from, time.Time.Compare)
			last, found := slices.BinarySearchFunc(times, to, time.Time.Compare)
			if !found {
				last--
			}
			s.windows = append(s.windows, [2]int{first, last})
		}
		all = append(all, s)
	}
	return all
}

func TestNAB(t *testing.T) {
	all := loadNAB(t, "../../../shared/data/nab")
	for _, c := range nabProfiles() {
		th, best := nabBest(all, c)
		t.Logf("%-10s best %.1f at %.3f, shipped %.1f", c.Name, best, th, nabScore(all, 0.5, c))
	}
	for _, s := range all {
		t.Logf("%-60s windows %d standard %.1f", s.name, len(s.windows), nabScore([]nabSeries{s}, 0.5, nabProfiles()[0]))
	}
}
