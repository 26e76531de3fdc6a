package web

import (
	"cmp"
	"net/http"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"
)

// operatorPage is where people sign in and out.
type operatorPage struct {
	deskPage
	Next string // the page that they came from
}

// wayBack matches the pages with forms: nobody can be sent elsewhere by a link
// to the sign-in.
var wayBack = regexp.MustCompile(`^/(incidents(/[0-9]{1,18})?|alerts)$`)

// nextPage gives where somebody goes after the sign-in.
func nextPage(asked string) string {
	if wayBack.MatchString(asked) {
		return asked
	}
	return "/alerts"
}

// operator answers with the sign-in. Who is signed in already, and came
// through a link on a page that could not know, goes straight back: a browser
// does not send the session along when a link in Slack is followed.
func (s *Server) operator(c *gin.Context) {
	p := operatorPage{deskPage: s.desk(c), Next: nextPage(c.Query("next"))}
	if p.Access == accessGranted && c.Query("next") != "" {
		c.Redirect(http.StatusSeeOther, p.Next)
		return
	}
	s.send(c, http.StatusOK, operatorDocument(p))
}

// showOperator shows the sign-in again.
func (s *Server) showOperator(c *gin.Context, status int, f form) {
	p := operatorPage{deskPage: s.desk(c), Next: nextPage(f.values.Get("next"))}
	p.Form = f
	s.send(c, status, operatorDocument(p))
}

// signIn begins a session for who presents the key.
func (s *Server) signIn(c *gin.Context) {
	d := deed{form: "sign_in", show: s.showOperator}
	f, err := readForm(c, d.form)
	if err != nil {
		f.problem = "The form cannot be read, or is too large."
		s.refuse(c, d, refusedLarge, f)
		return
	}
	key := strings.TrimSpace(f.values.Get("key"))
	f.values.Del("key") // no page shows it again
	var foreign http.CrossOriginProtection
	if err := foreign.Check(c.Request); err != nil {
		f.problem = "The form came from a page of another site. Sign in here."
		s.refuse(c, d, refusedForeign, f)
		return
	}
	may := accessClosed
	if s.operators.keyed() {
		may = s.operators.present(c.Request, key, s.now())
	}
	var why refusal
	if f.problem, why = accessProblem(may); f.problem != "" {
		f.fields = []string{"key"}
		switch may {
		case accessWrong:
			f.problem = "That is not the operator’s key: the value of BREAKWATER_OPERATOR_KEY, or of operator_key in the configuration."
		case accessWait:
			f.problem = "Too many wrong keys came from this address. Wait a minute."
			c.Header("Retry-After", "60")
		}
		s.refuse(c, d, why, f)
		return
	}
	name := f.text("by", "The name", MaxName, false, false)
	if f.problem != "" {
		s.refuse(c, d, refusedForm, f)
		return
	}
	http.SetCookie(c.Writer, s.operators.begin(c.Request, name, s.now()))
	s.options.Log.Info("an operator signed in", "by", cmp.Or(name, anOperator))
	s.done(c, nextPage(f.values.Get("next")), gin.H{"ok": true})
}

// signOut ends the session of a browser.
func (s *Server) signOut(c *gin.Context) {
	var foreign http.CrossOriginProtection
	if err := foreign.Check(c.Request); err != nil {
		s.refuse(c, deed{form: "sign_out", show: s.showOperator}, refusedForeign, form{problem: "The form came from a page of another site."})
		return
	}
	http.SetCookie(c.Writer, s.operators.end(c.Request))
	s.done(c, "/operator", gin.H{"ok": true})
}

// done answers what was done.
func (s *Server) done(c *gin.Context, next string, result gin.H) {
	c.Header("Cache-Control", "no-store")
	if wantsJSON(c.Request) {
		c.JSON(http.StatusOK, result)
		return
	}
	c.Redirect(http.StatusSeeOther, next)
}

// headline and consequence say who may act.
func (p operatorPage) headline() string {
	switch {
	case !p.Keyed && p.Access == accessGranted:
		return "You may act: you are on Breakwater’s own machine."
	case !p.Keyed:
		return "Nobody can sign in yet."
	case p.Access == accessGranted && p.Name != "":
		return "You are signed in as " + p.Name + "."
	case p.Access == accessGranted:
		return "You are signed in."
	}
	return "Sign in to act."
}

func (p operatorPage) consequence() string {
	switch {
	case !p.Keyed && p.Access == accessGranted:
		return "No operator’s key is set. For others, and through a proxy, set BREAKWATER_OPERATOR_KEY to a long random text (openssl rand -hex 32)."
	case !p.Keyed:
		return "Set BREAKWATER_OPERATOR_KEY to a long random text (openssl rand -hex 32) and start Breakwater again. Without it, only a browser on Breakwater’s own machine may act."
	case p.Access == accessGranted:
		return "You can acknowledge incidents, write about them, silence and test. The session ends by itself after 12 hours."
	}
	return "Reading does not need it. Acknowledging, writing, silencing and testing take the operator’s key; the name goes with what you do."
}
