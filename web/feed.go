package web

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/record"
)

// atomFeed is a feed as RFC 4287 has it: https://www.rfc-editor.org/rfc/rfc4287.
type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  atomAuthor  `xml:"author"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomAuthor struct {
	Name string `xml:"name"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr"`
	Href string `xml:"href,attr"`
}

type atomEntry struct {
	ID        string      `xml:"id"`
	Title     string      `xml:"title"`
	Published string      `xml:"published"`
	Updated   string      `xml:"updated"`
	Link      atomLink    `xml:"link"`
	Category  *atomTerm   `xml:"category"`
	Content   atomContent `xml:"content"`
}

type atomTerm struct {
	Term string `xml:"term,attr"`
}

type atomContent struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

// feed answers with the incidents as an Atom feed: an entry for each, which is
// new again after each update of it.
func (s *Server) feed(c *gin.Context) {
	found, err := s.options.Desk.Incidents(c.Request.Context(), IncidentQuery{}, incidentsOnPage)
	if err != nil {
		s.unreadable(c, err)
		c.String(http.StatusServiceUnavailable, "The incidents cannot be read right now.\n")
		return
	}
	base := s.publicBase(c.Request)
	feed := atomFeed{
		ID: base + "/feed.xml", Title: "Breakwater: incidents", Author: atomAuthor{"Breakwater"},
		Links: []atomLink{{"self", "application/atom+xml", base + "/feed.xml"}, {"alternate", "text/html", base + "/incidents"}},
	}
	updated := time.Time{}
	for _, in := range found {
		at := lastChange(in)
		if at.After(updated) {
			updated = at
		}
		feed.Entries = append(feed.Entries, feedEntry(in, at, base, s.now()))
	}
	if updated.IsZero() {
		updated = s.now()
	}
	feed.Updated = machine(updated)
	body, err := xml.MarshalIndent(feed, "", "  ")
	if err != nil {
		s.options.Log.Error("the feed could not be written", "error", err)
		c.String(http.StatusInternalServerError, "The feed could not be written.\n")
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, "application/atom+xml; charset=utf-8", append([]byte(xml.Header), append(body, '\n')...))
}

// publicBase is the address that people reach Breakwater at, without a slash.
func (s *Server) publicBase(r *http.Request) string {
	if s.options.PublicURL != "" {
		return strings.TrimSuffix(s.options.PublicURL, "/")
	}
	return baseURL(r)
}

// lastChange is when something last happened to an incident.
func lastChange(in record.Incident) time.Time {
	last := in.Began
	for _, t := range []time.Time{in.Opened, in.Mitigated, in.Ended, in.Acknowledged} {
		if t.After(last) {
			last = t
		}
	}
	for _, e := range in.Timeline {
		if e.At.After(last) {
			last = e.At
		}
	}
	return last
}

func feedEntry(in record.Incident, at time.Time, base string, now time.Time) atomEntry {
	var text strings.Builder
	text.WriteString(incidentHeadline(in, now) + "\n" + upperFirst(stateWord(in.State)) + ", " + impactLine(in, now) + ".\n")
	for _, e := range slices.Backward(in.Timeline) {
		text.WriteString("\n" + e.At.UTC().Format("2 Jan 15:04 UTC") + "  " + eventHead(e) + ": " + sentence(e.Text))
	}
	entry := atomEntry{
		// The address may change; the ID must not.
		ID: "tag:breakwater," + in.Began.UTC().Format(time.DateOnly) + ":incident/" + in.ID.String(), Title: feedTitle(in),
		Published: machine(in.Began), Updated: machine(at),
		Link: atomLink{"alternate", "text/html", base + incidentLink(in)}, Content: atomContent{"text", clean(text.String(), true)},
	}
	if in.Severity != "" {
		entry.Category = &atomTerm{string(in.Severity)}
	}
	return entry
}

// feedTitle says the state where it is not over, so that a list of titles is
// enough.
func feedTitle(in record.Incident) string {
	if in.State == record.Resolved {
		return "Resolved: " + inPast(in.Title)
	}
	return upperFirst(stateWord(in.State)) + ": " + in.Title
}
