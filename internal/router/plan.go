package router

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// candidate is a target that a request may go to.
type candidate struct {
	endpoint *endpoint
	target   llm.Target
	key      string // the provider's key that has the conversation in its cache; "" for any
}

// plan is where a request may go, in order, and what became of each.
type plan struct {
	preferred  llm.Provider
	strategy   Strategy           // that ordered the candidates
	candidates []candidate        // shared with other plans: not to be written to
	outcome    []record.Candidate // as long as candidates
	asked      atomic.Uint64      // a bit for each of the first 64 candidates that was; timers of attempts may read it
	because    string             // why the first is first, as said of it; "" for the configuration's order
}

// plan lists the candidates of a request in the order in which they are tried;
// Strategy has the rules.
func (r *HybridRouter) plan(call *Call) (*plan, *Error) {
	l, e := r.layout(call.Request)
	if e != nil {
		return nil, e
	}
	p := &plan{preferred: l.preferred, strategy: r.strategyOf(call, l), candidates: l.candidates}
	r.arrange(p, l, call)
	if len(p.candidates) > 0 {
		p.preferred = p.candidates[0].target.Provider
	}
	p.outcome = make([]record.Candidate, len(p.candidates))
	for i, c := range p.candidates {
		p.outcome[i] = record.Candidate{Target: c.target, Verdict: record.VerdictNotNeeded}
	}
	return p, nil
}

// named keeps the wishes for a model by name. Vectors of different models
// cannot be compared, so an embedding goes to no model that nobody asked for.
func named(wishes []wish) []wish {
	return slices.DeleteFunc(wishes, func(w wish) bool { return w.model == "" })
}

// lacks names what the request asks for and the candidate cannot do.
func (c candidate) lacks(req *llm.Request) []string {
	return c.endpoint.Upstream.Lacks(c.target.Model, req)
}

// admit asks the candidate's upstream for leave to send a request of so many tokens.
func (c candidate) admit(tokens func() int64) (*provider.Leave, *provider.Busy) {
	return c.endpoint.Upstream.Admit(provider.Ask{Model: c.target.Model, Key: c.key, Tokens: tokens})
}

// judge says why a request cannot go to a candidate; "" when nothing but its
// hold and its breaker might stand in the way.
func judge(c candidate, req *llm.Request) (record.Verdict, string) {
	if c.endpoint.Unusable != "" {
		return c.endpoint.Unusable, c.endpoint.Detail
	}
	if lacking := c.lacks(req); len(lacking) > 0 {
		return record.VerdictCapabilityMissing, "cannot carry " + fields(lacking)
	}
	return "", ""
}

// fields names some fields of a request. Positions in lists are left out, so that
// equal plans stay equal text.
func fields(names []string) string {
	var out []string
	for _, name := range names {
		top, _, _ := strings.Cut(name, "[")
		if len(out) == 0 || out[len(out)-1] != top {
			out = append(out, clip(top))
		}
	}
	const most = 5
	if len(out) > most {
		return strings.Join(out[:most], ", ") + ", …"
	}
	return strings.Join(out, ", ")
}

// failed writes down that candidate i was tried in vain.
func (p *plan) failed(i int, f *llm.Failure) {
	out := &p.outcome[i]
	out.Verdict, out.Detail = record.VerdictTriedFailed, brief(f)
	if f.Class == llm.NoSuchModel {
		out.Verdict, out.Detail = record.VerdictNoSuchModel, ""
	}
}

// reason says in words why a candidate serves, by what became of the others.
func (p *plan) reason(served int) string {
	title := p.candidates[served].target.Provider.Title()
	var why []string
	for i, c := range p.outcome {
		if i == served || c.Verdict == record.VerdictNotNeeded && c.Detail == "" {
			continue
		}
		if i < served || c.Verdict == record.VerdictTriedFailed { // the others did not matter
			why = append(why, fmt.Sprintf("%s %s", c.Target.Provider.Title(), verdictWords(c)))
		}
	}
	if len(why) == 0 {
		return title + " " + cmp.Or(p.because, "was the first choice")
	}
	return fmt.Sprintf("%s, so %s served", strings.Join(why, ", "), title)
}

func verdictWords(c record.Candidate) string {
	switch c.Verdict {
	case record.VerdictTriedFailed:
		return "failed (" + c.Detail + ")"
	case record.VerdictBreakerOpen:
		return "has an open breaker"
	case record.VerdictBreakerProbing:
		return "is being probed"
	case record.VerdictHeldByAnomaly:
		return "is held by the anomaly detector"
	case record.VerdictHeldByOperator:
		return "is held by the operator"
	case record.VerdictNoUsableKey:
		return "has no usable key"
	case record.VerdictRateLimited:
		return "is limited"
	case record.VerdictNotNeeded: // but asked
		return "was later"
	case record.VerdictProviderDisabled:
		return "is disabled"
	case record.VerdictNoSuchModel:
		return "has no such model"
	case record.VerdictCapabilityMissing:
		return c.Detail
	case record.VerdictContextTooLong:
		return "takes no longer prompt"
	}
	return strings.ReplaceAll(string(c.Verdict), "_", " ")
}

// exhausted is the error of a request that no candidate answered. full says why
// it could not wait in line; nil where it did not try to.
func (w *walk) exhausted(full *traffic.FullError) *Error {
	p, failures := w.plan, w.failures
	allOpen := true
	for i, c := range p.outcome {
		allOpen = allOpen && (c.Verdict == record.VerdictBreakerOpen || p.candidates[i].endpoint.Unusable != "")
	}
	probe := w.r.nextProbe(p)
	e := &Error{Status: 503, Type: "server_error", Code: "no_provider_available"}
	switch {
	case len(failures) > 0:
		if all(failures, llm.ContextLength) || all(failures, llm.ContentFilter) {
			return refusal(p.tried(), failures[0])
		}
		e.failedBy(failures)
		if e.Status == 429 { // otherwise somebody may be well before a limit ends
			e.RetryAfter = cmp.Or(e.RetryAfter, w.wait)
		}
	case w.busy && full != nil:
		e.Status, e.Type, e.Code, e.RetryAfter = 429, "rate_limit_error", "queue_full", max(full.RetryAfter, time.Second)
	case w.busy:
		e.Status, e.Type, e.Code, e.RetryAfter = 429, "rate_limit_error", "all_providers_rate_limited", max(w.wait, time.Second)
	case p.lacks(w.call.Request) != "":
		e.Status, e.Type, e.Code = 400, "invalid_request_error", "capability_missing"
		e.Param = p.lacks(w.call.Request)
	case allOpen && !probe.IsZero():
		e.Code = "all_breakers_open"
	case w.wait > 0: // such as for a quota's reset
		e.RetryAfter = max(w.wait, time.Second)
	}
	e.Message = "no provider could answer: " + p.words() + providersWords(failures)
	if full != nil {
		e.Message += "; " + full.Reason
	}
	if !probe.IsZero() && e.Status == 503 {
		e.RetryAfter = max(time.Until(probe), time.Second)
		e.Message += fmt.Sprintf("; the next probe is at %s", probe.Format("15:04:05 MST"))
	}
	return e
}

// failedBy says what the failures of all that were asked come to.
func (e *Error) failedBy(failures []*llm.Failure) {
	e.Status, e.Code = 502, "all_providers_failed"
	switch {
	case all(failures, llm.Timeout):
		e.Status, e.Code = 504, "all_providers_timed_out"
	case all(failures, llm.RateLimit), all(failures, llm.Quota):
		e.Status, e.Type, e.Code = 429, "rate_limit_error", "all_providers_rate_limited"
	case all(failures, llm.NoSuchModel):
		e.Status, e.Type, e.Code, e.Param = 404, "invalid_request_error", "model_not_found", "model"
	}
	e.RetryAfter = shortestWait(failures)
	if len(failures) == 1 || e.Status == 429 {
		e.Header = lastHeader(failures)
	}
}

// tried gives the first candidate that was asked.
func (p *plan) tried() llm.Target {
	for _, c := range p.outcome {
		if c.Verdict == record.VerdictTriedFailed {
			return c.Target
		}
	}
	return p.candidates[0].target
}

// words tells what became of each candidate that was considered.
func (p *plan) words() string {
	var lines []string
	for _, c := range p.outcome {
		if c.Verdict == record.VerdictNotNeeded {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s", c.Target, verdictWords(c)))
	}
	return strings.Join(lines, "; ")
}

// lacks names a field that the request asks for and no usable candidate can
// carry; "" where something else stands in the way.
func (p *plan) lacks(req *llm.Request) string {
	field := ""
	for _, c := range p.candidates {
		if c.endpoint.Unusable != "" {
			continue
		}
		lacking := c.lacks(req)
		if len(lacking) == 0 {
			return ""
		}
		if field == "" {
			field = lacking[0]
		}
	}
	return field
}

// nextProbe gives the earliest probe among the plan's open breakers.
func (r *HybridRouter) nextProbe(p *plan) time.Time {
	var next time.Time
	for _, c := range p.candidates {
		if c.endpoint.Unusable != "" {
			continue
		}
		if at := r.breaker(c.target).nextProbe(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// providersWords gives what the only provider that was asked said, in its own
// words; "" where there were several, or none that it said over HTTP.
func providersWords(failures []*llm.Failure) string {
	if len(failures) != 1 || failures[0].Status < 400 {
		return ""
	}
	words := ": " + failures[0].Message
	if code := failures[0].Code; code != "" {
		words = ": " + code + words
	}
	return words
}

func all(failures []*llm.Failure, class llm.FailureClass) bool {
	for _, f := range failures {
		if f.Class != class {
			return false
		}
	}
	return len(failures) > 0
}

// lastHeader gives the headers of the last failure that has some.
func lastHeader(failures []*llm.Failure) http.Header {
	for _, f := range slices.Backward(failures) {
		if len(f.Header) > 0 {
			return f.Header
		}
	}
	return nil
}

// shortestWait gives the earliest instant at which a provider asked to be tried again.
func shortestWait(failures []*llm.Failure) time.Duration {
	var least time.Duration
	for _, f := range failures {
		if f.RetryAfter > 0 && (least == 0 || f.RetryAfter < least) {
			least = f.RetryAfter
		}
	}
	return least
}
