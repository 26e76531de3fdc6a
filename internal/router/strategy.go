package router

import (
	"cmp"
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
	if keeps && at < 0 || len(l.candidates) == 0 {
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
	q := question{HybridRouter: r, call: call, likely: l.candidates[0].target, cached: cached}
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
	likely llm.Target // whose count of tokens does where a guess will do
	cached session    // where its prompt is cached; zero for nowhere
	rest   bool       // the equals in hand are not the first to be asked
	inputs []input    // as far as they were estimated
}

// input is about how many input tokens a request has for a provider.
type input struct {
	provider llm.Provider
	tokens   int64
}

// contender is a candidate among its equals.
type contender struct {
	candidate
	weight int
	seen   *breaker // of the target, with its pace; nil where it was never asked
	score  float64  // the lowest goes first
	output int64    // the output tokens that are expected
}

// order puts equals in order and says why the first is first; "" where it is
// the configuration's. pinned says that the conversation is cached at one of them.
func (q *question) order(s Strategy, equals []candidate, g group, pinned bool) string {
	free := g.from == 0 && !pinned // the first is asked, whoever it is
	turn := -1
	if s == RoundRobin && free {
		turn = g.turns.next(g.weights)
	}
	q.rest = g.from > 0
	all := q.contenders(equals, g)
	q.expectOutput(s, all)
	for i := range all {
		switch c := &all[i]; {
		case c.endpoint.Unusable != "":
			c.score = unusableLast
		case i == turn:
			c.score = -1
		default:
			c.score = q.score(s, c)
		}
	}
	slices.SortStableFunc(all, func(a, b contender) int { return cmp.Compare(a.score, b.score) })
	front, because := 0, why(s, all[0], turn)
	if pinned && s != Cost {
		front = slices.IndexFunc(all, func(c contender) bool { return c.target == q.cached.target })
		because = becauseCached
	} else if s == Latency && free {
		if other := q.explore(all); other > 0 {
			front, because = other, becauseLearn
		}
	}
	for i, c := range all {
		equals[i] = c.candidate
	}
	toFront(equals, front)
	return because
}

// contenders looks up what is known of some candidates.
func (q *question) contenders(equals []candidate, g group) []contender {
	all := make([]contender, len(equals))
	for i, c := range equals {
		all[i] = contender{candidate: c, weight: g.weights[i], seen: q.seen(c.target)} // an order makes no breakers
	}
	return all
}

// score gives what a strategy makes of a usable candidate.
func (q *question) score(s Strategy, c *contender) float64 {
	switch s {
	case Latency:
		if c.seen == nil {
			break
		}
		if took, known := c.seen.pace.expect(q.input(q.likely), c.output); known {
			return took.Seconds() * (1 + c.failures())
		}
	case Cost:
		usage := llm.Usage{Input: q.input(c.target), Output: c.output}
		if c.target == q.cached.target {
			usage.CacheRead = min(int64(q.cached.tokens), usage.Input)
		}
		if price, known := q.price(c.target, usage); known {
			return float64(price)
		}
	case RoundRobin:
		return drawn(q.chance(), c.weight)
	case LeastBusy:
		if c.seen == nil {
			return 0
		}
		return float64(c.seen.pace.busy()) + c.failures()
	}
	return unknownLast
}

// drawn gives a score with which candidates come in an order drawn by weight: of
// exponential times with the weights as rates, the first come so. Who has no weight
// comes after them.
func drawn(chance float64, weight int) float64 {
	if weight <= 0 {
		return unknownLast
	}
	return -math.Log(1-chance) / float64(weight)
}

// why says why the first in order is first.
func why(s Strategy, first contender, turn int) string {
	switch {
	case s == Latency && first.score < unknownLast:
		return becauseFast
	case s == Cost && first.score < unknownLast:
		return becauseCheap
	case s == RoundRobin && turn >= 0:
		return becauseTurn
	case s == LeastBusy:
		return becauseNotBusy
	}
	return ""
}

// explore says which contender goes first although it is not the best; 0 for the
// best. One with an open breaker would teach nothing.
func (q *question) explore(all []contender) int {
	chance, share := q.chance(), exploreShare
	least := 0.0 // the score from which on a contender is drawn
	if chance >= exploreShare {
		if chance -= exploreShare; chance >= learnShare {
			return 0
		}
		share, least = learnShare, unknownLast
	}
	var others []int
	for i, c := range all {
		open := c.seen != nil && c.seen.state() == record.Open
		if i > 0 && c.score >= least && c.score < unusableLast && !open {
			others = append(others, i)
		}
	}
	if len(others) == 0 {
		return 0
	}
	return others[min(int(chance/share*float64(len(others))), len(others)-1)]
}

// input gives about how many input tokens the request has for a target. Providers
// count differently, but for the rest of a chain, which is seldom asked, any count
// that is at hand does: a long prompt takes a while to look through.
func (q *question) input(target llm.Target) int64 {
	if q.estimate == nil {
		return int64(len(q.call.Request.Body)) / bytesPerToken
	}
	for _, known := range q.inputs {
		if known.provider == target.Provider || q.rest {
			return known.tokens
		}
	}
	tokens := q.estimate(target, q.call.Request)
	q.inputs = append(q.inputs, input{target.Provider, tokens})
	return tokens
}

// expectOutput says how many output tokens each contender is expected to give:
// what is usual of it, else of the others, but no more than the request allows.
func (q *question) expectOutput(s Strategy, all []contender) {
	if s != Latency && s != Cost {
		return
	}
	const unknown = -1
	var sum, known int64
	for i := range all {
		c := &all[i]
		c.output = unknown
		if c.seen == nil {
			continue
		}
		if paid, shown, ok := c.seen.pace.usualOutput(); ok {
			c.output = paid
			if s == Latency {
				c.output = shown
			}
			sum, known = sum+c.output, known+1
		}
	}
	other := int64(typicalOutput)
	if known > 0 {
		other = sum / known
	}
	for i := range all {
		if all[i].output == unknown {
			all[i].output = other
		}
		if most := q.call.Request.MaxTokens; most != nil {
			all[i].output = min(all[i].output, max(*most, 0))
		}
	}
}

// failures gives how many failures in a row the closed breaker of a target that
// was seen has counted.
func (c *contender) failures() float64 {
	return float64(c.seen.cb.Counts().ConsecutiveFailures)
}
