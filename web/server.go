package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
)

//go:generate go tool -modfile=../tools/go.mod templ generate

// contentSecurity allows what the page needs and nothing else: its own files
// and its own event stream. No inline script or style runs.
const contentSecurity = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Options says what a Server is made of.
type Options struct {
	Source   Source
	Changes  Changes
	Desk     Desk
	Requests Requests
	Version  string       // of Breakwater, for the foot of the page
	NeedKey  bool         // callers must present a key: the curl line for a first request then shows one
	Log      *slog.Logger // where a Source's error and a person's actions go; nil for slog.Default
	// OperatorKey is what a person or a script that acts must present; without
	// it only a browser on this machine may act.
	OperatorKey string
	PublicURL   string // where people reach Breakwater; "" where nobody said
}

// Server answers for the pages.
type Server struct {
	options   Options
	assets    assets
	operators *operators
	tests     tests
	now       func() time.Time
	closed    chan struct{}
	close     sync.Once
}

// New makes a Server. Its error says that a file inside the program is broken.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	who, err := newOperators(o.OperatorKey, o.PublicURL)
	if err != nil {
		return nil, err
	}
	return &Server{options: o, assets: files, operators: who, now: time.Now, closed: make(chan struct{})}, nil
}

// Register adds the routes of all pages, and of what a person does there.
func (s *Server) Register(r gin.IRoutes) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.Handle(method, "/incidents", secureForms, s.incidentList)
		r.Handle(method, "/incidents/:number", secureForms, s.incident)
		r.Handle(method, "/alerts", secureForms, s.alerts)
		r.Handle(method, "/operator", secureForms, s.operator)
		r.Handle(method, "/feed.xml", secure, s.feed)
		r.Handle(method, "/badge/:name", secure, s.badge)
		r.Handle(method, "/", secure, s.page)
		r.Handle(method, "/providers/:name", secure, s.provider)
		r.Handle(method, "/status.json", secure, s.summary)
		r.Handle(method, "/static/*file", secure, s.asset)
	}
	r.GET("/events", secure, s.events)
	s.registerRequests(r)
	s.registerActions(r)
}

// registerActions adds what a person does.
func (s *Server) registerActions(r gin.IRoutes) {
	r.POST("/incidents/:number/acknowledge", secureForms, s.onIncident("acknowledge", s.acknowledge))
	r.POST("/incidents/:number/update", secureForms, s.onIncident("update", s.update))
	r.POST("/incidents/:number/resolve", secureForms, s.onIncident("resolve", s.resolve))
	r.POST("/incidents/:number/writeup", secureForms, s.onIncident("writeup", s.writeUp))
	r.POST("/incidents/:number/silence", secureForms, s.onIncident("silence", s.silenceSubject))
	r.POST("/alerts/test", secureForms, s.act(deed{form: "test", do: s.testChannel, show: s.showAlerts}))
	r.POST("/silences", secureForms, s.act(deed{form: "silence", do: s.addSilence, show: s.showAlerts}))
	r.POST("/silences/:id/end", secureForms, s.act(deed{form: "end", do: s.endSilence, show: s.showAlerts}))
	r.POST("/operator", secureForms, s.signIn)
	r.POST("/operator/leave", secureForms, s.signOut)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.Handle(method, "/incidents/:number/:action", secure, s.backToIncident)
		r.Handle(method, "/alerts/test", secure, back("/alerts"))
		r.Handle(method, "/silences", secure, back("/alerts#silence"))
		r.Handle(method, "/silences/:id/end", secure, back("/alerts"))
		r.Handle(method, "/operator/leave", secure, back("/operator"))
	}
}

// back sends a browser that asks for a form's address to the page of the form: a
// form that was refused is shown under its own address, which may be loaded again.
func back(to string) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "no-store")
		c.Redirect(http.StatusSeeOther, to)
	}
}

// Close ends all event streams, so that the HTTP server can stop. Call it
// before http.Server.Shutdown, or through RegisterOnShutdown.
func (s *Server) Close() { s.close.Do(func() { close(s.closed) }) }

func secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", contentSecurity)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// page answers with the whole page, or with one part of it.
func (s *Server) page(c *gin.Context) {
	part := Part(c.Query("part"))
	if part != "" && !slices.Contains(Parts(), part) {
		c.String(http.StatusNotFound, "The page has no such part.\n")
		return
	}
	status, err := s.status(c)
	if err != nil {
		s.unreadablePage(c, err)
		return
	}
	p := page{
		Status: status, Verdict: Judge(status), Assets: s.assets,
		Version: s.options.Version, BaseURL: baseURL(c.Request), NeedKey: s.options.NeedKey,
	}
	if part != "" {
		s.send(c, http.StatusOK, renewed(part, p))
		return
	}
	s.send(c, http.StatusOK, document(p))
}

// provider answers with the page of one provider, or with one part of it.
func (s *Server) provider(c *gin.Context) {
	name, known := llm.ParseProvider(c.Param("name"))
	span, right := asSpan(c.Query("span"))
	part := providerPart(c.Query("part"))
	if !known || !right || part != "" && !slices.Contains([]providerPart{partState, partCourse, partTraffic}, part) {
		s.send(c, http.StatusNotFound, nowhere(s.frame("No such provider"), "There is no such page of a provider.",
			"The pages are /providers/gemini, claude, openai and local, over the last hour, day or month. The status page has all providers."))
		return
	}
	status, err := s.status(c)
	if err != nil {
		s.unreadablePage(c, err)
		return
	}
	detail, err := s.options.Source.Detail(c.Request.Context(), name, span)
	if err != nil {
		s.unreadablePage(c, err)
		return
	}
	detail.Line, detail.Span, detail.Provider = status.Line, span, Provider{Name: name, State: Off}
	if i := slices.IndexFunc(status.Providers, func(p Provider) bool { return p.Name == name }); i >= 0 {
		detail.Provider = status.Providers[i]
	}
	p := providerPage{Detail: detail, Now: status.Now, Assets: s.assets, Version: s.options.Version}
	if part != "" {
		s.send(c, http.StatusOK, renewedProvider(part, p))
		return
	}
	s.send(c, http.StatusOK, providerDocument(p))
}

func (s *Server) summary(c *gin.Context) {
	status, err := s.status(c)
	if err != nil {
		s.unreadable(c, err)
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": "the status cannot be read right now"})
		return
	}
	body, err := json.MarshalIndent(summarise(status, baseURL(c.Request)), "", "  ")
	if err != nil {
		s.options.Log.Error("status.json could not be written", "error", err)
		c.JSON(http.StatusInternalServerError, gin.H{"error": "the status could not be written"})
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, "application/json; charset=utf-8", append(body, '\n'))
}

// status asks the Source.
func (s *Server) status(c *gin.Context) (Status, error) {
	status, err := s.options.Source.Status(c.Request.Context())
	if err != nil {
		return Status{}, err
	}
	return maintained(status), nil
}

// frame gives what surrounds a page that says that something is not there.
func (s *Server) frame(title string) frame {
	return frame{title: title, icon: s.assets.url("icon-unknown.svg"), now: s.now().UTC(), files: s.assets, version: s.options.Version}
}

// unreadablePage answers where what a page shows could not be read.
func (s *Server) unreadablePage(c *gin.Context, err error) {
	s.unreadable(c, err)
	f := s.frame("Status unknown")
	f.refresh = "10"
	s.send(c, http.StatusServiceUnavailable, failure(f))
}

// Nowhere answers a browser at an address under which there is nothing. It
// stands in front of any guard, so it tells nothing of this Breakwater.
func (s *Server) Nowhere(c *gin.Context) {
	secure(c)
	f := s.frame("No such page")
	f.version = ""
	s.send(c, http.StatusNotFound, nowhere(f, "There is no page at this address.",
		"Look at its spelling, or go on from one of the pages above. Programs find the API’s addresses in docs/http-api.md."))
}

// unreadable logs why the Source could not tell.
func (s *Server) unreadable(c *gin.Context, err error) {
	if context.Cause(c.Request.Context()) == nil {
		s.options.Log.Error("status page could not be read", "error", err)
	}
	c.Header("Cache-Control", "no-store")
	c.Header("Retry-After", "10")
}

// send renders into a buffer first, so that a failure is not half a page.
func (s *Server) send(c *gin.Context, code int, content templ.Component) {
	var b bytes.Buffer
	if err := content.Render(c.Request.Context(), &b); err != nil {
		s.options.Log.Error("status page could not be rendered", "error", err)
		c.String(http.StatusInternalServerError, "The page could not be rendered. The reason is in Breakwater's log.\n")
		return
	}
	body := b.Bytes()
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if acceptsGzip(c.Request) {
		if gzipped, err := compress(body, gzip.BestSpeed); err == nil {
			h.Set("Content-Encoding", "gzip")
			body = gzipped
		}
	}
	c.Data(code, "text/html; charset=utf-8", body)
}

// baseURL is the address that the reader used.
func baseURL(r *http.Request) string {
	host := r.Host
	// The address is shown in a command to copy: only what a shell takes as it is.
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-[]") != "" {
		host = "localhost"
	}
	if r.TLS != nil {
		return "https://" + host
	}
	return "http://" + host
}
