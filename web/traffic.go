package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// Span is the time that a provider's page counts the usage of keys over, up to now.
type Span string

// The spans.
const (
	LastHour  Span = "hour"
	LastDay   Span = "day"
	LastMonth Span = "month" // 30 days
)

// Spans lists all spans, the shortest first.
func Spans() []Span { return []Span{LastHour, LastDay, LastMonth} }

// Length gives how long the span is.
func (s Span) Length() time.Duration {
	switch s {
	case LastHour:
		return time.Hour
	case LastMonth:
		return 30 * 24 * time.Hour
	}
	return 24 * time.Hour
}

func (s Span) words() string {
	switch s {
	case LastHour:
		return "last hour"
	case LastMonth:
		return "last 30 days"
	}
	return "last 24 hours"
}

// BusyFrom is the share of what Breakwater may hold from which the page speaks
// of it: below, nothing is turned away.
const BusyFrom = 0.8

// Line is who waits for a turn, and how full Breakwater is.
type Line struct {
	Waiting map[traffic.Priority]int
	Load    float64 // share of what may be under way in all, 0 to 1
}

// waiting counts all who wait.
func (l Line) waiting() int64 {
	n := 0
	for _, w := range l.Waiting {
		n += w
	}
	return int64(n)
}

// Words says who waits and how full Breakwater is; "" where there is nothing to
// say.
func (l Line) Words() string {
	var parts []string
	if n := l.waiting(); n > 0 {
		parts = append(parts, fmt.Sprintf("%s for a turn, because every way that they could go is at its limit: %s.", countWaiting(n), l.byPriority()))
	}
	if l.Load >= BusyFrom {
		parts = append(parts, fmt.Sprintf("Breakwater is at %s of what it may hold at once: batch requests are turned away first.", percent(l.Load, 0)))
	}
	return strings.Join(parts, " ")
}

func countWaiting(n int64) string {
	if n == 1 {
		return "1 request waits"
	}
	return count(n, "request") + " wait"
}

func (l Line) byPriority() string {
	var parts []string
	for _, p := range traffic.Priorities() {
		if n := l.Waiting[p]; n > 0 {
			parts = append(parts, thousands(int64(n))+" "+p.String())
		}
	}
	return strings.Join(parts, ", ")
}

// Detail is what a provider's own page shows beside its row.
type Detail struct {
	Provider Provider
	Line     Line
	Span     Span
	Keys     []Key    // in the order of the configuration; none where the provider needs none
	Pools    []Pool   // one for each endpoint
	Limits   []Limit  // those that are set or learned
	Changes  []Change // of keys, newest first
	Course   Course
	Records  []Record      // how it did, the shortest window first
	Slow     time.Duration // from when on an answer counts as slow in Record.Health; 0 where nothing is usual yet
	Measures []Measure     // what is compared with its past, what is nearest to a finding first
	Looks    []Look        // probes; none where they are off
	// Since is from when on there are figures, where that is later than the
	// Span begins; zero where it is not.
	Since time.Time
}

// Key is one of a provider's keys, without its secret.
type Key struct {
	Endpoint    string // "" where the provider has only one
	Name, Last4 string
	State       record.KeyState
	Until       time.Time // when it is tried again; zero where nobody knows
	Reason      string    // why it is not usable
	Under       int64     // requests under way

	// Within the Span:
	Requests, Throttled int64 // calls; of them, those that a rate limit or quota stopped
	Input, Output       int64 // tokens
	Cost                record.NanoUSD
	Share               Figure[float64] // of the provider's calls, 0 to 1
}

// Pool is the connections to one endpoint.
type Pool struct {
	Endpoint       string
	InUse, Idle    int64
	Opened, Reused int64         // since the start
	Handshake      time.Duration // the median of the last minutes; 0 where none was made
}

// Limit is one limit as it stands.
type Limit struct {
	Of  string // "all of Gemini", "key main", "model gpt-4o"
	Use traffic.Use
}

// Change is a change of a key.
type Change record.KeyChange

// symbol names the icon of a key's state.
func (k Key) symbol() string {
	switch k.State {
	case record.KeyUsable:
		return "ok"
	case record.KeyCooling:
		return "warn"
	}
	return "bad"
}

func keyWord(s record.KeyState) string {
	return map[record.KeyState]string{
		record.KeyUsable: "Usable", record.KeyCooling: "Cooling down", record.KeyExhausted: "Out of quota", record.KeyRevoked: "Refused",
	}[s]
}

// note says until when a key is out and why; "" for a usable one.
func (k Key) note(now time.Time) string {
	if k.State == record.KeyUsable {
		return ""
	}
	var parts []string
	switch wait := k.Until.Sub(now); {
	case wait > time.Hour:
		parts = append(parts, "until "+when(k.Until, now)+" UTC")
	case wait > 0:
		parts = append(parts, "until "+clock(k.Until)+" UTC")
	}
	if k.Reason != "" {
		parts = append(parts, k.Reason)
	}
	return strings.Join(parts, "; ")
}

// keysWords says in a sentence how the keys stand.
func (d Detail) keysWords() string {
	well, cooling := 0, 0
	for _, k := range d.Keys {
		switch {
		case k.State == record.KeyCooling:
			cooling++
		case k.State.Works():
			well++
		}
	}
	switch n := len(d.Keys); {
	case d.Provider.State == Off:
		if d.Provider.Missing == "" {
			return "Nothing is sent to it."
		}
		return "Set " + d.Provider.Missing + " and start Breakwater again to use it."
	case n == 0 && d.Provider.Name == llm.Local:
		return "It needs no key."
	case n == 0:
		return "No key is set."
	case well+cooling == 0:
		return "No key is usable: its requests go to the next provider."
	case n == 1 && cooling == 1:
		return "Its one key is cooling down. A second would serve on meanwhile."
	case n == 1:
		return "Its one key is usable. A second would serve on when that is refused or at its limit."
	case well == n:
		return fmt.Sprintf("All %d keys are usable.", n)
	default:
		words := fmt.Sprintf("%d of %d keys can be used now", well, n)
		if cooling > 0 {
			words += fmt.Sprintf(", %d more after cooling down", cooling)
		}
		return words + "."
	}
}

// headline is the page's first sentence.
func (d Detail) headline() string {
	switch p := d.Provider; p.State {
	case Off:
		return p.Name.Title() + " is not set up."
	case Unknown:
		return p.Name.Title() + " has not been asked yet."
	case Held:
		return p.Name.Title() + " is held back."
	default:
		return p.Name.Title() + " is " + string(p.State) + "."
	}
}

// level is how much the page asks for attention.
func (d Detail) level() Level {
	switch d.Provider.State {
	case Operational:
		return LevelOperational
	case Down:
		return LevelDown
	case Degraded, Held:
		return LevelDegraded
	}
	return LevelUnknown
}

func endpointName(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

// reusedShare says how many calls found a connection open.
func (p Pool) reusedShare() string { return figure(share(p.Reused, p.Opened), percent0) }

// rate says how many requests a minute are let through.
func (l Limit) rate() string {
	if l.Use.Allowed <= 0 {
		return "any number"
	}
	return perMinute(l.Use.Allowed)
}

// set says what is configured, where a tighter rate was learned too.
func (l Limit) set() string {
	switch {
	case l.Use.Requests > 0 && l.Use.Allowed > 0 && l.Use.Allowed < float64(l.Use.Requests):
		return "of " + thousands(l.Use.Requests) + " set; the provider allows less now"
	case l.Use.Requests > 0:
		return "as set"
	case l.Use.Allowed > 0:
		return "learned from the provider"
	}
	return ""
}

// tokens says how many tokens a minute are let through.
func (l Limit) tokens() string {
	switch {
	case l.Use.Tokens > 0:
		return thousands(l.Use.Tokens)
	case l.Use.TokensLeft > 0:
		return "as the provider tells"
	}
	return "any number"
}

// tokensNow says how many of them may go at once; "" where there is no limit.
func (l Limit) tokensNow() string {
	if l.Use.Tokens <= 0 && l.Use.TokensLeft <= 0 {
		return ""
	}
	return thousands(int64(max(l.Use.TokensLeft, 0))) + " may go right now"
}

// under says how many requests are under way, of how many.
func (l Limit) under() string {
	if l.Use.Concurrent > 0 {
		return thousands(l.Use.Under) + " of " + thousands(l.Use.Concurrent)
	}
	return thousands(l.Use.Under)
}

// text says a change in words.
func (c Change) text() string {
	text := upperFirst(record.KeyNamed(c.Key, c.Last4))
	if c.Endpoint != "" {
		text += " at " + c.Endpoint
	}
	if c.Model != "" {
		text += ", for " + c.Model
	}
	text += ": " + strings.ToLower(keyWord(c.To))
	if c.Reason != "" {
		text += "; " + c.Reason
	}
	return sentence(text)
}

// KeysOut says in a word how many of a provider's keys can be used.
type KeysOut struct {
	Usable, All int       // those that cool down are usable soon, and count
	Cooling     int       // of the usable, those that cool down now
	Until       time.Time // when the first of those has cooled down
}

// AllCooling says whether no key can be used right now, and some can within minutes.
func (k KeysOut) AllCooling() bool { return k.Cooling > 0 && k.Cooling == k.Usable }

// note is told where not all of them are.
func (k KeysOut) note() string {
	if k.AllCooling() {
		return "every usable key cools down"
	}
	if k.Usable >= k.All {
		return ""
	}
	return fmt.Sprintf("%d of %s usable", k.Usable, count(int64(k.All), "key"))
}

// otherSpan says whether a span is not the one that is shown.
func (d Detail) otherSpan(s Span) bool { return s != d.Span }

// asSpan reads a span; false for a word that is none.
func asSpan(word string) (Span, bool) {
	if word == "" {
		return LastDay, true
	}
	s := Span(word)
	return s, slices.Contains(Spans(), s)
}
