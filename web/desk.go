package web

import (
	"context"
	"errors"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Desk gives what the pages of incidents and alerts show, and does what a
// person asks for there. Every text that it is given is trimmed, free of
// control characters and within the limits below.
type Desk interface {
	// Incidents gives the incidents that people were told of and that the query
	// asks for, the newest first, at most limit of them.
	Incidents(ctx context.Context, q IncidentQuery, limit int) ([]record.Incident, error)
	// Incident gives one, or ErrNotFound.
	Incident(ctx context.Context, number int64) (IncidentDetail, error)
	// Alerts tells how channels, silences and the queue of signals stand.
	Alerts(ctx context.Context) (Alerts, error)

	// Acknowledge, Comment, ResolveByHand and WriteUp act on an incident. They
	// give ErrNotFound, and the first and the third ErrOver.
	Acknowledge(ctx context.Context, number int64, by string) error
	Comment(ctx context.Context, number int64, by, text string) error
	ResolveByHand(ctx context.Context, number int64, by, text string) error
	WriteUp(ctx context.Context, number int64, text string) error
	// Silence places a silence or a maintenance window, and gives it with its ID.
	Silence(ctx context.Context, s record.Silence) (record.Silence, error)
	// EndSilence ends one early. It gives ErrNotFound and ErrSilenceOver.
	EndSilence(ctx context.Context, id record.ID, by string) error
	// Test sends a test message to a channel and waits for what comes of it;
	// ErrNotFound where there is no such channel. Any other error is what the
	// channel said, without secrets.
	Test(ctx context.Context, channel string) error
}

// What a Desk may say to an action.
var (
	ErrNotFound = errors.New("there is none of that name or number")
	ErrOver     = errors.New("the incident is over")
	// ErrSilenceOver says that a silence has ended already.
	ErrSilenceOver = errors.New("the silence is over")
)

// Limits of what people write, in characters: a name fits a line, a reason a
// row of the table, an update a screen of a telephone, a write-up a few pages.
const (
	MaxName    = 60
	MaxReason  = 200
	MaxUpdate  = 1000
	MaxWriteUp = 16_000
)

// DefaultSilence is how long a silence lasts unless told otherwise: long enough
// to work undisturbed, short enough that a forgotten one does little harm.
const DefaultSilence = time.Hour

// MaxSilence is the longest silence. What should be quiet for longer is a
// matter of configuration.
const MaxSilence = 90 * 24 * time.Hour

// IncidentDetail is what the page of one incident shows.
type IncidentDetail struct {
	Incident record.Incident
	Notices  []record.Notice // oldest first
	// Draft is a write-up made from the timeline, offered where nobody has
	// written one; "" where there is none.
	Draft string
}

// Alerts is what the page of alerts shows.
type Alerts struct {
	Channels []Channel        // in the order of the configuration
	Silences []record.Silence // those that stand, are planned, or ended in the last 30 days
	Dropped  uint64           // signals that found no room since the start
}

// Channel is how a channel stands.
type Channel struct {
	Name     string
	Kind     string    // "slack", "email", "webhook" or "pagerduty"
	Where    string    // the address without its secret
	Sends    string    // in words, which severities and when; "" where it is sent nothing
	Waiting  int       // messages that are to be sent
	Oldest   time.Time // when the oldest was made that should have been sent by now; zero where there is none
	LastSent time.Time
	Error    string // of the last try, "" where it went well
}

// tellsNobody says why messages through the channel reach nobody; "" where
// they do, as far as is known.
func (c Channel) tellsNobody() string {
	switch {
	case c.Error != "":
		return "Tells nobody: the last message failed"
	case c.Sends == "":
		return "Tells nobody: nothing is sent to it"
	}
	return ""
}

// StateNotOver asks an IncidentQuery for whatever is not over.
const StateNotOver = "lasting"

// IncidentQuery says which incidents to list; the zero value asks for all.
type IncidentQuery struct {
	Topic    record.Topic
	Provider llm.Provider
	Severity record.Severity
	State    record.IncidentState // or StateNotOver
	Before   int64                // only those that began before the one of this number; 0 for all
}

// standing says whether a silence holds now.
func standing(s record.Silence, now time.Time) bool {
	return !now.Before(s.From) && now.Before(s.End())
}

// planned says whether a silence is yet to begin.
func planned(s record.Silence, now time.Time) bool { return now.Before(s.From) && s.Ended.IsZero() }
