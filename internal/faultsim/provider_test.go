package faultsim

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"breakwater/internal/llm"
)

// The speed of a provider that is well, for a small prompt.
const (
	usualTTFT = 500 * time.Millisecond
	usualEach = 20 * time.Millisecond // per output token
	// patience is for how long a caller's side waits for a first byte, and for
	// the next one: the defaults of the configuration.
	patience = 60 * time.Second
	// hurried is for how long the router waits for a stream's first byte where that is
	// far out of the ordinary, and somebody else can answer.
	hurried = 10 * time.Second
)

// request is one request of a caller.
type request struct {
	at            time.Duration // since the start
	caller        string
	model         string // as the caller writes it
	input, output int
	worthless     bool // the answer that came last says nothing, though nobody can tell from its form
	outlier       bool // an answer to it, or a part of one, was slow by nobody's fault
}

// outcome is what a provider does with one request.
type outcome struct {
	failure   *llm.Failure  // instead of an answer
	hangs     bool          // nothing comes, ever
	wait      time.Duration // to the failure, or to the first content
	each      time.Duration // between two tokens
	output    int
	breaksAt  int  // tokens after which the answer breaks off; 0 for never
	stalls    bool // it goes silent there instead
	empty     bool
	worthless bool
	outlier   bool
}

// background is how often requests fail by nobody's fault: a chain of two states.
type background struct {
	name  string
	share float64
	burst float64 // mean length
}

// next says whether a request fails, by how another one went so many requests
// before: a burst passes with time, also while few or none are sent.
func (b background) next(failed bool, steps float64, rng *rand.Rand) bool {
	again := max(1-1/b.burst, b.share)
	keep := (again - b.share) / (1 - b.share) // of what the one before says, at each step
	was := float64(count(failed))
	return rng.Float64() < b.share+(was-b.share)*math.Pow(keep, max(1, steps))
}

// stub is a provider.
type stub struct {
	name     llm.Provider
	back     background
	faults   []fault // in the order of their beginnings
	perMin   float64 // requests that it takes a minute; 0 for any number
	mu       sync.Mutex
	rng      *rand.Rand
	nominal  float64 // requests a minute of all callers
	failed   bool    // the request before, by the background
	stepped  time.Duration
	wobble   float64 // of the load, a logarithm
	wobbled  time.Duration
	room     float64 // of the quota
	refilled time.Duration
	over     int // faults that have ended
}

func newStub(name llm.Provider, back background, seed uint64) *stub {
	return &stub{name: name, back: back, rng: rand.New(rand.NewPCG(seed, uint64(name[0])))}
}

// daily is the load that everybody has at a time of day.
func daily(at time.Duration) float64 { return math.Exp(0.2 * math.Sin(2*math.Pi*at.Hours()/24)) }

// load is how much slower than usual the provider is by its load. Its wobble is
// an autoregression with a standard deviation of 0.08 and a memory of 30 minutes.
func (s *stub) load(at time.Duration) float64 {
	keep := math.Exp(-max(0, at-s.wobbled).Minutes() / 30)
	s.wobble = keep*s.wobble + math.Sqrt(1-keep*keep)*0.08*s.rng.NormFloat64()
	s.wobbled = max(at, s.wobbled)
	return daily(at) * math.Exp(s.wobble)
}

// answer says what becomes of a request that comes now.
func (s *stub) answer(at time.Duration, r *request, model string) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	rng, load := s.rng, s.load(at)
	o := outcome{output: max(r.output, 1)}
	first := usualTTFT.Seconds() * (1 + float64(r.input)/4000) * math.Exp(0.25*rng.NormFloat64()) * load
	each := usualEach.Seconds() * math.Exp(0.15*rng.NormFloat64()) * load
	if rng.Float64() < 0.01 {
		first *= 2 + 10*rng.ExpFloat64()
		o.outlier = true
	}
	if rng.Float64() < 0.005 {
		each *= 2 + 10*rng.ExpFloat64()
		o.outlier = true
	}
	for s.over < len(s.faults) && s.faults[s.over].to <= at {
		s.over++
	}
	s.failed = s.back.next(s.failed, (at-s.stepped).Minutes()*s.nominal, rng)
	s.stepped = max(s.stepped, at)
	for i := s.over; i < len(s.faults) && s.faults[i].from <= at; i++ {
		if f := &s.faults[i]; f.hits(at, r.caller, model, rng) {
			slower := f.slower(at)
			first, each = first*max(1, slower*f.ttft), each*max(1, slower*f.tpot)
			f.change(&o, rng)
		}
	}
	if o.wait == 0 {
		o.wait = seconds(first)
	}
	o.each = seconds(each)
	if o.failure == nil && s.failed {
		o.failure, o.wait = down(llm.Server, 503), soon(rng)
	}
	if s.full(at) {
		o = outcome{failure: down(llm.RateLimit, 429), wait: 100 * time.Millisecond}
		o.failure.RetryAfter = 5 * time.Second
		if s.name == llm.Local { // its line is full, and Ollama tells no wait
			o.failure = down(llm.RateLimit, 503)
		}
	}
	return o
}

// full takes a place of the quota, and says whether there is none. A tenth of a
// minute's may come at once.
func (s *stub) full(at time.Duration) bool {
	if s.perMin == 0 {
		return false
	}
	s.room = min(max(s.perMin/10, 2), s.room+max(0, at-s.refilled).Minutes()*s.perMin)
	s.refilled = max(at, s.refilled)
	if s.room < 1 {
		return true
	}
	s.room--
	return false
}

// dead says whether even a ping finds no answer.
func (s *stub) dead(at time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.over; i < len(s.faults); i++ {
		if f := &s.faults[i]; f.active(at) && f.whole() && (f.kind == refused || f.kind == hang) {
			return true
		}
	}
	return false
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// soon is how long an error takes: 0.2 to 1 s.
func soon(rng *rand.Rand) time.Duration { return seconds(0.2 + 0.8*rng.Float64()) }

func down(class llm.FailureClass, status int) *llm.Failure {
	return &llm.Failure{Class: class, Status: status, Message: "simulated"}
}
