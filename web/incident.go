package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/record"
)

// partStory and partNotices name what renews itself on the page of an
// incident, beside its verdict. What a person types into stays as it is.
const (
	partStory   = "story"
	partNotices = "notices"
)

// incidentPage is what the page of one incident is rendered from.
type incidentPage struct {
	deskPage
	IncidentDetail
}

func incidentPath(number int64) string { return "/incidents/" + strconv.FormatInt(number, 10) }

// incidentLink gives where an incident is shown.
func incidentLink(in record.Incident) string {
	if in.Number == 0 {
		return "/#" + anchor(in)
	}
	return incidentPath(in.Number)
}

// headline and level are what the page's first line and rule say.
func (p incidentPage) headline() string { return incidentHeadline(p.Incident, p.Now) }
func (p incidentPage) level() Level     { return incidentLevel(p.Incident) }

// requests gives where the requests of its time are.
func (p incidentPage) requests() string {
	in := p.Incident
	end := in.Ended
	if end.IsZero() {
		end = p.Now
	}
	values := url.Values{"since": {machine(in.Began)}, "until": {machine(end.Add(time.Second))}}
	if in.Subject != "" {
		values.Set("provider", string(in.Subject))
	}
	return "/requests?" + values.Encode()
}

// draft is what the write-up's form begins with.
func (p incidentPage) draft() string { return cmp.Or(p.Incident.WriteUp, p.Draft) }

// channels groups the notices by channel, in the order in which they were told.
func (p incidentPage) channels() []channelNotices {
	var all []channelNotices
	at := map[string]int{}
	for _, n := range p.Notices {
		i, known := at[n.Channel]
		if !known {
			i = len(all)
			at[n.Channel] = i
			all = append(all, channelNotices{Channel: n.Channel})
		}
		all[i].Notices = append(all[i].Notices, n)
	}
	return all
}

// channelNotices are what one channel was told of an incident.
type channelNotices struct {
	Channel string
	Notices []record.Notice
}

// incident answers with the page of one incident, or with one part of it.
func (s *Server) incident(c *gin.Context) { s.showIncident(c, http.StatusOK, form{}) }

func (s *Server) showIncident(c *gin.Context, status int, f form) {
	part := c.Query("part")
	n, right := incidentNumber(c)
	if !right || part != "" && part != string(PartVerdict) && part != partStory && part != partNotices {
		s.noIncident(c)
		return
	}
	detail, err := s.options.Desk.Incident(c.Request.Context(), n)
	switch {
	case errors.Is(err, ErrNotFound):
		s.noIncident(c)
		return
	case err != nil:
		s.unreadablePage(c, err)
		return
	}
	p := incidentPage{deskPage: s.desk(c), IncidentDetail: detail}
	p.Form, p.Path = f, incidentPath(n)
	if part != "" && status == http.StatusOK {
		s.send(c, status, renewedIncident(part, p))
		return
	}
	s.send(c, status, incidentDocument(p))
}

func (s *Server) noIncident(c *gin.Context) {
	f := s.frame("No such incident")
	f.current = "/incidents"
	s.send(c, http.StatusNotFound, nowhere(f, "There is no such incident.", "Incidents are counted from 1. The list above has all that people were told of."))
}

// backToIncident is back, to the form of an incident.
func (s *Server) backToIncident(c *gin.Context) {
	n, right := incidentNumber(c)
	action := c.Param("action")
	if !right || !slices.Contains([]string{"acknowledge", "update", "resolve", "writeup", "silence"}, action) {
		s.noIncident(c)
		return
	}
	back(incidentPath(n) + "#" + action)(c)
}

// onIncident makes the handler of something that a person does about an
// incident.
func (s *Server) onIncident(name string, do func(c *gin.Context, n int64, f *form, by string) error) gin.HandlerFunc {
	return s.act(deed{
		form: name, show: s.showIncident,
		do: func(c *gin.Context, f *form, by string) (string, gin.H, error) {
			n, right := incidentNumber(c)
			if !right {
				return "", nil, ErrNotFound
			}
			err := do(c, n, f, by)
			return incidentPath(n) + "#" + name, gin.H{"incident": n, "action": name}, err
		},
	})
}

func (s *Server) acknowledge(c *gin.Context, n int64, f *form, by string) error {
	if f.problem != "" {
		return nil
	}
	return s.options.Desk.Acknowledge(c.Request.Context(), n, by)
}

func (s *Server) update(c *gin.Context, n int64, f *form, by string) error {
	text := f.text("text", "The update", MaxUpdate, true, true)
	if f.problem != "" {
		return nil
	}
	return s.options.Desk.Comment(c.Request.Context(), n, by, text)
}

func (s *Server) resolve(c *gin.Context, n int64, f *form, by string) error {
	text := f.text("text", "The reason", MaxUpdate, true, false)
	if f.problem != "" {
		return nil
	}
	return s.options.Desk.ResolveByHand(c.Request.Context(), n, by, text)
}

func (s *Server) writeUp(c *gin.Context, n int64, f *form, _ string) error {
	text := f.text("text", "The write-up", MaxWriteUp, true, false)
	if f.problem != "" {
		return nil
	}
	return s.options.Desk.WriteUp(c.Request.Context(), n, text)
}

// silenceSubject keeps channels quiet about what an incident is about.
func (s *Server) silenceSubject(c *gin.Context, n int64, f *form, by string) error {
	detail, err := s.options.Desk.Incident(c.Request.Context(), n)
	if err != nil {
		return err
	}
	silence := record.Silence{Provider: detail.Incident.Subject, Topic: detail.Incident.Topic, By: by}
	s.readSpan(f, &silence)
	if f.problem != "" {
		return nil
	}
	_, err = s.options.Desk.Silence(c.Request.Context(), silence)
	return err
}
