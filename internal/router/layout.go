package router

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"breakwater/internal/llm"
)

// ordering is what the order of candidates is made from.
type ordering struct {
	strategy Strategy
	estimate func(llm.Target, *llm.Request) int64
	chance   func() float64 // in [0, 1)
	sessions *sessions      // nil where conversations may go anywhere
	// learnt counts the pings that told of models: a layout made before the last
	// one may not know what a name means now.
	learnt  atomic.Uint64
	layouts layouts
}

func newOrdering(c Config) *ordering {
	o := &ordering{strategy: c.Strategy, estimate: c.Estimate, chance: rand.Float64}
	if o.strategy == "" {
		o.strategy = Failover
	}
	if c.Affinity {
		o.sessions = newSessions()
	}
	return o
}

// strategyOf gives the strategy for a call: its own, else the route's, else
// the router's.
func (r *HybridRouter) strategyOf(call *Call, l *layout) Strategy {
	switch {
	case call.Strategy != "":
		return call.Strategy
	case l.strategy != "":
		return l.strategy
	}
	return r.strategy
}

// layout is where requests for one name may go, in the order of the
// configuration. It does not change, and many plans share it.
type layout struct {
	learnt     uint64
	preferred  llm.Provider
	strategy   Strategy // of the route; "" for none
	candidates []candidate
	groups     []group // one after another, all candidates
}

// group are candidates that are equals.
type group struct {
	from, to int
	weights  []int     // of each
	turns    *rotation // of the first group; the others are not asked in turn
}

// maxLayouts bounds the names that are remembered. Beyond it all are forgotten:
// callers who make names up shall not keep the real ones out.
const maxLayouts = 256

// layouts remembers layouts by name. Reading takes no lock: the map is never
// changed, only replaced.
type layouts struct {
	byName atomic.Pointer[map[asked]*layout]
	mu     sync.Mutex
	turns  map[circle]*rotation
}

// asked is what a layout answers.
type asked struct {
	model string
	embed bool
}

// circle names those who take turns: a route's targets, a provider's endpoints
// (of a route, for embeddings), or the chain, which has neither name.
type circle struct {
	route    string // the first model of the route
	provider llm.Provider
}

// layout gives where a request may go.
func (r *HybridRouter) layout(req *llm.Request) (*layout, *Error) {
	name := asked{req.Model, req.Embed != nil}
	learnt := r.learnt.Load()
	if known := r.layouts.byName.Load(); known != nil {
		if l := (*known)[name]; l != nil && l.learnt == learnt {
			return l, nil
		}
	}
	name.model = strings.Clone(name.model) // it may be a part of a large body, and stays
	l, e := r.lay(name)
	if e != nil {
		return nil, e
	}
	l.learnt = learnt
	r.layouts.keep(name, l)
	return l, nil
}

func (s *layouts) keep(name asked, l *layout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[asked]*layout)
	if known := s.byName.Load(); known != nil && len(*known) < maxLayouts {
		maps.Copy(next, *known)
	}
	next[name] = l
	s.byName.Store(&next)
}

// lay lists the candidates for a name: those of the operator's route for it, or
// else the provider that it means and then the chain, each with its default model.
// Embeddings have no chain.
func (r *HybridRouter) lay(name asked) (*layout, *Error) {
	route, routed := r.routes[name.model]
	l := &layout{strategy: route.Strategy}
	wishes, e := r.wishes(name.model)
	if e != nil {
		return nil, e
	}
	if name.embed {
		if wishes = named(wishes); len(wishes) == 0 {
			return nil, noEmbeddingModel(name.model)
		}
	}
	l.preferred = wishes[0].provider
	whole := !name.embed && (routed || wishes[0].any)
	among := circle{}
	if routed {
		among.route = route.Models[0]
	}
	if !whole {
		among.provider = wishes[0].provider
	}
	for _, equals := range split(wishes, whole, name.embed) {
		l.groups = append(l.groups, r.group(l, equals, among))
	}
	return l, nil
}

// split parts wishes into those that are equals: all of them, each of them, or
// what the caller named and the rest of the chain.
func split(wishes []wish, whole, each bool) [][]wish {
	if whole {
		return [][]wish{wishes}
	}
	if each {
		return slices.Collect(slices.Chunk(wishes, 1))
	}
	return [][]wish{wishes[:1], wishes[1:]}
}

// wishes gives what a name comes to, in order.
func (r *HybridRouter) wishes(model string) ([]wish, *Error) {
	var all []wish
	if route, ok := r.routes[model]; ok {
		for i, target := range route.Targets {
			w, _ := r.resolve(target) // New saw to it that each resolves
			w.weight = 1
			if i < len(route.Weights) {
				w.weight = route.Weights[i]
			}
			all = append(all, w)
		}
		return all, nil
	}
	first, ok := r.resolve(model)
	if !ok {
		return nil, r.unknownModel(model)
	}
	first.weight = 1
	all = append(all, first)
	for _, p := range r.order(first.provider)[1:] {
		all = append(all, wish{provider: p, weight: 1})
	}
	return all, nil
}

// group adds what some wishes come to as equals. The endpoints of a target share
// its weight; the weights are whole numbers all the same.
func (r *HybridRouter) group(l *layout, equals []wish, among circle) group {
	g := group{from: len(l.candidates)}
	common := 1
	for _, w := range equals {
		common = leastCommon(common, max(r.usableEndpoints(w.provider), 1))
	}
	for _, w := range equals {
		for _, e := range r.endpoints[w.provider] {
			weight := 0
			if e.Unusable == "" {
				weight = max(w.weight, 0) * common / r.usableEndpoints(w.provider)
			}
			g.weights = append(g.weights, weight)
			l.candidates = append(l.candidates, candidate{endpoint: e, target: e.target(w.model)})
		}
	}
	g.to = len(l.candidates)
	if g.from == 0 {
		g.turns = r.layouts.turn(among)
	}
	return g
}

func (r *HybridRouter) usableEndpoints(p llm.Provider) (n int) {
	for _, e := range r.endpoints[p] {
		if e.Unusable == "" {
			n++
		}
	}
	return n
}

// leastCommon gives the least common multiple.
func leastCommon(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// turn gives the rotation of a circle. It outlives the layouts, so that learning
// of a model begins nobody's turns anew.
func (s *layouts) turn(among circle) *rotation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns == nil {
		s.turns = make(map[circle]*rotation)
	}
	if s.turns[among] == nil {
		s.turns[among] = &rotation{}
	}
	return s.turns[among]
}

// rotation says whose turn it is, smoothly: over as many turns as the weights
// sum up to each comes exactly as often as it weighs, and as evenly as can be. It is
// nginx's way (ngx_http_upstream_round_robin.c): each gains its weight, the largest
// goes and pays the sum. Each route has its own, with its own lock.
type rotation struct {
	mu      sync.Mutex
	current []int
}

// next gives whose turn it is; -1 where nobody has any weight.
func (t *rotation) next(weights []int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.current) != len(weights) { // a target has got more endpoints
		t.current = make([]int, len(weights))
	}
	best, total := -1, 0
	for i, w := range weights {
		if w <= 0 {
			continue
		}
		t.current[i] += w
		total += w
		if best < 0 || t.current[i] > t.current[best] {
			best = i
		}
	}
	if best >= 0 {
		t.current[best] -= total
	}
	return best
}
