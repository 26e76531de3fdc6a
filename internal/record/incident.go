package record

import (
	"strings"
	"time"

	"breakwater/internal/llm"
)

// Topic says what kind of thing an incident is about.
type Topic string

// The topics. An incident's Subject, Endpoint, Key, Model and Name say which
// one of its kind it is.
const (
	TopicProvider    Topic = "provider"     // how one provider answers
	TopicEverything  Topic = "everything"   // several providers in trouble at once, for one cause
	TopicKey         Topic = "key"          // a provider's key is refused or out of quota
	TopicModel       Topic = "model"        // a provider does not have a model of the configuration
	TopicThrottling  Topic = "throttling"   // a provider takes less than it is sent
	TopicErrorBudget Topic = "error_budget" // callers' failures use up what the objective allows
	TopicBudget      Topic = "budget"       // money is spent faster than its budget allows
	TopicUsage       Topic = "usage"        // a caller's tokens or costs are unlike their past
	TopicRecord      Topic = "record"       // Breakwater cannot write down what happens
)

// Topics lists all topics.
func Topics() []Topic {
	return []Topic{TopicProvider, TopicEverything, TopicKey, TopicModel, TopicThrottling, TopicErrorBudget, TopicBudget, TopicUsage, TopicRecord}
}

// Severity says whom an incident should reach.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // callers are failing: wake somebody
	Warning  Severity = "warning"  // callers are served, with less left in reserve: look today
	Info     Severity = "info"     // good to know
)

// Severities lists all severities, the worst first.
func Severities() []Severity { return []Severity{Critical, Warning, Info} }

// IncidentState is where an incident is in its life.
type IncidentState string

// The states of an incident.
const (
	Pending    IncidentState = "pending"    // seen, not yet confirmed; nobody is told
	Ongoing    IncidentState = "open"       // confirmed and told
	Mitigated  IncidentState = "mitigated"  // it lasts, and callers are served elsewhere
	Recovering IncidentState = "recovering" // traffic is coming back: not over yet
	Resolved   IncidentState = "resolved"   // over
	Dropped    IncidentState = "dropped"    // was pending, and passed by itself
)

// Lasts says whether an incident in that state was confirmed and is not over.
func (s IncidentState) Lasts() bool { return s == Ongoing || s == Mitigated || s == Recovering }

// Told says whether people hear of an incident in that state.
func (s IncidentState) Told() bool { return s.Lasts() || s == Resolved }

// Incident is one trouble with one subject, from its first signal to its end.
type Incident struct {
	ID       ID
	Number   int64 // counts 1, 2, 3 …; given by the store when it opens, 0 before
	Topic    Topic
	Severity Severity     // the worst that it was
	Subject  llm.Provider // whose trouble it is; "" where it is no provider's
	// Key is the name of the provider's key that it is about, Model the model,
	// Endpoint where that is; "" where it is about all of them.
	Endpoint, Key, Model string
	Name                 string // of the budget, caller or objective that it is about; "" where there is none

	State     IncidentState
	Title     string // in plain words: "Gemini is failing"
	Began     time.Time
	Opened    time.Time // zero while pending
	Mitigated time.Time // when callers were first served elsewhere; zero before
	Ended     time.Time // zero while it lasts
	Reopened  int       // how often it came back within ReopenWithin of its end

	Acknowledged   time.Time // when somebody took it on; zero before
	AcknowledgedBy string
	Silenced       bool // a silence or a maintenance window covered its opening: nobody was told

	Impact   Impact
	WriteUp  string  // what a person wrote about it afterwards
	Timeline []Event // in order
}

// Whole says whether the incident is about a provider as a whole: only such a
// one is downtime of the provider's.
func (i *Incident) Whole() bool { return i.Topic == TopicProvider }

// The kinds of event that tell whose trouble several providers' incident is.
const (
	// EventJoined: a provider's trouble is part of it from then on. The text
	// begins with the provider's title.
	EventJoined = "joined"
	// EventSingle: the others are well, and it goes on as one provider's.
	EventSingle = "single"
	// EventBack: some of them are well again, and were for a while. The text
	// begins with their titles.
	EventBack = "back"
)

// Parts gives the providers whose trouble the incident is, or was: that of its
// subject, or of those that joined several providers' incident.
func (i *Incident) Parts() []llm.Provider {
	if i.Topic == TopicProvider {
		return []llm.Provider{i.Subject}
	}
	var all []llm.Provider
	for _, p := range llm.Providers() {
		if !i.joined(p).IsZero() {
			all = append(all, p)
		}
	}
	return all
}

// joined gives when a provider became part of several providers' incident; zero
// where it did not.
func (i *Incident) joined(p llm.Provider) time.Time {
	for _, e := range i.Timeline {
		if e.Kind == EventJoined && strings.HasPrefix(e.Text, p.Title()+" ") {
			return e.At
		}
	}
	return time.Time{}
}

// Trouble gives from when to when the incident was trouble of a provider, up to
// now where it lasts; two equal instants where it was none that people were told
// of.
func (i *Incident) Trouble(p llm.Provider, now time.Time) (from, to time.Time) {
	from, to = i.Began, i.Ended
	if !i.Whole() || i.Subject != p {
		from = i.joined(p)
		for _, e := range i.Timeline {
			if e.Kind == EventSingle {
				to = e.At
			}
		}
	}
	if !i.State.Told() || from.IsZero() {
		return now, now
	}
	if to.IsZero() {
		to = now
	}
	return from, to
}

// Impact is what an incident meant for callers so far.
type Impact struct {
	ServedBy llm.Provider  // who took most of the traffic instead; "" where nobody did
	Rerouted int64         // requests that another provider served
	Failed   int64         // requests that failed for their callers
	Added    time.Duration // that rerouted requests took longer for what was tried first, on average
	Extra    NanoUSD       // what attempts that did not serve cost
}

// Event is one line of an incident's timeline.
type Event struct {
	At time.Time
	// Kind is what it tells of: of the trouble "breaker", "anomaly", "key", "model",
	// "serving", "condition", "recovered"; of the incident "opened", "mitigated",
	// "failing", "recovering", "flapping", "reopened", "figures", "silence", "part",
	// EventJoined, EventSingle, EventBack, "resolved"; of people "acknowledged", "update".
	Kind string
	Text string // in plain words
	By   string // who wrote it; "" for what Breakwater noted itself
}

// NoticeKind says what a notice tells.
type NoticeKind string

// The kinds of notice.
const (
	NoticeOpened   NoticeKind = "opened"
	NoticeChanged  NoticeKind = "changed"  // mitigated, recovering, worse, acknowledged, or a written update
	NoticeReopened NoticeKind = "reopened" // it came back soon after its end
	NoticeReminder NoticeKind = "reminder" // it lasts and nobody took it on
	NoticeResolved NoticeKind = "resolved"
	NoticeTest     NoticeKind = "test" // somebody wants to see whether messages arrive
)

// Notice is one message about an incident to one channel.
type Notice struct {
	ID       ID
	Incident ID
	Channel  string // the channel's name in the configuration
	Kind     NoticeKind
	Text     string // of NoticeChanged: what changed, in plain words
	Created  time.Time
	Sent     time.Time // zero until the channel confirmed it
	Attempts int
	NextTry  time.Time
	Receipt  string // what the channel gave back, such as Slack's ts
	Error    string // the last failure, redacted; "" after success
}

// Silence keeps channels quiet about incidents that begin within it. With
// Maintenance it was planned: what happens to its providers meanwhile is no
// downtime.
type Silence struct {
	ID          ID
	Maintenance bool
	Provider    llm.Provider // "" for all
	Topic       Topic        // "" for all
	Reason      string       // why, in a person's words; never ""
	By          string       // who placed it
	From, Until time.Time
	Ended       time.Time // when somebody ended it early; zero otherwise
	EndedBy     string
}

// End gives when it ends, or was ended.
func (s *Silence) End() time.Time {
	if !s.Ended.IsZero() && s.Ended.Before(s.Until) {
		return s.Ended
	}
	return s.Until
}

// Covers says whether the silence holds for an incident at an instant.
func (s *Silence) Covers(i *Incident, at time.Time) bool {
	if at.Before(s.From) || !at.Before(s.End()) {
		return false
	}
	return (s.Provider == "" || s.Provider == i.Subject) && (s.Topic == "" || s.Topic == i.Topic)
}
