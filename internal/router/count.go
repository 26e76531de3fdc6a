package router

import (
	"context"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/wire"
)

// CountTimeout bounds what a provider may take to count tokens: an estimate now
// is worth more than a count later.
const CountTimeout = 5 * time.Second

// Counter is an Upstream whose provider may count tokens for free.
type Counter interface {
	// Count asks the provider how many tokens req has for the target's model.
	Count(context.Context, llm.Target, *llm.Request) (*provider.Count, error)
}

// Loader is an Upstream that tells which models are in its memory.
type Loader interface {
	Loaded(context.Context) ([]wire.OllamaModel, error)
}

// Count asks the provider that req would go to first how many tokens it has.
// The target is zero where it would go nowhere. The count is nil where the
// provider has none, is held or has a breaker that is not closed, fails, or takes
// longer than CountTimeout; the caller estimates then. A count is no request: it
// moves no breaker, is no probe and no canary, and is not recorded. The error is
// that of a model that nobody has.
func (r *HybridRouter) Count(ctx context.Context, req *llm.Request) (llm.Target, *provider.Count, *Error) {
	p, e := r.plan(&Call{Request: req, Strategy: Failover}) // a count takes nobody's turn
	if e != nil {
		return llm.Target{}, nil, e
	}
	for _, c := range p.candidates {
		if verdict, _ := judge(c, req); verdict == "" {
			return c.target, r.countAt(ctx, c, req), nil
		}
	}
	return llm.Target{}, nil, nil
}

func (r *HybridRouter) countAt(ctx context.Context, c candidate, req *llm.Request) *provider.Count {
	counter, ok := c.endpoint.Upstream.(Counter)
	if !ok || !r.isWell(c.target, time.Now()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, CountTimeout)
	defer cancel()
	count, err := counter.Count(ctx, c.target, req)
	if err != nil {
		r.log.Debug("a provider did not count", "target", c.target.String(), "class", string(classOf(err)))
		return nil
	}
	return count
}

// isWell says whether nothing keeps requests from a target: no hold and no breaker.
func (r *HybridRouter) isWell(target llm.Target, now time.Time) bool {
	_, held := r.holds.on(target, now)
	return !held && r.isClosed(target)
}

// isClosed says whether a target's breaker is closed, without making one.
func (r *HybridRouter) isClosed(target llm.Target) bool {
	b := r.seen(target)
	return b == nil || b.state() == record.Closed
}

// classOf gives a failure's class; "" for an error that is none.
func classOf(err error) llm.FailureClass {
	if f, ok := llm.AsFailure(err); ok {
		return f.Class
	}
	return ""
}

// Loaded gives the models that the local servers have in their memory now. A
// server that does not answer in time has none.
func (r *HybridRouter) Loaded(ctx context.Context) []wire.OllamaModel {
	ctx, cancel := context.WithTimeout(ctx, LocalPingTimeout)
	defer cancel()
	var all []wire.OllamaModel
	for _, e := range r.endpoints[llm.Local] {
		if loader, ok := e.Upstream.(Loader); ok && e.Unusable == "" {
			models, _ := loader.Loaded(ctx) // one that fails tells of none
			all = append(all, models...)
		}
	}
	return all
}
