package faultsim

import (
	"bufio"
	"compress/gzip"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// shape is how requests come: the gaps between them, of mean 1, and their sizes.
type shape struct {
	source        string
	gaps          []float64
	input, output []int
}

// azure names the trace of a real chat service.
const azure = "Azure LLM inference trace 2023, conversation"

// loadShape reads an hour of a real chat service, or makes up one that is alike
// where the data is not there: bursts, and sizes with a long tail.
func loadShape() *shape {
	dir := os.Getenv("BREAKWATER_TESTDATA")
	if dir == "" {
		dir = "../../../shared"
	}
	if s, err := readShape(filepath.Join(dir, "data", "traces", "azure_llm_2023_conv.csv.gz")); err == nil {
		return s
	}
	rng := rand.New(rand.NewPCG(1, 1))
	s := &shape{source: "made up (the Azure trace was not at hand)"}
	for range 20000 {
		gap := 0.4 * rng.ExpFloat64()
		if rng.Float64() < 0.15 {
			gap = 4.4 * rng.ExpFloat64()
		}
		s.gaps = append(s.gaps, gap)
		s.input = append(s.input, int(min(1000*math.Exp(1.0*rng.NormFloat64()), 8000)))
		s.output = append(s.output, int(min(130*math.Exp(0.9*rng.NormFloat64()), 1000))+1)
	}
	return s
}

func readShape(name string) (*shape, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	s := &shape{source: azure}
	lines := bufio.NewScanner(unzipped)
	lines.Scan() // the names of the columns
	last := 0.0
	for lines.Scan() {
		var row [3]int // t_ms, input_tokens, output_tokens
		for i, field := range strings.SplitN(lines.Text(), ",", len(row)) {
			if row[i], err = strconv.Atoi(field); err != nil {
				return nil, err
			}
		}
		at, in, out := float64(row[0]), row[1], row[2]
		s.gaps, s.input, s.output = append(s.gaps, at-last), append(s.input, in), append(s.output, out)
		last = at
	}
	for i := range s.gaps {
		s.gaps[i] *= float64(len(s.gaps)) / last
	}
	return s, lines.Err()
}

// tenant is a caller and its share of the requests.
type tenant struct {
	name  string
	share float64
}

func tenants() []tenant {
	return []tenant{{"first", 0.60}, {"second", 0.25}, {"third", 0.10}, {"fourth", 0.05}}
}

// source gives one request after the other.
type source struct {
	shape  *shape
	rng    *rand.Rand
	perMin float64
	surges []fault // while one lasts, three times as many come
	models []string
	next   int
	now    time.Duration
}

func newSource(s *shape, perMin float64, seed uint64) *source {
	rng := rand.New(rand.NewPCG(seed, 7))
	return &source{shape: s, rng: rng, perMin: perMin, next: rng.IntN(len(s.gaps)), models: []string{"auto"}}
}

// request gives the next one. By day there are more than at night, 2.2 times at
// the peak as in ServeGen's small model.
func (s *source) request() request {
	rate := s.perMin * (1 + 0.375*math.Sin(2*math.Pi*s.now.Hours()/24)) / 60
	for _, f := range s.surges {
		if f.active(s.now) {
			rate *= 3
		}
	}
	i := s.next
	s.next = (s.next + 1) % len(s.shape.gaps)
	s.now += seconds(s.shape.gaps[i]/rate) + time.Duration(1+s.rng.IntN(1000))
	r := request{at: s.now, model: s.models[0], input: s.shape.input[i], output: s.shape.output[i]}
	if len(s.models) > 1 {
		r.model = s.models[s.rng.IntN(len(s.models))]
	}
	p := s.rng.Float64()
	for _, t := range tenants() {
		r.caller = t.name
		if p -= t.share; p < 0 {
			break
		}
	}
	return r
}
