package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// formSecurity is the policy of pages with forms, which go nowhere but here.
var formSecurity = strings.Replace(contentSecurity, "form-action 'none'", "form-action 'self'", 1)

// secureForms lets the page that follows send its forms to this server. With
// no-referrer a browser would say "Origin: null" of a form even to its own
// site (https://fetch.spec.whatwg.org/#append-a-request-origin-header), and
// who guards against foreign pages would refuse it. Other sites are told nothing.
func secureForms(c *gin.Context) {
	secure(c)
	c.Header("Content-Security-Policy", formSecurity)
	c.Header("Referrer-Policy", "same-origin")
}

// deskPage is what every page of the desk has.
type deskPage struct {
	Now     time.Time
	Assets  assets
	Version string
	Access  access
	Keyed   bool   // an operator's key is set
	Name    string // of who signed in; "" where nobody did
	Form    form   // the one that was sent in vain
	Path    string // of the page, to come back to
}

// acts says whether forms are shown: to those who may act, and to those who
// have just lost the right to, with what they typed.
func (p deskPage) acts() bool { return p.Access == accessGranted || p.Form.problem != "" }

// icon gives the address of the icon of a level.
func (p deskPage) icon(l Level) string { return p.Assets.url("icon-" + string(l) + ".svg") }

// refresh is how often a browser without JavaScript loads the page again. One
// with forms stays: what is being typed would be lost.
func (p deskPage) refresh() string {
	if p.acts() {
		return ""
	}
	return "30"
}

// desk makes what the page for a request has.
func (s *Server) desk(c *gin.Context) deskPage {
	now := s.now().UTC()
	p := deskPage{Now: now, Assets: s.assets, Version: s.options.Version, Keyed: s.operators.keyed(), Path: c.Request.URL.Path}
	if granted, known := c.Get(accessKey); known {
		p.Access, p.Name = granted.(access), c.GetString(nameKey)
		return p
	}
	p.Access, p.Name = s.operators.may(c.Request, now)
	return p
}

// What the guard of an action leaves in the request's context, so that a key
// is judged and counted once.
const (
	accessKey = "breakwater-access"
	nameKey   = "breakwater-name"
)

// refusal is why an action is not done.
type refusal struct {
	status int
	code   string
}

// The refusals, by what a script reads.
var (
	refusedForm    = refusal{status: http.StatusBadRequest, code: "invalid_value"}
	refusedKey     = refusal{status: http.StatusUnauthorized, code: "operator_key_required"}
	refusedWrong   = refusal{status: http.StatusUnauthorized, code: "operator_key_wrong"}
	refusedClosed  = refusal{status: http.StatusForbidden, code: "operator_key_unset"}
	refusedForeign = refusal{status: http.StatusForbidden, code: "cross_site"}
	refusedMissing = refusal{status: http.StatusNotFound, code: "not_found"}
	refusedOver    = refusal{status: http.StatusConflict, code: "incident_over"}
	refusedEnded   = refusal{status: http.StatusConflict, code: "silence_over"}
	refusedLarge   = refusal{status: http.StatusRequestEntityTooLarge, code: "body_too_large"}
	refusedWait    = refusal{status: http.StatusTooManyRequests, code: "too_many_attempts"}
	refusedTest    = refusal{status: http.StatusBadGateway, code: "channel_failed"}
	refusedNow     = refusal{status: http.StatusServiceUnavailable, code: "not_possible_now"}
)

// deed is one thing that a person may do.
type deed struct {
	form string // the name of its form, which is its name in the log too
	// do does it, or notes in the form what is wrong and does nothing, as where
	// the form has a fault already: so all faults are told at once. It gives where
	// a browser goes next, and what a script is told.
	do func(c *gin.Context, f *form, by string) (next string, result gin.H, err error)
	// show shows the page of the form again.
	show func(c *gin.Context, status int, f form)
}

// act makes the handler of a deed: nothing is done for a foreign page, for
// somebody who may not, or with a form that has a fault.
func (s *Server) act(d deed) gin.HandlerFunc {
	return func(c *gin.Context) {
		f, err := readForm(c, d.form)
		if err != nil {
			f.problem = "The form cannot be read, or is too large."
			s.refuse(c, d, refusedLarge, f)
			return
		}
		who, why := s.mayAct(c, &f)
		if f.problem != "" {
			s.refuse(c, d, why, f)
			return
		}
		by := cmp.Or(f.text("by", "The name", MaxName, false, false), who, anOperator)
		next, result, err := d.do(c, &f, by)
		switch {
		case f.problem != "" && err == nil:
			s.refuse(c, d, refusedForm, f)
			return
		case err != nil:
			why := s.explain(c, d, &f, err)
			s.refuse(c, d, why, f)
			return
		}
		s.options.Log.Info("a person acted", "action", d.form, "path", c.Request.URL.Path, "by", by)
		result["ok"], result["by"] = true, by
		s.done(c, next, result)
	}
}

// mayAct guards an action. It notes in the form why it may not be.
func (s *Server) mayAct(c *gin.Context, f *form) (who string, why refusal) {
	var foreign http.CrossOriginProtection
	if err := foreign.Check(c.Request); err != nil {
		f.problem = "The form came from a page of another site, so nothing was done. Open this page itself and send it from there."
		c.Set(accessKey, accessClosed)
		return "", refusedForeign
	}
	may, who := s.operators.mayAct(c.Request, s.now())
	c.Set(accessKey, may)
	c.Set(nameKey, who)
	f.problem, why = accessProblem(may)
	if may == accessWait {
		c.Header("Retry-After", strconv.Itoa(int(AttemptsFor/time.Second)))
	}
	return who, why
}

// accessProblem says why nothing can be done; "" where it can.
func accessProblem(may access) (string, refusal) {
	switch may {
	case accessGranted:
		return "", refusal{}
	case accessClosed:
		return "Nothing was done: no operator’s key is set, and then only a browser on Breakwater’s own machine may act. Set BREAKWATER_OPERATOR_KEY and start Breakwater again.", refusedClosed
	case accessWrong:
		return "Nothing was done: the operator’s key is wrong.", refusedWrong
	case accessWait:
		return "Nothing was done: too many wrong keys came from this address. Wait a minute.", refusedWait
	}
	return "Nothing was done yet: sign in first, in another tab, and then send this again.", refusedKey
}

// explain turns what went wrong into words for a person, and logs what only
// the log may know.
func (s *Server) explain(c *gin.Context, d deed, f *form, err error) refusal {
	var said *channelError
	switch {
	case errors.Is(err, ErrNotFound):
		f.problem = "There is none of that name or number any more."
		return refusedMissing
	case errors.Is(err, ErrOver):
		f.problem = "The incident is over, so there is nothing left to do about it but to write."
		return refusedOver
	case errors.Is(err, ErrSilenceOver):
		f.problem = "That silence has ended already."
		return refusedEnded
	case errors.As(err, &said):
		f.problem = sentence(said.Error())
		return refusedTest
	}
	if context.Cause(c.Request.Context()) == nil {
		s.options.Log.Error("an action could not be done", "action", d.form, "path", c.Request.URL.Path, "error", err)
	}
	f.problem = "That could not be written down right now; the reason is in Breakwater’s log. Look at this page in another tab before you send it again."
	return refusedNow
}

// refuse answers an action that is not done.
func (s *Server) refuse(c *gin.Context, d deed, why refusal, f form) {
	c.Header("Cache-Control", "no-store")
	if why == refusedForeign || why == refusedClosed || why == refusedWrong || why == refusedWait {
		s.options.Log.Warn("an action was refused", "action", d.form, "path", c.Request.URL.Path, "from", c.Request.RemoteAddr, "code", why.code)
	}
	if wantsJSON(c.Request) {
		kind := "invalid_request_error"
		if why.status >= http.StatusInternalServerError {
			kind = "server_error"
		}
		var param any
		if len(f.fields) > 0 {
			param = f.fields[0]
		}
		c.JSON(why.status, gin.H{"error": gin.H{"message": f.problem, "type": kind, "param": param, "code": why.code}})
		return
	}
	d.show(c, why.status, f)
}

// wantsJSON says whether a script asks.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// incidentNumber reads an incident's number from the path.
func incidentNumber(c *gin.Context) (int64, bool) {
	n, err := strconv.ParseInt(c.Param("number"), 10, 64)
	return n, err == nil && n > 0
}
