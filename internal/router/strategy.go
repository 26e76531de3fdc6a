package router

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Strategy says in which order candidates are tried.
//
// It orders only candidates that answer the question equally well, and these are
// told first. The targets of a route are all equals: the operator made them so. For
// "auto" the providers of the chain are, each with its default model. A caller who
// names a model or a provider gets that provider's endpoints first, equals among
// each other, and then the rest of the chain, equals again. Vectors of different models
// cannot be compared, so for an embedding only the endpoints of one model are equals.
// Several endpoints of one provider are candidates of their own everywhere.
//
// The caller's wish beats the route's strategy, which beats the router's own. A
// strategy never adds or drops a candidate, and what it knows only makes an order:
// verdicts, breakers and limits still have the last word. Endpoints that cannot be
// used come last, but for Failover and Quality, which keep to the configuration.
// Where a strategy sees no difference the configuration's order decides.
//
// A conversation whose prompt is cached somewhere (see sessions) goes there first
// among equals; Failover and Quality move it only between endpoints of one model,
// since their order is the operator's will, and Cost counts the cached part at the
// cache's price instead, which is what makes it cheapest.
type Strategy string

// The strategies.
const (
	// Failover takes the order of the configuration.
	Failover Strategy = "failover"
	// Latency takes the lowest expected time for a request of this size first; a
	// failure in a row doubles it, two triple it. Targets that are not known yet
	// come after the others, but see exploreShare.
	Latency Strategy = "latency"
	// Cost takes the lowest expected price for a request of this size first. Local
	// models are free; unknown prices come after known ones.
	Cost Strategy = "cost"
	// RoundRobin takes each in turn, smoothly by weight. A turn whose target cannot
	// serve falls to one of the others, drawn by weight.
	RoundRobin Strategy = "round_robin"
	// LeastBusy takes the fewest requests under way first. A failure in a row counts
	// as one more, so that a target that fails at once does not look idle. Ties are
	// not taken in turn: where nobody is busy the operator's order is as good as
	// any, and prompts stay where they are cached.
	LeastBusy Strategy = "least_busy"
	// Quality takes the best first, which is the order of the configuration.
	Quality Strategy = "quality"
)

// Strategies lists all strategies.
func Strategies() []Strategy {
	return []Strategy{Failover, Latency, Cost, RoundRobin, LeastBusy, Quality}
}

// ParseStrategy reads a strategy's word; "" is no strategy in particular.
func ParseStrategy(word string) (Strategy, error) {
	s := Strategy(word)
	if word == "" || slices.Contains(Strategies(), s) {
		return s, nil
	}
	var words []string
	for _, s := range Strategies() {
		words = append(words, string(s))
	}
	return "", fmt.Errorf("%q is no strategy; it is one of %s", word, strings.Join(words, ", "))
}

// DefaultHedgeShare lets one request in twenty be asked twice: those that are
// later than 95 of 100 are as many.
const DefaultHedgeShare = 0.05

const (
	// exploreShare of the requests that Latency orders go first to another target
	// than the best, drawn among all: one that was slow or failing and is well again
	// is found, at the price of one slower answer in fifty.
	exploreShare = 0.02
	// learnShare more go first to a target that is not known yet, while there is one:
	// with 20 answers it is known, so a new target costs about 250 requests one slower
	// answer in twelve.
	learnShare = 0.08
)

// typicalOutput is taken for the answer's length where nothing is known of any
// candidate. It is the same for all, so it only weighs input against output.
const typicalOutput = 400

// Scores beyond all that are measured.
const (
	unknownLast  = math.MaxFloat64 / 2
	unusableLast = math.MaxFloat64
)

// arrange puts the plan's candidates in the order of its strategy.
func (r *HybridRouter) arrange(p *plan, l *layout, call *Call) {
	cached, found := r.sessions.hint(call)
	at := -1
	if found {
		at = slices.IndexFunc(l.candidates, func(c candidate) bool { return c.target == cached.target && c.endpoint.Unusable == "" })
	}
	keeps := p.strategy == Failover || p.strategy == Quality
	if keeps && at < 0 {
		return
	}
	p.candidates = slices.Clone(l.candidates)
	if at >= 0 {
		p.candidates[at].key = cached.key
	}
	if keeps {
		from := at
		for from > 0 && sameModel(p.candidates[from-1].target, cached.target) {
			from--
		}
		if toFront(p.candidates[from:], at-from); from == 0 && at > 0 {
			p.because = becauseCached
		}
		return
	}
	q := question{HybridRouter: r, call: call, cached: cached}
	for _, g := range l.groups {
		if equals := p.candidates[g.from:g.to]; len(equals) > 1 {
			because := q.order(p.strategy, equals, g, at >= g.from && at < g.to)
			if g.from == 0 {
				p.because = because
			}
		}
	}
}

// becauseCached and the like say of the first candidate why it is first.
const (
	becauseCached  = "has the conversation's prompt in its cache"
	becauseFast    = "was expected to be fastest"
	becauseLearn   = "was asked to see how fast it is now"
	becauseCheap   = "was cheapest"
	becauseTurn    = "had its turn"
	becauseNotBusy = "was the least busy"
)

func sameModel(a, b llm.Target) bool { return a.Provider == b.Provider && a.Model == b.Model }

// toFront moves a candidate before the others.
func toFront(all []candidate, i int) {
	first := all[i]
	copy(all[1:i+1], all[:i])
	all[0] = first
}

// question is a request for which equals are put in order.
type question struct {
	*HybridRouter
	call   *Call
	cached session // where its prompt is cached; zero for nowhere
}

// order puts equals in order and says why the first is first; "" where it is
// the configuration's. pinned says that the conversation is cached at one of them.
func (q *question) order(s Strategy, equals []candidate, g group, pinned bool) (because string) {
	switch s {
	case Latency:
		because = q.byTime(equals, g.from == 0 && !pinned)
	case Cost:
		return q.byPrice(equals)
	case RoundRobin:
		because = q.inTurn(equals, g, g.from == 0 && !pinned)
	case LeastBusy:
		because = q.byLoad(equals)
	}
	if pinned {
		toFront(equals, slices.IndexFunc(equals, func(c candidate) bool { return c.target == q.cached.target }))
		because = becauseCached
	}
	return because
}

// byTime puts the lowest expected time first. Only who may explore tries
// another now and then.
func (q *question) byTime(equals []candidate, explores bool) string {
	input := q.input(equals[0].target)
	outputs := q.outputs(equals, func(p *pace) (int64, bool) { _, shown, known := p.usualOutput(); return shown, known })
	scores := make([]float64, len(equals))
	for i, c := range equals {
		scores[i] = unknownLast
		if c.endpoint.Unusable != "" {
			scores[i] = unusableLast
		} else if b := q.seen(c.target); b != nil {
			if time, known := b.pace.expect(input, outputs[i]); known {
				scores[i] = time.Seconds() * (1 + b.failures())
			}
		}
	}
	byScore(equals, scores)
	if other := 0; explores {
		if other = q.explore(equals, scores); other > 0 {
			toFront(equals, other)
			return becauseLearn
		}
	}
	if scores[0] < unknownLast {
		return becauseFast
	}
	return ""
}

// explore says which candidate shall go first although it is not the best; 0 for
// the best. One with an open breaker teaches nothing.
func (q *question) explore(equals []candidate, scores []float64) int {
	chance, share := q.chance(), exploreShare
	least := 0.0 // the score from which on a candidate is drawn
	if chance >= exploreShare {
		if chance -= exploreShare; chance >= learnShare {
			return 0
		}
		share, least = learnShare, unknownLast
	}
	var drawn []int
	for i := 1; i < len(equals) && scores[i] < unusableLast; i++ {
		if b := q.seen(equals[i].target); scores[i] >= least && (b == nil || b.state() != record.Open) {
			drawn = append(drawn, i)
		}
	}
	if len(drawn) == 0 {
		return 0
	}
	return drawn[min(int(chance/share*float64(len(drawn))), len(drawn)-1)]
}

// byPrice puts the lowest expected price first.
func (q *question) byPrice(equals []candidate) string {
	outputs := q.outputs(equals, func(p *pace) (int64, bool) { paid, _, known := p.usualOutput(); return paid, known })
	scores := make([]float64, len(equals))
	for i, c := range equals {
		if c.endpoint.Unusable != "" {
			scores[i] = unusableLast
			continue
		}
		usage := llm.Usage{Input: q.input(c.target), Output: outputs[i]}
		if c.target == q.cached.target {
			usage.CacheRead = min(int64(q.cached.tokens), usage.Input)
		}
		scores[i] = unknownLast
		if price, known := q.price(c.target, usage); known {
			scores[i] = float64(price)
		}
	}
	byScore(equals, scores)
	if scores[0] < unknownLast {
		return becauseCheap
	}
	return ""
}

// byLoad puts the fewest requests under way first.
func (q *question) byLoad(equals []candidate) string {
	scores := make([]float64, len(equals))
	for i, c := range equals {
		if c.endpoint.Unusable != "" {
			scores[i] = unusableLast
		} else if b := q.seen(c.target); b != nil {
			scores[i] = float64(b.pace.busy()) + b.failures()
		}
	}
	byScore(equals, scores)
	return becauseNotBusy
}

// inTurn puts the one whose turn it is first, where a turn is to be taken, and
// draws the order of the others by weight: who takes over the turns of a target that
// is down then gets its share of them, too.
func (q *question) inTurn(equals []candidate, g group, takes bool) (because string) {
	scores := make([]float64, len(equals))
	for i, c := range equals {
		switch {
		case c.endpoint.Unusable != "":
			scores[i] = unusableLast
		case g.weights[i] <= 0:
			scores[i] = unknownLast
		default: // of exponential times with these rates the first come as by weight
			scores[i] = -math.Log(1-q.chance()) / float64(g.weights[i])
		}
	}
	if takes {
		if first := g.turns.next(g.weights); first >= 0 {
			scores[first], because = -1, becauseTurn
		}
	}
	byScore(equals, scores)
	return because
}

// byScore sorts a few candidates and their scores, the lowest first. Equal ones
// stay as they are.
func byScore(equals []candidate, scores []float64) {
	for i := range scores {
		for j := i; j > 0 && scores[j] < scores[j-1]; j-- {
			scores[j], scores[j-1] = scores[j-1], scores[j]
			equals[j], equals[j-1] = equals[j-1], equals[j]
		}
	}
}

// input gives about how many input tokens the request has for a target.
func (q *question) input(target llm.Target) int64 {
	if q.estimate == nil {
		return int64(len(q.call.Request.Body)) / bytesPerToken
	}
	return q.estimate(target, q.call.Request)
}

// outputs gives how many output tokens each candidate is expected to give:
// what is usual of it, else of the others, but no more than the request allows.
func (q *question) outputs(equals []candidate, usual func(*pace) (int64, bool)) []int64 {
	const unknown = -1
	outputs := make([]int64, len(equals))
	var sum, known int64
	for i, c := range equals {
		outputs[i] = unknown
		if b := q.seen(c.target); b != nil {
			if n, ok := usual(&b.pace); ok {
				outputs[i] = n
				sum, known = sum+n, known+1
			}
		}
	}
	other := int64(typicalOutput)
	if known > 0 {
		other = sum / known
	}
	for i := range outputs {
		if outputs[i] == unknown {
			outputs[i] = other
		}
		if most := q.call.Request.MaxTokens; most != nil {
			outputs[i] = min(outputs[i], max(*most, 0))
		}
	}
	return outputs
}

// seen gives the breaker of a target, with what is known of it; nil where there
// is none: an order makes none.
func (r *HybridRouter) seen(target llm.Target) *breaker {
	return (*r.breakers.Load())[target]
}

// failures gives how many failures in a row a closed breaker has seen.
func (b *breaker) failures() float64 { return float64(b.cb.Counts().ConsecutiveFailures) }
