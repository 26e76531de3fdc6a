package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// requestPage is what the page of one request is rendered from.
type requestPage struct {
	Request
	Now     time.Time
	Assets  assets
	Version string
}

// missingPage is what is shown where there is no such request.
type missingPage struct {
	Name    string // as it was asked for
	Now     time.Time
	Assets  assets
	Version string
}

// nearby is how much of an ID requests of the same half minute share.
const nearby = 6

// beginning gives as much of the name as may begin an ID that is near it.
func (p missingPage) beginning() string {
	name := strings.ToLower(p.Name[:min(len(p.Name), nearby)])
	for name != "" {
		if _, _, err := record.Prefixed(name); err == nil {
			return name
		}
		name = name[:len(name)-1]
	}
	return ""
}

// headline is the page's first sentence: how it ended.
func (p requestPage) headline() string {
	t := &p.Trace
	by := t.Served.Provider.Title()
	switch {
	case t.Outcome == record.Abandoned:
		return "The caller went away after " + latency(t.Took) + "."
	case t.Outcome == record.Refused:
		return "Refused: " + p.reason() + "."
	case t.Outcome == record.Failed && t.Served.Provider != "":
		return "Failed: " + by + "’s answer broke off."
	case t.Outcome == record.Failed:
		return "Failed: " + p.reason() + "."
	case p.choice() == "":
		return "Served by " + by + "."
	}
	return "Served by " + by + ", " + p.choice() + " choice."
}

// reason is the record's own word of a request that was not served.
func (p requestPage) reason() string {
	return cmp.Or(strings.ReplaceAll(p.Trace.Reason, "_", " "), "no reason is recorded")
}

// choice says which of the candidates served.
func (p requestPage) choice() string {
	i := slices.IndexFunc(p.Trace.Plan, func(c record.Candidate) bool { return c.Verdict == record.VerdictServed })
	ordinals := []string{"first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}
	switch {
	case i < 0:
		return ""
	case i < len(ordinals):
		return ordinals[i]
	}
	return "a late"
}

// level is how much the page asks for attention.
func (p requestPage) level() Level {
	switch p.Trace.Outcome {
	case record.Served:
		return LevelOperational
	case record.Failed:
		return LevelDown
	}
	return LevelUnknown
}

// asAsked ends the reason of a request that the candidate asked first served:
// the page's first sentence says so already.
const asAsked = " was the first choice"

// consequence says what led there, and what it meant for the caller; "" where
// the headline has said it all.
func (p requestPage) consequence() string {
	t := &p.Trace
	var all []string
	if t.Outcome == record.Served && t.Reason != "" && !strings.HasSuffix(t.Reason, asAsked) {
		all = append(all, sentence(t.Reason))
	}
	for i, a := range t.Attempts {
		if t.Outcome == record.Served && a.Class == "" && i > 0 && a.Start > t.Attempts[0].Start {
			all = append(all, "What was tried before took "+latency(a.Start-t.Attempts[0].Start)+" of the caller’s time.")
			break
		}
	}
	switch n := len(t.Attempts); {
	case t.Outcome == record.Served:
	case n == 0:
		all = append(all, "No provider was asked.")
	default:
		all = append(all, count(int64(n), "attempt")+" in "+latency(t.Took)+".")
	}
	if t.Outcome != record.Served && t.Status != 0 {
		all = append(all, fmt.Sprintf("The answer was HTTP %d.", t.Status))
	}
	if t.Queued > 0 {
		all = append(all, "It waited "+latency(t.Queued)+" for its turn.")
	}
	if t.Simulated {
		all = append(all, "This request is simulated: it was made up for the demonstration.")
	}
	return strings.Join(all, " ")
}

// wasted is what attempts that did not serve cost.
func (p requestPage) wasted() record.NanoUSD {
	var sum record.NanoUSD
	for _, a := range p.Trace.Attempts {
		if a.Class != "" {
			sum += a.Cost
		}
	}
	return sum
}

func (p requestPage) costNote() string {
	if w := p.wasted(); w > 0 {
		return "of it " + dollars(w) + " for what did not serve"
	}
	return "nothing wasted"
}

func (p requestPage) tokensNote() string {
	u := p.Trace.Usage
	text := thousands(u.Input) + " in, " + thousands(u.Output) + " out"
	if u.CacheRead > 0 {
		text += ", " + thousands(u.CacheRead) + " cached"
	}
	return text
}

// step is one bar of the waterfall.
type step struct {
	Name, Note string
	From, To   time.Duration // since the request was accepted
	Class      string        // of the bar: "ok", "warn", "bad" or "plain"
	Tick       time.Duration // of the first token; 0 where there is none
}

// steps gives the way of the request, in order.
func (p requestPage) steps() []step {
	t := &p.Trace
	begin := t.Took
	if len(t.Attempts) > 0 {
		begin = t.Attempts[0].Start
	}
	admitted := max(begin-t.Queued, 0)
	all := []step{{Name: "Admission", Note: "read, checked, and a plan made", To: admitted, Class: "plain"}}
	if t.Queued > 0 {
		all = append(all, step{Name: "Queue", Note: "every candidate was at a limit", From: admitted, To: admitted + t.Queued, Class: "plain"})
	} else {
		all = append(all, step{Name: "Queue", Note: "no wait", From: admitted, To: admitted, Class: "plain"})
	}
	for i, a := range t.Attempts {
		s := step{
			Name: fmt.Sprintf("Attempt %d, %s", i+1, a.Target.Provider.Title()), Note: attemptNote(a),
			From: a.Start, To: a.Start + a.Took, Class: "warn",
		}
		switch {
		case a.Class == "":
			s.Class = "ok"
		case a.Class == llm.Cancelled:
			s.Class = "plain"
		case t.Outcome == record.Failed:
			s.Class = "bad"
		}
		if a.TTFT > 0 {
			s.Tick = a.Start + a.TTFT
		}
		all = append(all, s)
	}
	if t.Stream && t.TTFT > 0 && t.TTFT <= t.Took {
		note := "from the first content to the end"
		if length := (t.Took - t.TTFT).Seconds(); length > 0.01 && t.Usage.Output > 1 {
			note = fmt.Sprintf("%s out, %.0f a second", count(t.Usage.Output, "token"), float64(t.Usage.Output)/length)
		}
		all = append(all, step{Name: "Stream to the caller", Note: note, From: t.TTFT, To: t.Took, Class: "ok"})
	}
	return all
}

// attemptNote says in a few words how an attempt went.
func attemptNote(a record.Attempt) string {
	parts := []string{a.Target.Model}
	if a.Target.Endpoint != "" {
		parts[0] += " at " + a.Target.Endpoint
	}
	switch {
	case a.Class == "" && a.TTFT > 0:
		parts = append(parts, "first token after "+latency(a.TTFT))
	case a.Class != "" && a.Status != 0:
		parts = append(parts, fmt.Sprintf("%s, HTTP %d", a.Class.Words(), a.Status))
	case a.Class != "":
		parts = append(parts, a.Class.Words())
	}
	return strings.Join(append(parts, marks(a)...), "; ")
}

// marks says what was special about an attempt.
func marks(a record.Attempt) []string {
	var all []string
	for _, m := range []struct {
		is   bool
		word string
	}{
		{a.Hedge, "hedge: sent beside one that was late"}, {a.Probe, "probe of a half-open breaker"},
		{a.Canary, "canary to a held target"}, {a.LastResort, "last resort: its breaker was open"},
		{a.Looping, "the answer goes in circles"},
	} {
		if m.is {
			all = append(all, m.word)
		}
	}
	return all
}

// The bars of the waterfall are drawn in these units, and stretched.
const stepWidth = 1000

// scale gives where on a bar's line an instant is.
func (p requestPage) scale(d time.Duration) float64 {
	whole := p.Trace.Took
	for _, a := range p.Trace.Attempts {
		whole = max(whole, a.Start+a.Took) // a hedge may outlast the answer
	}
	if whole <= 0 {
		return 0
	}
	return min(max(float64(d)/float64(whole), 0), 1) * stepWidth
}

func (p requestPage) bar(s step) (x, width string) {
	from := p.scale(s.From)
	return px(min(from, stepWidth-3)), px(max(p.scale(s.To)-from, 3))
}

// label tells a bar in a sentence.
func (s step) label() string {
	text := s.Name + ": from " + latencyAt(s.From) + " to " + latencyAt(s.To)
	if s.Tick > 0 {
		text += ", first token at " + latencyAt(s.Tick)
	}
	return text
}

// latencyAt writes a point in time of a request, which may be its beginning.
func latencyAt(d time.Duration) string {
	if d <= 0 {
		return "0 ms"
	}
	return latency(d)
}

// candidateSymbol names the icon of a verdict.
func candidateSymbol(v record.Verdict) string {
	switch v {
	case record.VerdictServed:
		return "ok"
	case record.VerdictTriedFailed:
		return "warn"
	}
	return "off"
}

// verdictWord is a verdict as it is read.
func verdictWord(v record.Verdict) string {
	if word := map[record.Verdict]string{
		record.VerdictServed: "Served", record.VerdictTriedFailed: "Tried, failed", record.VerdictNotNeeded: "Not needed",
		record.VerdictBreakerOpen: "Skipped: breaker open", record.VerdictBreakerProbing: "Skipped: being probed",
		record.VerdictHeldByAnomaly: "Skipped: held by the detector", record.VerdictHeldByOperator: "Skipped: held by an operator",
		record.VerdictCapabilityMissing: "Skipped: cannot carry the request", record.VerdictContextTooLong: "Skipped: prompt too long",
		record.VerdictNoSuchModel: "Skipped: no such model", record.VerdictNoUsableKey: "Skipped: no usable key",
		record.VerdictProviderDisabled: "Skipped: disabled", record.VerdictRateLimited: "Skipped: at a limit",
	}[v]; word != "" {
		return word
	}
	return string(v)
}

// spent gives what the attempts at a candidate cost, and whether there was one.
func (p requestPage) spent(c record.Candidate) (cost record.NanoUSD, tried bool) {
	for _, a := range p.Trace.Attempts {
		if a.Target == c.Target {
			cost += a.Cost
			tried = true
		}
	}
	return cost, tried
}

// attemptWord says in a word how an attempt ended.
func attemptWord(a record.Attempt) string {
	if a.Class == "" {
		return "Served"
	}
	word := a.Class.Words()
	return strings.ToUpper(word[:1]) + word[1:]
}

func attemptSymbol(a record.Attempt) string {
	switch a.Class {
	case "":
		return "ok"
	case llm.Cancelled:
		return "off"
	}
	return "warn"
}

// said is what the upstream said of it: status, code and its own words.
func said(a record.Attempt) string {
	var parts []string
	if a.Status != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", a.Status))
	}
	if a.Code != "" {
		parts = append(parts, a.Code)
	}
	text := strings.Join(parts, " ")
	if a.Message != "" {
		if text != "" {
			text += ": "
		}
		text += a.Message
	}
	return text
}

// facts are what else is known of the request.
func (p requestPage) facts() [][2]string {
	t := &p.Trace
	answer := "whole"
	if t.Stream {
		answer = "streamed"
	}
	facts := [][2]string{
		{"Id", t.ID.String()}, {"Accepted", t.Accepted.UTC().Format("2 January 2006, 15:04:05.000000") + " UTC"},
		{"Caller", cmp.Or(t.Caller, "no key is asked for")}, {"Asked for", cmp.Or(t.Asked, "no model")},
		{"Dialect", cmp.Or(string(t.Door), "unknown")}, {"Answer", answer + p.statusWords()},
		{"Strategy", cmp.Or(t.Strategy, "none: there was no plan")}, {"Waited in line", p.queued()},
	}
	if u := t.Usage; u.CacheWrite > 0 || u.Reasoning > 0 {
		facts = append(facts, [2]string{"Of its tokens", thousands(u.CacheWrite) + " written to a cache, " + thousands(u.Reasoning) + " spent on reasoning"})
	}
	return facts
}

func (p requestPage) statusWords() string {
	if p.Trace.Status == 0 {
		return ""
	}
	return fmt.Sprintf(", HTTP %d", p.Trace.Status)
}

func (p requestPage) queued() string {
	if p.Trace.Queued > 0 {
		return latency(p.Trace.Queued)
	}
	return "no"
}

// around says when an incident was, beside the request.
func around(in record.Incident, now time.Time) string {
	if in.Ended.IsZero() {
		return "since " + instantWords(in.Began, now)
	}
	return instantWords(in.Began, now) + " to " + instantWords(in.Ended, now)
}

// milliseconds writes a point in time for a table, to the microsecond.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond))
}

// told is an incident's title, in the past tense where it is over.
func told(in record.Incident) string {
	if in.Ended.IsZero() {
		return in.Title
	}
	return inPast(in.Title)
}
