package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// incidentsOnPage is how many incidents one page lists.
const incidentsOnPage = 50

// partList names the list of incidents, which renews itself.
const partList = "list"

// incidentsPage is the list of incidents.
type incidentsPage struct {
	deskPage
	Query     IncidentQuery
	Incidents []record.Incident // the newest first
	Open      []record.Incident // all that are not over, however long ago they began, where the whole list is asked for
	Older     int64             // the number that an older page is asked for with; 0 where this is the last
}

// stateChoices lists the states to choose from.
func stateChoices() []record.IncidentState {
	return []record.IncidentState{StateNotOver, record.Ongoing, record.Mitigated, record.Recovering, record.Resolved}
}

// readIncidentQuery reads the filters of the list, and says what is wrong with them.
func readIncidentQuery(values url.Values) (q IncidentQuery, problem string) {
	f := form{values: values}
	q = IncidentQuery{
		Topic: choice(&f, "topic", "The topic", record.Topics()), Provider: choice(&f, "provider", "The provider", llm.Providers()),
		Severity: choice(&f, "severity", "The severity", record.Severities()), State: choice(&f, "state", "The state", stateChoices()),
	}
	if text := values.Get("before"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			f.fail("before", "An incident’s number cannot be “%s”.", shorten(text))
		}
		q.Before = n
	}
	values = maps.Clone(values)
	values.Del("part") // what a page that renews itself asks for, and no filter
	if none := noSuchFilter(values, []string{"state", "topic", "provider", "severity", "before"}); none != "" {
		f.fail("", "%s", none)
	}
	return q, f.problem
}

// address gives the list's address with the query's filters.
func (q IncidentQuery) address() string {
	values := url.Values{}
	for name, word := range map[string]string{"topic": string(q.Topic), "provider": string(q.Provider), "severity": string(q.Severity), "state": string(q.State)} {
		if word != "" {
			values.Set(name, word)
		}
	}
	if q.Before > 0 {
		values.Set("before", strconv.FormatInt(q.Before, 10))
	}
	if len(values) == 0 {
		return "/incidents"
	}
	return "/incidents?" + values.Encode()
}

// filtered says whether the query leaves any out.
func (q IncidentQuery) filtered() bool { q.Before = 0; return q != IncidentQuery{} }

// part gives the address of the list alone.
func (p incidentsPage) part(name string) string {
	at := p.Query.address()
	if strings.Contains(at, "?") {
		return at + "&part=" + name
	}
	return at + "?part=" + name
}

func (s *Server) incidentList(c *gin.Context) {
	q, problem := readIncidentQuery(c.Request.URL.Query())
	part := c.Query("part")
	if part != "" && part != partList && part != string(PartVerdict) {
		problem = "The page has no such part."
	}
	if problem != "" {
		f := s.frame("No such filter")
		f.current = "/incidents"
		s.send(c, http.StatusBadRequest, nowhere(f, "Nothing was searched: a filter cannot be read.", problem+" The list of incidents has a form with all that it can be asked for: choose Incidents above."))
		return
	}
	found, err := s.options.Desk.Incidents(c.Request.Context(), q, incidentsOnPage+1)
	if err != nil {
		s.unreadablePage(c, err)
		return
	}
	p := incidentsPage{deskPage: s.desk(c), Query: q, Incidents: found}
	if len(found) > incidentsOnPage {
		p.Incidents = found[:incidentsOnPage]
		p.Older = p.Incidents[incidentsOnPage-1].Number
	}
	if !q.filtered() && q.Before == 0 {
		if p.Open, err = s.options.Desk.Incidents(c.Request.Context(), IncidentQuery{State: StateNotOver}, incidentsOnPage); err != nil {
			s.unreadablePage(c, err)
			return
		}
	}
	if part != "" {
		s.send(c, http.StatusOK, renewedIncidents(part, p))
		return
	}
	s.send(c, http.StatusOK, incidentsDocument(p))
}

// lasting gives those that are not over: all of them, or of what a filter or an
// older page shows.
func (p incidentsPage) lasting() []record.Incident {
	if !p.partial() {
		return p.Open
	}
	return slices.DeleteFunc(slices.Clone(p.Incidents), func(in record.Incident) bool { return !in.State.Lasts() })
}

// partial says whether the page is not the newest of all.
func (p incidentsPage) partial() bool { return p.Query.filtered() || p.Query.Before > 0 }

// further says whether some that are not over are on another page.
func (p incidentsPage) further() bool {
	return !p.partial() && slices.ContainsFunc(p.Open, func(in record.Incident) bool {
		return !slices.ContainsFunc(p.Incidents, func(on record.Incident) bool { return on.ID == in.ID })
	})
}

// level is what the page's rule and icon say. A part of the list does not show
// that all is well.
func (p incidentsPage) level() Level {
	level := LevelOperational
	if p.partial() {
		level = LevelUnknown
	}
	for _, in := range p.lasting() {
		level = worse(level, incidentLevel(in))
	}
	return level
}

// headline is the page in a sentence.
func (p incidentsPage) headline() string {
	open := p.lasting()
	switch {
	case p.Query.filtered() && len(p.Incidents) == 0:
		return "No incident is like that."
	case p.partial():
		return countIncidents(len(p.Incidents), p.Older > 0) + "."
	case len(open) == 1:
		return "One incident is not over: " + lowerFirst(sentence(open[0].Title))
	case len(open) > 1:
		return spelled(len(open), true) + " incidents are not over."
	case len(p.Incidents) == 0:
		return "There has been no incident."
	}
	return "No incident is open."
}

// consequence goes on from the headline.
func (p incidentsPage) consequence() string {
	switch {
	case len(p.lasting()) > 0 && !p.Query.filtered():
		return "What people were told of, the newest first."
	case len(p.Incidents) == 0 && !p.Query.filtered():
		return "One opens when a provider is in trouble beyond doubt, a key or a model is lost, a budget runs out early, or the record cannot be written or read."
	case len(p.Incidents) == 0:
		return "Leave a filter out to see more."
	case p.partial():
		return "The newest first."
	}
	last := p.Incidents[0]
	return fmt.Sprintf("The last one ended %s ago: %s", span(p.Now.Sub(last.Ended)), lowerFirst(sentence(inPast(last.Title))))
}

func countIncidents(n int, more bool) string {
	if more {
		return "The newest " + thousands(int64(n)) + " of these incidents"
	}
	return spelled(n, true) + " " + strings.TrimPrefix(count(int64(n), "incident"), thousands(int64(n))+" ")
}

// incidentDay is one day of the list.
type incidentDay struct {
	Date      time.Time
	Incidents []record.Incident
}

// days groups the list by the UTC day on which an incident began.
func (p incidentsPage) days() []incidentDay {
	var days []incidentDay
	for _, in := range p.Incidents {
		date := in.Began.UTC().Truncate(24 * time.Hour)
		if n := len(days); n == 0 || !days[n-1].Date.Equal(date) {
			days = append(days, incidentDay{Date: date})
		}
		days[len(days)-1].Incidents = append(days[len(days)-1].Incidents, in)
	}
	return days
}

// dayName writes a day, with its year where that is not this one.
func dayName(day, now time.Time) string {
	today := now.UTC().Truncate(24 * time.Hour)
	switch {
	case day.Equal(today):
		return "Today"
	case day.Equal(today.AddDate(0, 0, -1)):
		return "Yesterday"
	case day.Year() == now.UTC().Year():
		return day.Format("Monday, 2 January")
	}
	return day.Format("Monday, 2 January 2006")
}

// newest and older give the addresses of the list's other pages.
func (p incidentsPage) newest() string { q := p.Query; q.Before = 0; return q.address() }
func (p incidentsPage) older() string  { q := p.Query; q.Before = p.Older; return q.address() }
