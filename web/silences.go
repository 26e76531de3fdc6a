package web

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// pastSilences is how many silences that are over the page lists.
const pastSilences = 20

// partChannels and partSilences name what renews itself on the page
// of alerts, beside its verdict.
const (
	partChannels = "channels"
	partSilences = "silences"
)

// alertsPage is what the page of alerts is rendered from.
type alertsPage struct {
	deskPage
	Alerts
	Tests map[string]tested
}

// tested is what came of the last test of a channel.
type tested struct {
	At    time.Time
	By    string
	Error string // "" where the channel confirmed it
}

// tests remembers what came of tests, so that the page can show it.
type tests struct {
	mu   sync.Mutex
	last map[string]tested
}

func (t *tests) note(channel string, what tested) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = make(map[string]tested)
	}
	t.last[channel] = what
}

// of gives the tests of the channels that there are.
func (t *tests) of(channels []Channel) map[string]tested {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]tested)
	for _, c := range channels {
		if what, known := t.last[c.Name]; known {
			all[c.Name] = what
		}
	}
	return all
}

// channelError is what a channel said about a test.
type channelError struct {
	channel string
	err     error
}

func (e *channelError) Error() string {
	return "The test did not get through to " + e.channel + ": " + shortenTo(e.err.Error(), 300)
}

func (e *channelError) Unwrap() error { return e.err }

// alerts answers with the page of alerts, or with one part of it.
func (s *Server) alerts(c *gin.Context) { s.showAlerts(c, http.StatusOK, form{}) }

func (s *Server) showAlerts(c *gin.Context, status int, f form) {
	part := c.Query("part")
	if part != "" && !slices.Contains([]string{string(PartVerdict), partChannels, partSilences}, part) {
		c.String(http.StatusNotFound, "The page has no such part.\n")
		return
	}
	found, err := s.options.Desk.Alerts(c.Request.Context())
	if err != nil {
		s.unreadablePage(c, err)
		return
	}
	p := alertsPage{deskPage: s.desk(c), Alerts: found, Tests: s.tests.of(found.Channels)}
	p.Form, p.Path = f, "/alerts"
	if part != "" && status == http.StatusOK {
		s.send(c, status, renewedAlerts(part, p))
		return
	}
	s.send(c, status, alertsDocument(p))
}

// testChannel sends a test.
func (s *Server) testChannel(c *gin.Context, f *form, by string) (string, gin.H, error) {
	channel := f.text("channel", "The channel", MaxReason, false, true)
	if f.problem != "" {
		return "", nil, nil
	}
	found, err := s.options.Desk.Alerts(c.Request.Context())
	if err != nil {
		return "", nil, err
	}
	if !slices.ContainsFunc(found.Channels, func(known Channel) bool { return known.Name == channel }) {
		return "", nil, ErrNotFound
	}
	result := tested{At: s.now().UTC(), By: by}
	if err := s.options.Desk.Test(c.Request.Context(), channel); err != nil {
		failed := &channelError{channel, err}
		result.Error = shortenTo(err.Error(), 300)
		s.tests.note(channel, result)
		return "", nil, failed
	}
	s.tests.note(channel, result)
	return "/alerts#channels", gin.H{"action": "test", "channel": channel}, nil
}

// addSilence places a silence or a maintenance window.
func (s *Server) addSilence(c *gin.Context, f *form, by string) (string, gin.H, error) {
	silence := record.Silence{
		Maintenance: choice(f, "kind", "The kind", []string{"silence", "maintenance"}) == "maintenance",
		Provider:    choice(f, "provider", "The provider", llm.Providers()),
		Topic:       choice(f, "topic", "The topic", record.Topics()),
		By:          by,
	}
	s.readSpan(f, &silence)
	if f.problem != "" {
		return "", nil, nil
	}
	placed, err := s.options.Desk.Silence(c.Request.Context(), silence)
	if err != nil {
		return "", nil, err
	}
	return "/alerts#silences", gin.H{"action": "silence", "id": placed.ID.String(), "from": placed.From.UTC(), "until": placed.Until.UTC()}, nil
}

// readSpan reads a silence's reason, beginning and end.
func (s *Server) readSpan(f *form, silence *record.Silence) {
	now := s.now().UTC()
	silence.Reason = f.text("reason", "The reason", MaxReason, false, true)
	silence.From = f.instant("from", "The beginning", now)
	silence.Until = f.instant("until", "The end", silence.From.Add(DefaultSilence))
	switch {
	case slices.Contains(f.fields, "from"): // the other end has nothing to be compared with
	case !silence.Until.After(silence.From):
		f.fail("until", "The end, %s UTC, is not after the beginning, %s UTC.", when(silence.Until, now), when(silence.From, now))
	case !silence.Until.After(now):
		f.fail("until", "The end is past: it is %s UTC now.", when(now, now))
	case silence.Until.Sub(silence.From) > MaxSilence:
		f.fail("until", "That is longer than %s. What should be quiet for longer belongs into the configuration.", span(MaxSilence))
	}
}

// endSilence ends a silence early.
func (s *Server) endSilence(c *gin.Context, f *form, by string) (string, gin.H, error) {
	if f.problem != "" {
		return "", nil, nil
	}
	id, err := record.ParseID(c.Param("id"))
	if err != nil {
		return "", nil, ErrNotFound
	}
	if err := s.options.Desk.EndSilence(c.Request.Context(), id, by); err != nil {
		return "", nil, err
	}
	return "/alerts#silences", gin.H{"action": "end_silence", "id": id.String()}, nil
}

// tested says whether there is anything to show of tests of the channels.
func (p alertsPage) tested() bool { return p.acts() || len(p.Tests) > 0 }

// sorted gives the silences that stand, those to come, and those that are over.
func (p alertsPage) sorted() (now, later, past []record.Silence) {
	for _, s := range p.Silences {
		switch {
		case standing(s, p.Now):
			now = append(now, s)
		case planned(s, p.Now):
			later = append(later, s)
		default:
			past = append(past, s)
		}
	}
	byFrom := func(a, b record.Silence) int { return a.From.Compare(b.From) }
	slices.SortFunc(now, byFrom)
	slices.SortFunc(later, byFrom)
	slices.SortFunc(past, func(a, b record.Silence) int { return b.End().Compare(a.End()) })
	return now, later, past[:min(len(past), pastSilences)]
}

// covers says in words what a silence is about.
func covers(s record.Silence) string {
	text := "All providers"
	if s.Provider != "" {
		text = s.Provider.Title()
	}
	if s.Topic != "" {
		text += ", only " + topicWord(s.Topic)
	}
	return text
}

// spanWords writes from when to when.
func spanWords(s record.Silence, now time.Time) string {
	from, to := when(s.From, now), when(s.End(), now)
	if s.From.UTC().Format(time.DateOnly) == s.End().UTC().Format(time.DateOnly) {
		to = s.End().UTC().Format("15:04")
	}
	return from + " to " + to
}

// headline is the page in a sentence.
func (p alertsPage) headline() string {
	var well, mute []string
	for _, c := range p.Channels {
		if c.tellsNobody() == "" {
			well = append(well, c.Name)
		} else {
			mute = append(mute, c.Name)
		}
	}
	now, _, _ := p.sorted()
	text := ""
	switch {
	case len(p.Channels) == 0:
		return "Nobody is told of incidents."
	case len(well) == 0:
		text = "No channel gets through: nobody is told of incidents."
	case len(mute) > 0:
		text = upperFirst(names(well)) + " " + isAre(len(well)) + " told of incidents; " + names(mute) + " " + isAre(len(mute)) + " not."
	default:
		text = upperFirst(names(well)) + " " + isAre(len(well)) + " told of incidents."
	}
	if len(now) > 0 {
		text += " " + silenceWords(now, p.Now)
	}
	return text
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// silenceWords says what is quiet now.
func silenceWords(now []record.Silence, at time.Time) string {
	if len(now) > 1 {
		return spelled(len(now), true) + " silences stand."
	}
	s := now[0]
	verb := " is "
	if s.Provider == "" {
		verb = " are "
	}
	return covers(s) + verb + silenceKind(s) + " until " + when(s.Until, at) + " UTC."
}

// consequence goes on from the headline.
func (p alertsPage) consequence() string {
	waiting := 0
	for _, c := range p.Channels {
		waiting += c.Waiting
	}
	switch {
	case len(p.Channels) == 0:
		return "They open and end on these pages alone. Set up a channel: docs/alerts.md says how, for Slack in two variables."
	case waiting == 1:
		return "1 message waits to be sent. It is kept, and tried again until it gets through."
	case waiting > 1:
		return count(int64(waiting), "message") + " wait to be sent. They are kept, and tried again until they get through."
	}
	return "No message waits to be sent."
}

// level is what the page's rule and icon say.
func (p alertsPage) level() Level {
	if len(p.Channels) == 0 {
		return LevelDegraded
	}
	for _, c := range p.Channels {
		if c.tellsNobody() != "" {
			return LevelDegraded
		}
	}
	return LevelOperational
}

// channelKind is a kind of channel as it is read.
func channelKind(kind string) string {
	switch kind {
	case "slack":
		return "Slack"
	case "pagerduty":
		return "PagerDuty"
	case "email":
		return "E-mail"
	}
	return upperFirst(kind)
}

func silenceNoun(s record.Silence) string {
	if s.Maintenance {
		return "maintenance"
	}
	return "silence"
}

// silenceKind says what kind of silence it is, after what it covers.
func silenceKind(s record.Silence) string {
	if s.Maintenance {
		return "under maintenance"
	}
	return "silenced"
}

// silenceAuthors says who placed a silence, and who ended it early.
func silenceAuthors(s record.Silence) string {
	text := "by " + cmp.Or(s.By, anOperator)
	if !s.Ended.IsZero() {
		text += ", ended by " + cmp.Or(s.EndedBy, anOperator)
	}
	return text
}
