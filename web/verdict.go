package web

import (
	"fmt"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// UnaffectedShare is the share of requests that must succeed for callers to
// count as unaffected. Public traces of healthy providers show 1 to 2 % of
// requests failing of themselves; below that nobody notices.
const UnaffectedShare = 0.99

// Level is how much the verdict asks for attention. The page's rule, its title
// and its icon carry it.
type Level string

// The levels.
const (
	LevelOperational Level = "operational"
	LevelDegraded    Level = "degraded"
	LevelDown        Level = "down"
	LevelUnknown     Level = "unknown"
)

// Verdict is the page in two sentences.
type Verdict struct {
	Level       Level
	Headline    string // what is the matter, and where the traffic goes
	Consequence string // what that means for callers
	Title       string // the state in a few words
	Incident    *record.Incident
}

// Judge draws the verdict from the figures.
func Judge(s Status) Verdict {
	v := judgeProviders(s)
	for i := range s.Incidents {
		in := &s.Incidents[i]
		if in.State.Lasts() && (v.Incident == nil || in.Began.After(v.Incident.Began)) {
			v.Incident = in
		}
	}
	if s.Waiting > 0 {
		v.Consequence += fmt.Sprintf(" The record cannot be written right now: %s in memory.", waits(s.Waiting))
		if v.Level == LevelOperational || v.Level == LevelUnknown {
			v.Level, v.Title = LevelDegraded, "Record is not written"
			v.Headline = "Requests are being served, but the record cannot be written."
		}
	}
	if s.Dropped > 0 {
		v.Consequence += fmt.Sprintf(" The record has gaps: %s could not be recorded since %s UTC.",
			count(s.Dropped, "sample"), when(s.Started, s.Now))
		if v.Level == LevelOperational || v.Level == LevelUnknown {
			v.Level, v.Title = LevelDegraded, "Record has gaps"
			v.Headline = "Requests are being served, but not all of them are recorded."
		}
	}
	return v
}

func judgeProviders(s Status) Verdict {
	var configured, well, troubled []Provider
	for _, p := range s.Providers {
		switch p.State {
		case Off:
			continue
		case Degraded, Down, Held:
			troubled = append(troubled, p)
		default:
			well = append(well, p)
		}
		configured = append(configured, p)
	}
	switch {
	case len(configured) == 0:
		return Verdict{
			Level: LevelUnknown, Title: "Not set up",
			Headline:    "No provider is set up.",
			Consequence: "Requests are refused until there is one: set a provider's key or start Ollama, then start Breakwater again.",
		}
	case len(troubled) > 0:
		return judgeTroubled(s, configured, well, troubled)
	case callersAffected(s.Numbers):
		return Verdict{
			Level: LevelDegraded, Title: "Requests are failing",
			Headline:    "The providers answer, but requests are failing.",
			Consequence: callers(s.Numbers),
		}
	case !seen(s):
		return Verdict{
			Level: LevelUnknown, Title: "Ready",
			Headline:    "Ready, and waiting for the first request.",
			Consequence: readiness(configured),
		}
	}
	v := Verdict{Level: LevelOperational, Title: "All operational", Consequence: quiet(s.Numbers)}
	switch {
	case len(configured) == 1:
		v.Headline = configured[0].Name.Title() + " is operational."
		v.Title = "Operational"
		v.Consequence += " No other provider is set up, so there is nothing to fail over to."
	case len(configured) == 2:
		v.Headline = "Both providers are operational."
	default:
		v.Headline = "All providers are operational."
	}
	if len(configured) > 1 && len(configured) < len(s.Providers) {
		v.Headline = names(titles(configured)) + " are operational."
	}
	for _, p := range configured {
		if m := p.Maintenance; m != nil {
			v.Consequence += fmt.Sprintf(" %s is under maintenance until %s UTC.", p.Name.Title(), when(m.Until, s.Now))
		}
	}
	return v
}

func waits(n int64) string {
	if n == 1 {
		return "1 sample waits"
	}
	return count(n, "sample") + " wait"
}

// judgeTroubled says who is unwell, where the traffic goes and who feels it.
func judgeTroubled(s Status, configured, well, troubled []Provider) Verdict {
	v := Verdict{Level: LevelDegraded, Headline: trouble(troubled), Consequence: callers(s.Numbers)}
	v.Title = v.Headline[:len(v.Headline)-1]

	var diverted, serving []Provider
	for _, p := range troubled {
		if divertsTraffic(p) {
			diverted = append(diverted, p)
		} else {
			serving = append(serving, p)
		}
	}
	their := "Its"
	if len(diverted) > 1 {
		their = "Their"
	}
	taker, found := taking(s.Incidents, diverted, well)
	if !found {
		taker, found = first(serving)
	}
	switch {
	case found && len(diverted) > 0:
		v.Headline += fmt.Sprintf(" %s traffic is going to %s.", their, taker.Name.Title())
	case found && len(serving) == 1:
		v.Headline += " It still takes requests."
	case found:
		v.Headline += " They still take requests."
	case len(configured) == 1:
		v.Level = LevelDown
		v.Headline += " No other provider is set up, so requests " + failing(s) + "."
	default:
		v.Level, v.Title = LevelDown, "All providers are down"
		v.Headline = "No provider is answering. Requests " + failing(s) + "."
	}
	if v.Level == LevelDown {
		if probe := nextProbe(troubled); probe.After(s.Now) {
			v.Consequence += fmt.Sprintf(" The next attempt is due at %s UTC.", clock(probe))
		}
	}
	return v
}

// trouble joins what is the matter with each provider into one sentence.
func trouble(troubled []Provider) string {
	words := map[string]string{string(Degraded): "degraded", string(Down): "down", string(Held): "held back", maintenance: "under maintenance"}
	var clauses []string
	for _, state := range []string{string(Down), string(Held), string(Degraded), maintenance} {
		var who []string
		for _, p := range troubled {
			if p.matter() == state {
				who = append(who, p.Name.Title())
			}
		}
		switch len(who) {
		case 0:
		case 1:
			clauses = append(clauses, who[0]+" is "+words[state])
		default:
			clauses = append(clauses, names(who)+" are "+words[state])
		}
	}
	return names(clauses) + "."
}

// maintenance is what is the matter with a provider in trouble for which a
// maintenance window stands.
const maintenance = "maintenance"

// matter says what is the matter with a provider in trouble.
func (p Provider) matter() string {
	if p.Maintenance != nil {
		return maintenance
	}
	return string(p.State)
}

// divertsTraffic says whether requests pass the provider by.
func divertsTraffic(p Provider) bool {
	return p.State == Down || p.State == Held || p.Hold != nil || p.Keys.AllCooling() || p.Breaker.State == record.Open || p.Breaker.State == record.HalfOpen
}

// taking gives which of those that are well takes the traffic of others: who
// served most of it so far, as their incident tells, since the first of the chain
// may be limited, or not be able to; where nothing tells, the first.
func taking(incidents []record.Incident, diverted, well []Provider) (Provider, bool) {
	for _, in := range incidents {
		about := func(p Provider) bool { return slices.Contains(in.Parts(), p.Name) }
		if !in.State.Lasts() || !slices.ContainsFunc(diverted, about) {
			continue
		}
		for _, p := range well {
			if p.Name == in.Impact.ServedBy {
				return p, true
			}
		}
	}
	return first(well)
}

// first gives the provider that stands first in the chain: traffic that
// another gave up goes there.
func first(list []Provider) (Provider, bool) {
	if len(list) == 0 {
		return Provider{}, false
	}
	return list[0], true
}

// callers says in words what callers notice.
func callers(n Numbers) string {
	succeeded := n.Succeeded()
	switch {
	case !succeeded.Known:
		return "No requests came in the last 15 minutes, so no caller has noticed."
	case n.Served == 0:
		return fmt.Sprintf("Callers are affected: no request succeeded in the last 15 minutes, %s failed.", thousands(n.Failed))
	case callersAffected(n):
		return fmt.Sprintf("Callers are affected: %s of requests failed in the last 15 minutes.", percent(1-succeeded.Value, 1))
	default:
		return fmt.Sprintf("Callers are unaffected: %s of requests succeeded in the last 15 minutes.", percent(succeeded.Value, 1))
	}
}

func callersAffected(n Numbers) bool {
	succeeded := n.Succeeded()
	return succeeded.Known && succeeded.Value < UnaffectedShare
}

// quiet is the consequence when all is well.
func quiet(n Numbers) string {
	succeeded := n.Succeeded()
	if !succeeded.Known {
		return "No requests in the last 15 minutes."
	}
	switch {
	case n.Failed == 0 && n.Served == 1:
		return "The one request of the last 15 minutes succeeded."
	case n.Failed == 0:
		return fmt.Sprintf("All %s of the last 15 minutes succeeded.", count(n.Served, "request"))
	}
	return fmt.Sprintf("%s of requests succeeded in the last 15 minutes.", percent(succeeded.Value, 1))
}

// readiness says who would take the first request.
func readiness(configured []Provider) string {
	if len(configured) == 1 && configured[0].Name == llm.Local {
		return "Only Ollama, on your own machine, is set up. With a cloud provider's key as well there is somewhere to fail over to."
	}
	if len(configured) == 1 {
		return configured[0].Name.Title() + " is set up. With a second provider there is somewhere to fail over to."
	}
	return names(titles(configured)) + " are set up; " + configured[0].Name.Title() + " is asked first."
}

// seen says whether any request has ever been recorded.
func seen(s Status) bool {
	if s.Numbers.Succeeded().Known {
		return true
	}
	for _, p := range s.Providers {
		for _, d := range p.Days {
			if d.hasData() {
				return true
			}
		}
	}
	return false
}

// failing says of requests that nothing can serve whether there were any.
func failing(s Status) string {
	if s.Numbers.Served+s.Numbers.Failed == 0 {
		return "would fail"
	}
	return "are failing"
}

func nextProbe(list []Provider) time.Time {
	var next time.Time
	for _, p := range list {
		if at := p.Breaker.NextProbe; !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

func titles(list []Provider) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.Name.Title()
	}
	return out
}
